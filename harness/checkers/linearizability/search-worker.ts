/** One thread of a check: loads the model, checks its share of the partitions in turns, and reports (see workers.ts). */
import { parentPort, workerData } from "node:worker_threads";
import { CheckerDisagreement } from "../disagreement.ts";
import { checkPartitions } from "./partitions.ts";
import { loadModel, type SearchWorkerData, type SearchWorkerMessage } from "./workers.ts";

if (parentPort) {
  const port = parentPort;
  const post = (message: SearchWorkerMessage) => port.postMessage(message);
  const { model, partitions, budgetMs, memoryBytes, crossCheck } = workerData as SearchWorkerData;
  const untilMs = performance.now() + 0.9 * budgetMs;
  try {
    checkPartitions(await loadModel(model), new Map(partitions), {
      untilMs,
      memoryBytes,
      crossCheck,
      onTurn: (progress) => post({ type: "turn", progress }),
      onOutcome: (outcome) => post({ type: "outcome", outcome }),
    });
  } catch (error) {
    if (!(error instanceof CheckerDisagreement)) throw error;
    post({ type: "disagreement", partition: error.partition, what: error.message });
  }
}
