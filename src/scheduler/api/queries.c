/* Queries as clients send, watch and cancel them. */
#include "base/mem.h"
#include "scheduler/api/api_int.h"
#include "scheduler/planning.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  MAX_SOURCES = 1000,
  MAX_PIECES = 200000,
  PROGRESS_MS = 200 /* between two replies that only tell progress */
};

/* One entry of "sources"; *n_pieces counts those of all. */
static bool read_source(struct tr_api_call *call, const json_t *o, int no, size_t *n_pieces,
                        struct tr_planning_source *out) {
  char where[40];
  struct tr_fields f;
  const char *kind;
  const json_t *rows;
  int64_t bytes = 0;
  snprintf(where, sizeof where, "sources[%d]", no);
  if (!tr_fields_begin(&f, o, where, &call->fault) || !tr_fields_text(&f, "kind", false, TR_RULE_NAME, 16, &kind) ||
      !tr_fields_list(&f, "rows", false, MAX_PIECES, &rows) ||
      !tr_fields_int(&f, "bytes", true, 0, INT64_MAX / 2, &bytes) || !tr_fields_end(&f))
    return false;
  if (strcmp(kind, "parquet") != 0 && strcmp(kind, "block") != 0)
    return tr_fault_set(&call->fault, 400, "invalid_body", "%s: \"kind\" is neither parquet nor block", where);
  size_t n = json_array_size(rows);
  *n_pieces += n;
  if (n == 0) return tr_fault_set(&call->fault, 400, "invalid_body", "%s: \"rows\" is empty", where);
  if (*n_pieces > MAX_PIECES)
    return tr_fault_set(&call->fault, 400, "invalid_body", "the sources have more than %d pieces", MAX_PIECES);
  out->n_pieces = (int32_t)n;
  out->rows = tr_arena_alloc(&call->query.arena, n * sizeof *out->rows);
  if (!out->rows) return tr_fault_set(&call->fault, 503, "no_memory", "no memory for the sources");
  for (size_t i = 0; i < n; i++) {
    const json_t *v = json_array_get(rows, i);
    out->rows[i] = json_integer_value(v);
    if (!json_is_integer(v) || out->rows[i] < 0 || out->rows[i] > (int64_t)1 << 48)
      return tr_fault_set(&call->fault, 400, "invalid_body", "%s: \"rows\"[%zu] is no number of rows", where, i);
  }
  return true;
}

static bool read_options(struct tr_api_call *call, const json_t *o, struct tr_planning_options *out) {
  struct tr_fields f;
  if (!o) return true;
  return tr_fields_begin(&f, o, "options", &call->fault) &&
         tr_fields_int(&f, "partitions", true, 0, 10000, &out->max_partitions) &&
         tr_fields_int(&f, "target_rows", true, 0, INT64_MAX / 2, &out->target_rows) &&
         tr_fields_int(&f, "broadcast_rows", true, -1, INT64_MAX / 2, &out->broadcast_rows) && tr_fields_end(&f);
}

/* The plan as text, whichever way it came. */
static bool read_plan(struct tr_api_call *call, const json_t *plan) {
  if (json_is_string(plan)) call->query.plan = strdup(json_string_value(plan));
  else if (json_is_object(plan)) call->query.plan = json_dumps(plan, JSON_COMPACT);
  else return tr_fault_set(&call->fault, 400, "invalid_body", "the body: \"plan\" is neither object nor text");
  return call->query.plan || tr_fault_set(&call->fault, 503, "no_memory", "no memory for the plan");
}

static bool cut(struct tr_api_call *call, const struct tr_planning_source *sources, int n_sources,
                const struct tr_planning_options *options) {
  struct tr_api_query *q = &call->query;
  struct tr_error err;
  enum tr_status st = tr_planning_cut(q->plan, strlen(q->plan), sources, n_sources, options, &q->arena, &q->spec, &err);
  if (st == TR_OK) return true;
  if (st == TR_ERROR && err.exc == TR_EXC_MEMORY) return tr_fault_set(&call->fault, 503, "no_memory", "%s", err.text);
  return tr_fault_set(&call->fault, 400, st == TR_UNSUPPORTED ? "unsupported_plan" : "invalid_plan", "%s", err.text);
}

bool tr_api_query_prepare(struct tr_api_call *call) {
  struct tr_api_query *q = &call->query;
  struct tr_planning_options options = {0};
  const json_t *sources, *plan, *wanted = NULL;
  struct tr_fields f;
  tr_arena_init(&q->arena);
  if (!tr_fields_begin(&f, call->body, "the body", &call->fault) ||
      !tr_fields_text(&f, "deployment", false, TR_RULE_NAME, 64, &q->deployment) ||
      !tr_fields_text(&f, "manifest", false, TR_RULE_ID, 80, &q->manifest) ||
      !tr_fields_any(&f, "plan", false, &plan) || !tr_fields_list(&f, "sources", false, MAX_SOURCES, &sources) ||
      !tr_fields_any(&f, "options", true, &wanted) || !tr_fields_end(&f) || !read_options(call, wanted, &options))
    return false;
  size_t n = json_array_size(sources), n_pieces = 0;
  struct tr_planning_source *given = tr_arena_alloc(&q->arena, (n + 1) * sizeof *given);
  if (!given) return tr_fault_set(&call->fault, 503, "no_memory", "no memory for the sources");
  for (size_t i = 0; i < n; i++)
    if (!read_source(call, json_array_get(sources, i), (int)i, &n_pieces, &given[i])) return false;
  return read_plan(call, plan) && cut(call, given, (int)n, &options);
}

