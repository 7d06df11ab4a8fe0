/** The build, in processes of its own, each with a cache, a PATH and a CC of its own. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, describe, expect, test } from "vitest";
import { childProgram, packageRoot } from "../../harness/package-root.ts";
import { findProgram } from "../resp.ts";
import { buildServer } from "./build.ts";

const scratch = mkdtempSync(join(tmpdir(), "acked-sqlite-build-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const compiler = findProgram("gcc") ?? findProgram("cc");
const missing = await buildServer().then(
  () => undefined,
  (error: Error) => error.message,
);
if (missing) console.warn(`SKIPPED: SQLite: ${missing}`);
const required = (process.env.ACKED_REQUIRE ?? "").split(",").includes("sqlite");

/** Prints the program and its version, or the sentence of the error. */
async function build(environment: Record<string, string>): Promise<string> {
  const module = JSON.stringify(childProgram("stores/sqlite/build.js"));
  const script = `const { buildServer } = await import(${module});
    console.log(await buildServer().then(JSON.stringify, (error) => error.name + ": " + error.message));`;
  const options = { env: environment, timeout: 30_000 };
  return (await execa(process.execPath, ["--input-type=module", "-e", script], options)).stdout;
}

describe.skipIf(missing !== undefined && !required)("the SQLite server", () => {
  test("is built once, however many processes build it at once, and loads the installed SQLite", async () => {
    const cache = join(scratch, "cache");
    const built = await Promise.all([1, 2, 3].map(() => build({ XDG_CACHE_HOME: cache })));
    expect(new Set(built).size).toBe(1);
    expect(JSON.parse(built[0]!)).toMatchObject({ version: expect.stringMatching(/^3\.\d+\.\d+$/) });
    expect(readdirSync(join(cache, "acked"))).toHaveLength(1);
  });

  test("compiles without a warning", async () => {
    const sources = ["server.c", "database.c"].map((name) => join(packageRoot, "stores", "sqlite", name));
    const flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-o", "/dev/null"];
    const { exitCode, stderr } = await execa(compiler!, [...flags, ...sources, "-ldl"], { reject: false });
    expect(stderr).toBe("");
    expect(exitCode).toBe(0);
  });

  test("is not needed to say how to get a compiler when there is none", async () => {
    const said = await build({
      CC: "",
      PATH: join(scratch, "nowhere"),
      XDG_CACHE_HOME: join(scratch, "none"),
    });
    expect(said).toMatch(/^ScenarioError: the SQLite store needs a C compiler, .*apt-get install gcc/);
  });

  test("refuses a damaged database by name, and does not serve it", async () => {
    const { program } = await buildServer();
    const dir = mkdtempSync(join(scratch, "damaged-"));
    await execa("sh", [
      "-c",
      'head -c 8192 /dev/zero > "$0/store.db"; printf "not a database" > "$0/store.db"',
      dir,
    ]);
    const { exitCode, stderr } = await execa(program, ["0", dir, "FULL", "1000"], {
      reject: false,
      timeout: 5000,
    });
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^sqlite store: .*file is not a database$/);
  });
});
