/**
 * Which etcd is installed here, and whether acked knows how to speak to it: the gateway's paths are `/v3` since 3.4, and
 * what is said of errors and promises was read in the sources of 3.4 to 3.6.
 */
import { execa } from "execa";
import { findProgram } from "../resp.ts";

const supported = ["3.4", "3.5", "3.6"];
const versionDeadlineMs = 5000;

/** Why etcd cannot be used on this machine, and what to do; `undefined` when it can. */
export async function etcdMissing(): Promise<string | undefined> {
  if (!findProgram("etcd"))
    return "etcd is not on PATH; install it, for example with: apt-get install etcd-server";
  const { stdout, failed } = await execa("etcd", ["--version"], {
    reject: false,
    timeout: versionDeadlineMs,
  });
  return failed ? "etcd is on PATH, but `etcd --version` failed" : whyNotVersion(String(stdout));
}

/** Judges what `etcd --version` printed. */
export function whyNotVersion(printed: string): string | undefined {
  const version = /^etcd Version: (\d+\.\d+)(\.\S*)?$/m.exec(printed);
  if (!version) return "etcd is on PATH, but `etcd --version` names no version";
  if (supported.includes(version[1]!)) return undefined;
  return `etcd ${version[1]}${version[2] ?? ""} is on PATH, and acked knows ${supported.join(", ")} only: put one of those first on PATH`;
}
