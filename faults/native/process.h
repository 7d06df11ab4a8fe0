/*
 * The process that the core runs in: how it takes part in a run, who else does, and how the store is killed.
 */
#ifndef ACKED_PROCESS_H
#define ACKED_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "control.h"

/*
 * Reads ACKED_CONTROL, ACKED_DIR, ACKED_LOG_GLOB and ACKED_TRACE and maps what they name. `name` ("interposer") begins
 * every complaint. False when this process is not part of a run; a process that should be and cannot says why and ends
 * with 125.
 */
bool enter_run(const char *name);

/* Writes one line to standard error, and ends the process with 125. */
void give_up(const char *what, const char *detail);

/*
 * The child that the harness started itself must not outlive it. ACKED_PARENT is removed there, so that its own
 * children are left alone; they are ended with the process group. The first process of an incarnation.
 */
void follow_parent(void);

/* Counts and records a process of the store: this one, after exec or fork. Returns true if it was known already. */
bool register_process(pid_t pid);

/* The broker sets it: it is no part of the store, and survives kill_store(). */
extern bool outside_store;

/* SIGKILL to every process of the store, wherever it has moved itself, and never to the harness. */
void kill_store(void);

/* Of the acting process and thread; looked up once (see calls.h). */
pid_t acting_pid(void);
pid_t acting_tid(void);

/* A forked child: what was looked up is void. */
void forget_actor(void);

/*
 * Held for microseconds, never across a call that may wait; a dead owner's is taken over. False when this thread has it
 * already (a signal handler): then there is nothing to give back.
 */
bool lock_word(uint64_t *word);
void unlock_word(uint64_t *word);

static inline void lock_control(void) { lock_word(&control->lock); }
static inline void unlock_control(void) { unlock_word(&control->lock); }

#endif
