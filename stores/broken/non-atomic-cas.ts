/** `SET key new IFEQ old` compares, lets others go first, and then sets. */
import { type Commands, type MakeCommands, makeCommands, type Session } from "../ramlog/server/commands.ts";
import { bulk, nil, ok } from "../ramlog/server/resp.ts";
import type { Bug } from "./bug.ts";

const pauseMs = 1;

const commands: MakeCommands = (engine, facts) => {
  const real = makeCommands(engine, facts);
  return {
    ...real,
    run(session, args) {
      const conditional = args[0]!.toUpperCase() === "SET" && args[3]?.toUpperCase() === "IFEQ";
      return conditional && !session.queued ? compareThenSet(real, session, args) : real.run(session, args);
    },
  };
};

async function compareThenSet(real: Commands, session: Session, args: string[]): Promise<string> {
  const [, key, value, , expected] = args as [string, string, string, string, string];
  const before = await real.run(session, ["GET", key]);
  const answersValue = args.some((arg) => arg.toUpperCase() === "GET");
  if (before !== bulk(expected)) return answersValue ? before : nil;
  await new Promise((resolve) => setTimeout(resolve, pauseMs));
  await real.run(session, ["SET", key, value]);
  return answersValue ? before : ok;
}

export const nonAtomicCas: Bug = {
  name: "non-atomic-cas",
  bug: "lets other commands in between the compare and the set",
  finding: ["lost-update", "not-linearizable", "stale-read"],
  workloads: ["register"],
  faults: [],
  seams: { commands },
};
