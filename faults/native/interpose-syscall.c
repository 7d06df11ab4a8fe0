/*
 * The C library's function syscall(), by which runtimes make calls that their C library may be too old to know: libuv
 * closes, copies and stats with it. Calls that acked knows go the same way as their own functions; the rest are made.
 * io_uring is refused as by a kernel without it, because what goes through it could not be seen.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "calls.h"
#include "control.h"
#include "descriptors.h"
#include "interposed.h"
#include "process.h"
#include "real.h"

static struct transfer flat(const long a[6], struct iovec *part) {
  *part = (struct iovec){.iov_base = (void *)a[1], .iov_len = (size_t)a[2]};
  return (struct transfer){.fd = (int)a[0], .parts = part, .parts_count = 1};
}

static struct transfer vectored(const long a[6], bool positioned, int flags) {
  return (struct transfer){.fd = (int)a[0],
                           .parts = (const struct iovec *)a[1],
                           .parts_count = (int)a[2],
                           .positioned = positioned && (flags || a[3] != -1),
                           .offset = a[3],
                           .flags = flags};
}

static long opened(int fd) {
  descriptor_opened(fd);
  return fd;
}

static long duplicated(long from, long to) {
  if (to >= 0) descriptor_duplicated((int)from, (int)to);
  return to;
}

static long transfers(long number, const long a[6]) {
  struct iovec part;
  struct transfer call = flat(a, &part);
  switch (number) {
    case SYS_write:
      return acked_write(&call);
    case SYS_read:
      return acked_read(&call);
    case SYS_pwrite64:
    case SYS_pread64:
      call.positioned = true;
      call.offset = a[3];
      return number == SYS_pwrite64 ? acked_write(&call) : acked_read(&call);
    case SYS_writev:
    case SYS_readv:
      call = vectored(a, false, 0);
      return number == SYS_writev ? acked_write(&call) : acked_read(&call);
    case SYS_pwritev:
    case SYS_preadv:
      call = vectored(a, true, 0);
      call.positioned = true;
      return number == SYS_pwritev ? acked_write(&call) : acked_read(&call);
    case SYS_pwritev2:
      call = vectored(a, true, (int)a[5]);
      return acked_write(&call);
    default:
      call = vectored(a, true, (int)a[5]);
      return acked_read(&call);
  }
}

static long opens(long number, const long a[6]) {
  if (number == SYS_openat2) {
    const struct real_open_how *how = (const struct real_open_how *)a[2];
    /* A longer structure than is known here could ask for anything. */
    if (!how || a[3] != (long)sizeof *how) return real(number, a[0], a[1], a[2], a[3]);
    return opened(acked_open((int)a[0], (const char *)a[1], how->flags, (mode_t)how->mode, how->resolve));
  }
  return opened(acked_open((int)a[0], (const char *)a[1], (uint64_t)(uint32_t)a[2], (mode_t)a[3], 0));
}

#ifdef __x86_64__
/* The calls that newer architectures do without. */
static long old_calls(long number, const long a[6], bool *known) {
  const char *path = (const char *)a[0];
  *known = true;
  switch (number) {
    case SYS_open:
      return opened(acked_open(AT_FDCWD, path, (uint64_t)(uint32_t)a[1], (mode_t)a[2], 0));
    case SYS_creat:
      return opened(acked_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, (mode_t)a[1], 0));
    case SYS_rename:
      return acked_rename(AT_FDCWD, path, AT_FDCWD, (const char *)a[1], 0);
    case SYS_link:
      return acked_link(AT_FDCWD, path, AT_FDCWD, (const char *)a[1], 0);
    case SYS_symlink:
      return acked_symlink(path, AT_FDCWD, (const char *)a[1]);
    case SYS_unlink:
      return acked_unlink(AT_FDCWD, path, 0);
    case SYS_rmdir:
      return acked_unlink(AT_FDCWD, path, AT_REMOVEDIR);
    case SYS_mkdir:
      return acked_mkdir(AT_FDCWD, path, (mode_t)a[1]);
    case SYS_dup2:
      return duplicated(a[0], real(number, a[0], a[1]));
    default:
      *known = false;
      return 0;
  }
}
#else
static long old_calls(long number, const long a[6], bool *known) {
  (void)number, (void)a;
  *known = false;
  return 0;
}
#endif

