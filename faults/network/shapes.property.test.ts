import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type DirectedLink, linkName } from "../contract.ts";
import {
  awayFrom,
  bridge,
  halves,
  majoritiesRing,
  majorityOf,
  oneWay,
  randomLinks,
  shuffled,
} from "./shapes.ts";

const membersOf = (count: number) => Array.from({ length: count }, (_, i) => `n${i + 1}`);
const between = (least: number, most: number) => fc.integer({ min: least, max: most }).map(membersOf);
const pick = fc.nat(9_999);
const settings = { seed: 20_261_128, numRuns: 60 };

/** Whom each member hears and is heard by, itself among them, once these links are gone. */
function seenBy(members: readonly string[], gone: readonly DirectedLink[]): Map<string, string[]> {
  const names = new Set(gone.map(linkName));
  const whole = (from: string, to: string) => !names.has(linkName({ from, to }));
  return new Map(
    members.map((one) => [one, members.filter((other) => whole(one, other) && whole(other, one))]),
  );
}

function expectRealLinks(members: readonly string[], links: readonly DirectedLink[]): void {
  expect(new Set(links.map(linkName)).size).toBe(links.length);
  for (const { from, to } of links) {
    expect(from).not.toBe(to);
    expect(members).toContain(from);
    expect(members).toContain(to);
  }
}

describe("every shape strikes links that are there, each once", () => {
  it.each([
    ["halves", halves],
    ["ring", majoritiesRing],
    ["bridge", bridge],
    ["random links", randomLinks],
  ] as const)("%s", (_name, shape) => {
    fc.assert(
      fc.property(between(2, 9), pick, (members, drawn) => {
        const links = shape(members, drawn);
        expectRealLinks(members, links);
        expect(shape(members, drawn)).toEqual(links);
      }),
      settings,
    );
  });
});

it("away from: the member sees nobody, everybody else sees each other", () => {
  fc.assert(
    fc.property(between(2, 9), pick, (members, drawn) => {
      const member = members[drawn % members.length]!;
      const seen = seenBy(members, awayFrom(members, member));
      for (const [one, others] of seen) {
        expect(others).toEqual(one === member ? [member] : members.filter((other) => other !== member));
      }
    }),
    settings,
  );
});

it("halves: each member sees its own half whole, exactly one half at most is a majority", () => {
  fc.assert(
    fc.property(between(2, 9), pick, (members, drawn) => {
      const groups = new Map(
        [...seenBy(members, halves(members, drawn)).values()].map((group) => [group.join(), group]),
      );
      expect(groups.size).toBe(2);
      expect([...groups.values()].flat().sort()).toEqual([...members].sort());
      const sizes = [...groups.values()].map((group) => group.length).sort();
      expect(sizes).toEqual([Math.floor(members.length / 2), Math.ceil(members.length / 2)]);
    }),
    settings,
  );
});

it("ring: every member sees a majority, no two see the same, and nobody sees everybody", () => {
  fc.assert(
    fc.property(between(4, 9), pick, (members, drawn) => {
      const seen = [...seenBy(members, majoritiesRing(members, drawn)).values()];
      for (const group of seen) {
        expect(group.length).toBeGreaterThanOrEqual(majorityOf(members.length));
        expect(group.length).toBeLessThan(members.length);
      }
      expect(new Set(seen.map((group) => group.join())).size).toBe(members.length);
    }),
    settings,
  );
});

it("ring: with 5 members each sees exactly its two neighbours, and 3 members have none", () => {
  const seen = [...seenBy(membersOf(5), majoritiesRing(membersOf(5), 7)).values()];
  expect(seen.map((group) => group.length)).toEqual([3, 3, 3, 3, 3]);
  expect(majoritiesRing(membersOf(3), 7)).toEqual([]);
});

it("bridge: one member sees everybody, every other sees its own group and the bridge, and there are two groups", () => {
  fc.assert(
    fc.property(between(3, 9), pick, (members, drawn) => {
      const seen = seenBy(members, bridge(members, drawn));
      const bridges = [...seen].filter(([, group]) => group.length === members.length).map(([one]) => one);
      expect(bridges).toHaveLength(1);
      const groups = new Set([...seen.values()].filter((group) => group.length < members.length).map(String));
      expect(groups.size).toBe(2);
      for (const group of groups) expect(group.split(",")).toContain(bridges[0]);
    }),
    settings,
  );
});

it("one way: what goes back is left alone", () => {
  const links = oneWay(["n1"], membersOf(3)).map(linkName);
  expect(links).toEqual(["n1>n2", "n1>n3"]);
});

it("random links: never none, and over many draws every link is struck and is spared", () => {
  const members = membersOf(3);
  const counts = new Map(oneWay(members, members).map((link) => [linkName(link), 0]));
  for (let drawn = 0; drawn < 300; drawn++) {
    const links = randomLinks(members, drawn);
    expect(links.length).toBeGreaterThan(0);
    for (const link of links) counts.set(linkName(link), counts.get(linkName(link))! + 1);
  }
  for (const count of counts.values()) {
    expect(count).toBeGreaterThan(50);
    expect(count).toBeLessThan(200);
  }
});

it("an order is the same members, and over many draws each comes first", () => {
  const firsts = new Set(Array.from({ length: 100 }, (_, drawn) => shuffled(membersOf(5), drawn)[0]));
  expect([...firsts].sort()).toEqual(membersOf(5));
  expect([...shuffled(membersOf(5), 3)].sort()).toEqual(membersOf(5));
});
