import { expect, test } from "vitest";
import type { FaultLife } from "../faults/index.ts";
import { RunClock } from "./history/clock.ts";
import type { HistoryEvent } from "./history/operation.ts";
import { EpochFacts, Judge } from "./judge.ts";
import { resolveScenario } from "./scenario.ts";
import type { NodeExit, StoreNode } from "./single-node.ts";

const facts = () => new EpochFacts(0, new RunClock());
const nodeThat = (exit: NodeExit | undefined) => ({ name: "n1", exit: () => exit }) as unknown as StoreNode;
const exited: NodeExit = { byUs: false, code: 1, at: 0, lastLine: "out of cheese" };

function life(
  name: string,
  when: "crash" | "passing" | "at-rest",
  mechanism: string,
  fired: boolean,
): FaultLife {
  return {
    fault: { name, when, mechanism },
    parameters: {},
    target: "n1",
    incarnation: 0,
    armedAt: 1,
    firedAt: fired ? 2 : undefined,
    healedAt: 3,
    evidence: fired ? { file: "segment-1.log" } : undefined,
    cutShort: false,
  } as unknown as FaultLife;
}

/** One register: written in start 0, read back in start 1. */
function history(readAfter: string | null, report?: unknown): HistoryEvent[] {
  const op = { process: 0, workload: "register", key: "e0/r/0", node: "n1" } as const;
  return [
    { index: 0, time: 0, process: "nemesis", type: "info", f: "ready", node: "n1", incarnation: 0 },
    { ...op, index: 1, time: 1, type: "invoke", f: "write", value: "a", incarnation: 0 },
    { ...op, index: 2, time: 2, type: "ok", f: "write", value: null },
    {
      index: 3,
      time: 3,
      process: "nemesis",
      type: "info",
      f: "ready",
      node: "n1",
      incarnation: 1,
      value: report,
    },
    { ...op, index: 4, time: 4, type: "invoke", f: "read", value: null, incarnation: 1, readBack: true },
    { ...op, index: 5, time: 5, type: "ok", f: "read", value: readAfter },
  ];
}

async function verdictOf(events: HistoryEvent[], about = facts()) {
  const judge = new Judge(await resolveScenario({ seed: 1, faults: ["none"], workloads: ["register"] }));
  const results = judge.check(events, about);
  return { results, kinds: results.flatMap((result) => result.findings.map((finding) => finding.kind)) };
}

test("an acknowledged write that is there after the restart is right", async () => {
  expect((await verdictOf(history("a"))).kinds).toEqual([]);
});

test("an acknowledged write that is missing after the restart is a finding", async () => {
  expect((await verdictOf(history(null))).kinds).toContain("lost-acknowledged-write");
});

test("a loss after damage at rest that the store did not report is served damaged data", async () => {
  const about = facts();
  about.started(1, { recovery: { cut: null } }, [life("at-rest", "at-rest", "files", true)]);
  expect((await verdictOf(history(null), about)).kinds).toContain("served-damaged-data");
});

test("a loss after damage at rest that the store reported as a cut tail is allowed", async () => {
  const about = facts();
  about.started(1, { recovery: { cut: { file: "segment-1.log" } } }, [
    life("at-rest", "at-rest", "files", true),
  ]);
  expect((await verdictOf(history(null), about)).kinds).toEqual([]);
});

test("a value nobody wrote is a finding even after reported damage", async () => {
  const about = facts();
  about.started(1, { recovery: { cut: { file: "segment-1.log" } } }, [
    life("at-rest", "at-rest", "files", true),
  ]);
  expect((await verdictOf(history("garbage"), about)).kinds).toContain("served-damaged-data");
});

test("a store that stops with no fault that excuses it is a finding; its last words are quoted", () => {
  const about = facts();
  about.cycleOver(nodeThat(exited), [life("partition", "passing", "proxy", true)]);
  expect(about.findings[0]).toMatchObject({ kind: "unexpected-stop" });
  expect(about.findings[0]?.sentence).toContain("out of cheese");
});

