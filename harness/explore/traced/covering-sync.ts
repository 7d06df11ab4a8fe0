/**
 * Covering sync by bytes: in a mode that promises to sync before it acknowledges, every acknowledged change is matched to
 * the traced write that carries its bytes, and to a sync of that very file which began after the write had ended, and
 * had ended with success when the store began to send the reply (see obligations.ts). It needs no crash.
 *
 * An operation's bytes are a string of its own: at least 16 bytes, in its request, and in no request before it (workloads
 * write values that are unique). Deletes and the like have none, and a store may encode values in some way of its own:
 * what is found in no write to the log is judged by counts (some sync of the log began after the request had been sent
 * and ended before the reply; of a directory, too, where every file is the log, since a delete may need no more), and the
 * result says how many were judged which way.
 *
 * Not verified: that the sync really reached the medium (crash states do that), or that a change without bytes of its own
 * was in the file that was synced.
 */
import type { Trace, TraceEvent } from "../../../faults/contract.ts";
import type { CheckContext, CheckResult } from "../../checkers/contract.ts";
import { Gathering, seconds } from "../../checkers/findings.ts";
import type { Operation } from "../../history/operation.ts";
import { quote } from "../../models/register.ts";
import { pageBytes } from "../disk/pages.ts";
import type { Obligations } from "../judge/obligations.ts";
import { globMatcher } from "./traced-run-content.ts";

export interface CoveringSyncOptions {
  readonly trace: Trace;
  /** The store's log files, as a glob relative to the data directory. */
  readonly logFiles: string;
  /** CLOCK_MONOTONIC at time 0 of the history, ns. */
  readonly startNs: number;
  /** Asked for acknowledged operations only. */
  readonly changes: (operation: Operation) => boolean;
  /** At which event each operation was acknowledged. */
  readonly obligations: Obligations;
}

/** A write to a log file with where it ended; `end` is infinite while it was in flight at a kill. */
interface LogWrite {
  readonly begin: TraceEvent;
  readonly end: number;
  readonly offset: number;
  readonly bytes: number;
  readonly synchronous: boolean;
}

/** A sync that ended with success: what was written to its range before `begin` is durable from `end` on. */
interface LogSync {
  readonly begin: number;
  readonly end: number;
  readonly beganAtNs: number;
  /** Bytes of the file: whole pages of an msync, everything of an fsync. */
  readonly from: number;
  readonly to: number;
}

const shortestOwnBytes = 16;

/** Was each acknowledged change covered, with its own bytes, by a sync that had ended when its reply was sent? */
export function checkCoveringSyncByBytes(options: CoveringSyncOptions, context: CheckContext): CheckResult {
  const gathering = new Gathering("covering sync by bytes", context);
  if (!context.promise.syncsBeforeAcknowledging) {
    gathering.notChecked.push("covering sync: the store does not promise to sync before it acknowledges");
    return gathering.result(undefined);
  }
  if (options.trace.faults.length > 0) {
    // A sync that is missing in a damaged trace may have been made all the same.
    gathering.reasons.push(...options.trace.faults.map((fault) => `covering sync: ${fault}`));
    return gathering.result(undefined);
  }
  const calls = new LogCalls(options.trace.events, options.logFiles);
  const { operations, weak } = options.obligations;
  const owed = operations.filter(({ operation }) => operation.outcome === "ok" && options.changes(operation));
  const placed = owed.filter(({ acknowledgedAt }) => Number.isFinite(acknowledgedAt));
  gathering.count("acknowledgements", placed.length);
  if (placed.length < owed.length) {
    gathering.notChecked.push(
      `covering sync: ${owed.length - placed.length} of ${owed.length} acknowledgements came after the trace had ended`,
    );
  }
  if (weak > 0) {
    gathering.notChecked.push(
      `covering sync: the replies to ${weak} operations are not in the trace; they are placed by the client's clock, so that an acknowledgement that came too early by less than the client's lag is not seen`,
    );
  }
  const writesOf = carriers(ownBytes(operations.map(({ operation }) => operation)), calls.writes);
  const uncovered: { operation: Operation; sentence: string }[] = [];
  let byBytes = 0;
  for (const { operation, acknowledgedAt: sent } of placed) {
    const writes = writesOf.get(operation) ?? [];
    if (writes.length > 0) byBytes++;
    const sentence =
      writes.length > 0
        ? whyNotCovered(writes, sent, calls, options.trace.events)
        : whyNotCounted(operation, sent, calls, options.startNs);
    if (sentence !== undefined) uncovered.push({ operation, sentence });
  }
  gathering.count("matchedByBytes", byBytes);
  gathering.count("matchedByCount", placed.length - byBytes);
  const first = uncovered[0];
  if (first) {
    const { operation } = first;
    gathering.findings.push({
      kind: "acknowledged-without-sync",
      ...(operation.workload ? { workload: operation.workload } : {}),
      ...(operation.key ? { key: operation.key } : {}),
      operations: [operation],
      sentence: `the ${named(operation)} was acknowledged at ${seconds(operation.returnedAt)}, but ${first.sentence}`,
      count: uncovered.length,
    });
  }
  return gathering.result(undefined);
}

