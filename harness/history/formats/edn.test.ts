import { isDeepStrictEqual } from "node:util";
import { parseEDNString } from "edn-data";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EdnError, isEdnText, isKeywordName, readEdn, readEdnMembers, writeEdn } from "./edn.ts";

/** What is left when reading fails. */
function complaint(text: string): string {
  try {
    readEdn(text);
  } catch (error) {
    expect(error).toBeInstanceOf(EdnError);
    return (error as Error).message;
  }
  return "no complaint";
}

const edn = (text: string) => ({ "#edn": text });

describe("EDN", () => {
  it.each<[string, unknown]>([
    ["nil", null],
    ["true", true],
    ["-12", -12],
    ["+7", 7],
    ["12N", 12],
    ["1.5e3", edn("1500.0")],
    ["2.5", 2.5],
    ['"a\\n\\"b\\u0041\\\\"', 'a\n"bA\\'],
    ["[1 (2 3), [] ]", [1, [2, 3], []]],
    ['{:b 1, :a {"x y" nil}}', { a: { "x y": null }, b: 1 }],
    [":timed-out", edn(":timed-out")],
    ["foo.bar/baz", edn("foo.bar/baz")],
    ["#{3 1 2}", edn("#{1 2 3}")],
    ["{1 2}", edn("{1 2}")],
    ['{"a" 1}', edn('{"a" 1}')],
    ['#inst "2020-01-01"', edn('#inst "2020-01-01"')],
    ["[1 #_ 2 #_#_ 3 4 5 ; six\n 7]", [1, 5, 7]],
    ['[\\a \\newline \\" \\( \\u0041]', ["\\a", "\\newline", '\\"', "\\(", "\\A"].map(edn)],
    ["[##NaN ##-Inf]", [edn("##NaN"), edn("##-Inf")]],
    ["[1/3 1.50M]", [edn("1/3"), edn("1.50M")]],
    ["#jepsen.independent.Tuple [3 4]", [3, 4]],
    ["#jepsen.independent.Tuple{:key 3, :value nil}", [3, null]],
    ["#jepsen.independent.Tuple{:key 3}", edn("#jepsen.independent.Tuple {:key 3}")],
    ["#object [a.B 12]", edn("#object [a.B 12]")],
    [
      String.raw`#object[a.B$c__1 0x1f "a]\"b"]`,
      edn(`#object ${JSON.stringify(String.raw`a.B$c__1 0x1f "a]\"b"`)}`),
    ],
    ["[#object[x 0x1 [#object[y 0x2]]] 5]", [edn('#object "x 0x1 [#object[y 0x2]]"'), 5]],
    ["^{:line 3} [^:private 1 ^String ^{:a 1} x]", [1, edn("x")]],
  ])("reads %s", (text, value) => {
    expect(readEdn(text)).toEqual(value);
    expect(readEdn(writeEdn(value))).toEqual(value);
  });

  it("keeps values apart that JSON would make one", () => {
    const apart = [
      "9007199254740993",
      "9007199254740992",
      "9007199254740992.0",
      "1",
      "1.0",
      '"1"',
      ":a",
      '"a"',
      '":a"',
      "a",
      "\\a",
      "0",
      "-0.0",
      "{:a 1}",
      '{"a" 1}',
      '{"#edn" ":a"}',
      "[1]",
      "#{1}",
      "1M",
      "1e400",
      "{}",
      "nil",
      '"nil"',
    ];
    const values = apart.map((text) => JSON.stringify(readEdn(text)));
    expect(new Set(values).size).toBe(apart.length);
    for (const text of apart) expect(readEdn(writeEdn(readEdn(text)))).toEqual(readEdn(text));
  });

  it("has one text for one value", () => {
    expect(readEdn("#{[1 2] (3)}")).toEqual(readEdn("#{[3] [1 2]}"));
    expect(JSON.stringify(readEdn("{:a 1 :b 2}"))).toBe(JSON.stringify(readEdn("{:b 2 :a 1}")));
    expect(readEdn("\\u0020")).toEqual(readEdn("\\space"));
  });

  it("says what is wrong with what is no EDN", () => {
    expect(complaint("[1 2}")).toContain('"}" closes nothing');
    expect(complaint("[1 2")).toContain('"]" is missing');
    expect(complaint("{:a}")).toContain("a key without a value");
    expect(complaint("{:a 1 :a 2}")).toContain("the key :a twice");
    expect(complaint("#{1 1}")).toContain("the element 1 twice");
    expect(complaint('"abc')).toContain("never closed");
    expect(complaint('"\\q"')).toContain("unknown escape");
    expect(complaint('"\\u12"')).toContain("unknown escape");
    expect(complaint("[#foo]")).toContain("closes nothing");
    expect(complaint("#foo")).toContain("#foo has no value");
    expect(complaint("007")).toContain("is no number");
    expect(complaint("1 2")).toContain("more than one value");
    expect(complaint(":")).toContain("is no keyword");
    expect(complaint("\\bogus")).toContain("is no character");
    expect(complaint("")).toContain("no value");
  });

  it("says what is wrong with an object or metadata that does not end", () => {
    expect(complaint("#object[a 0x1")).toContain("is no number");
    expect(complaint('#object[a 0x1 "x')).toContain("never closed");
    expect(complaint("#object 0x1")).toContain("is no number");
    expect(complaint("[^{:a 1}]")).toContain("closes nothing");
    expect(complaint("^{:a 1}")).toContain("metadata has no value");
    expect(complaint("^".repeat(100_000))).toContain("nested deeper");
    expect(complaint("#object[".repeat(100_000))).toContain("nested deeper");
  });

  it("does not overflow the stack, and takes no exponential time, on deep nesting", () => {
    for (const [open, close] of [
      ["[", "]"],
      ["#{", "}"],
      ["{:a ", "}"],
      ["#a ", ""],
      ["#_", ""],
    ] as const) {
      expect(complaint(`${open.repeat(100_000)}1${close.repeat(100_000)}`)).toContain(
        "nested deeper than 200",
      );
      if (close !== "") expect(complaint(`${open.repeat(150)}1${close.repeat(150)}`)).toBe("no complaint");
    }
    let deep: unknown = 1;
    for (let i = 0; i < 5000; i++) deep = [deep];
    expect(() => writeEdn(deep)).toThrow("nested deeper than 200");
  });

  it("takes __proto__ for a name like any other", () => {
    const value = readEdn('{"__proto__" {"polluted 1" 2}, :x 1}') as object;
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>)["polluted 1"]).toBeUndefined();
    expect(readEdn(writeEdn(value))).toEqual(value);
    expect(readEdn("[{:__proto__ 1} {:constructor 2}]")).toBeDefined();
  });

  it("cannot be made to write more than one form by an object that only looks like EDN text", () => {
    for (const text of ["1} {:evil 2", "] [", '"x"', "1", "#_ 1", "", "#{2 1}"]) {
      const value = { "#edn": text };
      expect(isEdnText(value)).toBe(false);
      expect(writeEdn(value)).toBe(`{"#edn" ${JSON.stringify(text)}}`);
      expect(readEdn(writeEdn(value))).toEqual(value);
    }
  });

  it("gives back every JSON value", () => {
    const json = fc.jsonValue({ depthSize: "small", stringUnit: "grapheme" });
    fc.assert(
      fc.property(json, (value) => {
        const plain: unknown = JSON.parse(JSON.stringify(value));
        expect(isDeepStrictEqual(readEdn(writeEdn(plain)), plain), JSON.stringify(plain)).toBe(true);
      }),
      { seed: 41, numRuns: 300 },
    );
  });

  it("reads its own text of any EDN value as the same value", () => {
    fc.assert(
      fc.property(ednText, (text) => {
        const value = readEdn(text);
        expect(readEdn(writeEdn(value))).toEqual(value);
        expect(readEdn(JSON.stringify(JSON.stringify(value)))).toBe(JSON.stringify(value));
      }),
      { seed: 42, numRuns: 300 },
    );
  });

  it("reads well-formed text as the package edn-data does", () => {
    fc.assert(
      fc.property(ednText, (text) => {
        expect(writeEdn(readEdn(text))).toBe(writeEdn(ofPackage(parseEDNString(text))));
      }),
      { seed: 43, numRuns: 300 },
    );
  });

  it("never fails in another way than by saying so, whatever the bytes", () => {
    const pieces = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      "(",
      ")",
      "#",
      "#_",
      "##NaN",
      "#{",
      '"',
      "\\",
      ";",
      "\n",
      " ",
      ":a",
      "1",
      "N",
      ".",
      "nil",
      "/",
      "^",
      "é",
      "\u0000",
      "-",
      "a",
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
        complaint(parts.join(""));
      }),
      { seed: 44, numRuns: 2000 },
    );
  });
});

