/**
 * Correct histories of one busy key, as columns, for measuring the checker: clients that overlap, each operation taking
 * effect at some moment between its invocation and its completion, so that the history is linearizable by construction.
 * Deterministic in the seed. What it does not show: how a checker fares on histories that are wrong.
 */
import {
  emptyColumns,
  indeterminate,
  type KeyColumns,
  nil,
  role,
  unbounded,
} from "../harness/history/columns.ts";
import type { HistoryEvent } from "../harness/history/operation.ts";
import { seededRandom } from "../harness/measure/random.ts";

export interface BusyKeyOptions {
  readonly operations: number;
  readonly clients: number;
  /** Of all operations, the share of successful compare-and-sets, of writes, and of deletes; the others read. */
  readonly compareAndSets?: number;
  readonly writes?: number;
  readonly deletes?: number;
  /** How many writes get no answer, evenly spread; half of them take effect. */
  readonly indeterminateWrites?: number;
  readonly seed?: number;
}

const stage = { idle: 0, sent: 1, done: 2 } as const;

/** The columns of such a history. */
export function busyKey(options: BusyKeyOptions): KeyColumns {
  const { operations, clients, compareAndSets = 0, writes = 0.25, deletes = 0 } = options;
  const lost = options.indeterminateWrites ?? 0;
  const random = seededRandom(options.seed ?? 1);
  const columns = emptyColumns(operations);
  const stages = new Uint8Array(clients);
  const rowOf = new Int32Array(clients);
  let [begun, rank, values, current, lostSoFar] = [0, 0, 1, nil as number, 0];
  const kinds = [compareAndSets, compareAndSets + writes, compareAndSets + writes + deletes];

  /** False when it will get no answer. */
  const send = (client: number): boolean => {
    const row = begun++;
    const isLost = lost > 0 && lostSoFar < lost && row >= (lostSoFar * operations) / lost;
    const chance = random();
    columns.call[row] = rank++;
    columns.role[row] =
      isLost || (chance >= kinds[0]! && chance < kinds[1]!)
        ? role.write
        : chance < kinds[0]!
          ? role.compareAndSet
          : chance < kinds[2]!
            ? role.remove
            : role.read;
    if (isLost) {
      lostSoFar++;
      columns.role[row] = role.write | indeterminate;
      columns.value[row] = values++;
      columns.bound[row] = unbounded;
      if (random() < 0.5) current = columns.value[row]!;
      return false;
    }
    rowOf[client] = row;
    stages[client] = stage.sent;
    return true;
  };
  const serve = (row: number): void => {
    const what = columns.role[row]!;
    if (what === role.remove) {
      // A delete of nothing is a read of nil.
      if (current === nil) columns.role[row] = role.read;
      current = nil;
      return;
    }
    columns.from[row] = what === role.compareAndSet ? current : nil;
    if (what !== role.read) current = values++;
    columns.value[row] = current;
  };
  for (let open = 0; begun < operations || open > 0; ) {
    const client = Math.floor(random() * clients);
    if (stages[client] === stage.idle) {
      if (begun === operations) continue;
      if (send(client)) open++;
    } else if (stages[client] === stage.sent) {
      serve(rowOf[client]!);
      stages[client] = stage.done;
    } else {
      columns.bound[rowOf[client]!] = rank++;
      stages[client] = stage.idle;
      open--;
    }
  }
  return { ...columns, values, ranks: rank };
}

/** The same history as events, with texts for the values, as a run records it. */
export function* busyEvents(columns: KeyColumns): Generator<HistoryEvent> {
  const { count, role: roles, value, from, call, bound, ranks } = columns;
  const rowAt = new Int32Array(ranks);
  for (let row = 0; row < count; row++) {
    rowAt[call[row]!] = row;
    if (bound[row]! < ranks) rowAt[bound[row]!] = row;
  }
  const free: number[] = [];
  const processOf = new Int32Array(count);
  let processes = 0;
  const textOf = (number: number) => (number === nil ? null : `v${number}-0123456789abcdef`);
  for (let index = 0; index < ranks; index++) {
    const row = rowAt[index]!;
    const what = roles[row]! & ~indeterminate;
    const isCall = call[row] === index;
    if (isCall) processOf[row] = free.pop() ?? processes++;
    else free.push(processOf[row]!);
    const written =
      what === role.compareAndSet ? [textOf(from[row]!), textOf(value[row]!)] : textOf(value[row]!);
    const event: HistoryEvent = {
      index,
      time: index * 10_000,
      process: processOf[row]!,
      type: isCall ? "invoke" : "ok",
      f:
        what === role.read ? "read" : what === role.remove ? "delete" : what === role.write ? "write" : "cas",
      workload: "register",
      key: "r0",
      value: isCall ? (what === role.read ? null : written) : what === role.read ? textOf(value[row]!) : null,
      ...(isCall ? { node: "n1", incarnation: 0 } : {}),
      ...(!isCall && what === role.compareAndSet ? { matched: true } : {}),
    };
    yield event;
  }
}

/** Lists of about a hundred operations each, half of them appends, the others reads of the whole list, as events. */
export function* busyLists(operations: number, clients: number): Generator<HistoryEvent> {
  const random = seededRandom(3);
  const lists = new Map<string, string[]>();
  const open = new Map<number, { readonly key: string; readonly f: string; readonly result: unknown }>();
  let [begun, index] = [0, 0];
  while (begun < operations || open.size > 0) {
    const process = Math.floor(random() * clients);
    const running = open.get(process);
    const place = { index, time: index * 10_000, process, workload: "append" };
    if (running) {
      const { key, f, result } = running;
      open.delete(process);
      index++;
      yield { ...place, type: "ok", f, key, value: result };
    } else if (begun < operations) {
      const key = `l${Math.floor(begun / 100)}`;
      const list = lists.get(key) ?? [];
      lists.set(key, list);
      const f = random() < 0.5 ? "append" : "read";
      const element = `e${begun++}`;
      open.set(process, { key, f, result: f === "append" ? list.push(element) : [...list] });
      index++;
      yield {
        ...place,
        type: "invoke",
        f,
        key,
        value: f === "append" ? element : null,
        node: "n1",
        incarnation: 0,
      };
    }
  }
}
