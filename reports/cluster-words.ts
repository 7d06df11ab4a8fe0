/**
 * A run of a cluster in words, for every report: which faults fired on members, on the network and on the cluster as a
 * whole; how often the leader was seen to change; what was measured, and whether it is held against the store; how long
 * it took to serve again. It reads `ClusterResults` only, and decides nothing: what is held against a store is what its
 * judge made a finding of.
 */
import type { FindingKind } from "../harness/checkers/contract.ts";
import type { ClusterFaultSpan, ClusterResults, RunResults } from "../harness/results.ts";
import { count, counted, duration, medianAndMax, visibleLine } from "./wording.ts";

/** What a fault acted on: a member, links of the network, or the cluster as a whole. */
export type FaultPlace = "member" | "network" | "cluster";

export function placeOf({ target, links }: ClusterFaultSpan, members: readonly string[]): FaultPlace {
  if (links.length > 0 || target === "network") return "network";
  return members.includes(target) ? "member" : "cluster";
}

/** Faults with evidence that they took effect. */
export function firedOf({ faults }: ClusterResults): readonly ClusterFaultSpan[] {
  return faults.filter(({ evidence }) => evidence !== undefined);
}

export function stormsOf({ phases }: ClusterResults): number {
  return phases.filter(({ phase }) => phase === "storm").length;
}

/** Storms in which a fault fired, and after which every member was read. */
export function stormsReadBack(cluster: ClusterResults): number {
  const read = new Set(cluster.phases.filter(({ phase }) => phase === "reads").map(({ round }) => round));
  const fired = firedOf(cluster);
  return cluster.phases.filter(
    ({ phase, round, from, to }) =>
      phase === "storm" && read.has(round) && fired.some((fault) => fault.from <= to && fault.to >= from),
  ).length;
}

/** `2 storms: 3 faults on members (n1 2, n2 1), 1 on the network`, `1 storm without a fault`. */
export function stormsWords(cluster: ClusterResults): string {
  const storms = counted(stormsOf(cluster), "storm");
  const fired = firedOf(cluster);
  const on = (place: FaultPlace) => fired.filter((fault) => placeOf(fault, cluster.members) === place);
  const [member, network, whole] = [on("member"), on("network"), on("cluster")];
  const perMember = cluster.members
    .map((name) => ({ name, faults: member.filter(({ target }) => target === name).length }))
    .filter(({ faults }) => faults > 0)
    .map(({ name, faults }) => `${visibleLine(name, 20)} ${count(faults)}`);
  const parts = [
    [member.length, `members (${perMember.join(", ")})`] as const,
    [network.length, "the network"] as const,
    [whole.length, "the whole cluster"] as const,
  ].filter(([faults]) => faults > 0);
  if (parts.length === 0) return `${storms} without a fault`;
  const [first, ...others] = parts.map(([faults, where], index) =>
    index === 0 ? `${counted(faults, "fault")} on ${where}` : `${count(faults)} on ${where}`,
  );
  return `${storms} with ${[first, ...others].join(", ")}`;
}

/** Changes between two members' claims in the order in which they began; a new term of the same member is none. */
export function leaderChanges({ leaders }: ClusterResults): number {
  const inOrder = [...leaders].sort((a, b) => a.from - b.from);
  return inOrder.filter(({ member }, index) => index > 0 && member !== inOrder[index - 1]!.member).length;
}

/** Members are asked a few times a second: a leader for less than that was not seen. */
export function leaderWords(cluster: ClusterResults): string {
  if (cluster.leaders.length === 0) return "no member was seen to lead";
  const changes = leaderChanges(cluster);
  if (changes === 0) return `no leader but ${visibleLine(cluster.leaders[0]!.member, 20)} was seen`;
  return `the leader was seen to change ${times(changes)}`;
}

function times(value: number): string {
  return value === 1 ? "once" : value === 2 ? "twice" : `${count(value)} times`;
}

export function networkWords({ network }: ClusterResults): string {
  return network === "proxies" ? "user-space proxies" : "network namespaces";
}

