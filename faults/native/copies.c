/*
 * copy_file_range, sendfile, splice and clones into files of the data directory.
 *
 * While a rule is armed or a trace is written, the bytes are read here and written through acked_write, so that they are
 * recorded and every effect on a write applies; at most COPY_BYTES a call, which these calls may always do. Otherwise the
 * real call is made. From a pipe, what was read is written to the end, unless a write fails: then the rest is lost,
 * where the kernel would have left it in the pipe.
 * A clone is all or nothing: it can fail, be delayed and killed, and is recorded as writes of what it shares.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/fs.h>

#include "calls.h"
#include "counts.h"
#include "files.h"
#include "maps.h"
#include "pages.h"
#include "real.h"
#include "rules.h"
#include "sockets.h"
#include "trace.h"

#define COPY_BYTES (1u << 20)
#define CLONE_PIECE (4u << 20)

static bool goes_through_here(int to) {
  struct file file;
  if (!control || identify(to, &file) != SEEN_FILE) return false;
  if (tracing || keeping_pages() || __atomic_load_n(&control->armed, __ATOMIC_ACQUIRE)) return true;
  count(OP_WRITE);
  return false;
}

static char *memory_for(size_t length) {
  char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? NULL : memory;
}

/* Writes what was read; goes on after a short write only where what is left could not be read again. */
static ssize_t write_out(int to, off_t *to_offset, char *bytes, size_t length, bool to_the_end) {
  size_t done = 0;
  do {
    struct iovec part = {.iov_base = bytes + done, .iov_len = length - done};
    struct transfer write = {.fd = to, .parts = &part, .parts_count = 1, .positioned = to_offset != NULL};
    if (to_offset) write.offset = *to_offset;
    ssize_t written = acked_write(&write);
    if (written < 0) return done ? (ssize_t)done : written;
    if (to_offset) *to_offset += written;
    done += (size_t)written;
    if (written == 0) break;
  } while (to_the_end && done < length);
  return (ssize_t)done;
}

static ssize_t copy_through(int from, off_t *from_offset, int to, off_t *to_offset, size_t length) {
  if (length == 0) return 0;
  if (length > COPY_BYTES) length = COPY_BYTES;
  char *bytes = memory_for(length);
  if (!bytes) return -ENOMEM;
  off_t position = from_offset ? *from_offset : real(SYS_lseek, from, 0, SEEK_CUR);
  bool pipe = !from_offset && position < 0;
  ssize_t got = pipe ? real(SYS_read, from, bytes, length) : real(SYS_pread64, from, bytes, length, position);
  ssize_t result = got <= 0 ? got : write_out(to, to_offset, bytes, (size_t)got, pipe);
  if (result > 0 && from_offset) *from_offset = position + result;
  else if (result > 0 && !pipe) real(SYS_lseek, from, position + result, SEEK_SET);
  munmap(bytes, length);
  return result;
}

static bool overlap(int from, off_t from_offset, int to, off_t to_offset, size_t length) {
  struct named source, target;
  if (!look_up(from, "", true, &source) || !look_up(to, "", true, &target)) return false;
  if (source.inode != target.inode || source.device != target.device) return false;
  return from_offset < to_offset + (off_t)length && to_offset < from_offset + (off_t)length;
}

ssize_t acked_copy_file_range(int from, off_t *from_offset, int to, off_t *to_offset, size_t length,
                              unsigned flags) {
  if (!goes_through_here(to)) {
    return real(SYS_copy_file_range, from, from_offset, to, to_offset, length, flags);
  }
  if (flags) return -EINVAL;
  long status = real(SYS_fcntl, to, F_GETFL);
  if (status < 0 || (status & O_APPEND)) return -EBADF;
  off_t source = from_offset ? *from_offset : real(SYS_lseek, from, 0, SEEK_CUR);
  off_t target = to_offset ? *to_offset : real(SYS_lseek, to, 0, SEEK_CUR);
  if (overlap(from, source, to, target, length)) return -EINVAL;
  return copy_through(from, from_offset, to, to_offset, length);
}

ssize_t acked_sendfile(int to, int from, off_t *from_offset, size_t length) {
  struct file socket;
  if (goes_through_here(to)) return copy_through(from, from_offset, to, NULL, length);
  if (!tracing || identify(to, &socket) != SEEN_SOCKET) return real(SYS_sendfile, to, from, from_offset, length);
  struct sending sending = sending_begins(to, &socket, length);
  ssize_t result = real(SYS_sendfile, to, from, from_offset, length);
  sending_ends(&sending, result);
  return result;
}

