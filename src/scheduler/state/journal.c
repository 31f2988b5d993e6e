/* See journal.h. Statements are prepared once; a row is the statement itself. */
#include "scheduler/state/journal.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* By account and deployment; '' is for what was used when only accounts were told apart. */
#define USAGE_TABLE                                                                                      \
  "CREATE TABLE IF NOT EXISTS usage(account TEXT NOT NULL, deployment TEXT NOT NULL, day TEXT NOT NULL," \
  " queries INTEGER NOT NULL, tasks INTEGER NOT NULL, seconds REAL NOT NULL, rows INTEGER NOT NULL,"     \
  " bytes INTEGER NOT NULL, usd REAL NOT NULL DEFAULT 0, PRIMARY KEY(account, deployment, day)) WITHOUT ROWID;"

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS accounts(id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS keys(id TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts(id),"
    " name TEXT NOT NULL, hash TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, revoked INTEGER NOT NULL DEFAULT 0)"
    " WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS deployments(id TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts(id),"
    " name TEXT NOT NULL, hash TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, external_id TEXT NOT NULL DEFAULT '',"
    " UNIQUE(account, name)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS aws(deployment TEXT PRIMARY KEY REFERENCES deployments(id) ON DELETE CASCADE,"
    " settings TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS instances(deployment TEXT NOT NULL REFERENCES deployments(id) ON DELETE CASCADE,"
    " instance TEXT NOT NULL, kind TEXT NOT NULL, started INTEGER NOT NULL, PRIMARY KEY(deployment, instance))"
    " WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS secrets(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS queries(id TEXT PRIMARY KEY, account TEXT NOT NULL, deployment TEXT NOT NULL,"
    " state TEXT NOT NULL, created INTEGER NOT NULL, started INTEGER NOT NULL DEFAULT 0,"
    " finished INTEGER NOT NULL DEFAULT 0, manifest TEXT NOT NULL, plan TEXT, spec TEXT, final TEXT,"
    " usd REAL NOT NULL DEFAULT 0);"
    "CREATE INDEX IF NOT EXISTS queries_of ON queries(account, created);"
    "CREATE INDEX IF NOT EXISTS queries_running ON queries(created) WHERE final IS NULL;"
    "CREATE TABLE IF NOT EXISTS tasks(query TEXT NOT NULL, stage INTEGER NOT NULL, task INTEGER NOT NULL,"
    " done INTEGER NOT NULL, attempt INTEGER NOT NULL, failures INTEGER NOT NULL, rows INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL, seconds REAL NOT NULL, segments BLOB, core_seconds REAL NOT NULL DEFAULT 0,"
    " usd REAL NOT NULL DEFAULT 0, memory INTEGER NOT NULL DEFAULT 0, outlasts INTEGER NOT NULL DEFAULT 0,"
    " PRIMARY KEY(query, stage, task)) WITHOUT ROWID;" USAGE_TABLE
    "CREATE TABLE IF NOT EXISTS spend(deployment TEXT NOT NULL REFERENCES deployments(id) ON DELETE CASCADE,"
    " minute INTEGER NOT NULL, usd REAL NOT NULL, PRIMARY KEY(deployment, minute)) WITHOUT ROWID;";

/* From version to version + 1, for databases of earlier releases; version 0 is a new one. What is only new tables needs
 * nothing here. */
static const char *const migrations[] = {
    [1] = "ALTER TABLE deployments ADD COLUMN external_id TEXT NOT NULL DEFAULT '';"
          "ALTER TABLE queries ADD COLUMN usd REAL NOT NULL DEFAULT 0;"
          "ALTER TABLE tasks ADD COLUMN core_seconds REAL NOT NULL DEFAULT 0;"
          "ALTER TABLE tasks ADD COLUMN usd REAL NOT NULL DEFAULT 0;"
          "ALTER TABLE usage ADD COLUMN usd REAL NOT NULL DEFAULT 0;",
    /* What was used before is the account's, and no deployment's. */
    [2] = "ALTER TABLE usage RENAME TO usage_of_accounts;" USAGE_TABLE
          "INSERT INTO usage SELECT account, '', day, queries, tasks, seconds, rows, bytes, usd FROM usage_of_accounts;"
          "DROP TABLE usage_of_accounts;"
          "ALTER TABLE tasks ADD COLUMN memory INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE tasks ADD COLUMN outlasts INTEGER NOT NULL DEFAULT 0;",
};
enum { SCHEMA_VERSION = sizeof migrations / sizeof *migrations };

static const char *const sql[TR_JOURNAL_N_STATEMENTS] = {
    [TR_JOURNAL_ADD_ACCOUNT] = "INSERT INTO accounts(id, name, created) VALUES(?,?,?)",
    [TR_JOURNAL_ADD_KEY] = "INSERT INTO keys(id, account, name, hash, created) VALUES(?,?,?,?,?)",
    [TR_JOURNAL_REVOKE_KEY] = "UPDATE keys SET revoked=?2 WHERE id=?1",
    [TR_JOURNAL_ADD_DEPLOYMENT] = "INSERT INTO deployments(id, account, name, hash, created, external_id)"
                                  " VALUES(?,?,?,?,?,?)",
    [TR_JOURNAL_DROP_DEPLOYMENT] = "DELETE FROM deployments WHERE id=?",
    [TR_JOURNAL_SET_EXTERNAL_ID] = "UPDATE deployments SET external_id=?2 WHERE id=?1",
    [TR_JOURNAL_PUT_AWS] = "INSERT INTO aws(deployment, settings) VALUES(?1, ?2)"
                           " ON CONFLICT(deployment) DO UPDATE SET settings=excluded.settings",
    [TR_JOURNAL_DROP_AWS] = "DELETE FROM aws WHERE deployment=?",
    [TR_JOURNAL_PUT_INSTANCE] = "INSERT INTO instances(deployment, instance, kind, started) VALUES(?,?,?,?)"
                                " ON CONFLICT(deployment, instance) DO NOTHING",
    [TR_JOURNAL_DROP_INSTANCE] = "DELETE FROM instances WHERE deployment=? AND instance=?",
    [TR_JOURNAL_PUT_SECRET] = "INSERT INTO secrets(name, value) VALUES(?1, ?2)",
    [TR_JOURNAL_ADD_QUERY] = "INSERT INTO queries(id, account, deployment, state, created, manifest, plan, spec)"
                             " VALUES(?,?,?,'queued',?,?,?,?)",
    [TR_JOURNAL_START_QUERY] = "UPDATE queries SET state='running', started=?2 WHERE id=?1",
    [TR_JOURNAL_FINISH_QUERY] = "UPDATE queries SET state=?2, finished=?3, final=?4, usd=?5, plan=NULL, spec=NULL"
                                " WHERE id=?1",
    [TR_JOURNAL_DROP_TASKS] = "DELETE FROM tasks WHERE query=?",
    [TR_JOURNAL_PUT_TASK] =
        "INSERT INTO tasks(query, stage, task, done, attempt, failures, rows, bytes, seconds, segments, core_seconds,"
        " usd, memory, outlasts) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
        " ON CONFLICT(query, stage, task) DO UPDATE SET done=excluded.done,"
        " attempt=excluded.attempt, failures=excluded.failures, rows=excluded.rows, bytes=excluded.bytes,"
        " seconds=excluded.seconds, segments=excluded.segments, core_seconds=excluded.core_seconds, usd=excluded.usd,"
        " memory=excluded.memory, outlasts=excluded.outlasts",
    [TR_JOURNAL_PUT_USAGE] = "INSERT INTO usage(account, deployment, day, queries, tasks, seconds, rows, bytes, usd)"
                             " VALUES(?,?,?,?,?,?,?,?,?) ON CONFLICT(account, deployment, day) DO UPDATE SET "
                             "queries=queries+excluded.queries, tasks=tasks+excluded.tasks,"
                             " seconds=seconds+excluded.seconds, rows=rows+excluded.rows, bytes=bytes+excluded.bytes,"
                             " usd=usd+excluded.usd",
    [TR_JOURNAL_PUT_SPEND] = "INSERT INTO spend(deployment, minute, usd) VALUES(?,?,?)"
                             " ON CONFLICT(deployment, minute) DO UPDATE SET usd=usd+excluded.usd",
    [TR_JOURNAL_FORGET_SPEND] = "DELETE FROM spend WHERE minute < ?",
    [TR_JOURNAL_FORGET] = "DELETE FROM queries WHERE final IS NOT NULL AND finished < ?",
    [TR_JOURNAL_SET_EPOCH] = "INSERT INTO meta(name, value) VALUES('epoch', ?1)"
                             " ON CONFLICT(name) DO UPDATE SET value=excluded.value",
    [TR_JOURNAL_GET_EPOCH] = "SELECT value FROM meta WHERE name='epoch'",
    [TR_JOURNAL_ALL_ACCOUNTS] = "SELECT id, name, created FROM accounts ORDER BY created, id",
    [TR_JOURNAL_ALL_KEYS] = "SELECT id, account, name, hash, created, revoked FROM keys ORDER BY created, id",
    [TR_JOURNAL_ALL_DEPLOYMENTS] = "SELECT id, account, name, hash, created, external_id FROM deployments"
                                   " ORDER BY created, id",
    [TR_JOURNAL_ALL_AWS] = "SELECT deployment, settings FROM aws",
    [TR_JOURNAL_INSTANCES] = "SELECT instance, kind, started FROM instances WHERE deployment=?",
    [TR_JOURNAL_SECRET] = "SELECT value FROM secrets WHERE name=?",
    [TR_JOURNAL_RUNNING_QUERIES] = "SELECT id, deployment, state, created, started, manifest, spec FROM queries"
                                   " WHERE final IS NULL ORDER BY created, id",
    [TR_JOURNAL_TASKS_OF] = "SELECT stage, task, done, attempt, failures, rows, bytes, seconds, segments, core_seconds,"
                            " usd, memory, outlasts FROM tasks WHERE query=?",
    [TR_JOURNAL_QUERY] = "SELECT account, final FROM queries WHERE id=?",
    [TR_JOURNAL_PLAN] = "SELECT plan, manifest FROM queries WHERE id=?",
    [TR_JOURNAL_LIST] = "SELECT id, deployment, state, created, started, finished, usd FROM queries WHERE account=?"
                        " ORDER BY created DESC, id LIMIT ?",
    [TR_JOURNAL_SEGMENTS] = "SELECT segments FROM tasks WHERE query=? AND stage=? AND task=?",
    [TR_JOURNAL_USAGE] =
        "SELECT day, sum(queries), sum(tasks), sum(seconds), sum(rows), sum(bytes), sum(usd) FROM usage"
        " WHERE account=?1 AND day>=?2 AND ?3 IN ('', deployment) GROUP BY day ORDER BY day DESC LIMIT 366",
    [TR_JOURNAL_SPEND] = "SELECT deployment, minute, usd FROM spend WHERE minute > ? ORDER BY minute",
};

struct tr_journal_row {
  struct tr_journal *journal;
  sqlite3_stmt *statement;
};

struct tr_journal {
  sqlite3 *db;
  sqlite3_stmt *statements[TR_JOURNAL_N_STATEMENTS];
  struct tr_journal_row rows[TR_JOURNAL_N_STATEMENTS];
  bool open; /* a transaction */
  int fail_at;
  enum tr_status status;
  struct tr_error error;
};

static void fail(struct tr_journal *j, const char *text) {
  if (j->status != TR_OK) return;
  j->status = tr_fail(&j->error, TR_EXC_RUNTIME, "database: %s", text);
}

static void run(struct tr_journal *j, const char *text) {
  if (sqlite3_exec(j->db, text, NULL, NULL, NULL) != SQLITE_OK) fail(j, sqlite3_errmsg(j->db));
}

/* First use prepares. NULL after a failure. */
static sqlite3_stmt *prepared(struct tr_journal *j, enum tr_journal_statement statement) {
  sqlite3_stmt **s = &j->statements[statement];
  if (!*s && sqlite3_prepare_v3(j->db, sql[statement], -1, SQLITE_PREPARE_PERSISTENT, s, NULL) != SQLITE_OK)
    fail(j, sqlite3_errmsg(j->db));
  if (*s) sqlite3_reset(*s);
  return *s;
}

static void bind(sqlite3_stmt *s, const char *types, va_list args) {
  sqlite3_clear_bindings(s);
  for (int i = 1; *types; types++, i++) {
    if (*types == 'i') sqlite3_bind_int64(s, i, va_arg(args, int64_t));
    if (*types == 'd') sqlite3_bind_double(s, i, va_arg(args, double));
    if (*types == 't') sqlite3_bind_text(s, i, va_arg(args, const char *), -1, SQLITE_STATIC);
    if (*types == 'b') {
      const void *p = va_arg(args, const void *);
      sqlite3_bind_blob64(s, i, p, va_arg(args, size_t), SQLITE_STATIC);
    }
  }
}

void tr_journal_write(struct tr_journal *j, enum tr_journal_statement statement, const char *types, ...) {
  if (j->status != TR_OK) return;
  if (!j->open) run(j, "BEGIN IMMEDIATE");
  j->open = true;
  sqlite3_stmt *s = prepared(j, statement);
  if (j->fail_at && --j->fail_at == 0) fail(j, "planned failure");
  if (!s || j->status != TR_OK) return;
  va_list args;
  va_start(args, types);
  bind(s, types, args);
  va_end(args);
  if (sqlite3_step(s) != SQLITE_DONE) fail(j, sqlite3_errmsg(j->db));
  sqlite3_reset(s);
  sqlite3_clear_bindings(s);
}

bool tr_journal_dirty(const struct tr_journal *j) { return j->open || j->status != TR_OK; }

enum tr_status tr_journal_check(const struct tr_journal *j, struct tr_error *err) {
  if (j->status != TR_OK && err) *err = j->error;
  return j->status;
}

enum tr_status tr_journal_commit(struct tr_journal *j, struct tr_error *err) {
  if (j->open && j->status == TR_OK) {
    run(j, "COMMIT");
    if (j->status == TR_OK) j->open = false;
  }
  return tr_journal_check(j, err);
}

void tr_journal_rollback(struct tr_journal *j) {
  for (int i = 0; i < TR_JOURNAL_N_STATEMENTS; i++)
    if (j->statements[i]) sqlite3_reset(j->statements[i]);
  if (!sqlite3_get_autocommit(j->db)) sqlite3_exec(j->db, "ROLLBACK", NULL, NULL, NULL);
  j->open = false;
  j->status = TR_OK;
}

void tr_journal_fail_at(struct tr_journal *j, int n) { j->fail_at = n; }

struct tr_journal_row *tr_journal_read(struct tr_journal *j, enum tr_journal_statement statement, const char *types,
                                       ...) {
  sqlite3_stmt *s = prepared(j, statement);
  if (!s) return NULL;
  va_list args;
  va_start(args, types);
  bind(s, types, args);
  va_end(args);
  j->rows[statement] = (struct tr_journal_row){j, s};
  return &j->rows[statement];
}

bool tr_journal_next(struct tr_journal_row *row) {
  if (!row) return false;
  int rc = sqlite3_step(row->statement);
  if (rc == SQLITE_ROW) return true;
  if (rc != SQLITE_DONE) fail(row->journal, sqlite3_errmsg(row->journal->db));
  sqlite3_reset(row->statement);
  return false;
}

void tr_journal_end(struct tr_journal_row *row) {
  if (row) sqlite3_reset(row->statement);
}

const char *tr_row_text(struct tr_journal_row *row, int column) {
  const char *s = (const char *)sqlite3_column_text(row->statement, column);
  return s ? s : "";
}

int64_t tr_row_int(struct tr_journal_row *row, int column) { return sqlite3_column_int64(row->statement, column); }
double tr_row_double(struct tr_journal_row *row, int column) { return sqlite3_column_double(row->statement, column); }

const void *tr_row_blob(struct tr_journal_row *row, int column, size_t *bytes) {
  const void *p = sqlite3_column_blob(row->statement, column);
  *bytes = (size_t)sqlite3_column_bytes(row->statement, column);
  return p;
}

/* A database of a later release is refused rather than guessed at, one of an earlier release brought forward. */
static void take_version(struct tr_journal *j, const char *path) {
  sqlite3_stmt *s = NULL;
  int version = 0;
  if (sqlite3_prepare_v2(j->db, "PRAGMA user_version", -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
    version = sqlite3_column_int(s, 0);
  sqlite3_finalize(s);
  char text[200];
  snprintf(text, sizeof text, "%s was written by a later release (schema %d, this one knows %d)", path, version,
           SCHEMA_VERSION);
  if (version > SCHEMA_VERSION) fail(j, text);
  /* All or nothing: a power cut in the middle leaves the old version, which is brought forward next time. */
  run(j, "BEGIN IMMEDIATE");
  for (int v = version; v > 0 && v < SCHEMA_VERSION && j->status == TR_OK; v++)
    if (migrations[v]) run(j, migrations[v]);
  if (j->status == TR_OK) run(j, schema);
  snprintf(text, sizeof text, "PRAGMA user_version=%d", SCHEMA_VERSION);
  if (j->status == TR_OK) run(j, text);
  if (j->status == TR_OK) run(j, "COMMIT");
}

enum tr_status tr_journal_open(const char *path, struct tr_journal **out, struct tr_error *err) {
  struct tr_journal *j = calloc(1, sizeof *j);
  if (!j) return tr_fail_memory(err, sizeof *j);
  int rc = sqlite3_open_v2(path, &j->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
  if (rc != SQLITE_OK) {
    enum tr_status st = tr_fail(err, TR_EXC_OS, "%s: %s", path, j->db ? sqlite3_errmsg(j->db) : "no memory");
    tr_journal_close(j);
    return st;
  }
  sqlite3_busy_timeout(j->db, 2000);
  /* Exclusive: two schedulers on one database would lease every task twice. */
  run(j, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
         "PRAGMA journal_size_limit=67108864; PRAGMA foreign_keys=ON;");
  if (j->status == TR_OK) take_version(j, path);
  enum tr_status st = j->status;
  if (st != TR_OK) st = tr_fail(err, TR_EXC_OS, "%s: %s", path, j->error.text);
  if (st == TR_OK) *out = j;
  else tr_journal_close(j);
  return st;
}

void tr_journal_close(struct tr_journal *j) {
  if (!j) return;
  for (int i = 0; i < TR_JOURNAL_N_STATEMENTS; i++) sqlite3_finalize(j->statements[i]);
  sqlite3_close(j->db);
  free(j);
}
