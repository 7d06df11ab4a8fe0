/**
 * The two directories that the trials of a sweep begin with: an empty one, and one that a store left when it was killed
 * in the middle of load. The second is made once and copied for each trial, together with the history that made it.
 */
import { cpSync, lstatSync, mkdirSync } from "node:fs";
import type { Request } from "../../stores/contract.ts";
import type { Workload } from "../../workloads/contract.ts";
import type { HistoryEvent } from "../history/operation.ts";

/** Keys of a sweep carry this epoch: every trial is the life of one directory. */
export const epoch = 0;

/** Requests each client sends, in order; ends when the list does. */
export type Script = readonly { readonly workload: Workload; readonly requests: readonly Request[] }[];

/**
 * One list of requests for each client. Values are unique over all scripts of different `firstClient` ranges.
 *
 * Streams are told nothing of replies: a compare-and-set expects an absent key, and mostly sees another value.
 */
export function scriptOf(
  workloads: readonly Workload[],
  seed: number,
  options: {
    readonly clients: number;
    readonly firstClient: number;
    readonly requestsEach: number;
    readonly valueBytes: number;
  },
): Script {
  return Array.from({ length: options.clients }, (_, index) => {
    const workload = workloads[index % workloads.length]!;
    const stream = workload.stream({ seed, client: options.firstClient + index, epoch });
    return {
      workload,
      requests: Array.from({ length: options.requestsEach }, () => padded(stream.next(), options.valueBytes)),
    };
  });
}

/** Large values, so that a few requests fill a log segment and are worth a snapshot. What is unique in one stays so. */
function padded(request: Request, bytes: number): Request {
  const { value } = request;
  return typeof value === "string" ? { ...request, value: value.padEnd(bytes, ".") } : request;
}

/** A directory as a crash left it, and everything that clients saw until then. */
export interface CrashedDirectory {
  readonly path: string;
  readonly events: readonly HistoryEvent[];
  /** The first number that no client's process has used. */
  readonly nextProcess: number;
}

/** Copies a stopped store's directory. Sockets hold no data, and cannot be copied. */
export function copyDirectory(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  cpSync(from, to, {
    recursive: true,
    preserveTimestamps: true,
    filter: (file) => !lstatSync(file).isSocket(),
  });
}
