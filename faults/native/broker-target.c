/* Memory, descriptors, paths and identity of the process that waits for an answer; see broker-target.h. */
#define _GNU_SOURCE
#include "broker-target.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* Linux 6.9 */
#endif
#define REMEMBERED_THREADS 1024
/* A thread is believed to be the same for so long: its id comes round again after thousands of others at the least. */
#define BELIEVED_NS 20000000
#define PAGE 4096
/* What one call may carry: the kernel's own limit (MAX_RW_COUNT). */
#define TRANSFER_MAX ((size_t)0x7ffff000)
/* A buffer this small is kept for the thread's next call. */
#define KEPT_BUFFER ((size_t)1 << 20)

/* A thread of the store. The pidfd never means another one, even if its id is used again. */
struct thread {
  pthread_mutex_t lock;
  pid_t tid;
  pid_t pid;
  int pidfd;
  int64_t checked_ns;
};

static struct thread threads[REMEMBERED_THREADS];
static pthread_once_t threads_made = PTHREAD_ONCE_INIT;

static void make_threads(void) {
  for (int slot = 0; slot < REMEMBERED_THREADS; slot++) {
    pthread_mutex_init(&threads[slot].lock, NULL);
    threads[slot].pidfd = -1;
  }
}

/* Calls that are let through because they cannot be looked at would be a false pass: say why, and end the store. */
static void end_closed_store(void) {
  static const char told[] =
      "acked broker: the store does not let itself be looked into (it is not dumpable, or has become another user): run"
      " acked as root; in a container, start it with --cap-add SYS_PTRACE\n";
  static bool said;
  if (!__atomic_exchange_n(&said, true, __ATOMIC_ACQ_REL) && write(STDERR_FILENO, told, sizeof told - 1) < 0) return;
  kill_store();
}

/* The text of /proc/<tid>/status; empty when the thread is gone. */
static void read_status(pid_t tid, char *text, size_t size) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? 0 : read(fd, text, size - 1);
  text[length > 0 ? length : 0] = '\0';
  if (fd >= 0) close(fd);
}

static const char *field_of(const char *status, const char *name) {
  const char *field = strstr(status, name);
  return field ? field + strlen(name) : NULL;
}

/* Looks the thread up anew. Before Linux 6.9 there are no pidfds of threads: the process's stands for it. */
static bool meet(struct thread *thread, pid_t tid) {
  char status[4096];
  read_status(tid, status, sizeof status);
  const char *tgid = field_of(status, "\nTgid:");
  if (thread->pidfd >= 0) close(thread->pidfd);
  thread->tid = tid;
  thread->pid = tgid ? (pid_t)atol(tgid) : 0;
  thread->pidfd = -1;
  thread->checked_ns = 0;
  if (thread->pid == 0) return false;
  register_process(thread->pid); /* one more to be killed when the store is */
  thread->pidfd = (int)syscall(SYS_pidfd_open, tid, PIDFD_THREAD);
  if (thread->pidfd < 0) thread->pidfd = (int)syscall(SYS_pidfd_open, thread->pid, 0);
  return thread->pidfd >= 0;
}

static struct thread *slot_of(pid_t tid) {
  pthread_once(&threads_made, make_threads);
  struct thread *thread = &threads[(unsigned)tid % REMEMBERED_THREADS];
  pthread_mutex_lock(&thread->lock);
  return thread;
}

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Signal 0 through the pidfd: whoever has this id now may be somebody else than the one remembered. */
static bool is_same(struct thread *thread, pid_t tid, int64_t now) {
  if (thread->tid != tid || thread->pidfd < 0) return false;
  return now - thread->checked_ns < BELIEVED_NS || syscall(SYS_pidfd_send_signal, thread->pidfd, 0, NULL, 0) == 0;
}

pid_t process_of(pid_t tid) {
  struct thread *thread = slot_of(tid);
  int64_t now = now_ns();
  if (!is_same(thread, tid, now)) meet(thread, tid);
  if (now - thread->checked_ns >= BELIEVED_NS) thread->checked_ns = now;
  pid_t pid = thread->pid;
  pthread_mutex_unlock(&thread->lock);
  return pid;
}

