/* One look at a deployment: who is there, what is on its way, what the decision is, and its orders. See launch.h. */
#include "scheduler/launch/launch_int.h"
#include "scheduler/scale/prices.h"
#include "scheduler/scale/scaling.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  LOOK_MS = 100,
  LOOK_ACTIVE_MS = 1000,
  LOOK_IDLE_MS = 5000,
  WORKERS_PER_MS = 10,
  EC2_UNKNOWN_MAX = 1000,
  WANTED_MS = 120000
};

struct launch_instance *launch_instance_add(struct launch_deployment *d, const char *id, int32_t kind, int64_t since) {
  struct launch_instance *i = tr_name_map_get(&d->instances, id);
  if (i) return i;
  i = calloc(1, sizeof *i);
  if (!i) return NULL;
  snprintf(i->id, sizeof i->id, "%s", id);
  i->kind = kind;
  i->since = since;
  if (tr_name_map_put(&d->instances, i->id, i)) return i;
  free(i);
  return NULL;
}

void launch_instance_drop(struct launch_deployment *d, struct launch_instance *i) {
  tr_name_map_remove(&d->instances, i->id);
  free(i);
}

/* All that waits is given up: the decision is made anew, and knows that this kind fails. */
void launch_kind_failed(struct tr_launch *l, struct launch_deployment *d, struct launch_kind *k, int32_t n,
                        const struct tr_aws_answer *answer, struct tr_clock at) {
  k->waiting = 0;
  l->counters.failed += n;
  if (answer->result == TR_AWS_CANCELLED) return;
  /* Fifty calls that failed together are one failure. */
  if (k->trouble.n && k->trouble.retry_at > at.now && strcmp(k->trouble.code, answer->code) == 0) return;
  launch_trouble_add(&k->trouble, d, k->name, answer->code, answer->text, at);
}

void launch_kind_worked(struct tr_launch *l, struct launch_deployment *d, struct launch_kind *k, int32_t n) {
  l->counters.started += n;
  /* An accepted invocation does not prove that its worker comes. */
  if (strcmp(k->trouble.code, "NeverSeen") != 0) launch_trouble_end(&k->trouble, d, k->name);
}

static void add_kind(struct launch_deployment *d, const char *name, enum tr_scale_launcher launcher, int32_t function) {
  struct launch_kind *k = &d->kinds[d->n_kinds++];
  *k = (struct launch_kind){.launcher = launcher, .function = function};
  snprintf(k->name, sizeof k->name, "%s", name);
}

/* Books for a record that was not known: kinds, and the tasks that an earlier run of the scheduler has started. */
static void begin_books(struct launch_deployment *d, const struct tr_deployment *of, struct tr_state *s,
                        struct tr_clock at) {
  const struct tr_aws_record *r = of->aws;
  size_t i = 0;
  for (struct launch_instance *x; (x = tr_name_map_next(&d->instances, &i));) free(x);
  tr_name_map_free(&d->instances);
  tr_aws_keys_free(&d->session.keys);
  *d = (struct launch_deployment){.version = of->aws_version, .why = "steady"};
  memcpy(d->id, of->id, sizeof d->id);
  for (int f = 0; f < r->n_functions; f++) add_kind(d, r->functions[f].kind, TR_SCALE_LAMBDA, f);
  if (r->ecs.cluster) add_kind(d, "ecs", TR_SCALE_ECS, 0);
  if (r->ec2.group) add_kind(d, "ec2", TR_SCALE_EC2, 0);
  i = 0;
  for (struct tr_worker *w; (w = tr_name_map_next(&of->workers, &i));) w->counted = false;
  struct tr_journal_row *row = tr_journal_read(s->journal, TR_JOURNAL_INSTANCES, "t", d->id);
  while (tr_journal_next(row))
    for (int k = 0; k < d->n_kinds; k++)
      if (strcmp(d->kinds[k].name, tr_row_text(row, 1)) == 0) launch_instance_add(d, tr_row_text(row, 0), k, at.now);
}

static struct launch_deployment *books_of(struct tr_launch *l, const struct tr_deployment *of, struct tr_state *s,
                                          struct tr_clock at) {
  struct launch_deployment *d = tr_name_map_get(&l->deployments, of->id);
  if (!d) {
    if (!(d = calloc(1, sizeof *d))) return NULL;
    memcpy(d->id, of->id, sizeof d->id);
    if (!tr_name_map_put(&l->deployments, d->id, d)) {
      free(d);
      return NULL;
    }
  }
  if (d->version != of->aws_version) begin_books(d, of, s, at);
  return d;
}

