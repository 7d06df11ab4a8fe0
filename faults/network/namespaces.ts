/**
 * The network of a cluster as network namespaces of Linux: a namespace for each member, and one between them all that
 * routes. Faults are below TCP: what is dropped is really lost and retransmitted by the kernel, on its own schedule, and
 * nothing accepts a connection on behalf of a member that cannot be reached. Needs root and iproute2.
 *
 * Every member has an address of its own on a pair of virtual interfaces to the router; it listens where it is reached.
 * acked's own process stays in the machine's namespace, with an interface into the router. Every client has an address
 * of its own there, so that its links can be cut apart from all others': a proxy without conditions passes its
 * connections on from that address. What acked asks a member past the links comes from an address of its own too.
 *
 *  - drop, delay, limit: in the router, for each directed link on its own (`shaping.ts`). An established connection
 *    retransmits; after the heal its next retransmission passes, which after a long drop can take as long again.
 *  - refuse: between members the router answers with *administratively prohibited* (the caller sees EHOSTUNREACH), in both
 *    directions, because a handshake needs both; what is established is reset (`ss -K`). Between a client and a member
 *    the client's proxy does it.
 *  - cut: not possible, since the router does not know of messages.
 *
 * Evidence: the router's counters of that very link, in packets, and connections that were reset. For a refusal between
 * members beside those: answers *unreachable* that came to the two members, which are of any link if several of theirs
 * refuse at a time. It is read from the kernel some ms after it is asked for (`fired`).
 *
 * Not modelled: IPv6, UDP other than as TCP, more than 60 members or 120 clients, a firewall of the machine's own that
 * blocks the interface.
 *
 * Whatever ends acked's process, namespaces stay: `removeLeftNamespaces` removes those of a dead one, at the next start.
 */
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import type { MemberPort } from "../../stores/cluster-contract.ts";
import { type Endpoint, type Launch, ScenarioError } from "../../stores/contract.ts";
import {
  type ClusterInjection,
  type DirectedLink,
  type LinkCondition,
  type LinkTraffic,
  linkName,
  type Network,
} from "../contract.ts";
import { carry } from "./connection.ts";
import { freeSubnet } from "./free-subnet.ts";
import { pathOf, run, whatIsOffered } from "./iproute.ts";
import { type ConditionInForce, LiveLink, newCondition } from "./live-link.ts";
import { MessageLog } from "./message-log.ts";
import { leftNamespaces, namespacePrefix } from "./namespace-names.ts";
import { listen } from "./proxy.ts";
import { Refusals } from "./refusals.ts";
import { Shaping, type ShapingFault } from "./shaping.ts";

/** A member, or a client: whatever has an address. */
interface Place {
  readonly name: string;
  readonly address: string;
  /** The router's interface towards it. */
  readonly device: string;
  /** Of a member: its namespace and its ports. */
  readonly namespace?: string;
  readonly ports: Map<string, MemberPort>;
}

const firstPort = 21_001;
/** As many as the addresses of one network of 256 have room for. */
const membersMost = 60;
export const clientsMost = 120;
/** ms between two looks at the kernel's counters for one fault that has not fired. */
const lookEveryMs = 40;

let networks = 0;

/**
 * A network without members.
 *
 * @throws ScenarioError where there can be none; see `namespacesUnavailable`.
 */
export async function createNamespaceNetwork(): Promise<Network> {
  const { why, netem } = whatIsOffered();
  if (why !== undefined) throw new ScenarioError(`no network of namespaces: ${why}`);
  const network = new NamespaceNetwork(netem);
  try {
    await network.open();
  } catch (error) {
    await network.close();
    throw error;
  }
  return network;
}

/** What can be wrong with a link below TCP. @param netem the kernel can delay packets. */
export function namespaceConditions(netem: boolean): Network["can"] {
  return new Set(["drop", "refuse", "limit", ...(netem ? (["delay"] as const) : [])]);
}

class NamespaceNetwork implements Network {
  readonly mechanism = "namespaces";
  readonly can: Network["can"];
  readonly #prefix: string;
  readonly #router: string;
  readonly #hostDevice: string;
  /** `10.77.3`: the first three parts of every address. */
  readonly #subnet = freeSubnet(readFileSync("/proc/net/route", "latin1"));
  readonly #shaping: Shaping;
  readonly #refusals: Refusals;
  readonly #members = new Map<string, Place>();
  readonly #clients = new Map<string, Place>();
  readonly #endpoints = new Map<string, Endpoint>();
  /** The clients' proxies: refusals, and what is to be reset. */
  readonly #passed = new Map<string, LiveLink>();
  readonly #messages = new MessageLog();
  readonly #servers = new Set<Server>();
  readonly #inForce = new Set<ClusterInjection>();
  readonly #failures: string[] = [];
  #closed: Promise<void> | undefined;

