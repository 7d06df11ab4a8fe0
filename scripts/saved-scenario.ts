/** A run's plan, read from its `scenario.json`: checked for what replaying and exploring rely on, and derived never. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { ResolvedScenario } from "../harness/scenario.ts";
import { ScenarioError } from "../stores/contract.ts";

/** Of a cluster; a storm's steps are looked up by the name of their fault. */
const clusterPlan = z.looseObject({
  members: z.int().positive(),
  network: z.enum(["proxies", "namespaces"]),
  rounds: z.array(
    z.looseObject({
      stormMs: z.number().nonnegative(),
      calmMs: z.number().nonnegative(),
      steps: z.array(
        z.looseObject({
          fault: z.string(),
          atMs: z.number().nonnegative(),
          member: z.union([z.int().nonnegative(), z.literal("leader")]).optional(),
          downMs: z.number().nonnegative().optional(),
          parameters: z.looseObject({}),
        }),
      ),
    }),
  ),
});

/** The members that are relied on; the rest is checked where it is used. */
const savedScenario = z.looseObject({
  formatVersion: z.literal(1),
  store: z.string(),
  durability: z.looseObject({ mode: z.enum(["always", "interval", "none"]) }),
  workloads: z.array(z.string()),
  faults: z.array(z.string()),
  background: z.array(z.looseObject({ fault: z.string() })),
  seed: z.int(),
  seconds: z.number().positive(),
  clients: z.int().positive(),
  schedule: z.array(
    z.looseObject({ cycles: z.array(z.looseObject({ passing: z.array(z.looseObject({})) })) }),
  ),
  cluster: clusterPlan.optional(),
});

/** @throws ScenarioError when the directory holds no plan that this version understands. */
export function readScenario(run: string): ResolvedScenario {
  const file = join(run, "scenario.json");
  if (!existsSync(file)) throw new ScenarioError(`${run} is no run directory: it has no scenario.json`);
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new ScenarioError(
      `${file} is not JSON (${(error as Error).message}): the run was damaged or cut short`,
    );
  }
  const parsed = savedScenario.safeParse(json);
  if (parsed.success) return json as ResolvedScenario;
  const issue = parsed.error.issues[0];
  throw new ScenarioError(
    `${file} is not a scenario this version can replay: ${issue?.path.join(".")}: ${issue?.message}`,
  );
}
