/**
 * What the workloads ask for, in etcd's KV API: two tables, `reads` and `writes`, from (workload, f) to ranges, puts and
 * transactions. A request that takes several steps is decided by its last one (steps.ts).
 *
 * How the workloads' things are kept: a register or a key as itself; an element of a list or of a set as a key of its own
 * below theirs, the order of a list being the order of the revisions that created them; a bank as its balances in JSON
 * under one key, written by transactions that are guarded by its revision, with each entry of the ledger as a key of its
 * own, numbered in their order. An element whose key was put twice is shown twice.
 */
import type { Client, Endpoint, Reply, Request } from "../contract.ts";
import { Gateway, GatewayError, type Json } from "./gateway.ts";
import { connectionFailures } from "./outcomes.ts";
import {
  below,
  Ended,
  type Entry,
  encode,
  entriesOf,
  isAbsent,
  member,
  put,
  responsesOf,
  Steps,
  unexpected,
} from "./steps.ts";

/** A request that only reads: where, and what the answer's value is, given what was found in each range. */
interface Read {
  readonly ranges: (request: Request) => readonly Json[];
  readonly value: (found: readonly (readonly Entry[])[], request: Request) => unknown;
}

type Perform = (steps: Steps, request: Request) => Promise<Reply>;

const itself = ({ key }: Request) => [{ key: encode(key) }];

const readValue: Read = { ranges: itself, value: ([entries]) => entries?.[0]?.value ?? null };

/** By the revisions that created them, which is the order of the appends. */
const readList: Read = {
  ranges: ({ key }) => [{ ...below(`${key}/`), sortOrder: "ASCEND", sortTarget: "CREATE" }],
  value: ([entries], { key }) => elementsBelow(`${key}/`, entries ?? []),
};

/** Keys come in their order, so that equal sets look equal. */
const readSet: Read = {
  ranges: ({ key }) => [below(`${key}/`)],
  value: ([entries], { key }) => elementsBelow(`${key}/`, entries ?? []),
};

/** The elements whose keys are below `prefix`. */
function elementsBelow(prefix: string, entries: readonly Entry[]): string[] {
  return entries.flatMap(({ key, version }) =>
    new Array<string>(Math.max(1, version)).fill(key.slice(prefix.length)),
  );
}

const readBalances: Read = {
  ranges: itself,
  value: ([entries], { value }) => balancesOf(value as readonly string[], entries?.[0]),
};

const audit: Read = {
  ranges: (request) => [...itself(request), below(`${request.key}/ledger/`)],
  value: ([bank, ledger], { value }) => ({
    balances: balancesOf(value as readonly string[], bank?.[0]),
    ledger: (ledger ?? []).map((entry) => entry.value),
  }),
};

const write: Perform = async (steps, { key, value }) => {
  await steps.decide("put", put(key, value as string));
  return { type: "ok" };
};

const remove: Perform = async (steps, { key }) => {
  const { deleted } = await steps.decide("deleterange", { key: encode(key) });
  return { type: "ok", value: Number(deleted ?? 0) };
};

/** The witness is read in the same transaction, at the moment at which the compare fails. */
const compareAndSet: Perform = async (steps, { key, value }) => {
  const [expected, next] = value as readonly [string | null, string];
  const compare =
    expected === null
      ? isAbsent(key)
      : { target: "VALUE", result: "EQUAL", key: encode(key), value: encode(expected) };
  const answer = await steps.decide("txn", {
    compare: [compare],
    success: [{ requestPut: put(key, next) }],
    failure: [{ requestRange: { key: encode(key) } }],
  });
  if (answer.succeeded === true) return { type: "ok", matched: true };
  const [found] = responsesOf(answer);
  if (!found) throw unexpected("the value that did not match");
  // Inside a transaction a range's own header holds the revision alone, and is always there.
  return { type: "ok", matched: false, value: entriesOf(found)[0]?.value ?? null };
};

/** The element, and in the same transaction the list's length with it; not where the key itself has a value. */
const append: Perform = async (steps, { key, value }) => {
  const answer = await steps.decide("txn", {
    compare: [isAbsent(key)],
    success: [
      { requestPut: put(`${key}/${value}`, "") },
      { requestRange: { ...below(`${key}/`), countOnly: true } },
    ],
  });
  if (answer.succeeded !== true) return { type: "fail", error: "the key holds another kind of value" };
  const [, length] = (answer.responses ?? []) as readonly Json[];
  const counted = length && (member(length, "response_range", "responseRange") as Json | undefined);
  if (counted?.count === undefined) throw unexpected("the length of the list");
  return { type: "ok", value: Number(counted.count) };
};

const add: Perform = async (steps, { key, value }) => {
  await steps.decide("put", put(`${key}/${value}`, ""));
  return { type: "ok" };
};

interface Bank {
  readonly balances: Readonly<Record<string, number>>;
  /** Entries of the ledger so far. */
  readonly entries: number;
}

/** Wide enough that the order of the keys is the order of the numbers. */
const entryKey = (key: string, n: number) => `${key}/ledger/${String(n).padStart(10, "0")}`;

function bankOf(entry: Entry | undefined): Bank | undefined {
  try {
    const bank = JSON.parse(entry?.value ?? "") as Partial<Bank> | null;
    return bank?.balances && typeof bank.entries === "number" ? (bank as Bank) : undefined;
  } catch {
    return undefined;
  }
}

/** Only if there is none: an opening that takes effect late must not undo what came after it. */
const openAccounts: Perform = (steps, { key, value }) =>
  steps.decideIfUnchanged(key, "0", [put(key, JSON.stringify({ balances: value, entries: 0 }))]);

