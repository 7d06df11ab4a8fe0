/**
 * The listed programs again (programs.test.ts), through the broker: what works for Node, SQLite, Redis and Postgres (many
 * processes, a user of its own), byte for byte, is not made for the static programs it is meant for.
 */
import { it } from "vitest";
import { whyNoBroker } from "./fixtures/brokered.ts";

const unavailable = await whyNoBroker();
if (unavailable) {
  console.warn(`SKIPPED: programs through the broker: ${unavailable}`);
  it.skip("programs through the broker", () => {});
} else {
  // Read when the fixture is loaded, which the import below does. Test files have processes of their own.
  process.env.ACKED_FRONT_END = "broker";
  await import("./programs.test.ts");
}
