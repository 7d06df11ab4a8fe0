/**
 * That each planted bug of a cluster is there, by hand: what the sound pair would not do in the same situation (see
 * ../../postgres/replica.test.ts), this one does. That runs find it is the gate's part.
 */
import { afterEach, describe, expect, test } from "vitest";
import { findingKinds } from "../../../harness/checkers/contract.ts";
import { ask, type Pair, startPair } from "../../postgres/fixtures/pair.ts";
import { bundledPostgresMissing } from "../../postgres/package.ts";
import { administer } from "../../postgres/session.ts";
import { brokenClusters } from "./index.ts";

const missing = bundledPostgresMissing();
if (missing) console.warn(`SKIPPED: planted bugs of a pair of Postgres: ${missing}`);
const required = (process.env.ACKED_REQUIRE ?? "").split(",").includes("postgres");
const testMs = 60_000;

let pair: Pair | undefined;
afterEach(async () => {
  await pair?.remove();
  pair = undefined;
});

function start(name: string): Promise<Pair> {
  return startPair(brokenClusters.find((store) => store.name === `broken/${name}`)!.clustered!);
}

test("every one says what is wrong, and which findings name it", () => {
  expect(brokenClusters.length).toBeGreaterThan(0);
  for (const { name, plantedBug, clustered } of brokenClusters) {
    expect(name).toMatch(/^broken\/[a-z-]+$/);
    expect(plantedBug).toBeUndefined(); // or it would be run as a single store
    expect(clustered!.plantedBug!.finding.length).toBeGreaterThan(0);
    expect(clustered!.plantedBug!.finding.filter((kind) => !findingKinds.includes(kind as never))).toEqual(
      [],
    );
  }
});

describe.skipIf(missing !== undefined && !required)("planted bugs of a pair", () => {
  test(
    "acknowledges-before-replication: what it acknowledged is gone when its synchronous standby takes over",
    async () => {
      pair = await start("acknowledges-before-replication");
      const client = await pair.client();
      await pair.kill("n2");
      expect(await ask(client, "kv", "write", "k", "v")).toEqual({ type: "ok" });
      await pair.kill("n1");
      await pair.start("n2");
      await pair.promote("n2");
      expect(await ask(await pair.client(), "kv", "read", "k")).toEqual({ type: "ok", value: null });
    },
    testMs,
  );

  test(
    "reads-from-replica: a read misses what was acknowledged before it was sent",
    async () => {
      pair = await start("reads-from-replica");
      const client = await pair.client();
      await administer(pair.endpoint("n2"), 5000, ({ ask }) => ask("SELECT pg_wal_replay_pause()"));
      expect(await ask(client, "register", "write", "k", "v")).toEqual({ type: "ok" });
      expect(await ask(client, "register", "read", "k")).toEqual({ type: "ok", value: null });
    },
    testMs,
  );

  test(
    "retries-unknown: an append that was sent once is there twice",
    async () => {
      pair = await start("retries-unknown");
      const client = await pair.client();
      pair.pause("n2");
      const appended = ask(client, "append", "append", "k", "v", 2400);
      await new Promise((resolve) => setTimeout(resolve, 1400)); // the first attempt has a third of the time
      pair.resume("n2");
      expect(await appended).toEqual({ type: "ok", value: 2 });
      expect(await ask(client, "append", "read", "k")).toEqual({ type: "ok", value: ["v", "v"] });
    },
    testMs,
  );
});
