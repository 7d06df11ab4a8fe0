/**
 * The pair by hand, with nothing between its members: what is replicated, what a failover keeps, what each member says
 * of itself, and that a commit which its standby has not confirmed is neither acknowledged nor seen.
 */
import { afterEach, describe, expect, test } from "vitest";
import { ask, type Pair, startPair } from "./fixtures/pair.ts";
import { bundledPostgresMissing } from "./package.ts";
import { postgresReplica } from "./replica.ts";

const missing = bundledPostgresMissing();
if (missing) console.warn(`SKIPPED: a pair of Postgres: ${missing}`);
const required = (process.env.ACKED_REQUIRE ?? "").split(",").includes("postgres");

let pair: Pair;
afterEach(() => pair?.remove());

describe.skipIf(missing !== undefined && !required)("a primary and its synchronous standby", () => {
  test("what is acknowledged survives failing over and back, and each member says what it is", async () => {
    pair = await startPair(postgresReplica.clustered);
    expect(await pair.status("n1")).toEqual({ role: "leader", term: 1, leader: "n1" });
    expect(await pair.status("n2")).toEqual({ role: "follower", term: 1, leader: "n1" });
    const first = await pair.client();
    expect(await ask(first, "kv", "write", "a", "by n1")).toEqual({ type: "ok" });

    await pair.kill("n1");
    await pair.promote("n2");
    expect(await pair.status("n2")).toEqual({ role: "leader", term: 2, leader: "n2" });
    const second = await pair.client();
    expect(await ask(second, "kv", "read", "a")).toEqual({ type: "ok", value: "by n1" });
    expect(await ask(second, "kv", "write", "b", "by n2, alone")).toEqual({ type: "ok" });

    await pair.rebuild("n1");
    await pair.start("n1");
    await pair.form();
    expect(await pair.status("n1")).toEqual({ role: "follower", term: 2, leader: "n2" });
    expect(await ask(second, "kv", "write", "c", "by n2, and n1")).toEqual({ type: "ok" });

    await pair.kill("n2");
    await pair.promote("n1");
    expect(await pair.status("n1")).toEqual({ role: "leader", term: 3, leader: "n1" });
    const third = await pair.client();
    for (const [key, value] of Object.entries({ a: "by n1", b: "by n2, alone", c: "by n2, and n1" })) {
      expect(await ask(third, "kv", "read", key)).toEqual({ type: "ok", value });
    }
  });
});
