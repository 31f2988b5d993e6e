/* Equi-joins: give pairs of row numbers in pandas' order, move no columns.
 *
 * Order (pandas 3.1 merge, sort=False): inner and left: left row order, matches of one left row in right row order;
 * right: right row order, matches in left order; outer: keys sorted lexicographically (missing last), pairs within a
 * key left-major; cross: left-major. sort=True: pairs ordered by the join keys. Missing keys match each other, as in
 * pandas.
 */
#pragma once
#include "data/col/col.h"

enum tr_join_how {
  TR_JOIN_INNER,
  TR_JOIN_LEFT,
  TR_JOIN_RIGHT,
  TR_JOIN_OUTER,
  TR_JOIN_CROSS,
  TR_JOIN_SEMI,
  TR_JOIN_ANTI
};

struct tr_join_rows {
  int64_t n;               /* pairs */
  struct tr_buffer *left;  /* uint32 per pair, TR_NO_ROW = none; NULL = identity 0..n-1 */
  struct tr_buffer *right; /* the same; NULL = identity; absent (NULL) for SEMI and ANTI */
  bool left_missing;       /* some left is TR_NO_ROW */
  bool right_missing;
};

/* Keys pairwise of equal kind after the caller's casts (text may be PLAIN or DICT on either side, with different
 * dictionaries; any number kinds are equal kinds here). Arrays are borrowed. Over 2^32-2 pairs: TR_EXC_MEMORY. */
TR_MUST_USE enum tr_status tr_join_make(struct tr_ctx *ctx, struct tr_array *const *left, int64_t n_left,
                                        struct tr_array *const *right, int64_t n_right, int n_keys,
                                        enum tr_join_how how, bool sort, struct tr_join_rows *out,
                                        struct tr_error *err);
void tr_join_rows_drop(struct tr_join_rows *rows);
/* Row of `right` (distinct keys expected) that equals each left row, or TR_NO_ROW; TR_EXC_VALUE text
 * "cannot reindex on an axis with duplicate labels" when right has duplicates. Used for alignment and reindex. */
TR_MUST_USE enum tr_status tr_join_lookup(struct tr_ctx *ctx, struct tr_array *const *left, int64_t n_left,
                                          struct tr_array *const *right, int64_t n_right, int n_keys,
                                          struct tr_buffer **rows, bool *has_missing, struct tr_error *err);
