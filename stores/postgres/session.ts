/**
 * What an administrator asks of one member in SQL: one short session as a superuser, past every link, with a deadline
 * for all of it. Not for workloads: those have client.ts, where every outcome is told.
 */
import pg from "pg";
import type { Endpoint } from "../contract.ts";
import { credentials } from "./server.ts";

/** Rows of a statement, each by the names of its columns. */
export type Ask = (text: string, values?: readonly unknown[]) => Promise<readonly Record<string, unknown>[]>;

/** A session, and when it must be over: `performance.now()` in ms. */
export interface AdminSession {
  readonly ask: Ask;
  readonly endsAt: number;
}

const pollMs = 20;

/**
 * Opens a session there, for as long as `perform` takes.
 *
 * @param deadlineMs ms for all of it.
 * @throws Error when there is no session or no answer by then, and whatever `perform` throws.
 */
export async function administer<Result>(
  endpoint: Endpoint,
  deadlineMs: number,
  perform: (session: AdminSession) => Promise<Result>,
): Promise<Result> {
  const endsAt = performance.now() + deadlineMs;
  const client = new pg.Client({
    ...credentials(),
    ...endpoint,
    application_name: "acked",
    connectionTimeoutMillis: Math.max(1, deadlineMs),
    query_timeout: Math.max(1, deadlineMs),
  });
  client.on("error", () => {}); // told by whatever is asked next
  try {
    await client.connect();
    const ask: Ask = async (text, values = []) => (await client.query(text, [...values])).rows;
    return await perform({ ask, endsAt });
  } finally {
    // A member that hangs would not answer the farewell.
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  }
}

/**
 * Asks again and again until `holds`.
 *
 * @throws Error that says what was awaited, and what was found last, at `endsAt`.
 */
export async function awaitAnswer<Answer>(
  what: string,
  endsAt: number,
  question: () => Promise<Answer>,
  holds: (answer: Answer) => boolean,
): Promise<Answer> {
  for (;;) {
    const answer = await question();
    if (holds(answer)) return answer;
    if (performance.now() + pollMs >= endsAt) {
      throw new Error(`${what} was not so in time; the last answer was ${JSON.stringify(answer)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}
