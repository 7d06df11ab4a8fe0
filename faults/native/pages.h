/*
 * The page history: what the pages of the data directory's files held before they were last written. Kept only while the
 * harness has asked for it (`control->keep_pages`), in the control file, for two effects:
 *   - `revert`: everything written since the last sync that covered it is undone, as of that sync's begin;
 *   - `stale`: a read returns what the page held before it was last written, as of the last sync before that.
 *
 * An entry is one page's content before the first write after a sync began (or after the history began). The earliest
 * entry after the last good sync's begin is what is durable; the latest entry is what `stale` returns. A revert leaves the
 * size of a file as it is, with zeros where nothing was before; it undoes what was written while the sync ran, too.
 * What was there when the history began counts as synced. A file cut shorter forgets what was behind.
 * Stores to shared mappings are not in it.
 * When it is full, or cannot be read or mapped, a blind spot says so.
 */
#ifndef ACKED_PAGES_H
#define ACKED_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "files.h"

#define PAGE_BYTES 4096

/* False while no history is kept: then none of the functions below need be called. */
bool keeping_pages(void);

/* Before a write of `length` bytes at `offset` through `fd` (which need not be readable). */
void pages_before_write(int fd, const struct file *file, int64_t offset, uint64_t length);

/* A sync has begun; what is returned is to be given back once it has succeeded. */
uint64_t pages_sync_begin(const struct file *file);
void pages_synced(const struct file *file, uint64_t begun);

/* A write that was durable when it ended. */
void pages_written_through(const struct file *file, int64_t offset, uint64_t length);

/* Everything, of all files: syncfs. */
void pages_all_synced(void);

/* The file was cut or emptied. */
void pages_truncated(uint64_t device, uint64_t inode, int64_t size);

/* The inode belongs to a new file. */
void pages_forget(uint64_t device, uint64_t inode);

/* Undoes in the file what was written since the last sync; `file->size` is its size now. */
void pages_revert(int fd, const struct file *file);

/* Whether what is known to have been in the range before is anything else; and puts it over what was read. */
bool pages_differ_from_older(int fd, const struct file *file, int64_t offset, uint64_t length);
void pages_make_stale(const struct file *file, int64_t offset, const struct iovec *parts, int count, uint64_t length);

#endif
