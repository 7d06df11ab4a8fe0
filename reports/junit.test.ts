import { expect, test } from "vitest";
import { brief, syntheticFaults, syntheticResults } from "./fixtures/synthetic-run.ts";
import { junitXml } from "./junit.ts";

const faults = syntheticFaults(brief);

function caseOf(xml: string, className: string, name: string): string {
  const found =
    xml
      .split("\n")
      .join(" ")
      .match(/<testcase .*?(?:\/>|<\/testcase>)/g) ?? [];
  return found.find((one) => one.includes(`classname="${className}" name="${name}"`)) ?? "";
}

test("a violation fails its checker with the sentence and the operations", () => {
  const xml = junitXml(syntheticResults(false, faults));
  const failed = caseOf(xml, "acked.register", "durability");
  expect(failed).toMatch(
    /<failure type="lost-acknowledged-write" message="write \d+ of e0\/r\/3 was acknowledged/,
  );
  expect(failed).toMatch(/client \d+ {2}write e0\/r\/3 \d+ {2}acknowledged/);
  expect(caseOf(xml, "acked.kv", "linearizability (linear-time)")).toMatch(/\/>$/);
  expect(caseOf(xml, "acked", "verdict")).toContain("<failure");
});

test("unknown is an error, never a pass and never skipped", () => {
  const xml = junitXml(syntheticResults("unknown", faults));
  expect(caseOf(xml, "acked", "verdict")).toContain("<error");
  expect(caseOf(xml, "acked.bank", "total conserved")).toContain("<error");
  expect(caseOf(xml, "acked.faults", "sync-error")).toContain('<error type="did not fire"');
});

test("a pass has no failure and no error, one case per fault, and what was not covered as skipped", () => {
  const xml = junitXml(syntheticResults(true, faults));
  expect(xml).toMatch(/<testsuites name="acked" tests="17" failures="0" errors="0" skipped="4"/);
  expect(caseOf(xml, "acked.faults", "kill")).toMatch(/\/>$/);
  expect(caseOf(xml, "acked.not-covered", "short-write")).toContain("<skipped");
});

test("whatever a store said, the XML has no control character, no stray markup and balanced elements", () => {
  const hostile = `"><failure/>\u0000\u0001\u001b[31m]]>&amp;\ufffe\ud800\u2028 <!--`;
  const results = syntheticResults(false, faults);
  const findings = results.findings.map((finding) => ({ ...finding, sentence: hostile, key: hostile }));
  const checks = results.checks.map((check) => ({
    ...check,
    checker: `c ${hostile}`,
    reasons: [hostile],
    findings,
  }));
  const xml = junitXml({ ...results, findings, checks, worst: hostile, replay: hostile });
  expect(xml).not.toMatch(/(?!\n)[\p{Cc}\p{Cs}\ufffe\uffff]/u);
  const withoutTags = xml.replace(/<\/?[a-z]+(?: [a-z]+="[^"<>]*")*\/?>|<\?xml [^>]*\?>/g, "");
  expect(withoutTags).not.toMatch(/[<>"]/);
  expect(xml.match(/<testcase /g)!.length).toBe(xml.match(/<\/testcase>|<testcase [^<]*\/>/g)!.length);
});
