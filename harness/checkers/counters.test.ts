import { describe, expect, it } from "vitest";
import { checkCounter } from "./counters.ts";
import { historyOf } from "./fixtures/event-lines.ts";
import { strictContext } from "./fixtures/promise.ts";
import { randomFrom } from "./fixtures/random-history.ts";

const check = (text: string, options = {}) => checkCounter(historyOf(text), strictContext(), options);
const kindsOf = (text: string) => check(text).findings.map(({ kind }) => kind);

describe("counters", () => {
  it("pass within the bounds, with and without concurrent additions", () => {
    expect(check("0 add 1\n0 ok\n1 read\n1 ok 1").verdict).toBe(true);
    for (const seen of [1, 3]) {
      expect(check(`0 add 1\n0 ok\n0 add 2\n1 read\n1 ok ${seen}\n0 ok`).verdict).toBe(true);
    }
    expect(check("1 read\n1 ok 5", { initial: 5 }).verdict).toBe(true);
  });

  it("show less than was acknowledged, or more than was sent", () => {
    const { findings } = check("0 add 1\n0 ok\n0 add 2\n0 ok\n1 read\n1 ok 2");
    expect(findings[0]!.kind).toBe("counter-out-of-bounds");
    expect(findings[0]!.sentence).toBe(
      "counter k: the read by client 1 sent at 0.005 s shows 2, which is less than what had been acknowledged: it must be 3",
    );
    expect(kindsOf("0 add 1\n1 read\n1 ok 2\n0 ok")).toEqual(["counter-out-of-bounds"]);
    expect(kindsOf("1 read\n1 ok 1\n0 add 1\n0 ok")).toEqual(["counter-out-of-bounds"]);
    expect(kindsOf("0 add 1\n0 fail\n1 read\n1 ok 1")).toEqual(["counter-out-of-bounds"]);
  });

  it("count an addition that was never answered as possible, for ever", () => {
    for (const seen of [0, 1]) expect(check(`0 add 1\n0 info\n1 read\n1 ok ${seen}`).verdict).toBe(true);
    expect(kindsOf("0 add 1\n0 info\n1 read\n1 ok 2")).toEqual(["counter-out-of-bounds"]);
  });

  it("cannot be judged by an addition without an amount, a read without a number, or what they do not know", () => {
    const reasonOf = (text: string) => {
      const { verdict, findings, reasons } = check(text);
      expect([verdict, findings]).toEqual(["unknown", []]);
      return reasons[0];
    };
    expect(reasonOf("0 add\n0 ok\n1 read\n1 ok 1")).toBe(
      "counter k: the add by client 0 sent at 0.001 s has no value",
    );
    expect(reasonOf("0 add 1\n0 ok\n1 read\n1 ok")).toContain("the read by client 1");
    expect(reasonOf("0 add 1\n0 ok\n0 reset\n0 ok\n1 read\n1 ok 0")).toBe(
      'counter k: a counter here knows no operation "reset"',
    );
    expect(kindsOf("0 add 1\n0 ok\n0 reset\n0 fail\n1 read\n1 ok 0")).toEqual(["counter-out-of-bounds"]);
  });

  it("go down by a decrement as by an addition of its negative", () => {
    const text = "0 add 1\n0 ok\n0 decrement 1\n0 ok\n1 read\n1 ok";
    expect(check(`${text} 0`).verdict).toBe(true);
    expect(kindsOf(`${text} 1`)).toEqual(["counter-out-of-bounds"]);
    expect(check("0 add 1\n0 ok\n0 read\n0 ok 1\n0 decrement 1\n0 ok\n1 read\n1 ok 0").verdict).toBe(true);
  });

  it("subtract: an optional subtraction lowers the bound, an acknowledged one counts in full", () => {
    expect(check("0 add 5\n0 ok\n0 add -3\n1 read\n1 ok 2\n0 ok").verdict).toBe(true);
    expect(check("0 add 5\n0 ok\n0 add -3\n1 read\n1 ok 5\n0 ok").verdict).toBe(true);
    expect(kindsOf("0 add 5\n0 ok\n0 add -3\n0 ok\n1 read\n1 ok 5")).toEqual(["counter-out-of-bounds"]);
    expect(kindsOf("0 add 5\n0 ok\n0 add -3\n1 read\n1 ok 1\n0 ok")).toEqual(["counter-out-of-bounds"]);
  });

  it("go back, within the bounds, which nothing explains unless something is subtracted", () => {
    const back = "0 add 1\n1 read\n1 ok 1\n1 read\n1 ok 0\n0 ok";
    expect(kindsOf(back)).toEqual(["went-backwards"]);
    expect(kindsOf(`2 add -1\n${back}\n2 ok`)).toEqual([]);
  });

  it("cannot be judged without a read, or by what is no whole number", () => {
    for (const text of ["0 add 1\n0 ok", "0 add 1.5\n0 ok\n1 read\n1 ok 1", '1 read\n1 ok "many"']) {
      expect(check(text).verdict).toBe("unknown");
    }
    expect(checkCounter(historyOf("1 read\n1 ok 0"), strictContext(-1)).verdict).toBe("unknown");
  });

  it("pass in random correct histories, and not when a last read shows one more or one less", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const { lines, total } = correctCounter(seed);
      expect(check([...lines, "99 read", `99 ok ${total}`].join("\n")).verdict, `seed ${seed}`).toBe(true);
      for (const wrong of [total - 1, total + 1]) {
        expect(check([...lines, "99 read", `99 ok ${wrong}`].join("\n")).verdict, `seed ${seed}`).toBe(false);
      }
    }
  });
});

function correctCounter(seed: number): { lines: string[]; total: number } {
  const random = randomFrom(seed);
  const lines: string[] = [];
  const running = new Map<number, { amount: number | undefined; seen: number | undefined }>();
  let total = 0;
  for (let step = 0; step < 80 || running.size > 0; step++) {
    const client = Math.floor(random() * 4);
    const one = running.get(client);
    if (!one) {
      if (step >= 80) continue;
      const amount = random() < 0.5 ? Math.floor(random() * 9) - (seed % 2 ? 0 : 4) : undefined;
      lines.push(amount === undefined ? `${client} read` : `${client} add ${amount}`);
      running.set(client, { amount, seen: undefined });
    } else if (one.seen === undefined) {
      total += one.amount ?? 0;
      one.seen = total;
    } else {
      lines.push(one.amount === undefined ? `${client} ok ${one.seen}` : `${client} ok`);
      running.delete(client);
    }
  }
  return { lines, total };
}
