/**
 * From our events to the members of Jepsen operations, the inverse of `jepsen-reading.ts`.
 *
 * A completion repeats the argument of a write, as Jepsen's clients do it and Knossos expects it; what our store answered
 * stands beside it as `:acked/result`. A compare-and-set that saw another value is `:fail` with `:acked/matched false`. Our other members
 * keep their names under `acked/`, which Jepsen's checkers ignore. So nothing is left out, and what is read back differs
 * only in this: a missing value is nil, and completions have their operation's key.
 */
import { HistoryError } from "../history.ts";
import type { HistoryEvent } from "../operation.ts";
import type { WriteOptions, Written } from "./contract.ts";
import { setElements } from "./edn.ts";
import { type Members, type Notation, ownMembers, repeatsArgument, resultMember } from "./jepsen-reading.ts";

/** @returns what was left out, in words. @throws HistoryError when some operations have a key and others must not. */
export function writeJepsen(
  events: Iterable<HistoryEvent>,
  notation: Notation,
  print: (members: Members) => void,
  options: WriteOptions = {},
): Written {
  const writing = new JepsenWriting(notation, options);
  for (const event of events) print(writing.members(event));
  return { leftOut: writing.leftOut() };
}

class JepsenWriting {
  readonly #notation: Notation;
  #independent: boolean | "auto";
  readonly #open = new Map<number, HistoryEvent>();
  #nemesisKeys = 0;

  constructor(notation: Notation, options: WriteOptions) {
    this.#notation = notation;
    this.#independent = options.independent ?? "auto";
  }

  members(event: HistoryEvent): Members {
    const { named, keys } = this.#notation;
    const type = event.type === "ok" && event.matched === false ? "fail" : event.type;
    const members = new Map<string, unknown>([
      ["process", event.process === "nemesis" ? named("nemesis") : event.process],
      ["type", named(type)],
      ["f", named(event.f)],
    ]);
    if (event.process === "nemesis") this.#addNemesisValue(members, event);
    else this.#addValue(members, event, event.process);
    members.set("time", event.time);
    members.set("index", event.index);
    if (event.error !== undefined) members.set("error", keys.keyOf(event.error));
    for (const [name, ours] of ownMembers) if (event[ours] !== undefined) members.set(name, event[ours]);
    return members;
  }

  leftOut(): string[] {
    return this.#nemesisKeys === 0 ? [] : [`keys of ${this.#nemesisKeys} nemesis events`];
  }

  #addNemesisValue(members: Map<string, unknown>, event: HistoryEvent): void {
    if (event.value !== undefined) members.set("value", event.value);
    if (event.key !== undefined) this.#nemesisKeys++;
  }

  #addValue(members: Map<string, unknown>, event: HistoryEvent, process: number): void {
    if (this.#independent === "auto") this.#independent = event.key !== undefined;
    const call = event.type === "invoke" ? event : this.#open.get(process);
    if (event.type === "invoke") this.#open.set(process, event);
    else this.#open.delete(process);
    const answers = event.type === "ok" && event.matched !== false && !repeatsArgument.has(event.f);
    const value = this.#notated(event.f, event.type === "invoke" || answers ? event.value : call?.value);
    members.set("value", this.#withKey(event, call?.key ?? event.key, value));
    // A set that is an answer would be read as a list.
    const isExact = answers && setElements(event.value) === undefined;
    if (event.type !== "invoke" && !isExact && event.value !== undefined)
      members.set(resultMember, event.value);
  }

  #withKey(event: HistoryEvent, key: string | undefined, value: unknown): unknown {
    if (this.#independent) return [key === undefined ? null : this.#notation.keys.keyOf(key), value];
    if (key === undefined || key === "") return value;
    throw new HistoryError(
      `event ${event.index} is of the key ${JSON.stringify(key)}, but the history is written without keys; write it with independent: true`,
    );
  }

  /** The value with micro-operations named and keyed as Jepsen does it. */
  #notated(f: string, value: unknown): unknown {
    if (value === undefined) return null;
    if (f !== "txn" || !Array.isArray(value) || !value.every(isMicroOperation)) return value;
    const { named, keys } = this.#notation;
    return value.map(([name, key, ...more]) => [named(name), key === null ? null : keys.keyOf(key), ...more]);
  }
}

type MicroOperation = readonly [name: string, key: string | null, ...more: unknown[]];

function isMicroOperation(one: unknown): one is MicroOperation {
  return Array.isArray(one) && typeof one[0] === "string" && (typeof one[1] === "string" || one[1] === null);
}
