import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Endpoint } from "../../stores/contract.ts";
import { createLink, type ProxiedLink } from "./proxy.ts";

/** A node that keeps what it was sent, and can speak, end and die. */
interface Node {
  readonly endpoint: Endpoint;
  readonly connections: Peer[];
  /** As the kernel does for a killed process. */
  die(): void;
}

interface Peer {
  readonly socket: Socket;
  received: string;
  ended: boolean;
  /** `clean` or the error's code, once closed. */
  closed: string | undefined;
}

const open: { servers: Server[]; sockets: Socket[] } = { servers: [], sockets: [] };
let node: Node | undefined;
let link: ProxiedLink;

function watch(socket: Socket): Peer {
  open.sockets.push(socket);
  const peer: Peer = { socket, received: "", ended: false, closed: undefined };
  let code = "clean";
  socket.setEncoding("latin1");
  socket.on("data", (text: string) => {
    peer.received += text;
  });
  socket.on("end", () => {
    peer.ended = true;
  });
  socket.on("error", (error: NodeJS.ErrnoException) => {
    code = error.code ?? "error";
  });
  socket.on("close", () => {
    peer.closed = code;
  });
  return peer;
}

async function startNode(port = 0): Promise<Node> {
  const connections: Peer[] = [];
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
    connections.push(watch(socket)),
  );
  open.servers.push(server);
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    endpoint: { host: "127.0.0.1", port: (server.address() as AddressInfo).port },
    connections,
    die() {
      server.close();
      for (const { socket } of connections) socket.resetAndDestroy();
    },
  };
}

/** A client that is connected to the proxy, not necessarily to the node, or was reset meanwhile. */
async function client(): Promise<Peer> {
  const socket = connect({ ...link.endpoint, noDelay: true });
  const peer = watch(socket);
  await new Promise((resolve) => socket.once("connect", resolve).once("close", resolve));
  return peer;
}

/** A client that has a connection through to the node, with the node's end of it. */
async function linked(): Promise<[Peer, Peer]> {
  const before = node!.connections.length;
  const peer = await client();
  await expect.poll(() => node!.connections.length).toBe(before + 1);
  return [peer, node!.connections[before]!];
}

/** Long enough for bytes to pass loopback many times over; used only where nothing may arrive. */
const aWhile = () => new Promise((resolve) => setTimeout(resolve, 60));

beforeEach(async () => {
  node = await startNode();
  link = await createLink({ name: "c0-n1", target: () => node?.endpoint });
});

afterEach(async () => {
  await link.close();
  for (const socket of open.sockets.splice(0)) socket.destroy();
  for (const server of open.servers.splice(0)) server.close();
});

describe("without a fault", () => {
  it("bytes and ends pass in both directions", async () => {
    const [mine, theirs] = await linked();
    mine.socket.write("ping");
    await expect.poll(() => theirs.received).toBe("ping");
    theirs.socket.write("pong");
    await expect.poll(() => mine.received).toBe("pong");
    mine.socket.end("bye");
    await expect.poll(() => theirs.ended).toBe(true);
    expect(theirs.received).toBe("pingbye");
    theirs.socket.end("bye you");
    await expect.poll(() => mine.closed).toBe("clean");
    expect(mine.received).toBe("pongbye you");
    await expect.poll(() => link.connections()).toBe(0);
  });

  it("ten megabytes arrive whole, though the receiver is slow to begin", async () => {
    const [mine, theirs] = await linked();
    theirs.socket.pause();
    const big = Buffer.alloc(10 * 1024 * 1024, "0123456789");
    mine.socket.end(big);
    await aWhile();
    theirs.socket.resume();
    await expect.poll(() => theirs.ended, { timeout: 10_000 }).toBe(true);
    expect(theirs.received === big.toString("latin1")).toBe(true);
  });

  it("a client of no node is reset", async () => {
    node = undefined;
    const mine = await client();
    await expect.poll(() => mine.closed).toBe("ECONNRESET");
  });

  it("a client of a dead port is reset", async () => {
    node!.die();
    const mine = await client();
    await expect.poll(() => mine.closed).toBe("ECONNRESET");
    expect(link.connections()).toBe(0);
  });

  it("a client learns that its node died", async () => {
    const [mine] = await linked();
    node!.die();
    await expect.poll(() => mine.closed).toBe("ECONNRESET");
  });

  it("a node learns that its client was reset", async () => {
    const [mine, theirs] = await linked();
    mine.socket.resetAndDestroy();
    await expect.poll(() => theirs.closed).toBe("ECONNRESET");
    await expect.poll(() => link.connections()).toBe(0);
  });
});

