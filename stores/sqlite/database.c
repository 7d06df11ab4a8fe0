#include "database.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* From SQLite's documented and stable C interface: https://sqlite.org/c3ref/intro.html */
typedef struct sqlite3 sqlite3;
typedef struct sqlite3_stmt sqlite3_stmt;
enum { SQLITE_OK = 0, SQLITE_CORRUPT = 11, SQLITE_NOTADB = 26, SQLITE_ROW = 100, SQLITE_DONE = 101 };
#define SQLITE_STATIC ((void (*)(void *))0)

static const char *(*libversion)(void);
static int (*open_database)(const char *, sqlite3 **);
static int (*close_database)(sqlite3 *);
static int (*prepare)(sqlite3 *, const char *, int, sqlite3_stmt **, const char **);
static int (*bind_blob)(sqlite3_stmt *, int, const void *, int, void (*)(void *));
static int (*bind_int64)(sqlite3_stmt *, int, long long);
static int (*step)(sqlite3_stmt *);
static int (*reset)(sqlite3_stmt *);
static int (*finalize)(sqlite3_stmt *);
static const void *(*column_blob)(sqlite3_stmt *, int);
static int (*column_bytes)(sqlite3_stmt *, int);
static long long (*column_int64)(sqlite3_stmt *, int);
static int (*changes)(sqlite3 *);
static const char *(*errmsg)(sqlite3 *);

static sqlite3 *database;
static bool failed;
static char complaint[256];

/* Strings are at place -1, list elements at 0, 1, 2 … */
static sqlite3_stmt *select_kind, *select_string, *replace_string, *delete_key, *delete_list;
static sqlite3_stmt *select_length, *insert_element, *select_elements;
static sqlite3_stmt *begin, *commit, *rollback, *part_begin, *part_keep, *part_undo;

static void refuse(const char *what, const char *why) {
  fprintf(stderr, "sqlite store: %s: %s\n", what, why);
  exit(1);
}

static void *symbol(void *library, const char *name) {
  void *found = dlsym(library, name);
  if (found == NULL) refuse("libsqlite3.so.0 lacks a function", name);
  return found;
}

/* ISO C has no cast from an object pointer to a function pointer; POSIX defines this copy. */
#define LOAD(function, name) (*(void **)(&(function)) = symbol(library, name))

static void load(void) {
  static void *library;
  if (library != NULL) return;
  library = dlopen("libsqlite3.so.0", RTLD_NOW);
  if (library == NULL) refuse("libsqlite3 is not installed", dlerror());
  LOAD(libversion, "sqlite3_libversion");
  LOAD(open_database, "sqlite3_open");
  LOAD(close_database, "sqlite3_close");
  LOAD(prepare, "sqlite3_prepare_v2");
  LOAD(bind_blob, "sqlite3_bind_blob");
  LOAD(bind_int64, "sqlite3_bind_int64");
  LOAD(step, "sqlite3_step");
  LOAD(reset, "sqlite3_reset");
  LOAD(finalize, "sqlite3_finalize");
  LOAD(column_blob, "sqlite3_column_blob");
  LOAD(column_bytes, "sqlite3_column_bytes");
  LOAD(column_int64, "sqlite3_column_int64");
  LOAD(changes, "sqlite3_changes");
  LOAD(errmsg, "sqlite3_errmsg");
}

const char *database_version(void) {
  load();
  return libversion();
}

/* Extended result codes carry the primary one in their low byte. */
static void note_failure(const char *what, int code) {
  int primary = code & 0xff;
  if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) refuse(what, errmsg(database));
  if (!failed) snprintf(complaint, sizeof complaint, "%s: %s", what, errmsg(database));
  failed = true;
}

/* Makes one step; true when there is a row. */
static bool row(sqlite3_stmt *statement, const char *what) {
  int code = step(statement);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) note_failure(what, code);
  return false;
}

static void run(sqlite3_stmt *statement, const char *what) {
  if (failed) return;
  row(statement, what);
  reset(statement);
}

static sqlite3_stmt *prepared(const char *sql) {
  sqlite3_stmt *statement = NULL;
  if (prepare(database, sql, -1, &statement, NULL) != SQLITE_OK) refuse(sql, errmsg(database));
  return statement;
}

/* For opening: whatever fails there means that the store does not start. */
static void must(const char *sql) {
  sqlite3_stmt *statement = prepared(sql);
  int code;
  while ((code = step(statement)) == SQLITE_ROW) continue;
  if (code != SQLITE_DONE) refuse(sql, errmsg(database));
  finalize(statement);
}

/* SQLite checks pages as it meets them; a whole look at the start tells damage apart from answers. */
static void must_be_sound(void) {
  sqlite3_stmt *statement = prepared("PRAGMA integrity_check(1)");
  if (step(statement) != SQLITE_ROW) refuse("PRAGMA integrity_check", errmsg(database));
  const char *said = column_blob(statement, 0);
  int length = column_bytes(statement, 0);
  if (said == NULL || length != 2 || memcmp(said, "ok", 2) != 0) {
    snprintf(complaint, sizeof complaint, "%.*s", length, said == NULL ? "" : said);
    refuse("store.db is damaged", complaint);
  }
  finalize(statement);
}

