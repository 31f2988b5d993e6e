/* Operators that move rows: scan of frames, filter, project, sort, slice, concat, distinct, join. */
#include "data/exec/exec_int.h"
#include "data/kern/expr/eval.h"
#include "data/kern/group/group.h"
#include "data/kern/join/join.h"
#include "data/kern/sort/sort.h"
#include "data/kern/take/take.h"
#include <stdlib.h>
#include <string.h>

void tr_arrays_drop(struct tr_array **arrays, int n) {
  for (int i = 0; i < n; i++) {
    tr_array_unref(arrays[i]);
    arrays[i] = NULL;
  }
}

enum tr_status tr_node_begin(struct tr_node *node, int64_t n_rows, struct tr_error *err) {
  int n = node->rel->n_cols;
  struct tr_array **none = calloc((size_t)n + 1, sizeof *none);
  if (!none) return tr_fail_memory(err, sizeof *none * (size_t)n);
  enum tr_status st = tr_frame_new(n_rows, n, none, &node->out, err);
  free(none);
  return st;
}

enum tr_status tr_node_take(struct tr_ctx *ctx, struct tr_node *node, int at, struct tr_array *const *in, int n,
                            const uint32_t *rows, int64_t n_rows, bool has_missing, struct tr_error *err) {
  struct tr_array **src = calloc((size_t)n * 2 + 1, sizeof *src), **got = src + n;
  int *where = calloc((size_t)n + 1, sizeof *where), k = 0;
  enum tr_status st = TR_OK;
  if (!src || !where) TR_GOTO(st, tr_fail_memory(err, (size_t)n * 20));
  for (int i = 0; i < n; i++) {
    if (!node->need[at + i]) continue;
    if (!rows) {
      node->out->cols[at + i] = tr_array_ref(in[i]);
      continue;
    }
    where[k] = at + i;
    src[k++] = in[i];
  }
  if (k) TR_GOTO(st, tr_take_many(ctx, src, k, rows, n_rows, has_missing, got, err));
  for (int i = 0; i < k; i++) node->out->cols[where[i]] = got[i];
done:
  free(src);
  free(where);
  return st;
}

enum tr_status tr_node_eval(struct tr_ctx *ctx, struct tr_expr *const *exprs, int n, const struct tr_frame *in,
                            struct tr_array **out, struct tr_error *err) {
  bool all_cols = true;
  for (int i = 0; i < n; i++) all_cols &= exprs[i]->op == TR_OP_COL;
  if (!all_cols) return tr_expr_eval(ctx, exprs, n, in, out, err);
  for (int i = 0; i < n; i++) out[i] = tr_array_ref(in->cols[exprs[i]->column]);
  return TR_OK;
}

/* start, start + step, … as a PROJECT's column: the one expression that depends on where a row stands. */
static enum tr_status number_rows(const struct tr_expr *e, int64_t n, struct tr_array **out, struct tr_error *err) {
  int64_t start = e->params[0], step = e->params[1];
  TR_TRY(tr_array_new(tr_dtype_of(TR_I64), n, out, err));
  int64_t *v = tr_array_data(*out);
  for (int64_t i = 0; i < n; i++) v[i] = start + i * step;
  (*out)->null_count = 0;
  return TR_OK;
}

enum tr_status tr_op_scan_frame(struct tr_ctx *ctx, struct tr_node *node, struct tr_frame *const *in,
                                struct tr_error *err) {
  (void)ctx, (void)in, (void)err;
  node->out = tr_frame_ref(node->rel->source);
  return TR_OK;
}

enum tr_status tr_op_filter(struct tr_ctx *ctx, struct tr_node *node, struct tr_frame *const *in,
                            struct tr_error *err) {
  struct tr_buffer *rows = NULL;
  int64_t n = 0;
  TR_TRY(tr_expr_filter_rows(ctx, node->rel->exprs[0], in[0], &rows, &n, err));
  enum tr_status st = tr_node_begin(node, n, err);
  if (st == TR_OK && node->late) {
    node->picked = rows;
    node->picked_from = tr_frame_ref(in[0]);
    return TR_OK;
  }
  const uint32_t *r = n == in[0]->n_rows ? NULL : (const uint32_t *)rows->data;
  if (st == TR_OK) st = tr_node_take(ctx, node, 0, in[0]->cols, in[0]->n_cols, r, n, false, err);
  tr_buffer_unref(rows);
  return st;
}

