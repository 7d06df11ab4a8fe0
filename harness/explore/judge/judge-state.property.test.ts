import fc from "fast-check";
import { expect, test } from "vitest";
import type { Request, StorePromise } from "../../../stores/contract.ts";
import { strictContext } from "../../checkers/fixtures/promise.ts";
import type { History } from "../../history/history.ts";
import type { Operation } from "../../history/operation.ts";
import { ToyState } from "../fixtures/toy-log.ts";
import { type ToyRun, toyRun } from "../fixtures/toy-run.ts";
import { readBackRequests, StateJudge } from "./judge-state.ts";
import { type Recovered, RecoveredValues } from "./judge-state-values.ts";
import { historyAt, type Obligations, placeOperations } from "./obligations.ts";

const { promise: strict } = strictContext();
const lossy: StorePromise = { ...strict, powerLoss: { survives: "a prefix", lossMsMax: 0.1 } };

/** A state that may or may not be allowed: a prefix of the log, or one with a hole, or with two records swapped. */
const state = fc.record({
  kept: fc.double({ min: 0, max: 1, noNaN: true }),
  how: fc.constantFrom("prefix", "prefix", "hole", "swapped", "invented"),
  at: fc.nat(5),
  event: fc.double({ min: 0, max: 1, noNaN: true }),
});

const scenario = fc.record({
  seed: fc.nat(1 << 20),
  workloads: fc.constantFrom(
    ["register"],
    ["kv"],
    ["append"],
    ["bank"],
    ["register", "append", "bank", "kv"],
  ),
  killAfter: fc.constantFrom(undefined, 20),
  states: fc.array(state, { minLength: 8, maxLength: 12 }),
});

function stateOf(run: ToyRun, { kept, how, at }: { kept: number; how: string; at: number }): ToyState {
  const count = Math.round(kept * run.log.length);
  const requests = run.log.slice(0, count);
  const place = Math.max(0, count - 1 - at);
  if (how === "hole") requests.splice(place, 1);
  if (how === "swapped" && place + 1 < count) requests.push(...requests.splice(place, 1));
  if (how === "invented" && count > 0) {
    const last = requests[place]!;
    requests.push(last.f === "delete" || last.f === "open" ? last : reissued(last));
  }
  const recovered = new ToyState();
  for (const request of requests) recovered.apply(request);
  return recovered;
}

function reissued(request: Request): Request {
  const { value } = request;
  if (Array.isArray(value)) return { ...request, f: "write", value: "nobody" };
  return { ...request, value: typeof value === "object" ? { ...value, id: "nobody" } : "nobody" };
}

/** The reads that a person would append to the cut history. */
function reads(
  values: RecoveredValues,
  recovered: Recovered,
  obligations: Obligations,
  event: number,
): Operation[] {
  return values.requests.map(({ workload, f, key, value }, slot) => ({
    process: -1,
    workload,
    f,
    key,
    input: value,
    outcome: "ok",
    output: values.valueOf(slot, recovered.values[slot]!),
    call: obligations.crashRank + 2,
    return: obligations.crashRank + 3,
    bound: obligations.crashRank + 3,
    calledAt: obligations.timeOf(event),
    returnedAt: obligations.timeOf(event),
    node: "n1",
    incarnation: obligations.incarnations + 1,
    readBack: true,
  }));
}

/** Kinds and keys that the workloads' checkers find in one history of everything. */
function wholeHistory(run: ToyRun, cut: History, read: readonly Operation[]): Set<string> {
  const found = new Set<string>();
  for (const workload of run.workloads) {
    const of = (operations: readonly Operation[]) =>
      operations.filter((one) => one.workload === workload.name);
    const history = { ...cut, operations: [...of(cut.operations), ...of(read)] };
    for (const result of workload.check(history, strictContext())) {
      for (const { workload: name, key } of result.findings) found.add(`${name} ${key}`);
    }
  }
  return found;
}

