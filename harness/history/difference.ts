/**
 * Where two runs of the same plan went apart: the first event of the recorded run that has no equal in the other. Events
 * are compared client by client, in each client's own order, because how clients interleave is the kernel's choice and no
 * part of the plan. Compared are what was asked, how it ended, and what was read; times, process numbers and counts of
 * syncs are not.
 */
import type { HistoryEvent } from "./operation.ts";

export interface Difference {
  /** Index of the recorded event that differs; of the last one when the other run went on longer. */
  readonly event: number;
  /** One sentence: the client, what was recorded, what happened instead. */
  readonly sentence: string;
}

/**
 * @param clients the number of clients of both runs: a process number modulo it is the client.
 * @returns `undefined` when everything that was recorded happened again.
 */
export function firstDifference(
  recorded: Iterable<HistoryEvent>,
  again: Iterable<HistoryEvent>,
  clients: number,
): Difference | undefined {
  const other = byClient(again, clients);
  const next = new Map<string, number>();
  for (const event of recorded) {
    const client = clientOf(event, clients);
    const position = next.get(client) ?? 0;
    next.set(client, position + 1);
    const counterpart = other.get(client)?.[position];
    const was = describe(event);
    const is = counterpart === undefined ? "nothing more" : describe(counterpart);
    if (was === is) continue;
    const sentence = `first difference at event ${event.index} (number ${position + 1} of ${client}): recorded was ${was}, and now there was ${is}`;
    return { event: event.index, sentence };
  }
  return undefined;
}

function byClient(events: Iterable<HistoryEvent>, clients: number): Map<string, HistoryEvent[]> {
  const groups = new Map<string, HistoryEvent[]>();
  for (const event of events) {
    const client = clientOf(event, clients);
    const group = groups.get(client);
    if (group) group.push(event);
    else groups.set(client, [event]);
  }
  return groups;
}

function clientOf({ process }: HistoryEvent, clients: number): string {
  return process === "nemesis" ? "the nemesis" : `client ${process % clients}`;
}

/** What is compared, as a person reads it. */
function describe({ process, type, f, key, value, matched, error }: HistoryEvent): string {
  if (process === "nemesis") return `${f} ${(value as { event?: string } | undefined)?.event ?? ""}`.trim();
  const what = `${f} ${key ?? ""}`.trim();
  if (type === "invoke") return `${what}${argument(value)} sent`;
  const ending = { ok: "acknowledged", fail: "failed", info: "outcome unknown" }[type];
  // An error's words hold ports and times; that there was one is what counts.
  if (error !== undefined) return `${what} ${ending}`;
  return `${what} ${ending}${matched === false ? ", no match" : ""}${argument(value)}`;
}

function argument(value: unknown): string {
  if (value === undefined || value === null) return "";
  const text = JSON.stringify(value);
  return ` ${text.length > 80 ? `${text.slice(0, 80)}…` : text}`;
}
