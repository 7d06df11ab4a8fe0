import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type DiskImage, DiskModel } from "../disk/disk-model.ts";
import { include, type NameChange, rootDirectory } from "../disk/disk-names.ts";
import { type BegunCall, EventList, shown, statesOf } from "../fixtures/event-list.ts";
import { naiveCrashStates } from "../fixtures/naive-crash-states.ts";
import { crashStateOf, liveIdentity } from "./crash-state.ts";
import { CrashStates, closed, defaultEffort } from "./enumerate.ts";
import { profileByName, profileNames } from "./profiles/index.ts";

const seed = 20_260_102;

const names = fc.constantFrom("a", "b", "c");
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom("write" as const, "write" as const, "begin-write" as const),
      path: names,
      offset: fc.constantFrom(0, 10, 4090, 4096, 8192),
      length: fc.constantFrom(1, 10, 4096),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom("sync" as const, "datasync" as const, "begin-sync" as const),
      path: names,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("sync-directory" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("end" as const), which: fc.nat() }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom("create" as const, "unlink" as const), path: names }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom("rename" as const, "begin-rename" as const),
      path: names,
      to: names,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("truncate" as const),
      path: names,
      size: fc.constantFrom(0, 5, 4096, 6000),
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const base = { a: "x*20", b: "y*4100" };

/** Plays the steps that make sense, so that any sequence shrinks to a legal one. */
function played(steps: readonly Step[]): EventList {
  const list = new EventList(base);
  const present = new Set(Object.keys(base));
  const flying: BegunCall[] = [];
  const busy = new Set<string>();
  const changing = new Set<string>();
  let letter = 0;
  for (const one of steps) {
    if ("path" in one && one.do !== "create" && !present.has(one.path)) continue;
    // Nobody can rely on a name whose change is in flight.
    if (("path" in one && changing.has(one.path)) || ("to" in one && changing.has(one.to))) continue;
    switch (one.do) {
      case "write":
      case "begin-write": {
        const content = `${String.fromCharCode(65 + (letter++ % 26))}*${one.length}`;
        const call = list.beginWrite(one.path, one.offset, content);
        if (one.do === "write") list.end(call);
        else {
          flying.push(call);
          busy.add(one.path);
        }
        break;
      }
      case "sync":
        list.sync(one.path);
        break;
      case "datasync":
        list.datasync(one.path);
        break;
      case "begin-sync":
        flying.push(list.beginSync(one.path));
        break;
      case "sync-directory":
        list.sync(".");
        break;
      case "end": {
        const [call] = flying.splice(one.which % Math.max(1, flying.length), 1);
        if (call) list.end(call);
        break;
      }
      case "create":
        if (!present.has(one.path)) list.create(one.path);
        present.add(one.path);
        break;
      case "unlink":
        list.unlink(one.path);
        present.delete(one.path);
        break;
      case "rename":
      case "begin-rename": {
        if (one.path === one.to || busy.has(one.path)) break;
        const call = list.beginRename(one.path, one.to);
        if (one.do === "rename") list.end(call);
        else {
          flying.push(call);
          changing.add(one.path).add(one.to);
        }
        present.delete(one.path);
        present.add(one.to);
        break;
      }
      case "truncate":
        if (!busy.has(one.path)) list.truncate(one.path, one.size);
        break;
    }
  }
  return list;
}

function startOf(list: EventList) {
  const files = list.base.filter((one) => !one.directory);
  return {
    names: Object.fromEntries(files.map((one) => [one.path, one.inode])),
    contents: Object.fromEntries(files.map((one) => [one.inode, one.content!.whole()])),
  };
}

describe("the states of random short traces", () => {
  for (const profile of profileNames.filter((name) => name !== "synchronous")) {
    it(`are those of the slow enumeration from the prose: ${profile}`, () => {
      fc.assert(
        fc.property(fc.array(step, { minLength: 1, maxLength: 7 }), (steps) => {
          const list = played(steps);
          const naive = naiveCrashStates(startOf(list), list.events, profile);
          expect(list.states(profile)).toEqual(naive);
        }),
        { numRuns: 400, seed },
      );
    });
  }
});

