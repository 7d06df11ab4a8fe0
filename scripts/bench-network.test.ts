/** Of the promises of the proxies, what holds on any machine: ratios within one run, by wide margins. */
import { expect, it } from "vitest";
import { measureNetwork } from "./bench-network.ts";

it("a proxy costs a few round trips at most, and lets a fair part of what loopback carries pass", async () => {
  const figures = await measureNetwork({ roundTrips: 200, blocks: 5, megabytes: 32, streams: 3 });
  // Measured: 0.4 round trips a hop, 40% of loopback with two cores.
  expect(figures.hopUs).toBeGreaterThan(0);
  expect(figures.hopUs).toBeLessThan(3 * figures.directUs);
  expect(figures.proxiedMBs).toBeGreaterThan(figures.directMBs / 20);
  expect(figures.promises.map(({ promise }) => promise)).toHaveLength(2);
});
