/*
 * The interposer: a library preloaded into a store's processes. It wraps the C library's calls that change files,
 * counts those on files of the data directory, and does to them what the rules in the control file say.
 *
 * Models: errors, short and torn writes, SIGKILL before and after a call, delays, a full disk; see faults/contract.ts
 * (`Effect`). Failed syncs are fail-keep: nothing was done, and the data stays dirty.
 * Counts: syncs of log files, numbered by when they began, so that the harness can tell whether one that began after
 * an operation was invoked had completed when it was acknowledged. A complete write through a descriptor opened with
 * O_DSYNC or O_SYNC (or with RWF_DSYNC) counts as a sync.
 *   msync(MS_SYNC) and syncfs are counted whatever they cover: that can hide a missing sync, never invent one.
 *   sync_file_range and close make nothing durable, and are not wrapped.
 * Does not see: statically linked programs, system calls made directly (io_uring, syscall()), stdio's own writes
 * (fwrite, fopen), copy_file_range, sendfile, FICLONE and shared mappings. The harness detects a program that never
 * loaded it (`processes_inside` stays 0).
 *
 * No lock is ever held, least of all across a real call: it would serialise a group commit.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "control.h"
#include "files.h"
#include "rules.h"

#define INTERPOSED __attribute__((visibility("default")))

/* Declares `real_name`, resolved at first use: libraries initialised before this one already make calls. */
#define REAL(result, name, ...)                                                        \
  typedef result (*name##_function)(__VA_ARGS__);                                      \
  static result (*real_##name(void))(__VA_ARGS__) {                                    \
    static name##_function found;                                                      \
    name##_function known = __atomic_load_n(&found, __ATOMIC_RELAXED);                 \
    if (!known) {                                                                      \
      known = (name##_function)dlsym(RTLD_NEXT, #name);                                \
      __atomic_store_n(&found, known, __ATOMIC_RELAXED);                               \
    }                                                                                  \
    return known;                                                                      \
  }

REAL(ssize_t, write, int, const void *, size_t)
REAL(ssize_t, pwrite, int, const void *, size_t, off_t)
REAL(ssize_t, writev, int, const struct iovec *, int)
REAL(ssize_t, pwritev, int, const struct iovec *, int, off_t)
REAL(ssize_t, pwritev2, int, const struct iovec *, int, off_t, int)
REAL(int, fsync, int)
REAL(int, fdatasync, int)
REAL(int, syncfs, int)
REAL(int, msync, void *, size_t, int)
REAL(int, openat, int, const char *, int, ...)
REAL(int, rename, const char *, const char *)
REAL(int, renameat, int, const char *, int, const char *)
REAL(int, renameat2, int, const char *, int, const char *, unsigned int)
REAL(int, unlink, const char *)
REAL(int, unlinkat, int, const char *, int)
REAL(int, ftruncate, int, off_t)
REAL(int, truncate, const char *, off_t)
REAL(int, fallocate, int, int, off_t, off_t)
REAL(int, posix_fallocate, int, off_t, off_t)

struct control *control;

static void count(enum operation operation) {
  __atomic_add_fetch(&control->calls[operation], 1, __ATOMIC_RELAXED);
}

/* Syncs of the log */

static uint64_t begin_sync(void) { return __atomic_add_fetch(&control->syncs_begun, 1, __ATOMIC_SEQ_CST); }

static void end_sync(uint64_t begin, bool succeeded) {
  if (!succeeded) {
    __atomic_add_fetch(&control->syncs_failed, 1, __ATOMIC_SEQ_CST);
    return;
  }
  uint64_t highest = __atomic_load_n(&control->sync_completed, __ATOMIC_SEQ_CST);
  while (highest < begin && !__atomic_compare_exchange_n(&control->sync_completed, &highest, begin, false,
                                                         __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
  }
}

static int interpose_sync(int fd, int (*real)(int)) {
  struct file file;
  if (!control || !identify(fd, true, &file)) return real(fd);
  count(OP_SYNC);
  /* Numbered before any delay: whatever is written from here on, the program cannot believe to be covered. */
  uint64_t begin = file.log ? begin_sync() : 0;
  struct attempt attempt = {.operation = OP_SYNC, .path = file.path};
  struct firing firing = consult_rules(&attempt);
  int result = firing.effect == EFFECT_ERROR ? -1 : real(fd);
  if (file.log) end_sync(begin, result == 0);
  finish(&firing, file.path);
  return result;
}

INTERPOSED int fsync(int fd) { return interpose_sync(fd, real_fsync()); }
INTERPOSED int fdatasync(int fd) { return interpose_sync(fd, real_fdatasync()); }

INTERPOSED int syncfs(int fd) {
  uint64_t begin = control ? begin_sync() : 0;
  int result = real_syncfs()(fd);
  if (control) end_sync(begin, result == 0);
  return result;
}

INTERPOSED int msync(void *address, size_t length, int flags) {
  bool counted = control && (flags & MS_SYNC);
  uint64_t begin = counted ? begin_sync() : 0;
  int result = real_msync()(address, length, flags);
  if (counted) end_sync(begin, result == 0);
  return result;
}

/* Writes: one description for all of them, so that effects are applied in one place. */

struct write_call {
  enum { PLAIN, POSITIONED, VECTORED, POSITIONED_VECTORED, FLAGGED_VECTORED } kind;
  int fd;
  const struct iovec *parts;
  int parts_count;
  off_t offset; /* for the positioned kinds; -1 in a flagged one means the current position */
  int flags;
};

struct file_write {
  const struct write_call *call;
  off_t size;
};

static size_t length_of(const struct write_call *call) {
  size_t length = 0;
  for (int part = 0; part < call->parts_count; part++) length += call->parts[part].iov_len;
  return length;
}

/* The real call, of the whole. */
static ssize_t perform(const struct write_call *call) {
  switch (call->kind) {
    case PLAIN:
      return real_write()(call->fd, call->parts->iov_base, call->parts->iov_len);
    case POSITIONED:
      return real_pwrite()(call->fd, call->parts->iov_base, call->parts->iov_len, call->offset);
    case VECTORED:
      return real_writev()(call->fd, call->parts, call->parts_count);
    case POSITIONED_VECTORED:
      return real_pwritev()(call->fd, call->parts, call->parts_count, call->offset);
    default:
      return real_pwritev2()(call->fd, call->parts, call->parts_count, call->offset, call->flags);
  }
}

/* The real call, of the first `bytes` bytes only. */
static ssize_t perform_part(const struct write_call *call, size_t bytes) {
  struct iovec parts[IOV_MAX];
  int kept = 0;
  for (; bytes > 0 && kept < call->parts_count; kept++) {
    parts[kept] = call->parts[kept];
    if (parts[kept].iov_len > bytes) parts[kept].iov_len = bytes;
    bytes -= parts[kept].iov_len;
  }
  if (kept == 0) return 0;
  struct write_call part = *call;
  part.parts = parts;
  part.parts_count = kept;
  return perform(&part);
}

/* pwrite(2) on a descriptor opened with O_APPEND appends, whatever the offset: Linux, documented under BUGS. */
static size_t room_for_write(const struct attempt *attempt) {
  const struct file_write *write = attempt->call;
  const struct write_call *call = write->call;
  bool positioned = call->kind == POSITIONED || call->kind == POSITIONED_VECTORED ||
                    (call->kind == FLAGGED_VECTORED && call->offset != -1);
  bool appends = (fcntl(call->fd, F_GETFL) & O_APPEND) != 0;
  off_t start = appends ? write->size : positioned ? call->offset : lseek(call->fd, 0, SEEK_CUR);
  if (start < 0 || attempt->length == 0 || start + (off_t)attempt->length <= write->size) return SIZE_MAX;
  return start < write->size ? (size_t)(write->size - start) : 0;
}

static bool is_synchronous(const struct write_call *call) {
  if (call->flags & (RWF_DSYNC | RWF_SYNC)) return true;
  /* Linux sets these flags at open only: where none was opened so, there is no need to ask. */
  if (!__atomic_load_n(&control->opened_synchronous, __ATOMIC_ACQUIRE)) return false;
  return (fcntl(call->fd, F_GETFL) & O_DSYNC) != 0;
}

static ssize_t apply(const struct write_call *call, const struct firing *firing) {
  if (firing->effect == EFFECT_ERROR) return -1;
  if (firing->effect == EFFECT_SHORT || firing->effect == EFFECT_TORN_KILL) {
    return perform_part(call, firing->bytes);
  }
  return perform(call);
}

static ssize_t interpose_write(const struct write_call *call) {
  struct file file;
  if (!control || call->parts_count < 1 || call->parts_count > IOV_MAX || !identify(call->fd, false, &file)) {
    return perform(call);
  }
  count(OP_WRITE);
  struct file_write write = {.call = call, .size = file.size};
  struct attempt attempt = {.operation = OP_WRITE,
                            .path = file.path,
                            .length = length_of(call),
                            .call = &write,
                            .room = room_for_write};
  bool synchronous = file.log && is_synchronous(call);
  uint64_t begin = synchronous ? begin_sync() : 0;
  struct firing firing = consult_rules(&attempt);
  ssize_t written = apply(call, &firing);
  /* A partial one is neither: the program is expected to go on with the rest. */
  if (synchronous && written < 0) end_sync(begin, false);
  if (synchronous && written == (ssize_t)attempt.length) end_sync(begin, true);
  finish(&firing, file.path);
  return written;
}

INTERPOSED ssize_t write(int fd, const void *data, size_t length) {
  struct iovec part = {.iov_base = (void *)data, .iov_len = length};
  struct write_call call = {.kind = PLAIN, .fd = fd, .parts = &part, .parts_count = 1};
  return interpose_write(&call);
}

INTERPOSED ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
  struct iovec part = {.iov_base = (void *)data, .iov_len = length};
  struct write_call call = {.kind = POSITIONED, .fd = fd, .parts = &part, .parts_count = 1, .offset = offset};
  return interpose_write(&call);
}

INTERPOSED ssize_t writev(int fd, const struct iovec *parts, int parts_count) {
  struct write_call call = {.kind = VECTORED, .fd = fd, .parts = parts, .parts_count = parts_count};
  return interpose_write(&call);
}

INTERPOSED ssize_t pwritev(int fd, const struct iovec *parts, int parts_count, off_t offset) {
  struct write_call call = {
      .kind = POSITIONED_VECTORED, .fd = fd, .parts = parts, .parts_count = parts_count, .offset = offset};
  return interpose_write(&call);
}

INTERPOSED ssize_t pwritev2(int fd, const struct iovec *parts, int parts_count, off_t offset, int flags) {
  struct write_call call = {.kind = FLAGGED_VECTORED,
                            .fd = fd,
                            .parts = parts,
                            .parts_count = parts_count,
                            .offset = offset,
                            .flags = flags};
  return interpose_write(&call);
}

/* Names: open, rename, unlink */

struct open_call {
  int directory_fd;
  const char *path;
  int flags;
};

static size_t room_for_open(const struct attempt *attempt) {
  const struct open_call *call = attempt->call;
  struct stat status;
  bool creates = (call->flags & O_CREAT) && fstatat(call->directory_fd, call->path, &status, 0) != 0;
  return creates ? 0 : SIZE_MAX;
}

static int interpose_open(int directory_fd, const char *path, int flags, mode_t mode) {
  char relative[PATH_BYTES];
  if (!control || !identify_path(directory_fd, path, relative)) {
    return real_openat()(directory_fd, path, flags, mode);
  }
  count(OP_OPEN);
  if (flags & O_DSYNC) __atomic_store_n(&control->opened_synchronous, 1, __ATOMIC_RELEASE); /* O_SYNC has its bit */
  struct open_call call = {.directory_fd = directory_fd, .path = path, .flags = flags};
  struct attempt attempt = {
      .operation = OP_OPEN, .path = relative, .call = &call, .room = room_for_open};
  struct firing firing = consult_rules(&attempt);
  if (firing.effect == EFFECT_ERROR) return -1;
  int fd = real_openat()(directory_fd, path, flags, mode);
  if (flags & O_CREAT) names_changed();
  finish(&firing, relative);
  return fd;
}

/* The mode follows only where the flags can create a file. */
#define MODE_ARGUMENT(last)                             \
  mode_t mode = 0;                                      \
  if ((last) & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) { \
    va_list arguments;                                  \
    va_start(arguments, last);                          \
    mode = (mode_t)va_arg(arguments, unsigned int);     \
    va_end(arguments);                                  \
  }

INTERPOSED int open(const char *path, int flags, ...) {
  MODE_ARGUMENT(flags)
  return interpose_open(AT_FDCWD, path, flags, mode);
}

INTERPOSED int openat(int directory_fd, const char *path, int flags, ...) {
  MODE_ARGUMENT(flags)
  return interpose_open(directory_fd, path, flags, mode);
}

INTERPOSED int creat(const char *path, mode_t mode) {
  return interpose_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

/* Consults the rules for a rename; -1 when it is refused. A name that is outside stays null. */
struct renaming {
  char from[PATH_BYTES], to[PATH_BYTES];
  const char *path;
  struct firing firing;
};

static bool refuses_rename(struct renaming *renaming, int from_fd, const char *from, int to_fd, const char *to) {
  renaming->path = NULL;
  if (!control) return false;
  bool leaves = identify_path(from_fd, from, renaming->from);
  bool arrives = identify_path(to_fd, to, renaming->to);
  if (!leaves && !arrives) return false;
  count(OP_RENAME);
  renaming->path = arrives ? renaming->to : renaming->from;
  struct attempt attempt = {
      .operation = OP_RENAME, .path = renaming->path, .other_path = leaves ? renaming->from : NULL};
  renaming->firing = consult_rules(&attempt);
  return renaming->firing.effect == EFFECT_ERROR;
}

static int renamed(const struct renaming *renaming, int result) {
  if (!renaming->path) return result;
  names_changed();
  finish(&renaming->firing, renaming->path);
  return result;
}

INTERPOSED int rename(const char *from, const char *to) {
  struct renaming renaming;
  if (refuses_rename(&renaming, AT_FDCWD, from, AT_FDCWD, to)) return -1;
  return renamed(&renaming, real_rename()(from, to));
}

INTERPOSED int renameat(int from_fd, const char *from, int to_fd, const char *to) {
  struct renaming renaming;
  if (refuses_rename(&renaming, from_fd, from, to_fd, to)) return -1;
  return renamed(&renaming, real_renameat()(from_fd, from, to_fd, to));
}

INTERPOSED int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned int flags) {
  struct renaming renaming;
  if (refuses_rename(&renaming, from_fd, from, to_fd, to)) return -1;
  return renamed(&renaming, real_renameat2()(from_fd, from, to_fd, to, flags));
}

/* Consults the rules for an unlink; the directory flag of unlinkat makes it an rmdir, which is not counted. */
static bool refuses_unlink(int directory_fd, const char *path, char relative[PATH_BYTES], struct firing *firing) {
  *firing = (struct firing){.effect = EFFECT_NONE};
  if (!control || !identify_path(directory_fd, path, relative)) {
    relative[0] = '\0';
    return false;
  }
  count(OP_UNLINK);
  struct attempt attempt = {.operation = OP_UNLINK, .path = relative};
  *firing = consult_rules(&attempt);
  return firing->effect == EFFECT_ERROR;
}

static int unlinked(const char *relative, const struct firing *firing, int result) {
  if (!*relative) return result;
  names_changed();
  finish(firing, relative);
  return result;
}

INTERPOSED int unlink(const char *path) {
  char relative[PATH_BYTES];
  struct firing firing;
  if (refuses_unlink(AT_FDCWD, path, relative, &firing)) return -1;
  return unlinked(relative, &firing, real_unlink()(path));
}

INTERPOSED int unlinkat(int directory_fd, const char *path, int flags) {
  if (flags & AT_REMOVEDIR) return real_unlinkat()(directory_fd, path, flags);
  char relative[PATH_BYTES];
  struct firing firing;
  if (refuses_unlink(directory_fd, path, relative, &firing)) return -1;
  return unlinked(relative, &firing, real_unlinkat()(directory_fd, path, flags));
}

/* Sizes: truncate and fallocate are one operation, `truncate` */

struct resize {
  off_t size;
  off_t wanted;
};

static size_t room_for_resize(const struct attempt *attempt) {
  const struct resize *resize = attempt->call;
  return resize->wanted > resize->size ? 0 : SIZE_MAX;
}

static struct firing consult_resize(const char *path, const struct resize *resize) {
  count(OP_TRUNCATE);
  struct attempt attempt = {
      .operation = OP_TRUNCATE, .path = path, .call = resize, .room = room_for_resize};
  return consult_rules(&attempt);
}

INTERPOSED int ftruncate(int fd, off_t size) {
  struct file file;
  if (!control || !identify(fd, false, &file)) return real_ftruncate()(fd, size);
  struct resize resize = {.size = file.size, .wanted = size};
  struct firing firing = consult_resize(file.path, &resize);
  if (firing.effect == EFFECT_ERROR) return -1;
  int result = real_ftruncate()(fd, size);
  finish(&firing, file.path);
  return result;
}

INTERPOSED int truncate(const char *path, off_t size) {
  char relative[PATH_BYTES];
  struct stat status;
  if (!control || !identify_path(AT_FDCWD, path, relative) || stat(path, &status) != 0) {
    return real_truncate()(path, size);
  }
  struct resize resize = {.size = status.st_size, .wanted = size};
  struct firing firing = consult_resize(relative, &resize);
  if (firing.effect == EFFECT_ERROR) return -1;
  int result = real_truncate()(path, size);
  finish(&firing, relative);
  return result;
}

INTERPOSED int fallocate(int fd, int mode, off_t offset, off_t length) {
  struct file file;
  if (!control || (mode & ~FALLOC_FL_KEEP_SIZE) || !identify(fd, false, &file)) {
    return real_fallocate()(fd, mode, offset, length);
  }
  struct resize resize = {.size = file.size, .wanted = offset + length};
  struct firing firing = consult_resize(file.path, &resize);
  if (firing.effect == EFFECT_ERROR) return -1;
  int result = real_fallocate()(fd, mode, offset, length);
  finish(&firing, file.path);
  return result;
}

/* Returns its error instead of setting errno. */
INTERPOSED int posix_fallocate(int fd, off_t offset, off_t length) {
  struct file file;
  if (!control || !identify(fd, false, &file)) return real_posix_fallocate()(fd, offset, length);
  struct resize resize = {.size = file.size, .wanted = offset + length};
  struct firing firing = consult_resize(file.path, &resize);
  if (firing.effect == EFFECT_ERROR) return errno;
  int result = real_posix_fallocate()(fd, offset, length);
  finish(&firing, file.path);
  return result;
}

/* glibc's second names for the same calls, and those that _FORTIFY_SOURCE puts in their place */
#ifdef __GLIBC__
_Static_assert(sizeof(off_t) == sizeof(off64_t), "the interposer is for 64-bit Linux");

INTERPOSED ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
  return pwrite(fd, data, length, offset);
}
INTERPOSED ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
  return pwritev(fd, parts, count, offset);
}
INTERPOSED ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags) {
  return pwritev2(fd, parts, count, offset, flags);
}
INTERPOSED int open64(const char *path, int flags, ...) {
  MODE_ARGUMENT(flags)
  return interpose_open(AT_FDCWD, path, flags, mode);
}
INTERPOSED int openat64(int directory_fd, const char *path, int flags, ...) {
  MODE_ARGUMENT(flags)
  return interpose_open(directory_fd, path, flags, mode);
}
INTERPOSED int creat64(const char *path, mode_t mode) { return creat(path, mode); }
INTERPOSED int __open_2(const char *path, int flags) { return interpose_open(AT_FDCWD, path, flags, 0); }
INTERPOSED int __open64_2(const char *path, int flags) { return interpose_open(AT_FDCWD, path, flags, 0); }
INTERPOSED int __openat_2(int fd, const char *path, int flags) { return interpose_open(fd, path, flags, 0); }
INTERPOSED int __openat64_2(int fd, const char *path, int flags) { return interpose_open(fd, path, flags, 0); }
INTERPOSED int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }
INTERPOSED int truncate64(const char *path, off64_t size) { return truncate(path, size); }
INTERPOSED int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
  return fallocate(fd, mode, offset, length);
}
INTERPOSED int posix_fallocate64(int fd, off64_t offset, off64_t length) {
  return posix_fallocate(fd, offset, length);
}
#endif