describe("drop", () => {
  it("holds requests, lets replies pass, and delivers in order after the heal", async () => {
    const [mine, theirs] = await linked();
    const fault = link.drop("forth");
    expect(fault.touched()).toBe(0);
    mine.socket.write("one ");
    mine.socket.write("two");
    theirs.socket.write("reply");
    await expect.poll(() => mine.received).toBe("reply");
    await expect.poll(() => fault.touched()).toBe(7);
    expect(theirs.received).toBe("");
    fault.heal();
    await expect.poll(() => theirs.received).toBe("one two");
    expect(fault.touched()).toBe(7);
  });

  it("holds replies while requests pass", async () => {
    const [mine, theirs] = await linked();
    const fault = link.drop("back");
    mine.socket.write("request");
    await expect.poll(() => theirs.received).toBe("request");
    theirs.socket.write("reply");
    await expect.poll(() => fault.touched()).toBe(5);
    await aWhile();
    expect(mine.received).toBe("");
    link.heal();
    await expect.poll(() => mine.received).toBe("reply");
  });

  it("delivers the request of a client that has given up, then its end", async () => {
    const [mine, theirs] = await linked();
    const fault = link.drop("both");
    mine.socket.write("late");
    await expect.poll(() => fault.touched()).toBe(4);
    mine.socket.destroy();
    await aWhile();
    expect([theirs.received, theirs.ended]).toEqual(["", false]);
    fault.heal();
    await expect.poll(() => theirs.received).toBe("late");
    await expect.poll(() => theirs.ended).toBe(true);
  });

  it.each(["forth", "back", "both"] as const)(
    "%s: a new connection hangs until the heal",
    async (direction) => {
      const fault = link.drop(direction);
      const mine = await client();
      mine.socket.write("hello");
      await expect.poll(() => fault.touched()).toBeGreaterThan(0);
      await aWhile();
      expect(node!.connections).toHaveLength(0);
      fault.heal();
      await expect.poll(() => node!.connections[0]?.received).toBe("hello");
    },
  );

  it("a new connection that was given up never reaches the node", async () => {
    const fault = link.drop("both");
    const mine = await client();
    mine.socket.end("hello");
    await expect.poll(() => link.connections()).toBe(0);
    fault.heal();
    await aWhile();
    expect(node!.connections).toHaveLength(0);
  });

  it("a held request never reaches a later incarnation of the node, not even on the same port", async () => {
    const [mine] = await linked();
    const fault = link.drop("forth");
    const hanging = await client();
    mine.socket.write("to the first");
    hanging.socket.write("to the first too");
    await expect.poll(() => fault.touched()).toBe(12 + 1 + 16);
    const first = node!;
    first.die();
    await expect.poll(() => mine.closed).toBe("ECONNRESET"); // the way back is open
    node = await startNode(first.endpoint.port);
    fault.heal();
    await expect.poll(() => hanging.closed).toBe("ECONNRESET");
    await aWhile();
    expect(node.connections).toHaveLength(0);
    const [, theirs] = await linked();
    expect(theirs.received).toBe("");
  });

  it("hides the death of the node until the heal", async () => {
    const [mine] = await linked();
    const fault = link.drop("back");
    node!.die();
    await aWhile();
    expect(mine.closed).toBeUndefined();
    fault.heal();
    await expect.poll(() => mine.closed).toBe("ECONNRESET");
    await expect.poll(() => link.connections()).toBe(0);
  });

  it("holds no more than a bounded amount", async () => {
    const [mine, theirs] = await linked();
    const fault = link.drop("forth");
    const big = Buffer.alloc(32 * 1024 * 1024, "x");
    mine.socket.write(big);
    await expect.poll(() => fault.touched()).toBeGreaterThan(1024 * 1024);
    await aWhile();
    expect(fault.touched()).toBeLessThan(2 * 1024 * 1024);
    fault.heal();
    await expect.poll(() => theirs.received.length, { timeout: 10_000 }).toBe(big.length);
  });
});

