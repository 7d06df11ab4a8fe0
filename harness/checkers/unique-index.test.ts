import { describe, expect, it } from "vitest";
import { historyOf } from "./fixtures/event-lines.ts";
import { strictContext } from "./fixtures/promise.ts";
import { checkUniqueIndex } from "./unique-index.ts";

const check = (text: string) => checkUniqueIndex(historyOf(text), strictContext());
const kindsOf = (text: string) => check(text).findings.map(({ kind }) => kind);
const insert = (client: number, id: number, unique: string) =>
  `${client} insert {"id":${id},"unique":"${unique}"}`;
const erase = (client: number, id: number) => `${client} delete {"id":${id}}`;

describe("unique index", () => {
  it("passes when one of two inserts is refused, or the values differ", () => {
    expect(check(`${insert(0, 1, "a")}\n${insert(1, 2, "a")}\n0 ok\n1 fail`).verdict).toBe(true);
    expect(check(`${insert(0, 1, "a")}\n${insert(1, 2, "b")}\n0 ok\n1 ok`).verdict).toBe(true);
    expect(check(`${insert(0, 1, "a")}\n${insert(1, 2, "a")}\n0 ok\n1 info`).verdict).toBe(true);
  });

  it("is not judged where a row was changed in a way that is not known, unless that failed", () => {
    const text = `${insert(0, 1, "a")}\n0 ok\n0 update {"id":1,"unique":"b"}\n0 ok\n${insert(1, 2, "a")}\n1 ok`;
    expect(check(text)).toMatchObject({
      verdict: "unknown",
      findings: [],
      reasons: expect.arrayContaining(['table k: a table here knows no operation "update"']),
    });
    expect(kindsOf(text.replace('"b"}\n0 ok', '"b"}\n0 fail'))).toEqual(["unique-violated"]);
  });

  it("has two holders of one value", () => {
    const { findings } = check(`${insert(0, 1, "a")}\n${insert(1, 2, "a")}\n0 ok\n1 ok`);
    expect(findings).toMatchObject([{ kind: "unique-violated", count: 1 }]);
    expect(findings[0]!.sentence).toBe(
      "table k: row 1 (client 0, at 0.003 s) and row 2 (client 1, at 0.004 s) were both accepted with a, and no delete of either was sent before the other had been accepted",
    );
  });

  it("is excused by a delete that was sent in time, not by one sent later or refused", () => {
    const first = `${insert(0, 1, "a")}\n0 ok`;
    expect(kindsOf(`${first}\n${erase(0, 1)}\n0 ok\n${insert(1, 2, "a")}\n1 ok`)).toEqual([]);
    expect(kindsOf(`${first}\n${erase(0, 1)}\n${insert(1, 2, "a")}\n1 ok\n0 info`)).toEqual([]);
    expect(kindsOf(`${first}\n${insert(1, 2, "a")}\n${erase(0, 1)}\n1 ok\n0 ok`)).toEqual([]);
    expect(kindsOf(`${first}\n${insert(1, 2, "a")}\n1 ok\n${erase(0, 1)}\n0 ok`)).toEqual([
      "unique-violated",
    ]);
    expect(kindsOf(`${first}\n${erase(0, 1)}\n0 fail\n${insert(1, 2, "a")}\n1 ok`)).toEqual([
      "unique-violated",
    ]);
  });

  it("shows two holders in one read, even though the inserts alone could be excused", () => {
    const text = [
      insert(0, 1, "a"),
      "0 ok",
      erase(0, 1),
      insert(1, 2, "a"),
      "1 ok",
      "2 read",
      '2 ok [{"id":1,"unique":"a"},{"id":2,"unique":"a"}]',
      "0 ok",
    ];
    expect(kindsOf(text.join("\n"))).toEqual(["unique-violated"]);
  });

  it("shows rows that nobody inserted, that were refused, with another value, or twice", () => {
    const read = (rows: string) => `2 read\n2 ok ${rows}`;
    const one = `${insert(0, 1, "a")}\n0 ok`;
    expect(kindsOf(`${one}\n${read('[{"id":1,"unique":"a"}]')}`)).toEqual([]);
    expect(kindsOf(`${one}\n${read('[{"id":9,"unique":"z"}]')}`)).toEqual(["phantom-value"]);
    expect(kindsOf(`${one}\n${read('[{"id":1,"unique":"b"}]')}`)).toEqual(["phantom-value"]);
    expect(kindsOf(`${one.replace("ok", "fail")}\n${read('[{"id":1,"unique":"a"}]')}`)).toEqual([
      "phantom-value",
    ]);
    expect(kindsOf(`${one}\n${read('[{"id":1,"unique":"a"},{"id":1,"unique":"a"}]')}`)).toEqual([
      "duplicate-elements",
    ]);
  });

  it("cannot be judged when nothing was accepted, or an id was used twice", () => {
    expect(check(`${insert(0, 1, "a")}\n0 fail`).verdict).toBe("unknown");
    expect(check(`${insert(0, 1, "a")}\n0 ok\n${insert(0, 1, "b")}\n0 ok`).verdict).toBe("unknown");
    expect(checkUniqueIndex(historyOf(`${insert(0, 1, "a")}\n0 ok`), strictContext(-1)).verdict).toBe(
      "unknown",
    );
  });
});
