/**
 * Comparing two stores from interleaved rounds: the median of the per-round ratios, a bootstrap confidence interval
 * for it, and the noise floor from an A/A comparison of the same length in the same rounds.
 *
 * What it claims: a difference is named only when the interval excludes 1 and the median lies beyond the floor.
 * What it does not: with a handful of rounds the interval is little more than the range of what was seen, and it
 * knows nothing of drifts longer than the run.
 */
import { seededRandom } from "./random.ts";

/** The middle value, or the mean of the two middle ones. NaN for an empty list. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/**
 * Percentile bootstrap of the median (Efron & Tibshirani 1993, chapter 13): `resamples` draws with replacement,
 * the central `confidence` of their medians. The same seed gives the same interval.
 */
export function bootstrapMedian(
  values: readonly number[],
  seed: number,
  confidence = 0.95,
  resamples = 2000,
): Interval {
  if (values.length === 0) return { low: Number.NaN, high: Number.NaN };
  const random = seededRandom(seed);
  const medians: number[] = [];
  for (let resample = 0; resample < resamples; resample++) {
    medians.push(median(values.map(() => values[Math.floor(random() * values.length)]!)));
  }
  medians.sort((a, b) => a - b);
  const tail = (1 - confidence) / 2;
  return {
    low: medians[Math.floor(tail * (resamples - 1))]!,
    high: medians[Math.ceil((1 - tail) * (resamples - 1))]!,
  };
}

/** Ratios over the rounds of one comparison. */
export interface RatioEstimate {
  /** Per round, in order. */
  readonly rounds: readonly number[];
  readonly median: number;
  /** 95% bootstrap confidence interval of the median. */
  readonly low: number;
  readonly high: number;
}

/** A round in which nothing was completed still has a finite ratio, however extreme. */
const least = 1e-9;

/**
 * `numerators[i] / denominators[i]` are one round's pair, measured next to each other. Throws when the lists differ in
 * length. The logarithm is what is averaged and resampled, so that a ratio and its inverse are treated alike.
 */
export function estimateRatio(
  numerators: readonly number[],
  denominators: readonly number[],
  seed: number,
): RatioEstimate {
  if (numerators.length !== denominators.length) {
    throw new Error(
      `a ratio needs pairs: ${numerators.length} numerators, ${denominators.length} denominators`,
    );
  }
  const logs = numerators.map((value, round) =>
    Math.log(Math.max(value, least) / Math.max(denominators[round]!, least)),
  );
  const interval = bootstrapMedian(logs, seed);
  return {
    rounds: logs.map(Math.exp),
    median: Math.exp(median(logs)),
    low: Math.exp(interval.low),
    high: Math.exp(interval.high),
  };
}

/**
 * How far a ratio moves with nothing changed: the end of the A/A interval that is farther from 1, as a factor ≥ 1.
 * A ratio within [1 / factor, factor] says nothing.
 */
export function noiseFloor(sameAgainstSame: RatioEstimate): number {
  return Math.exp(
    Math.max(Math.abs(Math.log(sameAgainstSame.low)), Math.abs(Math.log(sameAgainstSame.high))),
  );
}

/** What a ratio says about its numerator, for a metric of which more is better (throughput) or worse (time). */
export type Difference = "better" | "worse" | "none";

/** `none` unless the interval excludes 1 and its median lies outside the noise floor. */
export function judge(ratio: RatioEstimate, floor: number, moreIs: "better" | "worse"): Difference {
  const above = ratio.low > 1 && ratio.median > floor;
  const below = ratio.high < 1 && ratio.median < 1 / floor;
  if (!above && !below) return "none";
  return above === (moreIs === "better") ? "better" : "worse";
}

/** One metric of one cell over the rounds: a store, another, and the first store measured again in the same rounds. */
export interface Rounds {
  readonly mine: readonly number[];
  readonly others: readonly number[];
  readonly again: readonly number[];
}

/** A ratio, its noise floor, and what it says of the first store. */
export interface Comparison extends RatioEstimate {
  /** A/A: the first store against itself in the same rounds. */
  readonly sameAgainstSame: RatioEstimate;
  /** As a factor ≥ 1: a ratio between 1/floor and floor says nothing. */
  readonly noiseFloor: number;
  readonly difference: Difference;
}

/** One or two rounds have no spread to speak of, so nothing is said of them. */
const roundsMin = 3;

/** Compares the rounds that all three have finished; `undefined` when there is none. */
export function compareRounds(
  { mine, others, again }: Rounds,
  moreIs: "better" | "worse",
  seed: number,
): Comparison | undefined {
  const rounds = Math.min(mine.length, others.length, again.length);
  if (rounds === 0) return undefined;
  const first = mine.slice(0, rounds);
  const ratio = estimateRatio(first, others.slice(0, rounds), seed);
  const sameAgainstSame = estimateRatio(again.slice(0, rounds), first, seed + 1);
  const floor = noiseFloor(sameAgainstSame);
  const difference = rounds < roundsMin ? "none" : judge(ratio, floor, moreIs);
  return { ...ratio, sameAgainstSame, noiseFloor: floor, difference };
}
