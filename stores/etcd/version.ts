/**
 * Which etcd is installed here, and whether acked knows how to speak to it: the gateway's paths are `/v3` since 3.4, and
 * what is said of errors and promises was read in the sources of 3.4 to 3.6.
 */
import { whyNotInstalled } from "../installed-server.ts";

const supported = ["3.4", "3.5", "3.6"];

/** Why etcd cannot be used on this machine, and what to do; `undefined` when it can. */
export const etcdMissing = (): Promise<string | undefined> =>
  whyNotInstalled({ program: "etcd", package: "etcd-server", whyNotVersion });

/** Judges what `etcd --version` printed. */
export function whyNotVersion(printed: string): string | undefined {
  const version = /^etcd Version: (\d+\.\d+)(\.\S*)?$/m.exec(printed);
  if (!version) return "etcd is on PATH, but `etcd --version` names no version";
  if (supported.includes(version[1]!)) return undefined;
  return `etcd ${version[1]}${version[2] ?? ""} is on PATH, and acked knows ${supported.join(", ")} only: put one of those first on PATH`;
}
