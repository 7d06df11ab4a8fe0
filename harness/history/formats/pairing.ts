/**
 * Follows which process has which operation open while events stream by, and explains a history that contradicts
 * itself by lines: a completion without an invocation, a second completion, an invocation while one is open, a
 * completion of something else. What was never completed is counted and stays open (its outcome is unknown).
 *
 * Verified: that invocations and completions alternate per process and agree on `f` and `key`. Not verified: that a
 * process number is never used again after `info` (harmless: the lost operation stays open either way).
 * Memory: one small record per process number.
 */
import { HistoryError } from "../history.ts";
import type { HistoryEvent } from "../operation.ts";
import { shown, type Warnings } from "./warnings.ts";

/** An invocation that waits for its completion. */
export interface OpenInvocation {
  readonly event: HistoryEvent;
  /** For example `line 12`. */
  readonly place: string;
}

interface Completed {
  readonly f: string;
  readonly invokedAt: string;
  readonly completedAt: string;
  readonly type: string;
}

export class Pairing {
  readonly #open = new Map<number, OpenInvocation>();
  readonly #last = new Map<number, Completed>();

  /** The operation a process has open. */
  openOf(process: number | "nemesis"): OpenInvocation | undefined {
    return process === "nemesis" ? undefined : this.#open.get(process);
  }

  /**
   * Takes the next event. The nemesis may do as it likes.
   *
   * @param place where the event stands, for example `line 12`; begins every complaint about it.
   * @throws HistoryError when it contradicts what came before.
   */
  accept(event: HistoryEvent, place: string): void {
    const { process } = event;
    if (process === "nemesis") return;
    const open = this.#open.get(process);
    if (event.type === "invoke") {
      if (open) throw new HistoryError(stillOpen(event, place, open));
      this.#open.set(process, { event, place });
      return;
    }
    if (!open) throw new HistoryError(orphaned(event, place, this.#last.get(process)));
    const wrong = otherOperation(event, open);
    if (wrong) throw new HistoryError(`${place} of the history: ${wrong}`);
    this.#open.delete(process);
    this.#last.set(process, {
      f: event.f,
      invokedAt: open.place,
      completedAt: place,
      type: event.type,
    });
  }

  /** Says how many operations never completed. */
  finish(warnings: Warnings): void {
    const [first] = this.#open.values();
    if (!first) return;
    const count = this.#open.size;
    const which = `process ${first.event.process}'s ${shown(first.event.f)} of ${first.place}`;
    warnings.note(
      count === 1
        ? "1 operation never completed: it may have happened or not"
        : `${count} operations never completed: each may have happened or not`,
      count === 1 ? which : `the first is ${which}`,
    );
  }
}

function stillOpen({ process, f }: HistoryEvent, place: string, open: OpenInvocation): string {
  return `${place} of the history: process ${process} invoked ${shown(f)} while its ${shown(open.event.f)} of ${open.place} was still open; a process does one thing at a time, so either that completion is missing or two clients share the number ${process}`;
}

function orphaned({ process, f, type }: HistoryEvent, place: string, last: Completed | undefined): string {
  const begin = `${place} of the history: process ${process} completed ${shown(f)} (${type})`;
  if (!last) return `${begin}, but it never invoked anything before`;
  return `${begin}, but its last invocation (${shown(last.f)} of ${last.invokedAt}) had already been completed at ${last.completedAt} (${last.type}): a duplicate completion, or a missing invocation`;
}

function otherOperation({ process, f, key }: HistoryEvent, { event, place }: OpenInvocation) {
  if (f !== event.f) {
    return `process ${process} completed ${shown(f)}, but what it invoked at ${place} is ${shown(event.f)}`;
  }
  if (key !== undefined && event.key !== undefined && key !== event.key) {
    return `process ${process} completed ${shown(f)} of key ${shown(key)}, but what it invoked at ${place} is of key ${shown(event.key)}`;
  }
  return undefined;
}
