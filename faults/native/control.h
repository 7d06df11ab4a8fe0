/*
 * The control file: memory shared by the harness and every process of one store.
 *
 * The interposer maps it; the harness cannot map files, so it reads and writes the same bytes with pread and pwrite
 * (faults/disk/interposer.ts mirrors this layout: change both, and CONTROL_VERSION). All integers are in host order,
 * naturally aligned. Who writes what:
 *   - the harness: magic, version, size, harness_pid once; each rule's description while its bit in `armed` is
 *     clear, then the bit. Clearing the bit disarms. A slot is used again only after all others have been.
 *   - the processes of the store: everything else, with atomic operations only.
 */
#ifndef ACKED_CONTROL_H
#define ACKED_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#define CONTROL_MAGIC "acked-io"
#define CONTROL_VERSION 1
#define RULE_SLOTS 64
#define GLOB_BYTES 448
/* Files whose path relative to the data directory is longer than this, its NUL included, are not seen. */
#define PATH_BYTES 512

enum operation { OP_WRITE, OP_SYNC, OP_RENAME, OP_OPEN, OP_UNLINK, OP_TRUNCATE, OPERATIONS };

enum effect {
  EFFECT_NONE,
  EFFECT_ERROR,       /* argument: errno */
  EFFECT_SHORT,       /* argument: bytes */
  EFFECT_TORN_KILL,   /* argument: bytes */
  EFFECT_KILL_BEFORE,
  EFFECT_KILL_AFTER,
  EFFECT_DELAY,       /* argument: ns */
  EFFECT_FULL,
};

struct rule {
  uint32_t operation;
  uint32_t effect;
  uint32_t from;          /* 0: only the nth call; 1: every call from the nth on */
  uint32_t recorded;      /* 1 once the first_* fields below are complete */
  uint64_t nth;           /* 1 is the first call after arming */
  uint64_t argument;
  uint64_t calls;         /* matching calls since arming, over all processes */
  uint64_t times;         /* how often it fired */
  uint64_t first_at_ns;   /* CLOCK_MONOTONIC */
  uint32_t first_pid;
  uint32_t unused;
  char glob[GLOB_BYTES];  /* NUL-terminated, relative to the data directory */
  char first_path[PATH_BYTES];
};

struct control {
  char magic[8];
  uint32_t version;
  uint32_t size;              /* sizeof(struct control) */
  uint64_t processes_inside;  /* processes that have loaded the interposer, by exec (forks are not counted) */
  uint64_t syncs_begun;       /* of log files */
  uint64_t sync_completed;    /* the highest begin-number of a sync that returned success */
  uint64_t syncs_failed;
  uint64_t armed;             /* bit i: rule i is in force */
  uint64_t generation;        /* grows whenever a name may have come to mean another file */
  uint64_t calls[OPERATIONS]; /* on files in the data directory */
  int32_t harness_pid;
  int32_t group;              /* process group of the child that the harness started */
  uint64_t opened_synchronous; /* 1 once a file was opened with O_DSYNC or O_SYNC */
  struct rule rules[RULE_SLOTS];
};

_Static_assert(sizeof(struct rule) == 1024, "mirrored in interposer.ts");
_Static_assert(offsetof(struct rule, glob) == 64, "mirrored in interposer.ts");
_Static_assert(offsetof(struct rule, first_path) == 512, "mirrored in interposer.ts");
_Static_assert(offsetof(struct control, processes_inside) == 16, "mirrored in interposer.ts");
_Static_assert(offsetof(struct control, armed) == 48, "mirrored in interposer.ts");
_Static_assert(offsetof(struct control, calls) == 64, "mirrored in interposer.ts");
_Static_assert(offsetof(struct control, harness_pid) == 112, "mirrored in interposer.ts");
_Static_assert(offsetof(struct control, rules) == 128, "mirrored in interposer.ts");

/* Null in a process that acked did not start: then every call passes through untouched. */
extern struct control *control;

#endif
