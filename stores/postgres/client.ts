/**
 * What the workloads ask for, in SQL: one table, `requests`, from (workload, f) to statements. Each request is one
 * statement and one transaction, except transfers, which lock the accounts and commit explicitly.
 *
 * A request that takes several steps is decided by its last one, the *decisive* step: until that has been handed over
 * nothing can take effect (Postgres rolls back what a lost session had begun), so whatever fails earlier is `fail`; from
 * then on outcomes.ts decides.
 */
import type { Socket } from "node:net";
import pg from "pg";
import type { Client, Endpoint, Reply, Request } from "../contract.ts";
import { doubtOfNotice, outcomeOfError } from "./outcomes.ts";

/** A request that ends here, with this reply. Thrown by the steps, caught in `execute`. */
class Ended {
  readonly reply: Reply;

  constructor(reply: Reply) {
    this.reply = reply;
  }
}

type Rows = readonly (readonly unknown[])[];

interface Answer {
  readonly rows: Rows;
  readonly count: number;
  readonly command: string;
  /** The server said with it that it does not stand for what success stands for; see outcomes.ts. */
  readonly doubt: string | undefined;
}

/** One session: sends statements, knows when its connection is gone, closes itself past a deadline. */
class Session {
  readonly #client: pg.Client;
  readonly #names = new Map<string, string>();
  #failure: Error | undefined;
  #doubt: string | undefined;
  #end: { readonly localPort: number; readonly bytes: number } | undefined;