int take_descriptor(const struct target *target, int fd) {
  struct thread *thread = slot_of(target->tid);
  int taken = -ESRCH;
  for (int turn = 0; turn < 2 && taken == -ESRCH; turn++) {
    if ((turn > 0 || thread->tid != target->tid) && !meet(thread, target->tid)) break;
    taken = (int)syscall(SYS_pidfd_getfd, thread->pidfd, fd, 0);
    if (taken < 0) taken = -errno;
    if (taken == -EPERM) end_closed_store();
  }
  pthread_mutex_unlock(&thread->lock);
  return taken;
}

bool still_waiting(const struct target *target) {
  return ioctl(target->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &target->call) == 0;
}

/* Memory */

static size_t copied_or_none(ssize_t copied) {
  if (copied < 0 && errno == EPERM) end_closed_store();
  return copied < 0 ? 0 : (size_t)copied;
}

size_t read_target(const struct target *target, uint64_t address, void *to, size_t length) {
  struct iovec local = {.iov_base = to, .iov_len = length};
  struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = length};
  return copied_or_none(process_vm_readv(target->tid, &local, 1, &remote, 1, 0));
}

size_t write_target(const struct target *target, uint64_t address, const void *from, size_t length) {
  struct iovec local = {.iov_base = (void *)from, .iov_len = length};
  struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = length};
  return copied_or_none(process_vm_writev(target->tid, &local, 1, &remote, 1, 0));
}

bool read_parts(const struct target *target, uint64_t address, uint64_t count, struct iovec *parts, int *error) {
  *error = EINVAL;
  if (count > IOV_MAX) return false;
  size_t bytes = (size_t)count * sizeof *parts;
  *error = EFAULT;
  if (bytes > 0 && read_target(target, address, parts, bytes) != bytes) return false;
  size_t total = 0;
  *error = EINVAL;
  for (uint64_t part = 0; part < count; part++) {
    if (parts[part].iov_len > SSIZE_MAX) return false;
    if (parts[part].iov_len > TRANSFER_MAX - total) parts[part].iov_len = TRANSFER_MAX - total;
    total += parts[part].iov_len;
  }
  *error = 0;
  return true;
}

static __thread void *buffer;
static __thread size_t buffer_size;

/* Aligned as a descriptor opened with O_DIRECT demands. */
void *room_for(size_t length) {
  if (buffer && buffer_size >= length && (buffer_size <= KEPT_BUFFER || length > KEPT_BUFFER)) return buffer;
  free(buffer);
  buffer_size = (length < PAGE ? PAGE : length + PAGE - 1) / PAGE * PAGE;
  if (posix_memalign(&buffer, PAGE, buffer_size) != 0) {
    buffer = NULL;
    buffer_size = 0;
  }
  return buffer;
}

void release_room(void) {
  free(buffer);
  buffer = NULL;
  buffer_size = 0;
}

static size_t total_of(const struct iovec *parts, int count) {
  size_t total = 0;
  for (int part = 0; part < count; part++) total += parts[part].iov_len;
  return total;
}

void *gather(const struct target *target, const struct iovec *parts, int count, size_t *length, int *error) {
  size_t total = total_of(parts, count);
  void *bytes = room_for(total);
  *length = 0;
  *error = ENOMEM;
  if (!bytes) return NULL;
  if (total == 0) return bytes;
  struct iovec local = {.iov_base = bytes, .iov_len = total};
  /* What can be read is written: so does the kernel when memory ends in the middle of the data. */
  *length = copied_or_none(process_vm_readv(target->tid, &local, 1, parts, (unsigned long)count, 0));
  *error = EFAULT;
  if (*length == 0) return NULL;
  return bytes;
}

bool scatter(const struct target *target, const struct iovec *parts, int count, const void *from, size_t length) {
  struct iovec local = {.iov_base = (void *)from, .iov_len = length};
  if (length == 0) return true;
  return process_vm_writev(target->tid, &local, 1, parts, (unsigned long)count, 0) == (ssize_t)length;
}

