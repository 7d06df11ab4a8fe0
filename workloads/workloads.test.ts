/** What every workload's generator must do, whichever it is. */
import { describe, expect, test } from "vitest";
import type { Reply, Request } from "../stores/contract.ts";
import type { RequestStream, StreamOptions } from "./contract.ts";
import { findWorkloads, workloads } from "./index.ts";

const options: StreamOptions = { seed: -77, client: 3, epoch: 0 };

/** The first requests of a stream, each answered by `answer`. */
function take(
  stream: RequestStream,
  count: number,
  answer: (request: Request, n: number) => Reply = () => ({ type: "info", error: "no reply" }),
): Request[] {
  return Array.from({ length: count }, (_, n) => {
    const request = stream.next();
    stream.observe(request, answer(request, n));
    return request;
  });
}

/** The unique part of what a request writes; `undefined` for reads and deletes. */
function writtenBy({ f, value }: Request): string | undefined {
  if (f === "cas") return (value as [string | null, string])[1];
  if (f === "transfer") return (value as { id: string }).id;
  return f === "write" || f === "append" || f === "add" ? (value as string) : undefined;
}

describe.each(workloads.map((workload) => [workload.name, workload] as const))("%s", (name, workload) => {
  test("the same seed, client and epoch give the same requests", () => {
    expect(take(workload.stream(options), 700)).toEqual(take(workload.stream(options), 700));
  });

  test.each([{ seed: -76 }, { client: 4 }, { epoch: 1 }])("another %o gives other requests", (other) => {
    const shape = (requests: Request[]) => requests.map(({ f, key }) => `${f} ${key.replace(/^e\d+/, "")}`);
    const some = shape(take(workload.stream(options), 100));
    expect(shape(take(workload.stream({ ...options, ...other }), 100))).not.toEqual(some);
  });

  test("two streams in turns do not disturb each other", () => {
    const [a, b] = [workload.stream(options), workload.stream({ ...options, client: 9 })];
    const turns = Array.from({ length: 300 }, () => [a.next(), b.next()] as const);
    expect(turns.map(([request]) => request)).toEqual(take(workload.stream(options), 300));
  });

  test("every key carries its epoch, and is read back", () => {
    const requests = take(workload.stream({ ...options, epoch: 6 }), 4000);
    const readBack = new Set(workload.readBack(6).map((request) => request.key));
    for (const { key } of requests) {
      expect(key).toMatch(/^e6\//);
      expect(readBack).toContain(key);
    }
    expect(workload.readBack(7).filter(({ key }) => readBack.has(key))).toEqual([]);
  });

  test("every request, opening and read-back names its workload", () => {
    const all = [...take(workload.stream(options), 50), ...workload.setUp(0), ...workload.readBack(0)];
    expect(new Set(all.map((request) => request.workload))).toEqual(new Set([name]));
  });

  test("only what succeeded and is no read changes the store", () => {
    for (const request of [...take(workload.stream(options), 300), ...workload.setUp(0)]) {
      const changed = workload.changes(request, { type: "ok", value: 1 });
      expect(changed).toBe(request.f !== "read");
      expect(workload.changes(request, { type: "fail", error: "" })).toBe(false);
      expect(workload.changes(request, { type: "info", error: "" })).toBe(false);
    }
    for (const request of workload.readBack(0)) {
      expect(workload.changes(request, { type: "ok", value: null })).toBe(false);
    }
  });
});

test("what is written is unique over workloads, clients and epochs, and ends in 22 random characters", () => {
  const written = workloads.flatMap((workload) =>
    [0, 1, 2].flatMap((client) =>
      [0, 1].flatMap((epoch) =>
        take(workload.stream({ seed: 5, client, epoch }), 600)
          .map(writtenBy)
          .filter((value) => value !== undefined),
      ),
    ),
  );
  expect(written.length).toBeGreaterThan(5000);
  expect(new Set(written).size).toBe(written.length);
  for (const value of written) expect(value).toMatch(/^\d+\.\d+\.[\w-]{22}$/);
  expect(new Set(written.map((value) => value.slice(-22))).size).toBe(written.length);
});

test("the shares of requests are what each workload's first screen says", () => {
  const shares = Object.fromEntries(
    workloads.map((workload) => {
      const counts: Record<string, number> = {};
      for (const { f } of take(workload.stream(options), 3000)) counts[f] = (counts[f] ?? 0) + 1 / 30;
      return [workload.name, counts];
    }),
  );
  const expected = {
    register: { read: 45, write: 35, cas: 20 },
    kv: { read: 35, write: 45, delete: 20 },
    append: { append: 70, read: 30 },
    bank: { transfer: 85, read: 15 },
    set: { add: 70, read: 30 },
  };
  for (const [name, parts] of Object.entries(expected)) {
    expect(Object.keys(shares[name]!).sort()).toEqual(Object.keys(parts).sort());
    for (const [f, share] of Object.entries(parts))
      expect(Math.abs(shares[name]![f]! - share)).toBeLessThan(4);
  }
});

test("an unknown workload lists the known ones", () => {
  expect(findWorkloads(["kv", "bank", "kv"]).map((workload) => workload.name)).toEqual(["kv", "bank"]);
  expect(() => findWorkloads(["banc"])).toThrow(
    'there is no workload "banc" (did you mean bank?); known: register, kv, append, bank, set',
  );
});
