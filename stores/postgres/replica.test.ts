/**
 * The pair by hand, with nothing between its members: what is replicated, what a failover keeps, what each member says
 * of itself, and that a commit which its standby has not confirmed is neither acknowledged nor seen. A pair that is cut
 * apart is tested by runs; here a member is paused or dead instead.
 */
import { afterEach, describe, expect, test } from "vitest";
import type { Client } from "../contract.ts";
import { ask, type Pair, startPair } from "./fixtures/pair.ts";
import { bundledPostgresMissing } from "./package.ts";
import { postgresReplica, postgresReplicaAsync } from "./replica.ts";

const missing = bundledPostgresMissing();
if (missing) console.warn(`SKIPPED: a pair of Postgres: ${missing}`);
const required = (process.env.ACKED_REQUIRE ?? "").split(",").includes("postgres");
/** ms that a request gets of which no reply may come. */
const shortMs = 400;
const testMs = 60_000;

let pair: Pair | undefined;
afterEach(async () => {
  await pair?.remove();
  pair = undefined;
});

test.each([postgresReplica, postgresReplicaAsync])(
  "$name quotes the manual for what it promises",
  (store) => {
    const promise = store.clustered.promise({ mode: "always" });
    expect(promise.source).toMatch(/^".{20,}" .*https:\/\/www\.postgresql\.org\/docs/s);
  },
);

describe.skipIf(missing !== undefined && !required)("a primary and its synchronous standby", () => {
  test(
    "what is acknowledged survives failing over and back; an old primary that returns as it was acknowledges nothing",
    async () => {
      pair = await startPair(postgresReplica.clustered);
      expect(await pair.status("n1")).toEqual({ role: "leader", term: 1, leader: "n1" });
      expect(await pair.status("n2")).toEqual({ role: "follower", term: 1, leader: "n1" });
      expect(await ask(await pair.client(), "kv", "write", "a", "by n1")).toEqual({ type: "ok" });

      await pair.kill("n1");
      await pair.promote("n2");
      expect(await pair.status("n2")).toEqual({ role: "leader", term: 2, leader: "n2" });
      await pair.start("n1");
      expect(await pair.status("n1")).toEqual({ role: "leader", term: 1, leader: "n1" });
      const old = await pair.clientOf("n1");
      expect((await ask(old, "kv", "write", "a", "by n1 alone", shortMs)).type).toBe("info");
      const client = await pair.client();
      expect(await ask(client, "kv", "read", "a")).toEqual({ type: "ok", value: "by n1" });

      await pair.kill("n1");
      const writing = addUntilStopped(client);
      await pair.rebuild("n1");
      await pair.start("n1");
      await pair.form();
      expect(await pair.status("n1")).toEqual({ role: "follower", term: 2, leader: "n2" });
      await pair.kill("n2");
      const acknowledged = await writing.stop();
      expect(acknowledged.length).toBeGreaterThan(10);

      await pair.promote("n1");
      expect(await pair.status("n1")).toEqual({ role: "leader", term: 3, leader: "n1" });
      const last = await pair.client();
      expect(await ask(last, "kv", "read", "a")).toEqual({ type: "ok", value: "by n1" });
      const read = await ask(last, "set", "read", "s");
      expect(read.type === "ok" && read.value).toEqual(expect.arrayContaining(acknowledged));
    },
    testMs,
  );

  test(
    "a commit that the standby has not confirmed is not acknowledged, and not seen until the primary is restarted",
    async () => {
      pair = await startPair(postgresReplica.clustered);
      const reader = await pair.client();
      pair.pause("n2");
      const reply = await ask(await pair.client(), "kv", "write", "k", "unconfirmed", shortMs);
      expect(reply.type).toBe("info");
      expect(await ask(reader, "kv", "read", "k")).toEqual({ type: "ok", value: null });

      // What the manual says of it: the promise presupposes that such a primary is not deposed.
      await pair.kill("n1");
      await pair.start("n1");
      const again = await pair.client();
      expect(await ask(again, "kv", "read", "k")).toEqual({ type: "ok", value: "unconfirmed" });
      const still = await ask(again, "kv", "write", "l", "unconfirmed too", shortMs);
      expect(still.type).toBe("info");
      pair.resume("n2");
      expect(await ask(await pair.client(), "kv", "write", "m", "confirmed")).toEqual({ type: "ok" });
    },
    testMs,
  );
});

describe.skipIf(missing !== undefined && !required)("a primary and its asynchronous standby", () => {
  test(
    "the standby shows what it has and refuses to write; what the primary acknowledged alone is gone after a failover",
    async () => {
      pair = await startPair(postgresReplicaAsync.clustered);
      const client = await pair.client();
      expect(await ask(client, "set", "read", "s")).toEqual({ type: "ok", value: [] });
      for (const member of ["x", "y", "x"]) {
        expect(await ask(client, "set", "add", "s", member)).toEqual({ type: "ok" });
      }
      expect(membersOf(await ask(client, "set", "read", "s"))).toEqual(["x", "y"]);
      const standby = await pair.clientOf("n2");
      const replicated = () => ask(standby, "set", "read", "s").then(membersOf);
      await expect.poll(replicated, { timeout: 10_000 }).toEqual(["x", "y"]);
      const refused = await ask(standby, "set", "add", "s", "z");
      expect(refused).toEqual({ type: "fail", error: expect.stringMatching(/^25006: /) });
      pair.leader = "n2";
      await expect(pair.client()).rejects.toThrow(/follows another$/);
      pair.leader = "n1";

      await pair.kill("n2");
      expect(await ask(client, "set", "add", "s", "on n1 alone")).toEqual({ type: "ok" });
      await pair.kill("n1");
      await pair.start("n2");
      await pair.promote("n2");
      const second = await pair.client();
      expect(membersOf(await ask(second, "set", "read", "s"))).toEqual(["x", "y"]);
      expect(await ask(second, "set", "add", "s", "by n2")).toEqual({ type: "ok" });

      // A copy of a leader that is stopped will do, too.
      await pair.kill("n2");
      await pair.rebuild("n1");
      await pair.start("n2");
      await pair.start("n1");
      await pair.form();
      const rebuilt = await pair.clientOf("n1");
      expect(membersOf(await ask(rebuilt, "set", "read", "s"))).toEqual(["by n2", "x", "y"]);
    },
    testMs,
  );
});

function membersOf(reply: Awaited<ReturnType<typeof ask>>): unknown {
  return reply.type === "ok" && Array.isArray(reply.value) ? [...reply.value].sort() : reply;
}

/** Adds one member after the other to the set `s`, and tells which were acknowledged. */
function addUntilStopped(client: Client): { stop(): Promise<string[]> } {
  let stopped = false;
  const acknowledged: string[] = [];
  const adding = (async () => {
    for (let n = 0; !stopped; n++) {
      const reply = await ask(client, "set", "add", "s", `m${n}`);
      if (reply.type === "ok") acknowledged.push(`m${n}`);
      else return;
    }
  })();
  return {
    async stop() {
      stopped = true;
      await adding;
      return acknowledged;
    },
  };
}
