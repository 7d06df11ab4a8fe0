/*
 * How answers reach the calls that wait for them, and what becomes of those that do not.
 *
 * Before Linux 5.19 any signal ends the wait of a call, although the broker may be making it just then; the kernel
 * then restarts it (SA_RESTART, as Go's scheduler has it), or the program does (EINTR). Made anew it would be made
 * twice: so an answer that came too late is kept, and given to the thread's next call if that is the very same. That
 * one may come while the first is still being made, and waits for it. Since 5.19 only a fatal signal ends a wait, and
 * there is nothing to keep.
 *
 * What remains before 5.19: a signal that comes in the very instant of the answer. The kernel takes the answer, says so,
 * and restarts the call all the same; nothing tells it from a program that makes an equal call twice, so it is made twice.
 *
 * What remains on every kernel: a call that nobody has taken up yet can be ended by a signal, and has then not been
 * made. A program whose signal handlers do not restart calls sees an EINTR that a file on a disk would not give it.
 */
#ifndef ACKED_BROKER_ANSWERS_H
#define ACKED_BROKER_ANSWERS_H

#include "broker-calls.h"

/* A call that is being made; lives as long as that. */
struct being_made {
  pid_t tid;
  const struct seccomp_data *data;
  struct being_made *next;
};

/* Before a call is made or an answer looked for: waits while the same call of the same thread is still being made. */
void enter_call(struct being_made *call, const struct target *target, const struct seccomp_data *data);

/* After its answer was given, or kept. */
void leave_call(struct being_made *call);

/* Answers the call. */
void give_answer(const struct target *target, const struct seccomp_data *data, const struct answer *answer);

/* The answer to an earlier, interrupted call of this thread, if this is the same call again. Each once. */
bool find_kept_answer(const struct target *target, const struct seccomp_data *data, struct answer *answer);

#endif
