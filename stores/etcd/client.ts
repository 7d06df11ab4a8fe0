/**
 * What the workloads ask for, in etcd's KV API: one table, `requests`, from (workload, f) to ranges, puts and
 * transactions.
 *
 * A request that takes several steps is decided by its last one, the *decisive* step: until that has been handed over
 * nothing can take effect, so whatever fails earlier is `fail`; from then on outcomes.ts decides. A read that is answered
 * with an error is `fail`: it changed nothing and showed nothing.
 *
 * How the workloads' things are kept: a register or a key as itself; an element of a list or of a set as a key of its own
 * below theirs, the order of a list being the order of the revisions that created them; a bank as its balances in JSON
 * under one key, written by transactions that are guarded by its revision, with each entry of the ledger as a key of its
 * own, numbered in their order. An element whose key was put twice is shown twice.
 * Values are read byte by byte (latin1), so that a damaged value is seen as it is and never repaired.
 */
import type { Client, Endpoint, Reply, Request } from "../contract.ts";
import { EtcdError, Gateway, GatewayError, type Json } from "./gateway.ts";
import { connectionFailures, outcomeOfErrorReply } from "./outcomes.ts";

/** A request that ends here, with this reply. Thrown by the steps, caught in `execute`. */
class Ended {
  readonly reply: Reply;

  constructor(reply: Reply) {
    this.reply = reply;
  }
}

/** A key as etcd shows it. `modRevision` is "0" when it is absent: that is what a compare takes for "absent". */
interface Entry {
  readonly key: string;
  readonly value: string;
  readonly modRevision: string;
  /** How often it has been put since it was created. */
  readonly version: number;
}

/** The steps of one request on one connection, all within one deadline. */
class Steps {
  readonly #gateway: Gateway;
  readonly #serializable: boolean;
  readonly #endsAt: number;

  constructor(gateway: Gateway, serializable: boolean, deadlineMs: number) {
    this.#gateway = gateway;
    this.#serializable = serializable;
    this.#endsAt = performance.now() + deadlineMs;
  }

