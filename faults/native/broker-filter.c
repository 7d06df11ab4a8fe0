/* The filter that decides, in the kernel, which calls the broker is asked about; see broker-calls.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker-calls.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5) /* Linux 5.19 */
#endif

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

static const int trapped[] = {
    SYS_write,    SYS_pwrite64,        SYS_writev,       SYS_pwritev,  SYS_pwritev2,  SYS_sendto,    SYS_sendmsg,
    SYS_sendmmsg, SYS_copy_file_range, SYS_sendfile,     SYS_splice,   SYS_fsync,     SYS_fdatasync, SYS_sync,
    SYS_syncfs,   SYS_sync_file_range, SYS_msync,        SYS_openat,   SYS_openat2,   SYS_renameat2, SYS_linkat,
    SYS_unlinkat, SYS_symlinkat,       SYS_mkdirat,      SYS_truncate, SYS_ftruncate, SYS_fallocate, SYS_execve,
    SYS_execveat, SYS_io_uring_setup,  SYS_io_setup,
#ifdef SYS_renameat
    SYS_renameat,
#endif
#ifdef SYS_open /* x86-64; arm64 has the newer ones only */
    SYS_open,     SYS_creat,           SYS_rename,       SYS_link,     SYS_symlink,   SYS_unlink,    SYS_rmdir,
    SYS_mkdir,
#endif
};

static const int trapped_reads[] = {SYS_read, SYS_pread64, SYS_readv, SYS_preadv, SYS_preadv2};

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define MOST_INSTRUCTIONS 256

struct program {
  struct sock_filter instructions[MOST_INSTRUCTIONS];
  unsigned short length;
};

static void add(struct program *program, unsigned short code, uint32_t value, int when_true, int when_false) {
  program->instructions[program->length++] =
      (struct sock_filter){.code = code, .k = value, .jt = (uint8_t)when_true, .jf = (uint8_t)when_false};
}

static void load(struct program *program, size_t offset) {
  add(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* The low half of an argument: on the little-endian machines that acked knows, the first. */
static size_t argument(int number) { return offsetof(struct seccomp_data, args) + 8 * (size_t)number; }

static void answer_with(struct program *program, uint32_t action) {
  add(program, BPF_RET | BPF_K, action, 0, 0);
}

static void trap(struct program *program, const int *numbers, int count) {
  for (int each = 0; each < count; each++) {
    add(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)numbers[each], 0, 1);
    answer_with(program, SECCOMP_RET_USER_NOTIF);
  }
}

static struct program filter_for(bool reads) {
  struct program program = {.length = 0};
  load(&program, offsetof(struct seccomp_data, arch));
  add(&program, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
  answer_with(&program, SECCOMP_RET_USER_NOTIF); /* a 32-bit program: the broker says that it cannot serve it */
  load(&program, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
  add(&program, BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1); /* x32 */
  answer_with(&program, SECCOMP_RET_ERRNO | ENOSYS);
#endif
  trap(&program, trapped, COUNT(trapped));
  if (reads) trap(&program, trapped_reads, COUNT(trapped_reads));
  /* mmap: shared, of a file, writable */
  add(&program, BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 7);
  load(&program, argument(2));
  add(&program, BPF_JMP | BPF_JSET | BPF_K, PROT_WRITE, 0, 4);
  load(&program, argument(3));
  add(&program, BPF_JMP | BPF_JSET | BPF_K, MAP_ANONYMOUS, 2, 0);
  add(&program, BPF_JMP | BPF_JSET | BPF_K, MAP_SHARED, 0, 1); /* MAP_SHARED_VALIDATE has its bit */
  answer_with(&program, SECCOMP_RET_USER_NOTIF);
  answer_with(&program, SECCOMP_RET_ALLOW);
  /* ioctl: clones of files */
  add(&program, BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 4);
  load(&program, argument(1));
  add(&program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)FICLONE, 1, 0);
  add(&program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)FICLONERANGE, 0, 1);
  answer_with(&program, SECCOMP_RET_USER_NOTIF);
  answer_with(&program, SECCOMP_RET_ALLOW);
  return program;
}

int trap_calls(bool reads, bool interruptible) {
  struct program filter = filter_for(reads);
  struct sock_fprog program = {.len = filter.length, .filter = filter.instructions};
  unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
  /* Once the broker has taken a call up, only a fatal signal may end it. Where that cannot be had: broker-answers.h. */
  unsigned long killable = interruptible ? 0 : SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | killable, &program);
  if (listener < 0 && errno == EINVAL) listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  return listener < 0 ? -errno : (int)listener;
}
