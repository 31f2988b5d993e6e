/* See scaling.h. */
#include "scheduler/scale/scaling.h"
#include "scheduler/scale/spend.h"
#include <string.h>

static const double first_row_s = 1e-6; /* of a row, when nothing is known */
static const double task_s = 0.02;      /* of a task, whatever its rows: a few requests */
static const double most_pace = 8;      /* either way; anything beyond is chance */

int64_t tr_scaling_rows_of(const struct tr_query_stage *stage, int32_t task) {
  const struct tr_spec_stage *spec = stage->spec;
  int64_t rows = spec->source_rows / spec->n_tasks;
  for (int i = 0; i < spec->n_inputs; i++) {
    const struct tr_spec_input *in = &spec->inputs[i];
    if (in->stage < 0) continue;
    const struct tr_query_stage *from = &stage->query->stages[in->stage];
    if (in->mode == TR_INPUT_SHUFFLE) rows += from->part_rows[task];
    else if (in->mode == TR_INPUT_SAME) rows += from->tasks[task].rows;
    else if (in->mode == TR_INPUT_ROWS) rows += from->rows / spec->n_tasks;
    else rows += from->rows;
  }
  return rows;
}

/* Rows that the whole stage reads and writes: producers were looked at before. */
static void estimate_rows(struct tr_query_stage *stage) {
  const struct tr_spec_stage *spec = stage->spec;
  stage->rows_in = (double)spec->source_rows;
  for (int i = 0; i < spec->n_inputs; i++) {
    const struct tr_spec_input *in = &spec->inputs[i];
    if (in->stage < 0) continue;
    double rows = stage->query->stages[in->stage].rows_out;
    stage->rows_in += in->mode == TR_INPUT_BROADCAST ? rows * spec->n_tasks : rows;
  }
  /* A stage that has written nothing yet is taken to keep its rows. */
  stage->rows_out = stage->n_done ? (double)stage->rows * spec->n_tasks / stage->n_done : stage->rows_in;
}

double tr_scaling_pace(const struct tr_deployment *d, int slot) {
  return d->pace[slot] > 0 ? d->pace[slot] : tr_price_pace(slot);
}

void tr_scaling_count(const struct tr_task *t, int sign) {
  struct tr_measure *by = &t->stage->by[t->slot];
  by->rows += sign * tr_scaling_rows_of(t->stage, (int32_t)(t - t->stage->tasks));
  by->core_seconds += sign * t->core_seconds;
}

/* What the stage's done tasks took in core-seconds of the reference, and the rows they read; without one kind. */
static struct tr_measure measured(const struct tr_query_stage *stage, int without) {
  struct tr_measure all = {0};
  for (int k = 0; k < TR_PRICE_SLOTS; k++) {
    if (k == without) continue;
    all.core_seconds += stage->by[k].core_seconds / tr_scaling_pace(stage->query->deployment, k);
    all.rows += stage->by[k].rows;
  }
  return all;
}

/* Where two kinds have done tasks of the same stage: how they compare. The kind with less to show decides how much that
 * is worth, for the first to be done are the short ones. */
static void compare(struct tr_deployment *d, const struct tr_query_stage *stage, int slot) {
  const struct tr_measure *own = &stage->by[slot];
  struct tr_measure others = measured(stage, slot);
  if (own->rows <= 0 || others.rows <= 0 || own->core_seconds <= 0 || others.core_seconds <= 0) return;
  double weight = tr_scale_pace_step * (double)others.rows / (double)(others.rows + own->rows),
         before = tr_scaling_pace(d, slot);
  double pace = own->core_seconds / (double)own->rows / (others.core_seconds / (double)others.rows);
  if (pace > most_pace) pace = most_pace;
  if (pace < 1 / most_pace) pace = 1 / most_pace;
  d->pace[slot] = before + (pace - before) * weight;
}

void tr_scaling_learn(const struct tr_task *t) {
  struct tr_query_stage *stage = t->stage;
  struct tr_deployment *d = stage->query->deployment;
  int64_t rows = tr_scaling_rows_of(stage, (int32_t)(t - stage->tasks));
  if (stage->n_done == 1) stage->expected_row = d->row_seconds;
  tr_scaling_count(t, 1);
  if (d->reference < 0) d->reference = (int8_t)t->slot;
  if (d->reference != t->slot) compare(d, stage, t->slot);
  if (rows <= 0) return;
  double row = t->core_seconds / tr_scaling_pace(d, t->slot) / (double)rows;
  d->row_seconds = d->row_seconds > 0 ? 0.95 * d->row_seconds + 0.05 * row : row;
}

