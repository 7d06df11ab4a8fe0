/** A store that is slow, or seems to be because acked stood still: what was not seen twice is no finding. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Store } from "../../../stores/contract.ts";
import { findStore } from "../../../stores/index.ts";
import { findWorkloads } from "../../../workloads/index.ts";
import { baseImage } from "../disk/base-image.ts";
import { SharedState } from "../explore-shared.ts";
import { RecoveredValues } from "../judge/judge-state-values.ts";
import { ProcessRecovery } from "./recover-process.ts";

let scratch = "";
let ramlog: Store;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "acked-recover-"));
  ramlog = await findStore("ramlog");
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const startDeadlineMs = 3000;
const emptyImage = () => baseImage([{ path: ".", inode: "1:1", directory: true }]);

/** ramlog, whose first starts never become ready. */
function lateStarter(times: number): Store {
  let left = times;
  return {
    ...ramlog,
    launch: async (node) =>
      left-- > 0
        ? {
            program: process.execPath,
            args: ["-e", "console.error('thinking it over'); setInterval(() => {}, 1e6)"],
            ready: { by: "line" },
          }
        : ramlog.launch(node),
  };
}

async function recovered(store: Store, meanwhile = () => {}) {
  const requests = findWorkloads(["register"])[0]!.readBack(0).slice(0, 1);
  const values = new RecoveredValues(requests);
  const runsDir = mkdtempSync(join(scratch, "runs-"));
  const durability = { mode: "always" } as const;
  const recovery = new ProcessRecovery({ store, durability, values, runsDir, startDeadlineMs });
  try {
    const twice = recovery.recoverTwice(emptyImage());
    meanwhile();
    return await twice;
  } finally {
    await recovery.close();
  }
}

describe("a start that is not ready by its deadline", () => {
  test("and is the next time: a doubt that says so, and the second recovery is judged", async () => {
    const { first, second, doubt } = await recovered(lateStarter(1));
    expect(first.recovered).toBeDefined();
    expect(second?.recovered).toBeDefined();
    expect(doubt).toMatch(/was not ready within 3000 ms.*was not so when it was recovered again/);
  });

  test("and is not the next time either: it has refused, with the end of its log and no path that is gone", async () => {
    const { first, doubt } = await recovered(lateStarter(2));
    expect(first.refused).toMatch(/was not ready within 3000 ms.*the end of its log: thinking it over$/);
    expect(first.refused).not.toContain("/");
    expect(doubt).toBeUndefined();
  });

  test("because acked stood still, like a process that was stopped: recovered again, with no finding", async () => {
    const marker = join(scratch, "asked");
    const slow: Store = {
      ...ramlog,
      launch: async (node) => {
        // The first time acked stands still from just after the start until its deadline is long over.
        if (!existsSync(marker)) {
          writeFileSync(marker, "");
          setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4000), 20);
          return lateStarter(1).launch(node);
        }
        return ramlog.launch(node);
      },
    };
    const { first, doubt } = await recovered(slow);
    expect(first.recovered).toBeDefined();
    expect(doubt).toMatch(/not ready within 3000 ms/);
  });

  test("a store that is there at once leaves no doubt", async () => {
    expect((await recovered(lateStarter(0))).doubt).toBeUndefined();
  });
});

describe("a recovery in process", () => {
  test("is not taken for hung because acked stood still between two looks", async () => {
    const shared = new SharedState(1);
    shared.begins(0, 7);
    expect(shared.hungFor(0)).toEqual({ ms: 0, event: 7 });
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 900);
    expect(shared.hungFor(0)!.ms).toBeLessThanOrEqual(500);
  });

  test("that goes on while acked looks is timed", async () => {
    const shared = new SharedState(1);
    shared.begins(0, 7);
    shared.hungFor(0);
    for (let look = 0; look < 5; look++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      shared.hungFor(0);
    }
    expect(shared.hungFor(0)!.ms).toBeGreaterThan(80);
    shared.ends(0);
    expect(shared.hungFor(0)).toBeUndefined();
  });
});
