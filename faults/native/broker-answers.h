/*
 * How answers reach the calls that wait for them, and what becomes of those that do not.
 *
 * Before Linux 5.19 any signal ends the wait of a call, although the broker may be making it just then; the kernel
 * then restarts it (SA_RESTART, as Go's scheduler has it), or the program does (EINTR). Made anew it would be made
 * twice: so an answer that came too late is kept, and given to the thread's next call if that is the very same. Since
 * 5.19 only a fatal signal does that, and there is nothing to keep.
 *
 * What remains on every kernel: a call that nobody has taken up yet can be ended by a signal, and has then not been
 * made. A program whose signal handlers do not restart calls sees an EINTR that a file on a disk would not give it.
 */
#ifndef ACKED_BROKER_ANSWERS_H
#define ACKED_BROKER_ANSWERS_H

#include "broker-calls.h"

/* Answers the call. */
void give_answer(const struct target *target, const struct seccomp_data *data, const struct answer *answer);

/* The answer to an earlier, interrupted call of this thread, if this is the same call again. Each once. */
bool find_kept_answer(const struct target *target, const struct seccomp_data *data, struct answer *answer);

#endif
