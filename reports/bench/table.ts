/**
 * The end of a bench in a terminal: one row a cell, the ratio with its interval and the noise floor beside it, then
 * the conclusion, what to doubt, and where the rest is. Plain text, whatever the store's name holds.
 */
import type { BenchResults, CellRecord, RatioRecord } from "../../harness/measure/results.ts";
import { bytes, count, counted, duration, visibleLine } from "../wording.ts";

/** Ends with a newline. `page`: where the HTML page is. */
export function benchTable(results: BenchResults, page: string): string {
  const stores = results.stores.map(({ name }) => name);
  const cells = [...new Set(results.cells.map(({ cell }) => cell))];
  const lines = [
    headline(results),
    machineLine(results),
    "",
    ...table([
      ["requests/s", ...stores.map((store) => visibleLine(store, 24)), ...ratioHeads(results)],
      ...cells.map((cell) => [
        cell,
        ...stores.map((store) => throughputText(find(results, cell, store))),
        ...ratioHeads(results).map((_, other) =>
          ratioText(ratioOf(results, cell, stores[other + 1]!, "throughput")),
        ),
      ]),
      ...results.ratios
        .filter(({ cell, metric }) => !cells.includes(cell) && metric === "throughput")
        .map((ratio) => [
          visibleLine(ratio.cell, 60),
          ...stores.map(() => ""),
          ...stores.slice(1).map((store) => (store === ratio.reference ? ratioText(ratio) : "")),
        ]),
    ]),
    ...(results.cells.some(({ disturbedRounds }) => disturbedRounds > 0)
      ? ["  * other load disturbed a round: a disk probe over twice the usual, or CPU time stolen"]
      : []),
    "",
    ...table([
      [
        "service time p50 / p99",
        ...stores.map((store) => visibleLine(store, 24)),
        ...ratioHeads(results, "p99 "),
      ],
      ...cells.map((cell) => [
        cell,
        ...stores.map((store) => timesText(find(results, cell, store))),
        ...ratioHeads(results).map((_, other) =>
          ratioText(ratioOf(results, cell, stores[other + 1]!, "p99")),
        ),
      ]),
    ]),
    ...syncLines(results),
    ...openLoopLines(results),
    ...(results.pieces.length > 0 ? ["", ...pieceLines(results.pieces)] : []),
    "",
    ...results.conclusion.map((sentence) => `  ${visibleLine(sentence, 2000)}`),
    ...results.reasons.map(
      (reason) => `  ${results.verdict === "unknown" ? "UNKNOWN" : "note"}: ${visibleLine(reason, 500)}`,
    ),
    ...results.validity.warnings.map((warning) => `  doubt: ${visibleLine(warning, 300)}`),
    ...results.notCovered.map(
      ({ what, why, remedy }) =>
        `  not covered: ${visibleLine(what)}: ${visibleLine(why, 400)}${remedy ? ` (${visibleLine(remedy, 400)})` : ""}`,
    ),
    "",
    `  page    ${page}`,
    `  again   ${visibleLine(results.replay, 1000)}`,
  ];
  return `${lines.join("\n")}\n`;
}

/** The pieces alone; ends with a newline. */
export function piecesTable(pieces: BenchResults["pieces"]): string {
  return `${pieceLines(pieces).join("\n")}\n`;
}

function headline(results: BenchResults): string {
  const names = results.stores.map(
    ({ name, version }) => `${visibleLine(name, 60)} ${visibleLine(version, 30)}`,
  );
  const rounds = `${counted(results.rounds, "round")} of ${results.measureMs / 1000} s`;
  const caution = results.indicative ? ", indicative only" : "";
  return `${names.join(" against ")}, durability ${results.durability}, ${rounds}${caution}`;
}

function machineLine({ machine, fileSystem, validity }: BenchResults): string {
  const { p50, p99 } = validity.diskProbe;
  return `${visibleLine(machine.cpu, 60)}, ${counted(machine.cores, "core")}, ${bytes(machine.memoryBytes)}, ${machine.kernel}, ${fileSystem}, a 4 KiB sync takes ${duration(p50)} (p99 ${duration(p99)})`;
}