describe("a sample of states", () => {
  const sample = { ...defaultEffort, exhaustive: 0, tears: 0 };
  for (const profile of profileNames) {
    it(`holds legal states only, and every state replays from its choice: ${profile}`, () => {
      fc.assert(
        fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), fc.nat(), (steps, number) => {
          const list = played(steps);
          const all = new Set(list.states(profile));
          const model = list.model();
          const { states } = new CrashStates(model, profileByName(profile), number, sample).now();
          for (const state of states) {
            expect(all).toContain(shown(state.image));
            const again = crashStateOf(list.model(), JSON.parse(JSON.stringify(state.choice)));
            expect(shown(again.image)).toBe(shown(state.image));
            expect([again.high, again.low]).toEqual([state.high, state.low]);
          }
        }),
        { numRuns: 150, seed },
      );
    });
  }

  it("has equal hashes for equal contents, and only for those", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (steps) => {
        const model = played(steps).model();
        for (const profile of ["posix-strict", "ext4-ordered"]) {
          const { states } = new CrashStates(model, profileByName(profile), 1).now();
          const texts = new Set(states.map((state) => shown(state.image)));
          expect(texts.size).toBe(states.length);
          // A disk that begins with the state has the same hash, however it came about.
          for (const state of states.slice(0, 20)) {
            const alone = new DiskModel(state.image);
            const [only] = new CrashStates(alone, profileByName(profile), 1).now().states;
            expect(only!.identity).toBe(state.identity);
            // So has one whose page cache shows it.
            expect(liveIdentity(alone)).toBe(state.identity);
          }
        }
      }),
      { numRuns: 150, seed },
    );
  });

  it("is the same for every worker that follows the trace", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 4, maxLength: 14 }), (steps) => {
        const list = played(steps);
        const once = () =>
          new CrashStates(list.model(), profileByName("posix-strict"), 7, { ...sample, tears: 5 })
            .now()
            .states.map((state) => state.identity);
        expect(once()).toEqual(once());
      }),
      { numRuns: 50, seed },
    );
  });

  it("is not changed by a model that goes on", () => {
    const list = new EventList(base).write("a", 0, "A*10").create("c").write("c", 0, "C*10");
    const model = list.model();
    const { states } = new CrashStates(model, profileByName("posix-strict"), 1).now();
    const before = list.states("posix-strict", defaultEffort);
    list.sync("a").sync("c").sync(".").unlink("a").sync(".");
    for (const event of list.events.slice(model.event + 1)) model.feed(event);
    expect(statesOf(model, "posix-strict")).toEqual([`b=y*4100 | c=C*10`]);
    expect(states.map((state) => shown(state.image)).sort()).toEqual(before);
  });
});

describe("more pending changes than a stack has frames", () => {
  const many = 20_000;
  const few = { exhaustive: 16, single: 0, random: 0, tears: 0 };

  it("of pages are one state where every call that has ended survives", () => {
    const model = new EventList({ a: "x" }).write("a", 0, `A*${many * 4096}`).model();
    const { states, exhaustive } = new CrashStates(model, profileByName("synchronous"), 1, few).now();
    expect(exhaustive).toBe(true);
    expect(states.map((state) => shownSize(state.image, "a"))).toEqual([many * 4096]);
  });

  it("of one name, each of which builds on the one before, come along with the last", () => {
    const op = (event: number) => ({ event }) as NameChange["op"];
    const changes: NameChange[] = [];
    for (let event = 0; event < many; event++) {
      const after = changes.slice(-1);
      changes.push({ op: op(event), assignments: [], after, directory: rootDirectory });
    }
    const chosen = new Set<NameChange>();
    include(changes.at(-1)!, chosen);
    expect(chosen.size).toBe(many);
    expect(closed(changes.at(-1)!, new Set(changes.map((change) => change.op)))).toBe(true);
    expect(closed(changes.at(-1)!, new Set(changes.slice(1).map((change) => change.op)))).toBe(false);
  });
});

function shownSize({ directories, files }: DiskImage, name: string): number {
  return files.get(directories.get(rootDirectory)!.get(name)!)!.content.size;
}
