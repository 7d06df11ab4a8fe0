import { expect, it } from "vitest";
import { ScenarioError } from "../stores/contract.ts";
import { faults, findFaults } from "./index.ts";

it("finds faults by name, each once, in the order asked for", () => {
  expect(findFaults(["stop", "pause", "stop"]).map((fault) => fault.name)).toEqual(["stop", "pause"]);
});

it("lists the known faults for an unknown name, and the nearest", () => {
  expect(() => findFaults(["partitoin"])).toThrow(ScenarioError);
  expect(() => findFaults(["partitoin"])).toThrow(
    /no fault "partitoin" \(did you mean partition\?\); known: .*pause/,
  );
  expect(() => findFaults(["earthquake"])).toThrow(/no fault "earthquake"; known: /);
});

it("offers every fault that a run may name", () => {
  const names = [
    "kill power-loss pause stop",
    "short-write torn-write torn-write-error write-error lying-write misdirected-write bit-flip-write slow-write",
    "disk-full read-only name-error",
    "sync-error fsyncgate writeback-error reverting-sync late-sync-error lying-sync interrupted-sync",
    "skipped-directory-sync slow-sync",
    "read-error short-read corrupt-read stale-page",
    "partition delay cut",
    "at-rest truncated-tail zero-page garbage-appended deleted-file rolled-back-file swapped-files",
  ];
  expect(faults.map((fault) => fault.name).join(" ")).toBe(names.join(" "));
});

it("gives every fault a name and a sentence of its own", () => {
  expect(new Set(faults.map((fault) => fault.name)).size).toBe(faults.length);
  for (const fault of faults) expect(fault.summary).toMatch(/^\S.{20,}[^.]$/);
});
