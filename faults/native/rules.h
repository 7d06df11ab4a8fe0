/*
 * The rules in force: which call they act on, and what they do to it.
 *
 * Each armed rule counts the calls of its operation whose path matches its glob, in a counter shared by all
 * processes of the store, and is due at its nth (or from its nth on). Slots are consulted in order. A delay passes
 * the call on to the later slots; any other effect ends the search, and the later slots have not seen the call, so
 * that a rule can never be skipped by another that was due at the same moment.
 * Calls on which an effect means nothing are not counted by it: `short` wants at least 2 bytes, `full` wants growth.
 */
#ifndef ACKED_RULES_H
#define ACKED_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control.h"

/* A call about to be made. */
struct attempt {
  enum operation operation;
  const char *path;
  const char *other_path; /* a rename's old name, else null: matching either is a match */
  size_t length;          /* bytes to be written; 0 for everything that is not a write */
  const void *call;
  /* How many bytes fit without growth; SIZE_MAX when the call grows nothing. Null when it never does. */
  size_t (*room)(const struct attempt *attempt);
};

/* What is left for the caller to do. Delays and kill-before have been carried out; errno is set for an error. */
struct firing {
  enum effect effect; /* NONE, ERROR, SHORT, TORN_KILL, KILL_AFTER */
  size_t bytes;       /* SHORT, TORN_KILL: how many to write */
  struct rule *rule;
};

/* Consults every armed rule. Counts the call; `full` comes back as ERROR (ENOSPC) or as SHORT. */
struct firing consult_rules(const struct attempt *attempt);

/* To be called after the real call, with its effect on the disk done: carries out kill-after and torn-kill. */
void finish(const struct firing *firing, const char *path);

#endif
