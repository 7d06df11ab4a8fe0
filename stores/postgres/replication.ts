/**
 * One member of a replicated pair: which role its files give it, and what makes it lead, wait for its standby, or say
 * what it is. Streaming physical replication, as in the manual's chapter 26, "High Availability":
 * https://www.postgresql.org/docs/current/warm-standby.html
 *
 * A role lives in the member's own files (`standby.signal`, `postgresql.auto.conf`) and in nothing else, so that a member
 * that is started again is what it was, also when another leads by now.
 */
import { chmodSync, chownSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { MemberSettings, MemberStatus } from "../cluster-contract.ts";
import type { Endpoint } from "../contract.ts";
import { serverAccount } from "./package.ts";
import { type Ask, administer, awaitAnswer } from "./session.ts";
import { user } from "./template.ts";

/** The purpose of a member's only port. */
export const sql = "sql";

/** Whoever knows the password may come from any address, because a network of namespaces has many. */
const everybodyWithPassword = "host all all all password\nhost replication all all password\n";
/** How long nothing may be heard of the other before its connection is given up, in ms. */
export const silenceMs = 2000;
const connectSeconds = 2;
/** A standby's name that nobody has. */
const nobody = "acked_nobody";

/** Where the member listens. */
export function listening(member: MemberSettings): Endpoint {
  return member.ports[sql]!.listen;
}

/** Makes these files those of a leader that waits for nobody. */
export function lead(member: MemberSettings): void {
  const data = join(member.dir, "pgdata");
  rmSync(join(data, "standby.signal"), { force: true });
  place(data, "pg_hba.conf", everybodyWithPassword);
  place(data, "postgresql.auto.conf", `acked.leader = '${member.name}'\n`);
}

/**
 * Makes these files those of a standby of `leader`, whom it reaches through the links.
 *
 * @param password of the superuser, the same on both.
 */
export function follow(member: MemberSettings, leader: string, password: string): void {
  const data = join(member.dir, "pgdata");
  const reach = member.members.find(({ name }) => name === leader)?.reach[sql];
  if (!reach) throw new Error(`${member.name} cannot follow ${leader}, who is no member of its cluster`);
  const connection = [
    `host=${reach.host} port=${reach.port} user=${user} password=${password} application_name=${member.name}`,
    `connect_timeout=${connectSeconds} tcp_user_timeout=${silenceMs} sslmode=disable gssencmode=disable`,
  ].join(" ");
  place(data, "pg_hba.conf", everybodyWithPassword);
  place(data, "postgresql.auto.conf", `primary_conninfo = '${connection}'\nacked.leader = '${leader}'\n`);
  place(data, "standby.signal", "");
}

/** The server replaces and removes these files itself, so they must be its own. */
function place(data: string, name: string, text: string): void {
  const path = join(data, name);
  writeFileSync(path, text, { mode: 0o600 });
  chmodSync(path, 0o600);
  const account = serverAccount();
  if (account) chownSync(path, account.uid, account.gid);
}

/**
 * Resolves when `standby` streams from the leader that listens at `leader`.
 *
 * @throws Error when it does not by the deadline (ms).
 */
export async function awaitStreaming(leader: Endpoint, standby: string, deadlineMs: number): Promise<void> {
  await administer(leader, deadlineMs, ({ ask, endsAt }) =>
    awaitReplication(ask, endsAt, standby, ({ state }) => state === "streaming"),
  );
}

/**
 * Has the leader's commits wait for `standby`. Resolves when every commit from now on does.
 *
 * A reload reaches the server's processes one after the other, and it is the checkpointer's copy of the setting that
 * commits look at. So at first they are to wait for nobody at all, until one is seen waiting; then for the standby, which
 * never lets a commit pass in between.
 */
export async function waitForStandby(leader: Endpoint, standby: string, deadlineMs: number): Promise<void> {
  await administer(leader, deadlineMs, async ({ ask, endsAt }) => {
    try {
      await setStandbyNames(ask, nobody);
      await awaitWaitingCommit(leader, ask, endsAt);
    } finally {
      // Also when time is up: what waits for the standby heals when it comes, what waits for nobody never does.
      await setStandbyNames(ask, standby);
    }
    await awaitReplication(ask, endsAt, standby, ({ sync_state }) => sync_state === "sync");
    await commitSomething(ask);
  });
}

async function awaitWaitingCommit(leader: Endpoint, ask: Ask, endsAt: number): Promise<void> {
  for (let waits = false; !waits; ) {
    if (performance.now() >= endsAt) throw new Error("the leader's commits did not begin to wait in time");
    waits = await administer(leader, endsAt - performance.now(), async (probe) => {
      const [own] = await probe.ask("SELECT pg_backend_pid() AS pid");
      let ended = false;
      const committed = commitSomething(probe.ask).finally(() => {
        ended = true;
      });
      committed.catch(() => {}); // the session is dropped while it waits
      const text = "SELECT wait_event FROM pg_stat_activity WHERE pid = $1";
      const seen = await awaitAnswer(
        "a commit that waits",
        endsAt,
        async () => (await ask(text, [own?.pid]))[0]?.wait_event,
        (event) => event === "SyncRep" || ended,
      );
      return seen === "SyncRep";
    });
  }
}

/** A transaction with something in the log, which no table shows. It waits as long as it may be told to. */
async function commitSomething(ask: Ask): Promise<void> {
  await ask("SET synchronous_commit = on");
  await ask("SELECT pg_logical_emit_message(true, 'acked', 'a commit')");
}

/**
 * Makes the member that listens there lead, alone: it waits for no standby from now on. Resolves when it has committed.
 *
 * @throws Error when it has not by the deadline (ms).
 */
export async function promote(name: string, endpoint: Endpoint, deadlineMs: number): Promise<void> {
  await administer(endpoint, deadlineMs, async ({ ask, endsAt }) => {
    await ask(`ALTER SYSTEM SET acked.leader = '${name}'`);
    await setStandbyNames(ask, "");
    const [before] = await ask("SELECT pg_is_in_recovery() AS follows");
    if (before?.follows) {
      const seconds = Math.max(1, Math.ceil((endsAt - performance.now()) / 1000));
      const [after] = await ask(`SELECT pg_promote(wait => true, wait_seconds => ${seconds}) AS done`);
      if (!after?.done) throw new Error(`${name} did not become the leader within ${seconds} s`);
    }
    await commitSomething(ask);
  });
}

/** What the member that listens there says of itself; the term is its timeline. Rejects when it does not answer. */
export async function statusOf(endpoint: Endpoint, deadlineMs: number): Promise<MemberStatus> {
  const text = `SELECT pg_is_in_recovery() AS follows,
    EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming') AS streams, current_setting('acked.leader', true) AS leader,
    CASE WHEN pg_is_in_recovery() THEN greatest(
        (SELECT received_tli FROM pg_stat_wal_receiver),
        (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
        (SELECT timeline_id FROM pg_control_checkpoint()))
      ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END AS timeline`;
  const [row] = await administer(endpoint, deadlineMs, ({ ask }) => ask(text));
  return {
    role: row?.follows ? (row.streams ? "follower" : "candidate") : "leader",
    term: Number(row?.timeline),
    ...(row?.leader ? { leader: String(row.leader) } : {}),
  };
}

async function setStandbyNames(ask: Ask, standby: string): Promise<void> {
  const names = standby === "" ? "" : `"${standby}"`;
  await ask(`ALTER SYSTEM SET synchronous_standby_names = '${names}'`);
  await ask("SELECT pg_reload_conf()");
}

async function awaitReplication(
  ask: Ask,
  endsAt: number,
  standby: string,
  holds: (connection: Record<string, unknown>) => boolean,
): Promise<void> {
  const text = "SELECT state, sync_state FROM pg_stat_replication WHERE application_name = $1";
  await awaitAnswer(
    `replication to ${standby}`,
    endsAt,
    () => ask(text, [standby]),
    (connections) => connections.some(holds),
  );
}
