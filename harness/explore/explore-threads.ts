/**
 * The threads that explore (explore-worker.ts): started before there is anything to explore, so that loading programs does
 * not cost time of the exploration, and kept from one exploration of a store to the next, which finds their code loaded
 * and compiled. One explores one share at a time, and remembers nothing of it afterwards.
 *
 * A thread that hangs in a recovery is ended, and one that fails is gone: the next exploration gets a new one.
 */
import { Worker } from "node:worker_threads";
import type { Recoverable } from "../../stores/contract.ts";
import { childProgram } from "../package-root.ts";
import type { Share, ShareProgress } from "./explore-share.ts";
import type { SharedState } from "./explore-shared.ts";
import type { ShareTask, WorkerMessage } from "./explore-worker.ts";

/** Two cores are what a developer's machine and CI have at least. */
export const workersAtOnce = 2;
/** MiB. Every recovery leaves a few hundred KiB of garbage that dies at once: few, large scavenges cost least. */
const resourceLimits = { maxYoungGenerationSizeMb: 192 };
const pollMs = 100;

/** How a share ended: with what was found, or in a recovery that hung, of a state after that event. */
export type ShareEnd = { readonly share: Share } | { readonly hungAt: number };

export class ExploringThreads {
  readonly #recoverable: Recoverable;
  readonly #threads: (Worker | undefined)[] = [];

  /** Starts them: they load what they need, and wait without keeping the process alive. */
  constructor(recoverable: Recoverable) {
    this.#recoverable = recoverable;
    for (let worker = 0; worker < workersAtOnce; worker++) this.#threadOf(worker);
  }

  /**
   * Explores one share in the thread of that number. Whoever stops `shared` ends it soon.
   *
   * @param deadlineMs a recovery that takes longer hangs.
   * @throws whatever went wrong in the thread on our side; then `shared` is stopped.
   */
  run(
    task: Omit<ShareTask, "memory" | "recoverable">,
    shared: SharedState,
    deadlineMs: number,
    onProgress: (progress: ShareProgress) => void,
  ): Promise<ShareEnd> {
    const { worker } = task;
    const thread = this.#threadOf(worker);
    thread.ref();
    return new Promise<ShareEnd>((resolve, reject) => {
      const watch = setInterval(() => {
        const hung = shared.hungFor(worker);
        if (hung === undefined || hung.ms < deadlineMs) return;
        shared.stop();
        settle(() => resolve({ hungAt: hung.event }));
        this.#threads[worker] = undefined;
        void thread.terminate();
      }, pollMs);
      const heard = (message: WorkerMessage) => {
        if (message.type === "progress") onProgress(message.progress);
        else settle(() => resolve({ share: message.share }));
      };
      const failed = (error: unknown) => {
        shared.stop();
        settle(() => reject(error));
      };
      const ended = (code: number) =>
        failed(new Error(`an exploring thread ended with code ${code} and no result`));
      const settle = (end: () => void) => {
        clearInterval(watch);
        thread.off("message", heard);
        thread.off("error", failed);
        thread.off("exit", ended);
        thread.unref();
        end();
      };
      thread.on("message", heard);
      thread.on("error", failed);
      thread.on("exit", ended);
      const whole: ShareTask = { ...task, memory: shared.memory, recoverable: this.#recoverable };
      thread.postMessage(whole);
    });
  }

  /** Ends all threads. */
  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread?.terminate()));
  }

  /** The thread of that number: a new one when there is none, or the one before has ended. */
  #threadOf(worker: number): Worker {
    const running = this.#threads[worker];
    if (running) return running;
    const workerData = { module: this.#recoverable.module };
    const thread = new Worker(childProgram("harness/explore/explore-worker.js"), {
      workerData,
      resourceLimits,
    });
    this.#threads[worker] = thread;
    const gone = () => {
      if (this.#threads[worker] === thread) this.#threads[worker] = undefined;
    };
    // Nobody may be waiting for it: an error without a listener would end the whole program. Whoever waits next is told.
    thread.once("error", gone);
    thread.once("exit", gone);
    thread.unref();
    return thread;
  }
}
