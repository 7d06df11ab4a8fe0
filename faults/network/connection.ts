/**
 * One TCP connection through a proxy: the caller's socket, the one to the node once that could be made, and what is under
 * way between them. What it models of a connection under each condition is said in `proxy.ts`; whether something may
 * pass is asked of the two directed links (`live-link.ts`).
 *
 * While no condition is in force and nothing is under way, bytes go from socket to socket with no queue between.
 */
import { connect, type Socket } from "node:net";
import type { Endpoint } from "../../stores/contract.ts";
import { type LiveLink, meets } from "./live-link.ts";

/** Bytes held in one direction of one connection beyond which its sender is not read from. */
const heldBytesMax = 1024 * 1024;

export interface ConnectionOptions {
  /** What the caller sends travels forth, what the node answers travels back. */
  readonly forth: LiveLink;
  readonly back: LiveLink;
  /** Where the node listens now; `undefined` while none is up. The object stands for the node's incarnation. */
  readonly target: () => Endpoint | undefined;
  /** The address of this machine that the node sees as the caller's. */
  readonly localAddress?: string | undefined;
  /** Told when the connection to the node fails for a reason that is ours: no descriptors, no ports left. */
  readonly onTrouble: (error: NodeJS.ErrnoException) => void;
}

/** Carries a connection that has been accepted: refuses it, lets it hang, or makes the connection to the node. */
export function carry(caller: Socket, options: ConnectionOptions): void {
  const endpoint = options.target();
  if (meets(options.forth, options.back, "refuse") || endpoint === undefined) resetSocket(caller);
  else new Connection(caller, endpoint, options).proceed();
}

class Connection {
  readonly #caller: Socket;
  readonly #endpoint: Endpoint;
  readonly #options: ConnectionOptions;
  readonly #forth: Flow;
  readonly #back: Flow;
  #node: Socket | undefined;
  #socketsOpen = 1;
  #over = false;

