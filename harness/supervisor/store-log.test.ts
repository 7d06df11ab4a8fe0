import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openStoreLog } from "./store-log.ts";

it("keeps a bounded log, and says where it ends", () => {
  const directory = mkdtempSync(join(tmpdir(), "acked-log-test-"));
  const file = join(directory, "store.log");
  const log = openStoreLog(file, 100);
  log.heading("n1 start 0");
  for (let i = 0; i < 50; i++) log.write(Buffer.from(`line ${i}\n`));
  log.close();
  log.write(Buffer.from("after the end\n"));
  const text = readFileSync(file, "utf8");
  rmSync(directory, { recursive: true });
  expect(text.startsWith("--- n1 start 0\nline 0\n")).toBe(true);
  expect(text.length).toBeLessThan(200);
  expect(text.endsWith("--- the rest is not kept: this log is limited to 100 bytes\n")).toBe(true);
});

it.runIf(process.platform === "linux")("goes on without a log when the disk is full", () => {
  // /dev/full answers every write with ENOSPC.
  const log = openStoreLog("/dev/full");
  log.heading("n1 start 0");
  expect(() => log.write(Buffer.from("lost\n"))).not.toThrow();
  log.close();
});
