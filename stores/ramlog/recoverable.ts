/**
 * ramlog's own start over a simulated disk, for exploring crash states: lock, format, recovery, settling, and making
 * durable what was recovered, by the very code of the server, up to where it would print its ready line. Then the
 * workloads' reads are answered from the recovered state as the server would answer them
 * (`stores/clients/workload-client.ts` has the commands they stand for).
 *
 * Not run: the server, and what the store does only once it serves (preparing the next segment, snapshots).
 */
import type { Durability, Recover, RecoveredStore, Request, SimulatedDisk } from "../contract.ts";
import { type Codec, toByteString } from "./codec.ts";
import { type Engine, openEngine, productionSeams } from "./engine.ts";
import type { ProgramSeams } from "./program.ts";
import { remembering } from "./remembering.ts";
import { keyspace } from "./server/commands.ts";
import { simulatedDirectory, simulatedDisk, simulatedProcessId } from "./simulated.ts";
import { List, type Slots } from "./state.ts";

/** What the program gets as arguments. */
export interface RecoverOptions {
  readonly durability: Durability;
  /** Bytes. */
  readonly segmentBytes: number;
  readonly snapshotBytes: number;
}

export const recover: Recover = (disk, options) =>
  recoverWith(disk, options as unknown as RecoverOptions, {});

/** The same with parts replaced, for the stores with planted bugs. Rejects with `StartRefused`. */
export async function recoverWith(
  disk: SimulatedDisk,
  options: RecoverOptions,
  seams: ProgramSeams,
): Promise<RecoveredStore> {
  const real = simulatedDisk(disk);
  const engineSeams = { ...productionSeams, ...seams.engine };
  const engine = await openEngine({
    dir: simulatedDirectory,
    durability: options.durability,
    segmentBytes: options.segmentBytes,
    snapshotBytes: options.snapshotBytes,
    processId: simulatedProcessId,
    seams: { ...engineSeams, codec: rememberingOf(engineSeams.codec), disk: seams.disk?.(real) ?? real },
    report: () => undefined,
  });
  return { read: (request) => readOf(engine, request), report: engine.recovery };
}

/** One for each codec: all recoveries of a thread share what it remembers. */
const rememberingCodecs = new WeakMap<Codec, Codec>();

function rememberingOf(codec: Codec): Codec {
  let known = rememberingCodecs.get(codec);
  if (!known) {
    known = remembering(codec);
    rememberingCodecs.set(codec, known);
  }
  return known;
}

/** How a request is answered from the keyspace; made once for each of the requests, which are the same after every start. */
const prepared = new WeakMap<Request, Read>();

function readOf(engine: Engine, request: Request): unknown {
  let read = prepared.get(request);
  if (!read) {
    const prepare = reads[request.workload]?.[request.f];
    if (!prepare) throw new Error(`ramlog knows no read "${request.f}" of "${request.workload}"`);
    read = prepare(request);
    prepared.set(request, read);
  }
  return read(engine.table(keyspace));
}

type Read = (keys: Slots) => unknown;

const value = ({ key }: Request): Read => {
  const bytes = toByteString(key);
  return (keys) => stringAt(keys, bytes);
};

const list = ({ key }: Request): Read => {
  const bytes = toByteString(key);
  return (keys) => listAt(keys, bytes);
};

const balances = ({ key, value: accounts }: Request): Read => {
  const names = (accounts as readonly string[]).map((name) => ({
    name,
    bytes: toByteString(`${key}/${name}`),
  }));
  return (keys) => {
    const found: Record<string, number | string | null> = {};
    for (const { name, bytes } of names) found[name] = balance(stringAt(keys, bytes));
    return found;
  };
};

const audit = (request: Request): Read => {
  const balancesOf = balances(request);
  const ledger = toByteString(`${request.key}/ledger`);
  return (keys) => ({ balances: balancesOf(keys), ledger: listAt(keys, ledger) });
};

const reads: Readonly<Record<string, Readonly<Record<string, (request: Request) => Read>>>> = {
  register: { read: value },
  kv: { read: value },
  append: { read: list },
  bank: { read: balances, audit },
};

/** GET. @throws Error when it is a list. */
function stringAt(keys: Slots, key: string): string | null {
  const found = keys.get(key)?.value;
  if (found === undefined) return null;
  if (typeof found !== "string") throw new Error(`${key} does not hold a string`);
  return found;
}

/** LRANGE 0 -1. @throws Error when it is a string. */
function listAt(keys: Slots, key: string): string[] {
  const found = keys.get(key)?.value;
  if (found === undefined) return [];
  if (!(found instanceof List)) throw new Error(`${key} does not hold a list`);
  return found.slice(0, found.length);
}

/** A number; null when the account is missing; the text itself when it is no number. */
function balance(text: string | null): number | string | null {
  return text !== null && /^-?\d{1,15}$/.test(text) ? Number(text) : text;
}
