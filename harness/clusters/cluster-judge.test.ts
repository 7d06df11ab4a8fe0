import { describe, expect, it } from "vitest";
import type { ClusterPromise } from "../../stores/cluster-contract.ts";
import { append } from "../../workloads/append.ts";
import { register } from "../../workloads/register.ts";
import type { HistoryEvent } from "../history/operation.ts";
import { judgeRound, type RoundFacts } from "./cluster-judge.ts";

const everything = { survives: "everything acknowledged" } as const;
const strong: ClusterPromise = {
  ...{ linearizable: true, failover: everything, oneLeader: true, powerLossOfAll: everything },
  ...{ servesWithMajority: true, source: "" },
};
const weak: ClusterPromise = {
  ...strong,
  ...{ linearizable: false, oneLeader: false },
  failover: { survives: "a prefix", lossMsMax: Number.POSITIVE_INFINITY },
};
const facts: RoundFacts = {
  ...{ round: 0, claims: [], findings: [], unknowns: [], lostPower: false, disturbed: true, unfenced: false },
};

/** One operation after the other, 1 ms each; the process is the place in the list. */
function history(
  operations: readonly (Pick<HistoryEvent, "f" | "key" | "workload"> & {
    readonly in?: unknown;
    readonly out?: unknown;
    readonly node?: string;
    readonly type?: "ok" | "info";
  })[],
): HistoryEvent[] {
  return operations.flatMap(({ in: value = null, out = null, node = "n1", type = "ok", ...one }, process) => {
    const time = process * 1e6;
    const base = { ...one, process, node, incarnation: 0 };
    return [
      { ...base, index: 2 * process, time, type: "invoke" as const, value },
      { ...base, index: 2 * process + 1, time: time + 5e5, type, ...(type === "ok" ? { value: out } : {}) },
    ];
  });
}

const appended = { workload: "append", key: "e0/l/1", f: "append" } as const;
const listed = { workload: "append", key: "e0/l/1", f: "read" } as const;

