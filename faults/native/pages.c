/* The page history; see pages.h for what an entry means. */
#define _GNU_SOURCE
#include "pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "process.h"
#include "real.h"

#define ENTRIES (1u << 15)
#define BUCKETS (1u << 16)
#define FILES 1024u

struct page_file {
  uint64_t device;
  uint64_t inode;
  uint64_t durable; /* sequence of the begin of the last sync that succeeded */
  uint64_t begun;   /* sequence of the begin of the latest sync */
  uint64_t used;    /* 1 once the slot is filled in */
  uint64_t unused;
};

struct page_entry {
  uint64_t device;
  uint64_t inode;
  uint64_t page;
  uint64_t sequence; /* of the capture; 0: not in use, or being filled */
  uint32_t next;     /* in its bucket: index plus 1 */
  uint32_t valid;    /* bytes that the file had of this page; zeros follow */
  uint64_t unused;
};

struct history {
  uint64_t sequence;
  uint32_t entries; /* of the array, in use or once used */
  uint32_t files;
  uint32_t free;    /* chain of entries given back: index plus 1 */
  uint32_t backed;  /* entries whose content is backed by real memory or disk */
  char unused[4096 - 24];
  uint32_t buckets[BUCKETS]; /* index plus 1 */
  struct page_file file[FILES];
  struct page_entry entry[ENTRIES];
  char content[ENTRIES][PAGE_BYTES];
};

_Static_assert(sizeof(struct history) == 4096 + 65536 * 4 + 1024 * 48 + 32768 * (48 + 4096),
               "mirrored in interposer.ts");

static struct history *history;

/* Backs a part of the history: a store on a full file system would end with SIGBUS otherwise. */
static bool back(long fd, size_t from, size_t length) {
  long result = fd < 0 ? fd : real(SYS_fallocate, fd, 0, PAGES_OFFSET + from, length);
  return result == 0 || result == -EOPNOTSUPP;
}

static long open_control(void) { return real(SYS_openat, AT_FDCWD, control_path(), O_RDWR | O_CLOEXEC); }

static void map_history(void) {
  static uint64_t tried;
  if (__atomic_exchange_n(&tried, 1, __ATOMIC_ACQ_REL)) return;
  long fd = open_control();
  struct stat status;
  void *mapped = MAP_FAILED;
  bool whole = fd >= 0 && fstat((int)fd, &status) == 0 &&
               status.st_size >= (off_t)(PAGES_OFFSET + sizeof(struct history));
  if (whole && back(fd, 0, offsetof(struct history, content))) {
    mapped = (void *)real(SYS_mmap, NULL, sizeof(struct history), PROT_READ | PROT_WRITE, MAP_SHARED, fd, PAGES_OFFSET);
    if (real_error((long)mapped)) mapped = MAP_FAILED;
  }
  if (fd >= 0) real(SYS_close, fd);
  if (mapped == MAP_FAILED) blind(BLIND_PAGES_MISSING);
  else __atomic_store_n(&history, mapped, __ATOMIC_RELEASE);
}

bool keeping_pages(void) {
  if (!__atomic_load_n(&control->keep_pages, __ATOMIC_RELAXED)) return false;
  if (!__atomic_load_n(&history, __ATOMIC_ACQUIRE)) map_history();
  return __atomic_load_n(&history, __ATOMIC_ACQUIRE) != NULL;
}

static struct page_file *find_file(uint64_t device, uint64_t inode) {
  for (uint32_t slot = 0; slot < history->files; slot++) {
    struct page_file *file = &history->file[slot];
    if (file->used && file->inode == inode && file->device == device) return file;
  }
  return NULL;
}

/* What is known of the file; from now on, if nothing was. Null when there are too many. */
static struct page_file *file_of(const struct file *about) {
  struct page_file *file = find_file(about->device, about->inode);
  if (file) return file;
  uint32_t slot = 0;
  while (slot < history->files && history->file[slot].used) slot++;
  if (slot >= FILES) {
    blind(BLIND_PAGES_FULL);
    return NULL;
  }
  file = &history->file[slot];
  *file = (struct page_file){
      .device = about->device, .inode = about->inode, .durable = ++history->sequence};
  file->used = 1;
  if (slot == history->files) history->files = slot + 1;
  return file;
}

static uint32_t *bucket_of(uint64_t device, uint64_t inode, uint64_t page) {
  uint64_t hash = (inode * 0x9e3779b97f4a7c15ULL) ^ (page * 0xc2b2ae3d27d4eb4fULL) ^ device;
  return &history->buckets[(hash >> 24) % BUCKETS];
}

static bool is_of(const struct page_entry *entry, uint64_t device, uint64_t inode, uint64_t page) {
  return entry->sequence != 0 && entry->page == page && entry->inode == inode && entry->device == device;
}

