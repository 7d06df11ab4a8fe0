/**
 * A directed link as it is at this moment: the conditions in force on it, the connections that use it, and what it has
 * carried. Shared by the proxies of single nodes (`proxy.ts`) and of clusters (`proxy-network.ts`); `connection.ts` asks
 * it what may pass. It holds no bytes itself.
 *
 * How conditions add up: one drop is enough to drop, delays are summed (each with its own jitter), of several limits the
 * tightest holds and all are used up, of several cuts the nearest one cuts. Each is counted on its own.
 *
 * A limit is a token bucket of 20 ms: in any second no more than 1.02 times the rate passes, over all connections of the
 * link together.
 */
import type { LinkCondition } from "../contract.ts";
import type { MessageLog } from "./message-log.ts";

/** A condition on one link, or shared by both directions of a pair, and what it has touched. */
export interface ConditionInForce {
  readonly condition: LinkCondition;
  /** Held, delayed, or made to wait for a limit. */
  bytes: number;
  /** Hung, refused, reset or cut. */
  connections: number;
  /** Of a cut: how many more may pass. */
  bytesLeft: number;
  /** Of a limit: what may pass now, and as of when (`performance.now()`). */
  tokens: number;
  refilledAt: number;
  /** Of a delay: the state of its random numbers. */
  random: number;
}

/** A condition that has not touched anything yet. */
export function newCondition(condition: LinkCondition): ConditionInForce {
  return {
    condition,
    bytes: 0,
    connections: 0,
    bytesLeft: condition.does === "cut" ? condition.afterBytes : 0,
    tokens: condition.does === "limit" ? bucketBytes(condition.bytesPerSecond) : 0,
    refilledAt: performance.now(),
    random: condition.does === "delay" ? condition.seed | 0 : 0,
  };
}

/** What a link tells the connections on it. */
export interface Carried {
  /** Does whatever the network now lets pass. */
  proceed(): void;
  /** Resets both ends. */
  reset(): void;
}

const bucketMs = 20;

function bucketBytes(bytesPerSecond: number): number {
  return Math.max(1, (bytesPerSecond * bucketMs) / 1000);
}

export class LiveLink {
  /** `n1>n2`. */
  readonly name: string;
  /** Bytes that it has handed to the receiver's socket. */
  bytes = 0;
  /** Connections that its sender has made to its receiver. */
  connectionsMade = 0;
  /** No condition is in force: whatever comes may pass at once. */
  clear = true;
  readonly #inForce = new Set<ConditionInForce>();
  readonly #carried = new Set<Carried>();

  readonly #log: MessageLog | undefined;
  /** In the log. */
  readonly #number: number;

  /** @param log gets every message. */
  constructor(name: string, log?: MessageLog) {
    this.name = name;
    this.#log = log;
    this.#number = log?.link(name) ?? 0;
  }

  /** How many connections use it now, or hang. */
  get connectionsNow(): number {
    return this.#carried.size;
  }

  carry(connection: Carried): void {
    this.#carried.add(connection);
  }

  forget(connection: Carried): void {
    this.#carried.delete(connection);
  }

  /** Puts a condition in force; one that refuses resets what is established. */
  add(one: ConditionInForce): void {
    this.#inForce.add(one);
    this.clear = false;
    if (one.condition.does !== "refuse") return;
    one.connections += this.#carried.size;
    this.resetAll();
  }

