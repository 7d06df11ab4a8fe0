/**
 * The shapes of a broken network: which directed links are struck, as pure functions of the members and of numbers that
 * were drawn beforehand. Jepsen's partitions, and what goes beyond them (one-way, bridge, ring: Alquraan et al., "An
 * Analysis of Network-Partitioning Failures in Cloud Systems", OSDI 2018, where partial and one-way partitions are a
 * third of the failures found).
 *
 * Numbers are drawn before the members are known, so each is taken modulo what there is to choose from. A shape speaks of
 * links only: what is wrong with them is said by a `LinkCondition`.
 *
 * Every shape leaves the links of clients alone, except `awayFrom` a member with `clients`. A client therefore still
 * reaches both sides, which is what makes two leaders at once visible.
 */
import type { DirectedLink } from "../contract.ts";

type Names = readonly string[];

/** Every link from one of `from` to one of `to`. */
export function oneWay(from: Names, to: Names): DirectedLink[] {
  return from.flatMap((one) =>
    to.filter((other) => other !== one).map((other) => ({ from: one, to: other })),
  );
}

/** Every link between the two groups, in both directions. */
export function between(some: Names, others: Names): DirectedLink[] {
  return [...oneWay(some, others), ...oneWay(others, some)];
}

/** The `pick`th member. */
export function chosen(members: Names, pick: number): string | undefined {
  return members[pick % Math.max(1, members.length)];
}

/** A member is cut off from all others; with `clients`, from these clients too. */
export function awayFrom(members: Names, member: string, clients: Names = []): DirectedLink[] {
  return between([member], [...members.filter((other) => other !== member), ...clients]);
}

/**
 * Two halves that do not see each other, drawn by `pick`. Of an odd number the one has one more, and is the majority; of
 * 3 members the other is one alone.
 */
export function halves(members: Names, pick: number): DirectedLink[] {
  const order = shuffled(members, pick);
  const small = Math.floor(members.length / 2);
  return between(order.slice(0, small), order.slice(small));
}

/**
 * The majorities ring: every member sees a majority (itself among them), and no two see the same one. In a circle that
 * `pick` draws, each sees as many neighbours as a majority needs, the same number to both sides. From 4 members on: of 3
 * it is the bridge.
 */
export function majoritiesRing(members: Names, pick: number): DirectedLink[] {
  const count = members.length;
  if (count < 4) return [];
  const order = shuffled(members, pick);
  const reach = Math.ceil((majorityOf(count) - 1) / 2);
  return order.flatMap((one, i) =>
    order.flatMap((other, j) => {
      const distance = Math.min((j - i + count) % count, (i - j + count) % count);
      return distance > reach ? [{ from: one, to: other }] : [];
    }),
  );
}

/** Two groups that see each other only through one member, which sees everybody; from 3 members on. */
export function bridge(members: Names, pick: number): DirectedLink[] {
  if (members.length < 3) return [];
  const [, ...rest] = shuffled(members, pick);
  const half = Math.floor(rest.length / 2);
  return between(rest.slice(0, half), rest.slice(half));
}

/** Each directed link between members by the toss of a coin of its own, of one in `oneIn`; never none. */
export function randomLinks(members: Names, pick: number, oneIn = 3): DirectedLink[] {
  const random = randomFrom(pick);
  const all = oneWay(members, members);
  const struck = all.filter(() => random() < 1 / oneIn);
  const fallback = all[Math.floor(random() * all.length)];
  return struck.length > 0 || !fallback ? struck : [fallback];
}

/** How many members make a majority. */
export function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1;
}

/** The members in an order drawn by `pick`, every order possible. */
export function shuffled(members: Names, pick: number): Names {
  const random = randomFrom(pick);
  const order = [...members];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/** A random number in [0, 1) from a seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
