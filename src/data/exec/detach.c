/* A run as a plan that can travel: rewritten, with results at hand as leaves, and nothing in it that is not needed. The
 * result comes back by tr_exec_attach. See exec.h. */
#include "data/exec/exec_int.h"
#include <stdlib.h>
#include <string.h>

static void release_frame(void *f) { tr_frame_unref(f); }

/* PROJECT of the needed columns of r; r itself when all are. */
static enum tr_status narrowed(struct tr_rel *r, const bool *need, struct tr_rel **out, struct tr_error *err) {
  int n = 0;
  enum tr_status st = TR_OK;
  for (int i = 0; i < r->n_cols; i++) n += !need || need[i];
  if (n == r->n_cols) {
    *out = tr_rel_ref(r);
    return TR_OK;
  }
  struct tr_expr **exprs = calloc((size_t)n + 1, sizeof *exprs);
  if (!exprs) return tr_fail_memory(err, sizeof *exprs);
  int at = 0;
  for (int i = 0; i < r->n_cols; i++)
    if (need[i]) TR_GOTO(st, tr_expr_col(i, r->cols[i].dtype, r->cols[i].maybe_null, &exprs[at++], err));
  struct tr_rel_spec spec = {.kind = TR_REL_PROJECT, .inputs = &r, .n_inputs = 1, .exprs = exprs, .n_exprs = n};
  st = tr_rel_make(&spec, out, err);
done:
  for (int i = 0; i < n; i++) tr_expr_unref(exprs[i]);
  free(exprs);
  return st;
}

/* A FRAME leaf over the needed columns of f; the others are gaps, with the dtype the plan gives them. */
static enum tr_status leaf(const struct tr_node *node, const struct tr_frame *f, struct tr_rel **out,
                           struct tr_error *err) {
  int n = node->rel->n_cols;
  struct tr_array **cols = calloc((size_t)n + 1, sizeof *cols); /* borrows */
  struct tr_frame *few = NULL;
  if (!cols) return tr_fail_memory(err, sizeof *cols);
  for (int i = 0; i < n; i++) cols[i] = node->need[i] ? f->cols[i] : NULL;
  enum tr_status st = tr_frame_new(f->n_rows, n, cols, &few, err);
  free(cols);
  TR_TRY(st);
  return tr_rel_source(TR_REL_FRAME, node->rel->cols, n, f->n_rows, few, release_frame, "frame", out, err);
}

static enum tr_status copy_node(const struct tr_exec_plan *p, int i, struct tr_rel **made, struct tr_error *err) {
  const struct tr_node *node = &p->nodes[i];
  const struct tr_rel *r = node->rel;
  if (r->kind == TR_REL_FRAME) return leaf(node, r->source, &made[i], err);
  if (tr_exec_at_hand(node)) return leaf(node, r->kept, &made[i], err);
  if (!r->n_inputs) {
    made[i] = tr_rel_ref(node->rel);
    return TR_OK;
  }
  struct tr_rel **inputs = calloc(r->n_inputs, sizeof *inputs); /* borrows */
  if (!inputs) return tr_fail_memory(err, sizeof *inputs);
  for (int k = 0; k < r->n_inputs; k++) inputs[k] = made[tr_exec_find(p, r->inputs[k])];
  enum tr_status st = tr_rel_remake(r, inputs, NULL, &made[i], err);
  free(inputs);
  return st;
}

static enum tr_status detach_locked(struct tr_rel *r, struct tr_rel **out, struct tr_error *err) {
  struct tr_exec_plan p;
  enum tr_status st = TR_OK;
  TR_TRY(tr_exec_prepare(r, NULL, TR_AIM_TRAVEL, &p, err));
  struct tr_rel **made = calloc((size_t)p.n, sizeof *made);
  if (!made) TR_GOTO(st, tr_fail_memory(err, sizeof *made * (size_t)p.n));
  for (int i = 0; i < p.n; i++) TR_GOTO(st, copy_node(&p, i, made, err));
  *out = tr_rel_ref(made[p.n - 1]);
done:
  for (int i = 0; made && i < p.n; i++) tr_rel_unref(made[i]);
  free(made);
  tr_exec_plan_drop(&p);
  return st;
}

enum tr_status tr_exec_detach(struct tr_rel *r, const bool *need, struct tr_rel **out, struct tr_error *err) {
  struct tr_rel *root = NULL;
  *out = NULL;
  TR_TRY(narrowed(r, need, &root, err));
  tr_exec_lock();
  enum tr_status st = detach_locked(root, out, err);
  tr_exec_unlock();
  tr_rel_unref(root);
  return st;
}

enum tr_status tr_exec_attach(struct tr_rel *r, const bool *need, const struct tr_frame *result, struct tr_frame **out,
                              struct tr_error *err) {
  struct tr_array **cols = calloc((size_t)r->n_cols + 1, sizeof *cols); /* borrows */
  enum tr_status st = TR_OK;
  int at = 0;
  *out = NULL;
  if (!cols) return tr_fail_memory(err, sizeof *cols);
  for (int i = 0; i < r->n_cols; i++) {
    if (need && !need[i]) continue;
    if (at < result->n_cols) cols[i] = result->cols[at];
    at++;
  }
  if (at != result->n_cols || (r->n_rows >= 0 && r->n_rows != result->n_rows))
    TR_GOTO(st, tr_fail(err, TR_EXC_RUNTIME, "a result of %d columns and %lld rows where %d and %lld were expected",
                        result->n_cols, (long long)result->n_rows, at, (long long)r->n_rows));
  TR_GOTO(st, tr_frame_new(result->n_rows, r->n_cols, cols, out, err));
  tr_exec_keep(r, *out);
done:
  free(cols);
  return st;
}
