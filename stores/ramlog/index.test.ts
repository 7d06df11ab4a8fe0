import { afterEach, describe, expect, test } from "vitest";
import { type Disk, nodeDisk } from "./disk.ts";
import { remove, temporaryDirectory } from "./fixtures/model.ts";
import { openStore, type RamlogStore, StartRefused, StoreFailed } from "./index.ts";

interface User {
  name: string;
  friends: string[];
}
type Tables = { users: User; counters: number };

const directories: string[] = [];
const stores: RamlogStore<Tables>[] = [];

async function open(
  dir?: string,
  disk: Partial<Disk> = {},
): Promise<{ store: RamlogStore<Tables>; dir: string }> {
  const where = dir ?? temporaryDirectory();
  directories.push(where);
  const store = await openStore<Tables>({
    dir: where,
    tables: { users: {}, counters: {} },
    segmentBytes: 1 << 16,
    seams: { disk: { ...nodeDisk, ...disk } },
  });
  stores.push(store);
  return { store, dir: where };
}

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close().catch(() => undefined);
  for (const dir of directories.splice(0)) remove(dir);
});

const ada: User = { name: "Ada ☃", friends: ["Grace"] };

describe("the library", () => {
  test("a transaction that resolved is there after closing and opening again", async () => {
    const { store, dir } = await open();
    await store.transact((tx) => {
      tx.put("users", "ада", ada);
      tx.put("counters", "n", 1);
    });
    await store.close();
    const { store: again } = await open(dir);
    expect(again.get("users", "ада")).toEqual(ada);
    expect([...again.table("users").entries()]).toEqual([["ада", ada]]);
    expect(again.get("counters", "n")).toBe(1);
  });

  test("a throw rolls back everything, and the error comes through", async () => {
    const { store } = await open();
    await store.transact((tx) => tx.put("counters", "n", 1));
    const attempt = store.transact((tx) => {
      tx.put("counters", "n", 2);
      tx.put("users", "ada", ada);
      tx.delete("counters", "n");
      throw new RangeError("no funds");
    });
    await expect(attempt).rejects.toThrow(RangeError);
    expect(store.get("counters", "n")).toBe(1);
    expect(store.table("users").size).toBe(0);
    expect(await store.transact((tx) => tx.get("counters", "n"))).toBe(1);
  });

  test("reads see the last durable version; only transactions see what is pending", async () => {
    const { store } = await open();
    await store.transact((tx) => tx.put("counters", "n", 1));
    const second = store.transact((tx) => tx.put("counters", "n", 2));
    const third = store.transact((tx) => {
      expect(tx.get("counters", "n")).toBe(2);
      tx.delete("counters", "n");
      tx.put("counters", "m", 3);
    });
    expect(store.get("counters", "n")).toBe(1);
    expect(store.get("counters", "m")).toBeUndefined();
    expect(store.table("counters").size).toBe(1);
    expect([...store.table("counters").entries()]).toEqual([["n", 1]]);
    await Promise.all([second, third]);
    expect(store.get("counters", "n")).toBeUndefined();
    expect([...store.table("counters").entries()]).toEqual([["m", 3]]);
  });

  test("nobody can change what the log does not know of", async () => {
    const { store } = await open();
    const mine: User = { name: "Bob", friends: [] };
    await store.transact((tx) => tx.put("users", "bob", mine));
    mine.friends.push("Eve");
    const got = store.get("users", "bob")!;
    expect(got.friends).toEqual([]);
    expect(() => (got.friends as string[]).push("Eve")).toThrow(TypeError);
  });

  test("after a failed sync everything rejects with StoreFailed, and the process goes on", async () => {
    let failing = false;
    const error = Object.assign(new Error("EIO: i/o error, fdatasync"), { code: "EIO" });
    const { store, dir } = await open(undefined, {
      syncDataNow: (fd) => {
        if (failing) throw error;
        nodeDisk.syncDataNow(fd);
      },
      syncData: (fd, done) => (failing ? setImmediate(done, error) : nodeDisk.syncData(fd, done)),
    });
    await store.transact((tx) => tx.put("counters", "n", 1));
    failing = true;
    await expect(store.transact((tx) => tx.put("counters", "n", 2))).rejects.toBeInstanceOf(StoreFailed);
    failing = false;
    await expect(store.transact((tx) => tx.get("counters", "n"))).rejects.toBeInstanceOf(StoreFailed);
    expect(() => store.get("counters", "n")).toThrow(StoreFailed);
    await store.close();
    const { store: again } = await open(dir);
    expect([1, 2]).toContain(again.get("counters", "n"));
  });

  test("one directory is open once; a closed store says so", async () => {
    const { store, dir } = await open();
    await expect(open(dir)).rejects.toBeInstanceOf(StartRefused);
    await store.close();
    await store.close();
    await expect(store.transact(() => 1)).rejects.toThrow(/has been closed/);
    await open(dir);
  });

  test("an unknown table, an async function and a value that is not JSON are refused", async () => {
    const { store } = await open();
    expect(() => store.get("nope" as "users", "a")).toThrow(/no table "nope"; declared: users, counters/);
    await expect(store.transact(async () => 1)).rejects.toThrow(/must not be async/);
    await expect(store.transact((tx) => tx.put("users", "f", undefined as never))).rejects.toThrow(
      /not JSON/,
    );
  });
});
