/**
 * Isolation levels, which of them imply which, and which anomaly rules out which.
 *
 * Sources: Adya, Liskov and O'Neil, "Generalized Isolation Level Definitions" (ICDE 2000) and Adya's thesis (1999)
 * for PL-1 (read uncommitted), PL-2 (read committed), PL-CS (cursor stability), PL-2+ (consistent view), PL-2.99
 * (repeatable read) and PL-3 (serializable); Cerone and Gotsman, "Analysing Snapshot Isolation" (PODC 2016), for
 * snapshot isolation as the absence of cycles without adjacent anti-dependencies; Daudjee and Salem (VLDB 2006) for
 * strong-session levels, which also respect the order of each client's transactions. Strong levels respect real
 * time; *strict serializable* is strong serializable. The table follows the one in Elle (Kingsbury and Alvaro, VLDB
 * 2020), restricted to these levels.
 *
 * All anti-dependencies that clients can show here are on items, not predicates: a G-single is therefore also
 * forbidden by repeatable read. A level that is not ruled out has not been proven: a history can only rule out.
 */

/** From a level to the weaker ones it directly implies. */
const implied = {
  "read-uncommitted": [],
  "read-committed": ["read-uncommitted"],
  "cursor-stability": ["read-committed"],
  "consistent-view": ["cursor-stability"],
  "repeatable-read": ["cursor-stability"],
  "snapshot-isolation": ["consistent-view"],
  serializable: ["repeatable-read", "snapshot-isolation"],
  "strong-session-read-uncommitted": ["read-uncommitted"],
  "strong-session-read-committed": ["read-committed", "strong-session-read-uncommitted"],
  "strong-session-snapshot-isolation": ["snapshot-isolation", "strong-session-read-committed"],
  "strong-session-serializable": ["serializable", "strong-session-snapshot-isolation"],
  "strong-read-uncommitted": ["strong-session-read-uncommitted"],
  "strong-read-committed": ["strong-session-read-committed", "strong-read-uncommitted"],
  "strong-snapshot-isolation": ["strong-session-snapshot-isolation", "strong-read-committed"],
  "strict-serializable": ["strong-session-serializable", "strong-snapshot-isolation"],
} as const satisfies Record<string, readonly string[]>;

export type LevelName = keyof typeof implied;

/** Every level, weaker ones before the stronger ones that imply them. */
export const levelNames = Object.keys(implied) as readonly LevelName[];

/**
 * The weakest levels that forbid an anomaly; stronger ones follow. `internal` by Cerone's axiom INT and by the
 * words *repeatable read*; `unseen own write` because Adya admits no history in which a transaction misses its own
 * write. `g0 unanswered` is a write cycle through a transaction whose client never heard how it ended: if it was
 * aborted, the cycle is an aborted read instead, which read uncommitted permits.
 */
const forbiddenBy = {
  g0: ["read-uncommitted"],
  "duplicate-elements": ["read-uncommitted"],
  "cyclic-versions": ["read-uncommitted"],
  "phantom-value": ["read-uncommitted"],
  "unseen own write": ["read-uncommitted"],
  g1a: ["read-committed"],
  g1b: ["read-committed"],
  g1c: ["read-committed"],
  "dirty-update": ["read-committed"],
  "incompatible-order": ["read-committed"],
  "g0 unanswered": ["read-committed"],
  "lost-update": ["cursor-stability"],
  "g-single": ["consistent-view", "repeatable-read"],
  "g-nonadjacent": ["snapshot-isolation", "repeatable-read"],
  internal: ["snapshot-isolation", "repeatable-read"],
  "g2-item": ["repeatable-read"],
  "g0-process": ["strong-session-read-uncommitted"],
  "g0 unanswered-process": ["strong-session-read-committed"],
  "g1c-process": ["strong-session-read-committed"],
  "g-single-process": ["strong-session-snapshot-isolation"],
  "g-nonadjacent-process": ["strong-session-snapshot-isolation"],
  "g2-item-process": ["strong-session-serializable"],
  "g0-realtime": ["strong-read-uncommitted"],
  "g0 unanswered-realtime": ["strong-read-committed"],
  "g1c-realtime": ["strong-read-committed"],
  "g-single-realtime": ["strong-snapshot-isolation"],
  "g-nonadjacent-realtime": ["strong-snapshot-isolation"],
  "g2-item-realtime": ["strict-serializable"],
} as const satisfies Record<string, readonly LevelName[]>;

export type AnomalyName = keyof typeof forbiddenBy;

/** Does `stronger` imply `weaker`? Every level implies itself. */
export function implies(stronger: LevelName, weaker: LevelName): boolean {
  return stronger === weaker || implied[stronger].some((next) => implies(next, weaker));
}

/** Does the level forbid the anomaly? */
export function forbids(level: LevelName, anomaly: AnomalyName): boolean {
  return forbiddenBy[anomaly].some((weakest) => implies(level, weakest));
}

/** What a set of anomalies leaves possible. */
export class Levels {
  readonly #ruledOut = new Set<LevelName>();

  add(anomaly: AnomalyName): void {
    for (const level of levelNames) if (forbids(level, anomaly)) this.#ruledOut.add(level);
  }

  isRuledOut(level: LevelName): boolean {
    return this.#ruledOut.has(level);
  }

  /** From the weakest on. */
  ruledOut(): LevelName[] {
    return levelNames.filter((level) => this.#ruledOut.has(level));
  }

  /** The levels still possible that no other possible level implies. */
  strongest(): LevelName[] {
    const possible = levelNames.filter((level) => !this.#ruledOut.has(level));
    return possible.filter((level) => !possible.some((other) => other !== level && implies(other, level)));
  }
}
