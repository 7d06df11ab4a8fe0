/**
 * Known truths about real stores, found again by acked: each is one command that anybody can run. A store that is not
 * installed here is skipped aloud, unless ACKED_REQUIRE names it.
 *
 * The explorations are short, so that their verdict may be unknown (not every crash point was reached); what is asserted
 * is what was found and how much was lost. Which states of a run are reached varies, what is said of them does not:
 * a store that loses nothing must lose nothing in any state, and a lossy one loses in nearly every state under load.
 */
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, describe, expect, test, vi } from "vitest";
import { childProgram } from "../harness/package-root.ts";
import type { ExplorationResults, RunResults } from "../harness/results.ts";
import { findStore } from "./index.ts";

const required = (process.env.ACKED_REQUIRE ?? "").split(",");
const scratch = mkdtempSync(join(tmpdir(), "acked-truths-"));
chmodSync(scratch, 0o755); // Postgres runs as another user when this test runs as root
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const commandDeadlineMs = 120_000;
vi.setConfig({ testTimeout: commandDeadlineMs + 5000 });

async function whySkipped(name: string): Promise<string | undefined> {
  const missing = await (await findStore(name)).unavailable?.();
  if (missing === undefined || required.includes(name.split("-")[0]!)) return undefined;
  console.warn(`SKIPPED: known truths about ${name}: ${missing}`);
  return missing;
}

/** Runs `acked <line>`, and gives what it left in results.json. */
async function acked(line: string): Promise<RunResults> {
  const args = [childProgram("scripts/acked.js"), ...line.split(" "), "--json", "--out", "runs"];
  const run = await execa(process.execPath, args, {
    cwd: scratch,
    reject: false,
    timeout: commandDeadlineMs,
  });
  expect([0, 1, 2], `acked ${line}: ${run.stderr.slice(-500)}`).toContain(run.exitCode);
  const { runDir } = JSON.parse(run.stdout) as { runDir: string };
  return JSON.parse(readFileSync(join(scratch, runDir, "results.json"), "utf8")) as RunResults;
}

/** Seconds of exploring; a machine so busy that fewer states than were asked for came of them gets the longer time. */
const exploreSeconds = [6, 20] as const;

async function explored(
  store: string,
  durability: string,
  moreStatesThan = 0,
): Promise<{ results: RunResults } & Explored> {
  for (const seconds of exploreSeconds) {
    const line = `explore --store ${store} --durability ${durability} --workload kv --profile ext4-ordered --seconds ${seconds} --seed 7`;
    const results = await acked(line);
    const one = results.explorations?.[0];
    expect(one, "the trace was explored").toBeDefined();
    const found = { results, ...seen(one!) };
    if (found.states > moreStatesThan || seconds === exploreSeconds.at(-1)) return found;
  }
  throw new Error("there is a last of the times");
}

interface Explored {
  /** Acknowledged writes, and ms, lost as the promise allows. */
  readonly lostWrites: number;
  readonly lostMs: number;
  readonly states: number;
}

function seen({ run, scenes }: ExplorationResults): Explored {
  return {
    lostWrites: run.lostWritesMax ?? 0,
    lostMs: run.lostMsMax ?? 0,
    states: scenes[0]?.recovered ?? 0,
  };
}

const kinds = ({ findings }: RunResults) => [...new Set(findings.map(({ kind }) => kind))];

describe.skipIf(await whySkipped("redis"))("Redis", () => {
  test("everysec loses a bounded window on power loss, measured in writes and ms", async () => {
    const { results, lostWrites, lostMs, states } = await explored("redis", "interval:1000", 5);
    expect(kinds(results)).toEqual([]);
    expect(states).toBeGreaterThan(5);
    expect(lostWrites).toBeGreaterThan(0);
    expect(lostMs).toBeGreaterThan(0);
    expect(lostMs).toBeLessThanOrEqual(2000);
  });

  test("always loses nothing", async () => {
    const { results, lostWrites, states } = await explored("redis", "always", 5);
    expect(kinds(results)).toEqual([]);
    expect(states).toBeGreaterThan(5);
    expect(lostWrites).toBe(0);
  });

  test("exits when a sync fails, and acknowledges nothing that it was to cover", async () => {
    const results = await acked("chaos --store redis --fault sync-error --seconds 4 --seed 7");
    const { fired = 0 } = results.faults.find(({ name }) => name === "sync-error") ?? {};
    expect(kinds(results)).toEqual([]);
    expect(fired).toBeGreaterThan(0);
    expect(results.counts.stoppedItself).toBe(fired);
  });
});

describe.skipIf(await whySkipped("sqlite"))("SQLite in WAL mode", () => {
  test("with synchronous = FULL loses nothing", async () => {
    const { results, lostWrites, states } = await explored("sqlite", "always", 5);
    expect(kinds(results)).toEqual([]);
    expect(states).toBeGreaterThan(5);
    expect(lostWrites).toBe(0);
  });

  test("with synchronous = NORMAL loses acknowledged commits on power loss, and stays consistent", async () => {
    const { results, lostWrites, states } = await explored("sqlite-normal", "none", 5);
    expect(kinds(results)).toEqual([]);
    expect(states).toBeGreaterThan(5);
    expect(lostWrites).toBeGreaterThan(0);
  });
});

describe.skipIf(await whySkipped("postgres"))("the bundled Postgres", () => {
  test("survives", async () => {
    const { results, lostWrites, states } = await explored("postgres", "always", 2);
    expect(kinds(results)).toEqual([]);
    expect(states).toBeGreaterThan(2);
    expect(lostWrites).toBe(0);
  });

  test("with fsync = off does not: acknowledged writes are gone, or it does not start", async () => {
    const { results, lostWrites } = await explored("postgres-fsync-off", "none");
    expect(lostWrites + results.findings.length).toBeGreaterThan(0);
  });
});

describe("a directory of JSON files", () => {
  test("written with plain writeFile is torn, and its application does not start", async () => {
    const { results } = await explored("json-files", "none");
    expect(kinds(results)).toContain("did-not-recover");
    expect(results.findings[0]!.sentence).toMatch(/\.json \(\d+ bytes\) cannot be read/);
  });
});
