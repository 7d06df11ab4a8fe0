/**
 * The registry of stores, one line each, and how `--store` is understood: a name from the registry, a module of one's
 * own (`./my-store.mjs`), or a command that speaks RESP (`resp:…`).
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { brokenStores } from "./broken/index.ts";
import { capabilities, ScenarioError, type Store } from "./contract.ts";
import { ramlog } from "./ramlog/store.ts";
import { redis } from "./redis.ts";
import { parseRespStore } from "./resp.ts";

export { brokenStores } from "./broken/index.ts";

/** Every store that can be named. */
export const stores: readonly Store[] = [ramlog, redis, ...brokenStores];

/**
 * The store that `--store` names.
 *
 * @throws ScenarioError when there is none of that name, or the module or command cannot be used.
 */
export async function findStore(text: string): Promise<Store> {
  if (text.startsWith("resp:")) return parseRespStore(text);
  if (/\.[cm]?[jt]s$/.test(text)) return storeOfModule(text);
  const store = stores.find((one) => one.name === text);
  if (store) return store;
  throw new ScenarioError(
    `there is no store "${text}"${suggestion(text)}; known: ${stores.map((one) => one.name).join(", ")}; or a module (./my-store.mjs), or 'resp:my-server --port {port} --dir {dir}'`,
  );
}

async function storeOfModule(path: string): Promise<Store> {
  const file = resolve(path);
  if (!existsSync(file)) throw new ScenarioError(`--store ${path}: there is no such file`);
  let module: Readonly<Record<string, unknown>>;
  try {
    module = await import(pathToFileURL(file).href);
  } catch (error) {
    throw new ScenarioError(`--store ${path} could not be loaded: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const wrong = whyNoStore(module.default);
  if (wrong) {
    throw new ScenarioError(`--store ${path} ${wrong}; write: export default respStore({ name, command })`);
  }
  return module.default as Store;
}

/** What a value lacks to be a `Store`; `undefined` when nothing. */
function whyNoStore(value: unknown): string | undefined {
  if (value === undefined) return "has no default export";
  if (typeof value !== "object" || value === null) return `exports by default ${typeof value}, not a Store`;
  const store = value as Readonly<Record<string, unknown>>;
  const missing = [
    ...["name", "summary"].filter((member) => typeof store[member] !== "string"),
    ...["capabilities", "durabilities"].filter((member) => !Array.isArray(store[member])),
    ...["promise", "launch", "connect"].filter((member) => typeof store[member] !== "function"),
  ];
  if (missing.length > 0) return `exports by default an object that lacks ${missing.join(", ")}`;
  const foreign = (store.capabilities as unknown[]).filter((one) => !capabilities.includes(one as never));
  if (foreign.length > 0) {
    return `declares the unknown capability ${JSON.stringify(foreign[0])} (known: ${capabilities.join(", ")})`;
  }
  return undefined;
}

function suggestion(text: string): string {
  const nearest = stores
    .map((store) => ({ name: store.name, distance: editDistance(text, store.name.replace(/^broken\//, "")) }))
    .concat(stores.map((store) => ({ name: store.name, distance: editDistance(text, store.name) })))
    .sort((a, b) => a.distance - b.distance)[0];
  return nearest && nearest.distance <= Math.max(1, text.length / 3)
    ? ` (did you mean ${nearest.name}?)`
    : "";
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, previous[j]! + 1, row[j - 1]! + 1));
    }
    previous = row;
  }
  return previous[b.length]!;
}
