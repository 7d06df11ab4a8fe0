/**
 * The session guarantees against their definitions tried out: every order of the writes, every set of writes for every
 * read. `ACKED_FUZZ` sets how many histories, `ACKED_FUZZ_SEED` where they begin.
 */
import { describe, expect, it } from "vitest";
import type { Operation } from "../../history/operation.ts";
import { strictContext } from "../fixtures/promise.ts";
import { randomFrom } from "../fixtures/random-history.ts";
import { type StoreKind, simulated } from "./fixtures/simulated-stores.ts";
import { type Guarantee, type Guarantees, guarantees, SessionOrder } from "./session-order.ts";
import { checkSessions } from "./sessions.ts";
import { type Access, type Version, versionsOf } from "./versions.ts";

const rounds = Math.min(100_000, Number(process.env.ACKED_FUZZ ?? 1500));
const firstSeed = Number(process.env.ACKED_FUZZ_SEED ?? 1);
const stores: readonly StoreKind[] = [
  "causal",
  "eventual",
  "without read-your-writes",
  "without monotonic-reads",
  "without monotonic-writes",
  "without writes-follow-reads",
];

const sessionOf = ({ operation }: Access) => String(operation.process);

function smallAccesses(seed: number): readonly Access[] {
  const random = randomFrom(seed * 31);
  const one = <Item>(items: readonly Item[]) => items[Math.floor(random() * items.length)]!;
  const history = simulated({
    kind: one(stores),
    seed,
    operations: one([5, 7, 9]),
    clients: one([2, 3]),
    keys: one([1, 2]),
    timeouts: one([0, 0.2]),
    mutated: random() < 0.5,
  });
  const { accesses, phantoms } = versionsOf(history.operations);
  return phantoms.length > 0 ? [] : accesses;
}

/** Terry et al. 1994, literally; `global`: one order of all writes, else one for each key. */
function holds(accesses: readonly Access[], demanded: Guarantees, global: boolean): boolean {
  const writes = accesses.flatMap((access) => access.writes ?? []);
  const before = (a: Access, b: Access) =>
    a !== b &&
    sessionOf(a) === sessionOf(b) &&
    a.operation.outcome === "ok" &&
    a.operation.return < b.operation.call;
  const pastOf = new Map<Version, Set<Version>>();
  for (const access of accesses) {
    if (!access.writes) continue;
    const past = new Set<Version>();
    for (const earlier of accesses.filter((other) => before(other, access))) {
      if (demanded.has("monotonic-writes") && earlier.writes) past.add(earlier.writes);
      if (demanded.has("writes-follow-reads") && earlier.reads?.writer) past.add(earlier.reads);
    }
    pastOf.set(access.writes, past);
  }
  // What a server that has a write must have had before it, by way of other writes.
  for (let grew = true; grew; ) {
    grew = false;
    for (const past of pastOf.values()) {
      for (const one of [...past]) {
        for (const more of pastOf.get(one) ?? []) {
          if (!past.has(more)) grew = Boolean(past.add(more));
        }
      }
    }
  }
  const sets = subsetsOf(writes).filter((set) =>
    [...set].every((one) => [...pastOf.get(one)!].every((w) => set.has(w))),
  );
  const ordersWrites = (order: readonly Version[]) =>
    writes.every((later) =>
      [...pastOf.get(later)!].every((past) => past !== later && order.indexOf(past) < order.indexOf(later)),
    );
  const serves = (order: readonly Version[], read: Access) =>
    sets.some((set) => {
      const mine = accesses.filter((other) => before(other, read));
      if (demanded.has("read-your-writes") && mine.some(({ writes: own }) => own && !set.has(own)))
        return false;
      if (demanded.has("monotonic-reads") && mine.some(({ reads }) => reads?.writer && !set.has(reads)))
        return false;
      const newest = order.filter((version) => version.key === read.operation.key && set.has(version)).at(-1);
      return newest === (read.reads!.writer ? read.reads : undefined);
    });
  const reads = accesses.filter((access) => access.reads);
  if (global) {
    return permutationsOf(writes).some(
      (order) => ordersWrites(order) && reads.every((read) => serves(order, read)),
    );
  }
  const keys = [...new Set(accesses.map(({ operation }) => operation.key))];
  return keys.every((key) => {
    const ofKey = writes.filter((version) => version.key === key);
    if (ofKey.length === 0) return true;
    return permutationsOf(ofKey).some(
      (order) =>
        ofKey.every((later) =>
          ofKey.every(
            (past) =>
              !pastOf.get(later)!.has(past) || (past !== later && order.indexOf(past) < order.indexOf(later)),
          ),
        ) && reads.every((read) => read.operation.key !== key || serves(order, read)),
    );
  });
}

