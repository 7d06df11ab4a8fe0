/**
 * The network is checked before the cluster is: every link of a client carries a numbered stream to where the member will
 * listen, and back. A proxy that loses, doubles or reorders bytes would make a good store look bad, or a bad one good; it
 * is named, and the run is no pass.
 *
 * Links between members pass through the same proxies, and are not sent over here: only a member's own process can. With
 * namespaces the members listen in namespaces of their own, where acked does not; there the kernel carries everything.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import type { Network } from "../../faults/contract.ts";
import type { MemberPort } from "../../stores/cluster-contract.ts";
import { type Endpoint, ScenarioError } from "../../stores/contract.ts";

/** Chunks of unlike lengths, each of which says its number. */
const stream = Array.from({ length: 200 }, (_, index) => `${index}:${"x".repeat((index * 37) % 1500)};`);
const deadlineMs = 3000;

/** What is wrong with the links of these clients to these members, one sentence each; empty when nothing is. */
export async function checkNetwork(
  network: Network,
  clients: readonly string[],
  members: ReadonlyMap<string, Readonly<Record<string, MemberPort>>>,
): Promise<string[]> {
  if (network.mechanism !== "proxies") return [];
  const faults: string[] = [];
  for (const [member, ports] of members) {
    for (const [purpose, { listen }] of Object.entries(ports)) {
      const server = await echoServer(listen).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "EADDRINUSE") throw error;
        throw new ScenarioError(
          `port ${listen.port} on ${listen.host}, chosen for ${purpose} of ${member}, was taken by another program a moment later; run it again`,
        );
      });
      try {
        const answers = clients.map(async (client) => {
          const fault = await echoed(network.clientEndpoint(client, member, purpose));
          if (fault !== undefined) faults.push(`the link ${client}>${member} (${purpose}) ${fault}`);
        });
        await Promise.all(answers);
      } finally {
        server.close();
      }
    }
  }
  return faults;
}

function echoServer({ host, port }: Endpoint): Promise<Server> {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => resolve(server));
  });
}

/** Sends the stream and compares what comes back; what is wrong, in words. */
function echoed(endpoint: Endpoint): Promise<string | undefined> {
  const sent = stream.join("");
  return new Promise((resolve) => {
    let received = "";
    const socket: Socket = connect({ ...endpoint, noDelay: true });
    const finish = (fault: string | undefined) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(fault);
    };
    const timer = setTimeout(
      () => finish(`brought back ${received.length} of ${sent.length} bytes in ${deadlineMs} ms`),
      deadlineMs,
    );
    socket.on("error", (error) => finish(`failed: ${error.message}`));
    socket.on("close", () => finish(`was closed after ${received.length} of ${sent.length} bytes`));
    socket.on("data", (bytes: Buffer) => {
      received += bytes.toString("latin1");
      if (received.length < sent.length) return;
      finish(
        received === sent
          ? undefined
          : `brought bytes in another order, or others: ${differ(sent, received)}`,
      );
    });
    for (const chunk of stream) socket.write(chunk);
  });
}

function differ(sent: string, received: string): string {
  let at = 0;
  while (sent[at] === received[at]) at++;
  return `they differ from byte ${at} on`;
}
