/**
 * What an exploration covered, counted while it runs: for each scene how many crash points there were and how many were
 * explored, how many states the profile allows there, how many different ones were met, recovered and judged, and what
 * was left out and why. Nothing is estimated; what cannot be counted is `null` and says so.
 *
 * Two workers count apart: each sees every crash point of the trace and explores those that fall to it, so that the number
 * of crash points is the same in both, and the rest adds up; but a state that both recovered is one state. Crash points
 * are those of the trace in every scene; at those of "power loss during recovery" every recovery was interrupted at each of
 * its own.
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
    const before = this.#leftOut.get(why);
    this.#leftOut.set(why, before === undefined ? count : addCounts(before, count));
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

/** What one worker counted, and the states that it recovered, by the scene in which it met them first. */
export interface CountedShare {
  readonly scenes: readonly ExploredScene[];
  readonly identities: ReadonlyMap<SceneName, readonly number[]>;
}

/**
 * One set of scenes from those of all workers. A state that an earlier one of them recovered, too, is taken off the counts
 * of the later one's scene; that both judged it, each at crash points of its own, stays counted.
 */
export function mergeScenes(shares: readonly CountedShare[]): ExploredScene[] {
  const seen = new Set<number>();
  const counted = shares.map((share) => {
    const own = share.scenes.map((scene) => withoutSeen(scene, share, seen));
    for (const states of share.identities.values()) for (const state of states) seen.add(state);
    return own;
  });
  const scenes: ExploredScene[] = [];
  for (const name of order) {
    const same = counted.flatMap((share) => share.filter((scene) => scene.name === name));
    if (same.length > 0) scenes.push(same.reduce(merged));
  }
  return scenes;
}

function withoutSeen(
  scene: ExploredScene,
  { identities }: CountedShare,
  seen: ReadonlySet<number>,
): ExploredScene {
  let again = 0;
  for (const state of identities.get(scene.name as SceneName) ?? []) if (seen.has(state)) again++;
  return { ...scene, distinct: scene.distinct - again, recovered: scene.recovered - again };
}

function merged(a: ExploredScene, b: ExploredScene): ExploredScene {
  return {
    name: a.name,
    crashPoints: Math.max(a.crashPoints, b.crashPoints),
    // Every crash point falls to one worker.
    crashPointsExplored: a.crashPointsExplored + b.crashPointsExplored,
    statesPossible: addCounts(a.statesPossible, b.statesPossible),
    distinct: a.distinct + b.distinct,
    recovered: a.recovered + b.recovered,
    judged: a.judged + b.judged,
    leftOut: mergedLeftOut(a.leftOut, b.leftOut),
  };
}

function mergedLeftOut(a: ExploredScene["leftOut"], b: ExploredScene["leftOut"]): ExploredScene["leftOut"] {
  const counts = new Map<string, number | null>();
  for (const { why, count } of [...a, ...b]) {
    const before = counts.get(why);
    counts.set(why, before === undefined ? count : addCounts(before, count));
  }
  return [...counts].map(([why, count]) => ({ why, count }));
}

function addCounts(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return null;
  const sum = a + b;
  return sum > Number.MAX_SAFE_INTEGER ? null : sum;
}
