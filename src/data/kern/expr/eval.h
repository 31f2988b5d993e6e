/* Evaluates expressions over a frame, a vector (few thousand rows, stays in L2) at a time, morsels in parallel.
 * Text operations on dictionary columns run once per dictionary value and keep the encoding.
 */
#pragma once
#include "data/col/col.h"
#include "meta/plan/expr.h"

/* Somebody outside the engine who can compute an operation that was refused while it ran (the client: pandas), so that
 * a plan made long ago does not fail for a value nobody could foresee. Asked on the calling thread, once per operation,
 * for all rows; never for an operation that may raise (tr_expr_outcome): that one is refused. `why` is the refusal. */
struct tr_outside {
  /* args: one array of n_rows values per argument, literals spread. Gives *out: e's dtype, or float64 where that is
   * what a missing value makes of it. */
  enum tr_status (*compute)(void *arg, const struct tr_expr *e, struct tr_array *const *args, int64_t n_rows,
                            const char *why, struct tr_array **out, struct tr_error *err);
  void *arg;
};

/* out[i] = exprs[i] over the rows of `in` (COL c reads in->cols[c]; a column that is read must not be NULL). Common
 * subtrees of the given expressions are computed once. A plain COL gives a reference to the column itself. */
TR_MUST_USE enum tr_status tr_expr_eval(struct tr_ctx *ctx, struct tr_expr *const *exprs, int n,
                                        const struct tr_frame *in, struct tr_array **out, struct tr_error *err);
/* Row numbers (uint32, ascending) where the TR_BOOL expression is true, without materialising the mask. */
TR_MUST_USE enum tr_status tr_expr_filter_rows(struct tr_ctx *ctx, struct tr_expr *predicate, const struct tr_frame *in,
                                               struct tr_buffer **rows, int64_t *n_rows, struct tr_error *err);
