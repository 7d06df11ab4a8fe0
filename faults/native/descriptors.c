/* The table of descriptions, by descriptor; see descriptors.h. A fork copies it, as it copies the descriptors. */
#define _GNU_SOURCE
#include "descriptors.h"

#include <errno.h>
#include <stddef.h>

#include "calls.h"
#include "control.h"
#include "files.h"

#define DESCRIPTORS 65536

struct descriptor {
  uint64_t device;
  uint64_t inode;
  uint64_t description; /* 0: not of the data directory, or not known */
};

/* Zero until used, and so no memory: pages of it exist only where descriptors are. */
static struct descriptor table[DESCRIPTORS];

void descriptor_opened(int fd) {
  struct file file;
  if (!control || fd < 0 || fd >= DESCRIPTORS) return;
  enum seen seen = identify(fd, &file);
  bool ours = seen == SEEN_FILE || seen == SEEN_DIRECTORY;
  if (!ours && table[fd].description == 0) return;
  uint64_t description = ours ? new_description(file.device, file.inode) : 0;
  table[fd] = (struct descriptor){.device = file.device, .inode = file.inode, .description = description};
}

void descriptor_duplicated(int from, int to) {
  if (!control || to < 0 || to >= DESCRIPTORS) return;
  bool known = from >= 0 && from < DESCRIPTORS;
  if (known && table[from].description == 0 && table[to].description == 0) return;
  table[to] = known ? table[from] : (struct descriptor){0};
}

void descriptors_closed(unsigned first, unsigned last) {
  if (!control) return;
  for (unsigned fd = first; fd <= last && fd < DESCRIPTORS; fd++) {
    if (table[fd].description) table[fd] = (struct descriptor){0};
  }
}

uint64_t front_description(int fd, uint64_t device, uint64_t inode) {
  if (fd < 0 || fd >= DESCRIPTORS) return 0;
  struct descriptor *entry = &table[fd];
  if (entry->description && entry->inode == inode && entry->device == device) return entry->description;
  *entry = (struct descriptor){.device = device, .inode = inode, .description = new_description(device, inode)};
  return entry->description;
}
