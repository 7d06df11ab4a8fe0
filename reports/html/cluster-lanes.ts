/**
 * What the lanes of a cluster's picture hold, before anything is drawn: for each member its claims to lead and the times it
 * was down, paused or starting; for each link, or group of links where there are many, the faults that acted on it. Only
 * links that a fault acted on have a lane. Pure; knows nothing of pixels but how near two bars may be drawn apart.
 */
import type { ClusterFaultSpan, ClusterResults, Span } from "../../harness/results.ts";
import { firedOf, linksWords } from "../cluster-words.ts";
import { count, duration, moment, visibleLine } from "../wording.ts";

/** One bar in a lane. */
export interface LaneBar extends Span {
  /** CSS classes: its colour and pattern. */
  readonly as: string;
  /** Written on it where it fits, from the fullest to the shortest. */
  readonly labels: readonly string[];
  /** In full, for a pointer; a function, because most bars of a long run are joined and never told. */
  readonly title: () => string;
  /** Only one direction of a pair: drawn in the upper (there) or lower (back) half. */
  readonly half?: "upper" | "lower";
  /** How many it stands for, when it was joined of several; labels and title are the first one's. */
  readonly of?: number;
}

export interface Lane {
  readonly name: string;
  readonly bars: readonly LaneBar[];
}

const directedMax = 8;
const clientLinksMax = 4;
const linkLanesMax = 28;

/** `from 1.2000 s to 1.5000 s (300 ms)`. */
export function during({ from, to }: Span): string {
  return `from ${moment(from)} to ${moment(to)} (${duration(to - from)})`;
}

/** One lane a member, in order. */
export function memberLanes(cluster: ClusterResults): Lane[] {
  return cluster.members.map((member) => {
    const name = visibleLine(member, 16);
    const own = cluster.memberStates.filter((one) => one.member === member);
    const leads = cluster.leaders
      .filter((claim) => claim.member === member)
      .flatMap((claim): LaneBar[] => {
        const term = claim.term === undefined ? "" : `, term ${count(claim.term)}`;
        return without(claim, own).map((part) => ({
          ...{ ...part, as: "leads" },
          labels: [`leads${term}`, "leads", claim.term === undefined ? "" : String(claim.term)],
          title: () => `${name} said that it leads${term}, ${during(claim)}`,
        }));
      });
    const states = own.map(
      (one): LaneBar => ({
        ...{ from: one.from, to: one.to, as: one.state, labels: [one.state] },
        title: () => `${name} ${one.state} ${during(one)}`,
      }),
    );
    return { name, bars: [...leads, ...states] };
  });
}

/** What of a span lies in none of the others: a leader that is paused meanwhile is drawn as paused. */
function without(whole: Span, others: readonly Span[]): Span[] {
  let parts: Span[] = [{ from: whole.from, to: whole.to }];
  for (const { from, to } of others) {
    if (to <= whole.from || from >= whole.to) continue;
    parts = parts.flatMap((part) =>
      to <= part.from || from >= part.to
        ? [part]
        : [
            { from: part.from, to: from },
            { from: to, to: part.to },
          ].filter((rest) => rest.to > rest.from),
    );
  }
  return parts;
}

/** Links that share a lane: those that lead there, and those that lead back. */
interface Strand {
  readonly name: string;
  readonly there: ReadonlySet<string>;
  readonly back: ReadonlySet<string>;
  /** Of how many clients; 0: of members. */
  readonly clients: number;
}

export interface LinkLanes {
  readonly lanes: readonly Lane[];
  /** Groups of links that are not drawn. */
  readonly leftOut: number;
  /** True when several links share a lane. */
  readonly grouped: boolean;
}

/** `colourOf`: the class of a fault's colour, by its name. */
export function linkLanes(cluster: ClusterResults, colourOf: (fault: string) => string): LinkLanes {
  const { members } = cluster;
  const fired = firedOf(cluster);
  const struck = [...new Set(fired.flatMap(({ links }) => links))].sort();
  const between = struck.filter((link) => endsOf(link).every((end) => members.includes(end)));
  const ofClients = struck.filter((link) => !between.includes(link));
  const strands = [
    ...(between.length <= directedMax ? between.map(directed) : pairsOf(between)),
    ...(ofClients.length <= clientLinksMax ? ofClients.map(directed) : perMember(ofClients, cluster)),
  ];
  const shown = strands.slice(0, linkLanesMax);
  const bars = struckBars(shown, fired, members, colourOf);
  return {
    lanes: shown.map(({ name }, index) => ({ name, bars: bars[index]! })),
    leftOut: Math.max(0, strands.length - linkLanesMax),
    grouped: strands.some(({ there, back }) => there.size + back.size > 1),
  };
}

