/** A claim holds from its first answer to its last question, however slow a member is to answer. */
import { afterEach, expect, it } from "vitest";
import type { Clustered, MemberStatus } from "../../stores/cluster-contract.ts";
import { RunClock } from "../history/clock.ts";
import { LeaderWatch } from "./leader-watch.ts";
import type { Members } from "./members.ts";

let watch: LeaderWatch | undefined;
afterEach(() => watch?.stop());

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** n1 leads until it does not, n2 from then on; each answers after its own time, with what was so when it was asked for. */
function watched(answerMs: Readonly<Record<string, number>>) {
  let leader = "n1";
  const names = ["n1", "n2"];
  const members = {
    names,
    all: () =>
      names.map((name) => ({
        name,
        running: () => true,
        listening: () => ({ at: { host: name, port: 1 } }),
      })),
  } as unknown as Members;
  const clustered = {
    async status(endpoints: Readonly<Record<string, { readonly host: string }>>): Promise<MemberStatus> {
      const name = endpoints.at!.host;
      await sleep(answerMs[name] ?? 0);
      return { role: leader === name ? "leader" : "follower" };
    },
  } as unknown as Clustered;
  watch = new LeaderWatch(members, clustered, new RunClock());
  watch.start();
  return { watch, change: () => (leader = "n2") };
}

it("does not date a claim before the answer that made it", async () => {
  const { watch, change } = watched({ n2: 450 });
  await sleep(400);
  change();
  await sleep(900);
  const [first, second] = [
    watch.claims.find(({ member }) => member === "n1"),
    watch.claims.find(({ member }) => member === "n2"),
  ];
  expect(second!.from).toBeGreaterThan(first!.to);
  expect(watch.current()).toBe("n2");
  expect(watch.settled()).toBe(true);
});
