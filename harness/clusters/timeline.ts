/**
 * What a run of a cluster looked like over time, for the lanes of its report: who led, which member was down, which link
 * was under which fault, how much was acknowledged, and how long it took to serve again after each fault. Times are ns
 * since the run's start.
 */
import type { HistoryEvent } from "../history/operation.ts";
import type { ClusterFaultSpan, ClusterMeasured, ClusterResults, Span } from "../results.ts";
import type { StormLife } from "./cluster-nemesis.ts";
import type { Claim } from "./leader-watch.ts";
import type { MemberState } from "./members.ts";

/** Slices of the availability lane. */
const slicesMax = 600;
const sliceNsLeast = 50e6;
/** ns without an acknowledgement that count as being unavailable. */
const gapNs = 100e6;

type StateSpan = ClusterResults["memberStates"][number];
type Phase = ClusterResults["phases"][number];

export class Timeline {
  readonly #states: StateSpan[] = [];
  readonly #open = new Map<string, { readonly state: MemberState; readonly from: number }>();
  readonly #acknowledgedAt: number[] = [];
  readonly #completions: { readonly at: number; readonly type: "ok" | "fail" | "info" }[] = [];
  readonly #changesAt: number[] = [];
  readonly phases: Phase[] = [];

  /** A member is in this state from now on. */
  state(member: string, state: MemberState, now: number): void {
    const open = this.#open.get(member);
    if (open?.state === state) return;
    if (open && open.state !== "running") {
      this.#states.push({ member, state: open.state, from: open.from, to: now });
    }
    this.#open.set(member, { state, from: now });
  }

  /** What a member is now, and since when. */
  stateOf(member: string): { readonly state: MemberState; readonly from: number } | undefined {
    return this.#open.get(member);
  }

  phase(phase: Phase["phase"], round: number, from: number, to: number): void {
    this.phases.push({ phase, round, from, to });
  }

  /** Every event of the history passes through here once; `change`: it is an acknowledged write. */
  saw(event: HistoryEvent, change: boolean): void {
    if (event.process === "nemesis" || event.type === "invoke" || event.workload?.includes("@")) return;
    this.#completions.push({ at: event.time, type: event.type });
    if (event.type === "ok") this.#acknowledgedAt.push(event.time);
    if (change) this.#changesAt.push(event.time);
  }

  results(
    base: Pick<ClusterResults, "members" | "network" | "traffic" | "messages">,
    lives: readonly StormLife[],
    claims: readonly Claim[],
    measured: ClusterMeasured,
    now: number,
  ): ClusterResults {
    for (const member of base.members) this.state(member, "running", now);
    return {
      ...base,
      leaders: claims.map((claim) => ({ ...claim })),
      memberStates: this.#states,
      faults: this.#faults(lives, now),
      availability: this.#availability(now),
      phases: this.phases,
      measured,
    };
  }

  #faults(lives: readonly StormLife[], now: number): ClusterFaultSpan[] {
    const sorted = [...lives].sort((a, b) => a.armedAt - b.armedAt);
    return sorted.map((life) => {
      // A fault of the whole cluster acts from the moment it is armed; its evidence may be long in the making.
      const from = life.target === "cluster" ? life.armedAt : (life.firedAt ?? life.armedAt);
      const to = life.healedAt ?? now;
      const next = sorted.find(({ armedAt }) => armedAt > to)?.armedAt ?? Number.POSITIVE_INFINITY;
      const again = this.#changesAt.find((at) => at >= to && at < next);
      return {
        ...{ fault: life.fault, target: life.target, links: life.links, from, to },
        ...(life.firedAt !== undefined && life.evidence ? { evidence: life.evidence } : {}),
        ...(again === undefined ? {} : { servingAgainMs: Math.round((again - to) / 1e6) }),
        unavailableMs: Math.round(this.#unavailableNs({ from, to }) / 1e6),
      };
    });
  }

  /** Of that span, what lies in gaps between two acknowledgements that are longer than `gapNs`. */
  #unavailableNs({ from, to }: Span): number {
    let sum = 0;
    let last = from;
    for (const at of this.#acknowledgedAt) {
      if (at <= from) continue;
      const end = Math.min(at, to);
      if (end - last > gapNs) sum += end - last;
      if (at >= to) return sum;
      last = at;
    }
    return sum + (to - last > gapNs ? to - last : 0);
  }

  #availability(now: number): ClusterResults["availability"] {
    const slice = Math.max(sliceNsLeast, Math.ceil(now / slicesMax));
    const slices = Array.from({ length: Math.ceil(now / slice) }, () => ({ ok: 0, fail: 0, info: 0 }));
    for (const { at, type } of this.#completions) {
      const counts = slices[Math.min(slices.length - 1, Math.floor(at / slice))];
      if (counts) counts[type]++;
    }
    return slices.map((counts, index) => ({ from: index * slice, to: (index + 1) * slice, ...counts }));
  }
}
