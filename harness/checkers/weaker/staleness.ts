/**
 * How stale reads were, measured from below (in the spirit of Golab, Li and Shah 2011, Δ-atomicity, made a lower bound).
 *
 * A version had certainly been there from the moment it was acknowledged or returned to a reader, or what replaced it by a
 * compare-and-set was. It is certainly newer than v if its write was sent after v had certainly been there, or if it is
 * what a compare-and-set replaced v by. The age of a read of v is the time from the earliest moment at which a
 * newer version had certainly been there to the read's invocation; 0 when there is none. Versions behind are counted alike.
 *
 * Verified: no read is older than the bound, if one is given. The measure is exact in that it uses all of the above, and
 * deterministic. The true age may be greater: versions of overlapping writes count as neither newer nor older.
 * A read of a value that several writes or deletes could have left gets the least age that any of them allows.
 */
import type { History } from "../../history/history.ts";
import type { Operation } from "../../history/operation.ts";
import { registerModel } from "../../models/register.ts";
import type { CheckContext, CheckResult } from "../contract.ts";
import { Gathering, inOrder, seconds } from "../findings.ts";
import { type Access, type InitialValues, type Version, versionName, versionsOf } from "./versions.ts";

export interface StalenessOptions {
  /** The oldest a read may be, in ms; without it the verdict is true, with the measure. */
  readonly boundMs?: number;
  /** Values of keys before the first operation; keys that are not named have none. */
  readonly initial?: InitialValues;
}

/** One read's lower bounds. */
export interface ReadAge {
  readonly read: Operation;
  /** ns; 0: nothing newer had certainly been there. */
  readonly ageNs: number;
  /** How many newer versions had certainly been there. */
  readonly versions: number;
  /** The operation whose end shows that a newer version was there, and the newer version; absent at age 0. */
  readonly shownBy?: Operation;
  readonly newer?: Version;
  readonly saw: Version;
}

export interface StalenessResult extends CheckResult {
  /** The oldest read, as a sentence with its operations; absent when no read was stale. */
  readonly worst?: {
    readonly sentence: string;
    readonly operations: readonly Operation[];
    readonly ageMs: number;
  };
}

/**
 * Measures every acknowledged read, and every refused compare-and-set that said what it saw. `checked` holds
 * `reads, staleReads, versionsBehindMax` and, in ms, `ageMsP50, ageMsP90, ageMsP99, ageMsMax` over all measured reads.
 */
export function measureStaleness(
  history: History,
  context: CheckContext,
  options: StalenessOptions = {},
): StalenessResult {
  const bounded = options.boundMs === undefined ? "measured" : `at most ${options.boundMs} ms`;
  const gathering = new Gathering(`staleness (${bounded})`, context);
  const { accesses, phantoms, refused } = versionsOf(history.operations, options.initial);
  if (refused) gathering.reasons.push(refused);
  gathering.findings.push(...phantoms);
  const ages = agesOf(accesses);
  if (!refused && ages.length === 0) gathering.reasons.push("nothing was read, so no staleness was measured");
  summarise(ages, gathering);
  const oldest = ages.reduce<ReadAge | undefined>((a, b) => (a && a.ageNs >= b.ageNs ? a : b), undefined);
  const worst = oldest && oldest.ageNs > 0 ? told(oldest) : undefined;
  const tooOld = ages.filter(({ ageNs }) => ageNs > (options.boundMs ?? Number.POSITIVE_INFINITY) * 1e6);
  const workload = history.operations[0]?.workload;
  if (worst && oldest && tooOld.length > 0) {
    const { sentence, operations } = worst;
    const bound = `; the bound is ${options.boundMs} ms`;
    gathering.findings.push({
      kind: "too-stale",
      ...(workload ? { workload } : {}),
      key: oldest.read.key,
      operations,
      sentence: `${sentence}${bound}`,
      count: tooOld.length,
    });
  }
  return { ...gathering.result(workload), ...(worst ? { worst } : {}) };
}

/** The age of each read, in order of invocation. */
export function agesOf(accesses: readonly Access[]): ReadAge[] {
  const byKey = new Map<string, Access[]>();
  for (const access of accesses) {
    const ofKey = byKey.get(access.operation.key);
    if (ofKey) ofKey.push(access);
    else byKey.set(access.operation.key, [access]);
  }
  return [...byKey.values()]
    .flatMap((ofKey) => new KeyAges(ofKey).ages())
    .sort((a, b) => a.read.call - b.read.call);
}

/** When a version had certainly been there: the rank, and who had seen or written which version to show it. */
interface Known {
  readonly rank: number;
  readonly by: Operation | undefined;
  /** The version itself, or one that replaced it by way of compare-and-sets. */
  readonly version: Version;
}

class KeyAges {
  readonly #accesses: readonly Access[];
  readonly #known = new Map<Version, Known>();
  readonly #replacedBy = new Map<Version, Version>();
  /** Versions by the invocation of their writes, and for each place the earliest known from there on. */
  readonly #written: Version[] = [];
  readonly #earliestFrom: (Known | undefined)[] = [];

