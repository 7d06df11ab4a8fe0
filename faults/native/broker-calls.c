/* Each trapped system call as one of calls.h; see broker-calls.h for what is seen and what is not. */
#define _GNU_SOURCE
#include "broker-calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker-descriptions.h"
#include "broker-mirror.h"
#include "calls.h"
#include "control.h"
#include "files.h"
#include "process.h"
#include "trace.h"

static struct answer let_through(void) { return (struct answer){.how = LET_THROUGH}; }

static struct answer returned(int64_t value) { return (struct answer){.how = RETURN, .value = value}; }

/* Nobody waits for it any more: if it comes again, it is to be made then. */
static struct answer not_made(void) { return (struct answer){.how = NOT_MADE, .value = -EINTR}; }

/* What a descriptor of the target is, with one of our own for it. */
struct taken {
  int fd; /* or -errno */
  enum seen seen;
  struct file file;
};

static struct taken take(const struct target *target, uint64_t fd) {
  struct taken taken = {.fd = take_descriptor(target, (int)fd), .seen = SEEN_NOTHING};
  if (taken.fd >= 0) taken.seen = identify(taken.fd, &taken.file);
  return taken;
}

static void give_back(struct taken *taken) {
  if (taken->fd >= 0) close(taken->fd);
}

static bool concerns_data(const struct taken *taken) {
  return taken->seen == SEEN_FILE || taken->seen == SEEN_DIRECTORY;
}

