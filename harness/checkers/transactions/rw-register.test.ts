/** Each anomaly that registers can show, by hand and planted in a correct history; and simulated stores of known levels. */
import { describe, expect, it } from "vitest";
import type { CheckResult } from "../contract.ts";
import { strictContext } from "../fixtures/promise.ts";
import { type SimulatedStore, simulatedHistory } from "../fixtures/simulated-transactions.ts";
import { namesOf, plantedHistory, toldHistory } from "../fixtures/told-transactions.ts";
import type { LevelName } from "./levels.ts";
import { checkRwRegister } from "./rw-register.ts";

const firstSeed = Number(process.env.ACKED_FUZZ_SEED ?? 1);
const rounds = Number(process.env.ACKED_FUZZ ?? 60);
const timeoutMs = 60_000 + rounds * 20;

/** Name, transactions, findings, levels still possible. */
const planted: readonly (readonly [string, string, readonly string[], readonly LevelName[]])[] = [
  [
    "G0, of which registers also show the flow",
    `0 ok r y 2 | w x 1 | w y 1
     1 ok r x 1 | w x 2 | w y 2`,
    ["g0: ww ww", "g1c: wr ww"],
    [],
  ],
  ["G1a", "0 fail w x 1\n1 ok r x 1", ["g1a"], ["strong-read-uncommitted"]],
  [
    "G1b, which is a read skew, too",
    "0 ok w x 1 | w x 2\n1 ok r x 1",
    ["g1b", "g-single: rw wr"],
    ["strong-read-uncommitted"],
  ],
  ["G1c", "0 ok w x 1 | r y 1\n1 ok w y 1 | r x 1", ["g1c: wr wr"], ["strong-read-uncommitted"]],
  [
    "G-single",
    "0 ok w x 1 | w y 1\n1 ok r x 1 | r y nil",
    ["g-single: rw wr"],
    ["cursor-stability", "strong-read-committed"],
  ],
  [
    "G-nonadjacent (long fork)",
    "0 ok w x 1\n1 ok r x 1 | r y nil\n2 ok w y 1\n3 ok r y 1 | r x nil",
    ["g-nonadjacent: rw rw wr wr"],
    ["consistent-view", "strong-read-committed"],
  ],
  [
    "G2-item (write skew)",
    "0 ok r x nil | w y 1\n1 ok r y nil | w x 1",
    ["g2-item: rw rw"],
    ["strong-snapshot-isolation"],
  ],
  [
    "a lost update",
    "0 ok r x nil | w x 1\n1 ok r x nil | w x 2",
    ["lost-update", "g2-item: rw rw"],
    ["strong-read-committed"],
  ],
  [
    "internal: two reads that differ",
    "0 ok w x 1\n1 ok r x nil | r x 1",
    ["internal", "g-single: rw wr"],
    ["cursor-stability", "strong-read-committed"],
  ],
  ["internal: an own write that is not seen", "0 ok w x 1 | r x nil", ["internal"], []],
  ["internal: an own write that is seen too early", "0 ok r x 1 | w x 1", ["internal"], []],
  ["a value that nobody wrote", "0 ok r x 9", ["phantom-value"], []],
  ["cyclic versions", "0 ok r x 2 | w x 1\n1 ok r x 1 | w x 2", ["cyclic-versions", "g1c: wr wr"], []],
  [
    "a client that misses its own write",
    "0 ok w x 1\n---\n0 ok r x nil",
    ["g-single-process: process rw"],
    ["serializable", "strong-read-committed"],
  ],
  [
    "a stale read",
    "0 ok w x 1\n---\n1 ok r x nil",
    ["g-single-realtime: realtime rw"],
    ["strong-session-serializable", "strong-read-committed"],
  ],
  [
    "a read from the future",
    "0 ok r x 1\n---\n1 ok w x 1",
    ["g1c-realtime: realtime wr"],
    ["strong-session-serializable", "strong-read-uncommitted"],
  ],
  [
    "half a transaction that was never answered",
    "0 info w x 1 | w y 1\n1 ok r x 1 | r y nil",
    ["g-single: rw wr"],
    ["cursor-stability", "strong-read-committed"],
  ],
];

