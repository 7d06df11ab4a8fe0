/**
 * What a sweep tries: every kind of disk call that the interposer can act on, with every effect that makes sense at it.
 *
 * Each pair is swept by n = 1, 2, 3 … until the rule no longer fires, from two beginnings: an empty directory, and one
 * left by a crash in the middle of load, so that the calls of recovery come first. A read is failed in the second only;
 * and one that returns what a page held before, in files that the trial itself has loaded. How a trial with it ends, and
 * how it is judged, is part of the pair.
 *
 * Not swept: a pause, which is of the process and of no call (a live run has it; here, `delay` holds the calling thread).
 */
import {
  type DiskRule,
  type Effect,
  type Errno,
  type InterposedOperation,
  interposedOperations,
} from "../../faults/contract.ts";
import { ScenarioError, type StorePromise, unknownName } from "../../stores/contract.ts";
import type { NotCovered } from "../results.ts";

export interface SweepPair {
  readonly operation: InterposedOperation;
  /** Files, or directories (of which only syncs are swept). */
  readonly path: "**" | "**/.";
  /** `error EIO`, `fsyncgate EIO`, `torn-kill`. */
  readonly effect: string;
  /** The effect of the n-th trial: amounts vary with n, so that a sweep meets several. */
  readonly effectAt: (n: number) => Effect;
  /** `from`: a state that lasts, such as a full disk. */
  readonly repeat: DiskRule["repeat"];
  /** The hardware reports success and does something else: judged as damage is, see harness/judge.ts. */
  readonly deceives: boolean;
  /** What the damage cannot be told from, if anything. */
  readonly looksLike?: string;
  /** The trial ends with power loss instead of a process crash: what was dropped shows only then. */
  readonly losesPower: boolean;
  /** Power loss is that of `posix-strict`, and only stores that are held to it are swept. Default: `ext4-ordered`. */
  readonly strict?: true;
  /**
   * The load ends when the rule has fired and what was in flight is answered: a later write to the same page, synced
   * again, would make it durable after all.
   */
  readonly endsLoad: boolean;
}

/** `restarted`: as after a crash, then loaded and killed once more in the same files, whose older pages are known. */
export type Beginning = "after a crash" | "new store" | "restarted";

export function beginningsOf({ operation, effect }: SweepPair): readonly Beginning[] {
  if (operation !== "read") return ["after a crash", "new store"];
  return [effect === "stale" ? "restarted" : "after a crash"];
}

const amounts = [0, 1, 17, 100, 511, 512, 4096] as const;
const amountAt = (n: number) => amounts[n % amounts.length]!;

function plain(operation: InterposedOperation, effect: Effect, name: string): SweepPair {
  const base = { operation, path: "**", effect: name, repeat: "once" } as const;
  const judged = { deceives: false, losesPower: false, endsLoad: false };
  return { ...base, ...judged, effectAt: () => effect };
}

function errors(operation: InterposedOperation, ...errnos: readonly Errno[]): SweepPair[] {
  return errnos.map((errno) => plain(operation, { do: "error", errno }, `error ${errno}`));
}

function kills(operation: InterposedOperation): SweepPair[] {
  return [
    plain(operation, { do: "kill-before" }, "kill-before"),
    plain(operation, { do: "kill-after" }, "kill-after"),
  ];
}

const dropsPages = { losesPower: true, endsLoad: true } as const;
const olderDisk = { deceives: true, looksLike: "an older disk" } as const;