ssize_t acked_splice(int from, off_t *from_offset, int to, off_t *to_offset, size_t length, unsigned flags) {
  struct file socket;
  if (goes_through_here(to)) return copy_through(from, from_offset, to, to_offset, length);
  if (!tracing || identify(to, &socket) != SEEN_SOCKET) {
    return real(SYS_splice, from, from_offset, to, to_offset, length, flags);
  }
  struct sending sending = sending_begins(to, &socket, length);
  ssize_t result = real(SYS_splice, from, from_offset, to, to_offset, length, flags);
  sending_ends(&sending, result);
  return result;
}

/* Clones */

static int real_clone(int to, int from, uint64_t from_offset, uint64_t length, uint64_t to_offset, bool range) {
  if (!range) return (int)real(SYS_ioctl, to, FICLONE, from);
  struct file_clone_range clone = {
      .src_fd = from, .src_offset = from_offset, .src_length = length, .dest_offset = to_offset};
  return (int)real(SYS_ioctl, to, FICLONERANGE, &clone);
}

struct cloning {
  uint64_t length;
  int64_t to_offset;
  int64_t size;
};

static size_t room_for_clone(const struct attempt *attempt) {
  const struct cloning *cloning = attempt->call;
  return cloning->to_offset + (int64_t)cloning->length > cloning->size ? 0 : SIZE_MAX;
}

/* One piece of a clone, as the write it amounts to; its begin is recorded before, its end after. */
static struct trace_event piece_of(const struct file *file, const struct firing *firing, uint64_t at, uint64_t size) {
  return (struct trace_event){.kind = TRACE_WRITE,
                              .effect = firing->effect,
                              .device = file->device,
                              .inode = file->inode,
                              .offset = (int64_t)at,
                              .size = size,
                              .path = file->path};
}

static void record_pieces(const struct file *file, const struct firing *firing, int from, uint64_t from_offset,
                          uint64_t to_offset, uint64_t length, uint64_t *calls) {
  char *bytes = memory_for(CLONE_PIECE);
  for (uint64_t done = 0; bytes && done < length; done += CLONE_PIECE) {
    uint64_t size = length - done < CLONE_PIECE ? length - done : CLONE_PIECE;
    long got = real(SYS_pread64, from, bytes, size, from_offset + done);
    struct iovec data = {.iov_base = bytes, .iov_len = got > 0 ? (size_t)got : 0};
    struct trace_event event = piece_of(file, firing, to_offset + done, size);
    event.data = &data;
    event.data_parts = 1;
    calls[done / CLONE_PIECE] = trace_begin(&event);
  }
  if (bytes) munmap(bytes, CLONE_PIECE);
}

int acked_clone(int to, int from, uint64_t from_offset, uint64_t length, uint64_t to_offset, bool range) {
  struct file file;
  struct named source;
  if (!control || identify(to, &file) != SEEN_FILE || !look_up(from, "", true, &source)) {
    return real_clone(to, from, from_offset, length, to_offset, range);
  }
  count(OP_WRITE);
  if (!range) from_offset = to_offset = 0;
  uint64_t whole = (uint64_t)source.size > from_offset ? (uint64_t)source.size - from_offset : 0;
  uint64_t size = length == 0 || length > whole ? whole : length;
  struct cloning cloning = {.length = size, .to_offset = (int64_t)to_offset, .size = file.size};
  struct attempt attempt = {.operation = OP_WRITE,
                            .path = file.path,
                            .length = size,
                            .changes = true,
                            .fixed = true,
                            .call = &cloning,
                            .room = room_for_clone};
  struct firing firing = consult_rules(&attempt);
  size_t pieces = size / CLONE_PIECE + 1;
  uint64_t *calls = (uint64_t *)memory_for(pieces * sizeof *calls);
  if (tracing && calls && !firing.killed) {
    record_pieces(&file, &firing, from, from_offset, to_offset, size, calls);
  }
  delay(&firing);
  if (keeping_pages()) pages_before_write(to, &file, (int64_t)to_offset, size);
  bool refused = firing.todo == EFFECT_ERROR || firing.todo == EFFECT_SHORT;
  int result = refused ? -firing.error : real_clone(to, from, from_offset, length, to_offset, range);
  if (result == 0) refresh_mappings(file.device, file.inode, (int64_t)to_offset, size);
  for (uint64_t done = 0; calls && done < size; done += CLONE_PIECE) {
    uint64_t piece = size - done < CLONE_PIECE ? size - done : CLONE_PIECE;
    struct trace_event event = piece_of(&file, &firing, to_offset + done, result == 0 ? piece : 0);
    trace_end(calls[done / CLONE_PIECE], &event, result == 0 ? (int64_t)piece : result);
  }
  if (calls) munmap(calls, pieces * sizeof *calls);
  finish(&firing, file.path);
  return result;
}
