/**
 * A directory of JSON files written with plain `writeFile`: what many applications have instead of a database. It is
 * here to be found wrong: a file is emptied before it is written again, and nothing is ever synced.
 *
 * Not offered: transactions, since several files cannot change together.
 */
import { childProgram } from "../../harness/package-root.ts";
import type { Store } from "../contract.ts";
import { type DeclaredPromise, respStore } from "../resp.ts";

/** `flush` is off by default, so nothing is promised about power loss; what was written is the kernel's. */
const promise: DeclaredPromise = {
  processCrash: { survives: "everything acknowledged" },
  powerLoss: { survives: "a prefix", lossMsMax: Number.POSITIVE_INFINITY },
  gracefulStop: { survives: "everything acknowledged" },
  source: `"asynchronously writes data to a file, replacing the file if it already exists […] flush: If all data is successfully written to the file, and flush is true, filehandle.sync() is used to flush the data. Default: false" https://nodejs.org/api/fs.html#fspromiseswritefilefile-data-options`,
};

export const jsonFiles: Store = {
  ...respStore({
    name: "json-files",
    summary: "one JSON file a key, rewritten with Node's plain writeFile and never synced",
    command: (node) => [process.execPath, childProgram("stores/json-files/main.js"), "0", node.dir],
    ready: "line",
    capabilities: ["registers", "compare-and-set", "deletes", "lists"],
    durabilities: ["none"],
    promise,
    logFiles: "*.json",
    performs: ["write", "grow"],
  }),
  recoverable: { module: childProgram("stores/json-files/recoverable.js"), options: {} },
};
