/**
 * A way to write a history down: reading yields our events, one at a time and in bounded memory, and ends with what had
 * to be said about the file; writing takes our events. One file per format; the smallest one to copy is `jepsen-log.ts`.
 *
 * What every reader guarantees: an event is only yielded when the form or line it came from was well formed; a bad one
 * is a `HistoryError` that names it by line; invocations and completions have been paired (`pairing.ts`), so a
 * duplicate or orphaned completion is explained here and not later; a last form that was cut is left out and said.
 * What none of them does: judge whether the operations suit a model.
 */
import type { History } from "../history.ts";
import type { HistoryFileEnd } from "../history-file.ts";
import type { HistoryEvent } from "../operation.ts";

/** Bytes at the beginning of a file by which its format is recognized. */
export const headBytes = 64 * 1024;

export interface ReadOptions {
  /** The workload of operations that do not name one (`acked check --model`). */
  readonly workload?: string;
  /**
   * Jepsen only: whether each operation's value is a pair [key value] (`jepsen.independent`). Default "auto": true when
   * the first operations all look like it, see `independent.ts`.
   */
  readonly independent?: boolean | "auto";
  /**
   * Jepsen only: what a compare-and-set of type `fail` without an `:error` says. `ignored`: that it had no effect, and
   * nothing more (Jepsen's own meaning). `observation`: that the register held another value than the expected one.
   */
  readonly failedCas?: "observation" | "ignored";
  /**
   * The format was recognized by values alone, as JSON lines may be acked's or Jepsen's (`lines-or-jepsen.ts`): to be
   * remarked on where the other reading would give another history.
   */
  readonly guessed?: boolean;
  /** Bytes one form may have. Default 16 MiB. */
  readonly maxFormBytes?: number;
}

/** Options of reading that are Jepsen's only. */
export type JepsenOption = "independent" | "failedCas";

export interface WriteOptions {
  /** Jepsen only: write values as [key value]. Default "auto": when the first operation has a key. */
  readonly independent?: boolean | "auto";
}

export interface FormatEnd extends HistoryFileEnd {
  /** Sentences for a person, each once, with how often and where first. */
  readonly warnings: readonly string[];
}

export interface Written {
  /** What the format cannot hold, in words with counts; empty when the history can be read back exactly. */
  readonly leftOut: readonly string[];
}

export interface HistoryFormat {
  /** The name used by `--format` and `--export`. */
  readonly name: string;
  /** One sentence for lists of formats. */
  readonly summary: string;
  /** Options that say how to read Jepsen's operations, where they do; given to another format they are refused. */
  readonly takes?: readonly JepsenOption[];
  /** Whether a file that begins with these bytes (at most 64 KiB) is of this format. */
  detects(head: Buffer, path: string): boolean;
  /** @throws HistoryError naming the line and what is wrong with it. */
  read(path: string, options?: ReadOptions): Generator<HistoryEvent, FormatEnd, undefined>;
  /** Absent: the format can only be read. @throws HistoryError when leaving something out would change the verdict. */
  write?(events: Iterable<HistoryEvent>, out: (text: string) => void, options?: WriteOptions): Written;
  /** In place of `write`, by a format that is not text. @throws HistoryError when the file cannot be written. */
  writeFile?(events: Iterable<HistoryEvent>, path: string): Written;
  /** In place of `read` and pairing, by a format that keeps operations. @throws as `read`. */
  open?(path: string): { readonly history: History; readonly events: number };
}
