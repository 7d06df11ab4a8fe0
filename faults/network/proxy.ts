/**
 * A user-space TCP proxy: the link between one client and one node (or two nodes), on which the network can fail.
 *
 * What it models, on TCP connections as both ends see them:
 *  - **drop**: packets in that direction are lost and retransmitted until the network heals. Bytes, and the end of a
 *    stream, are held and delivered in order after `heal`, also when the sender has given up meanwhile, as long as the
 *    connection to the node lives. A *new* connection hangs whichever direction is dropped, because a handshake needs
 *    both; it reaches the node after `heal`, unless the client has given up. When a node dies, the client learns of it
 *    at once, or after `heal` when the way back is dropped.
 *  - **refuse**: new connections are reset, established ones too; what was held is gone.
 *  - **delay**: every chunk arrives that much later, in both directions, in order. What is under way when it heals
 *    still arrives late. Connecting is not delayed.
 *  - **limit**: no more than so many bytes a second are handed on, in small portions; the rest waits in order.
 *  - **cut**: so many more bytes reach the node; both ends of the connection that carries the next byte are reset,
 *    usually in mid-message. It fires once; the next connection passes.
 * Faults may overlap: drops add up, delays are summed, each is counted and healed on its own.
 *
 * A connection belongs to the incarnation of the node it was made to, and never carries a byte into a later one: the
 * *object* that `target()` returns stands for the incarnation, so return the same object as long as the node lives.
 *
 * What it does not model: packets (a held byte never arrives twice or out of order), a lost SYN's own timeouts, slow
 * handshakes, and the client's kernel, which has accepted the connection and acknowledged bytes
 * that are held here. At most about 1 MB is held per connection and direction; then the sender's own buffers fill up,
 * as with a closed TCP window.
 */
import { type AddressInfo, createServer, type Server } from "node:net";
import type { Endpoint } from "../../stores/contract.ts";
import type { Link, LinkCondition, LinkFault } from "../contract.ts";
import { carry } from "./connection.ts";
import { LiveLink, newCondition } from "./live-link.ts";

export interface LinkOptions {
  /** `c0-n1`. */
  readonly name: string;
  /** Where the node listens now; `undefined` while none is up: then clients are reset. Asked at each new connection. */
  readonly target: () => Endpoint | undefined;
}

/** A link and the proxy that is it. */
export interface ProxiedLink extends Link {
  /** Where the client connects to. */
  readonly endpoint: Endpoint;
  /** Resets every connection and stops listening. Idempotent. */
  close(): Promise<void>;
  /** How many connections pass through it, or are held, now. */
  connections(): number;
}

/** Starts the proxy on a free port of 127.0.0.1: both directions of one pair, with one fault for both where it says so. */
export async function createLink({ name, target }: LinkOptions): Promise<ProxiedLink> {
  const forth = new LiveLink(`${name} forth`);
  const back = new LiveLink(`${name} back`);
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    // What fails here for want of descriptors or ports is the client's to report, as an accept that fails: it is reset.
    carry(client, { forth, back, target, onTrouble: () => {} });
  });
  await listen(server);
  server.on("error", () => {});
  const put = (links: readonly LiveLink[], condition: LinkCondition): LinkFault => {
    const one = newCondition(condition);
    for (const link of links) link.add(one);
    return {
      touched: () => one.bytes + one.connections,
      heal: () => {
        for (const link of links) link.remove(one);
      },
    };
  };
  return {
    name,
    endpoint: { host: "127.0.0.1", port: (server.address() as AddressInfo).port },
    connections: () => forth.connectionsNow,
    drop: (direction) =>
      put(direction === "both" ? [forth, back] : [direction === "forth" ? forth : back], { does: "drop" }),
    delay: (delayMs) => put([forth, back], { does: "delay", delayMs, jitterMs: 0, seed: 0 }),
    cut: (afterBytes) => put([forth], { does: "cut", afterBytes }),
    refuse: () => put([forth], { does: "refuse" }),
    heal() {
      forth.removeAll();
      back.removeAll();
    },
    close() {
      forth.resetAll();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** Listens on a free port of 127.0.0.1. */
export function listen(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      server.off("error", reject);
      resolve();
    });
  });
}
