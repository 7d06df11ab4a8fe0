/**
 * Are registers and keys linearizable, across crashes? The whole history of a key, restarts included, goes into one check
 * (strict linearizability): what was in flight at a crash has taken effect before the store was ready again, or never.
 *
 * Verified: `read`, `write`, `cas`, `delete` on each key apart, exactly, in nearly linear time; what the exact method does
 * not cover is searched within the budget. Every `true` comes with a witness that was replayed. Across keys: no later
 * write survived a restart that an earlier acknowledged one did not (recovery.ts).
 * Where the store promises only that a prefix survives a crash, each incarnation is judged alone, from what its read-back
 * found (recovery.ts).
 * Not verified: transactions over several keys (see bank.ts), and `fail` operations' own reasons.
 */
import { byKey, type History } from "../history/history.ts";
import type { Operation } from "../history/operation.ts";
import { type RegisterState, registerModel, registerValue } from "../models/register.ts";
import type { CheckContext, CheckResult, Finding } from "./contract.ts";
import { CheckerDisagreement } from "./disagreement.ts";
import { Gathering } from "./findings.ts";
import { findingOf } from "./linearizability/explain.ts";
import { longestPrefix } from "./linearizability/longest-prefix.ts";
import { analyseKey, explainViolation, judgeKey, type KeySearch } from "./linearizability/register-key.ts";
import { refuteWitness } from "./linearizability/witness.ts";
import { checkRecovery, losesByPromise, registerFates, splitByIncarnation } from "./recovery.ts";

export interface RegisterOptions {
  /** Values of keys before the first operation; keys that are not named have none. */
  readonly initial?: ReadonlyMap<string, string | null>;
}

/** A part of a key's history that is judged on its own. */
interface Part {
  readonly key: string;
  readonly operations: readonly Operation[];
  readonly initial: RegisterState;
}

interface OpenPart extends Part {
  readonly search: KeySearch;
}

/** ms that one key is searched before the others get their turn. */
const sliceMs = 25;

/** Keys with a finding for which the longest explainable prefix is looked for. */
const prefixesMax = 40;

/** Checks every key of the history; the operations must all be of one register-like workload. */
export function checkRegisters(
  history: History,
  context: CheckContext,
  options: RegisterOptions = {},
): CheckResult {
  const gathering = new Gathering("linearizability of keys", context);
  const judged = new Registers(gathering);
  const initialOf = (key: string, readBack?: Operation) =>
    registerValue(readBack ? readBack.output : options.initial?.get(key));
  const keys = byKey(history.operations);
  if (losesByPromise(context)) {
    for (const part of splitByIncarnation(keys, initialOf, gathering)) judged.analyse(part);
  } else {
    for (const [key, operations] of keys) judged.analyse({ key, operations, initial: initialOf(key) });
  }
  judged.searchOpenParts();
  checkRecovery(history, context, gathering, registerFates);
  gathering.count("operations", history.operations.length);
  gathering.count("keys", keys.size);
  return gathering.result(history.operations[0]?.workload);
}

class Registers {
  readonly #gathering: Gathering;
  #open: OpenPart[] = [];
  #prefixesFound = 0;

  constructor(gathering: Gathering) {
    this.#gathering = gathering;
  }

  analyse(part: Part): void {
    const analysis = analyseKey(part.operations, part.initial);
    if (analysis.verdict === "refused") {
      this.#gathering.reasons.push(`key ${part.key}: ${analysis.reason}`);
      return;
    }
    if (analysis.verdict === "open") {
      if (analysis.uncovered) this.#gathering.count("keysSearched", 1);
      this.#advance({ ...part, search: analysis.search }, performance.now() + sliceMs);
      return;
    }
    if (analysis.verdict) {
      this.#confirm(part, analysis.witness());
      return;
    }
    const failed = part.operations.filter((operation) => operation.outcome === "fail");
    const found = analysis.conflicts.map((conflict) => findingOf(part.key, conflict, failed));
    const longest = this.#longestOf(part);
    for (const finding of firstOfEachKind(found, analysis.count)) {
      this.#gathering.findings.push({ ...finding, ...(longest ? { longest } : {}) });
    }
  }

  /** Keys take turns, so that a hard one does not keep an easy violation from being found. */
  searchOpenParts(): void {
    while (this.#open.length > 0 && performance.now() < this.#gathering.endsAt) {
      const turn = this.#open;
      this.#open = [];
      for (const part of turn) {
        this.#advance(part, Math.min(performance.now() + sliceMs, this.#gathering.endsAt));
      }
    }
    for (const { key } of this.#open) {
      this.#gathering.reasons.push(`key ${key}: the search ran out of time`);
    }
  }

  #advance(part: OpenPart, untilMs: number): void {
    const progress = part.search.advance(untilMs);
    if (progress === "more") this.#open.push(part);
    else if (progress) this.#confirm(part, part.search.witness());
    else this.#explain(part);
  }

  #explain({ key, operations, initial }: Part): void {
    const conflict = explainViolation(
      operations,
      initial,
      Math.max(this.#gathering.endsAt, performance.now() + 200),
    );
    const failed = operations.filter((operation) => operation.outcome === "fail");
    this.#gathering.findings.push({ ...findingOf(key, conflict, failed), count: 1 });
  }

  /** How far the key can be explained, for as many keys as a report shows and while there is time. */
  #longestOf({ operations, initial }: Part): Finding["longest"] {
    if (this.#prefixesFound++ >= prefixesMax || performance.now() > this.#gathering.endsAt) return undefined;
    const untilMs = this.#gathering.endsAt;
    return longestPrefix(operations, (prefix) => judgeKey(prefix, initial, untilMs), untilMs);
  }

  #confirm({ key, operations, initial }: Part, witness: readonly Operation[]): void {
    const wrong = refuteWitness(registerModel, operations, witness, initial);
    if (wrong) {
      const what = `the order by which the history was explained does not stand: ${wrong}`;
      throw new CheckerDisagreement(key, what, operations);
    }
    this.#gathering.count("operationsInWitness", witness.length);
  }
}

/** Of one key's findings, the first of each kind, with how many there were. */
function firstOfEachKind(findings: readonly Finding[], count: number): Finding[] {
  const kinds = new Map<string, Finding[]>();
  for (const finding of findings) kinds.set(finding.kind, [...(kinds.get(finding.kind) ?? []), finding]);
  return [...kinds.values()].map((ofKind) => ({
    ...ofKind[0]!,
    count: kinds.size === 1 ? count : ofKind.length,
  }));
}
