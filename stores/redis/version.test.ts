import { expect, test } from "vitest";
import { whyNotVersion } from "./version.ts";

test.each([
  ["Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c971a948f0", undefined],
  ["Redis server v=8.2.1 sha=00000000:1 malloc=libc bits=64 build=0", undefined],
  ["Redis server v=10.0.0-rc1 sha=0", undefined],
  [
    "Redis server v=6.2.14 sha=0",
    /^redis-server 6\.2\.14 is on PATH, and acked knows the files of 7\.0 and later only/,
  ],
  ["Redis server version 2.4.18 (00000000:0)", /names no version$/],
  ["", /names no version$/],
])("%j is accepted, or refused in one sentence", (printed, refusal) => {
  const why = whyNotVersion(printed);
  if (refusal) expect(why).toMatch(refusal);
  else expect(why).toBeUndefined();
});
