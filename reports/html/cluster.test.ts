import { describe, expect, test } from "vitest";
import type { ClusterFaultSpan, ClusterResults } from "../../harness/results.ts";
import {
  across,
  clusterMembers,
  clusterResults,
  clusterRun,
  somethingMeasured,
  spoiledCluster,
} from "../fixtures/cluster-run.ts";
import { brief, syntheticFaults } from "../fixtures/synthetic-run.ts";
import { TimelineScan } from "../timeline.ts";
import { clusterSection } from "./cluster.ts";
import { joined, type LaneBar, linkLanes, memberLanes } from "./cluster-lanes.ts";
import { colours, picture, wholeRun } from "./cluster-picture.ts";
import { page } from "./page.ts";

const cluster = clusterResults();

function drawn(of: ClusterResults, barsMax = 700): string {
  return picture(of, wholeRun(of), { barsMax, label: "The cluster" }).markup;
}

function section(of: ClusterResults, verdict: boolean | "unknown" = true): string {
  return clusterSection(clusterRun(verdict, of)).markup;
}

/** A whole page of a run whose history is empty. */
function wholePage(of: ClusterResults, storeLogTail = ""): string {
  const results = clusterRun(true, of);
  const faults = syntheticFaults(brief);
  const files = {
    dir: "run",
    results,
    faults,
    faultLinesUnreadable: 0,
    storeLogTail,
    storeLogBytesBefore: 0,
  };
  return page({ files, timeline: new TimelineScan(faults).finish(), lanes: undefined, historyNote: "" });
}

describe("the lanes of members", () => {
  test("say who led in which term, and who was down, paused or starting when", () => {
    const [n1, n2, n3] = memberLanes(cluster);
    expect(n1?.bars.map(({ labels }) => labels[0])).toEqual([
      "leads, term 2",
      "leads, term 5",
      "starting",
      "down",
    ]);
    expect(n2?.bars.map(({ as }) => as)).toEqual(["leads", "starting", "paused"].concat("down"));
    expect(n3?.bars.find(({ as }) => as === "down")?.title()).toBe(
      "n3 down from 9.4000 s to 10.6000 s (1.2 s)",
    );
  });

  test("draw a leader that is paused as paused, and as leading before and after", () => {
    const leads = { member: "n1", term: 1, from: 1e9, to: 9e9 };
    const paused = { member: "n1", state: "paused" as const, from: 4e9, to: 5e9 };
    const [n1] = memberLanes({ ...cluster, leaders: [leads], memberStates: [paused] });
    expect(n1?.bars.map(({ as, from, to }) => [as, from / 1e9, to / 1e9])).toEqual([
      ["leads", 1, 4],
      ["leads", 5, 9],
      ["paused", 4, 5],
    ]);
  });
});

