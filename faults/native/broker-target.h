/*
 * The process that waits for an answer, seen from the broker: its memory, its descriptors, its directories, and whom
 * it counts as. Everything is taken from the thread that made the call, by its id, and is good for as long as that
 * call waits; `still_waiting` tells an answer for it from one for a later process with the same id.
 *
 * Not followed: a root directory or a mount namespace of its own.
 */
#ifndef ACKED_BROKER_TARGET_H
#define ACKED_BROKER_TARGET_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct target {
  int listener;
  uint64_t call; /* the notification's id */
  pid_t pid;
  pid_t tid;
};

/* The process of a thread, which is registered (process.h) at first sight; 0 when it is gone. */
pid_t process_of(pid_t tid);

/* The call is still waiting: what was read since it was received belongs to it. */
bool still_waiting(const struct target *target);

/* Bytes copied, 0 when there are none at that address. */
size_t read_target(const struct target *target, uint64_t address, void *to, size_t length);
size_t write_target(const struct target *target, uint64_t address, const void *from, size_t length);

/* The parts of a vectored call. False: the call fails with *error. */
bool read_parts(const struct target *target, uint64_t address, uint64_t count, struct iovec *parts, int *error);

/* The bytes of all parts in one aligned buffer, valid until this thread's next use; or null (*error). */
void *gather(const struct target *target, const struct iovec *parts, int count, size_t *length, int *error);
/* A buffer of that kind with nothing in it. */
void *room_for(size_t length);
/* This thread ends. */
void release_room(void);
/* The other way: `length` bytes into the parts. */
bool scatter(const struct target *target, const struct iovec *parts, int count, const void *from, size_t length);

/* A string of at most PATH_MAX bytes, its NUL included. 0 or -errno. */
int read_text(const struct target *target, uint64_t address, char text[PATH_MAX]);

/* A descriptor of this process for the target's, to be closed; or -errno. */
int take_descriptor(const struct target *target, int fd);

/* A path argument: `directory` and `path` mean here what the target's mean there. */
struct place {
  int directory; /* closed by leave() */
  char path[PATH_MAX];
};
/* 0 or -errno; `leave` is to be called in either case. */
int find_place(const struct target *target, int directory, uint64_t address, struct place *place);
void leave(struct place *place);

/*
 * What this thread does next is done with the target's umask, and, where the broker is root, as its user: a store that
 * was started by root and gave its privileges up makes files of its own. Threads have their own (no CLONE_FS).
 */
void act_as(const struct target *target);
void act_as_oneself(void);

#endif