  private constructor(client: pg.Client) {
    this.#client = client;
    client.on("error", (error) => this.#fail(error));
    client.on("notice", ({ message, detail }) => {
      this.#doubt ??= doubtOfNotice(message ?? "", detail ?? "");
    });
    client.on("end", () => this.#fail(new Error("the connection was closed")));
  }

  /** @throws Error by the deadline (ms) when there is no session by then. */
  static async open(endpoint: Endpoint, config: pg.ClientConfig, deadlineMs: number): Promise<Session> {
    const client = new pg.Client({
      ...config,
      ...endpoint,
      connectionTimeoutMillis: Math.max(1, deadlineMs),
    });
    const session = new Session(client);
    try {
      await client.connect();
      return session;
    } catch (error) {
      session.close();
      throw new Error(`no session at ${endpoint.host}:${endpoint.port}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  get closed(): boolean {
    return this.#failure !== undefined;
  }

  get end(): { readonly localPort: number; readonly bytes: number } {
    return this.#end ?? { localPort: this.#socket().localPort ?? 0, bytes: 0 };
  }

  /** Rejects with pg's error, or with one of the connection; past the deadline the connection is closed. */
  async query(text: string, values: readonly unknown[], deadlineMs: number): Promise<Answer> {
    if (this.#failure) throw new Ended({ type: "fail", error: `not sent: ${this.#failure.message}` });
    const late = setTimeout(() => {
      this.#fail(new Error(`no reply within ${Math.round(deadlineMs)} ms`));
      this.close();
    }, deadlineMs);
    this.#doubt = undefined;
    try {
      const query = { name: this.#nameOf(text), text, values: [...values], rowMode: "array" as const };
      const { rows, rowCount, command } = await this.#client.query(query);
      const socket = this.#socket();
      this.#end = { localPort: socket.localPort ?? 0, bytes: socket.bytesRead };
      return { rows: rows as Rows, count: rowCount ?? 0, command, doubt: this.#doubt };
    } catch (error) {
      throw this.#failure && !(error instanceof pg.DatabaseError) ? this.#failure : error;
    } finally {
      clearTimeout(late);
    }
  }

  /** Statements are prepared once a session. Postgres cuts names at 63 bytes, so a text cannot be its own. */
  #nameOf(text: string): string {
    const name = this.#names.get(text) ?? `q${this.#names.size}`;
    this.#names.set(text, name);
    return name;
  }

  /** Drops the connection at once, without the protocol's farewell. */
  close(): void {
    this.#fail(new Error("the connection was closed by acked"));
    this.#socket().destroy();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
  }

  /** pg keeps its socket here; @types/pg does not declare it. */
  #socket(): Socket {
    return (this.#client as unknown as { connection: { stream: Socket } }).connection.stream;
  }
}

/** The steps of one request, all within one deadline. */
class Steps {
  readonly #session: Session;
  readonly #endsAt: number;

  constructor(session: Session, deadlineMs: number) {
    this.#session = session;
    this.#endsAt = performance.now() + deadlineMs;
  }

  /** A step that changes nothing yet: its failure is a `fail` of the request. */
  async prepare(text: string, values: readonly unknown[] = []): Promise<Answer> {
    try {
      return await this.#query(text, values);
    } catch (error) {
      if (error instanceof Ended) throw error;
      await this.abandon();
      throw new Ended({ type: "fail", error: `before anything was changed: ${(error as Error).message}` });
    }
  }

  /** The decisive step. */
  async decide(text: string, values: readonly unknown[] = []): Promise<Answer> {
    try {
      const answer = await this.#query(text, values);
      if (answer.doubt !== undefined) throw new Ended({ type: "info", error: answer.doubt });
      return answer;
    } catch (error) {
      if (error instanceof Ended) throw error;
      const message = (error as Error).message;
      if (!(error instanceof pg.DatabaseError)) throw new Ended({ type: "info", error: message });
      const type = outcomeOfError(error.code ?? "", error.severity ?? "");
      throw new Ended({ type, error: `${error.code}: ${message}` });
    }
  }

  /** Ends an open transaction; a session that cannot do that is closed, which ends it too. */
  async abandon(): Promise<void> {
    await this.#query("ROLLBACK", []).catch(() => this.#session.close());
  }

  #query(text: string, values: readonly unknown[]): Promise<Answer> {
    return this.#session.query(text, values, Math.max(1, this.#endsAt - performance.now()));
  }
}

type Perform = (steps: Steps, request: Request) => Promise<Reply>;

const conflict: Reply = { type: "fail", error: "conflict: the key was changed meanwhile" };

const read: Perform = async (steps, { key }) => {
  const { rows } = await steps.decide("SELECT v FROM entries WHERE k = $1", [key]);
  return { type: "ok", value: rows[0]?.[0] ?? null };
};

const write: Perform = async (steps, { key, value }) => {
  const text =
    "INSERT INTO entries (k, v) VALUES ($1, $2) ON CONFLICT (k) DO UPDATE SET v = excluded.v, items = NULL";
  await steps.decide(text, [key, value]);
  return { type: "ok" };
};

const remove: Perform = async (steps, { key }) => {
  const { count } = await steps.decide("DELETE FROM entries WHERE k = $1", [key]);
  return { type: "ok", value: count };
};

/** The witness is read after the compare failed: at that moment, too, the compare would have failed, with that value. */
const compareAndSet: Perform = async (steps, { key, value }) => {
  const [expected, next] = value as readonly [string | null, string];
  const { count } =
    expected === null
      ? await steps.decide("INSERT INTO entries (k, v) VALUES ($1, $2) ON CONFLICT (k) DO NOTHING", [
          key,
          next,
        ])
      : await steps.decide("UPDATE entries SET v = $3 WHERE k = $1 AND v = $2", [key, expected, next]);
  if (count === 1) return { type: "ok", matched: true };
  const { rows } = await steps.prepare("SELECT v FROM entries WHERE k = $1", [key]);
  const seen = (rows[0]?.[0] ?? null) as string | null;
  return seen === expected ? conflict : { type: "ok", matched: false, value: seen };
};

const append: Perform = async (steps, { key, value }) => {
  const text =
    "INSERT INTO entries (k, items) VALUES ($1, ARRAY[$2::text]) ON CONFLICT (k) DO UPDATE SET items = entries.items || excluded.items WHERE entries.v IS NULL RETURNING cardinality(items)";
  const { rows } = await steps.decide(text, [key, value]);
  if (!rows[0]) return { type: "fail", error: "the key holds another kind of value" };
  return { type: "ok", value: rows[0][0] };
};

const readList: Perform = async (steps, { key }) => {
  const { rows } = await steps.decide("SELECT items FROM entries WHERE k = $1", [key]);
  return { type: "ok", value: rows[0]?.[0] ?? [] };
};

/** Added twice is there once. */
const add: Perform = async (steps, { key, value }) => {
  await steps.decide("INSERT INTO sets (k, member) VALUES ($1, $2) ON CONFLICT DO NOTHING", [key, value]);
  return { type: "ok" };
};

const readSet: Perform = async (steps, { key }) => {
  const { rows } = await steps.decide("SELECT member FROM sets WHERE k = $1 ORDER BY member", [key]);
  return { type: "ok", value: rows.map(([member]) => member) };
};

const openAccounts: Perform = async (steps, { key, value }) => {
  const opening = value as Readonly<Record<string, number>>;
  const text = "INSERT INTO accounts SELECT $1, * FROM unnest($2::text[], $3::bigint[])";
  await steps.decide(text, [key, Object.keys(opening), Object.values(opening)]);
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
  await steps.prepare("BEGIN");
  // The whole bank: the ledger has one order, in which transfers between four different accounts have their places too.
  const lock = "SELECT name, balance FROM accounts WHERE bank = $1 ORDER BY name FOR UPDATE";
  const { rows } = await steps.prepare(lock, [key]);
  const balances = new Map(rows.map(([name, balance]) => [name, Number(balance)]));
  const missing = [from, to].find((account) => !balances.has(account));
  if (missing !== undefined) return refuse(steps, `account ${missing} has no balance`);
  if (balances.get(from)! < amount) return refuse(steps, "insufficient funds");
  const move = "UPDATE accounts SET balance = balance + $3 WHERE bank = $1 AND name = $2";
  await steps.prepare(move, [key, from, -amount]);
  await steps.prepare(move, [key, to, amount]);
  const entry = `${id}:${from}:${to}:${amount}`;
  await steps.prepare("INSERT INTO ledger (bank, entry) VALUES ($1, $2)", [key, entry]);
  const { command } = await steps.decide("COMMIT");
  if (command !== "COMMIT") return { type: "fail", error: `COMMIT was answered with ${command}` };
  return { type: "ok" };
};

async function refuse(steps: Steps, error: string): Promise<Reply> {
  await steps.abandon();
  return { type: "fail", error };
}

const readBalances: Perform = async (steps, { key, value }) => {
  const { rows } = await steps.decide("SELECT name, balance FROM accounts WHERE bank = $1", [key]);
  return { type: "ok", value: balancesOf(value as readonly string[], rows) };
};

/** One statement, so one snapshot. */
const audit: Perform = async (steps, { key, value }) => {
  const text =
    "SELECT name, balance, NULL, 0 AS n FROM accounts WHERE bank = $1 UNION ALL SELECT NULL, NULL, entry, n FROM ledger WHERE bank = $1 ORDER BY n";
  const { rows } = await steps.decide(text, [key]);
  const ledger = rows.map(([, , entry]) => entry).filter((entry) => entry !== null);
  return { type: "ok", value: { balances: balancesOf(value as readonly string[], rows), ledger } };
};

function balancesOf(accounts: readonly string[], rows: Rows): Record<string, number | null> {
  const found = new Map(rows.map(([name, balance]) => [name, Number(balance)]));
  return Object.fromEntries(accounts.map((account) => [account, found.get(account) ?? null]));
}

/** The table of requests. */
const requests: Readonly<Record<string, Readonly<Record<string, Perform>>>> = {
  register: { read, write, cas: compareAndSet },
  kv: { read, write, delete: remove },
  append: { append, read: readList },
  set: { add, read: readSet },
  bank: { open: openAccounts, transfer, read: readBalances, audit },
};

class PostgresClient implements Client {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  get closed(): boolean {
    return this.#session.closed;
  }

  async execute(request: Request, deadlineMs: number): Promise<Reply> {
    const perform = requests[request.workload]?.[request.f];
    if (!perform) {
      const error = `the Postgres client knows no request "${request.f}" of "${request.workload}"`;
      return { type: "fail", error };
    }
    const reply = await this.#attempt(perform, request, deadlineMs);
    if (reply.type === "info") this.close();
    return reply;
  }

  replyEnd(): { readonly localPort: number; readonly bytes: number } {
    return this.#session.end;
  }

  close(): void {
    this.#session.close();
  }

  async #attempt(perform: Perform, request: Request, deadlineMs: number): Promise<Reply> {
    try {
      return await perform(new Steps(this.#session, deadlineMs), request);
    } catch (error) {
      if (error instanceof Ended) return error.reply;
      return { type: "info", error: (error as Error).message };
    }
  }
}

/**
 * Connects, and resolves once the server has answered a query on this session.
 *
 * @param deadlineMs ms for all of it.
 * @param only as libpq's `target_session_attrs=primary`: refuses a server that follows another.
 * @throws Error when there is no answer by then, or it is a server of the wrong kind.
 */
export async function connectPostgres(
  endpoint: Endpoint,
  config: pg.ClientConfig,
  deadlineMs: number,
  only: "any server" | "a leader" = "any server",
): Promise<Client> {
  const endsAt = performance.now() + deadlineMs;
  const session = await Session.open(endpoint, config, deadlineMs);
  try {
    const question = only === "a leader" ? "SELECT 1 WHERE NOT pg_is_in_recovery()" : "SELECT 1";
    const { count } = await session.query(question, [], Math.max(1, endsAt - performance.now()));
    if (only === "a leader" && count === 0) {
      throw new Error(`the server at ${endpoint.host}:${endpoint.port} follows another`);
    }
    return new PostgresClient(session);
  } catch (error) {
    session.close();
    throw error;
  }
}
