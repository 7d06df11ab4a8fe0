import { expect, test } from "vitest";
import { RespConnectionError } from "./resp.ts";
import { outcomeOfErrorReply, outcomeOfFailure, refusals } from "./resp-outcomes.ts";

test.each([
  ["ERR syntax error", "fail"],
  ["WRONGTYPE Operation against a key holding the wrong kind of value", "fail"],
  ["LOADING Redis is loading the dataset in memory", "fail"],
  ["MISCONF Errors writing to the AOF file: No space left on device", "fail"],
  ["OOM command not allowed when used memory > 'maxmemory'.", "fail"],
  ["EXECABORT Transaction discarded because of previous errors.", "fail"],
  ["ERR internal error in SET: out of cheese", "info"],
  ["ERR something nobody has heard of", "info"],
  ["", "info"],
])("the error reply %j is %s", (message, outcome) => {
  expect(outcomeOfErrorReply(message)).toBe(outcome);
});

test.each([
  ["not-sent", "fail"],
  ["closed", "info"],
  ["deadline", "info"],
  ["malformed", "info"],
] as const)("a connection that failed as %s is %s", (reason, outcome) => {
  expect(outcomeOfFailure(new RespConnectionError(reason, "why"))).toBe(outcome);
});

test("no row of the table is hidden by an earlier one", () => {
  const hidden = refusals.filter((row, i) =>
    refusals.slice(0, i).some((earlier) => row.begins.startsWith(earlier.begins)),
  );
  expect(hidden).toEqual([]);
});
