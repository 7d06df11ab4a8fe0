/** Recovery leaves out a damaged batch in the middle of the log and goes on behind it, without a word. */
import { batchCandidates, type Codec } from "../ramlog/codec.ts";
import { type Change, List } from "../ramlog/state.ts";
import { type Alteration, alteredRecovery } from "./altered-recovery.ts";
import type { Bug } from "./bug.ts";
import { ListLengths } from "./list-lengths.ts";

function skippingCodec(real: Codec): Codec {
  return {
    ...real,
    readBatch(bytes, offset, segment, expected) {
      const read = real.readBatch(bytes, offset, segment, expected);
      if (read.kind !== "damaged" || !expected) return read;
      for (const candidate of batchCandidates(bytes, offset + 1)) {
        const next = real.readBatch(bytes, candidate, segment);
        if (next.kind === "batch" && next.header.firstIndex > expected.firstIndex) return next;
      }
      return read;
    },
  };
}

/** What follows the hole was recorded on a state that had what is missing: makes it fit. */
function fitting(): Alteration {
  const lengths = new ListLengths();
  const keys = new Set<string>();
  const place = (change: { table: string; key: string }) =>
    `${change.table.length}:${change.table}${change.key}`;
  const fits = (change: Change) => {
    if (change.kind === "clear") keys.clear();
    else if (change.kind === "delete") return keys.delete(place(change));
    else keys.add(place(change));
    return true;
  };
  return {
    restored(table, key, value) {
      keys.add(place({ table, key }));
      if (value instanceof List) lengths.put(table, key, value);
    },
    entry: (changes) => [changes.filter(fits).map((change) => lengths.fit(change))],
  };
}

export const skipsDamaged: Bug = {
  name: "skips-damaged",
  bug: "skips a damaged entry in the middle of the log and serves what is behind it",
  finding: ["served-damaged-data", "lost-acknowledged-write", "reordered-recovery", "resurrected-write"],
  workloads: ["append", "register"],
  faults: ["at-rest"],
  seams: { engine: { recovery: alteredRecovery(fitting, skippingCodec) } },
};
