/**
 * The commands of the server face: each reads and changes the engine and returns an encoded reply. The meaning is that
 * of Redis and Valkey (`SET … IFEQ` as in Valkey 8.1: with GET the reply is the value before, matched or not).
 *
 * Changes are recorded as results: a push, or the new value; never the command. While a command runs it notes in
 * `session.seen` the newest entry that its reply could show anything of, errors and nils included.
 *
 * Not here: expiry, databases other than 0, hashes, sets, sorted sets, scripts, pub/sub, RESP3, authentication.
 */
import type { Engine } from "../engine.ts";
import { StoreFailed } from "../errors.ts";
import { List, type Slot } from "../state.ts";
import { array, bulk, bulks, emptyArray, error, integer, nil, nilArray, ok } from "./resp.ts";

/** One connection, as commands see it. */
export interface Session {
  readonly id: number;
  name: string;
  /** Newest entry that the reply being made could show; set to 0 before each command. */
  seen: number;
  /** The entry the command wrote; 0 when none. */
  wrote: number;
  /** Commands since MULTI. */
  queued: string[][] | undefined;
  /** A command could not be queued, so EXEC must refuse. */
  queueBroken: boolean;
  /** Keys under WATCH. */
  watched: Set<string> | undefined;
  /** A watched key was changed. */
  watchBroken: boolean;
  /** The connection ends after this reply. */
  quit: boolean;
}

/** Runs commands; the seam for bugs in transactions. A promise holds up the rest of its connection. */
export interface Commands {
  run(session: Session, args: string[]): string | Promise<string>;
  /** The connection is gone. */
  forget(session: Session): void;
}

/** What a server can be asked for besides its data. */
export interface ServerFacts {
  readonly version: string;
  readonly startedAtMs: number;
  connections(): number;
  port(): number;
  /** SHUTDOWN: begins the graceful stop. */
  shutDown(): void;
}

export type MakeCommands = (engine: Engine, facts: ServerFacts) => Commands;

interface Command {
  /** Arguments including the name: exactly n, or at least -n. */
  readonly arity: number;
  readonly run: (context: Context, session: Session, args: string[]) => string;
}

/** The keyspace of the server is one table of the engine. */
export const keyspace = "";

const wrongType = error("WRONGTYPE Operation against a key holding the wrong kind of value");
const notAnInteger = error("ERR value is not an integer or out of range");
const syntaxError = error("ERR syntax error");
const aborted = error("EXECABORT Transaction discarded because of previous errors.");

/** Longest a string or list may grow, as in Redis: 512 MB; beyond it a reply could not be sent. */
const valueBytesMax = 512 << 20;

class Context {
  readonly engine: Engine;
  readonly facts: ServerFacts;
  readonly watchers = new Map<string, Set<Session>>();
  readonly scans = new Map<number, { entries: IterableIterator<[string, Slot]>; slots: unknown }>();

  constructor(engine: Engine, facts: ServerFacts) {
    this.engine = engine;
    this.facts = facts;
  }

  /** Looks a key up, and notes that the reply shows what is there. */
  look(session: Session, key: string): Slot | undefined {
    const slot = this.engine.table(keyspace).get(key);
    const seen = this.engine.seenAt(slot);
    if (seen > session.seen) session.seen = seen;
    return slot;
  }

  /** The reply shows something of everything. */
  lookAtAll(session: Session): void {
    session.seen = this.engine.lastIndex;
  }

  put(key: string, value: string): void {
    this.engine.change({ kind: "put", table: keyspace, key, value });
    this.touched(key);
  }

  remove(key: string): void {
    this.engine.change({ kind: "delete", table: keyspace, key });
    this.touched(key);
  }

  push(kind: "push-left" | "push-right", key: string, at: number, elements: string[]): void {
    this.engine.change({ kind, table: keyspace, key, at, elements });
    this.touched(key);
  }

