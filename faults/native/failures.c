/* Failures by inode, and who has been told of them; see failures.h. */
#define _GNU_SOURCE
#include "failures.h"

#include "calls.h"
#include "control.h"
#include "process.h"

bool any_failure(void) { return __atomic_load_n(&control->failures_known, __ATOMIC_ACQUIRE) != 0; }

static struct failure *find(uint64_t device, uint64_t inode) {
  for (int slot = 0; slot < FAILURE_SLOTS; slot++) {
    struct failure *failure = &control->failures[slot];
    if (failure->sequence != 0 && failure->inode == inode && failure->device == device) return failure;
  }
  return NULL;
}

/* A free slot, or that of the oldest failure that somebody has been told of. */
static struct failure *slot_for_one_more(void) {
  struct failure *oldest = NULL;
  for (int slot = 0; slot < FAILURE_SLOTS; slot++) {
    struct failure *failure = &control->failures[slot];
    if (failure->sequence == 0) return failure;
    if (failure->seen && (!oldest || failure->sequence < oldest->sequence)) oldest = failure;
  }
  blind(BLIND_FAILURES_FULL);
  return oldest;
}

void fail_pages(uint64_t device, uint64_t inode, int error) {
  lock_control();
  struct failure *failure = find(device, inode);
  if (!failure) failure = slot_for_one_more();
  if (failure) {
    failure->device = device;
    failure->inode = inode;
    failure->error = (uint32_t)error;
    failure->seen = 0;
    failure->sequence = ++control->failure_sequence;
    __atomic_store_n(&control->failures_known, 1, __ATOMIC_RELEASE);
  }
  unlock_control();
}

uint64_t new_description(uint64_t device, uint64_t inode) {
  uint64_t id = __atomic_add_fetch(&control->description, 1, __ATOMIC_ACQ_REL);
  if (!any_failure()) return id;
  if (id >= DESCRIPTIONS) {
    blind(BLIND_FAILURES_FULL);
    return id;
  }
  lock_control();
  const struct failure *failure = find(device, inode);
  if (failure && failure->seen) control->told[id] = (uint32_t)failure->sequence;
  unlock_control();
  return id;
}

int tell_failure(uint64_t device, uint64_t inode, uint64_t description) {
  if (description >= DESCRIPTIONS) blind(BLIND_FAILURES_FULL);
  int error = 0;
  lock_control();
  struct failure *failure = find(device, inode);
  bool known = description > 0 && description < DESCRIPTIONS;
  if (failure && !(known && control->told[description] >= (uint32_t)failure->sequence)) {
    error = (int)failure->error;
    failure->seen = 1;
    if (known) control->told[description] = (uint32_t)failure->sequence;
  }
  unlock_control();
  return error;
}

void forget_failure(uint64_t device, uint64_t inode) {
  if (!any_failure()) return;
  lock_control();
  struct failure *failure = find(device, inode);
  if (failure) failure->sequence = 0;
  unlock_control();
}
