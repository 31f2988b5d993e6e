/* CloudWatch read back: what functions report of themselves, and what workers wrote as metrics into their logs. Asked
 * for once a minute while there is work or somebody looks at the health, never otherwise: a question costs money. */
#include "net/xml.h"
#include "scheduler/launch/launch_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { EVERY_MS = 60000, SPAN_SECONDS = 300 };

static void add_metric(struct launch_metrics *m, const char *kind, const char *name) {
  struct launch_metric *x = &m->list[m->n++];
  *x = (struct launch_metric){0};
  snprintf(x->name, sizeof x->name, "%s", name);
  snprintf(x->kind, sizeof x->kind, "%s", kind);
}

static void add_query(struct tr_text *to, int no, const char *space, const char *metric, const char *dimension,
                      const char *value, const char *how) {
  static const char stat[] = "MetricDataQueries.member.%d.MetricStat.%s";
  const struct {
    const char *field, *value;
  } all[] = {{"Metric.Namespace", space},
             {"Metric.MetricName", metric},
             {"Stat", how},
             {"Period", "300"},
             {"Metric.Dimensions.member.1.Name", dimension},
             {"Metric.Dimensions.member.1.Value", value}};
  char name[120], id[12];
  snprintf(name, sizeof name, "MetricDataQueries.member.%d.Id", no);
  snprintf(id, sizeof id, "m%d", no);
  tr_aws_query_add(to, name, id);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    snprintf(name, sizeof name, stat, no, all[i].field);
    tr_aws_query_add(to, name, all[i].value);
  }
}

static void add_time(struct tr_text *to, const char *name, int64_t seconds) {
  char text[32];
  time_t t = (time_t)seconds;
  struct tm utc;
  gmtime_r(&t, &utc);
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  tr_aws_query_add(to, name, text);
}

struct reading {
  struct launch_metrics *m;
  int32_t id;
  double sum;
  bool any;
};

static enum tr_status take_element(void *arg, const char *parent, const char *name, const char *text,
                                   struct tr_error *err) {
  struct reading *r = arg;
  (void)err;
  if (strcmp(parent, "Values") == 0) {
    r->sum += strtod(text, NULL);
    r->any = true;
  } else if (strcmp(name, "Id") == 0 && *text == 'm') {
    r->id = (int32_t)strtol(text + 1, NULL, 10);
  } else if (strcmp(parent, "MetricDataResults") == 0) {
    if (r->id >= 1 && r->id <= r->m->n) {
      r->m->list[r->id - 1].value = r->sum;
      r->m->list[r->id - 1].told = r->any;
    }
    *r = (struct reading){.m = r->m};
  }
  return TR_OK;
}

static void apply_data(struct tr_launch *l, struct launch_deployment *d, struct launch_call *c, struct tr_state *s,
                       struct tr_clock at) {
  struct launch_metrics *m = &d->metrics;
  struct reading r = {.m = m};
  (void)l, (void)s;
  m->asking = false;
  launch_note_answer(d, &c->answer);
  if (c->answer.result != TR_AWS_OK) {
    launch_trouble_add(&m->trouble, d, "metrics", c->answer.code, c->answer.text, at);
    return;
  }
  for (int i = 0; i < m->n; i++) m->list[i].told = false;
  if (tr_xml_walk(c->answer.body, c->answer.bytes, take_element, &r, NULL) != TR_OK) {
    launch_trouble_add(&m->trouble, d, "metrics", "BadReply", "monitoring GetMetricData: the reply is no XML", at);
    return;
  }
  launch_trouble_end(&m->trouble, d, "metrics");
  m->known = true;
  m->at = at.wall;
}

static void ask(struct tr_launch *l, struct launch_deployment *d, const struct tr_aws_record *r, struct tr_clock at) {
  static const char *const of_functions[][2] = {
      {"Invocations", "Sum"}, {"Errors", "Sum"}, {"Throttles", "Sum"}, {"ConcurrentExecutions", "Maximum"}};
  static const char *const of_workers[] = {"TaskSeconds",   "TaskRows",     "TaskFailures",
                                           "StoreRequests", "StoreRetries", "StoreThrottled"};
  struct launch_metrics *m = &d->metrics;
  struct tr_text body = {0};
  struct launch_call *c = launch_call_new(l, d, apply_data);
  if (!c) return;
  int64_t now = at.wall / 1000 + tr_aws_client_skew(l->aws);
  m->n = 0;
  tr_aws_query_begin(&body, "GetMetricData", "2010-08-01");
  add_time(&body, "StartTime", now - SPAN_SECONDS);
  add_time(&body, "EndTime", now);
  for (int f = 0; f < r->n_functions; f++)
    for (size_t i = 0; i < sizeof of_functions / sizeof *of_functions; i++) {
      add_metric(m, r->functions[f].kind, of_functions[i][0]);
      add_query(&body, m->n, "AWS/Lambda", of_functions[i][0], "FunctionName", r->functions[f].name,
                of_functions[i][1]);
    }
  for (size_t i = 0; i < sizeof of_workers / sizeof *of_workers; i++) {
    add_metric(m, "", of_workers[i]);
    add_query(&body, m->n, r->metrics_namespace, of_workers[i], "Deployment", d->id, "Sum");
  }
  m->asking = true;
  m->asked = at.now;
  m->wanted = 0;
  launch_call_query(c, d, r, "monitoring", "GetMetricData", &body);
}

void launch_metrics_step(struct tr_launch *l, struct launch_deployment *d, const struct tr_deployment *of,
                         struct tr_clock at) {
  struct launch_metrics *m = &d->metrics;
  bool due = !m->asked || m->asked + EVERY_MS <= at.now;
  if (m->wanted && !due) m->wanted = 0; /* what is there is young enough */
  if ((of->n_left || m->wanted) && due && !m->asking && m->trouble.retry_at <= at.now) ask(l, d, of->aws, at);
}