static double left_of(const struct tr_query_stage *stage) {
  int32_t left = stage->spec->n_tasks - stage->n_done;
  if (!left) return 0;
  double row = stage->query->deployment->row_seconds;
  if (!stage->n_done) return stage->rows_in * (row > 0 ? row : first_row_s) + task_s * left;
  struct tr_measure done = measured(stage, -1);
  double rows_left = stage->rows_in - (double)done.rows;
  if (done.rows <= 0 || rows_left <= 0) return done.core_seconds / stage->n_done * left;
  double weight = stage->expected_row > 0 ? tr_scale_known_share * stage->rows_in : 0;
  return (done.core_seconds + stage->expected_row * weight) / ((double)done.rows + weight) * rows_left;
}

/* Adds the work of a query to the view; of open stages also to `open`. */
static void add_work(struct tr_query *q, struct tr_scale_view *view, double *open, int64_t *open_tasks) {
  double left = 0;
  for (int i = 0; i < q->spec.n_stages; i++) {
    struct tr_query_stage *stage = &q->stages[i];
    estimate_rows(stage);
    double of = left_of(stage);
    left += of;
    if (stage->waiting) view->core_seconds_later += of;
    else *open += of, *open_tasks += stage->spec->n_tasks - stage->n_done;
  }
  /* What runs is partly done; how far is not known, so not all of it is believed. */
  double flying = q->flight_core_seconds < 0.9 * left ? q->flight_core_seconds : 0.9 * left;
  view->core_seconds_left += left - flying;
}

double tr_scaling_left(struct tr_query *q) {
  struct tr_scale_view view = {0};
  double open = 0;
  int64_t tasks = 0;
  add_work(q, &view, &open, &tasks);
  return view.core_seconds_left;
}

static void count_workers(const struct tr_deployment *d, struct tr_scale_view *view) {
  size_t i = 0;
  for (const struct tr_worker *w; (w = tr_name_map_next(&d->workers, &i));)
    for (int k = 0; k < view->n_kinds; k++) {
      struct tr_scale_kind *kind = &view->kinds[k];
      if (strcmp(kind->name, w->kind) != 0) continue;
      if (w->drain) kind->draining++;
      else kind->running++;
      if (!w->drain && w->n_leases) kind->busy++;
      break;
    }
}

static int32_t clamped(int64_t n) { return n < 0 ? 0 : n > INT32_MAX ? INT32_MAX : (int32_t)n; }

void tr_scaling_view(const struct tr_state *s, struct tr_deployment *d, const struct tr_scaling_settings *settings,
                     struct tr_clock at, struct tr_scale_view *view) {
  *view = (struct tr_scale_view){.tasks_left = clamped(d->n_left),
                                 .tasks_open = clamped(d->n_ready + d->n_large + d->n_leased),
                                 .tasks_large = clamped(d->n_large),
                                 .target_s = settings->target_s,
                                 .max_workers = settings->max_workers,
                                 .usd_this_hour = tr_spend_hour(d, at),
                                 .usd_per_hour_max = settings->usd_per_hour,
                                 .usd_left_queries = settings->usd_per_query > 0 ? 0 : -1,
                                 .stop = settings->stop,
                                 .n_kinds = settings->n_kinds};
  if (view->target_s <= 0) view->target_s = (double)s->options.target_ms / 1000;
  memcpy(view->kinds, settings->kinds, sizeof view->kinds);
  for (int k = 0; k < view->n_kinds; k++) {
    view->kinds[k].running = view->kinds[k].busy = view->kinds[k].draining = 0;
    view->kinds[k].pace = tr_scaling_pace(d, tr_price_slot(view->kinds[k].name));
  }
  count_workers(d, view);
  for (const struct tr_task *t = d->large; t; t = t->next) {
    if (t->memory > view->task_memory / TR_MEMORY_OF_BUDGET) view->task_memory = t->memory * TR_MEMORY_OF_BUDGET;
    if (t->outlasts) view->tasks_long++;
  }
  double open = 0;
  int64_t open_tasks = 0;
  for (struct tr_query *q = d->first; q; q = q->next) {
    add_work(q, view, &open, &open_tasks);
    double left = settings->usd_per_query - q->usd - q->usd_flight;
    if (settings->usd_per_query > 0 && left > 0) view->usd_left_queries += left;
  }
  if (open_tasks) view->task_core_seconds = open / (double)open_tasks;
}