/** The log's writes and syncs, in the order of the trace. */
class LogCalls {
  readonly writes: LogWrite[] = [];
  /** By inode; `*` are those of whole file systems. */
  readonly #syncs = new Map<string, LogSync[]>();
  readonly all: LogSync[] = [];

  constructor(events: readonly TraceEvent[], logFiles: string) {
    const isLog = globMatcher(logFiles);
    const anyFile = logFiles === "**";
    const ends = new Map<number, TraceEvent>();
    for (const event of events) if (event.phase === "end") ends.set(event.call, event);
    for (const begin of events) {
      if (begin.phase !== "begin" || (begin.directory === true && !anyFile)) continue;
      const end = ends.get(begin.index);
      if (begin.kind === "write" && isLog(begin.path)) this.#write(begin, end);
      else if (begin.kind === "syncfs") this.#sync("*", begin, end);
      else if ((begin.kind === "sync" || begin.kind === "datasync") && isLog(begin.path))
        this.#sync(begin.inode, begin, end);
    }
  }

  /** Syncs that cover a file: its own, and those of its whole file system. */
  syncsOf(inode: string): readonly LogSync[] {
    return [...(this.#syncs.get(inode) ?? []), ...(this.#syncs.get("*") ?? [])];
  }

  #write(begin: TraceEvent, end: TraceEvent | undefined): void {
    if (end?.result !== undefined && end.result < 0 && end.size === 0) return;
    const synchronous = begin.synchronous === true || end?.synchronous === true;
    this.writes.push({
      begin,
      end: end?.index ?? Number.POSITIVE_INFINITY,
      offset: end?.offset ?? begin.offset,
      bytes: begin.data?.length ?? begin.size,
      synchronous,
    });
    if (synchronous) this.#sync(begin.inode, begin, end, true);
  }

  #sync(inode: string, begin: TraceEvent, end: TraceEvent | undefined, own = false): void {
    if (end?.result === undefined || end.result < 0) return;
    const ranged = begin.kind === "datasync" && begin.size > 0;
    const from = ranged ? Math.floor(begin.offset / pageBytes) * pageBytes : 0;
    const to = ranged
      ? Math.ceil((begin.offset + begin.size) / pageBytes) * pageBytes
      : Number.POSITIVE_INFINITY;
    const sync = { begin: begin.index, end: end.index, beganAtNs: begin.atNs, from, to };
    this.all.push(sync);
    if (own) return;
    const same = this.#syncs.get(inode);
    if (same) same.push(sync);
    else this.#syncs.set(inode, [sync]);
  }
}

/** A string that belongs to one operation alone: the longest in its request that no earlier request contained. */
function ownBytes(operations: readonly Operation[]): Map<string, Operation> {
  const seen = new Set<string>();
  const owned = new Map<string, Operation>();
  for (const operation of operations) {
    const fresh = stringsIn(operation.input)
      .filter((text) => Buffer.byteLength(text) >= shortestOwnBytes && !seen.has(text))
      .sort((a, b) => b.length - a.length);
    for (const text of fresh) seen.add(text);
    if (fresh[0] !== undefined) owned.set(fresh[0], operation);
  }
  return owned;
}

function stringsIn(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.values(value).flatMap(stringsIn);
}

/**
 * A log in pages (Postgres has one of 8 KB, each with a header) may cut a string in two; one half of it is then whole.
 * Half of 16 bytes is 64 bits, still an operation's own.
 */
function halvesOf(bytes: Buffer): readonly Buffer[] {
  const middle = bytes.length >> 1;
  return [bytes.subarray(0, middle), bytes.subarray(middle)];
}

