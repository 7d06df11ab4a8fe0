/**
 * One plan, two mechanisms: every test of effects.test.ts again, with its programs run through the broker instead of the
 * interposer. What differs between the two is in interposer.test.ts and broker.test.ts.
 */
import { expect, it } from "vitest";
import { whyNoBroker } from "./fixtures/brokered.ts";

const unavailable = await whyNoBroker();
if (unavailable) {
  console.warn(`SKIPPED: the effects through the broker: ${unavailable}`);
  it.skip("the effects through the broker", () => {});
} else {
  // Read when the fixture is loaded, which the import below does. Test files have processes of their own.
  process.env.ACKED_FRONT_END = "broker";
  await import("./effects.test.ts");
  const { InterposedDirectory } = await import("./fixtures/interposed.ts");

  it("these tests really went through the broker", async () => {
    const disk = await InterposedDirectory.create("*.log", { traced: true });
    const { lines } = await disk.run("sh", [
      "-c",
      'read name </proc/$PPID/comm; echo "$name"; echo "$LD_PRELOAD"',
    ]);
    disk.remove();
    expect(lines).toEqual([expect.stringMatching(/^broker-/), process.env.LD_PRELOAD ?? ""]);
  });
}
