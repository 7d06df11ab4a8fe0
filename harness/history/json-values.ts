/**
 * What `JSON.parse` loses or leaves to chance in the values of a history: whole numbers beyond 2^53, which it rounds (two
 * values become one, and a verdict wrong); the order of members, which means nothing, but by which values are compared;
 * and depth, which overflows whatever walks the value later.
 */

/** Levels of brackets that a form of any format may have. */
export const maxDepth = 200;

/**
 * Text of JSON in which whole numbers that a double would round are `{"#edn":"9007199254740993"}`, as `edn.ts` reads them.
 * One that is the shortest text of its double stays a number: it is what JSON.stringify writes.
 */
export function withExactNumbers(text: string): string {
  if (!/\d{16}/.test(text)) return text;
  let result = "";
  for (let at = 0; ; ) {
    const quote = text.indexOf('"', at);
    result += text.slice(at, quote === -1 ? undefined : quote).replace(/-?\d[\d.eE+-]*/g, exactNumber);
    if (quote === -1) return result;
    at = endOfString(text, quote);
    result += text.slice(quote, at);
  }
}

function exactNumber(token: string): string {
  return /^-?[1-9]\d{15,}$/.test(token) && String(Number(token)) !== token ? `{"#edn":"${token}"}` : token;
}

/** Behind the quote that closes the string which begins here; a regular expression overflows on long ones. */
function endOfString(text: string, quote: number): number {
  for (let end = text.indexOf('"', quote + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text[end - 1 - backslashes] === "\\") backslashes++;
    if (backslashes % 2 === 0) return end + 1;
  }
  return text.length;
}

/** The same value with the members of its objects sorted by name: one value, one text. */
export function sorted(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(sorted);
  const members = Object.entries(value).map(([name, member]) => [name, sorted(member)] as const);
  return Object.fromEntries(members.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

/** What has to be done about a value fresh from `JSON.parse`. */
export interface Care {
  /** It has more than so many levels of brackets; nothing else was looked at then. */
  readonly tooDeep: boolean;
  /** It has a whole number that may have been rounded. */
  readonly inexact: boolean;
  /** It has an object of several members. */
  readonly unsorted: boolean;
}

const none: Care = { tooDeep: false, inexact: false, unsorted: false };

/** Looks at a value without copying anything; most are texts or small numbers, and done with at once. */
export function careOf(value: unknown, levels: number): Care {
  if (typeof value === "number") return maybeRounded(value) ? { ...none, inexact: true } : none;
  if (typeof value !== "object" || value === null) return none;
  if (levels === 0) return { ...none, tooDeep: true };
  let care = none;
  const members: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  if (members.length > 1 && !Array.isArray(value)) care = { ...none, unsorted: true };
  for (const member of members) {
    // Elements of long lists: not worth a call.
    if (typeof member === "string") continue;
    const inner = careOf(member, levels - 1);
    if (inner === none) continue;
    if (inner.tooDeep) return inner;
    care = {
      tooDeep: false,
      inexact: care.inexact || inner.inexact,
      unsorted: care.unsorted || inner.unsorted,
    };
  }
  return care;
}

function maybeRounded(value: number): boolean {
  return (value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER) && Number.isFinite(value);
}
