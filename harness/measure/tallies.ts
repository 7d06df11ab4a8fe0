/** What the measurements of all rounds add up to: cells, ratios with their noise floor, and what to doubt. */
import type { ClosedSample } from "./cell.ts";
import { keyBytes, valueBytes } from "./dataset.ts";
import { type TaggedHistogram, TimeHistogram } from "./histogram.ts";
import type { BenchOperation, CellRecord, RatioRecord, ValidityRecord } from "./results.ts";
import { compareRounds, median } from "./statistics.ts";

/** One measurement and where it belongs. */
export interface TallyEntry {
  readonly subject: string;
  /** The second measurement of the first store in a round: only the A/A comparison uses it. */
  readonly again: boolean;
  readonly operation: BenchOperation;
  readonly clients: number;
  /** ns, before this measurement. */
  readonly diskProbe: number;
  readonly sample: ClosedSample;
}

/** Per round, in order. */
interface Series {
  readonly throughput: number[];
  readonly p50: number[];
  readonly p99: number[];
}

interface Tally extends Series {
  readonly subject: string;
  readonly operation: BenchOperation;
  readonly clients: number;
  readonly times: TimeHistogram;
  readonly samples: { readonly diskProbe: number; readonly stolen: number; readonly generatorCpu: number }[];
  readonly log: { syncs: number; bytes: number; upserts: number; ns: number; counted: boolean };
  startedAt: number;
  endedAt: number;
}

const metrics = ["throughput", "p50", "p99"] as const;
/** A generator or a ceiling used beyond this share bounds what was measured. */
const boundShare = 0.7;

/** Collects in measuring order; `first` is the store every other is compared with. */
export class Tallies {
  readonly #first: string;
  readonly #tallies: Tally[] = [];
  readonly #again = new Map<string, Series>();

  constructor(first: string) {
    this.#first = first;
  }

  /** Takes over the sample's histogram. */
  add({ subject, again, operation, clients, diskProbe, sample }: TallyEntry): void {
    const name = cellName(operation, clients);
    const series = again ? this.#againOf(name) : this.#tallyOf(subject, operation, clients, sample.startedAt);
    series.throughput.push(sample.perSecond);
    series.p50.push(sample.serviceTimes.at(50));
    series.p99.push(sample.serviceTimes.at(99));
    if (!again) extend(series as Tally, sample, diskProbe);
    sample.serviceTimes.release();
  }

  /** The lowest median throughput of any store in a cell, per second. */
  slowest(operation: BenchOperation, clients: number): number {
    const of = this.#tallies.filter((tally) => tally.operation === operation && tally.clients === clients);
    return Math.min(...of.map(({ throughput }) => median(throughput)));
  }

  cells(): CellRecord[] {
    const usualProbe = median(
      this.#tallies.flatMap(({ samples }) => samples.map(({ diskProbe }) => diskProbe)),
    );
    return this.#tallies.map((tally) => cellRecord(tally, usualProbe));
  }

  /** The first store against every other in every cell and metric, over the rounds both have finished. */
  ratios(seed: number): RatioRecord[] {
    const ratios: RatioRecord[] = [];
    for (const first of this.#tallies.filter(({ subject }) => subject === this.#first)) {
      const cell = cellName(first.operation, first.clients);
      for (const other of this.#tallies) {
        if (other.subject === this.#first) continue;
        if (other.operation !== first.operation || other.clients !== first.clients) continue;
        for (const metric of metrics) ratios.push(...this.#ratio({ cell, metric, first, other, seed }));
      }
    }
    const inOrder = metrics.flatMap((metric) => ratios.filter((ratio) => ratio.metric === metric));
    return [...inOrder, ...this.#againstBest(seed)];
  }

  warnings(ceiling: ValidityRecord["ceiling"]): string[] {
    return this.#tallies.flatMap((tally) => {
      const where = `${tally.subject}, ${cellName(tally.operation, tally.clients)}`;
      const cpu = median(tally.samples.map(({ generatorCpu }) => generatorCpu));
      const limit =
        ceiling.find(({ clients }) => clients === tally.clients)?.perSecond ?? Number.POSITIVE_INFINITY;
      const share = median(tally.throughput) / limit;
      if (share > boundShare) {
        return [
          `${where}: ${percent(share)} of what the load generator reaches against a server that does nothing, so it may be the generator that was measured`,
        ];
      }
      if (cpu > boundShare) return [`${where}: the load generator itself used ${percent(cpu)} of one core`];
      return [];
    });
  }

  /** Merged over the rounds, for a store's `.hlog`. */
  histograms(store: string): TaggedHistogram[] {
    return this.#tallies
      .filter(({ subject }) => subject === store)
      .map(({ operation, clients, startedAt, endedAt, times }) => {
        return { tag: `${operation}-${clients}-service`, startedAt, endedAt, times };
      });
  }

  release(): void {
    for (const { times } of this.#tallies) times.release();
  }

  #ratio(of: {
    cell: string;
    metric: (typeof metrics)[number];
    first: Tally;
    other: Tally;
    seed: number;
  }): RatioRecord[] {
    const { cell, metric, first, other, seed } = of;
    const again = this.#againOf(cellName(first.operation, first.clients))[metric];
    const rounds = { mine: first[metric], others: other[metric], again };
    const comparison = compareRounds(rounds, metric === "throughput" ? "better" : "worse", seed);
    return comparison
      ? [{ cell, metric, store: first.subject, reference: other.subject, ...comparison }]
      : [];
  }

