/**
 * Directed links inside a router, as classes of the traffic control of Linux: on the interface that leads to `to`, packets
 * from `from` have a class of their own (HTB), and whatever is wrong with the link is wrong with that class. So a link can
 * be struck in one direction, below TCP, on standing and new connections alike, and the kernel counts what it did, per link.
 *
 *  - drop: the class's queue is a `blackhole`, which takes everything and says nothing. Evidence: its drops.
 *  - delay: the queue is `netem`. Its jitter is the kernel's own, not drawn from the seed, and may overtake; TCP puts it
 *    in order. Evidence: packets that left it.
 *  - limit: the class's rate. Evidence: packets that had to wait (`overlimits`). A queue of 1000 packets, then loss.
 *
 * Packets that open a connection (SYN without ACK) have a second class on the same link, to count connections by; it is
 * dropped and delayed alike, and not limited. Conditions of one link add up as in `live-link.ts`.
 */
import type { LinkCondition } from "../contract.ts";
import { run, runSync } from "./iproute.ts";

/** A condition on one link. */
export interface ShapingFault {
  readonly condition: LinkCondition;
  readonly link: ShapedLink;
  /** The link's own counter when it was put in force, and what it has touched since, in packets. */
  readonly countedBefore: number;
  packets: number;
  over: boolean;
}

/** A directed link. */
export interface ShapedLink {
  /** `n1>n2`. */
  readonly name: string;
  /** The router's interface towards `to`. */
  readonly device: string;
  /** Minor numbers, hexadecimal: of all packets but those, and of those that open connections. */
  readonly classes: readonly [data: string, opening: string];
  readonly inForce: Set<ShapingFault>;
  /** The class's queue and rate as they are now, in the words of tc. */
  queue: string;
  rate: string;
  /** Counted by queues that are gone. */
  readonly retired: { dropped: number; delayed: number };
}

/** What the kernel has counted for one class. */
interface Counters {
  readonly bytes: number;
  readonly packets: number;
  readonly overlimits: number;
  /** Of the queue in the class, when it is one of ours. */
  readonly queueDrops: number;
  readonly queuePackets: number;
}

const plainQueue = "pfifo";
/** More than two cores can send and receive. `quantum` only keeps the kernel from warning. */
const plainRate = "rate 10gbit burst 1mb cburst 1mb quantum 60000";

export class Shaping {
  readonly #router: string;
  readonly #links = new Map<string, ShapedLink>();
  #nextClass = 1;
  #nextHandle = 0x1000;
  /** Changes of classes, one after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  /** @param router the name of its namespace. */
  constructor(router: string) {
    this.#router = router;
  }

  get links(): ReadonlyMap<string, ShapedLink> {
    return this.#links;
  }

  /** Prepares an interface of the router. */
  addDevice(device: string): Promise<void> {
    return this.#inTurn(() => this.#tc([`qdisc add dev ${device} root handle 1: htb default 0`]));
  }

  /** Gives links classes. */
  addLinks(
    added: readonly {
      readonly name: string;
      readonly device: string;
      readonly from: string;
      readonly to: string;
    }[],
  ): Promise<void> {
    const lines = added.flatMap(({ name, device, from, to }) => {
      const [data, opening] = [this.#nextClass++, this.#nextClass++].map((minor) => minor.toString(16)) as [
        string,
        string,
      ];
      const link: ShapedLink = {
        ...{ name, device, classes: [data, opening] },
        inForce: new Set(),
        ...{ queue: plainQueue, rate: plainRate, retired: { dropped: 0, delayed: 0 } },
      };
      this.#links.set(name, link);
      const packets = `match ip src ${from}/32 match ip dst ${to}/32`;
      // The flags of TCP behind an IP header of 20 bytes; one with options does not occur here.
      const opens = "match ip protocol 6 0xff match u8 0x02 0x12 at 33";
      const filter = `filter add dev ${device} parent 1: protocol ip`;
      return [
        ...link.classes.map(
          (minor) => `class add dev ${device} parent 1: classid 1:${minor} htb ${plainRate}`,
        ),
        `${filter} prio 1 u32 ${packets} ${opens} flowid 1:${opening}`,
        `${filter} prio 2 u32 ${packets} flowid 1:${data}`,
      ];
    });
    return this.#inTurn(() => this.#tc(lines));
  }

