/*
 * One function for each call that goes through acked: it classifies the call (files.h), consults the rules (rules.h),
 * records begin and end (trace.h), applies the effect and makes the real call (real.h). The interposer and the broker
 * both end here, so that a plan means the same under either.
 *
 * Everything works on descriptors of this process and on paths relative to one of its descriptors (or AT_FDCWD).
 * Every function returns what the system call returns, or -errno; errno is left alone. A call that is not about the
 * data directory is simply made. No lock is ever held across a write, a sync or any other call that may wait.
 *
 * Under the broker a rule that kills returns -EINTR after the store has been killed; in the interposer it never
 * returns.
 */
#ifndef ACKED_CALLS_H
#define ACKED_CALLS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Who makes the call: this thread, unless the front end acts for another (the broker sets it before each call). */
struct actor {
  pid_t pid;
  pid_t tid;
};
extern __thread struct actor acting; /* zeros: not looked up yet */

/*
 * Provided by the front end: the id of the open file description behind a descriptor of a file in the data directory
 * (new_description() gives ids out); dup and fork share it.
 */
uint64_t front_description(int fd, uint64_t device, uint64_t inode);

/* A new id, for a description opened just now: what has failed before and has been reported is not news to it. */
uint64_t new_description(uint64_t device, uint64_t inode);

/* In a forked child: what other threads held is given back, for they are not there. */
void acked_forked(void);

/* Writes and reads (writes.c, reads.c) */

/* read/write, pread/pwrite, readv/writev, preadv/pwritev and the second versions with flags. */
struct transfer {
  int fd;
  const struct iovec *parts;
  int parts_count;
  bool positioned; /* at `offset`; else at the file position. With flags, offset -1 means the position too */
  off_t offset;
  int flags;       /* RWF_* */
};

ssize_t acked_write(const struct transfer *write); /* sockets, too: see acked_send */
ssize_t acked_read(const struct transfer *read);

/* copies.c: bytes that go from file to file within the kernel; traced as writes with data. */
ssize_t acked_copy_file_range(int from, off_t *from_offset, int to, off_t *to_offset, size_t length, unsigned flags);
ssize_t acked_sendfile(int to, int from, off_t *from_offset, size_t length);
ssize_t acked_splice(int from, off_t *from_offset, int to, off_t *to_offset, size_t length, unsigned flags);
/* FICLONE and FICLONERANGE; length 0: to the end of the source. */
int acked_clone(int to, int from, uint64_t from_offset, uint64_t length, uint64_t to_offset, bool range);

/* Syncs (syncs.c) */
int acked_fsync(int fd);
int acked_fdatasync(int fd);
int acked_sync_file_range(int fd, off_t offset, off_t length, unsigned flags);
int acked_syncfs(int fd);
int acked_sync(void);

/* Names (names.c) */

/* open, openat, creat and openat2; `resolve` is openat2's, else 0. Returns a descriptor. */
int acked_open(int directory_fd, const char *path, uint64_t flags, mode_t mode, uint64_t resolve);
int acked_rename(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int acked_link(int from_fd, const char *from, int to_fd, const char *to, int flags);
int acked_symlink(const char *target, int directory_fd, const char *path);
int acked_unlink(int directory_fd, const char *path, int flags); /* AT_REMOVEDIR: rmdir */
int acked_mkdir(int directory_fd, const char *path, mode_t mode);

/* Sizes (sizes.c) */
int acked_ftruncate(int fd, off_t size);
int acked_truncate(const char *path, off_t size);
int acked_fallocate(int fd, int mode, off_t offset, off_t length);

/* Sockets (sockets.c): recorded as `send`, never acted upon. `flags` are MSG_*. */
ssize_t acked_send(int fd, const struct msghdr *message, int flags);

/*
 * Shared mappings (maps.c), of this process only: stores to memory are found by comparison, and recorded as writes,
 * at msync, munmap, and before a sync, a write or a change of size of the same file. The broker has none.
 */
void *acked_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset); /* or -errno */
int acked_munmap(void *address, size_t length);
int acked_msync(void *address, size_t length, int flags);
void *acked_mremap(void *address, size_t length, size_t new_length, int flags, void *new_address);

#endif
