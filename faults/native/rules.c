/* Matching, counting, recording and killing; see rules.h for the order in which rules are consulted. */
#define _GNU_SOURCE
#include "rules.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "files.h"

#define NS_PER_S 1000000000ULL

static void record(struct rule *rule, const char *path) {
  if (__atomic_fetch_add(&rule->times, 1, __ATOMIC_ACQ_REL) != 0) return;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  rule->first_at_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
  rule->first_pid = (uint32_t)getpid();
  snprintf(rule->first_path, sizeof rule->first_path, "%s", path);
  __atomic_store_n(&rule->recorded, 1, __ATOMIC_RELEASE);
}

/* SIGKILL to the whole store, and never to the harness, should it ever share the group. Does not return. */
static void kill_store(void) {
  pid_t harness_group = getpgid(control->harness_pid);
  pid_t group = control->group;
  if (group > 1 && group != harness_group) kill(-group, SIGKILL);
  if (getpgrp() != harness_group) kill(0, SIGKILL);
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

static void sleep_ns(uint64_t ns) {
  struct timespec left = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

static bool concerns(const struct rule *rule, const struct attempt *attempt) {
  /* `full` is a state of the disk: it concerns whatever would grow, whichever operation that is. */
  if (rule->effect != EFFECT_FULL && rule->operation != attempt->operation) return false;
  if (rule->effect == EFFECT_SHORT && attempt->length < 2) return false;
  return glob_matches(rule->glob, attempt->path) ||
         (attempt->other_path && glob_matches(rule->glob, attempt->other_path));
}

static bool is_due(struct rule *rule) {
  uint64_t call = __atomic_add_fetch(&rule->calls, 1, __ATOMIC_ACQ_REL);
  return rule->from ? call >= rule->nth : call == rule->nth;
}

static struct firing nothing(void) { return (struct firing){.effect = EFFECT_NONE}; }

static struct firing refuse(struct rule *rule, const char *path, int error) {
  record(rule, path);
  errno = error;
  return (struct firing){.effect = EFFECT_ERROR, .rule = rule};
}

static struct firing cut(struct rule *rule, const char *path, size_t bytes) {
  record(rule, path);
  return (struct firing){.effect = EFFECT_SHORT, .bytes = bytes, .rule = rule};
}

/* The last byte is never written: a whole write is neither short nor torn. */
static size_t part_of(size_t length, uint64_t wanted, size_t least) {
  size_t most = length == 0 ? 0 : length - 1;
  size_t bytes = wanted > most ? most : (size_t)wanted;
  return bytes < least ? least : bytes;
}

static struct firing consult(struct rule *rule, const struct attempt *attempt) {
  if (!concerns(rule, attempt)) return nothing();
  size_t room = SIZE_MAX;
  if (rule->effect == EFFECT_FULL) {
    if (attempt->room) room = attempt->room(attempt);
    if (room == SIZE_MAX) return nothing();
  }
  if (!is_due(rule)) return nothing();
  switch (rule->effect) {
    case EFFECT_ERROR:
      return refuse(rule, attempt->path, (int)rule->argument);
    case EFFECT_SHORT:
      return cut(rule, attempt->path, part_of(attempt->length, rule->argument, 1));
    case EFFECT_TORN_KILL:
      return (struct firing){
          .effect = EFFECT_TORN_KILL, .bytes = part_of(attempt->length, rule->argument, 0), .rule = rule};
    case EFFECT_KILL_BEFORE:
      record(rule, attempt->path);
      kill_store();
      return nothing();
    case EFFECT_KILL_AFTER:
      return (struct firing){.effect = EFFECT_KILL_AFTER, .rule = rule};
    case EFFECT_DELAY:
      record(rule, attempt->path);
      sleep_ns(rule->argument);
      return nothing();
    case EFFECT_FULL:
      return room == 0 ? refuse(rule, attempt->path, ENOSPC) : cut(rule, attempt->path, room);
    default:
      return nothing();
  }
}

struct firing consult_rules(const struct attempt *attempt) {
  uint64_t armed = __atomic_load_n(&control->armed, __ATOMIC_ACQUIRE);
  for (; armed; armed &= armed - 1) {
    struct firing firing = consult(&control->rules[__builtin_ctzll(armed)], attempt);
    if (firing.effect != EFFECT_NONE) return firing;
  }
  return nothing();
}

void finish(const struct firing *firing, const char *path) {
  if (firing->effect != EFFECT_KILL_AFTER && firing->effect != EFFECT_TORN_KILL) return;
  record(firing->rule, path);
  kill_store();
}