  clear(): void {
    this.engine.change({ kind: "clear", table: keyspace });
    for (const sessions of this.watchers.values()) for (const session of sessions) session.watchBroken = true;
  }

  unwatch(session: Session): void {
    for (const key of session.watched ?? []) {
      const sessions = this.watchers.get(key);
      sessions?.delete(session);
      if (sessions?.size === 0) this.watchers.delete(key);
    }
    session.watched = undefined;
    session.watchBroken = false;
  }

  private touched(key: string): void {
    if (this.watchers.size === 0) return;
    for (const session of this.watchers.get(key) ?? []) session.watchBroken = true;
  }
}

/** The commands of production. */
export const makeCommands: MakeCommands = (engine, facts) => {
  const context = new Context(engine, facts);
  return {
    run: (session, args) => {
      const command = find(args[0]!);
      if (!command) return refuse(session, unknownCommand(args));
      if (!arityFits(command, args)) return refuse(session, wrongArity(args));
      if (session.queued && !immediate.has(command)) {
        session.queued.push(args);
        return "+QUEUED\r\n";
      }
      return runAndCommit(context, session, args, command);
    },
    forget: (session) => context.unwatch(session),
  };
};

function runAndCommit(context: Context, session: Session, args: string[], command: Command): string {
  let reply: string;
  try {
    reply = command.run(context, session, args);
  } catch (thrown) {
    if (thrown instanceof StoreFailed) throw thrown;
    // What was changed before the error is in RAM, so it must be in the log as well.
    reply = error(`ERR internal error in ${args[0]}: ${(thrown as Error).message}`);
  }
  session.wrote = context.engine.commit();
  return reply;
}

function refuse(session: Session, reply: string): string {
  if (session.queued) session.queueBroken = true;
  return reply;
}

function find(name: string): Command | undefined {
  return commands.get(name) ?? commands.get(name.toUpperCase());
}

function arityFits(command: Command, args: readonly string[]): boolean {
  return command.arity < 0 ? args.length >= -command.arity : args.length === command.arity;
}

function unknownCommand(args: readonly string[]): string {
  const shown = args.slice(1, 4).map((arg) => `'${arg.slice(0, 32)}'`);
  return error(
    `ERR unknown command '${args[0]!.slice(0, 64)}', with args beginning with: ${shown.join(" ")}`,
  );
}

function wrongArity(args: readonly string[]): string {
  return error(`ERR wrong number of arguments for '${args[0]!.toLowerCase()}' command`);
}

function get(context: Context, session: Session, args: string[]): string {
  const slot = context.look(session, args[1]!);
  if (!slot) return nil;
  return typeof slot.value === "string" ? bulk(slot.value) : wrongType;
}

interface SetOptions {
  nx: boolean;
  xx: boolean;
  get: boolean;
  ifEqual: string | undefined;
}

function set(context: Context, session: Session, args: string[]): string {
  const key = args[1]!;
  if (args.length === 3) {
    context.put(key, args[2]!);
    return ok;
  }
  const options = setOptions(args);
  if (typeof options === "string") return options;
  const slot = context.look(session, key);
  const before = slot?.value;
  if (before !== undefined && typeof before !== "string" && (options.get || options.ifEqual !== undefined)) {
    return wrongType;
  }
  const goes =
    !(options.nx && slot) &&
    !(options.xx && !slot) &&
    (options.ifEqual === undefined || options.ifEqual === before);
  if (goes) context.put(key, args[2]!);
  if (options.get) return typeof before === "string" ? bulk(before) : nil;
  return goes ? ok : nil;
}

