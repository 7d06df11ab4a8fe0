/** Each anomaly by hand: found by name, with the shortest cycle, and nothing else; and what is no anomaly. */
import { describe, expect, it } from "vitest";
import { buildHistory } from "../../history/history.ts";
import type { CheckResult } from "../contract.ts";
import { planted } from "../fixtures/planted-anomalies.ts";
import { strictContext } from "../fixtures/promise.ts";
import { numbered } from "../fixtures/simulated-transactions.ts";
import { namesOf, toldBlocks, toldHistory } from "../fixtures/told-transactions.ts";
import { drawCycle } from "./draw.ts";
import { checkListAppend } from "./list-append.ts";

function checkTold(told: string): CheckResult {
  return checkListAppend(toldHistory(told), strictContext());
}

describe("list-append", () => {
  for (const { name, told, found, strongest } of planted) {
    it(`names ${name}, and what is still possible`, () => {
      const result = checkTold(told);
      expect(namesOf(result)).toEqual([...found].sort());
      expect(result.levels?.strongest).toEqual(strongest);
      expect(result.verdict).toBe(false);
    });
  }

  it("tells the steps of a cycle in words, and draws it", () => {
    const { findings } = checkTold(planted.find(({ name }) => name === "G-single")!.told);
    expect(findings[0]!.sentence).toMatchInlineSnapshot(
      `"G-single, read skew: T2 read x as [1], with 1, which T1 had appended; T2 read y as [], without 1, which T1 appended and no read shows. It rules out consistent-view and repeatable-read"`,
    );
    expect(drawCycle(findings[0]!)).toMatchInlineSnapshot(`
      "T1  client 0  0.000–0.200 ms  append 1 to x · append 1 to y
       │  wr on x: T2 read x as [1], with 1, which T1 had appended
       ▼
      T2  client 1  0.100–0.300 ms  read x = [1] · read y = []
       │  rw on y: T2 read y as [], without 1, which T1 appended and no read shows
       ▼
      T1  again: each must come before the next, and so before itself"
    `);
  });

  it("is content with a level that the anomaly does not rule out, and still shows the anomaly", () => {
    const told = planted.find(({ name }) => name.startsWith("G2-item"))!.told;
    const history = toldHistory(told);
    const result = checkListAppend(history, strictContext(), { level: "snapshot-isolation" });
    expect(result.verdict).toBe(true);
    expect(result.findings).toEqual([]);
    expect(result.observations?.map(({ kind }) => kind)).toEqual(["g2-item"]);
    expect(checkListAppend(history, strictContext(), { level: "serializable" }).verdict).toBe(false);
  });

  it("shows the shorter of two cycles, and counts both", () => {
    const result = checkTold(`0 ok append x 1 | append y 1
                              1 ok append y 2 | append z 2
                              2 ok append z 3 | append x 3
                              3 ok append p 1 | append q 1
                              4 ok append p 2 | append q 2
                              5 ok r x 3,1 | r y 1,2 | r z 2,3 | r p 1,2 | r q 2,1`);
    expect(result.findings.map(({ kind, count, cycle }) => [kind, count, cycle?.steps.length])).toEqual([
      ["g0", 2, 2],
    ]);
  });

  it("passes what is correct: an own append that is seen, a write that no read shows, an aborted one that nobody saw", () => {
    const result = checkTold(`0 ok r x . | append x 1 | r x 1, | append x 2 | r x 1,2
                              1 fail append x 7
                              2 info append x 8
                              ---
                              0 ok r x 1,2 | append x 3`);
    expect(result).toMatchObject({ verdict: true, findings: [], reasons: [] });
    expect(result.levels).toMatchObject({ ruledOut: [], strongest: ["strict-serializable"] });
  });

  it("accepts that an unanswered transaction takes effect long after its client has gone", () => {
    const result = checkTold(`0 info append x 1
                              ---
                              1 ok r x .
                              ---
                              1 ok r x 1,`);
    expect(result.verdict).toBe(true);
  });

  it("does not accept it after the next incarnation was ready, on one node", () => {
    const [sent, absent, present] = toldBlocks(`0 info append x 1
                                                ---
                                                1 ok r x .
                                                ---
                                                1 ok r x 1,`);
    const at = { node: "n1", incarnation: 0 };
    const next = { node: "n1", incarnation: 1 };
    const ready = { process: "nemesis", type: "info", f: "ready" } as const;
    const events = [
      { ...ready, ...at },
      ...sent!.map((event) => ({ ...event, ...at })),
      { ...ready, ...next },
      ...[...absent!, ...present!].map((event) => ({ ...event, ...next })),
    ];
    const result = checkListAppend(buildHistory(numbered(events)), strictContext());
    expect(namesOf(result)).toEqual(["g-single-realtime: realtime rw"]);
  });

  it("holds a write cycle through an unanswered transaction against read committed only", () => {
    const result = checkTold(`0 info append x 1 | append y 1
                              1 ok append x 2 | append y 2
                              2 ok r x 1,2 | r y 2,1`);
    expect(namesOf(result)).toEqual(["g0: ww ww"]);
    expect(result.levels?.strongest).toEqual(["strong-read-uncommitted"]);
  });

  it("takes an element that was appended again after an abort for what the second attempt appended", () => {
    expect(checkTold("0 fail append x 1\n---\n0 ok append x 1\n---\n1 ok r x 1,").verdict).toBe(true);
    const lost = checkTold("0 fail append x 1\n---\n0 ok append x 1\n---\n1 ok r x .");
    expect(namesOf(lost)).toEqual(["g-single-realtime: realtime rw"]);
    expect(namesOf(checkTold("0 fail append x 1\n---\n0 fail append x 1\n---\n1 ok r x 1,"))).toEqual([
      "g1a",
    ]);
  });

  it("cannot say when a transaction is told to have written something else than it was asked to", () => {
    const events = numbered([
      { process: 0, type: "invoke", f: "txn", value: [["append", "x", 1]] },
      { process: 0, type: "ok", f: "txn", value: [["append", "x", 2]] },
      { process: 1, type: "invoke", f: "txn", value: [["r", "x", null]] },
      { process: 1, type: "ok", f: "txn", value: [["r", "x", [2]]] },
    ]);
    const { verdict, findings, reasons } = checkListAppend(buildHistory(events), strictContext());
    expect({ verdict, findings }).toEqual({ verdict: "unknown", findings: [] });
    expect(reasons[0]).toContain('was asked for ["append","x",1], and answered with ["append","x",2]');
  });

  it("cannot say when an element was appended twice, a transaction is malformed, or nothing happened", () => {
    const verdicts = [
      checkTold("0 ok append x 1\n1 ok append x 1\n2 ok r x 1,"),
      checkTold(""),
      checkTold("0 ok append x 1"),
      checkListAppend(
        buildHistory(
          numbered([
            { process: 0, type: "invoke", f: "txn", value: [["frob", "x", 1]] },
            { process: 0, type: "ok", f: "txn", value: [] },
          ]),
        ),
        strictContext(),
      ),
      checkListAppend(toldHistory("0 ok append x 1 | r x 1,"), strictContext(0)),
    ];
    for (const { verdict, reasons, levels } of verdicts) {
      expect(verdict).toBe("unknown");
      expect(reasons.join()).not.toBe("");
      if (reasons[0]?.includes("time")) expect(levels?.strongest).toEqual([]);
    }
  });
});
