/* Leases and reports, workers, capacity. */
#include "base/arena.h"
#include "scheduler/api/api_int.h"
#include "scheduler/scale/spend.h"
#include <stdio.h>
#include <string.h>

enum {
  MAX_WANT = 64,
  MAX_RUNNING = 256,
  MAX_REPORTS = 256,
  MAX_SEALED = 64 << 10,
  MAX_TEXT = 500,
};
static const int64_t most_rows = (int64_t)1 << 48;

/* A list of non-negative integers into the arena. */
static bool read_counts(struct tr_api_call *call, const json_t *list, const char *where, const char *name,
                        const int64_t **out) {
  size_t n = json_array_size(list);
  int64_t *counts = tr_arena_alloc(&call->lease.arena, (n + 1) * sizeof *counts);
  if (!counts) return tr_fault_set(&call->fault, 503, "no_memory", "no memory for the reports");
  for (size_t i = 0; i < n; i++) {
    const json_t *v = json_array_get(list, i);
    counts[i] = json_integer_value(v);
    if (!json_is_integer(v) || counts[i] < 0 || counts[i] > most_rows)
      return tr_fault_set(&call->fault, 400, "invalid_body", "%s: \"%s\"[%zu] is no count", where, name, i);
  }
  *out = counts;
  return true;
}

static bool read_done(struct tr_api_call *call, struct tr_fields *f, struct tr_report *r) {
  const json_t *rows, *bytes;
  r->winner = r->attempt;
  if (!tr_fields_int(f, "rows", false, 0, most_rows, &r->rows) ||
      !tr_fields_int(f, "winner", true, 0, INT64_MAX / 4, &r->winner) ||
      !tr_fields_number(f, "seconds", false, 1e9, &r->seconds) ||
      !tr_fields_list(f, "segment_rows", false, TR_SPEC_PARTS, &rows) ||
      !tr_fields_list(f, "segment_bytes", false, TR_SPEC_PARTS, &bytes))
    return false;
  if (json_array_size(rows) != json_array_size(bytes))
    return tr_fault_set(&call->fault, 400, "invalid_body", "%s: rows of %zu and bytes of %zu segments", f->where,
                        json_array_size(rows), json_array_size(bytes));
  r->segments.n = (int32_t)json_array_size(rows);
  return read_counts(call, rows, f->where, "segment_rows", &r->segments.rows) &&
         read_counts(call, bytes, f->where, "segment_bytes", &r->segments.bytes);
}

static bool read_lost(struct tr_api_call *call, const json_t *o, const char *where, struct tr_report *r) {
  struct tr_fields f;
  char inside[80];
  int64_t stage, task;
  if (!o) return true;
  snprintf(inside, sizeof inside, "%s.lost", where);
  if (!tr_fields_begin(&f, o, inside, &call->fault) || !tr_fields_int(&f, "stage", false, 0, INT32_MAX, &stage) ||
      !tr_fields_int(&f, "task", false, 0, INT32_MAX, &task) ||
      !tr_fields_int(&f, "attempt", false, 0, INT64_MAX / 4, &r->lost_attempt) || !tr_fields_end(&f))
    return false;
  r->lost_stage = (int32_t)stage;
  r->lost_task = (int32_t)task;
  return true;
}

static bool read_failure(struct tr_api_call *call, struct tr_fields *f, struct tr_report *r) {
  const json_t *lost = NULL;
  return tr_fields_text(f, "class", false, TR_RULE_CLASS, 64, &r->class) &&
         tr_fields_bool(f, "retry", true, &r->retry) && tr_fields_bool(f, "returned", true, &r->returned) &&
         tr_fields_number(f, "ran", true, 1e9, &r->seconds) &&
         tr_fields_text(f, "sealed", true, TR_RULE_SEALED, MAX_SEALED, &r->sealed) &&
         tr_fields_any(f, "lost", true, &lost) && read_lost(call, lost, f->where, r);
}

static bool read_report(struct tr_api_call *call, const json_t *o, int no, struct tr_report *r) {
  char where[40];
  struct tr_fields f;
  const char *query;
  int64_t stage, task;
  snprintf(where, sizeof where, "reports[%d]", no);
  *r = (struct tr_report){.lost_stage = -1};
  if (!tr_fields_begin(&f, o, where, &call->fault) ||
      !tr_fields_text(&f, "query", false, TR_RULE_ID, TR_ID_BYTES - 1, &query) ||
      !tr_fields_int(&f, "stage", false, 0, INT32_MAX, &stage) ||
      !tr_fields_int(&f, "task", false, 0, INT32_MAX, &task) ||
      !tr_fields_int(&f, "attempt", false, 0, INT64_MAX / 4, &r->attempt) || !tr_fields_bool(&f, "ok", false, &r->ok))
    return false;
  memcpy(r->query, query, strlen(query) + 1);
  r->stage = (int32_t)stage;
  r->task = (int32_t)task;
  return (r->ok ? read_done(call, &f, r) : read_failure(call, &f, r)) && tr_fields_end(&f);
}

