import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{harness,faults,workloads,stores,reports,scripts}/**/*.test.ts"],
    exclude: ["dist/**", "runs/**", "node_modules/**"],
    globalSetup: ["scripts/vitest-setup.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Most whole runs wait for their store more than they compute; the default would leave one of two cores idle.
    maxWorkers: "100%",
  },
});
