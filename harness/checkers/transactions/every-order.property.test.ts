/**
 * The verdicts against trying every order of the transactions, on small histories of simulated stores of every
 * level, some of them changed afterwards. For lists both must agree, with real time (strict serializable) and
 * without (serializable); for registers, what is condemned must have no order, and what is not must have one unless
 * the order of some versions is said to be unknown. `ACKED_FUZZ=200000`, `ACKED_FUZZ_SEED`.
 */
import { describe, expect, it } from "vitest";
import { buildHistory } from "../../history/history.ts";
import type { Operation } from "../../history/operation.ts";
import { strictContext } from "../fixtures/promise.ts";
import { randomFrom } from "../fixtures/random-history.ts";
import {
  type Micro,
  numbered,
  type SimulatedStore,
  simulatedEvents,
  type TransactionEvent,
} from "../fixtures/simulated-transactions.ts";
import { checkListAppend } from "./list-append.ts";
import { checkRwRegister } from "./rw-register.ts";

const rounds = Number(process.env.ACKED_FUZZ ?? 1200);
const firstSeed = Number(process.env.ACKED_FUZZ_SEED ?? 1);
const timeoutMs = 60_000 + rounds * 10;
const stores: readonly SimulatedStore[] = ["strict", "snapshot", "read-committed", "read-uncommitted"];

function smallHistory(seed: number, type: "append" | "register"): readonly Operation[] {
  const random = randomFrom(seed * 7919);
  const below = (n: number) => Math.floor(random() * n);
  const events = [
    ...simulatedEvents({
      seed,
      store: stores[below(4)]!,
      type,
      transactions: 2 + below(5),
      clients: 1 + below(4),
      keys: 1 + below(3),
      length: 1 + below(4),
      aborts: [0, 0, 0.3][below(3)]!,
      unanswered: [0, 0, 0.3][below(3)]!,
    }),
  ];
  if (random() < 0.4) changeOneRead(events, below);
  if (random() < 0.3) swapTwo(events, below);
  if (random() < 0.3) abortBefore(events, below);
  return buildHistory(numbered(events)).operations;
}

/** One read shows an element less, or one more. */
function changeOneRead(events: TransactionEvent[], below: (n: number) => number): void {
  const places = events.flatMap(({ type, value }, i) =>
    type === "ok" ? (value as Micro[]).flatMap(([f], micro) => (f === "r" ? [{ i, micro }] : [])) : [],
  );
  if (places.length === 0) return;
  const { i, micro } = places[below(places.length)]!;
  const output = [...(events[i]!.value as Micro[])];
  const [f, key, seen] = output[micro]!;
  const list = Array.isArray(seen) ? (seen as number[]) : undefined;
  const changed = list
    ? below(2) && list.length > 0
      ? list.slice(0, -1)
      : [...list, 1 + below(3)]
    : below(4) || null;
  output[micro] = [f, key, changed];
  events[i] = { ...events[i]!, value: output };
}

/** An event and the next change places, where they are of different clients. */
function swapTwo(events: TransactionEvent[], below: (n: number) => number): void {
  const at = below(events.length - 1);
  const [one, other] = [events[at], events[at + 1]];
  if (one && other && one.process !== other.process) [events[at], events[at + 1]] = [other, one];
}

/** What a transaction writes had been tried once before, and was certainly aborted. */
function abortBefore(events: TransactionEvent[], below: (n: number) => number): void {
  const at = below(events.length);
  const event = events[at]!;
  if (event.type !== "invoke") return;
  const tried = { ...event, process: 1000 };
  events.splice(at, 0, tried, { ...tried, type: "fail" });
}

/** Right by definition: is there an order, of all that committed and any of what may have, that explains every read? */
function hasOrder(operations: readonly Operation[], type: "append" | "register", realtime: boolean): boolean {
  const begun = operations.filter((operation) => operation.outcome !== "fail");
  const extend = (left: readonly Operation[], state: ReadonlyMap<number, readonly number[]>): boolean => {
    if (left.every((operation) => operation.outcome === "info")) return true;
    return left.some((operation) => {
      const mustWait =
        realtime &&
        left.some((other) => other !== operation && other.outcome === "ok" && other.return < operation.call);
      const after = mustWait ? undefined : applied(operation, state, type);
      return (
        after !== undefined &&
        extend(
          left.filter((other) => other !== operation),
          after,
        )
      );
    });
  };
  return extend(begun, new Map());
}

function applied(
  { input, output }: Operation,
  before: ReadonlyMap<number, readonly number[]>,
  type: "append" | "register",
): ReadonlyMap<number, readonly number[]> | undefined {
  const state = new Map(before);
  for (const [f, key, value] of (output ?? input) as Micro[]) {
    const values = state.get(key) ?? [];
    if (f !== "r") state.set(key, [...values, value as number]);
    else if (output !== undefined) {
      const seen = type === "append" ? JSON.stringify(values) : JSON.stringify(values.at(-1) ?? null);
      if (JSON.stringify(value) !== seen) return undefined;
    }
  }
  return state;
}

function compare(type: "append" | "register"): Record<string, number> {
  const tally: Record<string, number> = { strict: 0, serializable: 0, neither: 0, missed: 0, unknown: 0 };
  const check = type === "append" ? checkListAppend : checkRwRegister;
  const context = strictContext(60_000);
  for (let seed = firstSeed; seed < firstSeed + rounds; seed++) {
    const operations = smallHistory(seed, type);
    const { levels, reasons, notChecked } = check({ operations, readiness: [] }, context);
    if (reasons.length > 0) {
      expect(reasons.join(), `${type}, seed ${seed}`).not.toContain("unique");
      tally.unknown!++;
      continue;
    }
    const possible = {
      strict: hasOrder(operations, type, true),
      serializable: hasOrder(operations, type, false),
    };
    tally[possible.strict ? "strict" : possible.serializable ? "serializable" : "neither"]!++;
    const claims = [
      ["strict-serializable", possible.strict],
      ["serializable", possible.serializable],
    ] as const;
    for (const [level, isPossible] of claims) {
      const isRuledOut = levels!.ruledOut.includes(level);
      if (isRuledOut && isPossible)
        throw new Error(`${type}, seed ${seed}: ${level} was ruled out, but there is an order`);
      if (isRuledOut || isPossible) continue;
      if (notChecked.length === 0 || type === "append") {
        throw new Error(`${type}, seed ${seed}: ${level} was not ruled out, but there is no order`);
      }
      tally.missed!++;
    }
  }
  console.log(`${type} from seed ${firstSeed}: ${JSON.stringify(tally)}`);
  return tally;
}

describe("small histories", () => {
  it(
    "of lists are condemned exactly when no order explains them",
    () => {
      const { strict, serializable, neither } = compare("append");
      expect(strict).toBeGreaterThan(rounds / 10);
      expect(serializable).toBeGreaterThan(rounds / 100);
      expect(neither).toBeGreaterThan(rounds / 10);
    },
    timeoutMs,
  );

  it(
    "of registers are never condemned when an order explains them, and always when it does not and all versions are in order",
    () => {
      const { strict, neither, missed } = compare("register");
      expect(strict).toBeGreaterThan(rounds / 10);
      expect(neither).toBeGreaterThan(rounds / 10);
      expect(missed).toBeLessThan(rounds / 5);
    },
    timeoutMs,
  );
});
