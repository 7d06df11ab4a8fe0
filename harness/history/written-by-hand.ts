/**
 * Histories written by hand: a list of operations with the times between which they ran, for examples and tests. Times are ms;
 * an operation that begins when another ends is concurrent with it, as intervals are closed. So the next one of a process
 * begins later than its last one ended.
 */
import { type History, HistoryError } from "./history.ts";
import type { Operation } from "./operation.ts";

export interface HandWritten {
  /** One process does one thing at a time. */
  readonly process: number;
  readonly f: string;
  readonly key?: string;
  readonly input?: unknown;
  /** What came back. */
  readonly output?: unknown;
  /** `false`: a compare-and-set that saw another value, which is then its output. */
  readonly matched?: boolean;
  /** ms. */
  readonly from: number;
  /** ms. Without it there was no answer: it took effect at some time from `from` on, or never. */
  readonly to?: number;
  /** It was refused, and so certainly did not happen. */
  readonly failed?: true;
}

/** @throws HistoryError naming the operation that ends before it begins, or whose process was doing something else. */
export function history(written: readonly HandWritten[]): History {
  const ranks = ranksOf(written);
  const operations = written.map((one, i): Operation => {
    const { process, f, key = "", input = null, output = null, matched, from, to, failed } = one;
    const outcome = to === undefined ? "info" : failed ? "fail" : "ok";
    const end = ranks.end[i]!;
    return {
      process,
      workload: "",
      f,
      key,
      input,
      outcome,
      output: outcome === "ok" ? output : undefined,
      ...(matched === undefined ? {} : { matched }),
      call: ranks.begin[i]!,
      return: end,
      bound: end,
      calledAt: from * 1e6,
      returnedAt: to === undefined ? Number.POSITIVE_INFINITY : to * 1e6,
      node: "n1",
      incarnation: 0,
      readBack: false,
    };
  });
  refuseOverlaps(written);
  return { operations: operations.sort((a, b) => a.call - b.call), readiness: [] };
}

/** Invocations and completions numbered in order of time, invocations first where times are equal. */
function ranksOf(written: readonly HandWritten[]): { begin: number[]; end: number[] } {
  const begin: number[] = [];
  const end: number[] = written.map(() => Number.POSITIVE_INFINITY);
  const moments = written.flatMap(({ from, to }, i) => [
    { at: from, ends: false, i },
    ...(to === undefined ? [] : [{ at: to, ends: true, i }]),
  ]);
  moments.sort((a, b) => a.at - b.at || Number(a.ends) - Number(b.ends));
  for (const [rank, { ends, i }] of moments.entries()) {
    if (ends) end[i] = rank;
    else begin[i] = rank;
  }
  return { begin, end };
}

function refuseOverlaps(written: readonly HandWritten[]): void {
  const busyUntil = new Map<number, number>();
  for (const { process, f, from, to = Number.POSITIVE_INFINITY } of [...written].sort(
    (a, b) => a.from - b.from,
  )) {
    if (!(to >= from))
      throw new HistoryError(`the "${f}" of process ${process} at ${from} ms ends before it begins`);
    if (from <= (busyUntil.get(process) ?? Number.NEGATIVE_INFINITY)) {
      throw new HistoryError(
        `process ${process} began "${f}" at ${from} ms while its last operation was under way`,
      );
    }
    busyUntil.set(process, to);
  }
}
