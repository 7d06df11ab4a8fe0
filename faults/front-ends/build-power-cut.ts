/** Builds the small program that stops a real file system (faults/native/power-cut.c). */
import { buildNative } from "./build-native.ts";

/**
 * Path of the program, compiled if it is not in the cache.
 *
 * @throws Error with one sentence when there is no compiler here, or with the first line of what it said.
 */
export function buildPowerCut(): Promise<string> {
  return buildNative({ name: "power-cut", suffix: "", units: ["power-cut.c"], flags: ["-Werror"] });
}
