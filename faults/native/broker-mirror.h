/*
 * Mirrors of the store's shared, writable mappings: the broker cannot see stores to memory, but it can map the same
 * file. Both show the same page cache, so the core's comparison (maps.h) finds in the mirror what the store has stored.
 * A mirror stays until the broker ends, also when the store unmaps: what was stored last is found then.
 */
#ifndef ACKED_BROKER_MIRROR_H
#define ACKED_BROKER_MIRROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker-target.h"
#include "files.h"

/* The store is about to map this part of a file. Once per part. */
void mirror(const struct file *file, int fd, size_t length, off_t offset);

/* msync of the target's memory, made on the mirrors of what is mapped there. False: none of it is mirrored. */
bool sync_mirrors(const struct target *target, uint64_t address, uint64_t length, int flags, int *result);

/* The store is no more: what it stored last is recorded. */
void record_last_stores(void);

#endif
