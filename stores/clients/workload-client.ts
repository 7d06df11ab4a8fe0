/**
 * What the workloads ask for, in RESP: one table, `requests`, from (workload, f) to the commands sent, and how
 * their replies are read. Works with every store that speaks RESP2; stores without `SET … IFEQ … GET` (before Redis
 * 8.4 and Valkey 8.1) compare and set through WATCH / MULTI / EXEC, decided once at connect time.
 *
 * A request that takes several steps is decided by its last one, the *decisive* step: until that has been handed over
 * nothing can take effect, so whatever fails earlier is `fail`; from then on resp-outcomes.ts decides.
 * Values are read byte by byte (latin1), so that a damaged value is seen as it is and never repaired.
 */
import type { Client, Endpoint, Reply, Request } from "../contract.ts";
import { RespConnection, RespConnectionError, RespError, type RespReply } from "./resp.ts";
import { outcomeOfErrorReply, outcomeOfFailure } from "./resp-outcomes.ts";

type Command = readonly (string | number)[];

/** A request that ends here, with this reply. Thrown by the steps, caught in `execute`. */
class Ended {
  readonly reply: Reply;

  constructor(reply: Reply) {
    this.reply = reply;
  }
}

/** Can this store compare and set in one command? */
type CompareAndSet = "ifeq" | "watch";

/** The steps of one request on one connection, all within one deadline. */
class Steps {
  readonly compareAndSet: CompareAndSet;
  readonly #connection: RespConnection;
  readonly #endsAt: number;

  constructor(connection: RespConnection, compareAndSet: CompareAndSet, deadlineMs: number) {
    this.#connection = connection;
    this.compareAndSet = compareAndSet;
    this.#endsAt = performance.now() + deadlineMs;
  }

  /** Steps before the decisive one: they change nothing, so their failure is a `fail` of the request. */
  async prepare(commands: readonly Command[]): Promise<readonly RespReply[]> {
    try {
      const replies = await this.#send(commands);
      const refused = replies.find((reply) => reply instanceof RespError);
      if (refused) throw new Ended({ type: "fail", error: refused.message });
      return replies;
    } catch (error) {
      if (error instanceof Ended) throw error;
      throw new Ended({ type: "fail", error: `before anything was changed: ${(error as Error).message}` });
    }
  }

  /** The decisive command, alone. */
  async decide(command: Command): Promise<RespReply> {
    const [reply] = await this.#send([command]);
    if (reply instanceof RespError) throw endedBy(reply);
    return reply!;
  }

  /** The decisive transaction: MULTI, the commands, EXEC in one write. Null when a watched key had changed. */
  async transact(commands: readonly Command[]): Promise<readonly RespReply[] | null> {
    const replies = await this.#send([["MULTI"], ...commands, ["EXEC"]]);
    if (replies[0] instanceof RespError) throw withoutTransaction(replies);
    const result = replies.at(-1)!;
    if (result instanceof RespError) throw endedBy(result);
    if (result === null) return null;
    if (!Array.isArray(result) || result.length !== commands.length) throw unexpected("EXEC", result);
    const failed = result.find((reply) => reply instanceof RespError);
    // Transactions of this protocol are not rolled back: the other commands have run.
    if (failed) throw new Ended({ type: "info", error: `inside the transaction: ${failed.message}` });
    return result;
  }

  /** Takes the watches off again. */
  async unwatch(): Promise<void> {
    await this.prepare([["UNWATCH"]]);
  }

  #send(commands: readonly Command[]): Promise<RespReply[]> {
    return this.#connection.sendAll(commands, Math.max(0, this.#endsAt - performance.now()));
  }
}

function endedBy(error: RespError): Ended {
  return new Ended({ type: outcomeOfErrorReply(error.message), error: error.message });
}

/** MULTI itself was refused, so what followed may have run on its own; certain only if all of it was refused too. */
function withoutTransaction(replies: readonly RespReply[]): Ended {
  const allRefused = replies.every(
    (reply) => reply instanceof RespError && outcomeOfErrorReply(reply.message) === "fail",
  );
  const error = `MULTI was refused: ${(replies[0] as RespError).message}`;
  return new Ended({ type: allRefused ? "fail" : "info", error });
}

function unexpected(command: string, reply: RespReply): Ended {
  return new Ended({ type: "info", error: `${command} was answered with ${describe(reply)}` });
}

function describe(reply: RespReply): string {
  if (reply === null) return "null";
  if (reply instanceof RespError) return `the error "${reply.message.slice(0, 80)}"`;
  if (Buffer.isBuffer(reply)) return `a string of ${reply.length} bytes`;
  if (Array.isArray(reply)) return `an array of ${reply.length}`;
  return JSON.stringify(String(reply).slice(0, 80));
}

function stringOrNull(command: string, reply: RespReply): string | null {
  if (reply === null) return null;
  if (Buffer.isBuffer(reply)) return reply.toString("latin1");
  throw unexpected(command, reply);
}

function count(command: string, reply: RespReply): number {
  if (typeof reply === "number") return reply;
  throw unexpected(command, reply);
}

