/**
 * The registry of stores, one line each, and how `--store` is understood: a name from the registry, a module of one's
 * own (`./my-store.mjs`), or a command that speaks RESP (`resp:…`).
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { brokenClusters } from "./broken/cluster/index.ts";
import { brokenStores } from "./broken/index.ts";
import { capabilities, ScenarioError, type Store, unknownName } from "./contract.ts";
import { etcd, etcdSerializable } from "./etcd/store.ts";
import { jsonFiles } from "./json-files/store.ts";
import { postgresReplica, postgresReplicaAsync } from "./postgres/replica.ts";
import { postgres, postgresFsyncOff } from "./postgres/store.ts";
import { ramlog } from "./ramlog/store.ts";
import { redisSentinel } from "./redis/sentinel.ts";
import { redis, redisUnrepaired } from "./redis/store.ts";
import { parseRespStore } from "./resp.ts";
import { sqlite, sqliteNormal } from "./sqlite/store.ts";

export { brokenClusters } from "./broken/cluster/index.ts";
export { brokenStores } from "./broken/index.ts";

/** Every store that can be named. */
export const stores: readonly Store[] = [
  ramlog,
  redis,
  redisUnrepaired,
  redisSentinel,
  sqlite,
  sqliteNormal,
  postgres,
  postgresFsyncOff,
  postgresReplica,
  postgresReplicaAsync,
  etcd,
  etcdSerializable,
  jsonFiles,
  ...brokenStores,
  ...brokenClusters,
];

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
  const also = "; or a module (./my-store.mjs), or 'resp:my-server --port {port} --dir {dir}'";
  throw unknownName(
    "store",
    text,
    stores.map((one) => one.name),
    also,
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
