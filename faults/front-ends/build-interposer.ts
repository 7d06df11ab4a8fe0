/** Builds the interposer: the core and the libc functions it puts its own in place of. */
import { buildNative, coreUnits } from "./build-native.ts";

export { type Compiler, findWorkingCompiler } from "./build-native.ts";

/**
 * Path of the interposer's library, compiled if it is not in the cache.
 *
 * @throws Error with one sentence when there is no compiler here, or with the first line of what it said.
 */
export function buildInterposer(): Promise<string> {
  return buildNative({
    name: "interposer",
    suffix: ".so",
    units: [
      ...coreUnits,
      "descriptors.c",
      "interposer.c",
      "interpose-names.c",
      "interpose-syscall.c",
      "interpose-stdio.c",
      "interpose-aio.c",
    ],
    // Thread-local variables live where every thread has them from its start: no allocation within a write.
    flags: ["-fPIC", "-shared", "-fvisibility=hidden", "-ftls-model=initial-exec"],
  });
}
