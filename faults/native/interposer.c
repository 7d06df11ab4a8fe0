/*
 * The interposer: a library preloaded into a store's processes. It puts functions of its own in place of the C library's
 * calls that touch files, and passes them to the core (calls.h), which counts and records those on files of the data
 * directory, and does to them what the rules in the control file say.
 *
 * Models: every effect of faults/contract.ts. This file: reads, writes, syncs, sizes, sockets and shared mappings; names
 * and descriptors are in interpose-names.c, C streams in interpose-stdio.c, the function syscall() in interpose-syscall.c,
 * and what is only noticed of asynchronous I/O in interpose-aio.c.
 * Does not see: statically linked programs; system calls that a program makes by itself (io_uring is refused where it is
 * asked for by syscall(); the supervisor looks in /proc for those that make it another way);
 * what the C library writes by itself to a standard stream that somebody has redirected into the data directory;
 * stores to shared mappings before they are compared (maps.h). The harness detects a program that never loaded it
 * (`processes_inside` stays 0).
 *
 * Calls are made as system calls. No lock is held across one that may wait: it would serialise a group commit.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/fs.h>

#include "calls.h"
#include "control.h"
#include "files.h"
#include "interposed.h"
#include "maps.h"
#include "process.h"
#include "real.h"
#include "trace.h"

/* Writes */

INTERPOSED ssize_t write(int fd, const void *data, size_t length) {
  struct iovec part = {.iov_base = (void *)data, .iov_len = length};
  struct transfer call = {.fd = fd, .parts = &part, .parts_count = 1};
  return answer(acked_write(&call));
}

INTERPOSED ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
  struct iovec part = {.iov_base = (void *)data, .iov_len = length};
  struct transfer call = {.fd = fd, .parts = &part, .parts_count = 1, .positioned = true, .offset = offset};
  return answer(acked_write(&call));
}

INTERPOSED ssize_t writev(int fd, const struct iovec *parts, int parts_count) {
  struct transfer call = {.fd = fd, .parts = parts, .parts_count = parts_count};
  return answer(acked_write(&call));
}

INTERPOSED ssize_t pwritev2(int fd, const struct iovec *parts, int parts_count, off_t offset, int flags) {
  struct transfer call = {.fd = fd,
                          .parts = parts,
                          .parts_count = parts_count,
                          .positioned = flags || offset != -1,
                          .offset = offset,
                          .flags = flags};
  return answer(acked_write(&call));
}

INTERPOSED ssize_t pwritev(int fd, const struct iovec *parts, int parts_count, off_t offset) {
  struct transfer call = {
      .fd = fd, .parts = parts, .parts_count = parts_count, .positioned = true, .offset = offset};
  return answer(acked_write(&call));
}

/* Reads */

INTERPOSED ssize_t read(int fd, void *data, size_t length) {
  struct iovec part = {.iov_base = data, .iov_len = length};
  struct transfer call = {.fd = fd, .parts = &part, .parts_count = 1};
  return answer(acked_read(&call));
}

INTERPOSED ssize_t pread(int fd, void *data, size_t length, off_t offset) {
  struct iovec part = {.iov_base = data, .iov_len = length};
  struct transfer call = {.fd = fd, .parts = &part, .parts_count = 1, .positioned = true, .offset = offset};
  return answer(acked_read(&call));
}

INTERPOSED ssize_t readv(int fd, const struct iovec *parts, int parts_count) {
  struct transfer call = {.fd = fd, .parts = parts, .parts_count = parts_count};
  return answer(acked_read(&call));
}

INTERPOSED ssize_t preadv2(int fd, const struct iovec *parts, int parts_count, off_t offset, int flags) {
  struct transfer call = {.fd = fd,
                          .parts = parts,
                          .parts_count = parts_count,
                          .positioned = flags || offset != -1,
                          .offset = offset,
                          .flags = flags};
  return answer(acked_read(&call));
}

INTERPOSED ssize_t preadv(int fd, const struct iovec *parts, int parts_count, off_t offset) {
  struct transfer call = {
      .fd = fd, .parts = parts, .parts_count = parts_count, .positioned = true, .offset = offset};
  return answer(acked_read(&call));
}

/* Within the kernel */

INTERPOSED ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t length,
                                   unsigned int flags) {
  return answer(acked_copy_file_range(from, from_offset, to, to_offset, length, flags));
}

INTERPOSED ssize_t sendfile(int to, int from, off_t *offset, size_t length) {
  return answer(acked_sendfile(to, from, offset, length));
}

INTERPOSED ssize_t splice(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t length,
                          unsigned int flags) {
  return answer(acked_splice(from, from_offset, to, to_offset, length, flags));
}

INTERPOSED int ioctl(int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  unsigned long argument = va_arg(arguments, unsigned long);
  va_end(arguments);
  if (request == FICLONE) return (int)answer(acked_clone(fd, (int)argument, 0, 0, 0, false));
  if (request == FICLONERANGE && argument) {
    const struct file_clone_range *range = (const struct file_clone_range *)argument;
    return (int)answer(acked_clone(fd, (int)range->src_fd, range->src_offset, range->src_length,
                                   range->dest_offset, true));
  }
  return (int)answer(real(SYS_ioctl, fd, request, argument));
}

/* Syncs */

INTERPOSED int fsync(int fd) { return (int)answer(acked_fsync(fd)); }
INTERPOSED int fdatasync(int fd) { return (int)answer(acked_fdatasync(fd)); }
INTERPOSED int syncfs(int fd) { return (int)answer(acked_syncfs(fd)); }
INTERPOSED void sync(void) { acked_sync(); }
INTERPOSED int sync_file_range(int fd, off64_t offset, off64_t length, unsigned int flags) {
  return (int)answer(acked_sync_file_range(fd, offset, length, flags));
}

