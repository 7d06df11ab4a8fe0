/**
 * Does a value that only grows ever go back? One key per value.
 *
 * Operations: `read` → a number, or null before the first · anything else that answers with the value it made, such
 * as `increment`. Verified: what one client sees never decreases from one of its operations to the next (`order:
 * process`); what anybody sees is never less than what an operation that had ended before showed (`order:
 * realtime`, given only where no client alone shows it); no two increments were answered with the same value (a
 * lost update). A value with an operation that never answers with a number, or that can lower it, is not judged. Not verified: how far a value may grow, which is the counter's business.
 */
import { byKey, type History } from "../history/history.ts";
import type { Operation } from "../history/operation.ts";
import type { CheckContext, CheckResult, Finding } from "./contract.ts";
import { Gathering, inOrder, seconds } from "./findings.ts";
import { unknownOperation } from "./known-operations.ts";

/** Checks every value of the history. */
export function checkMonotonic(history: History, context: CheckContext): CheckResult {
  const gathering = new Gathering("monotonic values", context);
  const keys = byKey(history.operations);
  for (const [key, operations] of keys) {
    if (performance.now() > gathering.endsAt) {
      gathering.reasons.push(`the time was up after ${gathering.checked.values ?? 0} of ${keys.size} values`);
      break;
    }
    gathering.count("values", 1);
    checkOne(key, operations, gathering);
  }
  gathering.count("operations", history.operations.length);
  if (!gathering.checked.observations) gathering.reasons.push("nothing was answered with a value");
  return gathering.result(history.operations[0]?.workload);
}

/** Operations that may make a value smaller, whatever they are answered with. */
const lowering: ReadonlySet<string> = new Set(["write", "cas", "delete", "remove", "reset", "decrement"]);

interface Pair {
  readonly before: Operation;
  readonly after: Operation;
}

function checkOne(key: string, operations: readonly Operation[], gathering: Gathering): void {
  // An operation other than a read that is answered with nothing says nothing.
  const seen = operations.filter(
    ({ outcome, f, output }) =>
      outcome === "ok" && (f === "read" || (output !== undefined && output !== null)),
  );
  const growing = ["read", "increment", "add", ...seen.map(({ f }) => f)].filter((f) => !lowering.has(f));
  const unknown = unknownOperation(operations, growing, "a value that only grows");
  const down = operations.find(
    ({ f, outcome, input }) => (f === "increment" || f === "add") && outcome !== "fail" && Number(input) < 0,
  );
  if (unknown || down) {
    gathering.reasons.push(
      `value ${key}: ${unknown ?? `the ${down!.f} of ${JSON.stringify(down!.input)} makes it go back`}`,
    );
    return;
  }
  const odd = seen.find(({ output }) => output !== null && !Number.isFinite(output));
  if (odd) {
    gathering.reasons.push(`value ${key}: ${JSON.stringify(odd.output) ?? "nothing"} is no number`);
    return;
  }
  gathering.count("observations", seen.length);
  const own = decreasesOfClients(seen);
  const any = own.length > 0 ? [] : decreases(seen);
  const workload = operations[0]?.workload;
  const common = { ...(workload ? { workload } : {}), key };
  const first = own[0] ?? any[0];
  if (first) {
    const { before, after } = first;
    const finding: Finding = {
      ...common,
      kind: "went-backwards",
      operations: inOrder([before, after]),
      sentence: `value ${key}: ${at(before)} was answered with ${before.output}, ${at(after)}, sent after that, with ${after.output}`,
      count: Math.max(own.length, any.length),
      order: own.length > 0 ? "process" : "realtime",
    };
    gathering.findings.push(finding);
  }
  const twice = sameIncrements(seen);
  if (!twice[0]) return;
  const { before, after } = twice[0];
  gathering.findings.push({
    ...common,
    kind: "lost-update",
    operations: inOrder([before, after]),
    sentence: `value ${key}: ${at(before)} and ${at(after)} were both answered with ${before.output}`,
    count: twice.length,
  });
}

const shownBy = ({ output }: Operation) => (output === null ? Number.NEGATIVE_INFINITY : (output as number));

function decreasesOfClients(seen: readonly Operation[]): Pair[] {
  const latest = new Map<number, Operation>();
  const pairs: Pair[] = [];
  for (const after of seen) {
    const before = latest.get(after.process);
    if (before && shownBy(after) < shownBy(before)) pairs.push({ before, after });
    if (!before || shownBy(after) >= shownBy(before)) latest.set(after.process, after);
  }
  return pairs;
}

/** Against the greatest value of any operation that had ended before this one was sent. */
function decreases(seen: readonly Operation[]): Pair[] {
  const byReturn = [...seen].sort((a, b) => a.return - b.return);
  const pairs: Pair[] = [];
  let next = 0;
  let greatest: Operation | undefined;
  for (const after of seen) {
    for (; next < byReturn.length && byReturn[next]!.return < after.call; next++) {
      const ended = byReturn[next]!;
      if (!greatest || shownBy(ended) > shownBy(greatest)) greatest = ended;
    }
    if (greatest && shownBy(after) < shownBy(greatest)) pairs.push({ before: greatest, after });
  }
  return pairs;
}

function sameIncrements(seen: readonly Operation[]): Pair[] {
  const by = new Map<number, Operation>();
  const pairs: Pair[] = [];
  for (const after of seen) {
    if (after.f === "read" || after.output === null) continue;
    const before = by.get(shownBy(after));
    if (before) pairs.push({ before, after });
    else by.set(shownBy(after), after);
  }
  return pairs;
}

function at(operation: Operation): string {
  return `the ${operation.f} by client ${operation.process} sent at ${seconds(operation.calledAt)}`;
}
