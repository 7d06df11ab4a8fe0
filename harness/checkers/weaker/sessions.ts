/**
 * The session guarantees of Terry, Demers, Petersen, Spreitzer, Theimer and Welch (1994), for registers and keys: read
 * your writes, monotonic reads, monotonic writes, writes follow reads. A session is a process (up to an operation without an
 * answer: `sessionNumbers`); `sessionOf` groups otherwise.
 *
 * Verified, exactly: whether there is, per key, an order of the versions and, per read, a set of writes it was served
 * from, so that the demanded guarantees hold together (session-order.ts has the argument). Read-from is known since values
 * are unique; the order of versions is not known, and is never taken from real time: every order that obeys what the
 * guarantees and compare-and-sets demand is tried at once. So a violation is proof that they do not all hold.
 * Which of them failed is proof only where it fails alone. Elsewhere the finding is named after the one guarantee whose
 * giving up explains the most keys, and the sentence names the others that would explain it as well.
 * Not verified: reads of a value that several writes could have left (counted), and writes nobody read.
 */
import type { History } from "../../history/history.ts";
import type { Operation } from "../../history/operation.ts";
import type { CheckContext, CheckResult, Finding } from "../contract.ts";
import { Gathering } from "../findings.ts";
import { SessionExplainer } from "./session-explain.ts";
import {
  type Cycle,
  type Guarantee,
  type Guarantees,
  guarantees,
  SessionOrder,
  versionsMax,
} from "./session-order.ts";
import { type Access, type InitialValues, sessionNumbers, versionsOf } from "./versions.ts";

export interface SessionOptions {
  /** What the store promises; all four when absent. */
  readonly guarantees?: readonly Guarantee[];
  /** The session of an operation; its process when absent. Acknowledged operations of one session must not overlap. */
  readonly sessionOf?: (operation: Operation) => string | number;
  /** Values of keys before the first operation; keys that are not named have none. */
  readonly initial?: InitialValues;
}

/** Checks one register-like workload's history, over all its keys. */
export function checkSessions(
  history: History,
  context: CheckContext,
  options: SessionOptions = {},
): CheckResult {
  const demanded = new Set(options.guarantees ?? guarantees);
  const gathering = new Gathering(`session guarantees (${[...demanded].join(", ")})`, context);
  const workload = history.operations[0]?.workload;
  const { accesses, phantoms, ambiguous, refused } = versionsOf(history.operations, options.initial);
  const sessionOf = sessionNamer(options, history.operations);
  const overlap = overlapIn(accesses, sessionOf);
  if (refused) gathering.reasons.push(refused);
  else if (overlap) gathering.reasons.push(overlap);
  else {
    gathering.findings.push(...phantoms);
    judge(accesses, sessionOf, demanded, gathering);
    if (!accesses.some(({ reads }) => reads)) gathering.reasons.push("nothing was read that tells a version");
  }
  if (ambiguous > 0) {
    gathering.count("readsOfAmbiguousValues", ambiguous);
    gathering.notChecked.push(
      `${ambiguous} observations of a value that several writes, or a delete, could have left`,
    );
  }
  gathering.count("operations", history.operations.length);
  gathering.count("sessions", new Set(accesses.map(sessionOf)).size);
  gathering.count("readsPlaced", accesses.filter(({ reads }) => reads).length);
  return gathering.result(workload);
}

type SessionOf = (access: Access) => string;

function sessionNamer({ sessionOf }: SessionOptions, operations: readonly Operation[]): SessionOf {
  const name = sessionOf ?? sessionNumbers(operations);
  return ({ operation }) => String(name(operation));
}

function judge(
  accesses: readonly Access[],
  sessionOf: SessionOf,
  demanded: Guarantees,
  gathering: Gathering,
) {
  const order = new SessionOrder(accesses, sessionOf);
  for (const key of order.tooLarge) {
    gathering.reasons.push(
      `key ${key} has more than ${versionsMax} versions, which is beyond the memory of this check`,
    );
  }
  const violated = order.violated(demanded, gathering.endsAt);
  if (!violated) {
    gathering.reasons.push("the session guarantees were not decided in time");
    return;
  }
  if (violated.size === 0) return;
  gathering.count("keysViolated", violated.size);
  const explainer = new SessionExplainer(accesses, sessionOf);
  gathering.findings.push(
    ...new Attribution(order, explainer, demanded, gathering.endsAt).findings(violated),
  );
}

const severalOthers = "several of the others";