function endsOf(link: string): readonly [string, string] {
  const [from = "", to = ""] = link.split(">");
  return [from, to];
}

function directed(link: string): Strand {
  return { name: endsOf(link).map(short).join(" → "), there: new Set([link]), back: new Set(), clients: 0 };
}

function short(name: string): string {
  return visibleLine(name, 16);
}

function pairsOf(links: readonly string[]): Strand[] {
  const names = new Map<string, readonly [string, string]>();
  for (const link of links) {
    const [from, to] = endsOf(link);
    const pair: readonly [string, string] = from < to ? [from, to] : [to, from];
    names.set(pair.join(">"), pair);
  }
  return [...names.values()].map(([a, b]) => ({
    ...{ name: `${short(a)} ⇄ ${short(b)}`, there: new Set([`${a}>${b}`]), back: new Set([`${b}>${a}`]) },
    clients: 0,
  }));
}

/** All clients' links to one member. */
function perMember(links: readonly string[], cluster: ClusterResults): Strand[] {
  const all = [...new Set([...links, ...Object.keys(cluster.traffic)])];
  return cluster.members
    .map((member) => {
      const isClient = (end: string) => !cluster.members.includes(end);
      const there = all.filter((link) => isClient(endsOf(link)[0]) && endsOf(link)[1] === member);
      const back = all.filter((link) => isClient(endsOf(link)[1]) && endsOf(link)[0] === member);
      const clients = new Set([
        ...there.map((link) => endsOf(link)[0]),
        ...back.map((link) => endsOf(link)[1]),
      ]);
      return {
        ...{ name: `clients ⇄ ${short(member)}`, there: new Set(there), back: new Set(back) },
        clients: clients.size,
      };
    })
    .filter(({ there, back }) => links.some((link) => there.has(link) || back.has(link)));
}

/** For each strand its bars: one for each fault that acted on a link of it. */
function struckBars(
  strands: readonly Strand[],
  fired: readonly ClusterFaultSpan[],
  members: readonly string[],
  colourOf: (fault: string) => string,
): LaneBar[][] {
  const strandOf = new Map<string, number>();
  for (const [index, { there, back }] of strands.entries()) {
    for (const link of [...there, ...back]) strandOf.set(link, index);
  }
  const bars: LaneBar[][] = strands.map(() => []);
  for (const span of fired) {
    const struck = new Map<number, string[]>();
    for (const link of span.links) {
      const index = strandOf.get(link);
      if (index === undefined) continue;
      const own = struck.get(index);
      if (own) own.push(link);
      else struck.set(index, [link]);
    }
    const as = colourOf(span.fault);
    for (const [index, links] of struck)
      bars[index]!.push(struckBar(strands[index]!, span, links, members, as));
  }
  return bars;
}

function struckBar(
  { there, back, clients }: Strand,
  span: ClusterFaultSpan,
  links: readonly string[],
  members: readonly string[],
  as: string,
): LaneBar {
  const forth = links.filter((link) => there.has(link)).length;
  const home = links.length - forth;
  const half = home === 0 ? "upper" : forth === 0 ? "lower" : undefined;
  const name = visibleLine(span.fault, 40);
  const share = clients > 1 ? `${count(Math.max(forth, home))} of ${count(clients)}` : "";
  return {
    ...{ from: span.from, to: span.to, as },
    labels: share === "" ? [name] : [`${name}, ${share}`, share, name],
    title: () =>
      `${name} on ${linksWords(links, members, 4)}${share === "" ? "" : ` (${share} clients)`} ${during(span)}`,
    ...(back.size > 0 && half ? { half } : {}),
  };
}

/**
 * Joins bars of the same look that are less than `gap` ns apart: in a run of many faults they would be drawn on top of each
 * other. Takes them in order of their beginning, and gives them back in it; what it has joined can be joined again.
 */
export function joined(bars: readonly LaneBar[], gap: number): LaneBar[] {
  const last = new Map<string, number>();
  const done: LaneBar[] = [];
  for (const bar of bars) {
    const look = `${bar.as} ${bar.half ?? ""}`;
    const index = last.get(look) ?? -1;
    const before = done[index];
    if (before && bar.from - before.to < gap) {
      const of = (before.of ?? 1) + (bar.of ?? 1);
      done[index] = { ...before, to: Math.max(before.to, bar.to), of };
    } else {
      last.set(look, done.length);
      done.push(bar);
    }
  }
  return done;
}
