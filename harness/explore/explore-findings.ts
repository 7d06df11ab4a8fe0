/**
 * The findings of an exploration: of thousands of states that show the same, the first one is kept, in the order in
 * which a person wants them, with what was and what was not on the disk.
 */
import type { Finding } from "../checkers/contract.ts";
import { worstFindings } from "../checkers/findings.ts";
import type { CrashStateFinding } from "../results.ts";
import type { SceneName } from "./coverage.ts";
import type { CrashChoice } from "./states/crash-state.ts";

/**
 * How to come to a state again from the trace alone (plain JSON): lose power, or crash, and then perhaps lose power while
 * the store recovers or has recovered. `explore-again.ts` follows it.
 */
export interface StatePath {
  readonly formatVersion: 1;
  readonly scene: SceneName;
  /** The event whose obligations were not met; the disk is that of `choice.event` (or `crashedAt`). */
  readonly event: number;
  /** What the (first) power loss left. Absent when it was a process crash. */
  readonly choice?: CrashChoice;
  /** The process was killed after this event, and what became of calls in flight. */
  readonly crashedAt?: number;
  readonly inFlight?: "happened" | "not-happened";
  /** What the power loss during or after the recovery left; `event` in it counts the recovery's own disk calls. */
  readonly again?: CrashChoice;
  /** The directory below `starts/` that holds the trace of the start in which `again` is; absent for in-process recovery. */
  readonly start?: string;
}

/** Where a finding was made, and how to come there again. */
export interface Place {
  readonly scene: SceneName;
  /** Power was lost after this event. */
  readonly event: number;
  readonly onDisk: readonly string[];
  readonly notOnDisk: readonly string[];
  readonly state: StatePath;
}

/** Different findings kept; the rest is counted. */
const keptAtMost = 20;

export class FindingsBook {
  readonly #profile: string;
  readonly #startedAt: number;
  readonly #kept = new Map<string, CrashStateFinding>();
  /** Judgements that were findings, the ones that are not kept included. */
  count = 0;

  /** @param startedAt `performance.now()` when the exploration began. */
  constructor(profile: string, startedAt: number) {
    this.#profile = profile;
    this.#startedAt = startedAt;
  }

  /** @param place called only when the finding is a new one. */
  add(findings: readonly Finding[], statesUntilFound: number, place: () => Place): void {
    this.count++;
    const fresh = findings.filter(
      (finding) => !this.#kept.has(nameOf(finding)) && this.#kept.size < keptAtMost,
    );
    if (fresh.length === 0) return;
    const where = place();
    for (const finding of fresh) {
      this.#kept.set(nameOf(finding), {
        ...finding,
        sentence: `${when(where)} ${finding.sentence}`,
        profile: this.#profile,
        ...where,
        statesUntilFound,
        secondsUntilFound: (performance.now() - this.#startedAt) / 1000,
        replay: "",
      });
    }
  }

  all(): CrashStateFinding[] {
    return [...this.#kept.values()];
  }
}

/** Those of all workers: each kind and key once, the worst kind first, of each the one at the earliest event. */
export function mergeFindings(shares: readonly (readonly CrashStateFinding[])[]): CrashStateFinding[] {
  const first = new Map<string, CrashStateFinding>();
  const byEvent = shares.flat().sort((a, b) => a.event - b.event);
  for (const finding of byEvent) if (!first.has(nameOf(finding))) first.set(nameOf(finding), finding);
  return worstFindings([...first.values()]) as CrashStateFinding[];
}

/** The same kind on the same key in another scene may be another bug. */
function nameOf(finding: Finding & { readonly scene?: string }): string {
  return [
    finding.kind,
    finding.workload ?? "",
    finding.kind === "did-not-recover" ? finding.sentence.replace(/\d+/g, "#") : "",
  ].join(" ");
}

function when({ scene, event }: Place): string {
  switch (scene) {
    case "recovered twice":
      return `power loss after event ${event}, recovered twice:`;
    case "power loss during recovery":
      return `power loss after event ${event}, and again during the recovery:`;
    case "crash, restart, reads, power loss":
      return `crash after event ${event}, restart, reads served, then power loss:`;
    default:
      return `power loss after event ${event}:`;
  }
}
