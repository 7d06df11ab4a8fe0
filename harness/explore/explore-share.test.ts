import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { mergeScenes } from "./coverage.ts";
import { mergeFindings } from "./explore-findings.ts";
import type { Share } from "./explore-share.ts";
import { exploreToy, type ToyExploration, toyFiles } from "./fixtures/toy-exploration.ts";
import { type ToyOptions, toyRun } from "./fixtures/toy-run.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "acked-explore-test-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const careful: ToyOptions = {
  seed: 3,
  workloads: ["register", "append"],
  clients: 8,
  operations: 120,
  sync: "always",
  killAfter: 50,
};

const explored = (run: Partial<ToyOptions>, options: ToyExploration = {}): Promise<Share> =>
  exploreToy(toyFiles(toyRun({ ...careful, ...run }), directory), options);

const kindsOf = (share: Share) => share.findings.map(({ kind }) => kind);
const sceneOf = (share: Share, name: string) => share.scenes.find((scene) => scene.name === name)!;

describe("a store that syncs before it answers", () => {
  for (const profile of ["ext4-ordered", "posix-strict", "ext4-writeback", "xfs", "synchronous"]) {
    test(`passes under ${profile}, in every scene and at every crash point`, async () => {
      const share = await explored({ operations: 60 }, { profile });
      expect([share.findings, share.unknown]).toEqual([[], []]);
      for (const scene of share.scenes) {
        expect(scene.crashPointsExplored).toBe(scene.crashPoints);
        expect(scene.crashPoints).toBeGreaterThan(10);
        expect(scene.judged).toBeGreaterThan(0);
      }
    });
  }

  test("passes with a promise of a prefix when it syncs now and then, and the loss is measured", async () => {
    const promise = { powerLoss: { survives: "a prefix", lossMsMax: 1000 } } as const;
    const share = await explored({ sync: 4 }, { promise });
    expect(share.findings).toEqual([]);
    expect(share.loss.writes).toBeGreaterThan(1);
    expect(share.loss.ms).toBeGreaterThan(0);
  });
});

test("a store that answers before it syncs has lost acknowledged writes, and the finding says what was not on the disk", async () => {
  const share = await explored({ sync: "early" });
  const lost = share.findings.find(({ kind }) => kind === "lost-acknowledged-write")!;
  expect(lost.scene).toBe("power loss");
  expect(lost.notOnDisk.join()).toMatch(/write of \d+ bytes to log at \d+ \(ended at event \d+\)/);
  expect(lost.sentence).toMatch(/^power loss after event \d+: /);
});

test("synchronous writes hide a missing sync", async () => {
  expect((await explored({ sync: "early" }, { profile: "synchronous" })).findings).toEqual([]);
});

test("losing more than the promised bound is a finding", async () => {
  const promise = { powerLoss: { survives: "a prefix", lossMsMax: 0.05 } } as const;
  expect(kindsOf(await explored({ sync: 10 }, { promise }))).toContain("lost-acknowledged-write");
});

test("a recovery that believes what lies behind a hole shows writes out of order", async () => {
  const promise = { powerLoss: { survives: "a prefix", lossMsMax: 1e9 } } as const;
  const run = { sync: 1000, operations: 90, workloads: ["append"] };
  expect((await explored(run, { promise })).findings).toEqual([]);
  rmSync(directory, { recursive: true });
  expect(kindsOf(await explored(run, { promise, bug: "skips" }))).toContain("reordered-recovery");
});

test("a second recovery that shows something else is found", async () => {
  const share = await explored({ operations: 30 }, { bug: "forgets" });
  const finding = share.findings.find(({ kind }) => kind === "recovery-not-repeatable")!;
  expect(finding.scene).toBe("recovered twice");
  expect(finding.sentence).toContain("the first recovery showed");
});

test("refusing to start after a power loss is a finding, with the store's own words", async () => {
  const share = await explored({ operations: 30 }, { bug: "refuses" });
  expect(kindsOf(share)).toEqual(["did-not-recover"]);
  expect(share.findings[0]!.sentence).toContain("move it away");
});

test("serving what was recovered and not made durable is found by a power loss after the reads", async () => {
  const share = await explored({ operations: 60 }, { bug: "lazy" });
  expect(share.findings.length).toBeGreaterThan(0);
  expect(new Set(share.findings.map(({ scene }) => scene))).toEqual(
    new Set(["crash, restart, reads, power loss"]),
  );
});

