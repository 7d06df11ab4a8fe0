/**
 * The network of a cluster as user-space TCP proxies, in acked's own process: one for every directed link between two
 * members, and between a client and a member. What is modelled on a connection is said in `proxy.ts`, how conditions add
 * up in `live-link.ts`. Nothing is needed but /proc.
 *
 * **Members.** All members must be told the same address of a member (`reach`), so one listener stands for it, and a
 * connection that arrives there is attributed to the member whose process has the other end open (`socket-owner.ts`). It
 * is accepted at once, and not read from until it is attributed, usually within some ms. One that its caller has closed
 * by then never reaches the node. One from acked itself, or from a process that belongs to no member, passes unharmed and
 * is counted as `outside>n1`; so does a member's connection to itself, uncounted. One that cannot be attributed within
 * 400 ms is closed, and the network says so in `failures`: a run with links that were not under control is no pass.
 * **Clients** have a listener of their own for each member and purpose.
 *
 * A connection from A to B: what A sends obeys the link A>B, what B answers obeys B>A. A new one hangs when either
 * direction drops, because a handshake needs both, and is refused when either refuses. A connection belongs to the
 * incarnation of the member it was made to: after `moved` nothing that was held reaches the new one.
 *
 * Not modelled: UDP, packets, connections that a member makes to another's *listening* port (a store that finds out where
 * its peers listen, and goes there, is not under control), limits of bandwidth below 1 byte in 20 ms.
 *
 * The proxies end with acked's process, whatever ends it: nothing is left to heal. Members that outlive it (they do not,
 * the supervisor's next start ends them) cannot reach each other.
 */
import { existsSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { MemberPort } from "../../stores/cluster-contract.ts";
import { type Endpoint, ScenarioError } from "../../stores/contract.ts";
import {
  type ClusterInjection,
  type DirectedLink,
  type LinkCondition,
  type LinkTraffic,
  linkName,
  type Network,
} from "../contract.ts";
import { type ConnectionOptions, carry, resetSocket } from "./connection.ts";
import { freeListeningPort } from "./free-port.ts";
import { type ConditionInForce, LiveLink, newCondition } from "./live-link.ts";
import { MessageLog } from "./message-log.ts";
import { listen } from "./proxy.ts";
import { type ProcessesOf, SocketOwners } from "./socket-owner.ts";

export interface ProxyNetworkOptions {
  /**
   * Every process of that member *at this moment*, children and grandchildren among them, whoever started them; asked
   * anew for every connection between members. Not acked itself.
   */
  readonly processesOf: ProcessesOf;
}

const host = "127.0.0.1";

interface MemberState {
  readonly name: string;
  /** By purpose. A port's `listen` object stands for the incarnation that listens there. */
  readonly ports: Map<string, MemberPort>;
}

/**
 * A network without members.
 *
 * @throws ScenarioError where there is no /proc.
 */
export async function createProxyNetwork({ processesOf }: ProxyNetworkOptions): Promise<Network> {
  if (!existsSync("/proc/net/tcp")) {
    throw new ScenarioError(
      "a cluster's network needs /proc/net/tcp to tell its members apart: run it on Linux",
    );
  }
  return new ProxyNetwork(processesOf);
}

class ProxyNetwork implements Network {
  readonly mechanism = "proxies";
  readonly can: Network["can"] = new Set(["drop", "refuse", "delay", "limit", "cut"]);
  readonly #owners: SocketOwners;
  readonly #members = new Map<string, MemberState>();
  readonly #clients = new Map<string, Map<string, Endpoint>>();
  readonly #links = new Map<string, LiveLink>();
  /** What a member sends to itself: never under a condition. */
  readonly #own = new Map<string, LiveLink>();
  readonly #listeners = new Set<Server>();
  readonly #unattributed = new Set<Socket>();
  readonly #handedOut = new Set<number>();
  readonly #failures: string[] = [];
  readonly #messages = new MessageLog();
  #closed = false;

  constructor(processesOf: ProcessesOf) {
    this.#owners = new SocketOwners(() => this.#members.keys(), processesOf);
  }

  async addMember(name: string, purposes: readonly string[]): Promise<Readonly<Record<string, MemberPort>>> {
    this.#requireNew(name);
    const member: MemberState = { name, ports: new Map() };
    for (const other of this.#members.keys()) this.#addPair(name, other);
    for (const client of this.#clients.keys()) this.#addPair(client, name);
    this.#members.set(name, member);
    for (const purpose of purposes) {
      const reach = await this.#listen(`${name}'s ${purpose}`, (socket, own) =>
        this.#fromMember(socket, own, member, purpose),
      );
      member.ports.set(purpose, { listen: await this.#freeEndpoint(), reach });
    }
    for (const client of this.#clients.keys()) await this.#linkClient(client, member);
    return Object.fromEntries(member.ports);
  }

  async moved(name: string): Promise<Readonly<Record<string, MemberPort>>> {
    const { ports } = this.#member(name);
    for (const [purpose, { reach }] of ports)
      ports.set(purpose, { listen: await this.#freeEndpoint(), reach });
    return Object.fromEntries(ports);
  }

  async addClient(name: string): Promise<void> {
    this.#requireNew(name);
    this.#clients.set(name, new Map());
    for (const member of this.#members.values()) {
      this.#addPair(name, member.name);
      await this.#linkClient(name, member);
    }
  }

  clientEndpoint(client: string, member: string, purpose: string): Endpoint {
    const endpoint = this.#clients.get(client)?.get(`${member} ${purpose}`);
    if (!endpoint) throw new Error(`no client ${client}, or no ${purpose} of ${member}, in this network`);
    return endpoint;
  }

  launchAs: Network["launchAs"] = (_member, launch) => launch;

  async put(links: readonly DirectedLink[], condition: LinkCondition): Promise<ClusterInjection> {
    const names = [...new Set(links.map(linkName))];
    const put = names.map((name, index) => {
      const own = condition.does === "delay" ? { ...condition, seed: condition.seed + index } : condition;
      return { link: this.#link(name), one: newCondition(own) };
    });
    for (const { link, one } of put) link.add(one);
    return {
      fired: () => evidence(condition, put),
      heal: async () => {
        for (const { link, one } of put) link.remove(one);
      },
    };
  }

  async heal(): Promise<void> {
    for (const link of this.#links.values()) link.removeAll();
  }

  traffic(): ReadonlyMap<string, LinkTraffic> {
    return new Map(
      [...this.#links].map(([name, { bytes, connectionsMade }]) => [
        name,
        { bytes, connections: connectionsMade },
      ]),
    );
  }

  messages(): MessageLog {
    return this.#messages;
  }

  failures(): readonly string[] {
    return this.#failures;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const socket of this.#unattributed) resetSocket(socket);
    for (const link of [...this.#links.values(), ...this.#own.values()]) link.resetAll();
    await Promise.all(
      [...this.#listeners].map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    );
  }

  /** A connection to where everybody reaches this member: attributed first, then carried. */
  async #fromMember(socket: Socket, listener: number, to: MemberState, purpose: string): Promise<void> {
    const target = () => to.ports.get(purpose)?.listen;
    const atArrival = target();
    this.#unattributed.add(socket);
    socket.on("error", () => {});
    const ports = { caller: socket.remotePort ?? 0, listener };
    const owner = await this.#owners.find(ports);
    this.#unattributed.delete(socket);
    if (this.#closed || owner.is === "nobody" || target() !== atArrival) resetSocket(socket);
    else if (owner.is === "unknown") {
      resetSocket(socket);
      this.#failures.push(
        `a connection to ${purpose} of ${to.name} was closed: ${owner.why}, so nobody knows which link it is on.`,
      );
    } else this.#carry(socket, owner.is === "member" ? owner.name : "outside", to.name, target);
  }

  #carry(socket: Socket, from: string, to: string, target: ConnectionOptions["target"]): void {
    const [forth, back] = this.#directions(from, to);
    const onTrouble = (error: Error) => {
      this.#failures.push(
        `a proxy could not make a connection to ${to}, for a reason of its own: ${error.message}.`,
      );
    };
    carry(socket, { forth, back, target, onTrouble });
  }

  #directions(from: string, to: string): [LiveLink, LiveLink] {
    if (from === to) {
      const own = this.#own.get(to) ?? new LiveLink(linkName({ from, to }));
      this.#own.set(to, own);
      return [own, own];
    }
    if (from === "outside") this.#addPair(from, to);
    return [this.#link(linkName({ from, to })), this.#link(linkName({ from: to, to: from }))];
  }

  async #linkClient(client: string, { name, ports }: MemberState): Promise<void> {
    for (const purpose of ports.keys()) {
      const endpoint = await this.#listen(`${client}'s link to ${purpose} of ${name}`, (socket) =>
        this.#carry(socket, client, name, () => ports.get(purpose)?.listen),
      );
      this.#clients.get(client)!.set(`${name} ${purpose}`, endpoint);
    }
  }

  /** A listener for good; one that fails says so. */
  async #listen(what: string, onConnection: (socket: Socket, port: number) => void): Promise<Endpoint> {
    const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
    await listen(server);
    const { port } = server.address() as AddressInfo;
    server.on("connection", (socket) => onConnection(socket, port));
    server.on("error", (error) => {
      this.#failures.push(`the proxy that is ${what} did not accept a connection: ${error.message}.`);
    });
    server.on("close", () => {
      if (!this.#closed) this.#failures.push(`the proxy that is ${what} has stopped listening.`);
    });
    this.#listeners.add(server);
    return { host, port };
  }

  async #freeEndpoint(): Promise<Endpoint> {
    const port = await freeListeningPort(this.#handedOut);
    this.#handedOut.add(port);
    return { host, port };
  }

  #addPair(one: string, other: string): void {
    for (const name of [linkName({ from: one, to: other }), linkName({ from: other, to: one })]) {
      if (!this.#links.has(name)) this.#links.set(name, new LiveLink(name, this.#messages));
    }
  }

  #link(name: string): LiveLink {
    const link = this.#links.get(name);
    if (!link)
      throw new Error(`no link ${name} in this network; it has ${[...this.#links.keys()].join(", ")}`);
    return link;
  }

  #member(name: string): MemberState {
    const member = this.#members.get(name);
    if (!member) throw new Error(`no member ${name} in this network`);
    return member;
  }

  #requireNew(name: string): void {
    if (this.#members.has(name) || this.#clients.has(name) || name === "outside") {
      throw new Error(`${name} is in this network already`);
    }
  }
}

/** What a condition has touched, and on which links; `undefined` while it is nothing. */
function evidence(
  condition: LinkCondition,
  put: readonly { readonly link: LiveLink; readonly one: ConditionInForce }[],
): Readonly<Record<string, unknown>> | undefined {
  const touched = put.filter(({ one }) => one.bytes + one.connections > 0);
  if (touched.length === 0) return undefined;
  return {
    does: condition.does,
    links: touched.map(({ link }) => link.name),
    bytes: touched.reduce((sum, { one }) => sum + one.bytes, 0),
    connections: touched.reduce((sum, { one }) => sum + one.connections, 0),
  };
}
