/** From a store's process to a finding that replays elsewhere: the whole way, on real stores, with small runs. */
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { findCompiler } from "../machine.ts";
import type { CrashStateFinding, RunResults } from "../results.ts";
import { createRunDirectory, type RunDirectory, runDirectoryAt, writeJson } from "../run-directory.ts";
import { type Resolution, resolveScenario } from "../scenario.ts";
import { exploreTracedRun, replayTracedRun } from "./explored-run.ts";
import { placeOperations } from "./judge/obligations.ts";
import type { RecordedState } from "./smaller/replay-state.ts";
import { type Script, tracedRun } from "./traced/traced-run.ts";
import { readTracedRun } from "./traced/traced-run-files.ts";

const runs = mkdtempSync(join(tmpdir(), "acked-explored-"));
afterAll(() => rmSync(runs, { recursive: true, force: true }));
const { signal } = new AbortController();

let runsMade = 0;

interface How {
  operations?: number;
  script?: Script;
  workloads?: string[];
  interposable?: false;
}

async function traced(store: string, how: How) {
  const resolved = await resolveScenario({
    store,
    workloads: how.workloads ?? ["register"],
    faults: ["none"],
    seed: 5,
    seconds: 5,
  });
  const resolution =
    how.interposable === false
      ? { ...resolved, store: { ...resolved.store, interposable: false } }
      : resolved;
  const directory = createRunDirectory(runs, store, runsMade++, new Date());
  writeJson(directory.scenarioFile, resolution.scenario);
  const { operations, script } = how;
  await tracedRun({
    ...{ resolution, directory, runsDir: runs, signal, loadMs: 4000 },
    ...(operations === undefined ? {} : { operations }),
    ...(script === undefined ? {} : { script }),
  });
  return { resolution, directory };
}

function explored(directory: RunDirectory, resolution: Resolution, shrinkMs = 0): Promise<RunResults> {
  return exploreTracedRun({
    ...{ directory, resolution, profiles: ["ext4-ordered"], seconds: 2, shrinkMs, runsDir: runs, signal },
    command: "explore",
    replayOf: (path) => `acked replay ${path}`,
  });
}

const writes = (count: number): Script => ({
  requests: Array.from({ length: count }, (_, n) => ({
    client: n % 3,
    request: { workload: "register", f: "write", key: `e0/r/${n % 2}`, value: `value ${n} of this test` },
  })),
});

