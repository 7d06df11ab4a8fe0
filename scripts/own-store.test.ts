/**
 * A store of one's own, from an empty directory and with nothing but the packed package: the module of the manual and a
 * `resp:` command line. The tarball is the one `npm pack` makes; it is unpacked where `npm install` would put it, beside
 * links to its declared `dependencies` and no others, so that the test needs no network and a package that only
 * happens to be in this repository is not found.
 */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findCompiler, findProgram } from "../harness/machine.ts";
import { packageRoot } from "../harness/package-root.ts";

const scratch = mkdtempSync(join(tmpdir(), "acked-own-store-"));
const home = join(scratch, "project");
const installed = join(home, "node_modules", "acked");
const redisRequired = (process.env.ACKED_REQUIRE ?? "").split(",").includes("redis");
const redis = findProgram("redis-server");
const compiler = process.platform === "linux" ? findCompiler() : undefined;

/** What the manual shows: no more than 20 lines, and nothing but the package's own name imported from it. */
const myStore = `import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { respStore } from "acked";

const acked = dirname(createRequire(import.meta.url).resolve("acked/package.json"));
const main = join(acked, "dist/stores/ramlog/main.js");

export default respStore({
  name: "my-store",
  command: (node) => [
    ...[process.execPath, main, "--dir", node.dir, "--port", String(node.port)],
    ...["--segment-bytes", "65536"], // small files: a full disk is met soon
  ],
  promise: { syncsBeforeAcknowledging: true, source: "my manual: an acknowledged write is on disk" },
});
`;

beforeAll(async () => {
  mkdirSync(installed, { recursive: true });
  const packed = await execa("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", scratch], {
    cwd: packageRoot,
  });
  const [{ filename }] = JSON.parse(packed.stdout) as [{ filename: string }];
  await execa("tar", ["-xzf", join(scratch, filename), "-C", installed, "--strip-components=1"]);
  const { dependencies, bin } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
  for (const name of Object.keys(dependencies)) link(join(packageRoot, "node_modules", name), name);
  link(join(installed, bin.acked), ".bin/acked");
  chmodSync(join(installed, bin.acked), 0o755); // as npm does to every bin it links
  writeFileSync(join(home, "package.json"), '{"private":true}\n');
  writeFileSync(join(home, "my-store.mjs"), myStore);
}, 120_000);

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function link(target: string, name: string): void {
  const path = join(home, "node_modules", name);
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(target, path);
}

/** `npx acked …` in the empty directory; its own cache, so that the interposer is compiled from the packed sources. */
async function npxAcked(...args: readonly string[]) {
  const ended = await execa("npx", ["--no-install", "acked", ...args], {
    cwd: home,
    reject: false,
    timeout: 50_000,
    stdin: "ignore",
    env: { XDG_CACHE_HOME: join(scratch, "cache"), GITHUB_ACTIONS: "", GITHUB_STEP_SUMMARY: "" },
  });
  if (ended.stdout === "") throw new Error(`acked printed nothing: ${ended.stderr}`);
  return { code: ended.exitCode, document: JSON.parse(ended.stdout), err: ended.stderr };
}

describe("a store of one's own, from the packed package", { timeout: 120_000 }, () => {
  it("is a module of at most 20 lines", () => {
    expect(myStore.trimEnd().split("\n").length).toBeLessThanOrEqual(20);
  });

  it("is loaded, crashed and cleared through --store ./my-store.mjs", async () => {
    const args = ["chaos", "--store", "./my-store.mjs", "--seconds", "6", "--seed", "5", "--json"];
    const { code, document, err } = await npxAcked(...args);
    expect({ reasons: document.reasons, err }).toEqual({ reasons: [], err: expect.any(String) });
    expect(document).toMatchObject({ verdict: true, command: "chaos" });
    expect(document.store).toBe("my-store");
    expect(document.replay).toBe(`npx acked replay ${document.runDir}`);
    expect(document.counts.acknowledged).toBeGreaterThan(100);
    expect(document.counts.crashes).toBeGreaterThan(0);
    if (compiler) expect(err).toMatch(/instrument check: .* acknowledged-without-sync/);
    expect(code).toBe(0);
  });

  it("is found out when its promise is not kept", async () => {
    const lying = myStore.replace('"--dir"', '"--durability", "none", "--dir"');
    writeFileSync(join(home, "lying.mjs"), lying);
    const args = ["chaos", "--store", "./lying.mjs", "--workload", "register", "--fault", "kill"];
    const { code, document } = await npxAcked(...args, "--seconds", "6", "--seed", "5", "--json");
    expect(document.verdict).toBe(false);
    expect(document.findings.map((finding: { kind: string }) => finding.kind)).toContain(
      compiler ? "acknowledged-without-sync" : "lost-acknowledged",
    );
    expect(code).toBe(1);
  });

  it.skipIf(!redis && !redisRequired)(
    "is any command that speaks RESP: redis-server (needs it on PATH)",
    async () => {
      if (!redis) throw new Error("ACKED_REQUIRE names redis, and redis-server is not on PATH");
      const command =
        'resp:redis-server --port {port} --dir {dir} --appendonly yes --appendfsync always --save ""';
      const args = ["chaos", "--store", command, "--workload", "append", "--fault", "kill", "--seconds", "5"];
      const { document } = await npxAcked(...args, "--seed", "5", "--json");
      expect(document.counts.acknowledged).toBeGreaterThan(100);
      expect(document.counts.crashes).toBeGreaterThan(0);
      expect({ verdict: document.verdict, reasons: document.reasons }).toEqual({
        verdict: true,
        reasons: [],
      });
    },
  );
});
