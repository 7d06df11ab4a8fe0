/** The build, in processes of its own, each with a cache, a PATH and a CC of its own. */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, describe, expect, it } from "vitest";
import { childProgram } from "../../harness/package-root.ts";
import { findWorkingCompiler } from "./build-interposer.ts";

const compiler = process.platform === "linux" ? await findWorkingCompiler() : undefined;
if (!compiler) console.warn("SKIPPED: building the interposer needs Linux and a C compiler (gcc)");

const scratch = mkdtempSync(join(tmpdir(), "acked-build-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Prints the library's path, or the sentence of the error. */
async function build(environment: Record<string, string>): Promise<string> {
  const module = JSON.stringify(childProgram("faults/front-ends/build-interposer.js"));
  const script = `const { buildInterposer } = await import(${module});
    console.log(await buildInterposer().catch((error) => error.message));`;
  const child = await execa(process.execPath, ["--input-type=module", "-e", script], {
    env: environment,
    timeout: 30_000,
  });
  return child.stdout;
}

function compilerThat(name: string, script: string): string {
  const path = join(scratch, name);
  writeFileSync(
    path,
    `#!/bin/sh\ncase " $* " in *" --version "*) echo "${name} 1.0"; exit 0;; esac\n${script}\n`,
  );
  chmodSync(path, 0o755);
  return path;
}

/** A compiler that takes its time and writes something: these tests are about where it goes. */
function quick(): string {
  const script = 'for word; do [ "$last" = -o ] && out=$word; last=$word; done; sleep 0.1; echo x > "$out"';
  return compilerThat("quick-cc", script);
}

describe.skipIf(!compiler)("building the interposer", () => {
  it("leaves one library in the cache, however many processes build it at once", async () => {
    const cache = join(scratch, "cache");
    const built = await Promise.all(
      Array.from({ length: 4 }, () => build({ CC: quick(), XDG_CACHE_HOME: cache })),
    );
    expect(new Set(built).size).toBe(1);
    expect(built[0]).toMatch(/\/cache\/acked\/interposer-[0-9a-f]{16}\.so$/);
    expect(readdirSync(join(cache, "acked"))).toHaveLength(1);
  });

  it("is not put where LD_PRELOAD would silently split the path", async () => {
    for (const name of ["with space", "with:colon"]) {
      const cache = join(scratch, name);
      mkdirSync(cache);
      const library = await build({ CC: quick(), XDG_CACHE_HOME: cache, TMPDIR: cache });
      expect(library).toMatch(/^\/[^\s:]+\.so$/);
      rmSync(library); // nobody else's: named by a compiler of this test's
    }
  });

  it("says in one sentence what the compiler said first", async () => {
    const broken = compilerThat("broken-cc", 'echo "x.c: note"; echo "x.c:1: error: no headers" >&2; exit 1');
    const said = await build({ CC: broken, XDG_CACHE_HOME: join(scratch, "none") });
    expect(said).toBe(`the interposer could not be compiled with ${broken}: x.c:1: error: no headers`);
    expect(readdirSync(join(scratch, "none", "acked"))).toEqual([]);
  });

  it("says how to get a compiler when there is none", async () => {
    const said = await build({ CC: "", PATH: join(scratch, "no-such-directory") });
    expect(said).toMatch(/needs a C compiler, and none was found: install gcc/);
  });

  it("takes CC with arguments", async () => {
    const library = await build({
      CC: `${quick()} -g0`,
      XDG_CACHE_HOME: join(scratch, "arguments"),
    });
    expect(library).toMatch(/interposer-[0-9a-f]{16}\.so$/);
  });
});
