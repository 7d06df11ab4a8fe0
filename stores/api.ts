/**
 * The package's entry, `import … from "acked"`: what a store or a workload of one's own needs.
 *
 * A store for a program that speaks RESP is one call:
 * ```js
 * import { respStore } from "acked";
 * export default respStore({
 *   name: "my-store",
 *   command: (node) => ["my-server", "--port", String(node.port), "--dir", node.dir],
 * });
 * ```
 * Any other protocol: export a `Store` with a `Client` of your own.
 */
export type {
  CheckContext,
  CheckResult,
  Finding,
  FindingKind,
  Verdict,
} from "../harness/checkers/contract.ts";
export { findingKinds } from "../harness/checkers/contract.ts";
export type { History } from "../harness/history/history.ts";
export type { HistoryEvent, Operation, Outcome } from "../harness/history/operation.ts";
export type { RequestStream, StreamOptions, Workload } from "../workloads/contract.ts";
export {
  RespConnection,
  RespConnectionError,
  RespError,
  type RespReply,
} from "./clients/resp.ts";
export type {
  Capability,
  Client,
  DiskOperation,
  Durability,
  Endpoint,
  Launch,
  NodeSettings,
  PlantedBug,
  Reply,
  Request,
  Store,
  StorePromise,
  Survival,
} from "./contract.ts";
export { capabilities, ScenarioError } from "./contract.ts";
export { type DeclaredPromise, type RespStoreOptions, respStore } from "./resp.ts";
