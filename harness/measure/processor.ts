/** Processor time: what the load generator used itself, and what a hypervisor took from this machine. */
import { readFileSync } from "node:fs";
import { monotonicClock } from "./clock.ts";

/** Shares over a stretch of time. */
export interface ProcessorUse {
  /** This process's CPU time per elapsed time: 1 = one core fully used. */
  readonly own: number;
  /** Part of all cores' time that a hypervisor gave to others, 0-1; 0 where the system does not tell. */
  readonly stolen: number;
}

/** Begins a stretch; the returned function ends it. */
export function watchProcessor(): () => ProcessorUse {
  const startedAt = monotonicClock.now();
  const own = process.cpuUsage();
  const before = systemTicks();
  return () => {
    const used = process.cpuUsage(own);
    const after = systemTicks();
    const elapsedUs = (monotonicClock.now() - startedAt) / 1000;
    const ticks = after.total - before.total;
    return {
      own: (used.user + used.system) / elapsedUs,
      stolen: ticks > 0 ? (after.stolen - before.stolen) / ticks : 0,
    };
  };
}

/** The first line of /proc/stat: user nice system idle iowait irq softirq steal … (proc(5)). */
function systemTicks(): { total: number; stolen: number } {
  try {
    const [line = ""] = readFileSync("/proc/stat", "utf8").split("\n", 1);
    const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number);
    return { total: ticks.reduce((sum, value) => sum + value, 0), stolen: ticks[7] ?? 0 };
  } catch {
    return { total: 0, stolen: 0 };
  }
}