describe("the members of an operation", () => {
  it("are read from a map, a record, and nothing from a discarded one", () => {
    expect(readEdnMembers("{:a 1, :b [2]}")).toEqual(
      new Map<string, unknown>([
        ["a", 1],
        ["b", [2]],
      ]),
    );
    expect(readEdnMembers("#jepsen.history.Op{:a 1}")).toEqual(new Map([["a", 1]]));
    expect(readEdnMembers("#_ {:a 1}")).toBeUndefined();
    expect(readEdnMembers("#_ 5 {:a 1}")).toEqual(new Map([["a", 1]]));
  });

  it("are read from behind metadata", () => {
    expect(readEdnMembers("^{:line 3} ^:x {:a 1}")).toEqual(new Map([["a", 1]]));
    expect(readEdnMembers("^{:line 3}")).toBeUndefined();
  });

  it("are refused where there are none", () => {
    expect(() => readEdnMembers("[1]")).toThrow("it is no map like {:process 0");
    expect(() => readEdnMembers("{1 2}")).toThrow("its key 1 is no keyword");
    expect(() => readEdnMembers("{:a 1} {:a 2}")).toThrow("more than one value");
  });
});

/** Well-formed EDN of the part that edn-data reads correctly. */
const ednText: fc.Arbitrary<string> = fc.letrec<{ form: string }>((tie) => ({
  form: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom("nil", "true", "false", ":ok", ":a/b", "sym", "2.5", "-0.125", "\\a", "\\newline"),
    fc.integer().map(String),
    fc.string({ unit: "grapheme" }).map((text) => JSON.stringify(text)),
    fc.array(tie("form"), { maxLength: 4 }).map((forms) => `[${forms.join(" ")}]`),
    fc.array(tie("form"), { maxLength: 4 }).map((forms) => `(${forms.join(", ")})`),
    fc.uniqueArray(fc.integer(), { maxLength: 4 }).map((forms) => `#{${forms.join(" ")}}`),
    fc
      .uniqueArray(fc.constantFrom("a", "b", "c-d", "e?"), { maxLength: 3 })
      .chain((names) =>
        fc
          .tuple(...names.map(() => tie("form")))
          .map((forms) => `{${forms.map((form, i) => `:${names[i]} ${form}`).join(",\n")}}`),
      ),
    tie("form").map((form) => `#my/tag ${form}`),
    tie("form").map((form) => `[#_ ${form} 1]`),
  ),
})).form;

