/**
 * Sequential consistency against trying every order, and against linearizability, which implies it. `ACKED_FUZZ` sets how
 * many histories, `ACKED_FUZZ_SEED` where they begin.
 */
import { describe, expect, it } from "vitest";
import type { Operation } from "../../history/operation.ts";
import { type RegisterState, registerModel } from "../../models/register.ts";
import { strictContext } from "../fixtures/promise.ts";
import { randomFrom, randomHistory } from "../fixtures/random-history.ts";
import { checkRegisters } from "../registers.ts";
import { type StoreKind, simulated } from "./fixtures/simulated-stores.ts";
import { checkSequential } from "./sequential.ts";
import { leftBy, seenBy, sessionNumbers } from "./versions.ts";

const rounds = Math.min(200_000, Number(process.env.ACKED_FUZZ ?? 1500));
const firstSeed = Number(process.env.ACKED_FUZZ_SEED ?? 1);
const context = strictContext();
const stores: readonly StoreKind[] = ["sequential", "causal", "eventual", "without monotonic-writes"];

/** Right by definition, and affordable for a handful of operations. */
function tryEveryOrder(operations: readonly Operation[]): boolean {
  const sessions = new Map<number, Operation[]>();
  const sessionOf = sessionNumbers(operations);
  for (const operation of operations) {
    if (operation.outcome === "fail") continue;
    const session = sessionOf(operation);
    sessions.set(session, [...(sessions.get(session) ?? []), operation]);
  }
  const all = [...sessions.values()];
  const known = new Set<string>();
  const extend = (at: readonly number[], states: Readonly<Record<string, RegisterState>>): boolean => {
    if (all.every((own, s) => own.slice(at[s]!).every(({ outcome }) => outcome !== "ok"))) return true;
    const configuration = JSON.stringify([at, states]);
    if (known.has(configuration)) return false;
    known.add(configuration);
    return all.some((own, s) => {
      const operation = own[at[s]!];
      if (!operation) return false;
      const after = registerModel.step(states[operation.key] ?? null, operation);
      if (after === undefined) return false;
      return extend(at.with(s, at[s]! + 1), { ...states, [operation.key]: after });
    });
  };
  return extend(
    all.map(() => 0),
    {},
  );
}

function smallHistory(seed: number): readonly Operation[] {
  const random = randomFrom(seed * 101);
  const one = <Item>(items: readonly Item[]) => items[Math.floor(random() * items.length)]!;
  const [operations, clients] = [one([6, 9, 12]), one([2, 3, 4])];
  if (random() < 0.5) {
    const [kind, keys] = [one(stores), one([1, 2])];
    return simulated({
      kind,
      seed,
      operations,
      clients,
      keys,
      timeouts: one([0, 0.2]),
      mutated: random() < 0.4,
    }).operations;
  }
  return randomHistory({
    seed,
    model: "register",
    operations,
    clients,
    deletes: random() < 0.5,
    compareAndSets: random() < 0.6,
    mutations: one([0, 1, 2]),
    loses: one([0, 0.5]),
    timeouts: one([0, 0.2]),
    crashes: one([0, 1]),
  });
}

/** What a finding names, and the writes of what was read there, in the order of the history. */
function withWriters(named: readonly Operation[], all: readonly Operation[]): Operation[] {
  const seen = new Set(named.map((operation) => `${operation.key} ${seenBy(operation)}`));
  return all.filter(
    (operation) => named.includes(operation) || seen.has(`${operation.key} ${leftBy(operation)}`),
  );
}

describe("sequential consistency", () => {
  it(
    "is judged as by trying every order, is refuted by the few operations named, and follows from linearizability",
    () => {
      const tally = { true: 0, false: 0, phantom: 0, linearizable: 0, byCycle: 0 };
      for (let seed = firstSeed; seed < firstSeed + rounds; seed++) {
        const operations = smallHistory(seed);
        const result = checkSequential({ operations, readiness: [] }, context);
        if (!operations.some(({ outcome }) => outcome === "ok")) continue;
        expect(result.verdict, `seed ${seed}: ${result.reasons}`).not.toBe("unknown");
        if (result.findings.some(({ kind }) => kind === "phantom-value")) {
          tally.phantom++;
          continue;
        }
        tally[`${result.verdict as boolean}`]++;
        for (const { sentence, operations: named } of result.findings) {
          if (sentence.startsWith("every order")) continue;
          tally.byCycle++;
          expect(tryEveryOrder(withWriters(named, operations)), `seed ${seed}: ${sentence}`).toBe(false);
        }
        expect(tryEveryOrder(operations), `seed ${seed}`).toBe(result.verdict);
        if (checkRegisters({ operations, readiness: [] }, context).verdict === true) {
          tally.linearizable++;
          expect(result.verdict, `seed ${seed}`).toBe(true);
        }
      }
      console.log(`sequential consistency from seed ${firstSeed}: ${JSON.stringify(tally)}`);
      expect(Math.min(tally.true, tally.false)).toBeGreaterThan(rounds * 0.1);
    },
    60_000 + 20 * rounds,
  );
});