function strings(command: string, reply: RespReply): string[] {
  if (!Array.isArray(reply)) throw unexpected(command, reply);
  return reply.map((item: RespReply) => {
    if (!Buffer.isBuffer(item)) throw unexpected(command, reply);
    return item.toString("latin1");
  });
}

function done(command: string, reply: RespReply): void {
  if (reply !== "OK") throw unexpected(command, reply);
}

/** A balance as the store gave it: a number, null when the account is missing, the raw text when it is no number. */
function balance(reply: RespReply): number | string | null {
  const text = stringOrNull("GET", reply);
  return text !== null && /^-?\d{1,15}$/.test(text) ? Number(text) : text;
}

type Perform = (steps: Steps, request: Request) => Promise<Reply>;

const read: Perform = async (steps, { key }) => ({
  type: "ok",
  value: stringOrNull("GET", await steps.decide(["GET", key])),
});

const write: Perform = async (steps, { key, value }) => {
  done("SET", await steps.decide(["SET", key, value as string]));
  return { type: "ok" };
};

const remove: Perform = async (steps, { key }) => ({
  type: "ok",
  value: count("DEL", await steps.decide(["DEL", key])),
});

const compareAndSet: Perform = async (steps, request) => {
  const [expected, next] = request.value as readonly [string | null, string];
  if (steps.compareAndSet === "watch") return compareAndSetWatched(steps, request.key, expected, next);
  const condition = expected === null ? ["NX"] : ["IFEQ", expected];
  const before = stringOrNull("SET", await steps.decide(["SET", request.key, next, ...condition, "GET"]));
  return comparison(before, expected);
};

async function compareAndSetWatched(
  steps: Steps,
  key: string,
  expected: string | null,
  next: string,
): Promise<Reply> {
  const [, current] = await steps.prepare([
    ["WATCH", key],
    ["GET", key],
  ]);
  const before = stringOrNull("GET", current!);
  if (before === expected && (await steps.transact([["SET", key, next]])) === null) {
    return { type: "fail", error: "conflict: the key was changed between WATCH and EXEC" };
  }
  if (before !== expected) await steps.unwatch();
  return comparison(before, expected);
}

function comparison(before: string | null, expected: string | null): Reply {
  if (before === expected) return { type: "ok", matched: true };
  return { type: "ok", matched: false, value: before };
}

const append: Perform = async (steps, { key, value }) => ({
  type: "ok",
  value: count("RPUSH", await steps.decide(["RPUSH", key, value as string])),
});

const readList: Perform = async (steps, { key }) => ({
  type: "ok",
  value: strings("LRANGE", await steps.decide(["LRANGE", key, 0, -1])),
});

/** Of a unique element, so that it is always new; 0 says that it was there already, and is left to the reads to show. */
const add: Perform = async (steps, { key, value }) => {
  count("SADD", await steps.decide(["SADD", key, value as string]));
  return { type: "ok" };
};

/** Sorted: in no order of the store's, equal sets would look different. */
const readSet: Perform = async (steps, { key }) => ({
  type: "ok",
  value: strings("SMEMBERS", await steps.decide(["SMEMBERS", key])).sort(),
});

const accountKey = (key: string, account: string) => `${key}/${account}`;
const ledgerKey = (key: string) => `${key}/ledger`;

const openAccounts: Perform = async (steps, { key, value }) => {
  const opening = value as Readonly<Record<string, number>>;
  const sets = Object.entries(opening).map(([account, amount]) => ["SET", accountKey(key, account), amount]);
  if ((await steps.transact(sets)) === null) return { type: "fail", error: "conflict" };
  return { type: "ok" };
};

interface Transfer {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly amount: number;
}

const transfer: Perform = async (steps, { key, value }) => {
  const { id, from, to, amount } = value as Transfer;
  const [source, target] = [accountKey(key, from), accountKey(key, to)];
  const replies = await steps.prepare([
    ["WATCH", source, target],
    ["GET", source],
    ["GET", target],
  ]);
  const [before, after] = [balance(replies[1]!), balance(replies[2]!)];
  if (typeof before !== "number" || typeof after !== "number") {
    return refuse(steps, `account ${typeof before === "number" ? to : from} has no balance`);
  }
  if (before < amount) return refuse(steps, "insufficient funds");
  const result = await steps.transact([
    ["SET", source, before - amount],
    ["SET", target, after + amount],
    ["RPUSH", ledgerKey(key), `${id}:${from}:${to}:${amount}`],
  ]);
  if (result === null) return { type: "fail", error: "conflict" };
  return { type: "ok" };
};

async function refuse(steps: Steps, error: string): Promise<Reply> {
  await steps.unwatch();
  return { type: "fail", error };
}

const readBalances: Perform = async (steps, { key, value }) => {
  const accounts = value as readonly string[];
  const replies = await steps.transact(accounts.map((account) => ["GET", accountKey(key, account)]));
  if (replies === null) return { type: "fail", error: "conflict" };
  return { type: "ok", value: balancesOf(accounts, replies) };
};