test("a store that stops itself after a failed sync did right", () => {
  const about = facts();
  const failed = life("sync-error", "crash", "interposer", true);
  about.endedBy(nodeThat(exited), failed);
  about.cycleOver(nodeThat(exited), [failed]);
  expect(about.findings).toEqual([]);
  expect(about.stoppedItself).toBe(1);
});

test("a store that does not come back is a finding, unless its files were damaged at rest", () => {
  const crashed = facts();
  crashed.refusedToStart("exit code 3", [life("kill", "crash", "signal", true)]);
  expect(crashed.findings[0]?.kind).toBe("did-not-recover");
  const damaged = facts();
  damaged.refusedToStart("exit code 3", [life("at-rest", "at-rest", "files", true)]);
  expect(damaged.findings).toEqual([]);
  expect(damaged.refusals).toHaveLength(1);
});

test("a fault that was armed and never fired makes the epoch unknown", () => {
  const about = facts();
  about.fault(life("kill", "crash", "signal", false));
  expect(about.unknowns[0]).toContain("armed and never fired");
});

test("a slowed sync excuses no stop, and a short write only one that follows at once", () => {
  const late = { ...exited, at: Number(process.hrtime.bigint()) + 60e9 };
  for (const name of ["slow-sync", "short-write"]) {
    const about = facts();
    about.cycleOver(nodeThat(late), [life(name, "passing", "interposer", true)]);
    expect(about.findings[0]?.kind).toBe("unexpected-stop");
  }
});

test("a cut elsewhere is no report of the damage", async () => {
  const about = facts();
  const elsewhere = { recovery: { cut: { file: "segment-9.log", offset: 0 } } };
  about.started(1, elsewhere, [life("at-rest", "at-rest", "files", true)]);
  expect((await verdictOf(history(null), about)).kinds).toContain("served-damaged-data");
});

test("only crashes after which everything was read back count towards an estimate, and stops never do", () => {
  const about = facts();
  about.endedBy(nodeThat(undefined), life("stop", "crash", "signal", true));
  about.readBackCompleted();
  about.endedBy(nodeThat(undefined), life("kill", "crash", "signal", true));
  about.endedBy(nodeThat(undefined), life("kill", "crash", "signal", true));
  about.readBackCompleted();
  expect(about).toMatchObject({ stops: 1, crashes: 2, crashesReadBack: 1 });
});

/** Writes `a` and then `b`, one after the other (or both at once), in start 0; reads back in start 1. */
function twoWrites(readAfter: string | null, overlapping: boolean): HistoryEvent[] {
  const op = (process: number, f: string) =>
    ({ process, workload: "register", key: "e0/r/0", node: "n1", f }) as const;
  const ready = { process: "nemesis", type: "info", f: "ready", node: "n1" } as const;
  const a = { ...op(0, "write"), incarnation: 0, value: "a", type: "invoke" } as const;
  const b = { ...op(1, "write"), incarnation: 0, value: "b", type: "invoke" } as const;
  const aDone = { ...op(0, "write"), value: null, type: "ok" } as const;
  const bDone = { ...op(1, "write"), value: null, type: "ok" } as const;
  const events = [
    { ...ready, incarnation: 0 },
    ...(overlapping ? [a, b, aDone, bDone] : [a, aDone, b, bDone]),
    { ...ready, incarnation: 1 },
    { ...op(2, "read"), type: "invoke", value: null, incarnation: 1, readBack: true },
    { ...op(2, "read"), type: "ok", value: readAfter },
  ] as const;
  return events.map((event, index) => ({ ...event, index, time: index }));
}

function lie(looksLike?: string): FaultLife {
  const one = life("lying-write", "crash", "interposer", true);
  return {
    ...one,
    fault: { ...one.fault, deceives: true },
    evidence: { path: "segment-1.log", ...(looksLike ? { looksLike } : {}) },
  };
}

test.each([
  ["the last write", "a", false, []],
  ["writes that can all have been in the last one", null, true, []],
  ["more than the last write", null, false, ["served-damaged-data"]],
] as const)(
  "after a lying write %s may be missing without a word: %j",
  async (_what, read, overlap, kinds) => {
    const about = facts();
    about.started(1, { recovery: { cut: null } }, [lie()]);
    expect((await verdictOf(twoWrites(read, overlap), about)).kinds).toEqual(kinds);
  },
);

