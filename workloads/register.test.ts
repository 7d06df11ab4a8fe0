import { expect, test } from "vitest";
import type { Reply, Request } from "../stores/contract.ts";
import { register } from "./register.ts";

const options = { seed: 11, client: 0, epoch: 0 };

/** Runs a stream against a single client's true register, and gives every compare-and-set's outcome. */
function outcomes(interfere: boolean): boolean[] {
  const values = new Map<string, string | null>();
  const stream = register.stream(options);
  const matches: boolean[] = [];
  for (let n = 0; n < 1000; n++) {
    const request = stream.next();
    const reply = answer(values, request);
    if (request.f === "cas" && reply.type === "ok") matches.push(reply.matched === true);
    stream.observe(request, reply);
    if (interfere) values.set(request.key, `another client's ${n}`);
  }
  return matches;
}

function answer(values: Map<string, string | null>, { f, key, value }: Request): Reply {
  const current = values.get(key) ?? null;
  if (f === "read") return { type: "ok", value: current };
  if (f === "write") {
    values.set(key, value as string);
    return { type: "ok" };
  }
  const [expected, next] = value as [string | null, string];
  if (current !== expected) return { type: "ok", matched: false, value: current };
  values.set(key, next);
  return { type: "ok", matched: true };
}

test("a compare-and-set expects what this client saw last, so alone it always matches", () => {
  const matches = outcomes(false);
  expect(matches.length).toBeGreaterThan(100);
  expect(matches.every(Boolean)).toBe(true);
});

test("when others write in between it fails, and its witness is what it expects next", () => {
  expect(outcomes(true).filter(Boolean).length).toBeLessThanOrEqual(5);
});

test("a compare that failed changed nothing, one that matched did", () => {
  const cas: Request = { workload: "register", f: "cas", key: "e0/r/0", value: [null, "x"] };
  expect(register.changes(cas, { type: "ok", matched: false, value: "y" })).toBe(false);
  expect(register.changes(cas, { type: "ok", matched: true })).toBe(true);
});
