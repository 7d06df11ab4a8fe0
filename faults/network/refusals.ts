/**
 * Pairs of members that refuse each other's connections, in a network of namespaces: a rule in the router that answers
 * *prohibited* to whatever goes from the one to the other, and the end of the connections that stand.
 *
 * A rule names a pair of addresses, not a fault: the kernel keeps equal rules apart, so overlapping refusals each have
 * their own. What is evidence, and of what, is said in `namespaces.ts`.
 */
import { run } from "./iproute.ts";

interface Inside {
  readonly name: string;
  readonly namespace: string;
  readonly address: string;
}

interface Refused {
  readonly link: string;
  /** Connections that stood and were reset, counted at both ends, halved. */
  connections: number;
  /** Answers that came to either member since. */
  unreachable: number;
  readonly before: number;
  readonly ends: readonly [Inside, Inside];
}

/** Refusals that were put together. */
export interface RefusedPairs {
  evidence(): readonly {
    readonly link: string;
    readonly connections: number;
    readonly unreachable: number;
  }[];
  /** Brings the evidence up to date. */
  look(): Promise<void>;
  /** Idempotent. */
  end(): Promise<void>;
}

/** Rules of ours come before those that the router has; each has a number of its own, by which it is removed. */
const firstPriority = 1000;
const priorities = 20_000;

export class Refusals {
  readonly #router: string;
  #made = 0;

  /** @param router the name of its namespace. */
  constructor(router: string) {
    this.#router = router;
  }

  /** Refuses between these, in both directions. Resolves when nothing stands between them. */
  async put(links: readonly { readonly from: Inside; readonly to: Inside }[]): Promise<RefusedPairs> {
    const refused: Refused[] = [];
    for (const { from, to } of links) {
      const before = (await unreachablesOf(from)) + (await unreachablesOf(to));
      refused.push({
        link: `${from.name}>${to.name}`,
        connections: 0,
        unreachable: 0,
        before,
        ends: [from, to],
      });
    }
    const rules = links.flatMap(({ from, to }) => [this.#rule(from, to), this.#rule(to, from)]);
    await this.#ip(rules.map(({ words, priority }) => `rule add ${words} prohibit priority ${priority}`));
    for (const one of refused) one.connections = await resetBetween(...one.ends);
    let over = false;
    const look = async () => {
      for (const one of refused) {
        if (over) return;
        const now = (await unreachablesOf(one.ends[0])) + (await unreachablesOf(one.ends[1]));
        one.unreachable = now - one.before;
      }
    };
    return {
      evidence: () => refused,
      look,
      end: async () => {
        if (over) return;
        await look();
        over = true;
        await this.#ip(rules.map(({ priority }) => `rule del priority ${priority}`));
      },
    };
  }

  #rule(from: Inside, to: Inside) {
    return {
      words: `from ${from.address} to ${to.address}`,
      priority: firstPriority + (this.#made++ % priorities),
    };
  }

  async #ip(lines: readonly string[]): Promise<void> {
    if (lines.length > 0) await run("ip", ["-n", this.#router, "-batch", "-"], `${lines.join("\n")}\n`);
  }
}

/**
 * Resets every connection between two members.
 *
 * @returns how many there were.
 * @throws Error when the kernel cannot (CONFIG_INET_DIAG_DESTROY).
 */
async function resetBetween(one: Inside, other: Inside): Promise<number> {
  let most = 0;
  for (const [here, there] of [
    [one, other],
    [other, one],
  ] as const) {
    const inside = ["netns", "exec", here.namespace, "ss", "-tnH"];
    const killed = await run("ip", [...inside, "-K", "dst", there.address]);
    most = Math.max(most, rowsIn(killed));
    const left = await run("ip", [...inside, "state", "established", "dst", there.address]);
    if (rowsIn(left) > 0) {
      throw new Error(`connections from ${here.name} to ${there.name} stand though ss -K was to reset them`);
    }
  }
  return most;
}

function rowsIn(text: string): number {
  return text.split("\n").filter((line) => line.trim() !== "").length;
}

/** How many answers "unreachable" have come to this member since it has a namespace. */
async function unreachablesOf({ namespace }: Inside): Promise<number> {
  const text = await run("ip", ["netns", "exec", namespace, "cat", "/proc/net/snmp"]);
  const [names, values] = text
    .split("\n")
    .filter((line) => line.startsWith("Icmp:"))
    .map((line) => line.split(" "));
  return Number(values?.[names?.indexOf("InDestUnreachs") ?? -1] ?? 0);
}
