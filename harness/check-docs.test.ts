/** docs/check.md cannot rot: every example in it is run, and what it prints is compared with the comment that ends it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import * as library from "./check.ts";
import { packageRoot } from "./package-root.ts";

interface Example {
  readonly title: string;
  readonly code: string;
  readonly prints: readonly string[];
}

const page = readFileSync(join(packageRoot, "docs/check.md"), "utf8");
const examples = examplesOf(page);

function examplesOf(text: string): Example[] {
  let title = "";
  const found: Example[] = [];
  for (const [, heading, block] of text.matchAll(/^#+ (.+)$|^```js\n([\s\S]*?)^```$/gm)) {
    if (heading !== undefined) title = heading;
    else found.push({ title, ...splitAtEnd(block!) });
  }
  return found;
}

/** The comment lines at the end are what it prints. */
function splitAtEnd(block: string): { code: string; prints: string[] } {
  const lines = block.trimEnd().split("\n");
  let end = lines.length;
  while (end > 0 && lines[end - 1]!.startsWith("// ")) end--;
  return { code: lines.slice(0, end).join("\n"), prints: lines.slice(end).map((line) => line.slice(3)) };
}

/** Runs an example as if it had imported the package; returns the lines it printed. */
function run(code: string): string[] {
  const body = code.replace(/^import (\{[^}]*\}) from "acked\/check";$/m, "const $1 = library;");
  expect(body).not.toBe(code);
  const printed: string[] = [];
  const shown = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
  const log = (...values: unknown[]) => printed.push(...values.map(shown).join(" ").split("\n"));
  new Function("library", "console", body)(library, { log });
  return printed;
}

describe("docs/check.md", () => {
  it("has an example for every built-in model, and for one's own", () => {
    const titles = examples.map(({ title }) => title).join("\n");
    for (const name of Object.keys(library.models)) expect(titles).toContain(`("${name}")`);
    expect(titles).toContain("A model of your own");
  });

  for (const [i, { title, code, prints }] of examples.entries()) {
    it(`prints what it says: example ${i + 1}, ${title}`, () => {
      expect(prints.length).toBeGreaterThan(0);
      expect(run(code)).toEqual(prints);
    });
  }
});