describe.skipIf(!findCompiler())("a traced run", () => {
  test("places every acknowledgement in the trace, with a kill and a restart in it", async () => {
    const { directory } = await traced("ramlog", {
      operations: 120,
      workloads: ["register", "kv", "append", "bank"],
    });
    const { history, trace, record, base } = readTracedRun(directory.path);
    expect(trace.faults).toEqual([]);
    const { weak, operations } = placeOperations(history, trace, record.startNs);
    expect(weak).toBe(0);
    const acknowledged = operations.filter(({ operation }) => operation.outcome === "ok");
    expect(acknowledged.length).toBeGreaterThan(120);
    expect(acknowledged.every(({ invokedAt, acknowledgedAt }) => invokedAt <= acknowledgedAt)).toBe(true);
    expect(history.readiness).toHaveLength(2);
    expect(new Set(history.operations.map(({ process }) => process % 8)).size).toBe(8);
    expect(record.ended).toMatchObject({ doubts: [], findings: [], recoveryMs: [expect.any(Number)] });
    expect(base.map(({ path }) => path)).toEqual(["."]);
  });

  test("of a script sends exactly its requests, in each client's order, and nothing else", async () => {
    const { directory } = await traced("ramlog", { script: { ...writes(9), killAfter: 4 } });
    const { history } = readTracedRun(directory.path);
    const of = (client: number) =>
      history.operations.filter(({ process }) => process % 8 === client).map(({ input }) => input);
    for (const client of [0, 1, 2]) {
      expect(of(client)).toEqual([client, client + 3, client + 6].map((n) => `value ${n} of this test`));
    }
    expect(history.operations).toHaveLength(9);
    expect(history.readiness).toHaveLength(2);
  });

  test("of a program that ignores preloaded libraries is made by the broker, just the same", async () => {
    const { history, trace, record } = readTracedRun(
      (await traced("ramlog", { script: { ...writes(9), killAfter: 4 }, interposable: false })).directory
        .path,
    );
    expect(record.mechanism).toBe("broker");
    expect(trace.faults).toEqual([]);
    expect(placeOperations(history, trace, record.startNs).weak).toBe(0);
    expect(trace.events.some(({ kind, phase }) => kind === "datasync" && phase === "end")).toBe(true);
  });

  test("is refused without a compiler", async () => {
    const { resolution, directory } = await traced("ramlog", { script: writes(1) });
    vi.stubEnv("PATH", "/nowhere");
    vi.stubEnv("CC", "");
    try {
      const run = tracedRun({ resolution, directory, runsDir: runs, signal, loadMs: 500 });
      await expect(run).rejects.toThrow("acked explore cannot run here: tracing needs a C compiler");
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

describe.skipIf(!findCompiler())("a run that is too small to say anything", () => {
  test("is unknown, never passed, and says what it lacks", async () => {
    const { resolution, directory } = await traced("ramlog", { script: writes(6) });
    const results = await explored(directory, resolution);
    expect(results.verdict).toBe("unknown");
    expect(results.exitCode).toBe(2);
    expect(results.reasons.join("\n")).toContain("1000 operations are wanted");
    expect(results.findings).toEqual([]);
  });
});

describe.skipIf(!findCompiler())("a store that never syncs", () => {
  let found: { resolution: Resolution; directory: RunDirectory };
  let results: RunResults;
  let finding: CrashStateFinding;

  beforeAll(async () => {
    found = await traced("broken/never-syncs", { operations: 40 });
    results = await explored(found.directory, found.resolution, 12_000);
    finding = results.explorations![0]!.findings[0]!;
  }, 120_000);

  const replay = (directory: RunDirectory, recorded = results) =>
    replayTracedRun({ directory, resolution: found.resolution, recorded, runsDir: runs });

  test("loses acknowledged writes when power is lost, and is found without any crash as well", () => {
    expect(results.verdict).toBe(false);
    expect(results.findings.map(({ kind }) => kind)).toContain("lost-acknowledged-write");
    expect(finding.notOnDisk.length).toBeGreaterThan(0);
    const bytes = results.checks.find(({ checker }) => checker === "covering sync by bytes");
    expect(bytes?.findings[0]?.kind).toBe("acknowledged-without-sync");
    expect(bytes?.checked.matchedByBytes).toBe(bytes?.checked.acknowledgements);
    expect(existsSync(found.directory.resultsFile)).toBe(true);
  });

  test("is reduced to fewer than ten operations, in a run of its own that replays", async () => {
    const { shrunk } = finding;
    expect(shrunk!.requests.length).toBeLessThan(10);
    expect(shrunk!.clients).toBe(1);
    const smaller = runDirectoryAt(join(found.directory.path, shrunk!.directory));
    const { replayed } = await replay(smaller, {
      ...results,
      findings: [shrunk!.finding],
      explorations: [{ ...results.explorations![0]!, findings: [shrunk!.finding] }],
    });
    expect(replayed.map(({ sentence }) => sentence)).toEqual([
      expect.stringMatching(/^reproduced: the same/),
    ]);
    expect(readdirSync(found.directory.path).filter((name) => name.includes("trial"))).toEqual([]);
  });

  test("replays byte for byte from a directory that was moved", async () => {
    const moved = join(runs, "moved");
    cpSync(found.directory.path, moved, { recursive: true });
    const away = `${found.directory.path}.away`;
    renameSync(found.directory.path, away);
    try {
      const { replayed } = await replay(runDirectoryAt(moved));
      expect(replayed.length).toBe(results.findings.length);
      expect(replayed.filter(({ reproduced }) => !reproduced)).toEqual([]);
    } finally {
      renameSync(away, found.directory.path);
    }
  });

  test("a crash state with other bytes is not reproduced, and the first file that differs is named", async () => {
    const state = finding.state as RecordedState;
    const phantom = { path: "zzz", size: 1, sha256: "f".repeat(64) };
    const other = { ...state, sha256: "0".repeat(64), files: [...state.files!, phantom] };
    const explorations = [{ ...results.explorations![0]!, findings: [{ ...finding, state: other }] }];
    const { replayed } = await replay(found.directory, { ...results, findings: [], explorations });
    expect(replayed).toHaveLength(1);
    expect(replayed[0]!.sentence).toBe(
      "not reproduced: first difference in the crash state: zzz was 1 bytes with sha256 ffffffffffffffff, and is not there now",
    );
  });

  test("a base with other bytes is another crash state", async () => {
    const damaged = join(runs, "damaged");
    cpSync(found.directory.path, damaged, { recursive: true });
    const { baseDir, baseFile } = runDirectoryAt(damaged);
    writeFileSync(join(baseDir, "stray"), "x");
    writeJson(baseFile, [
      { path: ".", inode: "1:1", directory: true, size: 0 },
      { path: "stray", inode: "1:2", directory: false, size: 1 },
    ]);
    const { replayed } = await replay(runDirectoryAt(damaged));
    const states = replayed.filter(({ finding: one }) => "state" in one);
    expect(states.length).toBeGreaterThan(0);
    expect(states.every(({ reproduced }) => !reproduced)).toBe(true);
  });

  test("a trace that was cut short is never a pass", async () => {
    const cut = join(runs, "cut");
    cpSync(found.directory.path, cut, { recursive: true });
    truncateSync(runDirectoryAt(cut).traceFile, 20_000);
    const again = await explored(runDirectoryAt(cut), found.resolution);
    expect(again.explorations![0]!.verdict).toBe("unknown");
    expect(again.verdict).not.toBe(true);
    const bytes = again.checks.find(({ checker }) => checker === "covering sync by bytes");
    expect(bytes?.verdict).toBe("unknown");
  });
});
