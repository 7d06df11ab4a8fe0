/*
 * power-cut: stops a mounted ext4 or XFS file system as a power cut would, as far as the file system goes: nothing that
 * is not in its journal and on its device by now will come to the device, not even by a later sync or unmount.
 *
 *   power-cut MOUNTPOINT [MILLISECONDS]
 *
 * Waits so long first, if asked to: whoever starts this program may be the load, and stands still while it does so.
 * Prints CLOCK_MONOTONIC before and after it happened, in nanoseconds, and exits 0; or one sentence on standard error,
 * and exits 1. What it does not do: lose what the device had in its own cache, or tear a sector.
 *
 * The request is EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN, which have the same number and the same argument: 2 is
 * "do not flush the log" (fs/ext4/ext4.h EXT4_GOING_FLAGS_NOLOGFLUSH, fs/xfs/libxfs/xfs_fs.h XFS_FSOP_GOING_FLAGS_NOLOGFLUSH).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define FILE_SYSTEM_SHUTDOWN _IOR('X', 125, uint32_t)
#define WITHOUT_FLUSHING_THE_LOG 2

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

int main(int count, char **arguments) {
  char *rest = "";
  unsigned long delay = count == 3 ? strtoul(arguments[2], &rest, 10) : 0;
  if (count < 2 || count > 3 || *rest != '\0' || delay > 10000) {
    fprintf(stderr, "usage: power-cut MOUNTPOINT [MILLISECONDS, at most 10000]\n");
    return 1;
  }
  int mount = open(arguments[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (mount < 0) {
    fprintf(stderr, "%s cannot be opened: %s\n", arguments[1], strerror(errno));
    return 1;
  }
  struct timespec wait = {.tv_sec = delay / 1000, .tv_nsec = (long)(delay % 1000) * 1000000};
  while (nanosleep(&wait, &wait) != 0 && errno == EINTR) continue;
  uint32_t how = WITHOUT_FLUSHING_THE_LOG;
  uint64_t before = now();
  if (ioctl(mount, FILE_SYSTEM_SHUTDOWN, &how) != 0) {
    fprintf(stderr, "the file system on %s cannot be shut down: %s\n", arguments[1], strerror(errno));
    return 1;
  }
  uint64_t after = now();
  close(mount);
  printf("%" PRIu64 " %" PRIu64 "\n", before, after);
  return 0;
}
