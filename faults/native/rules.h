/*
 * The rules in force: which call they act on, and what they do to it.
 *
 * Each armed rule counts the calls of its operation whose path matches its glob, in a counter shared by all
 * processes of the store, and is due at its nth (or from its nth on). Slots are consulted in order. A delay passes
 * the call on to the later slots; any other effect ends the search, and the later slots have not seen the call, so
 * that a rule can never be skipped by another that was due at the same moment.
 * Calls on which an effect means nothing are not counted by it: `short` wants at least 2 bytes, `full` wants growth,
 * `read-only` a change, `stale` a page that is known to have held something else, the lasting sync failures a sync
 * that reports them (not sync_file_range, not syncfs; `revert` no msync either), and whatever alters data wants data.
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
  size_t length;          /* bytes to be written, or that can be read; 0 for everything else */
  bool changes;           /* the call changes something: what a read-only file system refuses */
  bool fixed;             /* of a shared mapping: its bytes are in the page cache already, and cannot be altered */
  bool weak;              /* a sync that makes nothing durable, or that is not about one file */
  const void *call;
  /* How many bytes fit without growth; SIZE_MAX when the call grows nothing. Null when it never does. */
  size_t (*room)(const struct attempt *attempt);
  /* Whether `stale` would return anything else than the file holds. Null when it would not. */
  bool (*stale)(const struct attempt *attempt);
};

/* What is left for the caller to do. Kill-before has been carried out. */
struct firing {
  enum effect effect;  /* of the rule: what the trace says. NONE when none fired */
  enum effect todo;    /* what the caller does: `full` has become ERROR or SHORT, `read-only` ERROR */
  int error;           /* ERROR, TORN_ERROR and the sync failures */
  size_t bytes;        /* SHORT, TORN_KILL, TORN_ERROR: how many to write */
  int64_t argument;    /* MISDIRECTED: the shift; BIT_FLIP: the bit */
  uint64_t delay_ns;   /* to be slept after the call has begun */
  bool killed;         /* the store has been killed (broker only): do nothing */
  struct rule *rule;
};

/* Consults every armed rule. Counts the call with each that it concerns. */
struct firing consult_rules(const struct attempt *attempt);

/* Sleeps the delay, if any. */
void delay(const struct firing *firing);

/* To be called after the real call, with its effect on the disk done: carries out kill-after and torn-kill. */
void finish(const struct firing *firing, const char *path);

#endif
