/*
 * Which file of the data directory a call is about.
 *
 * A close can be invisible (a program may make the system call itself), so a table of descriptors would go stale. A
 * descriptor is identified at every call by device and inode (statx); the path behind an inode is remembered per
 * thread, and forgotten when any process of the store creates, renames or unlinks a name (`control->generation`).
 * statx is asked for no times: whoever asks a file system with fine timestamps for one makes the next write update it.
 *
 * Seen: regular files below the data directory, and directories where asked for. A directory is named `.` or
 * `sub/.`, which no wildcard matches. Not seen: pipes, files outside, files without a name any more (syncing those
 * makes nothing durable), paths of PATH_BYTES or more.
 */
#ifndef ACKED_FILES_H
#define ACKED_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "control.h"

enum seen {
  SEEN_NOTHING,   /* not a file of the data directory */
  SEEN_SOCKET,
  SEEN_FILE,
  SEEN_DIRECTORY, /* of the data directory */
};

struct file {
  uint64_t device;
  uint64_t inode;
  int64_t size;
  const char *path; /* relative to the data directory; valid until this thread's next call of identify() */
  bool log;         /* one of the store's log files */
};

/* Says which directory and which log files (a glob) the calls below are about. The directory is a real path. */
bool watch_directory(const char *directory, const char *log_glob);

/* Where the control file lies: the page history is in it (pages.h). */
void remember_control_path(const char *path);
const char *control_path(void);

/* What `fd` is; `file` is filled in for files and directories, and device and inode for sockets. Keeps errno. */
enum seen identify(int fd, struct file *file);

/* The same for a path as passed to a call: the relative path in `out`. The last name need not exist. Keeps errno. */
bool identify_path(int directory_fd, const char *path, char out[PATH_BYTES]);

/* What a name means: false when it does not exist. `follow`: through a symbolic link. */
struct named {
  uint64_t device;
  uint64_t inode;
  int64_t size;
  bool directory;
  bool regular;
};
bool look_up(int directory_fd, const char *path, bool follow, struct named *named);

/* The absolute path of a name relative to the data directory. */
bool path_in_directory(const char *relative, char *out, size_t bytes);

/* The data directory itself. */
struct named data_directory_itself(void);

/* Names have changed: what was remembered about paths is void, in all processes. */
void names_changed(void);

/* `*` matches within one path segment, `**` across segments (and none), `?` one character; `**.` every directory. */
bool glob_matches(const char *glob, const char *path);

#endif
