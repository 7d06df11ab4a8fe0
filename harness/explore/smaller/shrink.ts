/**
 * Makes a finding smaller by running again with fewer requests, fewer clients and no kill, and looking whether the same
 * kind of finding is still there. What to try next is fast-check's: the requests are a subarray of those that were sent
 * before power was lost, shrunk from the whole.
 *
 * Tried in this order, each only while the time lasts: the counterexample's own requests by one client; these, and then the
 * last few requests that change anything, with long values (files then end sooner, so that a finding that needs a full
 * segment or a snapshot needs few requests); everything by one client; everything as it was. From the first of these that
 * shows the finding on, requests are taken away. Values are made short again if the finding still shows.
 *
 * A run is not deterministic while several clients send, so a smaller run that happens not to show the finding is taken
 * for one that cannot: the result always shows the finding, and may not be the smallest that would. It knows nothing of
 * stores and crash states; `attempt` does.
 */
import fc from "fast-check";
import type { ScriptedRequest } from "../../clients/load.ts";
import type { Script } from "../traced/traced-run.ts";

export interface ShrinkOptions<Found> {
  /** What was sent before power was lost, in order of sending. */
  readonly requests: readonly ScriptedRequest[];
  /** Those among them that are the counterexample's, by position. */
  readonly counterexample: readonly number[];
  /** Those that can change the store, by position, in order. */
  readonly changes: readonly number[];
  /** Set when the finding needs a restart: how many requests had been sent when the store was killed. */
  readonly killAfter?: number;
  /** Runs the script, and gives what it showed if that is the same kind of finding. */
  readonly attempt: (script: Script) => Promise<Found | undefined>;
  /** ms for all attempts; the one under way when they are over is waited for. */
  readonly budgetMs: number;
  readonly signal: AbortSignal;
}

export interface Shrunk<Found> {
  readonly script: Script;
  readonly found: Found;
  readonly trials: number;
  readonly elapsedMs: number;
  /** Nothing smaller was left to try. */
  readonly minimal: boolean;
}

/** Above this, longer values are tried. */
const handful = 9;
/** Requests are taken away in so many blocks, then in blocks of half the size, down to single ones. */
const blocksAtFirst = 8;
/** Characters added to every string value to make files end sooner. */
const longPadding = 3000;
/** So many of the last changes are tried with long values. */
const tails = [8, 24];

/** `undefined` when no run that was tried showed the finding again. */
export async function shrinkScript<Found>(options: ShrinkOptions<Found>): Promise<Shrunk<Found> | undefined> {
  const trials = new Trials(options);
  for (const [positions, variant] of firstCandidates(options)) {
    if (!(await trials.shows(positions, variant))) continue;
    await trials.takeAway(variant);
    break;
  }
  const large = trials.best;
  if (large && large.positions.length > handful && large.variant.padding === 0) {
    const variant = { ...large.variant, padding: longPadding };
    if (await trials.shows(large.positions, variant)) await trials.takeAway(variant);
  }
  const padded = trials.best;
  if (padded && padded.variant.padding > 0) {
    await trials.shows(padded.positions, { ...padded.variant, padding: 0 });
  }
  const several = trials.best;
  if (several && !several.variant.oneClient) {
    await trials.shows(several.positions, { ...several.variant, oneClient: true });
  }
  return trials.result();
}

/** How a selection of the requests is sent. */
interface Variant {
  readonly oneClient: boolean;
  readonly kill: boolean;
  readonly padding: number;
}

function firstCandidates<Found>({
  requests,
  counterexample,
  changes,
  killAfter,
}: ShrinkOptions<Found>): [readonly number[], Variant][] {
  const all = requests.map((_request, position) => position);
  const own = [...new Set(counterexample)].sort((a, b) => a - b);
  const plain = { oneClient: true, kill: false, padding: 0 };
  const long = { ...plain, padding: longPadding };
  const candidates: [readonly number[], Variant][] = [];
  if (own.length > 0 && own.length < all.length) candidates.push([own, plain], [own, long]);
  for (const length of tails) if (changes.length > length) candidates.push([changes.slice(-length), long]);
  candidates.push([all, plain], [all, { ...plain, oneClient: false }]);
  if (killAfter === undefined) return candidates;
  const killed = { ...plain, kill: true };
  return [...candidates, [all, killed], [all, { ...killed, oneClient: false }]];
}

/** Every attempt made so far, and the smallest that showed the finding. */
class Trials<Found> {
  readonly #options: ShrinkOptions<Found>;
  readonly #startedAt = performance.now();
  readonly #known = new Map<string, boolean>();
  #count = 0;
  #interrupted = false;
  best: { positions: readonly number[]; variant: Variant; found: Found } | undefined;

  constructor(options: ShrinkOptions<Found>) {
    this.#options = options;
  }

  over(): boolean {
    const over =
      this.#options.signal.aborted || performance.now() - this.#startedAt >= this.#options.budgetMs;
    if (over) this.#interrupted = true;
    return over;
  }

  /** False also when the time is over. The same script is not run twice. */
  async shows(positions: readonly number[], variant: Variant): Promise<boolean> {
    const key = JSON.stringify([positions, variant]);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    if (this.over()) return false;
    this.#count++;
    const found = await this.#options.attempt(this.#script(positions, variant));
    this.#known.set(key, found !== undefined);
    if (found !== undefined) this.best = { positions, variant, found };
    return found !== undefined;
  }

  /** Takes requests away from the best so far, in blocks first, until none can go or the time is over. */
  async takeAway(variant: Variant): Promise<void> {
    const first = Math.max(1, Math.ceil(this.best!.positions.length / blocksAtFirst));
    for (let size = first; ; size = Math.ceil(size / 2)) {
      const blocks = inBlocks(this.best!.positions, size);
      const gone = fc.asyncProperty(
        fc.subarray(blocks),
        async (left) => !(await this.shows(left.flat(), variant)),
      );
      // One run, of everything, which is known to show it: all the rest is shrinking.
      await fc.check(gone, { examples: [[blocks]], numRuns: 1, seed: 1 });
      if (size === 1 || this.over()) return;
    }
  }

  result(): Shrunk<Found> | undefined {
    if (!this.best) return undefined;
    const { positions, variant, found } = this.best;
    return {
      script: this.#script(positions, variant),
      found,
      trials: this.#count,
      elapsedMs: performance.now() - this.#startedAt,
      minimal: !this.#interrupted,
    };
  }

  #script(positions: readonly number[], { oneClient, kill, padding }: Variant): Script {
    const { requests, killAfter = 0 } = this.#options;
    const chosen = positions.map((position) => {
      const { client, request } = requests[position]!;
      const value = padded(request.value, padding);
      return {
        client: oneClient ? 0 : client,
        request: { ...request, ...(request.value === undefined ? {} : { value }) },
      };
    });
    if (!kill) return { requests: chosen };
    return { requests: chosen, killAfter: positions.filter((position) => position < killAfter).length };
  }
}

function inBlocks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) =>
    items.slice(i * size, (i + 1) * size),
  );
}

/** Every string made longer by the same rule, so that what a compare-and-set expects is still what was written. */
function padded(value: unknown, length: number): unknown {
  if (length === 0) return value;
  if (typeof value === "string") return value + "~".repeat(length);
  if (Array.isArray(value)) return value.map((item) => padded(item, length));
  return value;
}
