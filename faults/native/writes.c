/*
 * write, pwrite, writev, pwritev, pwritev2: one description for all of them, so that effects are applied in one place.
 *
 * Effects, exactly: an error writes nothing · short and torn write the first bytes · torn-error leaves the bytes and
 * the file position where it was · lying moves the position and writes nothing · misdirected writes everything at
 * the offset plus the shift (never below 0), also through a descriptor that appends, and moves the position as asked ·
 * bit-flip inverts one bit of a copy · writeback-error writes everything, and marks the file's pages as lost.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "calls.h"
#include "counts.h"
#include "failures.h"
#include "files.h"
#include "maps.h"
#include "pages.h"
#include "process.h"
#include "real.h"
#include "rules.h"
#include "sockets.h"
#include "trace.h"

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif

static size_t length_of(const struct transfer *write) {
  size_t length = 0;
  for (int part = 0; part < write->parts_count; part++) length += write->parts[part].iov_len;
  return length;
}

/* The real call, of the whole. */
static ssize_t perform(const struct transfer *write) {
  const struct iovec *parts = write->parts;
  int count = write->parts_count;
  /* The system call takes the offset in two halves. */
  if (write->flags) {
    off_t offset = write->positioned ? write->offset : -1;
    return real(SYS_pwritev2, write->fd, parts, count, offset, 0, write->flags);
  }
  if (count != 1) {
    return write->positioned ? real(SYS_pwritev, write->fd, parts, count, write->offset, 0)
                             : real(SYS_writev, write->fd, parts, count);
  }
  return write->positioned ? real(SYS_pwrite64, write->fd, parts->iov_base, parts->iov_len, write->offset)
                           : real(SYS_write, write->fd, parts->iov_base, parts->iov_len);
}

/* The real call, of the first `bytes` bytes only. */
static ssize_t perform_part(const struct transfer *write, size_t bytes) {
  struct iovec parts[IOV_MAX];
  int kept = 0;
  for (; bytes > 0 && kept < write->parts_count; kept++) {
    parts[kept] = write->parts[kept];
    if (parts[kept].iov_len > bytes) parts[kept].iov_len = bytes;
    bytes -= parts[kept].iov_len;
  }
  if (kept == 0) return 0;
  struct transfer part = *write;
  part.parts = parts;
  part.parts_count = kept;
  return perform(&part);
}

/* One write to a file of the data directory. */
struct file_write {
  const struct transfer *transfer;
  struct file file;
  size_t length;
  int status;         /* F_GETFL; -1: not asked for yet */
  int64_t offset;     /* where it will go; -1: not asked for yet */
  ssize_t result;     /* what the program is told */
  int64_t went_to;    /* where it really went */
  uint64_t reached;   /* how many bytes really reached the file */
};

static int status_of(struct file_write *write) {
  if (write->status < 0) write->status = (int)real(SYS_fcntl, write->transfer->fd, F_GETFL);
  return write->status;
}

/* pwrite(2) on a descriptor opened with O_APPEND appends, whatever the offset: Linux, documented under BUGS. */
static bool appends(struct file_write *write) {
  if (write->transfer->flags & RWF_APPEND) return true;
  return (status_of(write) & O_APPEND) && !(write->transfer->flags & RWF_NOAPPEND);
}

static bool uses_position(const struct transfer *write) {
  return !write->positioned || (write->flags && write->offset == -1);
}

static int64_t offset_of(struct file_write *write) {
  if (write->offset >= 0) return write->offset;
  if (appends(write)) write->offset = write->file.size;
  else if (!uses_position(write->transfer)) write->offset = write->transfer->offset;
  else write->offset = real(SYS_lseek, write->transfer->fd, 0, SEEK_CUR);
  return write->offset;
}

static size_t room_for_write(const struct attempt *attempt) {
  struct file_write *write = (struct file_write *)attempt->call;
  int64_t start = offset_of(write);
  int64_t size = write->file.size;
  if (start < 0 || write->length == 0 || start + (int64_t)write->length <= size) return SIZE_MAX;
  return start < size ? (size_t)(size - start) : 0;
}

static bool is_synchronous(struct file_write *write) {
  if (write->transfer->flags & (RWF_DSYNC | RWF_SYNC)) return true;
  /* Linux sets these flags at open only: where none was opened so, there is no need to ask. */
  if (!__atomic_load_n(&control->opened_synchronous, __ATOMIC_ACQUIRE)) return false;
  return (status_of(write) & O_DSYNC) != 0;
}

