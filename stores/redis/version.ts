/**
 * Which Redis is installed here, and whether acked knows its files: since 7.0 the append-only file is a directory of files
 * with a manifest, which is where disk faults are put and repairs are made.
 */
import { whyNotInstalled } from "../installed-server.ts";

const firstMajor = 7;

/** Why Redis cannot be used on this machine, and what to do; `undefined` when it can. */
export const redisMissing = (): Promise<string | undefined> =>
  whyNotInstalled({ program: "redis-server", package: "redis-server", whyNotVersion });

/** Judges what `redis-server --version` printed. */
export function whyNotVersion(printed: string): string | undefined {
  const version = /\bv=((\d+)\.\d+\S*)/.exec(printed);
  if (!version) return "redis-server is on PATH, but `redis-server --version` names no version";
  if (Number(version[2]) >= firstMajor) return undefined;
  return `redis-server ${version[1]} is on PATH, and acked knows the files of ${firstMajor}.0 and later only: put one of those first on PATH`;
}
