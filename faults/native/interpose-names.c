/*
 * The interposer's calls on names (open, rename, link, unlink, mkdir and what the C library builds on them) and on
 * descriptors (close, dup, fcntl), which are watched for descriptors.h.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "calls.h"
#include "control.h"
#include "descriptors.h"
#include "files.h"
#include "interposed.h"
#include "real.h"

/* Opening */

static int open_at(int directory_fd, const char *path, int flags, mode_t mode) {
  int fd = acked_open(directory_fd, path, (uint64_t)(uint32_t)flags, mode, 0);
  descriptor_opened(fd);
  return (int)answer(fd);
}

INTERPOSED int open(const char *path, int flags, ...) {
  MODE_ARGUMENT(flags)
  return open_at(AT_FDCWD, path, flags, mode);
}

INTERPOSED int openat(int directory_fd, const char *path, int flags, ...) {
  MODE_ARGUMENT(flags)
  return open_at(directory_fd, path, flags, mode);
}

INTERPOSED int creat(const char *path, mode_t mode) {
  return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

/* Names made from a template: the C library would open them by itself. */

static bool in_directory(const char *path) {
  char relative[PATH_BYTES];
  return control && identify_path(AT_FDCWD, path, relative);
}

/* Replaces the six X before the suffix; false when they are not there. */
static char *template_of(char *path, int suffix_length) {
  size_t length = strlen(path);
  if (suffix_length < 0 || length < 6 + (size_t)suffix_length) return NULL;
  char *at = path + length - (size_t)suffix_length - 6;
  return strncmp(at, "XXXXXX", 6) == 0 ? at : NULL;
}

static void randomise(char *at) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  unsigned char bytes[6];
  if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) memset(bytes, (int)real(SYS_gettid), sizeof bytes);
  for (int one = 0; one < 6; one++) at[one] = letters[bytes[one] % 62];
}

static int make_temporary(char *path, int suffix_length, int flags) {
  char *at = template_of(path, suffix_length);
  if (!at) return (int)answer(-EINVAL);
  for (int turn = 0; turn < 1000; turn++) {
    randomise(at);
    int fd = acked_open(AT_FDCWD, path, (uint64_t)((flags & ~O_ACCMODE) | O_RDWR | O_CREAT | O_EXCL), 0600, 0);
    descriptor_opened(fd);
    if (fd != -EEXIST) return (int)answer(fd);
  }
  return (int)answer(-EEXIST);
}

NEXT(int, mkostemps, char *, int, int)
NEXT(char *, mkdtemp, char *)

INTERPOSED int mkostemps(char *path, int suffix_length, int flags) {
  return in_directory(path) ? make_temporary(path, suffix_length, flags)
                            : next_mkostemps()(path, suffix_length, flags);
}
INTERPOSED int mkostemp(char *path, int flags) { return mkostemps(path, 0, flags); }
INTERPOSED int mkstemps(char *path, int suffix_length) { return mkostemps(path, suffix_length, 0); }
INTERPOSED int mkstemp(char *path) { return mkostemps(path, 0, 0); }

INTERPOSED char *mkdtemp(char *path) {
  if (!in_directory(path)) return next_mkdtemp()(path);
  char *at = template_of(path, 0);
  int result = at ? -EEXIST : -EINVAL;
  for (int turn = 0; turn < 1000 && result == -EEXIST; turn++) {
    randomise(at);
    result = acked_mkdir(AT_FDCWD, path, 0700);
  }
  return answer(result) < 0 ? NULL : path;
}

/* Renaming, linking, removing */

