/* Which file of the data directory a call is about; see files.h for what is seen and what is not. */
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "real.h"

#define REMEMBERED 8

struct remembered {
  uint64_t device;
  uint64_t inode;
  uint64_t generation; /* of the control file, plus 1, so that an empty entry never matches */
  bool inside;
  bool log;
  char path[PATH_BYTES];
};

/* Per thread, so that no lock is needed; small, because thread-local storage is taken from every thread's stack. */
static __thread struct remembered memory[REMEMBERED];

static char data_directory[PATH_MAX];
static size_t data_directory_length;
static const char *log_files = "**";
static char control_file[PATH_MAX];

void remember_control_path(const char *path) { snprintf(control_file, sizeof control_file, "%s", path); }

const char *control_path(void) { return control_file; }

bool watch_directory(const char *directory, const char *log_glob) {
  size_t length = strlen(directory);
  while (length > 1 && directory[length - 1] == '/') length--;
  if (directory[0] != '/' || length >= sizeof data_directory) return false;
  memcpy(data_directory, directory, length);
  data_directory[length] = '\0';
  data_directory_length = length;
  /* Copied: programs that rename themselves (Redis) write their title over the environment. */
  if (log_glob && *log_glob) {
    char *copy = strdup(log_glob);
    if (!copy) return false;
    log_files = copy;
  }
  return true;
}

static bool matches_here(const char *glob, const char *path) {
  for (; *glob; glob++, path++) {
    if (glob[0] == '*' && glob[1] == '*') {
      if (glob[2] == '/') {
        for (const char *rest = path;; rest++) {
          if (matches_here(glob + 3, rest)) return true;
          rest = strchr(rest, '/');
          if (!rest) return false;
        }
      }
      for (;; path++) {
        if (matches_here(glob + 2, path)) return true;
        if (!*path) return false;
      }
    }
    if (*glob == '*') {
      for (;; path++) {
        if (matches_here(glob + 1, path)) return true;
        if (!*path || *path == '/') return false;
      }
    }
    if (!*path || (*glob == '?' ? *path == '/' : *glob != *path)) return false;
  }
  return !*path;
}

static bool names_directory(const char *path) {
  size_t length = strlen(path);
  return length > 0 && path[length - 1] == '.' && (length == 1 || path[length - 2] == '/');
}

/* `**.` stands for every directory, and for nothing else. */
static bool means_directories(const char *glob) {
  size_t length = strlen(glob);
  return names_directory(glob) || (length >= 3 && strcmp(glob + length - 3, "**.") == 0);
}

bool glob_matches(const char *glob, const char *path) {
  return names_directory(path) == means_directories(glob) && matches_here(glob, path);
}

/* The part of an absolute path below the data directory: null when outside, empty for the directory itself. */
static const char *below(const char *absolute) {
  if (strncmp(absolute, data_directory, data_directory_length) != 0) return NULL;
  const char *rest = absolute + data_directory_length;
  if (*rest == '\0') return rest;
  return *rest == '/' ? rest + 1 : NULL;
}

static bool path_of(int fd, bool is_directory, char out[PATH_BYTES]) {
  char link[32], target[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  long length = real(SYS_readlinkat, AT_FDCWD, link, target, sizeof target - 1);
  if (length < 0) return false;
  target[length] = '\0';
  const char *relative = below(target);
  if (!relative) return false;
  const char *separator = is_directory && *relative ? "/" : "";
  return snprintf(out, PATH_BYTES, "%s%s%s", relative, separator, is_directory ? "." : "") < PATH_BYTES;
}

static uint64_t device_of(const struct statx *status) {
  return makedev(status->stx_dev_major, status->stx_dev_minor);
}

#define ASKED (STATX_TYPE | STATX_NLINK | STATX_INO | STATX_SIZE)

enum seen identify(int fd, struct file *file) {
  struct statx status;
  if (real(SYS_statx, fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, ASKED, &status) != 0) return SEEN_NOTHING;
  bool is_directory = S_ISDIR(status.stx_mode);
  file->device = device_of(&status);
  file->inode = status.stx_ino;
  if (S_ISSOCK(status.stx_mode)) return SEEN_SOCKET;
  if (!(S_ISREG(status.stx_mode) || is_directory) || status.stx_nlink == 0) return SEEN_NOTHING;
  uint64_t generation = __atomic_load_n(&control->generation, __ATOMIC_ACQUIRE) + 1;
  struct remembered *entry = &memory[file->inode % REMEMBERED];
  if (entry->inode != file->inode || entry->device != file->device || entry->generation != generation) {
    int kept = errno;
    entry->device = file->device;
    entry->inode = file->inode;
    entry->generation = generation;
    entry->inside = path_of(fd, is_directory, entry->path);
    /* Of a store that keeps everything in files of their own a sync of a directory may be all that a change needs. */
    bool counts = is_directory ? strcmp(log_files, "**") == 0 : glob_matches(log_files, entry->path);
    entry->log = entry->inside && counts;
    errno = kept;
  }
  file->path = entry->path;
  file->log = entry->log;
  file->size = (int64_t)status.stx_size;
  if (!entry->inside) return SEEN_NOTHING;
  return is_directory ? SEEN_DIRECTORY : SEEN_FILE;
}

bool look_up(int directory_fd, const char *path, bool follow, struct named *named) {
  struct statx status;
  int flags = AT_STATX_DONT_SYNC | (follow ? 0 : AT_SYMLINK_NOFOLLOW) | (*path ? 0 : AT_EMPTY_PATH);
  if (real(SYS_statx, directory_fd, path, flags, ASKED, &status) != 0) return false;
  named->device = device_of(&status);
  named->inode = status.stx_ino;
  named->size = (int64_t)status.stx_size;
  named->directory = S_ISDIR(status.stx_mode);
  named->regular = S_ISREG(status.stx_mode);
  return true;
}

bool path_in_directory(const char *relative, char *out, size_t bytes) {
  return snprintf(out, bytes, "%s/%s", data_directory, relative) < (int)bytes;
}

struct named data_directory_itself(void) {
  struct named named = {0};
  look_up(AT_FDCWD, data_directory, true, &named);
  return named;
}

bool identify_path(int directory_fd, const char *path, char out[PATH_BYTES]) {
  if (!path || !*path) return false;
  int kept = errno;
  const char *slash = strrchr(path, '/');
  const char *name = slash ? slash + 1 : path;
  bool whole = !*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
  int parent_length = whole ? (int)strlen(path) : (int)(name - path);
  char parent[PATH_MAX], real[PATH_MAX];
  int length = path[0] == '/' || directory_fd == AT_FDCWD
                   ? snprintf(parent, sizeof parent, "%.*s", parent_length, path)
                   : snprintf(parent, sizeof parent, "/proc/self/fd/%d/%.*s", directory_fd, parent_length, path);
  bool known = length >= 0 && length < PATH_MAX && realpath(length ? parent : ".", real) != NULL;
  errno = kept;
  if (!known) return false;
  char absolute[PATH_MAX + NAME_MAX + 2];
  int full = snprintf(absolute, sizeof absolute, "%s%s%s", strcmp(real, "/") == 0 ? "" : real, whole ? "" : "/",
                      whole ? "" : name);
  if (full < 0 || full >= (int)sizeof absolute) return false;
  const char *relative = below(absolute);
  if (!relative) return false;
  return snprintf(out, PATH_BYTES, "%s", *relative ? relative : ".") < PATH_BYTES;
}

void names_changed(void) { __atomic_add_fetch(&control->generation, 1, __ATOMIC_ACQ_REL); }
