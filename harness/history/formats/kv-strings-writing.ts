/**
 * Exporting a key-value history over strings (`kv-strings.ts`). `read` and `write` of a register over strings become get and
 * put. The order of events is kept, and what happened to each operation, except that to Porcupine's own reader the outcome
 * of a failed one is unknown. A process whose operation was lost goes on under a new number, as the format has no `info`.
 *
 * Refused, since the file would be judged otherwise than the history:
 * - an operation other than these, and values that are no strings;
 * - an empty string where nothing was read, too, or that a register returned: both are "" in the file;
 * - an operation that was lost before its node started again: it has taken effect by then or never will, and nothing in the
 *   file says so.
 */
import { HistoryError, incarnationBounds, readinessOf } from "../history.ts";
import type { HistoryEvent, Readiness } from "../operation.ts";
import type { Written } from "./contract.ts";
import type { Members } from "./jepsen-reading.ts";
import { shown } from "./warnings.ts";

const namesHere: Readonly<Record<string, string>> = {
  get: "get",
  put: "put",
  append: "append",
  read: "get",
  write: "put",
};

/** @param named a value of the notation's own for a name. @throws HistoryError, see above. */
export function writeKv(
  events: Iterable<HistoryEvent>,
  named: (name: string) => unknown,
  print: (members: Members) => void,
): Written {
  const writing = new KvWriting();
  for (const event of events) {
    const members = writing.members(event, named);
    if (members) print(members);
  }
  return { leftOut: writing.finish() };
}

class KvWriting {
  readonly #open = new Map<number, HistoryEvent>();
  /** Invocations of changes that ended as `info`. */
  readonly #lost: HistoryEvent[] = [];
  readonly #starts: Readiness[] = [];
  readonly #numbers = new ProcessNumbers();
  readonly #nothing = new NothingApart();
  #nemesis = 0;

  /** `undefined` for an event that is not in the format. @throws HistoryError */
  members(event: HistoryEvent, named: (name: string) => unknown): Members | undefined {
    const { process } = event;
    if (process === "nemesis") {
      this.#nemesis++;
      if (event.f === "ready") this.#starts.push(readinessOf(event));
      return undefined;
    }
    const call = event.type === "invoke" ? event : this.#open.get(process);
    if (event.type === "invoke") this.#open.set(process, event);
    else this.#open.delete(process);
    if (event.type === "info") {
      // A lost read took no effect at any time.
      if (call && namesHere[call.f] !== "get") this.#lost.push(call);
      this.#numbers.retire(process);
      return undefined;
    }
    const f = nameOf(event);
    const key = call?.key ?? event.key ?? "";
    const value = f === "get" ? found(event) : stringOf(call?.value, event);
    this.#nothing.see(event, key, value);
    return new Map<string, unknown>([
      ["process", this.#numbers.of(process)],
      ["type", named(event.type)],
      ["f", named(f)],
      ["key", key],
      ["value", value],
    ]);
  }

  /** @returns what was left out. @throws HistoryError when that would change the verdict. */
  finish(): string[] {
    const boundOf = incarnationBounds(this.#starts);
    const open = [...this.#open.values()].filter(({ f }) => namesHere[f] !== "get");
    for (const { index, f, incarnation = 0 } of [...this.#lost, ...open]) {
      if (boundOf(index, incarnation) === Number.POSITIVE_INFINITY) continue;
      throw new HistoryError(
        `event ${index} (${shown(f)}) was lost before its node started again, so it took effect by then or never; a key-value history over strings cannot say so, and would be judged otherwise`,
      );
    }
    const leftOut = ["times, nodes and errors"];
    return this.#nemesis === 0 ? leftOut : [...leftOut, `${this.#nemesis} nemesis events`];
  }
}

/** The number of each process in the file: its own, unless an operation under that number was lost. */
class ProcessNumbers {
  readonly #numberOf = new Map<number, number>();
  readonly #used = new Set<number>();
  #next = 0;

  of(process: number): number {
    const known = this.#numberOf.get(process);
    if (known !== undefined) return known;
    while (this.#used.has(this.#next)) this.#next++;
    const number = this.#used.has(process) ? this.#next : process;
    this.#used.add(number);
    this.#numberOf.set(process, number);
    return number;
  }

  retire(process: number): void {
    this.#numberOf.delete(process);
  }
}

/** Keeps apart, per key, what was read as nothing and empty strings. */
class NothingApart {
  readonly #nothing = new Set<string>();
  readonly #empty = new Set<string>();

  /** @param value what stands for it in the file. @throws HistoryError */
  see(event: HistoryEvent, key: string, value: string | null): void {
    if (value !== "") return;
    const isNothing = event.type === "ok" && (event.f === "read" || event.f === "get") && event.value !== "";
    (isNothing ? this.#nothing : this.#empty).add(key);
    const returned = event.f === "read" && !isNothing;
    if (!returned && !(this.#nothing.has(key) && this.#empty.has(key))) return;
    throw new HistoryError(
      `event ${event.index}: the key ${shown(key)} ${returned ? "was read as an empty string" : "has an empty string, and was read as nothing at all"}; in a key-value history over strings these are the same, and it would be judged otherwise`,
    );
  }
}

function nameOf({ index, f }: HistoryEvent): string {
  const name = Object.hasOwn(namesHere, f) ? namesHere[f] : undefined;
  if (name !== undefined) return name;
  throw new HistoryError(
    `event ${index} is ${shown(f)}, and a key-value history over strings has only get, put and append`,
  );
}

function found(event: HistoryEvent): string | null {
  if (event.type !== "ok") return null;
  return event.value === null || event.value === undefined ? "" : stringOf(event.value, event);
}

function stringOf(value: unknown, { index }: HistoryEvent): string {
  if (typeof value === "string") return value;
  throw new HistoryError(`event ${index} has the value ${shown(value)}; this format has strings only`);
}