  /** The request is this read, and changes nothing. */
  async read(ranges: readonly Json[]): Promise<readonly (readonly Entry[])[]> {
    const mode = this.#serializable ? { serializable: true } : {};
    try {
      if (ranges.length === 1) return [entriesOf(await this.#post("range", { ...ranges[0], ...mode }))];
      const success = ranges.map((range) => ({ requestRange: { ...range, ...mode } }));
      return responsesOf(await this.#post("txn", { success })).map(entriesOf);
    } catch (error) {
      if (error instanceof EtcdError) throw new Ended({ type: "fail", error: error.message });
      throw error;
    }
  }

  /** The key as the cluster agrees on it, for a write that depends on it. Its failure is a `fail` of the request. */
  async prepare(key: string): Promise<Entry | undefined> {
    try {
      return entriesOf(await this.#post("range", { key: encode(key) }))[0];
    } catch (error) {
      throw new Ended({ type: "fail", error: `before anything was changed: ${(error as Error).message}` });
    }
  }

  /** The decisive step, a write. */
  async decide(action: "put" | "deleterange" | "txn", body: Json): Promise<Json> {
    try {
      return await this.#post(action, body);
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      throw new Ended({ type: outcomeOfErrorReply(error.message), error: error.message });
    }
  }

  /** The decisive write, if the key still has the revision that it was prepared with. */
  async decideIfUnchanged(key: string, modRevision: string, puts: readonly Json[]): Promise<Reply> {
    const unchanged = { target: "MOD", result: "EQUAL", key: encode(key), modRevision };
    const success = puts.map((requestPut) => ({ requestPut }));
    const answer = await this.decide("txn", { compare: [unchanged], success });
    if (answer.succeeded === true) return { type: "ok" };
    return { type: "fail", error: "conflict: the key was changed meanwhile" };
  }

  #post(action: string, body: Json): Promise<Json> {
    return this.#gateway.post(`/v3/kv/${action}`, body, Math.max(1, this.#endsAt - performance.now()));
  }
}

const encode = (text: string) => Buffer.from(text).toString("base64");
const put = (key: string, value: string): Json => ({ key: encode(key), value: encode(value) });

const isAbsent = (key: string): Json => ({
  target: "CREATE",
  result: "EQUAL",
  key: encode(key),
  createRevision: "0",
});

/** What begins with `prefix`, which ends with a slash: up to the same with the byte after it. */
function below(prefix: string): Json {
  return { key: encode(prefix), rangeEnd: encode(`${prefix.slice(0, -1)}0`) };
}

/** An answer that lacks what it must have: nobody knows what happened. */
function unexpected(what: string): GatewayError {
  return new GatewayError("malformed", `etcd answered without ${what}`);
}

/** Members of an answer are named in one of two ways, by the version of the gateway; empty ones are left out. */
function member(of: Json, snake: string, camel: string): unknown {
  return of[snake] ?? of[camel];
}

function entriesOf(answer: Json): Entry[] {
  if (answer.header === undefined) throw unexpected("a header");
  return ((answer.kvs ?? []) as readonly Json[]).map((kv) => ({
    key: decode(kv.key),
    value: decode(kv.value),
    modRevision: String(member(kv, "mod_revision", "modRevision") ?? "0"),
    version: Number(kv.version ?? 1),
  }));
}

function responsesOf(answer: Json): Json[] {
  return ((answer.responses ?? []) as readonly Json[]).map((response) => {
    const range = member(response, "response_range", "responseRange");
    if (range === undefined) throw unexpected("the range that was asked for");
    return range as Json;
  });
}

function decode(base64: unknown): string {
  return Buffer.from(typeof base64 === "string" ? base64 : "", "base64").toString("latin1");
}

type Perform = (steps: Steps, request: Request) => Promise<Reply>;

const read: Perform = async (steps, { key }) => {
  const [entries] = await steps.read([{ key: encode(key) }]);
  return { type: "ok", value: entries![0]?.value ?? null };
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

/** The elements whose keys are below `prefix`. */
function elementsBelow(prefix: string, entries: readonly Entry[]): string[] {
  return entries.flatMap(({ key, version }) =>
    new Array<string>(Math.max(1, version)).fill(key.slice(prefix.length)),
  );
}

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

const readList: Perform = async (steps, { key }) => {
  const prefix = `${key}/`;
  const byCreation = { sortOrder: "ASCEND", sortTarget: "CREATE" };
  const [entries] = await steps.read([{ ...below(prefix), ...byCreation }]);
  return { type: "ok", value: elementsBelow(prefix, entries!) };
};

const add: Perform = async (steps, { key, value }) => {
  await steps.decide("put", put(`${key}/${value}`, ""));
  return { type: "ok" };
};

/** Keys come in their order, so that equal sets look equal. */
const readSet: Perform = async (steps, { key }) => {
  const prefix = `${key}/`;
  const [entries] = await steps.read([below(prefix)]);
  return { type: "ok", value: elementsBelow(prefix, entries!) };
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

const readBalances: Perform = async (steps, { key, value }) => {
  const [entries] = await steps.read([{ key: encode(key) }]);
  return { type: "ok", value: balancesOf(value as readonly string[], entries![0]) };
};

const audit: Perform = async (steps, { key, value }) => {
  const [bank, entries] = await steps.read([{ key: encode(key) }, below(`${key}/ledger/`)]);
  if (!bank || !entries) throw unexpected("both parts of the bank");
  const ledger = entries.map((entry) => entry.value);
  return { type: "ok", value: { balances: balancesOf(value as readonly string[], bank[0]), ledger } };
};

/** The table of requests. */
const requests: Readonly<Record<string, Readonly<Record<string, Perform>>>> = {
  register: { read, write, cas: compareAndSet },
  kv: { read, write, delete: remove },
  append: { append, read: readList },
  set: { add, read: readSet },
  bank: { open: openAccounts, transfer, read: readBalances, audit },
};

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
    const perform = requests[request.workload]?.[request.f];
    if (!perform) {
      const error = `the etcd client knows no request "${request.f}" of "${request.workload}"`;
      return { type: "fail", error };
    }
    const reply = await this.#attempt(perform, request, deadlineMs);
    if (reply.type === "info") this.close();
    return reply;
  }

  replyEnd(): { readonly localPort: number; readonly bytes: number } {
    return this.#gateway.received;
  }

  close(): void {
    this.#gateway.close();
  }

  async #attempt(perform: Perform, request: Request, deadlineMs: number): Promise<Reply> {
    try {
      return await perform(new Steps(this.#gateway, this.#serializable, deadlineMs), request);
    } catch (error) {
      if (error instanceof Ended) return error.reply;
      const type = error instanceof GatewayError ? connectionFailures[error.reason] : "info";
      return { type, error: (error as Error).message };
    }
  }
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