enum tr_status tr_op_project(struct tr_ctx *ctx, struct tr_node *node, struct tr_frame *const *in,
                             struct tr_error *err) {
  const struct tr_rel *r = node->rel;
  TR_TRY(tr_node_begin(node, in[0]->n_rows, err));
  struct tr_expr **exprs = malloc(sizeof *exprs * (size_t)(r->n_exprs + 1));
  struct tr_array **got = calloc((size_t)r->n_exprs + 1, sizeof *got);
  enum tr_status st = TR_OK;
  int k = 0;
  if (!exprs || !got) TR_GOTO(st, tr_fail_memory(err, sizeof *exprs * (size_t)r->n_exprs));
  for (int i = 0; i < r->n_exprs; i++) {
    if (!node->need[i]) continue;
    if (r->exprs[i]->op == TR_OP_ROW_NUMBER)
      TR_GOTO(st, number_rows(r->exprs[i], in[0]->n_rows, &node->out->cols[i], err));
    else exprs[k++] = r->exprs[i];
  }
  if (k) TR_GOTO(st, tr_node_eval(ctx, exprs, k, in[0], got, err));
  k = 0;
  for (int i = 0; i < r->n_exprs; i++)
    if (node->need[i] && !node->out->cols[i]) node->out->cols[i] = got[k++];
done:
  free(exprs);
  free(got);
  return st;
}

enum tr_status tr_op_sort(struct tr_ctx *ctx, struct tr_node *node, struct tr_frame *const *in, struct tr_error *err) {
  const struct tr_rel *r = node->rel;
  struct tr_array **arrays = calloc((size_t)r->n_exprs + 1, sizeof *arrays);
  struct tr_sort_key *keys = calloc((size_t)r->n_exprs + 1, sizeof *keys);
  struct tr_buffer *rows = NULL;
  int64_t n = in[0]->n_rows;
  enum tr_status st = TR_OK;
  if (!arrays || !keys) TR_GOTO(st, tr_fail_memory(err, sizeof *keys));
  TR_GOTO(st, tr_node_eval(ctx, r->exprs, r->n_exprs, in[0], arrays, err));
  for (int i = 0; i < r->n_exprs; i++) keys[i] = (struct tr_sort_key){arrays[i], r->descending && r->descending[i]};
  if (r->opt.stop >= 0 && r->opt.stop < n)
    TR_GOTO(st, tr_sort_top(ctx, keys, r->n_exprs, n, r->opt.stop, r->opt.na_first, &rows, &n, err));
  else TR_GOTO(st, tr_sort_rows(ctx, keys, r->n_exprs, n, r->opt.na_first, &rows, err));
  TR_GOTO(st, tr_node_begin(node, n, err));
  TR_GOTO(st, tr_node_take(ctx, node, 0, in[0]->cols, in[0]->n_cols, (const uint32_t *)rows->data, n, false, err));
done:
  tr_buffer_unref(rows);
  if (arrays) tr_arrays_drop(arrays, r->n_exprs);
  free(arrays);
  free(keys);
  return st;
}

static int64_t clamp_slice(int64_t at, int64_t n) {
  if (at < 0) at += n;
  return at < 0 ? 0 : at > n ? n : at;
}

/* Row numbers begin, begin + step, …; looked up in `picked` when the input is a filter that left its rows there. */
static enum tr_status slice_rows(const struct tr_buffer *picked, int64_t begin, int64_t n, int64_t step,
                                 struct tr_buffer **rows, struct tr_error *err) {
  TR_TRY(tr_buffer_new(n * 4, rows, err));
  uint32_t *r = (uint32_t *)(*rows)->data;
  const uint32_t *from = picked ? (const uint32_t *)picked->data : NULL;
  for (int64_t i = 0; i < n; i++) {
    int64_t at = begin + i * step;
    r[i] = from ? from[at] : (uint32_t)at;
  }
  return TR_OK;
}

