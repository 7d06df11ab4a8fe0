/*
 * The broker: runs a store whose calls a preloaded library cannot see (static programs, Go), and makes its disk calls
 * for it, so that the same plan acts on them and the same trace records them.
 *
 *   acked-broker [--reads] [--interruptible] -- PROGRAM ARGUMENT...
 *     with the interposer's environment variables (process.h); --interruptible: as before Linux 5.19, for tests
 *   acked-broker --probe                              0 when this machine lets it work, else 3 and one sentence
 *
 * How: a seccomp filter, unprivileged (no_new_privs: setuid programs below it gain nothing), inherited by every process
 * of the store, stops the listed calls (broker-filter.c) and asks this process. It takes the caller's descriptor
 * (pidfd_getfd: the same open file description) and data, calls the core (calls.h) here, and answers with the result.
 * The processes are traced as themselves, not as the broker.
 *
 * Calls that wait hold up nobody: while a thread here makes one, another waits for the next. No lock is held across any.
 *
 * Life: the store runs in a process group of its own; signals sent to the broker are passed on to it; the broker ends
 * as the store's first process did (exit status or signal), once every other one has ended too (after GRACE_S they are
 * killed). When the harness dies, so does the broker; when the broker dies, however, so does the store: its first
 * process by the death signal, all others by the guardian, a process that holds nothing but the listener.
 *
 * Costs: some 11 µs a call, two changes of process (measureBrokerCost prints it). Not supported: 32-bit programs (ended
 * with a sentence), a store in a mount namespace or root directory of its own. Not seen: see broker-calls.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "broker-answers.h"
#include "broker-calls.h"
#include "broker-mirror.h"
#include "calls.h"
#include "process.h"

#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0) /* Linux 6.6 */
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

#define GRACE_S 2
#define DEADLINE_S 5
#define THREADS_MAX 512
#define FOLLOWERS_MAX 4
/* What is copied to the page cache in no time worth a change of threads. */
#define SMALL_WRITE 65536
#define STACK_BYTES ((size_t)512 << 10)
#define UNAVAILABLE 3
#define NOT_STARTED 127

#define SENTENCE(stream, ...) (fprintf(stream, "acked broker: " __VA_ARGS__), fputc('\n', stream))

static int listener = -1;

struct options {
  bool reads;
  bool interruptible;
};

/* Shared with the store's first process until it executes its program. */
struct handshake {
  uint32_t turn;    /* a futex: 0 nothing yet, 1 the filter is in place, 2 go on, 3 it failed */
  int32_t listener; /* the child's descriptor, or -errno */
  int32_t error;    /* why the program could not be executed */
};

static void set_turn(struct handshake *handshake, uint32_t turn) {
  __atomic_store_n(&handshake->turn, turn, __ATOMIC_RELEASE);
  syscall(SYS_futex, &handshake->turn, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Futexes only: whatever else the child could tell by is trapped once the filter is in place. */
static uint32_t await_turn(struct handshake *handshake, uint32_t over) {
  const struct timespec limit = {.tv_sec = DEADLINE_S};
  for (;;) {
    uint32_t turn = __atomic_load_n(&handshake->turn, __ATOMIC_ACQUIRE);
    if (turn > over) return turn;
    if (syscall(SYS_futex, &handshake->turn, FUTEX_WAIT, turn, &limit, NULL, 0) != 0 && errno == ETIMEDOUT) return turn;
  }
}

/* The store's first process, up to its program */

static void become_store(struct handshake *handshake, struct options options, char **program, pid_t broker) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != broker) _exit(NOT_STARTED);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  bool without_new_rights = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
  handshake->listener = without_new_rights ? trap_calls(options.reads, options.interruptible) : -errno;
  set_turn(handshake, handshake->listener < 0 ? 3 : 1);
  if (handshake->listener < 0 || await_turn(handshake, 1) != 2) _exit(NOT_STARTED);
  execvp(program[0], program);
  handshake->error = errno;
  _exit(NOT_STARTED);
}

