/* The join operator: pairs of rows from data/kern/join, then gathers of the needed columns of both sides. */
#include "data/exec/exec_int.h"
#include "data/kern/join/join.h"
#include "data/kern/take/take.h"
#include <stdlib.h>

/* Key columns of right and outer joins come from whichever side has the row: rows into left ++ right. */
static enum tr_status coalesced_rows(const struct tr_join_rows *j, int64_t n_left, struct tr_buffer **rows,
                                     struct tr_error *err) {
  TR_TRY(tr_buffer_new(j->n * 4, rows, err));
  uint32_t *out = (uint32_t *)(*rows)->data;
  const uint32_t *l = j->left ? (const uint32_t *)j->left->data : NULL;
  const uint32_t *r = j->right ? (const uint32_t *)j->right->data : NULL;
  for (int64_t i = 0; i < j->n; i++) {
    uint32_t a = l ? l[i] : (uint32_t)i;
    out[i] = a != TR_NO_ROW ? a : (uint32_t)n_left + (r ? r[i] : (uint32_t)i);
  }
  return TR_OK;
}

static enum tr_status coalesce_keys(struct tr_ctx *ctx, struct tr_node *node, int at, struct tr_array *const *keys,
                                    int64_t n_left, const struct tr_join_rows *j, struct tr_error *err) {
  int n_keys = node->rel->n_keys;
  struct tr_buffer *rows = NULL;
  enum tr_status st = TR_OK;
  if (!j->left_missing) /* every pair has a left row: the left key is the key */
    return tr_node_take(ctx, node, at, keys, n_keys, j->left ? (const uint32_t *)j->left->data : NULL, j->n, false,
                        err);
  for (int k = 0; k < n_keys; k++) {
    struct tr_array *both[2] = {keys[k], keys[n_keys + k]}, *all = NULL;
    if (!node->need[at + k]) continue;
    if (!rows) TR_GOTO(st, coalesced_rows(j, n_left, &rows, err));
    TR_GOTO(st, tr_array_concat(ctx, both, 2, &all, err));
    st = tr_take(ctx, all, (const uint32_t *)rows->data, j->n, false, &node->out->cols[at + k], err);
    tr_array_unref(all);
    if (st != TR_OK) goto done;
  }
done:
  tr_buffer_unref(rows);
  return st;
}

enum tr_status tr_op_join(struct tr_ctx *ctx, struct tr_node *node, struct tr_frame *const *in, struct tr_error *err) {
  const struct tr_rel *r = node->rel;
  struct tr_array **keys = calloc((size_t)r->n_keys * 2 + 1, sizeof *keys);
  struct tr_join_rows j = {0};
  enum tr_status st = TR_OK;
  if (!keys) return tr_fail_memory(err, sizeof *keys);
  TR_GOTO(st, tr_node_eval(ctx, r->exprs, r->n_keys, in[0], keys, err));
  TR_GOTO(st, tr_node_eval(ctx, r->exprs + r->n_keys, r->n_keys, in[1], keys + r->n_keys, err));
  TR_GOTO(st, tr_join_make(ctx, keys, in[0]->n_rows, keys + r->n_keys, in[1]->n_rows, r->n_keys,
                           (enum tr_join_how)r->opt.how, r->opt.sort, &j, err));
  TR_GOTO(st, tr_node_begin(node, j.n, err));
  const uint32_t *left = j.left ? (const uint32_t *)j.left->data : NULL;
  const uint32_t *right = j.right ? (const uint32_t *)j.right->data : NULL;
  int n_left = in[0]->n_cols;
  TR_GOTO(st, tr_node_take(ctx, node, 0, in[0]->cols, n_left, left, j.n, j.left_missing, err));
  if (r->opt.how != TR_JOIN_SEMI && r->opt.how != TR_JOIN_ANTI)
    TR_GOTO(st, tr_node_take(ctx, node, n_left, in[1]->cols, in[1]->n_cols, right, j.n, j.right_missing, err));
  TR_GOTO(st, coalesce_keys(ctx, node, n_left + in[1]->n_cols, keys, in[0]->n_rows, &j, err));
done:
  tr_join_rows_drop(&j);
  tr_arrays_drop(keys, 2 * r->n_keys);
  free(keys);
  return st;
}