/** Which guarantee a violation is named after. */
class Attribution {
  readonly #order: SessionOrder;
  readonly #explainer: SessionExplainer;
  readonly #demanded: Guarantees;
  readonly #untilMs: number;
  /** Keys that are violated when only this one is demanded; absent when there was no time to tell. */
  readonly #alone = new Map<Guarantee, ReadonlyMap<string, Cycle>>();
  /** Keys that are still violated when this one is given up. */
  readonly #without = new Map<Guarantee, ReadonlyMap<string, Cycle>>();

  constructor(order: SessionOrder, explainer: SessionExplainer, demanded: Guarantees, untilMs: number) {
    this.#order = order;
    this.#explainer = explainer;
    this.#demanded = demanded;
    this.#untilMs = untilMs;
    for (const one of demanded) {
      this.#try(this.#alone, one, new Set([one]));
      this.#try(this.#without, one, new Set([...demanded].filter((other) => other !== one)));
    }
  }

  findings(violated: ReadonlyMap<string, Cycle>): Finding[] {
    const certain = [...this.#demanded].flatMap((kind) => {
      const [first, ...others] = [...(this.#alone.get(kind) ?? [])];
      if (!first) return [];
      return [this.#finding(kind, first[1], new Set([kind]), others.length + 1, [])];
    });
    const broken = new Set(certain.map(({ kind }) => kind as Guarantee));
    const open = [...violated].filter(([key]) => ![...broken].some((kind) => this.#explains(kind, key)));
    return [...certain, ...this.#ambiguous(open)];
  }

  #try(into: Map<Guarantee, ReadonlyMap<string, Cycle>>, one: Guarantee, set: Guarantees): void {
    const keys = this.#order.violated(set, this.#untilMs);
    if (keys) into.set(one, keys);
  }

  /** The key is as it should be once this guarantee is given up. */
  #explains(kind: Guarantee, key: string): boolean {
    return this.#without.get(kind)?.has(key) === false;
  }

  #ambiguous(open: readonly (readonly [string, Cycle])[]): Finding[] {
    const explained = (kind: Guarantee) => open.filter(([key]) => this.#explains(kind, key)).length;
    const most = Math.max(0, ...[...this.#demanded].map(explained));
    const best = [...this.#demanded].filter((kind) => explained(kind) === most);
    const findings = new Map<Guarantee, Finding>();
    for (const [key, cycle] of open) {
      const { guarantees: used, acrossKeys } = this.#explainer.explain(cycle, this.#demanded);
      const explaining = [...this.#demanded].filter((kind) => this.#explains(kind, key));
      const candidates = explaining.length > 0 ? explaining : [...used];
      const kind =
        named(
          candidates.filter((one) => best.includes(one)),
          acrossKeys,
        ) ?? named(candidates, acrossKeys);
      if (!kind) continue;
      const known = findings.get(kind);
      // Where no single other one would explain the key, several of the others would.
      const single = candidates.filter((other) => other !== kind);
      const others: readonly string[] = single.length > 0 ? single : [severalOthers];
      findings.set(
        kind,
        known ? { ...known, count: known.count! + 1 } : this.#finding(kind, cycle, this.#demanded, 1, others),
      );
    }
    return [...findings.values()];
  }

  #finding(kind: Guarantee, cycle: Cycle, by: Guarantees, count: number, others: readonly string[]): Finding {
    const { sentence, operations } = this.#explainer.explain(cycle, by);
    const workload = operations[0]?.workload;
    const unless =
      others.length > 0
        ? `; or else ${others.join(" or ")} ${others[0] === severalOthers ? "do" : "does"} not hold`
        : "";
    return {
      kind,
      ...(workload ? { workload } : {}),
      key: cycle[0]!.key,
      operations,
      sentence: `${sentence}${unless}`,
      count,
    };
  }
}

/** On one key a session that went back is what one sees first; across keys, that a write came without its past. */
function named(candidates: readonly Guarantee[], acrossKeys: boolean): Guarantee | undefined {
  const readers: Guarantee[] = ["read-your-writes", "monotonic-reads"];
  const writers: Guarantee[] = ["writes-follow-reads", "monotonic-writes"];
  const preferred = acrossKeys ? [...writers, ...readers] : [...readers, ...writers];
  return preferred.find((kind) => candidates.includes(kind));
}

function overlapIn(accesses: readonly Access[], sessionOf: SessionOf): string | undefined {
  const last = new Map<string, Operation>();
  for (const access of accesses) {
    const { operation } = access;
    if (operation.outcome !== "ok") continue;
    const session = sessionOf(access);
    const before = last.get(session);
    if (before && before.return > operation.call) {
      return `session ${session} has operations that overlap (events ${before.call} and ${operation.call}), so it has no order`;
    }
    last.set(session, operation);
  }
  return undefined;
}
