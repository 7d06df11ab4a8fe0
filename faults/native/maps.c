/* Shared mappings: found by mmap, compared page by page; see maps.h and calls.h. */
#define _GNU_SOURCE
#include "maps.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "calls.h"
#include "counts.h"
#include "failures.h"
#include "files.h"
#include "process.h"
#include "real.h"
#include "rules.h"
#include "trace.h"

#define MAPPINGS 256
#define PAGE 4096u

#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 3
#endif

struct mapping {
  char *address; /* null: free */
  size_t length;
  struct file file;
  char path[PATH_BYTES];
  int64_t offset;
  uint64_t description;
  char *copy; /* null when nobody wanted to know what is stored */
};

static struct mapping mappings[MAPPINGS];
static int used; /* slots that are, or were, in use: 0 in most programs */
static char table_lock;

/* This process's own; held while pages are compared. A signal handler of the holder goes on without it. */
static bool hold_table(void) {
  for (int turn = 0; turn < 100000; turn++) {
    if (!__atomic_test_and_set(&table_lock, __ATOMIC_ACQUIRE)) return true;
    if (turn > 100) sched_yield();
  }
  return false;
}

static void let_go(bool held) {
  if (held) __atomic_clear(&table_lock, __ATOMIC_RELEASE);
}

void mappings_after_fork(void) { let_go(true); }

/* Reads the mapping by system call: beyond the end of its file a load would be a SIGBUS. Returns how much was read. */
static size_t peek(const char *from, char *to, size_t length) {
  struct iovec local = {.iov_base = to, .iov_len = length};
  struct iovec remote = {.iov_base = (void *)from, .iov_len = length};
  long got = real(SYS_process_vm_readv, real(SYS_getpid), &local, 1, &remote, 1, 0);
  if (got < 0 && got != -EFAULT) blind(BLIND_MAPPING_UNREAD);
  return got < 0 ? 0 : (size_t)got;
}

/* How much of the mapping the file has: what lies behind it in the last page belongs to no file. */
static size_t length_in_file(const struct mapping *mapping) {
  struct named named;
  char path[PATH_MAX + PATH_BYTES];
  int64_t size = mapping->file.size;
  if (path_in_directory(mapping->path, path, sizeof path) && look_up(AT_FDCWD, path, true, &named) &&
      named.inode == mapping->file.inode && named.device == mapping->file.device) {
    size = named.size;
  }
  if (size <= mapping->offset) return 0;
  return (size_t)(size - mapping->offset) < mapping->length ? (size_t)(size - mapping->offset) : mapping->length;
}

static void record_run(struct mapping *mapping, size_t from, size_t to) {
  if (!tracing) return;
  struct iovec data = {.iov_base = mapping->copy + from, .iov_len = to - from};
  struct trace_event event = {.kind = TRACE_WRITE,
                              .device = mapping->file.device,
                              .inode = mapping->file.inode,
                              .offset = mapping->offset + (int64_t)from,
                              .size = to - from,
                              .path = mapping->path,
                              .data = &data,
                              .data_parts = 1};
  uint64_t call = trace_begin(&event);
  trace_end(call, &event, (int64_t)(to - from));
}

/* Compares the pages of [from, to), takes over what differs and records it. Returns how many bytes differed. */
static size_t compare(struct mapping *mapping, size_t from, size_t to) {
  char page[PAGE];
  size_t limit = length_in_file(mapping), total = 0, run_from = 0, run_to = 0;
  if (to > limit) to = limit;
  for (size_t at = from; at < to; at += PAGE) {
    size_t length = to - at < PAGE ? to - at : PAGE;
    if (peek(mapping->address + at, page, length) != length) break;
    if (memcmp(page, mapping->copy + at, length) == 0) continue;
    size_t first = 0, last = length;
    while (page[first] == mapping->copy[at + first]) first++;
    while (page[last - 1] == mapping->copy[at + last - 1]) last--;
    memcpy(mapping->copy + at, page, length);
    /* A run goes on over a page boundary only without a gap. */
    if (run_to > run_from && run_to == at + first) {
      run_to = at + last;
    } else {
      if (run_to > run_from) record_run(mapping, run_from, run_to);
      run_from = at + first;
      run_to = at + last;
    }
    total += last - first;
  }
  if (run_to > run_from) record_run(mapping, run_from, run_to);
  return total;
}

