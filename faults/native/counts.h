/*
 * Counters that the harness reads while the store runs: calls by operation, and syncs of log files, numbered by when
 * they began, so that the harness can tell whether one that began after an operation was invoked had completed when
 * it was acknowledged. A complete synchronous write (O_DSYNC, O_SYNC, RWF_DSYNC) counts as a sync.
 */
#ifndef ACKED_COUNTS_H
#define ACKED_COUNTS_H

#include <errno.h>
#include <stdint.h>

#include "control.h"

static inline void count(enum operation operation) {
  __atomic_add_fetch(&control->calls[operation], 1, __ATOMIC_RELAXED);
}

static inline uint64_t begin_log_sync(void) {
  return __atomic_add_fetch(&control->syncs_begun, 1, __ATOMIC_SEQ_CST);
}

/* A sync that was interrupted (EINTR) has neither succeeded nor failed. */
static inline void end_log_sync(uint64_t begin, int error) {
  if (error == EINTR) return;
  if (error) {
    __atomic_add_fetch(&control->syncs_failed, 1, __ATOMIC_SEQ_CST);
    return;
  }
  uint64_t highest = __atomic_load_n(&control->sync_completed, __ATOMIC_SEQ_CST);
  while (highest < begin && !__atomic_compare_exchange_n(&control->sync_completed, &highest, begin, 0,
                                                         __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
  }
}

#endif
