/** The planted bugs, one line each. */
import { acknowledgesBeforeSync } from "./acknowledges-before-sync.ts";
import { appliesTwice } from "./applies-twice.ts";
import { believesStaleRecords } from "./believes-stale-records.ts";
import type { Bug } from "./bug.ts";
import { deletesLogEarly } from "./deletes-log-early.ts";
import { dropsLastRecord } from "./drops-last-record.ts";
import { forgetsReusedName } from "./forgets-reused-name.ts";
import { forgetsSegmentName } from "./forgets-segment-name.ts";
import { forgetsSnapshotName } from "./forgets-snapshot-name.ts";
import { ignoresFailedName } from "./ignores-failed-name.ts";
import { ignoresFailedSync } from "./ignores-failed-sync.ts";
import { losesFirstBatch } from "./loses-first-batch.ts";
import { namesSnapshotEarly } from "./names-snapshot-early.ts";
import { neverSyncs } from "./never-syncs.ts";
import { noChecksum } from "./no-checksum.ts";
import { nonAtomicCas } from "./non-atomic-cas.ts";
import { partialTransaction } from "./partial-transaction.ts";
import { resurrectsDeleted } from "./resurrects-deleted.ts";
import { retriesFailedSync } from "./retries-failed-sync.ts";
import { showsUnsynced } from "./shows-unsynced.ts";
import { skipsDamaged } from "./skips-damaged.ts";
import { syncsWrongFile } from "./syncs-wrong-file.ts";
import { truncatesAnywhere } from "./truncates-anywhere.ts";
import { trustsZeros } from "./trusts-zeros.ts";

export const bugs: readonly Bug[] = [
  acknowledgesBeforeSync,
  neverSyncs,
  ignoresFailedSync,
  retriesFailedSync,
  ignoresFailedName,
  noChecksum,
  dropsLastRecord,
  appliesTwice,
  resurrectsDeleted,
  showsUnsynced,
  partialTransaction,
  nonAtomicCas,
  skipsDamaged,
  truncatesAnywhere,
  forgetsSegmentName,
  forgetsReusedName,
  forgetsSnapshotName,
  namesSnapshotEarly,
  deletesLogEarly,
  believesStaleRecords,
  trustsZeros,
  syncsWrongFile,
  losesFirstBatch,
];