/** One thing that was measured. */
export interface Measurement {
  readonly what: string;
  /** What it came to. */
  readonly words: string;
  /** True when there is something that could be held against the store. */
  readonly seen: boolean;
  /** Whether it is; empty when there is nothing. */
  readonly held: string;
}

/**
 * Lost acknowledged writes (of the insertions into sets and lists, which leave a mark of their own), stale reads and split
 * brain, in this order. What could not be measured says so.
 */
export function measurements(results: RunResults, cluster: ClusterResults): readonly Measurement[] {
  const { lostAcknowledged: lost, staleReads: stale, splitBrain } = cluster.measured;
  const of = (what: string, seen: boolean, kinds: readonly FindingKind[], words: string): Measurement => ({
    ...{ what, words, seen },
    held: seen ? heldWords(results, cluster, kinds) : "",
  });
  return [
    of("lost acknowledged writes", lost.count > 0, ["lost-acknowledged-write"], lostWords(lost)),
    of("stale reads", stale.count > 0, ["stale-read", "not-linearizable"], staleWords(stale)),
    of("split brain", splitBrain.length > 0, ["split-brain"], splitWords(cluster)),
  ];
}

/** All of it in one sentence, with whether it is held against the store; empty when the run is not of a cluster. */
export function measuredSentence(results: RunResults): string {
  if (!results.cluster) return "";
  const all = measurements(results, results.cluster);
  const judged = [...new Set(all.filter(({ seen }) => seen).map(({ held }) => held))];
  const alike = judged.length === 1 && all.every(({ seen }) => seen);
  const parts = all.map(
    ({ what, words, held }) => `${what}: ${words}${held === "" || alike ? "" : ` (${held})`}`,
  );
  return `${parts.join(" · ")}${alike ? `; ${judged[0]}` : ""}`;
}

/** What became of the cluster beside the store; empty without one. */
export function pairSentence(results: RunResults): string {
  const { pair } = results;
  if (!pair) return "";
  const own = { ...results, cluster: pair.cluster };
  const wrong = results.findings.some(({ sentence }) => sentence.startsWith(`${pair.store}: `));
  const said = wrong ? "see what was found" : "nothing found";
  return `${pair.store}: ${said} in ${count(pair.operations)} operations through ${stormsWords(pair.cluster)}; ${measuredSentence(own)}`;
}

function lostWords({ count: lost, of, spanMs }: ClusterResults["measured"]["lostAcknowledged"]): string {
  if (of === 0) return "not measured, no acknowledged insertion into a set or list could be looked for";
  if (lost === 0) return `none of ${count(of)}`;
  return `${count(lost)} of ${count(of)}, acknowledged over ${duration(spanMs * 1e6)}`;
}

function staleWords({ count: stale, of, oldestMs }: ClusterResults["measured"]["staleReads"]): string {
  if (of === 0) return "not measured, no read that tells its write was answered";
  if (stale === 0) return `none of ${count(of)}`;
  return `${count(stale)} of ${count(of)}, the oldest ${duration(oldestMs * 1e6)} behind`;
}

function splitWords({ leaders, measured: { splitBrain } }: ClusterResults): string {
  if (splitBrain.length > 0) {
    const ns = splitBrain.reduce((sum, { from, to }) => sum + to - from, 0);
    const writes = splitBrain.reduce((sum, span) => sum + span.writes, 0);
    const members = [...new Set(splitBrain.flatMap((span) => span.members))].map((name) =>
      visibleLine(name, 20),
    );
    return `${times(splitBrain.length)}, ${duration(ns)} in all, ${counted(writes, "write")} acknowledged by ${members.join(" and ")} meanwhile`;
  }
  return leaders.length === 0 ? "not measured, no member said that it led" : "none seen";
}

/** By the findings of the judge, and by what it only observed. */
function heldWords(results: RunResults, cluster: ClusterResults, kinds: readonly FindingKind[]): string {
  const findings = [...results.findings, ...results.checks.flatMap((check) => check.findings)];
  const held = findings.some(({ kind }) => kinds.includes(kind));
  const excused = cluster.measured.observed.some((said) => kinds.some((kind) => said.startsWith(`${kind}:`)));
  if (held) return excused ? "in part held against the store" : "held against the store";
  return excused ? "not promised, not held against the store" : "no finding names it";
}

