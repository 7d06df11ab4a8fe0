/**
 * Any store that speaks RESP, as bench measures it: `SET`, `GET` and the counters of `INFO`.
 *
 * The measured connection is as thin as it can be made (one string out, one reply parsed in place), because whatever
 * the load generator costs is charged to both sides. It believes nothing: a reply other than the expected one is an
 * error. Everything that is not measured goes through `resp.ts`, the exact client beside it.
 */
import net from "node:net";
import type {
  Durability,
  Endpoint,
  LogCounters,
  Measurable,
  MeasuredConnection,
  MeasuredDone,
  MeasuredSession,
  Store,
} from "../contract.ts";
import { ScenarioError } from "../contract.ts";
import { RespConnection, RespError } from "./resp.ts";

const deadlineMs = 10_000;
const preloadBatch = 1000;

/** A store of the registry, a module's or a `resp:` command, made measurable. */
export function respMeasurable(store: Store): Measurable {
  return {
    name: store.name,
    durabilities: store.durabilities,
    ...(store.unavailable ? { unavailable: () => store.unavailable!() } : {}),
    prepare: async (node) => store.launch(node),
    open: (endpoint, durability) => openSession(endpoint, store, durability),
  };
}

async function openSession(
  endpoint: Endpoint,
  store: Store,
  durability: Durability,
): Promise<MeasuredSession> {
  const control = await RespConnection.connect(endpoint, deadlineMs);
  const info = await readInfo(control);
  return {
    version:
      info.get("ramlog_version") ?? info.get("redis_version") ?? info.get("server_version") ?? "unknown",
    settings: await readSettings(control, info, durability),
    deviations: deviationsOf(store, durability),
    connect: () => ThinConnection.connect(endpoint),
    preload: (entries) => preload(control, entries),
    logCounters: async () => countersOf(await readInfo(control)),
    close: async () => control.close(),
  };
}

function deviationsOf(store: Store, durability: Durability): string[] {
  if (durability.mode !== "always" || store.promise(durability).syncsBeforeAcknowledging) return [];
  return [`${store.name} has not promised to sync before it acknowledges: its own command line decides`];
}

/** Asked one by one, because a store may know only some of them. */
async function readSettings(
  control: RespConnection,
  info: ReadonlyMap<string, string>,
  durability: Durability,
): Promise<Record<string, string>> {
  const settings: Record<string, string> = {
    "durability asked for":
      durability.mode === "interval" ? `interval:${durability.intervalMs}` : durability.mode,
  };
  const running = info.get("ramlog_durability");
  if (running !== undefined) settings["durability it runs with"] = running;
  for (const name of ["appendonly", "appendfsync", "save"]) {
    const reply = await control.send(["CONFIG", "GET", name], deadlineMs);
    if (Array.isArray(reply) && reply.length === 2) settings[name] = String(reply[1]);
  }
  return settings;
}

/** ramlog counts its syncs; Redis does not. */
function countersOf(info: ReadonlyMap<string, string>): LogCounters | undefined {
  const syncs = Number(info.get("ramlog_syncs") ?? Number.NaN);
  const bytes = Number(info.get("ramlog_log_bytes") ?? Number.NaN);
  if (!Number.isFinite(syncs)) return undefined;
  return Number.isFinite(bytes) ? { syncs, bytes } : { syncs };
}

async function readInfo(control: RespConnection): Promise<Map<string, string>> {
  const reply = await control.send(["INFO"], deadlineMs);
  const fields = new Map<string, string>();
  if (!Buffer.isBuffer(reply)) return fields;
  for (const line of reply.toString().split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon > 0 && !line.startsWith("#")) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}

async function preload(
  control: RespConnection,
  entries: readonly (readonly [string, string])[],
): Promise<void> {
  for (let start = 0; start < entries.length; start += preloadBatch) {
    const batch = entries.slice(start, start + preloadBatch);
    const replies = await control.sendAll(
      batch.map(([key, value]) => ["SET", key, value]),
      3 * deadlineMs,
    );
    const refused = replies.find((reply) => reply instanceof RespError);
    if (refused) throw new Error(`the store refused to be loaded: ${(refused as RespError).message}`);
  }
}

