/*
 * The control file: memory shared by the harness and every process of one store.
 *
 * The front ends (interposer, broker) map it; the harness cannot map files, so it reads and writes the same bytes with
 * pread and pwrite (faults/front-ends/interposer.ts mirrors this layout: change both, and CONTROL_VERSION). All integers are
 * in host order, naturally aligned. Who writes what:
 *   - the harness: magic, version, size, harness_pid, keep_pages, watch_reads; each rule's description while its bit in
 *     `armed` is clear, then the bit. Clearing the bit disarms. A slot is used again only after all others have been.
 *   - the processes of the store: everything else, with atomic operations only, or under `lock`.
 * A process may be killed at any instruction: whatever lies here makes sense half written.
 */
#ifndef ACKED_CONTROL_H
#define ACKED_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#define CONTROL_MAGIC "acked-io"
#define CONTROL_VERSION 2
#define RULE_SLOTS 64
#define GLOB_BYTES 448
/* Files whose path relative to the data directory is longer than this, its NUL included, are not seen. */
#define PATH_BYTES 512
#define PROCESS_SLOTS 1024
#define FAILURE_SLOTS 256
#define DESCRIPTIONS (1u << 20)

/* The order of interposedOperations in faults/contract.ts. */
enum operation {
  OP_WRITE,
  OP_SYNC,
  OP_RENAME,
  OP_OPEN,
  OP_UNLINK, /* and rmdir */
  OP_TRUNCATE,
  OP_CREATE,
  OP_MKDIR,
  OP_LINK, /* and symlink */
  OP_READ, /* counted only while `watch_reads` is set */
  OPERATIONS
};

/* Numbers of the effects in rules and in the trace. Meanings: `Effect` in faults/contract.ts. */
enum effect {
  EFFECT_NONE = 0,
  EFFECT_ERROR = 1,        /* error */
  EFFECT_SHORT = 2,        /* argument: bytes */
  EFFECT_TORN_KILL = 3,    /* argument: bytes */
  EFFECT_KILL_BEFORE = 4,
  EFFECT_KILL_AFTER = 5,
  EFFECT_DELAY = 6,        /* argument: ns */
  EFFECT_FULL = 7,
  EFFECT_TORN_ERROR = 8,   /* argument: bytes; error */
  EFFECT_LYING = 9,
  EFFECT_MISDIRECTED = 10, /* argument: bytes to shift by, signed */
  EFFECT_BIT_FLIP = 11,    /* argument: bit */
  EFFECT_STALE = 12,
  EFFECT_READ_ONLY = 13,
  EFFECT_FSYNCGATE = 14,       /* error */
  EFFECT_WRITEBACK_ERROR = 15, /* error */
  EFFECT_REVERT = 16,          /* error */
  EFFECT_LATE = 17,            /* error */
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
  uint32_t error;         /* errno, of the effects that have one */
  char glob[GLOB_BYTES];  /* NUL-terminated, relative to the data directory */
  char first_path[PATH_BYTES];
};

/* What the processes could not see or keep, as bits of `blind_spots`: the harness says it, and the run is unknown. */
enum blind_spot {
  BLIND_STDIO_REOPENED = 1 << 0,  /* freopen() of a foreign stream onto a file of the data directory */
  BLIND_TEMPORARY_FILE = 1 << 1,  /* O_TMPFILE in the data directory */
  BLIND_SYMBOLIC_LINK = 1 << 2,   /* symlink() in the data directory: counted, not traced */
  BLIND_PAGES_FULL = 1 << 3,      /* more pages were written than the page history holds */
  BLIND_FAILURES_FULL = 1 << 4,   /* more files or descriptions failed than there are slots */
  BLIND_LOCK_BROKEN = 1 << 5,     /* a lock's owner kept it for 2 s, and it was taken from it */
  BLIND_MAPPINGS_FULL = 1 << 6,   /* more shared mappings than there are slots */
  BLIND_TRACE_FULL = 1 << 7,      /* the trace has no room, or its disk is full */
  BLIND_PAGES_MISSING = 1 << 8,   /* the page history was asked for and could not be mapped */
  BLIND_MOVED_IN = 1 << 9,         /* a file was renamed or linked into the data directory from outside */
  BLIND_ASYNCHRONOUS = 1 << 10,    /* aio_write, aio_fsync or lio_listio on a file of the data directory */
  BLIND_MAPPING_UNREAD = 1 << 11,  /* process_vm_readv() is refused: what is stored to shared mappings is not seen */
};

