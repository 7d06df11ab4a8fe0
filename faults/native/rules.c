/* Matching, counting, recording and killing; see rules.h for the order in which rules are consulted. */
#define _GNU_SOURCE
#include "rules.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "calls.h"
#include "files.h"
#include "process.h"

#define NS_PER_S 1000000000ULL

static void record(struct rule *rule, const char *path) {
  if (__atomic_fetch_add(&rule->times, 1, __ATOMIC_ACQ_REL) != 0) return;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  rule->first_at_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
  rule->first_pid = (uint32_t)acting_pid();
  snprintf(rule->first_path, sizeof rule->first_path, "%s", path);
  __atomic_store_n(&rule->recorded, 1, __ATOMIC_RELEASE);
}

void delay(const struct firing *firing) {
  if (firing->delay_ns == 0) return;
  int kept = errno;
  struct timespec left = {.tv_sec = (time_t)(firing->delay_ns / NS_PER_S),
                          .tv_nsec = (long)(firing->delay_ns % NS_PER_S)};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
  errno = kept;
}

/* Whether the effect means anything at this call. */
static bool means_something(const struct rule *rule, const struct attempt *attempt) {
  switch (rule->effect) {
    case EFFECT_SHORT:
      return attempt->length >= 2 && !attempt->fixed;
    case EFFECT_TORN_KILL:
    case EFFECT_TORN_ERROR:
    case EFFECT_LYING:
    case EFFECT_MISDIRECTED:
    case EFFECT_BIT_FLIP:
      return attempt->operation == OP_SYNC || (attempt->length > 0 && !attempt->fixed);
    case EFFECT_REVERT: /* stores to a mapping are in no page history */
      return !attempt->weak && !attempt->fixed;
    case EFFECT_FSYNCGATE:
    case EFFECT_LATE:
      return !attempt->weak;
    case EFFECT_STALE:
      return attempt->stale && attempt->stale(attempt);
    case EFFECT_READ_ONLY:
      return attempt->changes;
    default:
      return true;
  }
}

static bool concerns(const struct rule *rule, const struct attempt *attempt) {
  /* States of the disk concern whatever would grow or change something, whichever operation that is. */
  bool state = rule->effect == EFFECT_FULL || rule->effect == EFFECT_READ_ONLY;
  if (!state && rule->operation != attempt->operation) return false;
  if (!glob_matches(rule->glob, attempt->path) &&
      !(attempt->other_path && glob_matches(rule->glob, attempt->other_path))) {
    return false;
  }
  return means_something(rule, attempt);
}

static bool is_due(struct rule *rule) {
  uint64_t call = __atomic_add_fetch(&rule->calls, 1, __ATOMIC_ACQ_REL);
  return rule->from ? call >= rule->nth : call == rule->nth;
}

/* The last byte is never written: a whole write is neither short nor torn. */
static size_t part_of(size_t length, uint64_t wanted, size_t least) {
  size_t most = length == 0 ? 0 : length - 1;
  size_t bytes = wanted > most ? most : (size_t)wanted;
  return bytes < least ? least : bytes;
}

static struct firing fire(struct rule *rule, const struct attempt *attempt, size_t room) {
  struct firing firing = {.effect = (enum effect)rule->effect,
                          .todo = (enum effect)rule->effect,
                          .error = (int)rule->error,
                          .argument = (int64_t)rule->argument,
                          .rule = rule};
  switch (rule->effect) {
    case EFFECT_SHORT:
      firing.bytes = part_of(attempt->length, rule->argument, 1);
      break;
    case EFFECT_TORN_KILL:
    case EFFECT_TORN_ERROR:
      firing.bytes = part_of(attempt->length, rule->argument, 0);
      break;
    case EFFECT_FULL:
      firing.todo = room == 0 ? EFFECT_ERROR : EFFECT_SHORT;
      firing.error = ENOSPC;
      firing.bytes = room;
      break;
    case EFFECT_READ_ONLY:
      firing.todo = EFFECT_ERROR;
      firing.error = EROFS;
      break;
    case EFFECT_KILL_BEFORE:
      record(rule, attempt->path);
      kill_store();
      firing.killed = true;
      firing.todo = EFFECT_ERROR;
      firing.error = EINTR;
      return firing;
    default:
      break;
  }
  /* What kills is recorded with its effect done: finish(). */
  if (rule->effect != EFFECT_TORN_KILL && rule->effect != EFFECT_KILL_AFTER) record(rule, attempt->path);
  return firing;
}

struct firing consult_rules(const struct attempt *attempt) {
  uint64_t armed = __atomic_load_n(&control->armed, __ATOMIC_ACQUIRE);
  uint64_t delay_ns = 0;
  for (; armed; armed &= armed - 1) {
    struct rule *rule = &control->rules[__builtin_ctzll(armed)];
    if (!concerns(rule, attempt)) continue;
    size_t room = SIZE_MAX;
    if (rule->effect == EFFECT_FULL) {
      if (attempt->room) room = attempt->room(attempt);
      if (room == SIZE_MAX) continue;
    }
    if (!is_due(rule)) continue;
    if (rule->effect == EFFECT_DELAY) {
      record(rule, attempt->path);
      delay_ns += rule->argument;
      continue;
    }
    struct firing firing = fire(rule, attempt, room);
    firing.delay_ns = delay_ns;
    return firing;
  }
  return (struct firing){.effect = EFFECT_NONE, .delay_ns = delay_ns};
}

void finish(const struct firing *firing, const char *path) {
  if (firing->effect != EFFECT_KILL_AFTER && firing->effect != EFFECT_TORN_KILL) return;
  record(firing->rule, path);
  kill_store();
}
