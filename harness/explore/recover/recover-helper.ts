/**
 * A small process that starts stores for an exploration, one message a start. To start a program, the system copies the
 * page tables of the process that starts it: measured 2 ms out of a process of 50 MB, and 25 ms out of one of 350 MB, as
 * one that explores easily is, all of which it stands still. And two helpers use two cores.
 *
 * It ends, with everything it has started, when it is told to or when the process that it works for is gone.
 */
import type { Durability, Request } from "../../../stores/contract.ts";
import { findStore } from "../../../stores/index.ts";
import { StartError } from "../../supervisor/supervisor.ts";
import { type ReadBack, StoreStarts } from "./recover-start.ts";

export type HelperRequest =
  | {
      readonly type: "open";
      readonly store: string;
      readonly durability: Durability;
      readonly requests: readonly Request[];
      readonly runsDir: string;
    }
  | {
      readonly type: "start";
      readonly id: number;
      readonly name: string;
      readonly directory: string;
      readonly traceTo?: string | undefined;
    };

export type HelperReply = {
  readonly id: number;
  readonly readBack?: ReadBack;
  /** Why there is nothing: an error of ours, not the store's. */
  readonly failed?: string;
  readonly kind?: StartError["kind"];
};

let starts: StoreStarts | undefined;

async function answer(message: HelperRequest): Promise<void> {
  if (message.type === "open") {
    const { store, ...options } = message;
    starts = new StoreStarts({ store: await findStore(store), ...options });
    send({ id: -1 });
    return;
  }
  const { id, name, directory, traceTo } = message;
  try {
    send({ id, readBack: await starts!.readBack(name, directory, traceTo) });
  } catch (error) {
    const failed = (error as Error).message;
    send({ id, failed, ...(error instanceof StartError ? { kind: error.kind } : {}) });
  }
}

function send(reply: HelperReply): void {
  if (process.connected) process.send!(reply);
}

if (process.send) {
  // Interrupted together with the process that it works for, it lets that one decide.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
  process.on("message", (message: HelperRequest) => {
    answer(message).catch((error: unknown) => send({ id: -1, failed: (error as Error).message }));
  });
  process.once("disconnect", async () => {
    await starts?.close();
    process.exit(0);
  });
}
