/**
 * What a store's processes print, kept in the run's `store.log`: appended as it comes, one heading line per start,
 * and bounded, so that a store that prints without end cannot fill the disk.
 *
 * Written synchronously, so that the log is complete even when acked is killed. A disk that is full ends the log, and
 * not the run: what the run is judged by is elsewhere.
 */
import { closeSync, fstatSync, openSync, writeSync } from "node:fs";

/** Size of a `store.log` beyond which nothing but headings is kept, in bytes. */
export const storeLogBytesMax = 20 * 1024 * 1024;

/** One start's part of the log. */
export interface StoreLog {
  heading(text: string): void;
  write(chunk: Uint8Array): void;
  close(): void;
}

/** Opens the log for one start of a node. Throws when the file cannot be opened. */
export function openStoreLog(file: string, bytesMax: number = storeLogBytesMax): StoreLog {
  const descriptor = openSync(file, "a");
  let open = true;
  let full = false;
  const append = (content: string | Uint8Array) => {
    try {
      writeSync(descriptor, typeof content === "string" ? Buffer.from(content) : content);
    } catch {
      full = true;
    }
  };
  return {
    heading: (text) => append(`--- ${text}\n`),
    write(chunk) {
      if (!open || full) return;
      // Several nodes may share the file, so its size is asked, not counted.
      const room = bytesMax - fstatSync(descriptor).size;
      append(chunk.subarray(0, Math.max(0, room)));
      if (chunk.length <= room) return;
      full = true;
      append(`\n--- the rest is not kept: this log is limited to ${bytesMax} bytes\n`);
    },
    close() {
      if (!open) return;
      open = false;
      closeSync(descriptor);
    },
  };
}
