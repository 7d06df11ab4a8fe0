/*
 * The skewed clock: a library preloaded into a store's processes, whose wall clock then goes as the harness says. It puts
 * functions of its own in place of the C library's that read the wall clock. The harness shifts it and changes its rate
 * while the processes run, through a control file that all of them map (faults/front-ends/clock.ts mirrors the layout).
 *
 * Models: clock_gettime of CLOCK_REALTIME and CLOCK_REALTIME_COARSE, gettimeofday, time, timespec_get.
 * Does not touch: the monotonic clocks. Does not model: waits until a moment of the wall clock (pthread_cond_timedwait,
 * sem_timedwait, clock_nanosleep and timerfd with an absolute time), which end by the machine's clock; times that the
 * kernel sets (of files). Does not see: statically linked programs, and those that read the clock past the C library (Go).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "interposed.h"

#define CLOCK_MAGIC 0x6b636f6c636b6361ull /* "ackclock" in memory */
#define NS_PER_S 1000000000ll

/* Written by the harness, but for the two counters. */
struct clock_control {
  uint64_t magic;
  uint64_t processes_inside; /* that have loaded this library, by exec */
  uint64_t readings;         /* of a clock that was skewed */
  uint64_t sequence;         /* odd while the three below are being written; 0: never */
  int64_t since_ns;          /* CLOCK_MONOTONIC when the skew began */
  int64_t shift_ns;          /* how far ahead of the machine's clock it was then */
  int64_t rate_ppm;          /* how much it gains from then on */
};

_Static_assert(sizeof(struct clock_control) == 56, "mirrored in clock.ts");

static struct clock_control *clock_control;

NEXT(int, clock_gettime, clockid_t, struct timespec *)

__attribute__((constructor)) static void map_clock(void) {
  const char *path = getenv("ACKED_CLOCK");
  if (!path) return;
  int fd = open(path, O_RDWR | O_CLOEXEC);
  struct stat status;
  if (fd < 0) return;
  if (fstat(fd, &status) == 0 && (size_t)status.st_size >= sizeof(struct clock_control)) {
    struct clock_control *found =
        mmap(NULL, sizeof(struct clock_control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (found != MAP_FAILED && found->magic == CLOCK_MAGIC) {
      __atomic_add_fetch(&found->processes_inside, 1, __ATOMIC_RELAXED);
      __atomic_store_n(&clock_control, found, __ATOMIC_RELEASE);
    }
  }
  close(fd);
}

/* By how many ns the clock is ahead now. A harness that died while it wrote leaves the machine's own time. */
static int64_t ahead_ns(void) {
  struct clock_control *c = __atomic_load_n(&clock_control, __ATOMIC_ACQUIRE);
  if (!c) return 0;
  for (int attempt = 0; attempt < 10000; attempt++) {
    uint64_t sequence = __atomic_load_n(&c->sequence, __ATOMIC_ACQUIRE);
    if (sequence == 0) return 0;
    if (sequence & 1) continue;
    int64_t since = __atomic_load_n(&c->since_ns, __ATOMIC_RELAXED);
    int64_t shift = __atomic_load_n(&c->shift_ns, __ATOMIC_RELAXED);
    int64_t rate = __atomic_load_n(&c->rate_ppm, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&c->sequence, __ATOMIC_RELAXED) != sequence) continue;
    if (shift == 0 && rate == 0) return 0;
    __atomic_add_fetch(&c->readings, 1, __ATOMIC_RELAXED);
    if (rate == 0) return shift;
    struct timespec now;
    next_clock_gettime()(CLOCK_MONOTONIC, &now);
    int64_t passed = now.tv_sec * NS_PER_S + now.tv_nsec - since;
    return shift + (int64_t)((__int128)passed * rate / 1000000);
  }
  return 0;
}

static void move(struct timespec *time, int64_t by_ns) {
  __int128 moved = (__int128)time->tv_sec * NS_PER_S + time->tv_nsec + by_ns;
  if (moved < 0) moved = 0; /* before 1970 nobody expects it */
  time->tv_sec = (time_t)(moved / NS_PER_S);
  time->tv_nsec = (long)(moved % NS_PER_S);
}

INTERPOSED int clock_gettime(clockid_t clock, struct timespec *time) {
  int result = next_clock_gettime()(clock, time);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) move(time, ahead_ns());
  return result;
}

INTERPOSED int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  if (zone) *(struct timezone *)zone = (struct timezone){0, 0};
  struct timespec now;
  if (!time) return 0;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  *time = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
  return 0;
}

INTERPOSED time_t time(time_t *also) {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return (time_t)-1;
  if (also) *also = now.tv_sec;
  return now.tv_sec;
}

INTERPOSED int timespec_get(struct timespec *time, int base) {
  if (base != TIME_UTC) return 0;
  return clock_gettime(CLOCK_REALTIME, time) == 0 ? base : 0;
}