test("remembered judgements are those of the checkers over whole histories", () => {
  fc.assert(
    fc.property(scenario, ({ seed, workloads, killAfter, states }) => {
      const run = toyRun({
        seed,
        workloads,
        clients: 4,
        operations: 40,
        sync: "always",
        ...(killAfter === undefined ? {} : { killAfter }),
      });
      const obligations = placeOperations(run.history, { events: run.events, faults: [] }, run.startNs);
      const values = new RecoveredValues(readBackRequests(run.workloads, 0, run.history));
      const judge = new StateJudge({
        workloads: run.workloads,
        promise: strict,
        crash: "powerLoss",
        obligations,
        values,
        epoch: 0,
      });
      for (const one of states) {
        const recovered = values.recovered((request) => stateOf(run, one).read(request));
        const last = run.events.length - 1;
        // Judged at a place, a little later, and earlier again, so that what is remembered is used.
        for (const event of [one.event * last, one.event * last + 6, one.event * last - 9]) {
          const at = Math.max(0, Math.min(last, Math.floor(event)));
          const judgement = judge.judge(recovered, at);
          const expected = wholeHistory(
            run,
            historyAt(obligations, at),
            reads(values, recovered, obligations, at),
          );
          const unopened = (name: string) => name.startsWith("bank") && judgement.notJudged > 0;
          const judged = new Set(judgement.findings.map(({ workload, key }) => `${workload} ${key}`));
          const wanted = new Set([...expected].filter((name) => !unopened(name)));
          expect(judged.size > 0).toBe(wanted.size > 0);
          // Both sides keep the twenty worst.
          if (wanted.size < 20) expect(judged).toEqual(wanted);
        }
      }
    }),
    { seed: 20261123, numRuns: 40 },
  );
});

test("under a lossy promise exactly the prefixes within the bound are allowed", () => {
  fc.assert(
    fc.property(scenario, ({ seed, workloads, killAfter, states }) => {
      const run = toyRun({
        seed,
        workloads,
        clients: 4,
        operations: 60,
        sync: 5,
        ...(killAfter === undefined ? {} : { killAfter }),
      });
      const obligations = placeOperations(run.history, { events: run.events, faults: [] }, run.startNs);
      const values = new RecoveredValues(readBackRequests(run.workloads, 0, run.history));
      const judge = new StateJudge({
        workloads: run.workloads,
        promise: lossy,
        crash: "powerLoss",
        obligations,
        values,
        epoch: 0,
      });
      const last = run.events.length - 1;
      for (const one of states) {
        const recovered = values.recovered((request) => stateOf(run, one).read(request));
        const { findings, loss } = judge.judge(recovered, last);
        const isPrefix = Array.from({ length: run.log.length + 1 }, (_, count) =>
          stateOf(run, { kept: count / run.log.length, how: "prefix", at: 0 }),
        ).some((prefix) => values.recovered((request) => prefix.read(request)) === recovered);
        if (isPrefix) expect(findings.filter(() => loss.ms <= 0.1)).toEqual([]);
        if (loss.ms > 0.1) expect(findings.map(({ kind }) => kind)).toContain("lost-acknowledged-write");
        if (one.how === "invented" && !isPrefix) expect(findings).not.toEqual([]);
      }
    }),
    { seed: 20261123, numRuns: 40 },
  );
});

/** An acknowledged append, the last one of its list, that a later read showed. */
function shownLast(run: ToyRun, { operations }: Obligations) {
  return operations.find(
    ({ operation }) =>
      operation.f === "append" &&
      run.log.findLast(({ key }) => key === operation.key)?.value === operation.input &&
      operations.some(
        (read) =>
          read.operation.f === "read" &&
          read.operation.call > operation.return &&
          (read.operation.output as string[]).includes(operation.input as string),
      ),
  );
}

test("a write that a read has shown must stay, unless the store promises less; an acknowledged one must in any case", () => {
  const run = toyRun({ seed: 3, workloads: ["append"], clients: 4, operations: 400, sync: "always" });
  const obligations = placeOperations(run.history, { events: run.events, faults: [] }, run.startNs);
  const last = run.events.length - 1;
  const shown = shownLast(run, obligations)!;
  // As if it had been in flight, without an answer, when it was read.
  const inFlight = { ...shown, operation: shown.pending, acknowledgedAt: Number.POSITIVE_INFINITY };
  const operations = obligations.operations.map((one) => (one === shown ? inFlight : one));
  const later = run.log.findIndex((request) => request.value === shown.operation.input);
  const kindsWithout = (promise: StorePromise, placed: typeof operations) => {
    const values = new RecoveredValues(readBackRequests(run.workloads, 0, run.history));
    const judge = new StateJudge({
      workloads: run.workloads,
      promise,
      crash: "powerLoss",
      obligations: { ...obligations, operations: placed },
      values,
      epoch: 0,
    });
    const state = new ToyState();
    for (const [i, request] of run.log.entries()) {
      if (i < later || request.key !== shown.operation.key) state.apply(request);
    }
    const recovered = values.recovered((request) => state.read(request));
    return judge.judge(recovered, last).findings.map(({ kind }) => kind);
  };
  const less = { ...strict, showsOnlyDurable: false };
  expect(kindsWithout(strict, operations)).not.toEqual([]);
  expect(kindsWithout(less, operations)).toEqual([]);
  expect(kindsWithout(less, [...obligations.operations])).toContain("lost-acknowledged-write");
});