/* A process that is, or was, inside. The start time tells it from a later process with the same id. */
struct process {
  uint32_t pid;
  uint32_t unused;
  uint64_t started; /* field 22 of /proc/<pid>/stat */
};

/* A file whose pages could not be written, as the kernel remembers it (errseq_t of the inode). */
struct failure {
  uint64_t device;
  uint64_t inode;
  uint64_t sequence; /* of the latest failure; 0: the slot is free */
  uint32_t error;
  uint32_t seen;     /* some description has been told */
};

struct control {
  char magic[8];
  uint32_t version;
  uint32_t size;               /* sizeof(struct control) */
  uint64_t processes_inside;   /* processes that have loaded the front end, by exec (forks are not counted) */
  uint64_t syncs_begun;        /* of log files */
  uint64_t sync_completed;     /* the highest begin-number of a sync that returned success */
  uint64_t syncs_failed;
  uint64_t armed;              /* bit i: rule i is in force */
  uint64_t generation;         /* grows whenever a name may have come to mean another file */
  uint64_t calls[OPERATIONS];  /* on files in the data directory */
  int32_t harness_pid;
  int32_t group;               /* process group of the child that the harness started */
  uint64_t opened_synchronous; /* 1 once a file was opened with O_DSYNC or O_SYNC */
  uint64_t keep_pages;         /* 1: keep the page history (pages.h), for `revert` and `stale` */
  uint64_t watch_reads;        /* 1: reads are classified and counted */
  uint64_t blind_spots;        /* bits of enum blind_spot */
  uint64_t failure_sequence;
  uint64_t failures_known;     /* 0 until a file has failed: nothing need be looked up */
  uint64_t description;        /* the latest id given to an open file description */
  uint64_t lock;               /* thread id of the owner of everything below and of the page history; 0: free */
  uint64_t names_lock;         /* the same, of calls on names while a trace is written (names.c) */
  uint64_t reserved[4];
  struct rule rules[RULE_SLOTS];
  struct process processes[PROCESS_SLOTS];
  struct failure failures[FAILURE_SLOTS];
  uint32_t told[DESCRIPTIONS]; /* by description: the sequence of the latest failure it need not be told of */
};

_Static_assert(sizeof(struct rule) == 1024, "mirrored in interposer.ts");
_Static_assert(offsetof(struct rule, glob) == 64, "mirrored in interposer.ts");
_Static_assert(offsetof(struct rule, first_path) == 512, "mirrored in interposer.ts");
_Static_assert(offsetof(struct control, processes_inside) == 16, "mirrored in interposer.ts");
_Static_assert(offsetof(struct control, armed) == 48, "mirrored in interposer.ts");
_Static_assert(offsetof(struct control, calls) == 64, "mirrored in interposer.ts");
_Static_assert(offsetof(struct control, harness_pid) == 144, "mirrored in interposer.ts");
_Static_assert(offsetof(struct control, keep_pages) == 160, "mirrored in interposer.ts");
_Static_assert(offsetof(struct control, watch_reads) == 168, "mirrored in interposer.ts");
_Static_assert(offsetof(struct control, blind_spots) == 176, "mirrored in interposer.ts");
_Static_assert(offsetof(struct control, rules) == 256, "mirrored in interposer.ts");
_Static_assert(sizeof(struct control) == 256 + 64 * 1024 + 1024 * 16 + 256 * 32 + (1u << 20) * 4,
               "mirrored in interposer.ts");

/* The page history (pages.h) lies behind it in the same file, from here on; a file without is shorter. */
#define PAGES_OFFSET ((sizeof(struct control) + 4095) / 4096 * 4096)

/* Null in a process that acked did not start: then every call passes through untouched. */
extern struct control *control;

static inline void blind(enum blind_spot spot) {
  __atomic_or_fetch(&control->blind_spots, (uint64_t)spot, __ATOMIC_RELAXED);
}

#endif
