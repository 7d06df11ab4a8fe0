/* truncate, ftruncate and fallocate (every mode): one operation, `truncate`. An error changes nothing. */
#define _GNU_SOURCE
#include <fcntl.h>

#include <linux/falloc.h>

#include "calls.h"
#include "counts.h"
#include "files.h"
#include "maps.h"
#include "pages.h"
#include "real.h"
#include "rules.h"
#include "trace.h"

struct resize {
  int64_t size;
  int64_t wanted; /* how far the file needs space */
};

static size_t room_for_resize(const struct attempt *attempt) {
  const struct resize *resize = attempt->call;
  return resize->wanted > resize->size ? 0 : SIZE_MAX;
}

struct sizing {
  struct resize resize;
  struct attempt attempt;
  struct trace_event event;
  struct firing firing;
  uint64_t call;
};

/* Returns -errno when the call is refused, else 0. */
static int sizing_begins(struct sizing *sizing, const struct file *file) {
  count(OP_TRUNCATE);
  if (tracing) record_stores(file->device, file->inode);
  sizing->attempt = (struct attempt){.operation = OP_TRUNCATE,
                                     .path = file->path,
                                     .changes = true,
                                     .call = &sizing->resize,
                                     .room = room_for_resize};
  sizing->firing = consult_rules(&sizing->attempt);
  sizing->event.effect = sizing->firing.effect;
  sizing->event.device = file->device;
  sizing->event.inode = file->inode;
  sizing->event.path = file->path;
  if (!sizing->firing.killed) sizing->call = trace_begin(&sizing->event);
  delay(&sizing->firing);
  return sizing->firing.todo == EFFECT_ERROR ? -sizing->firing.error : 0;
}

static int sizing_ends(struct sizing *sizing, int result) {
  if (result == 0) refresh_mappings(sizing->event.device, sizing->event.inode, 0, 0);
  trace_end(sizing->call, &sizing->event, result);
  finish(&sizing->firing, sizing->attempt.path);
  return result;
}

static struct sizing cutting_to(const struct file *file, off_t size) {
  return (struct sizing){.resize = {.size = file->size, .wanted = size},
                         .event = {.kind = TRACE_TRUNCATE, .offset = size}};
}

int acked_ftruncate(int fd, off_t size) {
  struct file file;
  if (!control || identify(fd, &file) != SEEN_FILE) return (int)real(SYS_ftruncate, fd, size);
  struct sizing sizing = cutting_to(&file, size);
  int refused = sizing_begins(&sizing, &file);
  if (refused) return sizing_ends(&sizing, refused);
  int result = (int)real(SYS_ftruncate, fd, size);
  if (result == 0 && keeping_pages()) pages_truncated(file.device, file.inode, size);
  return sizing_ends(&sizing, result);
}

int acked_truncate(const char *path, off_t size) {
  char relative[PATH_BYTES];
  struct named named;
  if (!control || !identify_path(AT_FDCWD, path, relative) || !look_up(AT_FDCWD, path, true, &named)) {
    return (int)real(SYS_truncate, path, size);
  }
  struct file file = {.device = named.device, .inode = named.inode, .size = named.size, .path = relative};
  struct sizing sizing = cutting_to(&file, size);
  int refused = sizing_begins(&sizing, &file);
  if (refused) return sizing_ends(&sizing, refused);
  int result = (int)real(SYS_truncate, path, size);
  if (result == 0 && keeping_pages()) pages_truncated(file.device, file.inode, size);
  return sizing_ends(&sizing, result);
}

int acked_fallocate(int fd, int mode, off_t offset, off_t length) {
  struct file file;
  if (!control || identify(fd, &file) != SEEN_FILE) return (int)real(SYS_fallocate, fd, mode, offset, length);
  bool frees = (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE)) != 0;
  int64_t wanted = frees ? 0 : (mode & FALLOC_FL_INSERT_RANGE) ? file.size + length : offset + length;
  struct sizing sizing = {.resize = {.size = file.size, .wanted = wanted},
                          .event = {.kind = TRACE_ALLOCATE,
                                    .offset = offset,
                                    .size = (uint64_t)length,
                                    .flags = TRACE_HAS_MODE,
                                    .port_or_mode = (uint32_t)mode}};
  int refused = sizing_begins(&sizing, &file);
  if (refused) return sizing_ends(&sizing, refused);
  /* What the zeroing modes overwrite can be undone; what the shifting ones move is not followed. */
  if (keeping_pages() && (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))) {
    pages_before_write(fd, &file, offset, (uint64_t)length);
  }
  return sizing_ends(&sizing, (int)real(SYS_fallocate, fd, mode, offset, length));
}