enum tr_status tr_op_slice(struct tr_ctx *ctx, struct tr_node *node, struct tr_frame *const *in, struct tr_error *err) {
  struct tr_rel_options o = node->rel->opt;
  const struct tr_node *filter = node->first && node->first->late ? node->first : NULL;
  int64_t begin = clamp_slice(o.start, in[0]->n_rows), end = clamp_slice(o.stop, in[0]->n_rows);
  int64_t n = end <= begin ? 0 : (end - begin - 1) / o.step + 1;
  TR_TRY(tr_node_begin(node, n, err));
  if (o.step != 1 || filter) {
    struct tr_buffer *rows = NULL;
    const struct tr_frame *from = filter ? filter->picked_from : in[0];
    TR_TRY(slice_rows(filter ? filter->picked : NULL, begin, n, o.step, &rows, err));
    enum tr_status st =
        tr_node_take(ctx, node, 0, from->cols, from->n_cols, (const uint32_t *)rows->data, n, false, err);
    tr_buffer_unref(rows);
    return st;
  }
  for (int i = 0; i < node->rel->n_cols; i++)
    if (node->need[i]) TR_TRY(tr_array_slice(in[0]->cols[i], n ? begin : 0, n, &node->out->cols[i], err));
  return TR_OK;
}

enum tr_status tr_op_concat(struct tr_ctx *ctx, struct tr_node *node, struct tr_frame *const *in,
                            struct tr_error *err) {
  int n_in = node->rel->n_inputs;
  int64_t n = 0;
  for (int k = 0; k < n_in; k++) n += in[k]->n_rows;
  TR_TRY(tr_node_begin(node, n, err));
  struct tr_array **parts = malloc(sizeof *parts * (size_t)n_in);
  if (!parts) return tr_fail_memory(err, sizeof *parts * (size_t)n_in);
  enum tr_status st = TR_OK;
  for (int i = 0; i < node->rel->n_cols && st == TR_OK; i++) {
    if (!node->need[i]) continue;
    for (int k = 0; k < n_in; k++) parts[k] = in[k]->cols[i];
    st = tr_array_concat(ctx, parts, n_in, &node->out->cols[i], err);
  }
  free(parts);
  return st;
}

enum tr_status tr_op_zip(struct tr_ctx *ctx, struct tr_node *node, struct tr_frame *const *in, struct tr_error *err) {
  (void)ctx;
  const struct tr_rel *r = node->rel;
  int64_t n = -1;
  for (int k = 0; k < r->n_inputs; k++) {
    if (!in[k]) continue;
    if (n >= 0 && in[k]->n_rows != n)
      return tr_fail(err, TR_EXC_RUNTIME, "plan node ZIP: inputs of %lld and %lld rows", (long long)n,
                     (long long)in[k]->n_rows);
    n = in[k]->n_rows;
  }
  TR_TRY(tr_node_begin(node, n < 0 ? 0 : n, err));
  for (int k = 0, at = 0; k < r->n_inputs; at += r->inputs[k++]->n_cols)
    for (int i = 0; in[k] && i < r->inputs[k]->n_cols; i++)
      if (node->need[at + i]) node->out->cols[at + i] = tr_array_ref(in[k]->cols[i]);
  return TR_OK;
}

enum tr_status tr_op_distinct(struct tr_ctx *ctx, struct tr_node *node, struct tr_frame *const *in,
                              struct tr_error *err) {
  const struct tr_rel *r = node->rel;
  struct tr_array **keys = calloc((size_t)r->n_exprs + 1, sizeof *keys), *dup = NULL;
  struct tr_buffer *rows = NULL;
  int64_t n = 0;
  enum tr_status st = TR_OK;
  if (!keys) return tr_fail_memory(err, sizeof *keys);
  TR_GOTO(st, tr_node_eval(ctx, r->exprs, r->n_exprs, in[0], keys, err));
  TR_GOTO(st, tr_groups_duplicated(ctx, keys, r->n_exprs, in[0]->n_rows, r->opt.keep, &dup, err));
  uint8_t *mask = tr_array_data(dup);
  for (int64_t i = 0; i < in[0]->n_rows; i++) mask[i] ^= 1;
  TR_GOTO(st, tr_mask_rows(ctx, mask, in[0]->n_rows, &rows, &n, err));
  TR_GOTO(st, tr_node_begin(node, n, err));
  TR_GOTO(st, tr_node_take(ctx, node, 0, in[0]->cols, in[0]->n_cols, (const uint32_t *)rows->data, n, false, err));
done:
  tr_arrays_drop(keys, r->n_exprs);
  free(keys);
  tr_array_unref(dup);
  tr_buffer_unref(rows);
  return st;
}
