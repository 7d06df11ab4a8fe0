/**
 * `acked bench network`: what the proxies between the members of a cluster cost. A client and a server, each in a process
 * of its own, speak directly and through one proxy in this process, in turns; no condition is in force. Every promise is
 * printed with its figure, and with whether it was reached here.
 *
 * A hop is one passage of a message through a proxy: the round trip through it minus the direct one, halved; the median of
 * a thousand pairs, in the quietest of several blocks of them, since a busy machine only ever makes figures too high.
 * Throughput is the fastest of several streams in one direction. Three processes share the machine's cores: with
 * two of them the proxy and one end wait for each other. Not measured: links with a condition, and many connections at once.
 */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Command } from "commander";
import { createProxyNetwork } from "../faults/index.ts";
import { describeMachine } from "../harness/machine.ts";
import { packageRoot } from "../harness/package-root.ts";
import type { NetworkPlan, NetworkTimes } from "./network-ends.ts";

export interface NetworkFigures extends NetworkTimes {
  /** µs for one passage. */
  readonly hopUs: number;
  readonly promises: readonly {
    readonly promise: string;
    readonly figure: string;
    readonly reached: boolean;
  }[];
}

const hopUsMost = 30;
const MBsLeast = 300;

/** Adds the subcommand to `acked bench`. */
export function registerNetwork(bench: Command): void {
  bench
    .command("network")
    .description("what a proxy between two members costs: µs a hop, and MB/s")
    .option("--json", "one JSON document on standard output, and nothing else there")
    .action(async (_: unknown, command: Command) => {
      const { json } = command.optsWithGlobals<{ json?: true }>();
      const figures = await measureNetwork({ roundTrips: 1000, blocks: 12, megabytes: 64, streams: 12 });
      const { cores, cpu, node } = describeMachine(".");
      const head = { formatVersion: 1, command: "bench network", verdict: true, exitCode: 0, reasons: [] };
      process.stdout.write(
        json
          ? `${JSON.stringify({ ...head, findings: [], ...figures, machine: { cores, cpu, node } })}\n`
          : `${[...told(figures), `${cores} × ${cpu}, Node ${node}`].join("\n")}\n`,
      );
    });
}

/** Starts both ends and the proxy between them, and measures. */
export async function measureNetwork(
  size: Pick<NetworkPlan, "roundTrips" | "blocks" | "megabytes" | "streams">,
): Promise<NetworkFigures> {
  const network = await createProxyNetwork({ processesOf: () => [] });
  const ports = await network.addMember("n1", ["echo", "sink"]);
  await network.addClient("c0");
  const [echo, sink] = [ports.echo!.listen, ports.sink!.listen];
  const program = join(packageRoot, "dist/scripts/network-ends.js");
  const server = spawn(process.execPath, [program, "serve", String(echo.port), String(sink.port)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  try {
    await once(server.stdout!, "data");
    const plan: NetworkPlan = {
      echo: { direct: echo, proxied: network.clientEndpoint("c0", "n1", "echo") },
      sink: { direct: sink, proxied: network.clientEndpoint("c0", "n1", "sink") },
      ...size,
    };
    const client = await promisify(execFile)(process.execPath, [program, "measure", JSON.stringify(plan)]);
    return judged(JSON.parse(client.stdout));
  } finally {
    server.kill("SIGKILL");
    await network.close();
  }
}

function judged(times: NetworkTimes): NetworkFigures {
  const hopUs = times.pairedUs / 2;
  const share = times.proxiedMBs / times.directMBs;
  return {
    ...times,
    hopUs,
    promises: [
      {
        promise: "one hop through a proxy",
        figure: `${hopUs.toFixed(1)} µs (at most ${hopUsMost})`,
        reached: hopUs <= hopUsMost,
      },
      {
        promise: "throughput of one connection through a proxy",
        figure: `${times.proxiedMBs.toFixed(0)} MB/s (at least ${MBsLeast}, or a third of loopback: ${(100 * share).toFixed(0)}%)`,
        reached: times.proxiedMBs >= MBsLeast || share >= 1 / 3,
      },
    ],
  };
}

function told({ directUs, proxiedUs, directMBs, proxiedMBs, promises }: NetworkFigures): string[] {
  const row = (what: string, us: string, rate: string) =>
    `${what.padEnd(20)} ${us.padStart(14)} ${rate.padStart(14)}`;
  return [
    row("", "round trip", "throughput"),
    row("loopback", `${directUs.toFixed(1)} µs`, `${directMBs.toFixed(0)} MB/s`),
    row("through one proxy", `${proxiedUs.toFixed(1)} µs`, `${proxiedMBs.toFixed(0)} MB/s`),
    "",
    ...promises.map(
      ({ promise, figure, reached }) => `${reached ? "reached    " : "not reached"}  ${promise}: ${figure}`,
    ),
  ];
}
