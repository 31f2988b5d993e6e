/* Inside of the aggregates: accumulators, the passes that fill them, and reading columns as doubles or integers.
 *
 * A pass runs some accumulators ("sums") over all rows. When groups are few against rows, rows are cut into a number of
 * lanes that follows from the shape of the question alone; each lane has accumulators of its own, which are merged in
 * lane order. When groups are many, every thread walks all rows and serves one range of group numbers. Either way the
 * order in which a group's values are added depends on neither threads nor morsels, so answers are the same bits
 * always.
 */
#pragma once
#include "data/kern/group/group_int.h"

enum tr_acc_kind {
  TR_ACC_SIZE,   /* uint32 rows */
  TR_ACC_COUNT,  /* uint32 non-missing */
  TR_ACC_SUM_I,  /* int64, wraps; missing counts as 0 */
  TR_ACC_PROD_I, /* int64, wraps */
  TR_ACC_SUM_F,  /* struct tr_acc_f: sum, non-missing */
  TR_ACC_PROD_F,
  TR_ACC_SQUARES, /* struct tr_acc_squares, about the means in aux */
  TR_ACC_MIN_I,   /* int64; missing (TR_NAT) loses when has_missing */
  TR_ACC_MAX_I,   /* int64; TR_NAT loses */
  TR_ACC_MIN_F,
  TR_ACC_MAX_F, /* double; infinite when none */
  TR_ACC_ARGMIN_I,
  TR_ACC_ARGMAX_I,
  TR_ACC_ARGMIN_F,
  TR_ACC_ARGMAX_F, /* struct tr_acc_arg_* */
  TR_ACC_FIRST_ROW,
  TR_ACC_LAST_ROW,     /* uint32 row of the first or last non-missing; of any without x */
  TR_ACC_TRUTH,        /* uint8: 1 = saw a true value, 2 = saw a false one */
  TR_ACC_PAIR_SUMS,    /* struct tr_acc_pair: pairwise complete */
  TR_ACC_PAIR_SQUARES, /* struct tr_acc_cross, about the means in aux */
  TR_N_ACCS
};

struct tr_acc_f {
  double sum;
  int64_t n;
};
struct tr_acc_squares {
  double d, d2;
};
struct tr_acc_arg_i {
  int64_t best;
  uint32_t row;
};
struct tr_acc_arg_f {
  double best;
  uint32_t row;
};
struct tr_acc_pair {
  int64_t n;
  double x, y;
};
struct tr_acc_cross {
  double xx, xy, yy;
  double x, y; /* sums of the deviations: what the means lack */
};

/* One accumulator of a pass. */
struct tr_acc {
  enum tr_acc_kind kind;
  struct tr_array *x, *y; /* borrowed */
  const int64_t *codes;   /* ARG*_I: stands in for x when it is text: rank of each row's value, TR_NAT = missing */
  const void *aux; /* SQUARES: double mean per group; PAIR_SQUARES: struct tr_acc_pair per group, means in x and y */
};

/* Ranges of groups and where their accumulators are. */
struct tr_acc_part {
  int64_t lo, hi; /* groups */
  void **acc;     /* by accumulator: slot of group lo */
};

struct tr_acc_pass {
  int n_accs, n_parts;
  struct tr_acc_part *parts;
  /* private: */
  void *block;
  size_t block_bytes, parts_bytes;
};

TR_MUST_USE enum tr_status tr_acc_run(struct tr_ctx *ctx, const struct tr_groups *g, const struct tr_acc *accs,
                                      int n_accs, struct tr_acc_pass *out, struct tr_error *err);
void tr_acc_drop(struct tr_acc_pass *p);

/* Rows [begin, begin + n) as doubles (missing = NaN; text: 1 or 0 by being non-empty) or as int64 whose order is that
 * of the values (missing = TR_NAT; uint64 with the top bit flipped). n <= TR_GROUP_BLOCK; may give a pointer into the
 * array. */
const double *tr_block_f64(const struct tr_array *a, int64_t begin, int n, double *space);
const int64_t *tr_block_i64(const struct tr_array *a, int64_t begin, int n, int64_t *space);
/* Whether the array's dtype can hold missing values. */
static inline bool tr_kind_can_miss(int kind) { return tr_kind_is_float(kind) || kind >= TR_STR; }

/* Values as doubles, by group: those of group g are values[start[g] .. start[g + 1]), in row order; missing ones are
 * NaN. start: n_groups + 1 slots; values: n_rows slots. */
TR_MUST_USE enum tr_status tr_segments_values(struct tr_ctx *ctx, const struct tr_groups *g, int64_t *start,
                                              const struct tr_array *a, double *values, struct tr_error *err);
/* Distinct values per group. */
TR_MUST_USE enum tr_status tr_agg_nunique(struct tr_ctx *ctx, const struct tr_groups *g, const struct tr_agg_spec *spec,
                                          int64_t *out, struct tr_error *err);
/* codes[i] = place of row i's text among all texts in ascending order, TR_NAT = missing. */
TR_MUST_USE enum tr_status tr_agg_text_codes(struct tr_ctx *ctx, struct tr_array *a, int64_t *codes,
                                             struct tr_error *err);
/* Aggregates that want a group's values together: MEDIAN, QUANTILE, SKEW, and MEAN, STD, SEM of times. out: double per
 * group, NaN where missing. */
TR_MUST_USE enum tr_status tr_agg_by_segment(struct tr_ctx *ctx, const struct tr_groups *g,
                                             const struct tr_agg_spec *spec, bool whole, double *out,
                                             struct tr_error *err);

/* Stores the low bytes of v as value i of a fixed-width array. */
void tr_agg_put_int(struct tr_array *out, int64_t i, int64_t v);

/* Running sums, products and extremes; ids NULL = one group. */
TR_MUST_USE enum tr_status tr_window_cumulate(struct tr_ctx *ctx, const struct tr_groups *g, int64_t n,
                                              const struct tr_window_spec *spec, struct tr_array **out,
                                              struct tr_error *err);
TR_MUST_USE enum tr_status tr_window_rank(struct tr_ctx *ctx, const struct tr_groups *g, int64_t n,
                                          const struct tr_window_spec *spec, struct tr_array **out,
                                          struct tr_error *err);
