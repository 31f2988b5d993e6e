/* From the scheduler's state to the view that scale/scale.h decides on.
 *
 * Work left is counted in core-seconds: per stage, what a row took in those of its tasks that are done, times the rows
 * that are left. Before any is done a row is taken to cost what rows of this deployment's tasks cost lately, or a
 * microsecond: a core that reads 100-byte rows from S3 at 75 MB/s needs 1.3. Rows of stages whose inputs are not there
 * yet are extrapolated from what their producers have written so far.
 *
 * Kinds of workers differ by what a core gets done: instances have less network for each. So what tasks of one stage
 * took is kept by kind, and compared; the pace of a kind is so many times as long as a core of the reference takes,
 * which is the kind that was measured first. Work is counted in core-seconds of the reference.
 */
#pragma once
#include "scheduler/scale/scale.h"
#include "scheduler/state/state.h"

/* What the deployment's record on AWS says and what the launchers know. Of each kind everything but running, busy and
 * draining (tr_price_kind in prices.h has all that is the same for everybody). */
struct tr_scaling_settings {
  double target_s;                    /* 0 = the scheduler's own */
  int32_t max_workers;                /* 0 = none */
  double usd_per_query, usd_per_hour; /* 0 = no cap */
  bool stop;
  int32_t n_kinds;
  struct tr_scale_kind kinds[TR_SCALE_KINDS];
};

void tr_scaling_view(const struct tr_state *s, struct tr_deployment *d, const struct tr_scaling_settings *settings,
                     struct tr_clock at, struct tr_scale_view *view);
/* Core-seconds that a query still needs. */
double tr_scaling_left(struct tr_query *q);
/* A budget is six tenths of what a worker has (base/mem.h), and only one that is a tenth larger helps: a task that
 * failed for a budget goes to workers with twice that as memory. */
enum { TR_MEMORY_OF_BUDGET = 2 };

/* A done task, counted (1) or taken back (-1). */
void tr_scaling_count(const struct tr_task *t, int sign);
/* The same of one that has just been done: what is to be learned from it. */
void tr_scaling_learn(const struct tr_task *t);
/* Of workers of this kind, for the deployment. */
double tr_scaling_pace(const struct tr_deployment *d, int slot);
/* Input rows of a task, as far as they are known. */
int64_t tr_scaling_rows_of(const struct tr_query_stage *stage, int32_t task);
