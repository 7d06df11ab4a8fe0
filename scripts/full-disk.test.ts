/** A disk that fills up under acked itself: one sentence, exit code 4, nothing left running. Needs root for a small mount. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, expect, test } from "vitest";
import { packageRoot } from "../harness/package-root.ts";

const directory = mkdtempSync(join(tmpdir(), "acked-full-"));
const mounted = mountSmall();

function mountSmall(): boolean {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", directory], { stdio: "ignore" });
    return true;
  } catch {
    console.warn("skipped: a full disk needs root, to mount a file system of 2 MB");
    return false;
  }
}

afterAll(() => {
  if (mounted) execFileSync("umount", ["-l", directory]);
  rmSync(directory, { recursive: true, force: true });
});

test.skipIf(!mounted)("a full disk under the history ends the run with one sentence and exit 4", async () => {
  const acked = join(packageRoot, "dist", "scripts", "acked.js");
  const args = [
    acked,
    "chaos",
    "--fault",
    "none",
    "--workload",
    "register",
    "--seconds",
    "30",
    "--seed",
    "1",
  ];
  const ended = await execa(process.execPath, [...args, "--out", join(directory, "runs")], {
    reject: false,
    timeout: 60_000,
    killSignal: "SIGKILL",
  });
  expect(ended.stderr).toMatch(/acked failed: .*ENOSPC/);
  expect(ended.stderr).not.toMatch(/^\s+at /m);
  expect(ended.exitCode).toBe(4);
  const left = execFileSync("ps", ["-eo", "args"]).toString().split("\n");
  expect(left.filter((line) => line.includes(`--dir ${directory}`))).toEqual([]);
});
