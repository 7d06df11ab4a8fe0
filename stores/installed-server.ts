/** Servers that are not bundled: whether one is installed here, in a version whose files and protocol acked knows. */
import { execa } from "execa";
import { findProgram } from "./resp.ts";

const versionDeadlineMs = 5000;

export interface InstalledServer {
  readonly program: string;
  /** Debian's name of it. */
  readonly package: string;
  /** Judges what `<program> --version` printed: why it will not do, or `undefined`. */
  readonly whyNotVersion: (printed: string) => string | undefined;
}

/** Why the server cannot be used on this machine, and what to do; `undefined` when it can. */
export async function whyNotInstalled(server: InstalledServer): Promise<string | undefined> {
  const { program } = server;
  if (!findProgram(program))
    return `${program} is not on PATH; install it, for example with: apt-get install ${server.package}`;
  const { stdout, failed } = await execa(program, ["--version"], {
    reject: false,
    timeout: versionDeadlineMs,
  });
  return failed
    ? `${program} is on PATH, but \`${program} --version\` failed`
    : server.whyNotVersion(String(stdout));
}