interface Transfer {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly amount: number;
}

const transfer: Perform = async (steps, { key, value }) => {
  const { id, from, to, amount } = value as Transfer;
  const before = await steps.prepare(key);
  const bank = bankOf(before);
  const [source, target] = [bank?.balances[from], bank?.balances[to]];
  if (!before || !bank || source === undefined || target === undefined) {
    return { type: "fail", error: `account ${source === undefined ? from : to} has no balance` };
  }
  if (source < amount) return { type: "fail", error: "insufficient funds" };
  const balances = { ...bank.balances, [from]: source - amount, [to]: target + amount };
  return steps.decideIfUnchanged(key, before.modRevision, [
    put(key, JSON.stringify({ balances, entries: bank.entries + 1 })),
    put(entryKey(key, bank.entries), `${id}:${from}:${to}:${amount}`),
  ]);
};

/** A missing account is null; of a bank that cannot be read every account is the raw text. */
function balancesOf(accounts: readonly string[], entry: Entry | undefined) {
  const bank = bankOf(entry);
  const unreadable = entry && !bank ? entry.value : null;
  return Object.fromEntries(accounts.map((account) => [account, bank?.balances[account] ?? unreadable]));
}

type Table<T> = Readonly<Record<string, Readonly<Record<string, T>>>>;

const reads: Table<Read> = {
  register: { read: readValue },
  kv: { read: readValue },
  append: { read: readList },
  set: { read: readSet },
  bank: { read: readBalances, audit },
};

const writes: Table<Perform> = {
  register: { write, cas: compareAndSet },
  kv: { write, delete: remove },
  append: { append },
  set: { add },
  bank: { open: openAccounts, transfer },
};

function readOf({ workload, f }: Request): Read {
  const reading = reads[workload]?.[f];
  if (!reading) throw new Error(`the etcd client knows no read "${f}" of "${workload}"`);
  return reading;
}

/** How a request is performed; `undefined` when it is in neither table. */
function performing({ workload, f }: Request): Perform | undefined {
  const reading = reads[workload]?.[f];
  if (!reading) return writes[workload]?.[f];
  return async (steps, request) => {
    const value = reading.value(await steps.read(reading.ranges(request)), request);
    return { type: "ok", value };
  };
}

/** Reads sent together, of one or two ranges each: etcd takes 128 in a transaction unless told otherwise. */
const readsAtOnce = 60;

class EtcdClient implements Client {
  readonly #gateway: Gateway;
  readonly #serializable: boolean;

  constructor(gateway: Gateway, serializable: boolean) {
    this.#gateway = gateway;
    this.#serializable = serializable;
  }

  get closed(): boolean {
    return this.#gateway.closed;
  }

  async execute(request: Request, deadlineMs: number): Promise<Reply> {
    const perform = performing(request);
    if (!perform) {
      const error = `the etcd client knows no request "${request.f}" of "${request.workload}"`;
      return { type: "fail", error };
    }
    try {
      return await perform(new Steps(this.#gateway, this.#serializable, deadlineMs), request);
    } catch (error) {
      return this.#ended(error);
    }
  }

  /** Sixty at a time are read in one transaction, at one moment. */
  async readAll(requests: readonly Request[], deadlineMs: number): Promise<readonly Reply[]> {
    const steps = new Steps(this.#gateway, this.#serializable, deadlineMs);
    const replies: Reply[] = [];
    for (let at = 0; at < requests.length; at += readsAtOnce) {
      replies.push(...(await this.#readTogether(requests.slice(at, at + readsAtOnce), steps)));
    }
    return replies;
  }

  replyEnd(): { readonly localPort: number; readonly bytes: number } {
    return this.#gateway.received;
  }

  close(): void {
    this.#gateway.close();
  }

  async #readTogether(requests: readonly Request[], steps: Steps): Promise<readonly Reply[]> {
    try {
      const ranges = requests.map((request) => readOf(request).ranges(request));
      const found = [...(await steps.read(ranges.flat()))];
      return requests.map((request, i) => {
        const own = found.splice(0, ranges[i]!.length);
        return { type: "ok", value: readOf(request).value(own, request) };
      });
    } catch (error) {
      const reply = this.#ended(error);
      return requests.map(() => reply);
    }
  }

  /** The reply of a request that ended otherwise than by its answer. */
  #ended(error: unknown): Reply {
    const reply = replyTo(error);
    if (reply.type === "info") this.close();
    return reply;
  }
}

function replyTo(error: unknown): Reply {
  if (error instanceof Ended) return error.reply;
  const type = error instanceof GatewayError ? connectionFailures[error.reason] : "info";
  return { type, error: (error as Error).message };
}

/**
 * Connects, and resolves once the member has answered for itself on this connection. Whether it has a leader is not
 * asked: a client of a member that is cut off finds out by its requests.
 *
 * @param deadlineMs ms for all of it.
 * @throws GatewayError or EtcdError when there is no answer by then.
 */
export async function connectEtcd(
  endpoint: Endpoint,
  serializable: boolean,
  deadlineMs: number,
): Promise<Client> {
  const endsAt = performance.now() + deadlineMs;
  const gateway = await Gateway.connect(endpoint, deadlineMs);
  try {
    await gateway.post("/v3/maintenance/status", {}, Math.max(1, endsAt - performance.now()));
    return new EtcdClient(gateway, serializable);
  } catch (error) {
    gateway.close();
    throw error;
  }
}
