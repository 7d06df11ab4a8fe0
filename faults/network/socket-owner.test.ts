/** Whose a connection is when its caller dies while it is looked for, and the event loop stands still meanwhile. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ConnectionPorts, SocketOwners } from "./socket-owner.ts";

/** ms, more than a connection is looked for. */
const stallMs = 450;

let server: Server;
let caller: ChildProcess;
let accepted: Socket;
let ports: ConnectionPorts;

beforeEach(async () => {
  server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  caller = spawn(process.execPath, ["-e", `require("node:net").connect(${port}, "127.0.0.1")`]);
  [accepted] = (await once(server, "connection")) as [Socket];
  accepted.on("error", () => {});
  ports = { caller: accepted.remotePort!, listener: port };
});
afterEach(() => {
  caller.kill("SIGKILL");
  accepted.destroy();
  server.close();
});

function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Returns when the kernel has closed what it had open. */
function endCaller(): void {
  caller.kill("SIGKILL");
  const directory = `/proc/${caller.pid}/fd`;
  while (existsSync(directory) && openIn(directory) > 0) standStill(1);
}

function openIn(directory: string): number {
  try {
    return readdirSync(directory).length;
  } catch {
    return 0;
  }
}

describe.runIf(process.platform === "linux")("a caller", () => {
  // Members are asked after the tables were read: once in each look.
  it.each([1, 2])(
    "that dies in look %i, after the tables were read and in a stall, is nobody, and not unknown",
    async (look) => {
      let looks = 0;
      const owners = new SocketOwners(
        () => ["n1"],
        () => {
          looks++;
          if (looks === 1) standStill(stallMs);
          if (looks === look) endCaller();
          return [];
        },
      );
      // While it lives, it is found in the second look at the latest: only the first is before anybody's processes are seen.
      expect(await owners.find(ports)).toEqual({ is: "nobody" });
      expect(looks).toBeGreaterThanOrEqual(look);
    },
  );

  it("that lives through a stall is found", async () => {
    const owners = new SocketOwners(
      () => ["n1"],
      () => {
        standStill(stallMs);
        return [];
      },
    );
    expect(await owners.find(ports)).toEqual({ is: "outside" });
  });
});
