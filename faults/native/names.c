/*
 * open, rename, link, symlink, unlink, rmdir, mkdir in the data directory. An error does nothing; everything that can be
 * done to a name is error, kill or delay, or a state of the disk (`full` refuses new names, `read-only` every change).
 *
 * While a trace is written, calls on names are made one at a time, so that their order in the trace is the order in which
 * they happened: otherwise another thread's write to a new file could be recorded before the file's creation had ended.
 *
 * Traced: opens that can write or create, and every other call. A rename out of the directory is traced as an unlink;
 * one into it from outside, and symbolic links, are blind spots.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "calls.h"
#include "counts.h"
#include "failures.h"
#include "files.h"
#include "maps.h"
#include "pages.h"
#include "process.h"
#include "real.h"
#include "rules.h"
#include "trace.h"

static size_t no_room(const struct attempt *attempt) {
  (void)attempt;
  return 0;
}

/* A call on names: what is common to all of them. */
struct naming {
  struct attempt attempt;
  struct trace_event event;
  struct firing firing;
  uint64_t call;
  bool traced;
  bool locked;
};

/* Consults the rules and records the begin; returns -errno when the call is refused, else 0. */
static int naming_begins(struct naming *naming) {
  count(naming->attempt.operation);
  naming->firing = consult_rules(&naming->attempt);
  naming->event.effect = naming->firing.effect;
  if (naming->traced && !naming->firing.killed) naming->call = trace_begin(&naming->event);
  delay(&naming->firing);
  if (naming->firing.todo == EFFECT_ERROR) return -naming->firing.error;
  if (tracing) naming->locked = lock_word(&control->names_lock);
  return 0;
}

static int naming_ends(struct naming *naming, int result) {
  if (naming->traced) trace_end(naming->call, &naming->event, result);
  if (naming->locked) unlock_word(&control->names_lock);
  finish(&naming->firing, naming->attempt.path);
  return result;
}

/* Open */

static int real_open(int directory_fd, const char *path, uint64_t flags, mode_t mode, uint64_t resolve) {
  if (resolve == 0 && flags <= INT32_MAX) return (int)real(SYS_openat, directory_fd, path, flags, mode);
  bool creates = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
  struct real_open_how how = {.flags = flags, .mode = creates ? mode : 0, .resolve = resolve};
  return (int)real(SYS_openat2, directory_fd, path, &how, sizeof how);
}

static void name_directory(char path[PATH_BYTES]) {
  size_t length = strlen(path);
  if (strcmp(path, ".") != 0 && length + 2 < PATH_BYTES) strcpy(path + length, "/.");
}

/* Several may make the same name at once, and the file is made by one of them: says whether it was this one. */
static int open_new(int directory_fd, const char *path, uint64_t flags, mode_t mode, uint64_t resolve, bool *created) {
  int fd = real_open(directory_fd, path, flags | O_EXCL, mode, resolve);
  *created = fd >= 0;
  if (fd == -EEXIST && !(flags & O_EXCL)) fd = real_open(directory_fd, path, flags, mode, resolve);
  return fd;
}

/* What is known of a file only once it is open. */
static void opened(struct naming *naming, int fd, bool created, bool truncates) {
  struct named now;
  if (naming->attempt.operation == OP_CREATE) names_changed();
  if (!look_up(fd, "", true, &now)) return;
  naming->event.device = now.device;
  naming->event.inode = now.inode;
  naming->event.size = (uint64_t)now.size;
  if (created) {
    /* Inodes are used again at once. */
    naming->event.flags |= TRACE_CREATED;
    forget_failure(now.device, now.inode);
    if (keeping_pages()) pages_forget(now.device, now.inode);
  } else if (truncates) {
    naming->event.flags |= TRACE_TRUNCATED;
    if (keeping_pages()) pages_truncated(now.device, now.inode, 0);
    refresh_mappings(now.device, now.inode, 0, 0);
  }
}

