/** The interposer's cost, printed always; asserted only as ratios, with room for a busy machine. */
import { expect, it } from "vitest";
import { findWorkingCompiler } from "./build-interposer.ts";
import { measureOverhead } from "./overhead.ts";

const compiler = process.platform === "linux" ? await findWorkingCompiler() : undefined;
if (!compiler) console.warn("SKIPPED: measuring the interposer needs Linux and a C compiler (gcc)");

it.skipIf(!compiler)(
  "the interposer costs a write less than three times the bare call, a trace less than thirty",
  async () => {
    const overhead = await measureOverhead();
    for (const [call, { bareNs, interposedNs, tracedNs }] of Object.entries(overhead.calls)) {
      console.info(
        `${call}: ${bareNs} ns bare, ${interposedNs} interposed (${(interposedNs / bareNs).toFixed(2)}x), ${tracedNs} traced`,
      );
    }
    expect(overhead.interposedNs / overhead.bareNs).toBeLessThan(3);
    expect(overhead.tracedNs / overhead.bareNs).toBeLessThan(30);
  },
);
