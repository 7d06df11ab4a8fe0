/*
 * Shared, writable mappings of files of the data directory. Stores to memory cannot be interposed: a copy is kept of what
 * each mapping held, and what differs is recorded as a write when it matters (calls.h). A mapping that was made while no
 * trace was written and no rule was armed has no copy; then an msync counts as a write of all that it syncs.
 * What was stored and never compared (the process is killed first) is in the file, and not in the trace; so is what is
 * stored to a mapping that was made writable by mprotect.
 */
#ifndef ACKED_MAPS_H
#define ACKED_MAPS_H

#include <stdint.h>

/* Records what has been stored to mappings of the file since the last comparison; inode 0: of every file. */
void record_stores(uint64_t device, uint64_t inode);

/* A call has changed this range of the file: what its mappings show there now is no store. Length 0: to the end. */
void refresh_mappings(uint64_t device, uint64_t inode, int64_t offset, uint64_t length);

/* In a forked child. */
void mappings_after_fork(void);

#endif
