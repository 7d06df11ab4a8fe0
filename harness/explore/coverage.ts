/**
 * What an exploration covered, counted while it runs: for each scene how many crash points there were and how many were
 * explored, how many states the profile allows there, how many different ones were met, recovered and judged, and what
 * was left out and why. Nothing is estimated; what cannot be counted is `null` and says so.
 *
 * Two workers count apart: each sees every crash point of the trace and recovers its own share of the states, so that crash
 * points and possible states are the same in both, and the rest adds up. Crash points are those of the trace in every
 * scene; at those of "power loss during recovery" every recovery was interrupted at each of its own.
 */
import type { ExploredScene } from "../results.ts";

export const sceneNames = {
  powerLoss: "power loss",
  twice: "recovered twice",
  served: "crash, restart, reads, power loss",
  during: "power loss during recovery",
} as const;
export type SceneName = (typeof sceneNames)[keyof typeof sceneNames];

/** In the order in which a person reads them. */
const order: readonly SceneName[] = [
  sceneNames.powerLoss,
  sceneNames.twice,
  sceneNames.during,
  sceneNames.served,
];

/** The counts of one scene, while it is explored. */
export class SceneTally {
  readonly name: SceneName;
  crashPoints = 0;
  crashPointsExplored = 0;
  /** `null` once over 2^53. */
  statesPossible: number | null = 0;
  distinct = 0;
  recovered = 0;
  judged = 0;
  readonly #leftOut = new Map<string, number | null>();

  constructor(name: SceneName) {
    this.name = name;
  }

  /** States that the profile allows at one more crash point. @param count null: over 2^53. */
  possible(count: number | null): void {
    this.statesPossible = addCounts(this.statesPossible, count);
  }

  /** Forgets what an earlier turn had left out, for reasons that begin so. */
  caughtUp(what: string): void {
    for (const why of this.#leftOut.keys()) if (why.startsWith(what)) this.#leftOut.delete(why);
  }

  /** @param count null: not countable. */
  leaveOut(why: string, count: number | null): void {
    if (count === 0) return;
    this.#leftOut.set(why, addCounts(this.#leftOut.get(why) ?? 0, count));
  }

  result(): ExploredScene {
    return {
      name: this.name,
      crashPoints: this.crashPoints,
      crashPointsExplored: this.crashPointsExplored,
      statesPossible: this.statesPossible,
      distinct: this.distinct,
      recovered: this.recovered,
      judged: this.judged,
      leftOut: [...this.#leftOut].map(([why, count]) => ({ why, count })),
    };
  }
}

/** One set of scenes from those of all workers. */
export function mergeScenes(shares: readonly (readonly ExploredScene[])[]): ExploredScene[] {
  const scenes: ExploredScene[] = [];
  for (const name of order) {
    const same = shares.flatMap((share) => share.filter((scene) => scene.name === name));
    if (same.length > 0) scenes.push(same.reduce(merged));
  }
  return scenes;
}

function merged(a: ExploredScene, b: ExploredScene): ExploredScene {
  // The recoveries that are interrupted, and the crashes after which reads are served, are shared out like states.
  const ownStates = a.name === sceneNames.during || a.name === sceneNames.served;
  return {
    name: a.name,
    crashPoints: Math.max(a.crashPoints, b.crashPoints),
    // A crash point of the trace is explored when every worker has explored its share of it.
    crashPointsExplored: Math.min(a.crashPointsExplored, b.crashPointsExplored),
    statesPossible: (ownStates ? addCounts : larger)(a.statesPossible, b.statesPossible),
    distinct: a.distinct + b.distinct,
    recovered: a.recovered + b.recovered,
    judged: a.judged + b.judged,
    leftOut: mergedLeftOut(a.leftOut, b.leftOut),
  };
}

function mergedLeftOut(a: ExploredScene["leftOut"], b: ExploredScene["leftOut"]): ExploredScene["leftOut"] {
  const reasons = new Set([...a, ...b].map(({ why }) => why));
  return [...reasons].map((why) => {
    const counts = [a, b].map(
      (side) => side.find((one) => one.why === why)?.count ?? (has(side, why) ? null : 0),
    );
    return { why, count: larger(counts[0]!, counts[1]!) };
  });
}

function has(side: ExploredScene["leftOut"], why: string): boolean {
  return side.some((one) => one.why === why);
}

function larger(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : Math.max(a, b);
}

function addCounts(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return null;
  const sum = a + b;
  return sum > Number.MAX_SAFE_INTEGER ? null : sum;
}