function setOptions(args: readonly string[]): SetOptions | string {
  const options: SetOptions = { nx: false, xx: false, get: false, ifEqual: undefined };
  for (let at = 3; at < args.length; at += 1) {
    const word = args[at]!.toUpperCase();
    if (word === "NX") options.nx = true;
    else if (word === "XX") options.xx = true;
    else if (word === "GET") options.get = true;
    else if (word === "IFEQ" && at + 1 < args.length) {
      at += 1;
      options.ifEqual = args[at]!;
    } else if (["EX", "PX", "EXAT", "PXAT", "KEEPTTL"].includes(word)) {
      return error(`ERR syntax error: ramlog has no expiry, so ${word} cannot be kept`);
    } else return syntaxError;
  }
  const conditions = Number(options.nx) + Number(options.xx) + Number(options.ifEqual !== undefined);
  return conditions > 1 ? syntaxError : options;
}

function del(context: Context, session: Session, args: string[]): string {
  let removed = 0;
  for (const key of args.slice(1)) {
    if (!context.look(session, key)) continue;
    context.remove(key);
    removed += 1;
  }
  return integer(removed);
}

function exists(context: Context, session: Session, args: string[]): string {
  return integer(args.slice(1).filter((key) => context.look(session, key)).length);
}

function mget(context: Context, session: Session, args: string[]): string {
  return array(
    args.slice(1).map((key) => {
      const value = context.look(session, key)?.value;
      return typeof value === "string" ? bulk(value) : nil;
    }),
  );
}

function mset(context: Context, _session: Session, args: string[]): string {
  if (args.length % 2 === 0) return wrongArity(args);
  for (let at = 1; at < args.length; at += 2) context.put(args[at]!, args[at + 1]!);
  return ok;
}

const int64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n };

/** INCR, DECR, INCRBY and DECRBY. */
function increment(by: (args: readonly string[]) => string): Command["run"] {
  return (context, session, args) => {
    const value = context.look(session, args[1]!)?.value ?? "0";
    if (typeof value !== "string") return wrongType;
    const amount = by(args);
    if (!/^-?\d{1,19}$/.test(value) || !/^-?\d{1,19}$/.test(amount)) return notAnInteger;
    const sum = BigInt(value) + BigInt(amount);
    if (sum < int64.min || sum > int64.max) return error("ERR increment or decrement would overflow");
    context.put(args[1]!, String(sum));
    return integer(sum);
  };
}

function append(context: Context, session: Session, args: string[]): string {
  const value = context.look(session, args[1]!)?.value ?? "";
  if (typeof value !== "string") return wrongType;
  const joined = value + args[2]!;
  if (joined.length > valueBytesMax) return error("ERR string exceeds maximum allowed size (512 MB)");
  context.put(args[1]!, joined);
  return integer(joined.length);
}

function strlen(context: Context, session: Session, args: string[]): string {
  const value = context.look(session, args[1]!)?.value ?? "";
  return typeof value === "string" ? integer(value.length) : wrongType;
}

function push(kind: "push-left" | "push-right"): Command["run"] {
  return (context, session, args) => {
    const list = context.look(session, args[1]!)?.value;
    if (list !== undefined && !(list instanceof List)) return wrongType;
    const at = list?.length ?? 0;
    context.push(kind, args[1]!, at, args.slice(2));
    return integer(at + args.length - 2);
  };
}

function lrange(context: Context, session: Session, args: string[]): string {
  const list = context.look(session, args[1]!)?.value;
  if (!isInteger(args[2]!) || !isInteger(args[3]!)) return notAnInteger;
  if (list === undefined) return emptyArray;
  if (!(list instanceof List)) return wrongType;
  const place = (text: string) => (Number(text) < 0 ? list.length + Number(text) : Number(text));
  return bulks(list.slice(Math.max(0, place(args[2]!)), place(args[3]!) + 1));
}

function llen(context: Context, session: Session, args: string[]): string {
  const list = context.look(session, args[1]!)?.value;
  if (list === undefined) return integer(0);
  return list instanceof List ? integer(list.length) : wrongType;
}

function isInteger(text: string): boolean {
  return /^-?\d{1,15}$/.test(text);
}

