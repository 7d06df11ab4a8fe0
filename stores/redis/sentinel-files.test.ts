import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { MemberSettings } from "../cluster-contract.ts";
import { sentinelFile, serverFile } from "./sentinel-files.ts";

const home = mkdtempSync(join(tmpdir(), "acked sentinel-files-"));
afterAll(() => rmSync(home, { recursive: true }));

/** A member that listens at `port` and the next, and is reached at 10.0.0.<number>. */
function settings(name: string, as: MemberSettings["as"], port: number): MemberSettings {
  const members = ["n1", "n2", "n3"].map((one) => {
    const host = `10.0.0.${one.slice(1)}`;
    return { name: one, reach: { redis: { host, port: 6379 }, sentinel: { host, port: 26379 } } };
  });
  const { reach } = members.find((one) => one.name === name)!;
  const listen = { host: "127.0.0.1", port };
  return {
    ...{ name, as, port, members, dir: home, leader: "n1", durability: { mode: "always" } },
    ports: {
      redis: { listen, reach: reach.redis },
      sentinel: { listen: { ...listen, port: port + 1 }, reach: reach.sentinel },
    },
  };
}

const linesOf = (path: string) => readFileSync(path, "utf8").trim().split("\n");

test("a new member announces where it is reached, and follows the first unless it is the first", () => {
  const lines = linesOf(serverFile(settings("n2", "forming", 7001)));
  expect(lines).toEqual(
    expect.arrayContaining([
      "bind 127.0.0.1",
      "port 7001",
      `dir "${home}"`,
      "appendfsync always",
      'save ""',
      "replica-announce-ip 10.0.0.2",
      "replica-announce-port 6379",
      "replicaof 10.0.0.1 6379",
    ]),
  );
  expect(linesOf(serverFile(settings("n1", "forming", 7001))).join("\n")).not.toContain("replicaof");
  expect(linesOf(sentinelFile(settings("n2", "forming", 7001)))).toEqual(
    expect.arrayContaining([
      "port 7002",
      "sentinel announce-ip 10.0.0.2",
      "sentinel announce-port 26379",
      "sentinel monitor acked 10.0.0.1 6379 2",
    ]),
  );
});

test("of a member that comes back only the address where it listens is changed", () => {
  for (const file of [serverFile, sentinelFile]) {
    const path = file(settings("n2", "forming", 7001));
    writeFileSync(path, `port 7001\nbind 127.0.0.1\nreplica-announce-port 6379\nwritten by itself\n`);
    expect(file(settings("n2", "again", 7101))).toBe(path);
    const port = file === serverFile ? 7101 : 7102;
    expect(linesOf(path)).toEqual([
      "bind 127.0.0.1",
      `port ${port}`,
      "replica-announce-port 6379",
      "written by itself",
    ]);
  }
});

test("a file that is gone is written anew", () => {
  for (const file of [serverFile, sentinelFile]) {
    const path = file(settings("n3", "forming", 7001));
    const first = linesOf(path);
    rmSync(path);
    file(settings("n3", "again", 7001));
    expect(linesOf(path)).toEqual(first);
  }
});
