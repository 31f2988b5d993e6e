/* See spend.h. */
#include "scheduler/scale/spend.h"
#include "scheduler/scale/prices.h"
#include "scheduler/scale/scaling.h"
#include <stdio.h>
#include <string.h>

enum { TICK_MS = 1000, LONGEST_MS = 10000, MINUTE_MS = 60000 };

double tr_spend_rate(const struct tr_worker *w) { return w ? w->usd_per_hour / 3600 : 0; }

static int64_t minute_of(struct tr_clock at) { return at.wall / MINUTE_MS; }

/* One PUT for the object, one for the commit, and a GET for what each input needs. */
static void count_requests(const struct tr_task *t, int64_t *gets, int64_t *puts) {
  const struct tr_query_stage *stage = t->stage;
  int64_t task = t - stage->tasks;
  *puts = 2;
  *gets = 0;
  if (stage->spec->first_piece) *gets += stage->spec->first_piece[task + 1] - stage->spec->first_piece[task];
  for (int i = 0; i < stage->spec->n_inputs; i++) {
    const struct tr_spec_input *in = &stage->spec->inputs[i];
    if (in->stage < 0 || in->mode == TR_INPUT_SAME) *gets += 1;
    else *gets += stage->query->spec.stages[in->stage].n_tasks + 1; /* and the index of the segments */
  }
}

void tr_spend_task(struct tr_state *s, struct tr_task *t, const struct tr_worker *w, double seconds, bool ran) {
  struct tr_query *q = t->stage->query;
  double usd = seconds * tr_spend_rate(w);
  if (usd <= 0) return;
  if (ran) {
    int64_t gets, puts;
    count_requests(t, &gets, &puts);
    q->gets += gets;
    q->puts += puts;
    usd += (double)gets * tr_prices.s3_get + (double)puts * tr_prices.s3_put;
  }
  t->usd += usd;
  q->usd += usd;
  q->deployment->used.usd += usd;
  s->counters.usd += usd;
}

void tr_spend_reload(const struct tr_task *t) {
  struct tr_query *q = t->stage->query;
  int64_t gets, puts;
  q->usd += t->usd;
  if (t->usd <= 0 || t->state != TR_TASK_DONE) return;
  count_requests(t, &gets, &puts);
  q->gets += gets;
  q->puts += puts;
}

double tr_spend_flight_seconds(const struct tr_task *t, struct tr_clock at) {
  /* A worker runs one task at a time and holds others ready. */
  return t->worker ? (double)(at.now - t->since) / 1000 / (t->worker->n_leases > 1 ? t->worker->n_leases : 1) : 0;
}

static void put_minute(struct tr_state *s, const struct tr_deployment *d) {
  const struct tr_spend *m = &d->spend;
  if (m->now > 0) tr_journal_write(s->journal, TR_JOURNAL_PUT_SPEND, "tid", d->id, m->minute, m->now);
}

/* Minutes that passed unseen were free. A clock that was set back goes on in the latest minute. */
static void go_to(struct tr_spend *m, int64_t minute) {
  for (int64_t i = m->minute + 1; i <= minute && i <= m->minute + TR_SPEND_MINUTES; i++)
    m->minutes[i % TR_SPEND_MINUTES] = 0;
  m->minute = minute;
  m->now = 0;
}

static void add(struct tr_state *s, struct tr_deployment *d, double usd, int64_t minute) {
  struct tr_spend *m = &d->spend;
  if (minute > m->minute) {
    put_minute(s, d);
    go_to(m, minute);
  }
  m->now += usd;
  m->minutes[minute % TR_SPEND_MINUTES] += usd;
}

double tr_spend_hour(const struct tr_deployment *d, struct tr_clock at) {
  const struct tr_spend *m = &d->spend;
  double usd = 0;
  for (int64_t i = 0; i < TR_SPEND_MINUTES; i++) {
    int64_t minute = m->minute - i;
    if (minute > minute_of(at) - TR_SPEND_MINUTES && minute >= 0) usd += m->minutes[minute % TR_SPEND_MINUTES];
  }
  return usd;
}

static void add_workers(struct tr_state *s, struct tr_deployment *d, double seconds, struct tr_clock at) {
  double usd = 0;
  size_t i = 0;
  for (struct tr_worker *w; (w = tr_name_map_next(&d->workers, &i));) {
    double rate = tr_spend_rate(w);
    usd += rate * seconds;
    if (!w->start_paid) usd += rate * w->start_s;
    w->start_paid = true;
  }
  if (usd > 0 || d->spend.now > 0) add(s, d, usd, minute_of(at));
}

/* The query may be freed by this. */
static void check_cap(struct tr_state *s, struct tr_query *q, struct tr_clock at) {
  double cap = q->deployment->usd_per_query;
  char text[200];
  if (cap <= 0 || q->usd + q->usd_flight <= cap) return;
  snprintf(text, sizeof text, "the query has cost about $%.4g, the cap of its deployment is $%.4g a query",
           q->usd + q->usd_flight, cap);
  struct tr_query_error error = {"SpendCapError", NULL, text, -1, -1};
  tr_query_fail(s, q, &error, at);
}

static void look(struct tr_state *s, struct tr_clock at) {
  double seconds = (double)(at.now - s->spent_at) / 1000;
  size_t i = 0;
  /* The clock may have jumped, or the machine slept. */
  if (seconds < 0 || seconds > LONGEST_MS / 1000.0) seconds = 0;
  s->spent_at = at.now;
  for (struct tr_deployment *d; (d = tr_name_map_next(&s->deployments, &i));) {
    add_workers(s, d, seconds, at);
    for (struct tr_query *q = d->first; q; q = q->next) q->usd_flight = q->flight_core_seconds = 0;
  }
  for (const struct tr_task *t = s->leased_first; t; t = t->next) {
    struct tr_query *q = t->stage->query;
    double running = tr_spend_flight_seconds(t, at);
    q->usd_flight += running * tr_spend_rate(t->worker) + tr_copy_seconds(t, at) * tr_spend_rate(t->copy);
    if (t->worker)
      q->flight_core_seconds += running * t->worker->cores / tr_scaling_pace(q->deployment, t->worker->slot);
  }
  i = 0;
  for (struct tr_deployment *d; (d = tr_name_map_next(&s->deployments, &i));)
    for (struct tr_query *q = d->first, *next; q; q = next) {
      next = q->next;
      check_cap(s, q, at);
    }
}

int64_t tr_spend_tick(struct tr_state *s, struct tr_clock at) {
  if (at.now >= s->spent_at + TICK_MS || at.now < s->spent_at) look(s, at);
  return s->spent_at + TICK_MS;
}

enum tr_status tr_spend_load(struct tr_state *s, struct tr_clock at, struct tr_error *err) {
  struct tr_journal_row *row = tr_journal_read(s->journal, TR_JOURNAL_SPEND, "i", minute_of(at) - TR_SPEND_MINUTES);
  while (tr_journal_next(row)) {
    struct tr_deployment *d = tr_name_map_get(&s->deployments, tr_row_text(row, 0));
    if (!d) continue;
    go_to(&d->spend, tr_row_int(row, 1));
    d->spend.minutes[tr_row_int(row, 1) % TR_SPEND_MINUTES] = tr_row_double(row, 2);
  }
  s->spent_at = at.now;
  return tr_journal_check(s->journal, err);
}
