import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CheckResult, Finding } from "../harness/checkers/contract.ts";
import { buildHistory } from "../harness/history/history.ts";
import type { HistoryEvent, Operation } from "../harness/history/operation.ts";
import { writeCheckReport } from "./check-page.ts";

let base = "";
beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), "acked-check-page-"));
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

/** A crash in the middle, and operations on `keys` keys, one ms each, of eight clients. */
function* eventsOf(operations: number, keys: number, text = "v"): Generator<HistoryEvent> {
  let index = 0;
  const at = (time: number) => ({ index: index++, time });
  yield { ...at(0), process: "nemesis", type: "info", f: "ready", node: "n1", incarnation: 0 };
  for (let i = 0; i < operations; i++) {
    const time = 1e6 * i;
    if (i === operations >> 1) {
      yield {
        ...at(time),
        process: "nemesis",
        type: "info",
        f: "kill",
        node: "n1",
        value: { event: "fired" },
      };
      yield { ...at(time + 10), process: "nemesis", type: "info", f: "ready", node: "n1", incarnation: 1 };
      yield {
        ...at(time + 20),
        process: "nemesis",
        type: "info",
        f: "kill",
        node: "n1",
        value: { event: "healed" },
      };
    }
    const f = i % 2 ? "read" : "write";
    const key = `${text}/k${i % keys}`;
    const [process, workload] = [i % 8, "register"];
    const [asked, found] = f === "write" ? [`${text}${i}`, null] : [null, `${text}${i - 1}`];
    yield { index: index++, time: time + 100, process, type: "invoke", f, workload, key, value: asked };
    yield { index: index++, time: time + 9e5, process, type: "ok", f, workload, key, value: found };
  }
}

function findingAbout(operations: readonly Operation[], more: Partial<Finding> = {}): Finding {
  const { key } = operations[0]!;
  return {
    kind: "stale-read",
    workload: "register",
    key,
    operations,
    sentence: `key ${key}: stale`,
    ...more,
  };
}

function resultOf(findings: readonly Finding[], more: Partial<CheckResult> = {}): CheckResult {
  return {
    checker: "linearizability of keys",
    workload: "register",
    verdict: findings.length === 0,
    reasons: [],
    findings,
    checked: { operations: 120, keys: 6 },
    notChecked: [],
    elapsedMs: 12,
    ...more,
  };
}

let pages = 0;
async function pageOf(
  results: readonly CheckResult[],
  events: Iterable<HistoryEvent> | string,
): Promise<string> {
  const out = join(base, `page-${pages++}.html`);
  await writeCheckReport({ file: "runs/a/history.jsonl", results, events, out });
  return readFileSync(out, "utf8");
}

const body = (page: string) => page.replace(/<(script|style)[\s\S]*?<\/\1>/g, "");
const events = [...eventsOf(120, 6)];
const { operations } = buildHistory(events);
const onKey = (key: string, from = 0) =>
  operations.filter((operation) => operation.key === key).slice(from, from + 3);

describe("the page of a violation", () => {
  const longest = { upTo: onKey("v/k1", 8)[1]!.return, placed: 9, of: 20 };
  const findings = [findingAbout(onKey("v/k1", 8), { longest }), findingAbout(onKey("v/k3"))];

  test("begins with the verdict, the sentence and the drawing of the worst finding", async () => {
    const text = body(await pageOf([resultOf(findings)], events));
    expect(text).toContain("<h1>VIOLATION: stale-read</h1><p>key v/k1: stale (and 1 more finding below)");
    const places = [
      'class="counterexample"',
      'class="order"',
      "What was checked",
      'id="keys"',
      'id="checks"',
    ];
    const found = places.map((place) => text.indexOf(place));
    expect(Math.min(...found)).toBeGreaterThan(0);
    expect([...found].sort((a, b) => a - b)).toEqual(found);
  });

  test("has a view for each key with a finding, its operations marked, linked to its neighbours", async () => {
    const text = body(await pageOf([resultOf(findings)], events));
    const views = text.split('class="key-view"').slice(1);
    expect(text.match(/<nav class="keys"[\s\S]*?<\/nav>/)![0].match(/href="#key-\d+"/g)).toHaveLength(2);
    expect(views[0]).toContain("Key v/k1");
    expect(views[0]!.match(/class="operation marked"/g)).toHaveLength(3);
    expect(views[0]).toContain('href="#key-2"');
    expect(views[1]).toContain('href="#key-1"');
    expect(text).toContain("4 keys on which nothing was found");
  });

  test("marks where the longest explainable prefix ends, only on the key that has one", async () => {
    const views = body(await pageOf([resultOf(findings)], events))
      .split('class="key-view"')
      .slice(1);
    expect(views[0]).toContain("explainable up to here");
    expect(views[0]).toContain("its completion 9 of 20");
    expect(views[1]).not.toContain("explainable");
  });

  test("draws faults and restarts that fell among the operations", async () => {
    const middle = operations.filter((operation) => operation.key === "v/k0").slice(8, 13);
    const text = body(await pageOf([resultOf([findingAbout(middle)])], events));
    expect(text).toMatch(/fault-band/);
    expect(text).toMatch(/class="fault-text"[^>]*>kill</);
    expect(text).toMatch(/class="ready-text"[^>]*>n1 ready</);
  });
});