static struct launch_kind *kind_of(struct launch_deployment *d, const struct tr_worker *w) {
  for (int k = 0; k < d->n_kinds; k++)
    if (strcmp(d->kinds[k].name, w->kind) == 0) return &d->kinds[k];
  return NULL;
}

/* The oldest call that has not been answered by a worker yet is taken to be this one's. */
static void take_arrival(struct launch_kind *k) {
  for (int b = 0; b < k->n_unseen; b++)
    if (k->unseen[b].n) {
      k->unseen[b].n--;
      return;
    }
}

/* A worker tells its instance; whose it is decides AWS' own list for groups, the cluster's name for tasks. */
static struct launch_instance *instance_of(struct launch_deployment *d, const struct launch_kind *k,
                                           const struct tr_aws_record *r, const struct tr_worker *w, bool fresh,
                                           struct tr_clock at) {
  if (k->launcher == TR_SCALE_LAMBDA || !*w->instance) return NULL;
  struct launch_instance *i = tr_name_map_get(&d->instances, w->instance);
  /* One that is not there any more was ended; its worker is heard of for a while yet. */
  if (!i && fresh && k->launcher == TR_SCALE_ECS && launch_ecs_owns(r, w->instance))
    i = launch_instance_add(d, w->instance, (int32_t)(k - d->kinds), at.now);
  return i && i->kind == k - d->kinds ? i : NULL;
}

static void look_at_worker(struct launch_deployment *d, const struct tr_aws_record *r, struct tr_worker *w,
                           struct tr_clock at) {
  struct launch_kind *k = kind_of(d, w);
  if (!k) return;
  if (!w->counted && k->launcher == TR_SCALE_LAMBDA) {
    take_arrival(k);
    if (strcmp(k->trouble.code, "NeverSeen") == 0) launch_trouble_end(&k->trouble, d, k->name);
  }
  bool fresh = !w->counted;
  w->counted = true;
  if (w->n_leases) w->idle_from = 0;
  else if (!w->idle_from) w->idle_from = at.now;
  k->running += !w->drain;
  k->busy += !w->drain && w->n_leases > 0;
  k->draining += w->drain;
  struct launch_instance *i = instance_of(d, k, r, w, fresh, at);
  if (!i) return;
  if (i->phase == LAUNCH_STARTING) {
    i->phase = LAUNCH_SEEN;
    i->since = at.now;
    if (strcmp(k->trouble.code, "NeverSeen") == 0) launch_trouble_end(&k->trouble, d, k->name);
  }
  i->seen = w->seen;
  i->draining = w->drain;
  /* It knows that it is to end and has nothing left: its instance goes, by name. */
  if (w->drain && w->told && !w->n_leases && i->phase == LAUNCH_SEEN) i->phase = LAUNCH_ENDING;
}

/* Whose worker has gone silent: ended if it was to end, else it counts as starting once more (its worker may be started
 * again by the instance; if not it is ended after a while). */
static void look_at_instance(struct launch_instance *i, struct tr_clock at) {
  if (i->phase != LAUNCH_SEEN) return;
  if (i->draining && i->seen + LAUNCH_LOST_MS <= at.now) i->phase = LAUNCH_ENDING;
  else if (!i->draining && i->seen + LAUNCH_LOST_MS * 3 <= at.now) {
    i->phase = LAUNCH_STARTING;
    i->since = at.now;
  }
}

static void count_starting(struct launch_deployment *d, struct launch_kind *k) {
  int32_t kind = (int32_t)(k - d->kinds), known = 0;
  int64_t oldest = 0;
  size_t at = 0;
  k->starting = k->waiting + k->asking;
  for (int b = 0; b < k->n_unseen; b++) {
    k->starting += k->unseen[b].n;
    if (k->unseen[b].n && (!oldest || k->unseen[b].at < oldest)) oldest = k->unseen[b].at;
  }
  for (const struct launch_instance *i; (i = tr_name_map_next(&d->instances, &at));) {
    if (i->kind != kind) continue;
    known++;
    if (i->phase != LAUNCH_STARTING) continue;
    k->starting++;
    if (!oldest || i->since < oldest) oldest = i->since;
  }
  /* What the group will make that has no name yet. */
  if (k->launcher == TR_SCALE_EC2 && d->group.known && d->group.desired > known)
    k->starting += d->group.desired - known;
  k->starting_since = k->starting ? oldest : 0;
}

