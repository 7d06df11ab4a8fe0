import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import fc from "fast-check";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import type { FaultTarget } from "../contract.ts";
import { findWorkingCompiler } from "../front-ends/build-native.ts";
import { buildClock, createSkewedClock, type SkewedClock } from "../front-ends/clock.ts";
import { compiled } from "../front-ends/fixtures/interposed.ts";
import { clockSkew } from "./clock-skew.ts";

const compiler = process.platform === "linux" ? await findWorkingCompiler() : undefined;

/** A program that reads its clocks when it is asked to. */
class Asked {
  readonly child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(program: string, args: readonly string[], environment: Record<string, string>) {
    this.child = spawn(program, args, {
      env: { ...process.env, ...environment },
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#lines = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  /** Its line of ns, with the machine's wall clock in ns just before and just after. */
  async ask(): Promise<{ before: number; clocks: number[]; after: number }> {
    const before = Date.now() * 1e6;
    this.child.stdin!.write("?\n");
    const { value } = await this.#lines.next();
    return { before, clocks: String(value).split(" ").map(Number), after: (Date.now() + 1) * 1e6 };
  }
}

const nodeClock = `process.stdin.on("data", () => console.log(Date.now() * 1e6, Number(process.hrtime.bigint())))`;

describe.skipIf(!compiler)(`a skewed clock${compiler ? "" : " (skipped: no C compiler)"}`, () => {
  let library: string;
  let readings: string;
  let clock: SkewedClock | undefined;
  let asked: Asked | undefined;

  beforeAll(async () => {
    library = await buildClock();
    readings = await compiled("clock-readings");
  });
  afterEach(() => {
    asked?.child.kill("SIGKILL");
    clock?.remove();
  });

  const start = (program = readings, args: readonly string[] = []) => {
    clock = createSkewedClock();
    asked = new Asked(program, args, clock.environment(library));
    return { control: clock.control, asked };
  };
  /** ns by which a clock may be behind or ahead of what brackets it: the coarse one ticks every 10 ms at worst. */
  const coarse = 11e6;

  it("is the machine's own until it is skewed, and again when it is straightened", async () => {
    const { control, asked: program } = start();
    for (const straightened of [false, true]) {
      if (straightened) {
        control.skew(5_000, 0);
        await program.ask();
        control.straighten();
      }
      const skewed = control.readings();
      const { before, clocks, after } = await program.ask();
      for (const ns of clocks.slice(0, 4)) {
        expect(ns).toBeGreaterThanOrEqual(before - coarse);
        expect(ns).toBeLessThanOrEqual(after);
      }
      expect(control.readings()).toBe(skewed);
    }
    expect(control.processesInside()).toBe(1);
  });

  it.each([90_000, -90_000])(
    "is ahead by %d ms at every call of the C library, while it runs",
    async (shiftMs) => {
      const { control, asked: program } = start();
      await program.ask();
      const monotonicBefore = Number(process.hrtime.bigint());
      control.skew(shiftMs, 0);
      const { before, clocks, after } = await program.ask();
      const [, , , , seconds, monotonic] = clocks;
      for (const ns of clocks.slice(0, 4)) {
        expect(ns - shiftMs * 1e6).toBeGreaterThanOrEqual(before - coarse);
        expect(ns - shiftMs * 1e6).toBeLessThanOrEqual(after);
      }
      expect(Math.abs(seconds! - shiftMs * 1e6 - before)).toBeLessThanOrEqual(1e9 + (after - before));
      expect(monotonic).toBeGreaterThanOrEqual(monotonicBefore);
      expect(monotonic).toBeLessThanOrEqual(Number(process.hrtime.bigint()));
      expect(control.readings()).toBe(5);
    },
  );

  it.each([1_000_000, -500_000])("gains %d millionths, from the shift on", async (ratePpm) => {
    const { control, asked: program } = start();
    await program.ask();
    const setBefore = performance.now();
    control.skew(1000, ratePpm);
    const setAfter = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const askedAt = performance.now();
    const { before, clocks, after } = await program.ask();
    const answeredAt = performance.now();
    const gains = [askedAt - setAfter, answeredAt - setBefore].map(
      (ms) => (1000 + (ms * ratePpm) / 1e6) * 1e6,
    );
    const [least, most] = [Math.min(...gains), Math.max(...gains)];
    expect(Math.abs(most - 1e9)).toBeGreaterThan(100e6);
    expect(clocks[0]).toBeGreaterThanOrEqual(before + least - coarse);
    expect(clocks[0]).toBeLessThanOrEqual(after + most + coarse);
  });

  it("is seen by Node, whose monotonic clock stays", async () => {
    const { control, asked: program } = start(process.execPath, ["-e", nodeClock]);
    await program.ask();
    control.skew(3_600_000, 0);
    const { before, clocks, after } = await program.ask();
    expect(clocks[0]! - 3.6e12).toBeGreaterThanOrEqual(before - 1e6);
    expect(clocks[0]! - 3.6e12).toBeLessThanOrEqual(after);
    expect(clocks[1]).toBeLessThanOrEqual(Number(process.hrtime.bigint()));
  });

  it("as a fault has fired once the clock has been read, and is over when healed", async () => {
    const { control, asked: program } = start();
    await program.ask();
    const target = { clock: control, node: { name: "n1" } } as unknown as FaultTarget;
    const injection = clockSkew.inject({ shiftMs: -20_000, ratePpm: 0, durationMs: 500 }, target);
    expect(injection.fired()).toBeUndefined();
    await program.ask();
    expect(injection.fired()).toEqual({ readings: 5, shiftMs: -20_000, ratePpm: 0 });
    injection.heal();
    injection.heal();
    const { before, clocks } = await program.ask();
    expect(clocks[0]).toBeGreaterThanOrEqual(before - coarse);
    expect(injection.fired()).toMatchObject({ readings: 5 });
  });

  it("leaves no file behind, and is refused where it makes no sense", async () => {
    const { control, asked: program } = start();
    await program.ask();
    expect(() => control.skew(Number.NaN, 0)).toThrow(RangeError);
    program.child.stdin!.end();
    await once(program.child, "exit");
    clock!.remove();
    clock!.remove();
    expect(existsSync(clock!.path)).toBe(false);
    expect(control.processesInside()).toBe(1);
  });
});

it("is not available to static programs, without a compiler, or elsewhere than on Linux, and says why", () => {
  const store = { name: "etcd", interposable: false } as never;
  const dynamic = { name: "redis" } as never;
  const linux = { platform: "linux", root: false, compiler: "gcc" };
  expect(clockSkew.unavailable(store, linux)).toMatch(/etcd is linked statically/);
  expect(clockSkew.unavailable(dynamic, linux)).toBeUndefined();
  expect(clockSkew.unavailable(dynamic, { platform: "linux", root: false })).toMatch(/gcc/);
  expect(clockSkew.unavailable(dynamic, { ...linux, platform: "darwin" })).toMatch(/Linux/);
});

it("has parameters that are plain JSON", () => {
  fc.assert(
    fc.property(clockSkew.parameters({} as never), (parameters) => {
      expect(JSON.parse(JSON.stringify(parameters))).toEqual({ ...parameters });
    }),
    { seed: 20_261_129, numRuns: 50 },
  );
});
