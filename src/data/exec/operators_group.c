/* Operators over groups: aggregate, window, head of each group. */
#include "data/exec/exec_int.h"
#include "data/kern/group/group.h"
#include "data/kern/sort/sort.h"
#include "data/kern/take/take.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The needed exprs of a grouping node; others stay NULL. */
static enum tr_status eval_needed(struct tr_ctx *ctx, const struct tr_rel *r, const bool *item_need,
                                  const struct tr_frame *in, struct tr_array **out, struct tr_error *err) {
  struct tr_expr **exprs = malloc(sizeof *exprs * (size_t)(r->n_exprs + 1));
  struct tr_array **got = calloc((size_t)r->n_exprs + 1, sizeof *got);
  int *where = calloc((size_t)r->n_exprs + 1, sizeof *where), k = 0;
  bool *wanted = calloc((size_t)r->n_exprs + 1, sizeof *wanted);
  enum tr_status st = TR_OK;
  if (!exprs || !got || !where || !wanted) TR_GOTO(st, tr_fail_memory(err, sizeof *exprs));
  for (int i = 0; i < r->n_keys; i++) wanted[i] = true;
  for (int i = 0; i < r->n_items; i++) {
    if (!item_need[i]) continue;
    if (r->items[i].expr >= 0) wanted[r->items[i].expr] = true;
    if (r->items[i].expr2 >= 0) wanted[r->items[i].expr2] = true;
  }
  for (int i = 0; i < r->n_exprs; i++) {
    if (!wanted[i]) continue;
    where[k] = i;
    exprs[k++] = r->exprs[i];
  }
  if (k) TR_GOTO(st, tr_node_eval(ctx, exprs, k, in, got, err));
  for (int i = 0; i < k; i++) out[where[i]] = got[i];
done:
  free(exprs);
  free(got);
  free(where);
  free(wanted);
  return st;
}

static struct tr_agg_spec agg_spec(const struct tr_item *it, struct tr_array *const *values) {
  return (struct tr_agg_spec){.fn = (enum tr_agg)it->fn,
                              .input = it->expr >= 0 ? values[it->expr] : NULL,
                              .input2 = it->expr2 >= 0 ? values[it->expr2] : NULL,
                              .param = it->param,
                              .q = it->q,
                              .skipna = it->skipna};
}

static enum tr_status run_aggs(struct tr_ctx *ctx, struct tr_node *node, const struct tr_groups *g,
                               struct tr_array *const *values, struct tr_error *err) {
  const struct tr_rel *r = node->rel;
  struct tr_agg_spec *specs = calloc((size_t)r->n_items + 1, sizeof *specs);
  struct tr_array **got = calloc((size_t)r->n_items + 1, sizeof *got);
  int *where = calloc((size_t)r->n_items + 1, sizeof *where), k = 0;
  enum tr_status st = TR_OK;
  if (!specs || !got || !where) TR_GOTO(st, tr_fail_memory(err, sizeof *specs));
  for (int i = 0; i < r->n_items; i++) {
    if (!node->need[r->n_keys + i]) continue;
    where[k] = r->n_keys + i;
    specs[k++] = agg_spec(&r->items[i], values);
  }
  if (k) TR_GOTO(st, tr_agg_run(ctx, g, specs, k, r->opt.whole, got, err));
  for (int i = 0; i < k; i++) node->out->cols[where[i]] = got[i];
done:
  free(specs);
  free(got);
  free(where);
  return st;
}

/* The value of row i as a double, exactly. */
static double float_at(const struct tr_array *a, int64_t i) {
  return a->dtype.kind == TR_F64 ? ((const double *)tr_array_data(a))[i] : ((const float *)tr_array_data(a))[i];
}

/* The first row from `row` on that is 0.0 or -0.0; a->length if there is none. */
static int64_t find_zero(const struct tr_array *a, int64_t row) {
  while (row < a->length && float_at(a, row) != 0) row++;
  return row;
}

