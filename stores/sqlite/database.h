/*
 * The SQLite side of the server: the installed libsqlite3, loaded at run time (no header, nothing bundled), and one table
 * that holds strings and lists. Everything between `database_begin` and `database_commit` is one SQLite transaction.
 *
 * A statement that fails marks the transaction as failed: whatever follows in it does nothing, `database_commit` rolls it
 * back and says false, and `database_complaint` tells why. Damage that SQLite finds ends the process with one sentence,
 * because what it would serve from then on could be anything.
 */
#ifndef ACKED_SQLITE_DATABASE_H
#define ACKED_SQLITE_DATABASE_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes that belong to somebody else; not terminated. */
struct text {
  const char *bytes;
  size_t length;
};

enum kind { KIND_ABSENT, KIND_STRING, KIND_LIST };

/* Version of the installed library; ends the process with one sentence when there is none. */
const char *database_version(void);

/*
 * Opens or creates `<dir>/store.db` in WAL mode. `synchronous` is FULL or NORMAL, `checkpoint_pages` the length of the
 * log in pages at which SQLite checkpoints by itself. What an earlier process left in the log is made durable before
 * this returns: SQLite's own recovery only reads it.
 */
void database_open(const char *dir, const char *synchronous, int checkpoint_pages);
void database_close(void);

void database_begin(void);
bool database_commit(void);
/* A part of the transaction that can be undone alone. */
void database_part_begin(void);
void database_part_end(bool keep);
bool database_failed(void);
const char *database_complaint(void);

enum kind database_kind(struct text key);
/* The string at `key`; valid until the next call. False when there is no string. */
bool database_get(struct text key, struct text *value);
void database_set(struct text key, struct text value);
/* How many keys were removed: 0 or 1. */
int database_remove(struct text key);
/* Appends to the list at `key`, which must not be a string; returns its new length. */
long long database_append(struct text key, struct text value);
/* Calls `each` for every element in order; returns how many there were. */
long long database_list(struct text key, void (*each)(struct text element, void *context), void *context);

#endif
