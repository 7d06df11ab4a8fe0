/* Giving answers, and keeping those that came too late; see broker-answers.h. */
#define _GNU_SOURCE
#include "broker-answers.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1) /* Linux 5.14 */
#endif
#define KEPT 256

struct kept {
  pid_t tid; /* 0: free */
  struct seccomp_data data;
  struct answer answer;
};

static struct kept kept[KEPT];
static int kept_now;
static int kept_next;
static struct being_made *all_being_made;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t one_left = PTHREAD_COND_INITIALIZER;

static void forget(struct kept *one) {
  if (one->tid == 0) return;
  one->tid = 0;
  __atomic_sub_fetch(&kept_now, 1, __ATOMIC_ACQ_REL);
}

/* The oldest gives way: its thread has had time for hundreds of other calls, or is gone. */
static void keep(const struct target *target, const struct seccomp_data *data, const struct answer *answer) {
  pthread_mutex_lock(&lock);
  struct kept *one = &kept[kept_next++ % KEPT];
  if (one->tid != 0 && one->answer.how == GIVE_DESCRIPTOR) close((int)one->answer.value);
  forget(one);
  *one = (struct kept){.tid = target->tid, .data = *data, .answer = *answer};
  __atomic_add_fetch(&kept_now, 1, __ATOMIC_ACQ_REL);
  pthread_mutex_unlock(&lock);
}

static bool is_same_call(const struct seccomp_data *one, const struct seccomp_data *other) {
  return one->nr == other->nr && memcmp(one->args, other->args, sizeof one->args) == 0;
}

static bool is_being_made(pid_t tid, const struct seccomp_data *data) {
  for (const struct being_made *each = all_being_made; each; each = each->next)
    if (each->tid == tid && is_same_call(each->data, data)) return true;
  return false;
}

void enter_call(struct being_made *call, const struct target *target, const struct seccomp_data *data) {
  *call = (struct being_made){.tid = target->tid, .data = data};
  pthread_mutex_lock(&lock);
  while (is_being_made(call->tid, data)) pthread_cond_wait(&one_left, &lock);
  call->next = all_being_made;
  all_being_made = call;
  pthread_mutex_unlock(&lock);
}

void leave_call(struct being_made *call) {
  pthread_mutex_lock(&lock);
  struct being_made **link = &all_being_made;
  while (*link != call) link = &(*link)->next;
  *link = call->next;
  pthread_cond_broadcast(&one_left);
  pthread_mutex_unlock(&lock);
}

bool find_kept_answer(const struct target *target, const struct seccomp_data *data, struct answer *answer) {
  if (__atomic_load_n(&kept_now, __ATOMIC_ACQUIRE) == 0) return false;
  bool found = false;
  pthread_mutex_lock(&lock);
  for (int each = 0; each < KEPT; each++) {
    struct kept *one = &kept[each];
    if (one->tid != target->tid) continue;
    if (is_same_call(&one->data, data) && !found) {
      *answer = one->answer;
      found = true;
    } else if (one->answer.how == GIVE_DESCRIPTOR) {
      close((int)one->answer.value);
    }
    forget(one);
  }
  pthread_mutex_unlock(&lock);
  return found;
}

/* 0, or why it was not received: ENOENT when the caller waits no longer. */
static int respond(const struct target *target, int64_t value, uint32_t flags) {
  struct seccomp_notif_resp response = {.id = target->call, .flags = flags};
  if (value < 0) response.error = (int32_t)value;
  else response.val = value;
  return ioctl(target->listener, SECCOMP_IOCTL_NOTIF_SEND, &response) == 0 ? 0 : errno;
}

static int respond_with_descriptor(const struct target *target, const struct answer *answer) {
  struct seccomp_notif_addfd given = {.id = target->call,
                                      .flags = SECCOMP_ADDFD_FLAG_SEND,
                                      .srcfd = (uint32_t)answer->value,
                                      .newfd_flags = answer->close_on_exec ? O_CLOEXEC : 0};
  int number = ioctl(target->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &given);
  if (number < 0 && errno == EINVAL) {
    /* Before Linux 5.14 in two steps. */
    given.flags = 0;
    number = ioctl(target->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &given);
    if (number >= 0) return respond(target, number, 0);
  }
  if (number >= 0 || errno == ENOENT) return number >= 0 ? 0 : ENOENT;
  return respond(target, -errno, 0); /* it has as many descriptors as it may have */
}

void give_answer(const struct target *target, const struct seccomp_data *data, const struct answer *answer) {
  if (answer->how == NOT_MADE) return;
  if (answer->how == LET_THROUGH) {
    respond(target, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
    return;
  }
  if (answer->broken_pipe) syscall(SYS_tgkill, target->pid, target->tid, SIGPIPE);
  bool descriptor = answer->how == GIVE_DESCRIPTOR;
  int refused = descriptor ? respond_with_descriptor(target, answer) : respond(target, answer->value, 0);
  bool lives = refused == ENOENT && syscall(SYS_tgkill, target->pid, target->tid, 0) == 0;
  if (lives) keep(target, data, answer);
  else if (descriptor) close((int)answer->value);
}
