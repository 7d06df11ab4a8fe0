/**
 * PostgreSQL as bench measures it: the bundled one, or the user's own behind a URL. Upsert and read by primary key
 * as prepared statements over TCP, one statement a transaction, which is what an application's `save` and `load` are.
 *
 * In a server that is the user's own, everything happens in a scratch schema `acked_bench_<random>` that is dropped
 * afterwards; nothing else is read but settings. Its log counters are not used, since others may be at work there.
 */
import { randomBytes } from "node:crypto";
import pg from "pg";
import type {
  Durability,
  Endpoint,
  LogCounters,
  Measurable,
  MeasuredConnection,
  MeasuredDone,
  MeasuredSession,
} from "../contract.ts";
import { ScenarioError } from "../contract.ts";
import { type Credentials, createCluster } from "./cluster.ts";
import { bundledPostgresMissing } from "./package.ts";

const connectDeadlineMs = 10_000;
const statementDeadlineMs = 120_000;
const preloadBatch = 5000;
/** 16 MB each: what a server that has been running for a while has recycled. */
const readySegments = 16;

const shownSettings = [
  "synchronous_commit",
  "fsync",
  "full_page_writes",
  "wal_sync_method",
  "wal_level",
  "wal_buffers",
  "wal_writer_delay",
  "commit_delay",
  "shared_buffers",
  "min_wal_size",
  "max_wal_size",
  "checkpoint_timeout",
  "autovacuum",
  "jit",
  "max_connections",
];

/** The bundled PostgreSQL, in a cluster of its own. Not reusable: one `prepare`, one `open`. */
export function bundledPostgresMeasurable(): Measurable {
  let credentials: Credentials | undefined;
  return {
    name: "postgres",
    durabilities: ["always", "interval", "none"],
    unavailable: async () => bundledPostgresMissing(),
    async prepare(node, scratchDir) {
      const cluster = await createCluster(node, scratchDir);
      credentials = cluster.credentials;
      const probe = (endpoint: Endpoint): Promise<void> => answers({ ...endpoint, ...cluster.credentials });
      return { ...cluster.launch, ready: { by: "port", probe } };
    },
    async open(endpoint, durability) {
      if (!credentials) throw new Error("a bundled Postgres is opened after it was prepared");
      return openSession({ ...endpoint, ...credentials }, durability, true);
    },
  };
}

/**
 * The user's own server.
 *
 * @throws ScenarioError when the text is not the URL of a Postgres database.
 */
export function postgresAt(url: string): Measurable {
  const options = parsePostgresUrl(url);
  return {
    name: "postgres",
    durabilities: ["always", "interval", "none"],
    open: (_endpoint, durability) => openSession(options, durability, false),
  };
}

/** Exported for its test. */
export function parsePostgresUrl(text: string): pg.ClientConfig {
  const example = "postgres://user:password@host:5432/database";
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new ScenarioError(`--postgres-url is not a URL; expected ${example}`);
  }
  if (url.protocol !== "postgres:" && url.protocol !== "postgresql:") {
    throw new ScenarioError(
      `--postgres-url begins with ${url.protocol}// instead of postgres://; expected ${example}`,
    );
  }
  if (url.hostname === "" && !url.searchParams.has("host")) {
    throw new ScenarioError(`--postgres-url names no host; expected ${example}`);
  }
  return { connectionString: text };
}

async function openSession(
  config: pg.ClientConfig,
  durability: Durability,
  own: boolean,
): Promise<MeasuredSession> {
  const control = await connected(config, durability);
  const schema = `acked_bench_${randomBytes(6).toString("hex")}`;
  const table = `${schema}.kv`;
  try {
    await control.query(`CREATE SCHEMA ${schema}`);
    await control.query(
      `CREATE TABLE ${table} (k text COLLATE "C" PRIMARY KEY, v text NOT NULL) WITH (fillfactor = 80)`,
    );
  } catch (error) {
    await control.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`).catch(() => {});
    await ended(control);
    throw new ScenarioError(
      `Postgres at ${whereOf(config)} does not let this user create a scratch schema: ${messageOf(error)}`,
    );
  }
  const { version, number, settings } = await describe(control);
  return {
    version,
    settings: { ...settings, "table fillfactor": "80" },
    deviations: deviationsOf(settings, durability),
    connect: async () => new PreparedConnection(await connected(config, durability), table),
    preload: async (entries) => {
      await preload(control, table, entries, own);
      // or this session's own counts would turn up in the first measurement
      if (number >= 150_000) await control.query("SELECT pg_stat_force_next_flush()");
    },
    logCounters: async () => (own ? readCounters(control, number) : undefined),
    async close() {
      await control.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`).catch(() => {});
      await ended(control);
    },
  };
}

/** A connection that gives up by the deadline, with the commit mode this durability means. */
async function connected(config: pg.ClientConfig, durability: Durability): Promise<pg.Client> {
  const client = new pg.Client({
    ...config,
    application_name: "acked bench",
    connectionTimeoutMillis: connectDeadlineMs,
    query_timeout: statementDeadlineMs,
    keepAlive: true,
  });
  client.on("error", () => {}); // what was in flight is told; nothing else is waiting
  try {
    await client.connect();
    await client.query(`SET synchronous_commit TO ${durability.mode === "always" ? "on" : "off"}`);
    return client;
  } catch (error) {
    await ended(client);
    throw new ScenarioError(
      `no connection to Postgres at ${whereOf(config)}: ${messageOf(error)}; is it running, and are user, password and database right?`,
    );
  }
}