function subsetsOf<Item>(items: readonly Item[]): Set<Item>[] {
  return Array.from(
    { length: 2 ** items.length },
    (_, bits) => new Set(items.filter((_item, i) => (bits >> i) & 1)),
  );
}

function permutationsOf<Item>(items: readonly Item[]): Item[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item) =>
    permutationsOf(items.filter((other) => other !== item)).map((rest) => [item, ...rest]),
  );
}

function verdict(accesses: readonly Access[], demanded: Guarantees): boolean {
  return new SessionOrder(accesses, sessionOf).violated(demanded, Number.POSITIVE_INFINITY)!.size === 0;
}

describe("every set of session guarantees", () => {
  it(
    "is judged as its definition tried out in every way",
    () => {
      const tally = { true: 0, false: 0 };
      for (let seed = firstSeed; seed < firstSeed + rounds; seed++) {
        const accesses = smallAccesses(seed);
        const writes = accesses.filter((access) => access.writes).length;
        if (accesses.length === 0 || writes > 5) continue;
        const demanded = new Set(guarantees.filter((_one, i) => ((seed % 16) >> i) & 1));
        const judged = verdict(accesses, demanded);
        tally[`${judged}`]++;
        const what = `seed ${seed}, ${[...demanded].join(", ")}`;
        expect(holds(accesses, demanded, false), what).toBe(judged);
        // Agreeing on one order over all keys demands more, so what holds then is never condemned.
        if (!judged) expect(holds(accesses, demanded, true), what).toBe(false);
      }
      console.log(`session guarantees from seed ${firstSeed}: ${JSON.stringify(tally)}`);
      expect(Math.min(tally.true, tally.false)).toBeGreaterThan(rounds * 0.05);
    },
    60_000 + 20 * rounds,
  );
});

/** What a finding names, and the writes of what was read there. */
function withWriters(named: readonly Operation[], accesses: readonly Access[]): Operation[] {
  const mine = accesses.filter(({ operation }) => named.includes(operation));
  const writers = mine.flatMap(({ reads }) => reads?.writer ?? []);
  return [...new Set([...named, ...writers])].sort((a, b) => a.call - b.call);
}

it(
  "what a finding names is a violation by itself, of the guarantee it claims alone if it claims it alone",
  () => {
    let found = 0;
    for (let seed = firstSeed; seed < firstSeed + rounds / 10; seed++) {
      const kind = stores[seed % stores.length]!;
      const { operations } = simulated({ kind, seed, operations: 60, clients: 3, keys: 2, timeouts: 0.1 });
      const { accesses } = versionsOf(operations);
      for (const finding of checkSessions({ operations, readiness: [] }, strictContext()).findings) {
        const alone = !finding.sentence.includes("; or else ");
        const few = versionsOf(withWriters(finding.operations, accesses));
        const demanded = new Set(alone ? [finding.kind as Guarantee] : guarantees);
        expect(verdict(few.accesses, demanded), `seed ${seed}: ${finding.sentence}`).toBe(false);
        found++;
      }
    }
    expect(found).toBeGreaterThan(rounds / 40);
  },
  60_000 + 20 * rounds,
);
