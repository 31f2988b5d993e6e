/* Projections: one over another becomes one (the evaluator computes common subtrees once, so nothing is computed
 * twice), and one that changes nothing goes. Columns that nobody needs become literals on the way, so that expressions
 * cannot grow unread. */
#include "meta/opt/opt_int.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_NODES = 400 }; /* of one expression: trees share nothing, so substituting can double them */

static int size_of(const struct tr_expr *e, struct tr_expr *const *inner) {
  if (e->op == TR_OP_COL && inner) return size_of(inner[e->column], NULL);
  int n = 1;
  for (int i = 0; i < e->n_args && n <= MOST_NODES; i++) n += size_of(e->args[i], inner);
  return n;
}

/* Row numbers and made categories must stay columns of their own: only a plain column may become one. */
static bool may_embed(const struct tr_expr *e, struct tr_expr *const *inner) {
  if (e->op == TR_OP_COL) {
    const struct tr_expr *in = inner[e->column];
    return in->op != TR_OP_ROW_NUMBER && (in->dtype.kind != TR_CATEGORY || in->op == TR_OP_COL);
  }
  for (int i = 0; i < e->n_args; i++)
    if (!may_embed(e->args[i], inner)) return false;
  return true;
}

/* A value in place of a column that nobody needs. It is missing only where the column may be: expressions over it stay
 * in the plan, and what they say of it must stay true. */
static enum tr_status placeholder(struct tr_rel_col col, struct tr_expr **out, struct tr_error *err) {
  struct tr_scalar s = {.dtype = col.dtype, .is_null = col.maybe_null};
  if (!s.is_null && col.dtype.kind == TR_STR) s.s.ptr = "";
  return tr_expr_lit(&s, false, out, err);
}

static bool may_substitute(const struct tr_expr *e, struct tr_expr *const *inner) {
  if (e->op == TR_OP_COL) return true;
  if (!may_embed(e, inner) || size_of(e, inner) > MOST_NODES) return false;
  return tr_opt_can_substitute(e, inner);
}

/* There is no literal for a category that is not missing. */
static bool stays(const struct tr_opt_node *node, int i) {
  const struct tr_rel_col *col = &node->rel->cols[i];
  return node->need[i] || (col->dtype.kind == TR_CATEGORY && !col->maybe_null);
}

static enum tr_status fuse(const struct tr_opt_node *node, const struct tr_rel *inner, struct tr_rel **out,
                           struct tr_error *err) {
  const struct tr_rel *r = node->rel;
  for (int i = 0; i < r->n_exprs; i++)
    if (stays(node, i) && !may_substitute(r->exprs[i], inner->exprs)) return TR_OK;
  struct tr_expr **exprs = calloc((size_t)r->n_exprs + 1, sizeof *exprs);
  enum tr_status st = TR_OK;
  if (!exprs) return tr_fail_memory(err, sizeof *exprs * (size_t)r->n_exprs);
  for (int i = 0; i < r->n_exprs; i++) {
    if (stays(node, i)) TR_GOTO(st, tr_expr_substitute(r->exprs[i], inner->exprs, &exprs[i], err));
    else TR_GOTO(st, placeholder(r->cols[i], &exprs[i], err));
  }
  st = tr_rel_remake(r, inner->inputs, exprs, out, err);
done:
  for (int i = 0; i < r->n_exprs; i++) tr_expr_unref(exprs[i]);
  free(exprs);
  return st;
}

/* Expressions over a column that nobody needs stay in the plan, and what they say of it must stay true. */
static bool same_col(struct tr_rel_col a, struct tr_rel_col b) {
  return tr_dtype_eq(a.dtype, b.dtype) && a.maybe_null == b.maybe_null && a.unsettled == b.unsettled;
}

static bool is_identity(const struct tr_opt_node *node) {
  const struct tr_rel *r = node->rel;
  if (r->n_cols != r->inputs[0]->n_cols) return false;
  for (int i = 0; i < r->n_exprs; i++) {
    if (!same_col(r->cols[i], r->inputs[0]->cols[i])) return false;
    if (node->need[i] && (r->exprs[i]->op != TR_OP_COL || r->exprs[i]->column != i)) return false;
  }
  return true;
}

static bool is_free(const struct tr_opt_node *node) {
  for (int i = 0; i < node->rel->n_exprs; i++)
    if (node->need[i] && !tr_opt_is_free(node->rel->exprs[i])) return false;
  return true;
}

enum tr_status tr_opt_step_project(struct tr_opt_plan *p, int i, struct tr_rel **out, struct tr_error *err) {
  const struct tr_opt_node *node = &p->nodes[i];
  if (node->rel->kind != TR_REL_PROJECT) return TR_OK;
  if (i != p->n - 1 && is_identity(node)) {
    *out = tr_rel_ref(node->rel->inputs[0]);
    return TR_OK;
  }
  const struct tr_opt_node *in = tr_opt_input(p, node->rel, 0);
  if (in->leaf || in->rel->kind != TR_REL_PROJECT || (in->consumers > 1 && !is_free(in))) return TR_OK;
  return fuse(node, in->rel, out, err);
}
