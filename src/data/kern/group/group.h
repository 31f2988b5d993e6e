/* Group-by: group numbers of rows, aggregates per group, windows within groups.
 *
 * Semantics are pandas 3.1's: keys that are missing form no group under dropna (id TR_NO_GROUP), else one group of
 * their own that sorts last; -0.0 equals 0.0; text compares bytewise. sort: groups numbered in ascending key order
 * (lexicographic over keys), else in order of first appearance. Category keys: observed groups only, sorted by code.
 */
#pragma once
#include "data/col/col.h"

#define TR_NO_GROUP UINT32_MAX

struct tr_groups {
  int64_t n_rows;
  int64_t n_groups;
  struct tr_buffer *ids;       /* uint32 per row; NULL when n_groups == 1 and every row is in it (no keys) */
  struct tr_buffer *first_row; /* uint32 per group: its first row; keys of the result are take(key, first_row) */
  bool has_dropped;            /* some id is TR_NO_GROUP */
};

/* n_keys >= 1 arrays of n rows, borrowed. */
TR_MUST_USE enum tr_status tr_groups_make(struct tr_ctx *ctx, struct tr_array *const *keys, int n_keys, int64_t n,
                                          bool sort, bool dropna, struct tr_groups *out, struct tr_error *err);
/* One group of all rows (whole-column reductions). n may be 0 (then still one group). */
TR_MUST_USE enum tr_status tr_groups_all(int64_t n, struct tr_groups *out, struct tr_error *err);
void tr_groups_drop(struct tr_groups *g);

enum tr_agg {
  TR_AGG_SIZE,  /* no input; int64 */
  TR_AGG_COUNT, /* non-missing; int64 */
  TR_AGG_SUM,
  TR_AGG_PROD,
  TR_AGG_MEAN,
  TR_AGG_MIN,
  TR_AGG_MAX,
  TR_AGG_STD,
  TR_AGG_VAR,
  TR_AGG_SEM,
  TR_AGG_SKEW,
  TR_AGG_MEDIAN,
  TR_AGG_QUANTILE,
  TR_AGG_FIRST,
  TR_AGG_LAST,
  TR_AGG_NUNIQUE,
  TR_AGG_ANY,
  TR_AGG_ALL,
  TR_AGG_IDXMIN_ROW,
  TR_AGG_IDXMAX_ROW, /* uint32 row numbers (TR_NO_ROW where none); first of ties */
  TR_AGG_CORR,       /* input and input2: Pearson, pairwise complete, as Series.corr */
  TR_AGG_NTH_ROW,    /* uint32 row number of the param-th row (negative from the end), TR_NO_ROW where none */
  TR_N_AGGS
};

struct tr_agg_spec {
  enum tr_agg fn;
  struct tr_array *input;  /* borrowed; NULL for SIZE, NTH_ROW */
  struct tr_array *input2; /* CORR */
  int64_t param; /* STD/VAR/SEM: ddof; SUM/PROD/MIN/MAX/FIRST/LAST: min_count; NUNIQUE: 1 = count missing too */
  double q;      /* QUANTILE, linear interpolation */
  bool skipna;   /* reductions: false lets a missing value make the result missing */
};

/* Result dtype as pandas gives it for this function on this dtype (sum of int8 -> int64, mean of datetime -> datetime,
 * ...); TR_UNSUPPORTED where pandas raises or gives object (sum of datetime, mean of str, ...): the caller falls back.
 * `whole` = a Series reduction rather than a group-by (differs e.g. in sum of bool, min of empty). */
TR_MUST_USE enum tr_status tr_agg_dtype(enum tr_agg fn, struct tr_dtype in, bool whole, struct tr_dtype *out,
                                        struct tr_error *err);

/* Whether the dtype that tr_agg_run gives may differ from tr_agg_dtype's, by values: a group-by sum or prod of narrow
 * ints is widened to 64 bits when a result does not fit, ints become float64 when a group has fewer than min_count
 * (`param`) values, and the mean of float32 is float64 where group numbers ascend and nothing is missing (all as
 * pandas). */
