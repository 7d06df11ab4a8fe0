/**
 * From the members of a Jepsen operation, in whatever notation, to our events.
 *
 * What is normalized: names lose their colon; a completion's value that only repeats the invocation's (Jepsen's writes
 * do) is no result and left out; lists and vectors are one; keys become texts (`key-text.ts`), also inside transactions,
 * `[[:append 3 1] [:r 3 nil]]` being `[["append","3",1],["r","3",null]]`; `:error` of any shape becomes a text. A
 * set that an operation returns is the list of its elements, in order of their texts, where operations only add, remove or
 * look for elements (a register could hold both sets and lists); in our own exports a set stays a set. An operation without
 * `:index` gets the next one, without `:time` a time of 1 ms per index (times are for people).
 *
 * What a failure means: `:fail` certainly did not happen. A compare-and-set that failed without an `:error` was most
 * likely refused, and so has seen another value, but Jepsen's checkers do not use that; see `ReadOptions.failedCas`.
 * Our own exports say it exactly with `:acked/matched false`, and with `:acked/result` what it saw.
 */
import { HistoryError } from "../history.ts";
import type { HistoryEvent } from "../operation.ts";
import type { ReadOptions } from "./contract.ts";
import { setElements } from "./edn.ts";
import { isPair } from "./independent.ts";
import type { KeyTexts } from "./key-text.ts";
import { Pairing } from "./pairing.ts";
import { shown, Warnings } from "./warnings.ts";

/** What differs between EDN and JSON. */
export interface Notation {
  readonly keys: KeyTexts;
  /** What a keyword or a string says; `undefined` for other values. */
  nameOf(value: unknown): string | undefined;
  /** A value of the notation's own for a name: a keyword where there are any. */
  named(name: string): unknown;
  /** Any value as text on one line. */
  print(value: unknown): string;
}

export type Members = ReadonlyMap<string, unknown>;

/** Members of ours that Jepsen does not know: written and read under their own namespace. */
export const ownMembers = [
  ["acked/workload", "workload", "string"],
  ["acked/node", "node", "string"],
  ["acked/incarnation", "incarnation", "count"],
  ["acked/read-back", "readBack", "boolean"],
  ["acked/syncs-begun", "syncsBegun", "count"],
  ["acked/sync-completed", "syncCompleted", "count"],
  ["acked/reply-port", "replyPort", "count"],
  ["acked/reply-bytes", "replyBytes", "count"],
  ["acked/matched", "matched", "boolean"],
] as const;

/** The result of an operation whose `:value` repeats its argument. */
export const resultMember = "acked/result";

/** Operations whose completion repeats the argument, as Jepsen's clients do it. */
export const repeatsArgument: ReadonlySet<string> = new Set([
  "write",
  "put",
  "cas",
  "append",
  "add",
  "enqueue",
]);

/** Of those, the ones whose answer some model looks at when there is one. */
export const answers: ReadonlySet<string> = new Set(["append", "add", "enqueue"]);

/** Operations whose argument is an element of a set. */
const ofElements: ReadonlySet<string> = new Set(["add", "remove", "contains"]);

/** On the first operation of an export as JSON, which could be taken for lines of ours otherwise: the format's name. */
export const exportMember = "acked/export";

const known = new Set(["process", "type", "f", "value", "time", "index", "error", "key", resultMember]);
known.add(exportMember);
for (const [name] of ownMembers) known.add(name);

export interface ReadingOptions extends ReadOptions {
  /** Each value is a pair [key value]. */
  readonly independent: boolean;
  /** The key is a member of its own, and a string. */
  readonly keyMember?: boolean;
  /** What a format makes of a client's event, or complains about. */
  readonly adapt?: (event: HistoryEvent, complain: Complain) => HistoryEvent;
}

export class JepsenReading {
  readonly warnings = new Warnings();
  readonly #notation: Notation;
  readonly #options: ReadingOptions;
  readonly #pairing = new Pairing();
  #previous = -1;
  /** Something was asked that puts whole values into the store, so that a set and a list are different ones. */
  #holdsValues = false;
  /** Where a set was first read as a list. */
  #setReadAt: string | undefined;
  #events = 0;

  constructor(notation: Notation, options: ReadingOptions) {
    this.#notation = notation;
    this.#options = options;
  }

  get events(): number {
    return this.#events;
  }

