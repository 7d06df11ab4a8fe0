/**
 * A member that was killed comes back by itself, or that is a finding: also when the others do without it, and when a later
 * start of it succeeds.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { MemberLaunch } from "../../stores/cluster-contract.ts";
import { postgresReplica } from "../../stores/postgres/replica.ts";
import type { RunResults } from "../results.ts";
import { runDirectoryAt } from "../run-directory.ts";
import { resolveScenario } from "../scenario.ts";
import { runCluster } from "./cluster-run.ts";

const missing = await postgresReplica.unavailable?.();
if (missing) console.warn(`SKIPPED: members that do not come back: ${missing}`);

let runsDir = "";
beforeAll(() => {
  runsDir = mkdtempSync(join(tmpdir(), "acked-comes-back-"));
  chmodSync(runsDir, 0o755); // Postgres runs as another user
});
afterAll(() => rmSync(runsDir, { recursive: true, force: true }));

/** The standby is killed once; what its first start after that does instead of starting. */
async function killedOnce(name: string, first: (launch: MemberLaunch) => MemberLaunch): Promise<RunResults> {
  const path = join(runsDir, name);
  mkdirSync(join(path, "data"), { recursive: true });
  const asked = {
    store: "postgres-replica",
    workloads: ["register"],
    faults: ["kill"],
    cycles: 1,
    seconds: 30,
    seed: 1,
  };
  const resolution = await resolveScenario(asked);
  const { clustered } = postgresReplica;
  let starts = 0;
  const store = {
    ...resolution.store,
    clustered: {
      ...clustered!,
      launch: async (member: Parameters<NonNullable<typeof clustered>["launch"]>[0]) => {
        const launches = await clustered!.launch(member);
        if (member.as !== "again" || member.name !== "n2" || starts++ > 0) return launches;
        return launches.map(first);
      },
    },
  };
  const steps = [
    { fault: "kill", atMs: 300, member: 1, downMs: 100, parameters: { at: "time", delayMs: 0 } },
  ];
  const cluster = { ...resolution.scenario.cluster!, rounds: [{ stormMs: 5000, calmMs: 300, steps }] };
  return runCluster(
    { ...resolution, store, scenario: { ...resolution.scenario, cluster } },
    {
      ...{ directory: runDirectoryAt(path), runsDir, command: "test", replay: "", onProgress: () => {} },
      signal: new AbortController().signal,
    },
  );
}

const told = ({ findings }: RunResults) => findings.map(({ kind, sentence }) => `${kind}: ${sentence}`);

describe.skipIf(missing)("a standby that was killed", () => {
  test("and comes back: nothing is said", async () => {
    const results = await killedOnce("comes", (launch) => launch);
    expect(told(results)).toEqual([]);
    expect(results.verdict).toBe(true);
  });

  test("and panics when it is started first: a finding with its last words, though the next start succeeds", async () => {
    const script = "console.error('PANIC: index out of range'); process.exit(2)";
    const results = await killedOnce("panics", (launch) => ({
      ...launch,
      program: process.execPath,
      args: ["-e", script],
    }));
    expect(told(results)).toEqual([
      expect.stringMatching(/^did-not-recover: .*n2 did not come back when it was started first.*PANIC/s),
    ]);
    expect(results.verdict).toBe(false);
  });

  test("and ends by itself a second after it was ready: a finding, which the kill before does not excuse", async () => {
    const script = `const [program, ...args] = process.argv.slice(1);
      const child = require("node:child_process").spawn(program, args, { stdio: "inherit" });
      setTimeout(() => { child.kill("SIGKILL"); setTimeout(() => process.exit(3), 100); }, 2500);`;
    const results = await killedOnce("ends", (launch) => ({
      ...launch,
      program: process.execPath,
      args: ["-e", script, "--", launch.program, ...launch.args],
    }));
    expect(told(results)).toEqual([expect.stringMatching(/^unexpected-stop: .*n2 stopped by itself/s)]);
    expect(results.verdict).toBe(false);
  });
});