  constructor(caller: Socket, endpoint: Endpoint, options: ConnectionOptions) {
    this.#caller = caller;
    this.#endpoint = endpoint;
    this.#options = options;
    const events = { cut: () => this.reset(), idle: () => this.#endIfDone() };
    this.#forth = new Flow(options.forth, events);
    this.#back = new Flow(options.back, events);
    options.forth.carry(this);
    options.back.carry(this);
    this.#forth.readFrom(caller);
    this.#back.writeTo(caller);
    caller.once("close", () => this.#closed());
    caller.once("end", () => this.#gaveUpEarly());
    meets(options.forth, options.back, "drop");
  }

  proceed(): void {
    if (this.#over) return;
    if (!this.#node && !this.#options.forth.has("drop") && !this.#options.back.has("drop")) this.#reachNode();
    this.#forth.pump();
    this.#back.pump();
  }

  /** Resets both ends; what was held is gone. */
  reset(): void {
    if (this.#over) return;
    this.#end();
    this.#forth.discard();
    this.#back.discard();
    resetSocket(this.#caller);
    if (this.#node) resetSocket(this.#node);
  }

  /** Only ever to the incarnation that was up when the caller connected. */
  #reachNode(): void {
    if (this.#options.target() !== this.#endpoint) {
      this.reset();
      return;
    }
    const { host, port } = this.#endpoint;
    const { localAddress, onTrouble, forth } = this.#options;
    const node = connect({
      ...{ host, port, allowHalfOpen: true, noDelay: true },
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    this.#node = node;
    this.#socketsOpen += 1;
    this.#back.readFrom(node);
    this.#forth.writeTo(node);
    node.once("connect", () => {
      // Where a handshake can take long, a later incarnation may have answered it: it gets nothing of this.
      if (this.#options.target() !== this.#endpoint) this.reset();
      else forth.connectionsMade += 1;
    });
    node.once("error", (error: NodeJS.ErrnoException) => {
      if (isOurs(error)) onTrouble(error);
    });
    node.once("close", () => this.#closed());
  }

  #closed(): void {
    this.#socketsOpen -= 1;
    this.#gaveUpEarly();
    this.#endIfDone();
  }

  /** A caller that ends its stream before its connection could be made: for the node it has never been. */
  #gaveUpEarly(): void {
    if (!this.#node) this.reset();
  }

  #endIfDone(): void {
    if (this.#over || this.#socketsOpen > 0 || !this.#forth.idle() || !this.#back.idle()) return;
    this.#end();
  }

  #end(): void {
    this.#over = true;
    this.#options.forth.forget(this);
    this.#options.back.forget(this);
  }
}

/** Errors of a connection that are not the node's doing. */
function isOurs({ code }: NodeJS.ErrnoException): boolean {
  return ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EADDRNOTAVAIL", "EACCES", "EINVAL"].includes(code ?? "");
}

/** Bytes on their way, or how the stream ended after them. */
interface Parcel {
  content: Buffer | "fin" | "reset";
  /** `performance.now()` before which it does not arrive. */
  readonly dueAt: number;
  /** A limit has made it wait, and counts it. */
  waited: boolean;
  /** Of bytes: their number in the link's log. */
  readonly message: number;
}

interface FlowEvents {
  readonly cut: () => void;
  /** Nothing is under way any more. */
  readonly idle: () => void;
}

/** One direction of one connection: what came in, goes out in order, when the link lets it. */
class Flow {
  readonly #link: LiveLink;
  readonly #events: FlowEvents;
  #queue: Parcel[] = [];
  #heldBytes = 0;
  /** When the last parcel taken may arrive: none overtakes it. */
  #lastDueAt = 0;
  #source: Socket | undefined;
  #sink: Socket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #cutting = false;

  constructor(link: LiveLink, events: FlowEvents) {
    this.#link = link;
    this.#events = events;
  }

  idle(): boolean {
    return this.#queue.length === 0;
  }

  readFrom(source: Socket): void {
    this.#source = source;
    let ended = false;
    let failed = false;
    source.on("data", (bytes: Buffer) => this.#takeBytes(bytes));
    source.once("end", () => {
      ended = true;
      this.#take("fin", 0);
    });
    source.once("error", () => {
      failed = true;
    });
    source.once("close", () => {
      if (failed || !ended) this.#take("reset", 0);
    });
    source.resume(); // one that was accepted in a paused state
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
      if (typeof next.content !== "string") {
        if (!this.#passOf(next, next.content)) return;
      } else if (next.content === "fin") this.#sink!.end();
      else resetSocket(this.#sink!);
      this.#queue.shift();
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

  #takeBytes(bytes: Buffer): void {
    const sink = this.#sink;
    if (this.#link.clear && sink && this.#queue.length === 0 && !sink.writableNeedDrain && !this.#cutting) {
      if (sink.destroyed) return;
      this.#link.passAtOnce(bytes.length);
      sink.write(bytes);
      return;
    }
    this.#take(bytes, bytes.length);
  }

  #take(content: Parcel["content"], bytes: number): void {
    if (this.#sink?.destroyed) return;
    const delayMs = this.#link.receive(bytes);
    if (delayMs > 0) this.#lastDueAt = Math.max(this.#lastDueAt, performance.now() + delayMs);
    const message = bytes > 0 ? this.#link.comesIn(bytes) : 0;
    this.#queue.push({ content, dueAt: this.#lastDueAt, waited: false, message });
    this.#heldBytes += bytes;
    if (this.#heldBytes > heldBytesMax) this.#source?.pause();
    this.pump();
  }

  #mayArrive(next: Parcel): boolean {
    if (!this.#sink || this.#cutting || this.#sink.writableNeedDrain) return false;
    if (this.#link.clear && next.dueAt === 0) return true;
    if (this.#link.has("drop")) return false;
    const waitMs = next.dueAt - performance.now();
    if (waitMs > 0) this.#pumpIn(waitMs);
    return waitMs <= 0;
  }

  /** Passes as much of a parcel as limits and cuts allow. False: something of it is left, and the pump has to wait. */
  #passOf(parcel: Parcel, bytes: Buffer): boolean {
    const allowed = this.#link.withinLimits(bytes.length);
    if (allowed.bytes < bytes.length && !parcel.waited) {
      this.#link.heldByLimit(bytes.length - allowed.bytes);
      parcel.waited = true;
    }
    const passed = this.#link.pass(allowed.bytes);
    this.#heldBytes -= passed;
    if (passed < allowed.bytes) {
      // The node is given the chance to read the first part before the reset comes.
      this.#cutting = true;
      this.#sink!.write(bytes.subarray(0, passed), () => setImmediate(this.#events.cut));
      return false;
    }
    if (passed > 0) this.#sink!.write(passed === bytes.length ? bytes : bytes.subarray(0, passed));
    if (passed === bytes.length) {
      this.#link.arrived(parcel.message);
      return true;
    }
    parcel.content = bytes.subarray(passed);
    this.#pumpIn(allowed.waitMs);
    return false;
  }

  #pumpIn(waitMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.pump(), Math.max(1, Math.ceil(waitMs)));
  }

  #readOn(): void {
    if (this.#heldBytes < heldBytesMax / 2 && this.#source?.isPaused()) this.#source.resume();
  }
}

/**
 * Ends a socket with RST, as a host does that knows of no such connection. One whose end is being sent is just closed:
 * a reset during a shutdown fails (EINVAL), and would leak the socket.
 */
export function resetSocket(socket: Socket): void {
  socket.on("error", () => {});
  if (socket.connecting || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
