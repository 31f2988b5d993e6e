/* Stable sorts and top-n: give row numbers, move no columns. pandas' order: NaN/None/NaT last (or first on request)
 * whatever the direction; text by code point; categories by code. As in pandas, several keys with na_first treat NaN of
 * a float key as the infinity that comes first. */
#pragma once
#include "data/col/col.h"

struct tr_sort_key {
  struct tr_array *array; /* borrowed */
  bool descending;        /* stable among equals too: equal rows keep their order in both directions */
};

/* rows[i] = number of the row that comes i-th (uint32, n of them). */
TR_MUST_USE enum tr_status tr_sort_rows(struct tr_ctx *ctx, const struct tr_sort_key *keys, int n_keys, int64_t n,
                                        bool na_first, struct tr_buffer **rows, struct tr_error *err);
/* The first min(k, n) rows of that order, without sorting the rest. */
TR_MUST_USE enum tr_status tr_sort_top(struct tr_ctx *ctx, const struct tr_sort_key *keys, int n_keys, int64_t n,
                                       int64_t k, bool na_first, struct tr_buffer **rows, int64_t *n_out,
                                       struct tr_error *err);
/* Groups of rows, as data/kern/group numbers them: ids below n_groups; rows of other ids are left out. */
struct tr_sort_groups {
  const uint32_t *ids; /* borrowed, one per row */
  int64_t n_groups;
  int64_t k; /* rows wanted of each group */
  bool tail; /* the last k instead of the first */
};
/* Of all rows in that order, the first k of each group, in that order; without sorting the rest while k is small and
 * groups are fewer than rows. */
TR_MUST_USE enum tr_status tr_sort_top_of_groups(struct tr_ctx *ctx, const struct tr_sort_key *keys, int n_keys,
                                                 int64_t n, bool na_first, const struct tr_sort_groups *groups,
                                                 struct tr_buffer **rows, int64_t *n_out, struct tr_error *err);
/* Whether the array ascends (non-strictly; missing anywhere = false), and strictly; early exit. */
TR_MUST_USE enum tr_status tr_sort_is_sorted(struct tr_ctx *ctx, struct tr_array *a, bool *ascending, bool *strict,
                                             struct tr_error *err);
