/**
 * The shape of the tree, read from the sources themselves: who may import whom (ARCHITECTURE.md, "Import rule"), no
 * cycles, no dead files, no file that has become too long to be read. It knows file names and import statements only;
 * it does not judge what is inside.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { packageRoot } from "../harness/package-root.ts";

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

const folders = ["harness", "faults", "workloads", "stores", "reports", "scripts"];
const files = folders.flatMap(sourcesBelow);
const imports = files.flatMap(importsOf);
const isTest = (file: string) => file.endsWith(".test.ts") || file.includes("/fixtures/");
const production = imports.filter(({ from }) => !isTest(from));

describe("the tree", () => {
  it("is really read: it has every folder, and imports that this test resolves", () => {
    for (const folder of folders) expect(files.some((file) => file.startsWith(`${folder}/`))).toBe(true);
    expect(imports.length).toBeGreaterThan(files.length);
    expect(imports.filter(({ to }) => !existsSync(join(packageRoot, to)))).toEqual([]);
    expect(imports).toContainEqual({ from: "scripts/acked.ts", to: "scripts/chaos.ts", typeOnly: false });
    expect(imports.some(({ from, typeOnly }) => from === "harness/run.ts" && typeOnly)).toBe(true);
  });

  it("keeps leaves to their contract, their own folder and the history, models and checkers", () => {
    expect(production.filter((one) => isLeaf(one.from) && !leafMay(one)).map(sentence)).toEqual([]);
  });

  it("lets the harness see leaves only through the registries and contracts", () => {
    const door = /^(stores|faults|workloads)\/(index|(cluster-)?contract)\.ts$/;
    const wrong = production.filter(
      ({ from, to }) => from.startsWith("harness/") && isOutside(to, "harness") && !door.test(to),
    );
    expect(wrong.map(sentence)).toEqual([]);
  });

  it("lets reports read the files of a finished run only", () => {
    const parsers = /^harness\/(results|history\/[\w-]+|checkers\/contract)\.ts$/;
    const wrong = production.filter(({ from, to, typeOnly }) => {
      if (!from.startsWith("reports/") || !isOutside(to, "reports") || parsers.test(to)) return false;
      return !(from.startsWith("reports/bench/") && to.startsWith("harness/measure/") && typeOnly);
    });
    expect(wrong.map(sentence)).toEqual([]);
  });

  it("lets nothing import scripts/", () => {
    const wrong = imports.filter(({ from, to }) => to.startsWith("scripts/") && !from.startsWith("scripts/"));
    expect(wrong.map(sentence)).toEqual([]);
  });

  it("has no import cycles (type-only imports aside)", () => {
    expect(cycleIn(imports.filter(({ typeOnly }) => !typeOnly))).toBeUndefined();
  });

  it("finds a cycle where there is one", () => {
    const edge = (from: string, to: string): Import => ({ from, to, typeOnly: false });
    expect(cycleIn([edge("a", "b"), edge("b", "c"), edge("c", "b")])).toEqual(["b", "c", "b"]);
  });

  it("has no dead files: everything is reached from a command, an export, a child program or a test", () => {
    const programs =
      /(^|\/)(main|null-server|explore-worker|search-worker|exercise|namespace|recoverable)\.ts$|\/fixtures\/|\.test\.ts$/;
    const entries = ["scripts/acked.ts", ...packageEntries(), "scripts/vitest-setup.ts"];
    const roots = files.filter((file) => entries.includes(file) || programs.test(file));
    expect(entries.filter((entry) => !files.includes(entry))).toEqual([]);
    const reached = reachableFrom(roots);
    expect(files.filter((file) => !reached.has(file))).toEqual([]);
  });

  it("has no source file beyond 650 lines", () => {
    const long = files.filter((file) => read(file).split("\n").length > 650);
    expect(long).toEqual([]);
  });

  it("says on the first screen of every source file what it is for", () => {
    const silent = files.filter(
      (file) => !isTest(file) && !/\/\*\*/.test(read(file).split("\n", 20).join("\n")),
    );
    expect(silent).toEqual([]);
  });
});

function sourcesBelow(folder: string): string[] {
  return readdirSync(join(packageRoot, folder), { recursive: true, encoding: "utf8" })
    .map((name) => `${folder}/${name}`)
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts"));
}

