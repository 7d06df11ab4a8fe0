import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{harness,faults,workloads,stores,reports,scripts}/**/*.test.ts"],
    exclude: ["dist/**", "runs/**", "node_modules/**"],
    globalSetup: ["scripts/vitest-setup.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // A poll waits for what must happen, however slow the machine: its deadline (1 s if not set) is no assertion.
    expect: { poll: { timeout: 20_000 } },
    // Whole runs wait for their store as much as they compute: with a worker for each core, cores would be idle.
    maxWorkers: Math.ceil(availableParallelism() * 1.5),
  },
});
