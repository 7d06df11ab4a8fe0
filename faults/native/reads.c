/*
 * read, pread, readv, preadv, preadv2 of files of the data directory: looked at only while the harness has asked for it
 * (`control->watch_reads`), and never traced. Reads through a mapping, and those within the kernel (copy_file_range,
 * sendfile), are not acted upon.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <unistd.h>

#include "calls.h"
#include "counts.h"
#include "files.h"
#include "pages.h"
#include "real.h"
#include "rules.h"

static ssize_t perform(const struct transfer *read) {
  const struct iovec *parts = read->parts;
  int count = read->parts_count;
  if (read->flags) {
    off_t offset = read->positioned ? read->offset : -1;
    return real(SYS_preadv2, read->fd, parts, count, offset, 0, read->flags);
  }
  if (count != 1) {
    return read->positioned ? real(SYS_preadv, read->fd, parts, count, read->offset, 0)
                            : real(SYS_readv, read->fd, parts, count);
  }
  return read->positioned ? real(SYS_pread64, read->fd, parts->iov_base, parts->iov_len, read->offset)
                          : real(SYS_read, read->fd, parts->iov_base, parts->iov_len);
}

static ssize_t perform_part(const struct transfer *read, size_t bytes) {
  struct iovec parts[IOV_MAX];
  int kept = 0;
  for (; bytes > 0 && kept < read->parts_count; kept++) {
    parts[kept] = read->parts[kept];
    if (parts[kept].iov_len > bytes) parts[kept].iov_len = bytes;
    bytes -= parts[kept].iov_len;
  }
  struct transfer part = *read;
  part.parts = parts;
  part.parts_count = kept;
  return kept == 0 ? 0 : perform(&part);
}

struct file_read {
  const struct transfer *transfer;
  struct file file;
  int64_t offset;
  size_t available; /* how many bytes it can return */
};

static bool would_be_stale(const struct attempt *attempt) {
  const struct file_read *read = attempt->call;
  return keeping_pages() &&
         pages_differ_from_older(read->transfer->fd, &read->file, read->offset, read->available);
}

/* Inverts one bit of what was read, counted over what was read. */
static void flip(const struct transfer *read, size_t length, int64_t bit) {
  uint64_t position = (uint64_t)bit % (length * 8);
  size_t byte = position / 8;
  for (int part = 0; part < read->parts_count; part++) {
    if (byte < read->parts[part].iov_len) {
      char *at = (char *)read->parts[part].iov_base + byte;
      *at = (char)(*at ^ (1 << (position % 8)));
      return;
    }
    byte -= read->parts[part].iov_len;
  }
}

static ssize_t act(struct file_read *read, const struct firing *firing) {
  if (firing->todo == EFFECT_ERROR) return -firing->error;
  if (firing->todo == EFFECT_SHORT) return perform_part(read->transfer, firing->bytes);
  ssize_t got = perform(read->transfer);
  if (got > 0 && firing->todo == EFFECT_BIT_FLIP) flip(read->transfer, (size_t)got, firing->argument);
  if (got > 0 && firing->todo == EFFECT_STALE) {
    pages_make_stale(&read->file, read->offset, read->transfer->parts, read->transfer->parts_count, (uint64_t)got);
  }
  return got;
}

ssize_t acked_read(const struct transfer *transfer) {
  struct file_read read = {.transfer = transfer};
  if (!control || !__atomic_load_n(&control->watch_reads, __ATOMIC_RELAXED) || transfer->parts_count < 1 ||
      transfer->parts_count > IOV_MAX || identify(transfer->fd, &read.file) != SEEN_FILE) {
    return perform(transfer);
  }
  count(OP_READ);
  if (!__atomic_load_n(&control->armed, __ATOMIC_ACQUIRE)) return perform(transfer);
  bool at_position = !transfer->positioned || (transfer->flags && transfer->offset == -1);
  read.offset = at_position ? real(SYS_lseek, transfer->fd, 0, SEEK_CUR) : transfer->offset;
  size_t length = 0;
  for (int part = 0; part < transfer->parts_count; part++) length += transfer->parts[part].iov_len;
  int64_t left = read.offset < 0 ? 0 : read.file.size - read.offset;
  read.available = left <= 0 ? 0 : (size_t)left < length ? (size_t)left : length;
  struct attempt attempt = {.operation = OP_READ,
                            .path = read.file.path,
                            .length = read.available,
                            .call = &read,
                            .stale = would_be_stale};
  struct firing firing = consult_rules(&attempt);
  delay(&firing);
  ssize_t result = act(&read, &firing);
  finish(&firing, read.file.path);
  return result;
}
