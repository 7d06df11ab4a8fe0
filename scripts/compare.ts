/** `acked compare --stores a,b`: the same measurements as `acked bench`, between stores of one's choice. */
import { type Command, InvalidArgumentError } from "commander";
import { addFlags, type BenchFlags, benchStores } from "./bench.ts";

/** Adds the subcommand. */
export function register(program: Command): void {
  const command = program
    .command("compare")
    .description("measure stores side by side; the first is compared with every other")
    .option(
      "--stores <list>",
      "ramlog, postgres, redis, ./my-store.mjs, 'resp:CMD {port} {dir}'",
      storeList,
      ["ramlog", "postgres", "redis"],
    );
  addFlags(command).action((flags: BenchFlags & { stores: readonly string[] }) =>
    benchStores("compare", flags.stores, flags),
  );
}

/** Commas separate; those inside a `resp:` command's quotes do not. */
function storeList(text: string): string[] {
  const names = text
    .split(/,(?=(?:[^"']|"[^"]*"|'[^']*')*$)/)
    .map((name) => name.trim())
    .filter((name) => name !== "");
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice)
    throw new InvalidArgumentError(
      `${twice} is named twice; the noise floor measures a store against itself already`,
    );
  if (names.length < 2)
    throw new InvalidArgumentError("a comparison needs two stores or more, such as ramlog,redis");
  return names;
}
