/*
 * The calls that the broker makes for the store: which system calls are trapped, and how each becomes one of calls.h.
 *
 * A call that is not about the data directory, nor a write to a stream socket while there is a trace, is let through
 * untouched. Seen through a mirror: shared writable mappings made by mmap with PROT_WRITE (the broker maps the same
 * file, and compares at msync and at syncs). Not seen: mappings made writable by mprotect or grown by mremap; sends with control
 * data (descriptors in flight); writes by another process's ptrace or process_vm_writev.
 * Refused with ENOSYS, and said so once: io_uring and Linux AIO, whose writes pass by.
 */
#ifndef ACKED_BROKER_CALLS_H
#define ACKED_BROKER_CALLS_H

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>

#include "broker-target.h"

/* What the waiting call is told. */
struct answer {
  enum { LET_THROUGH, RETURN, GIVE_DESCRIPTOR, NOT_MADE } how;
  int64_t value;    /* RETURN: a result or -errno; GIVE_DESCRIPTOR: this process's, to be closed once given */
  bool close_on_exec;
  bool broken_pipe; /* the thread is owed a SIGPIPE */
};

/*
 * Traps the calls for this process and all it will start, for good; needs no_new_privs. The listener, or -errno.
 * `interruptible`: as before Linux 5.19, where a signal can end the wait for a call that is being made.
 */
int trap_calls(bool reads, bool interruptible);

/* Makes the call as this thread's (acting) target would. */
struct answer make_call(const struct target *target, const struct seccomp_data *data);

#endif