/** What edn-data read, as our plain values. */
function ofPackage(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ofPackage);
  if (typeof value !== "object" || value === null) return value;
  const one = value as Record<string, unknown>;
  if (typeof one.key === "string") return readEdn(`:${one.key}`);
  if (typeof one.sym === "string") return readEdn(one.sym);
  if (typeof one.char === "string")
    return readEdn(`\\u${one.char.charCodeAt(0).toString(16).padStart(4, "0")}`);
  if (Array.isArray(one.list)) return one.list.map(ofPackage);
  if (Array.isArray(one.set))
    return readEdn(`#{${one.set.map((each) => writeEdn(ofPackage(each))).join(" ")}}`);
  if (Array.isArray(one.map)) {
    const entries = (one.map as [unknown, unknown][]).map(
      ([k, v]) => `${writeEdn(ofPackage(k))} ${writeEdn(ofPackage(v))}`,
    );
    return readEdn(`{${entries.join(" ")}}`);
  }
  return readEdn(`#${String(one.tag)} ${writeEdn(ofPackage(one.val))}`);
}

it("knows which names are keywords for every reader", () => {
  expect(["a", "a-b?", "ns/name", "read-back", "acked/workload"].every(isKeywordName)).toBe(true);
  expect(["", "1a", "a b", ":a", "a/b/c", "é", "a:b", "#a"].some(isKeywordName)).toBe(false);
});
