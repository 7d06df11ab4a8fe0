import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{harness,faults,workloads,stores,reports,scripts}/**/*.test.ts"],
    exclude: ["dist/**", "runs/**", "node_modules/**"],
    globalSetup: ["scripts/vitest-setup.ts"],
    // Deadlines, against a hang: no assertion. What must happen may take as long as a slow and busy machine needs (a poll's
    // default is 1 s).
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 20_000 } },
    // Whole runs wait for their store as much as they compute: with a worker for each core, cores would be idle.
    maxWorkers: Math.ceil(availableParallelism() * 1.5),
  },
});