/* Entering a process */

/* A store that runs without the faults it was promised would be a false pass: say why, and stop. */
static void give_up(const char *what, const char *detail) {
  char line[PATH_MAX + 256];
  int length = snprintf(line, sizeof line, "acked interposer: %s: %s\n", what, detail);
  if (length > 0 && real_write()(STDERR_FILENO, line, (size_t)length) < 0) _exit(126);
  _exit(125);
}

static struct control *map_control(const char *path) {
  int fd = real_openat()(AT_FDCWD, path, O_RDWR | O_CLOEXEC);
  if (fd < 0) give_up("the control file cannot be opened", strerror(errno));
  struct stat status;
  if (fstat(fd, &status) != 0 || status.st_size != (off_t)sizeof(struct control)) {
    give_up("the control file has the wrong size", path);
  }
  struct control *mapped = mmap(NULL, sizeof *mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) give_up("the control file cannot be mapped", strerror(errno));
  close(fd);
  if (memcmp(mapped->magic, CONTROL_MAGIC, sizeof mapped->magic) != 0 || mapped->version != CONTROL_VERSION ||
      mapped->size != sizeof *mapped) {
    give_up("the control file is of another version of acked (remove the cached interposer)", path);
  }
  return mapped;
}

/*
 * The child that the harness started itself must not outlive it. ACKED_PARENT is removed there, so that its own
 * children are left alone; they are ended with the process group.
 */
static void follow_parent(void) {
  const char *text = getenv("ACKED_PARENT");
  pid_t parent = text ? (pid_t)atol(text) : 0;
  if (parent <= 1) return;
  if (getppid() == parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) raise(SIGKILL);
    unsetenv("ACKED_PARENT");
    __atomic_store_n(&control->group, (int32_t)getpgrp(), __ATOMIC_RELEASE);
  } else if (kill(parent, 0) != 0 && errno == ESRCH) {
    raise(SIGKILL);
  }
}

__attribute__((constructor)) static void enter(void) {
  const char *path = getenv("ACKED_CONTROL");
  if (!path || !*path) return;
  int kept = errno;
  const char *directory = getenv("ACKED_DIR");
  if (!directory || !watch_directory(directory, getenv("ACKED_LOG_GLOB"))) {
    give_up("ACKED_DIR must be an absolute path", directory ? directory : "it is not set");
  }
  if (access("/proc/self/fd", X_OK) != 0) give_up("/proc is needed, and is not mounted", strerror(errno));
  control = map_control(path);
  __atomic_add_fetch(&control->processes_inside, 1, __ATOMIC_SEQ_CST);
  follow_parent();
  errno = kept;
}
