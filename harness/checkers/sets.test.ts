import { describe, expect, it } from "vitest";
import { buildHistory } from "../history/history.ts";
import type { HistoryEvent } from "../history/operation.ts";
import { setModel } from "../models/set.ts";
import { historyOf } from "./fixtures/event-lines.ts";
import { modelHistory, tryEveryOrder } from "./fixtures/model-histories.ts";
import { lossyContext, strictContext } from "./fixtures/promise.ts";
import { randomFrom } from "./fixtures/random-history.ts";
import { checkSet } from "./sets.ts";

const rounds = Number(process.env.ACKED_FUZZ ?? 2000);
const firstSeed = Number(process.env.ACKED_FUZZ_SEED ?? 1);

const kindsOf = (text: string) => checkSet(historyOf(text), strictContext()).findings.map(({ kind }) => kind);

describe("sets", () => {
  it("pass when every known element is shown, and a concurrent one may be or not", () => {
    const result = checkSet(
      historyOf("0 add 1\n0 ok\n1 add 2\n2 read\n2 ok [1]\n3 read\n3 ok [2,1]\n1 ok\n2 read\n2 ok [1,2]"),
      strictContext(),
    );
    expect(result).toMatchObject({ verdict: true, checked: { elements: 2, stable: 2, reads: 3 } });
  });

  it("lose an acknowledged element: named with the read that does not show it", () => {
    const { findings, checked } = checkSet(
      historyOf("0 add 1\n0 ok\n0 add 2\n0 ok\nrestart\n1 read\n1 ok [2]"),
      strictContext(),
    );
    expect(findings.map(({ kind }) => kind)).toEqual(["lost-acknowledged-write"]);
    expect(findings[0]!.sentence).toBe(
      "set k: 1 was acknowledged at 0.002 s, but the read by client 1 sent at 0.006 s does not show it; no read ever does",
    );
    expect(checked).toMatchObject({ lost: 1, stable: 1 });
  });

  it("serve a stale state, for a time that is measured; permitted on request", () => {
    const stale = "0 add 1\n0 ok\n1 read\n1 ok []\n1 read\n1 ok []\n2 read\n2 ok [1]";
    expect(kindsOf(stale)).toEqual(["stale-read"]);
    const permitted = checkSet(historyOf(stale), strictContext(), { linearizable: false });
    expect(permitted).toMatchObject({ verdict: true, checked: { stale: 1, staleMsMax: 3 } });
  });

  it("take back an unacknowledged element that a read had shown", () => {
    expect(kindsOf("0 add 1\n1 read\n1 ok [1]\n1 read\n1 ok []")).toEqual(["stale-read"]);
    expect(kindsOf("0 add 1\n1 read\n1 ok [1]\n0 info\nrestart\n1 read\n1 ok []")).toEqual([
      "read-of-unsynced-write",
    ]);
  });

  it("show what nobody added, what was refused, what had not been sent yet, and an element twice", () => {
    expect(kindsOf("1 read\n1 ok [7]")).toEqual(["phantom-value"]);
    expect(kindsOf("0 add 1\n0 fail\n1 read\n1 ok [1]")).toEqual(["phantom-value"]);
    expect(kindsOf("1 read\n1 ok [1]\n0 add 1\n0 ok")).toContain("phantom-value");
    expect(kindsOf("0 add 1\n0 ok\n1 read\n1 ok [1,1]")).toEqual(["duplicate-elements"]);
  });

  it("bring back what was in flight at a restart and absent after it, which only one node may not do", () => {
    const text = "0 add 1\n0 info\nrestart\n1 read\n1 ok []\n1 read\n1 ok [1]";
    expect(kindsOf(text)).toEqual(["resurrected-write"]);
    expect(kindsOf(text.replace("restart\n", ""))).toEqual([]);
  });

  it("bring it back in a read that overlaps the one without it, whichever of several is first to end", () => {
    const text = "0 add 1\n0 info\nrestart\n1 read\n2 read\n2 ok []\n2 read\n2 ok [1]\n1 ok []";
    expect(kindsOf(text)).toEqual(["resurrected-write"]);
    expect(kindsOf("0 add 1\n0 info\nrestart\n1 read\n2 read\n1 ok []\n2 ok [1]")).toEqual([
      "resurrected-write",
    ]);
  });

  describe("of a store that promises a prefix", () => {
    /** The first read of an incarnation is its read-back. */
    const judged = (text: string, lossMsMax = Number.POSITIVE_INFINITY) => {
      const history = historyOf(text);
      const seen = new Set<number>();
      const operations = history.operations.map((operation) => {
        const isFirst = operation.f === "read" && !seen.has(operation.incarnation);
        if (isFirst) seen.add(operation.incarnation);
        return isFirst ? { ...operation, readBack: true } : operation;
      });
      return checkSet({ ...history, operations }, lossyContext(lossMsMax));
    };
    const lost = "0 read\n0 ok []\n0 add 1\n0 ok\n0 add 2\n0 ok\nrestart\n1 read\n1 ok [1]";

    it("may lose what was added last, which is counted and measured", () => {
      expect(judged(lost)).toMatchObject({
        verdict: true,
        checked: { acknowledgedOperationsLost: 1, lossMsMeasured: 0, elements: 2 },
      });
    });

    it("may not lose more than the bound, nor an earlier one before a later one", () => {
      const more = lost.replace("restart", "0@j read\n0@j ok []\nrestart");
      expect(judged(more, 1).findings.map(({ kind }) => kind)).toEqual(["lost-acknowledged-write"]);
      expect(judged(lost.replace("ok [1]", "ok [2]")).findings.map(({ kind }) => kind)).toEqual([
        "reordered-recovery",
      ]);
    });

    it("may not show later what the restart had taken, nor hide what it had kept, nor invent", () => {
      const kindsAfter = (read: string) =>
        judged(`${lost}\n1 read\n1 ok ${read}`).findings.map(({ kind }) => kind);
      expect(kindsAfter("[1]")).toEqual([]);
      expect(kindsAfter("[1,2]")).toEqual(["phantom-value"]);
      expect(kindsAfter("[]")).toEqual(["stale-read"]);
      expect(kindsAfter("[1,7]")).toEqual(["phantom-value"]);
    });

    it("may not lose at the second restart what had come back from the first", () => {
      const again = `${lost}\nrestart\n1 read\n1 ok []`;
      expect(judged(again).findings.map(({ kind }) => kind)).toEqual(["lost-acknowledged-write"]);
    });
  });

  it("with an element that was added twice are not judged by it", () => {
    const text = "0 add 1\n0 info\nrestart\n1 read\n1 ok []\n1 add 1\n1 ok\n1 read\n1 ok [1]";
    expect(checkSet(historyOf(text), strictContext())).toMatchObject({ verdict: "unknown", findings: [] });
  });

  it("say which operation they do not know, unless it certainly failed", () => {
    const text = "0 add 1\n0 ok\n0 remove 1\n0 ok\n0 read\n0 ok []";
    expect(checkSet(historyOf(text), strictContext())).toMatchObject({
      verdict: "unknown",
      findings: [],
      reasons: expect.arrayContaining([
        'set k: a set here knows no operation "remove"; --model model:set does',
      ]),
    });
    const failed = text.replace("remove 1\n0 ok", "remove 1\n0 fail");
    expect(kindsOf(failed)).toEqual(["lost-acknowledged-write"]);
  });

  it("agree with trying every order where there is one element, and accuse none wrongly where there are two", () => {
    const tally = { agreed: 0, violated: 0 };
    for (let seed = firstSeed; seed < firstSeed + rounds; seed++) {
      const elements = seed % 2 === 0 ? ["a"] : ["a", "b"];
      const asked = [
        ...elements.map((input) => ({ f: "add", input, outputs: [null] })),
        ...[0, 1, 2].map(() => ({
          f: "read",
          outputs: [[], ["a"], ["b"], ["a", "b"]].filter((one) => one.every((e) => elements.includes(e))),
        })),
      ];
      const operations = modelHistory(setModel, asked, seed, 3 + (seed % 4), 3);
      const result = checkSet({ operations, readiness: [] }, strictContext());
      if (result.verdict === "unknown") continue;
      const right = tryEveryOrder(setModel, operations);
      if (elements.length === 1 || !result.verdict) expect(result.verdict, `seed ${seed}`).toBe(right);
      tally.agreed++;
      if (!right) tally.violated++;
    }
    expect(tally.violated).toBeGreaterThan(rounds / 30);
  });

  it("cannot be judged without a read, with an element added twice, or without time", () => {
    for (const text of [
      "0 add 1\n0 ok",
      "0 add 1\n0 ok\n0 add 1\n0 ok\n1 read\n1 ok [1]",
      "1 read\n1 ok 3",
    ]) {
      expect(checkSet(historyOf(text), strictContext()).verdict).toBe("unknown");
    }
    expect(checkSet(historyOf("1 read\n1 ok []"), strictContext(0)).verdict).toBe("unknown");
    const unread = historyOf("1 add 1\n1 ok");
    expect(checkSet(unread, strictContext(), { needsReads: false }).verdict).toBe(true);
  });

  it("pass in random correct histories, and never when an element is taken out of the last read", () => {
    for (let seed = 1; seed <= 100; seed++) {
      const events = correctSet(seed);
      expect(checkSet(buildHistory(events), strictContext()).verdict, `seed ${seed}`).toBe(true);
      const last = events.at(-1)!;
      const values = last.value as number[];
      if (values.length === 0) continue;
      const mutated = [...events.slice(0, -1), { ...last, value: values.slice(1) }];
      expect(checkSet(buildHistory(mutated), strictContext()).verdict, `seed ${seed}`).toBe(false);
    }
  });
});

