/* Operations that refuse a value while they run, and may be computed outside (eval.h, tr_outside): the refused
 * operation alone is computed there, over the rows it was asked for, and the expression is compiled again around the
 * answer. What pandas might raise for is not asked here; it was an execution point when it was made. */
#include "data/kern/expr/program_int.h"
#include <string.h>

struct tr_array *tr_served_find(const struct tr_served *served, const struct tr_expr *e) {
  for (int i = 0; served && i < served->n; i++)
    if (tr_expr_eq(served->items[i].e, e)) return served->items[i].a;
  return NULL;
}

/* Takes both references, also on failure. */
static enum tr_status remember(struct tr_served *served, struct tr_expr *e, struct tr_array *a, struct tr_error *err) {
  enum tr_status st = TR_OK;
  if (served->n == served->cap) {
    int wider = served->cap ? served->cap * 2 : 4;
    void *items = served->items;
    const size_t size = sizeof *served->items;
    TR_GOTO(st, tr_mem_realloc(&items, (size_t)served->cap * size, (size_t)wider * size, err));
    served->items = items;
    served->cap = wider;
  }
  served->items[served->n++] = (struct tr_served_item){e, a};
  return TR_OK;
done:
  tr_expr_unref(e);
  tr_array_unref(a);
  return st;
}

static enum tr_status ask(struct tr_ctx *ctx, const struct tr_expr *e, const struct tr_frame *in, struct tr_array **out,
                          struct tr_error *err) {
  struct tr_array *args[TR_EXPR_MAX_ARGS] = {0};
  const struct tr_outside *outside = ctx->outside;
  char why[sizeof err->text];
  enum tr_status st = TR_OK;
  memcpy(why, err->text, sizeof why);
  for (int k = 0; k < e->n_args; k++) TR_GOTO(st, tr_expr_eval(ctx, &e->args[k], 1, in, &args[k], err));
  TR_GOTO(st, outside->compute(outside->arg, e, args, in->n_rows, why, out, err));
  bool fits = tr_dtype_eq((*out)->dtype, e->dtype) || (e->dtype_depends_on_data && (*out)->dtype.kind == TR_F64);
  if (!fits || (*out)->length != in->n_rows) {
    st = tr_fail(err, TR_EXC_RUNTIME, "%s: pandas gave %lld values of %s, not %lld of %s",
                 tr_expr_op_name((enum tr_expr_op)e->op), (long long)(*out)->length, tr_dtype_name((*out)->dtype),
                 (long long)in->n_rows, tr_dtype_name(e->dtype));
    tr_array_unref(*out);
  }
done:
  for (int k = 0; k < e->n_args; k++) tr_array_unref(args[k]);
  return st;
}

enum tr_status tr_serve_outside(struct tr_ctx *ctx, struct tr_expr *refused, const struct tr_frame *in,
                                struct tr_served *served, struct tr_error *err) {
  struct tr_array *answer = NULL;
  enum tr_status st = TR_UNSUPPORTED;
  bool may = refused && ctx->outside && err && tr_expr_outcome(refused) != TR_OUTCOME_RAISES;
  if (may) st = ask(ctx, refused, in, &answer, err);
  if (st == TR_OK) return remember(served, refused, answer, err);
  tr_expr_unref(refused);
  return st;
}

void tr_served_drop(struct tr_served *served) {
  for (int i = 0; i < served->n; i++) {
    tr_expr_unref(served->items[i].e);
    tr_array_unref(served->items[i].a);
  }
  tr_mem_free(served->items, (size_t)served->cap * sizeof *served->items);
}
