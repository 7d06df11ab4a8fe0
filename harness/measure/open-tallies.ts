/** What the open-loop measurements of all rounds add up to: one record a store, and ratios with their noise floor. */
import type { OpenSample } from "./cell.ts";
import { type TaggedHistogram, TimeHistogram } from "./histogram.ts";
import type { OpenLoopRecord, RatioRecord } from "./results.ts";
import { compareRounds, median } from "./statistics.ts";

export interface OpenEntry {
  readonly subject: string;
  /** The second measurement of the first store in a round: only the A/A comparison uses it. */
  readonly again: boolean;
  readonly sample: OpenSample;
}

interface OpenTally {
  readonly subject: string;
  readonly p50: number[];
  readonly p99: number[];
  readonly samples: OpenSample[];
  readonly response: TimeHistogram;
  readonly service: TimeHistogram;
  readonly lag: TimeHistogram;
}

/** Collects one offered rate; `first` is the store every other is compared with. */
export class OpenTallies {
  readonly #first: string;
  readonly #tallies: OpenTally[] = [];
  readonly #again = { p50: [] as number[], p99: [] as number[] };

  constructor(first: string) {
    this.#first = first;
  }

  /** Takes over the sample's histograms. */
  add({ subject, again, sample }: OpenEntry): void {
    const tally = again ? undefined : this.#tallyOf(subject);
    const { p50, p99 } = tally ?? this.#again;
    p50.push(sample.responseTimes.at(50));
    p99.push(sample.responseTimes.at(99));
    tally?.response.add(sample.responseTimes);
    tally?.service.add(sample.serviceTimes);
    tally?.lag.add(sample.lag);
    tally?.samples.push(sample);
    for (const times of [sample.responseTimes, sample.serviceTimes, sample.lag]) times.release();
  }

  records(connections: number): OpenLoopRecord[] {
    return this.#tallies.map((tally) => recordOf(tally, connections));
  }

  /** The first store's response times against every other's. */
  ratios(cell: string, seed: number): RatioRecord[] {
    const first = this.#tallies.find(({ subject }) => subject === this.#first);
    const others = this.#tallies.filter(({ subject }) => subject !== this.#first);
    if (!first) return [];
    return others.flatMap((other) =>
      (["p50", "p99"] as const).flatMap((metric) => {
        const names = {
          cell,
          metric: `response ${metric}` as const,
          store: first.subject,
          reference: other.subject,
        };
        const rounds = { mine: first[metric], others: other[metric], again: this.#again[metric] };
        const comparison = compareRounds(rounds, "worse", seed);
        return comparison ? [{ ...names, ...comparison }] : [];
      }),
    );
  }

  /** Merged over the rounds, for a store's `.hlog`. */
  histograms(store: string): TaggedHistogram[] {
    return this.#tallies
      .filter(({ subject }) => subject === store)
      .flatMap(({ samples, response, service, lag }) => {
        const span = { startedAt: samples[0]!.startedAt, endedAt: samples.at(-1)!.endedAt };
        return [
          { tag: "open-loop-response", ...span, times: response },
          { tag: "open-loop-service", ...span, times: service },
          { tag: "open-loop-generator-lag", ...span, times: lag },
        ];
      });
  }

  release(): void {
    for (const { response, service, lag } of this.#tallies) {
      for (const times of [response, service, lag]) times.release();
    }
  }

  #tallyOf(subject: string): OpenTally {
    const known = this.#tallies.find((tally) => tally.subject === subject);
    if (known) return known;
    const times = { response: new TimeHistogram(), service: new TimeHistogram(), lag: new TimeHistogram() };
    const made: OpenTally = { subject, p50: [], p99: [], samples: [], ...times };
    this.#tallies.push(made);
    return made;
  }
}

function recordOf(
  { subject, samples, response, service, lag }: OpenTally,
  connections: number,
): OpenLoopRecord {
  const sum = (of: (sample: OpenSample) => number): number =>
    samples.reduce((total, one) => total + of(one), 0);
  const seconds = sum(({ elapsedNs }) => elapsedNs) / 1e9;
  return {
    store: subject,
    operation: "upsert",
    connections,
    arrivals: "poisson",
    offeredPerSecond: sum(({ offered }) => offered) / seconds,
    achievedPerSecond: sum(({ completedInTime }) => completedInTime) / seconds,
    offered: sum(({ offered }) => offered),
    completed: sum(({ completed }) => completed),
    late: sum(({ late }) => late),
    dropped: sum(({ dropped }) => dropped),
    unfinished: sum(({ unfinished }) => unfinished),
    responseTime: response.summary(),
    serviceTime: service.summary(),
    responseCurve: response.curve(),
    serviceCurve: service.curve(),
    generatorLag: lag.summary(),
    generatorCpu: median(samples.map(({ generatorCpu }) => generatorCpu)),
  };
}
