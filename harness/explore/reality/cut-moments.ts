/**
 * When a power cut happened is known only as an interval of the trace: from the last event recorded before the file
 * system was asked to stop, to the last one before that request returned. What was found must be allowed at one of them.
 */
import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TraceEvent } from "../../../faults/contract.ts";
import type { DiskModel } from "../disk/disk-model.ts";
import { pendingThings } from "../states/crash-state.ts";
import type { Profile } from "../states/profiles/profile.ts";
import { type SeenDirectory, whyNotAllowed } from "./membership.ts";
import { type FileSystem, run } from "./mounted-image.ts";

/** The profile that says what each file system may do. */
export const profileOf: Readonly<Record<FileSystem, string>> = { ext4: "ext4-ordered", xfs: "xfs" };

/** CLOCK_MONOTONIC in ns, before and after the file system was stopped. */
export interface CutInterval {
  readonly before: number;
  readonly after: number;
}

export interface CutMoment {
  /** Power was lost after this event; -1: before the first. */
  readonly event: number;
  /** Calls that were pending then under the profile. */
  readonly pending: number;
  /** How what was seen differs from the nearest state allowed then; absent when it is allowed. */
  readonly difference?: string;
}

/** Stops a mounted file system as a power cut would, so many whole ms after the program that does it has started. */
export async function stopFileSystem(powerCut: string, root: string, delayMs = 0): Promise<CutInterval> {
  const [before, after] = (await run(powerCut, [root, String(delayMs)])).split(" ").map(Number) as [
    number,
    number,
  ];
  return { before, after };
}

/** Every moment at which power may have been lost, in order, compared with what was seen. The model is fed on the way. */
export function* cutMoments(
  model: DiskModel,
  events: readonly TraceEvent[],
  profile: Profile,
  seen: SeenDirectory,
  { before, after }: CutInterval,
): Generator<CutMoment> {
  let at = 0;
  // Every event recorded before the request has happened; those recorded until it returned may have.
  for (; at < events.length && events[at]!.atNs < before; at++) model.feed(events[at]!);
  for (;;) {
    const difference = whyNotAllowed(model, profile, seen);
    const pending = pendingThings(model, profile).operations.length;
    yield { event: at - 1, pending, ...(difference === undefined ? {} : { difference }) };
    if (at >= events.length || events[at]!.atNs > after) return;
    model.feed(events[at++]!);
  }
}

/** Copies the files that were seen beside what was traced, before anything changes them. */
export function takeDown(seen: string, place: string): void {
  cpSync(seen, join(place, "seen"), { recursive: true });
}

/** Keeps what was traced and taken down, so that it can be looked into. Returns where. */
export function keepEvidence(place: string, kept: string, cut: object): string {
  cpSync(place, kept, { recursive: true });
  writeFileSync(join(kept, "cut.json"), `${JSON.stringify(cut, null, 2)}\n`);
  return kept;
}
