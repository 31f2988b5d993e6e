/* The health of a deployment, from the books alone: whoever asks gets what is known, at once. */
#include "base/json_text.h"
#include "scheduler/launch/launch_int.h"
#include <string.h>

static void print_trouble(const struct launch_trouble *t, struct tr_text *out) {
  if (!t->n) {
    tr_text_add_str(out, "null");
    return;
  }
  tr_text_add_str(out, "{\"code\":");
  tr_text_add_json(out, t->code);
  tr_text_add_str(out, ",\"message\":");
  tr_text_add_json(out, t->text);
  tr_text_add_format(out, ",\"since\":%lld,\"last\":%lld,\"in_a_row\":%d}", (long long)t->since, (long long)t->last,
                     t->n);
}

static const char *launcher_name(enum tr_scale_launcher launcher) {
  static const char *const names[] = {
      [TR_SCALE_LAMBDA] = "aws-lambda", [TR_SCALE_ECS] = "aws-ecs", [TR_SCALE_EC2] = "aws-ec2"};
  return names[launcher];
}

static void print_kinds(const struct launch_deployment *d, struct tr_clock at, struct tr_text *out) {
  tr_text_add_str(out, ",\"launchers\":[");
  for (int i = 0; d && i < d->n_kinds; i++) {
    const struct launch_kind *k = &d->kinds[i];
    double since = k->starting_since ? (double)(at.now - k->starting_since) / 1000 : 0;
    tr_text_add_format(out,
                       "%s{\"kind\":\"%s\",\"launcher\":\"%s\",\"running\":%d,\"busy\":%d,\"draining\":%d,"
                       "\"starting\":%d,\"starting_for_s\":%.1f,\"error\":",
                       i ? "," : "", k->name, launcher_name(k->launcher), k->running, k->busy, k->draining, k->starting,
                       since);
    print_trouble(&k->trouble, out);
    tr_text_add_char(out, '}');
  }
  tr_text_add_char(out, ']');
}

/* Of all kinds, those that AWS has not started too. */
static void print_workers(const struct tr_deployment *of, struct tr_text *out) {
  const char *comma = "";
  size_t i = 0;
  tr_text_add_str(out, ",\"workers\":{");
  for (const struct tr_worker *w; (w = tr_name_map_next(&of->workers, &i));) {
    size_t k = 0, n = 0;
    const struct tr_worker *first = NULL;
    for (const struct tr_worker *x; (x = tr_name_map_next(&of->workers, &k));) {
      if (strcmp(x->kind, w->kind) != 0) continue;
      if (!first) first = x;
      if (first != w) break;
      n++;
    }
    if (first != w) continue;
    tr_text_add_format(out, "%s\"%s\":%zu", comma, w->kind, n);
    comma = ",";
  }
  tr_text_add_char(out, '}');
}

static void print_metrics(const struct launch_metrics *m, struct tr_text *out) {
  const char *state = m->trouble.n ? "failing" : m->known ? "known" : "unknown", *comma = "";
  tr_text_add_format(out, ",\"metrics\":{\"state\":\"%s\",\"at\":%lld,\"span_s\":300,\"values\":[", state,
                     (long long)m->at);
  for (int i = 0; m->known && i < m->n; i++) {
    const struct launch_metric *x = &m->list[i];
    if (!x->told) continue;
    tr_text_add_format(out, "%s{\"name\":\"%s\",\"kind\":\"%s\",\"value\":%.6g}", comma, x->name, x->kind, x->value);
    comma = ",";
  }
  tr_text_add_str(out, "],\"error\":");
  print_trouble(&m->trouble, out);
  tr_text_add_char(out, '}');
}

static void print_spend(const struct launch_deployment *d, const struct tr_aws_record *r, struct tr_text *out) {
  double rate = 0;
  for (int k = 0; k < d->view.n_kinds; k++)
    rate += d->view.kinds[k].usd_per_hour * (d->view.kinds[k].running + d->view.kinds[k].draining);
  tr_text_add_format(out,
                     ",\"spend\":{\"usd_last_hour\":%.6f,\"usd_per_hour_now\":%.6f,\"usd_per_hour_cap\":%.6f,"
                     "\"usd_per_query_cap\":%.6f,\"estimated\":true}",
                     d->view.usd_this_hour, rate, r->limits.usd_per_hour, r->limits.usd_per_query);
}

/* "ok", "starting" while nothing is known of the role, "degraded" when some kind cannot be started, "failing" when none
 * can. */
static const char *status_of(const struct launch_deployment *d) {
  int bad = 0;
  if (d->session.trouble.n || d->making.trouble.n) return "failing";
  for (int k = 0; k < d->n_kinds; k++) bad += d->kinds[k].trouble.n > 0;
  if (bad) return bad == d->n_kinds ? "failing" : "degraded";
  return d->session.keys.access_key || d->session.until ? "ok" : "starting";
}

void tr_launch_print_health(struct tr_launch *l, const struct tr_state *s, const struct tr_deployment *of,
                            struct tr_clock at, struct tr_text *out) {
  struct launch_deployment *d = l && of->aws ? tr_name_map_get(&l->deployments, of->id) : NULL;
  static const struct launch_metrics no_metrics;
  (void)s;
  if (d && d->version != of->aws_version) d = NULL;
  if (d) d->metrics.wanted = at.now;
  tr_text_add_format(out, "{\"deployment\":\"%s\",\"name\":\"%s\",\"status\":\"%s\",\"decision\":\"%s\"", of->id,
                     of->name, !of->aws ? "no_aws" : d ? status_of(d) : "starting", d ? d->why : "steady");
  if (of->aws) {
    tr_text_add_str(out, ",\"role\":{\"arn\":");
    tr_text_add_json(out, of->aws->role_arn);
    tr_text_add_format(out, ",\"access\":\"%s\",\"error\":", of->aws->managed ? "managed" : "minimal");
    print_trouble(d ? &d->session.trouble : &no_metrics.trouble, out);
    tr_text_add_char(out, '}');
  }
  if (d && of->aws->name) {
    tr_text_add_format(out, ",\"managed\":{\"state\":\"%s\",\"error\":",
                       d->making.trouble.n     ? "failing"
                       : d->making.step >= 0 ? "making"
                                             : "made");
    print_trouble(&d->making.trouble, out);
    tr_text_add_char(out, '}');
  }
  print_kinds(d, at, out);
  print_workers(of, out);
  if (d) print_spend(d, of->aws, out);
  print_metrics(d ? &d->metrics : &no_metrics, out);
  tr_text_add_char(out, '}');
}