function read(file: string): string {
  return readFileSync(join(packageRoot, file), "utf8");
}

/** Static and dynamic imports and re-exports of relative paths; one is type-only when nothing of it is left at run time. */
function importsOf(file: string): Import[] {
  const source = read(file)
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/^\s*\/\/.*$/gm, "");
  const statement =
    /^(?:import|export)\s+(?:([^;"']*?)\s*from\s+)?["'](\.[^"']*)["']|import\(\s*["'](\.[^"']*)["']\s*\)/gm;
  return [...source.matchAll(statement)].map(([, clause, fixed, dynamic]) => ({
    from: file,
    to: relative(packageRoot, resolve(packageRoot, dirname(file), fixed ?? dynamic ?? "")),
    typeOnly: clause !== undefined && onlyTypes(clause),
  }));
}

/** `verbatimModuleSyntax` keeps an import unless it says `type` itself, so only that counts. */
function onlyTypes(clause: string): boolean {
  return /^type\s/.test(clause);
}

function isLeaf(file: string): boolean {
  return /^(stores|faults|workloads)\//.test(file);
}

function isOutside(file: string, folder: string): boolean {
  return !file.startsWith(`${folder}/`);
}

/** `stores/api.ts` is the package's face, so it may also name the types that a store or a workload of one's own needs. */
function leafMay({ from, to, typeOnly }: Import): boolean {
  const top = from.split("/")[0]!;
  if (/^harness\/((history|models|checkers)\/.*|package-root\.ts)$/.exec(to)) return true;
  if (from === "stores/api.ts" && to === "workloads/contract.ts") return typeOnly;
  if (/^stores\/(cluster-)?contract\.ts$/.test(to)) return true; // the words all leaves share: Request, Store, ScenarioError
  if (isOutside(to, top)) return false;
  if (from === `${top}/index.ts` || from === "stores/api.ts") return true;
  return ownOf(from).some((place) => to.startsWith(place)) || to === `${top}/contract.ts`;
}

/** The folders inside its own part of the tree that a leaf may use. */
function ownOf(from: string): string[] {
  const [top, folder, ...rest] = from.split("/");
  if (rest.length === 0) return [`${top}/`]; // a leaf directly below: its siblings are its own folder
  if (top !== "stores") return [`${top}/`]; // faults share the native plan, workloads the generation
  const sound = rest.length > 1 && rest[0] === "cluster" ? "stores/postgres/" : "stores/ramlog/"; // what is broken on purpose
  if (folder === "broken") return ["stores/broken/", sound, "stores/clients/", "stores/resp.ts"];
  return [`stores/${folder}/`, "stores/clients/", "stores/resp.ts", "stores/installed-server.ts"];
}

function sentence({ from, to }: Import): string {
  return `${from} must not import ${to}`;
}

/** The first cycle met, its first file repeated at the end; `undefined` when there is none. */
function cycleIn(edges: readonly Import[]): string[] | undefined {
  const next = groupedTargets(edges);
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    for (const target of next.get(file) ?? []) {
      const cycle = visit(target, [...path, file]);
      if (cycle) return cycle;
    }
    done.add(file);
    return undefined;
  };
  for (const file of next.keys()) {
    const cycle = visit(file, []);
    if (cycle) return cycle;
  }
  return undefined;
}

function groupedTargets(edges: readonly Import[]): Map<string, string[]> {
  const targets = new Map<string, string[]>();
  for (const { from, to } of edges) targets.set(from, [...(targets.get(from) ?? []), to]);
  return targets;
}

function reachableFrom(roots: readonly string[]): Set<string> {
  const next = groupedTargets(imports);
  const reached = new Set<string>();
  const pending = [...roots];
  for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
    if (reached.has(file)) continue;
    reached.add(file);
    pending.push(...(next.get(file) ?? []));
  }
  return reached;
}

/** The sources behind package.json's `exports` and `bin`. */
function packageEntries(): string[] {
  const { exports, bin } = JSON.parse(read("package.json")) as { exports: object; bin: object };
  const paths = [...JSON.stringify([exports, bin]).matchAll(/"(?:\.\/)?dist\/([^"]+?)\.(?:d\.ts|js)"/g)];
  return [...new Set(paths.map(([, path]) => `${path}.ts`))];
}