static bool read_running(struct tr_api_call *call, const json_t *list) {
  struct tr_api_lease *in = &call->lease;
  in->n_running = (int32_t)json_array_size(list);
  in->running = tr_arena_alloc(&in->arena, ((size_t)in->n_running + 1) * sizeof *in->running);
  if (!in->running) return tr_fault_set(&call->fault, 503, "no_memory", "no memory for the leases");
  for (int i = 0; i < in->n_running; i++) {
    char query[TR_ID_BYTES];
    int32_t stage, task;
    int64_t attempt;
    in->running[i] = json_string_value(json_array_get(list, (size_t)i));
    if (!in->running[i] || !tr_lease_parse(in->running[i], query, &stage, &task, &attempt) ||
        !tr_text_keeps(query, TR_RULE_ID, sizeof query))
      return tr_fault_set(&call->fault, 400, "invalid_body", "running[%d] is no lease", i);
  }
  return true;
}

bool tr_api_lease_prepare(struct tr_api_call *call) {
  struct tr_api_lease *in = &call->lease;
  struct tr_fields f;
  const json_t *running = NULL, *reports = NULL;
  int64_t cores = 1, want = 0;
  in->kind = "local";
  tr_arena_init(&in->arena);
  if (!tr_fields_begin(&f, call->body, "the body", &call->fault) ||
      !tr_fields_text(&f, "worker", false, TR_RULE_NAME, 64, &in->worker) ||
      !tr_fields_text(&f, "kind", true, TR_RULE_NAME, 32, &in->kind) ||
      !tr_fields_text(&f, "instance", true, TR_RULE_INSTANCE, TR_INSTANCE_BYTES - 1, &in->instance) ||
      !tr_fields_int(&f, "cores", true, 1, 65536, &cores) ||
      !tr_fields_int(&f, "memory", true, 0, INT64_MAX / 2, &in->memory) ||
      !tr_fields_int(&f, "want", false, 0, MAX_WANT, &want) ||
      !tr_fields_int(&f, "wait_ms", true, 0, 30000, &call->wait_ms) ||
      !tr_fields_list(&f, "running", true, MAX_RUNNING, &running) ||
      !tr_fields_list(&f, "reports", true, MAX_REPORTS, &reports) || !tr_fields_end(&f) || !read_running(call, running))
    return false;
  in->cores = (int32_t)cores;
  in->want = (int32_t)want;
  in->n_reports = (int32_t)json_array_size(reports);
  in->reports = tr_arena_alloc(&in->arena, ((size_t)in->n_reports + 1) * sizeof *in->reports);
  if (!in->reports) return tr_fault_set(&call->fault, 503, "no_memory", "no memory for the reports");
  for (int i = 0; i < in->n_reports; i++)
    if (!read_report(call, json_array_get(reports, (size_t)i), i, &in->reports[i])) return false;
  return true;
}

static struct tr_deployment *deployment_of(const struct tr_state *s, const struct tr_api_call *call) {
  return tr_name_map_get(&s->deployments, call->who.deployment);
}

int64_t tr_api_lease_wake(const struct tr_state *s, const struct tr_api_call *call) {
  const struct tr_deployment *d = deployment_of(s, call);
  const struct tr_worker *w = d ? tr_name_map_get(&d->workers, call->lease.worker) : NULL;
  return !w || w->drain || (call->lease.want && tr_lease_ready(w)) ? 0 : INT64_MAX;
}

/* All reports are looked at before anything changes: a refused call leaves no worker behind either. */
static bool check_reports(const struct tr_state *s, const struct tr_deployment *d, struct tr_api_call *call) {
  const struct tr_api_lease *in = &call->lease;
  for (int i = 0; i < in->n_reports; i++)
    if (!tr_report_check(s, d, &in->reports[i], &call->fault)) return false;
  return true;
}

static void apply(struct tr_state *s, struct tr_worker *w, struct tr_api_call *call, struct tr_clock at) {
  struct tr_api_lease *in = &call->lease;
  for (int i = 0; i < in->n_reports; i++) {
    in->reports[i].by = w;
    tr_report_apply(s, &in->reports[i], at);
  }
  for (int i = 0; i < in->n_running; i++) {
    if (tr_lease_renew(s, w, in->running[i], at)) continue;
    if (in->stop.length) tr_text_add_char(&in->stop, ',');
    tr_text_add_json(&in->stop, in->running[i]);
  }
  in->applied = true;
}