async function answers(config: pg.ClientConfig): Promise<void> {
  const client = new pg.Client({ ...config, connectionTimeoutMillis: 2000 });
  client.on("error", () => {});
  try {
    await client.connect();
    await client.query("SELECT 1");
  } finally {
    await ended(client);
  }
}

async function ended(client: pg.Client): Promise<void> {
  const limit = new Promise<void>((resolve) => setTimeout(resolve, 2000).unref());
  await Promise.race([client.end().catch(() => {}), limit]);
}

async function describe(
  control: pg.Client,
): Promise<{ version: string; number: number; settings: Record<string, string> }> {
  const shown = await control.query(
    "SELECT name, current_setting(name) AS value FROM pg_settings WHERE name = ANY($1)",
    [[...shownSettings, "server_version", "server_version_num"]],
  );
  const values = new Map<string, string>(shown.rows.map((row) => [row.name, row.value]));
  const known = shownSettings.filter((name) => values.has(name));
  return {
    version: values.get("server_version") ?? "unknown",
    number: Number(values.get("server_version_num") ?? 0),
    settings: Object.fromEntries(known.map((name) => [name, values.get(name)!])),
  };
}

function deviationsOf(settings: Readonly<Record<string, string>>, durability: Durability): string[] {
  if (durability.mode !== "always") return [];
  const wanted = { fsync: "on", synchronous_commit: "on", full_page_writes: "on" };
  return Object.entries(wanted)
    .filter(([name, value]) => settings[name] !== undefined && settings[name] !== value)
    .map(
      ([name]) => `Postgres runs with ${name} = ${settings[name]}, so what it acknowledges may not be synced`,
    );
}

async function preload(
  control: pg.Client,
  table: string,
  entries: readonly (readonly [string, string])[],
  own: boolean,
): Promise<void> {
  if (own) await recycleSegments(control);
  for (let start = 0; start < entries.length; start += preloadBatch) {
    const batch = entries.slice(start, start + preloadBatch);
    await control.query(`INSERT INTO ${table} SELECT * FROM unnest($1::text[], $2::text[])`, [
      batch.map(([key]) => key),
      batch.map(([, value]) => value),
    ]);
  }
  await control.query(`VACUUM ANALYZE ${table}`);
}

/**
 * A fresh cluster fills each new 16 MB log segment with zeros while commits wait; one that has run for a while reuses
 * old segments. The checkpoint comes before the table is filled, so that no page of it owes a full page image.
 */
async function recycleSegments(control: pg.Client): Promise<void> {
  for (let segment = 0; segment < readySegments; segment++) {
    await control.query("SELECT pg_logical_emit_message(true, 'acked', 'a full segment ends here')");
    await control.query("SELECT pg_switch_wal()");
  }
  await control.query("CHECKPOINT");
}

/** Backends report their counts when they end, so read this after a measurement's connections are closed. */
async function readCounters(control: pg.Client, version: number): Promise<LogCounters | undefined> {
  if (version < 140_000) return undefined;
  const text =
    version >= 180_000
      ? "SELECT (SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal') AS syncs, wal_bytes AS bytes FROM pg_stat_wal"
      : "SELECT wal_sync AS syncs, wal_bytes AS bytes FROM pg_stat_wal";
  const { rows } = await control.query(text);
  return { syncs: Number(rows[0].syncs), bytes: Number(rows[0].bytes) };
}

class PreparedConnection implements MeasuredConnection {
  readonly #client: pg.Client;
  readonly #upsert: string;
  readonly #read: string;

  constructor(client: pg.Client, table: string) {
    this.#client = client;
    this.#upsert = `INSERT INTO ${table} VALUES ($1, $2) ON CONFLICT (k) DO UPDATE SET v = excluded.v`;
    this.#read = `SELECT v FROM ${table} WHERE k = $1`;
  }

  upsert(key: string, value: string, done: MeasuredDone): void {
    this.#client.query({ name: "upsert", text: this.#upsert, values: [key, value] }, (error, result) => {
      if (error) return done(error);
      done(result.rowCount === 1 ? undefined : new Error(`an upsert changed ${result.rowCount} rows`));
    });
  }

  read(key: string, done: MeasuredDone): void {
    const query = { name: "read", text: this.#read, values: [key], rowMode: "array" };
    this.#client.query(query, (error: Error | null, result: pg.QueryArrayResult) => {
      if (error) done(error);
      else done(undefined, result.rows[0]?.[0]);
    });
  }

  close(): Promise<void> {
    return ended(this.#client);
  }
}

/** Host, port and database, never the password. */
function whereOf(config: pg.ClientConfig): string {
  if (!config.connectionString) return `${config.host}:${config.port}`;
  const url = new URL(config.connectionString);
  return `${url.host}${url.pathname}`;
}

function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return messageOf(error.errors[0]);
  return error instanceof Error ? error.message || error.name : String(error);
}
