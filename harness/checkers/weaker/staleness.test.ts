import { describe, expect, it } from "vitest";
import type { Operation } from "../../history/operation.ts";
import { drawn } from "../fixtures/diagram.ts";
import { strictContext } from "../fixtures/promise.ts";
import { randomHistory } from "../fixtures/random-history.ts";
import { simulated } from "./fixtures/simulated-stores.ts";
import { agesOf, measureStaleness, type StalenessOptions } from "./staleness.ts";
import { type Version, versionsOf } from "./versions.ts";

const context = strictContext();

/** In diagrams one column is one ms. */
function measured(diagram: string, options: StalenessOptions = {}) {
  return measureStaleness(drawn(diagram), context, options);
}

describe("the age of a read", () => {
  it("runs from the acknowledgement of the newer write to the read's invocation", () => {
    const result = measured(`
      c0: |-w a-| |-w b-|
      c1:                     |-r a-|
    `);
    expect(result.verdict).toBe(true);
    expect(result.checked).toMatchObject({ reads: 1, staleReads: 1, versionsBehindMax: 1, ageMsMax: 6 });
    expect(result.worst!.sentence).toMatch(
      /"b", written by client 0, had been acknowledged at .*, but the read \(client 1\), .* saw the older "a": at least 6\.0 ms and 1 version behind/,
    );
    expect(result.worst!.operations).toHaveLength(3);
  });

  it("runs from the first reader of the newer value where that came first", () => {
    const result = measured(`
      c0: |-w a-| |-w b----------------|
      c1:           |-r b-|
      c2:                     |-r a-|
    `);
    expect(result.checked.ageMsMax).toBe(4);
    expect(result.worst!.sentence).toContain("had been seen by client 1");
  });

  it("is 0 for a read sent before the newer value was certainly there", () => {
    const result = measured(`
      c0: |-w a-| |-w b-|
      c1:            |-r a------|
    `);
    expect(result.checked).toMatchObject({ staleReads: 0, ageMsMax: 0 });
    expect(result.worst).toBeUndefined();
  });

  it("does not call either of two overlapping writes newer", () => {
    const result = measured(`
      c0: |-w a---|
      c1:   |-w b---|
      c2:             |-r a-|
      c3:             |-r b-|
    `);
    expect(result.checked.staleReads).toBe(0);
  });

  it("calls what a compare-and-set wrote newer than what it replaced, though they overlapped", () => {
    const result = measured(`
      c0: |-w a---|
      c1:   |-cas a b-|
      c2:                  |-r a-|
    `);
    expect(result.checked).toMatchObject({ staleReads: 1, ageMsMax: 5 });
  });

  it("counts the versions in between", () => {
    const result = measured(`
      c0: |-w a-| |-w b-| |-w c-| |-w d-|
      c1:                                 |-r a-|
      c2:                                 |-r d-|
    `);
    expect(result.checked).toMatchObject({
      reads: 2,
      staleReads: 1,
      versionsBehindMax: 3,
      ageMsP50: 0,
      ageMsMax: 18,
    });
  });

  it("of nil after a write that was acknowledged is measured from that write", () => {
    expect(measured("c0: |-w a-|    |-r nil-|").checked.ageMsMax).toBe(5);
  });

  it("of a key's initial value is measured from the first write that was certainly there", () => {
    const initial = new Map([["k", "z"]]);
    expect(measured("c0: |-w a-|    |-r z-|", { initial }).checked).toMatchObject({ ageMsMax: 5, reads: 1 });
    expect(measured("c0: |-r z-|    |-w a-|", { initial }).checked).toMatchObject({ ageMsMax: 0, reads: 1 });
  });

  it("of nil is least over the deletes that may have left it", () => {
    const result = measured(`
      c0: |-w a-| |-del 1-| |-w b-|
      c1:                             |-r nil-|
    `);
    expect(result.checked).toMatchObject({ ageMsMax: 4, versionsBehindMax: 1 });
  });
});

describe("the bound", () => {
  const diagram = `
      c0: |-w a-| |-w b-|
      c1:                     |-r a-|
    `;

  it("makes an older read a finding, and one exactly as old none", () => {
    const result = measured(diagram, { boundMs: 5.9 });
    expect(result.findings.map(({ kind }) => kind)).toEqual(["too-stale"]);
    expect(result.findings[0]!.sentence).toMatch(/the bound is 5\.9 ms$/);
    expect(measured(diagram, { boundMs: 6 }).verdict).toBe(true);
  });

  it("without any read the verdict is unknown", () => {
    expect(measured("c0: |-w a-|", { boundMs: 5 }).verdict).toBe("unknown");
  });
});

/** From the definition, version by version. */
function byDefinition(operations: readonly Operation[]): number[] {
  const { accesses } = versionsOf(operations);
  const versions = accesses.flatMap(({ writes }) => writes ?? []);
  const replacing = (version: Version) =>
    accesses.flatMap(({ reads, writes }) => (reads === version && writes ? [writes] : []));
  const knownAt = (version: Version, depth = 0): number => {
    if (!version.writer) return -1;
    if (depth > 24) return Number.POSITIVE_INFINITY;
    const own = accesses.filter(
      ({ operation, reads, writes }) =>
        operation.outcome === "ok" && (reads === version || writes === version),
    );
    return Math.min(
      Number.POSITIVE_INFINITY,
      ...own.map(({ operation }) => operation.return),
      ...replacing(version).map((next) => knownAt(next, depth + 1)),
    );
  };
  const timeOf = (rank: number) => operations.find((operation) => operation.return === rank)!.returnedAt;
  const isNewer = (version: Version, than: Version) =>
    version !== than && (version.writer!.call > knownAt(than) || replacing(than).includes(version));
  return accesses
    .filter(({ operation, candidates, writes }) => candidates && !writes && operation.f !== "delete")
    .map(({ operation, candidates }) => {
      const ages = candidates!.map((saw) => {
        const newer = versions.filter((version) => version.key === saw.key && isNewer(version, saw));
        const known = newer.map((version) => knownAt(version)).filter((rank) => rank < operation.call);
        return known.length === 0 ? 0 : operation.calledAt - timeOf(Math.min(...known));
      });
      return Math.min(...ages);
    });
}

describe("the measure", () => {
  it("is what the definition gives, version by version", () => {
    let stale = 0;
    for (let seed = 1; seed <= 400; seed++) {
      const operations = randomHistory({
        seed,
        model: "register",
        operations: 24,
        clients: 4,
        deletes: seed % 3 === 0,
        compareAndSets: seed % 2 === 0,
        mutations: 2,
        loses: 0.3,
        timeouts: 0.1,
        crashes: 1,
      });
      const ages = agesOf(versionsOf(operations).accesses).map(({ ageNs }) => ageNs);
      expect(ages, `seed ${seed}`).toEqual(byDefinition(operations));
      stale += ages.filter((age) => age > 0).length;
    }
    expect(stale).toBeGreaterThan(60);
  });

  it("finds nothing stale in a linearizable store, and much in one whose readers lag", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const ofKind = (kind: "linearizable" | "sequential") =>
        measureStaleness(
          simulated({ kind, seed, operations: 200, clients: 4, keys: 2, timeouts: 0.05 }),
          context,
        );
      expect(ofKind("linearizable").checked.staleReads).toBe(0);
      expect(ofKind("sequential").checked.staleReads).toBeGreaterThan(0);
    }
  });
});