static void look(struct launch_deployment *d, const struct tr_deployment *of, struct tr_clock at) {
  size_t i = 0;
  if (d->metrics.wanted && d->metrics.wanted + WANTED_MS < at.now) d->metrics.wanted = 0; /* who asked has gone */
  for (int k = 0; k < d->n_kinds; k++) d->kinds[k].running = d->kinds[k].busy = d->kinds[k].draining = 0;
  for (struct tr_worker *w; (w = tr_name_map_next(&of->workers, &i));) look_at_worker(d, of->aws, w, at);
  i = 0;
  for (struct launch_instance *x; (x = tr_name_map_next(&d->instances, &i));) look_at_instance(x, at);
  for (int k = 0; k < d->n_kinds; k++) count_starting(d, &d->kinds[k]);
}

static double seconds_since(int64_t then, struct tr_clock at) {
  return then ? (double)(at.now - then) / 1000 + 1e-3 : 0;
}

static void fill_kind(const struct launch_deployment *d, const struct launch_kind *k, const struct tr_aws_record *r,
                      struct tr_clock at, struct tr_scale_kind *out) {
  const int64_t mb = 1 << 20;
  int32_t max = r->limits.workers;
  if (k->launcher == TR_SCALE_LAMBDA) tr_price_kind(k->name, 0, r->functions[k->function].memory_mb * mb, false, out);
  else if (k->launcher == TR_SCALE_ECS) tr_price_kind(k->name, r->ecs.cpu / 1024.0, r->ecs.memory_mb * mb, false, out);
  else {
    int32_t room = d->group.known ? d->group.max : EC2_UNKNOWN_MAX;
    tr_price_kind(k->name, r->ec2.cores, r->ec2.memory_mb * mb, r->ec2.spot, out);
    if (room < max) max = room;
  }
  if (k->launcher != TR_SCALE_LAMBDA) out->idle_s = r->limits.idle_s;
  out->max = max;
  out->starting = k->starting;
  out->starting_for_s = seconds_since(k->starting_since, at);
  /* Without a role there is nothing to start with, whatever the kind. */
  const struct launch_trouble *t = k->trouble.n ? &k->trouble : d->session.trouble.n ? &d->session.trouble : NULL;
  if (!t && d->making.trouble.n) t = &d->making.trouble;
  out->failing_for_s = t ? seconds_since(t->since_now, at) : 0;
}

/* A worker that is asked to end: idle ones first, then those with the least to do. */
static struct tr_worker *least_busy(const struct tr_deployment *of, const char *kind) {
  struct tr_worker *best = NULL;
  size_t i = 0;
  for (struct tr_worker *w; (w = tr_name_map_next(&of->workers, &i));)
    if (!w->drain && strcmp(w->kind, kind) == 0 && (!best || w->n_leases < best->n_leases)) best = w;
  return best;
}

static void follow(const struct tr_deployment *of, struct launch_kind *k, const struct tr_scale_order *order,
                   struct tr_clock at) {
  const struct launch_trouble *t = &k->trouble;
  for (int32_t n = order->drain; n > 0; n--) {
    struct tr_worker *w = least_busy(of, k->name);
    if (!w) break;
    w->drain = true;
  }
  if (order->launch <= 0 || t->retry_at > at.now) return;
  /* While it fails one call finds out whether it still does. */
  int32_t probe = k->launcher == TR_SCALE_LAMBDA ? 1 : LAUNCH_TASKS_PER_CALL;
  k->waiting += t->n && order->launch > probe ? probe : order->launch;
}

/* Idle workers: a function or a task ends by itself, unless it is told to stay; instances do not know what is coming,
 * and tasks may have been told something else before. */
static void end_idle(struct launch_deployment *d, const struct tr_deployment *of, const struct tr_scale_orders *orders,
                     struct tr_clock at) {
  size_t i = 0;
  for (struct tr_worker *w; (w = tr_name_map_next(&of->workers, &i));) {
    const struct launch_kind *k = kind_of(d, w);
    if (!k) continue;
    double stay = orders->kinds[k - d->kinds].stay_s;
    w->stay_ms = stay > tr_price_own_idle(k->launcher) ? (int64_t)(1000 * stay) : 0;
    if (k->launcher != TR_SCALE_LAMBDA && w->idle_from && at.now - w->idle_from >= (int64_t)(1000 * stay))
      w->drain = true;
  }
}