/* The latest entry of a page: what `stale` returns. */
static struct page_entry *latest(uint64_t device, uint64_t inode, uint64_t page) {
  struct page_entry *found = NULL;
  for (uint32_t at = *bucket_of(device, inode, page); at; at = history->entry[at - 1].next) {
    struct page_entry *entry = &history->entry[at - 1];
    if (is_of(entry, device, inode, page) && (!found || entry->sequence > found->sequence)) found = entry;
  }
  return found;
}

static void give_back(struct page_entry *entry) {
  uint32_t index = (uint32_t)(entry - history->entry) + 1;
  uint32_t *link = bucket_of(entry->device, entry->inode, entry->page);
  while (*link && *link != index) link = &history->entry[*link - 1].next;
  if (*link == index) *link = entry->next;
  entry->sequence = 0;
  entry->next = history->free;
  history->free = index;
}

/* Room for the content of the next entry, a megabyte at a time. */
static bool back_one_more(void) {
  const uint32_t chunk = 256;
  if (history->entries < history->backed) return true;
  long fd = open_control();
  bool backed = back(fd, offsetof(struct history, content) + (size_t)history->backed * PAGE_BYTES, chunk * PAGE_BYTES);
  if (fd >= 0) real(SYS_close, fd);
  if (backed) history->backed += chunk;
  return backed;
}

/* An entry to fill: one of this page's that no revert needs any more, else a free one. */
static struct page_entry *take_entry(const struct page_file *file, uint64_t page) {
  for (uint32_t at = *bucket_of(file->device, file->inode, page); at;) {
    struct page_entry *entry = &history->entry[at - 1];
    at = entry->next;
    if (is_of(entry, file->device, file->inode, page) && entry->sequence <= file->durable) give_back(entry);
  }
  uint32_t index = history->free;
  if (index) {
    history->free = history->entry[index - 1].next;
  } else if (history->entries < ENTRIES && back_one_more()) {
    index = ++history->entries;
  } else {
    blind(BLIND_PAGES_FULL);
    return NULL;
  }
  return &history->entry[index - 1];
}

static void capture(int readable, const struct page_file *file, int64_t size, uint64_t page) {
  struct page_entry *entry = take_entry(file, page);
  if (!entry) return;
  char *content = history->content[entry - history->entry];
  int64_t from = (int64_t)(page * PAGE_BYTES);
  long got = 0;
  if (from < size) {
    got = real(SYS_pread64, readable, content, PAGE_BYTES, from);
    if (got < 0) {
      blind(BLIND_PAGES_MISSING);
      got = 0;
    }
  }
  memset(content + got, 0, (size_t)(PAGE_BYTES - got));
  entry->device = file->device;
  entry->inode = file->inode;
  entry->page = page;
  entry->valid = (uint32_t)got;
  uint32_t *bucket = bucket_of(file->device, file->inode, page);
  entry->next = *bucket;
  __atomic_store_n(&entry->sequence, ++history->sequence, __ATOMIC_RELEASE);
  *bucket = (uint32_t)(entry - history->entry) + 1;
}

