/**
 * The crash states of one crash point, each once: all of them while they are few (about ten pending operations), a
 * stated sample of them otherwise. The sequence depends on the trace, the profile, the seed and the effort only: not on
 * who asks, nor on the crash points that were asked about before.
 *
 * In this order, so that what is found easily is found first:
 * 1. *prefixes*: the first k pending operations are on the disk, k = 0, 1, 2 …
 * 2. *all the others*, when at most `Effort.exhaustive` states are possible; else
 *    *leave one out* (all but one operation; with the size it led to, and without), *keep only one*, and *random* ones
 *    (each name, size and page on its own).
 * 3. *tears* of the newest write: some of its pages, and some of the sectors of one of its pages: a prefix, a suffix, a
 *    hole, a lone survivor, once with everything else on the disk and once with nothing else. Each write is the
 *    newest one at some crash point.
 * A state that the profile forbids is replaced by the nearest one that it allows.
 *
 * `possible` counts page versions, sizes and names; tears are not in it.
 */
import { seededRandom } from "../../measure/random.ts";
import type { PendingOperation } from "../disk/disk-file.ts";
import type { DiskModel } from "../disk/disk-model.ts";
import type { NameChange } from "../disk/disk-names.ts";
import { pageBytes } from "../disk/pages.ts";
import {
  CrashSpace,
  countFile,
  type FileSpace,
  legalVersions,
  mayBe,
  type NamesChoice,
  oldestVersion,
  type PageRange,
  versionOf,
} from "./crash-space.ts";
import { CrashState, FileChoice, type PendingThings, pendingIn, sectorBytes } from "./crash-state.ts";
import type { Profile } from "./profiles/profile.ts";

/** How much is tried at one crash point. */
export interface Effort {
  /** All states are listed when at most this many are possible. */
  readonly exhaustive: number;
  /** Operations that are left out and kept alone, one by one: the newest half of them, and others drawn by the seed. */
  readonly single: number;
  readonly random: number;
  /** Tears of the newest write. */
  readonly tears: number;
}

export const defaultEffort: Effort = { exhaustive: 1024, single: 64, random: 24, tears: 12 };

/** What one crash point offers. */
export interface CrashPoint {
  /** Power was lost after this event. */
  readonly event: number;
  /** States that the profile allows, tears apart; `null` when over 2^53, or with over 1,024 choices of names. */
  readonly possible: number | null;
  /** True when every one of them is in `states`. */
  readonly exhaustive: boolean;
  /** Different states, by content. Each stays valid when the model goes on. */
  readonly states: readonly CrashState[];
  readonly leftOut: readonly { readonly why: string; readonly count: number | null }[];
}

/** Follows a model: feed it an event, then ask. */
export class CrashStates {
  readonly #space: CrashSpace;
  readonly #seed: number;
  readonly #effort: Effort;
  #revision: number | undefined;
  #last: CrashPoint | undefined;

  constructor(model: DiskModel, profile: Profile, seed: number, effort: Effort = defaultEffort) {
    this.#space = spaceOf(model, profile);
    this.#seed = seed;
    this.#effort = effort;
  }

  /** The states of a power loss now. The same object while the disk did not change. */
  now(): CrashPoint {
    const { revision } = this.#space.model;
    if (this.#last === undefined || this.#revision !== revision) {
      this.#revision = revision;
      this.#last = new Enumeration(this.#space, this.#seed, this.#effort).list();
    }
    return this.#last;
  }
}

/** More choices of names than this are not counted. */
const nameChoicesAtMost = 1024;

/** Spaces keep trees of names from one crash point to the next. */
const spaces = new WeakMap<DiskModel, Map<Profile, CrashSpace>>();

function spaceOf(model: DiskModel, profile: Profile): CrashSpace {
  let ofModel = spaces.get(model);
  if (ofModel === undefined) {
    ofModel = new Map();
    spaces.set(model, ofModel);
  }
  let space = ofModel.get(profile);
  if (space === undefined) {
    space = new CrashSpace(model, profile);
    ofModel.set(profile, space);
  }
  return space;
}

/** The work at one crash point. */
class Enumeration {
  readonly #all: CrashSpace;
  readonly #effort: Effort;
  readonly #pending: PendingThings;
  readonly #random: () => number;
  readonly #found = new Map<number, CrashState | CrashState[]>();
  readonly #states: CrashState[] = [];
  readonly #choices = new Map<string, NamesChoice>();

