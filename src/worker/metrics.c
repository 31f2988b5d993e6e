/* A line per task on stdout in CloudWatch's embedded metric format: whoever collects the log makes metrics of it.
 *
 * What may be many (queries, tasks, workers) is no dimension, for each value of one is a metric of its own that is paid
 * for. The totals of a deployment are what the stack's alarms and dashboard show and what the scheduler reads back.
 */
#include "base/json_text.h"
#include "worker/worker.h"
#include <stdio.h>
#include <time.h>

static const struct {
  const char *name, *unit;
  bool total; /* also of the deployment, whatever the kind */
} metrics[] = {
    {"TaskSeconds", "Seconds", true},  {"TaskRows", "Count", true},          {"TaskFailures", "Count", true},
    {"TaskBytesRead", "Bytes", false}, {"TaskBytesWritten", "Bytes", false}, {"StoreRequests", "Count", true},
    {"StoreRetries", "Count", true},   {"StoreThrottled", "Count", true},    {"StoreErrors", "Count", false}};
enum { METRICS = sizeof metrics / sizeof *metrics };

static void add_directive(struct tr_text *out, const char *dimensions, bool totals) {
  const char *comma = "";
  tr_text_add_format(out, "{\"Namespace\":\"terality\",\"Dimensions\":[%s],\"Metrics\":[", dimensions);
  for (int i = 0; i < METRICS; i++) {
    if (totals && !metrics[i].total) continue;
    tr_text_add_format(out, "%s{\"Name\":\"%s\",\"Unit\":\"%s\"}", comma, metrics[i].name, metrics[i].unit);
    comma = ",";
  }
  tr_text_add_str(out, "]}");
}

void tr_metrics_log(const struct tr_worker_settings *s, const char *deployment, const json_t *task, const char *report,
                    double seconds, const struct tr_store_totals *before) {
  struct timespec t;
  struct tr_store_totals now;
  struct tr_text out = {0};
  json_t *o = report ? json_loads(report, 0, NULL) : NULL;
  const char *class = json_string_value(json_object_get(o, "class"));
  clock_gettime(CLOCK_REALTIME, &t);
  tr_store_totals_get(&now);
  const double values[METRICS] = {seconds,
                                  (double)json_integer_value(json_object_get(o, "rows")),
                                  !json_is_true(json_object_get(o, "ok")),
                                  (double)(now.bytes_read - before->bytes_read),
                                  (double)(now.bytes_written - before->bytes_written),
                                  (double)(now.requests - before->requests),
                                  (double)(now.retries - before->retries),
                                  (double)(now.throttled - before->throttled),
                                  (double)(now.failed - before->failed)};
  tr_text_add_format(&out, "{\"_aws\":{\"Timestamp\":%lld,\"CloudWatchMetrics\":[",
                     (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000);
  add_directive(&out, "[\"Deployment\"]", true);
  tr_text_add_char(&out, ',');
  add_directive(&out, "[\"Deployment\",\"Kind\"]", false);
  tr_text_add_str(&out, "]},\"Deployment\":");
  tr_text_add_json(&out, *deployment ? deployment : "unknown");
  tr_text_add_format(&out, ",\"Kind\":\"%s\",\"Worker\":\"%s\",\"Query\":", s->kind, s->name);
  tr_text_add_json(&out, json_string_value(json_object_get(task, "query")));
  if (class) {
    tr_text_add_str(&out, ",\"Class\":");
    tr_text_add_json(&out, class);
  }
  for (int i = 0; i < METRICS; i++) tr_text_add_format(&out, ",\"%s\":%.*f", metrics[i].name, i ? 0 : 6, values[i]);
  tr_text_add_str(&out, "}\n");
  if (tr_text_check(&out, NULL) == TR_OK) fputs(out.data, stdout);
  fflush(stdout);
  tr_text_free(&out);
  json_decref(o);
}