static void move_position(const struct file_write *write, int64_t to) {
  if (uses_position(write->transfer)) real(SYS_lseek, write->transfer->fd, to, SEEK_SET);
}

/* The same file through a new description that does not append. */
static int opened_without_append(const struct file_write *write) {
  char link[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", write->transfer->fd);
  return (int)real(SYS_openat, AT_FDCWD, link, (O_WRONLY | O_CLOEXEC) | (write->status & O_DSYNC));
}

static void misdirect(struct file_write *write, int64_t shift) {
  int64_t to = write->offset + shift < 0 ? 0 : write->offset + shift;
  struct transfer shifted = *write->transfer;
  shifted.positioned = true;
  shifted.offset = to;
  shifted.flags &= RWF_DSYNC | RWF_SYNC;
  int other = appends(write) ? opened_without_append(write) : -1;
  if (other >= 0) shifted.fd = other;
  ssize_t written = perform(&shifted);
  if (other >= 0) real(SYS_close, other);
  write->result = written;
  if (written < 0) return;
  write->went_to = to;
  write->reached = (uint64_t)written;
  move_position(write, write->offset + written);
}

/* A copy of the data with one bit inverted; not from malloc, which write(2) must not need. Null without memory. */
static char *flipped_copy(const struct file_write *write, int64_t bit) {
  char *copy = mmap(NULL, write->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (copy == MAP_FAILED) return NULL;
  size_t at = 0;
  for (int part = 0; part < write->transfer->parts_count; part++) {
    const struct iovec *from = &write->transfer->parts[part];
    memcpy(copy + at, from->iov_base, from->iov_len);
    at += from->iov_len;
  }
  uint64_t position = (uint64_t)bit % (write->length * 8);
  copy[position / 8] = (char)(copy[position / 8] ^ (1 << (position % 8)));
  return copy;
}

static void take_result(struct file_write *write, ssize_t written) {
  write->result = written;
  write->reached = written > 0 ? (uint64_t)written : 0;
  if (written > 0 && write->went_to >= 0 && appends(write) && uses_position(write->transfer)) {
    write->went_to = real(SYS_lseek, write->transfer->fd, 0, SEEK_CUR) - written;
  }
}

/* The call itself, with the effect applied. */
static void act(struct file_write *write, const struct firing *firing) {
  switch (firing->todo) {
    case EFFECT_ERROR:
      write->result = -firing->error;
      return;
    case EFFECT_SHORT:
    case EFFECT_TORN_KILL:
      take_result(write, perform_part(write->transfer, firing->bytes));
      return;
    case EFFECT_TORN_ERROR: {
      bool returns = !appends(write);
      take_result(write, perform_part(write->transfer, firing->bytes));
      if (write->result < 0) return;
      if (returns) move_position(write, write->offset);
      write->result = -firing->error;
      return;
    }
    case EFFECT_LYING:
      if (!appends(write)) move_position(write, write->offset + (int64_t)write->length);
      write->result = (ssize_t)write->length;
      return;
    case EFFECT_MISDIRECTED:
      misdirect(write, firing->argument);
      return;
    default:
      take_result(write, perform(write->transfer));
  }
}

static struct trace_event event_of(const struct file_write *write, const struct firing *firing, bool synchronous) {
  return (struct trace_event){.kind = TRACE_WRITE,
                              .effect = firing->effect,
                              .device = write->file.device,
                              .inode = write->file.inode,
                              .offset = write->offset,
                              .size = write->length,
                              .flags = synchronous ? TRACE_SYNCHRONOUS : 0,
                              .path = write->file.path,
                              .data = write->transfer->parts,
                              .data_parts = write->transfer->parts_count};
}

/*
 * Where an append went is known from the file position afterwards, if no other thread has used the descriptor in
 * between: those of this process are kept out, while tracing. Never across a write that syncs; a holder that does not
 * let go (a signal handler's own thread) is not waited for, and nobody for a delay.
 */
static char position_locks[64];

static bool hold_position(int fd) {
  for (int turn = 0; turn < 10000; turn++) {
    if (!__atomic_test_and_set(&position_locks[fd & 63], __ATOMIC_ACQUIRE)) return true;
    if (turn > 100) sched_yield();
  }
  return false;
}

void acked_forked(void) {
  memset(position_locks, 0, sizeof position_locks);
  mappings_after_fork();
  forget_actor();
}

static void write_recorded(struct file_write *write, const struct attempt *attempt, bool synchronous) {
  struct firing firing = consult_rules(attempt);
  bool held = tracing && !synchronous && !firing.delay_ns && uses_position(write->transfer) &&
              hold_position(write->transfer->fd);
  bool whereabouts = tracing || keeping_pages() || firing.todo == EFFECT_TORN_ERROR ||
                     firing.todo == EFFECT_LYING || firing.todo == EFFECT_MISDIRECTED;
  if (whereabouts) {
    /* Another writer may have appended while the lock was waited for. */
    struct file now;
    if (held && appends(write) && identify(write->transfer->fd, &now) == SEEN_FILE) write->file.size = now.size;
    write->went_to = offset_of(write);
  }
  struct transfer flipped = *write->transfer;
  struct iovec copy = {.iov_len = write->length};
  if (firing.todo == EFFECT_BIT_FLIP) copy.iov_base = flipped_copy(write, firing.argument);
  if (copy.iov_base) {
    flipped.parts = &copy;
    flipped.parts_count = 1;
    write->transfer = &flipped;
  }
  struct trace_event event = event_of(write, &firing, synchronous);
  uint64_t call = firing.killed ? 0 : trace_begin(&event);
  delay(&firing);
  if (keeping_pages() && firing.todo != EFFECT_ERROR && firing.todo != EFFECT_LYING && write->offset >= 0) {
    int64_t from = firing.todo == EFFECT_MISDIRECTED ? write->offset + firing.argument : write->offset;
    pages_before_write(write->transfer->fd, &write->file, from < 0 ? 0 : from, write->length);
  }
  act(write, &firing);
  if (held) __atomic_clear(&position_locks[write->transfer->fd & 63], __ATOMIC_RELEASE);
  if (synchronous && write->result >= 0 && keeping_pages()) {
    pages_written_through(&write->file, write->went_to, write->reached);
  }
  if (write->reached > 0 && write->went_to >= 0) {
    refresh_mappings(write->file.device, write->file.inode, write->went_to, write->reached);
  }
  event.offset = write->went_to;
  event.size = write->reached;
  trace_end(call, &event, write->result);
  if (firing.todo == EFFECT_WRITEBACK_ERROR && write->result > 0) {
    fail_pages(write->file.device, write->file.inode, firing.error);
    event.kind = TRACE_PAGES_LOST;
    event.data_parts = 0;
    trace_instant(&event);
  }
  if (copy.iov_base) munmap(copy.iov_base, copy.iov_len);
  finish(&firing, write->file.path);
}

static ssize_t write_to_file(struct file_write *write) {
  bool synchronous = is_synchronous(write);
  bool counted = synchronous && write->file.log;
  if (!counted && !tracing && !__atomic_load_n(&control->armed, __ATOMIC_ACQUIRE) && !keeping_pages()) {
    return perform(write->transfer);
  }
  if (tracing) record_stores(write->file.device, write->file.inode);
  write->length = length_of(write->transfer);
  struct attempt attempt = {.operation = OP_WRITE,
                            .path = write->file.path,
                            .length = write->length,
                            .changes = write->length > 0,
                            .call = write,
                            .room = room_for_write};
  uint64_t begin = counted ? begin_log_sync() : 0;
  write_recorded(write, &attempt, synchronous);
  /* A partial one is neither done nor failed: the program is expected to go on with the rest. */
  if (counted && (write->result < 0 || write->result == (ssize_t)write->length)) {
    end_log_sync(begin, real_error(write->result));
  }
  return write->result;
}

ssize_t acked_write(const struct transfer *transfer) {
  struct file_write write = {.transfer = transfer, .status = -1, .offset = -1, .went_to = -1};
  if (!control || transfer->parts_count < 1 || transfer->parts_count > IOV_MAX) return perform(transfer);
  enum seen seen = identify(transfer->fd, &write.file);
  if (seen == SEEN_SOCKET && tracing) {
    struct sending sending = sending_begins(transfer->fd, &write.file, length_of(transfer));
    ssize_t result = perform(transfer);
    sending_ends(&sending, result);
    return result;
  }
  if (seen != SEEN_FILE) return perform(transfer);
  count(OP_WRITE);
  return write_to_file(&write);
}
