/**
 * The commands of iproute2 that the network of namespaces is made with, and whether they work here. Root only.
 *
 * Whether they work is tried, not guessed: a namespace with everything that is needed later is made and removed, once in
 * a process. Containers often let root make namespaces and not shape links in them, or neither.
 */
import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { namespacePrefix } from "./namespace-names.ts";

export type Tool = "ip" | "tc" | "ss";

/** These are often not in the PATH of a service. */
const directories = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin", "/usr/bin", "/bin"];
const found = new Map<Tool, string | undefined>();

/** The path of a command; `undefined` when it is not installed. */
export function pathOf(tool: Tool): string | undefined {
  if (!found.has(tool)) {
    found.set(
      tool,
      directories.map((one) => `${one}/${tool}`).find((path) => path.startsWith("/") && existsSync(path)),
    );
  }
  return found.get(tool);
}

/**
 * Runs one command.
 *
 * @param input what it reads from standard input: the lines of `-batch -`.
 * @returns what it printed.
 * @throws Error with the command and what it said.
 */
export function run(tool: Tool, args: readonly string[], input = ""): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      pathOf(tool) ?? tool,
      [...args],
      { maxBuffer: 2 ** 26 },
      (error, stdout, stderr) => {
        if (error) reject(new Error(failed(tool, args, input, stderr || error.message)));
        else resolve(stdout);
      },
    );
    // A command that fails at once does not read its input; what it said is told above.
    child.stdin!.on("error", () => {});
    child.stdin!.end(input);
  });
}

/** The same, waited for. */
export function runSync(tool: Tool, args: readonly string[], input = ""): string {
  try {
    return execFileSync(pathOf(tool) ?? tool, [...args], {
      ...{ input, encoding: "utf8", maxBuffer: 2 ** 26 },
      stdio: ["pipe", "pipe", "pipe"],
    });
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    throw new Error(failed(tool, args, input, stderr || message));
  }
}

function failed(tool: Tool, args: readonly string[], input: string, said: string): string {
  const lines = input === "" ? "" : ` of "${input.trim().split("\n").join("; ")}"`;
  return `${tool} ${args.join(" ")}${lines}: ${said.trim().split("\n")[0]}`;
}

/** What the kernel offers here. */
export interface Offered {
  /** Why there can be no network of namespaces, and the remedy. */
  readonly why?: string;
  /** Packets can be delayed (netem). */
  readonly netem: boolean;
}

let offered: Offered | undefined;

/** Tries it, once in a process. */
export function whatIsOffered(): Offered {
  offered ??= tryAll();
  return offered;
}

/** Why there can be no network of namespaces on this machine, and how to get one; `undefined` when there can. */
export function namespacesUnavailable(): string | undefined {
  return whatIsOffered().why;
}

function tryAll(): Offered {
  const none = (why: string): Offered => ({ why, netem: false });
  if (process.platform !== "linux") return none("network namespaces are Linux's; run it there");
  if (process.getuid?.() !== 0)
    return none("making network namespaces needs root; run it as root, or use proxies");
  const missing = (["ip", "tc", "ss"] as const).filter((tool) => pathOf(tool) === undefined);
  if (missing.length > 0) return none(`${missing.join(", ")} not found; install iproute2`);
  const name = `${namespacePrefix()}0-probe`;
  try {
    runSync("ip", ["netns", "add", name]);
    runSync(
      "ip",
      ["-n", name, "-batch", "-"],
      "link add name p0 type veth peer name p1\nlink set dev p0 up\n",
    );
    runSync("ip", ["-n", name, "rule", "add", "from", "10.0.0.1", "to", "10.0.0.2", "prohibit"]);
    runSync("tc", ["-n", name, "-batch", "-"], `${probeLines.join("\n")}\n`);
    return {
      netem: succeeds(() =>
        runSync("tc", ["-n", name, ..."qdisc add dev p1 root netem delay 1ms".split(" ")]),
      ),
    };
  } catch (error) {
    return none(
      `this kernel or container does not let us shape links in a network namespace (${(error as Error).message}); run it on a machine of one's own, in a privileged container, or use proxies`,
    );
  } finally {
    succeeds(() => runSync("ip", ["netns", "del", name]));
  }
}

const probeLines = [
  "qdisc add dev p0 root handle 1: htb default 0",
  "class add dev p0 parent 1: classid 1:1 htb rate 8mbit burst 64kb quantum 60000",
  "filter add dev p0 parent 1: protocol ip prio 1 u32 match ip src 10.0.0.1/32 flowid 1:1",
  "qdisc add dev p0 parent 1:1 handle 2: blackhole",
];

function succeeds(attempt: () => unknown): boolean {
  try {
    attempt();
    return true;
  } catch {
    return false;
  }
}
