import { expect, test } from "vitest";
import { mergeScenes, SceneTally, sceneNames } from "./coverage.ts";

function tally(change: (tally: SceneTally) => void) {
  const made = new SceneTally(sceneNames.powerLoss);
  change(made);
  return made.result();
}

test("two workers' shares add up, and what both saw is counted once", () => {
  const share = (explored: number, own: number) =>
    tally((one) => {
      one.crashPoints = 10;
      one.crashPointsExplored = explored;
      one.possible(40);
      one.distinct = own;
      one.recovered = own;
      one.judged = 2 * own;
      one.leaveOut("the time was over", 10 - explored);
    });
  expect(mergeScenes([[share(10, 7)], [share(8, 5)]])).toEqual([
    {
      name: "power loss",
      crashPoints: 10,
      crashPointsExplored: 8,
      statesPossible: 40,
      distinct: 12,
      recovered: 12,
      judged: 24,
      leftOut: [{ why: "the time was over", count: 2 }],
    },
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
    one.leaveOut("nothing", 0);
  });
  expect(leftOut).toEqual([{ why: "never counted", count: null }]);
});

test("a crash point whose recoveries are interrupted is explored when every worker has interrupted its own; their states add up", () => {
  const share = (explored: number) => {
    const one = new SceneTally(sceneNames.during);
    one.crashPoints = 8;
    one.crashPointsExplored = explored;
    one.possible(10);
    return one.result();
  };
  expect(mergeScenes([[share(3)], [share(5)]])[0]).toMatchObject({
    crashPoints: 8,
    crashPointsExplored: 3,
    statesPossible: 20,
  });
});
