import fc from "fast-check";
import { expect, it } from "vitest";
import type { Fault, FaultTarget, Link, LinkFault } from "../contract.ts";
import { cut } from "./cut.ts";
import { delay } from "./delay.ts";
import { partition } from "./partition.ts";

/** Links that write down what was done to them; the named ones have been touched. */
function target(names: readonly string[], touchedNames: readonly string[] = []) {
  const done: string[] = [];
  const fault = (name: string, what: string): LinkFault => {
    done.push(`${name} ${what}`);
    return {
      touched: () => (touchedNames.includes(name) ? 5 : 0),
      heal: () => {
        done.push(`${name} healed`);
      },
    };
  };
  const links = names.map(
    (name): Link => ({
      name,
      drop: (direction) => fault(name, `drop ${direction}`),
      refuse: () => fault(name, "refuse"),
      delay: (delayMs) => fault(name, `delay ${delayMs}`),
      cut: (afterBytes) => fault(name, `cut ${afterBytes}`),
      heal: () => {},
    }),
  );
  return { done, target: { links } as unknown as FaultTarget };
}

it("a partition acts on the drawn link, whatever the number of links", () => {
  const { done, target: three } = target(["c0", "c1", "c2"], ["c1"]);
  const injection = partition.inject({ link: 4, direction: "back", durationMs: 100 }, three);
  expect(injection.fired()).toEqual({ links: ["c1"], touched: 5 });
  injection.heal();
  expect(done).toEqual(["c1 drop back", "c1 healed"]);
});

it("a partition of all links names those it touched", () => {
  const { done, target: two } = target(["c0", "c1"], ["c1"]);
  const injection = partition.inject({ link: "all", direction: "refuse", durationMs: 100 }, two);
  expect(injection.fired()).toEqual({ links: ["c1"], touched: 5 });
  injection.heal();
  expect(done).toEqual(["c0 refuse", "c1 refuse", "c0 healed", "c1 healed"]);
});

it("a fault that touched nothing has not fired", () => {
  const { target: one } = target(["c0"]);
  expect(delay.inject({ link: 0, delayMs: 10, durationMs: 100 }, one).fired()).toBeUndefined();
  expect(cut.inject({ link: 0, afterBytes: 10, durationMs: 100 }, target([]).target).fired()).toBeUndefined();
});

it.each([partition, delay, cut])(
  "the parameters of $name are plain JSON, and inject as drawn",
  (fault: Fault) => {
    fc.assert(
      fc.property(fault.parameters({} as never), (parameters) => {
        expect(JSON.parse(JSON.stringify(parameters))).toEqual({ ...parameters });
        expect(parameters.durationMs).toBeGreaterThanOrEqual(80);
        const { done, target: links } = target(["c0", "c1", "c2"]);
        fault.inject(parameters, links).heal();
        expect(done).toHaveLength(parameters.link === "all" ? 6 : 2);
      }),
      { seed: 20_261_123, numRuns: 200 },
    );
  },
);
