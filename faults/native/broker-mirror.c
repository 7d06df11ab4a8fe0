/* Mirrors of shared mappings; see broker-mirror.h. */
#define _GNU_SOURCE
#include "broker-mirror.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "calls.h"
#include "maps.h"

#define MIRRORS 256
#define PAGE 4096

struct mirror {
  uint64_t device;
  uint64_t inode;
  uint64_t offset;
  uint64_t length;
  char *address;
};

static struct mirror mirrors[MIRRORS];
static int mirrors_made;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool covers(const struct mirror *mirror, uint64_t inode, uint64_t offset, uint64_t length) {
  return mirror->inode == inode && mirror->offset <= offset && offset + length <= mirror->offset + mirror->length;
}

void mirror(const struct file *file, int fd, size_t length, off_t offset) {
  uint64_t whole = (length + PAGE - 1) / PAGE * PAGE, from = (uint64_t)offset;
  pthread_mutex_lock(&lock);
  bool known = whole == 0;
  for (int each = 0; each < mirrors_made && !known; each++) {
    known = mirrors[each].device == file->device && covers(&mirrors[each], file->inode, from, whole);
  }
  if (!known && mirrors_made < MIRRORS) {
    char *address = acked_mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
    /* It returns -errno as a pointer. */
    if ((uintptr_t)address < (uintptr_t)-4095) {
      mirrors[mirrors_made++] = (struct mirror){file->device, file->inode, from, whole, address};
      known = true;
    }
  }
  if (!known) blind(BLIND_MAPPINGS_FULL);
  pthread_mutex_unlock(&lock);
}

/* The mirror's address of a part of a file; null when it has none. Mirrors are never undone. */
static char *mirrored(uint64_t inode, uint64_t offset, uint64_t length) {
  char *found = NULL;
  pthread_mutex_lock(&lock);
  for (int each = 0; each < mirrors_made && !found; each++) {
    if (covers(&mirrors[each], inode, offset, length)) found = mirrors[each].address + (offset - mirrors[each].offset);
  }
  pthread_mutex_unlock(&lock);
  return found;
}

bool sync_mirrors(const struct target *target, uint64_t address, uint64_t length, int flags, int *result) {
  char line[PATH_MAX + 128];
  snprintf(line, sizeof line, "/proc/%d/maps", (int)target->tid);
  FILE *maps = fopen(line, "re");
  if (!maps) return false;
  bool any = false;
  uint64_t end = (address + length + PAGE - 1) / PAGE * PAGE;
  *result = 0;
  while (fgets(line, sizeof line, maps)) {
    uint64_t first, last, offset, inode;
    char rights[8];
    int fields = sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %" SCNu64, &first, &last, rights, &offset,
                        &inode);
    if (fields != 5) continue;
    uint64_t from = first > address ? first : address, to = last < end ? last : end;
    if (from >= to || rights[3] != 's' || inode == 0) continue;
    char *mirror = mirrored(inode, offset + (from - first), to - from);
    if (!mirror) continue;
    any = true;
    int error = acked_msync(mirror, to - from, flags);
    if (error < 0 && *result == 0) *result = error;
  }
  fclose(maps);
  return any;
}

void record_last_stores(void) { record_stores(0, 0); }
