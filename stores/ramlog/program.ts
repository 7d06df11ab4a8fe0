/**
 * The server as a program: arguments, one ready line, signals and exit codes. The stores with planted bugs are this
 * program with other seams.
 *
 * stdout carries exactly one line, when clients may connect; everything for people goes to stderr. Exit codes: 0 after
 * a graceful stop, 1 when the log failed, 3 when it refused to start (or the arguments make no sense).
 */
import { parseArgs } from "node:util";
import { type Disk, nodeDisk } from "./disk.ts";
import { type Engine, openEngine, productionSeams, type Seams } from "./engine.ts";
import { StartRefused } from "./errors.ts";
import type { DurabilityMode } from "./log.ts";
import type { MakeCommands } from "./server/commands.ts";
import { type RunningServer, startServer } from "./server/server.ts";

/** What a planted bug replaces. */
export interface ProgramSeams {
  /** The disk, made from the one that would be used: the real one, or a simulated one. */
  readonly disk?: (real: Disk) => Disk;
  readonly engine?: Partial<Omit<Seams, "disk">>;
  readonly commands?: MakeCommands;
}

export const defaultSegmentBytes = 8 << 20;
export const defaultSnapshotBytes = 64 << 20;
/** The header of a segment keeps offsets in 32 bits, and room must be left for a batch. */
const segmentBytesMax = 1 << 30;
const segmentBytesMin = 4096;

interface Arguments {
  readonly dir: string;
  readonly port: number;
  readonly socket?: string;
  readonly durability: DurabilityMode;
  readonly segmentBytes: number;
  readonly snapshotBytes: number;
}

/** Runs until a signal, SHUTDOWN or a failure ends the process. `argv` without the node and script paths. */
export async function runProgram(argv: readonly string[], seams: ProgramSeams = {}): Promise<void> {
  let engine: Engine | undefined;
  try {
    const settings = parseArguments(argv);
    engine = await openEngine({
      ...settings,
      seams: { ...productionSeams, ...seams.engine, disk: seams.disk?.(nodeDisk) ?? nodeDisk },
      report: say,
    });
    const server = await serve(engine, settings, seams);
    process.stdout.write(
      `${JSON.stringify({ ready: true, port: server.port, recovery: engine.recovery })}\n`,
    );
  } catch (error) {
    if (!(error instanceof StartRefused)) throw error;
    await engine?.close().catch(() => undefined);
    say(error.message);
    process.exit(3);
  }
}

async function serve(engine: Engine, settings: Arguments, seams: ProgramSeams): Promise<RunningServer> {
  let stopping = false;
  const stop = () => {
    if (stopping) return;
    stopping = true;
    server.stop().then(
      () => process.exit(0),
      (error) => fail(error instanceof Error ? error.message : String(error)),
    );
  };
  const server = await startServer({
    engine,
    port: settings.port,
    ...(settings.socket === undefined ? {} : { socket: settings.socket }),
    ...(seams.commands ? { commands: seams.commands } : {}),
    onFailed: (failure) => fail(failure.message),
    onShutdown: () => setImmediate(stop),
  });
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  return server;
}

/** The lock is left behind on purpose: its owner is dead then, and the next start takes it over. */
function fail(sentence: string): never {
  say(sentence);
  process.exit(1);
}

function say(sentence: string): void {
  process.stderr.write(`ramlog: ${sentence}\n`);
}

/** @throws StartRefused with the usage. */
export function parseArguments(argv: readonly string[]): Arguments {
  const values = parseFlags(argv);
  const dir = values.dir;
  if (dir === undefined || dir === "") throw new StartRefused(`--dir is missing. ${usage}`);
  return {
    dir,
    port: integerFlag("--port", values.port ?? "0", 0, 65535),
    ...(values.socket === undefined ? {} : { socket: values.socket }),
    durability: parseDurability(values.durability ?? "always"),
    segmentBytes: integerFlag(
      "--segment-bytes",
      values["segment-bytes"] ?? String(defaultSegmentBytes),
      segmentBytesMin,
      segmentBytesMax,
    ),
    snapshotBytes: integerFlag(
      "--snapshot-bytes",
      values["snapshot-bytes"] ?? String(defaultSnapshotBytes),
      1,
      Number.MAX_SAFE_INTEGER,
    ),
  };
}

const usage =
  "usage: --dir DIR [--port N] [--socket PATH] [--durability always|interval:<ms>|none] [--segment-bytes N] [--snapshot-bytes N]";

function parseFlags(argv: readonly string[]) {
  const text = { type: "string" } as const;
  try {
    return parseArgs({
      args: [...argv],
      options: {
        dir: text,
        port: text,
        socket: text,
        durability: text,
        "segment-bytes": text,
        "snapshot-bytes": text,
      },
    }).values;
  } catch (error) {
    throw new StartRefused(`${(error as Error).message.split(/\.?\n/)[0]}. ${usage}`, { cause: error });
  }
}

function integerFlag(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw new StartRefused(`${name} ${text}: expected a whole number from ${min} to ${max}`);
  }
  return value;
}

function parseDurability(text: string): DurabilityMode {
  if (text === "always" || text === "none") return { mode: text };
  const intervalMs = Number(/^interval:(\d{1,8})$/.exec(text)?.[1] ?? 0);
  if (intervalMs > 0) return { mode: "interval", intervalMs };
  throw new StartRefused(`--durability ${text}: expected always, interval:<ms> or none`);
}
