/** What the reader of traces promises about files that are not whole. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { TraceEvent, TraceKind } from "../contract.ts";
import { type RecordToWrite, traceBytes } from "./fixtures/trace-bytes.ts";
import { parseTrace } from "./trace-file.ts";

const seed = 20_261_123;
const parameters = { seed, numRuns: 300 } as const;

/** Calls of a few threads, their begins and ends interleaved, some without an end. */
const records: fc.Arbitrary<RecordToWrite[]> = fc
  .array(
    fc.record({
      kind: fc.constantFrom<TraceKind>("write", "sync", "rename", "send", "open"),
      end: fc.integer({ min: 0, max: 4 }),
      path: fc.constantFrom("a.log", "sub/b.log", "ü/c", "."),
      data: fc.uint8Array({ maxLength: 60 }),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map((calls) => {
    const made: RecordToWrite[] = [];
    const due: { at: number; call: number; kind: TraceKind; path: string }[] = [];
    calls.forEach(({ kind, end, path, data }, step) => {
      for (const one of due.filter(({ at }) => at <= step)) {
        due.splice(due.indexOf(one), 1);
        made.push({ kind: one.kind, phase: "end", call: one.call, path: one.path, result: 1 });
      }
      due.push({ at: step + end, call: made.length, kind, path });
      made.push({ kind, phase: "begin", path, ...(kind === "write" ? { data, size: data.length } : {}) });
    });
    return made;
  });

/** Events as plain data, without what depends on their place. */
function plain(events: readonly TraceEvent[]): unknown[] {
  return events.map((event) => ({ ...event, data: event.data ? [...event.data] : undefined }));
}

describe("a trace", () => {
  it("that is whole is read without a fault", () => {
    fc.assert(
      fc.property(records, fc.integer({ min: 0, max: 9000 }), (list, spare) => {
        const trace = parseTrace(traceBytes(list, spare).bytes);
        expect(trace.faults).toEqual([]);
        expect(trace.incomplete).toBe(0);
        expect(trace.events.map(({ kind, phase, path }) => [kind, phase, path])).toEqual(
          list.map(({ kind, phase, path }) => [kind, phase, path]),
        );
        trace.events.forEach((event, index) => {
          expect(event.call).toBe(list[index]!.call ?? index);
        });
      }),
      parameters,
    );
  });

  it("cut at any byte has a fault, and its events are a prefix", () => {
    fc.assert(
      fc.property(records, fc.nat(), (list, at) => {
        const { bytes } = traceBytes(list);
        const trace = parseTrace(bytes.slice(0, at % bytes.length));
        expect(trace.faults.join()).toMatch(/cut short/);
        const whole = plain(parseTrace(bytes).events);
        expect(plain(trace.events)).toEqual(whole.slice(0, trace.events.length));
      }),
      parameters,
    );
  });

  it("with any one byte changed has a fault, or is the same trace less a record in flight at its end", () => {
    fc.assert(
      fc.property(records, fc.nat(), fc.integer({ min: 1, max: 255 }), (list, place, change) => {
        const { bytes, offsets } = traceBytes(list);
        // The header's unused page is as good as any other place, but would be hit nine times in ten.
        const at = place % 3 === 0 ? place % 4096 : 4096 + (place % (bytes.length - 4096));
        const changed = bytes.slice();
        changed[at]! ^= change;
        const trace = parseTrace(changed);
        if (trace.faults.length > 0) return;
        const whole = plain(parseTrace(bytes).events);
        expect(plain(trace.events)).toEqual(whole.slice(0, trace.events.length));
        expect(whole.length - trace.events.length).toBeLessThanOrEqual(1);
        if (trace.events.length < whole.length) expect(at).toBeGreaterThanOrEqual(offsets.at(-2)!);
      }),
      { ...parameters, numRuns: 2000 },
    );
  });

  it("goes on behind records that were being written when their process was killed", () => {
    fc.assert(
      fc.property(records, fc.nat(), fc.boolean(), (list, which, lengthKnown) => {
        const { bytes, offsets } = traceBytes(list);
        const killed = which % list.length;
        // Its end would have no begin; that cannot come about by a kill.
        fc.pre(!list.some((record) => record.call === killed));
        const [from, to] = [offsets[killed]!, offsets[killed + 1]!];
        bytes.fill(0, lengthKnown ? from + 4 : from, lengthKnown ? from + 8 : to);
        const trace = parseTrace(bytes);
        expect(trace.faults).toEqual([]);
        expect(trace.incomplete).toBe(1);
        expect(trace.events.length).toBe(list.length - 1);
      }),
      parameters,
    );
  });

  it("made of any bytes at all is refused, never thrown at", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 6000, size: "max" }), fc.boolean(), (noise, headed) => {
        const bytes = new Uint8Array(Math.max(noise.length, headed ? 4096 : 0));
        bytes.set(noise);
        if (headed) bytes.set(traceBytes([]).bytes.subarray(0, 4096));
        const trace = parseTrace(bytes);
        if (!headed) expect(trace.faults.length).toBeGreaterThan(0);
      }),
      parameters,
    );
  });
});
