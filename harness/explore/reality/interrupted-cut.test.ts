/**
 * Whoever ends a real power cut early finds a clean machine: no process, no image that is still mounted anywhere (a mount
 * in another namespace shows as a loop device in use), no directory. The moment is that of the first mount.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, describe, expect, it } from "vitest";
import { childProgram } from "../../package-root.ts";
import { healLeftovers } from "../../supervisor/active.ts";
import { cutPowerForReal } from "./power-cut.ts";

const runsDir = mkdtempSync(join(tmpdir(), "acked-interrupted-cut-"));
afterAll(() => rmSync(runsDir, { recursive: true, force: true }));

const required = (process.env.ACKED_REQUIRE ?? "").split(",").includes("root");

describe("a real power cut that is itself ended", () => {
  /** Everything that still belongs to the acked of this process number. */
  const left = (out: string, pid: number) => ({
    processes: readdirSync("/proc").filter(
      (name) => /^\d+$/.test(name) && textOf(`/proc/${name}/environ`).includes(`ACKED_RUN=${pid}-`),
    ),
    images: readdirSync("/sys/block").filter((name) =>
      textOf(`/sys/block/${name}/loop/backing_file`).includes(`acked-reality-${pid}-`),
    ),
    directories: readdirSync(tmpdir()).filter((name) => name.startsWith(`acked-reality-${pid}-`)),
    records: readdirSync(join(out, ".active")),
  });
  const nothing = { processes: [], images: [], directories: [], records: [] };

  it.for(["SIGINT", "SIGKILL"] as const)(
    "by %s leaves nothing, at the latest after the next start",
    { timeout: 60_000 },
    async (signal, { skip }) => {
      const { skipped } = await cutPowerForReal({
        ...{ runsDir, runDir: runsDir, seed: 1, cuts: 0, seconds: 0, failingSyncs: false, fileSystems: [] },
      });
      if (skipped !== undefined) {
        if (required) throw new Error(skipped);
        skip(skipped);
      }
      const out = join(runsDir, signal);
      const child = execa(
        process.execPath,
        [childProgram("scripts/acked.js"), "explore", "--power-cut", "real", "--seconds", "1", "--out", out],
        { reject: false, stdin: "ignore", timeout: 60_000, killSignal: "SIGKILL" },
      );
      const pid = child.pid!;
      await eventually(() => left(out, pid).images.length > 0);
      process.kill(pid, signal);
      const { exitCode, stdout } = await child;
      if (signal === "SIGINT") {
        expect(exitCode).toBe(2);
        expect(stdout).toContain("interrupted");
      } else {
        expect(left(out, pid)).not.toEqual(nothing);
        expect((await healLeftovers(out)).join()).toContain(`an earlier acked (pid ${pid}) ended`);
      }
      // The kernel gives a loop device free a moment after its last user is gone.
      await eventually(() => left(out, pid).images.length === 0);
      expect(left(out, pid)).toEqual(nothing);
    },
  );
});

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

async function eventually(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!attempt(holds)) {
    if (performance.now() > deadline) throw new Error(`never: ${holds}`);
    await new Promise((wake) => setTimeout(wake, 20));
  }
}

/** A directory may not be there yet. */
function attempt(holds: () => boolean): boolean {
  try {
    return holds();
  } catch {
    return false;
  }
}