void record_stores(uint64_t device, uint64_t inode) {
  if (__atomic_load_n(&used, __ATOMIC_ACQUIRE) == 0) return;
  bool held = hold_table();
  for (int slot = 0; slot < used; slot++) {
    struct mapping *mapping = &mappings[slot];
    if (!mapping->address || !mapping->copy) continue;
    if (inode != 0 && (mapping->file.inode != inode || mapping->file.device != device)) continue;
    compare(mapping, 0, mapping->length);
  }
  let_go(held);
}

void refresh_mappings(uint64_t device, uint64_t inode, int64_t offset, uint64_t length) {
  if (__atomic_load_n(&used, __ATOMIC_ACQUIRE) == 0) return;
  bool held = hold_table();
  for (int slot = 0; slot < used; slot++) {
    struct mapping *mapping = &mappings[slot];
    if (!mapping->address || !mapping->copy || mapping->file.inode != inode || mapping->file.device != device) continue;
    int64_t from = offset - mapping->offset;
    int64_t to = length == 0 ? INT64_MAX : from + (int64_t)length;
    if (from < 0) from = 0;
    if (to > (int64_t)mapping->length) to = (int64_t)mapping->length;
    if (to > from) peek(mapping->address + from, mapping->copy + from, (size_t)(to - from));
  }
  let_go(held);
}

/* Mapping and unmapping */

static void remember(char *address, size_t length, const struct file *file, const char *path, int64_t offset,
                     uint64_t description) {
  bool held = hold_table();
  int slot = 0;
  while (slot < MAPPINGS && mappings[slot].address) slot++;
  if (slot == MAPPINGS) {
    blind(BLIND_MAPPINGS_FULL);
    let_go(held);
    return;
  }
  struct mapping *mapping = &mappings[slot];
  *mapping = (struct mapping){
      .address = address, .length = length, .file = *file, .offset = offset, .description = description};
  snprintf(mapping->path, sizeof mapping->path, "%s", path);
  if (tracing || __atomic_load_n(&control->armed, __ATOMIC_ACQUIRE)) {
    void *copy = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (copy == MAP_FAILED) blind(BLIND_MAPPINGS_FULL);
    else mapping->copy = copy;
    if (mapping->copy) peek(address, mapping->copy, length_in_file(mapping));
  }
  if (slot >= used) __atomic_store_n(&used, slot + 1, __ATOMIC_RELEASE);
  let_go(held);
}

void *acked_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
  struct file file;
  int type = flags & MAP_TYPE;
  bool shared = type == MAP_SHARED || type == MAP_SHARED_VALIDATE;
  bool watched = control && shared && !(flags & MAP_ANONYMOUS) && (protection & PROT_WRITE) &&
                 identify(fd, &file) == SEEN_FILE;
  if (control && (flags & MAP_FIXED) && used) record_stores(0, 0);
  long result = real(SYS_mmap, address, length, protection, flags, fd, offset);
  if (watched && !real_error(result)) {
    uint64_t description = front_description(fd, file.device, file.inode);
    remember((char *)result, (length + PAGE - 1) & ~(size_t)(PAGE - 1), &file, file.path, offset, description);
  }
  return (void *)result;
}

/* What is left of a mapping after a part of it has gone: the part before, and the part behind as a new mapping. */
static void take_away(struct mapping *mapping, char *from, char *to) {
  struct mapping whole = *mapping;
  char *end = whole.address + whole.length;
  mapping->address = NULL;
  if (whole.copy) munmap(whole.copy, whole.length);
  if (from > whole.address) {
    remember(whole.address, (size_t)(from - whole.address), &whole.file, whole.path, whole.offset, whole.description);
  }
  if (to < end) {
    remember(to, (size_t)(end - to), &whole.file, whole.path, whole.offset + (to - whole.address), whole.description);
  }
}

int acked_munmap(void *address, size_t length) {
  char *from = address;
  char *to = from + ((length + PAGE - 1) & ~(size_t)(PAGE - 1));
  for (int slot = 0; control && slot < __atomic_load_n(&used, __ATOMIC_ACQUIRE); slot++) {
    struct mapping *mapping = &mappings[slot];
    if (!mapping->address || mapping->address >= to || mapping->address + mapping->length <= from) continue;
    if (mapping->copy) {
      bool held = hold_table();
      compare(mapping, 0, mapping->length);
      let_go(held);
    }
    take_away(mapping, from > mapping->address ? from : mapping->address, to);
  }
  return (int)real(SYS_munmap, address, length);
}

