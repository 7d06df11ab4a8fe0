/** The planted bugs, one line each. */
import { acknowledgesBeforeSync } from "./acknowledges-before-sync.ts";
import { appliesTwice } from "./applies-twice.ts";
import type { Bug } from "./bug.ts";
import { dropsLastRecord } from "./drops-last-record.ts";
import { ignoresFailedSync } from "./ignores-failed-sync.ts";
import { neverSyncs } from "./never-syncs.ts";
import { noChecksum } from "./no-checksum.ts";
import { nonAtomicCas } from "./non-atomic-cas.ts";
import { partialTransaction } from "./partial-transaction.ts";
import { resurrectsDeleted } from "./resurrects-deleted.ts";
import { retriesFailedSync } from "./retries-failed-sync.ts";
import { showsUnsynced } from "./shows-unsynced.ts";
import { skipsDamaged } from "./skips-damaged.ts";

export const bugs: readonly Bug[] = [
  acknowledgesBeforeSync,
  neverSyncs,
  ignoresFailedSync,
  retriesFailedSync,
  noChecksum,
  dropsLastRecord,
  appliesTwice,
  resurrectsDeleted,
  showsUnsynced,
  partialTransaction,
  nonAtomicCas,
  skipsDamaged,
];
