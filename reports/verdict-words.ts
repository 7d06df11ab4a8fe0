/**
 * What a run's verdict is in words: the first line and the sentence of every report, and what nothing lost in n crashes,
 * or nothing broken in n storms of a cluster, allows to say. It words a verdict; it never decides one.
 */
import type { ClusterResults, ExplorationResults, NotCovered, RunResults } from "../harness/results.ts";
import { firedOf, leaderWords, stormsReadBack, stormsWords } from "./cluster-words.ts";
import { count, counted, verdictWord, visibleLine } from "./wording.ts";

/** The first words of every report: `PASS`, `PASS, without disk faults (no C compiler)`, `VIOLATION: stale-read`. */
export function verdictLine(results: RunResults): string {
  const word = verdictWord(results.verdict);
  const kind = results.verdict === false ? results.findings[0]?.kind : undefined;
  if (kind !== undefined) return `${word}: ${visibleLine(kind, 60)}`;
  const without = results.verdict === true ? leftOut(results.notCovered) : "";
  return without === "" ? word : `${word}, without ${without}`;
}

/** One sentence: of what. */
export function verdictSentence(results: RunResults): string {
  if (results.verdict === false) {
    const first = results.findings[0];
    if (first) return visibleLine(first.sentence, 400);
    return visibleLine(results.reasons[0] ?? "A check failed; see the table of checks.", 400);
  }
  if (results.verdict === "unknown") {
    const reason =
      results.reasons[0] ?? results.checks.find((check) => check.verdict === "unknown")?.reasons[0];
    return visibleLine(reason ?? "The run did not do enough to be judged.", 400);
  }
  const acknowledged = results.counts.acknowledged ?? 0;
  const name = visibleLine(results.store.name, 60);
  return `${name} kept its promise for mode ${results.durability}: no violation in ${counted(acknowledged, "acknowledged operation")} ${through(results)}.`;
}

/** What the acknowledged operations went through. */
function through(results: RunResults): string {
  if (results.cluster) return `through ${stormsWords(results.cluster)}`;
  const crashes = results.counts.crashes ?? 0;
  const states = statesRecovered(results);
  return [
    crashes === 0 ? (states === 0 ? "without any crash" : "") : `and ${counted(crashes, "crash", "crashes")}`,
    states === 0 ? "" : `and ${counted(states, "crash state")}`,
    results.sweep ? `and ${counted(results.sweep.trials, "single failure")}` : "",
  ]
    .filter(Boolean)
    .join(" ");
}

/**
 * Names of what this machine lacked, grouped by reason, for the line of the verdict: "short-write, torn-write (no C
 * compiler)". Only entries with a remedy: what acked does not model at all has none, and stands under *not covered*.
 */
export function leftOut(notCovered: readonly NotCovered[]): string {
  const byReason = new Map<string, string[]>();
  for (const entry of notCovered) {
    if (entry.remedy === undefined) continue;
    const names = byReason.get(entry.why);
    if (names) names.push(entry.what);
    else byReason.set(entry.why, [entry.what]);
  }
  const groups = [...byReason].map(
    ([why, names]) => `${names.map((name) => visibleLine(name, 60)).join(", ")} (${visibleLine(why, 80)})`,
  );
  return groups.length <= 2
    ? groups.join(" and ")
    : `${groups.slice(0, 2).join(", ")} and ${groups.length - 2} more`;
}

/**
 * What zero losses in n crashes means; what it means to lose nothing depends on the mode. Of a cluster: what its storms
 * did, and what zero broken promises in n of them means.
 */
export function crashSentence(results: RunResults): string {
  if (results.cluster) return stormSentence(results, results.cluster);
  const crashes = results.counts.crashesReadBack ?? results.counts.crashes ?? 0;
  const states = statesRecovered(results);
  if (crashes === 0 && states > 0) {
    return `${counted(states, "crash state")} of one traced run: what its profiles allow at its crash points. It says nothing of states left out, nor of other runs.`;
  }
  if (crashes === 0) return "No crash: this run says nothing about crashes.";
  const n = `${counted(crashes, "crash", "crashes")}${results.counts.crashesReadBack === undefined ? "" : " that were read back after"}`;
  if (results.verdict !== true) return `${n}; only a pass allows an estimate of how rare a loss is.`;
  const lost = results.checks.some((check) => (check.checked.acknowledgedOperationsLost ?? 0) > 0);
  const always = results.durability === "always" && !lost;
  const zero = always ? "0 lost" : "0 broken promises";
  const [one, many] = always ? ["loses data", "lose data"] : ["breaks the promise", "break the promise"];
  return `${zero} in ${n}: ${atMost(crashes, "crashes of these kinds", one, many)}. It says nothing of kinds not listed.`;
}

/**
 * The 95% upper bound of a rate of which nothing was seen in n: the rule of three, 3/n, from n = 30 on, and the exact
 * 1 - 0.05^(1/n) below (Hanley & Lippman-Hand 1983).
 */
function atMost(n: number, of: string, one: string, many: string): string {
  const rate =
    n >= 30
      ? `1 in ${count(Math.floor(n / 3))} ${of} ${one}`
      : `${Math.ceil(100 * (1 - 0.05 ** (1 / n)))}% of ${of} ${many}`;
  return `with 95% confidence fewer than ${rate}`;
}

/** A storm counts when every member was read after it. One without faults says nothing of faults. */
function stormSentence(results: RunResults, cluster: ClusterResults): string {
  const did = `${sentenceCase(stormsWords(cluster))}; ${leaderWords(cluster)}.`;
  const storms = stormsReadBack(cluster);
  if (firedOf(cluster).length === 0) return `${did} This run says nothing about faults.`;
  if (results.verdict !== true)
    return `${did} Only a pass allows an estimate of how rare a broken promise is.`;
  if (storms === 0) return did;
  return `${did} 0 broken promises in ${counted(storms, "such storm")} read back after: ${atMost(storms, "storms like these", "breaks one", "break one")}.`;
}

function sentenceCase(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The verdict of an exploration; one that reached only part of the crash points has not passed. */
export function exploredWord({ verdict, scenes }: ExplorationResults): string {
  const { crashPoints = 0, crashPointsExplored = 0 } = scenes[0] ?? {};
  return verdict === true && crashPointsExplored < crashPoints
    ? `nothing found in ${count(crashPointsExplored)} of ${counted(crashPoints, "crash point")}`
    : verdictWord(verdict);
}

/** Crash states recovered and judged, over all profiles and scenes. */
export function statesRecovered(results: RunResults): number {
  return (results.explorations ?? []).reduce((sum, explored) => sum + statesOf(explored), 0);
}

/** Recovering a state a second time makes it no second state. */
export function statesOf({ scenes }: ExplorationResults): number {
  return scenes
    .filter(({ name }) => name !== "recovered twice")
    .reduce((sum, scene) => sum + scene.recovered, 0);
}
