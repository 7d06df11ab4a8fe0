/**
 * Who says that it leads: every member is asked, past the links, a few times a second. A claim is a span between two
 * answers, never longer: what a member was before the first and after the last of them is not known.
 */
import type { Clustered, MemberStatus } from "../../stores/cluster-contract.ts";
import type { RunClock } from "../history/clock.ts";
import type { Members } from "./members.ts";

/** One member's claim to lead, in one term; ns since the run's start, from the first answer that said so to the last. */
export interface Claim {
  readonly member: string;
  readonly term?: number;
  readonly from: number;
  to: number;
}

const everyMs = 150;
const answerDeadlineMs = 700;

export class LeaderWatch {
  readonly claims: Claim[] = [];
  readonly #members: Members;
  readonly #clustered: Clustered;
  readonly #clock: RunClock;
  readonly #open = new Map<string, Claim>();
  readonly #asking = new Set<string>();
  readonly #answers = new Map<string, { readonly status: MemberStatus; readonly at: number }>();
  #timer: NodeJS.Timeout | undefined;

  constructor(members: Members, clustered: Clustered, clock: RunClock) {
    this.#members = members;
    this.#clustered = clustered;
    this.#clock = clock;
  }

  start(): void {
    this.#timer = setInterval(() => this.#ask(), everyMs);
    this.#ask();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#open.clear();
  }

  /** The member that said last, in the newest term, that it leads; within the last second. */
  current(): string | undefined {
    const since = this.#clock.now() - 1e9;
    const claims = [...this.#answers].filter(([, { status, at }]) => status.role === "leader" && at >= since);
    claims.sort(([, a], [, b]) => (b.status.term ?? 0) - (a.status.term ?? 0) || b.at - a.at);
    return claims[0]?.[0];
  }

  /** Every member has answered lately, one of them as leader and the others as its followers. */
  settled(): boolean {
    const since = this.#clock.now() - 1e9;
    const roles = this.#members.names.map((name) => {
      const answer = this.#answers.get(name);
      return answer && answer.at >= since ? answer.status.role : undefined;
    });
    return (
      roles.filter((role) => role === "leader").length === 1 &&
      roles.every((role) => role === "leader" || role === "follower")
    );
  }

  /** What each member said last, for a sentence. */
  describe(): string {
    const since = this.#clock.now() - 1e9;
    return this.#members.names
      .map((name) => {
        const answer = this.#answers.get(name);
        return `${name}: ${answer && answer.at >= since ? answer.status.role : "no answer"}`;
      })
      .join(", ");
  }

  #ask(): void {
    for (const member of this.#members.all()) {
      if (!member.running()) {
        this.#open.delete(member.name);
        this.#answers.delete(member.name);
        continue;
      }
      if (this.#asking.has(member.name)) continue;
      this.#asking.add(member.name);
      const askedAt = this.#clock.now();
      this.#clustered
        .status(member.listening(), answerDeadlineMs)
        .then((status) => this.#answered(member.name, status, askedAt))
        .catch(() => this.#open.delete(member.name))
        .finally(() => this.#asking.delete(member.name));
    }
  }

  /**
   * What an answer says was so at some moment between the question and the answer. So a claim begins with the first answer
   * and ends with the last question: in between it held throughout.
   */
  #answered(name: string, status: MemberStatus, askedAt: number): void {
    const answeredAt = this.#clock.now();
    this.#answers.set(name, { status, at: answeredAt });
    const open = this.#open.get(name);
    if (status.role !== "leader") {
      this.#open.delete(name);
      return;
    }
    if (open && open.term === status.term) {
      open.to = Math.max(open.to, askedAt);
      return;
    }
    const claim: Claim = {
      member: name,
      ...(status.term === undefined ? {} : { term: status.term }),
      from: answeredAt,
      to: answeredAt,
    };
    this.claims.push(claim);
    this.#open.set(name, claim);
  }
}