/** Which writes carry each operation's bytes. One pass over all data, looking four bytes up at a time. */
function carriers(
  owned: ReadonlyMap<string, Operation>,
  writes: readonly LogWrite[],
): Map<Operation, LogWrite[]> {
  const byTail = new Map<number, { bytes: Buffer; operation: Operation }[]>();
  const mayEnd = new Uint8Array(65_536);
  for (const [text, operation] of owned) {
    for (const bytes of halvesOf(Buffer.from(text))) {
      const tail = bytes.readUInt32LE(bytes.length - 4);
      mayEnd[tail & 0xffff] = 1;
      const same = byTail.get(tail);
      if (same) same.push({ bytes, operation });
      else byTail.set(tail, [{ bytes, operation }]);
    }
  }
  const found = new Map<Operation, LogWrite[]>();
  for (const write of writes) {
    const { data } = write.begin;
    if (!data) continue;
    for (let at = shortestOwnBytes / 2 - 4; at + 4 <= data.length; at++) {
      if (mayEnd[data[at]! | (data[at + 1]! << 8)] === 0) continue;
      const tail = (data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24)) >>> 0;
      for (const { bytes, operation } of byTail.get(tail) ?? []) {
        const start = at + 4 - bytes.length;
        if (start < 0 || bytes.compare(data, start, at + 4) !== 0) continue;
        const carrying = found.get(operation);
        if (!carrying) found.set(operation, [write]);
        else if (carrying.at(-1) !== write) carrying.push(write);
      }
    }
  }
  return found;
}

/** `undefined` when some write of these bytes had been synced when the reply was sent. */
function whyNotCovered(
  writes: readonly LogWrite[],
  sent: number,
  calls: LogCalls,
  events: readonly TraceEvent[],
): string | undefined {
  const before = writes.filter((write) => write.begin.index < sent);
  for (const write of before) {
    if (write.synchronous && write.end < sent) return undefined;
    const since = calls
      .syncsOf(write.begin.inode)
      .filter((sync) => sync.begin > write.end && sync.end < sent);
    if (cover(since, write)) return undefined;
  }
  const first = before[0] ?? writes[0]!;
  const where = `its bytes (in the write of ${first.bytes} bytes to ${first.begin.path} at offset ${first.offset}, event ${first.begin.index})`;
  const reply = `event ${sent}`;
  if (before.length === 0) return `${where} were written only after its reply had been sent (${reply})`;
  const syncs = calls.syncsOf(first.begin.inode);
  const tooEarly = syncs.findLast((sync) => sync.begin < first.end && sync.end < sent);
  const elsewhere = syncs.findLast((sync) => sync.begin > first.end && sync.end < sent);
  const tooLate = syncs.find((sync) => sync.begin > first.end && sync.end > sent && cover([sync], first));
  const said = [
    first.end > sent ? "the write itself had not ended by then" : "",
    lastSync(first, elsewhere, tooEarly),
    tooLate
      ? `the one that covers it ${tooLate.begin > sent ? "began" : "ended"} at event ${tooLate.begin > sent ? tooLate.begin : tooLate.end}, ${lagOf(events, sent, tooLate)} after the reply`
      : "no later sync ever covered it",
  ];
  return `${where} were in no sync when its reply was sent (${reply}): ${said.filter(Boolean).join("; ")}`;
}

/** Whether the syncs together cover all of the write: an msync is of a part of its file only. */
function cover(syncs: readonly LogSync[], { offset, bytes }: LogWrite): boolean {
  let covered = offset;
  for (const { from, to } of [...syncs].sort((a, b) => a.from - b.from)) {
    if (from > covered) return false;
    covered = Math.max(covered, to);
    if (covered >= offset + bytes) return true;
  }
  return false;
}

function lastSync(
  { begin: { path } }: LogWrite,
  elsewhere: LogSync | undefined,
  tooEarly: LogSync | undefined,
): string {
  if (elsewhere)
    return `the last sync of ${path} that had ended was of its bytes ${elsewhere.from} to ${elsewhere.to} only`;
  if (!tooEarly) return `no sync of ${path} had ended`;
  return `the last sync of ${path} that had ended began at event ${tooEarly.begin}, before the write had ended`;
}

function lagOf(events: readonly TraceEvent[], sent: number, sync: LogSync): string {
  const ns = (events[sync.end]?.atNs ?? 0) - (events[sent]?.atNs ?? 0);
  return `ending ${Math.max(0, Math.round(ns / 1000))} µs`;
}

/** `undefined` when some sync of the log began after the request was sent and had ended when the reply was. */
function whyNotCounted(
  operation: Operation,
  sent: number,
  calls: LogCalls,
  startNs: number,
): string | undefined {
  const invokedAtNs = operation.calledAt + startNs;
  if (calls.all.some((sync) => sync.beganAtNs >= invokedAtNs && sync.end < sent)) return undefined;
  return `no sync of the log that began after it was sent, at ${seconds(operation.calledAt)}, had ended when its reply was sent (event ${sent})`;
}

function named({ f, input, key, process }: Operation): string {
  const argument = input === undefined || input === null ? "" : ` of ${quote(input)}`;
  return `${f}${argument} on key ${key} (client ${process})`;
}
