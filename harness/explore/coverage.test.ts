import { expect, test } from "vitest";
import { mergeScenes, SceneTally, sceneNames } from "./coverage.ts";

function tally(change: (tally: SceneTally) => void) {
  const made = new SceneTally(sceneNames.powerLoss);
  change(made);
  return made.result();
}

const no = new Map<never, never>();

test("two workers' shares add up, and a state that both recovered is counted once", () => {
  const share = (explored: number, own: readonly number[]) => ({
    scenes: [
      tally((one) => {
        one.crashPoints = 10;
        one.crashPointsExplored = explored;
        one.possible(40);
        one.distinct = own.length;
        one.recovered = own.length;
        one.judged = 2 * own.length;
        one.leaveOut("the time was over", 5 - explored);
      }),
    ],
    identities: new Map([[sceneNames.powerLoss, own]]),
  });
  expect(mergeScenes([share(5, [1, 2, 3, 4]), share(3, [9, 3, 8])])).toEqual([
    {
      name: "power loss",
      crashPoints: 10,
      crashPointsExplored: 8,
      statesPossible: 80,
      distinct: 6,
      recovered: 6,
      judged: 14,
      leftOut: [{ why: "the time was over", count: 2 }],
    },
  ]);
});

test("a state that one worker met in another scene than the other is counted in the first one's", () => {
  const share = (name: (typeof sceneNames)[keyof typeof sceneNames], own: readonly number[]) => {
    const one = new SceneTally(name);
    one.distinct = own.length;
    one.recovered = own.length;
    return { scenes: [one.result()], identities: new Map([[name, own]]) };
  };
  const scenes = mergeScenes([share(sceneNames.during, [7, 8]), share(sceneNames.powerLoss, [8, 9])]);
  expect(scenes.map(({ name, recovered }) => [name, recovered])).toEqual([
    ["power loss", 1],
    ["power loss during recovery", 2],
  ]);
});

test("a number over 2^53 is told as such, and stays so", () => {
  const { statesPossible } = tally((one) => {
    one.possible(Number.MAX_SAFE_INTEGER);
    one.possible(1);
    one.possible(1);
  });
  expect(statesPossible).toBeNull();
});

test("what cannot be counted is left out without a number", () => {
  const { leftOut } = tally((one) => {
    one.leaveOut("never counted", null);
    one.leaveOut("never counted", 3);
    one.leaveOut("nothing", 0);
  });
  expect(leftOut).toEqual([{ why: "never counted", count: null }]);
});

test("what was left out adds up; what one worker could not count, both could not", () => {
  const share = (count: number | null) => ({
    scenes: [tally((one) => one.leaveOut("too many", count))],
    identities: no,
  });
  const leftOut = (...counts: (number | null)[]) => mergeScenes(counts.map(share))[0]!.leftOut[0]!.count;
  expect(leftOut(3, 4)).toBe(7);
  expect([leftOut(3, null), leftOut(null, 3)]).toEqual([null, null]);
});
