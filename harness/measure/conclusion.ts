/**
 * What the ratios mean, in sentences: where the first store wins, where it loses, and where nothing can be said because
 * the difference is within the noise. A loss is always said.
 */
import type { BenchResults, OpenLoopRecord, RatioRecord } from "./results.ts";

type Material = Pick<BenchResults, "ratios" | "openLoop" | "indicative" | "rounds" | "measureMs">;

/** One sentence an entry; the order is wins, losses, no difference, open loop. */
export function conclude({ ratios, openLoop, indicative, rounds, measureMs }: Material): string[] {
  if (ratios.length === 0) return ["Only one store was measured, so there is nothing to compare."];
  const sentences: string[] = [];
  if (indicative) {
    sentences.push(
      `Indicative only: ${rounds} ${rounds === 1 ? "round" : "rounds"} of ${measureMs / 1000} s each; a statement needs at least 6 of 1 s.`,
    );
  }
  for (const [store, reference] of pairs(ratios)) {
    const of = ratios.filter((ratio) => ratio.store === store && ratio.reference === reference);
    sentences.push(
      verdictSentence(`${store} is ahead of ${reference}`, of, "better") ??
        `${store} is ahead of ${reference} in nothing that was measured.`,
      verdictSentence(`${store} loses to ${reference}`, of, "worse") ??
        `${store} loses to ${reference} in nothing that was measured.`,
    );
    const none = of.filter((ratio) => ratio.difference === "none");
    if (none.length > 0) {
      sentences.push(`No difference beyond the noise: ${grouped(none, () => "")}.`);
    }
  }
  return [...sentences, ...openLoop.filter(overloaded).map(overloadSentence)];
}

function pairs(ratios: readonly RatioRecord[]): (readonly [string, string])[] {
  const seen = new Map(ratios.map((ratio) => [`${ratio.store} ${ratio.reference}`, ratio]));
  return [...seen.values()].map(({ store, reference }) => [store, reference] as const);
}

function verdictSentence(
  opening: string,
  ratios: readonly RatioRecord[],
  difference: "better" | "worse",
): string | undefined {
  const of = ratios.filter((ratio) => ratio.difference === difference);
  if (of.length === 0) return undefined;
  return `${opening}: ${grouped(of, (ratio) => ` (${ratio.median.toFixed(2)} times)`)}.`;
}

/** `throughput of upsert, 8 clients (1.61 times) and 50 clients (4.37 times); p99 service time of …`. */
function grouped(ratios: readonly RatioRecord[], remark: (ratio: RatioRecord) => string): string {
  const groups = new Map<string, string[]>();
  for (const ratio of ratios) {
    const [operation, ...where] = ratio.cell.split(", ");
    const what = `${metricWords(ratio.metric)} of ${operation}`;
    groups.set(what, [...(groups.get(what) ?? []), `${where.join(", ")}${remark(ratio)}`]);
  }
  return [...groups].map(([what, cells]) => `${what}, ${listed(cells)}`).join("; ");
}

/** `p99` as `p99 service time`, `response p99` as `p99 response time`. */
function metricWords(metric: RatioRecord["metric"]): string {
  if (metric === "throughput") return metric;
  const [percentile, of] = metric.split(" ").reverse() as [string, string?];
  return `${percentile} ${of ?? "service"} time`;
}

function listed(items: readonly string[]): string {
  return items.length < 2 ? items.join() : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`;
}

function overloaded(record: OpenLoopRecord): boolean {
  return record.dropped + record.unfinished > 0 || record.achievedPerSecond < 0.99 * record.offeredPerSecond;
}

function overloadSentence(record: OpenLoopRecord): string {
  const { store, offeredPerSecond, achievedPerSecond, dropped, unfinished } = record;
  return `${store} did not keep up with ${offeredPerSecond.toFixed(0)} requests per second: it did ${achievedPerSecond.toFixed(0)}, ${dropped} were dropped and ${unfinished} unfinished, so its response times say only that they grow.`;
}
