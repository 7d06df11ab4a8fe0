/**
 * The stores of one bench, running: each in a directory of its own on the same file system, started by the supervisor
 * with nothing interposed, filled with the same entries, and gone afterwards.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Durability, Measurable, MeasuredSession } from "../../stores/contract.ts";
import { ScenarioError } from "../../stores/contract.ts";
import { freePort } from "../supervisor/readiness.ts";
import { StartError, type SupervisedProcess, type Supervisor } from "../supervisor/supervisor.ts";

const startDeadlineMs = 30_000;
const stopDeadlineMs = 8_000;

/** A store that is running and has been filled. */
export interface Subject {
  readonly name: string;
  readonly session: MeasuredSession;
  /** Where its data is; absent when it was running before. */
  readonly dataDir?: string;
  /** Stops its process gracefully; absent when it was running before. */
  readonly stop?: () => Promise<unknown>;
}

export interface SubjectsOptions {
  readonly stores: readonly Measurable[];
  readonly supervisor: Supervisor;
  readonly runDir: string;
  readonly durability: Durability;
  readonly entries: readonly (readonly [key: string, value: string])[];
}

/**
 * Starts and fills every store, one after the other. Whatever was opened before a failure is closed again.
 *
 * @throws ScenarioError when a store cannot be started or filled.
 */
export async function openSubjects(options: SubjectsOptions): Promise<readonly Subject[]> {
  const subjects: Subject[] = [];
  try {
    for (const store of options.stores) {
      const subject = await openSubject(store, options);
      subjects.push(subject);
      await subject.session.preload(options.entries);
    }
    return subjects;
  } catch (error) {
    await closeSubjects(subjects);
    throw error;
  }
}

/**
 * Ends the sessions, each leaving nothing in a server that is the user's own, then stops the processes; never throws.
 * Gracefully, because a Postgres that is killed leaves its System V shared memory behind.
 */
export async function closeSubjects(subjects: readonly Subject[]): Promise<void> {
  await Promise.allSettled(
    subjects.map(async ({ session, stop }) => {
      await session.close().catch(() => {});
      await stop?.();
    }),
  );
}

async function openSubject(store: Measurable, options: SubjectsOptions): Promise<Subject> {
  const { durability } = options;
  if (!store.durabilities.includes(durability.mode)) {
    const offered = store.durabilities.join(", ");
    throw new ScenarioError(
      `store ${store.name} has no durability mode "${durability.mode}": it offers ${offered}`,
    );
  }
  if (!store.prepare) {
    return { name: store.name, session: await store.open({ host: "127.0.0.1", port: 0 }, durability) };
  }
  const dataDir = join(options.runDir, "data", store.name.replace(/[^A-Za-z0-9.-]+/g, "-").slice(0, 40));
  mkdirSync(dataDir, { recursive: true });
  const started = await launch(store, dataDir, options);
  const stop = (): Promise<unknown> => started.stop(stopDeadlineMs);
  try {
    return { name: store.name, session: await store.open(started.endpoint, durability), dataDir, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function launch(
  store: Measurable,
  dataDir: string,
  { supervisor, runDir, durability }: SubjectsOptions,
): Promise<SupervisedProcess> {
  const node = { name: store.name, dir: dataDir, port: await freePort(), durability };
  const prepared = await store.prepare!(node, supervisor.temporaryDirectory("bench"));
  try {
    return await supervisor.start({
      launch: prepared,
      node,
      logFile: join(runDir, "store.log"),
      deadlineMs: startDeadlineMs,
    });
  } catch (error) {
    if (error instanceof StartError) throw new ScenarioError(error.message, { cause: error });
    throw error;
  }
}