  constructor(netem: boolean) {
    const serial = (networks++ % 36).toString(36);
    this.can = namespaceConditions(netem);
    this.#prefix = `${namespacePrefix()}${serial}-`;
    this.#router = `${this.#prefix}router`;
    // At most 15 characters: the kernel's limit.
    this.#hostDevice = `acked-${process.pid}-${serial}`;
    this.#shaping = new Shaping(this.#router);
    this.#refusals = new Refusals(this.#router);
  }

  /** Makes the router and the interface to it. */
  async open(): Promise<void> {
    const [router, device, subnet] = [this.#router, this.#hostDevice, this.#subnet];
    await run("ip", ["netns", "add", router]);
    await run(
      "ip",
      ["-batch", "-"],
      lines(`link add name ${device} type veth peer name host netns ${router}`),
    );
    await run(
      "ip",
      ["-n", router, "-batch", "-"],
      lines(
        "link set dev lo up",
        `addr add ${subnet}.0/31 dev host`,
        "link set dev host up",
        `route add ${subnet}.128/25 via ${subnet}.1`,
      ),
    );
    await run(
      "ip",
      ["-batch", "-"],
      lines(
        `addr add ${subnet}.1/31 dev ${device}`,
        `link set dev ${device} ${onePacket} up`,
        `route add ${subnet}.0/24 via ${subnet}.0 dev ${device} src ${subnet}.1`,
      ),
    );
    await run("ip", ["netns", "exec", router, "sh", "-c", routerSettings]);
    await this.#shaping.addDevice("host");
  }

  async addMember(name: string, purposes: readonly string[]): Promise<Readonly<Record<string, MemberPort>>> {
    this.#requireNew(name, this.#members.size < membersMost);
    const index = this.#members.size + 1;
    const [ours, address] = [`${this.#subnet}.${2 * index}`, `${this.#subnet}.${2 * index + 1}`];
    const [namespace, device] = [`${this.#prefix}${name}`, `m${index}`];
    const member: Place = { name, address, device, namespace, ports: new Map() };
    for (const [i, purpose] of purposes.entries()) {
      const endpoint = { host: address, port: firstPort + i };
      member.ports.set(purpose, { listen: endpoint, reach: endpoint });
    }
    const others = [...this.#members.values(), ...this.#clients.values()];
    this.#members.set(name, member);
    await run("ip", ["netns", "add", namespace]);
    await run(
      "ip",
      ["-n", this.#router, "-batch", "-"],
      lines(
        `link add name ${device} type veth peer name eth0 netns ${namespace}`,
        `addr add ${ours}/31 dev ${device}`,
        `link set dev ${device} up`,
      ),
    );
    await run(
      "ip",
      ["-n", namespace, "-batch", "-"],
      lines(
        "link set dev lo up",
        `addr add ${address}/31 dev eth0`,
        `link set dev eth0 ${onePacket} up`,
        `route add default via ${ours}`,
      ),
    );
    await this.#shaping.addDevice(device);
    await this.#shaping.addLinks(others.flatMap((other) => [linkOf(other, member), linkOf(member, other)]));
    for (const client of this.#clients.values()) await this.#linkClient(client, member);
    return Object.fromEntries(member.ports);
  }

  /** The same addresses; as objects new ones, which stand for the next incarnation. */
  async moved(name: string): Promise<Readonly<Record<string, MemberPort>>> {
    const { ports } = this.#member(name);
    for (const [purpose, { reach }] of ports) ports.set(purpose, { listen: { ...reach }, reach });
    return Object.fromEntries(ports);
  }

  async addClient(name: string): Promise<void> {
    this.#requireNew(name, this.#clients.size < clientsMost);
    const address = `${this.#subnet}.${129 + this.#clients.size}`;
    const client: Place = { name, address, device: "host", ports: new Map() };
    this.#clients.set(name, client);
    await run("ip", ["addr", "add", `${address}/32`, "dev", this.#hostDevice]);
    const members = [...this.#members.values()];
    await this.#shaping.addLinks(
      members.flatMap((member) => [linkOf(client, member), linkOf(member, client)]),
    );
    for (const member of members) await this.#linkClient(client, member);
  }

  clientEndpoint(client: string, member: string, purpose: string): Endpoint {
    const endpoint = this.#endpoints.get(`${client} ${member} ${purpose}`);
    if (!endpoint) throw new Error(`no client ${client}, or no ${purpose} of ${member}, in this network`);
    return endpoint;
  }

  /**
   * `launch` with its whole environment: what is to be preloaded into the program is not preloaded into the commands that
   * start it, or they would be taken for the store.
   */
  launchAs(name: string, launch: Launch): Launch {
    const { LD_PRELOAD: preloaded, ...env } = launch.env ?? {};
    const preload = preloaded === undefined ? [] : ["env", `LD_PRELOAD=${preloaded}`];
    const inside = [
      "netns",
      "exec",
      this.#member(name).namespace!,
      ...preload,
      launch.program,
      ...launch.args,
    ];
    return { ...launch, program: pathOf("ip") ?? "ip", args: inside, ...(launch.env ? { env } : {}) };
  }

  async put(links: readonly DirectedLink[], condition: LinkCondition): Promise<ClusterInjection> {
    if (!this.can.has(condition.does))
      throw new Error(`a network of namespaces cannot ${condition.does} here`);
    const distinct = [...new Map(links.map((link) => [linkName(link), link])).values()];
    for (const link of distinct) this.#shaped(link);
    const injection =
      condition.does === "refuse" ? await this.#refuse(distinct) : await this.#shape(distinct, condition);
    let healed: Promise<void> | undefined;
    const known: ClusterInjection = {
      fired: () => injection.fired(),
      heal: () => {
        healed ??= injection
          .heal()
          .catch((error) => this.#fail(`a fault was not healed: ${error.message}.`))
          .finally(() => this.#inForce.delete(known));
        return healed;
      },
    };
    this.#inForce.add(known);
    return known;
  }

  async heal(): Promise<void> {
    await Promise.all([...this.#inForce].map((injection) => injection.heal()));
  }

  traffic(): ReadonlyMap<string, LinkTraffic> {
    return this.#shaping.traffic();
  }

  messages(): MessageLog {
    return this.#messages;
  }

  failures(): readonly string[] {
    return this.#failures;
  }

  close(): Promise<void> {
    this.#closed ??= this.#remove();
    return this.#closed;
  }

  /** What goes wrong because everything is being removed is no failure. */
  #fail(sentence: string): void {
    if (!this.#closed) this.#failures.push(sentence);
  }

  async #remove(): Promise<void> {
    for (const link of this.#passed.values()) link.resetAll();
    await Promise.all([...this.#servers].map((server) => new Promise((resolve) => server.close(resolve))));
    const namespaces = [...this.#members.values()].map(({ namespace }) => namespace!);
    // Deleting one end deletes the pair now, where a namespace goes away some time after its name.
    await run("ip", ["link", "del", "dev", this.#hostDevice]).catch(() => {});
    for (const name of [...namespaces, this.#router]) await run("ip", ["netns", "del", name]).catch(() => {});
  }

  async #shape(links: readonly DirectedLink[], condition: LinkCondition): Promise<ClusterInjection> {
    const faults = await this.#shaping.put(
      links.map((link) => this.#shaped(link)),
      condition,
    );
    return {
      fired: looking(
        () => shapingEvidence(condition, faults),
        () => this.#shaping.refresh(faults),
        (error) => this.#fail(`the router could not be asked what it did: ${error.message}.`),
      ),
      heal: () => this.#shaping.end(faults),
    };
  }

  async #refuse(links: readonly DirectedLink[]): Promise<ClusterInjection> {
    const isClients = ({ from, to }: DirectedLink) => this.#clients.has(from) || this.#clients.has(to);
    const proxied = links.filter(isClients).map((link) => {
      const to = this.#passed.get(linkName(link))!;
      return { link: to, one: newCondition({ does: "refuse" }) };
    });
    for (const { link, one } of proxied) link.add(one);
    const between = links
      .filter((link) => !isClients(link))
      .map(({ from, to }) => ({ from: this.#inside(from), to: this.#inside(to) }));
    const refused = await this.#refusals.put(between);
    return {
      fired: looking(
        () => refusalEvidence(proxied, refused.evidence()),
        () => refused.look(),
        (error) => this.#fail(`a member's kernel could not be asked what was refused: ${error.message}.`),
      ),
      heal: async () => {
        for (const { link, one } of proxied) link.remove(one);
        await refused.end();
      },
    };
  }

  /** A client's own way to every port of a member: passed on from the client's address. */
  async #linkClient(client: Place, member: Place): Promise<void> {
    const [forth, back] = [linkOf(client, member), linkOf(member, client)].map(({ name }) => {
      const link = new LiveLink(name, this.#messages);
      this.#passed.set(name, link);
      return link;
    }) as [LiveLink, LiveLink];
    const onTrouble = (error: Error) => {
      this.#fail(
        `${client.name} could not be connected to ${member.name}, for a reason of our own: ${error.message}.`,
      );
    };
    for (const purpose of member.ports.keys()) {
      const target = () => member.ports.get(purpose)?.listen;
      const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
        carry(socket, { forth, back, target, localAddress: client.address, onTrouble }),
      );
      await listen(server);
      const what = `the proxy from ${client.name} to ${purpose} of ${member.name}`;
      server.on("error", (error) => this.#fail(`${what} did not accept a connection: ${error.message}.`));
      this.#servers.add(server);
      const { port } = server.address() as AddressInfo;
      this.#endpoints.set(`${client.name} ${member.name} ${purpose}`, { host: "127.0.0.1", port });
    }
  }

  #shaped(link: DirectedLink) {
    const shaped = this.#shaping.links.get(linkName(link));
    if (shaped) return shaped;
    const known = [...this.#shaping.links.keys()].join(", ");
    throw new Error(`no link ${linkName(link)} in this network; it has ${known}`);
  }

  #inside(member: string): { readonly name: string; readonly namespace: string; readonly address: string } {
    const { name, namespace, address } = this.#member(member);
    return { name, namespace: namespace!, address };
  }

  #member(name: string): Place {
    const member = this.#members.get(name);
    if (!member) throw new Error(`no member ${name} in this network`);
    return member;
  }

  #requireNew(name: string, room: boolean): void {
    if (this.#members.has(name) || this.#clients.has(name) || name === "outside" || name === "router") {
      throw new Error(`${name} is in this network already`);
    }
    if (!room)
      throw new Error(`no room for ${name}: at most ${membersMost} members and ${clientsMost} clients`);
  }
}

/** Segments travel each as a packet of its own: one of 64 KiB would use up a slow link for minutes. */
const onePacket = "gso_max_segs 1";

/** The router forwards, does not doubt where packets come from, and answers every refusal (by default one in a second). */
const routerSettings = [
  "cd /proc/sys/net/ipv4",
  "echo 1 > ip_forward",
  "echo 0 > conf/all/rp_filter",
  "echo 0 > conf/default/rp_filter",
  "echo 0 > conf/host/rp_filter",
  "echo 0 > icmp_ratelimit",
].join(" && ");

function lines(...commands: readonly string[]): string {
  return `${commands.join("\n")}\n`;
}

function linkOf(from: Place, to: Place) {
  const name = linkName({ from: from.name, to: to.name });
  return { name, device: to.device, from: from.address, to: to.address };
}

/**
 * Evidence that lies with the kernel: asking for it looks there, no more often than every 40 ms and without waiting, until
 * there is some. What is known at the end of the fault is read when it is healed.
 */
function looking(
  evidence: () => Readonly<Record<string, unknown>> | undefined,
  look: () => Promise<void>,
  onError: (error: Error) => void,
): ClusterInjection["fired"] {
  let lookedAt = Number.NEGATIVE_INFINITY;
  return () => {
    const known = evidence();
    if (known === undefined && performance.now() - lookedAt > lookEveryMs) {
      lookedAt = performance.now();
      look().catch(onError);
    }
    return known;
  };
}

function shapingEvidence(condition: LinkCondition, faults: readonly ShapingFault[]) {
  const touched = faults.filter(({ packets }) => packets > 0);
  if (touched.length === 0) return undefined;
  return {
    does: condition.does,
    links: touched.map(({ link }) => link.name),
    packets: touched.reduce((sum, { packets }) => sum + packets, 0),
  };
}

function refusalEvidence(
  proxied: readonly { readonly link: LiveLink; readonly one: ConditionInForce }[],
  between: readonly { readonly link: string; readonly connections: number; readonly unreachable: number }[],
) {
  const touchedByProxy = proxied.filter(({ one }) => one.connections > 0);
  const touched = between.filter(({ connections, unreachable }) => connections + unreachable > 0);
  const links = [...touchedByProxy.map(({ link }) => link.name), ...touched.map(({ link }) => link)];
  if (links.length === 0) return undefined;
  const reset = touched.reduce((sum, { connections }) => sum + connections, 0);
  const byProxy = touchedByProxy.reduce((sum, { one }) => sum + one.connections, 0);
  const unreachable = touched.reduce((sum, one) => sum + one.unreachable, 0);
  return { does: "refuse", links, connections: reset + byProxy, unreachable };
}

/**
 * Removes the namespaces, and with them the interfaces, that a dead acked left. Call it at a start, when the processes
 * that it left have been killed.
 *
 * @returns one sentence for each acked whose namespaces were removed, or could not be; empty when there was nothing.
 */
export async function removeLeftNamespaces(): Promise<string[]> {
  const left = leftNamespaces();
  const failed: string[] = [];
  for (const { name } of left)
    await run("ip", ["netns", "del", name]).catch((error) => failed.push(error.message));
  const pids = [...new Set(left.map(({ pid }) => pid))];
  const removed = pids.map((pid) => {
    const names = left.filter((one) => one.pid === pid).map(({ name }) => name);
    return `an earlier acked (pid ${pid}) ended without removing its network namespaces: ${names.length} removed.`;
  });
  if (failed.length === 0) return removed;
  return [`could not remove network namespaces that an earlier acked left: ${failed.join("; ")}.`];
}
