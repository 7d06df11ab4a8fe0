import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { findStore, stores } from "./index.ts";

const scratch = mkdtempSync(join(tmpdir(), "acked-stores-test-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function moduleOf(name: string, text: string): string {
  const path = join(scratch, name);
  writeFileSync(path, text);
  return path;
}

const whole = `{
  name: "mine", summary: "of a test", capabilities: ["registers"], durabilities: ["always"],
  promise() {}, launch() {}, connect() {},
}`;

test("every registered store is found by its name, and names are unique", async () => {
  for (const store of stores) expect(await findStore(store.name)).toBe(store);
  expect(new Set(stores.map((store) => store.name)).size).toBe(stores.length);
});

test("an unknown name lists the known ones, and the one that may have been meant", async () => {
  await expect(findStore("ramlgo")).rejects.toThrow(
    /no store "ramlgo" \(did you mean ramlog\?\); known: ramlog, redis/,
  );
  await expect(findStore("cassandra")).rejects.toThrow(/^there is no store "cassandra"; known: /);
});

test("resp: makes a store of a command", async () => {
  expect((await findStore("resp:my-server {port} {dir}")).name).toBe("my-server {port} {dir}");
});

describe("a module of one's own", () => {
  test("is found by its path", async () => {
    const store = await findStore(moduleOf("good.mjs", `export default ${whole};`));
    expect(store.name).toBe("mine");
  });

  test.each([
    ["without a default export", "export const store = 1;", /has no default export/],
    ["that exports a number", "export default 7;", /exports by default number, not a Store/],
    [
      "with half a store",
      "export default { name: 'x' };",
      /lacks summary, capabilities, durabilities, promise/,
    ],
    ["that throws", "throw new Error('boom');", /could not be loaded: boom/],
    ["with a syntax error", "export default {", /could not be loaded/],
    [
      "with a capability nobody knows",
      `export default { ...${whole}, capabilities: ["telepathy"] };`,
      /unknown capability "telepathy" \(known: registers/,
    ],
  ])("%s is refused with what is wrong", async (name, text, message) => {
    const path = moduleOf(`${name.replaceAll(/\W/g, "-")}.mjs`, text);
    await expect(findStore(path)).rejects.toThrow(message);
    await expect(findStore(path)).rejects.toMatchObject({ name: "ScenarioError" });
  });

  test("that does not exist is said so", async () => {
    await expect(findStore("./nowhere.mjs")).rejects.toThrow("--store ./nowhere.mjs: there is no such file");
  });
});
