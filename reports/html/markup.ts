/**
 * Escaping for the three places where text enters the report: HTML, JSON inside a script element, and SVG text. Markup
 * is built with `html`, which escapes every value it is given unless that value was itself made by `html`.
 */
import { visible } from "../wording.ts";

/** Markup that is safe to insert as it is. */
export interface Markup {
  readonly markup: string;
}

type Value = Markup | string | number | undefined | readonly Value[];

/** Template tag: `html\`<td>${whatTheStoreSaid}</td>\``. */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Markup {
  let markup = parts[0]!;
  for (const [index, value] of values.entries()) markup += textOf(value) + parts[index + 1]!;
  return { markup };
}

/** For our own scripts and style sheets only. */
export function trusted(markup: string): Markup {
  return { markup };
}

function textOf(value: Value): string {
  if (value === undefined) return "";
  if (Array.isArray(value)) return (value as readonly Value[]).map(textOf).join("");
  if (typeof value === "object") return (value as Markup).markup;
  return escaped(String(value));
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text for an element or a quoted attribute. Control characters are made visible first. */
export function escaped(text: string): string {
  return visible(text, 20_000).replace(/[&<>"']/g, (character) => entities[character]!);
}

/** JSON that cannot end the script element it stands in, nor a line of it. */
export function scriptJson(value: unknown): Markup {
  const json = JSON.stringify(value)
    .replaceAll("<", "\\u003c")
    .replaceAll(">", "\\u003e")
    .replaceAll("&", "\\u0026")
    .replaceAll("\u2028", "\\u2028")
    .replaceAll("\u2029", "\\u2029");
  return trusted(json);
}