function keys(context: Context, session: Session, args: string[]): string {
  context.lookAtAll(session);
  const matches = globMatcher(args[1]!);
  const found: string[] = [];
  for (const [key] of context.engine.table(keyspace).entries()) if (matches(key)) found.push(key);
  return bulks(found);
}

const scansMax = 256;

/** The cursor is the ordinal of the last key given; the walk behind it is kept, or found again from the start. */
function scan(context: Context, session: Session, args: string[]): string {
  const cursor = Number(args[1]);
  if (!/^\d{1,15}$/.test(args[1]!)) return error("ERR invalid cursor");
  let matches: (key: string) => boolean = () => true;
  let count = 10;
  for (let at = 2; at < args.length; at += 2) {
    const word = args[at]!.toUpperCase();
    const value = args[at + 1];
    if (value === undefined) return syntaxError;
    if (word === "MATCH") matches = globMatcher(value);
    else if (word === "COUNT" && isInteger(value) && Number(value) > 0) count = Number(value);
    else return syntaxError;
  }
  context.lookAtAll(session);
  const found: string[] = [];
  const next = walk(context, cursor, count, (key) => matches(key) && found.push(key));
  return array([bulk(String(next)), bulks(found)]);
}

function walk(context: Context, cursor: number, count: number, visit: (key: string) => void): number {
  const slots = context.engine.table(keyspace);
  const kept = context.scans.get(cursor);
  context.scans.delete(cursor);
  const entries = kept?.slots === slots ? kept.entries : slots.entries();
  for (let left = count; left > 0; ) {
    const next = entries.next();
    if (next.done) return 0;
    const [key, slot] = next.value;
    if (slot.ordinal <= cursor) continue;
    visit(key);
    left -= 1;
    if (left > 0) continue;
    if (context.scans.size >= scansMax) context.scans.delete(context.scans.keys().next().value!);
    context.scans.set(slot.ordinal, { entries, slots });
    return slot.ordinal;
  }
  return 0;
}

/** Redis's glob: `*`, `?`, `[a-c]`, `[^a]`, and `\` before a character that means itself. */
export function globMatcher(pattern: string): (key: string) => boolean {
  let source = "";
  for (let at = 0; at < pattern.length; at += 1) {
    const char = pattern[at]!;
    const close = char === "[" ? pattern.indexOf("]", at + 2) : -1;
    if (char === "*") source += source.endsWith("[^]*?") ? "" : "[^]*?";
    else if (char === "?") source += "[^]";
    else if (close > 0) {
      source += bracket(pattern.slice(at + 1, close));
      at = close;
    } else {
      if (char === "\\" && at + 1 < pattern.length) at += 1;
      source += pattern[at]!.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
    }
  }
  let regex: RegExp;
  try {
    regex = new RegExp(`^${source}$`);
  } catch {
    return (key) => key === pattern;
  }
  return (key) => regex.test(key);
}

function bracket(inside: string): string {
  const negated = inside.startsWith("^");
  const set = (negated ? inside.slice(1) : inside).replace(/[\\\]^[]/g, "\\$&");
  return `[${negated ? "^" : ""}${set}]`;
}

function multi(_context: Context, session: Session): string {
  if (session.queued) return error("ERR MULTI calls can not be nested");
  session.queued = [];
  session.queueBroken = false;
  return ok;
}

function discard(context: Context, session: Session): string {
  if (!session.queued) return error("ERR DISCARD without MULTI");
  session.queued = undefined;
  context.unwatch(session);
  return ok;
}

/** All queued commands, then one entry in the log with all their changes. */
function exec(context: Context, session: Session): string {
  const { queued, queueBroken, watchBroken } = session;
  if (!queued) return error("ERR EXEC without MULTI");
  session.queued = undefined;
  context.unwatch(session);
  if (queueBroken) return aborted;
  context.lookAtAll(session);
  if (watchBroken) return nilArray;
  const replies = queued.map((args) => find(args[0]!)!.run(context, session, args));
  context.lookAtAll(session);
  return array(replies);
}

