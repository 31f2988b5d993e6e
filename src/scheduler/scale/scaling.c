/* See scaling.h. */
#include "scheduler/scale/scaling.h"
#include "scheduler/scale/spend.h"
#include <string.h>

static const double first_row_s = 1e-6; /* of a row, when nothing is known */
static const double task_s = 0.02;      /* of a task, whatever its rows: a few requests */

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

static double left_of(const struct tr_query_stage *stage) {
  int32_t left = stage->spec->n_tasks - stage->n_done;
  if (!left) return 0;
  if (stage->n_done && stage->rows_read > 0 && stage->rows_in > (double)stage->rows_read)
    return stage->core_seconds / (double)stage->rows_read * (stage->rows_in - (double)stage->rows_read);
  if (stage->n_done) return stage->core_seconds / stage->n_done * left;
  double row = stage->query->deployment->row_seconds;
  return stage->rows_in * (row > 0 ? row : first_row_s) + task_s * left;
}

double tr_scaling_left(struct tr_query *q) {
  double left = 0;
  for (int i = 0; i < q->spec.n_stages; i++) {
    estimate_rows(&q->stages[i]);
    left += left_of(&q->stages[i]);
  }
  /* What runs is partly done; how far is not known, so not all of it is believed. */
  double flying = q->flight_core_seconds < 0.9 * left ? q->flight_core_seconds : 0.9 * left;
  return left - flying;
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
                                 .tasks_open = clamped(d->n_ready + d->n_leased),
                                 .tasks_long = clamped(d->n_long),
                                 .target_s = settings->target_s,
                                 .max_workers = settings->max_workers,
                                 .usd_this_hour = tr_spend_hour(d, at),
                                 .usd_per_hour_max = settings->usd_per_hour,
                                 .usd_left_queries = settings->usd_per_query > 0 ? 0 : -1,
                                 .stop = settings->stop,
                                 .n_kinds = settings->n_kinds};
  if (view->target_s <= 0) view->target_s = (double)s->options.target_ms / 1000;
  memcpy(view->kinds, settings->kinds, sizeof view->kinds);
  for (int k = 0; k < view->n_kinds; k++) view->kinds[k].running = view->kinds[k].busy = view->kinds[k].draining = 0;
  count_workers(d, view);
  for (struct tr_query *q = d->first; q; q = q->next) {
    view->core_seconds_left += tr_scaling_left(q);
    double left = settings->usd_per_query - q->usd - q->usd_flight;
    if (settings->usd_per_query > 0 && left > 0) view->usd_left_queries += left;
  }
}
