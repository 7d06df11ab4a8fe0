/**
 * ramlog's own start over a simulated disk, for exploring crash states: lock, format, recovery, settling, and making
 * durable what was recovered, by the very code of the server, up to where it would print its ready line. Then the
 * workloads' reads are answered from the recovered state as the server would answer them
 * (`stores/clients/workload-client.ts` has the commands they stand for).
 *
 * Not run: the server, and what the store does only once it serves (preparing the next segment, snapshots).
 */
import type { Durability, Recover, RecoveredStore, Request, SimulatedDisk } from "../contract.ts";
import { toByteString } from "./codec.ts";
import { type Engine, openEngine, productionSeams } from "./engine.ts";
import type { ProgramSeams } from "./program.ts";
import { keyspace } from "./server/commands.ts";
import { simulatedDirectory, simulatedDisk, simulatedProcessId } from "./simulated.ts";
import { List } from "./state.ts";

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
  const engine = await openEngine({
    dir: simulatedDirectory,
    durability: options.durability,
    segmentBytes: options.segmentBytes,
    snapshotBytes: options.snapshotBytes,
    processId: simulatedProcessId,
    seams: { ...productionSeams, ...seams.engine, disk: seams.disk?.(real) ?? real },
    report: () => undefined,
  });
  return { read: (request) => readOf(engine, request), report: engine.recovery };
}

function readOf(engine: Engine, request: Request): unknown {
  const read = reads[request.workload]?.[request.f];
  if (!read) throw new Error(`ramlog knows no read "${request.f}" of "${request.workload}"`);
  return read(engine, request);
}

type Read = (engine: Engine, request: Request) => unknown;

const value: Read = (engine, { key }) => stringAt(engine, key);
const list: Read = (engine, { key }) => listAt(engine, key);
const balances: Read = (engine, request) => {
  const found: Record<string, number | string | null> = {};
  for (const account of request.value as readonly string[])
    found[account] = balance(stringAt(engine, `${request.key}/${account}`));
  return found;
};

const reads: Readonly<Record<string, Readonly<Record<string, Read>>>> = {
  register: { read: value },
  kv: { read: value },
  append: { read: list },
  bank: {
    read: balances,
    audit: (engine, request) => ({
      balances: balances(engine, request),
      ledger: listAt(engine, `${request.key}/ledger`),
    }),
  },
};

/** GET. @throws Error when it is a list. */
function stringAt(engine: Engine, key: string): string | null {
  const found = engine.table(keyspace).get(toByteString(key))?.value;
  if (found === undefined) return null;
  if (typeof found !== "string") throw new Error(`${key} does not hold a string`);
  return found;
}

/** LRANGE 0 -1. @throws Error when it is a string. */
function listAt(engine: Engine, key: string): string[] {
  const found = engine.table(keyspace).get(toByteString(key))?.value;
  if (found === undefined) return [];
  if (!(found instanceof List)) throw new Error(`${key} does not hold a list`);
  return found.slice(0, found.length);
}

/** A number; null when the account is missing; the text itself when it is no number. */
function balance(text: string | null): number | string | null {
  return text !== null && /^-?\d{1,15}$/.test(text) ? Number(text) : text;
}
