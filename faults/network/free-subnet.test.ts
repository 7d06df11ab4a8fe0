import { expect, it } from "vitest";
import { freeSubnet } from "./free-subnet.ts";

const head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
/** A row as the kernel prints it: bytes of an address in reverse. */
const route = (to: string, mask: string) =>
  `eth0\t${hex(to)}\t00000000\t0001\t0\t0\t0\t${hex(mask)}\t0\t0\t0\n`;
const hex = (address: string) =>
  address
    .split(".")
    .reverse()
    .map((part) => Number(part).toString(16).padStart(2, "0"))
    .join("")
    .toUpperCase();

it("a subnet is private, and not always the same", () => {
  const drawn = Array.from({ length: 50 }, () => freeSubnet(head + route("0.0.0.0", "0.0.0.0")));
  for (const subnet of drawn) expect(subnet).toMatch(/^10\.\d+\.\d+$/);
  expect(new Set(drawn).size).toBeGreaterThan(10);
});

it("keeps clear of routes to networks that contain it, and to parts of it", () => {
  const wide = route("10.128.0.0", "255.128.0.0"); // 10.128 to 10.255
  const narrow = Array.from({ length: 63 * 256 }, (_, i) =>
    route(`10.${64 + (i >> 8)}.${i & 255}.7`, "255.255.255.255"),
  );
  for (let i = 0; i < 20; i++)
    expect(freeSubnet(head + wide + narrow.join(""))).toMatch(/^(10\.127|198\.1[89])\./);
});

it("is of the addresses for tests where 10.0.0.0/8 is taken, and none where all is", () => {
  const ten = route("10.0.0.0", "255.0.0.0");
  expect(freeSubnet(head + ten)).toMatch(/^198\.1[89]\.\d+$/);
  expect(() => freeSubnet(head + ten + route("198.18.0.0", "255.254.0.0"))).toThrow(/no private network/);
});
