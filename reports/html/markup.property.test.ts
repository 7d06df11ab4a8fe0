import fc from "fast-check";
import { expect, test } from "vitest";
import { html, scriptJson } from "./markup.ts";

const anyText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.constantFrom("</script>", "<!--", "\u2028", "&lt;", "\"'", "]]>", "<script>", "\ud800"),
);

test("a text never leaves the element or the attribute it was put into", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const { markup } = html`<p title="${text}">${text}</p>`;
      expect(markup).toMatch(/^<p title="[^"<>]*">[^<>]*<\/p>$/);
    }),
    { seed: 2 },
  );
});

test("JSON in a script element means the same, and can neither end the script nor a line", () => {
  fc.assert(
    fc.property(fc.jsonValue(), anyText, (value, text) => {
      const { markup } = scriptJson([value, text]);
      expect(markup).not.toMatch(/[<>&\u2028\u2029]/);
      expect(JSON.stringify(JSON.parse(markup))).toBe(JSON.stringify([value, text]));
    }),
    { seed: 3 },
  );
});