int acked_open(int directory_fd, const char *path, uint64_t flags, mode_t mode, uint64_t resolve) {
  char relative[PATH_BYTES];
  if (!control || (flags & O_PATH) || !identify_path(directory_fd, path, relative)) {
    return real_open(directory_fd, path, flags, mode, resolve);
  }
  if ((flags & O_TMPFILE) == O_TMPFILE) {
    blind(BLIND_TEMPORARY_FILE);
    return real_open(directory_fd, path, flags, mode, resolve);
  }
  if (flags & O_DSYNC) __atomic_store_n(&control->opened_synchronous, 1, __ATOMIC_RELEASE); /* O_SYNC has its bit */
  struct named before = {0};
  bool exists = look_up(directory_fd, path, !(flags & O_NOFOLLOW), &before);
  if (exists && !before.regular && !before.directory) return real_open(directory_fd, path, flags, mode, resolve);
  bool creates = (flags & O_CREAT) && !exists;
  bool truncates = exists && (flags & O_TRUNC) && !before.directory;
  bool writes = (flags & O_ACCMODE) != O_RDONLY || truncates;
  if (exists && before.directory) name_directory(relative);
  struct naming naming = {
      .attempt = {.operation = creates ? OP_CREATE : OP_OPEN,
                  .path = relative,
                  .changes = creates || writes,
                  .room = creates ? no_room : NULL},
      .event = {.kind = TRACE_OPEN,
                .device = before.device,
                .inode = before.inode,
                .flags = (truncates ? TRACE_TRUNCATED : 0) | (before.directory ? TRACE_DIRECTORY : 0),
                .path = relative},
      .traced = creates || writes,
  };
  int refused = naming_begins(&naming);
  if (refused) return naming_ends(&naming, refused);
  bool created = false;
  int fd = creates ? open_new(directory_fd, path, flags, mode, resolve, &created)
                   : real_open(directory_fd, path, flags, mode, resolve);
  if (fd >= 0) opened(&naming, fd, created, (flags & O_TRUNC) != 0);
  int error = naming_ends(&naming, fd < 0 ? fd : 0);
  return error ? error : fd;
}

/* Rename and link: two names, of which one may be outside */

struct two_names {
  char from[PATH_BYTES];
  char to[PATH_BYTES];
  bool leaves;
  bool arrives;
  struct named what;
};

static bool find_names(struct two_names *names, int from_fd, const char *from, int to_fd, const char *to) {
  if (!control) return false;
  names->leaves = identify_path(from_fd, from, names->from);
  names->arrives = identify_path(to_fd, to, names->to);
  if (!names->leaves && !names->arrives) return false;
  names->what = (struct named){0};
  look_up(from_fd, from, false, &names->what);
  return true;
}

static struct naming naming_of(struct two_names *names, enum operation operation, enum trace_kind kind, unsigned mode) {
  struct naming naming = {
      .attempt = {.operation = operation,
                  .path = names->arrives ? names->to : names->from,
                  .other_path = names->leaves ? names->from : NULL,
                  .changes = true},
      .event = {.kind = kind,
                .device = names->what.device,
                .inode = names->what.inode,
                .flags = (names->what.directory ? TRACE_DIRECTORY : 0) | (mode ? TRACE_HAS_MODE : 0),
                .port_or_mode = mode,
                .path = names->arrives ? names->to : names->from,
                .other_path = names->leaves && names->arrives ? names->from : NULL},
      .traced = true,
  };
  if (!names->arrives) naming.event.kind = TRACE_UNLINK;
  if (!names->leaves) {
    blind(BLIND_MOVED_IN);
    naming.traced = false;
  }
  return naming;
}

