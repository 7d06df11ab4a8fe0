/**
 * Ports for processes that are told where to listen: outside the range from which the system draws the local ports of
 * outgoing connections, since one of those could take the port before the process has started.
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

const lowest = 15_000;

/**
 * A port on 127.0.0.1 that nobody uses now and that is not among `taken`.
 *
 * @throws Error when 100 ports in a row are taken.
 */
export async function freeListeningPort(taken: ReadonlySet<number>): Promise<number> {
  const end = ephemeralStart();
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = lowest + Math.floor(Math.random() * (end - lowest));
    if (!taken.has(port) && (await canBind(port))) return port;
  }
  throw new Error(`no free port on 127.0.0.1 between ${lowest} and ${end} in 100 attempts`);
}

function ephemeralStart(): number {
  try {
    const start = Number(readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").split(/\s+/)[0]);
    return start > lowest + 1000 ? start : 32_768;
  } catch {
    return 32_768;
  }
}

function canBind(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