  /** Most clients, against the other store at whatever number of clients it does most with. */
  #againstBest(seed: number): RatioRecord[] {
    const upserts = this.#tallies.filter(({ operation }) => operation === "upsert");
    const first = upserts
      .filter(({ subject }) => subject === this.#first)
      .sort((a, b) => b.clients - a.clients)[0];
    if (!first) return [];
    const others = new Set(
      upserts.map(({ subject }) => subject).filter((subject) => subject !== this.#first),
    );
    return [...others].flatMap((subject) => {
      const best = upserts
        .filter((tally) => tally.subject === subject)
        .sort((a, b) => median(b.throughput) - median(a.throughput))[0]!;
      if (best.clients === first.clients) return [];
      const cell = `upsert, ${first.clients} clients, against ${subject}'s best (${best.clients} clients)`;
      return this.#ratio({ cell, metric: "throughput", first, other: best, seed });
    });
  }

  #againOf(cell: string): Series {
    const known = this.#again.get(cell);
    if (known) return known;
    const made = { throughput: [], p50: [], p99: [] };
    this.#again.set(cell, made);
    return made;
  }

  #tallyOf(subject: string, operation: BenchOperation, clients: number, startedAt: number): Tally {
    const known = this.#tallies.find(
      (tally) => tally.subject === subject && tally.operation === operation && tally.clients === clients,
    );
    if (known) return known;
    const made: Tally = {
      ...{ subject, operation, clients, startedAt, endedAt: startedAt },
      ...{ throughput: [], p50: [], p99: [], samples: [], times: new TimeHistogram() },
      log: { syncs: 0, bytes: 0, upserts: 0, ns: 0, counted: false },
    };
    this.#tallies.push(made);
    return made;
  }
}

/** `upsert, 8 clients`. */
export function cellName(operation: BenchOperation, clients: number): string {
  return `${operation}, ${clients} ${clients === 1 ? "client" : "clients"}`;
}

function extend(tally: Tally, sample: ClosedSample, diskProbe: number): void {
  tally.times.add(sample.serviceTimes);
  tally.samples.push({ diskProbe, stolen: sample.stolen, generatorCpu: sample.generatorCpu });
  tally.endedAt = sample.endedAt;
  if (!sample.log || tally.operation !== "upsert") return;
  tally.log.counted = true;
  tally.log.syncs += sample.log.syncs;
  tally.log.bytes += sample.log.bytes ?? 0;
  tally.log.upserts += sample.total;
  tally.log.ns += sample.totalNs;
}

function cellRecord(tally: Tally, usualProbe: number): CellRecord {
  const { operation, clients, subject: store, throughput, p50, p99, samples, log } = tally;
  const disturbed = samples.filter((one) => one.diskProbe > 2 * usualProbe || one.stolen > 0.05);
  return {
    cell: cellName(operation, clients),
    ...{ operation, clients, store, throughput, p50, p99 },
    serviceTime: tally.times.summary(),
    ...(log.counted && log.syncs > 0
      ? { recordsPerSync: log.upserts / log.syncs, syncsPerSecond: (log.syncs / log.ns) * 1e9 }
      : {}),
    ...(log.bytes > 0 ? { logBytesPerUserByte: log.bytes / log.upserts / (keyBytes + valueBytes) } : {}),
    generatorCpu: median(samples.map((one) => one.generatorCpu)),
    diskProbe: median(samples.map((one) => one.diskProbe)),
    disturbedRounds: disturbed.length,
  };
}

function percent(share: number): string {
  return `${Math.round(share * 100)}%`;
}
