/**
 * A store that has no recovery in process is started with every disk call traced: power loss while it recovers, and after
 * a restart has served reads, are explored for it, too; and what is found there comes back from the kept files alone.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Store } from "../../../stores/contract.ts";
import { findStore } from "../../../stores/index.ts";
import { findCompiler } from "../../machine.ts";
import { runDirectoryAt } from "../../run-directory.ts";
import { resolveScenario } from "../../scenario.ts";
import { sceneNames } from "../coverage.ts";
import { explore } from "../explore.ts";
import { StateReplayer } from "../smaller/replay-state.ts";
import { tracedRun } from "../traced/traced-run.ts";
import { readTracedRun } from "../traced/traced-run-files.ts";

const redis = await findStore("redis");
const redisMissing = (await redis.unavailable?.()) !== undefined;
let scratch = "";
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "acked-traced-start-"));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** A short traced run of the store by name, and its directory. */
async function traced(name: string): Promise<string> {
  const directory = runDirectoryAt(join(scratch, name));
  mkdirSync(directory.dataDir, { recursive: true });
  const resolution = await resolveScenario({
    ...{ store: name, workloads: ["register"], faults: ["none"], seed: 1, seconds: 6, clients: 4 },
  });
  const requests = Array.from({ length: 40 }, (_, n) => ({
    client: n % 4,
    request: {
      workload: "register",
      f: "write",
      key: `e0/r/${n % 5}`,
      value: `traced.${n}.0123456789abcdef`,
    },
  }));
  const { signal } = new AbortController();
  const script = { requests, killAfter: 25 };
  await tracedRun({ resolution, directory, runsDir: scratch, loadMs: 10_000, script, signal });
  return directory.path;
}

async function explored(runDir: string, store: Store, stopAtFirst = false) {
  const about = { runDir, store, profile: "ext4-ordered", seed: 1, seconds: 12, runsDir: scratch };
  return explore({ ...about, stopAtFirst });
}

const deadlineMs = 120_000;

describe.skipIf(!findCompiler())("restarts of a store as a process (needs a C compiler)", () => {
  test("are followed in every scene, and ramlog loses nothing in them", { timeout: deadlineMs }, async () => {
    const { recoverable: _, ...asProcess } = await findStore("ramlog");
    const results = await explored(await traced("ramlog"), asProcess);
    expect(results.findings).toEqual([]);
    for (const name of [sceneNames.served, sceneNames.during]) {
      const scene = results.scenes.find((one) => one.name === name);
      expect(scene?.crashPointsExplored).toBeGreaterThan(0);
      expect(scene?.statesPossible).toBeGreaterThan(0);
      expect(scene?.judged).toBeGreaterThan(0);
      expect(scene?.leftOut.map(({ why }) => why).join()).not.toContain("could not be followed");
    }
    expect(existsSync(runDirectoryAt(join(scratch, "ramlog")).startsDir)).toBe(false);
  });

  test.skipIf(redisMissing)(
    "show that Redis serves after a crash what a power loss then takes back, and that is replayed from its files",
    { timeout: deadlineMs },
    async () => {
      const runDir = await traced("redis");
      // Its documentation does not promise otherwise, so that it is held against it here only.
      const held: Store = {
        ...redis,
        promise: (durability) => ({ ...redis.promise(durability), showsOnlyDurable: true }),
      };
      const { findings } = await explored(runDir, held, true);
      const found = findings.find(({ scene }) => scene === sceneNames.served);
      expect(found?.kind).toMatch(/read-of-unsynced-write|not-linearizable/);
      const elsewhere = join(scratch, "moved");
      cpSync(runDir, elsewhere, { recursive: true });
      rmSync(runDir, { recursive: true });
      const replayer = await StateReplayer.open(readTracedRun(elsewhere), held, scratch);
      try {
        const state = await replayer.recorded(found!.state as Parameters<StateReplayer["recorded"]>[0]);
        expect(state.start).toMatch(/^\d+$/);
        const again = await replayer.replay({ ...found!, state });
        expect(again.sentence).toMatch(/^reproduced: the same crash state/);
      } finally {
        await replayer.close();
      }
    },
  );
});