/** The measured connection by itself, for the load generator's own ceiling. */
export function connectThin(endpoint: Endpoint): Promise<MeasuredConnection> {
  return ThinConnection.connect(endpoint);
}

/** One request in flight; keys and values must be ASCII, as bench's are. */
class ThinConnection implements MeasuredConnection {
  readonly #socket: net.Socket;
  #rest: Buffer | undefined;
  #waiting: MeasuredDone | undefined;
  #failure: Error | undefined;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on("data", (chunk) => this.#receive(chunk));
    socket.on("error", (error) => this.#fail(`the connection broke: ${error.message}`));
    socket.on("close", () => this.#fail("the store closed the connection"));
  }

  static connect({ host, port }: Endpoint): Promise<ThinConnection> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ host, port, noDelay: true });
      const give = (why: string): void => {
        clearTimeout(timer);
        socket.destroy();
        reject(new ScenarioError(`no connection to ${host}:${port}: ${why}`));
      };
      const timer = setTimeout(() => give(`nothing within ${deadlineMs / 1000} s`), deadlineMs);
      const refused = (error: Error): void => give(error.message);
      socket.once("error", refused);
      socket.once("connect", () => {
        clearTimeout(timer);
        socket.off("error", refused);
        resolve(new ThinConnection(socket));
      });
    });
  }

  upsert(key: string, value: string, done: MeasuredDone): void {
    this.#request(
      `*3\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$${value.length}\r\n${value}\r\n`,
      (error, reply) => {
        if (error || reply === "OK") done(error);
        else done(new Error(`SET was answered with ${JSON.stringify(reply?.slice(0, 60) ?? null)}`));
      },
    );
  }

  read(key: string, done: MeasuredDone): void {
    this.#request(`*2\r\n$3\r\nGET\r\n$${key.length}\r\n${key}\r\n`, done);
  }

  close(): Promise<void> {
    this.#failure ??= new Error("closed");
    return new Promise((resolve) => {
      if (this.#socket.closed) return resolve();
      this.#socket.once("close", () => resolve());
      this.#socket.destroy();
    });
  }

  #request(frame: string, done: MeasuredDone): void {
    if (this.#failure) return void setImmediate(done, this.#failure);
    this.#waiting = done;
    this.#socket.write(frame, "latin1");
  }

  #receive(chunk: Buffer): void {
    const data = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk;
    const end = this.#reply(data);
    this.#rest = end < 0 ? data : undefined;
    if (end >= 0 && end < data.length) this.#fail("the store sent more than one reply to one request");
  }

  /** Settles the request with the reply in `data`; where it ends, or -1 when it is not all there. */
  #reply(data: Buffer): number {
    const lineEnd = data.indexOf("\r\n", 0, "latin1");
    if (lineEnd < 0) return -1;
    const line = data.toString("latin1", 1, lineEnd);
    const after = lineEnd + 2;
    switch (data[0]) {
      case 0x2b: // +
        this.#settle(undefined, line);
        return after;
      case 0x24: {
        // $
        const length = Number(line);
        if (length === -1) this.#settle(undefined, undefined);
        if (length === -1) return after;
        if (after + length + 2 > data.length) return -1;
        this.#settle(undefined, data.toString("latin1", after, after + length));
        return after + length + 2;
      }
      case 0x2d: // -
        this.#settle(new Error(`the store answered: ${line}`));
        return after;
      default:
        this.#fail(`the store sent an unexpected reply: ${JSON.stringify(data.toString("latin1", 0, 40))}`);
        return data.length;
    }
  }

  #settle(error: Error | undefined, value?: string): void {
    const done = this.#waiting;
    this.#waiting = undefined;
    if (done) done(error, value);
    else this.#fail("the store sent a reply that nothing had asked for");
  }

  #fail(why: string): void {
    if (this.#failure) return;
    this.#failure = new Error(why);
    this.#socket.destroy();
    const done = this.#waiting;
    this.#waiting = undefined;
    done?.(this.#failure);
  }
}
