import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { brief, syntheticFaults, syntheticResults } from "./fixtures/synthetic-run.ts";
import { announceOnGithub, githubAnnotations, githubStepSummary } from "./github.ts";

const faults = syntheticFaults(brief);

test("a violation and an unknown are errors, a pass only says what was not covered", () => {
  expect(githubAnnotations(syntheticResults(false, faults))[0]).toMatch(
    /^::error title=VIOLATION broken\/drops-last-record%3A lost-acknowledged-write::write \d+/,
  );
  expect(githubAnnotations(syntheticResults("unknown", faults))[0]).toMatch(
    /^::error title=UNKNOWN ramlog::sync-error/,
  );
  expect(githubAnnotations(syntheticResults(true, faults))).toEqual([
    expect.stringMatching(/^::notice .*no C compiler/),
  ]);
});

test("what a store said can start neither a workflow command nor HTML nor a table cell", () => {
  const hostile = "x\n::add-mask::secret\r\n| cell | <img src=x> `code`";
  const results = syntheticResults(false, faults);
  const spoilt = { ...results, worst: hostile, findings: [{ ...results.findings[0]!, sentence: hostile }] };
  for (const line of githubAnnotations(spoilt)) expect(line.split(/[\r\n]/)).toHaveLength(1);
  const summary = githubStepSummary(spoilt);
  expect(summary).not.toContain("<img");
  expect(summary).not.toMatch(/^::/m);
  expect(summary).toContain("\\| cell \\|");
});

test("nothing is printed or written outside GitHub Actions, and the summary is appended inside", async () => {
  const printed: string[] = [];
  const results = syntheticResults(true, faults);
  await announceOnGithub(results, {}, (line) => printed.push(line));
  expect(printed).toEqual([]);
  const dir = mkdtempSync(join(tmpdir(), "acked-github-"));
  try {
    const environment = { GITHUB_ACTIONS: "true", GITHUB_STEP_SUMMARY: join(dir, "summary.md") };
    await announceOnGithub(results, environment, (line) => printed.push(line));
    await announceOnGithub(results, environment, () => {});
    expect(printed).toHaveLength(1);
    expect(readFileSync(environment.GITHUB_STEP_SUMMARY, "utf8").match(/^### PASS, without/gm)).toHaveLength(
      2,
    );
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