  constructor(accesses: readonly Access[]) {
    this.#accesses = accesses;
    for (const { operation, reads, writes } of accesses) {
      if (writes) this.#written.push(writes);
      if (reads && writes) this.#replacedBy.set(reads, writes);
      if (operation.outcome !== "ok") continue;
      for (const version of [reads, writes]) {
        if (version) this.#learn(version, { rank: operation.return, by: operation, version });
      }
    }
    this.#written.sort((a, b) => a.writer!.call - b.writer!.call);
    this.#learnFromReplacements();
    let earliest: Known | undefined;
    for (let i = this.#written.length - 1; i >= 0; i--) {
      earliest = earlier(earliest, this.#knownOf(this.#written[i]!));
      this.#earliestFrom[i] = earliest;
    }
  }

  ages(): ReadAge[] {
    const reads = this.#accesses.filter(
      ({ operation, candidates, writes }) => candidates && !writes && operation.f !== "delete",
    );
    const counts = new VersionsBehind(this.#written, (version) => this.#knownOf(version).rank);
    return reads.map(({ operation, candidates }) => {
      counts.upTo(operation.call);
      const ages = candidates!.map((saw) => this.#age(operation, saw, counts));
      return ages.reduce((least, age) => (age.ageNs < least.ageNs ? age : least));
    });
  }

  #age(read: Operation, saw: Version, counts: VersionsBehind): ReadAge {
    const sawKnown = this.#knownOf(saw).rank;
    const next = this.#replacedBy.get(saw);
    const sentAfter = this.#earliestFrom[firstSentAfter(this.#written, sawKnown)];
    const newer = earlier(next && this.#knownOf(next), sentAfter);
    if (!newer?.by || newer.rank >= read.call) return { read, saw, ageNs: 0, versions: 0 };
    const ageNs = Math.max(0, read.calledAt - newer.by.returnedAt);
    const versions = Math.max(1, counts.sentAfter(sawKnown));
    return { read, saw, ageNs, versions, shownBy: newer.by, newer: newer.version };
  }

  #learn(version: Version, known: Known): void {
    if (known.rank < this.#knownOf(version).rank) this.#known.set(version, known);
  }

  #knownOf(version: Version): Known {
    const initially = version.writer ? Number.POSITIVE_INFINITY : -1;
    return this.#known.get(version) ?? { rank: initially, by: undefined, version };
  }

  /** What was replaced had been there before whatever replaced it; from the end of each chain back. */
  #learnFromReplacements(): void {
    const done = new Set<Version>();
    for (const start of this.#replacedBy.keys()) {
      const chain: Version[] = [];
      for (let at: Version | undefined = start; at && !done.has(at); at = this.#replacedBy.get(at)) {
        chain.push(at);
        done.add(at);
      }
      for (const one of chain.reverse()) {
        const next = this.#replacedBy.get(one);
        if (next && one.writer) this.#learn(one, this.#knownOf(next));
      }
    }
  }
}

function earlier(a: Known | undefined, b: Known | undefined): Known | undefined {
  if (!a || !b) return a ?? b;
  return b.rank < a.rank ? b : a;
}

function firstSentAfter(written: readonly Version[], rank: number): number {
  let [low, high] = [0, written.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (written[middle]!.writer!.call > rank) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** How many versions were known by a moment and sent after another: a Fenwick tree (1994) over the order of sending. */
class VersionsBehind {
  readonly #written: readonly Version[];
  readonly #sums: Int32Array;
  /** Places in `written`, by the rank at which their versions were known. */
  readonly #pending: { readonly place: number; readonly rank: number }[];

  constructor(written: readonly Version[], knownAt: (version: Version) => number) {
    this.#written = written;
    this.#sums = new Int32Array(written.length + 1);
    this.#pending = written
      .map((version, place) => ({ place, rank: knownAt(version) }))
      .sort((a, b) => b.rank - a.rank);
  }

  /** Ranks must not decrease from call to call. */
  upTo(rank: number): void {
    while ((this.#pending.at(-1)?.rank ?? Number.POSITIVE_INFINITY) < rank) {
      for (let i = this.#pending.pop()!.place + 1; i < this.#sums.length; i += i & -i) this.#sums[i]!++;
    }
  }

  sentAfter(rank: number): number {
    return this.#sumOf(this.#written.length) - this.#sumOf(firstSentAfter(this.#written, rank));
  }

  #sumOf(places: number): number {
    let sum = 0;
    for (let i = places; i > 0; i -= i & -i) sum += this.#sums[i]!;
    return sum;
  }
}

function summarise(ages: readonly ReadAge[], gathering: Gathering): void {
  const sorted = ages.map(({ ageNs }) => ageNs / 1e6).sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  gathering.count("reads", ages.length);
  gathering.count("staleReads", ages.filter(({ versions }) => versions > 0).length);
  gathering.count(
    "versionsBehindMax",
    ages.reduce((most, { versions }) => Math.max(most, versions), 0),
  );
  for (const [name, share] of [
    ["ageMsP50", 0.5],
    ["ageMsP90", 0.9],
    ["ageMsP99", 0.99],
    ["ageMsMax", 1],
  ] as const) {
    gathering.checked[name] = at(share);
  }
}

function told({ read, saw, shownBy, newer, ageNs, versions }: ReadAge): StalenessResult["worst"] & object {
  const was =
    shownBy === newer!.writer ? "had been acknowledged" : `had been seen by client ${shownBy!.process}`;
  const reader = `the ${registerModel.describe(read)} (client ${read.process}), sent at ${seconds(read.calledAt)}`;
  const behind = versions === 1 ? "1 version" : `${versions} versions`;
  const ageMs = ageNs / 1e6;
  return {
    ageMs,
    operations: inOrder([saw.writer, newer!.writer, shownBy, read]),
    sentence: `key ${read.key}: ${versionName(newer!)}, written by client ${newer!.writer!.process}, ${was} at ${seconds(shownBy!.returnedAt)}, but ${reader}, saw the older ${versionName(saw)}: at least ${ageMs.toFixed(1)} ms and ${behind} behind`,
  };
}
