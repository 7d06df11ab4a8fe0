/** EXEC runs its commands as separate transactions, with a pause in the middle. */
import { type Commands, type MakeCommands, makeCommands, type Session } from "../ramlog/server/commands.ts";
import { array } from "../ramlog/server/resp.ts";
import type { Bug } from "./bug.ts";

const pauseMs = 3;

const commands: MakeCommands = (engine, facts) => {
  const real = makeCommands(engine, facts);
  return {
    ...real,
    run(session, args) {
      const splits = args[0]!.toUpperCase() === "EXEC" && (session.queued?.length ?? 0) > 1;
      if (!splits || session.queueBroken || session.watchBroken) return real.run(session, args);
      return runOneByOne(real, session, session.queued!);
    },
  };
};

async function runOneByOne(real: Commands, session: Session, queued: string[][]): Promise<string> {
  session.queued = undefined;
  await real.run(session, ["UNWATCH"]);
  const replies: string[] = [];
  let wrote = 0;
  for (const [place, args] of queued.entries()) {
    if (place === Math.floor(queued.length / 2)) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    replies.push(await real.run(session, args));
    wrote = Math.max(wrote, session.wrote);
  }
  session.wrote = wrote;
  return array(replies);
}

export const partialTransaction: Bug = {
  name: "partial-transaction",
  bug: "logs and shows the first half of a transaction before the second",
  finding: ["partial-transaction", "total-not-conserved", "lost-update", "negative-balance"],
  workloads: ["bank"],
  faults: ["kill"],
  seams: { commands },
};
