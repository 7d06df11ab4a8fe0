/**
 * The broker, for stores that ignore a preloaded library (`interposable: false`: static programs, Go): builds it
 * (faults/native/broker*.c), says whether this machine lets it work, and wraps a launch so that the store's disk calls
 * go through it. Plan, trace and control file are the interposer's.
 *
 * ```ts
 * const broker = await buildBroker();
 * const launch = brokered(await store.launch(node), broker);
 * const environment = { ...brokerEnvironment(disk), ...trace.environment() };
 * ```
 *
 * What it does not see is said in faults/native/broker-calls.h and in `brokerBlindSpots`.
 */
import { execa } from "execa";
import type { Launch } from "../../stores/contract.ts";
import { buildNative, coreUnits } from "./build-native.ts";
import type { InterposedDisk } from "./interposer.ts";

/** What passes by the broker, or is not as without it; for reports. */
export const brokerBlindSpots: readonly string[] = [
  "stores to memory through a shared mapping that was made writable by mprotect, or grown by mremap",
  "what a store sends together with control data (descriptors), and by other means than the stream sockets' calls",
  "signals whose handlers do not restart calls (no SA_RESTART): a call that was not taken up yet ends with EINTR, not made",
  "io_uring and Linux AIO: refused with ENOSYS, and the store's log says so",
];

export interface BrokerOptions {
  /**
   * Trap reads too, so that rules for them can act. Also on when such a rule was armed before the start. Costs every
   * read of the store, of its sockets too, several µs.
   */
  readonly reads?: boolean;
  /** For tests: as on Linux before 5.19, where signals end the wait for calls that are being made. */
  readonly interruptible?: boolean;
}

/**
 * Path of the broker, compiled if it is not in the cache.
 *
 * @throws Error with one sentence when there is no compiler here, or with the first line of what it said.
 */
export function buildBroker(): Promise<string> {
  return buildNative({
    name: "broker",
    suffix: "",
    units: [
      ...coreUnits,
      "broker.c",
      "broker-answers.c",
      "broker-calls.c",
      "broker-descriptions.c",
      "broker-filter.c",
      "broker-mirror.c",
      "broker-target.c",
    ],
    flags: [],
  });
}

/** Why no broker can work on this machine, and the remedy, in one sentence; `undefined` when it can. */
export async function brokerUnavailable(): Promise<string | undefined> {
  let broker: string;
  try {
    broker = await buildBroker();
  } catch (error) {
    return (error as Error).message;
  }
  return probeBroker(broker);
}

/** The same for a broker that has been built. */
export async function probeBroker(broker: string): Promise<string | undefined> {
  const asked = await execa(broker, ["--probe"], { reject: false, timeout: 20_000, stdin: "ignore" });
  if (asked.exitCode === 0) return undefined;
  const said = asked.stdout.split("\n")[0]?.replace(/^acked broker: /, "");
  const why =
    said || asked.stderr.split("\n")[0] || (asked.timedOut ? "it did not answer" : "it said nothing");
  return `the broker cannot work here: ${why}`;
}

/** The same store, started through the broker (`buildBroker`). */
export function brokered(launch: Launch, broker: string, options: BrokerOptions = {}): Launch {
  const flags = [
    ...(options.reads ? ["--reads"] : []),
    ...(options.interruptible ? ["--interruptible"] : []),
  ];
  return { ...launch, program: broker, args: [...flags, "--", launch.program, ...launch.args] };
}

/** What a broker started by *this* process needs in its environment. */
export function brokerEnvironment(disk: InterposedDisk): Record<string, string> {
  const { LD_PRELOAD: _, ...environment } = disk.environment("");
  return environment;
}
