import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import fc from "fast-check";
import { expect, it } from "vitest";
import type { LinkFault } from "../contract.ts";
import { createLink, type ProxiedLink } from "./proxy.ts";

/** What may happen on a link that only holds and delays; `heal` ends one of the faults put before. */
type Step =
  | { readonly do: "send"; readonly from: "client" | "node"; readonly bytes: number }
  | { readonly do: "drop"; readonly direction: "forth" | "back" | "both" }
  | { readonly do: "delay"; readonly delayMs: number }
  | { readonly do: "heal"; readonly which: number }
  | { readonly do: "wait" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("send" as const),
      from: fc.constantFrom("client" as const, "node" as const),
      bytes: fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 400_000 })),
    }),
  },
  fc.record({ do: fc.constant("drop" as const), direction: fc.constantFrom("forth", "back", "both") }),
  fc.record({ do: fc.constant("delay" as const), delayMs: fc.integer({ min: 1, max: 12 }) }),
  fc.record({ do: fc.constant("heal" as const), which: fc.nat(9) }),
  { weight: 2, arbitrary: fc.constant<Step>({ do: "wait" }) },
);

it("whatever is dropped and delayed, every byte arrives once and in order after the heal", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
      const { sent, received } = await play(steps);
      expect(received.node === sent.client).toBe(true);
      expect(received.client === sent.node).toBe(true);
    }),
    { seed: 20_261_123, numRuns: 40 },
  );
});

/** Plays the steps on one connection, heals everything, ends both streams, and tells what was sent and received. */
async function play(steps: readonly Step[]) {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const endpoint = { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
  const link = await createLink({ name: "c0-n1", target: () => endpoint });
  const client = connect({ ...link.endpoint, allowHalfOpen: true });
  const [node] = (await once(server, "connection")) as [Socket];
  const received = { client: gather(client), node: gather(node) };
  const sent = { client: "", node: "" };
  const faults: LinkFault[] = [];
  for (const [index, one] of steps.entries()) {
    if (one.do === "wait") await new Promise((resolve) => setTimeout(resolve, 3));
    else if (one.do === "heal") faults[one.which % Math.max(1, faults.length)]?.heal();
    else if (one.do === "send") {
      const text = `${index}.`.repeat(Math.ceil(one.bytes / 3));
      sent[one.from] += text;
      (one.from === "client" ? client : node).write(text);
    } else faults.push(put(link, one));
  }
  link.heal();
  client.end();
  node.end();
  const whole = { client: await received.client, node: await received.node };
  await link.close();
  server.close();
  return { sent, received: whole };
}

function put(link: ProxiedLink, fault: Extract<Step, { do: "drop" | "delay" }>): LinkFault {
  return fault.do === "drop" ? link.drop(fault.direction) : link.delay(fault.delayMs);
}

/** Everything a socket receives until its end. */
function gather(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.once("end", () => resolve(Buffer.concat(chunks).toString("latin1")));
    socket.once("error", reject);
  });
}