static int real_rename(int from_fd, const char *from, int to_fd, const char *to, unsigned flags) {
#ifdef SYS_renameat
  if (flags == 0) return (int)real(SYS_renameat, from_fd, from, to_fd, to);
#endif
  return (int)real(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

int acked_rename(int from_fd, const char *from, int to_fd, const char *to, unsigned flags) {
  struct two_names names;
  if (!find_names(&names, from_fd, from, to_fd, to)) return real_rename(from_fd, from, to_fd, to, flags);
  struct naming naming = naming_of(&names, OP_RENAME, TRACE_RENAME, flags);
  int refused = naming_begins(&naming);
  if (refused) return naming_ends(&naming, refused);
  int result = real_rename(from_fd, from, to_fd, to, flags);
  names_changed();
  return naming_ends(&naming, result);
}

int acked_link(int from_fd, const char *from, int to_fd, const char *to, int flags) {
  struct two_names names;
  bool empty = (flags & AT_EMPTY_PATH) && from && !*from;
  if (!control || empty || !find_names(&names, from_fd, from, to_fd, to) || !names.arrives) {
    if (control && empty) blind(BLIND_TEMPORARY_FILE);
    return (int)real(SYS_linkat, from_fd, from, to_fd, to, flags);
  }
  struct naming naming = naming_of(&names, OP_LINK, TRACE_LINK, 0);
  naming.attempt.room = no_room;
  int refused = naming_begins(&naming);
  if (refused) return naming_ends(&naming, refused);
  int result = (int)real(SYS_linkat, from_fd, from, to_fd, to, flags);
  names_changed();
  return naming_ends(&naming, result);
}

int acked_symlink(const char *target, int directory_fd, const char *path) {
  char relative[PATH_BYTES];
  if (!control || !identify_path(directory_fd, path, relative)) {
    return (int)real(SYS_symlinkat, target, directory_fd, path);
  }
  struct naming naming = {
      .attempt = {.operation = OP_LINK, .path = relative, .changes = true, .room = no_room}};
  int refused = naming_begins(&naming);
  if (refused) return naming_ends(&naming, refused);
  int result = (int)real(SYS_symlinkat, target, directory_fd, path);
  if (result == 0) blind(BLIND_SYMBOLIC_LINK);
  names_changed();
  return naming_ends(&naming, result);
}

/* One name */

int acked_unlink(int directory_fd, const char *path, int flags) {
  char relative[PATH_BYTES];
  if (!control || !identify_path(directory_fd, path, relative)) {
    return (int)real(SYS_unlinkat, directory_fd, path, flags);
  }
  struct named named = {0};
  look_up(directory_fd, path, false, &named);
  struct naming naming = {
      .attempt = {.operation = OP_UNLINK, .path = relative, .changes = true},
      .event = {.kind = flags & AT_REMOVEDIR ? TRACE_RMDIR : TRACE_UNLINK,
                .device = named.device,
                .inode = named.inode,
                .flags = named.directory ? TRACE_DIRECTORY : 0,
                .path = relative},
      .traced = true,
  };
  int refused = naming_begins(&naming);
  if (refused) return naming_ends(&naming, refused);
  int result = (int)real(SYS_unlinkat, directory_fd, path, flags);
  names_changed();
  return naming_ends(&naming, result);
}

int acked_mkdir(int directory_fd, const char *path, mode_t mode) {
  char relative[PATH_BYTES];
  if (!control || !identify_path(directory_fd, path, relative)) {
    return (int)real(SYS_mkdirat, directory_fd, path, mode);
  }
  struct naming naming = {
      .attempt = {.operation = OP_MKDIR, .path = relative, .changes = true, .room = no_room},
      .event = {.kind = TRACE_MKDIR, .flags = TRACE_DIRECTORY, .path = relative},
      .traced = true,
  };
  int refused = naming_begins(&naming);
  if (refused) return naming_ends(&naming, refused);
  int result = (int)real(SYS_mkdirat, directory_fd, path, mode);
  struct named made;
  if (result == 0 && look_up(directory_fd, path, false, &made)) {
    naming.event.device = made.device;
    naming.event.inode = made.inode;
  }
  names_changed();
  return naming_ends(&naming, result);
}