/** Five clients; an operation takes effect at some moment between its events. Everything is read once more at the end. */
function correctSet(seed: number): HistoryEvent[] {
  const random = randomFrom(seed);
  const events: HistoryEvent[] = [];
  const elements: number[] = [];
  const pending = new Map<number, { f: string; value?: unknown; done: boolean; result?: unknown }>();
  const push = (event: Pick<HistoryEvent, "process" | "type" | "f" | "value">) => {
    events.push({ ...event, index: events.length, time: events.length * 1e6, workload: "set", key: "k" });
  };
  let next = 0;
  for (let step = 0; step < 200 || pending.size > 0; step++) {
    const process = Math.floor(random() * 5);
    const running = pending.get(process);
    if (!running) {
      if (step >= 200) continue;
      const f = random() < 0.6 ? "add" : "read";
      const value = f === "add" ? next++ : null;
      pending.set(process, { f, value, done: false });
      push({ process, type: "invoke", f, value });
    } else if (!running.done) {
      if (running.f === "add") elements.push(running.value as number);
      running.done = true;
      running.result = running.f === "read" ? [...elements] : null;
    } else {
      pending.delete(process);
      push({ process, type: "ok", f: running.f, value: running.result });
    }
  }
  push({ process: 9, type: "invoke", f: "read", value: null });
  push({ process: 9, type: "ok", f: "read", value: [...elements] });
  return events;
}
