/**
 * One thread of explorations (explore-threads.ts): loads the store's recovery, then for each message loads a run, explores a
 * share of it, and reports.
 */
import { setFlagsFromString } from "node:v8";
import { parentPort, workerData } from "node:worker_threads";
import type { Recoverable, StorePromise } from "../../stores/contract.ts";
import { type ExploreFilesOptions, exploreFiles } from "./explore-files.ts";
import type { Share, ShareProgress } from "./explore-share.ts";
import { SharedState } from "./explore-shared.ts";
import { inProcess } from "./recover/explore-recovery.ts";
import { readTracedRun } from "./traced/traced-run-files.ts";

/** What the thread is started with: a module that it will need. */
export interface WorkerData {
  readonly module: string;
}

/** A share to explore. */
export interface ShareTask
  extends Pick<
    ExploreFilesOptions,
    "profile" | "seed" | "budgetMs" | "statesMax" | "stopAtFirst" | "worker" | "workers"
  > {
  readonly runDir: string;
  readonly memory: SharedArrayBuffer;
  readonly recoverable: Recoverable;
  readonly promise: StorePromise;
}

export type WorkerMessage =
  | { readonly type: "progress"; readonly progress: ShareProgress }
  | { readonly type: "share"; readonly share: Share };

// Stores look for files that may not be there, thousands of times a second; nobody reads where such an error was made.
Error.stackTraceLimit = 0;
// Every recovery makes a whole store, which is garbage a moment later. Where V8 comes to expect that such objects live
// long it puts them among the old ones, where the dead keep alive what they refer to: scavenges took ten times as long.
setFlagsFromString("--no-allocation-site-pretenuring");
// A third of a thread's time went into optimising functions with the usual limits, and an exploration is over before most
// of that has paid: functions become hot six times as late (bytes of bytecode run), and take less of what they call into
// themselves. What runs for minutes is optimised all the same.
setFlagsFromString("--interrupt-budget=400000");
setFlagsFromString("--max-inlined-bytecode-size-cumulative=300");

if (parentPort) {
  const port = parentPort;
  const post = (message: WorkerMessage) => port.postMessage(message);
  port.on("message", async ({ runDir, memory, recoverable, promise, ...options }: ShareTask) => {
    const share = await exploreFiles({
      ...options,
      promise,
      files: readTracedRun(runDir),
      shared: new SharedState(memory),
      recovererOf: (values, durability) => inProcess(recoverable, durability, values),
      onProgress: (progress) => post({ type: "progress", progress }),
    });
    post({ type: "share", share });
  });
  // One that cannot be loaded is told when it is asked for.
  await import((workerData as WorkerData).module).catch(() => undefined);
}