INTERPOSED int rename(const char *from, const char *to) {
  return (int)answer(acked_rename(AT_FDCWD, from, AT_FDCWD, to, 0));
}
INTERPOSED int renameat(int from_fd, const char *from, int to_fd, const char *to) {
  return (int)answer(acked_rename(from_fd, from, to_fd, to, 0));
}
INTERPOSED int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned int flags) {
  return (int)answer(acked_rename(from_fd, from, to_fd, to, flags));
}
INTERPOSED int link(const char *from, const char *to) {
  return (int)answer(acked_link(AT_FDCWD, from, AT_FDCWD, to, 0));
}
INTERPOSED int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags) {
  return (int)answer(acked_link(from_fd, from, to_fd, to, flags));
}
INTERPOSED int symlink(const char *target, const char *path) {
  return (int)answer(acked_symlink(target, AT_FDCWD, path));
}
INTERPOSED int symlinkat(const char *target, int directory_fd, const char *path) {
  return (int)answer(acked_symlink(target, directory_fd, path));
}
INTERPOSED int unlink(const char *path) { return (int)answer(acked_unlink(AT_FDCWD, path, 0)); }
INTERPOSED int unlinkat(int directory_fd, const char *path, int flags) {
  return (int)answer(acked_unlink(directory_fd, path, flags));
}
INTERPOSED int rmdir(const char *path) { return (int)answer(acked_unlink(AT_FDCWD, path, AT_REMOVEDIR)); }
INTERPOSED int remove(const char *path) {
  int result = acked_unlink(AT_FDCWD, path, 0);
  return (int)answer(result == -EISDIR ? acked_unlink(AT_FDCWD, path, AT_REMOVEDIR) : result);
}
INTERPOSED int mkdir(const char *path, mode_t mode) { return (int)answer(acked_mkdir(AT_FDCWD, path, mode)); }
INTERPOSED int mkdirat(int directory_fd, const char *path, mode_t mode) {
  return (int)answer(acked_mkdir(directory_fd, path, mode));
}

/* Descriptors */

INTERPOSED int close(int fd) {
  if (fd >= 0) descriptors_closed((unsigned)fd, (unsigned)fd);
  return (int)answer(real(SYS_close, fd));
}

INTERPOSED int close_range(unsigned int first, unsigned int last, int flags) {
  long result = real(SYS_close_range, first, last, flags);
  if (result == 0 && !(flags & 4 /* CLOSE_RANGE_CLOEXEC closes nothing yet */)) descriptors_closed(first, last);
  return (int)answer(result);
}

static int duplicated(int from, long to) {
  if (to >= 0) descriptor_duplicated(from, (int)to);
  return (int)answer(to);
}

INTERPOSED int dup(int fd) { return duplicated(fd, real(SYS_dup, fd)); }
INTERPOSED int dup3(int fd, int to, int flags) { return duplicated(fd, real(SYS_dup3, fd, to, flags)); }
INTERPOSED int dup2(int fd, int to) {
  /* dup3 refuses what dup2 allows: the same descriptor. */
  if (fd == to) return (int)answer(real(SYS_fcntl, fd, F_GETFD) < 0 ? -EBADF : to);
  return dup3(fd, to, 0);
}

INTERPOSED int fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  unsigned long argument = va_arg(arguments, unsigned long);
  va_end(arguments);
  long result = real(SYS_fcntl, fd, command, argument);
  if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) return duplicated(fd, result);
  return (int)answer(result);
}

#ifdef __GLIBC__
SAME(open64, open);
SAME(openat64, openat);
SAME(creat64, creat);
SAME(fcntl64, fcntl);
SAME(mkstemp64, mkstemp);
SAME(mkstemps64, mkstemps);
SAME(mkostemp64, mkostemp);
SAME(mkostemps64, mkostemps);

INTERPOSED int __open_2(const char *path, int flags) { return open_at(AT_FDCWD, path, flags, 0); }
INTERPOSED int __openat_2(int fd, const char *path, int flags) { return open_at(fd, path, flags, 0); }
SAME(__open64_2, __open_2);
SAME(__openat64_2, __openat_2);

/* The C library's closes everything from there on. */
INTERPOSED void closefrom(int first) { close_range((unsigned)(first < 0 ? 0 : first), ~0U, 0); }
#endif