function watch(context: Context, session: Session, args: string[]): string {
  if (session.queued) return refuse(session, error("ERR WATCH inside MULTI is not allowed"));
  session.watched ??= new Set();
  for (const key of args.slice(1)) {
    session.watched.add(key);
    const sessions = context.watchers.get(key) ?? new Set();
    sessions.add(session);
    context.watchers.set(key, sessions);
  }
  return ok;
}

function unwatch(context: Context, session: Session): string {
  context.unwatch(session);
  return ok;
}

function hello(context: Context, session: Session, args: string[]): string {
  if (args[1] !== undefined && args[1] !== "2") {
    return error(
      args[1] === "3"
        ? "NOPROTO ramlog speaks RESP2 only; continue without HELLO 3"
        : "NOPROTO unsupported protocol version",
    );
  }
  return array([
    ...[bulk("server"), bulk("ramlog"), bulk("version"), bulk(context.facts.version)],
    ...[bulk("proto"), integer(2), bulk("id"), integer(session.id)],
    ...[bulk("mode"), bulk("standalone"), bulk("role"), bulk("master"), bulk("modules"), emptyArray],
  ]);
}

function info(context: Context, session: Session): string {
  const { engine, facts } = context;
  context.lookAtAll(session);
  const { durability, counts } = engine;
  const mode = durability.mode === "interval" ? `interval:${durability.intervalMs}` : durability.mode;
  const lines = [
    "# Server",
    "redis_version:7.2.0",
    `ramlog_version:${facts.version}`,
    `process_id:${process.pid}`,
    `tcp_port:${facts.port()}`,
    `uptime_in_seconds:${Math.floor((Date.now() - facts.startedAtMs) / 1000)}`,
    "# Clients",
    `connected_clients:${facts.connections()}`,
    "# Memory",
    `used_memory_rss:${process.memoryUsage.rss()}`,
    "# Persistence",
    "loading:0",
    `ramlog_durability:${mode}`,
    `ramlog_index:${engine.lastIndex}`,
    `ramlog_released_index:${engine.released}`,
    `ramlog_entries:${counts.entries}`,
    `ramlog_batches:${counts.batches}`,
    `ramlog_syncs:${counts.syncs}`,
    `ramlog_log_bytes:${counts.bytes}`,
    `rdb_bgsave_in_progress:${engine.snapshotInProgress ? 1 : 0}`,
    `rdb_last_save_time:${Math.floor(engine.snapshotAt / 1000)}`,
    "# Replication",
    "role:master",
    "# Keyspace",
    `db0:keys=${engine.table(keyspace).size},expires=0,avg_ttl=0`,
  ];
  return bulk(`${lines.join("\r\n")}\r\n`);
}

/** What redis-benchmark and others ask for. */
function config(context: Context, _session: Session, args: string[]): string {
  if (args[1]!.toUpperCase() !== "GET") {
    return error("ERR ramlog is configured on its command line; only CONFIG GET is known");
  }
  const fsync = { always: "always", interval: "everysec", none: "no" }[context.engine.durability.mode];
  const known: Record<string, string> = {
    appendonly: context.engine.durability.mode === "none" ? "no" : "yes",
    appendfsync: fsync,
    save: "",
    databases: "1",
    maxmemory: "0",
  };
  const wanted = args.slice(2).map((pattern) => globMatcher(pattern.toLowerCase()));
  const names = Object.keys(known).filter((name) => wanted.some((matches) => matches(name)));
  return bulks(names.flatMap((name) => [name, known[name]!]));
}

function command(_context: Context, _session: Session, args: string[]): string {
  const what = args[1]?.toUpperCase();
  if (what === undefined || what === "DOCS" || what === "INFO" || what === "LIST") return emptyArray;
  if (what === "COUNT") return integer(commandTable.length);
  return error(`ERR unknown subcommand '${args[1]}'`);
}

