import { describe, expect, it } from "vitest";
import type { Operation } from "../../history/operation.ts";
import type { Model } from "../../models/contract.ts";
import { multiRegisterModel } from "../../models/multi-register.ts";
import { searchedRegister } from "../../models/searched-register.ts";
import { CheckerDisagreement } from "../disagreement.ts";
import { historyOf } from "../fixtures/event-lines.ts";
import { strictContext } from "../fixtures/promise.ts";
import { toldHistory } from "../fixtures/told-transactions.ts";
import { checkRegisters } from "../registers.ts";
import { checkPartitions, type PartitionOptions, type PartitionOutcome } from "./partitions.ts";

function check<State>(
  model: Model<State>,
  operations: readonly Operation[],
  options: Partial<PartitionOptions> = {},
): PartitionOutcome[] {
  return checkPartitions(model, new Map([["k", operations]]), {
    untilMs: performance.now() + 10_000,
    memoryBytes: 2 ** 26,
    crossCheck: true,
    ...options,
  });
}

/** Legal, by an increment that was never answered; the write of an increment's number keeps it from the exact method. */
const incremented = historyOf(`
  0 write 1
  0 ok
  1 increment 1
  1 info
  2 increment 1
  2 ok 3
  2 read
  2 ok 3
  2 write 3
  2 ok
`).operations;

describe("the check of a partition", () => {
  it("lets an increment that was never answered explain the number that a later one returned", () => {
    expect(check(searchedRegister, incremented).map(({ verdict }) => verdict)).toEqual([true]);
  });

  it("does not name the key in the sentences of a violation, since that is known", () => {
    const stale = historyOf("0 write 1\n0 ok\n1 read\n1 ok null").operations;
    const twice = historyOf("0 write 1\n0 ok\n0 write 1\n0 ok\n1 read\n1 ok null").operations;
    for (const operations of [stale, twice]) {
      const [outcome] = check(searchedRegister, operations);
      expect(outcome?.verdict === false && outcome.sentences[0]).not.toContain("key");
    }
  });

  it("tells the states that an operation could meet by all that had been answered", () => {
    const { operations } = toldHistory("0 ok r x nil\n---\n0 ok w x 4\n---\n0 ok r x 3");
    const [outcome] = check(multiRegisterModel, operations);
    const sentences = outcome?.verdict === false ? outcome.sentences : [];
    expect(sentences.at(-1)).toBe("it could meet only the state x = 4, and would have returned r x 4");
  });

  it("says of a refused compare that does not say what it saw that it was refused", () => {
    const events = historyOf("0 write 5\n0 ok\n1 cas [5,6]\n1 ok").operations;
    const operations = events.map((one): Operation => {
      const { output: _, ...rest } = one;
      return one.f === "cas" ? { ...rest, output: undefined, matched: false } : one;
    });
    const [outcome] = check(searchedRegister, operations);
    const sentence = outcome?.verdict === false ? outcome.sentences[0] : "";
    expect(sentence).toBe(
      "refused compare-and-set from 5 to 6 of k (process 1, event 3) was refused at 4 ms, but write of 5 of k (process 0, event 1) had been acknowledged at 2 ms",
    );
    const finding = checkRegisters({ operations, readiness: [] }, strictContext()).findings[0];
    expect(finding?.sentence).toContain("was refused");
    expect(finding?.sentence).not.toContain("found nothing");
  });

  it("finds by cross-check that a model declares states alike which an operation tells apart", () => {
    const lying = {
      ...searchedRegister,
      observes: (one: Operation) => searchedRegister.observes?.(one) ?? [],
    };
    expect(check(lying, incremented, { crossCheck: false })[0]?.verdict).toBe(false);
    expect(() => check(lying, incremented)).toThrow(CheckerDisagreement);
  });
});
