import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createRunDirectory, lastingName, pointLatest } from "./run-directory.ts";

test("runs/latest is named by the run that it points at now; any other name stays as it was given", () => {
  const out = mkdtempSync(join(tmpdir(), "acked-runs-"));
  try {
    const first = createRunDirectory(out, "ramlog", 1, new Date(0));
    mkdirSync(first.path, { recursive: true });
    pointLatest(out, first);
    const latest = join(out, "latest");
    const named = lastingName(latest);
    expect(named).toBe(first.path);
    expect(lastingName(`${latest}/`)).toBe(first.path);
    pointLatest(out, createRunDirectory(out, "ramlog", 2, new Date(1000)));
    expect(lastingName(latest)).not.toBe(named);
    for (const other of [first.path, `${first.path}/`, join(out, "none"), "runs/ramlog/x"]) {
      expect(lastingName(other)).toBe(other);
    }
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
});