bool tr_agg_dtype_depends(enum tr_agg fn, struct tr_dtype in, int64_t param, bool whole);

/* out: n slots, arrays of n_groups. Groups without a value: NaN/NaT/missing as pandas gives (sum 0, prod 1, count 0);
 * an integer min/max/first/last of a group with no value cannot occur (ints have no missing), except whole reductions
 * of zero rows: TR_UNSUPPORTED. All specs are computed together so that inputs are read once. */
TR_MUST_USE enum tr_status tr_agg_run(struct tr_ctx *ctx, const struct tr_groups *g, const struct tr_agg_spec *specs,
                                      int n, bool whole, struct tr_array **out, struct tr_error *err);

/* Casts an int64 or uint64 array to a narrower int dtype if every value survives, else leaves it (as pandas). */
TR_MUST_USE enum tr_status tr_agg_narrow(struct tr_array **a, struct tr_dtype to, struct tr_error *err);

enum tr_window {
  TR_WIN_CUMSUM,
  TR_WIN_CUMPROD,
  TR_WIN_CUMMIN,
  TR_WIN_CUMMAX,
  TR_WIN_CUMCOUNT, /* CUMCOUNT: int64 from 0; param 1 = descending */
  TR_WIN_SHIFT,    /* param = periods (any sign); ints become float64 when a value is missing; bool unsupported then */
  TR_WIN_DIFF,     /* param = periods */
  TR_WIN_RANK_AVERAGE,
  TR_WIN_RANK_MIN,
  TR_WIN_RANK_MAX,
  TR_WIN_RANK_FIRST,
  TR_WIN_RANK_DENSE, /* float64 */
  TR_WIN_NGROUP,     /* int64 group number, NaN for dropped rows (then float64) */
  TR_WIN_FFILL,
  TR_WIN_BFILL,
  TR_N_WINDOWS
};

struct tr_window_spec {
  enum tr_window fn;
  struct tr_array *input; /* borrowed; NULL for CUMCOUNT, NGROUP */
  int64_t param;
  bool descending;   /* ranks */
  uint8_t na_option; /* ranks: 0 keep, 1 top, 2 bottom */
  bool pct;          /* ranks */
};

/* Result dtype as pandas gives it; TR_UNSUPPORTED where pandas raises or gives object. `whole`: no groups; `dropped`:
 * some row is in no group. *depends (may be NULL): the array may be wider (group-by cumsum and cumprod of narrow ints
 * that overflow) or, for SHIFT, DIFF of ints, float64 only when some row has no predecessor; the dtype given is the
 * usual one. */
TR_MUST_USE enum tr_status tr_window_dtype(const struct tr_window_spec *spec, struct tr_dtype in, bool whole,
                                           bool dropped, struct tr_dtype *out, bool *depends, struct tr_error *err);

/* out: one array of n_rows, in row order. g may be NULL: the whole column is one group (Series.cumsum, rank, shift). */
TR_MUST_USE enum tr_status tr_window_run(struct tr_ctx *ctx, const struct tr_groups *g, int64_t n_rows,
                                         const struct tr_window_spec *spec, struct tr_array **out,
                                         struct tr_error *err);
/* Row numbers (ascending) of groupby.head(k), or tail(k): the first, or last, k rows of each group; with k < 0 all but
 * the last, or first, -k. Dropped rows are never among them. */
TR_MUST_USE enum tr_status tr_groups_head(struct tr_ctx *ctx, const struct tr_groups *g, int64_t k, bool tail,
                                          struct tr_buffer **rows, int64_t *n, struct tr_error *err);
/* One byte a row: 1 where an equal key tuple came before (keep first), comes after (keep last), or either (keep
 * neither): DataFrame.duplicated(keep='first'|'last'|False) as keep = 0, 1, 2. */
TR_MUST_USE enum tr_status tr_groups_duplicated(struct tr_ctx *ctx, struct tr_array *const *keys, int n_keys, int64_t n,
                                                int keep, struct tr_array **out, struct tr_error *err);
