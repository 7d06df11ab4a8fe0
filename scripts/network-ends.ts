/**
 * The two ends of what `acked bench network` measures, each in a process of its own, so that neither shares a core's time
 * with the proxy by being in its process: `serve <echo port> <sink port>`, and `measure <plan as JSON>`, which prints
 * `NetworkTimes` as JSON. Direct and proxied turns alternate, so that what else the machine does falls on both.
 */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Endpoint } from "../stores/contract.ts";

export interface NetworkPlan {
  readonly echo: { readonly direct: Endpoint; readonly proxied: Endpoint };
  readonly sink: { readonly direct: Endpoint; readonly proxied: Endpoint };
  /** Pairs of round trips in a block, and blocks. */
  readonly roundTrips: number;
  readonly blocks: number;
  readonly megabytes: number;
  /** Pairs of streams. */
  readonly streams: number;
}

export interface NetworkTimes {
  /** µs, the medians of the quietest block: the one whose proxied round trips were the fastest. */
  readonly directUs: number;
  readonly proxiedUs: number;
  /** µs, the median over pairs of that block of the proxied round trip minus the direct one that came before it. */
  readonly pairedUs: number;
  /** Millions of bytes a second, the fastest stream of each. */
  readonly directMBs: number;
  readonly proxiedMBs: number;
}

const messageBytes = 64;
const chunk = Buffer.alloc(64 * 1024, "x");
/** Round trips before those that count: until the programs are compiled. */
const warmUp = 3000;

async function serve(echoPort: number, sinkPort: number): Promise<void> {
  const echo = createServer({ noDelay: true }, (socket) => {
    socket.on("data", (bytes) => socket.write(bytes)).on("error", () => {});
  });
  const sink = createServer({ allowHalfOpen: true }, (socket) => {
    socket.resume().on("error", () => {});
    socket.on("end", () => socket.end("all"));
  });
  echo.listen(echoPort, "127.0.0.1");
  sink.listen(sinkPort, "127.0.0.1");
  await Promise.all([once(echo, "listening"), once(sink, "listening")]);
  process.stdout.write("ready\n");
  process.stdin.resume().on("end", () => process.exit());
}

async function measure(plan: NetworkPlan): Promise<NetworkTimes> {
  const direct = await open(plan.echo.direct);
  const proxied = await open(plan.echo.proxied);
  for (let i = 0; i < warmUp; i++) {
    await roundTrip(direct);
    await roundTrip(proxied);
  }
  let quietest: Block | undefined;
  for (let i = 0; i < plan.blocks; i++) {
    const block = await measureBlock(direct, proxied, plan.roundTrips);
    if (!quietest || block.proxiedUs < quietest.proxiedUs) quietest = block;
  }
  direct.destroy();
  proxied.destroy();
  let [directMBs, proxiedMBs] = [0, 0];
  for (let i = 0; i < plan.streams; i++) {
    directMBs = Math.max(directMBs, await streamMBs(plan.sink.direct, plan.megabytes));
    proxiedMBs = Math.max(proxiedMBs, await streamMBs(plan.sink.proxied, plan.megabytes));
  }
  return { ...quietest!, directMBs, proxiedMBs };
}

type Block = Pick<NetworkTimes, "directUs" | "proxiedUs" | "pairedUs">;

async function measureBlock(direct: Socket, proxied: Socket, roundTrips: number): Promise<Block> {
  const times = { direct: [] as number[], proxied: [] as number[], paired: [] as number[] };
  for (let i = 0; i < roundTrips; i++) {
    const without = await roundTrip(direct);
    const through = await roundTrip(proxied);
    times.direct.push(without);
    times.proxied.push(through);
    times.paired.push(through - without);
  }
  return {
    directUs: median(times.direct),
    proxiedUs: median(times.proxied),
    pairedUs: median(times.paired),
  };
}

async function open(endpoint: Endpoint): Promise<Socket> {
  const socket = connect({ ...endpoint, noDelay: true });
  await once(socket, "connect");
  return socket;
}

/** µs until a small message has come back. */
function roundTrip(socket: Socket): Promise<number> {
  return new Promise((resolveTime, reject) => {
    let left = messageBytes;
    const from = process.hrtime.bigint();
    const onData = (bytes: Buffer) => {
      left -= bytes.length;
      if (left > 0) return;
      const us = Number(process.hrtime.bigint() - from) / 1000;
      socket.off("data", onData).off("error", reject);
      resolveTime(us);
    };
    socket.on("data", onData).on("error", reject);
    socket.write(chunk.subarray(0, messageBytes));
  });
}

/** Sends so many MB, and waits until the other end says that it has them all. */
async function streamMBs(endpoint: Endpoint, megabytes: number): Promise<number> {
  const socket = await open(endpoint);
  const ended = once(socket.resume(), "end");
  const from = process.hrtime.bigint();
  const chunks = Math.ceil((megabytes * 1e6) / chunk.length);
  for (let i = 0; i < chunks; i++) if (!socket.write(chunk)) await once(socket, "drain");
  socket.end();
  await ended;
  return (chunks * chunk.length * 1000) / Number(process.hrtime.bigint() - from);
}

function median(values: number[]): number {
  values.sort((a, b) => a - b);
  return values[values.length >> 1]!;
}

if (resolve(process.argv[1] ?? "") === fileURLToPath(import.meta.url)) {
  const [role, first, second] = process.argv.slice(2);
  if (role === "serve") await serve(Number(first), Number(second));
  else process.stdout.write(`${JSON.stringify(await measure(JSON.parse(first ?? "{}")))}\n`);
}
