/*
 * The trace: a file, mapped shared by every process of a store, in which each call on the data directory (and each
 * write to a stream socket) leaves a record before it is made and another before it returns. Read by
 * faults/front-ends/trace-file.ts, which creates the file with its header; change both, and TRACE_VERSION.
 *
 * The order of the file is the order of the events: space is reserved by one atomic addition to `cursor`. A record is
 * filled, then its checksum is stored: a process killed in between leaves a record without a valid checksum, whose
 * length, stored first, lets the reader skip it. Space is really allocated, chunk by chunk, before it is written to:
 * a full disk ends the trace (`overflowed`), it does not end the store. No lock.
 *
 * Kinds are numbered as `traceKinds` in faults/contract.ts, from 0. Effects are numbered as in control.h. Little endian.
 * The checksum is CRC-32C (Castagnoli: reflected polynomial 0x82f63b78, initial value and final xor ~0) of the bytes
 * from offset 8 to `length`; should it come out as 0, 1 is stored.
 */
#ifndef ACKED_TRACE_H
#define ACKED_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define TRACE_MAGIC "acked-tr"
#define TRACE_VERSION 1
#define TRACE_HEADER_BYTES 4096

struct trace_header {
  char magic[8];
  uint32_t version;
  uint32_t header_bytes; /* TRACE_HEADER_BYTES */
  uint64_t capacity;     /* bytes of the file, header included */
  uint64_t cursor;       /* next free offset; starts at TRACE_HEADER_BYTES; goes beyond capacity when it overflows */
  uint64_t overflowed;   /* how many records found no room */
  uint64_t allocated;    /* the file is backed by real space up to here */
};

enum trace_kind {
  TRACE_WRITE,
  TRACE_SYNC,
  TRACE_DATASYNC,
  TRACE_SYNC_RANGE,
  TRACE_SYNCFS,
  TRACE_OPEN,
  TRACE_RENAME,
  TRACE_LINK,
  TRACE_UNLINK,
  TRACE_MKDIR,
  TRACE_RMDIR,
  TRACE_TRUNCATE,
  TRACE_ALLOCATE,
  TRACE_SEND,
  TRACE_PAGES_LOST,
  TRACE_ENTER,
  TRACE_EXEC,
};

enum trace_phase { TRACE_BEGIN = 1, TRACE_END = 2, TRACE_INSTANT = 3 };

enum trace_flag {
  TRACE_CREATED = 1 << 0,
  TRACE_TRUNCATED = 1 << 1,
  TRACE_SYNCHRONOUS = 1 << 2,
  TRACE_DIRECTORY = 1 << 3,
  TRACE_HAS_MODE = 1 << 4, /* port_or_mode is the mode of an allocate or the flags of a rename */
};

struct trace_record {
  uint32_t length;   /* of the whole record, a multiple of 8; stored first */
  uint32_t checksum; /* stored last; 0: incomplete */
  uint16_t kind;
  uint16_t phase;
  uint32_t pid;
  uint32_t tid;
  uint32_t effect;
  uint64_t at_ns;    /* CLOCK_MONOTONIC */
  uint64_t call;     /* file offset of the begin record; 0: this record begins a call, or is an instant */
  uint64_t device;   /* st_dev */
  uint64_t inode;
  int64_t result;    /* at the end: what the program is told, or -errno */
  int64_t offset;
  uint64_t size;
  uint32_t flags;    /* enum trace_flag */
  uint32_t port_or_mode;
  uint16_t path_length;
  uint16_t other_path_length;
  uint32_t data_length;
  /* path, other path, data; zeros up to a multiple of 8 */
};

_Static_assert(sizeof(struct trace_record) == 96, "mirrored in trace-file.ts");
_Static_assert(offsetof(struct trace_record, at_ns) == 24, "mirrored in trace-file.ts");
_Static_assert(offsetof(struct trace_record, flags) == 80, "mirrored in trace-file.ts");
_Static_assert(offsetof(struct trace_record, data_length) == 92, "mirrored in trace-file.ts");
_Static_assert(sizeof(struct trace_header) == 48, "mirrored in trace-file.ts");

/* What a record says. The path of an end record may be left out: the reader takes it from the begin record. */
struct trace_event {
  enum trace_kind kind;
  uint32_t effect;
  uint64_t device;
  uint64_t inode;
  int64_t offset;
  uint64_t size;
  uint32_t flags;
  uint32_t port_or_mode;
  const char *path;       /* may be null */
  const char *other_path; /* may be null */
  const struct iovec *data; /* may be null */
  int data_parts;
};

/* Maps the trace named by a path. Returns null, or why it cannot be written. */
const char *open_trace(const char *path);

/* True when there is a trace: otherwise nothing below does anything. */
extern bool tracing;

/* Records that a call begins, or something that has no end; returns the call's id, 0 when it could not be recorded. */
uint64_t trace_begin(const struct trace_event *event);
void trace_instant(const struct trace_event *event);

/* Records how the call ended: inode, offset, size and flags as they are now known. */
void trace_end(uint64_t call, const struct trace_event *event, int64_t result);

#endif