  constructor(all: CrashSpace, seed: number, effort: Effort) {
    this.#all = all;
    this.#effort = effort;
    this.#pending = pendingIn(all);
    this.#random = seededRandom((seed ^ Math.imul(this.#pending.event + 1, 0x9e3779b1)) | 0);
  }

  list(): CrashPoint {
    const names = this.#nameChoices();
    const possible = names === undefined ? null : countAll(names);
    const exhaustive = possible !== null && possible <= this.#effort.exhaustive;
    this.#add(this.#prefixes());
    this.#add(exhaustive ? this.#combinations(names!) : this.#sample());
    const listed = this.#states.length;
    this.#add(this.#tears());
    const why = `crash points with more than ${this.#effort.exhaustive} states: only prefixes, single operations and random ones`;
    const leftOut = [{ why, count: possible === null ? null : Math.max(0, possible - listed) }];
    return {
      event: this.#pending.event,
      possible,
      exhaustive,
      states: this.#states,
      leftOut: exhaustive ? [] : leftOut,
    };
  }

  /** Every legal choice of metadata; undefined when there are too many. */
  #nameChoices(): readonly NamesChoice[] | undefined {
    const { operations, changes } = this.#all.metadata;
    const independent = this.#all.profile.metadata === "independent";
    if (!independent && operations.every((op, at) => at === 0 || endedBefore(operations[at - 1]!, op))) {
      if (operations.length >= nameChoicesAtMost) return undefined;
      return Array.from({ length: operations.length + 1 }, (_, k) => this.#choose(operations.slice(0, k)));
    }
    // In a journal a call comes after all that had ended when it began; of calls that overlapped, either may be first.
    const sets = closedSets(operations, (op) =>
      independent
        ? changes.get(op)!.after.map((change) => change.op)
        : operations.filter((one) => endedBefore(one, op)),
    );
    return sets?.map((set) => this.#choose(set));
  }

  #choose(wanted: readonly PendingOperation[]): NamesChoice {
    const key = wanted.map((op) => op.event).join();
    let choice = this.#choices.get(key);
    if (choice === undefined) {
      choice = this.#all.choose(wanted);
      this.#choices.set(key, choice);
    }
    return choice;
  }