/*
 * Serving calls
 *
 * One thread, the leader, waits for the next call; were there more, the kernel would wake them all for each. It makes
 * what cannot wait long itself, and hands the lead over before it makes anything that may. A leader that is found at
 * the same call twice, STUCK_MS apart, loses the lead to whoever looked.
 */
#define STUCK_MS 5
/* For all followers but one, who looks after the leader. */
#define PATIENT_MS 500

static struct {
  uint32_t leader;    /* a futex: the number of the thread that leads; 0: nobody does */
  uint64_t call;      /* the call that the leader makes; 0: it waits for one */
  uint32_t watcher;   /* the follower who looks whether the leader is stuck; 0: nobody does */
  uint32_t numbers;   /* given out to threads */
  int followers;      /* threads that wait for the lead */
  int all;
  int busy;           /* calls being made */
} workers;

static void *work(void *unused);

static void add_worker(void) {
  if (__atomic_load_n(&workers.all, __ATOMIC_RELAXED) >= THREADS_MAX) return;
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  __atomic_add_fetch(&workers.all, 1, __ATOMIC_ACQ_REL);
  if (pthread_create(&thread, &attributes, work, NULL) != 0) __atomic_sub_fetch(&workers.all, 1, __ATOMIC_ACQ_REL);
  pthread_attr_destroy(&attributes);
}

static bool leads(uint32_t number) { return __atomic_load_n(&workers.leader, __ATOMIC_ACQUIRE) == number; }

