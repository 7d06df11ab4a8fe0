/**
 * The supervisor owns every store process of a run: it starts them, waits until they are ready, signals them, waits
 * until they are gone, and leaves nothing behind.
 *
 * What it guarantees:
 *  - a start ends ready, or with one sentence and nothing of it alive, by its deadline;
 *  - `kill` and `close` reach the whole descendant tree (process-tree.ts), and resolve when none of it is alive;
 *  - no process that is not ours is ever signalled: (pid, start time) must match;
 *  - if acked ends by an exception or `process.exit`, its children die with it; if it is killed itself, the next
 *    start heals (active.ts).
 *
 * What it does not do: restart anything by itself, catch SIGINT or SIGTERM (the command does, and calls `close`), or
 * choose ports (see `freePort`). On macOS only process groups are reached.
 */
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { accessSync, chmodSync, constants, mkdirSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import type { NodeProcess } from "../../faults/contract.ts";
import { type Endpoint, type Launch, type NodeSettings, RefusedToServe } from "../../stores/contract.ts";
import { type ActiveRecord, openActiveRecord } from "./active.ts";
import { asynchronousIo } from "./asynchronous-io.ts";
import {
  continueTree,
  descendantsOf,
  isAlive,
  killTree,
  killTreeAndWait,
  ownStartTime,
  type ProcessIdentity,
  signalGroup,
  startTimeOf,
  stopTree,
  type TreeQuery,
  treeOf,
} from "./process-tree.ts";
import { awaitPort, isListening, lineSplitter, parseReadyLine, ReadyWords } from "./readiness.ts";
import { openStoreLog, type StoreLog } from "./store-log.ts";

export interface SupervisorOptions {
  /** Where `.active/` is: the directory that holds all runs. */
  readonly runsDir: string;
}

export interface StartOptions {
  readonly launch: Launch;
  readonly node: NodeSettings;
  /** Added to acked's own environment and to the launch's, for example `LD_PRELOAD`. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Standard output and standard error are appended here. */
  readonly logFile: string;
  /** From spawn to ready, in ms. Default 10,000. */
  readonly deadlineMs?: number;
  /** The address it listens on. Default 127.0.0.1; a member of a cluster may have one of its own. */
  readonly host?: string;
}

const loopback = "127.0.0.1";

/** How a process ended. */
export interface Exit {
  /** Absent when a signal ended it. */
  readonly code?: number;
  readonly signal?: NodeJS.Signals;
  /** Monotonic ns (CLOCK_MONOTONIC) when acked noticed. */
  readonly at: number;
  /** The last line it printed to standard error, else to standard output (some stores log there); empty when none. */
  readonly lastLine: string;
}

/** How a graceful stop went. */
export interface Stopped extends Exit {
  /** True when it did not end by the deadline and was killed. */
  readonly forced: boolean;
}

/** A store process that has been ready. */
export interface SupervisedProcess extends NodeProcess {
  /**
   * Where it listens. A new object at each start, so that its identity stands for the incarnation (the links rely on
   * that).
   */
  readonly endpoint: Endpoint;
  /** Monotonic ns (CLOCK_MONOTONIC). */
  readonly startedAt: number;
  readonly readyAt: number;
  /** What its ready line said beyond the port; `undefined` when nothing. */
  readonly report: Readonly<Record<string, unknown>> | undefined;
  /** Resolves when the process that was started has exited; never rejects. Descendants may live on: see `kill`. */
  readonly exited: Promise<Exit>;
  /** How it exited, if it has. */
  exit(): Exit | undefined;
  /** Kernel interfaces by which its processes may write and sync unseen; see asynchronous-io.ts. */
  asynchronousIo(): ReturnType<typeof asynchronousIo>;
  /** SIGTERM, or what the launch says asks it to stop, to its process group; after the deadline `kill`. Resolves when nothing of the tree is alive. */
  stop(deadlineMs: number): Promise<Stopped>;
  /**
   * Stops, then kills the whole tree; resolves when nothing of it is alive. Also after it exited, for what it left.
   *
   * @throws Error naming the pids that outlive SIGKILL by 5 s.
   */
  kill(): Promise<Exit>;
}

/** A start that did not end ready. Nothing of it is alive any more. */
export class StartError extends Error {
  override readonly name = "StartError";
  /**
   * `not-launched`: no such program, or not executable. `port-in-use`: by somebody else, before the start. `exited`:
   * before it was ready. `not-ready`: by the deadline. `closed`: the supervisor was closed meanwhile.
   */
  readonly kind: "not-launched" | "exited" | "not-ready" | "port-in-use" | "closed";
  /** For `exited`. */
  readonly exit: Exit | undefined;

  constructor(kind: StartError["kind"], message: string, exit?: Exit) {
    super(message);
    this.kind = kind;
    this.exit = exit;
  }
}

export interface Supervisor {
  /** Every process of this supervisor, descendants included, has `ACKED_RUN=<runId>` in its environment. */
  readonly runId: string;
  /**
   * Starts one node. What an earlier incarnation of the same node left alive is killed first.
   *
   * @throws StartError with one sentence.
   */
  start(options: StartOptions): Promise<SupervisedProcess>;
  /** The processes that have not exited. */
  running(): readonly SupervisedProcess[];
  /** Process ids of everything alive of the last start of the node of this name, also before it is ready. */
  pidsOf(name: string): readonly number[];
  /**
   * Creates an `acked-…` directory (mode 0755, short path) that is removed at `close`, or by the next start; in memory
   * (/dev/shm) when that is asked for and so many bytes are free there.
   */
  temporaryDirectory(label: string, inMemoryBytes?: number): string;
  /** Has a path removed at `close`, or by the next start. Call it before creating the path; see active.ts. */
  removeLater(path: string): void;
  /** Kills everything, removes temporary paths and the active record. Idempotent; later starts are refused. */
  close(): Promise<void>;
}

export function createSupervisor({ runsDir }: SupervisorOptions): Supervisor {
  const active = openActiveRecord(runsDir);
  const everything = (): TreeQuery => ({
    roots: active.children(),
    mark: `ACKED_RUN=${active.runId}`,
    since: ownStartTime(),
  });
  const starts = new Map<string, number>();
  const latest = new Map<string, Child>();
  const processes = new Set<SupervisedProcess>();
  const closing = new AbortController();
  let closed: Promise<void> | undefined;

  // Synchronous, and the last thing that happens: also after an uncaught exception.
  const onExit = () => {
    killTree(everything());
    active.close();
  };
  process.on("exit", onExit);

  return {
    runId: active.runId,
    running: () => [...processes].filter((one) => one.running()),
    pidsOf(name) {
      const child = latest.get(name);
      return child ? treeOf(child.tree).map(({ pid }) => pid) : [];
    },
    async start(options) {
      const name = options.node.name;
      const count = starts.get(name) ?? 0;
      starts.set(name, count + 1);
      await latest.get(name)?.kill();
      if (options.launch.ready.by === "port") await refuseTakenPort(options);
      if (closing.signal.aborted) throw closedError(name);
      const child = spawnChild(options, active, `${active.runId}/${name}/${count}`, count);
      latest.set(name, child);
      const supervised = await awaitReady(child, options, closing.signal);
      processes.add(supervised);
      supervised.exited.then(() => processes.delete(supervised));
      return supervised;
    },
    temporaryDirectory(label, inMemoryBytes) {
      const parent = inMemoryBytes !== undefined && hasMemory(inMemoryBytes) ? memory : tmpdir();
      const path = join(parent, `acked-${label}-${randomBytes(4).toString("hex")}`);
      active.addTemporary(path);
      mkdirSync(path);
      chmodSync(path, 0o755); // whatever the umask: Postgres runs as another user
      return path;
    },
    removeLater: (path) => active.addTemporary(path),
    close() {
      closing.abort();
      closed ??= (async () => {
        await killTreeAndWait(everything());
        process.off("exit", onExit);
        active.close();
      })();
      return closed;
    },
  };
}

const memory = "/dev/shm";

/** Containers often have only 64 MB of it. */
function hasMemory(bytes: number): boolean {
  try {
    accessSync(memory, constants.W_OK);
    const { bavail, bsize } = statfsSync(memory);
    return bavail * bsize >= bytes;
  } catch {
    return false;
  }
}

/** A spawned process, ready or not. */
interface Child {
  readonly name: string;
  readonly identity: ProcessIdentity;
  readonly startedAt: number;
  readonly tree: TreeQuery;
  readonly stdout: NodeJS.ReadableStream;
  readonly stderr: NodeJS.ReadableStream;
  readonly exited: Promise<Exit>;
  exit(): Exit | undefined;
  kill(): Promise<Exit>;
}

function spawnChild(options: StartOptions, active: ActiveRecord, mark: string, count: number): Child {
  const { launch, node } = options;
  const log = openStoreLog(options.logFile);
  const startedAt = monotonicNs();
  const subprocess: ChildProcess = execa(launch.program, [...launch.args], {
    ...(launch.cwd === undefined ? {} : { cwd: launch.cwd }),
    env: { ...launch.env, ...options.environment, ACKED_RUN: active.runId, ACKED_NODE: mark },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    buffer: false,
    detached: true,
    cleanup: false,
    reject: false,
  });
  const { pid, stdout, stderr } = subprocess;
  if (pid === undefined || !stdout || !stderr) {
    log.close();
    throw notLaunched(options);
  }
  const identity = { pid, startTime: startTimeOf(pid) ?? "0" };
  const tree = { roots: [identity], mark: `ACKED_NODE=${mark}`, since: identity.startTime };
  try {
    active.addChild(identity);
  } catch (error) {
    killTree(tree); // what cannot be written down must not run
    throw error;
  }
  const commandLine = [launch.program, ...launch.args].join(" ");
  log.heading(`${node.name} start ${count}: ${commandLine} (pid ${pid}, ${new Date().toISOString()})`);
  const { exited, exit } = watchExit(subprocess, keepOutput(stdout, stderr, log));
  subprocess.once("close", () => log.close());
  return {
    name: node.name,
    identity,
    startedAt,
    tree,
    stdout,
    stderr,
    exited,
    exit,
    async kill() {
      await killTreeAndWait(tree);
      active.removeChild(identity);
      return exited;
    },
  };
}

/** Appends all output to the log. Returns how to ask for the line that tells best why the process ended. */
function keepOutput(
  stdout: NodeJS.ReadableStream,
  stderr: NodeJS.ReadableStream,
  log: StoreLog,
): () => string {
  const lastOf = (stream: NodeJS.ReadableStream) => {
    let last = "";
    const split = lineSplitter((line) => {
      if (line.trim() !== "" && !parseReadyLine(line)) last = line.trim().slice(0, 500);
    });
    stream.on("data", (chunk: Uint8Array) => {
      log.write(chunk);
      split(chunk);
    });
    return () => {
      split(Uint8Array.of(10)); // a last line need not have ended
      return last;
    };
  };
  const said = lastOf(stdout);
  const complained = lastOf(stderr);
  return () => complained() || said();
}

function watchExit(subprocess: ChildProcess, lastLine: () => string): Pick<Child, "exited" | "exit"> {
  let exit: Exit | undefined;
  const exited = new Promise<Exit>((resolve) => {
    subprocess.once("exit", (code, signal) => {
      const at = monotonicNs();
      afterOutput(subprocess, () => {
        if (exit) return;
        const how = { ...(code === null ? {} : { code }), ...(signal === null ? {} : { signal }) };
        exit = { ...how, at, lastLine: lastLine() };
        resolve(exit);
      });
    });
  });
  return { exited, exit: () => exit };
}

/** What it printed last is read before its exit is told; a descendant may hold the pipes open, hence the limit. */
function afterOutput(subprocess: ChildProcess, tell: () => void): void {
  // Behind the next look at the pipes: when acked itself was busy for as long, what was printed is still in them.
  const limit = setTimeout(() => setImmediate(tell), 200);
  subprocess.once("close", () => {
    clearTimeout(limit);
    tell();
  });
}

/** Ready by the deadline, or nothing of it is left and one sentence says why. */
async function awaitReady(
  child: Child,
  options: StartOptions,
  closing: AbortSignal,
): Promise<SupervisedProcess> {
  const deadlineMs = options.deadlineMs ?? 10_000;
  const over = new AbortController();
  const deadline = setTimeout(() => over.abort(notReady(options, deadlineMs)), deadlineMs);
  const onClosing = () => over.abort(closedError(child.name));
  closing.addEventListener("abort", onClosing, { once: true });
  try {
    const { port, report } = await Promise.race([
      listening(child, options, over.signal),
      child.exited.then((exit) => Promise.reject(exitedEarly(options, exit))),
      aborted(over.signal),
    ]);
    const readyAt = monotonicNs();
    const endpoint = { host: options.host ?? loopback, port };
    return supervise(child, endpoint, readyAt, report, options.launch.stopSignal);
  } catch (error) {
    await child.kill();
    if (error instanceof RefusedToServe) throw refusedToServe(options, error);
    throw error;
  } finally {
    clearTimeout(deadline);
    closing.removeEventListener("abort", onClosing);
    over.abort(closedError(child.name)); // ends the polling of a port
  }
}

async function listening(
  child: Child,
  { launch, node, host = loopback }: StartOptions,
  over: AbortSignal,
): Promise<{ port: number; report: SupervisedProcess["report"] }> {
  if (launch.ready.by === "port") {
    const words = new ReadyWords();
    const outputs = [child.stdout, child.stderr].map((stream) => {
      const split = lineSplitter((line) => words.line(line));
      stream.on("data", split);
      return { stream, split };
    });
    await awaitPort({ host, port: node.port }, launch.ready.probe, over, words);
    for (const { stream, split } of outputs) stream.off("data", split);
    if (child.exit()) return new Promise(() => {}); // somebody else answers on its port: the race tells of the exit
    return { port: node.port, report: undefined };
  }
  return new Promise((resolve) => {
    const split = lineSplitter((line) => {
      const ready = parseReadyLine(line);
      if (!ready) return;
      child.stdout.off("data", split);
      resolve(ready);
    });
    child.stdout.on("data", split);
  });
}

function supervise(
  child: Child,
  endpoint: Endpoint,
  readyAt: number,
  report: SupervisedProcess["report"],
  stopSignal: NonNullable<Launch["stopSignal"]> = "SIGTERM",
): SupervisedProcess {
  const { identity, tree } = child;
  const signalTree = {
    SIGKILL: () => killTree(tree),
    SIGSTOP: () => stopTree(tree),
    SIGCONT: () => continueTree(tree),
    // To the group, as a terminal does: members in sessions of their own are the store's to tell.
    SIGTERM: () => signalGroup(identity, stopSignal),
  };
  return {
    name: child.name,
    pid: identity.pid,
    endpoint,
    startedAt: child.startedAt,
    readyAt,
    report,
    exited: child.exited,
    exit: child.exit,
    running: () => child.exit() === undefined && isAlive(identity),
    signal: (signal) => {
      signalTree[signal]();
    },
    kill: child.kill,
    asynchronousIo: () => asynchronousIo(descendantsOf(tree).map(({ pid }) => pid)),
    async stop(deadlineMs) {
      signalTree.SIGTERM();
      signalTree.SIGCONT(); // a stopped process would never see the other
      const inTime = await endsWithin(child.exited, deadlineMs);
      return { ...(await child.kill()), forced: !inTime };
    },
  };
}

function endsWithin(exited: Promise<Exit>, deadlineMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), deadlineMs);
    exited.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