void *acked_mremap(void *address, size_t length, size_t new_length, int flags, void *new_address) {
  char *from = address;
  struct mapping moved = {0};
  for (int slot = 0; control && slot < __atomic_load_n(&used, __ATOMIC_ACQUIRE); slot++) {
    struct mapping *mapping = &mappings[slot];
    if (!mapping->address || from < mapping->address || from >= mapping->address + mapping->length) continue;
    if (mapping->copy) record_stores(mapping->file.device, mapping->file.inode);
    moved = *mapping;
  }
  long result = real(SYS_mremap, address, length, new_length, flags, new_address);
  if (!moved.address || real_error(result)) return (void *)result;
  for (int slot = 0; slot < used; slot++) {
    struct mapping *mapping = &mappings[slot];
    if (mapping->address == moved.address) take_away(mapping, from, from + length);
  }
  remember((char *)result, new_length, &moved.file, moved.path, moved.offset + (from - moved.address),
           moved.description);
  return (void *)result;
}

/* msync */

static struct mapping *mapping_at(const char *address) {
  for (int slot = 0; slot < __atomic_load_n(&used, __ATOMIC_ACQUIRE); slot++) {
    struct mapping *mapping = &mappings[slot];
    if (mapping->address && address >= mapping->address && address < mapping->address + mapping->length) return mapping;
  }
  return NULL;
}

/* The stores, as a write that rules may fail; their bytes are in the page cache already. */
static int stores_written(struct mapping *mapping, size_t from, size_t to) {
  bool held = hold_table();
  size_t bytes = mapping->copy ? compare(mapping, from, to) : to - from;
  let_go(held);
  if (bytes == 0) return 0;
  count(OP_WRITE);
  struct attempt attempt = {
      .operation = OP_WRITE, .path = mapping->path, .length = bytes, .changes = true, .fixed = true};
  struct firing firing = consult_rules(&attempt);
  delay(&firing);
  if (firing.todo == EFFECT_WRITEBACK_ERROR) {
    /* They are lost before the msync gets to them, which is the one that is told. */
    fail_pages(mapping->file.device, mapping->file.inode, firing.error);
    struct trace_event lost = {.kind = TRACE_PAGES_LOST,
                               .device = mapping->file.device,
                               .inode = mapping->file.inode,
                               .offset = mapping->offset + (int64_t)from,
                               .size = to - from,
                               .path = mapping->path};
    trace_instant(&lost);
  }
  finish(&firing, mapping->path);
  return firing.todo == EFFECT_ERROR ? -firing.error : 0;
}

static int sync_mapping(struct mapping *mapping, void *address, size_t length, int flags) {
  size_t from = (size_t)((char *)address - mapping->address);
  size_t to = from + length < mapping->length ? from + length : mapping->length;
  int failed = stores_written(mapping, from, to);
  if (failed) return failed;
  if (!(flags & MS_SYNC)) return (int)real(SYS_msync, address, length, flags);
  count(OP_SYNC);
  uint64_t begin = mapping->file.log ? begin_log_sync() : 0;
  struct attempt attempt = {.operation = OP_SYNC, .path = mapping->path, .fixed = true};
  struct firing firing = consult_rules(&attempt);
  struct trace_event event = {.kind = TRACE_DATASYNC,
                              .effect = firing.effect,
                              .device = mapping->file.device,
                              .inode = mapping->file.inode,
                              .offset = mapping->offset + (int64_t)from,
                              .size = to - from,
                              .path = mapping->path};
  uint64_t call = firing.killed ? 0 : trace_begin(&event);
  delay(&firing);
  bool lasting = firing.todo == EFFECT_FSYNCGATE || firing.todo == EFFECT_LATE;
  int result = 0;
  if (firing.todo == EFFECT_ERROR) result = -firing.error;
  else if (!lasting && firing.todo != EFFECT_LYING) result = (int)real(SYS_msync, address, length, flags);
  if (lasting && firing.todo != EFFECT_LATE) fail_pages(mapping->file.device, mapping->file.inode, firing.error);
  if (result == 0 && any_failure()) {
    result = -tell_failure(mapping->file.device, mapping->file.inode, mapping->description);
  }
  if (firing.todo == EFFECT_LATE) fail_pages(mapping->file.device, mapping->file.inode, firing.error);
  trace_end(call, &event, result);
  if (mapping->file.log) end_log_sync(begin, -result);
  finish(&firing, mapping->path);
  return result;
}

int acked_msync(void *address, size_t length, int flags) {
  struct mapping *mapping = control ? mapping_at(address) : NULL;
  if (!mapping) return (int)real(SYS_msync, address, length, flags);
  return sync_mapping(mapping, address, length, flags);
}
