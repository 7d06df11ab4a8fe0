/**
 * Recovery that sees every snapshot record and log entry pass, and may drop, double or alter them. What comes out is
 * made into a snapshot before the store serves, so that the altered state is consistent from then on.
 */

import type { Codec } from "../ramlog/codec.ts";
import { provenRecovery, type Recovery } from "../ramlog/recovery.ts";
import type { Change, ReplaySink } from "../ramlog/state.ts";

/** Looks at one entry and says what is applied instead: any number of entries. */
export interface Alteration {
  entry(changes: readonly Change[]): readonly (readonly Change[])[];
  /** The log has been read: entries to apply last. */
  end?(): readonly (readonly Change[])[];
  /** A key's value in the snapshot. */
  restored?(table: string, key: string, value: unknown): void;
}

/** Recovery through `alter()`, made anew for each recovery; with another codec where that is part of the bug. */
export function alteredRecovery(alter: () => Alteration, codec?: (real: Codec) => Codec): Recovery {
  return {
    async recover(options) {
      let alteration = alter();
      let index = 0;
      const apply = (entries: readonly (readonly Change[])[]) => {
        for (const changes of entries) {
          index += 1;
          options.sink.replay(index, changes);
        }
      };
      const sink: ReplaySink = {
        begin() {
          alteration = alter();
          index = 0;
          options.sink.begin();
        },
        restore(table, key, value, at) {
          alteration.restored?.(table, key, value);
          options.sink.restore(table, key, value, at);
        },
        restored(at) {
          index = at;
          options.sink.restored(at);
        },
        replay: (_index, changes) => apply(alteration.entry(changes)),
      };
      const recovered = await provenRecovery.recover({
        ...options,
        sink,
        codec: codec ? codec(options.codec) : options.codec,
      });
      apply(alteration.end?.() ?? []);
      return { ...recovered, snapshotFirst: "recovery changed what it read" };
    },
  };
}