function client(_context: Context, session: Session, args: string[]): string {
  const what = args[1]!.toUpperCase();
  if (what === "SETINFO" || what === "NO-EVICT" || what === "NO-TOUCH") return ok;
  if (what === "ID") return integer(session.id);
  if (what === "GETNAME") return bulk(session.name);
  if (what === "SETNAME" && args[2] !== undefined) {
    session.name = args[2];
    return ok;
  }
  return error(`ERR unknown subcommand '${args[1]}'`);
}

function bgsave(context: Context): string {
  if (context.engine.snapshotInProgress) return error("ERR Background save already in progress");
  context.engine.snapshotSoon();
  return "+Background saving started\r\n";
}

function shutdown(context: Context, session: Session): string {
  session.quit = true;
  context.facts.shutDown();
  return ok;
}

function quit(_context: Context, session: Session): string {
  session.quit = true;
  return ok;
}

function dbsize(context: Context, session: Session): string {
  context.lookAtAll(session);
  return integer(context.engine.table(keyspace).size);
}

function logIndex(context: Context, session: Session): string {
  context.lookAtAll(session);
  return integer(context.engine.lastIndex);
}

function flush(context: Context): string {
  context.clear();
  return ok;
}

const commandTable: readonly (readonly [string, number, Command["run"]])[] = [
  ["GET", 2, get],
  ["SET", -3, set],
  ["DEL", -2, del],
  ["EXISTS", -2, exists],
  ["MGET", -2, mget],
  ["MSET", -3, mset],
  ["INCR", 2, increment(() => "1")],
  ["DECR", 2, increment(() => "-1")],
  ["INCRBY", 3, increment((args) => args[2]!)],
  ["DECRBY", 3, increment((args) => (args[2]!.startsWith("-") ? args[2]!.slice(1) : `-${args[2]}`))],
  ["APPEND", 3, append],
  ["STRLEN", 2, strlen],
  ["RPUSH", -3, push("push-right")],
  ["LPUSH", -3, push("push-left")],
  ["LRANGE", 4, lrange],
  ["LLEN", 2, llen],
  ["MULTI", 1, multi],
  ["EXEC", 1, exec],
  ["DISCARD", 1, discard],
  ["WATCH", -2, watch],
  ["UNWATCH", 1, unwatch],
  ["KEYS", 2, keys],
  ["SCAN", -2, scan],
  ["DBSIZE", 1, dbsize],
  ["FLUSHALL", -1, flush],
  ["FLUSHDB", -1, flush],
  ["INDEX", 1, logIndex],
  ["PING", -1, (_context, _session, args) => (args.length > 1 ? bulk(args[1]!) : "+PONG\r\n")],
  ["ECHO", 2, (_context, _session, args) => bulk(args[1]!)],
  ["HELLO", -1, hello],
  ["INFO", -1, info],
  ["CONFIG", -2, config],
  ["COMMAND", -1, command],
  ["CLIENT", -2, client],
  ["SELECT", 2, (_context, _session, args) => (args[1] === "0" ? ok : error("ERR DB index is out of range"))],
  ["BGSAVE", -1, bgsave],
  ["LASTSAVE", 1, (context) => integer(Math.floor(context.engine.snapshotAt / 1000))],
  ["SHUTDOWN", -1, shutdown],
  ["QUIT", -1, quit],
];

const commands = new Map<string, Command>(
  commandTable.flatMap(([name, arity, run]) => {
    const entry: Command = { arity, run };
    return [
      [name, entry],
      [name.toLowerCase(), entry],
    ] as const;
  }),
);

/** Not queued by MULTI. */
const immediate = new Set(
  ["MULTI", "EXEC", "DISCARD", "WATCH", "QUIT", "SHUTDOWN"].map((name) => commands.get(name)!),
);
