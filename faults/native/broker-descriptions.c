/* Ids of open file descriptions by marks in the kernel; see broker-descriptions.h. */
#define _GNU_SOURCE
#include "broker-descriptions.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "calls.h"
#include "control.h"
#include "files.h"

#define BUCKETS 1024
#define MARKS 64

/* The descriptions of one file. */
struct opened {
  struct opened *next;
  uint64_t device;
  uint64_t inode;
  uint64_t free;      /* bit m: mark m + 1 is not in use, as far as is known */
  uint64_t ids[MARKS];
};

static struct opened *buckets[BUCKETS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct opened *opened_of(uint64_t device, uint64_t inode) {
  struct opened **bucket = &buckets[(inode ^ device) % BUCKETS];
  for (struct opened *one = *bucket; one; one = one->next) {
    if (one->inode == inode && one->device == device) return one;
  }
  struct opened *made = calloc(1, sizeof *made);
  if (!made) return NULL;
  *made = (struct opened){.next = *bucket, .device = device, .inode = inode, .free = UINT64_MAX};
  *bucket = made;
  return made;
}

/* The marks of this file's descriptions that a process holds. */
static uint64_t marks_held_by(pid_t pid, const struct opened *file) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
  DIR *directory = opendir(path);
  int pidfd = directory ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
  uint64_t held = 0;
  for (struct dirent *entry; pidfd >= 0 && (entry = readdir(directory));) {
    struct stat status;
    if (fstatat(dirfd(directory), entry->d_name, &status, 0) != 0 || status.st_ino != file->inode) continue;
    int fd = (int)syscall(SYS_pidfd_getfd, pidfd, atoi(entry->d_name), 0);
    int mark = fd < 0 ? 0 : fcntl(fd, F_GETSIG);
    if (mark >= 1 && mark <= MARKS) held |= 1ULL << (mark - 1);
    if (fd >= 0) close(fd);
  }
  if (pidfd >= 0) close(pidfd);
  if (directory) closedir(directory);
  return held;
}

/* All marks have been given out: those that no living process of the store holds are free again. */
static void look_for_free_marks(struct opened *file) {
  uint64_t held = 0;
  for (int slot = 0; slot < PROCESS_SLOTS; slot++) {
    pid_t pid = (pid_t)control->processes[slot].pid;
    if (pid > 0) held |= marks_held_by(pid, file);
  }
  file->free = ~held;
}

/* Gives the description a mark and an id. With the lock held. */
static uint64_t describe(int fd, struct opened *file) {
  uint64_t id = new_description(file->device, file->inode);
  if (file->free == 0) look_for_free_marks(file);
  if (file->free == 0) {
    blind(BLIND_FAILURES_FULL);
    return id;
  }
  int bit = __builtin_ctzll(file->free);
  file->free &= file->free - 1;
  file->ids[bit] = id;
  fcntl(fd, F_SETSIG, bit + 1);
  return id;
}

uint64_t front_description(int fd, uint64_t device, uint64_t inode) {
  pthread_mutex_lock(&lock);
  struct opened *file = opened_of(device, inode);
  int mark = fcntl(fd, F_GETSIG);
  uint64_t id = 0;
  if (file) id = mark >= 1 && mark <= MARKS && file->ids[mark - 1] ? file->ids[mark - 1] : describe(fd, file);
  pthread_mutex_unlock(&lock);
  return id;
}

void describe_opened(int fd) {
  struct file named;
  enum seen seen = identify(fd, &named);
  if (seen != SEEN_FILE && seen != SEEN_DIRECTORY) return;
  pthread_mutex_lock(&lock);
  struct opened *file = opened_of(named.device, named.inode);
  if (file) describe(fd, file);
  pthread_mutex_unlock(&lock);
}
