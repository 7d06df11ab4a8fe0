/**
 * The files that a standby begins with: a copy of another member's data directory, made without pg_basebackup, which the
 * package does not have.
 *
 * Of a member that does not run: everything, as it lies there. Of one that runs: PostgreSQL's low-level backup interface
 * (manual, "Making a Base Backup Using the Low Level API"): between `pg_backup_start` and `pg_backup_stop` files may
 * change while they are copied; the log of that time repairs them, and is copied afterwards, up to where the backup
 * stopped and no further, so that the copy is never ahead of what its source has synced.
 *
 * It is not synced: a machine that loses power right after it has no standby. It does not decide what the copy becomes
 * (replication.ts does).
 */
import { copyFile, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Endpoint } from "../contract.ts";
import { type Ask, administer } from "./session.ts";

/** What the manual says a backup should leave out: of one incarnation only, or made anew at each start. */
const ofOneStart =
  /(^|\/)(postmaster\.(pid|opts)|backup_label(\.old)?|tablespace_map|pg_internal\.init|pgsql_tmp.*)$/;
const madeAnew = /^pg_(wal|replslot|dynshmem|notify|serial|snapshots|stat_tmp|subtrans)\//;
const backupDeadlineMs = 30_000;

/** Makes `to`, which must not exist, a copy of `from`, the data directory of a server that does not run. */
export async function copyStopped(from: string, to: string): Promise<void> {
  await copyTree(from, to, "", (path) => !ofOneStart.test(path));
}

/**
 * Makes `to`, which must not exist, a copy of `from`, the data directory of the server that runs at `endpoint`.
 *
 * @throws Error when the server does not answer, or refuses the backup; `to` is removed then.
 */
export async function copyRunning(endpoint: Endpoint, from: string, to: string): Promise<void> {
  try {
    await administer(endpoint, backupDeadlineMs, async ({ ask }) => {
      await ask("SELECT pg_backup_start('acked', fast => true)");
      await copyTree(from, to, "", (path) => !ofOneStart.test(path) && !madeAnew.test(path));
      const { label, segment } = await stopBackup(ask);
      await writeFile(join(to, "backup_label"), label, { mode: 0o600 });
      await copyLog(join(from, "pg_wal"), join(to, "pg_wal"), segment);
    });
  } catch (error) {
    await rm(to, { recursive: true, force: true });
    throw error;
  }
}

/** The label that makes recovery begin at the right place, and the last segment of the log that the copy needs. */
async function stopBackup(ask: Ask): Promise<{ label: string; segment: string }> {
  const text =
    "SELECT labelfile, pg_walfile_name(lsn) AS segment FROM pg_backup_stop(wait_for_archive => false)";
  const [row] = await ask(text);
  return { label: String(row?.labelfile), segment: String(row?.segment) };
}

/** Segments up to `last` in the order of the log, and histories of timelines. Later names are segments made in advance. */
async function copyLog(from: string, to: string, last: string): Promise<void> {
  const wanted = (name: string) =>
    name.endsWith(".history") || (/^[0-9A-F]{24}$/.test(name) && name.slice(8) <= last.slice(8));
  for (const name of (await readdir(from)).filter(wanted))
    await copyIfThere(join(from, name), join(to, name));
}

/** Copies what is below `path` and wanted; paths are relative to both roots. */
async function copyTree(
  from: string,
  to: string,
  path: string,
  wanted: (path: string) => boolean,
): Promise<void> {
  await mkdir(join(to, path), { mode: 0o700 });
  for (const entry of await readdir(join(from, path), { withFileTypes: true })) {
    const inner = path === "" ? entry.name : `${path}/${entry.name}`;
    if (!wanted(inner)) continue;
    if (entry.isDirectory()) await copyTree(from, to, inner, wanted);
    else if (entry.isFile()) await copyIfThere(join(from, inner), join(to, inner));
  }
}

/** A server that runs removes files meanwhile; its log says so, too. */
async function copyIfThere(from: string, to: string): Promise<void> {
  try {
    await copyFile(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