/** `median 92 ms, max 489 ms over 4 faults, the longest after stop on n1`; empty when no fault fired. */
export function servingAgainWords(cluster: ClusterResults): string {
  const fired = firedOf(cluster);
  const again = fired.filter(({ servingAgainMs }) => servingAgainMs !== undefined);
  const never = fired.filter(({ servingAgainMs }) => servingAgainMs === undefined);
  const longest = longestOf(again, ({ servingAgainMs }) => servingAgainMs ?? 0);
  const served = medianAndMax(
    again.map(({ servingAgainMs }) => servingAgainMs!),
    "fault",
  );
  return [
    longest ? `${served}, the longest after ${faultWords(longest, cluster.members)}` : "",
    never[0]
      ? `no write acknowledged any more after ${never.length === 1 ? "" : `${counted(never.length, "fault")}, the first of them `}${faultWords(never[0], cluster.members)}`
      : "",
  ]
    .filter(Boolean)
    .join("; ");
}

/** `up to 1.06 s while kill on n2 was in force`; empty when no fault kept everything from being acknowledged. */
export function unavailableWords(cluster: ClusterResults): string {
  const longest = longestOf(firedOf(cluster), ({ unavailableMs }) => unavailableMs);
  if (!longest || longest.unavailableMs === 0) return "";
  return `up to ${duration(longest.unavailableMs * 1e6)} while ${faultWords(longest, cluster.members)} was in force`;
}

function longestOf(
  spans: readonly ClusterFaultSpan[],
  ms: (span: ClusterFaultSpan) => number,
): ClusterFaultSpan | undefined {
  return spans.reduce<ClusterFaultSpan | undefined>(
    (longest, span) => (longest === undefined || ms(span) > ms(longest) ? span : longest),
    undefined,
  );
}

/** `kill on n2`, `halves on n1 ⇄ n2`, `failover`. */
export function faultWords(span: ClusterFaultSpan, members: readonly string[]): string {
  const name = visibleLine(span.fault, 40);
  const place = placeOf(span, members);
  if (place === "cluster") return name;
  if (place === "network" && span.links.length === 0) return `${name} on the network`;
  return `${name} on ${place === "member" ? visibleLine(span.target, 20) : linksWords(span.links, members, 2)}`;
}

/**
 * Directed links, both directions of a pair together and clients counted: `n1 ⇄ n2, n1 → n3, 8 clients ⇄ n1`; at most
 * `most` of them, then how many more. Up to `named` clients of one kind are named.
 */
export function linksWords(
  links: readonly string[],
  members: readonly string[],
  most = 6,
  named = 1,
): string {
  const struck = new Set(links);
  const between: string[] = [];
  const ofClients = new Map<string, string[]>();
  for (const link of struck) {
    const [from = "", to = ""] = link.split(">");
    const both = struck.has(`${to}>${from}`);
    const [fromMember, toMember] = [members.includes(from), members.includes(to)];
    if (fromMember === toMember) {
      if (!both) between.push(`${from} → ${to}`);
      else if (from < to) between.push(`${from} ⇄ ${to}`);
    } else if (!both || toMember) {
      const where = `${both ? "⇄" : toMember ? "→" : "←"} ${toMember ? to : from}`;
      ofClients.set(where, [...(ofClients.get(where) ?? []), toMember ? from : to]);
    }
  }
  const clients = [...ofClients].map(
    ([where, names]) =>
      `${names.length <= named ? names.join(", ") : counted(names.length, "client")} ${where}`,
  );
  const all = [...between.sort(), ...clients.sort()];
  const shown = all.slice(0, most).map((one) => visibleLine(one, 60));
  const rest = all.length - shown.length;
  return rest > 0 ? `${shown.join(", ")} and ${count(rest)} more` : shown.join(", ");
}