function writes(): SweepPair[] {
  const varying = (effect: Effect["do"], effectAt: (n: number) => Effect): SweepPair => {
    return { ...plain("write", effectAt(1), effect), effectAt };
  };
  const shift = (n: number) => (n % 2 === 0 ? 4096 : -512) * (1 + (n % 3));
  return [
    ...errors("write", "EIO", "ENOSPC", "EINTR"),
    varying("short", (n) => ({ do: "short", bytes: amountAt(n) })),
    varying("torn-kill", (n) => ({ do: "torn-kill", bytes: amountAt(n) })),
    varying("torn-error", (n) => ({ do: "torn-error", bytes: amountAt(n), errno: "EIO" })),
    { ...plain("write", { do: "lying" }, "lying"), deceives: true },
    { ...varying("misdirected", (n) => ({ do: "misdirected", shiftBytes: shift(n) })), deceives: true },
    { ...varying("bit-flip", (n) => ({ do: "bit-flip", bit: n * 7919 })), deceives: true },
    ...kills("write"),
    { ...plain("write", { do: "full" }, "full"), repeat: "from" },
    { ...plain("write", { do: "read-only" }, "read-only"), repeat: "from" },
    { ...plain("write", { do: "writeback-error", errno: "EIO" }, "writeback-error EIO"), ...dropsPages },
  ];
}

function syncs(): SweepPair[] {
  const forgetful = { ...dropsPages, ...olderDisk } as const;
  return [
    { ...plain("sync", { do: "fsyncgate", errno: "EIO" }, "fsyncgate EIO"), ...dropsPages },
    { ...plain("sync", { do: "error", errno: "EIO" }, "error EIO"), losesPower: true },
    { ...plain("sync", { do: "error", errno: "EINTR" }, "error EINTR"), losesPower: true },
    { ...plain("sync", { do: "revert", errno: "EIO" }, "revert EIO"), ...dropsPages },
    { ...plain("sync", { do: "late", errno: "EIO" }, "late EIO"), ...forgetful },
    { ...plain("sync", { do: "lying" }, "lying"), ...forgetful },
    ...kills("sync"),
    { ...plain("sync", { do: "error", errno: "EIO" }, "error EIO"), path: "**/.", losesPower: true },
    ...kills("sync").map((pair) => ({ ...pair, path: "**/." as const })),
  ];
}

/** Longer than any call takes, and short enough for many trials. */
const slowMs = 150;

/** What a full quota or disk says at a sync, and what is rare: swept when all else has been. */
function rarer(): SweepPair[] {
  const directory = { path: "**/.", losesPower: true } as const;
  return [
    ...(["ENOSPC", "EDQUOT"] as const).flatMap((errno): SweepPair[] => [
      { ...plain("sync", { do: "fsyncgate", errno }, `fsyncgate ${errno}`), ...dropsPages },
      { ...plain("sync", { do: "error", errno }, `error ${errno}`), losesPower: true },
    ]),
    { ...plain("sync", { do: "error", errno: "EINTR" }, "error EINTR"), ...directory },
    // ext4 keeps names in their order, and a later sync makes up for one that failed: neither helps here.
    {
      ...plain("sync", { do: "error", errno: "EIO" }, "error EIO lasting"),
      ...{ ...directory, repeat: "from", strict: true },
    },
    { ...plain("sync", { do: "lying" }, "lying"), ...directory, ...olderDisk },
    ...errors("write", "EDQUOT"),
    ...(["create", "open", "rename", "link", "unlink", "mkdir", "truncate"] as const).flatMap((operation) =>
      errors(operation, "EROFS"),
    ),
    ...(["create", "rename", "mkdir"] as const).flatMap((operation) => errors(operation, "EDQUOT")),
    ...interposedOperations.map((operation) => plain(operation, { do: "delay", delayMs: slowMs }, "delay")),
  ];
}

function reads(): SweepPair[] {
  return [
    ...errors("read", "EIO", "EINTR"),
    {
      ...plain("read", { do: "short", bytes: 1 }, "short"),
      effectAt: (n) => ({ do: "short", bytes: 1 + amountAt(n) }),
    },
    { ...plain("read", { do: "bit-flip", bit: 0 }, "bit-flip"), effectAt: bitAt, deceives: true },
    { ...plain("read", { do: "stale" }, "stale"), ...olderDisk },
    ...kills("read"),
  ];
}

const bitAt = (n: number): Effect => ({ do: "bit-flip", bit: n * 7919 });