function ratioHeads(results: BenchResults, metric = ""): string[] {
  const [first, ...others] = results.stores.map(({ name }) => visibleLine(name, 16));
  return others.map((other) => `${metric}${first} / ${other} [95%] (noise)`);
}

function find(results: BenchResults, cell: string, store: string): CellRecord | undefined {
  return results.cells.find((record) => record.cell === cell && record.store === store);
}

function ratioOf(
  results: BenchResults,
  cell: string,
  reference: string,
  metric: RatioRecord["metric"],
): RatioRecord | undefined {
  return results.ratios.find(
    (ratio) => ratio.cell === cell && ratio.reference === reference && ratio.metric === metric,
  );
}

function throughputText(record: CellRecord | undefined): string {
  if (!record) return "-";
  return `${count(Math.round(middle(record.throughput)))}${record.disturbedRounds > 0 ? "*" : ""}`;
}

function timesText(record: CellRecord | undefined): string {
  return record ? `${duration(record.serviceTime.p50)} / ${duration(record.serviceTime.p99)}` : "-";
}

/** `1.35 [1.20 1.51] (±4%) better`; without a word where the difference is within the noise. */
function ratioText(ratio: RatioRecord | undefined): string {
  if (!ratio) return "-";
  const { median, low, high, noiseFloor, difference } = ratio;
  const word = difference === "none" ? "no difference" : difference;
  return `${median.toFixed(2)} [${low.toFixed(2)} ${high.toFixed(2)}] (±${Math.round((noiseFloor - 1) * 100)}%) ${word}`;
}

function syncLines(results: BenchResults): string[] {
  const rows = results.cells
    .filter((record) => record.recordsPerSync !== undefined)
    .map((record) => [
      record.cell,
      visibleLine(record.store, 24),
      record.recordsPerSync!.toFixed(2),
      count(Math.round(record.syncsPerSecond!)),
      record.logBytesPerUserByte === undefined ? "-" : record.logBytesPerUserByte.toFixed(2),
    ]);
  if (rows.length === 0) return [];
  return ["", ...table([["syncs", "store", "records/sync", "syncs/s", "log bytes/user byte"], ...rows])];
}

function openLoopLines(results: BenchResults): string[] {
  if (results.openLoop.length === 0) return [];
  const [first, ...others] = results.stores.map(({ name }) => name);
  const head = [
    "open loop, Poisson",
    "offered/s",
    "achieved/s",
    "late",
    "dropped",
    "response p50 / p99 / p99.9",
    "service p99",
  ];
  const rows = results.openLoop.map((record) => [
    `${visibleLine(record.store, 24)}, ${record.operation}`,
    count(Math.round(record.offeredPerSecond)),
    count(Math.round(record.achievedPerSecond)),
    count(record.late),
    count(record.dropped + record.unfinished),
    `${duration(record.responseTime.p50)} / ${duration(record.responseTime.p99)} / ${duration(record.responseTime.p999)}`,
    duration(record.serviceTime.p99),
  ]);
  const ratios = others.map((other) => {
    const of = results.ratios.find(
      ({ metric, reference }) => metric === "response p99" && reference === other,
    );
    return `  p99 response time, ${visibleLine(first!, 24)} / ${visibleLine(other, 24)}: ${ratioText(of)}`;
  });
  return ["", ...table([head, ...rows]), ...ratios];
}

function pieceLines(pieces: BenchResults["pieces"]): string[] {
  const rows = pieces.map((piece) => [
    piece.name,
    count(Math.round(piece.operationsPerSecond)),
    duration(piece.p50),
    duration(piece.p99),
  ]);
  return table([["pieces, in this process", "per second", "p50", "p99"], ...rows]);
}

/** Columns padded to their widest entry; the first to the left, the others to the right. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    `  ${row.map((text, column) => (column === 0 ? text.padEnd(widths[column]!) : text.padStart(widths[column]!))).join("  ")}`.trimEnd(),
  );
}

function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length === 0 ? 0 : (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}
