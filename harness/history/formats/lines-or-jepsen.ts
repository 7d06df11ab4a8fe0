/**
 * Whether a file of JSON lines is acked's own or Jepsen's. Both have `index time process type f value`, and where they
 * differ a verdict differs: a completion's `value` is the store's answer in acked's lines (an add of 5 that returns 5: the
 * counter was 0), while Jepsen's clients repeat the argument there (it says nothing).
 *
 * The rule, for a file whose first event has these members:
 * 1. Members under `acked/` (every export of ours has one), colons before names, values that are independent keys, and
 *    transactions whose keys are no strings are Jepsen's.
 * 2. `workload`, `key`, `node` or `incarnation` are acked's; a recording always has them, Jepsen knows none of them.
 * 3. Otherwise look at what was written, as far as the first 64 KiB show it: when every operation of `repeatsArgument` that
 *    ended ok repeats its argument, the file is Jepsen's. When one says nothing, or something else, it is acked's.
 *
 * The rule can be wrong for lines written by hand, without workload and key, in which every answer happens to equal its
 * argument, and for Jepsen's when some completions have no value: what was decided by rule 3 is remarked on where the two
 * readings differ (`ReadOptions.guessed`).
 */
import { sorted } from "../json-values.ts";
import type { HistoryEvent } from "../operation.ts";
import { headBytes } from "./contract.ts";
import { looksIndependent, type Seen, seenOf } from "./independent.ts";
import { textOf } from "./jepsen-edn.ts";
import { answers, repeatsArgument, same } from "./jepsen-reading.ts";

type Line = Readonly<Record<string, unknown>>;

/** What the head of a file says about it. */
export type Origin = "acked" | "jepsen" | "acked by its values" | "jepsen by its values" | "neither";

export function originOf(head: Buffer): Origin {
  const text = textOf(head);
  const whole = text.slice(0, head.length < headBytes ? undefined : text.lastIndexOf("\n") + 1);
  const events = whole
    .split("\n")
    .map(objectOf)
    .filter((event) => event !== undefined);
  const [first] = events;
  // A first line that is longer than the head: only how it begins can be seen.
  if (!first && head.length >= headBytes)
    return /^\s*\{\s*"index"\s*:\s*\d+\s*,\s*"time"\s*:/.test(text) ? "acked by its values" : "neither";
  if (!first || !["index", "time", "process", "type", "f"].every((name) => Object.hasOwn(first, name)))
    return "neither";
  if (isJepsens(first, events)) return "jepsen";
  if (events.some(isOurs)) return "acked";
  return everyWriteRepeats(events) ? "jepsen by its values" : "acked by its values";
}

function isJepsens(first: Line, events: readonly Line[]): boolean {
  if (typeof first.type !== "string" || first.type.startsWith(":")) return true;
  if (events.some((event) => Object.keys(event).some((name) => name.startsWith("acked/")))) return true;
  if (events.some(isOurs)) return false;
  const nameOf = (value: unknown) => (typeof value === "string" ? value : undefined);
  const seen = events.map((event) => seenOf(new Map(Object.entries(event)), 0, nameOf));
  return looksIndependent(seen, nameOf) || seen.some(hasForeignKeys);
}

/** Jepsen's nemeses may have members of any name. */
function isOurs({ process, f, workload, key, node, incarnation }: Line): boolean {
  if (typeof process !== "number") return f === "ready" && incarnation !== undefined;
  return [workload, key, node, incarnation].some((member) => member !== undefined && member !== null);
}

function hasForeignKeys({ f, value }: Seen): boolean {
  if (f !== "txn" || !Array.isArray(value)) return false;
  return value.some((micro: unknown) => Array.isArray(micro) && typeof micro[1] !== "string");
}

/** True when there is a write that ended ok, and all of them have their argument as their value. */
function everyWriteRepeats(events: readonly Line[]): boolean {
  const open = new Map<unknown, Line>();
  let repeated = 0;
  for (const event of events) {
    if (event.type === "invoke") open.set(event.process, event);
    const call = open.get(event.process);
    if (event.type !== "ok" || call?.f !== event.f || !repeatsArgument.has(String(event.f))) continue;
    if (!repeats(call?.value, event.value)) return false;
    repeated++;
  }
  return repeated > 0;
}

function repeats(argument: unknown, value: unknown): boolean {
  if (value === undefined || value === null) return false;
  if (value === argument) return true;
  try {
    return typeof value === "object" && same(sorted(value), sorted(argument));
  } catch {
    return false; // nested too deep to be compared: the reader refuses it
  }
}

export function objectOf(line: string): Line | undefined {
  try {
    const parsed: unknown = JSON.parse(line);
    return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)
      ? (parsed as Line)
      : undefined;
  } catch {
    return undefined;
  }
}

/** Whether an answer equals its argument, where a model would look at the answer; to be asked about every event. */
export class RepeatedArguments {
  readonly #open = new Map<number, unknown>();

  has(event: HistoryEvent): boolean {
    if (event.process === "nemesis" || !answers.has(event.f)) return false;
    if (event.type !== "invoke")
      return event.type === "ok" && repeats(this.#open.get(event.process), event.value);
    this.#open.set(event.process, event.value);
    return false;
  }
}
