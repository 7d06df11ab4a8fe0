/**
 * `acked explore --power-cut real`: power loss on real file systems. Is what is found there a state that the model allows
 * (if not, that is acked's own failure: exit code 4)? And does the store, started on it, serve what it had acknowledged
 * (if not, that is a finding about the store: exit code 1)?
 */
import { resolve } from "node:path";
import { cutPowerForReal, type RealityResults } from "../harness/explore/reality/power-cut.ts";
import { createRunDirectory, writeJson } from "../harness/run-directory.ts";
import type { ResolvedScenario } from "../harness/scenario.ts";
import { healLeftovers } from "../harness/supervisor/active.ts";
import { onInterruption } from "./interruption.ts";
import { relativePath } from "./replay-line.ts";

export interface PowerCutFlags {
  /** The store, its mode, its workloads and the seed. */
  readonly scenario: ResolvedScenario;
  /** No cut begins later than that. */
  readonly seconds: number;
  readonly out: string;
  readonly json: boolean;
  readonly onProgress: (sentence: string) => void;
}

/** Power cuts for each file system: under a program that works on files, and under the store (as many as there is time for). */
const cuts = 12;
const storeCuts = 24;

/** Returns the exit code: 0 all is well, 1 the store is not, 2 unknown or skipped, 4 the model is wrong. */
export async function comparePowerCuts(flags: PowerCutFlags): Promise<number> {
  const { scenario, seconds, out, json, onProgress } = flags;
  const { seed } = scenario;
  const directory = createRunDirectory(out, "power-cut", seed, new Date());
  for (const healed of await healLeftovers(resolve(out)))
    process.stderr.write(`healed what an earlier acked left behind: ${healed}\n`);
  process.stderr.write(
    `acked explore --power-cut real · store ${scenario.store} · seed ${seed} · cuts begin for ${seconds} s\n`,
  );
  const stop = new AbortController();
  const release = onInterruption(() => stop.abort());
  let results: RealityResults;
  try {
    results = await cutPowerForReal({
      ...{ seed, cuts, seconds, onProgress, signal: stop.signal },
      store: { scenario, cuts: storeCuts },
      runsDir: resolve(out),
      runDir: directory.path,
    });
  } finally {
    release();
  }
  const interrupted = stop.signal.aborted;
  const document = {
    formatVersion: 1,
    command: "explore --power-cut real",
    exitCode: exitCodeOf(results, interrupted),
    reasons: [...(interrupted ? ["interrupted"] : []), ...reasonsOf(results)],
    store: scenario.store,
    durability: scenario.durability,
    seed,
    ...results,
  };
  writeJson(`${directory.path}/reality.json`, document);
  if (json) process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  else process.stdout.write(summary(results, document.reasons, scenario, relativePath(directory.path)));
  return document.exitCode;
}

/** A model that is wrong puts everything in doubt, so it comes first. */
function exitCodeOf({ verdict, storeVerdict }: RealityResults, interrupted: boolean): number {
  if (verdict === false) return 4;
  if (storeVerdict === false) return 1;
  return verdict === true && storeVerdict === true && !interrupted ? 0 : 2;
}

function reasonsOf({
  skipped,
  leftOut,
  cuts: made,
  storeCuts: ofStore,
  syncFailures,
}: RealityResults): string[] {
  const keptIn = (path: string | undefined) => (path === undefined ? "" : ` (kept in ${relativePath(path)})`);
  return [
    ...(skipped === undefined ? [] : [`skipped: ${skipped}`]),
    ...leftOut.map((what) => `left out: ${what}`),
    ...[...made, ...ofStore]
      .filter(({ verdict }) => verdict !== "allowed")
      .map(({ fileSystem, seed, verdict, why, kept }) => {
        const what = verdict === "outside" ? "a state outside the model" : "not compared";
        return `${fileSystem}, seed ${seed}: ${what}: ${why ?? "no reason given"}${keptIn(kept)}`;
      }),
    ...ofStore
      .filter(({ recovered, verdict }) => recovered !== "right" && verdict !== "unknown")
      .map(({ fileSystem, seed, findings: [first, ...others], unsure, kept }) => {
        const what = first
          ? `${first.kind}: ${first.sentence}`
          : `not judged: ${unsure ?? "no reason given"}`;
        const more = others.length > 0 ? `, and ${others.length} more findings` : "";
        return `${fileSystem}, seed ${seed}: ${what}${more}${keptIn(kept)}`;
      }),
    ...syncFailures
      .filter(({ verdict }) => verdict !== "holds")
      .map(
        (one) =>
          `${one.fileSystem}: the rule "${one.rule}" is ${one.verdict}: ${one.why ?? "no reason given"}`,
      ),
  ];
}

function summary(
  results: RealityResults,
  reasons: readonly string[],
  { store, durability }: ResolvedScenario,
  place: string,
): string {
  const { verdict, storeVerdict = "unknown", syncFailures, kernel, elapsedMs } = results;
  const ofModel = {
    true: "THE MODEL HOLDS",
    false: "THE MODEL IS WRONG",
    unknown: "THE MODEL: UNKNOWN",
  } as const;
  const ofStore = { true: "RECOVERED RIGHT", false: "BROKEN", unknown: "UNKNOWN" } as const;
  const mode = durability.mode === "interval" ? `interval:${durability.intervalMs}` : durability.mode;
  const name = `${store} (${mode})`;
  const lines = [
    `${ofModel[`${verdict}`]} · ${name}: ${ofStore[`${storeVerdict}`]} (kernel ${kernel}, ${(elapsedMs / 1000).toFixed(1)} s)`,
    ...reasons.map((reason) => `  ${reason}`),
    ...table(results, name),
    ...syncFailures.map(({ fileSystem, rule, verdict: held }) => `  ${fileSystem}: ${held}: ${rule}`),
    `  details: ${place}/reality.json`,
  ];
  return `${lines.join("\n")}\n`;
}

/** One row for each file system and what ran on it. */
function table({ cuts: made, storeCuts: ofStore }: RealityResults, store: string): string[] {
  const rows: string[][] = [];
  const systems = [...new Set([...made, ...ofStore].map(({ fileSystem }) => fileSystem))];
  for (const system of systems) {
    for (const [name, all] of [
      ["a program", made],
      [store, ofStore],
    ] as const) {
      const own = all.filter(({ fileSystem }) => fileSystem === system);
      if (own.length === 0) continue;
      const count = (wanted: string) => String(own.filter(({ verdict }) => verdict === wanted).length);
      const judged = ofStore.filter(({ fileSystem }) => fileSystem === system);
      const served = (wanted: string) =>
        all === ofStore ? String(judged.filter(({ recovered }) => recovered === wanted).length) : "-";
      rows.push([
        ...[`${system} (${own[0]!.profile})`, name, String(own.length)],
        ...[count("allowed"), count("outside"), count("unknown")],
        ...[String(own.reduce((sum, { pending }) => sum + pending, 0))],
        ...[served("right"), served("wrong"), served("unknown")],
      ]);
    }
  }
  if (rows.length === 0) return [];
  const all = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  return all.map((row) => {
    const cells = row.map((cell, at) => (at < 2 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!)));
    return `  ${cells.join("  ")}`;
  });
}

/** Calls pending at the cut are summed over all cuts: without any, a cut shows nothing. */
const headings = [
  ...["file system", "under", "cuts", "allowed", "outside", "not compared", "calls pending"],
  ...["recovered right", "wrong", "unknown"],
];