async function refuseTakenPort({ node, host = loopback }: StartOptions): Promise<void> {
  if (!(await isListening({ host, port: node.port }))) return;
  throw new StartError(
    "port-in-use",
    `${node.name} cannot start: port ${node.port} on ${host} is already in use by another process; end it, or choose another port.`,
  );
}

function notLaunched({ launch, node }: StartOptions): StartError {
  return new StartError(
    "not-launched",
    `${node.name} could not be started: "${launch.program}" is not a program that can be run here (is it installed, and in PATH?).`,
  );
}

function refusedToServe({ node }: StartOptions, { message }: RefusedToServe): StartError {
  return new StartError("not-ready", `${node.name} started, but it will not serve: ${message}`);
}

function exitedEarly(options: StartOptions, exit: Exit): StartError {
  const how = exit.signal === undefined ? `exited with code ${exit.code}` : `was ended by ${exit.signal}`;
  const said = exit.lastLine === "" ? "it printed nothing" : `its last line: ${exit.lastLine}`;
  return new StartError(
    "exited",
    `${options.node.name} ${how} before it was ready; ${said} (all of it: ${options.logFile}).`,
    exit,
  );
}

function notReady(options: StartOptions, deadlineMs: number): StartError {
  const expected =
    options.launch.ready.by === "line"
      ? 'a line {"ready":true,"port":n} on stdout'
      : `an answer on port ${options.node.port}`;
  return new StartError(
    "not-ready",
    `${options.node.name} was not ready within ${deadlineMs} ms: expected ${expected}; what it printed is in ${options.logFile}.`,
  );
}

function closedError(name: string): StartError {
  return new StartError("closed", `${name} was not started: the run is ending.`);
}

/** Same clock as the interposer's CLOCK_MONOTONIC; exact for the first 104 days after boot. */
function monotonicNs(): number {
  return Number(process.hrtime.bigint());
}
