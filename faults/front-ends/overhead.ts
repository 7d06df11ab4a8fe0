/**
 * What the interposer costs: the same program (faults/native/overhead.c) run bare, interposed, and interposed with a
 * trace, in turns, on a file in a temporary directory. Each figure is the cheapest of all turns. Figures of a busy
 * machine are too high, and their ratio is still near the truth.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { buildInterposer } from "./build-interposer.ts";
import { buildNative } from "./build-native.ts";
import { createDiskControl } from "./interposer.ts";
import { createTrace } from "./trace-file.ts";

/** Nanoseconds a call. */
export interface CallCost {
  readonly bareNs: number;
  readonly interposedNs: number;
  readonly tracedNs: number;
}

/** Of a pwrite of 100 bytes; and of each call that was measured, that one included. */
export interface Overhead extends CallCost {
  readonly calls: Readonly<Record<string, CallCost>>;
}

export interface OverheadOptions {
  /** Calls of each kind in one turn. */
  readonly rounds?: number;
  readonly turns?: number;
}

type Costs = Record<string, number>;

/**
 * Measures it here and now; takes about a second.
 *
 * @throws Error with one sentence when there is no compiler here.
 */
export async function measureOverhead({
  rounds = 10_000,
  turns = 3,
}: OverheadOptions = {}): Promise<Overhead> {
  const library = await buildInterposer();
  const program = await buildNative({
    name: "overhead",
    suffix: "",
    units: ["overhead.c"],
    flags: [],
  });
  const root = mkdtempSync(join(tmpdir(), "acked-overhead-"));
  const dataDir = join(root, "data");
  mkdirSync(dataDir);
  const disk = createDiskControl({ dataDir, logGlob: "*.log" });
  const trace = createTrace({ path: join(root, "trace.bin"), capacityBytes: turns * rounds * 8192 });
  const preload = disk.environment(library);
  const environments = { bare: {}, interposed: preload, traced: { ...preload, ...trace.environment() } };
  const best = { bare: {} as Costs, interposed: {} as Costs, traced: {} as Costs };
  try {
    for (let turn = 0; turn < turns; turn++) {
      for (const [name, env] of Object.entries(environments)) {
        const file = join(dataDir, "a.log");
        rmSync(file, { force: true });
        const run = await execa(program, [file, String(rounds)], { env, timeout: 60_000 });
        keepCheapest(best[name as keyof typeof best], JSON.parse(run.stdout) as Costs);
      }
    }
    if (disk.control.processesInside() !== 2 * turns) {
      throw new Error("the interposer was not inside the program whose calls were to be measured");
    }
  } finally {
    disk.remove();
    trace.close();
    rmSync(root, { recursive: true, force: true });
  }
  const calls = Object.fromEntries(Object.keys(best.bare).map((call) => [call, costOf(best, call)]));
  return { ...calls["pwrite 100"]!, calls };
}

function keepCheapest(best: Costs, costs: Costs): void {
  for (const [call, ns] of Object.entries(costs)) best[call] = Math.min(best[call] ?? Infinity, ns);
}

function costOf(best: { bare: Costs; interposed: Costs; traced: Costs }, call: string): CallCost {
  return { bareNs: best.bare[call]!, interposedNs: best.interposed[call]!, tracedNs: best.traced[call]! };
}
