/**
 * Opening a history for reading. A history is read several times (to recognize its format, to look for independent keys,
 * to pair operations, for the report), so what can be read once only is refused: a pipe would lose what an earlier
 * reading took, and be judged without it.
 */
import { closeSync, constants, fstatSync, openSync, type Stats } from "node:fs";
import { HistoryError } from "./history.ts";

/**
 * A file descriptor of a regular file, to be closed by the caller. Never waits, not even for the writer of a FIFO.
 *
 * @param what begins the complaint: `the history` …
 * @throws HistoryError when it cannot be opened, or is something else, before a byte of it is read.
 */
export function openRegularFile(path: string, what = "the history"): number {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw new HistoryError(`${what} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  const stats = fstatSync(fd);
  if (stats.isFile()) return fd;
  closeSync(fd);
  if (stats.isDirectory()) throw new HistoryError(`${what} is a directory, not a file`);
  throw new HistoryError(`${what} is a ${kindOf(stats)}: save it to a file first`);
}

function kindOf(stats: Stats): string {
  if (stats.isFIFO()) return "pipe";
  return stats.isSocket() ? "socket" : "device";
}
