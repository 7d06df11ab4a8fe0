/*
 * fsync, fdatasync, sync_file_range, syncfs and sync.
 *
 * Effects, exactly: an error does nothing (fail-keep: the data stays dirty) · lying returns 0 and does nothing ·
 * fsyncgate does nothing, marks the file's pages as lost and reports the error through this description, and once
 * through every other (failures.h) · revert does that, and undoes the file (pages.h) · late marks the pages as lost,
 * returns 0, and reports the error at the next sync of every description, this one included.
 * A sync that reports an earlier failure has been made for real: what was written since the failure is durable,
 * though the program is told otherwise. The trace shows its error and no effect.
 * sync_file_range and syncfs report none of these failures: they are failed, delayed or skipped as a whole.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>

#include "calls.h"
#include "counts.h"
#include "failures.h"
#include "files.h"
#include "maps.h"
#include "pages.h"
#include "real.h"
#include "rules.h"
#include "trace.h"

/* The sync is made, and fails if there is an earlier failure to report. */
static int sync_and_tell(int fd, long number, const struct file *file) {
  int result = (int)real(number, fd);
  if (result != 0 || !any_failure()) return result;
  return -tell_failure(file->device, file->inode, front_description(fd, file->device, file->inode));
}

static int act(int fd, long number, const struct file *file, const struct firing *firing) {
  switch (firing->todo) {
    case EFFECT_ERROR:
      return -firing->error;
    case EFFECT_LYING:
      return 0;
    case EFFECT_FSYNCGATE:
    case EFFECT_REVERT: {
      uint64_t description = front_description(fd, file->device, file->inode);
      fail_pages(file->device, file->inode, firing->error);
      if (firing->todo == EFFECT_REVERT && keeping_pages()) pages_revert(fd, file);
      return -tell_failure(file->device, file->inode, description);
    }
    case EFFECT_LATE: {
      int earlier = -tell_failure(file->device, file->inode, front_description(fd, file->device, file->inode));
      fail_pages(file->device, file->inode, firing->error);
      return earlier;
    }
    default:
      return sync_and_tell(fd, number, file);
  }
}

static int sync_file(int fd, long number, enum trace_kind kind) {
  struct file file;
  enum seen seen = control ? identify(fd, &file) : SEEN_NOTHING;
  if (seen != SEEN_FILE && seen != SEEN_DIRECTORY) return (int)real(number, fd);
  count(OP_SYNC);
  /* Numbered before any delay: whatever is written from here on, the program cannot believe to be covered. */
  uint64_t begin = file.log ? begin_log_sync() : 0;
  if (tracing) record_stores(file.device, file.inode);
  struct attempt attempt = {.operation = OP_SYNC, .path = file.path};
  struct firing firing = consult_rules(&attempt);
  struct trace_event event = {.kind = kind,
                              .effect = firing.effect,
                              .device = file.device,
                              .inode = file.inode,
                              .flags = seen == SEEN_DIRECTORY ? TRACE_DIRECTORY : 0,
                              .path = file.path};
  uint64_t call = firing.killed ? 0 : trace_begin(&event);
  bool kept = seen == SEEN_FILE && keeping_pages();
  uint64_t pages = kept ? pages_sync_begin(&file) : 0;
  delay(&firing);
  int result = act(fd, number, &file, &firing);
  if (kept && result == 0 && firing.todo != EFFECT_LYING && firing.todo != EFFECT_LATE) pages_synced(&file, pages);
  trace_end(call, &event, result);
  if (file.log) end_log_sync(begin, -result);
  finish(&firing, file.path);
  return result;
}

int acked_fsync(int fd) { return sync_file(fd, SYS_fsync, TRACE_SYNC); }
int acked_fdatasync(int fd) { return sync_file(fd, SYS_fdatasync, TRACE_DATASYNC); }

int acked_sync_file_range(int fd, off_t offset, off_t length, unsigned flags) {
  struct file file;
  if (!control || identify(fd, &file) != SEEN_FILE) return (int)real(SYS_sync_file_range, fd, offset, length, flags);
  count(OP_SYNC);
  struct attempt attempt = {.operation = OP_SYNC, .path = file.path, .weak = true};
  struct firing firing = consult_rules(&attempt);
  struct trace_event event = {.kind = TRACE_SYNC_RANGE,
                              .effect = firing.effect,
                              .device = file.device,
                              .inode = file.inode,
                              .offset = offset,
                              .size = (uint64_t)length,
                              .path = file.path};
  uint64_t call = firing.killed ? 0 : trace_begin(&event);
  delay(&firing);
  int result = firing.todo == EFFECT_ERROR   ? -firing.error
               : firing.todo == EFFECT_LYING ? 0
                                             : (int)real(SYS_sync_file_range, fd, offset, length, flags);
  trace_end(call, &event, result);
  finish(&firing, file.path);
  return result;
}

/* Everything in the data directory's file system; named `.`. */
static int sync_everything(long number, int fd, const struct named *directory) {
  count(OP_SYNC);
  uint64_t begin = begin_log_sync();
  if (tracing) record_stores(0, 0);
  struct attempt attempt = {.operation = OP_SYNC, .path = ".", .weak = true};
  struct firing firing = consult_rules(&attempt);
  struct trace_event event = {.kind = TRACE_SYNCFS,
                              .effect = firing.effect,
                              .device = directory->device,
                              .inode = directory->inode,
                              .flags = TRACE_DIRECTORY,
                              .path = "."};
  uint64_t call = firing.killed ? 0 : trace_begin(&event);
  delay(&firing);
  int result = firing.todo == EFFECT_ERROR ? -firing.error : firing.todo == EFFECT_LYING ? 0 : (int)real(number, fd);
  if (result == 0 && firing.todo != EFFECT_LYING && keeping_pages()) pages_all_synced();
  trace_end(call, &event, result);
  end_log_sync(begin, -result);
  finish(&firing, ".");
  return result;
}

int acked_syncfs(int fd) {
  struct named directory, other;
  if (!control) return (int)real(SYS_syncfs, fd);
  directory = data_directory_itself();
  if (!look_up(fd, "", true, &other) || other.device != directory.device) return (int)real(SYS_syncfs, fd);
  return sync_everything(SYS_syncfs, fd, &directory);
}

int acked_sync(void) {
  if (!control) return (int)real(SYS_sync);
  struct named directory = data_directory_itself();
  return sync_everything(SYS_sync, 0, &directory);
}