describe("the lanes of links", () => {
  const spanOn = (links: readonly string[]): ClusterFaultSpan => ({
    ...{ fault: "isolate", target: "network", links, from: 2e9, to: 3e9, evidence: { bytes: 1 } },
    ...{ servingAgainMs: 1, unavailableMs: 0 },
  });
  const lanesOf = (links: readonly string[], of: Partial<ClusterResults> = {}) =>
    linkLanes({ ...cluster, faults: [spanOn(links)], ...of }, () => "f1");

  test("are one a directed link while they are few, and only for links that a fault acted on", () => {
    const { lanes, grouped } = lanesOf(["n1>n2", "n3>n1", "c0>n1"]);
    expect(lanes.map(({ name }) => name)).toEqual(["n1 → n2", "n3 → n1", "c0 → n1"]);
    expect(grouped).toBe(false);
    expect(lanesOf([]).lanes).toEqual([]);
  });

  test("are pairs of members when they are many, with a half for each direction, and clients together per member", () => {
    const members = ["n1", "n2", "n3", "n4"];
    const links = [...across(["n1"], ["n2", "n3", "n4"]), "n2>n3", "n4>n2", "n3>n4", "c0>n1"];
    const { lanes, grouped } = lanesOf([...links, "c1>n1", "n1>c1", "c2>n1", "c3>n1"], { members });
    expect(grouped).toBe(true);
    const halves = Object.fromEntries(lanes.map(({ name, bars }) => [name, bars[0]?.half]));
    expect(halves).toEqual({
      ...{ "n1 ⇄ n2": undefined, "n1 ⇄ n3": undefined, "n1 ⇄ n4": undefined },
      ...{ "n2 ⇄ n3": "upper", "n2 ⇄ n4": "lower", "n3 ⇄ n4": "upper", "clients ⇄ n1": undefined },
    });
    expect(lanes.at(-1)?.bars[0]?.labels[0]).toBe("isolate, 4 of 6");
  });

  test("show nothing of a fault that did not fire", () => {
    const { evidence: _none, ...unfired } = spanOn(["n1>n2"]);
    expect(linkLanes({ ...cluster, faults: [unfired] }, () => "f1").lanes).toEqual([]);
  });

  test("are at most so many, and say how many more there are", () => {
    const members = Array.from({ length: 12 }, (_none, index) => `n${index}`);
    const links = members.flatMap((a) => members.filter((b) => b !== a).map((b) => `${a}>${b}`));
    const { lanes, leftOut } = lanesOf(links, { members });
    expect(lanes.length + leftOut).toBe(66);
    expect(lanes.length).toBeLessThanOrEqual(28);
  });
});

test("bars that nearly touch are joined by look, cover what they covered, and say how many they are", () => {
  const bar = (from: number, to: number, as = "f1"): LaneBar => ({
    from,
    to,
    as,
    labels: ["x"],
    title: () => "t",
  });
  const bars = [bar(0, 10), bar(12, 20), bar(13, 14, "f2"), bar(40, 50)];
  expect(joined(bars, 5).map(({ from, to, as }) => [from, to, as])).toEqual([
    [0, 20, "f1"],
    [13, 14, "f2"],
    [40, 50, "f1"],
  ]);
  expect(joined(bars, 5).map(({ of }) => of)).toEqual([2, undefined, undefined]);
  expect(joined(joined(bars, 5), 30).map(({ of }) => of)).toEqual([3, undefined]);
  expect(joined(bars, 1)).toHaveLength(4);
});

