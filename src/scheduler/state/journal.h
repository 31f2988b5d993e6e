/* What survives a restart, in SQLite (WAL).
 *
 * Writes open a transaction on their own; tr_journal_commit ends it and returns only when the disk has it, so the
 * scheduler pays one fsync for all that one turn of its loop accepted. A write that fails is remembered and makes the
 * next commit fail; the caller then rolls back and reads everything anew (state.h). No write gives a status, because
 * there is nothing a caller in the middle of a change could do.
 */
#pragma once
#include "base/status.h"

struct tr_journal;

/* Statements. Writes and reads have their parameters in the order that journal.c shows. */
enum tr_journal_statement {
  TR_JOURNAL_ADD_ACCOUNT,
  TR_JOURNAL_ADD_KEY,
  TR_JOURNAL_REVOKE_KEY,
  TR_JOURNAL_ADD_DEPLOYMENT,
  TR_JOURNAL_DROP_DEPLOYMENT,
  TR_JOURNAL_SET_EXTERNAL_ID,
  TR_JOURNAL_PUT_AWS,
  TR_JOURNAL_DROP_AWS,
  TR_JOURNAL_PUT_INSTANCE,
  TR_JOURNAL_DROP_INSTANCE,
  TR_JOURNAL_PUT_SECRET,
  TR_JOURNAL_ADD_QUERY,
  TR_JOURNAL_START_QUERY,
  TR_JOURNAL_FINISH_QUERY,
  TR_JOURNAL_DROP_TASKS,
  TR_JOURNAL_PUT_TASK,
  TR_JOURNAL_PUT_USAGE,
  TR_JOURNAL_PUT_SPEND,
  TR_JOURNAL_FORGET_SPEND,
  TR_JOURNAL_FORGET,
  TR_JOURNAL_SET_EPOCH,
  TR_JOURNAL_GET_EPOCH,
  TR_JOURNAL_ALL_ACCOUNTS,
  TR_JOURNAL_ALL_KEYS,
  TR_JOURNAL_ALL_DEPLOYMENTS,
  TR_JOURNAL_ALL_AWS,
  TR_JOURNAL_INSTANCES,
  TR_JOURNAL_SECRET,
  TR_JOURNAL_RUNNING_QUERIES,
  TR_JOURNAL_TASKS_OF,
  TR_JOURNAL_QUERY,
  TR_JOURNAL_PLAN,
  TR_JOURNAL_LIST,
  TR_JOURNAL_SEGMENTS,
  TR_JOURNAL_USAGE,
  TR_JOURNAL_SPEND,
  TR_JOURNAL_N_STATEMENTS
};

/* Opens or makes the database; ":memory:" for tests. TR_EXC_OS or TR_EXC_VALUE naming the file. */
TR_MUST_USE enum tr_status tr_journal_open(const char *path, struct tr_journal **out, struct tr_error *err);
void tr_journal_close(struct tr_journal *j);

/* Binds what `types` says, one letter each: t text (NULL allowed), i int64_t, d double, b blob (pointer, size_t). */
void tr_journal_write(struct tr_journal *j, enum tr_journal_statement statement, const char *types, ...);
TR_MUST_USE enum tr_status tr_journal_commit(struct tr_journal *j, struct tr_error *err);
void tr_journal_rollback(struct tr_journal *j);
/* Whether something was written since the last commit. */
bool tr_journal_dirty(const struct tr_journal *j);

/* Reading: read, then next while it is true. A read that fails ends early and makes the next commit fail. A statement
 * is ended by its last row or by the next begin of it. */
struct tr_journal_row;
struct tr_journal_row *tr_journal_read(struct tr_journal *j, enum tr_journal_statement statement, const char *types,
                                       ...);
bool tr_journal_next(struct tr_journal_row *row);
void tr_journal_end(struct tr_journal_row *row);
/* Columns from 0; text and blob live until the next row; "" for NULL. */
const char *tr_row_text(struct tr_journal_row *row, int column);
int64_t tr_row_int(struct tr_journal_row *row, int column);
double tr_row_double(struct tr_journal_row *row, int column);
const void *tr_row_blob(struct tr_journal_row *row, int column, size_t *bytes);
/* The error that a read or write met since the last commit or rollback. */
TR_MUST_USE enum tr_status tr_journal_check(const struct tr_journal *j, struct tr_error *err);
/* Tests: the n-th write from now on fails; 0 = none. */
void tr_journal_fail_at(struct tr_journal *j, int n);
