/**
 * How fast this machine is at the kind of work that exploring is, so that a test can assert a ratio instead of a time:
 * hashing, copying and comparing small buffers, and looking values up, on one thread.
 */
import { createHash } from "node:crypto";

/** Rounds of a fixed loop per second, measured for about `ms`. */
export function calibrate(ms = 100): number {
  const page = new Uint8Array(4096);
  const seen = new Map<string, number>();
  let rounds = 0;
  const startedAt = performance.now();
  do {
    for (let i = 0; i < 20; i++) {
      page[rounds % page.length] = rounds;
      const copy = page.slice();
      const name = createHash("sha1").update(copy).digest("base64");
      seen.set(name, (seen.get(name) ?? 0) + 1);
      if (seen.size > 1000) seen.clear();
      rounds++;
    }
  } while (performance.now() - startedAt < ms);
  return (rounds * 1000) / (performance.now() - startedAt);
}