describe("a round of a cluster", () => {
  const lost = history([
    { ...appended, in: "a", out: 1 },
    { ...appended, in: "b", out: 2 },
    { ...listed, out: ["a"], node: "n2" },
    { ...listed, workload: "append@n1", out: ["a"], node: "n1" },
    { ...listed, workload: "append@n2", out: [], node: "n2" },
  ]);

  it("names what was acknowledged and no member has at the end", () => {
    const { checks, measured } = judgeRound(lost, [append], strong, facts);
    expect(measured.lostAcknowledged).toEqual({ count: 1, of: 2, spanMs: 0 });
    const findings = checks.flatMap((check) => check.findings);
    expect(findings.map(({ kind }) => kind)).toContain("lost-acknowledged-write");
    expect(findings.find(({ kind }) => kind === "lost-acknowledged-write")?.sentence).toContain('"b"');
  });

  it("measures it, and holds it against nobody who does not promise it", () => {
    const { checks, measured } = judgeRound(lost, [append], weak, facts);
    expect(measured.lostAcknowledged.count).toBe(1);
    expect(checks.flatMap((check) => check.findings)).toEqual([]);
    expect(checks.map(({ verdict }) => verdict)).not.toContain(false);
    expect(measured.observed.length).toBeGreaterThan(0);
  });

  it("holds a loss without any fault against everybody", () => {
    const { checks } = judgeRound(lost, [append], weak, { ...facts, disturbed: false });
    expect(checks.flatMap((check) => check.findings).map(({ kind }) => kind)).toContain(
      "lost-acknowledged-write",
    );
  });

  it("finds a loss that is no tail of what a leader acknowledged, also where a prefix is promised", () => {
    const hole = history([
      { ...appended, in: "a", out: 1 },
      { ...appended, in: "b", out: 2 },
      { ...listed, workload: "append@n1", out: ["b"], node: "n1" },
    ]);
    const { checks } = judgeRound(hole, [append], weak, facts);
    expect(checks.flatMap((check) => check.findings).map(({ kind }) => kind)).toEqual(["reordered-recovery"]);
    // Acknowledged by another leader, it says nothing of the first one's tail.
    const two = history([
      { ...appended, in: "a", out: 1 },
      { ...appended, in: "b", out: 1, node: "n2" },
      { ...listed, workload: "append@n2", out: ["b"], node: "n2" },
    ]);
    expect(judgeRound(two, [append], weak, facts).checks.flatMap((check) => check.findings)).toEqual([]);
  });

  it("holds a loss after the power of all was lost against the promise for that", () => {
    const promise = { ...weak, powerLossOfAll: everything };
    const { checks } = judgeRound(lost, [append], promise, { ...facts, lostPower: true });
    expect(checks.flatMap((check) => check.findings).map(({ kind }) => kind)).toContain(
      "lost-acknowledged-write",
    );
  });

  it("loses nothing where one member still has it", () => {
    const kept = history([
      { ...appended, in: "a", out: 1 },
      { ...listed, workload: "append@n1", out: [], node: "n1" },
      { ...listed, workload: "append@n2", out: ["a"], node: "n2" },
    ]);
    expect(judgeRound(kept, [append], strong, facts).measured.lostAcknowledged).toMatchObject({
      ...{ count: 0, of: 1 },
    });
  });

  it("is unknown when no member could be read at the end", () => {
    const { checks } = judgeRound(history([{ ...appended, in: "a", out: 1 }]), [append], strong, facts);
    expect(checks.find(({ checker }) => checker === "members at the end")?.verdict).toBe("unknown");
  });

  const written = { workload: "register", key: "e0/r/1", f: "write" } as const;
  const read = { workload: "register", key: "e0/r/1", f: "read" } as const;

  it("measures how old a stale read was, and finds it where reads are promised to be linearizable", () => {
    const stale = history([
      { ...written, in: "a" },
      { ...written, in: "b" },
      { ...read, out: "b" },
      { ...read, out: "a", node: "n2" },
    ]);
    const { checks, measured } = judgeRound(stale, [register], strong, facts);
    expect(measured.staleReads).toMatchObject({ count: 1, of: 2 });
    expect(measured.staleReads.oldestMs).toBeGreaterThan(0.5);
    expect(checks.flatMap((check) => check.findings).map(({ kind }) => kind)).toContain("stale-read");
    expect(judgeRound(stale, [register], weak, facts).checks.flatMap((check) => check.findings)).toEqual([]);
  });

  it("lets an unknown write take effect long after the member it was sent to has come back", () => {
    const late = history([
      { ...written, in: "a" },
      { ...written, in: "b", type: "info" },
      { ...read, out: "a" },
      { ...read, out: "b" },
    ]);
    const findings = judgeRound(late, [register], strong, facts).checks.flatMap((check) => check.findings);
    expect(findings).toEqual([]);
  });

  const both = history([
    { ...written, in: "a", node: "n1" },
    { ...written, key: "e0/r/2", in: "b", node: "n2" },
  ]);

  it("names two members that led at once and both acknowledged writes", () => {
    const claims = [
      { member: "n1", from: 0, to: 3e6 },
      { member: "n2", from: 0, to: 3e6 },
    ];
    const { checks, measured } = judgeRound(both, [register], strong, { ...facts, claims });
    expect(measured.splitBrain).toMatchObject([{ members: ["n1", "n2"], writes: 2 }]);
    expect(checks.flatMap((check) => check.findings).map(({ kind }) => kind)).toEqual(["split-brain"]);
  });

  it("sees no split brain where one followed the other, or one of them acknowledged nothing", () => {
    const after = [
      { member: "n1", from: 0, to: 6e5 },
      { member: "n2", from: 7e5, to: 3e6 },
    ];
    const idle = [
      { member: "n1", from: 0, to: 3e6 },
      { member: "n3", from: 0, to: 3e6 },
    ];
    for (const claims of [after, idle]) {
      expect(judgeRound(both, [register], strong, { ...facts, claims }).measured.splitBrain).toEqual([]);
    }
  });

  it("holds what an old leader serves beside the new one against nobody whose promise presupposes a fence", () => {
    const stale = history([
      { ...written, in: "a" },
      { ...written, in: "b" },
      { ...read, out: "a", node: "n2" },
    ]);
    const fenced = { ...strong, presupposes: ["the old leader is fenced"] as const };
    const excused = judgeRound(stale, [register], fenced, { ...facts, unfenced: true });
    expect(excused.checks.flatMap((check) => check.findings)).toEqual([]);
    expect(excused.measured.observed[0]).toContain("stale-read");
    expect(
      judgeRound(stale, [register], fenced, facts).checks.flatMap((check) => check.findings),
    ).toHaveLength(1);
    // A loss is one all the same.
    const lossy = judgeRound(lost, [append], fenced, { ...facts, unfenced: true });
    expect(lossy.checks.flatMap((check) => check.findings).map(({ kind }) => kind)).toContain(
      "lost-acknowledged-write",
    );
  });
});
