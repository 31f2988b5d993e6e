/* What everybody may ask: health, metrics (totals of the process, no names), the API's description. */
#include "base/mem.h"
#include "scheduler/api/api_int.h"
#include "scheduler/api/openapi.h"
#include "scheduler/launch/launch.h"
#include "scheduler/scale/spend.h"
#include <string.h>

bool tr_api_health(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  (void)at;
  (void)last;
  /* Asks the database too: a scheduler that cannot read is not healthy. A failing read makes this turn a 503. */
  struct tr_journal_row *row = tr_journal_read(s->journal, TR_JOURNAL_GET_EPOCH, "");
  if (tr_journal_next(row)) tr_journal_end(row);
  tr_text_add_format(&call->reply, "{\"status\":\"ok\",\"version\":%d}", TR_API_VERSION);
  return tr_api_answer(call, 200);
}

static void metric(struct tr_text *out, const char *name, const char *type, const char *help, int64_t value) {
  tr_text_add_format(out, "# HELP terality_%s %s\n# TYPE terality_%s %s\nterality_%s %lld\n", name, help, name, type,
                     name, (long long)value);
}

static void metric_usd(struct tr_text *out, const char *name, const char *type, const char *help, double value) {
  tr_text_add_format(out, "# HELP terality_%s %s\n# TYPE terality_%s %s\nterality_%s %.6f\n", name, help, name, type,
                     name, value);
}

bool tr_api_metrics(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  const struct tr_state_counters *c = &s->counters;
  struct tr_text *out = &call->reply;
  int64_t workers = 0, ready = 0, leased = 0;
  size_t i = 0;
  double hour = 0;
  (void)last;
  for (const struct tr_deployment *d; (d = tr_name_map_next(&s->deployments, &i));) {
    workers += (int64_t)d->workers.n;
    ready += d->n_ready + d->n_large;
    leased += d->n_leased;
    hour += tr_spend_hour(d, at);
  }
  metric(out, "queries_accepted_total", "counter", "Queries accepted.", c->queries_accepted);
  metric(out, "queries_done_total", "counter", "Queries that ended well.", c->queries_done);
  metric(out, "queries_failed_total", "counter", "Queries that failed.", c->queries_failed);
  metric(out, "queries_cancelled_total", "counter", "Queries cancelled.", c->queries_cancelled);
  metric(out, "queries_running", "gauge", "Queries accepted and not ended.", (int64_t)s->queries.n);
  metric(out, "tasks_done_total", "counter", "Tasks with a result.", c->tasks_done);
  metric(out, "tasks_out_of_time_total", "counter", "Tasks that ran until their function's time was over.",
         c->tasks_cut);
  metric(out, "task_failures_total", "counter", "Attempts that failed or were lost.", c->tasks_failed);
  metric(out, "tasks_ready", "gauge", "Tasks that wait for a worker.", ready);
  metric(out, "tasks_running", "gauge", "Tasks leased to workers.", leased);
  metric(out, "leases_total", "counter", "Leases given.", c->leases);
  metric(out, "second_leases_total", "counter", "Tasks that took long and were given to a second worker.", c->copies);
  metric(out, "leases_expired_total", "counter", "Leases that ran out.", c->leases_expired);
  metric(out, "leases_adopted_total", "counter", "Leases that workers took up again.", c->leases_adopted);
  metric(out, "database_reloads_total", "counter", "Times the database refused a write.", c->reloads);
  metric(out, "workers", "gauge", "Workers heard of in the last minute.", workers);
  metric_usd(out, "cost_usd_total", "counter", "What tasks have cost on AWS, estimated.", c->usd);
  metric_usd(out, "spend_usd_last_hour", "gauge", "What workers on AWS have cost in an hour, estimated.", hour);
  metric(out, "memory_bytes", "gauge", "Memory of the scheduler's own structures.", (int64_t)tr_mem_used());
  if (s->launch) tr_launch_print_metrics(s->launch, out);
  call->type = "text/plain; version=0.0.4";
  return tr_api_answer(call, 200);
}

bool tr_api_openapi(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  (void)s;
  (void)at;
  (void)last;
  tr_text_add(&call->reply, tr_openapi_json, tr_openapi_json_bytes);
  return tr_api_answer(call, 200);
}