/* Sends are made here, so that their results are known; datagrams and the like are none of ours. */
static bool is_traced_stream(const struct taken *taken) {
  int type = 0;
  socklen_t length = sizeof type;
  return tracing && taken->seen == SEEN_SOCKET &&
         getsockopt(taken->fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

/* Writes and reads */

/* The arguments of a call of the read and write families. */
struct shape {
  bool vectored;
  bool positioned;
  bool flagged;
};

/* The second versions take -1 for the position of the descriptor. */
static bool is_positioned(const struct seccomp_data *data, struct shape shape) {
  return shape.positioned && !(shape.flagged && (int64_t)data->args[3] == -1);
}

static struct answer write_parts(const struct target *target, const struct seccomp_data *data, struct shape shape,
                                 struct taken *taken) {
  struct iovec parts[IOV_MAX];
  int count = 1, error;
  if (shape.vectored) {
    if (!read_parts(target, data->args[1], data->args[2], parts, &error)) return returned(-error);
    count = (int)data->args[2];
  } else {
    size_t most = 0x7ffff000, length = (size_t)data->args[2];
    parts[0] = (struct iovec){(void *)(uintptr_t)data->args[1], length > most ? most : length};
  }
  size_t length;
  void *bytes = gather(target, parts, count, &length, &error);
  if (!bytes) return returned(-error);
  if (!still_waiting(target)) return not_made();
  struct iovec whole = {.iov_base = bytes, .iov_len = length};
  struct transfer transfer = {.fd = taken->fd,
                              .parts = &whole,
                              .parts_count = 1,
                              .positioned = is_positioned(data, shape),
                              .offset = is_positioned(data, shape) ? (off_t)data->args[3] : 0,
                              .flags = shape.flagged ? (int)data->args[5] : 0};
  struct answer answer = returned(acked_write(&transfer));
  answer.broken_pipe = answer.value == -EPIPE && taken->seen == SEEN_SOCKET;
  return answer;
}

static struct answer call_write(const struct target *target, const struct seccomp_data *data, struct shape shape) {
  struct taken taken = take(target, data->args[0]);
  struct answer answer = taken.seen == SEEN_FILE || is_traced_stream(&taken)
                             ? write_parts(target, data, shape, &taken)
                             : let_through();
  give_back(&taken);
  return answer;
}

static struct answer call_read(const struct target *target, const struct seccomp_data *data, struct shape shape) {
  struct taken taken = take(target, data->args[0]);
  struct iovec parts[IOV_MAX] = {{(void *)(uintptr_t)data->args[1], (size_t)data->args[2]}};
  int count = 1, error = 0;
  struct answer answer = let_through();
  if (taken.seen != SEEN_FILE) goto done;
  if (shape.vectored) {
    answer = returned(0);
    count = (int)data->args[2];
    if (!read_parts(target, data->args[1], data->args[2], parts, &error)) answer = returned(-error);
  }
  size_t length = 0;
  for (int part = 0; part < count && !error; part++) length += parts[part].iov_len;
  if (length > 0x7ffff000) length = 0x7ffff000;
  void *bytes = error ? NULL : room_for(length);
  if (!bytes) {
    if (!error) answer = returned(-ENOMEM);
    goto done;
  }
  struct iovec whole = {.iov_base = bytes, .iov_len = length};
  struct transfer transfer = {.fd = taken.fd,
                              .parts = &whole,
                              .parts_count = 1,
                              .positioned = is_positioned(data, shape),
                              .offset = is_positioned(data, shape) ? (off_t)data->args[3] : 0,
                              .flags = shape.flagged ? (int)data->args[5] : 0};
  answer = returned(acked_read(&transfer));
  if (answer.value > 0 && !scatter(target, parts, count, bytes, (size_t)answer.value)) answer = returned(-EFAULT);
done:
  give_back(&taken);
  return answer;
}

/* Sends */

static struct answer send_message(const struct target *target, struct taken *taken, const struct iovec *parts,
                                  int count, int flags) {
  int error;
  size_t length;
  void *bytes = gather(target, parts, count, &length, &error);
  if (!bytes) return returned(-error);
  if (!still_waiting(target)) return not_made();
  struct iovec whole = {.iov_base = bytes, .iov_len = length};
  struct msghdr message = {.msg_iov = &whole, .msg_iovlen = 1};
  struct answer answer = returned(acked_send(taken->fd, &message, flags | MSG_NOSIGNAL));
  answer.broken_pipe = answer.value == -EPIPE && !(flags & MSG_NOSIGNAL);
  return answer;
}

static struct answer call_sendto(const struct target *target, const struct seccomp_data *data) {
  struct taken taken = take(target, data->args[0]);
  struct iovec part = {(void *)(uintptr_t)data->args[1], (size_t)data->args[2]};
  bool ours = is_traced_stream(&taken) && data->args[4] == 0 && part.iov_len <= 0x7ffff000;
  struct answer answer = ours ? send_message(target, &taken, &part, 1, (int)data->args[3]) : let_through();
  give_back(&taken);
  return answer;
}

static struct answer call_sendmsg(const struct target *target, const struct seccomp_data *data, int flags,
                                  bool many) {
  struct taken taken = take(target, data->args[0]);
  struct answer answer = let_through();
  struct mmsghdr header;
  size_t size = many ? sizeof header : sizeof header.msg_hdr;
  struct iovec parts[IOV_MAX];
  int error;
  if (is_traced_stream(&taken) && read_target(target, data->args[1], &header, size) == size &&
      header.msg_hdr.msg_controllen == 0 && header.msg_hdr.msg_namelen == 0 && !(many && data->args[2] == 0)) {
    answer = read_parts(target, (uint64_t)(uintptr_t)header.msg_hdr.msg_iov, header.msg_hdr.msg_iovlen, parts, &error)
                 ? send_message(target, &taken, parts, (int)header.msg_hdr.msg_iovlen, flags)
                 : returned(-error);
    if (many && answer.value >= 0) {
      /* The first message only, as sendmmsg may: its caller goes on with the second. */
      unsigned length = (unsigned)answer.value;
      write_target(target, data->args[1] + offsetof(struct mmsghdr, msg_len), &length, sizeof length);
      answer.value = 1;
    }
  }
  give_back(&taken);
  return answer;
}

/* Copies within the kernel: by the order of their arguments */

/* An offset by reference: null means the position of the descriptor. */
struct reference {
  uint64_t address;
  off_t value;
  off_t *pointer;
};

static bool dereference(const struct target *target, uint64_t address, struct reference *reference) {
  *reference = (struct reference){.address = address};
  if (address == 0) return true;
  reference->pointer = &reference->value;
  return read_target(target, address, &reference->value, sizeof reference->value) == sizeof reference->value;
}

static void store(const struct target *target, const struct reference *reference) {
  if (reference->pointer) write_target(target, reference->address, &reference->value, sizeof reference->value);
}

enum copying { COPY_FILE_RANGE, SPLICE, SENDFILE };

static struct answer call_copy(const struct target *target, const struct seccomp_data *data, enum copying copying) {
  bool sendfile = copying == SENDFILE;
  struct taken from = take(target, data->args[sendfile ? 1 : 0]);
  struct taken to = take(target, data->args[sendfile ? 0 : 2]);
  struct reference from_offset, to_offset;
  struct answer answer = let_through();
  if (from.fd < 0 || !(to.seen == SEEN_FILE || is_traced_stream(&to))) goto done;
  bool readable = dereference(target, data->args[sendfile ? 2 : 1], &from_offset) &&
                  dereference(target, sendfile ? 0 : data->args[3], &to_offset);
  if (!readable) {
    answer = returned(-EFAULT);
    goto done;
  }
  size_t length = (size_t)data->args[sendfile ? 3 : 4];
  unsigned flags = (unsigned)data->args[5];
  if (copying == SENDFILE) answer = returned(acked_sendfile(to.fd, from.fd, from_offset.pointer, length));
  else if (copying == SPLICE)
    answer = returned(acked_splice(from.fd, from_offset.pointer, to.fd, to_offset.pointer, length, flags));
  else
    answer = returned(acked_copy_file_range(from.fd, from_offset.pointer, to.fd, to_offset.pointer, length, flags));
  answer.broken_pipe = answer.value == -EPIPE && to.seen == SEEN_SOCKET;
  store(target, &from_offset);
  store(target, &to_offset);
done:
  give_back(&from);
  give_back(&to);
  return answer;
}

static struct answer call_clone(const struct target *target, const struct seccomp_data *data) {
  bool range = (uint32_t)data->args[1] == (uint32_t)FICLONERANGE;
  struct file_clone_range wanted = {.src_fd = (int)data->args[2]};
  if (range && read_target(target, data->args[2], &wanted, sizeof wanted) != sizeof wanted) return returned(-EFAULT);
  struct taken to = take(target, data->args[0]);
  struct taken from = take(target, (uint64_t)wanted.src_fd);
  struct answer answer = let_through();
  if (to.seen == SEEN_FILE && from.fd >= 0) {
    answer = returned(acked_clone(to.fd, from.fd, wanted.src_offset, wanted.src_length, wanted.dest_offset, range));
  }
  give_back(&from);
  give_back(&to);
  return answer;
}

/* Syncs and sizes: of a descriptor */

static struct answer call_on_descriptor(const struct target *target, const struct seccomp_data *data) {
  struct taken taken = take(target, data->args[0]);
  struct answer answer = let_through();
  if (data->nr == SYS_syncfs) {
    /* Of whichever file system: what it covers is the reader's to tell. */
    if (taken.fd >= 0) answer = returned(acked_syncfs(taken.fd));
  } else if (concerns_data(&taken)) {
    off_t first = (off_t)data->args[1], second = (off_t)data->args[2];
    if (data->nr == SYS_fsync) answer = returned(acked_fsync(taken.fd));
    if (data->nr == SYS_fdatasync) answer = returned(acked_fdatasync(taken.fd));
    if (data->nr == SYS_ftruncate) answer = returned(acked_ftruncate(taken.fd, first));
    if (data->nr == SYS_sync_file_range)
      answer = returned(acked_sync_file_range(taken.fd, first, second, (unsigned)data->args[3]));
    if (data->nr == SYS_fallocate)
      answer = returned(acked_fallocate(taken.fd, (int)data->args[1], second, (off_t)data->args[3]));
  }
  give_back(&taken);
  return answer;
}

/* Names */

static bool in_data_directory(const struct place *place) {
  char relative[PATH_BYTES];
  return identify_path(place->directory, place->path, relative);
}

static struct answer open_at(const struct target *target, int directory, uint64_t path, uint64_t flags, mode_t mode,
                             uint64_t resolve) {
  struct place place;
  struct answer answer = let_through();
  /* A path that cannot be read, or a directory that is not there: the kernel says it better. */
  if (find_place(target, directory, path, &place) == 0 && in_data_directory(&place) && still_waiting(target)) {
    act_as(target);
    int fd = acked_open(place.directory, place.path, flags | O_CLOEXEC, mode, resolve);
    act_as_oneself();
    answer = returned(fd);
    if (fd >= 0) {
      describe_opened(fd);
      answer.how = GIVE_DESCRIPTOR;
      answer.close_on_exec = (flags & O_CLOEXEC) != 0;
    }
  }
  leave(&place);
  return answer;
}

static struct answer call_openat2(const struct target *target, const struct seccomp_data *data) {
  struct open_how how = {0};
  /* A longer one belongs to a later kernel's call: with zeros there it means the same. */
  size_t size = data->args[3] < sizeof how ? (size_t)data->args[3] : sizeof how;
  if (size < 24 || read_target(target, data->args[2], &how, size) != size) return let_through();
  return open_at(target, (int)data->args[0], data->args[1], how.flags, (mode_t)how.mode, how.resolve);
}

enum naming { RENAME, LINK };

static struct answer name_pair(const struct target *target, enum naming naming, int from_directory, uint64_t from_path,
                               int to_directory, uint64_t to_path, unsigned flags) {
  struct place from, to;
  struct answer answer = let_through();
  int found_from = find_place(target, from_directory, from_path, &from);
  int found_to = find_place(target, to_directory, to_path, &to);
  if (found_from == 0 && found_to == 0 && (in_data_directory(&from) || in_data_directory(&to)) &&
      still_waiting(target)) {
    act_as(target);
    answer = returned(naming == RENAME
                          ? acked_rename(from.directory, from.path, to.directory, to.path, flags)
                          : acked_link(from.directory, from.path, to.directory, to.path, (int)flags));
    act_as_oneself();
  }
  leave(&from);
  leave(&to);
  return answer;
}

enum name_change { UNLINK, MKDIR, SYMLINK, TRUNCATE };

/* `argument`: flags, mode, the address of the target, or the size. */
static struct answer change_name(const struct target *target, enum name_change change, int directory, uint64_t path,
                                 uint64_t argument) {
  struct place place;
  char text[PATH_MAX];
  struct answer answer = let_through();
  bool ours = find_place(target, directory, path, &place) == 0 && in_data_directory(&place);
  if (ours && change == SYMLINK) ours = read_text(target, argument, text) == 0;
  if (ours && still_waiting(target)) {
    char whole[PATH_MAX + 64];
    act_as(target);
    switch (change) {
      case UNLINK:
        answer = returned(acked_unlink(place.directory, place.path, (int)argument));
        break;
      case MKDIR:
        answer = returned(acked_mkdir(place.directory, place.path, (mode_t)argument));
        break;
      case SYMLINK:
        answer = returned(acked_symlink(text, place.directory, place.path));
        break;
      case TRUNCATE:
        snprintf(whole, sizeof whole, "/proc/self/fd/%d/%s", place.directory, place.path);
        answer = returned(
            acked_truncate(place.directory == AT_FDCWD ? place.path : whole, (off_t)argument));
        break;
    }
    act_as_oneself();
  }
  leave(&place);
  return answer;
}

/* Refusals and marks */

static struct answer refuse(const char *what) {
  static const char told[] = "acked broker: the store asked for %s, whose writes cannot be seen: refused (ENOSYS)\n";
  static uint64_t said; /* one bit for each first letter after "io_" */
  uint64_t bit = 1ULL << (what[3] & 63);
  if (!(__atomic_fetch_or(&said, bit, __ATOMIC_RELAXED) & bit)) dprintf(STDERR_FILENO, told, what);
  return returned(-ENOSYS);
}

/*
 * A program replaces the process's own: as the interposer records it, and counts it as inside. The first is the store's
 * start. Names that are not there do not count: whoever looks along the PATH tries many.
 */
static struct answer call_exec(const struct target *target, int directory, uint64_t path) {
  static bool started;
  struct place place;
  if (find_place(target, directory, path, &place) == 0 && faccessat(place.directory, place.path, X_OK, 0) == 0) {
    struct trace_event exec = {.kind = TRACE_EXEC}, enter = {.kind = TRACE_ENTER};
    if (__atomic_exchange_n(&started, true, __ATOMIC_ACQ_REL)) trace_instant(&exec);
    __atomic_add_fetch(&control->processes_inside, 1, __ATOMIC_SEQ_CST);
    trace_instant(&enter);
  }
  leave(&place);
  return let_through();
}

static struct answer call_msync(const struct target *target, const struct seccomp_data *data) {
  int result;
  bool mirrored = sync_mirrors(target, data->args[0], data->args[1], (int)data->args[2], &result);
  return mirrored ? returned(result) : let_through();
}

static struct answer call_mmap(const struct target *target, const struct seccomp_data *data) {
  struct taken taken = take(target, data->args[4]);
  if (taken.seen == SEEN_FILE) mirror(&taken.file, taken.fd, (size_t)data->args[1], (off_t)data->args[5]);
  give_back(&taken);
  return let_through();
}

static const struct shape plain = {0}, positioned = {.positioned = true}, vectored = {.vectored = true};
static const struct shape positioned_vectored = {.vectored = true, .positioned = true};
static const struct shape flagged = {.vectored = true, .positioned = true, .flagged = true};

struct answer make_call(const struct target *target, const struct seccomp_data *data) {
  const uint64_t *a = (const uint64_t *)data->args;
  switch (data->nr) {
    case SYS_write: return call_write(target, data, plain);
    case SYS_pwrite64: return call_write(target, data, positioned);
    case SYS_writev: return call_write(target, data, vectored);
    case SYS_pwritev: return call_write(target, data, positioned_vectored);
    case SYS_pwritev2: return call_write(target, data, flagged);
    case SYS_read: return call_read(target, data, plain);
    case SYS_pread64: return call_read(target, data, positioned);
    case SYS_readv: return call_read(target, data, vectored);
    case SYS_preadv: return call_read(target, data, positioned_vectored);
    case SYS_preadv2: return call_read(target, data, flagged);
    case SYS_sendto: return call_sendto(target, data);
    case SYS_sendmsg: return call_sendmsg(target, data, (int)a[2], false);
    case SYS_sendmmsg: return call_sendmsg(target, data, (int)a[3], true);
    case SYS_copy_file_range: return call_copy(target, data, COPY_FILE_RANGE);
    case SYS_splice: return call_copy(target, data, SPLICE);
    case SYS_sendfile: return call_copy(target, data, SENDFILE);
    case SYS_ioctl: return call_clone(target, data);
    case SYS_fsync:
    case SYS_fdatasync:
    case SYS_syncfs:
    case SYS_sync_file_range:
    case SYS_ftruncate:
    case SYS_fallocate: return call_on_descriptor(target, data);
    case SYS_sync: return returned(acked_sync());
    case SYS_msync: return call_msync(target, data);
    case SYS_mmap: return call_mmap(target, data);
    case SYS_openat: return open_at(target, (int)a[0], a[1], (uint32_t)a[2], (mode_t)a[3], 0);
    case SYS_openat2: return call_openat2(target, data);
    case SYS_renameat2: return name_pair(target, RENAME, (int)a[0], a[1], (int)a[2], a[3], (unsigned)a[4]);
    case SYS_linkat: return name_pair(target, LINK, (int)a[0], a[1], (int)a[2], a[3], (unsigned)a[4]);
    case SYS_unlinkat: return change_name(target, UNLINK, (int)a[0], a[1], a[2]);
    case SYS_mkdirat: return change_name(target, MKDIR, (int)a[0], a[1], a[2]);
    case SYS_symlinkat: return change_name(target, SYMLINK, (int)a[1], a[2], a[0]);
    case SYS_truncate: return change_name(target, TRUNCATE, AT_FDCWD, a[0], a[1]);
#ifdef SYS_renameat
    case SYS_renameat: return name_pair(target, RENAME, (int)a[0], a[1], (int)a[2], a[3], 0);
#endif
#ifdef SYS_open
    case SYS_open: return open_at(target, AT_FDCWD, a[0], (uint32_t)a[1], (mode_t)a[2], 0);
    case SYS_creat: return open_at(target, AT_FDCWD, a[0], O_CREAT | O_WRONLY | O_TRUNC, (mode_t)a[1], 0);
    case SYS_rename: return name_pair(target, RENAME, AT_FDCWD, a[0], AT_FDCWD, a[1], 0);
    case SYS_link: return name_pair(target, LINK, AT_FDCWD, a[0], AT_FDCWD, a[1], 0);
    case SYS_symlink: return change_name(target, SYMLINK, AT_FDCWD, a[1], a[0]);
    case SYS_unlink: return change_name(target, UNLINK, AT_FDCWD, a[0], 0);
    case SYS_rmdir: return change_name(target, UNLINK, AT_FDCWD, a[0], AT_REMOVEDIR);
    case SYS_mkdir: return change_name(target, MKDIR, AT_FDCWD, a[0], a[1]);
#endif
    case SYS_execve: return call_exec(target, AT_FDCWD, a[0]);
    case SYS_execveat: return call_exec(target, (int)a[0], a[1]);
    case SYS_io_uring_setup: return refuse("io_uring");
    case SYS_io_setup: return refuse("io_setup (Linux AIO)");
    default: return let_through();
  }
}
