/**
 * The words and numbers that every report shares: durations with units, counts, the word of a verdict, an operation in
 * one line. Whatever a store printed or returned goes through `visible` before it reaches a terminal, a file or a
 * browser: control characters are shown, never obeyed.
 */
import type { Verdict } from "../harness/checkers/contract.ts";
import type { Operation } from "../harness/history/operation.ts";

/** What a person reads for a verdict; files and JSON say true, false, unknown. */
export function verdictWord(verdict: Verdict): "PASS" | "VIOLATION" | "UNKNOWN" {
  if (verdict === true) return "PASS";
  return verdict === false ? "VIOLATION" : "UNKNOWN";
}

/** `ns` with three digits and a unit: `85 µs`, `4.12 ms`, `1.24 s`, `2 min 5 s`. */
export function duration(ns: number): string {
  if (!Number.isFinite(ns)) return "for ever";
  if (ns < 1e3) return `${Math.round(ns)} ns`;
  if (ns < 999.5e3) return `${threeDigits(ns / 1e3)} µs`;
  if (ns < 999.5e6) return `${threeDigits(ns / 1e6)} ms`;
  if (ns < 119.95e9) return `${threeDigits(ns / 1e9)} s`;
  const seconds = Math.round(ns / 1e9);
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** A moment of the run: `12.3046 s`, always with four decimals, so that moments line up and can be compared. */
export function moment(ns: number): string {
  return Number.isFinite(ns) ? `${(ns / 1e9).toFixed(4)} s` : "never";
}

function threeDigits(value: number): string {
  if (value >= 99.95) return value.toFixed(0);
  return value >= 9.995 ? trimZeros(value.toFixed(1)) : trimZeros(value.toFixed(2));
}

function trimZeros(text: string): string {
  return text.replace(/\.?0+$/, "");
}

/** `51234` as `51,234`, the same in every locale. */
export function count(value: number): string {
  if (!Number.isFinite(value)) return "—";
  const [whole = "0", fraction] = String(Math.round(value * 100) / 100).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

/** `1 crash`, `43 crashes`. */
export function counted(value: number, singular: string, plural = `${singular}s`): string {
  return `${count(value)} ${value === 1 ? singular : plural}`;
}

/** A number of states; `null` is more than a double counts exactly. */
export function possibleStates(states: number | null): string {
  if (states === null) return "more than 2^53";
  return states < 1e7 ? count(states) : states.toExponential(1).replace("e+", " · 10^");
}

/** Sizes in powers of 1024: `15.6 GiB`. */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let scaled = value;
  let unit = 0;
  while (scaled >= 1024 && unit < units.length - 1) {
    scaled /= 1024;
    unit++;
  }
  return `${threeDigits(scaled)} ${units[unit]}`;
}

/** The part of a count's key that a person reads: `readBack` as `read back`. */
export function wordsOf(key: string): string {
  return key.replace(
    /([a-z])([A-Z])/g,
    (_all, before: string, after: string) => `${before} ${after.toLowerCase()}`,
  );
}

/** Control, format (direction, zero width), line- and paragraph-separating characters; newline and tab may stay. */
const obeyed = /(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
/** ESC or any other control character before `[…m`: a colour. */
const colourSequence = /\p{Cc}\[[0-9;:]*m/gu;
const loneSurrogate = /\p{Cs}/gu;

/**
 * Text from outside as something that can only be read: terminal colours removed, control and direction-changing
 * characters shown as symbols or `\u{…}`, at most `maxChars` of it. Newline and tab stay.
 */
export function visible(text: string, maxChars = 300): string {
  const cut = text.length > maxChars ? text.slice(0, maxChars) : text;
  const shown = cut.replace(colourSequence, "").replace(obeyed, symbolOf).replace(loneSurrogate, "\ufffd");
  return cut === text ? shown : `${shown}… (${counted(text.length - maxChars, "more character")})`;
}

/** As `visible`, and on one line. */
export function visibleLine(text: string, maxChars = 300): string {
  return visible(text, maxChars).replace(/\s*[\n\t]\s*/g, " ");
}

function symbolOf(character: string): string {
  const code = character.codePointAt(0)!;
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `\\u{${code.toString(16)}}`;
}

/** A value as a client sent or saw it: JSON on one line, `nil` for null, at most `maxChars`. */
export function valueText(value: unknown, maxChars = 60): string {
  if (value === undefined) return "";
  if (value === null) return "nil";
  return visibleLine(JSON.stringify(value) ?? String(value), maxChars);
}

/** What an operation asked: `write 42`, `cas 41 → 42`, `read`; with the key when `withKey`. */
export function asked(operation: Operation, withKey: boolean): string {
  const key = withKey && operation.key !== "" ? ` ${visibleLine(operation.key, 60)}` : "";
  const { f, input } = operation;
  if (f === "cas" && Array.isArray(input) && input.length === 2) {
    return `cas${key} ${valueText(input[0], 30)} → ${valueText(input[1], 30)}`;
  }
  const argument = isRead(f) && input === null ? "" : valueText(input);
  return `${visibleLine(f, 30)}${key}${argument === "" ? "" : ` ${argument}`}`;
}

/** `client 3`; of a cluster also the member that it spoke to: `client 3 at n1`. */
export function client({ process, node }: Operation, members = false): string {
  return members ? `client ${process} at ${visibleLine(node, 20)}` : `client ${process}`;
}

/** How it ended, in the project's words: `acknowledged`, `→ 41`, `failed: …`, `outcome unknown: …`. */
export function ended(operation: Operation): string {
  const why = operation.error === undefined ? "" : `: ${visibleLine(operation.error, 120)}`;
  if (operation.outcome === "fail") return `failed${why}`;
  if (operation.outcome === "info") return `outcome unknown${why}`;
  if (operation.matched === false) return `no match, saw ${valueText(operation.output)}`;
  if (isRead(operation.f)) return `→ ${operation.output === undefined ? "nil" : valueText(operation.output)}`;
  return "acknowledged";
}

/** True for operations that cannot change the store. */
export function isRead(f: string): boolean {
  return f === "read" || f === "get";
}

/** `median 212 ms, max 530 ms over 43 restarts`; empty when there were none. Input in ms. */
export function medianAndMax(valuesMs: readonly number[], of: string): string {
  if (valuesMs.length === 0) return "";
  const sorted = [...valuesMs].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return `median ${duration(median * 1e6)}, max ${duration(sorted[sorted.length - 1]! * 1e6)} over ${counted(sorted.length, of)}`;
}