  /**
   * The event of the next operation.
   *
   * @param place for example `line 12`.
   * @throws HistoryError when it is none, or contradicts what came before.
   */
  event(members: Members, place: string): HistoryEvent {
    const complain = (what: string): never => {
      throw new HistoryError(`${place} of the history: ${what}`);
    };
    for (const name of members.keys()) {
      if (!known.has(name) || (name === "key" && !this.#options.keyMember)) {
        this.warnings.note(`unknown field ${shown(name)} ignored`, place);
      }
    }
    const f = this.#f(members, complain);
    const type = this.#type(members, complain);
    const process = this.#process(members, type, place, complain);
    const index = this.#index(members, complain);
    const base = { index, time: this.#time(members, index, place, complain), process, type, f };
    const event: HistoryEvent =
      process === "nemesis"
        ? { ...base, ...this.#value(members), ...this.#rest(members, complain) }
        : this.#adapted({ ...base, ...this.#ofClient(members, base, place, complain) }, complain);
    this.#pairing.accept(event, place);
    this.#previous = index;
    this.#events++;
    return event;
  }

  /** What was noticed, to be called once all events are read. */
  finish(): readonly string[] {
    this.#pairing.finish(this.warnings);
    return this.warnings.sentences();
  }

  #adapted(event: HistoryEvent, complain: Complain): HistoryEvent {
    return this.#options.adapt ? this.#options.adapt(event, complain) : event;
  }

  #ofClient(
    members: Members,
    base: Pick<HistoryEvent, "process" | "type" | "f">,
    place: string,
    complain: Complain,
  ): Partial<HistoryEvent> {
    const { workload } = this.#options;
    const rest = {
      ...(workload === undefined ? {} : { workload }),
      ...this.#rest(members, complain),
    };
    const { key, value } = this.#keyAndValue(members, base, complain);
    const keyed = key === undefined ? {} : { key };
    const plain = value === undefined ? undefined : this.#plain(base.f, value);
    if (base.type === "invoke") this.#seeWhatIsAsked(base.f, plain, complain);
    if (base.type === "invoke")
      return { ...keyed, ...(plain === undefined ? {} : { value: plain }), ...rest };
    const ending = this.#ending(members, base, plain, place, complain);
    return { ...keyed, ...ending, ...rest };
  }

  /** The type and the result of a completion. */
  #ending(
    members: Members,
    { process, type, f }: Pick<HistoryEvent, "process" | "type" | "f">,
    value: unknown,
    place: string,
    complain: Complain,
  ): Partial<HistoryEvent> {
    const result = members.has(resultMember) ? { value: members.get(resultMember) } : {};
    if (type === "fail" && members.get("acked/matched") === false) return { type: "ok", ...result };
    if (type === "fail" && f === "cas" && !members.has("error") && (value === null || isPair(value))) {
      if (this.#options.failedCas === "observation") return { type: "ok", matched: false };
      this.warnings.note(
        'a failed compare-and-set is taken for one that did not happen, as Jepsen does (failed-cas "observation" reads it as "the value was another one")',
        place,
      );
    }
    if (type !== "ok" || members.has(resultMember)) return result;
    if (!repeatsArgument.has(f)) return value === undefined ? {} : { value: this.#answer(value, place) };
    const open = this.#pairing.openOf(process);
    // What fits no invocation is explained by the pairing, in a moment.
    if (open?.event.f !== f) return {};
    const argument = open.event.value;
    if (value === null || value === undefined) return {};
    if (same(value, argument)) {
      if (this.#options.guessed && answers.has(f)) this.warnings.note(answerTakenAsRepeated, place);
      return {};
    }
    if (f === "write" || f === "put" || f === "cas") {
      return complain(
        `${f} completed with the value ${shown(value)}, but was invoked with ${shown(argument)}`,
      );
    }
    return { value };
  }

  /** An answer that is a set as the list of its elements, where only sets can have been meant. */
  #answer(value: unknown, place: string): unknown {
    const elements = this.#holdsValues ? undefined : setElements(value);
    if (!elements) return value;
    this.#setReadAt ??= place;
    return elements;
  }

  #seeWhatIsAsked(f: string, argument: unknown, complain: Complain): void {
    if (this.#holdsValues || ofElements.has(f) || argument === null || argument === undefined) return;
    this.#holdsValues = true;
    if (this.#setReadAt === undefined) return;
    complain(
      `${shown(f)} is asked, but the set returned at ${this.#setReadAt} was read as a list, as in a history of sets only`,
    );
  }

  #keyAndValue(
    members: Members,
    { process, type, f }: Pick<HistoryEvent, "process" | "type" | "f">,
    complain: Complain,
  ): { key?: string | undefined; value: unknown } {
    const value = members.get("value");
    if (this.#options.keyMember) {
      const key = members.get("key");
      if (typeof key !== "string") complain(`"key" is ${shown(key)}; it must be a string`);
      return { key: key as string, value };
    }
    if (!this.#options.independent) return { value };
    const key = isPair(value) ? this.#notation.keys.textOf(value[0]) : undefined;
    // Some clients replace the value of what failed by a reason, and a reason may be a pair as well.
    const failed = type === "fail" || type === "info";
    if (failed && (!isPair(value) || key !== this.#pairing.openOf(process)?.event.key))
      return { value: undefined };
    if (isPair(value)) return { key, value: value[1] };
    return complain(
      `the value of ${shown(f)} is ${shown(value)}, no pair [key value], but this is a history of independent keys (say independent: false if it is not)`,
    );
  }

  /** Names and keys of micro-operations become strings. */
  #plain(f: string, value: unknown): unknown {
    if (f !== "txn" || !Array.isArray(value)) return value;
    const { nameOf, keys } = this.#notation;
    const micro = (one: unknown) => Array.isArray(one) && one.length >= 2 && nameOf(one[0]) !== undefined;
    if (!value.every(micro)) return value;
    return value.map(([name, key, ...more]: unknown[]) => [nameOf(name), keys.textOf(key) ?? null, ...more]);
  }

  #value(members: Members): { value?: unknown } {
    return members.has("value") ? { value: members.get("value") } : {};
  }

  #rest(members: Members, complain: Complain): Partial<HistoryEvent> {
    const rest: Record<string, unknown> = {};
    const error = members.get("error");
    if (error !== undefined && error !== null) rest.error = this.#notation.keys.textOf(error);
    for (const [name, ours, kind] of ownMembers) {
      const value = members.get(name);
      if (value === undefined) continue;
      if (kind === "count" ? !isCount(value) : typeof value !== kind) {
        complain(
          `${shown(name)} is ${shown(value)}; it must be ${kind === "count" ? "a whole number from 0" : `a ${kind}`}`,
        );
      }
      rest[ours] = value;
    }
    return rest;
  }

  #f(members: Members, complain: Complain): string {
    if (!members.has("f")) return complain('"f" is missing; it must say what was asked, for example :read');
    const f = members.get("f");
    return this.#notation.nameOf(f) ?? this.#notation.print(f);
  }

  #type(members: Members, complain: Complain): HistoryEvent["type"] {
    if (!members.has("type")) return complain('"type" is missing; it must be invoke, ok, fail or info');
    const type = this.#notation.nameOf(members.get("type"));
    if (type === "invoke" || type === "ok" || type === "fail" || type === "info") return type;
    return complain(`"type" is ${shown(members.get("type"))}; it must be invoke, ok, fail or info`);
  }

