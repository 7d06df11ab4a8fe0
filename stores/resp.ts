/**
 * Any program that speaks RESP2, as a `Store`: `respStore({ name, command })` for a module of one's own, and
 * `parseRespStore("resp:my-server --port {port} --dir {dir}")` for the command line.
 *
 * What is not declared is taken at its weakest, with one exception that gives the run a meaning: whatever was
 * acknowledged is expected to survive a process crash. Power loss, syncs before acknowledgements, fail-stop and damage
 * at rest are judged only when the store declares a promise about them.
 */
import { accessSync, constants, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, isAbsolute, join, resolve } from "node:path";
import { connectRespClient, probeReadiness } from "./clients/workload-client.ts";
import {
  type Capability,
  capabilities,
  type DiskOperation,
  type Durability,
  type Launch,
  type NodeSettings,
  type PlantedBug,
  ScenarioError,
  type Store,
  type StorePromise,
} from "./contract.ts";

/** What the store's documentation promises; members left out are taken from the undeclared promise. */
export type DeclaredPromise = Partial<StorePromise> & {
  /** The documentation's own words, and where they are. */
  readonly source: string;
};

export interface RespStoreOptions {
  readonly name: string;
  /** One sentence for `acked list`. */
  readonly summary?: string;
  /** The command line of one node. It must listen on `node.port` and keep its files in `node.dir`. */
  readonly command: (node: NodeSettings) => readonly [program: string, ...args: string[]];
  readonly env?: Readonly<Record<string, string>>;
  /** The program's working directory. Default: acked's own. */
  readonly cwd?: (node: NodeSettings) => string;
  /** `port` (default): it answers PING on `node.port`. `line`: it prints `{"ready":true,"port":n}`. */
  readonly ready?: "port" | "line";
  /** Default: all of them but sets, which came later and which few servers of one's own have. */
  readonly capabilities?: readonly Capability[];
  /** The modes `command` knows how to configure. Default: `always` alone. */
  readonly durabilities?: readonly Durability["mode"][];
  /** Default: everything acknowledged survives a process crash, and nothing else is judged. */
  readonly promise?: DeclaredPromise | ((durability: Durability) => DeclaredPromise);
  /** See `Store.logFiles`. Default `**`. */
  readonly logFiles?: string;
  /** See `Store.performs`. Default: `write`, and `sync` when the promise says that it syncs before acknowledging. */
  readonly performs?: readonly DiskOperation[];
  readonly interposable?: boolean;
  /** Why it cannot run here and how to get it. Default: looks for the program of `command`. */
  readonly unavailable?: () => Promise<string | undefined>;
  readonly plantedBug?: PlantedBug;
}

const atMostEverything = { survives: "a prefix", lossMsMax: Number.POSITIVE_INFINITY } as const;

/** What a store is judged against that declares nothing. */
const undeclaredPromise: StorePromise = {
  processCrash: { survives: "everything acknowledged" },
  powerLoss: atMostEverything,
  gracefulStop: { survives: "everything acknowledged" },
  syncsBeforeAcknowledging: false,
  failStop: false,
  detectsDamageAtRest: false,
  source: "no promise was declared: judged as 'acknowledged survives a process crash'",
};

/** A store that speaks RESP2, from its command line. */
export function respStore(options: RespStoreOptions): Store {
  const promise = (durability: Durability): StorePromise => {
    const declared = typeof options.promise === "function" ? options.promise(durability) : options.promise;
    return { ...undeclaredPromise, ...declared };
  };
  const durabilities = options.durabilities ?? ["always"];
  const syncs = durabilities.includes("always") && promise({ mode: "always" }).syncsBeforeAcknowledging;
  return {
    name: options.name,
    summary: options.summary ?? `${options.name}, over RESP`,
    capabilities: options.capabilities ?? capabilities.filter((capability) => capability !== "sets"),
    durabilities,
    promise,
    launch: (node) => launchOf(options, node),
    connect: connectRespClient,
    unavailable: options.unavailable ?? (async () => missingProgram(options)),
    logFiles: options.logFiles ?? "**",
    performs: options.performs ?? (syncs ? ["write", "sync"] : ["write"]),
    ...(options.interposable === undefined ? {} : { interposable: options.interposable }),
    ...(options.plantedBug ? { plantedBug: options.plantedBug } : {}),
  };
}