/* The same file through a descriptor that can do what is wanted, whatever `fd` can. */
static int opened_again(int fd, int flags) {
  char link[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  return (int)real(SYS_openat, AT_FDCWD, link, flags | O_CLOEXEC);
}

void pages_before_write(int fd, const struct file *about, int64_t offset, uint64_t length) {
  if (length == 0) return;
  int kept = errno;
  uint64_t first = (uint64_t)offset / PAGE_BYTES;
  uint64_t last = ((uint64_t)offset + length - 1) / PAGE_BYTES;
  int readable = -1;
  lock_control();
  struct page_file *file = file_of(about);
  for (uint64_t page = first; file && page <= last; page++) {
    const struct page_entry *known = latest(about->device, about->inode, page);
    if (known && known->sequence > file->begun && known->sequence > file->durable) continue;
    if (readable < 0) readable = opened_again(fd, O_RDONLY);
    if (readable < 0) blind(BLIND_PAGES_MISSING);
    capture(readable, file, about->size, page);
  }
  unlock_control();
  if (readable >= 0) real(SYS_close, readable);
  errno = kept;
}

uint64_t pages_sync_begin(const struct file *about) {
  lock_control();
  struct page_file *file = find_file(about->device, about->inode); /* not there: nothing of it was written */
  uint64_t begun = ++history->sequence;
  if (file) file->begun = begun;
  unlock_control();
  return begun;
}

void pages_synced(const struct file *about, uint64_t begun) {
  lock_control();
  struct page_file *file = find_file(about->device, about->inode);
  if (file && begun > file->durable) file->durable = begun;
  unlock_control();
}

void pages_written_through(const struct file *about, int64_t offset, uint64_t length) {
  if (length == 0) return;
  lock_control();
  struct page_file *file = find_file(about->device, about->inode);
  uint64_t last = ((uint64_t)offset + length - 1) / PAGE_BYTES;
  for (uint64_t page = (uint64_t)offset / PAGE_BYTES; file && page <= last; page++) {
    for (uint32_t at = *bucket_of(file->device, file->inode, page); at; at = history->entry[at - 1].next) {
      struct page_entry *entry = &history->entry[at - 1];
      /* Kept for `stale`, and no longer undone by a revert. */
      if (is_of(entry, file->device, file->inode, page) && entry->sequence > file->durable) {
        entry->sequence = file->durable;
      }
    }
  }
  unlock_control();
}

void pages_all_synced(void) {
  lock_control();
  uint64_t sequence = ++history->sequence;
  for (uint32_t slot = 0; slot < history->files; slot++) history->file[slot].durable = sequence;
  unlock_control();
}

void pages_truncated(uint64_t device, uint64_t inode, int64_t size) {
  lock_control();
  struct page_file *file = find_file(device, inode);
  for (uint32_t index = 0; file && index < history->entries; index++) {
    struct page_entry *entry = &history->entry[index];
    if (!is_of(entry, device, inode, entry->page)) continue;
    int64_t start = (int64_t)(entry->page * PAGE_BYTES);
    if (start >= size) {
      give_back(entry);
    } else if (start + (int64_t)entry->valid > size) {
      memset(history->content[index] + (size - start), 0, (size_t)(PAGE_BYTES - (size - start)));
      entry->valid = (uint32_t)(size - start);
    }
  }
  unlock_control();
}

void pages_forget(uint64_t device, uint64_t inode) {
  pages_truncated(device, inode, 0);
  lock_control();
  struct page_file *file = find_file(device, inode);
  if (file) file->used = 0;
  unlock_control();
}

/* Whether the entry is what its page held when it was last durable: the earliest one after that. */
static bool is_durable_content(const struct page_entry *entry, const struct page_file *file) {
  if (!is_of(entry, file->device, file->inode, entry->page) || entry->sequence <= file->durable) return false;
  for (uint32_t at = *bucket_of(file->device, file->inode, entry->page); at; at = history->entry[at - 1].next) {
    const struct page_entry *other = &history->entry[at - 1];
    if (is_of(other, file->device, file->inode, entry->page) && other->sequence > file->durable &&
        other->sequence < entry->sequence) {
      return false;
    }
  }
  return true;
}

void pages_revert(int fd, const struct file *about) {
  int kept = errno;
  int writable = opened_again(fd, O_RDWR);
  if (writable < 0) blind(BLIND_PAGES_MISSING);
  lock_control();
  struct page_file *file = find_file(about->device, about->inode);
  for (uint32_t index = 0; file && writable >= 0 && index < history->entries; index++) {
    struct page_entry *entry = &history->entry[index];
    if (!is_durable_content(entry, file)) continue;
    int64_t start = (int64_t)(entry->page * PAGE_BYTES);
    int64_t length = about->size - start < PAGE_BYTES ? about->size - start : PAGE_BYTES;
    if (length > 0) real(SYS_pwrite64, writable, history->content[index], length, start);
  }
  for (uint32_t index = 0; file && index < history->entries; index++) {
    struct page_entry *entry = &history->entry[index];
    if (is_of(entry, file->device, file->inode, entry->page) && entry->sequence > file->durable) give_back(entry);
  }
  unlock_control();
  if (writable >= 0) real(SYS_close, writable);
  errno = kept;
}

bool pages_differ_from_older(int fd, const struct file *about, int64_t offset, uint64_t length) {
  char now[PAGE_BYTES];
  bool differ = false;
  int readable = -1;
  lock_control();
  while (length > 0 && !differ) {
    uint64_t within = (uint64_t)offset % PAGE_BYTES;
    uint64_t bytes = PAGE_BYTES - within < length ? PAGE_BYTES - within : length;
    const struct page_entry *entry = latest(about->device, about->inode, (uint64_t)offset / PAGE_BYTES);
    if (entry) {
      if (readable < 0) readable = opened_again(fd, O_RDONLY);
      long got = readable < 0 ? -1 : real(SYS_pread64, readable, now, bytes, offset);
      /* What cannot be compared here is taken for different: it is never left out in silence. */
      differ = got != (long)bytes || memcmp(now, history->content[entry - history->entry] + within, bytes) != 0;
    }
    offset += (int64_t)bytes;
    length -= bytes;
  }
  unlock_control();
  if (readable >= 0) real(SYS_close, readable);
  return differ;
}

void pages_make_stale(const struct file *about, int64_t offset, const struct iovec *parts, int count,
                      uint64_t length) {
  lock_control();
  for (int part = 0; part < count && length > 0; part++) {
    char *to = parts[part].iov_base;
    uint64_t left = parts[part].iov_len < length ? parts[part].iov_len : length;
    length -= left;
    while (left > 0) {
      uint64_t within = (uint64_t)offset % PAGE_BYTES;
      uint64_t bytes = PAGE_BYTES - within < left ? PAGE_BYTES - within : left;
      const struct page_entry *entry = latest(about->device, about->inode, (uint64_t)offset / PAGE_BYTES);
      if (entry) memcpy(to, history->content[entry - history->entry] + within, bytes);
      to += bytes;
      offset += (int64_t)bytes;
      left -= bytes;
    }
  }
  unlock_control();
}