  /** Puts a condition in force on these links. */
  put(links: readonly ShapedLink[], condition: LinkCondition): Promise<ShapingFault[]> {
    return this.#inTurn(async () => {
      const counters = await this.#counters();
      const faults = links.map((link): ShapingFault => {
        const countedBefore = counted(link, condition.does, counters);
        return { condition, link, countedBefore, packets: 0, over: false };
      });
      for (const fault of faults) fault.link.inForce.add(fault);
      await this.#apply(links, counters);
      return faults;
    });
  }

  /** Ends conditions; counts what they did until then. Idempotent. */
  end(faults: readonly ShapingFault[]): Promise<void> {
    return this.#inTurn(async () => {
      const ending = faults.filter(({ over }) => !over);
      if (ending.length === 0) return;
      const counters = await this.#counters();
      note(ending, counters);
      for (const fault of ending) {
        fault.over = true;
        fault.link.inForce.delete(fault);
      }
      await this.#apply([...new Set(ending.map(({ link }) => link))], counters);
    });
  }

  /** Brings the counts of conditions in force up to date. */
  refresh(faults: readonly ShapingFault[]): Promise<void> {
    return this.#inTurn(async () => {
      const running = faults.filter(({ over }) => !over);
      if (running.length > 0) note(running, await this.#counters());
    });
  }

  /** By link: bytes of packets that passed, their headers among them, and connections that were opened. Waits for tc. */
  traffic(): Map<string, { bytes: number; connections: number }> {
    const counters = parseCounters(
      runSync("tc", ["-n", this.#router, "-s", "-batch", "-"], this.#showLines()),
    );
    return new Map(
      [...this.#links].map(
        ([
          name,
          {
            classes: [data, opening],
          },
        ]) => {
          const bytes = (counters.get(data)?.bytes ?? 0) + (counters.get(opening)?.bytes ?? 0);
          return [name, { bytes, connections: counters.get(opening)?.packets ?? 0 }];
        },
      ),
    );
  }

  /** Makes the classes of these links what their conditions want. */
  async #apply(links: readonly ShapedLink[], counters: ReadonlyMap<string, Counters>): Promise<void> {
    const lines = links.flatMap((link) => {
      const { device, classes } = link;
      const [queue, rate] = [wantedQueue(link), wantedRate(link)];
      const changes: string[] = [];
      if (queue !== link.queue) {
        retire(link, counters);
        for (const minor of classes) {
          const parent = `dev ${device} parent 1:${minor}`;
          if (link.queue !== plainQueue) changes.push(`qdisc del ${parent}`);
          if (queue !== plainQueue) changes.push(`qdisc add ${parent} handle ${this.#handle()}: ${queue}`);
        }
      }
      if (rate !== link.rate) {
        changes.push(`class change dev ${device} parent 1: classid 1:${classes[0]} htb ${rate}`);
      }
      [link.queue, link.rate] = [queue, rate];
      return changes;
    });
    if (lines.length > 0) await this.#tc(lines);
  }

  #handle(): string {
    this.#nextHandle = this.#nextHandle >= 0xfff0 ? 0x1000 : this.#nextHandle + 1;
    return this.#nextHandle.toString(16);
  }

  async #counters(): Promise<Map<string, Counters>> {
    return parseCounters(await run("tc", ["-n", this.#router, "-s", "-batch", "-"], this.#showLines()));
  }

  #showLines(): string {
    const devices = [...new Set([...this.#links.values()].map(({ device }) => device))];
    return devices.map((device) => `class show dev ${device}\nqdisc show dev ${device}\n`).join("");
  }

  async #tc(lines: readonly string[]): Promise<void> {
    if (lines.length > 0) await run("tc", ["-n", this.#router, "-batch", "-"], `${lines.join("\n")}\n`);
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(change);
    this.#turn = done.catch(() => {});
    return done;
  }
}

function wantedQueue({ inForce }: ShapedLink): string {
  const conditions = [...inForce].map(({ condition }) => condition);
  if (conditions.some(({ does }) => does === "drop")) return "blackhole";
  const delays = conditions.filter((one) => one.does === "delay");
  if (delays.length === 0) return plainQueue;
  const delayMs = delays.reduce((sum, one) => sum + one.delayMs + one.jitterMs / 2, 0);
  const jitterMs = delays.reduce((sum, one) => sum + one.jitterMs / 2, 0);
  return `netem limit 10000 delay ${delayMs}ms ${jitterMs}ms`;
}

function wantedRate({ inForce }: ShapedLink): string {
  const rates = [...inForce].flatMap(({ condition }) =>
    condition.does === "limit" ? [condition.bytesPerSecond] : [],
  );
  if (rates.length === 0) return plainRate;
  // A bucket of one full packet: less would let none pass.
  return `rate ${Math.max(8, Math.round(Math.min(...rates) * 8))}bit burst 1600 cburst 1600 quantum 1600`;
}

/** What a link has counted so far of what such a condition does, in packets. */
function counted(
  link: ShapedLink,
  does: LinkCondition["does"],
  counters: ReadonlyMap<string, Counters>,
): number {
  const own = link.classes.flatMap((minor) => counters.get(minor) ?? []);
  const sum = (of: (one: Counters) => number) => own.reduce((total, one) => total + of(one), 0);
  if (does === "limit") return sum(({ overlimits }) => overlimits);
  if (does === "drop")
    return link.retired.dropped + (link.queue === "blackhole" ? sum((one) => one.queueDrops) : 0);
  return link.retired.delayed + (link.queue.startsWith("netem") ? sum((one) => one.queuePackets) : 0);
}

function note(faults: readonly ShapingFault[], counters: ReadonlyMap<string, Counters>): void {
  for (const fault of faults) {
    fault.packets = counted(fault.link, fault.condition.does, counters) - fault.countedBefore;
  }
}

/** Keeps the counts of a queue that is about to be removed. */
function retire(link: ShapedLink, counters: ReadonlyMap<string, Counters>): void {
  const [dropped, delayed] = [counted(link, "drop", counters), counted(link, "delay", counters)];
  Object.assign(link.retired, { dropped, delayed });
}

/** Classes by minor number, from what `tc -s class show` and `tc -s qdisc show` print. */
function parseCounters(text: string): Map<string, Counters> {
  const counters = new Map<string, Counters>();
  const sent = String.raw`[^\n]*\n Sent (\d+) bytes (\d+) pkt \(dropped (\d+), overlimits (\d+)`;
  for (const [, minor, bytes, packets, , overlimits] of text.matchAll(
    new RegExp(`^class htb 1:(\\w+) ${sent}`, "gm"),
  )) {
    counters.set(minor!, {
      ...{ bytes: Number(bytes), packets: Number(packets), overlimits: Number(overlimits) },
      ...{ queueDrops: 0, queuePackets: 0 },
    });
  }
  for (const [, minor, , packets, drops] of text.matchAll(
    new RegExp(`^qdisc \\w+ \\w+: parent 1:(\\w+) ${sent}`, "gm"),
  )) {
    const own = counters.get(minor!);
    if (own) counters.set(minor!, { ...own, queueDrops: Number(drops), queuePackets: Number(packets) });
  }
  return counters;
}
