/**
 * Prefix consistency after a loss: what a restart left is a prefix, across all keys, of a legal order of what had been
 * acknowledged or observed before it. The store may lose, from the end of its log only.
 *
 * This is recovery.ts under the promise "a prefix survives", with one thing added: a write that a reader had seen counts
 * from that read on, though it was acknowledged later or never. So a read that showed a, then a write of b: if b survives,
 * a has to. Registers and keys with unique values; read back after every restart, as recovery.ts requires.
 * Verified and not verified: as there. What was lost is measured: how many acknowledged operations, and how many ms before
 * the last acknowledgement the oldest of them was acknowledged (a lower bound of the loss).
 */
import { byKey, type History } from "../../history/history.ts";
import type { Operation } from "../../history/operation.ts";
import type { CheckContext, CheckResult, Finding } from "../contract.ts";
import { Gathering, inOrder, seconds } from "../findings.ts";
import { checkRecovery, registerFates } from "../recovery.ts";
import { versionsOf } from "./versions.ts";

export interface PrefixOptions {
  /** The oldest acknowledgement that may be lost, in ms before the last one; without it any loss of a suffix is allowed. */
  readonly lossMsMax?: number;
}

/**
 * Checks every restart of one register-like workload's history. `checked` holds `restarts, acknowledgedOperationsLost` and
 * `lossMsMeasured`. Unknown when no restart has a read-back on it.
 */
export function checkPrefix(
  history: History,
  context: CheckContext,
  options: PrefixOptions = {},
): CheckResult {
  const lossMsMax = options.lossMsMax ?? Number.POSITIVE_INFINITY;
  const survival = { survives: "a prefix", lossMsMax } as const;
  const lossy = { ...context, promise: { ...context.promise, processCrash: survival } };
  const gathering = new Gathering("prefix consistency after a loss", context);
  const { operations, originals } = countedFromTheirFirstReader(history.operations);
  checkRecovery({ ...history, operations }, lossy, gathering, registerFates);
  const told = gathering.findings.map((finding) => retold(finding, originals));
  gathering.findings.splice(0, Number.POSITIVE_INFINITY, ...told);
  gathering.count("operations", history.operations.length);
  gathering.count("keys", byKey(history.operations).size);
  if (!history.operations.some(({ readBack, outcome }) => readBack && outcome === "ok")) {
    gathering.reasons.push("nothing was read back after a restart, so what survived is not known");
  }
  return gathering.result(history.operations[0]?.workload);
}

interface Original {
  readonly operation: Operation;
  /** Who had seen its value before it was acknowledged. */
  readonly reader: Operation;
}

/** A write that was read before it was acknowledged had taken effect by then, as if it had been acknowledged. */
function countedFromTheirFirstReader(operations: readonly Operation[]) {
  const firstReader = new Map<Operation, Operation>();
  for (const { operation, reads } of versionsOf(operations).accesses) {
    const writer = reads?.writer;
    if (!writer || operation.outcome !== "ok" || operation.incarnation !== writer.incarnation) continue;
    const known = firstReader.get(writer)?.return ?? (writer.outcome === "ok" ? writer.return : writer.bound);
    if (operation.return < known) firstReader.set(writer, operation);
  }
  const originals = new Map<Operation, Original>();
  const counted = operations.map((operation) => {
    const reader = firstReader.get(operation);
    if (!reader) return operation;
    const ended = { return: reader.return, bound: reader.return, returnedAt: reader.returnedAt };
    const acknowledged: Operation = { ...operation, ...ended, outcome: "ok", output: null };
    originals.set(acknowledged, { operation, reader });
    return acknowledged;
  });
  return { operations: counted, originals };
}

/** The finding with the operations as they were, and with who had seen what. */
function retold(finding: Finding, originals: ReadonlyMap<Operation, Original>): Finding {
  const changed = finding.operations.flatMap((operation) => originals.get(operation) ?? []);
  if (changed.length === 0) return finding;
  const asTheyWere = finding.operations.map((operation) => originals.get(operation)?.operation ?? operation);
  const notes = changed.map(
    ({ operation, reader }) =>
      `the ${operation.f} of client ${operation.process} counts as acknowledged from ${seconds(reader.returnedAt)} on, when client ${reader.process} had read it`,
  );
  return {
    ...finding,
    operations: inOrder([...asTheyWere, ...changed.map(({ reader }) => reader)]),
    sentence: `${finding.sentence} (${notes.join("; ")})`,
  };
}
