/**
 * What can be wrong with transactions, by name; and the book in which a check enters what it finds: of each anomaly
 * how often it was seen and the shortest example.
 */
import type { Operation } from "../../history/operation.ts";
import type { DependencyCycle, Finding, FindingKind } from "../contract.ts";
import { inOrder } from "../findings.ts";
import { type AnomalyName, forbids, implies, type LevelName, Levels, levelNames } from "./levels.ts";

interface Meaning {
  readonly kind: FindingKind;
  readonly title: string;
  /** What it is, in one sentence, and who named it. */
  readonly meaning: string;
}

const adya = "Adya, Liskov and O'Neil 2000";
const elle = "Kingsbury and Alvaro 2020";

/** Without the variants for client order and real time, which say the same with one more kind of step. */
export const anomalyMeanings = {
  g0: {
    kind: "g0",
    title: "G0, write cycle",
    meaning: `Transactions overwrote each other in a circle (${adya}).`,
  },
  "g0 unanswered": {
    kind: "g0",
    title: "G0, write cycle (or G1a, if the unanswered one of them was aborted)",
    meaning: "A write cycle through a transaction that was never answered, but was read.",
  },
  g1a: {
    kind: "g1a",
    title: "G1a, aborted read",
    meaning: `A committed transaction read what an aborted one had written (${adya}).`,
  },
  g1b: {
    kind: "g1b",
    title: "G1b, intermediate read",
    meaning: `A transaction read what another had written and then changed again itself (${adya}).`,
  },
  g1c: {
    kind: "g1c",
    title: "G1c, circular information flow",
    meaning: `Transactions read from or overwrote each other in a circle (${adya}).`,
  },
  "g-single": {
    kind: "g-single",
    title: "G-single, read skew",
    meaning:
      "A transaction saw some of what another did and missed the rest: a cycle with exactly one anti-dependency (Adya 1999).",
  },
  "g-nonadjacent": {
    kind: "g-nonadjacent",
    title: "G-nonadjacent",
    meaning: `A cycle with several anti-dependencies, no two of them adjacent: no snapshots explain it (${elle}; Cerone and Gotsman 2016).`,
  },
  "g2-item": {
    kind: "g2-item",
    title: "G2-item, write skew",
    meaning: `A cycle with adjacent anti-dependencies: transactions missed each other's writes (${adya}).`,
  },
  "lost-update": {
    kind: "lost-update",
    title: "lost update",
    meaning:
      "Two committed transactions read the same version of a key and both wrote it (Berenson et al. 1995).",
  },
  "dirty-update": {
    kind: "dirty-update",
    title: "dirty update",
    meaning: `A committed transaction wrote on top of what an aborted one had written (${elle}).`,
  },
  internal: {
    kind: "internal",
    title: "internal inconsistency",
    meaning:
      "A transaction read one key twice and differently, without a write of its own between (Cerone et al. 2015).",
  },
  "unseen own write": {
    kind: "internal",
    title: "internal inconsistency",
    meaning:
      "A transaction did not see its own earlier write, or saw its own later one (Adya 1999, section 4.2).",
  },
  "incompatible-order": {
    kind: "incompatible-order",
    title: "incompatible order",
    meaning: `Two committed reads of one list, neither of which is a prefix of the other (${elle}).`,
  },
  "duplicate-elements": {
    kind: "duplicate-elements",
    title: "duplicate elements",
    meaning: `A list shows an element twice that was appended once (${elle}).`,
  },
  "phantom-value": {
    kind: "phantom-value",
    title: "phantom value",
    meaning: "A read shows what no transaction wrote.",
  },
  "cyclic-versions": {
    kind: "cyclic-versions",
    title: "cyclic versions",
    meaning: `The versions of a register, ordered by who read one and wrote the next, form a circle (${elle}).`,
  },
} as const satisfies Record<string, Meaning>;

export type PlainAnomaly = keyof typeof anomalyMeanings;

export interface Example {
  readonly operations: readonly (Operation | undefined)[];
  readonly sentence: string;
  readonly key?: string;
  readonly cycle?: DependencyCycle;
}

interface Entry {
  readonly name: PlainAnomaly;
  readonly order?: "process" | "realtime";
  count: number;
  example: Example;
}

/** What one check has found. */
export class Anomalies {
  readonly levels = new Levels();
  readonly #entries = new Map<string, Entry>();

  /** Enters one case. The example is asked for when it is the first. */
  note(name: PlainAnomaly, example: () => Example): void {
    const known = this.#entries.get(name);
    if (known) known.count++;
    else this.#enter(name, { name, count: 1, example: example() });
  }

  noteCycle(
    name: PlainAnomaly,
    order: "process" | "realtime" | undefined,
    count: number,
    example: Example,
  ): void {
    this.#enter(order ? `${name}-${order}` : name, { name, ...(order ? { order } : {}), count, example });
  }

  #enter(name: string, entry: Entry): void {
    this.#entries.set(name, entry);
    this.levels.add(name as AnomalyName);
  }

  /** What the level forbids is a finding; what it permits, an observation. */
  report(
    expected: LevelName,
    workload: string | undefined,
  ): { findings: Finding[]; observations: Finding[] } {
    const findings: Finding[] = [];
    const observations: Finding[] = [];
    for (const [name, entry] of this.#entries) {
      const isForbidden = forbids(expected, name as AnomalyName);
      (isForbidden ? findings : observations).push(findingOf(name as AnomalyName, entry, workload));
    }
    return { findings, observations };
  }
}

function findingOf(name: AnomalyName, entry: Entry, workload: string | undefined): Finding {
  const { title, kind } = anomalyMeanings[entry.name];
  const { example, order, count } = entry;
  const variant =
    order === "process" ? " with the order of one client" : order === "realtime" ? " with real time" : "";
  return {
    kind,
    ...(workload ? { workload } : {}),
    ...(example.key === undefined ? {} : { key: example.key }),
    operations: example.cycle ? (example.operations as readonly Operation[]) : inOrder(example.operations),
    sentence: `${title}${variant}: ${example.sentence}. It rules out ${weakestForbidding(name).join(" and ")}`,
    count,
    ...(order ? { order } : {}),
    ...(example.cycle ? { cycle: example.cycle } : {}),
  };
}

function weakestForbidding(name: AnomalyName): string[] {
  const forbidding = levelNames.filter((level) => forbids(level, name));
  return forbidding.filter((level) => !forbidding.some((other) => other !== level && implies(level, other)));
}
