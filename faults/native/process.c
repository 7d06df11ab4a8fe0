/* Entering a run, being counted, and killing the store; see process.h. */
#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"
#include "files.h"
#include "real.h"
#include "trace.h"

#define LOCK_NAPS 15000 /* of 100 µs and what a nap costs: about 2 s */

struct control *control;
bool outside_store;
__thread struct actor acting;
static const char *front_end = "interposer";

pid_t acting_pid(void) {
  if (acting.pid == 0) acting.pid = (pid_t)real(SYS_getpid);
  return acting.pid;
}

pid_t acting_tid(void) {
  if (acting.tid == 0) acting.tid = (pid_t)real(SYS_gettid);
  return acting.tid;
}

void forget_actor(void) { acting = (struct actor){0}; }

void give_up(const char *what, const char *detail) {
  char line[PATH_MAX + 256];
  int length = snprintf(line, sizeof line, "acked %s: %s: %s\n", front_end, what, detail);
  /* A store that runs without the faults it was promised would be a false pass: stop. */
  if (length > 0) real(SYS_write, STDERR_FILENO, line, length);
  _exit(125);
}

static struct control *map_control(const char *path) {
  long fd = real(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
  if (fd < 0) give_up("the control file cannot be opened", strerror((int)-fd));
  struct stat status;
  if (fstat((int)fd, &status) != 0 || status.st_size < 16) give_up("the control file is empty", path);
  char head[16];
  if (real(SYS_pread64, fd, head, sizeof head, 0) != (long)sizeof head) {
    give_up("the control file cannot be read", path);
  }
  uint32_t words[2];
  memcpy(words, head + 8, sizeof words);
  if (memcmp(head, CONTROL_MAGIC, 8) != 0 || words[0] != CONTROL_VERSION ||
      words[1] != (uint32_t)sizeof(struct control)) {
    give_up("the control file is of another version of acked (remove the cached interposer)", path);
  }
  if (status.st_size < (off_t)sizeof(struct control)) give_up("the control file is cut short", path);
  void *mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
  if (mapped == MAP_FAILED) give_up("the control file cannot be mapped", strerror(errno));
  real(SYS_close, fd);
  return mapped;
}

bool enter_run(const char *name) {
  front_end = name;
  const char *path = getenv("ACKED_CONTROL");
  if (!path || !*path) return false;
  int kept = errno;
  const char *directory = getenv("ACKED_DIR");
  if (!directory || !watch_directory(directory, getenv("ACKED_LOG_GLOB"))) {
    give_up("ACKED_DIR must be an absolute path", directory ? directory : "it is not set");
  }
  if (access("/proc/self/fd", X_OK) != 0) give_up("/proc is needed, and is not mounted", strerror(errno));
  control = map_control(path);
  remember_control_path(path);
  const char *trace = getenv("ACKED_TRACE");
  const char *complaint = trace && *trace ? open_trace(trace) : NULL;
  if (complaint) give_up(complaint, trace);
  errno = kept;
  return true;
}

void follow_parent(void) {
  const char *text = getenv("ACKED_PARENT");
  pid_t parent = text ? (pid_t)atol(text) : 0;
  if (parent <= 1) return;
  if (getppid() == parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) raise(SIGKILL);
    unsetenv("ACKED_PARENT");
    __atomic_store_n(&control->group, (int32_t)getpgrp(), __ATOMIC_RELEASE);
    /* Nobody else of the store is alive: whoever held a lock was killed. */
    unlock_word(&control->lock);
    unlock_word(&control->names_lock);
  } else if (kill(parent, 0) != 0 && errno == ESRCH) {
    raise(SIGKILL);
  }
}

/* When a process was started, in clock ticks since boot: field 22 of its stat. 0 when there is no such process. */
static uint64_t start_of(pid_t pid) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  long fd = real(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  long length = real(SYS_read, fd, text, sizeof text - 1);
  real(SYS_close, fd);
  if (length <= 0) return 0;
  text[length] = '\0';
  /* The second field, the name, may hold spaces and parentheses. */
  const char *field = strrchr(text, ')');
  for (int number = 2; field && number < 22; number++) {
    field = strchr(field + 1, ' ');
  }
  return field ? strtoull(field + 1, NULL, 10) : 0;
}

static bool is_running(const struct process *process) {
  uint64_t started = __atomic_load_n(&process->started, __ATOMIC_ACQUIRE);
  return started != 0 && start_of((pid_t)process->pid) == started;
}

bool register_process(pid_t pid) {
  int kept = errno;
  uint64_t started = start_of(pid);
  bool known = false;
  for (int pass = 0; pass < 2 && !known && started; pass++) {
    for (int slot = 0; slot < PROCESS_SLOTS; slot++) {
      struct process *process = &control->processes[slot];
      uint32_t owner = __atomic_load_n(&process->pid, __ATOMIC_ACQUIRE);
      if (owner == (uint32_t)pid && process->started == started) {
        errno = kept;
        return true;
      }
      /* Unused slots first; then those of processes that are gone. */
      if (pass == 0 ? owner != 0 : is_running(process)) continue;
      if (!__atomic_compare_exchange_n(&process->pid, &owner, (uint32_t)pid, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE)) {
        continue;
      }
      __atomic_store_n(&process->started, started, __ATOMIC_RELEASE);
      errno = kept;
      return false;
    }
  }
  errno = kept;
  return false;
}

/* Processes leave the group (Postgres's backends start sessions of their own): each that is known is killed. */
void kill_store(void) {
  pid_t self = (pid_t)real(SYS_getpid);
  pid_t harness_group = getpgid(control->harness_pid);
  pid_t own_group = getpgrp();
  pid_t group = control->group;
  for (int slot = 0; slot < PROCESS_SLOTS; slot++) {
    const struct process *process = &control->processes[slot];
    pid_t pid = (pid_t)process->pid;
    if (pid > 1 && pid != self && pid != control->harness_pid && is_running(process)) kill(pid, SIGKILL);
  }
  if (group > 1 && group != harness_group && !(outside_store && group == own_group)) kill(-group, SIGKILL);
  if (outside_store) return;
  if (own_group != harness_group) kill(0, SIGKILL);
  kill(self, SIGKILL);
  for (;;) pause();
}

/* Patience is counted in naps, not by the clock: a store that is stopped and continued has not been waiting. */
bool lock_word(uint64_t *word) {
  uint64_t self = (uint64_t)real(SYS_gettid);
  const struct timespec nap = {.tv_nsec = 100000};
  int naps = 0;
  for (int turn = 0;; turn++) {
    uint64_t owner = 0;
    if (__atomic_compare_exchange_n(word, &owner, self, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return true;
    if (owner == self) return false;
    if (turn < 1000) {
      if (turn % 64 == 63) sched_yield();
      continue;
    }
    real(SYS_nanosleep, &nap, NULL);
    bool gone = real_error(real(SYS_kill, owner, 0)) == ESRCH;
    bool hung = ++naps > LOCK_NAPS;
    if (!gone && !hung) continue;
    /* Killed while it held the lock: what it was changing makes sense half written. */
    if (hung) blind(BLIND_LOCK_BROKEN);
    if (__atomic_compare_exchange_n(word, &owner, self, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return true;
  }
}

void unlock_word(uint64_t *word) { __atomic_store_n(word, 0, __ATOMIC_RELEASE); }
