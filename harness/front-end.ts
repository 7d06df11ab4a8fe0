/**
 * What stands between a store's processes and their disk when it is started: the interposer, a preloaded library; or the
 * broker, for programs that ignore one. Both take the same plan and write the same trace (faults/front-ends/).
 */
import {
  brokerEnvironment,
  brokered,
  brokerUnavailable,
  buildBroker,
  buildInterposer,
  type createDiskControl,
} from "../faults/index.ts";
import type { Launch, Store } from "../stores/contract.ts";
import { findCompiler } from "./machine.ts";

export type InterposedDisk = ReturnType<typeof createDiskControl>;

/** How the disk calls of a store are reached. */
export interface FrontEnd {
  readonly mechanism: "interposer" | "broker";
  launch(launch: Launch): Launch;
  environment(disk: InterposedDisk): Readonly<Record<string, string>>;
}

/**
 * The front end that this store needs, built. Undefined where there is no compiler, or the broker is not permitted: then
 * disk faults and traces were left out aloud already.
 */
export async function frontEndFor(store: Store): Promise<FrontEnd | undefined> {
  if (process.platform !== "linux" || !findCompiler()) return undefined;
  if (store.interposable === false) {
    if (await brokerUnavailable()) return undefined;
    const broker = await buildBroker();
    return {
      mechanism: "broker",
      launch: (launch) => brokered(launch, broker),
      environment: brokerEnvironment,
    };
  }
  const library = await buildInterposer();
  return {
    mechanism: "interposer",
    launch: (launch) => launch,
    environment: (disk) => disk.environment(library),
  };
}