test("after hardware that lied an invented value is a finding, whatever was reported", async () => {
  for (const report of [
    { recovery: { cut: null } },
    { recovery: { cut: { file: "segment-1.log", offset: 1 } } },
  ]) {
    const about = facts();
    about.started(1, report, [lie()]);
    expect((await verdictOf(twoWrites("garbage", true), about)).kinds).toContain("served-damaged-data");
  }
});

test("an earlier state is allowed where the damage looks like an older disk, and named", async () => {
  const about = facts();
  about.started(1, { recovery: { cut: null } }, [lie("an older disk")]);
  const { results, kinds } = await verdictOf(twoWrites(null, false), about);
  expect(kinds).toEqual([]);
  expect(results.some((result) => result.checker.includes("an older disk"))).toBe(true);
});

test("what was read wrong while the store served is damage of that start, and of no other", async () => {
  for (const [looksLike, kinds] of [
    [undefined, ["served-damaged-data"]],
    ["an older disk", []],
  ] as const) {
    const about = facts();
    about.started(1, { recovery: { cut: null } }, []);
    expect((await verdictOf(twoWrites(null, false), about)).kinds).toEqual(["lost-acknowledged-write"]);
    about.crashed();
    about.readDamage(lie(looksLike));
    about.readBackCompleted();
    expect(about.crashesReadBack).toBe(0);
    expect((await verdictOf(twoWrites(null, false), about)).kinds).toEqual(kinds);
  }
});

test("a store may refuse damaged files, and files it cannot read, but not without a word", () => {
  const silent = "n1 exited with code 1 before it was ready; it printed nothing (all of it: store.log).";
  for (const one of [lie(), life("read-error", "crash", "interposer", true)]) {
    const fault = one.fault.name === "read-error" ? { ...one.fault, when: "recovery" as const } : one.fault;
    const about = facts();
    about.refusedToStart("segment-1.log is damaged", [{ ...one, fault }]);
    expect(about.findings).toEqual([]);
    about.refusedToStart(silent, [{ ...one, fault }]);
    expect(about.findings[0]?.kind).toBe("did-not-recover");
  }
});

test("after power loss a store is held to what it promises for power loss, not for a crash", async () => {
  const interval = { seed: 1, faults: ["none"], workloads: ["register"], durability: "interval:1000" };
  const judge = new Judge(await resolveScenario(interval));
  const kinds = (about: EpochFacts) =>
    judge.check(history(null), about).flatMap((result) => result.findings.map((finding) => finding.kind));
  expect(kinds(facts())).toContain("lost-acknowledged-write");
  const lost = facts();
  lost.powerLost();
  expect(kinds(lost)).toEqual([]);
});

test("a write without a sync that was seen is a finding, and undecided where syncs could not be seen", async () => {
  const unsynced = history("a").map((event) =>
    event.index === 1
      ? { ...event, syncsBegun: 3 }
      : event.index === 2
        ? { ...event, syncCompleted: 3 }
        : event,
  );
  expect((await verdictOf(unsynced)).kinds).toEqual(["acknowledged-without-sync"]);
  const symbolicLink = facts();
  symbolicLink.blindSpot("a symbolic link was made in the data directory, and crash states do not have it");
  expect((await verdictOf(unsynced, symbolicLink)).kinds).toEqual(["acknowledged-without-sync"]);
  const asynchronous = facts();
  asynchronous.blindSpot(
    "asynchronous I/O (aio_write, aio_fsync, lio_listio) was made on a file of the data directory: it was not seen",
  );
  const { results, kinds } = await verdictOf(unsynced, asynchronous);
  expect(kinds).toEqual([]);
  const covering = results.find(({ checker }) => checker.startsWith("covering sync"))!;
  expect(covering.verdict).toBe("unknown");
  expect(covering.reasons.join()).toMatch(/asynchronous I\/O/);
});