describe("refuse", () => {
  it("resets what is established and what is new, until the heal", async () => {
    const [mine, theirs] = await linked();
    const fault = link.refuse();
    await expect.poll(() => [mine.closed, theirs.closed]).toEqual(["ECONNRESET", "ECONNRESET"]);
    expect(fault.touched()).toBe(1);
    const late = await client();
    await expect.poll(() => late.closed).toBe("ECONNRESET");
    expect(fault.touched()).toBe(2);
    fault.heal();
    await linked();
  });
});

describe("delay", () => {
  it("delivers later, in order, in both directions", async () => {
    const [mine, theirs] = await linked();
    const fault = link.delay(40);
    const start = performance.now();
    for (const letter of "abcdef") mine.socket.write(letter);
    await expect.poll(() => theirs.received).toBe("abcdef");
    expect(performance.now() - start).toBeGreaterThanOrEqual(40);
    theirs.socket.write("reply");
    await expect.poll(() => mine.received).toBe("reply");
    expect(performance.now() - start).toBeGreaterThanOrEqual(80);
    expect(fault.touched()).toBe(11);
  });

  it("lets nothing sent after the heal overtake what was under way", async () => {
    const [mine, theirs] = await linked();
    const fault = link.delay(50);
    mine.socket.write("first ");
    await expect.poll(() => fault.touched()).toBe(6);
    fault.heal();
    mine.socket.write("second");
    await expect.poll(() => theirs.received).toBe("first second");
  });
});

describe("cut", () => {
  it("passes so many bytes, then resets both ends; the next connection passes", async () => {
    const [mine, theirs] = await linked();
    const fault = link.cut(10);
    mine.socket.write("12345");
    await expect.poll(() => theirs.received).toBe("12345");
    expect(fault.touched()).toBe(0);
    mine.socket.write("67890abcdef");
    await expect.poll(() => mine.closed).toBe("ECONNRESET");
    // A reset that comes together with bytes is seen by Node as an end.
    await expect.poll(() => theirs.ended || theirs.closed === "ECONNRESET").toBe(true);
    expect(theirs.received).toBe("1234567890");
    expect(fault.touched()).toBe(1);
    const [again, theirsAgain] = await linked();
    again.socket.write("a message longer than ten bytes");
    await expect.poll(() => theirsAgain.received).toBe("a message longer than ten bytes");
  });

  it("does nothing once healed", async () => {
    const [mine, theirs] = await linked();
    link.cut(3).heal();
    mine.socket.write("12345");
    await expect.poll(() => theirs.received).toBe("12345");
  });
});

describe("overlapping faults", () => {
  it("are healed and counted each on its own", async () => {
    const [mine, theirs] = await linked();
    const both = link.drop("both");
    const forth = link.drop("forth");
    mine.socket.write("abc");
    await expect.poll(() => [both.touched(), forth.touched()]).toEqual([3, 3]);
    both.heal();
    both.heal();
    theirs.socket.write("back");
    await expect.poll(() => mine.received).toBe("back");
    expect([both.touched(), forth.touched(), theirs.received]).toEqual([3, 3, ""]);
    forth.heal();
    await expect.poll(() => theirs.received).toBe("abc");
  });
});

it("closing resets everything and stops listening", async () => {
  const [mine, theirs] = await linked();
  await link.close();
  await link.close();
  await expect.poll(() => [mine.closed, theirs.closed]).toEqual(["ECONNRESET", "ECONNRESET"]);
  const late = connect(link.endpoint);
  const code = await new Promise((resolve) =>
    late.once("error", (error: NodeJS.ErrnoException) => resolve(error.code)),
  );
  expect(code).toBe("ECONNREFUSED");
});
