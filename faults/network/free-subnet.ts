/**
 * Private addresses for a network of our own that nothing on this machine uses: chosen at random among those that no route
 * leads to, so that several at once do not meet. The route by which everything else goes (the default) does not count.
 */
import { randomInt } from "node:crypto";
import { ScenarioError } from "../../stores/contract.ts";

/**
 * Three parts of a /24, such as `10.77.3`.
 *
 * @param routes the text of /proc/net/route.
 * @throws ScenarioError when none of 200 drawn ones is free.
 */
export function freeSubnet(routes: string): string {
  const taken = parseRoutes(routes);
  for (let attempt = 0; attempt < 200; attempt++) {
    const [a, b, c] = attempt < 100 ? drawnPrivate() : drawnForTests();
    const subnet = ((a << 24) | (b << 16) | (c << 8)) >>> 0;
    if (!taken.some((route) => overlaps(route, subnet))) return `${a}.${b}.${c}`;
  }
  throw new ScenarioError(
    "no private network of 256 addresses is free on this machine, says /proc/net/route",
  );
}

function drawnPrivate(): [number, number, number] {
  return [10, randomInt(64, 256), randomInt(256)];
}

/** 198.18.0.0/15 is set aside for tests of networks (RFC 2544); it serves where all of 10.0.0.0/8 is taken. */
function drawnForTests(): [number, number, number] {
  return [198, 18 + randomInt(2), randomInt(256)];
}

interface Route {
  readonly to: number;
  readonly mask: number;
}

/** The larger of the two networks contains the smaller, or they have nothing in common. */
function overlaps({ to, mask }: Route, subnet: number): boolean {
  const common = mask & 0xffffff00;
  return (subnet & common) === (to & common);
}

/** All but the default. */
function parseRoutes(text: string): Route[] {
  return text
    .split("\n")
    .slice(1)
    .map((line) => line.split("\t"))
    .filter((fields) => fields.length > 7 && Number.parseInt(fields[7]!, 16) !== 0)
    .map((fields) => ({ to: addressOf(fields[1]!), mask: addressOf(fields[7]!) }));
}

/** An address of /proc/net/route: 4 bytes in the machine's order, little-endian wherever Node runs. */
function addressOf(hex: string): number {
  return Buffer.from(hex, "hex").readUInt32LE(0);
}