enum tr_status tr_group_one_zero(const struct tr_array *key, struct tr_array **labels, struct tr_error *err) {
  struct tr_array *old = *labels, *fresh = NULL;
  int64_t row = find_zero(old, 0);
  if (row == old->length) return TR_OK;
  double zero = float_at(key, find_zero(key, 0));
  while (row < old->length && signbit(float_at(old, row)) == signbit(zero)) row = find_zero(old, row + 1);
  if (row == old->length) return TR_OK;
  TR_TRY(tr_array_new(old->dtype, old->length, &fresh, err));
  memcpy(tr_array_data(fresh), tr_array_data(old), (size_t)old->length * tr_dtype_width(old->dtype));
  for (; row < old->length; row = find_zero(old, row + 1)) {
    if (old->dtype.kind == TR_F64) ((double *)tr_array_data(fresh))[row] = zero;
    else ((float *)tr_array_data(fresh))[row] = (float)zero;
  }
  fresh->null_count = old->null_count;
  tr_array_unref(old);
  *labels = fresh;
  return TR_OK;
}

/* The key columns of the groups. */
static enum tr_status take_labels(struct tr_ctx *ctx, struct tr_node *node, const struct tr_groups *g,
                                  struct tr_array **keys, struct tr_error *err) {
  int n_keys = node->rel->n_keys;
  TR_TRY(tr_node_take(ctx, node, 0, keys, n_keys, (const uint32_t *)g->first_row->data, g->n_groups, false, err));
  for (int i = 0; i < n_keys && n_keys > 1; i++) {
    struct tr_array **labels = &node->out->cols[i];
    if (*labels && tr_kind_is_float((*labels)->dtype.kind)) TR_TRY(tr_group_one_zero(keys[i], labels, err));
  }
  return TR_OK;
}

enum tr_status tr_op_aggregate(struct tr_ctx *ctx, struct tr_node *node, struct tr_frame *const *in,
                               struct tr_error *err) {
  const struct tr_rel *r = node->rel;
  struct tr_array **values = calloc((size_t)r->n_exprs + 1, sizeof *values);
  struct tr_groups g = {0};
  enum tr_status st = TR_OK;
  if (!values) return tr_fail_memory(err, sizeof *values);
  TR_GOTO(st, eval_needed(ctx, r, node->need + r->n_keys, in[0], values, err));
  if (r->n_keys)
    TR_GOTO(st, tr_groups_make(ctx, values, r->n_keys, in[0]->n_rows, r->opt.sort, r->opt.dropna, &g, err));
  else TR_GOTO(st, tr_groups_all(in[0]->n_rows, &g, err));
  TR_GOTO(st, tr_node_begin(node, g.n_groups, err));
  if (r->n_keys) TR_GOTO(st, take_labels(ctx, node, &g, values, err));
  TR_GOTO(st, run_aggs(ctx, node, &g, values, err));
done:
  tr_groups_drop(&g);
  tr_arrays_drop(values, r->n_exprs);
  free(values);
  return st;
}

static enum tr_status run_transform(struct tr_ctx *ctx, const struct tr_groups *g, int64_t n_rows,
                                    const struct tr_agg_spec *spec, struct tr_array **out, struct tr_error *err) {
  struct tr_array *per_group = NULL;
  TR_TRY(tr_agg_run(ctx, g, spec, 1, false, &per_group, err));
  enum tr_status st;
  if (g->ids) {
    st = tr_take(ctx, per_group, (const uint32_t *)g->ids->data, n_rows, g->has_dropped, out, err);
  } else {
    struct tr_buffer *zeros = NULL;
    st = tr_buffer_new(n_rows * 4, &zeros, err);
    if (st == TR_OK) {
      __builtin_memset(zeros->data, 0, (size_t)n_rows * 4);
      st = tr_take(ctx, per_group, (const uint32_t *)zeros->data, n_rows, false, out, err);
      tr_buffer_unref(zeros);
    }
  }
  tr_array_unref(per_group);
  return st;
}

static enum tr_status run_window_item(struct tr_ctx *ctx, const struct tr_item *it, const struct tr_groups *g,
                                      int64_t n_rows, struct tr_array *const *values, struct tr_array **out,
                                      struct tr_error *err) {
  if (it->kind == TR_ITEM_TRANSFORM) {
    struct tr_agg_spec spec = agg_spec(it, values);
    return run_transform(ctx, g, n_rows, &spec, out, err);
  }
  struct tr_window_spec spec = {.fn = (enum tr_window)it->fn,
                                .input = it->expr >= 0 ? values[it->expr] : NULL,
                                .param = it->param,
                                .descending = it->descending,
                                .na_option = it->na_option,
                                .pct = it->pct};
  return tr_window_run(ctx, g, n_rows, &spec, out, err);
}

