/**
 * Recovering crash states: in process, over a simulated disk, or (recover-process.ts) by a real process on a real
 * directory. A store that does not start, and one whose reads throw, has *refused*, with its own sentence.
 *
 * Not judged here: whether it was allowed to show what it showed.
 */
import type { Durability, Recover, Recoverable, SimulatedDisk } from "../../../stores/contract.ts";
import type { DiskImage, DiskModel } from "../disk/disk-model.ts";
import { type DiskCall, ModelledDisk } from "../disk/simulated-disk.ts";
import type { Recovered, RecoveredValues } from "../judge/judge-state-values.ts";
import { liveIdentity } from "../states/crash-state.ts";

export type Recovery =
  | { readonly recovered: Recovered; readonly refused?: undefined }
  | { readonly refused: string; readonly recovered?: undefined };

/** Both recoveries of one state; the second is missing when the first refused. */
export interface TwoRecoveries {
  readonly first: Recovery;
  /** On the files as the first left them, after a process crash. */
  readonly second?: Recovery;
  /** The first left files that had been recovered before. */
  readonly secondKnown?: boolean;
  /** The disk calls of the first, for whoever wants to see its crash points. */
  readonly calls?: readonly DiskCall[];
  /** Something had to be done twice, and went otherwise the second time: one sentence. */
  readonly doubt?: string;
}

/** What a state recovers to could not be found out, and that is not the store's doing. */
export class UndecidedRecovery extends Error {
  override readonly name = "UndecidedRecovery";
}

export interface StateRecoverer {
  /** How many states are recovered at a time. */
  readonly lanes: number;
  /** A recovery takes no process and less than a millisecond or two: every one of them can be followed. */
  readonly inProcess: boolean;
  /**
   * @param keepCalls the disk calls of the first recovery are wanted, if they can be had.
   * @param identity of the state (`CrashState.identity`), where it is known: equal files need not be recovered again.
   * @throws UndecidedRecovery; any error of ours; nothing the store does is thrown.
   */
  recoverTwice(image: DiskImage, keepCalls?: boolean, identity?: number): Promise<TwoRecoveries>;
  /**
   * Recovers once, with every disk call followed.
   *
   * @param start a disk on which everything is durable, or what a process crash left, with what is pending: that model
   *   goes on.
   * @param crashPoint called whenever the disk may hold something else than before.
   * @throws as `recoverTwice`.
   */
  readonly follow: (
    start: DiskImage | DiskModel,
    crashPoint?: (model: DiskModel) => void,
  ) => Promise<Followed>;
}

/** A recovery whose disk calls were followed. */
export interface Followed {
  readonly recovery: Recovery;
  /** The disk when the reads had been answered; `faults` when it could not be followed. */
  readonly model: DiskModel;
  /** Keeps what it takes to follow it again in a new directory below `folder`; its name. In process nothing is needed. */
  readonly keep?: (folder: string) => string;
}

/**
 * @throws Error when the module cannot be loaded or has no `recover`: a fault of the store's adapter.
 */
export async function inProcess(
  { module, options }: Recoverable,
  durability: Durability,
  values: RecoveredValues,
): Promise<StateRecoverer> {
  const loaded = (await import(module)) as { recover?: Recover };
  const start = loaded.recover;
  if (typeof start !== "function") throw new Error(`${module} exports no function "recover"`);
  const all = { ...options, durability };
  const recover = async (disk: SimulatedDisk): Promise<Recovery> => {
    try {
      const store = await start(disk, all);
      return { recovered: values.recovered((request) => store.read(request)) };
    } catch (error) {
      return { refused: sentenceOf(error) };
    }
  };
  // Second recoveries, by the files that they found. What first recoveries leave is often the same, and it is also what
  // power loss at the end of one leaves: equal files are recovered once. A recovery sees names and contents only (not what
  // is pending, nor what is durable), and the simulated machine has no clock and no chance, so that it would show the same
  // and leave the same. First recoveries are not kept here: every second one is really made once, even where the first
  // one leaves all as it found it.
  const known = new Map<number, Known>();
  return {
    lanes: 1,
    inProcess: true,
    follow: async (start, crashPoint) => {
      const disk = new ModelledDisk(start, crashPoint);
      return { recovery: await recover(disk), model: disk.model };
    },
    recoverTwice: async (image, keepCalls, identity) => {
      const before = keepCalls || identity === undefined ? undefined : known.get(identity);
      if (before?.left !== undefined) {
        const after = known.get(before.left);
        if (after) return { first: before.recovery, second: after.recovery, secondKnown: true };
      }
      const kept: { readonly calls?: DiskCall[] } = keepCalls ? { calls: [] } : {};
      const disk = new ModelledDisk(image, undefined, kept.calls);
      const first = await recover(disk);
      if (first.refused !== undefined) return { first, ...kept };
      const left = liveIdentity(disk.model);
      const after = known.get(left);
      if (after) return { first, second: after.recovery, secondKnown: true, ...kept };
      const again = new ModelledDisk(disk.model);
      const second = await recover(again);
      const leftAgain = second.refused === undefined ? liveIdentity(again.model) : undefined;
      known.set(left, { recovery: second, left: leftAgain });
      return { first, second, ...kept };
    },
  };
}

/** What came of recovering some files, and the identity of what it left, unless it refused. */
interface Known {
  readonly recovery: Recovery;
  readonly left: number | undefined;
}

function sentenceOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n")[0]!.slice(0, 400) || "it gave no reason";
}
