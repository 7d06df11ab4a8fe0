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
 *  - **cut**: so many more bytes reach the node, then both ends of that connection are reset, usually in mid-message.
 *    It fires once; the next connection passes.
 * Faults may overlap: drops add up, delays are summed, each is counted and healed on its own.
 *
 * A connection belongs to the incarnation of the node it was made to, and never carries a byte into a later one: the
 * *object* that `target()` returns stands for the incarnation, so return the same object as long as the node lives.
 *
 * What it does not model: packets (a held byte never arrives twice or out of order), a lost SYN's own timeouts, slow
 * handshakes, limits of bandwidth, and the client's kernel, which has accepted the connection and acknowledged bytes
 * that are held here. At most about 1 MB is held per connection and direction; then the sender's own buffers fill up,
 * as with a closed TCP window.
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { Endpoint } from "../../stores/contract.ts";
import type { Link, LinkFault } from "../contract.ts";

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

type Direction = "forth" | "back";

/** Bytes held in one direction of one connection beyond which its sender is not read from. */
const heldBytesMax = 1024 * 1024;

/** Starts the proxy on a free port of 127.0.0.1. */
export async function createLink({ name, target }: LinkOptions): Promise<ProxiedLink> {
  const conditions = new Conditions();
  const connections = new Set<Connection>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const endpoint = target();
    if (conditions.refused() || endpoint === undefined) {
      refuseConnection(client);
      return;
    }
    const connection = new Connection(client, endpoint, target, conditions, () =>
      connections.delete(connection),
    );
    connections.add(connection);
    connection.proceed();
  });
  await listen(server);
  // An accept that fails later (no file descriptors left) is the client's to report: it gets no answer.
  server.on("error", () => {});
  const changed = () => {
    for (const connection of [...connections]) connection.proceed();
  };
  const resetAll = () => {
    for (const connection of [...connections]) connection.reset();
  };
  return {
    name,
    endpoint: { host: "127.0.0.1", port: (server.address() as AddressInfo).port },
    connections: () => connections.size,
    drop: (direction) => conditions.add({ drops: direction }, changed),
    delay: (delayMs) => conditions.add({ delayMs }, changed),
    cut: (afterBytes) => conditions.add({ bytesLeft: afterBytes }, changed),
    refuse() {
      const fault = conditions.add({ refuses: true, touched: connections.size }, changed);
      resetAll();
      return fault;
    },
    heal() {
      conditions.clear();
      changed();
    },
    close() {
      resetAll();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** One fault in force. */
interface Condition {
  readonly drops?: Direction | "both";
  readonly delayMs?: number;
  readonly refuses?: boolean;
  /** Of a cut: bytes that may still pass. */
  bytesLeft?: number;
  touched: number;
}

/** The faults in force on one link. */
class Conditions {
  readonly #inForce = new Set<Condition>();

  add(condition: Omit<Condition, "touched"> & { touched?: number }, changed: () => void): LinkFault {
    const added: Condition = { touched: 0, ...condition };
    this.#inForce.add(added);
    return {
      touched: () => added.touched,
      heal: () => {
        if (this.#inForce.delete(added)) changed();
      },
    };
  }

  clear(): void {
    this.#inForce.clear();
  }

  dropped(direction: Direction): boolean {
    return this.#some((one) => one.drops === direction || one.drops === "both");
  }

  /** Whether a connection being made now is refused; counts it. */
  refused(): boolean {
    return this.#touch((one) => one.refuses === true, 1);
  }

  /** Whether a new connection hangs; counts it. */
  hangs(): boolean {
    return this.#touch((one) => one.drops !== undefined, 1);
  }

  /** Whether a connection that hung can be made by now. */
  passable(): boolean {
    return !this.#some((one) => one.drops !== undefined);
  }

  /** Counts bytes that came in, for every fault that holds or delays them. Returns the delay in ms. */
  receive(direction: Direction, bytes: number): number {
    this.#touch((one) => one.drops === direction || one.drops === "both" || one.delayMs !== undefined, bytes);
    let sum = 0;
    for (const one of this.#inForce) sum += one.delayMs ?? 0;
    return sum;
  }

  /** How many of these bytes may still pass to the node before the connection is cut; Infinity when it is not. */
  allowance(bytes: number): number {
    if (this.#inForce.size === 0) return Number.POSITIVE_INFINITY;
    const cuts = [...this.#inForce].filter((one) => one.bytesLeft !== undefined);
    const least = Math.min(...cuts.map((one) => one.bytesLeft!));
    const passed = Math.min(bytes, least);
    for (const one of cuts) one.bytesLeft! -= passed;
    const first = bytes >= least ? cuts.find((one) => one.bytesLeft === 0) : undefined;
    if (!first) return Number.POSITIVE_INFINITY;
    first.touched += 1;
    this.#inForce.delete(first);
    return passed;
  }

  #some(matches: (one: Condition) => boolean): boolean {
    for (const one of this.#inForce) if (matches(one)) return true;
    return false;
  }

  #touch(matches: (one: Condition) => boolean, count: number): boolean {
    let any = false;
    for (const one of this.#inForce) {
      if (!matches(one)) continue;
      one.touched += count;
      any = true;
    }
    return any;
  }
}

/** One client's connection, and the one to the node, once that could be made. */
class Connection {
  readonly #client: Socket;
  readonly #endpoint: Endpoint;
  readonly #target: () => Endpoint | undefined;
  readonly #conditions: Conditions;
  readonly #forth: Flow;
  readonly #back: Flow;
  readonly #onOver: () => void;
  #node: Socket | undefined;
  #socketsOpen = 1;
  #over = false;

  constructor(
    client: Socket,
    endpoint: Endpoint,
    target: () => Endpoint | undefined,
    conditions: Conditions,
    onOver: () => void,
  ) {
    this.#client = client;
    this.#endpoint = endpoint;
    this.#target = target;
    this.#conditions = conditions;
    this.#onOver = onOver;
    const events = { cut: () => this.reset(), idle: () => this.#endIfDone() };
    this.#forth = new Flow("forth", conditions, events);
    this.#back = new Flow("back", conditions, events);
    this.#forth.readFrom(client);
    this.#back.writeTo(client);
    client.once("close", () => this.#closed());
    client.once("end", () => this.#gaveUpEarly());
    conditions.hangs();
  }

  /** Does whatever the network now lets pass. */
  proceed(): void {
    if (!this.#node && this.#conditions.passable()) this.#reachNode();
    this.#forth.pump();
    this.#back.pump();
  }

  /** Resets both ends; what was held is gone. */
  reset(): void {
    if (this.#over) return;
    this.#over = true;
    this.#forth.discard();
    this.#back.discard();
    refuseConnection(this.#client);
    if (this.#node) refuseConnection(this.#node);
    this.#onOver();
  }

  /** Only ever to the incarnation that was up when the client connected. */
  #reachNode(): void {
    if (this.#over) return;
    if (this.#target() !== this.#endpoint) {
      this.reset();
      return;
    }
    const { host, port } = this.#endpoint;
    this.#node = connect({ host, port, allowHalfOpen: true, noDelay: true });
    this.#socketsOpen += 1;
    this.#back.readFrom(this.#node);
    this.#forth.writeTo(this.#node);
    this.#node.once("close", () => this.#closed());
  }

  #closed(): void {
    this.#socketsOpen -= 1;
    this.#gaveUpEarly();
    this.#endIfDone();
  }

  /** A client that ends its stream before its connection could be made: for the node it has never been. */
  #gaveUpEarly(): void {
    if (!this.#node) this.reset();
  }

  #endIfDone(): void {
    if (this.#over || this.#socketsOpen > 0 || !this.#forth.idle() || !this.#back.idle()) return;
    this.#over = true;
    this.#onOver();
  }
}

/** Bytes on their way, or how the stream ended after them. */
interface Parcel {
  readonly content: Buffer | "fin" | "reset";
  /** `performance.now()` before which it does not arrive. */
  readonly dueAt: number;
}

interface FlowEvents {
  readonly cut: () => void;
  /** Nothing is under way any more. */
  readonly idle: () => void;
}

/** One direction of one connection: what came in, goes out in order, when the network lets it. */
class Flow {
  readonly #direction: Direction;
  readonly #conditions: Conditions;
  readonly #events: FlowEvents;
  #queue: Parcel[] = [];
  #heldBytes = 0;
  #source: Socket | undefined;
  #sink: Socket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #cutting = false;

  constructor(direction: Direction, conditions: Conditions, events: FlowEvents) {
    this.#direction = direction;
    this.#conditions = conditions;
    this.#events = events;
  }

  idle(): boolean {
    return this.#queue.length === 0;
  }

  readFrom(source: Socket): void {
    this.#source = source;
    let ended = false;
    let failed = false;
    source.on("data", (bytes: Buffer) => this.#take(bytes));
    source.once("end", () => {
      ended = true;
      this.#take("fin");
    });
    source.once("error", () => {
      failed = true;
    });
    source.once("close", () => {
      if (failed || !ended) this.#take("reset");
    });
  }

  writeTo(sink: Socket): void {
    this.#sink = sink;
    sink.on("drain", () => this.pump());
    sink.once("close", () => this.discard());
    // What went wrong is told by "close"; the other flow, which reads from this socket, passes it on.
    sink.on("error", () => {});
  }

  /** Sends on everything that may arrive by now. */
  pump(): void {
    for (let next = this.#queue[0]; next && this.#mayArrive(next); next = this.#queue[0]) {
      this.#queue.shift();
      this.#deliver(next.content, this.#sink!);
      this.#readOn();
    }
    if (this.idle()) this.#events.idle();
  }

  /** Nobody can receive what is under way, nor what may still come. */
  discard(): void {
    clearTimeout(this.#timer);
    this.#queue = [];
    this.#heldBytes = 0;
    this.#source?.resume();
    this.#events.idle();
  }

  #take(content: Parcel["content"]): void {
    if (this.#sink?.destroyed) return;
    const bytes = typeof content === "string" ? 0 : content.length;
    const delayMs = this.#conditions.receive(this.#direction, bytes);
    this.#queue.push({ content, dueAt: delayMs === 0 ? 0 : performance.now() + delayMs });
    this.#heldBytes += bytes;
    if (this.#heldBytes > heldBytesMax) this.#source?.pause();
    this.pump();
  }

  #mayArrive(next: Parcel): boolean {
    if (!this.#sink || this.#cutting || this.#sink.writableNeedDrain) return false;
    if (this.#conditions.dropped(this.#direction)) return false;
    const waitMs = next.dueAt - performance.now();
    if (waitMs <= 0) return true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.pump(), Math.ceil(waitMs));
    return false;
  }

  #deliver(content: Parcel["content"], sink: Socket): void {
    if (content === "fin") sink.end();
    else if (content === "reset") refuseConnection(sink);
    else this.#pass(content, sink);
  }

  #pass(bytes: Buffer, sink: Socket): void {
    this.#heldBytes -= bytes.length;
    const allowed =
      this.#direction === "forth" ? this.#conditions.allowance(bytes.length) : Number.POSITIVE_INFINITY;
    if (allowed === Number.POSITIVE_INFINITY) {
      sink.write(bytes);
      return;
    }
    // The node is given the chance to read the first part before the reset comes.
    this.#cutting = true;
    sink.write(bytes.subarray(0, allowed), () => setImmediate(this.#events.cut));
  }

  #readOn(): void {
    if (this.#heldBytes < heldBytesMax / 2 && this.#source?.isPaused()) this.#source.resume();
  }
}

/**
 * Ends a socket with RST, as a host does that knows of no such connection. One whose end is being sent is just closed:
 * a reset during a shutdown fails (EINVAL), and would leak the socket.
 */
function refuseConnection(socket: Socket): void {
  socket.on("error", () => {});
  if (socket.connecting || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      server.off("error", reject);
      resolve();
    });
  });
}