test("a cycle is drawn with one arrow and one sentence for each step, and none for a step without operations", async () => {
  const three = operations.slice(0, 3);
  const step = (from: number, to: number, edge: "ww" | "rw" | "wr") => ({
    from,
    to,
    edge,
    sentence: `from ${from} to ${to}`,
  });
  const cycle = { steps: [step(0, 1, "ww"), step(1, 2, "wr"), step(2, 0, "rw"), step(0, 7, "ww")] };
  const text = body(await pageOf([resultOf([findingAbout(three, { cycle })])], events));
  const drawing = text.slice(text.indexOf("<figure"), text.indexOf("</figure>"));
  expect(drawing.match(/class="edge (ww|wr|rw)"/g)).toHaveLength(3);
  expect(drawing.match(/class="node"/g)).toHaveLength(3);
  expect(drawing).toContain("from 2 to 0");
  expect(drawing).not.toContain("from 0 to 7");
});

test("a pass says what passed, and an unknown says why and never PASS in its heading", async () => {
  const pass = body(await pageOf([resultOf([], { checked: { operationsInWitness: 120 } })], events));
  expect(pass).toContain("<h1>PASS</h1><p>Nothing contradicts: linearizability of keys.");
  expect(pass).toContain("Orders of 120 operations");
  expect(pass).not.toContain("Counterexample");
  const reasons = ["key k: the search ran out of time"];
  const unknown = body(
    await pageOf([resultOf([]), resultOf([], { verdict: "unknown", reasons, notChecked: ["x"] })], events),
  );
  expect(unknown).toContain("<h1>UNKNOWN</h1><p>key k: the search ran out of time");
  expect(unknown).toContain("linearizability of keys: x");
  expect(body(await pageOf([], []))).toContain("<h1>UNKNOWN</h1><p>Nothing was checked");
});

test("a history file is read from its path, up to a line that cannot be read, and the page says so", async () => {
  const path = join(base, "history.jsonl");
  const lines = events.map((event) => JSON.stringify(event));
  writeFileSync(path, `${lines.join("\n")}\n`);
  expect(await pageOf([resultOf([])], path)).toContain(`from ${events.length} events`);
  writeFileSync(path, `${lines.join("\n")}\n{"index":"x"}\n`);
  expect(await pageOf([resultOf([])], path)).toContain("read only up to the first line that cannot be");
  expect(readdirSync(base).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

test("the page asks the network for nothing, and its policy runs only its own script", async () => {
  const page = await pageOf([resultOf([findingAbout(onKey("v/k1"))])], events);
  expect(body(page)).not.toMatch(/(?:src|href|action|data|poster|srcset)="(?!#)/);
  expect(page).not.toMatch(/@import|url\(|<(?:link|iframe|object|embed|base|form)[ >]/);
  const policy = page.match(/Content-Security-Policy" content="([^"]*)"/)![1]!;
  expect(policy).toContain("default-src 'none'");
  expect(policy).not.toContain("unsafe");
  const inline = [...page.matchAll(/<(script|style)>([\s\S]*?)<\/\1>/g)].map((match) => match[2]!);
  expect(inline).toHaveLength(2);
  for (const text of inline) {
    expect(policy).toContain(`'sha256-${createHash("sha256").update(text).digest("base64")}'`);
  }
});

describe("whatever was found", () => {
  const hostile = `</script><script>alert(1)</script><img src=x onerror=alert(2)>"' onload='x\u2028\u202e\u0000\u001b[31m&lt;`;

  test("what a store returned is text in the page, never markup, script or a direction change", async () => {
    const evil = [...eventsOf(60, 3, hostile)];
    const some = buildHistory(evil).operations.slice(0, 4);
    const steps = [{ from: 0, to: 1, edge: "ww", key: hostile, sentence: hostile } as const];
    const page = await pageOf(
      [resultOf([findingAbout(some, { sentence: hostile, cycle: { steps } })])],
      evil,
    );
    expect(page.match(/<script/g)).toHaveLength(1);
    expect(page).not.toContain("<img");
    expect(page).not.toMatch(/(?![\n\t])[\p{Cc}\p{Zl}\p{Zp}\u202e]/u);
    expect(/<[a-z]+[^<>]* on[a-z]+/.test(body(page).replace(/="[^"]*"/g, ""))).toBe(false);
  });

  test.each([
    { of: "200,000 operations", text: "v", count: 200_000 },
    { of: "operations whose values are long and all to be escaped", text: "<".repeat(200), count: 15_000 },
  ])(
    "$of and 1,000 findings make a page under 3 MB, which says what it left out",
    async ({ text, count }) => {
      const all = buildHistory(eventsOf(Math.min(count, 30_000), 1500, text)).operations;
      const findings = Array.from({ length: 1000 }, (_, i) => {
        const own = Array.from({ length: 20 }, (_none, j) => all[(i + 1500 * j) % all.length]!);
        const steps = own
          .slice(1)
          .map((_one, j) => ({ from: j, to: j + 1, edge: "ww" as const, sentence: text.repeat(9) }));
        return findingAbout(own, {
          sentence: `${text} `.repeat(400),
          cycle: { steps },
          longest: { upTo: 9, placed: 3, of: 99 },
        });
      });
      const page = await pageOf([resultOf(findings)], eventsOf(count, 1500, text));
      expect(Buffer.byteLength(page)).toBeLessThan(3e6);
      expect(page).toMatch(/more keys with a finding are not drawn/);
      expect(page.match(/class="key-view"/g)?.length ?? 0).toBeGreaterThan(text === "v" ? 20 : 0);
    },
    120_000,
  );
});
