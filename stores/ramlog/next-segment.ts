/**
 * The segment that the log will need next: prepared in the background, so that a commit does not wait for it, and made
 * out of one that nobody needs any more if there is one.
 *
 * A segment that could not be prepared is reported, and made once more when it is needed, anew; only when that fails
 * too the log has failed.
 */
import { type Disk, errorText, inDirectory, removeIfThere } from "./disk.ts";
import { createSegment, reuseSegment, segmentName } from "./segments.ts";

/** So many segments are kept for reuse; the rest is given back to the file system. */
const reusableMax = 8;

export interface NextSegmentOptions {
  readonly disk: Disk;
  readonly dir: string;
  /** Size of a segment in bytes. */
  readonly segmentBytes: number;
  /** One sentence for the operator about something that did not stop the store. */
  report(sentence: string): void;
}

/** A segment that is durable under its name and not yet begun. */
export interface PreparedSegment {
  readonly id: number;
  readonly reused: boolean;
}

export class NextSegment {
  private readonly options: NextSegmentOptions;
  private prepared: Promise<PreparedSegment> | undefined;
  /** Oldest first, under their old names. */
  private readonly reusable: number[] = [];

  constructor(options: NextSegmentOptions) {
    this.options = options;
  }

  /** Takes over a segment that nobody needs. False: there are enough, and the caller may remove it. */
  reuse(id: number): boolean {
    if (this.reusable.length >= reusableMax) return false;
    this.reusable.push(id);
    return true;
  }

  /** Begins to prepare segment `id`, unless one is being prepared or ready. */
  prepare(id: number): void {
    if (this.prepared) return;
    this.prepared = this.make(id);
    this.prepared.catch((error) => {
      this.options.report(
        `${segmentName(id)} could not be prepared (${errorText(error)}); it is tried again when it is needed`,
      );
    });
  }

  /** Segment `id`, as prepared or made now. Nothing must be prepared before this has ended. */
  async take(id: number): Promise<PreparedSegment> {
    const { disk, dir, segmentBytes } = this.options;
    const prepared = await this.prepared?.catch(() => undefined);
    this.prepared = undefined;
    if (prepared) return prepared;
    await createSegment(disk, dir, id, segmentBytes);
    return { id, reused: false };
  }

  /** Waits for what is being prepared, and removes it if `remove`; where it stays, the next start removes it. */
  async close(remove: boolean): Promise<void> {
    const prepared = await this.prepared?.catch(() => undefined);
    if (!prepared || !remove) return;
    const { disk, dir, report } = this.options;
    const name = segmentName(prepared.id);
    await removeIfThere(disk, inDirectory(dir, name)).catch((error) => {
      report(`${name} was prepared and is not needed; it could not be removed (${errorText(error)})`);
    });
  }

  private async make(id: number): Promise<PreparedSegment> {
    const { disk, dir, segmentBytes } = this.options;
    for (let old = this.reusable.shift(); old !== undefined; old = this.reusable.shift()) {
      if (await reuseSegment(disk, dir, old, id, segmentBytes)) return { id, reused: true };
    }
    await createSegment(disk, dir, id, segmentBytes);
    return { id, reused: false };
  }
}
