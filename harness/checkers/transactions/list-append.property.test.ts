/**
 * Histories of simulated stores, each of a known level: the level a store keeps is never ruled out, and the next
 * one is, when the store had occasion to show it. `ACKED_FUZZ=20000` sets how many histories; `ACKED_FUZZ_SEED`
 * where they begin.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { planted } from "../fixtures/planted-anomalies.ts";
import { strictContext } from "../fixtures/promise.ts";
import {
  type SimulatedStore,
  type SimulationOptions,
  simulatedHistory,
} from "../fixtures/simulated-transactions.ts";
import { namesOf, plantedHistory } from "../fixtures/told-transactions.ts";
import type { LevelName } from "./levels.ts";
import { checkListAppend } from "./list-append.ts";

const rounds = Number(process.env.ACKED_FUZZ ?? 60);
const firstSeed = Number(process.env.ACKED_FUZZ_SEED ?? 1);
const timeoutMs = 60_000 + rounds * 20;
const patientContext = strictContext(60_000);

/** The strongest level that each store keeps. */
const keptBy: Readonly<Record<SimulatedStore, readonly LevelName[]>> = {
  strict: ["strict-serializable"],
  snapshot: ["strong-snapshot-isolation"],
  "read-committed": ["strong-read-committed"],
  "read-uncommitted": ["strong-read-uncommitted"],
};

function optionsFor(seed: number, store: SimulatedStore): SimulationOptions {
  const one = (values: readonly number[], salt: number) => values[(seed * 7 + salt * 13) % values.length]!;
  return {
    seed,
    store,
    type: "append",
    transactions: one([5, 20, 60, 200], 1),
    clients: one([2, 3, 5, 10], 2),
    keys: one([1, 2, 3, 6], 3),
    writesPerKey: one([4, 10, 1000], 4),
    length: one([2, 4, 6], 5),
    aborts: one([0, 0.1, 0.3], 6),
    unanswered: one([0, 0.05, 0.2], 7),
  };
}

/** What is still possible after each history, with how many they were. */
function strongestAfter(store: SimulatedStore): Map<string, number> {
  const tally = new Map<string, number>();
  for (let seed = firstSeed; seed < firstSeed + rounds; seed++) {
    const { levels, verdict, reasons } = checkListAppend(
      simulatedHistory(optionsFor(seed, store)),
      patientContext,
    );
    const isOpen = verdict === "unknown" && !reasons.every((reason) => reason.startsWith("no "));
    if (isOpen) throw new Error(`seed ${seed}: ${reasons.join("; ")}`);
    for (const level of keptBy[store]) {
      if (levels!.ruledOut.includes(level)) throw new Error(`${store}, seed ${seed}: ${level} was ruled out`);
    }
    const strongest = levels!.strongest.join(" ");
    tally.set(strongest, (tally.get(strongest) ?? 0) + 1);
  }
  console.log(`${store} from seed ${firstSeed}: ${JSON.stringify([...tally])}`);
  return tally;
}

describe("histories of simulated stores", () => {
  it(
    "of a strict one rule out nothing",
    () => {
      expect([...strongestAfter("strict").keys()]).toEqual(["strict-serializable"]);
    },
    timeoutMs,
  );

  it(
    "of one with snapshots rule out serializable by write skew, and never snapshot isolation",
    () => {
      expect(strongestAfter("snapshot").get("strong-snapshot-isolation")).toBeGreaterThan(rounds / 10);
    },
    timeoutMs,
  );

  it(
    "of a read-committed one rule out consistent view or cursor stability, and never read committed",
    () => {
      const tally = strongestAfter("read-committed");
      expect(tally.get("strong-read-committed")).toBeGreaterThan(rounds / 5);
      expect(tally.get("cursor-stability strong-read-committed")).toBeGreaterThan(rounds / 10);
    },
    timeoutMs,
  );

  it(
    "of a read-uncommitted one rule out read committed, and never read uncommitted",
    () => {
      expect(strongestAfter("read-uncommitted").get("strong-read-uncommitted")).toBeGreaterThan(rounds / 3);
    },
    timeoutMs,
  );
});

describe("an anomaly planted in a correct history", () => {
  it(
    "is found and named with its shortest cycle, and nothing else is claimed",
    () => {
      const where = fc.record({ anomaly: fc.constantFrom(...planted), seed: fc.integer({ min: 1 }) });
      console.log(`planted from seed ${firstSeed}`);
      fc.assert(
        fc.property(where, ({ anomaly: { name, told, found, strongest }, seed }) => {
          const result = checkListAppend(plantedHistory(told, "append", seed), patientContext);
          expect(namesOf(result), name).toEqual([...found].sort());
          expect(result.levels?.strongest, name).toEqual(strongest);
          expect(result.verdict).toBe(false);
        }),
        { seed: firstSeed, numRuns: rounds * 2 },
      );
    },
    timeoutMs,
  );
});
