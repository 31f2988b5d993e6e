/* From what a client sends (a sealed plan, how many rows lie where) to the stages of a query. Pure; any thread. */
#pragma once
#include "scheduler/state/spec.h"

struct tr_planning_source {
  int32_t n_pieces;
  int64_t *rows; /* per piece */
};

struct tr_planning_options {
  int64_t target_rows, broadcast_rows, max_partitions; /* 0 = default; broadcast_rows -1 = never */
};

/* Everything in `out` lives in the arena. TR_EXC_VALUE "plan: …" for a plan that is not one, is readable where it must
 * be sealed, or is beyond the limits; TR_UNSUPPORTED for one that cannot be cut. */
TR_MUST_USE enum tr_status tr_planning_cut(const char *plan, size_t n, const struct tr_planning_source *sources,
                                           int n_sources, const struct tr_planning_options *options,
                                           struct tr_arena *arena, struct tr_spec *out, struct tr_error *err);
