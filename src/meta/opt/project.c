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

static enum tr_status placeholder(struct tr_dtype t, struct tr_expr **out, struct tr_error *err) {
  struct tr_scalar s = {.dtype = t, .is_null = !tr_kind_is_int(t.kind) && t.kind != TR_BOOL};
  return tr_expr_lit(&s, false, out, err);
}

static bool may_substitute(const struct tr_expr *e, struct tr_expr *const *inner) {
  if (e->op == TR_OP_COL) return true;
  if (!may_embed(e, inner) || size_of(e, inner) > MOST_NODES) return false;
  return tr_opt_can_substitute(e, inner);
}

static enum tr_status fuse(const struct tr_opt_node *node, const struct tr_rel *inner, struct tr_rel **out,
                           struct tr_error *err) {
  const struct tr_rel *r = node->rel;
  for (int i = 0; i < r->n_exprs; i++)
    if (node->need[i] && !may_substitute(r->exprs[i], inner->exprs)) return TR_OK;
  struct tr_expr **exprs = calloc((size_t)r->n_exprs + 1, sizeof *exprs);
  enum tr_status st = TR_OK;
  if (!exprs) return tr_fail_memory(err, sizeof *exprs * (size_t)r->n_exprs);
  for (int i = 0; i < r->n_exprs; i++) {
    if (node->need[i]) TR_GOTO(st, tr_expr_substitute(r->exprs[i], inner->exprs, &exprs[i], err));
    else TR_GOTO(st, placeholder(r->cols[i].dtype, &exprs[i], err));
  }
  st = tr_rel_remake(r, inner->inputs, exprs, out, err);
done:
  for (int i = 0; i < r->n_exprs; i++) tr_expr_unref(exprs[i]);
  free(exprs);
  return st;
}

static bool is_identity(const struct tr_opt_node *node) {
  const struct tr_rel *r = node->rel;
  if (r->n_cols != r->inputs[0]->n_cols) return false;
  for (int i = 0; i < r->n_exprs; i++)
    if (node->need[i] && (r->exprs[i]->op != TR_OP_COL || r->exprs[i]->column != i)) return false;
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
