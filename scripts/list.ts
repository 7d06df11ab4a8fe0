/** `acked list`: the stores, workloads, checks, formats and faults there are, from the registries, so that it cannot drift. */
import type { Command } from "commander";
import { clusterFaults, faults, memberFaults, networkFaults } from "../faults/index.ts";
import { historyChecks } from "../harness/checkers/index.ts";
import { historyFormats } from "../harness/history/formats/index.ts";
import { detectMachine } from "../harness/machine.ts";
import { stores } from "../stores/index.ts";
import { ramlog } from "../stores/ramlog/store.ts";
import { workloads } from "../workloads/index.ts";

export function register(program: Command): void {
  program
    .command("list")
    .description("the stores, workloads, checks, formats of histories and faults there are")
    .action(async () => {
      console.log("stores (--store)");
      for (const store of stores) {
        const missing = await store.unavailable?.();
        line(store.name, missing ? `${store.summary} (not here: ${missing})` : store.summary);
      }
      line("./module.mjs", "a module of yours that exports a Store by default");
      line("'resp:CMD …'", "any program that speaks RESP; {port} and {dir} are filled in");
      console.log("\nworkloads (--workload)");
      for (const workload of workloads) line(workload.name, workload.summary);
      console.log("\nchecks of saved histories (check --model)");
      for (const check of historyChecks) line(check.name, check.summary);
      line("./module.mjs", "a model of yours: a record of pure functions, exported by default");
      console.log("\nformats of histories (check --format, report --export)");
      for (const format of historyFormats) line(format.name, format.summary);
      console.log("\nfaults (--fault)");
      const machine = detectMachine();
      for (const fault of faults) {
        const why = fault.unavailable(ramlog, machine);
        line(
          fault.name,
          `${fault.summary} (${fault.when}, by ${fault.mechanism}${why ? `; not here: ${why}` : ""})`,
        );
      }
      console.log("\nfaults of clusters (--fault), beside those above of one node's process or disk");
      for (const fault of [...networkFaults, ...memberFaults, ...clusterFaults])
        line(fault.name, fault.summary);
    });
}

function line(name: string, summary: string): void {
  console.log(`  ${name.padEnd(34)} ${summary}`);
}
