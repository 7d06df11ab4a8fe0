/** The live line of a run: rewritten in place on a terminal, a plain line every few seconds elsewhere. Always on stderr. */
import type { Progress } from "../harness/run.ts";

export interface StatusLine {
  show(progress: Progress): void;
  /** Clears the line, so that what is printed next starts clean. */
  clear(): void;
}

const plainEveryMs = 5000;

export function statusLine(stream: NodeJS.WriteStream = process.stderr): StatusLine {
  let last: { at: number; operations: number } | undefined;
  let perSecond = 0;
  let plainAt = performance.now();
  return {
    show(progress) {
      const now = performance.now();
      if (last && now - last.at < 100) return;
      if (last && now > last.at) {
        const rate = ((progress.operations - last.operations) * 1000) / (now - last.at);
        perSecond = perSecond === 0 ? rate : perSecond * 0.8 + rate * 0.2;
      }
      last = { at: now, operations: progress.operations };
      const line = describe(progress, perSecond);
      if (stream.isTTY) stream.write(`\r\x1b[2K${line.slice(0, (stream.columns ?? 100) - 1)}`);
      else if (now - plainAt >= plainEveryMs) {
        plainAt = now;
        stream.write(`${line}\n`);
      }
    },
    clear() {
      if (stream.isTTY) stream.write("\r\x1b[2K");
    },
  };
}

function describe(progress: Progress, perSecond: number): string {
  const faults = [...new Set(progress.faultsInForce)].join(", ") || "none";
  return [
    progress.phase.padEnd(12),
    `${Math.round(Math.max(0, perSecond)).toString().padStart(5)} ops/s`,
    `${progress.operations} operations`,
    `cycle ${progress.cycles}`,
    `faults in force: ${faults}`,
    `${Math.ceil(progress.secondsLeft)} s left`,
  ].join(" · ");
}
