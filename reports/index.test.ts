import { createHash } from "node:crypto";
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Verdict } from "../harness/checkers/contract.ts";
import { clusterResults, clusterRun, somethingMeasured } from "./fixtures/cluster-run.ts";
import { brief, writeSyntheticRun } from "./fixtures/synthetic-run.ts";
import {
  githubStepSummary,
  jsonDocument,
  junitXml,
  ReportError,
  readResults,
  terminalSummary,
  writeReports,
} from "./index.ts";

let base = "";
beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), "acked-reports-"));
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

async function reported(name: string, verdict: Verdict, hostile?: string) {
  const dir = join(base, name);
  writeSyntheticRun(dir, verdict, brief, hostile);
  const written = await writeReports(dir);
  return { dir, written, page: readFileSync(written.html, "utf8") };
}

/** Text of the page without scripts and styles. */
function body(page: string): string {
  return page.replace(/<(script|style)[\s\S]*?<\/\1>/g, "");
}

test("a passing run's first screen has the verdict, the promise, what was left out, the worst and the replay line", async () => {
  const { page, dir } = await reported("pass", true);
  const text = body(page);
  expect(text).toContain("<h1>PASS, without short-write, write-error, disk-full (no C compiler)</h1>");
  for (const part of ["What was tested", "What was done to it", "What was not covered", "Worst thing seen"]) {
    expect(text).toContain(part);
  }
  expect(text).toContain("install gcc or clang");
  expect(text).toContain("npx acked replay runs/default/20261123T094121Z-1942-4711");
  expect(text).toContain("What a crash looks like here");
  expect(text).not.toContain("Counterexample");
  expect(readdirSync(dir).filter((file) => file.endsWith(".tmp"))).toEqual([]);
});

test("a violation shows its counterexample before anything else, and marks it in the lanes", async () => {
  const { page } = await reported("violation", false);
  const text = body(page);
  expect(text.indexOf('class="counterexample"')).toBeGreaterThan(0);
  expect(text.indexOf('class="counterexample"')).toBeLessThan(text.indexOf("What was tested"));
  expect(text.match(/class="operation marked"/g)).toHaveLength(4);
  expect(text).toContain("Around the counterexample");
});

test("a run with more than one finding shows them key by key, and one with a single finding does not", async () => {
  const { dir, page: single } = await reported("keys", false);
  expect(body(single)).not.toContain('class="key-view"');
  const path = join(dir, "results.json");
  const results = JSON.parse(readFileSync(path, "utf8"));
  const [first] = results.findings;
  const other = first.operations.map((operation: object) => ({ ...operation, key: "e0/r/1" }));
  const second = {
    ...first,
    kind: "stale-read",
    key: "e0/r/1",
    operations: other,
    sentence: "key e0/r/1: stale",
  };
  writeFileSync(path, JSON.stringify({ ...results, findings: [first, second] }));
  const text = body(readFileSync((await writeReports(dir)).html, "utf8"));
  const views = text.split('class="key-view"').slice(1);
  expect(views).toHaveLength(2);
  expect(views[1]).toContain("key e0/r/1: stale");
  expect(text).toContain('<a href="#keys">Key by key</a>');
  expect(text.match(/id="key-2"/g)).toHaveLength(1);
});

test("an unknown run says why and never the word PASS in its heading", async () => {
  const { page } = await reported("unknown", "unknown");
  expect(page).toContain("<h1>UNKNOWN</h1><p>sync-error was armed in cycle 3");
});

