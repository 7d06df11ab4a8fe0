import { expect, test } from "vitest";
import { firstDifference } from "./difference.ts";
import type { HistoryEvent } from "./operation.ts";

type Step = Pick<HistoryEvent, "process" | "type"> & Partial<HistoryEvent>;
const history = (...steps: Step[]): HistoryEvent[] =>
  steps.map((step, index) => ({ time: index * 7, f: "write", key: "k", ...step, index }));

const recorded = history(
  { process: 0, type: "invoke", value: "a" },
  { process: 1, type: "invoke", value: "b" },
  { process: 0, type: "ok", value: null, syncCompleted: 4 },
  { process: 1, type: "ok", value: null },
);

test("another interleaving, other times and other counts are no difference", () => {
  const again = history(
    { process: 1, type: "invoke", value: "b" },
    { process: 1, type: "ok", value: null },
    { process: 0, type: "invoke", value: "a" },
    { process: 0, type: "ok", value: null, syncCompleted: 9 },
  );
  expect(firstDifference(recorded, again, 2)).toBeUndefined();
});

test("the first recorded event without its equal is named with its client and what happened instead", () => {
  const again = recorded.map((event) =>
    event.index === 2 ? { ...event, type: "info" as const, error: "reset on port 4711" } : event,
  );
  expect(firstDifference(recorded, again, 2)).toEqual({
    event: 2,
    sentence:
      "first difference at event 2 (number 2 of client 0): recorded was write k acknowledged, and now there was write k outcome unknown",
  });
});

test("a client that retired its process number is still the same client", () => {
  const again = recorded.map((event) => (event.process === 1 ? { ...event, process: 3 } : event));
  expect(firstDifference(recorded, again, 2)).toBeUndefined();
});

test("a run that ended earlier differs where it has nothing more, one that went on does not", () => {
  expect(firstDifference(recorded, recorded.slice(0, 3), 2)?.sentence).toContain("nothing more");
  expect(firstDifference(recorded.slice(0, 3), recorded, 2)).toBeUndefined();
});

test("two errors in other words are the same outcome", () => {
  const failed = (error: string) => history({ process: 0, type: "fail", error });
  expect(firstDifference(failed("port 1"), failed("port 2"), 1)).toBeUndefined();
});

test("a fault that fired in one run only is a difference", () => {
  const fault = (event: string) =>
    history({ process: "nemesis", type: "info", f: "kill", value: { event, parameters: { nth: 3 } } });
  expect(firstDifference(fault("fired"), fault("healed"), 2)?.sentence).toContain(
    "of the nemesis): recorded was kill fired, and now there was kill healed",
  );
});
