/**
 * In-process recovery of the store json-files: what its program does when it starts (read every file, parse it), over a
 * directory in memory. It writes nothing, as the program does not.
 */
import type { RecoveredStore, Request, SimulatedDisk } from "../contract.ts";
import { type Entry, loadDirectory } from "./files.ts";

/** Rejects with the file that cannot be read. */
export async function recover(disk: SimulatedDisk): Promise<RecoveredStore> {
  const entries = loadDirectory(disk.list(""), (name) => disk.readFile(name));
  return { read: (request) => read(entries, request), report: { files: entries.size } };
}

/** As GET (`read` of register and kv) or LRANGE (`read` of append) would answer. */
function read(entries: ReadonlyMap<string, Entry>, { workload, key }: Request): unknown {
  const entry = entries.get(key);
  if (workload === "append") return entry ?? [];
  return entry ?? null;
}
