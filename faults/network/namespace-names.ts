/**
 * Whose network namespaces are whose: every one is named `acked-<pid>-<start time>-<serial>-<what>`, and that name is the
 * record by which the next start of acked finds what a dead one left. A pid alone could be somebody else's by now, so the
 * start time (clock ticks since boot) goes with it.
 *
 * The interface in the machine's own namespace is one end of a pair whose other end is in a namespace of ours: it goes
 * away with that one. Routes and addresses go away with their interfaces.
 *
 * Not guarded against: a pid namespace of its own that shares /run/netns with another (their processes look dead).
 */
import { readdirSync, readFileSync } from "node:fs";

const directories = ["/run/netns", "/var/run/netns"];
const ours = /^acked-(\d+)-(\d+)-\w+-/;

/** How the names of this process's namespaces begin. */
export function namespacePrefix(): string {
  return `acked-${process.pid}-${startTimeOf(process.pid) ?? 0}-`;
}

/** Namespaces by name whose acked is dead, with its pid. */
export function leftNamespaces(): { readonly name: string; readonly pid: number }[] {
  return namespaceNames().flatMap((name) => {
    const [, pid, startTime] = ours.exec(name) ?? [];
    return pid === undefined || startTimeOf(Number(pid)) === startTime ? [] : [{ name, pid: Number(pid) }];
  });
}

/** Every named namespace of this machine. */
export function namespaceNames(): string[] {
  const names = directories.flatMap((directory) => {
    try {
      return readdirSync(directory);
    } catch {
      return [];
    }
  });
  return [...new Set(names)];
}

/** Clock ticks since boot; `undefined` when it does not live. */
function startTimeOf(pid: number): string | undefined {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The command name is in parentheses and may itself hold spaces and parentheses.
    const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