function check(told: string, options: Parameters<typeof checkRwRegister>[2] = {}): CheckResult {
  return checkRwRegister(toldHistory(told), strictContext(), options);
}

describe("rw-register", () => {
  for (const [name, told, found, strongest] of planted) {
    it(`names ${name}, alone and in a correct history`, () => {
      const alone = check(told);
      expect(namesOf(alone)).toEqual([...found].sort());
      expect(alone.levels?.strongest).toEqual(strongest);
      for (let seed = 1; seed <= 5; seed++) {
        const result = checkRwRegister(plantedHistory(told, "register", seed), strictContext());
        expect(namesOf(result), `seed ${seed}`).toEqual([...found].sort());
        expect(result.levels?.strongest).toEqual(strongest);
      }
    });
  }

  it("tells the steps in words", () => {
    const { findings } = check("0 ok w x 1 | w y 1\n1 ok r x 1 | r y nil");
    expect(findings[0]!.sentence).toBe(
      "G-single, read skew: T2 read x = 1, which T1 had written; T2 read y = nil, not 1, which T1 wrote later: y was nil at first. It rules out consistent-view and repeatable-read",
    );
  });

  it("takes a client's transactions to see ever later versions only when asked to", () => {
    const told = "0 ok w x 1\n---\n0 ok w x 2\n---\n1 ok r x 2\n---\n1 ok r x 1";
    expect(check(told).verdict).toBe(true);
    expect(namesOf(check(told, { sequentialKeys: true }))).toEqual(["cyclic-versions"]);
    const forwards = "0 ok w x 1\n---\n0 ok w x 2 | w y 1\n---\n1 ok r y 1 | r x 1";
    expect(check(forwards).verdict).toBe(true);
    expect(namesOf(check(forwards, { sequentialKeys: true }))).toEqual(["g-single: rw wr"]);
  });

  it("takes a value that was written again after an abort for what the second attempt wrote", () => {
    expect(check("0 fail w x 1\n---\n0 ok w x 1\n---\n1 ok r x 1").verdict).toBe(true);
    expect(check("0 ok w x 1\n---\n0 fail w x 1\n---\n1 ok r x 1").verdict).toBe(true);
    expect(namesOf(check("0 fail w x 1\n---\n0 fail w x 1\n---\n1 ok r x 1"))).toEqual(["g1a"]);
  });

  it("cannot say when a value was written twice", () => {
    const { verdict, reasons } = check("0 ok w x 1\n1 ok w x 1\n2 ok r x 1");
    expect(verdict).toBe("unknown");
    expect(reasons[0]).toContain("must be unique");
  });

  const kept: readonly (readonly [SimulatedStore, LevelName])[] = [
    ["strict", "strict-serializable"],
    ["snapshot", "strong-snapshot-isolation"],
    ["read-committed", "strong-read-committed"],
    ["read-uncommitted", "strong-read-uncommitted"],
  ];
  for (const [store, level] of kept) {
    it(
      `never rules out what a ${store} store keeps, and finds what it does not`,
      () => {
        let weaker = 0;
        for (let seed = firstSeed; seed < firstSeed + rounds; seed++) {
          const history = simulatedHistory({
            seed,
            store,
            type: "register",
            transactions: 20 + (seed % 5) * 40,
            clients: 2 + (seed % 7),
            keys: 1 + (seed % 4),
            writesPerKey: seed % 2 ? 8 : 1000,
            aborts: (seed % 3) * 0.1,
            unanswered: (seed % 4) * 0.05,
          });
          const { levels, verdict, reasons } = checkRwRegister(history, strictContext(60_000));
          expect(levels!.ruledOut, `seed ${seed}`).not.toContain(level);
          if (verdict === "unknown") throw new Error(`seed ${seed}: ${reasons.join()}`);
          weaker += verdict ? 0 : 1;
        }
        console.log(`${store} from seed ${firstSeed}: ${weaker} of ${rounds} not strict serializable`);
        if (store === "strict") expect(weaker).toBe(0);
        else expect(weaker).toBeGreaterThan(rounds / 10);
      },
      timeoutMs,
    );
  }
});
