/**
 * When a store's process is ready: it says so in one line on standard output (`{"ready":true,"port":n, …}`), or it
 * accepts a connection on the port it was given and answers a probe. Also: which ports to give.
 */
import { readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { type Endpoint, RefusedToServe } from "../../stores/contract.ts";

/** What a ready line says. */
export interface ReadyLine {
  readonly port: number;
  /** Its members beside `ready` and `port`, if any: what the store says of its own recovery. */
  readonly report: Readonly<Record<string, unknown>> | undefined;
}

/** `undefined` for any line that is not a ready line. */
export function parseReadyLine(line: string): ReadyLine | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || !("ready" in value) || value.ready !== true)
    return undefined;
  const { ready: _, port, ...rest } = value as { ready: true; port?: unknown };
  if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
  return { port, report: Object.keys(rest).length > 0 ? rest : undefined };
}

/** Tells whole lines from a stream of chunks. A line longer than 1 MB is cut there. */
export function lineSplitter(onLine: (line: string) => void): (chunk: Uint8Array) => void {
  const decoder = new TextDecoder();
  let rest = "";
  return (chunk) => {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = (lines.pop() ?? "").slice(0, 1_048_576);
    for (const line of lines) onLine(line.replace(/\r$/, ""));
  };
}

/** What Redis, Valkey and Postgres print when they begin to listen. */
const readyWords = /ready to accept connections/i;

/** An end of the pauses between two attempts: the output of a process that says when it is worth another. */
export class ReadyWords {
  #said = false;
  #wake: (() => void) | undefined;

  /** A line that the process printed. */
  line(text: string): void {
    if (!readyWords.test(text)) return;
    this.#said = true;
    this.#wake?.();
  }

  /** Resolves after so many ms, or, once, as soon as the words have been said. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake?.(), this.#said ? 0 : ms);
      this.#wake = () => {
        clearTimeout(timer);
        this.#said = false;
        this.#wake = undefined;
        resolve();
      };
    });
  }
}

/** A store that starts in 10 ms is not waited for longer; one that takes seconds is not asked a thousand times. */
const firstPauseMs = 4;
const pauseMsMax = 20;

/**
 * Resolves when the endpoint accepts a connection and the probe resolves. Tries again after 4 ms, then ever more
 * seldom up to every 20 ms, and at once when `words` have been said, until `signal` is aborted; then rejects with the
 * last reason. A probe that throws `RefusedToServe` ends it at once.
 */
export async function awaitPort(
  endpoint: Endpoint,
  probe: ((endpoint: Endpoint) => Promise<void>) | undefined,
  signal: AbortSignal,
  words = new ReadyWords(),
): Promise<void> {
  const over = rejectOnAbort(signal);
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 1.5, pauseMsMax)) {
    // A process has never listened yet when it has just been started.
    await Promise.race([words.pause(pauseMs), over]);
    try {
      await Promise.race([accepts(endpoint).then(() => probe?.(endpoint)), over]);
      return;
    } catch (error) {
      if (signal.aborted || error instanceof RefusedToServe) throw error;
    }
  }
}

/** True when somebody already listens there. */
export function isListening(endpoint: Endpoint): Promise<boolean> {
  return accepts(endpoint).then(
    () => true,
    () => false,
  );
}

/**
 * A port on 127.0.0.1 that nobody uses now, outside the range from which the system draws the local ports of outgoing
 * connections: one of those could take it while a store restarts.
 *
 * @throws Error when 100 ports in a row are taken.
 */
export async function freePort(): Promise<number> {
  const end = ephemeralStart();
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = 15_000 + Math.floor(Math.random() * (end - 15_000));
    if (await canBind(port)) return port;
  }
  throw new Error(`no free port on 127.0.0.1 between 15000 and ${end} in 100 attempts`);
}

function accepts({ host, port }: Endpoint): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: 1_000 });
    socket.once("connect", () => {
      socket.destroy();
      resolve();
    });
    socket.once("timeout", () => socket.destroy(new Error(`${host}:${port} did not accept within 1 s`)));
    socket.once("error", reject);
  });
}

function rejectOnAbort(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

function canBind(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** Where ephemeral ports begin: 32768 on Linux, unless configured otherwise; 49152 elsewhere. */
function ephemeralStart(): number {
  try {
    const low = Number(readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").trim().split(/\s+/)[0]);
    return low >= 20_000 ? low : 32_768;
  } catch {
    return 49_152;
  }
}
