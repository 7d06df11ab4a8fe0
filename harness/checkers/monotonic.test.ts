import { describe, expect, it } from "vitest";
import { historyOf } from "./fixtures/event-lines.ts";
import { strictContext } from "./fixtures/promise.ts";
import { checkMonotonic } from "./monotonic.ts";

const check = (text: string) => checkMonotonic(historyOf(text), strictContext());
const foundIn = (text: string) =>
  check(text).findings.map(({ kind, order }) => `${kind} ${order ?? ""}`.trim());

describe("monotonic values", () => {
  it("pass when they grow or stay, and where concurrent reads disagree", () => {
    expect(check("0 read\n0 ok null\n0 read\n0 ok 1\n1 read\n1 ok 1\n0 read\n0 ok 3").verdict).toBe(true);
    expect(check("0 read\n1 read\n0 ok 2\n1 ok 1").verdict).toBe(true);
  });

  it("go back for one client", () => {
    const { findings } = check("0 read\n0 ok 2\n0 read\n0 ok 1");
    expect(findings).toMatchObject([{ kind: "went-backwards", order: "process", count: 1 }]);
    expect(findings[0]!.sentence).toBe(
      "value k: the read by client 0 sent at 0.001 s was answered with 2, the read by client 0 sent at 0.003 s, sent after that, with 1",
    );
    expect(foundIn("0 read\n0 ok 2\n0 read\n0 ok null")).toEqual(["went-backwards process"]);
  });

  it("go back between clients, in real time only", () => {
    expect(foundIn("0 read\n0 ok 2\n1 read\n1 ok 1")).toEqual(["went-backwards realtime"]);
    expect(foundIn("0 increment\n0 ok 2\n1 read\n1 ok 1")).toEqual(["went-backwards realtime"]);
  });

  it("are each judged alone", () => {
    expect(foundIn("0@a read\n0 ok 2\n0@b read\n0 ok 1")).toEqual([]);
  });

  it("lose an increment that was answered with a value twice", () => {
    expect(foundIn("0 increment\n1 increment\n0 ok 1\n1 ok 1")).toEqual(["lost-update"]);
    expect(foundIn("0 increment\n1 increment\n0 ok 2\n1 ok 1\n0 read\n0 ok 2")).toEqual([]);
  });

  it("are not judged where something may have lowered them, or what it did is not known", () => {
    for (const what of ["write 0", "decrement 1", "increment -1", "frobnicate"]) {
      const text = `0 read\n0 ok 2\n0 ${what}\n0 ok\n1 read\n1 ok 1`;
      expect(check(text)).toMatchObject({ verdict: "unknown", findings: [] });
      expect(foundIn(text.replace(`${what}\n0 ok`, `${what}\n0 fail`))).toEqual(["went-backwards realtime"]);
    }
    expect(check("0 read\n0 ok 2\n0 increment\n0 ok null\n1 read\n1 ok 3").verdict).toBe(true);
  });

  it("cannot be judged when nothing was answered with a number", () => {
    expect(check("0 read\n0 fail").verdict).toBe("unknown");
    expect(check('0 read\n0 ok "x"').verdict).toBe("unknown");
    expect(checkMonotonic(historyOf("0 read\n0 ok 1"), strictContext(-1)).verdict).toBe("unknown");
  });
});