bool tr_api_queries_add(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  const struct tr_api_query *in = &call->query;
  struct tr_query *q;
  (void)last;
  struct tr_account *a = tr_api_account(s, call);
  struct tr_deployment *d = a ? tr_deployment_find(s, a, in->deployment) : NULL;
  if (a && !d) tr_fault_set(&call->fault, 404, "no_deployment", "no deployment %s in this account", in->deployment);
  if (!d || !tr_query_add(s, d, in->plan, in->manifest, &in->spec, at, &q, &call->fault)) return tr_api_refuse(call);
  tr_text_add_format(&call->reply, "{\"query\":\"%s\",\"stages\":%d}", q->id, q->spec.n_stages);
  return tr_api_answer(call, 201);
}

/* Of a running query memory knows; the database when it has ended. */
static double cost_of(const struct tr_state *s, struct tr_journal_row *row) {
  const struct tr_query *q = tr_name_map_get(&s->queries, tr_row_text(row, 0));
  return q ? q->usd + q->usd_flight : tr_row_double(row, 6);
}

bool tr_api_queries_list(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  const char *comma = "";
  (void)at;
  (void)last;
  const struct tr_account *a = tr_api_account(s, call);
  if (!a) return tr_api_refuse(call);
  tr_text_add_str(&call->reply, "{\"queries\":[");
  struct tr_journal_row *row = tr_journal_read(s->journal, TR_JOURNAL_LIST, "ti", a->id, call->limit);
  for (; tr_journal_next(row); comma = ",")
    tr_text_add_format(&call->reply,
                       "%s{\"query\":\"%s\",\"deployment\":\"%s\",\"state\":\"%s\",\"created\":%lld,\"started\":%lld,"
                       "\"finished\":%lld,\"cost_usd\":%.6f}",
                       comma, tr_row_text(row, 0), tr_row_text(row, 1), tr_row_text(row, 2),
                       (long long)tr_row_int(row, 3), (long long)tr_row_int(row, 4), (long long)tr_row_int(row, 5),
                       cost_of(s, row));
  tr_text_add_str(&call->reply, "]}");
  return tr_api_answer(call, 200);
}

/* A running query of this account; NULL otherwise. */
static struct tr_query *running(const struct tr_state *s, const struct tr_api_call *call) {
  struct tr_query *q = tr_name_map_get(&s->queries, call->id);
  return q && strcmp(q->deployment->account->id, call->who.account) == 0 ? q : NULL;
}

/* What was written when it ended; a 404 when it is not of this account or never was. */
static bool answer_ended(struct tr_state *s, struct tr_api_call *call) {
  struct tr_journal_row *row = tr_journal_read(s->journal, TR_JOURNAL_QUERY, "t", call->id);
  bool found = tr_journal_next(row) && strcmp(tr_row_text(row, 0), call->who.account) == 0;
  if (found) tr_text_add_str(&call->reply, tr_row_text(row, 1));
  tr_journal_end(row);
  if (found) return tr_api_answer(call, 200);
  tr_fault_set(&call->fault, 404, "no_query", "no query %s in this account", call->id);
  return tr_api_refuse(call);
}

/* Progress is told a few times a second at most, whatever the client asks; the end at once. */
int64_t tr_api_query_get_wake(const struct tr_state *s, const struct tr_api_call *call) {
  const struct tr_query *q = running(s, call);
  if (!q) return 0;
  return call->seen >= 0 && call->seen != q->version ? call->arrived + PROGRESS_MS : INT64_MAX;
}

bool tr_api_query_get(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  const struct tr_query *q = running(s, call);
  if (!q) return answer_ended(s, call);
  if (!last && tr_api_wake(s, call) > at.now) return false;
  tr_query_print(q, q->state, NULL, 0, &call->reply);
  return tr_api_answer(call, 200);
}

bool tr_api_query_cancel(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  struct tr_query *q = running(s, call);
  (void)last;
  if (q) tr_query_cancel(s, q, at);
  return answer_ended(s, call);
}

bool tr_api_query_plan(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  const struct tr_query *q = tr_name_map_get(&s->queries, call->id);
  (void)at;
  (void)last;
  if (!q || strcmp(q->deployment->id, call->who.deployment) != 0) {
    tr_fault_set(&call->fault, 404, "no_query", "no running query %s in this deployment", call->id);
    return tr_api_refuse(call);
  }
  struct tr_journal_row *row = tr_journal_read(s->journal, TR_JOURNAL_PLAN, "t", call->id);
  if (tr_journal_next(row)) {
    tr_text_add_str(&call->reply, "{\"plan\":");
    tr_text_add_str(&call->reply, tr_row_text(row, 0));
    tr_text_add_format(&call->reply, ",\"manifest\":\"%s\",\"version\":%d}", tr_row_text(row, 1), TR_API_VERSION);
    tr_journal_end(row);
  }
  return tr_api_answer(call, 200);
}
