/** `acked sweep` as a person meets it: what is wrong is said in one sentence, and JSON is one document. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, it } from "vitest";
import { findCompiler } from "../harness/machine.ts";
import { childProgram } from "../harness/package-root.ts";

const program = childProgram("scripts/acked.js");
let out: string;
beforeAll(() => {
  out = mkdtempSync(join(tmpdir(), "acked-sweep-cli-test-"));
});
afterAll(() => rmSync(out, { recursive: true, force: true }));

const acked = (...args: string[]) =>
  execa(process.execPath, [program, "sweep", ...args, "--out", out], { reject: false, timeout: 25_000 });

it.each([
  [["--operation", "renam"], /no operation to sweep "renam" \(did you mean rename\?\)/],
  [["--effect", "fsyncgat"], /no effect "fsyncgat"/],
  [["--operation", "rename", "--effect", "fsyncgate"], /no such sweep/],
  [["--store", "ramlgo"], /did you mean ramlog/],
  [["--nth", "0"], /whole number from 1/],
])("%j is refused in one sentence", async (args, sentence) => {
  const { exitCode, stderr, stdout } = await acked(...args);
  expect(exitCode).toBe(3);
  expect(stderr).toMatch(sentence);
  expect(stderr).not.toContain("    at ");
  expect(stdout).toBe("");
});

it.skipIf(process.platform !== "linux" || !findCompiler())(
  "prints one JSON document, leaves the results, and is unknown when nothing fired",
  async () => {
    const { exitCode, stdout } = await acked(
      "--operation",
      "mkdir",
      "--seconds",
      "8",
      "--seed",
      "1",
      "--json",
    );
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({ command: "sweep", verdict: "unknown", exitCode: 2, seed: 1 });
    expect(document.replay).toBe("npx acked sweep --operation mkdir --seconds 8 --seed 1");
    expect(exitCode).toBe(2);
    const results = JSON.parse(readFileSync(join(out, "latest", "results.json"), "utf8"));
    expect(results.sweep.exhausted.length + results.sweep.cutShort.length).toBeGreaterThan(0);
  },
);
