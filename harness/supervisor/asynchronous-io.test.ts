import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, it } from "vitest";
import { findCompiler } from "../machine.ts";
import { packageRoot } from "../package-root.ts";
import { asynchronousIo } from "./asynchronous-io.ts";

const compiler = findCompiler();
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "acked-aio-test-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

it("sees nothing in a process that has neither, nor in one that is gone", () => {
  expect([...asynchronousIo([process.pid, 2 ** 22 + 1])]).toEqual([]);
});

it.skipIf(!compiler)("sees io_uring and Linux AIO in the process that has set them up", async ({ skip }) => {
  const program = join(directory, "asynchronous-io");
  await execa(compiler!, ["-o", program, join(packageRoot, "harness/supervisor/fixtures/asynchronous-io.c")]);
  const child = execa(program, { timeout: 20_000 });
  try {
    const [said] = (await once(child.stdout, "data")) as [Buffer];
    const [aio, ring] = String(said).split(" ").map(Number) as [number, number];
    if (aio < 0 && ring < 0) skip("this kernel lets nobody have io_uring or Linux AIO");
    const expected = [...(ring >= 0 ? ["io_uring"] : []), ...(aio >= 0 ? ["Linux AIO"] : [])];
    expect([...asynchronousIo([child.pid!])].sort()).toEqual(expected.sort());
  } finally {
    child.stdin.end();
    await child.catch(() => undefined);
  }
});
