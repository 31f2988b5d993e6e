#include "scheduler/state/state.h"
#include "base/mem.h"
#include "scheduler/scale/spend.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const struct tr_state_options tr_state_options_default = {.lease_ms = 15000,
                                                          .grace_ms = 6000,
                                                          .worker_ms = 60000,
                                                          .lambda_ms = 10000,
                                                          .keep_ms = 30ll * 24 * 3600 * 1000,
                                                          .backoff_ms = 250,
                                                          .target_ms = 30000,
                                                          .max_attempts = 4,
                                                          .max_same = 3,
                                                          .max_running = 1000,
                                                          .max_workers = 10000};

/* How many reloads one written epoch allows, and how many attempts lie between two. */
enum { EPOCH_RELOADS = 20, EPOCH_ATTEMPTS = 1000, SWEEP_MS = 5000 };

bool tr_fault_set(struct tr_fault *fault, int status, const char *code, const char *text, ...) {
  va_list args;
  fault->status = status;
  fault->code = code;
  va_start(args, text);
  vsnprintf(fault->text, sizeof fault->text, text, args);
  va_end(args);
  return false;
}

/* A scheduler that starts again gives attempts that none before it gave, though leases are written nowhere. */
static void next_epoch(struct tr_state *s) {
  int64_t epoch = 0;
  if (s->epoch_room > 0) {
    s->epoch_room--;
    s->epoch_base += EPOCH_ATTEMPTS;
    return;
  }
  struct tr_journal_row *row = tr_journal_read(s->journal, TR_JOURNAL_GET_EPOCH, "");
  bool fresh = !tr_journal_next(row);
  if (!fresh) {
    epoch = tr_row_int(row, 0);
    tr_journal_end(row);
  }
  tr_journal_write(s->journal, TR_JOURNAL_SET_EPOCH, "i", epoch + EPOCH_RELOADS);
  s->epoch_base = epoch * EPOCH_ATTEMPTS;
  s->epoch_room = EPOCH_RELOADS - 1;
}

/* A secret of this scheduler, made at its first start. */
TR_MUST_USE static enum tr_status secret(struct tr_state *s, const char *name, char out[TR_SERVER_SECRET_BYTES],
                                         struct tr_error *err) {
  struct tr_journal_row *row = tr_journal_read(s->journal, TR_JOURNAL_SECRET, "t", name);
  if (tr_journal_next(row)) {
    snprintf(out, TR_SERVER_SECRET_BYTES, "%s", tr_row_text(row, 0));
    tr_journal_end(row);
    return TR_OK;
  }
  TR_TRY(tr_server_secret_new(out, err));
  tr_journal_write(s->journal, TR_JOURNAL_PUT_SECRET, "tt", name, out);
  return TR_OK;
}

static enum tr_status load_secrets(struct tr_state *s, struct tr_error *err) {
  TR_TRY(secret(s, "server_id", s->secrets.id, err));
  TR_TRY(secret(s, "token_key", s->secrets.key, err));
  tr_auth_set_key(s->auth, s->secrets.key);
  return TR_OK;
}

static enum tr_status load(struct tr_state *s, struct tr_clock at, struct tr_error *err) {
  TR_TRY(load_secrets(s, err));
  TR_TRY(tr_accounts_load(s, err));
  TR_TRY(tr_queries_load(s, at, err));
  TR_TRY(tr_spend_load(s, at, err));
  s->grace_until = s->queries.n ? at.now + s->options.grace_ms : 0;
  s->swept = at.now;
  TR_TRY(tr_journal_check(s->journal, err));
  return s->broken ? tr_fail_memory(err, 0) : TR_OK;
}

static void drop_all(struct tr_state *s) {
  struct tr_query *q;
  for (size_t at = 0; (q = tr_name_map_next(&s->queries, &at)); at = 0) tr_query_free(s, q);
  tr_accounts_free(s);
  tr_name_map_free(&s->queries);
  s->leased_first = s->leased_last = s->backoff_first = NULL;
  s->broken = false;
}

enum tr_status tr_state_open(const char *path, const struct tr_state_options *options, struct tr_auth *auth,
                             struct tr_clock at, struct tr_state **out, struct tr_error *err) {
  struct tr_state *s = calloc(1, sizeof *s);
  if (!s) return tr_fail_memory(err, sizeof *s);
  s->options = *options;
  s->auth = auth;
  enum tr_status st;
  TR_GOTO(st, tr_journal_open(path, &s->journal, err));
  next_epoch(s);
  TR_GOTO(st, load(s, at, err));
  TR_GOTO(st, tr_journal_commit(s->journal, err));
  *out = s;
  return TR_OK;
done:
  tr_state_close(s);
  return st;
}

void tr_state_close(struct tr_state *s) {
  if (!s) return;
  if (s->journal) drop_all(s);
  tr_journal_close(s->journal);
  free(s);
}

enum tr_status tr_state_reload(struct tr_state *s, struct tr_clock at, struct tr_error *err) {
  s->counters.reloads++;
  drop_all(s);
  tr_journal_rollback(s->journal);
  next_epoch(s);
  return load(s, at, err);
}

static void write_usage(struct tr_state *s, struct tr_clock at) {
  size_t i = 0;
  for (struct tr_deployment *d; (d = tr_name_map_next(&s->deployments, &i));) tr_deployment_write_usage(s, d, at);
}

enum tr_status tr_state_commit(struct tr_state *s, struct tr_clock at, struct tr_error *err) {
  if (s->broken) return tr_fail_memory(err, 0);
  if (!tr_journal_dirty(s->journal)) return TR_OK;
  write_usage(s, at);
  return tr_journal_commit(s->journal, err);
}

static int64_t silence_ms(const struct tr_state *s, const struct tr_worker *w) {
  bool leaves = w->drain && w->told;
  return leaves || strncmp(w->kind, "lambda", 6) == 0 ? s->options.lambda_ms : s->options.worker_ms;
}

/* Workers that are silent; queries that ended long ago. */
static void sweep(struct tr_state *s, struct tr_clock at) {
  size_t i = 0;
  for (struct tr_deployment *d; (d = tr_name_map_next(&s->deployments, &i));) {
    size_t k = 0;
    for (struct tr_worker *w; (w = tr_name_map_next(&d->workers, &k));)
      if (w->n_leases == 0 && w->seen + silence_ms(s, w) < at.now) {
        tr_worker_gone(s, w);
        k = 0;
      }
    tr_lease_look_at_large(s, d, at);
  }
  s->swept = at.now;
  tr_journal_write(s->journal, TR_JOURNAL_FORGET, "i", at.wall - s->options.keep_ms);
  tr_journal_write(s->journal, TR_JOURNAL_FORGET_SPEND, "i", at.wall / 60000 - TR_SPEND_MINUTES);
}

int64_t tr_state_tick(struct tr_state *s, struct tr_clock at) {
  tr_leases_tick(s, at);
  tr_copy_tick(s, at);
  if (s->swept + SWEEP_MS <= at.now) sweep(s, at);
  int64_t next = s->swept + SWEEP_MS, spend = tr_spend_tick(s, at);
  if (spend < next && s->leased_first) next = spend;
  if (s->leased_first && s->leased_first->until < next) next = s->leased_first->until;
  if (s->grace_until && s->grace_until < next) next = s->grace_until;
  for (const struct tr_task *t = s->backoff_first; t; t = t->next)
    if (t->until < next) next = t->until;
  return next;
}