enum tr_status tr_op_window(struct tr_ctx *ctx, struct tr_node *node, struct tr_frame *const *in,
                            struct tr_error *err) {
  const struct tr_rel *r = node->rel;
  int n_in = in[0]->n_cols;
  int64_t n = in[0]->n_rows;
  struct tr_array **values = calloc((size_t)r->n_exprs + 1, sizeof *values);
  struct tr_groups g = {0};
  enum tr_status st = TR_OK;
  if (!values) return tr_fail_memory(err, sizeof *values);
  TR_GOTO(st, eval_needed(ctx, r, node->need + n_in, in[0], values, err));
  if (r->n_keys) TR_GOTO(st, tr_groups_make(ctx, values, r->n_keys, n, r->opt.sort, r->opt.dropna, &g, err));
  else TR_GOTO(st, tr_groups_all(n, &g, err));
  TR_GOTO(st, tr_node_begin(node, n, err));
  TR_GOTO(st, tr_node_take(ctx, node, 0, in[0]->cols, n_in, NULL, n, false, err));
  for (int i = 0; i < r->n_items; i++)
    if (node->need[n_in + i])
      TR_GOTO(st,
              run_window_item(ctx, &r->items[i], r->n_keys ? &g : (r->items[i].kind == TR_ITEM_TRANSFORM ? &g : NULL),
                              n, values, &node->out->cols[n_in + i], err));
done:
  tr_groups_drop(&g);
  tr_arrays_drop(values, r->n_exprs);
  free(values);
  return st;
}

/* The rows that GROUP_HEAD keeps, in order; values: its keys, then the sort keys. */
static enum tr_status head_rows(struct tr_ctx *ctx, const struct tr_rel *r, const struct tr_groups *g,
                                struct tr_array *const *values, struct tr_buffer **rows, int64_t *n,
                                struct tr_error *err) {
  const int n_sort = r->n_exprs - r->n_keys;
  if (!n_sort) return tr_groups_head(ctx, g, r->opt.start, r->opt.tail, rows, n, err);
  struct tr_sort_key *keys = calloc((size_t)n_sort + 1, sizeof *keys);
  if (!keys) return tr_fail_memory(err, sizeof *keys * (size_t)n_sort);
  for (int i = 0; i < n_sort; i++)
    keys[i] = (struct tr_sort_key){values[r->n_keys + i], r->descending && r->descending[r->n_keys + i]};
  const struct tr_sort_groups groups = {
      .ids = (const uint32_t *)g->ids->data, .n_groups = g->n_groups, .k = r->opt.start, .tail = r->opt.tail};
  enum tr_status st = tr_sort_top_of_groups(ctx, keys, n_sort, g->n_rows, r->opt.na_first, &groups, rows, n, err);
  free(keys);
  return st;
}

enum tr_status tr_op_group_head(struct tr_ctx *ctx, struct tr_node *node, struct tr_frame *const *in,
                                struct tr_error *err) {
  const struct tr_rel *r = node->rel;
  struct tr_array **keys = calloc((size_t)r->n_exprs + 1, sizeof *keys);
  struct tr_groups g = {0};
  struct tr_buffer *rows = NULL;
  int64_t n = 0;
  enum tr_status st = TR_OK;
  if (!keys) return tr_fail_memory(err, sizeof *keys);
  TR_GOTO(st, tr_node_eval(ctx, r->exprs, r->n_exprs, in[0], keys, err));
  TR_GOTO(st, tr_groups_make(ctx, keys, r->n_keys, in[0]->n_rows, false, r->opt.dropna, &g, err));
  TR_GOTO(st, head_rows(ctx, r, &g, keys, &rows, &n, err));
  TR_GOTO(st, tr_node_begin(node, n, err));
  TR_GOTO(st, tr_node_take(ctx, node, 0, in[0]->cols, in[0]->n_cols, (const uint32_t *)rows->data, n, false, err));
done:
  tr_buffer_unref(rows);
  tr_groups_drop(&g);
  tr_arrays_drop(keys, r->n_exprs);
  free(keys);
  return st;
}
