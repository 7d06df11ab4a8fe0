/** Builds `dist/` once before any test, because child processes under test always run compiled JavaScript. */
import { execa } from "execa";
import { packageRoot } from "../harness/package-root.ts";

export default async function setup(): Promise<void> {
  const build = await execa("npm", ["run", "-s", "build"], { cwd: packageRoot, reject: false, all: true });
  if (build.exitCode !== 0) throw new Error(`the build failed, so tests would run stale code:\n${build.all}`);
}
