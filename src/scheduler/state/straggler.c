/* Stragglers: a task that takes far longer than the others of its stage is given to a second, idle worker. Whoever
 * commits first wins, which the bucket decides; the other is told to stop. The second lease is kept with its worker:
 * should the first be lost or fail, it takes its place. */
#include "scheduler/scale/spend.h"
#include "scheduler/state/state.h"

enum { TICK_MS = 1000, PATIENCE_MS = 2000, MOST_COPIES = 2 };
static const double slow = 1.5; /* so many times as long as the mean of the stage, and PATIENCE_MS */

/* A stage that is nearly done; tasks that replace a lost object, or that few workers can run, are left alone. */
static bool is_straggler(const struct tr_task *t, struct tr_clock at) {
  const struct tr_query_stage *stage = t->stage;
  if (t->slow || t->copy || t->copies >= MOST_COPIES || t->memory || t->lost_attempt) return false;
  if (4 * (int64_t)stage->n_done < 3 * (int64_t)stage->spec->n_tasks) return false;
  return (double)(at.now - t->since) > slow * 1000 * stage->seconds / stage->n_done + PATIENCE_MS;
}

static void charge(struct tr_state *s, struct tr_task *t, struct tr_clock at) {
  tr_spend_task(s, t, t->copy, tr_copy_seconds(t, at), false);
}

double tr_copy_seconds(const struct tr_task *t, struct tr_clock at) {
  const struct tr_worker *w = t->copy;
  return w ? (double)(at.now - w->copy_since) / 1000 / (w->n_leases > 1 ? w->n_leases : 1) : 0;
}

bool tr_copy_is(const struct tr_task *t, int64_t attempt) { return t->copy && t->copy->copy_attempt == attempt; }

void tr_copy_give(struct tr_task *t, struct tr_worker *w, int64_t attempt, int64_t until, struct tr_clock at) {
  t->copies++;
  t->copy = w;
  w->copy_of = t;
  w->copy_attempt = attempt;
  w->copy_since = at.now;
  w->copy_until = until;
  w->n_leases++;
  tr_copy_calm(t);
}

void tr_copy_calm(struct tr_task *t) {
  if (t->slow) t->stage->query->deployment->n_slow--;
  t->slow = false;
}

void tr_copy_drop(struct tr_task *t) {
  struct tr_worker *w = t->copy;
  if (!w) return;
  w->n_leases--;
  w->copy_of = NULL;
  t->copy = NULL;
}

void tr_copy_tick(struct tr_state *s, struct tr_clock at) {
  size_t i = 0;
  if (at.now < s->copied_at + TICK_MS && at.now >= s->copied_at) return;
  s->copied_at = at.now;
  for (struct tr_deployment *d; (d = tr_name_map_next(&s->deployments, &i));) {
    size_t k = 0;
    for (struct tr_worker *w; (w = tr_name_map_next(&d->workers, &k));)
      if (w->copy_of && w->copy_until <= at.now) {
        charge(s, w->copy_of, at);
        tr_copy_drop(w->copy_of);
      }
  }
  for (struct tr_task *t = s->leased_first; t; t = t->next)
    if (is_straggler(t, at)) {
      t->slow = true;
      t->stage->query->deployment->n_slow++;
    }
}