bool tr_api_lease(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  struct tr_api_lease *in = &call->lease;
  struct tr_text *out = &call->reply;
  struct tr_deployment *d = deployment_of(s, call);
  if (!d) {
    tr_fault_set(&call->fault, 404, "no_deployment", "the deployment of this worker token is gone");
    return tr_api_refuse(call);
  }
  if (!in->applied && !check_reports(s, d, call)) return tr_api_refuse(call);
  struct tr_worker *w =
      tr_worker_seen(s, d, in->worker, in->kind, in->instance, in->cores, in->memory, at, &call->fault);
  if (!w) return tr_api_refuse(call);
  if (!in->applied) apply(s, w, call, at);
  bool waits = in->want > 0 && !in->stop.length && !last && !w->drain && call->arrived + call->wait_ms > at.now;
  if (waits && !tr_lease_ready(w)) return false;
  tr_text_add_str(out, "{\"tasks\":[");
  if (!last) tr_lease_give(s, w, in->want, at, out);
  tr_text_add_str(out, "],\"cancel\":[");
  if (in->stop.length) tr_text_add(out, in->stop.data, in->stop.length);
  tr_text_add_format(out, "],\"drain\":%s", w->drain ? "true" : "false");
  if (w->stay_ms > 0 && !w->drain) tr_text_add_format(out, ",\"idle_ms\":%lld", (long long)w->stay_ms);
  tr_text_add_char(out, '}');
  w->told |= w->drain;
  return tr_api_answer(call, 200);
}

/* The deployment a worker or user means. */
static struct tr_deployment *named_deployment(struct tr_state *s, struct tr_api_call *call) {
  struct tr_deployment *d = NULL;
  if (call->who.kind == TR_WHO_WORKER) {
    d = deployment_of(s, call);
    const char *named = call->text_params[0];
    if (d && *named && strcmp(named, d->id) != 0 && strcmp(named, d->name) != 0) d = NULL;
  } else {
    const struct tr_account *a = tr_api_account(s, call);
    if (!a) return NULL;
    if (!*call->text_params[0]) {
      tr_fault_set(&call->fault, 400, "invalid_parameter", "deployment is missing");
      return NULL;
    }
    d = tr_deployment_find(s, a, call->text_params[0]);
  }
  if (!d) tr_fault_set(&call->fault, 404, "no_deployment", "no deployment %s in this account", call->text_params[0]);
  return d;
}

bool tr_api_workers_list(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  const char *comma = "";
  size_t i = 0;
  (void)last;
  struct tr_deployment *d = named_deployment(s, call);
  if (!d) return tr_api_refuse(call);
  tr_text_add_str(&call->reply, "{\"workers\":[");
  for (const struct tr_worker *w; (w = tr_name_map_next(&d->workers, &i)); comma = ",")
    tr_text_add_format(&call->reply,
                       "%s{\"worker\":\"%s\",\"kind\":\"%s\",\"cores\":%d,\"memory\":%lld,\"leases\":%d,"
                       "\"silent_ms\":%lld,\"drain\":%s,\"instance\":\"%s\"}",
                       comma, w->id, w->kind, w->cores, (long long)w->memory, w->n_leases,
                       (long long)(at.now - w->seen), w->drain ? "true" : "false", w->instance);
  tr_text_add_str(&call->reply, "]}");
  return tr_api_answer(call, 200);
}

bool tr_api_workers_drain(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  (void)at;
  (void)last;
  struct tr_deployment *d = named_deployment(s, call);
  if (!d) return tr_api_refuse(call);
  struct tr_worker *w = tr_name_map_get(&d->workers, call->id);
  if (!w) {
    tr_fault_set(&call->fault, 404, "no_worker", "no worker %s in this deployment", call->id);
    return tr_api_refuse(call);
  }
  w->drain = true;
  tr_text_add_str(&call->reply, "{}");
  return tr_api_answer(call, 200);
}

bool tr_api_capacity(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  size_t i = 0;
  int64_t busy = 0, draining = 0;
  (void)last;
  struct tr_deployment *d = named_deployment(s, call);
  if (!d) return tr_api_refuse(call);
  for (const struct tr_worker *w; (w = tr_name_map_next(&d->workers, &i));) {
    busy += w->n_leases > 0;
    draining += w->drain;
  }
  tr_text_add_format(&call->reply,
                     "{\"deployment\":\"%s\",\"workers\":{\"wanted\":%lld,\"registered\":%zu,\"busy\":%lld,"
                     "\"draining\":%lld},\"tasks\":{\"ready\":%lld,\"running\":%lld,\"left\":%lld},"
                     "\"cost\":{\"usd_last_hour\":%.6f}}",
                     d->id, (long long)tr_workers_wanted(s, d), d->workers.n, (long long)busy, (long long)draining,
                     (long long)(d->n_ready + d->n_large), (long long)d->n_leased, (long long)d->n_left,
                     tr_spend_hour(d, at));
  return tr_api_answer(call, 200);
}