describe("the picture", () => {
  test("has phases, faults, members and links, each with a title, and ends before the members are shut down", () => {
    const markup = drawn(cluster);
    for (const title of [
      "storm of round 1, from 8.9000 s to 13.6000 s (4.7 s)",
      "kill on n3 from 9.4000 s to 10.6000 s (1.2 s); unavailable for 640 ms of it; a write was acknowledged 1.42 s later",
      "cut on n3 → n1 was armed from 13.1000 s to 13.3000 s (200 ms) and did not fire",
      "n3 said that it leads, term 3, from 3.8000 s to 9.3000 s (5.5 s)",
    ]) {
      expect(markup).toContain(`<title>${title}</title>`);
    }
    expect(markup.match(/class="fault f\d unfired"/g)).toHaveLength(1);
    expect(wholeRun(cluster).to).toBe(15.6e9);
    expect(markup).not.toContain("15.7000 s");
  });

  test("marks time under load in which nothing was acknowledged, and nothing else", () => {
    expect(drawn(cluster)).toMatch(/nothing was acknowledged from 3\.1000 s to 3\.9500 s \(850 ms\)/);
    expect(drawn(cluster).match(/class="silence"/g)).toHaveLength(3);
    const busy = { ...cluster, availability: cluster.availability.map((slice) => ({ ...slice, ok: 9 })) };
    expect(drawn(busy)).not.toContain('class="silence"');
  });

  test("marks two leaders only where both acknowledged writes", () => {
    expect(drawn(cluster)).not.toContain("two leaders");
    expect(drawn(clusterResults(somethingMeasured))).toContain(
      "n1 and n3 both led from 3.8000 s to 3.9000 s (100 ms) and acknowledged 17 writes meanwhile",
    );
  });

  test("draws nothing outside its axis, and no coordinate that is not a number", () => {
    const markup = drawn(clusterResults(somethingMeasured));
    expect(markup).not.toMatch(/NaN|Infinity|undefined/);
    for (const [, x, w] of markup.matchAll(/<rect class="[^"]*" x="([^"]*)" y="[^"]*" width="([^"]*)"/g)) {
      expect(Number(x)).toBeGreaterThanOrEqual(132);
      expect(Number(w)).toBeGreaterThan(0);
      expect(Number(x) + Number(w)).toBeLessThanOrEqual(1152.2);
    }
  });

  test("names each fault while there is room, and gives each kind a lane when there are too many", () => {
    const names = (markup: string) => markup.match(/class="fault-name"/g)?.length ?? 0;
    expect(names(drawn(cluster))).toBe(cluster.faults.length);
    const many = { ...cluster, faults: repeated(cluster.faults, 60) };
    expect(names(drawn(many))).toBe(0);
    for (const { fault } of cluster.faults)
      expect(drawn(many)).toMatch(new RegExp(`class="lane-name"[^>]*>${fault}<`));
  });

  test("of a run that was over before anything happened is drawn all the same", () => {
    const nothing = { leaders: [], memberStates: [], faults: [], availability: [], phases: [], traffic: {} };
    const markup = section({ ...cluster, ...nothing });
    expect(markup).not.toMatch(/NaN|Infinity|undefined/);
    expect(markup).toContain("No fault was armed.");
    expect(markup).toContain("Nothing was counted.");
  });
});

/** These faults again and again, each time a little later. */
function repeated(faults: readonly ClusterFaultSpan[], times: number): ClusterFaultSpan[] {
  return Array.from({ length: times }, (_none, turn) =>
    faults.map((span) => ({ ...span, from: span.from + turn * 0.2e9, to: span.to + turn * 0.2e9 })),
  ).flat();
}

describe("the section", () => {
  test("is not there for a single node", () => {
    const { cluster: _cluster, ...single } = clusterRun(true);
    expect(clusterSection(single).markup).toBe("");
  });

  test("has a row a fault: what, on what, when, unavailable, serving again", () => {
    const markup = section(cluster);
    expect(markup).toMatch(/<td>kill<\/td><td>n3<\/td>.*9\.4000 s.*1\.2 s.*640 ms.*1\.42 s/);
    expect(markup).toMatch(/<td>isolate<\/td><td title="[^"]+">n1 ⇄ n2, n1 ⇄ n3, 4 clients ⇄ n1<\/td>/);
    expect(markup).toMatch(/<td>failover<\/td><td>the whole cluster<\/td>/);
    expect(markup).toMatch(/<td>cut<\/td>.*did not fire/);
  });

  test("sums a run of many faults by kind, and still lists them one by one", () => {
    const markup = section({ ...cluster, faults: repeated(cluster.faults, 5) });
    expect(markup).toMatch(/<td>cut<\/td><td class="number">0 of 5<\/td>/);
    expect(markup).toMatch(/<td>kill<\/td><td class="number">5 of 5<\/td><td>median 640 ms, max 640 ms/);
    expect(markup).toContain("All 35 faults, one by one");
  });

  test("says never where no write was acknowledged after a fault", () => {
    const { servingAgainMs: _again, ...never } = cluster.faults[3]!;
    const markup = section({ ...cluster, faults: [never] });
    expect(markup).toContain("no write was acknowledged any more");
    expect(markup).toMatch(/violation-word">never/);
  });

  test("tells what was measured, and what is held against the store", () => {
    expect(section(cluster)).toMatch(
      /lost acknowledged writes<\/th><td>none of 1,204<\/td><td class="quiet"><\/td>/,
    );
    const markup = section(clusterResults(somethingMeasured), false);
    expect(markup).toMatch(
      /31 of 1,204, acknowledged over 780 ms<\/td><td class="quiet">not promised, not held/,
    );
    expect(markup).toContain("in part held against the store");
    expect(markup).toContain("stale-read: e0/r/4 was read as 17");
  });

  test("names the links that carried nothing, and those of them that a fault acted on", () => {
    const markup = section(cluster);
    expect(markup).toContain("3 links carried nothing: n2 → n3, c5 ⇄ n1.");
    expect(markup).toContain("A fault acted on 3 of them and showed nothing there: n2 → n3, c5 ⇄ n1.");
    const carried = Object.keys(cluster.traffic).map((link) => [link, { connections: 1, bytes: 10 }]);
    expect(section({ ...cluster, traffic: Object.fromEntries(carried) })).toContain(
      "Every link carried something.",
    );
  });
});

describe("a page with a cluster", () => {
  test("says on its first screen what the storms did, and nothing of crashes that it did not have", () => {
    const text = wholePage(cluster);
    expect(text).toContain(
      "3 members on user-space proxies, 2 storms, 6 faults fired, while 6,720 operations ran.",
    );
    expect(text).toContain("What the storms say");
    expect(text).not.toMatch(/0 crashes|What the crashes say|without any crash|No crash/);
    expect(text).toContain('<a href="#cluster">Cluster</a>');
  });

  test("shows the picture before anything else when the first finding has no operations to show", () => {
    const results = clusterRun(false, cluster);
    const [finding] = results.findings;
    const faults = syntheticFaults(brief);
    const shown = (
      operations: typeof finding extends undefined ? never : NonNullable<typeof finding>["operations"],
    ) => {
      const findings = [{ ...finding!, operations }];
      const files = {
        dir: "run",
        results: { ...results, findings },
        faults: [],
        faultLinesUnreadable: 0,
        storeLogTail: "",
        storeLogBytesBefore: 0,
      };
      const text = page({
        files,
        timeline: new TimelineScan(faults).finish(),
        lanes: undefined,
        historyNote: "",
      });
      return text.indexOf('viewBox="0 0 1160') < text.indexOf("What was tested") ? "first" : "later";
    };
    expect(shown([])).toBe("first");
    const text = clusterSection({ ...results, findings: [{ ...finding!, operations: [] }] }).markup;
    expect(text).not.toContain("The cluster over the whole run");
    expect(section(cluster)).toContain("The cluster over the whole run");
  });

  test("shows the messages around the finding: who sent what to whom, and whether it arrived", () => {
    const { findings } = clusterRun(false, cluster);
    const { kind, sentence, operations } = findings[0]!;
    const { call, calledAt } = operations[0]!;
    const sent = { bytes: 96, sentAt: calledAt };
    const one = {
      ...{ call, from: calledAt, to: calledAt + 5e6, leftOut: 3, forgotten: false },
      messages: [
        { ...sent, link: "n1>n2" },
        { ...sent, link: "n2>n1", arrivedAfterNs: 2e5 },
        { ...sent, link: "c1>n1", arrivedAfterNs: 1.5e9 },
      ],
    };
    const text = (of: Partial<ClusterResults>) => section({ ...cluster, ...of }, false);
    const shown = text({ messages: [{ kind, sentence, operations: [one] }] });
    expect(shown).toContain("Messages around the finding");
    expect(shown).toMatch(/n1 → n2<\/td><td class="number">96 B<\/td><td class="violation-word">never/);
    expect(shown).toMatch(/n2 → n1<.*>at once</);
    expect(shown).toMatch(/c1 → n1<.*>after 1.5 s</);
    expect(shown).toContain("… and 3 more messages.");
    expect(text({ messages: [{ kind, sentence: "another", operations: [one] }] })).not.toContain(
      "Messages around",
    );
    expect(text({})).not.toContain("Messages around");
    const below = text({
      network: "namespaces",
      messages: [{ kind, sentence, operations: [{ ...one, messages: [] }] }],
    });
    expect(below).toContain("nothing is seen below TCP");
    expect(below).toContain("No message passed or was sent.");
  });

  test("escapes every name that came from outside", () => {
    const hostile = `<img src=x onerror=alert(1)>"' onload='x\u202e\u0000`;
    const text = wholePage(spoiledCluster(hostile));
    expect(text).not.toContain("<img");
    expect(text).not.toMatch(/(?![\n\t])[\p{Cc}\u202e]/u);
    expect(text.match(/<script/g)?.length).toBe(1);
    expect(
      /<[a-z]+[^<>]* on[a-z]+/.test(
        text.replace(/<(script|style)[\s\S]*?<\/\1>/g, "").replace(/="[^"]*"/g, ""),
      ),
    ).toBe(false);
  });

  test("stays under 1 MB with 9 members, 20 clients, 800 faults on 40 links each and long names", () => {
    for (const letter of ["v", "<", "\u202e"]) {
      expect(Buffer.byteLength(wholePage(heavy(letter), letter.repeat(16_384)))).toBeLessThan(1e6);
    }
  }, 120_000);
});

function heavy(letter: string): ClusterResults {
  const long = letter.repeat(80);
  const members = Array.from({ length: 9 }, (_none, index) => `n${index}${long}`);
  const clients = Array.from({ length: 20 }, (_none, index) => `c${index}${long}`);
  const links = [...across(members.slice(0, 4), members.slice(4)), ...across(clients.slice(0, 5), members)];
  const at = (turn: number) => ({ from: turn * 0.15e9, to: turn * 0.15e9 + 0.1e9 });
  const turns = Array.from({ length: 800 }, (_none, turn) => turn);
  return {
    ...{ members, network: "namespaces" },
    leaders: turns.map((turn) => ({ ...at(turn), member: members[turn % 9]!, term: turn })),
    memberStates: turns.map((turn) => ({
      ...at(turn),
      member: members[(turn * 5) % 9]!,
      state: (["down", "paused", "starting"] as const)[turn % 3]!,
    })),
    faults: turns.map((turn) => ({
      ...{ ...at(turn), fault: `f${turn % 25}${long}`, target: "network", evidence: {}, unavailableMs: 900 },
      links: links.slice(turn % 70, (turn % 70) + 40),
    })),
    availability: Array.from({ length: 600 }, (_none, index) => ({
      ...{
        from: index * 1e9,
        to: (index + 1) * 1e9,
        ok: (index * 7) % 400,
        fail: index % 5,
        info: index % 3,
      },
    })),
    phases: Array.from({ length: 60 }, (_none, round) => [
      { phase: "storm" as const, round, from: round * 10e9, to: round * 10e9 + 7e9 },
      { phase: "calm" as const, round, from: round * 10e9 + 7e9, to: round * 10e9 + 10e9 },
    ]).flat(),
    traffic: Object.fromEntries(across(clients, members).map((link) => [link, { connections: 0, bytes: 0 }])),
    measured: {
      lostAcknowledged: { count: 9, of: 100, spanMs: 5 },
      staleReads: { count: 9, of: 100, oldestMs: 5 },
      splitBrain: turns.map((turn) => ({ ...at(turn), members: [members[0]!, members[1]!], writes: 3 })),
      observed: turns.map(() => `stale-read: ${long}${long}${long}`),
    },
  };
}

test("colours go by the order in which faults first appear", () => {
  const colourOf = colours(cluster);
  expect(cluster.faults.map(({ fault }) => colourOf(fault))).toEqual([
    "f1",
    "f2",
    "f3",
    "f4",
    "f5",
    "f6",
    "f1",
  ]);
  expect(clusterMembers).toHaveLength(3);
});
