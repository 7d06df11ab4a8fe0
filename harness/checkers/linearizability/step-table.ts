/**
 * The steps of a model, each computed once. States become small integers (equal states the same one); operations that say
 * the same (what was asked, how it ended, what came back) become one *class*, and a step is a look-up by (state, class).
 *
 * Models are pure functions of exactly that, which is enforced: they are given an operation of the class whose other
 * members (times, ranks, the process unless the model is `perProcess`) throw when they are read.
 */
import type { Operation } from "../../history/operation.ts";
import type { Model } from "../../models/contract.ts";

/** What `step` gives where the operation is impossible. */
export const impossible = -1;

const notYetKnown = -2;

/** Up to so many classes each state has a row of steps; beyond, steps are kept in a map. */
const rowClassesMax = 256;
const mapEntriesMax = 1 << 20;

/** Bytes taken for a state of which nothing else is known. */
const stateBytes = 160;

export class StepTable<State> {
  /** By operation, as given to the constructor. */
  readonly classOf: Int32Array;
  /** By class: 1 for operations that change no state whatsoever. */
  readonly readOnly: Uint8Array;
  /** By class: the states that it tells from others; `undefined` when it does not say that of all. */
  readonly observed: readonly (readonly number[])[] | undefined;
  /** Calls of `model.step` so far: the only part of a search that can be slow by itself. */
  modelCalls = 0;
  readonly #model: Model<State>;
  readonly #samples: Operation[] = [];
  readonly #states: State[] = [];
  readonly #byHash = new Map<number, number[]>();
  readonly #rows: Int32Array[] = [];
  readonly #steps = new Map<number, number>();
  /** States that stay when others are forgotten: the first one and those that are observed. */
  readonly #lasting: number;

  constructor(model: Model<State>, operations: readonly Operation[]) {
    this.#model = model;
    this.classOf = this.#classify(operations);
    this.readOnly = Uint8Array.from(this.#samples, (sample) => (model.readOnly(sample) ? 1 : 0));
    this.idOf(model.init());
    this.observed = this.#observed();
    this.#lasting = this.#states.length;
  }

  /** The initial state. */
  get start(): number {
    return 0;
  }

  get classes(): number {
    return this.#samples.length;
  }

  /** Bytes, estimated. */
  get bytes(): number {
    const rows = this.classes <= rowClassesMax ? this.#states.length * this.classes * 4 : 0;
    return this.#states.length * stateBytes + rows + this.#steps.size * 40;
  }

  stateOf(id: number): State {
    return this.#states[id]!;
  }

  idOf(state: State): number {
    const hash = this.#model.hash(state) | 0;
    const same = this.#byHash.get(hash);
    for (const id of same ?? []) if (this.#model.equal(this.#states[id]!, state)) return id;
    const id = this.#states.push(state) - 1;
    if (same) same.push(id);
    else this.#byHash.set(hash, [id]);
    return id;
  }

  /** The state after an operation of this class, or `impossible`. */
  step(state: number, operationClass: number): number {
    if (this.classes <= rowClassesMax) {
      this.#rows[state] ??= new Int32Array(this.classes).fill(notYetKnown);
      const row = this.#rows[state]!;
      const known = row[operationClass]!;
      if (known !== notYetKnown) return known;
      const after = this.#compute(state, operationClass);
      row[operationClass] = after;
      return after;
    }
    const at = state * this.classes + operationClass;
    const known = this.#steps.get(at);
    if (known !== undefined) return known;
    const after = this.#compute(state, operationClass);
    if (this.#steps.size >= mapEntriesMax) this.#steps.clear();
    this.#steps.set(at, after);
    return after;
  }

  /** Forgets all but the lasting states and `kept`, whose new numbers are returned in the same order. */
  forget(kept: readonly number[]): number[] {
    const states = kept.map((id) => this.#states[id]!);
    const lasting = this.#states.slice(0, this.#lasting);
    this.#states.length = 0;
    this.#rows.length = 0;
    this.#byHash.clear();
    this.#steps.clear();
    for (const state of lasting) this.idOf(state);
    return states.map((state) => this.idOf(state));
  }

  #observed(): number[][] | undefined {
    const observed: number[][] = [];
    for (const sample of this.#samples) {
      const states = this.#model.observes?.(sample);
      if (!states) return undefined;
      observed.push(states.map((state) => this.idOf(state)));
    }
    return observed;
  }

  #compute(state: number, operationClass: number): number {
    this.modelCalls++;
    const before = this.#states[state]!;
    const after = this.#model.step(before, this.#samples[operationClass]!);
    if (after === undefined) return impossible;
    return after === before ? state : this.idOf(after);
  }

  #classify(operations: readonly Operation[]): Int32Array {
    const classes = new Map<string, number>();
    const identities = new Map<unknown, number>();
    return Int32Array.from(operations, (operation) => {
      const { f, key, input, outcome, output, matched, error, process } = operation;
      const asker = this.#model.perProcess ? process : -1;
      const text = textOf([f, key, input, outcome, output, matched, error, asker], identities);
      let known = classes.get(text);
      if (known === undefined) {
        known = this.#samples.push(timeless(operation, this.#model)) - 1;
        classes.set(text, known);
      }
      return known;
    });
  }
}

const saidByAnOperation = ["f", "key", "input", "outcome", "output", "matched", "error"] as const;

/** The operation without what a step must not depend on. */
export function timeless<State>(operation: Operation, model: Model<State>): Operation {
  const sample: Partial<Record<keyof Operation, unknown>> = {};
  for (const member of saidByAnOperation) if (member in operation) sample[member] = operation[member];
  if (model.perProcess) sample.process = operation.process;
  for (const member of Object.keys(operation)) {
    if (member in sample) continue;
    Object.defineProperty(sample, member, {
      get() {
        const hint = member === "process" ? "; say perProcess: true if it has to" : "";
        throw new TypeError(`the model "${model.name}" must not look at operation.${member}${hint}`);
      },
    });
  }
  return sample as unknown as Operation;
}

/** A text that only equal values share; what is neither plain data nor a primitive equals itself alone. */
function textOf(value: unknown, identities: Map<unknown, number>): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (typeof value === "bigint") return `${value}n`;
  if (value === undefined || value === null || typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return `[${value.map((element) => textOf(element, identities)).join()}]`;
  if (isPlain(value)) {
    const members = Object.entries(value).map(
      ([name, of]) => `${JSON.stringify(name)}:${textOf(of, identities)}`,
    );
    return `{${members.join()}}`;
  }
  let identity = identities.get(value);
  if (identity === undefined) {
    identity = identities.size;
    identities.set(value, identity);
  }
  return `#${identity}`;
}

function isPlain(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