/** Every pair, the ones that most often find something first. */
export const sweepPairs: readonly SweepPair[] = [
  ...syncs(),
  ...writes(),
  ...["rename", "link"].flatMap((operation) =>
    names(operation as InterposedOperation, "EIO", "ENOSPC", "EACCES"),
  ),
  ...names("create", "EMFILE", "ENOSPC", "EACCES", "EIO"),
  ...names("open", "EMFILE", "EACCES", "EIO"),
  ...names("unlink", "EIO", "EACCES"),
  ...names("truncate", "EIO", "ENOSPC"),
  ...names("mkdir", "EIO", "ENOSPC", "EACCES"),
  ...reads(),
  ...rarer(),
];

function names(operation: InterposedOperation, ...errnos: readonly Errno[]): SweepPair[] {
  return [...errors(operation, ...errnos), ...kills(operation)];
}

/**
 * The pairs of these operations and effects; all of them where a list is absent. An effect is named in full (`error EIO`)
 * or by its first word (`error`).
 *
 * @throws ScenarioError for a name that is not known, and when nothing is left.
 */
export function choosePairs(operations?: readonly string[], effects?: readonly string[]): SweepPair[] {
  const knownOperations = [...new Set(sweepPairs.map((pair) => pair.operation))];
  const knownEffects = [...new Set(sweepPairs.map((pair) => pair.effect))];
  for (const name of operations ?? []) {
    if (!knownOperations.includes(name as InterposedOperation)) {
      throw unknownName("operation to sweep", name, knownOperations);
    }
  }
  const isNamed = (pair: SweepPair, name: string) =>
    pair.effect === name || pair.effect.split(" ")[0] === name;
  for (const name of effects ?? []) {
    if (!sweepPairs.some((pair) => isNamed(pair, name))) throw unknownName("effect", name, knownEffects);
  }
  const chosen = sweepPairs.filter(
    (pair) =>
      (!operations || operations.includes(pair.operation)) &&
      (!effects || effects.some((name) => isNamed(pair, name))),
  );
  if (chosen.length > 0) return chosen;
  throw new ScenarioError(
    `no such sweep: ${operations?.join(", ")} cannot be made to fail by ${effects?.join(", ")}; what can: ${knownOperations
      .map(
        (name) =>
          `${name} (${sweepPairs
            .filter((pair) => pair.operation === name)
            .map((pair) => pair.effect)
            .join(", ")})`,
      )
      .join("; ")}`,
  );
}

/** `sync fsyncgate EIO`, `sync directory error EIO lasting (posix-strict)`. */
export function sweepName({ operation, path, effect, strict }: SweepPair): string {
  return `${operation}${path === "**" ? "" : " directory"} ${effect}${strict ? " (posix-strict)" : ""}`;
}

/**
 * Without the pairs in which the hardware lies, where the store promises nothing about damaged files: it would be judged by
 * what it never promised. Naming an effect asks for it all the same.
 */
export function withinPromise(pairs: readonly SweepPair[], promise: StorePromise): readonly SweepPair[] {
  return promise.detectsDamageAtRest ? pairs : pairs.filter((pair) => !pair.deceives);
}

/** Says so, in a report of a store for which `withinPromise` left something out. */
export function beyondPromise(name: string, promise: StorePromise): NotCovered[] {
  if (promise.detectsDamageAtRest) return [];
  const why = `store ${name} promises nothing about damaged files; name the effects to see what happens`;
  return [{ what: "sweeps of hardware that lies", why }];
}

/** The file of a call with numbers replaced, so that calls of one kind are one site: `segment-#.log`. */
export function siteOf(operation: string, path: string): string {
  // A name made of another file's content or of a random number, then numbers in either base.
  const plain = path.replace(/(?<=^|[-._/])(?=[^\d]*\d)[0-9a-f-]{30,}(?=[._/]|$)/gi, "#");
  return `${operation} ${plain.replace(/[0-9A-F]{8,}|\d+/g, "#")}`;
}