const audit: Perform = async (steps, { key, value }) => {
  const accounts = value as readonly string[];
  const replies = await steps.transact([
    ...accounts.map((account) => ["GET", accountKey(key, account)]),
    ["LRANGE", ledgerKey(key), 0, -1],
  ]);
  if (replies === null) return { type: "fail", error: "conflict" };
  const ledger = strings("LRANGE", replies.at(-1)!);
  return { type: "ok", value: { balances: balancesOf(accounts, replies), ledger } };
};

function balancesOf(accounts: readonly string[], replies: readonly RespReply[]) {
  return Object.fromEntries(accounts.map((account, i) => [account, balance(replies[i]!)]));
}

/** The table of requests. */
const requests: Readonly<Record<string, Readonly<Record<string, Perform>>>> = {
  register: { read, write, cas: compareAndSet },
  kv: { read, write, delete: remove },
  append: { append, read: readList },
  set: { add, read: readSet },
  bank: { open: openAccounts, transfer, read: readBalances, audit },
};

class RespClient implements Client {
  readonly #connection: RespConnection;
  readonly #compareAndSet: CompareAndSet;

  constructor(connection: RespConnection, compareAndSet: CompareAndSet) {
    this.#connection = connection;
    this.#compareAndSet = compareAndSet;
  }

  get closed(): boolean {
    return this.#connection.closed;
  }

  async execute(request: Request, deadlineMs: number): Promise<Reply> {
    const perform = requests[request.workload]?.[request.f];
    if (!perform) {
      return {
        type: "fail",
        error: `the RESP client knows no request "${request.f}" of "${request.workload}"`,
      };
    }
    const reply = await this.#attempt(perform, request, deadlineMs);
    if (reply.type === "info") this.close();
    return reply;
  }

  readAll(requests: readonly Request[], deadlineMs: number): Promise<readonly Reply[]> {
    const send = () => requests.map((request) => this.execute(request, deadlineMs));
    return Promise.all(this.#connection.inOneWrite(send));
  }

  /** One request is in flight at a time, so all bytes received so far end with the last reply. */
  replyEnd(): { readonly localPort: number; readonly bytes: number } {
    return this.#connection.received;
  }

  close(): void {
    this.#connection.close();
  }

  async #attempt(perform: Perform, request: Request, deadlineMs: number): Promise<Reply> {
    try {
      return await perform(new Steps(this.#connection, this.#compareAndSet, deadlineMs), request);
    } catch (error) {
      if (error instanceof Ended) return error.reply;
      return { type: outcomeOfFailure(error), error: (error as Error).message };
    }
  }
}

/** Looks at a connection before it is used, within ms; rejects when it is not to be used. */
export type Admit = (connection: RespConnection, deadlineMs: number) => Promise<void>;

/**
 * Connects, and resolves once the store has answered a PING and is not loading any more.
 *
 * @param deadlineMs ms for all of it.
 * @throws RespConnectionError when there is no answer by then, or what `admit` throws.
 */
export async function connectRespClient(
  endpoint: Endpoint,
  workload: string,
  deadlineMs: number,
  admit?: Admit,
): Promise<Client> {
  const endsAt = performance.now() + deadlineMs;
  const left = () => Math.max(1, endsAt - performance.now());
  const connection = await RespConnection.connect(endpoint, left());
  try {
    await awaitAnswer(connection, endsAt);
    await admit?.(connection, left());
    const casWay = workload === "register" ? await probeCompareAndSet(connection, left()) : "ifeq";
    return new RespClient(connection, casWay);
  } catch (error) {
    connection.close();
    throw error;
  }
}

/**
 * Resolves once the store answers PING on a new connection and is not loading any more: the readiness probe.
 *
 * @throws RespConnectionError when it does not by the deadline (ms).
 */
export async function probeReadiness(endpoint: Endpoint, deadlineMs: number): Promise<void> {
  const endsAt = performance.now() + deadlineMs;
  const connection = await RespConnection.connect(endpoint, deadlineMs);
  try {
    await awaitAnswer(connection, endsAt);
  } finally {
    connection.close();
  }
}

const loadingPollMs = 20;

async function awaitAnswer(connection: RespConnection, endsAt: number): Promise<void> {
  for (;;) {
    const reply = await connection.send(["PING"], Math.max(1, endsAt - performance.now()));
    if (!(reply instanceof RespError)) return;
    const waitable = reply.message.startsWith("LOADING") && performance.now() + loadingPollMs < endsAt;
    if (!waitable) throw new RespConnectionError("not-sent", `PING was answered with ${describe(reply)}`);
    await new Promise((resolve) => setTimeout(resolve, loadingPollMs));
  }
}

const probeKey = "acked:probe";

/**
 * Asks for a compare on a key that nobody writes: where IFEQ is understood it matches nothing and changes nothing. A
 * store that ignores options it does not know answers OK, and is not trusted with them.
 */
async function probeCompareAndSet(connection: RespConnection, deadlineMs: number): Promise<CompareAndSet> {
  const reply = await connection.send(["SET", probeKey, "x", "IFEQ", "y", "GET"], deadlineMs);
  return reply === null ? "ifeq" : "watch";
}
