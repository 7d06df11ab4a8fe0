/*
 * Which file of the data directory a call is about.
 *
 * Node's close(2) is invisible to a preloaded library, so a table of descriptors would go stale. A descriptor is
 * identified at every call by device and inode (fstat); the path behind an inode is remembered per thread, and
 * forgotten when any process of the store creates, renames or unlinks a name (`control->generation`).
 *
 * Seen: regular files below the data directory, and directories where asked for. A directory is named `.` or
 * `sub/.`, which no wildcard matches. Not seen: sockets, pipes, files outside, files without a name any more
 * (syncing those makes nothing durable), paths of PATH_BYTES or more.
 */
#ifndef ACKED_FILES_H
#define ACKED_FILES_H

#include <stdbool.h>
#include <sys/types.h>

#include "control.h"

struct file {
  const char *path; /* relative to the data directory; valid until this thread's next call of identify() */
  bool log;         /* one of the store's log files */
  off_t size;
};

/* Says which directory and which log files (a glob) the calls below are about. The directory is a real path. */
bool watch_directory(const char *directory, const char *log_glob);

/* False when `fd` is none of the data directory's files. Keeps errno. */
bool identify(int fd, bool directories, struct file *file);

/* The same for a path as passed to a call: the relative path in `out`. The last name need not exist. Keeps errno. */
bool identify_path(int directory_fd, const char *path, char out[PATH_BYTES]);

/* Names have changed: what was remembered about paths is void, in all processes. */
void names_changed(void);

/* `*` matches within one path segment, `**` across segments (and none), `?` one character. */
bool glob_matches(const char *glob, const char *path);

#endif