test("the page asks the network for nothing, and its policy allows only its own scripts and style", async () => {
  const { page } = await reported("offline", false);
  expect(body(page)).not.toMatch(/(?:src|href|action|data|poster|srcset)="(?!#)/);
  expect(page).not.toMatch(/@import|url\(|<(?:link|iframe|object|embed|base|form)[ >]/);
  const policy = page.match(/Content-Security-Policy" content="([^"]*)"/)![1]!;
  expect(policy).toContain("default-src 'none'");
  expect(policy).not.toContain("unsafe");
  const inline = [...page.matchAll(/<(script|style)>([\s\S]*?)<\/\1>/g)].map((match) => match[2]!);
  expect(inline).toHaveLength(4);
  for (const text of inline) {
    expect(policy).toContain(`'sha256-${createHash("sha256").update(text).digest("base64")}'`);
  }
});

test("whatever a store printed or returned is text in the page, never markup, script or a direction change", async () => {
  const hostile = `</script><script>alert(1)</script><img src=x onerror=alert(2)>"' onload='x\u2028\u2029\u202e\u0000\u001b[31m\ud800&lt;`;
  const { page, dir } = await reported("hostile", false, hostile);
  expect(page.match(/<script/g)).toHaveLength(4);
  expect(page.match(/<\/script>/g)).toHaveLength(4);
  expect(page).not.toContain("<img");
  expect(page).not.toMatch(/(?![\n\t])[\p{Cc}\p{Zl}\p{Zp}\u202e]/u);
  const data = page.match(/<script type="application\/json" id="chart-data">([\s\S]*?)<\/script>/)![1]!;
  expect(JSON.parse(data).faultNames[0]).toContain("kill</script>");
  expect(/<[a-z]+[^<>]* on[a-z]+/.test(body(page).replace(/="[^"]*"/g, ""))).toBe(false);
  expect(terminalSummary(await readResults(dir), { colour: false, width: 100 })).not.toMatch(/(?!\n)\p{Cc}/u);
});

test("a history whose last line was cut is reported up to there, and the page says so", async () => {
  const dir = join(base, "cut");
  writeSyntheticRun(dir, true, brief);
  appendFileSync(join(dir, "history.jsonl"), '{"index":99999999,"time":21000000000,"proc');
  appendFileSync(join(dir, "faults.jsonl"), '{"name":"ki');
  const written = await writeReports(dir);
  expect(written.historyNote).toContain("cut off");
  expect(readFileSync(written.html, "utf8")).toContain("cut off by a kill");
  expect(readFileSync(written.html, "utf8")).toContain("1 line of faults.jsonl could not be read");
});

test("a run whose acked was killed before it had results is unknown, and its history is shown", async () => {
  const dir = join(base, "killed");
  writeSyntheticRun(dir, true, brief);
  rmSync(join(dir, "results.json"));
  const { html } = await writeReports(dir);
  expect(readFileSync(html, "utf8")).toContain(
    "<h1>UNKNOWN</h1><p>acked ended before it had checked this run",
  );
  expect((await readResults(dir)).seed).toBe(1942);
  expect(readFileSync(join(dir, "junit.xml"), "utf8")).toContain('errors="1"');
});

test("a directory that holds no run, or a result of another format, is refused in one sentence", async () => {
  const empty = mkdtempSync(join(base, "empty-"));
  await expect(writeReports(empty)).rejects.toThrow(ReportError);
  await expect(writeReports(empty)).rejects.toThrow(/holds no run/);
  writeFileSync(join(empty, "results.json"), '{"formatVersion":9}');
  await expect(writeReports(empty)).rejects.toThrow(
    /formatVersion 9; this version of acked reads formatVersion 1/,
  );
  writeFileSync(join(empty, "results.json"), "{");
  await expect(writeReports(empty)).rejects.toThrow(/is not JSON/);
});

test("a run without a history or faults still has a report", async () => {
  const dir = join(base, "bare");
  writeSyntheticRun(dir, "unknown", brief);
  for (const file of ["history.jsonl", "faults.jsonl", "store.log", "scenario.json"]) rmSync(join(dir, file));
  const page = readFileSync((await writeReports(dir)).html, "utf8");
  expect(page).toContain("nothing was sent to the store");
  expect(statSync(join(dir, "report.html")).size).toBeLessThan(200_000);
});

test("the --json document has the members that scripts rely on", async () => {
  const dir = join(base, "json");
  writeSyntheticRun(dir, false, brief);
  const document = jsonDocument(await readResults(dir));
  expect(document).toMatchObject({
    formatVersion: 1,
    command: "chaos",
    verdict: false,
    exitCode: 1,
    seed: 1942,
  });
  expect(document.findings[0]).toMatchObject({ kind: "lost-acknowledged-write", key: "e0/r/3" });
  expect(Object.keys(document)).toEqual(
    expect.arrayContaining(["reasons", "faults", "counts", "runDir", "replay"]),
  );
});

test("the --json document of a cluster has its members and what was measured, and nothing that only lanes need", () => {
  const cluster = clusterResults(somethingMeasured);
  const document = jsonDocument(clusterRun(false, cluster));
  expect(document.cluster).toEqual({
    members: ["n1", "n2", "n3"],
    network: "proxies",
    measured: cluster.measured,
  });
});

test("JUnit and the step summary tell what was measured of a cluster, and nothing of the kind of a single node", () => {
  const results = clusterRun(true, clusterResults(somethingMeasured));
  expect(junitXml(results)).toContain('<property name="members" value="n1 n2 n3"/>');
  expect(junitXml(results)).toMatch(/<property name="measured" value="lost acknowledged writes: 31 of 1,204/);
  expect(githubStepSummary(results)).toContain("Measured: lost acknowledged writes: 31 of 1,204");
  const { cluster: _cluster, ...single } = results;
  expect(junitXml(single) + githubStepSummary(single)).not.toMatch(/measured/i);
});