/* Page by page: the memory behind the end of a string need not exist. */
int read_text(const struct target *target, uint64_t address, char path[PATH_MAX]) {
  for (size_t length = 0; length < PATH_MAX;) {
    size_t chunk = PAGE - (size_t)((address + length) % PAGE);
    if (chunk > PATH_MAX - length) chunk = PATH_MAX - length;
    size_t copied = read_target(target, address + length, path + length, chunk);
    if (copied == 0) return -EFAULT;
    if (memchr(path + length, '\0', copied)) return 0;
    length += copied;
  }
  return -ENAMETOOLONG;
}

/* /proc/self would be the broker. */
static void name_process(const struct target *target, char *path) {
  static const char self[] = "/proc/self/", thread[] = "/proc/thread-self/";
  char rest[PATH_MAX];
  bool is_self = strncmp(path, self, sizeof self - 1) == 0;
  if (!is_self && strncmp(path, thread, sizeof thread - 1) != 0) return;
  snprintf(rest, sizeof rest, "%s", path + (is_self ? sizeof self : sizeof thread) - 1);
  snprintf(path, PATH_MAX, "/proc/%d/%.*s", (int)(is_self ? target->pid : target->tid), PATH_MAX - 32, rest);
}

int find_place(const struct target *target, int directory, uint64_t address, struct place *place) {
  place->directory = AT_FDCWD;
  int result = read_text(target, address, place->path);
  if (result < 0) return result;
  if (place->path[0] == '/') {
    name_process(target, place->path);
    return 0;
  }
  if (directory == AT_FDCWD) {
    char cwd[64];
    snprintf(cwd, sizeof cwd, "/proc/%d/cwd", (int)target->tid);
    place->directory = open(cwd, O_PATH | O_CLOEXEC);
    if (place->directory < 0) result = -errno;
  } else {
    place->directory = take_descriptor(target, directory);
    if (place->directory < 0) result = place->directory;
  }
  if (result < 0) place->directory = AT_FDCWD;
  return result;
}

void leave(struct place *place) {
  if (place->directory != AT_FDCWD) close(place->directory);
  place->directory = AT_FDCWD;
}

/* Identity */

static __thread bool acts_as_other;

static int groups_of(const char *status, gid_t *groups, int most) {
  const char *at = field_of(status, "\nGroups:");
  int count = 0;
  while (at && count < most) {
    char *end;
    unsigned long group = strtoul(at, &end, 10);
    if (end == at) break;
    groups[count++] = (gid_t)group;
    at = end;
    if (*end == ' ' && end[1] == '\n') break;
  }
  return count;
}

/* The fourth of a line's ids: the one that the file system looks at. */
static unsigned file_system_id(const char *status, const char *name) {
  const char *at = field_of(status, name);
  unsigned ids[4] = {0};
  if (at && sscanf(at, "%u %u %u %u", &ids[0], &ids[1], &ids[2], &ids[3]) == 4) return ids[3];
  return 0;
}

void act_as(const struct target *target) {
  char status[4096];
  read_status(target->tid, status, sizeof status);
  const char *mask = field_of(status, "\nUmask:");
  umask(mask ? (mode_t)strtoul(mask, NULL, 8) : 022);
  if (geteuid() != 0) return;
  unsigned user = file_system_id(status, "\nUid:"), group = file_system_id(status, "\nGid:");
  if (user == 0 && group == 0) return;
  /* The system calls themselves: the C library's would change every thread of the broker. */
  gid_t groups[64];
  syscall(SYS_setgroups, groups_of(status, groups, 64), groups);
  syscall(SYS_setfsgid, group);
  syscall(SYS_setfsuid, user);
  acts_as_other = true;
}

void act_as_oneself(void) {
  if (!acts_as_other) return;
  syscall(SYS_setfsuid, 0);
  syscall(SYS_setfsgid, getegid());
  syscall(SYS_setgroups, 0, NULL);
  acts_as_other = false;
}
