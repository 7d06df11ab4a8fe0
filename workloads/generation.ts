/**
 * What the generators of all workloads share: templates drawn by fast-check in chunks, and values that are unique.
 *
 * A stream is pure and deterministic: the template of request n depends on (workload, seed, epoch, client, n) alone,
 * and only a compare-and-set also on the replies its client was told. Templates are drawn without fast-check's bias
 * towards small cases, because here the shares *are* the workload.
 */
import { createHash } from "node:crypto";
import fc from "fast-check";
import type { StreamOptions } from "./contract.ts";

const chunkLength = 256;

/** An endless sequence of templates. */
export function templates<T>(workload: string, arbitrary: fc.Arbitrary<T>, options: StreamOptions): () => T {
  let chunk: T[] = [];
  let drawn = 0;
  return () => {
    const place = drawn % chunkLength;
    if (place === 0) {
      const seed = digest(workload, options, `chunk ${drawn / chunkLength}`).readInt32BE(0);
      chunk = fc.sample(fc.noBias(arbitrary), { seed, numRuns: chunkLength });
    }
    drawn++;
    return chunk[place]!;
  };
}

/**
 * The value of request n: readable (`client.n.`), unique over clients, epochs and workloads, and ending in 22 characters
 * (more than 16 bytes) that do not compress, so that they can be found in what a store writes.
 */
export function uniqueValue(workload: string, options: StreamOptions, n: number): string {
  return `${options.client}.${n}.${digest(workload, options, `value ${n}`).toString("base64url").slice(0, 22)}`;
}

function digest(workload: string, { seed, epoch, client }: StreamOptions, what: string): Buffer {
  return createHash("sha256").update([seed, epoch, client, workload, what].join("/")).digest();
}

/** Indexes 0 … count-1. */
export function indexes(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
