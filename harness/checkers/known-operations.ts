/**
 * What a checker does not know it must not pass over: an operation that it leaves out may have changed everything it looks
 * at. One that certainly failed changed nothing.
 */
import type { Operation } from "../history/operation.ts";

/**
 * Why these operations cannot be judged: the first that may have happened and is none of `known`; undefined when all are.
 *
 * @param what for the sentence: "a set here"
 * @param instead where such an operation is known: `--model model:set`; by name of the operation.
 */
export function unknownOperation(
  operations: readonly Operation[],
  known: readonly string[],
  what: string,
  instead: (f: string) => string | undefined = () => undefined,
): string | undefined {
  const strange = operations.find(({ f, outcome }) => outcome !== "fail" && !known.includes(f));
  if (!strange) return undefined;
  const other = instead(strange.f);
  return `${what} knows no operation "${strange.f}"${other ? `; ${other} does` : ""}`;
}