  *#prefixes(): Generator<CrashState> {
    const there = new Set<PendingOperation>();
    yield this.#composed(there, "through", "through");
    for (const op of this.#pending.operations) {
      there.add(op);
      yield this.#composed(there, "through", "through");
    }
  }

  *#combinations(names: readonly NamesChoice[]): Generator<CrashState> {
    for (const choice of names) yield* this.#product(choice);
  }

  /** Every combination of what the files may hold. */
  *#product(names: NamesChoice): Generator<CrashState> {
    for (const files of combinationsOf(names.spaces.map(fileChoices))) {
      yield new CrashState(this.#pending, names, files);
    }
  }

  *#sample(): Generator<CrashState> {
    const { operations } = this.#pending;
    const single = this.#someOf(operations, this.#effort.single);
    const everything = new Set(operations);
    for (const op of single) {
      everything.delete(op);
      yield this.#composed(everything, "through", "through");
      yield this.#composed(everything, "through", "last");
      everything.add(op);
    }
    for (const op of single) yield this.#composed(new Set([op]), "last", "last");
    for (let i = 0; i < this.#effort.random; i++) yield this.#drawn();
  }

  /** The newest half, and others by chance; all when they are few. */
  #someOf(operations: readonly PendingOperation[], atMost: number): readonly PendingOperation[] {
    if (operations.length <= atMost) return operations;
    const newest = operations.slice(operations.length - Math.ceil(atMost / 2));
    const others: PendingOperation[] = [];
    while (others.length < Math.floor(atMost / 2)) {
      others.push(operations[Math.floor(this.#random() * (operations.length - newest.length))]!);
    }
    return [...new Set([...others, ...newest])];
  }

  /**
   * The state with these operations on the disk, or the nearest legal one. `through`: a page (a size) includes changes
   * up to the first that is missing; `last`: up to the last that is there.
   */
  #composed(there: ReadonlySet<PendingOperation>, pages: Reach, sizes: Reach): CrashState {
    const { operations, changes } = this.#all.metadata;
    const independent = this.#all.profile.metadata === "independent";
    const firstMissing = operations.find((op) => !there.has(op))?.endedAt ?? Number.MAX_SAFE_INTEGER;
    const follows = (op: PendingOperation) =>
      independent ? closed(changes.get(op)!, there) : op.event <= firstMissing;
    const wanted = operations.filter((op) => there.has(op) && (pages === "last" || follows(op)));
    const names = this.#choose(wanted);
    const files = names.spaces.map((space) => composedFile(space, there, pages, sizes));
    return new CrashState(this.#pending, names, files);
  }

  /** Each name, size and page on its own. */
  #drawn(): CrashState {
    const { operations } = this.#all.metadata;
    const wanted =
      this.#all.profile.metadata === "independent"
        ? operations.filter(() => this.#random() < 0.5)
        : operations.slice(0, this.#below(operations.length + 1));
    const names = this.#all.choose(wanted);
    const files = names.spaces.map((space) => {
      const size = space.sizes[this.#below(space.sizes.length)]!;
      const versions = space.pages.map((range) => {
        const legal = legalVersions(space, range, size);
        return legal[this.#below(legal.length)]!;
      });
      return new FileChoice(space, size, versions);
    });
    return new CrashState(this.#pending, names, files);
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  *#tears(): Generator<CrashState> {
    const newest = this.#pending.operations.findLast((op) => op.kind === "write");
    if (newest === undefined) return;
    const alone = this.#composed(new Set([newest]), "last", "last");
    const together = this.#composed(new Set(this.#pending.operations), "through", "through");
    const tears = [together, alone].flatMap((state) => tearsOf(state, newest));
    for (const state of this.#sampleOf(tears, this.#effort.tears)) yield state();
  }

  #sampleOf<T>(list: readonly T[], atMost: number): readonly T[] {
    if (list.length <= atMost) return list;
    const left = list.slice();
    return Array.from({ length: atMost }, () => left.splice(this.#below(left.length), 1)[0]!);
  }

  #add(states: Iterable<CrashState>): void {
    for (const state of states) if (this.#isNew(state)) this.#states.push(state);
  }

  #isNew(state: CrashState): boolean {
    const same = this.#found.get(state.low);
    if (same === undefined) this.#found.set(state.low, state);
    else if (Array.isArray(same)) {
      if (same.some((one) => one.high === state.high)) return false;
      same.push(state);
    } else {
      if (same.high === state.high) return false;
      this.#found.set(state.low, [same, state]);
    }
    return true;
  }
}

type Reach = "through" | "last";

function countAll(names: readonly NamesChoice[]): number | null {
  let count = 0;
  for (const choice of names) {
    let product = 1;
    for (const space of choice.spaces) product *= countFile(space);
    count += product;
  }
  return Number.isSafeInteger(count) ? count : null;
}

/** Sets of operations that hold what their members build on; undefined when there are too many. */
function closedSets(
  operations: readonly PendingOperation[],
  after: (op: PendingOperation) => readonly PendingOperation[],
): PendingOperation[][] | undefined {
  let sets: PendingOperation[][] = [[]];
  for (const op of operations) {
    const earlier = after(op);
    const more = sets.filter((set) => earlier.every((one) => set.includes(one)));
    if (sets.length + more.length > nameChoicesAtMost) return undefined;
    sets = [...sets, ...more.map((set) => [...set, op])];
  }
  return sets;
}

function endedBefore(one: PendingOperation, op: PendingOperation): boolean {
  return one.endedAt !== undefined && one.endedAt < op.event;
}

/** Whether all that a change builds on is there. */
export function closed(change: NameChange, there: ReadonlySet<PendingOperation>): boolean {
  const seen = new Set(change.after);
  // What is added while it is gone through is gone through as well.
  for (const one of seen) {
    if (!there.has(one.op)) return false;
    for (const earlier of one.after) seen.add(earlier);
  }
  return true;
}

/** Everything one file may hold, different contents only. A loop: a file may have more pending pages than a stack has frames. */
function fileChoices(space: FileSpace): FileChoice[] {
  const found = new Map<string, FileChoice>();
  for (const size of space.sizes) {
    const lists = space.pages.map((range) =>
      range.index * pageBytes < size.size ? legalVersions(space, range, size) : [range.low],
    );
    for (const versions of combinationsOf(lists)) {
      const choice = new FileChoice(space, size, versions);
      const key = `${choice.high}.${choice.low}`;
      if (!found.has(key)) found.set(key, choice);
    }
  }
  return [...found.values()];
}

/** One of each list, as an odometer counts: the last list is gone through first. No list is empty. */
function* combinationsOf<T>(lists: readonly (readonly T[])[]): Generator<T[]> {
  const at = lists.map(() => 0);
  for (;;) {
    yield lists.map((list, position) => list[at[position]!]!);
    let position = lists.length - 1;
    while (position >= 0 && ++at[position]! === lists[position]!.length) at[position--] = 0;
    if (position < 0) return;
  }
}

/** The legal version nearest to the wanted one, older ones first. */
function nearest(legal: readonly number[], wanted: number): number {
  return legal.findLast((one) => one <= wanted) ?? legal[0]!;
}

function composedFile(
  space: FileSpace,
  there: ReadonlySet<PendingOperation>,
  pages: Reach,
  sizes: Reach,
): FileChoice {
  const through = reached(
    space.changes.map((change) => change.op),
    space.certainSizes,
    there,
    sizes,
  );
  const size = space.sizes.findLast((one) => !one.boundary && one.through <= through) ?? space.sizes[0]!;
  const versions = space.pages.map((range) => {
    const operations = range.page.patches.map((patch) => patch.op);
    const wanted = Math.min(reached(operations, range.low, there, pages), range.high);
    return nearest(legalVersions(space, range, size), wanted);
  });
  return new FileChoice(space, size, versions);
}

function reached(
  operations: readonly PendingOperation[],
  low: number,
  there: ReadonlySet<PendingOperation>,
  reach: Reach,
): number {
  if (reach === "last") return Math.max(low, operations.findLastIndex((op) => there.has(op)) + 1);
  let count = low;
  while (count < operations.length && there.has(operations[count]!)) count++;
  return count;
}

/** All ways in which one write may be torn in a state that holds it. Made when called. */
function tearsOf(state: CrashState, write: PendingOperation): (() => CrashState)[] {
  const at = state.files.findIndex(({ space }) => space.file.id === write.file);
  const file = state.files[at];
  if (file === undefined) return [];
  const withFile = (choice: FileChoice) => () =>
    new CrashState(
      state.point,
      state.names,
      state.files.map((one, position) => (position === at ? choice : one)),
    );
  return [...pageTears(file, write), ...sectorTears(file, write)].map(withFile);
}

/** Where the write changed a page that is visible, and the version without it may be there. */
function tornPlaces({ space, size, versions }: FileChoice, write: PendingOperation) {
  return space.pages.flatMap((range, at) => {
    const position = range.page.patches.findIndex((patch) => patch.op === write);
    const visible = range.index * pageBytes < size.size;
    if (position < 0 || !visible || versions[at]! <= position) return [];
    const older = Math.max(position, range.low);
    const legal = older >= oldestVersion(space, range, size) && mayBe(range, older);
    return legal && older < versions[at]! ? [{ at, older, range }] : [];
  });
}

function pageTears(file: FileChoice, write: PendingOperation): FileChoice[] {
  const places = tornPlaces(file, write);
  return masks(places.length).map((mask) => {
    const versions = file.versions.slice();
    places.forEach(({ at, older }, bit) => {
      if (((mask >>> bit) & 1) === 0) versions[at] = older;
    });
    return new FileChoice(file.space, file.size, versions);
  });
}

function sectorTears(file: FileChoice, write: PendingOperation): FileChoice[] {
  return tornPlaces(file, write).flatMap(({ at, older, range }) => {
    const different = differentSectors(range, older, file.versions[at]!);
    return masks(different.length).map((bits) => {
      const mask = different.reduce((all, sector, bit) => all | (((bits >>> bit) & 1) << sector), 0);
      return new FileChoice(file.space, file.size, file.versions, { at, older, mask });
    });
  });
}

function differentSectors(range: PageRange, a: number, b: number): number[] {
  const one = versionOf(range, a)?.bytes ?? zeros;
  const other = versionOf(range, b)?.bytes ?? zeros;
  const different: number[] = [];
  for (let sector = 0; sector * sectorBytes < pageBytes; sector++) {
    const start = sector * sectorBytes;
    const end = start + sectorBytes;
    if (Buffer.compare(one.subarray(start, end), other.subarray(start, end)) !== 0) different.push(sector);
  }
  return different;
}

const zeros = new Uint8Array(pageBytes);
/** Bits of a mask; longer writes are torn in their first pages. */
const maskBits = 30;

/** Of n parts: each prefix, each suffix, each hole of one, each lone survivor; neither all nor none. */
function masks(parts: number): number[] {
  const n = Math.min(parts, maskBits);
  const full = 2 ** n - 1;
  const found = new Set<number>();
  for (let i = 1; i < n; i++) {
    found.add(2 ** i - 1);
    found.add(full ^ (2 ** i - 1));
  }
  for (let i = 0; i < n; i++) {
    found.add(full ^ (1 << i));
    found.add(1 << i);
  }
  found.delete(0);
  found.delete(full);
  return [...found];
}
