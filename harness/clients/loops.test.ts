import { describe, expect, it } from "vitest";
import type { MeasuredDone } from "../../stores/contract.ts";
import type { Clock } from "../measure/clock.ts";
import { TimeHistogram } from "../measure/histogram.ts";
import { poissonArrivals, seededRandom } from "../measure/random.ts";
import { runClosedLoop } from "./closed-loop.ts";
import { type OpenLoopResult, runOpenLoop } from "./open-loop.ts";

const ms = 1e6;

/** Time that passes only when everything due has been done; events at one time run in the order they were set. */
class FakeClock implements Clock {
  #now = 0;
  #events: { time: number; callback: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  at(time: number, callback: () => void): () => void {
    const event = { time, callback };
    this.#events.push(event);
    return () => {
      this.#events = this.#events.filter((one) => one !== event);
    };
  }

  /** Runs until `done` settles. */
  async run<T>(done: Promise<T>): Promise<T> {
    let settled = false;
    const ended = done.finally(() => {
      settled = true;
    });
    ended.catch(() => {});
    for (;;) {
      await Promise.resolve();
      if (settled) return ended;
      this.#events.sort((a, b) => a.time - b.time);
      const event = this.#events.shift();
      if (!event) return ended;
      this.#now = Math.max(this.#now, event.time);
      event.callback();
    }
  }
}

/** A server that takes `serviceNs` a request and answers nothing between two times. */
class FakeServer {
  readonly #clock: FakeClock;
  readonly #stall: { from: number; until: number };
  readonly #serviceNs: number;
  sent = 0;

  constructor(clock: FakeClock, serviceNs: number, stall = { from: Number.POSITIVE_INFINITY, until: 0 }) {
    this.#clock = clock;
    this.#serviceNs = serviceNs;
    this.#stall = stall;
  }

  readonly send = (_connection: number, done: MeasuredDone): void => {
    this.sent++;
    const ready = this.#clock.now() + this.#serviceNs;
    const { from, until } = this.#stall;
    this.#clock.at(ready >= from && ready < until ? until : ready, () => done(undefined));
  };
}

interface Measured extends OpenLoopResult {
  readonly response: TimeHistogram;
  readonly service: TimeHistogram;
}

async function open(
  clock: FakeClock,
  server: FakeServer,
  options: { connections?: number; perSecond?: number; queueMax?: number; drainNs?: number } = {},
): Promise<Measured> {
  const response = new TimeHistogram();
  const service = new TimeHistogram();
  const result = await clock.run(
    runOpenLoop({
      connections: Array.from({ length: options.connections ?? 4 }, (_, index) => index),
      send: server.send,
      clock,
      arrivals: poissonArrivals(options.perSecond ?? 1000, seededRandom(7)),
      warmupNs: 0,
      measureNs: 1000 * ms,
      drainNs: options.drainNs ?? 1000 * ms,
      queueMax: options.queueMax ?? 100_000,
      lateNs: ms,
      onTimes: (responseNs, serviceNs) => {
        response.record(responseNs);
        service.record(serviceNs);
      },
      onLag: () => {},
    }),
  );
  return { ...result, response, service };
}

describe("an open loop", () => {
  it("shows a stall in the response time of everything that waited for it, and hardly in the service time", async () => {
    const clock = new FakeClock();
    const server = new FakeServer(clock, 0.5 * ms, { from: 300 * ms, until: 500 * ms });
    const { response, service, offered, completed, late } = await open(clock, server);
    expect(completed).toBe(offered);
    expect(offered).toBeGreaterThan(900);
    expect(service.at(99)).toBeLessThan(ms); // only the four in flight saw it
    expect(response.at(90)).toBeGreaterThan(50 * ms); // a fifth of all were due meanwhile
    expect(late).toBeGreaterThan(150);
  });

  it("has response time equal to service time while the server keeps up and connections are free", async () => {
    const clock = new FakeClock();
    const { response, service, late } = await open(clock, new FakeServer(clock, 0.1 * ms), {
      connections: 100,
    });
    expect(response.summary()).toEqual(service.summary());
    expect(late).toBe(0);
  });

  it("goes on sending at its rate when the server cannot keep up, and says what was left over", async () => {
    const clock = new FakeClock();
    const overloaded = new FakeServer(clock, 10 * ms);
    const result = await open(clock, overloaded, { connections: 1, drainNs: 10 * ms });
    expect(result.offered).toBeGreaterThan(900);
    expect(result.completedInTime).toBeLessThanOrEqual(100);
    expect(result.unfinished).toBe(result.offered - result.completed);
    expect(result.unfinished).toBeGreaterThan(800);
  });

  it("drops and counts what finds the queue full", async () => {
    const clock = new FakeClock();
    const result = await open(clock, new FakeServer(clock, 10 * ms), { connections: 1, queueMax: 5 });
    expect(result.dropped).toBeGreaterThan(800);
    expect(result.offered).toBe(result.completed + result.dropped + result.unfinished);
  });

  it("ends with the first error of a request", async () => {
    const clock = new FakeClock();
    const failing = {
      send: (_: number, done: MeasuredDone) => void clock.at(clock.now(), () => done(new Error("no"))),
    };
    await expect(open(clock, failing as unknown as FakeServer)).rejects.toThrow("no");
  });
});

describe("a closed loop", () => {
  const run = (clock: FakeClock, server: FakeServer, times: number[], stallNs = 1e12) =>
    clock.run(
      runClosedLoop({
        connections: [0, 1, 2, 3],
        send: server.send,
        clock,
        warmupNs: 100 * ms,
        measureNs: 1000 * ms,
        stallNs,
        onServiceTime: (ns) => times.push(ns),
      }),
    );

  it("completes as many requests as its clients and the service time allow", async () => {
    const clock = new FakeClock();
    const times: number[] = [];
    const result = await run(clock, new FakeServer(clock, 2 * ms), times);
    expect(result.completed).toBeGreaterThanOrEqual(4 * 500);
    expect(result.completed).toBeLessThanOrEqual(4 * 501);
    expect(result.total).toBeGreaterThan(result.completed);
    expect(times.every((ns) => ns === 2 * ms)).toBe(true);
  });

  it("hides a stall that an open loop shows: the requests that would have waited were never sent", async () => {
    const clock = new FakeClock();
    const times: number[] = [];
    const server = new FakeServer(clock, 0.5 * ms, { from: 300 * ms, until: 500 * ms });
    await run(clock, server, times);
    expect(times.filter((ns) => ns > 50 * ms)).toHaveLength(4);
  });

  it("records a request that outlasts the measurement, without counting it as throughput", async () => {
    const clock = new FakeClock();
    const times: number[] = [];
    const server = new FakeServer(clock, 1 * ms, { from: 1000 * ms, until: 5000 * ms });
    const result = await run(clock, server, times);
    expect(Math.max(...times)).toBeGreaterThan(3900 * ms);
    expect(result.completed).toBeLessThanOrEqual(4 * 900);
  });

  it("gives up when nothing is answered any more", async () => {
    const clock = new FakeClock();
    const server = new FakeServer(clock, ms, { from: 300 * ms, until: 1e15 });
    await expect(run(clock, server, [], 15e9)).rejects.toThrow("nothing was answered for 15 s");
    expect(clock.now()).toBeLessThan(20e9);
  });
});
