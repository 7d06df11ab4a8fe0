import { describe, expect, test } from "vitest";
import type { ScriptedRequest } from "../../clients/load.ts";
import type { Script } from "../traced/traced-run.ts";
import { shrinkScript } from "./shrink.ts";

const requests: ScriptedRequest[] = Array.from({ length: 300 }, (_, n) => ({
  client: n % 8,
  request: { workload: "kv", f: "write", key: `k${n}`, value: `value ${n}` },
}));
const signal = new AbortController().signal;
const keysOf = (script: Script) => script.requests.map(({ request }) => request.key);

/** Shrinks a finding that shows whenever `shows` says so. */
async function shrunkBy(
  shows: (script: Script) => boolean,
  more: { counterexample?: number[]; killAfter?: number; budgetMs?: number } = {},
) {
  let runs = 0;
  const result = await shrinkScript({
    requests,
    counterexample: [],
    changes: requests.map((_request, position) => position),
    budgetMs: 20_000,
    signal,
    ...more,
    attempt: async (script) => {
      runs++;
      return shows(script) ? "found" : undefined;
    },
  });
  return { result, runs };
}

describe("taking requests away", () => {
  test("a finding that its own two requests show is reduced to them by one run, with one client", async () => {
    const { result } = await shrunkBy(
      (script) => keysOf(script).includes("k40") && keysOf(script).includes("k90"),
      { counterexample: [90, 40] },
    );
    expect(keysOf(result!.script)).toEqual(["k40", "k90"]);
    expect(result!.script.requests.every(({ client }) => client === 0)).toBe(true);
    expect(result!.minimal).toBe(true);
  });

  test("three requests anywhere among 300 are found by fast-check's shrinking, in order, in under 80 runs", async () => {
    const needed = ["k3", "k150", "k298"];
    const { result, runs } = await shrunkBy((script) => needed.every((key) => keysOf(script).includes(key)));
    expect(keysOf(result!.script)).toEqual(needed);
    expect(runs).toBeLessThan(80);
    expect(result!.trials).toBe(runs);
  });

  test("a request that needs no company is left alone", async () => {
    const { result } = await shrunkBy((script) => keysOf(script).includes("k7"), {
      counterexample: [7, 8, 9],
    });
    expect(keysOf(result!.script)).toEqual(["k7"]);
  });
});

test("a finding that needs two clients keeps its clients", async () => {
  const shows = (script: Script) => new Set(script.requests.map(({ client }) => client)).size >= 2;
  const { result } = await shrunkBy(shows);
  expect(result!.script.requests).toHaveLength(2);
});

test("a finding that needs a restart keeps the kill where it was among what is left", async () => {
  const shows = (script: Script) =>
    script.killAfter !== undefined && keysOf(script).indexOf("k100") >= script.killAfter;
  const { result } = await shrunkBy(shows, { killAfter: 60 });
  expect(keysOf(result!.script)).toEqual(["k100"]);
  expect(result!.script.killAfter).toBe(0);
});

test("what needs many bytes needs fewer requests once values are long, and a compare still expects what was written", async () => {
  const size = (script: Script) => JSON.stringify(script.requests).length;
  const { result } = await shrunkBy((script) => size(script) > 8000);
  expect(result!.script.requests.length).toBeLessThan(10);
  const values = result!.script.requests.map(({ request }) => request.value as string);
  expect(values.every((value) => value.startsWith("value ") && value.endsWith("~"))).toBe(true);
});

test("what needs a full file is tried with a few long values first, and not with everything", async () => {
  const size = (script: Script) =>
    script.requests.reduce((sum, { request }) => sum + String(request.value).length, 0);
  const { result, runs } = await shrunkBy((script) => size(script) > 12_000);
  expect(result!.script.requests).toHaveLength(4);
  expect(runs).toBeLessThan(30);
});

test("long values that turn out not to be needed are made short again", async () => {
  const { result } = await shrunkBy((script) => keysOf(script).includes("k299"));
  expect(result!.script.requests.map(({ request }) => request.value)).toEqual(["value 299"]);
});

test("a finding that no smaller run shows is not shrunk", async () => {
  const { result } = await shrunkBy(() => false);
  expect(result).toBeUndefined();
});

test("when the time is over the smallest so far is kept, and not called minimal", async () => {
  let now = 0;
  const real = performance.now;
  performance.now = () => (now += 100);
  try {
    const { result } = await shrunkBy((script) => keysOf(script).includes("k1"), { budgetMs: 600 });
    expect(keysOf(result!.script)).toContain("k1");
    expect(result!.minimal).toBe(false);
  } finally {
    performance.now = real;
  }
});

test("a finding that needs no request at all is reduced to none, at once", async () => {
  const { result, runs } = await shrunkBy(() => true);
  expect(result).toMatchObject({ minimal: true, script: { requests: [] } });
  expect(runs).toBeLessThan(4);
});

test("an interruption ends it", async () => {
  const stop = new AbortController();
  stop.abort();
  const result = await shrinkScript({
    requests,
    counterexample: [],
    changes: [],
    budgetMs: 1000,
    signal: stop.signal,
    attempt: async () => "found",
  });
  expect(result).toBeUndefined();
});