for (const bug of [undefined, "lazy", "forgets"]) {
  test(`two workers explore every crash point between them, once, and judge what one alone does: ${bug ?? "no bug"}`, async () => {
    const files = toyFiles(toyRun({ ...careful, operations: 60 }), directory);
    const all = bug ? { bug } : {};
    const whole = await exploreToy(files, all);
    const parts = await Promise.all(
      [0, 1].map((worker) => exploreToy(files, { ...all, worker, workers: 2 })),
    );
    // Equal files that recoveries in different workers leave are recovered a second time by both: that is not compared.
    const counts = (shares: readonly Share[]) =>
      mergeScenes(shares).map(({ name, crashPoints, crashPointsExplored, recovered, judged }) =>
        name === "recovered twice"
          ? [name, crashPoints, crashPointsExplored]
          : [name, crashPoints, crashPointsExplored, recovered, judged],
      );
    expect(counts(parts)).toEqual(counts([whole]));
    const kinds = (shares: readonly Share[]) =>
      mergeFindings(shares.map(({ findings }) => findings)).map(({ kind, key, scene, event }) => ({
        kind,
        key,
        scene,
        event,
      }));
    expect(kinds(parts)).toEqual(kinds([whole]));
    const [a, b] = parts.map((share) => sceneOf(share, "power loss"));
    expect(a!.crashPointsExplored + b!.crashPointsExplored).toBe(sceneOf(whole, "power loss").crashPoints);
    expect(Math.min(a!.distinct, b!.distinct)).toBeGreaterThan(0);
  });
}

for (const bug of [undefined, "lazy", "forgets"]) {
  test(`a recovery whose disk calls are made again shows what one made anew does: ${bug ?? "no bug"}`, async () => {
    const files = toyFiles(toyRun({ ...careful, operations: 60 }), directory);
    const all = { profile: "posix-strict", ...(bug ? { bug } : {}) };
    const anew = await exploreToy(files, { ...all, keepsCalls: false });
    const again = await exploreToy(files, all);
    const plain = (share: Share) => [
      share.scenes,
      share.findings.map(({ sentence, event, state }) => ({ sentence, event, state })),
    ];
    expect(plain(again)).toEqual(plain(anew));
    expect(sceneOf(again, "crash, restart, reads, power loss").judged).toBeGreaterThan(0);
  });
}

test("what the budget cuts off is counted as left out", async () => {
  const scene = sceneOf(await explored({}, { statesMax: 5 }), "power loss");
  expect(scene.recovered).toBe(5);
  expect(
    scene.leftOut.find(({ why }) => why === "crash points: it was to recover at most 5 states")!.count,
  ).toBe(scene.crashPoints - scene.crashPointsExplored);
});

test("crash points whose recoveries were interrupted before the time was over are not counted as left out", async () => {
  // Its recovery makes a file, so that an interrupted one leaves states of its own.
  const bug = "forgets";
  const files = toyFiles(toyRun({ ...careful, operations: 60 }), directory);
  const all = (await exploreToy(files, { bug })).scenes;
  const total = all
    .filter(({ name }) => name !== "recovered twice")
    .reduce((sum, one) => sum + one.recovered, 0);
  let wholeBefore = 0;
  for (let fewer = 1; fewer <= total; fewer += 3) {
    const share = await exploreToy(files, { bug, statesMax: total - fewer });
    const during = sceneOf(share, "power loss during recovery");
    const left = during.leftOut.reduce((sum, { count }) => sum + (count ?? 0), 0);
    expect(during.crashPointsExplored + left).toBe(during.crashPoints);
    // The scene was through in its first turn, and its second found the budget used up.
    if (left === 0 && sceneOf(share, "power loss").leftOut.length > 0) wholeBefore++;
  }
  expect(wholeBefore).toBeGreaterThan(0);
});

test("the same options give the same findings and counts", async () => {
  const once = await explored({ sync: "early", operations: 40 });
  rmSync(directory, { recursive: true });
  const again = await explored({ sync: "early", operations: 40 });
  const plain = (share: Share) => [
    share.scenes,
    share.findings.map(({ sentence, event, state }) => ({ sentence, event, state })),
  ];
  expect(plain(again)).toEqual(plain(once));
});