/** How long one readiness probe waits, in ms; the supervisor has the deadline of the whole start. */
const probeMs = 5000;

function launchOf(options: RespStoreOptions, node: NodeSettings): Launch {
  const [program, ...args] = options.command(node);
  return {
    program,
    args,
    ...(options.env ? { env: options.env } : {}),
    ...(options.cwd ? { cwd: options.cwd(node) } : {}),
    ready:
      options.ready === "line"
        ? { by: "line" }
        : { by: "port", probe: (endpoint) => probeReadiness(endpoint, probeMs) },
  };
}

/** Looks for the program, with a node that is never started (in a scratch directory, should `command` write there). */
function missingProgram(options: RespStoreOptions): string | undefined {
  const mode = options.durabilities?.[0] ?? "always";
  const durability: Durability = mode === "interval" ? { mode, intervalMs: 1000 } : { mode };
  const dir = mkdtempSync(join(tmpdir(), "acked-store-"));
  let program: string;
  try {
    [program] = options.command({ name: "n1", dir, port: 1, durability });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  if (findProgram(program)) return undefined;
  const place = program.includes("/")
    ? `there is no executable file ${program}`
    : `${program} is not on PATH`;
  return `${place}; install it, or give its full path`;
}

/** The path of an executable, looked up as a shell would; `undefined` when there is none. */
export function findProgram(program: string): string | undefined {
  const places = program.includes("/")
    ? [resolve(program)]
    : (process.env.PATH ?? "").split(delimiter).map((directory) => join(directory, program));
  return places.find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return isAbsolute(path) && statSync(path).isFile();
  } catch {
    return false;
  }
}

const example = "resp:my-server --port {port} --dir {dir}";

/**
 * The store of `--store 'resp:CMD … {port} {dir}'`. Words are split as a shell does, with quotes and backslashes, but
 * nothing is expanded except `{port}` and `{dir}`.
 *
 * @throws ScenarioError when a placeholder or the command is missing, or a quote is left open.
 */
export function parseRespStore(text: string): Store {
  const commandLine = text.replace(/^resp:/, "").trim();
  const words = splitWords(commandLine);
  const program = words[0];
  if (program === undefined) {
    throw new ScenarioError(`--store "${text}" names no command: write for example '${example}'`);
  }
  requirePlaceholder(text, words, "{port}", "acked chooses a free port and connects there");
  requirePlaceholder(
    text,
    words,
    "{dir}",
    "acked gives every run its own data directory and reads it after a crash",
  );
  return respStore({
    name: commandLine,
    summary: `${commandLine}, over RESP`,
    command: (node) => {
      const fill = (word: string) =>
        word.replaceAll("{port}", String(node.port)).replaceAll("{dir}", node.dir);
      return [program, ...words.slice(1).map(fill)];
    },
  });
}

function requirePlaceholder(text: string, words: readonly string[], placeholder: string, why: string): void {
  if (words.slice(1).some((word) => word.includes(placeholder))) return;
  throw new ScenarioError(
    `--store "${text}" has no ${placeholder} (${why}): put ${placeholder} where your server expects it, for example '${example}'`,
  );
}

/**
 * Splits a command line into words: single quotes keep everything, double quotes keep all but `\"` and `\\`, and
 * outside quotes a backslash keeps the next character.
 */
function splitWords(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote: '"' | "'" | undefined;
  for (let i = 0; i < line.length; i++) {
    const character = line[i]!;
    const escapes = character === "\\" && quote !== "'" && i + 1 < line.length;
    if (escapes && (quote === undefined || '"\\'.includes(line[i + 1]!))) {
      word = (word ?? "") + line[++i]!;
    } else if (character === quote) {
      quote = undefined;
    } else if (quote === undefined && (character === '"' || character === "'")) {
      quote = character;
      word ??= "";
    } else if (quote === undefined && /\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? "") + character;
    }
  }
  if (quote) throw new ScenarioError(`--store 'resp:${line}' leaves a quote (${quote}) open: close it`);
  if (word !== undefined) words.push(word);
  return words;
}
