/* A state of its own in a file of its own, an account with a deployment, and queries of made stages. */
#pragma once
#include "base/mem.h"
#include "scheduler/state/state.h"
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture {
  char path[64];
  struct tr_auth *auth;
  struct tr_state *s;
  struct tr_clock at;
  struct tr_account *account;
  struct tr_deployment *d;
  struct tr_fault fault;
};

static inline void remove_database(const char *path) {
  char name[80];
  const char *const ends[] = {"", "-wal", "-shm", "-journal"};
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    snprintf(name, sizeof name, "%s%s", path, ends[i]);
    unlink(name);
  }
}

static inline void fixture_open(struct fixture *f) {
  struct tr_error err;
  assert_int_equal(tr_auth_new(&f->auth, &err), TR_OK);
  enum tr_status st = tr_state_open(f->path, &tr_state_options_default, f->auth, f->at, &f->s, &err);
  if (st != TR_OK) print_error("%s\n", err.text);
  assert_int_equal(st, TR_OK);
}

static inline int fixture_up(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  char token[TR_SECRET_MAX];
  struct tr_error err;
  snprintf(f->path, sizeof f->path, "test_state_%d.db", (int)getpid());
  remove_database(f->path);
  f->at = (struct tr_clock){1000, 1700000000000};
  fixture_open(f);
  assert_true(tr_account_add(f->s, "acc", f->at, &f->account, &f->fault));
  assert_true(tr_deployment_add(f->s, f->account, "dep", f->at, &f->d, token, &f->fault));
  assert_int_equal(tr_state_commit(f->s, f->at, &err), TR_OK);
  *state = f;
  return 0;
}

static inline int fixture_down(void **state) {
  struct fixture *f = *state;
  tr_state_close(f->s);
  tr_auth_free(f->auth);
  remove_database(f->path);
  free(f);
  return 0;
}

/* Everything in memory is lost; what was committed is there again. */
static inline void fixture_restart(struct fixture *f) {
  tr_state_close(f->s);
  tr_auth_free(f->auth);
  fixture_open(f);
  f->account = tr_name_map_get(&f->s->account_names, "acc");
  assert_non_null(f->account);
  f->d = tr_deployment_find(f->s, f->account, "dep");
  assert_non_null(f->d);
}

static inline void fixture_commit(struct fixture *f) {
  struct tr_error err;
  assert_int_equal(tr_state_commit(f->s, f->at, &err), TR_OK);
}

static inline void fixture_pass(struct fixture *f, int64_t ms) {
  f->at.now += ms;
  f->at.wall += ms;
  tr_state_tick(f->s, f->at);
}

/* scan (n tasks, p parts) -> hash (p tasks) -> result (1 task), which knows its position among the rows of the second.
 */
static inline struct tr_query *fixture_query(struct fixture *f, int n, int p) {
  struct tr_spec_input shuffle = {0, TR_INPUT_SHUFFLE}, all = {1, TR_INPUT_BROADCAST};
  int32_t *first = calloc((size_t)n + 1, sizeof *first);
  struct tr_spec_piece *pieces = calloc((size_t)n, sizeof *pieces);
  for (int i = 0; i < n; i++) {
    pieces[i] = (struct tr_spec_piece){0, i, i + 1};
    first[i + 1] = i + 1;
  }
  struct tr_spec_stage stages[3] = {{.role = "scan",
                                     .fragment = "{\"stage\":0}",
                                     .n_tasks = n,
                                     .n_parts = p,
                                     .first_piece = first,
                                     .pieces = pieces,
                                     .base = TR_SPEC_NO_ROWS},
                                    {.role = "hash",
                                     .fragment = "{\"stage\":1}",
                                     .n_tasks = p,
                                     .n_parts = 1,
                                     .n_inputs = 1,
                                     .inputs = &shuffle,
                                     .base = TR_SPEC_NO_ROWS},
                                    {.role = "end",
                                     .fragment = "{\"stage\":2}",
                                     .n_tasks = 1,
                                     .n_parts = 1,
                                     .n_inputs = 1,
                                     .inputs = &all,
                                     .base = TR_SPEC_NO_ROWS}};
  struct tr_spec spec = {3, stages};
  struct tr_query *q = NULL;
  if (!tr_query_add(f->s, f->d, "{\"plan\":1}", "m1", &spec, f->at, &q, &f->fault)) q = NULL;
  free(first);
  free(pieces);
  return q;
}

/* m0 has 1 GiB, m1 2 and so on; with other names all have one. Those whose name begins with f are functions. */
static inline struct tr_worker *fixture_worker(struct fixture *f, const char *name) {
  int64_t gib = name[0] == 'm' && name[1] >= '0' && name[1] <= '9' ? name[1] - '0' + 1 : 1;
  return tr_worker_seen(f->s, f->d, name, *name == 'f' ? "lambda-small" : "local", NULL, 2, gib << 30, f->at,
                        &f->fault);
}

/* Leases up to `want` tasks; their names, apart by newlines, in a static text. */
static inline const char *fixture_lease(struct fixture *f, const char *worker, int want) {
  static char names[20000];
  struct tr_text out = {0};
  size_t n = 0;
  tr_lease_give(f->s, fixture_worker(f, worker), want, f->at, &out);
  names[0] = 0;
  for (const char *at = tr_text_str(&out); (at = strstr(at, "{\"lease\":\"")); at++) {
    const char *name = at + strlen("{\"lease\":\"");
    size_t length = strcspn(name, "\"");
    memcpy(names + n, name, length);
    n += length;
    names[n++] = '\n';
    names[n] = 0;
  }
  tr_text_free(&out);
  return names;
}

static inline struct tr_report fixture_report(const char *lease) {
  struct tr_report r = {.lost_stage = -1, .class = "ValueError", .retry = true};
  char one[100];
  snprintf(one, sizeof one, "%.*s", (int)strcspn(lease, "\n"), lease);
  assert_true(tr_lease_parse(one, r.query, &r.stage, &r.task, &r.attempt));
  r.winner = r.attempt;
  return r;
}

/* The task is done: `rows` rows, spread over the parts in turn. */
static inline void fixture_done(struct fixture *f, const char *lease, int64_t rows) {
  int64_t counts[64] = {0}, bytes[64] = {0};
  struct tr_report r = fixture_report(lease);
  const struct tr_query *q = tr_name_map_get(&f->s->queries, r.query);
  int parts = q ? q->spec.stages[r.stage].n_parts : 1;
  for (int64_t i = 0; i < rows; i++) {
    counts[i % parts]++;
    bytes[i % parts] += 10;
  }
  r.ok = true;
  r.rows = rows;
  r.seconds = 0.5;
  r.segments = (struct tr_segments){counts, bytes, parts};
  assert_true(tr_report_check(f->s, f->d, &r, &f->fault));
  tr_report_apply(f->s, &r, f->at);
}

static inline void fixture_fails(struct fixture *f, const char *lease, const char *class, bool retry) {
  struct tr_report r = fixture_report(lease);
  r.class = class;
  r.retry = retry;
  assert_true(tr_report_check(f->s, f->d, &r, &f->fault));
  tr_report_apply(f->s, &r, f->at);
}

/* What a client is told of a query that has ended; "" while it runs. In a static text. */
static inline const char *fixture_final(struct fixture *f, const char *query) {
  static char text[20000];
  struct tr_journal_row *row = tr_journal_read(f->s->journal, TR_JOURNAL_QUERY, "t", query);
  assert_true(tr_journal_next(row));
  snprintf(text, sizeof text, "%s", tr_row_text(row, 1));
  tr_journal_end(row);
  return text;
}