static long dispatch(long number, const long a[6]) {
  switch (number) {
    case SYS_write:
    case SYS_read:
    case SYS_pwrite64:
    case SYS_pread64:
    case SYS_writev:
    case SYS_readv:
    case SYS_pwritev:
    case SYS_preadv:
    case SYS_pwritev2:
    case SYS_preadv2:
      return transfers(number, a);
    case SYS_openat:
    case SYS_openat2:
      return opens(number, a);
    case SYS_copy_file_range:
      return acked_copy_file_range((int)a[0], (off_t *)a[1], (int)a[2], (off_t *)a[3], (size_t)a[4], (unsigned)a[5]);
    case SYS_sendfile:
      return acked_sendfile((int)a[0], (int)a[1], (off_t *)a[2], (size_t)a[3]);
    case SYS_splice:
      return acked_splice((int)a[0], (off_t *)a[1], (int)a[2], (off_t *)a[3], (size_t)a[4], (unsigned)a[5]);
    case SYS_ioctl:
      return ioctl((int)a[0], (unsigned long)a[1], a[2]) < 0 ? -errno : 0;
    case SYS_fsync:
      return acked_fsync((int)a[0]);
    case SYS_fdatasync:
      return acked_fdatasync((int)a[0]);
    case SYS_sync_file_range:
      return acked_sync_file_range((int)a[0], a[1], a[2], (unsigned)a[3]);
    case SYS_syncfs:
      return acked_syncfs((int)a[0]);
    case SYS_sync:
      return acked_sync();
    case SYS_ftruncate:
      return acked_ftruncate((int)a[0], a[1]);
    case SYS_truncate:
      return acked_truncate((const char *)a[0], a[1]);
    case SYS_fallocate:
      return acked_fallocate((int)a[0], (int)a[1], a[2], a[3]);
    case SYS_renameat2:
      return acked_rename((int)a[0], (const char *)a[1], (int)a[2], (const char *)a[3], (unsigned)a[4]);
#ifdef SYS_renameat
    case SYS_renameat:
      return acked_rename((int)a[0], (const char *)a[1], (int)a[2], (const char *)a[3], 0);
#endif
    case SYS_linkat:
      return acked_link((int)a[0], (const char *)a[1], (int)a[2], (const char *)a[3], (int)a[4]);
    case SYS_symlinkat:
      return acked_symlink((const char *)a[0], (int)a[1], (const char *)a[2]);
    case SYS_unlinkat:
      return acked_unlink((int)a[0], (const char *)a[1], (int)a[2]);
    case SYS_mkdirat:
      return acked_mkdir((int)a[0], (const char *)a[1], (mode_t)a[2]);
    case SYS_sendmsg:
      return acked_send((int)a[0], (const struct msghdr *)a[1], (int)a[2]);
    case SYS_mmap:
      return (long)acked_mmap((void *)a[0], (size_t)a[1], (int)a[2], (int)a[3], (int)a[4], a[5]);
    case SYS_munmap:
      return acked_munmap((void *)a[0], (size_t)a[1]);
    case SYS_msync:
      return acked_msync((void *)a[0], (size_t)a[1], (int)a[2]);
    case SYS_close:
      if (a[0] >= 0) descriptors_closed((unsigned)a[0], (unsigned)a[0]);
      return real(number, a[0]);
    case SYS_close_range:
      return close_range((unsigned)a[0], (unsigned)a[1], (int)a[2]) < 0 ? -errno : 0;
    case SYS_dup:
      return duplicated(a[0], real(number, a[0]));
    case SYS_dup3:
      return duplicated(a[0], real(number, a[0], a[1], a[2]));
    case SYS_io_uring_setup:
      return -ENOSYS;
    default: {
      bool known;
      long result = old_calls(number, a, &known);
      return known ? result : real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
  }
}

INTERPOSED long syscall(long number, ...) {
  va_list arguments;
  long a[6];
  va_start(arguments, number);
  for (int one = 0; one < 6; one++) a[one] = va_arg(arguments, long);
  va_end(arguments);
  long result = control ? dispatch(number, a) : real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  /* A process that forks by itself is another one from here on. */
  bool forks = number == SYS_clone;
#ifdef SYS_fork
  forks = forks || number == SYS_fork;
#endif
  if (forks && result == 0) acked_forked();
  return answer(result);
}
