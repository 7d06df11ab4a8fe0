/**
 * Why one version must be older than another, as few operations of few sessions and one sentence: the derivation that
 * session-order.ts makes over sets, found again for a single pair by breadth-first search.
 */
import type { Operation } from "../../history/operation.ts";
import { inOrder } from "../findings.ts";
import type { Cycle, Guarantee, Guarantees } from "./session-order.ts";
import { type Access, type Version, versionName } from "./versions.ts";

/** One step of a derivation: `guarantee` says that whoever has `to` has `from`. */
interface Reason {
  readonly words: string;
  readonly operations: readonly Operation[];
  readonly guarantees: readonly Guarantee[];
}

interface Reached {
  readonly version: Version;
  readonly reasons: readonly Reason[];
}

export interface Explained {
  readonly sentence: string;
  readonly operations: readonly Operation[];
  /** Guarantees that the sentence makes use of. */
  readonly guarantees: ReadonlySet<Guarantee>;
  /** True when it speaks of other keys as well. */
  readonly acrossKeys: boolean;
}

export class SessionExplainer {
  readonly #sessions = new Map<string, Access[]>();
  readonly #writers = new Map<Version, Access>();
  readonly #readers = new Map<string, Access[]>();
  readonly #sessionOf: (access: Access) => string;

  constructor(accesses: readonly Access[], sessionOf: (access: Access) => string) {
    this.#sessionOf = sessionOf;
    for (const access of accesses) {
      grow(this.#sessions, sessionOf(access), access);
      if (access.writes) this.#writers.set(access.writes, access);
      if (access.reads) grow(this.#readers, access.reads.key, access);
    }
  }

  explain(cycle: Cycle, demanded: Guarantees): Explained {
    const parts = cycle.map((older, i) => this.#why(older, cycle[(i + 1) % cycle.length]!, demanded));
    // The initial version is the oldest without any reason.
    const reasons = parts.flat();
    const key = cycle[0]!.key;
    const sentences = parts
      .filter((part) => part.length > 0)
      .map((part) => part.map(({ words }) => words).join(", "));
    const operations = inOrder(reasons.flatMap((reason) => reason.operations));
    return {
      sentence: `key ${key}: ${sentences.join("; but ")}`,
      operations,
      guarantees: new Set(reasons.flatMap((reason) => reason.guarantees)),
      acrossKeys: operations.some((operation) => operation.key !== key),
    };
  }

  #why(older: Version, newer: Version, demanded: Guarantees): readonly Reason[] {
    if (!older.writer) return [];
    const writer = this.#writers.get(newer);
    if (writer?.reads === older) {
      return [reason(`${who(writer)} replaced ${versionName(older)} by ${versionName(newer)}`, [writer])];
    }
    const starts = (this.#readers.get(newer.key) ?? []).filter(
      (read) => isSame(read.reads, newer) && read.operation.outcome === "ok",
    );
    const derivations = [
      ...(writer ? [this.#derive(this.#beforeWrite(writer, demanded), older, demanded)] : []),
      ...starts.map((read) => this.#derive(this.#beforeRead(read, demanded), older, demanded)),
    ].filter((found) => found !== undefined);
    return derivations.sort((a, b) => a.length - b.length)[0] ?? [];
  }

  /** The shortest way from what is there at the beginning back to the version looked for. */
  #derive(from: readonly Reached[], wanted: Version, demanded: Guarantees): readonly Reason[] | undefined {
    const known = new Set<Version>();
    let level = from;
    while (level.length > 0) {
      const next: Reached[] = [];
      for (const { version, reasons } of level) {
        if (version === wanted) return reasons;
        const writer = this.#writers.get(version);
        if (known.has(version) || !writer) continue;
        known.add(version);
        for (const more of this.#beforeWrite(writer, demanded)) {
          if (!known.has(more.version)) {
            next.push({ version: more.version, reasons: [...reasons, ...more.reasons] });
          }
        }
      }
      level = next;
    }
    return undefined;
  }

  #beforeRead(read: Access, demanded: Guarantees): Reached[] {
    const saw = read.reads!;
    const end = seeing(read);
    const reached: Reached[] = [{ version: saw, reasons: [reason(`${who(read)} ${end}`, [read])] }];
    for (const earlier of this.#earlier(read)) {
      if (demanded.has("read-your-writes") && earlier.writes) {
        const words = `${who(read)} wrote ${named(earlier.writes, saw)} and afterwards ${end}`;
        reached.push({
          version: earlier.writes,
          reasons: [reason(words, [earlier, read], "read-your-writes")],
        });
      }
      if (demanded.has("monotonic-reads") && earlier.reads) {
        const words = `${who(read)} read ${named(earlier.reads, saw)} and afterwards ${end}`;
        reached.push({
          version: earlier.reads,
          reasons: [reason(words, [earlier, read], "monotonic-reads")],
        });
      }
    }
    return reached;
  }

  #beforeWrite(write: Access, demanded: Guarantees): Reached[] {
    const reached: Reached[] = [];
    const made = write.writes!;
    const wrote = write.reads ? "replaced it by" : "wrote";
    for (const earlier of this.#earlier(write)) {
      const then = `and afterwards wrote ${named(made, earlier.writes ?? earlier.reads)}`;
      if (demanded.has("monotonic-writes") && earlier.writes) {
        const words = `${who(write)} wrote ${named(earlier.writes, made)} ${then}`;
        reached.push({
          version: earlier.writes,
          reasons: [reason(words, [earlier, write], "monotonic-writes")],
        });
      }
      if (demanded.has("writes-follow-reads") && earlier.reads) {
        const words = `${who(write)} read ${named(earlier.reads, made)} ${then}`;
        reached.push({
          version: earlier.reads,
          reasons: [reason(words, [earlier, write], "writes-follow-reads")],
        });
      }
    }
    if (demanded.has("writes-follow-reads") && write.reads) {
      const words = `${who(write)} saw ${versionName(write.reads)} and ${wrote} ${versionName(made)}`;
      reached.push({ version: write.reads, reasons: [reason(words, [write], "writes-follow-reads")] });
    }
    return reached;
  }

  /** What the session had completed before; the latest first. */
  #earlier(access: Access): Access[] {
    const session = this.#sessions.get(this.#sessionOf(access)) ?? [];
    return session
      .filter(({ operation }) => operation.outcome === "ok" && operation.return < access.operation.call)
      .reverse();
  }
}

function grow<Key>(map: Map<Key, Access[]>, key: Key, access: Access): void {
  const list = map.get(key);
  if (list) list.push(access);
  else map.set(key, [access]);
}

/** The initial version of a cycle is a stand-in without a value. */
function isSame(version: Version | undefined, other: Version): boolean {
  return (
    version === other ||
    (version !== undefined && !version.writer && !other.writer && version.key === other.key)
  );
}

function reason(words: string, accesses: readonly Access[], ...used: readonly Guarantee[]): Reason {
  return { words, operations: accesses.map(({ operation }) => operation), guarantees: used };
}

function who({ operation }: Access): string {
  return `client ${operation.process}`;
}

function seeing(read: Access): string {
  const saw = read.reads!;
  return saw.value === null
    ? "found nothing"
    : `read ${saw.writer ? "" : "the initial value "}${versionName(saw)}`;
}

/** The key is named where it is not the one that the other version is of. */
function named(version: Version, other: Version | undefined): string {
  return other && other.key === version.key
    ? versionName(version)
    : `${versionName(version)} to key ${version.key}`;
}
