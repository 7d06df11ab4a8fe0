/**
 * A cycle drawn for a terminal: its transactions one below the other, with the reason for each step between them.
 *
 *     T1  client 0  0.010–0.014 s  read x = [] · append 1 to y
 *      │  rw on x: T1 read x as [], without 2, which T2 appended next
 *      ▼
 *     T2  …
 */
import type { Operation } from "../../history/operation.ts";
import type { DependencyStep, Finding } from "../contract.ts";
import { microOperationsText } from "./explain.ts";

const edgeWords: Readonly<Record<DependencyStep["edge"], string>> = {
  ww: "ww",
  wr: "wr",
  rw: "rw",
  process: "client order",
  realtime: "real time",
};

/** Lines without a line feed at the end; an empty string when the finding has no cycle. */
export function drawCycle(finding: Finding): string {
  const steps = finding.cycle?.steps ?? [];
  if (steps.length === 0) return "";
  const lines = steps.flatMap(({ from, edge, key, sentence }) => [
    transactionLine(finding.operations[from]!, from),
    ` │  ${edgeWords[edge]}${key === undefined ? "" : ` on ${key}`}: ${sentence}`,
    " ▼",
  ]);
  return [
    ...lines,
    `T${steps[0]!.from + 1}  again: each must come before the next, and so before itself`,
  ].join("\n");
}

function transactionLine(operation: Operation, position: number): string {
  const ms = (ns: number) => (ns / 1e6).toFixed(3);
  const end = Number.isFinite(operation.returnedAt) ? ms(operation.returnedAt) : "…";
  const outcome = operation.outcome === "ok" ? "" : ` (${operation.outcome})`;
  const when = `${ms(operation.calledAt)}–${end} ms`;
  return `T${position + 1}  client ${operation.process}  ${when}${outcome}  ${microOperationsText(operation)}`;
}