  /** Ends a condition; what it alone held goes on. */
  remove(one: ConditionInForce): void {
    if (!this.#inForce.delete(one)) return;
    this.clear = this.#inForce.size === 0;
    for (const connection of [...this.#carried]) connection.proceed();
  }

  removeAll(): void {
    for (const one of [...this.#inForce]) this.remove(one);
  }

  resetAll(): void {
    for (const connection of [...this.#carried]) connection.reset();
  }

  has(does: LinkCondition["does"]): boolean {
    for (const one of this.#inForce) if (one.condition.does === does) return true;
    return false;
  }

  /** Counts a message that comes in and goes on at once, as on a link that is clear. */
  passAtOnce(bytes: number): void {
    this.bytes += bytes;
    this.#log?.passed(this.#number, bytes);
  }

  /** A message has come in that may have to wait: the number by which `arrived` is told that all of it has passed. */
  comesIn(bytes: number): number {
    return this.#log?.sent(this.#number, bytes) ?? 0;
  }

  arrived(message: number): void {
    this.#log?.arrived(message);
  }

  /** Counts bytes that came in, for every condition that holds or delays them. Returns the delay in ms. */
  receive(bytes: number): number {
    let delayMs = 0;
    for (const one of this.#inForce) {
      if (one.condition.does === "drop") one.bytes += bytes;
      if (one.condition.does !== "delay") continue;
      one.bytes += bytes;
      delayMs += one.condition.delayMs + jitter(one, one.condition.jitterMs);
    }
    return delayMs;
  }

  /** How many of these bytes no limit holds back now; below `bytes`, `waitMs` says when to ask again. */
  withinLimits(bytes: number): { readonly bytes: number; readonly waitMs: number } {
    let allowed = bytes;
    let waitMs = 0;
    for (const one of this.#inForce) {
      if (one.condition.does !== "limit") continue;
      const { bytesPerSecond } = one.condition;
      refill(one, bytesPerSecond);
      allowed = Math.min(allowed, Math.floor(one.tokens));
      const wanted = Math.max(1, Math.min(bytes, bucketBytes(bytesPerSecond) / 2));
      waitMs = Math.max(waitMs, ((wanted - one.tokens) * 1000) / bytesPerSecond);
    }
    return { bytes: allowed, waitMs };
  }

  /** Counts bytes that wait for a limit; once each. */
  heldByLimit(bytes: number): void {
    for (const one of this.#inForce) if (one.condition.does === "limit") one.bytes += bytes;
  }

  /**
   * Lets bytes pass: takes them from limits and cuts, and counts them as carried. Fewer than `bytes`: so many pass, and
   * then the connection is cut; that cut is over.
   */
  pass(bytes: number): number {
    let passed = bytes;
    let cuts: ConditionInForce | undefined;
    for (const one of this.#inForce) {
      if (one.condition.does !== "cut" || one.bytesLeft >= passed) continue;
      passed = one.bytesLeft;
      cuts = one;
    }
    for (const one of this.#inForce) {
      one.bytesLeft -= passed;
      one.tokens -= passed;
    }
    if (cuts) {
      cuts.connections += 1;
      this.#inForce.delete(cuts);
      this.clear = this.#inForce.size === 0;
    }
    this.bytes += passed;
    return passed;
  }

  /** The conditions of one kind in force. */
  *of(does: LinkCondition["does"]): Iterable<ConditionInForce> {
    for (const one of this.#inForce) if (one.condition.does === does) yield one;
  }
}

/**
 * Whether a new connection meets such a condition in either direction; counts it, once for a condition that is in force
 * in both.
 */
export function meets(forth: LiveLink, back: LiveLink, does: "drop" | "refuse"): boolean {
  const met = new Set([...forth.of(does), ...back.of(does)]);
  for (const one of met) one.connections += 1;
  return met.size > 0;
}

function refill(one: ConditionInForce, bytesPerSecond: number): void {
  const now = performance.now();
  const more = ((now - one.refilledAt) * bytesPerSecond) / 1000;
  one.tokens = Math.min(bucketBytes(bytesPerSecond), one.tokens + more);
  one.refilledAt = now;
}

/** The next of a delay's random additions, in ms (mulberry32). */
function jitter(one: ConditionInForce, jitterMs: number): number {
  if (jitterMs === 0) return 0;
  one.random = (one.random + 0x6d2b79f5) | 0;
  let mixed = Math.imul(one.random ^ (one.random >>> 15), 1 | one.random);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return (((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * jitterMs;
}
