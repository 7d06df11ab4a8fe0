/** Whatever calls a program makes, in whatever order, the trace alone rebuilds its files byte for byte. */
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import type { DiskRule, Effect } from "../contract.ts";
import { findWorkingCompiler } from "./build-interposer.ts";
import { InterposedDirectory } from "./fixtures/interposed.ts";
import { filesIn, rebuild } from "./fixtures/rebuild.ts";

const compiler = process.platform === "linux" ? await findWorkingCompiler() : undefined;
if (!compiler) console.warn("SKIPPED: the coverage property needs Linux and a C compiler (gcc)");

const directories: InterposedDirectory[] = [];
afterAll(() => {
  for (const one of directories) one.remove();
});

const slot = fc.constantFrom("a", "b");
const name = fc.constantFrom("x", "y", "sub/x", "d/x");
const directoryName = fc.constantFrom("d", "e", "sub");
const text = fc.stringMatching(/^[a-z]{1,20}$/);
const offset = fc.integer({ min: 0, max: 9000 });
const flags = fc.constantFrom("bc", "bca", "wct", "b", "bcx", "bcd");
const call = (...parts: (string | fc.Arbitrary<string | number>)[]): fc.Arbitrary<string> =>
  fc
    .tuple(...parts.map((part) => (typeof part === "string" ? fc.constant(part) : part)))
    .map((words) => words.join(":"));

const anyCall = fc.oneof(
  { weight: 4, arbitrary: call("open", slot, name, flags) },
  { weight: 4, arbitrary: call("write", slot, text) },
  { weight: 4, arbitrary: call("pwrite", slot, offset, text) },
  call("writev", slot, text, text),
  call("pwritev2", slot, fc.constantFrom(-1, 0, 5000), fc.constantFrom(0, 2, 16), text),
  call("fill", slot, offset, fc.integer({ min: 1, max: 9000 }), fc.constantFrom("A", "B")),
  call("sys_write", slot, text),
  call("dprintf", slot, text),
  call("ftruncate", slot, offset),
  call("truncate", name, offset),
  call("fallocate", slot, fc.constantFrom(0, 1, 3, 16), offset, fc.integer({ min: 1, max: 6000 })),
  call("posix_fallocate", slot, offset, fc.integer({ min: 1, max: 6000 })),
  call("lseek", slot, offset),
  call("rename", name, name),
  call("rename", directoryName, directoryName),
  call("link", name, name),
  call("unlink", name),
  call("remove", fc.oneof(name, directoryName)),
  call("mkdir", directoryName),
  call("copy_file_range", slot, slot, offset),
  call("sendfile", slot, slot, offset),
  call("splice", slot, text),
  call("fsync", slot),
  call("fork", "write", slot, text),
  call("fopen", "f", name, fc.constantFrom("w", "a", "r+")),
);

const bytes = fc.integer({ min: 0, max: 3000 });
const errno = fc.constantFrom("EIO" as const, "ENOSPC" as const);
const onWrite: fc.Arbitrary<Effect> = fc.oneof(
  fc.record({ do: fc.constant("error" as const), errno }),
  fc.record({ do: fc.constant("short" as const), bytes }),
  fc.record({ do: fc.constant("torn-kill" as const), bytes }),
  fc.record({ do: fc.constant("torn-error" as const), bytes, errno }),
  fc.record({ do: fc.constantFrom("lying" as const, "kill-before" as const, "kill-after" as const) }),
  fc.record({ do: fc.constant("full" as const) }),
  fc.record({ do: fc.constant("misdirected" as const), shiftBytes: fc.constantFrom(-5000, -3, 1, 4096) }),
  fc.record({ do: fc.constant("bit-flip" as const), bit: fc.nat({ max: 100_000 }) }),
);
const anyRule: fc.Arbitrary<DiskRule> = fc.record({
  operation: fc.constant("write" as const),
  path: fc.constantFrom("**", "x"),
  nth: fc.integer({ min: 1, max: 8 }),
  repeat: fc.constantFrom("once" as const, "from" as const),
  effect: onWrite,
});

describe.skipIf(!compiler)("any sequence of calls", () => {
  it.each([
    ["undisturbed", fc.constant(undefined)],
    ["with any effect on its writes", anyRule],
  ])("is told by the trace to the last byte, %s", async (_name, rules) => {
    const sequence = fc.array(anyCall, { minLength: 5, maxLength: 60, size: "max" });
    await fc.assert(
      fc.asyncProperty(sequence, rules, async (calls, rule) => {
        const disk = await InterposedDirectory.create("**", { traced: true, traceBytes: 16 * 2 ** 20 });
        directories.push(disk);
        if (rule) disk.control.arm(rule);
        const streams = calls.flatMap((one) =>
          one.startsWith("fopen:") ? [one, "fputs:f:streamed"] : [one],
        );
        await disk.script("open:a:x:bc", "open:b:y:bc", ...streams);
        const { events, faults } = disk.trace();
        expect(faults).toEqual([]);
        const texts = (files: Map<string, Buffer>): [string, string][] =>
          [...files].map(([path, bytes]): [string, string] => [path, bytes.toString("latin1")]).sort();
        expect(texts(rebuild(events))).toEqual(texts(filesIn(disk.path)));
      }),
      { seed: 20, numRuns: 40 },
    );
  });
});