/* Sizes */

INTERPOSED int ftruncate(int fd, off_t size) { return (int)answer(acked_ftruncate(fd, size)); }
INTERPOSED int truncate(const char *path, off_t size) { return (int)answer(acked_truncate(path, size)); }
INTERPOSED int fallocate(int fd, int mode, off_t offset, off_t length) {
  return (int)answer(acked_fallocate(fd, mode, offset, length));
}

/* What the C library does where the file system cannot: one byte written in each block that has none. */
static int fallocate_by_writing(int fd, off_t offset, off_t length) {
  struct file file;
  int64_t size = control && identify(fd, &file) == SEEN_FILE ? file.size : 0;
  const off_t block = 4096;
  for (off_t at = offset + (length - 1) % block; at < offset + length; at += block) {
    char byte = 0;
    if (at < size) {
      long got = real(SYS_pread64, fd, &byte, 1, at);
      if (got < 0) return (int)-got;
      if (got == 1 && byte != 0) continue;
    }
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct transfer call = {.fd = fd, .parts = &part, .parts_count = 1, .positioned = true, .offset = at};
    ssize_t written = acked_write(&call);
    if (written < 0) return (int)-written;
  }
  return 0;
}

/* Returns its error instead of setting errno. */
INTERPOSED int posix_fallocate(int fd, off_t offset, off_t length) {
  if (offset < 0 || length <= 0) return EINVAL;
  int result = acked_fallocate(fd, 0, offset, length);
  return result == -EOPNOTSUPP ? fallocate_by_writing(fd, offset, length) : -result;
}

/* Sockets */

INTERPOSED ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  return answer(acked_send(fd, message, flags));
}

INTERPOSED ssize_t sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *address,
                          socklen_t address_length) {
  struct iovec part = {.iov_base = (void *)data, .iov_len = length};
  struct msghdr message = {.msg_name = (void *)address,
                           .msg_namelen = address ? address_length : 0,
                           .msg_iov = &part,
                           .msg_iovlen = 1};
  return answer(acked_send(fd, &message, flags));
}

INTERPOSED ssize_t send(int fd, const void *data, size_t length, int flags) {
  return sendto(fd, data, length, flags, NULL, 0);
}

INTERPOSED int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags) {
  if (!tracing) return (int)answer(real(SYS_sendmmsg, fd, messages, count, flags));
  for (unsigned int sent = 0; sent < count; sent++) {
    ssize_t result = acked_send(fd, &messages[sent].msg_hdr, flags);
    if (result < 0) return sent ? (int)sent : (int)answer(result);
    messages[sent].msg_len = (unsigned int)result;
  }
  return (int)count;
}

/* Shared mappings */

INTERPOSED void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
  return (void *)answer((long)acked_mmap(address, length, protection, flags, fd, offset));
}
INTERPOSED int munmap(void *address, size_t length) { return (int)answer(acked_munmap(address, length)); }
INTERPOSED int msync(void *address, size_t length, int flags) {
  return (int)answer(acked_msync(address, length, flags));
}
INTERPOSED void *mremap(void *address, size_t length, size_t new_length, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  void *new_address = flags & MREMAP_FIXED ? va_arg(arguments, void *) : NULL;
  va_end(arguments);
  return (void *)answer((long)acked_mremap(address, length, new_length, flags, new_address));
}

/* glibc's second names for the same calls, and those that _FORTIFY_SOURCE puts in their place */
#ifdef __GLIBC__
_Static_assert(sizeof(off_t) == sizeof(off64_t), "the interposer is for 64-bit Linux");

SAME(pwrite64, pwrite);
SAME(pwritev64, pwritev);
SAME(pwritev64v2, pwritev2);
SAME(pread64, pread);
SAME(preadv64, preadv);
SAME(preadv64v2, preadv2);
SAME(sendfile64, sendfile);
SAME(ftruncate64, ftruncate);
SAME(truncate64, truncate);
SAME(fallocate64, fallocate);
SAME(posix_fallocate64, posix_fallocate);
SAME(mmap64, mmap);

/* The buffer's size is for the checks that these names add: a read that does not fit ends the program there. */
INTERPOSED ssize_t __read_chk(int fd, void *data, size_t length, size_t size) {
  if (length > size) abort();
  return read(fd, data, length);
}
INTERPOSED ssize_t __pread_chk(int fd, void *data, size_t length, off_t offset, size_t size) {
  if (length > size) abort();
  return pread(fd, data, length, offset);
}
SAME(__pread64_chk, __pread_chk);
#endif

/* Entering and leaving a process */

static void record_entering(enum trace_kind kind) {
  struct trace_event event = {.kind = kind};
  trace_instant(&event);
}

static void forked(void) {
  acked_forked();
  register_process(acting_pid());
}

__attribute__((constructor)) static void enter(void) {
  if (!enter_run("interposer")) return;
  int kept = errno;
  __atomic_add_fetch(&control->processes_inside, 1, __ATOMIC_SEQ_CST);
  follow_parent();
  pthread_atfork(NULL, NULL, forked);
  if (register_process(acting_pid())) record_entering(TRACE_EXEC);
  record_entering(TRACE_ENTER);
  errno = kept;
}

__attribute__((destructor)) static void leave(void) {
  if (control && tracing) record_stores(0, 0);
}
