/**
 * How far a history that is not linearizable can be explained: the longest prefix, by completions, that a judge accepts.
 * Linearizability is prefix-closed, so that is a bisection with the judge itself. For any other judge that accepts every
 * prefix of what it accepts, too.
 */
import type { Operation } from "../../history/operation.ts";
import type { Finding } from "../contract.ts";

/** True: explained; false: not; undefined: not decided, which counts as neither. */
export type PrefixJudge = (operations: readonly Operation[]) => boolean | undefined;

/**
 * The longest prefix that was accepted, as `Finding.longest`: its last completion's event, and how many of the
 * acknowledged operations had completed by then. `upTo` is -1 where not even the first completion is explained. When the
 * time is over, or the judge does not decide, a shorter prefix that was accepted is given: it is never too long.
 *
 * @param untilMs `performance.now()` at which the bisection stops.
 */
export function longestPrefix(
  operations: readonly Operation[],
  judge: PrefixJudge,
  untilMs: number,
): NonNullable<Finding["longest"]> {
  const ends = operations
    .filter((operation) => operation.outcome === "ok")
    .map((operation) => operation.return)
    .sort((a, b) => a - b);
  let [explained, refuted] = [0, ends.length + 1];
  while (refuted - explained > 1 && performance.now() < untilMs) {
    const middle = (explained + refuted) >> 1;
    const verdict = judge(prefixUpTo(operations, ends[middle - 1]!));
    if (verdict === undefined) break;
    if (verdict) explained = middle;
    else refuted = middle;
  }
  return { upTo: ends[explained - 1] ?? -1, placed: explained, of: ends.length };
}

/** The history as it stood at a rank: what had not returned by then is still under way. */
export function prefixUpTo(operations: readonly Operation[], rank: number): Operation[] {
  const begun = operations.filter((operation) => operation.call < rank);
  return begun.map((operation) => {
    if (operation.outcome !== "ok" || operation.return <= rank) return operation;
    const { matched: _, ...rest } = operation;
    return {
      ...rest,
      outcome: "info",
      output: undefined,
      return: Number.POSITIVE_INFINITY,
      bound: Number.POSITIVE_INFINITY,
    };
  });
}