  #process(members: Members, type: string, place: string, complain: Complain): number | "nemesis" {
    const process = members.get("process");
    if (isCount(process)) return process;
    const name = this.#notation.nameOf(process);
    const wanted = "a whole number from 0, or :nemesis";
    if (name === undefined || /^\d+$/.test(name)) {
      return complain(
        members.has("process")
          ? `"process" is ${shown(process)}; it must be ${wanted}`
          : `"process" is missing; it must be ${wanted}`,
      );
    }
    if (name === "nemesis") return "nemesis";
    // Only what affects the store can be ok or fail, so this is a client; leaving it out would leave out operations.
    if (type === "ok" || type === "fail") {
      return complain(
        `"process" is ${shown(name)} and it is ${type}; clients must be numbers, other names are the nemesis's`,
      );
    }
    this.warnings.note(`process ${shown(name)} is taken for the nemesis`, place);
    return "nemesis";
  }

  #index(members: Members, complain: Complain): number {
    const index = members.get("index") ?? this.#previous + 1;
    if (!isCount(index)) return complain(`"index" is ${shown(index)}; it must be a whole number from 0`);
    if (index <= this.#previous) {
      return complain(
        `"index" is ${index} after ${this.#previous}; each operation's index must be greater than the one before`,
      );
    }
    return index;
  }

  #time(members: Members, index: number, place: string, complain: Complain): number {
    const time = members.get("time");
    if (time === undefined || time === null) {
      this.warnings.note("operations without a time are shown 1 ms apart", place);
      return index * 1e6;
    }
    if (typeof time === "number" && Number.isFinite(time) && time >= 0) return time;
    return complain(`"time" is ${shown(time)}; it must be a number of ns from 0`);
  }
}

const answerTakenAsRepeated =
  "a completion that repeats its argument is taken for no answer, as in Jepsen's JSON; if these are acked's own lines, where it is what the store returned, name the format acked";

export type Complain = (what: string) => never;

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Plain JSON values, objects with their names in one order. */
export function same(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
