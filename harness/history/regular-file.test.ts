import { execFileSync, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { exportHistory, historyFormats, openHistory, readHistory } from "./formats/index.ts";
import { HistoryError } from "./history.ts";
import { loadHistory } from "./history-file.ts";
import { openRegularFile } from "./regular-file.ts";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "acked-regular-"));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("a history that is no regular file", () => {
  it("is refused by every reader and without waiting, when it is a pipe that nobody writes to", () => {
    const fifo = join(directory, "fifo");
    execFileSync("mkfifo", [fifo]);
    const refusal = "is a pipe: save it to a file first";
    expect(() => openHistory(fifo)).toThrow(`the history ${refusal}`);
    expect(() => loadHistory(fifo)).toThrow(refusal);
    expect(() => exportHistory(fifo, "acked", join(directory, "out"))).toThrow(refusal);
    for (const { name } of historyFormats) {
      expect(() => [...readHistory(fifo, { format: name }).events], name).toThrow(refusal);
    }
  });

  it("is refused before a byte of it is taken", async () => {
    const fifo = join(directory, "fifo");
    execFileSync("mkfifo", [fifo]);
    const writer = spawn("sh", ["-c", `echo '{"index":0}' > "$1"`, "sh", fifo]);
    const fd = openSync(fifo, "r");
    expect(() => openHistory(fifo)).toThrow(HistoryError);
    await new Promise((done) => writer.on("exit", done));
    const bytes = Buffer.alloc(64);
    expect(bytes.toString("utf8", 0, readSync(fd, bytes))).toBe('{"index":0}\n');
    closeSync(fd);
  });

  it("is named when it is a device or a directory", () => {
    expect(() => openRegularFile("/dev/null")).toThrow("the history is a device: save it to a file first");
    expect(() => openRegularFile(directory)).toThrow("the history is a directory, not a file");
    expect(() => openRegularFile(join(directory, "none"))).toThrow("cannot be read: ENOENT");
  });

  it("is read when it is one, whatever its name", () => {
    const path = join(directory, "file");
    writeFileSync(path, "");
    expect(openHistory(path).events).toBe(0);
  });
});
