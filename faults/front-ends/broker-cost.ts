/**
 * What the broker costs: the program of faults/native/overhead.c run bare, through the broker, and through the broker with
 * a trace, in turns. Each figure is the cheapest block of calls of all turns; two changes of process are in each call, so
 * the figures of a busy machine are too high.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { brokerEnvironment, brokerUnavailable, buildBroker } from "./broker.ts";
import { buildNative } from "./build-native.ts";
import { createDiskControl } from "./interposer.ts";
import { createTrace } from "./trace-file.ts";

/** Nanoseconds a call. */
export interface BrokeredCallCost {
  /** Without acked. */
  readonly bareNs: number;
  /** Through the broker, nothing recorded. */
  readonly brokeredNs: number;
  readonly tracedNs: number;
}

/** Of a pwrite of 100 bytes; and of each call that was measured, that one included. */
export interface BrokerCost extends BrokeredCallCost {
  readonly calls: Readonly<Record<string, BrokeredCallCost>>;
}

type Costs = Readonly<Record<string, number>>;

/**
 * Measures it here and now; takes two seconds or so.
 *
 * @throws Error with one sentence where the broker cannot work.
 */
export async function measureBrokerCost({ rounds = 5_000, turns = 3 } = {}): Promise<BrokerCost> {
  const unavailable = await brokerUnavailable();
  if (unavailable !== undefined) throw new Error(unavailable);
  const broker = await buildBroker();
  const program = await buildNative({ name: "overhead", suffix: "", units: ["overhead.c"], flags: [] });
  const root = mkdtempSync(join(tmpdir(), "acked-broker-cost-"));
  const dataDir = join(root, "data");
  mkdirSync(dataDir);
  const disk = createDiskControl({ dataDir, logGlob: "**" });
  const trace = createTrace({ path: join(root, "trace.bin"), capacityBytes: turns * rounds * 8192 });
  const environment = brokerEnvironment(disk);
  const work = [join(dataDir, "a.log"), String(rounds)];
  const run = async (words: readonly string[], env: Readonly<Record<string, string>>): Promise<Costs> => {
    const [command = program, ...args] = [...words, program, ...work];
    return JSON.parse((await execa(command, args, { env, timeout: 60_000, stdin: "ignore" })).stdout);
  };
  const measured: Record<keyof BrokeredCallCost, Costs[]> = { bareNs: [], brokeredNs: [], tracedNs: [] };
  try {
    for (let turn = 0; turn < turns; turn++) {
      measured.bareNs.push(await run([], {}));
      measured.brokeredNs.push(await run([broker, "--"], environment));
      measured.tracedNs.push(await run([broker, "--"], { ...environment, ...trace.environment() }));
    }
    if (disk.control.processesInside() !== 2 * turns) {
      throw new Error("the calls that were to be measured did not go through the broker");
    }
  } finally {
    disk.remove();
    trace.close();
    rmSync(root, { recursive: true, force: true });
  }
  const cheapest = (call: string, how: keyof BrokeredCallCost) =>
    Math.min(...measured[how].map((costs) => costs[call]!));
  const names = Object.keys(measured.bareNs[0]!);
  const costOf = (call: string): BrokeredCallCost => ({
    bareNs: cheapest(call, "bareNs"),
    brokeredNs: cheapest(call, "brokeredNs"),
    tracedNs: cheapest(call, "tracedNs"),
  });
  return { ...costOf("pwrite 100"), calls: Object.fromEntries(names.map((call) => [call, costOf(call)])) };
}
