/* Writing records into the shared trace; see trace.h for the format and for what a kill may leave. */
#define _GNU_SOURCE
#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "control.h"
#include "crc32c.h"
#include "process.h"
#include "real.h"

/* Space is allocated this many bytes ahead: about once in 20,000 small writes. */
#define CHUNK_BYTES (8u << 20)

bool tracing;
static struct trace_header *header;
static char trace_path[PATH_MAX];

const char *open_trace(const char *path) {
  if (strlen(path) >= sizeof trace_path || path[0] != '/') return "ACKED_TRACE must be an absolute path";
  long fd = real(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    return fd == -EACCES ? "the trace cannot be opened by the store's user (Permission denied)"
                         : "the trace cannot be opened";
  }
  struct trace_header head = {0};
  struct stat status;
  bool read = real(SYS_pread64, fd, &head, sizeof head, 0) == (long)sizeof head;
  if (!read || memcmp(head.magic, TRACE_MAGIC, sizeof head.magic) != 0 || head.version != TRACE_VERSION) {
    real(SYS_close, fd);
    return "the trace was made by another version of acked";
  }
  if (fstat((int)fd, &status) != 0 || (uint64_t)status.st_size < head.capacity) {
    real(SYS_close, fd);
    return "the trace file is smaller than its capacity";
  }
  void *mapped = mmap(NULL, head.capacity, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, (int)fd, 0);
  real(SYS_close, fd);
  if (mapped == MAP_FAILED) return "the trace cannot be mapped";
  header = mapped;
  crc32c("", 0); /* prepares its table, if it needs one, while there is one thread */
  strcpy(trace_path, path);
  tracing = true;
  return NULL;
}

/*
 * Backs the file with real space up to `end` and a chunk more. By path, each time: a descriptor kept open could be closed
 * by the program, and its number reused. Several processes may do it at once; it is idempotent.
 */
static bool allocate_to(uint64_t end) {
  uint64_t from = __atomic_load_n(&header->allocated, __ATOMIC_ACQUIRE);
  uint64_t to = end + CHUNK_BYTES > header->capacity ? header->capacity : end + CHUNK_BYTES;
  if (from >= end) return true;
  long fd = real(SYS_openat, AT_FDCWD, trace_path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  long result;
  do {
    result = real(SYS_fallocate, fd, 0, from, to - from);
  } while (result == -EINTR);
  real(SYS_close, fd);
  /* Without fallocate nothing can be promised: a full disk would end the store with SIGBUS. */
  if (result != 0 && result != -EOPNOTSUPP) return false;
  while (from < to && !__atomic_compare_exchange_n(&header->allocated, &from, to, false, __ATOMIC_ACQ_REL,
                                                   __ATOMIC_ACQUIRE)) {
  }
  return true;
}

/* Room for one record, zero-filled but for its length; null when there is none. */
static struct trace_record *reserve(size_t length) {
  uint64_t offset = __atomic_fetch_add(&header->cursor, length, __ATOMIC_ACQ_REL);
  uint64_t end = offset + length;
  if (end > header->capacity ||
      (end > __atomic_load_n(&header->allocated, __ATOMIC_ACQUIRE) && !allocate_to(end))) {
    __atomic_fetch_add(&header->overflowed, 1, __ATOMIC_ACQ_REL);
    if (control) blind(BLIND_TRACE_FULL);
    return NULL;
  }
  struct trace_record *record = (struct trace_record *)((char *)header + offset);
  __atomic_store_n(&record->length, (uint32_t)length, __ATOMIC_RELEASE);
  return record;
}

static char *append(char *at, const void *bytes, size_t length) {
  memcpy(at, bytes, length);
  return at + length;
}

static uint64_t emit(const struct trace_event *event, enum trace_phase phase, uint64_t call, int64_t result) {
  size_t path_length = event->path ? strlen(event->path) : 0;
  size_t other_length = event->other_path ? strlen(event->other_path) : 0;
  size_t data_length = 0;
  for (int part = 0; part < event->data_parts; part++) data_length += event->data[part].iov_len;
  size_t used = sizeof(struct trace_record) + path_length + other_length + data_length;
  struct trace_record *record = reserve((used + 7) & ~(size_t)7);
  if (!record) return 0;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  record->kind = (uint16_t)event->kind;
  record->phase = (uint16_t)phase;
  record->pid = (uint32_t)acting_pid();
  record->tid = (uint32_t)acting_tid();
  record->effect = event->effect;
  record->at_ns = (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
  record->call = call;
  record->device = event->device;
  record->inode = event->inode;
  record->result = result;
  record->offset = event->offset;
  record->size = event->size;
  record->flags = event->flags;
  record->port_or_mode = event->port_or_mode;
  record->path_length = (uint16_t)path_length;
  record->other_path_length = (uint16_t)other_length;
  record->data_length = (uint32_t)data_length;
  char *at = (char *)(record + 1);
  if (path_length) at = append(at, event->path, path_length);
  if (other_length) at = append(at, event->other_path, other_length);
  for (int part = 0; part < event->data_parts; part++) {
    at = append(at, event->data[part].iov_base, event->data[part].iov_len);
  }
  uint32_t checksum = crc32c((const char *)record + 8, record->length - 8);
  __atomic_store_n(&record->checksum, checksum ? checksum : 1, __ATOMIC_RELEASE);
  return (uint64_t)((char *)record - (char *)header);
}

uint64_t trace_begin(const struct trace_event *event) {
  return tracing ? emit(event, TRACE_BEGIN, 0, 0) : 0;
}

void trace_instant(const struct trace_event *event) {
  if (tracing) emit(event, TRACE_INSTANT, 0, 0);
}

void trace_end(uint64_t call, const struct trace_event *event, int64_t result) {
  if (!tracing || call == 0) return;
  struct trace_event end = *event;
  end.data_parts = 0;
  emit(&end, TRACE_END, call, result);
}
