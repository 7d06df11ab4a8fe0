import { expect, test } from "vitest";
import type { LinkMessage } from "../../faults/contract.ts";
import type { Finding } from "../checkers/contract.ts";
import { RunClock } from "../history/clock.ts";
import type { Operation } from "../history/operation.ts";
import { messagesAround } from "./messages-around.ts";

const clock = new RunClock();
const operation = (process: number, node: string, calledAt: number, returnedAt: number): Operation => ({
  ...{ process, node, calledAt, returnedAt, workload: "register", f: "read", key: "k", input: null },
  ...{ outcome: "ok", output: "v", call: calledAt, return: calledAt + 1, bound: calledAt + 1 },
  ...{ incarnation: 0, readBack: false },
});

function around(operations: readonly Operation[], sent: readonly (readonly [link: string, at: number])[]) {
  const log: LinkMessage[] = sent.map(([link, at]) => ({ link, bytes: 1, sentNs: clock.startNs() + at }));
  const finding: Finding = { kind: "stale-read", operations, sentence: "it is stale" };
  return messagesAround(finding, {
    clock,
    members: ["n1", "n2", "n3"],
    clientOf: (process) => `c${process % 4}`,
    messages: {
      between: (from, to, wanted) =>
        log.filter(({ link, sentNs }) => sentNs >= from && sentNs <= to && wanted(link)),
      forgot: (ns) => ns < clock.startNs() + 5e6,
    },
  });
}

test("for each operation what passed between members, and between its client and any of them, in its time", () => {
  const { kind, sentence, operations } = around(
    [operation(5, "n2", 10e6, 20e6), operation(2, "n3", 1e6, Number.POSITIVE_INFINITY)],
    [
      ["n1>n2", 9e6],
      ["c1>n2", 11e6],
      ["c3>n2", 11e6],
      ["c1>n1", 12e6],
      ["n2>n3", 13e6],
      ["n2>c1", 20e6],
      ["n3>n2", 24e6],
      ["n1>n3", 26e6],
      ["n3>n1", 60e6],
    ],
  );
  expect([kind, sentence]).toEqual(["stale-read", "it is stale"]);
  expect(operations[0]!.messages.map(({ link, sentAt }) => [link, sentAt / 1e6])).toEqual([
    ["c1>n2", 11],
    ["c1>n1", 12],
    ["n2>n3", 13],
    ["n2>c1", 20],
    ["n3>n2", 24],
  ]);
  expect(operations[0]).toMatchObject({ call: 10e6, from: 10e6, to: 25e6, leftOut: 0, forgotten: false });
  // Never answered: looked at for 50 ms, and from before the time that is remembered.
  expect(operations[1]!.messages.map(({ link }) => link)).toEqual(["n1>n2", "n2>n3", "n3>n2", "n1>n3"]);
  expect(operations[1]!.forgotten).toBe(true);
});

test("the client's own request and answer are shown however many messages pass between members; its next request is not", () => {
  const many = Array.from({ length: 100 }, (_, at) => ["n1>n2", at * 1e5] as const);
  const sent = [...many, ["c1>n1", 15e6], ["n1>c1", 19.9e6], ["c1>n1", 22e6]] as const;
  const { messages, leftOut } = around([operation(1, "n1", 0, 20e6)], sent).operations[0]!;
  expect(messages).toHaveLength(30);
  expect(messages.slice(-2).map(({ link, sentAt }) => [link, sentAt])).toEqual([
    ["c1>n1", 15e6],
    ["n1>c1", 19.9e6],
  ]);
  expect(leftOut).toBe(72);
});

test("of many messages and operations the first, and how many more there were", () => {
  const many = Array.from({ length: 100 }, (_, at) => ["n1>n2", at * 1e5] as const);
  const { operations } = around(
    Array.from({ length: 12 }, () => operation(0, "n1", 0, 20e6)),
    many,
  );
  expect(operations).toHaveLength(8);
  expect(operations[0]!.messages).toHaveLength(30);
  expect(operations[0]!.leftOut).toBe(70);
});
