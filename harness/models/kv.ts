/**
 * One key of a key-value store over strings: `get` of an absent key is "", `put` replaces, `append` concatenates; as in
 * the Raft courses and in Porcupine's samples. An append may say what the key held before or after it; that is not looked at.
 *
 * Worked example, not linearizable: the get was sent after the append had ended, and does not show it.
 * ```
 * client 0  |--put "a"--|  |--append "b"--|
 * client 1                                  |--get "a"--|
 * ```
 */
import { hashString, type Model } from "./contract.ts";
import { quote } from "./register.ts";

export const stringKvModel: Model<string> = {
  name: "kv-strings",
  partition: (operation) => operation.key,
  init: () => "",
  step(state, operation) {
    switch (operation.f) {
      case "get":
        return operation.outcome !== "ok" || textOf(operation.output) === state ? state : undefined;
      case "put":
        return textOf(operation.input);
      case "append":
        return state + textOf(operation.input);
      default:
        return undefined;
    }
  },
  readOnly: (operation) => operation.f === "get",
  equal: (a, b) => a === b,
  hash: hashString,
  refuses(operation) {
    if (!["get", "put", "append"].includes(operation.f)) {
      return `a key-value store over strings knows no operation "${operation.f}"`;
    }
    const value = operation.f === "get" ? operation.output : operation.input;
    const isText = typeof value === "string" || value === null || value === undefined;
    return isText ? undefined : `"${operation.f}" needs a string, not ${quote(value)}`;
  },
  describe: ({ f, key, input }) => (f === "get" ? `get of ${key}` : `${f} of ${quote(input)} to ${key}`),
  overwrites: (operation) => operation.f === "put",
  show: quote,
  expected: (state, operation) => (operation.f === "get" ? quote(state) : undefined),
};

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
