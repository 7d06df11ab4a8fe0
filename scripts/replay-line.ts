/** The line that a person pastes to replay a run. */
import { resolve } from "node:path";
import { packageRoot } from "../harness/package-root.ts";

/** The npm script exists on a clone only; an install elsewhere has the bin. */
export function replayLine(runPath: string): string {
  const command = resolve() === resolve(packageRoot) ? "npm run replay --" : "npx acked replay";
  const path = relativePath(runPath);
  return `${command} ${/^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`}`;
}

/** Relative to the working directory where it is below it. */
export function relativePath(path: string): string {
  const here = `${process.cwd()}/`;
  return path.startsWith(here) ? path.slice(here.length) : path;
}
