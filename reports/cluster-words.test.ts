import { expect, test } from "vitest";
import {
  leaderChanges,
  leaderWords,
  linksWords,
  measurements,
  servingAgainWords,
  stormsReadBack,
  stormsWords,
  unavailableWords,
} from "./cluster-words.ts";
import {
  across,
  clusterMembers,
  clusterResults,
  clusterRun,
  somethingMeasured,
  staleRead,
} from "./fixtures/cluster-run.ts";

const cluster = clusterResults();

test("faults that fired are counted by what they acted on, and one that did not fire is not counted", () => {
  expect(stormsWords(cluster)).toBe(
    "2 storms with 2 faults on members (n2 1, n3 1), 3 on the network, 1 on the whole cluster",
  );
  expect(stormsWords({ ...cluster, faults: [] })).toBe("2 storms without a fault");
  const [unfired] = cluster.faults.filter(({ evidence }) => evidence === undefined);
  expect(stormsWords({ ...cluster, faults: [unfired!] })).toBe("2 storms without a fault");
});

test("a storm counts as read back only when a fault fired in it and its round was read", () => {
  expect(stormsReadBack(cluster)).toBe(2);
  const first = cluster.phases.filter(({ phase, round }) => !(phase === "reads" && round === 1));
  expect(stormsReadBack({ ...cluster, phases: first })).toBe(1);
  expect(stormsReadBack({ ...cluster, faults: [] })).toBe(0);
});

test("a new term of the same member is no change of leader, and no claim at all is said as such", () => {
  expect(leaderChanges(cluster)).toBe(3);
  const [first] = cluster.leaders;
  const again = { ...first!, term: 3, from: first!.to + 1, to: first!.to + 2 };
  expect(leaderWords({ ...cluster, leaders: [first!, again] })).toBe("no leader but n1 was seen");
  expect(leaderWords({ ...cluster, leaders: [] })).toBe("no member was seen to lead");
});

test("what was measured says how many of how many, and is held against the store only when a finding names it", () => {
  const seen = clusterResults(somethingMeasured);
  const words = (verdict: boolean) =>
    measurements(clusterRun(verdict, seen), seen).map((one) => `${one.words} | ${one.held}`);
  expect(words(true)).toEqual([
    "31 of 1,204, acknowledged over 780 ms | not promised, not held against the store",
    "112 of 3,310, the oldest 1.31 s behind | not promised, not held against the store",
    "once, 100 ms in all, 17 writes acknowledged by n1 and n3 meanwhile | no finding names it",
  ]);
  expect(words(false)[1]).toContain("in part held against the store");
  const only = clusterResults({ ...somethingMeasured, observed: [] });
  expect(measurements(clusterRun(false, only), only)[1]?.held).toBe("held against the store");
  expect(staleRead.kind).toBe("stale-read");
});

test("nothing lost of nothing is not measured, never none", () => {
  const none = {
    ...clusterResults({
      lostAcknowledged: { count: 0, of: 0, spanMs: 0 },
      staleReads: { count: 0, of: 0, oldestMs: 0 },
    }),
    leaders: [],
  };
  for (const { words, held } of measurements(clusterRun(true, none), none)) {
    expect(words).toMatch(/^not measured, /);
    expect(held).toBe("");
  }
  expect(measurements(clusterRun(true), cluster).map(({ words }) => words)).toEqual([
    "none of 1,204",
    "none of 3,310",
    "none seen",
  ]);
});

test("serving again names the fault after which it took longest, and the faults after which it never did", () => {
  expect(servingAgainWords(cluster)).toBe(
    "median 12 ms, max 1.42 s over 6 faults, the longest after kill on n3",
  );
  expect(unavailableWords(cluster)).toBe(
    "up to 820 ms while isolate on n1 ⇄ n2, n1 ⇄ n3 and 1 more was in force",
  );
  const never = cluster.faults.map(({ servingAgainMs: _again, ...rest }) => rest);
  expect(servingAgainWords({ ...cluster, faults: never })).toBe(
    "no write acknowledged any more after 6 faults, the first of them pause on n2",
  );
  expect(servingAgainWords({ ...cluster, faults: [] })).toBe("");
});

test("both directions of a pair are one, one direction is an arrow, and clients are counted", () => {
  const words = (links: readonly string[]) => linksWords(links, clusterMembers);
  expect(words(["n2>n1"])).toBe("n2 → n1");
  expect(words(across(["n1"], ["n2", "n3"]))).toBe("n1 ⇄ n2, n1 ⇄ n3");
  expect(words(["c0>n1"])).toBe("c0 → n1");
  expect(words([...across(["c0", "c1"], ["n1"]), "n2>c3"])).toBe("2 clients ⇄ n1, c3 ← n2");
  expect(linksWords(across(["n1", "n2"], ["n3", "n4", "n5"]), ["n1", "n2", "n3", "n4", "n5"], 2)).toBe(
    "n1 ⇄ n3, n1 ⇄ n4 and 4 more",
  );
  expect(words([])).toBe("");
});
