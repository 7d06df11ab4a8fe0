/*
 * C streams on files of the data directory. The C library's own streams write by calls that cannot be interposed: so
 * fopen and fdopen return a custom stream (fopencookie) whose reads, writes and seeks come here, with the buffer size
 * that an ordinary one would have, and with its descriptor entered so that fileno() is right.
 *
 * Not seen: freopen onto a file of the data directory, and streams with a character set (",ccs="): both are blind
 * spots; standard streams that were redirected before the program started.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "calls.h"
#include "control.h"
#include "descriptors.h"
#include "files.h"
#include "interposed.h"
#include "real.h"

#ifdef __GLIBC__

NEXT(FILE *, fopen, const char *, const char *)
NEXT(FILE *, fdopen, int, const char *)
NEXT(FILE *, freopen, const char *, const char *, FILE *)

struct stream {
  int fd;
  char *buffer;
};

static ssize_t read_stream(void *cookie, char *data, size_t length) {
  struct iovec part = {.iov_base = data, .iov_len = length};
  struct transfer call = {.fd = ((struct stream *)cookie)->fd, .parts = &part, .parts_count = 1};
  return answer(acked_read(&call));
}

/* Goes on after a short write, as the C library does. A failure after a part: the part is what was written. */
static ssize_t write_stream(void *cookie, const char *data, size_t length) {
  size_t done = 0;
  while (done < length) {
    struct iovec part = {.iov_base = (void *)(data + done), .iov_len = length - done};
    struct transfer call = {.fd = ((struct stream *)cookie)->fd, .parts = &part, .parts_count = 1};
    ssize_t written = answer(acked_write(&call));
    if (written < 0) break;
    done += (size_t)written;
  }
  return (ssize_t)done;
}

static int seek_stream(void *cookie, off64_t *offset, int whence) {
  long result = answer(real(SYS_lseek, ((struct stream *)cookie)->fd, *offset, whence));
  if (result < 0) return -1;
  *offset = result;
  return 0;
}

static int close_stream(void *cookie) {
  struct stream *stream = cookie;
  int fd = stream->fd;
  free(stream->buffer);
  free(stream);
  descriptors_closed((unsigned)fd, (unsigned)fd);
  return (int)answer(real(SYS_close, fd));
}

/* A custom stream is a FILE like any other: with this field set, fileno() and fsync(fileno()) work. */
static FILE *stream_on(int fd, const char *mode) {
  struct stream *stream = malloc(sizeof *stream);
  struct stat status;
  if (!stream) return NULL;
  bool known = fstat(fd, &status) == 0 && status.st_blksize > 0 && status.st_blksize < BUFSIZ;
  size_t bytes = known ? (size_t)status.st_blksize : BUFSIZ;
  *stream = (struct stream){.fd = fd, .buffer = malloc(bytes)};
  cookie_io_functions_t functions = {
      .read = read_stream, .write = write_stream, .seek = seek_stream, .close = close_stream};
  FILE *file = stream->buffer ? fopencookie(stream, mode, functions) : NULL;
  if (!file) {
    free(stream->buffer);
    free(stream);
    return NULL;
  }
  setvbuf(file, stream->buffer, _IOFBF, bytes);
  file->_fileno = fd;
  return file;
}

/* The flags of open(2) for a mode of fopen(3); -1 when it makes no sense. */
static int flags_of(const char *mode) {
  int flags;
  switch (*mode) {
    case 'r':
      flags = O_RDONLY;
      break;
    case 'w':
      flags = O_WRONLY | O_CREAT | O_TRUNC;
      break;
    case 'a':
      flags = O_WRONLY | O_CREAT | O_APPEND;
      break;
    default:
      return -1;
  }
  for (const char *at = mode + 1; *at && *at != ','; at++) {
    if (*at == '+') flags = (flags & ~O_ACCMODE) | O_RDWR;
    else if (*at == 'x') flags |= O_EXCL;
    else if (*at == 'e') flags |= O_CLOEXEC;
  }
  return flags;
}

/* fopencookie takes no other letters. */
static void plain_mode(const char *mode, char out[3]) {
  out[0] = *mode;
  out[1] = strchr(mode, '+') ? '+' : '\0';
  out[2] = '\0';
}

static bool in_directory(const char *path) {
  char relative[PATH_BYTES];
  return control && path && identify_path(AT_FDCWD, path, relative);
}

INTERPOSED FILE *fopen(const char *path, const char *mode) {
  int flags = flags_of(mode);
  if (flags < 0 || !in_directory(path)) return next_fopen()(path, mode);
  if (strstr(mode, ",ccs=")) {
    blind(BLIND_STDIO_REOPENED);
    return next_fopen()(path, mode);
  }
  int fd = acked_open(AT_FDCWD, path, (uint64_t)flags, 0666, 0);
  if (answer(fd) < 0) return NULL;
  descriptor_opened(fd);
  char plain[3];
  plain_mode(mode, plain);
  if (flags & O_APPEND) real(SYS_lseek, fd, 0, SEEK_END);
  FILE *file = stream_on(fd, plain);
  if (!file) real(SYS_close, fd);
  return file;
}

INTERPOSED FILE *fdopen(int fd, const char *mode) {
  struct file file;
  int flags = flags_of(mode);
  if (!control || flags < 0 || strstr(mode, ",ccs=") || identify(fd, &file) != SEEN_FILE) {
    return next_fdopen()(fd, mode);
  }
  long status = real(SYS_fcntl, fd, F_GETFL);
  bool reads = (flags & O_ACCMODE) != O_WRONLY, writes = (flags & O_ACCMODE) != O_RDONLY;
  if (answer(status) < 0) return NULL;
  if ((reads && (status & O_ACCMODE) == O_WRONLY) || (writes && (status & O_ACCMODE) == O_RDONLY)) {
    errno = EINVAL;
    return NULL;
  }
  if ((flags & O_APPEND) && !(status & O_APPEND)) real(SYS_fcntl, fd, F_SETFL, status | O_APPEND);
  char plain[3];
  plain_mode(mode, plain);
  return stream_on(fd, plain);
}

INTERPOSED FILE *freopen(const char *path, const char *mode, FILE *stream) {
  struct file file;
  bool ours = control && !path && identify(fileno(stream), &file) == SEEN_FILE;
  if (ours || in_directory(path)) blind(BLIND_STDIO_REOPENED);
  return next_freopen()(path, mode, stream);
}

SAME(fopen64, fopen);
SAME(freopen64, freopen);

/* Written by the C library itself, otherwise: formatted first, then written like anything else. */
static int print_to(int fd, const char *format, va_list arguments) {
  char *text;
  int length = vasprintf(&text, format, arguments);
  if (length < 0) return length;
  struct iovec part = {.iov_base = text, .iov_len = (size_t)length};
  struct transfer call = {.fd = fd, .parts = &part, .parts_count = 1};
  ssize_t written = answer(acked_write(&call));
  free(text);
  return written < 0 ? -1 : length;
}

INTERPOSED int vdprintf(int fd, const char *format, va_list arguments) { return print_to(fd, format, arguments); }

INTERPOSED int dprintf(int fd, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = print_to(fd, format, arguments);
  va_end(arguments);
  return length;
}

INTERPOSED int __vdprintf_chk(int fd, int flag, const char *format, va_list arguments) {
  (void)flag;
  return print_to(fd, format, arguments);
}

INTERPOSED int __dprintf_chk(int fd, int flag, const char *format, ...) {
  (void)flag;
  va_list arguments;
  va_start(arguments, format);
  int length = print_to(fd, format, arguments);
  va_end(arguments);
  return length;
}

#endif
