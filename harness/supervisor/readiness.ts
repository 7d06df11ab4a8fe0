/**
 * When a store's process is ready: it says so in one line on standard output (`{"ready":true,"port":n, …}`), or it
 * accepts a connection on the port it was given and answers a probe. Also: which ports to give.
 */
import { readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { Endpoint } from "../../stores/contract.ts";

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

/**
 * Resolves when the endpoint accepts a connection and the probe resolves. Tries again every 20 ms until `signal` is
 * aborted, then rejects with the last reason.
 */
export async function awaitPort(
  endpoint: Endpoint,
  probe: ((endpoint: Endpoint) => Promise<void>) | undefined,
  signal: AbortSignal,
): Promise<void> {
  const over = rejectOnAbort(signal);
  for (;;) {
    try {
      await Promise.race([accepts(endpoint).then(() => probe?.(endpoint)), over]);
      return;
    } catch (error) {
      if (signal.aborted) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
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
