/*
 * Which files have failed to reach the disk, and who has been told: the kernel's errseq_t, for failures that are
 * invented here (fsyncgate, writeback-error, revert, late).
 *
 * As in Linux: a failure is reported once to every open file description that was open when it happened, and to one
 * opened later only if nobody has been told yet. dup and fork share a description. Shared by all processes of the
 * store, and kept while no process runs: the kernel remembers it with the inode.
 */
#ifndef ACKED_FAILURES_H
#define ACKED_FAILURES_H

#include <stdbool.h>
#include <stdint.h>

/* The file's pages could not be written: `error` is reported by the next syncs. */
void fail_pages(uint64_t device, uint64_t inode, int error);

/* The error that this sync has to report through this description, which has then been told; 0 when none. */
int tell_failure(uint64_t device, uint64_t inode, uint64_t description);

/* The inode belongs to a new file. */
void forget_failure(uint64_t device, uint64_t inode);

/* False until any file has failed: nothing else need be asked. */
bool any_failure(void);

#endif
