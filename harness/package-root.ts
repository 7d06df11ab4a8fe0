/** Finds acked's own files, whether it runs from `dist/`, from sources under vitest, or from `node_modules`. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

function findPackageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const manifest = join(directory, "package.json");
    if (existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf8")).name === "acked") return directory;
    const parent = dirname(directory);
    if (parent === directory) throw new Error("acked's package.json was not found above its own code");
    directory = parent;
  }
}

/** The directory that holds acked's `package.json`. */
export const packageRoot: string = findPackageRoot();

/** The version in `package.json`. */
export const packageVersion: string = JSON.parse(
  readFileSync(join(packageRoot, "package.json"), "utf8"),
).version;

/** A compiled child program, named by its path below `dist/`, for example `stores/ramlog/main.js`. */
export function childProgram(path: string): string {
  return join(packageRoot, "dist", path);
}

/** A C source, named by its path below `faults/native/`. */
export function nativeSource(path: string): string {
  return join(packageRoot, "faults", "native", path);
}