void database_open(const char *dir, const char *synchronous, int checkpoint_pages) {
  char text[4200];
  load();
  snprintf(text, sizeof text, "%s/store.db", dir);
  if (open_database(text, &database) != SQLITE_OK) refuse(text, errmsg(database));
  must("PRAGMA journal_mode = WAL");
  snprintf(text, sizeof text, "PRAGMA synchronous = %s", synchronous);
  must(text);
  snprintf(text, sizeof text, "PRAGMA wal_autocheckpoint = %d", checkpoint_pages);
  must(text);
  must("CREATE TABLE IF NOT EXISTS entries"
       "(key BLOB NOT NULL, place INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY(key, place)) WITHOUT ROWID");
  must_be_sound();
  must("PRAGMA wal_checkpoint(FULL)");
  select_kind = prepared("SELECT place FROM entries WHERE key = ? ORDER BY place LIMIT 1");
  select_string = prepared("SELECT value FROM entries WHERE key = ? AND place = -1");
  replace_string = prepared("INSERT OR REPLACE INTO entries VALUES (?, -1, ?)");
  delete_key = prepared("DELETE FROM entries WHERE key = ?");
  delete_list = prepared("DELETE FROM entries WHERE key = ? AND place >= 0");
  select_length = prepared("SELECT coalesce(max(place), -1) + 1 FROM entries WHERE key = ?");
  insert_element = prepared("INSERT INTO entries VALUES (?, ?, ?)");
  select_elements = prepared("SELECT value FROM entries WHERE key = ? AND place >= 0 ORDER BY place");
  begin = prepared("BEGIN IMMEDIATE");
  commit = prepared("COMMIT");
  rollback = prepared("ROLLBACK");
  part_begin = prepared("SAVEPOINT part");
  part_keep = prepared("RELEASE part");
  part_undo = prepared("ROLLBACK TO part");
}

void database_close(void) {
  sqlite3_stmt *all[] = {select_kind,     select_string,  replace_string, delete_key, delete_list, select_length, insert_element,
                         select_elements, begin,          commit,         rollback,   part_begin,  part_keep,     part_undo};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) finalize(all[i]);
  close_database(database);
}

void database_begin(void) {
  failed = false;
  run(begin, "BEGIN IMMEDIATE");
}

bool database_commit(void) {
  run(commit, "COMMIT");
  if (!failed) return true;
  /* SQLite may have rolled back by itself already; then this one fails, and that is fine. */
  step(rollback);
  reset(rollback);
  return false;
}

void database_part_begin(void) { run(part_begin, "SAVEPOINT"); }

void database_part_end(bool keep) {
  if (!keep) run(part_undo, "ROLLBACK TO");
  run(part_keep, "RELEASE");
}

bool database_failed(void) { return failed; }

const char *database_complaint(void) { return complaint; }

static void bind(sqlite3_stmt *statement, int place, struct text text) {
  /* A null pointer would be NULL instead of an empty blob. */
  bind_blob(statement, place, text.length == 0 ? "" : text.bytes, (int)text.length, SQLITE_STATIC);
}

static struct text column(sqlite3_stmt *statement) {
  const char *bytes = column_blob(statement, 0);
  return (struct text){bytes == NULL ? "" : bytes, (size_t)column_bytes(statement, 0)};
}

enum kind database_kind(struct text key) {
  enum kind kind = KIND_ABSENT;
  if (failed) return kind;
  bind(select_kind, 1, key);
  if (row(select_kind, "SELECT")) kind = column_int64(select_kind, 0) < 0 ? KIND_STRING : KIND_LIST;
  reset(select_kind);
  return kind;
}

bool database_get(struct text key, struct text *value) {
  static char *kept;
  if (failed) return false;
  bind(select_string, 1, key);
  bool found = row(select_string, "SELECT");
  if (found) {
    struct text read = column(select_string);
    char *larger = realloc(kept, read.length + 1);
    if (larger == NULL) refuse("SELECT", "out of memory");
    kept = larger;
    memcpy(kept, read.bytes, read.length);
    *value = (struct text){kept, read.length};
  }
  reset(select_string);
  return found;
}

void database_set(struct text key, struct text value) {
  if (database_kind(key) == KIND_LIST) {
    bind(delete_list, 1, key);
    run(delete_list, "DELETE");
  }
  bind(replace_string, 1, key);
  bind(replace_string, 2, value);
  run(replace_string, "INSERT OR REPLACE");
}

int database_remove(struct text key) {
  bind(delete_key, 1, key);
  run(delete_key, "DELETE");
  return !failed && changes(database) > 0;
}

long long database_append(struct text key, struct text value) {
  if (failed) return 0;
  bind(select_length, 1, key);
  long long length = row(select_length, "SELECT") ? column_int64(select_length, 0) : 0;
  reset(select_length);
  bind(insert_element, 1, key);
  bind_int64(insert_element, 2, length);
  bind(insert_element, 3, value);
  run(insert_element, "INSERT");
  return length + 1;
}

long long database_list(struct text key, void (*each)(struct text element, void *context), void *context) {
  long long count = 0;
  if (failed) return count;
  bind(select_elements, 1, key);
  while (row(select_elements, "SELECT")) {
    each(column(select_elements), context);
    count++;
  }
  reset(select_elements);
  return count;
}