static void decide(struct launch_deployment *d, struct tr_deployment *of, struct tr_state *s, struct tr_clock at) {
  const struct tr_aws_record *r = of->aws;
  struct tr_scaling_settings settings = {.max_workers = r->limits.workers,
                                         .usd_per_query = r->limits.usd_per_query,
                                         .usd_per_hour = r->limits.usd_per_hour,
                                         .stop = r->limits.workers == 0,
                                         .n_kinds = d->n_kinds};
  struct tr_scale_orders orders = {.why = "steady"};
  for (int k = 0; k < d->n_kinds; k++) fill_kind(d, &d->kinds[k], r, at, &settings.kinds[k]);
  tr_scaling_view(s, of, &settings, at, &d->view);
  tr_scale_decide(&d->view, &orders);
  d->why = orders.why;
  for (int k = 0; k < d->n_kinds; k++) follow(of, &d->kinds[k], &orders.kinds[k], at);
  end_idle(d, of, &orders, at);
}

/* Whether there is anything that AWS would have to be asked. */
static bool wants_calls(const struct launch_deployment *d) {
  if (d->instances.n || d->metrics.wanted) return true;
  for (int k = 0; k < d->n_kinds; k++) {
    bool unknown = d->kinds[k].launcher == TR_SCALE_EC2 && !d->group.known;
    if (d->kinds[k].waiting || d->kinds[k].n_unseen || d->kinds[k].starting || unknown) return true;
  }
  return d->making.step >= 0;
}

static void step(struct tr_launch *l, struct launch_deployment *d, const struct tr_deployment *of, struct tr_clock at) {
  static void (*const steps[])(struct tr_launch *, struct launch_deployment *, struct launch_kind *,
                               const struct tr_aws_record *, struct tr_clock) = {
      [TR_SCALE_LAMBDA] = launch_lambda_step, [TR_SCALE_ECS] = launch_ecs_step, [TR_SCALE_EC2] = launch_ec2_step};
  if (!wants_calls(d)) return;
  if (!launch_session_ready(l, d, of, at)) {
    /* Nothing is kept for later: by then the decision may be another one. */
    for (int k = 0; d->session.trouble.n && k < d->n_kinds; k++) d->kinds[k].waiting = 0;
    return;
  }
  if (!launch_managed_step(l, d, of->aws, at)) return;
  for (int k = 0; k < d->n_kinds; k++) {
    if (!d->session.keys.access_key) return; /* an answer of this very turn said that they are no good */
    steps[d->kinds[k].launcher](l, d, &d->kinds[k], of->aws, at);
  }
  launch_metrics_step(l, d, of, at);
}

/* Books of deployments that are gone, or not on AWS any more. */
static void drop_dead(struct tr_launch *l) {
  for (bool again = true; again;) {
    size_t i = 0, k = 0;
    again = false;
    for (struct launch_deployment *d; !again && (d = tr_name_map_next(&l->deployments, &i));) {
      if (d->alive) continue;
      for (struct launch_instance *x; (x = tr_name_map_next(&d->instances, &k));) free(x);
      tr_name_map_free(&d->instances);
      tr_aws_keys_free(&d->session.keys);
      tr_name_map_remove(&l->deployments, d->id);
      free(d);
      again = true;
    }
  }
}

int64_t tr_launch_plan(struct tr_launch *l, struct tr_state *s, struct tr_clock at) {
  size_t i = 0, workers = 0;
  bool active = false, any = false;
  if (l->planned && at.now < l->planned + l->looked_ms) return l->planned + l->looked_ms;
  for (struct launch_deployment *d; (d = tr_name_map_next(&l->deployments, &i));) d->alive = false;
  i = 0;
  for (struct tr_deployment *of; (of = tr_name_map_next(&s->deployments, &i));) {
    struct launch_deployment *d = of->aws ? books_of(l, of, s, at) : NULL;
    if (!d) continue;
    any = d->alive = true;
    workers += of->workers.n;
    look(d, of, at);
    decide(d, of, s, at);
    step(l, d, of, at);
    active |= of->n_left || of->workers.n || d->instances.n || d->session.asking;
    for (int k = 0; k < d->n_kinds; k++) active |= d->kinds[k].starting > 0;
  }
  drop_dead(l);
  l->planned = at.now;
  l->looked_ms = LOOK_MS + (int64_t)(workers / WORKERS_PER_MS);
  return at.now + (active ? LOOK_ACTIVE_MS : any ? LOOK_IDLE_MS : 60000);
}
