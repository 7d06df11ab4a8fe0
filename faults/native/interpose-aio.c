/*
 * Asynchronous I/O of POSIX (aio_write, aio_fsync, lio_listio): made by threads of the C library, by calls that cannot be
 * interposed. They are let through, and counted as a blind spot: what a trace says of such a file is not all of it.
 */
#define _GNU_SOURCE
#include <aio.h>
#include <signal.h>

#include "control.h"
#include "descriptors.h"
#include "files.h"
#include "interposed.h"

#ifdef __GLIBC__

static void note(int fd) {
  struct file file;
  if (control && identify(fd, &file) == SEEN_FILE) blind(BLIND_ASYNCHRONOUS);
}

/* Each call twice: with its own structure, and with that of files beyond 2 GiB. */
#define WATCHED(suffix)                                                                        \
  NEXT(int, aio_write##suffix, struct aiocb##suffix *)                                         \
  NEXT(int, aio_fsync##suffix, int, struct aiocb##suffix *)                                    \
  NEXT(int, lio_listio##suffix, int, struct aiocb##suffix *const *, int, struct sigevent *)    \
  INTERPOSED int aio_write##suffix(struct aiocb##suffix *call) {                               \
    note(call->aio_fildes);                                                                    \
    return next_aio_write##suffix()(call);                                                     \
  }                                                                                            \
  INTERPOSED int aio_fsync##suffix(int operation, struct aiocb##suffix *call) {                \
    note(call->aio_fildes);                                                                    \
    return next_aio_fsync##suffix()(operation, call);                                          \
  }                                                                                            \
  INTERPOSED int lio_listio##suffix(int mode, struct aiocb##suffix *const calls[], int count,  \
                                    struct sigevent *event) {                                  \
    for (int at = 0; at < count; at++) {                                                       \
      if (calls[at] && calls[at]->aio_lio_opcode == LIO_WRITE) note(calls[at]->aio_fildes);    \
    }                                                                                          \
    return next_lio_listio##suffix()(mode, calls, count, event);                               \
  }

WATCHED()
WATCHED(64)

#endif