static bool take_lead(uint32_t from, uint32_t number) {
  return __atomic_compare_exchange_n(&workers.leader, &from, number, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static void give_lead_up(uint32_t number) {
  if (!take_lead(number, 0)) return;
  if (__atomic_load_n(&workers.followers, __ATOMIC_ACQUIRE) == 0) add_worker();
  else syscall(SYS_futex, &workers.leader, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void finish_call(uint64_t call) {
  __atomic_compare_exchange_n(&workers.call, &call, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* Waits for the lead, as long as there are not too many who do. False: this thread is not needed. */
static bool await_lead(uint32_t number) {
  bool taken = take_lead(0, number);
  if (taken) return true;
  if (__atomic_add_fetch(&workers.followers, 1, __ATOMIC_ACQ_REL) <= FOLLOWERS_MAX) {
    while (!taken) {
      uint32_t leader = __atomic_load_n(&workers.leader, __ATOMIC_ACQUIRE);
      uint64_t call = __atomic_load_n(&workers.call, __ATOMIC_ACQUIRE);
      if (leader != 0) {
        uint32_t nobody = 0;
        bool watches = __atomic_load_n(&workers.watcher, __ATOMIC_RELAXED) == number ||
                       __atomic_compare_exchange_n(&workers.watcher, &nobody, number, false, __ATOMIC_ACQ_REL,
                                                   __ATOMIC_ACQUIRE);
        const struct timespec patience = {.tv_nsec = (watches ? STUCK_MS : PATIENT_MS) * 1000000L};
        syscall(SYS_futex, &workers.leader, FUTEX_WAIT_PRIVATE, leader, &patience, NULL, 0);
        /* Woken early, it may see the same call too soon: no harm, the lead is never lost. */
        bool stuck = call != 0 && __atomic_load_n(&workers.call, __ATOMIC_ACQUIRE) == call;
        if (stuck) taken = take_lead(leader, number);
        if (stuck && taken) finish_call(call);
      }
      if (!taken) taken = take_lead(0, number);
    }
  }
  uint32_t self = number;
  __atomic_compare_exchange_n(&workers.watcher, &self, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
  __atomic_sub_fetch(&workers.followers, 1, __ATOMIC_ACQ_REL);
  return taken;
}

/* Whatever waits for a disk or a peer. Rules may delay anything. */
static bool may_wait(const struct seccomp_data *data) {
  if (__atomic_load_n(&control->armed, __ATOMIC_RELAXED)) return true;
  switch (data->nr) {
    case SYS_write:
    case SYS_pwrite64:
      return data->args[2] > SMALL_WRITE || __atomic_load_n(&control->opened_synchronous, __ATOMIC_RELAXED);
    case SYS_openat:
    case SYS_mmap:
    case SYS_ioctl:
    case SYS_execve:
      return false;
    default:
      return true;
  }
}

static void refuse_architecture(uint32_t architecture) {
  SENTENCE(stderr, "the store is a 32-bit program (or runs one), and its calls cannot be served: build it for 64 bits"
                   " (architecture %#x)",
           architecture);
  kill_store();
}

static void serve(const struct seccomp_notif *notification) {
  struct target target = {.listener = listener, .call = notification->id, .tid = (pid_t)notification->pid};
  target.pid = process_of(target.tid);
  if (target.pid == 0) {
    if (!still_waiting(&target)) return; /* killed meanwhile */
    SENTENCE(stderr, "a process of the store cannot be found in /proc: mount it without hidepid");
    kill_store();
    return;
  }
  acting = (struct actor){.pid = target.pid, .tid = target.tid};
#if defined(__x86_64__)
  if (notification->data.arch != AUDIT_ARCH_X86_64) return refuse_architecture(notification->data.arch);
#else
  if (notification->data.arch != AUDIT_ARCH_AARCH64) return refuse_architecture(notification->data.arch);
#endif
  struct answer answer;
  struct being_made call;
  enter_call(&call, &target, &notification->data);
  if (!find_kept_answer(&target, &notification->data, &answer)) answer = make_call(&target, &notification->data);
  give_answer(&target, &notification->data, &answer);
  leave_call(&call);
}

/* Some process, or zombie, still has the filter. */
static bool store_lives(void) {
  struct pollfd poll_for = {.fd = listener, .events = POLLIN};
  return !(poll(&poll_for, 1, 0) > 0 && (poll_for.revents & POLLHUP));
}

/* 0: a call was received; else an errno after which there may be another call, or none (ENOTCONN). */
static int receive(struct seccomp_notif *notification) {
  memset(notification, 0, sizeof *notification);
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, notification) == 0) return 0;
  return errno == EINTR || (errno == ENOENT && store_lives()) ? EAGAIN : ENOTCONN;
}

static void *work(void *unused) {
  unshare(CLONE_FS); /* a umask of its own: act_as() */
  uint32_t number = __atomic_add_fetch(&workers.numbers, 1, __ATOMIC_ACQ_REL);
  while (await_lead(number)) {
    while (leads(number)) {
      struct seccomp_notif notification;
      int failed = receive(&notification);
      if (failed == ENOTCONN) return unused; /* nobody is left who could call; the lead is kept */
      if (failed) continue;
      __atomic_add_fetch(&workers.busy, 1, __ATOMIC_ACQ_REL);
      if (may_wait(&notification.data)) give_lead_up(number);
      else __atomic_store_n(&workers.call, notification.id, __ATOMIC_RELEASE);
      serve(&notification);
      finish_call(notification.id);
      __atomic_sub_fetch(&workers.busy, 1, __ATOMIC_ACQ_REL);
    }
  }
  release_room();
  __atomic_sub_fetch(&workers.all, 1, __ATOMIC_ACQ_REL);
  return unused;
}

/* The guardian */

/*
 * Waits for the broker's end. An orderly one is announced by a byte; after any other the store is killed: those that
 * are known, and whoever still makes a call, until nobody lives who could.
 */
static void guard(int orders) {
  setsid();
  prctl(PR_SET_NAME, "acked-guardian");
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  for (int fd = 0; fd <= 2; fd++) close(fd); /* whoever reads the store's output need not wait for us */
  char order;
  ssize_t length;
  do length = read(orders, &order, 1);
  while (length < 0 && errno == EINTR);
  if (length == 1) _exit(0);
  for (int waited_ms = 0; waited_ms < DEADLINE_S * 1000;) {
    kill_store();
    struct pollfd poll_for = {.fd = listener, .events = POLLIN};
    int ready = poll(&poll_for, 1, 50);
    if (ready > 0 && (poll_for.revents & POLLHUP)) _exit(0);
    if (ready > 0 && (poll_for.revents & POLLIN)) {
      struct seccomp_notif notification = {0};
      if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notification) == 0) kill((pid_t)notification.pid, SIGKILL);
      continue;
    }
    waited_ms += 50;
  }
  _exit(1);
}

struct guardian {
  pid_t pid;
  int orders; /* a pipe whose other end it reads */
};

static struct guardian start_guardian(void) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) give_up("no pipe for the guardian", strerror(errno));
  pid_t guardian = fork();
  if (guardian < 0) give_up("the guardian cannot be started", strerror(errno));
  if (guardian == 0) {
    close(ends[1]);
    guard(ends[0]);
  }
  close(ends[0]);
  return (struct guardian){.pid = guardian, .orders = ends[1]};
}

/* An orderly end. */
static void dismiss(const struct guardian *guardian) {
  if (write(guardian->orders, "", 1) == 1) waitpid(guardian->pid, NULL, 0);
}

/* From start to end */

static const char *why_refused(int error) {
  switch (error) {
    case EPERM:
    case EACCES:
      return "this machine does not permit seccomp filters to ordinary processes; in a container, start it with"
             " --security-opt seccomp=unconfined";
    case EBUSY:
      return "another supervisor (a container runtime, or a broker) listens to this process already; run acked"
             " outside of it";
    case ENOSYS:
    case EINVAL:
      return "this kernel has no seccomp user notification; Linux 5.9 or later is needed";
    default:
      return strerror(error);
  }
}

static const char *why_no_descriptors(int error) {
  if (error == ENOSYS) return "this kernel has no pidfd_getfd; Linux 5.9 or later is needed";
  return "this machine does not let a process take its own child's descriptors; in a container, start it with"
         " --cap-add SYS_PTRACE";
}

/* The child's end of the listener, by way of its descriptor table. */
static int fetch_listener(pid_t child, int number) {
  int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
  int fetched = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
  int error = errno;
  if (pidfd >= 0) close(pidfd);
  return fetched < 0 ? -error : fetched;
}

static struct handshake *new_handshake(void) {
  struct handshake *made = mmap(NULL, sizeof *made, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (made == MAP_FAILED) give_up("no memory", strerror(errno));
  return made;
}

static pid_t start_store(struct handshake *handshake, struct options options, char **program) {
  pid_t broker = getpid();
  pid_t child = fork();
  if (child < 0) give_up("the store cannot be started", strerror(errno));
  if (child == 0) become_store(handshake, options, program, broker);
  setpgid(child, child);
  return child;
}

/* Null, or why the filter is not in place or its listener cannot be had; the child is then not alive. */
static const char *begin_listening(struct handshake *handshake, pid_t child) {
  const char *complaint = NULL;
  if (await_turn(handshake, 0) != 1) {
    complaint = handshake->listener < 0 ? why_refused(-handshake->listener) : "the store's process does not answer";
  } else {
    listener = fetch_listener(child, handshake->listener);
    if (listener < 0) complaint = why_no_descriptors(-listener);
  }
  if (complaint) {
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
  }
  return complaint;
}

static int probe(void) {
  char *nothing[] = {"/proc/self/exe", "--nothing", NULL};
  struct handshake *handshake = new_handshake();
  pid_t child = start_store(handshake, (struct options){0}, nothing);
  const char *complaint = begin_listening(handshake, child);
  if (complaint) {
    SENTENCE(stdout, "%s", complaint);
    return UNAVAILABLE;
  }
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  return 0;
}

/* As follow_parent() does for the interposer, for a process that is no part of the store. */
static void follow_harness(pid_t store) {
  const char *text = getenv("ACKED_PARENT");
  pid_t parent = text ? (pid_t)atol(text) : 0;
  if (parent > 1 && getppid() == parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* the guardian ends the store */
    if (getppid() != parent) raise(SIGKILL);
  }
  __atomic_store_n(&control->group, (int32_t)store, __ATOMIC_RELEASE);
  /* Nobody of the store is alive yet: whoever held the lock was killed. */
  __atomic_store_n(&control->lock, 0, __ATOMIC_RELEASE);
}

static void wait_for_signal(const sigset_t *signals, int *number, siginfo_t *info, int seconds) {
  const struct timespec limit = {.tv_sec = seconds};
  *number = seconds ? sigtimedwait(signals, info, &limit) : sigwaitinfo(signals, info);
}

/* Reaps whoever has ended, the store's orphans included. True once the first process has; its status in *status. */
static bool reap(pid_t first, int *status, bool *others) {
  bool ended = false;
  *others = true;
  for (;;) {
    int how;
    pid_t pid = waitpid(-1, &how, WNOHANG | __WALL);
    if (pid == 0) return ended;
    if (pid < 0) {
      if (errno == EINTR) continue;
      *others = false;
      return ended;
    }
    if (pid != first) continue;
    *status = how;
    ended = true;
  }
}

/* Passes signals on to the store until its first process ends; returns how it did. */
static int supervise(pid_t store, const sigset_t *signals) {
  int status = 0;
  bool others;
  while (!reap(store, &status, &others)) {
    siginfo_t info;
    int number;
    wait_for_signal(signals, &number, &info, 0);
    if (number > 0 && number != SIGCHLD) kill(-store, number);
  }
  return status;
}

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The rest of the store: ends by itself, or is killed. Then the calls still being made end. */
static void end_others(pid_t store) {
  double begun = now_s();
  while (store_lives() && now_s() - begun < GRACE_S + DEADLINE_S) {
    int status;
    bool others;
    reap(store, &status, &others);
    if (now_s() - begun >= GRACE_S) kill_store();
    usleep(2000);
  }
  begun = now_s();
  while (__atomic_load_n(&workers.busy, __ATOMIC_ACQUIRE) > 0 && now_s() - begun < DEADLINE_S) usleep(500);
}

/* Ends as the store's first process did. */
static int end_as(int status) {
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  int number = WTERMSIG(status);
  const struct rlimit none = {0};
  setrlimit(RLIMIT_CORE, &none); /* the store has left its own */
  signal(number, SIG_DFL);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, number);
  sigprocmask(SIG_UNBLOCK, &only, NULL);
  raise(number);
  return 128 + number;
}

/* As many as this process may have: for each thread of the store one, and for each call that is being made. */
static void allow_descriptors(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

static int run(struct options options, char **program) {
  if (!enter_run("broker")) give_up("ACKED_CONTROL is not set", "it is started by acked, not by hand");
  outside_store = true;
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  sigset_t signals;
  sigfillset(&signals);
  sigprocmask(SIG_SETMASK, &signals, NULL);
  char *parent = getenv("ACKED_PARENT") ? strdup(getenv("ACKED_PARENT")) : NULL;
  unsetenv("ACKED_PARENT"); /* the store's parent is the broker */
  if (control->watch_reads) options.reads = true;
  struct handshake *handshake = new_handshake();
  pid_t store = start_store(handshake, options, program);
  if (parent) setenv("ACKED_PARENT", parent, 1);
  allow_descriptors();
  follow_harness(store);
  const char *complaint = begin_listening(handshake, store);
  if (complaint) give_up("the calls of the store cannot be trapped", complaint);
  struct guardian guardian = start_guardian();
  /* Woken on the same processor: the caller sleeps anyway. An older kernel knows no flags. */
  ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
  add_worker();
  add_worker();
  set_turn(handshake, 2);
  int status = supervise(store, &signals);
  end_others(store);
  record_last_stores();
  dismiss(&guardian);
  if (handshake->error) {
    SENTENCE(stderr, "%s cannot be started: %s", program[0], strerror(handshake->error));
    return NOT_STARTED;
  }
  return end_as(status);
}

static int usage(void) {
  SENTENCE(stderr, "usage: acked-broker [--reads] [--interruptible] -- PROGRAM ARGUMENT... | acked-broker --probe");
  return UNAVAILABLE;
}

int main(int count, char **words) {
  struct options options = {0};
  for (int word = 1; word < count; word++) {
    if (strcmp(words[word], "--probe") == 0) return probe();
    if (strcmp(words[word], "--reads") == 0) options.reads = true;
    else if (strcmp(words[word], "--interruptible") == 0) options.interruptible = true;
    else if (strcmp(words[word], "--") == 0 && word + 1 < count) return run(options, words + word + 1);
    else return usage();
  }
  return usage();
}
