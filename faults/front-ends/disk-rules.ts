/**
 * A rule as the library reads it (struct rule in faults/native/control.h), and which rules make sense: a plan that can
 * never fire is refused here, in one sentence, before anything runs.
 */
import { constants } from "node:os";
import {
  type DiskRule,
  type Effect,
  type Errno,
  type InterposedOperation,
  interposedOperations,
} from "../contract.ts";

export const ruleBytes = 1024;
const globBytes = 448;
/** Of a rule; `recorded` to `firstPid` are the library's. */
export const offsetInRule = {
  recorded: 12,
  calls: 32,
  times: 40,
  firstAtNs: 48,
  firstPid: 56,
  error: 60,
  glob: 64,
  firstPath: 512,
} as const;

/** Numbers of the effects, in rules and in traces: enum effect in control.h. */
const effectCodes = {
  error: 1,
  short: 2,
  "torn-kill": 3,
  "kill-before": 4,
  "kill-after": 5,
  delay: 6,
  full: 7,
  "torn-error": 8,
  lying: 9,
  misdirected: 10,
  "bit-flip": 11,
  stale: 12,
  "read-only": 13,
  fsyncgate: 14,
  "writeback-error": 15,
  revert: 16,
  late: 17,
} satisfies Record<Effect["do"], number>;

const anyOperation: readonly Effect["do"][] = ["error", "kill-before", "kill-after", "delay"];
const onlyOf: Partial<Record<InterposedOperation, readonly Effect["do"][]>> = {
  write: [
    "short",
    "torn-kill",
    "torn-error",
    "lying",
    "misdirected",
    "bit-flip",
    "full",
    "read-only",
    "writeback-error",
  ],
  sync: ["lying", "fsyncgate", "revert", "late"],
  read: ["short", "bit-flip", "stale"],
};

/** The effects that a rule for this operation can have. `full` and `read-only`, states of the disk, go by `write`. */
export function effectsOn(operation: InterposedOperation): readonly Effect["do"][] {
  return [...anyOperation, ...(onlyOf[operation] ?? [])];
}

/**
 * The rule's bytes; all that the library will count is zero.
 *
 * @throws Error with one sentence when the rule can never fire, or never end.
 */
export function describeRule(rule: DiskRule): Uint8Array {
  const glob = new TextEncoder().encode(rule.path);
  const complaint = wrongPath(rule, glob) ?? wrongEffect(rule);
  if (complaint) throw new Error(complaint);
  const bytes = new Uint8Array(ruleBytes);
  const words = new Uint32Array(bytes.buffer);
  words[0] = interposedOperations.indexOf(rule.operation);
  words[1] = effectCodes[rule.effect.do];
  words[2] = rule.repeat === "from" ? 1 : 0;
  words[offsetInRule.error / 4] = errorOf(rule.effect);
  new BigUint64Array(bytes.buffer).set([BigInt(rule.nth), argumentOf(rule.effect)], 2);
  bytes.set(glob, offsetInRule.glob);
  return bytes;
}

function wrongPath({ path, operation }: DiskRule, glob: Uint8Array): string | undefined {
  if (glob.length === 0 || glob.length >= globBytes || glob.includes(0)) {
    return `the path of a disk rule must have 1 to ${globBytes - 1} bytes, and no NUL; got "${path}"`;
  }
  if (path.startsWith("/") || path.split("/").includes("..")) {
    return `the path of a disk rule is a glob relative to the data directory, and cannot lead out of it; got "${path}"`;
  }
  const wantsDirectory = path === "." || path.endsWith("/.") || path.endsWith("**.");
  if (wantsDirectory && !["sync", "open"].includes(operation)) {
    return `a directory (${path}) can be synced and opened, and nothing else: a rule for its ${operation} would never fire`;
  }
  return undefined;
}

function wrongEffect({ operation, effect, nth, repeat }: DiskRule): string | undefined {
  if (!interposedOperations.includes(operation)) {
    return `no such disk operation: ${operation}; there are ${interposedOperations.join(", ")}`;
  }
  if (!(effect.do in effectCodes)) {
    return `no such disk effect: ${effect.do}; there are ${Object.keys(effectCodes).join(", ")}`;
  }
  if (!effectsOn(operation).includes(effect.do)) {
    const able = interposedOperations.filter((other) => effectsOn(other).includes(effect.do));
    return `only a ${able.join(" or a ")} can be ${effect.do}, not a ${operation}: the rule would never fire`;
  }
  if (!Number.isSafeInteger(nth) || nth < 1) {
    return `a disk rule fires at its nth call, 1 being the first; got nth = ${nth}`;
  }
  if ("errno" in effect && constants.errno[effect.errno] === undefined) {
    return `no such error: ${effect.errno}`;
  }
  if ("errno" in effect && effect.errno === "EINTR" && repeat === "from") {
    return "a rule that fails every call with EINTR would never end: runtimes retry it; use repeat: once";
  }
  if ("errno" in effect && effect.errno === "EMFILE" && !["open", "create"].includes(operation)) {
    return `EMFILE is an error of open and create, which need a descriptor; a ${operation} never fails with it`;
  }
  return undefined;
}

function errorOf(effect: Effect): number {
  return "errno" in effect ? constants.errno[effect.errno as Errno] : 0;
}

function argumentOf(effect: Effect): bigint {
  switch (effect.do) {
    case "short":
    case "torn-kill":
    case "torn-error":
      return BigInt(wholeAmount(effect.bytes, "bytes"));
    case "bit-flip":
      return BigInt(wholeAmount(effect.bit, "bit"));
    case "delay":
      return BigInt(wholeAmount(Math.round(effect.delayMs * 1e6), "delayMs"));
    case "misdirected":
      if (!Number.isSafeInteger(effect.shiftBytes) || effect.shiftBytes === 0) {
        throw new Error(
          `shiftBytes of a disk rule must be a whole number and not 0; got ${effect.shiftBytes}`,
        );
      }
      return BigInt.asUintN(64, BigInt(effect.shiftBytes));
    default:
      return 0n;
  }
}

function wholeAmount(value: number, name: string): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new Error(`${name} of a disk rule must be a number, 0 or more; got ${value}`);
}
