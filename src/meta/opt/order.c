/* Who can see the order of rows. Top down: the root's order is seen; a sorted group-by of order-insensitive aggregates
 * does not see the order of its input, a filter sees it when its own is seen, and so on. A sort whose order its reader
 * does not see is passed by. (A sort above another sort does see it: ties keep the lower order.) */
#include "meta/opt/opt_int.h"
#include <stdlib.h>

static bool has_float_key(const struct tr_rel *r, int n_keys) {
  for (int k = 0; k < n_keys; k++) /* the first row decides whether a group of zeros shows 0.0 or -0.0 */
    if (tr_kind_is_float(r->exprs[k]->dtype.kind)) return true;
  return false;
}

static bool items_see_order(const struct tr_opt_plan *p, const struct tr_opt_node *node, int first) {
  for (int i = 0; i < node->rel->n_items; i++) {
    if (!node->need[first + i]) continue;
    if (tr_opt_traits(p, node->rel, i) & (TR_OPT_SEES_ORDER | TR_OPT_DTYPE_DEPENDS)) return true;
  }
  return false;
}

static bool distinct_sees(const struct tr_opt_node *node) {
  const struct tr_rel *r = node->rel;
  if (!node->unordered || has_float_key(r, r->n_exprs)) return true;
  if (r->opt.keep == 2) return false;
  for (int c = 0; c < r->n_cols; c++) { /* which of the equal rows is kept shows in other columns */
    bool is_key = false;
    for (int k = 0; k < r->n_exprs; k++) is_key |= r->exprs[k]->op == TR_OP_COL && r->exprs[k]->column == c;
    if (node->need[c] && !is_key) return true;
  }
  return false;
}

static bool sees_order(const struct tr_opt_plan *p, const struct tr_opt_node *node) {
  const struct tr_rel *r = node->rel;
  switch (r->kind) {
  case TR_REL_FILTER:
  case TR_REL_JOIN:
  case TR_REL_CONCAT: return !node->unordered;
  case TR_REL_PROJECT:
    for (int i = 0; i < r->n_exprs; i++)
      if (node->need[i] && tr_opt_has_op(r->exprs[i], TR_OP_ROW_NUMBER)) return true;
    return !node->unordered;
  case TR_REL_AGGREGATE:
    if (items_see_order(p, node, r->n_keys) || has_float_key(r, r->n_keys)) return true;
    return r->n_keys && !r->opt.sort && !node->unordered;
  case TR_REL_SORT: return r->opt.stop >= 0 || !node->unordered;
  case TR_REL_DISTINCT: return distinct_sees(node);
  default: return true;
  }
}

void tr_opt_find_unordered(struct tr_opt_plan *p) {
  for (int i = 0; i < p->n - 1; i++) p->nodes[i].unordered = true;
  for (int i = p->n - 1; i >= 0; i--) {
    struct tr_opt_node *node = &p->nodes[i];
    if (!node->wanted || node->leaf || !sees_order(p, node)) continue;
    for (int k = 0; k < node->rel->n_inputs; k++) tr_opt_input(p, node->rel, k)->unordered = false;
  }
}

static struct tr_rel *below_sorts(const struct tr_opt_plan *p, struct tr_rel *r) {
  for (;;) {
    const struct tr_opt_node *node = &p->nodes[tr_opt_find(p, r)];
    if (node->leaf || r->kind != TR_REL_SORT || r->opt.stop >= 0) return r;
    for (int i = 0; i < r->n_exprs; i++)
      if (tr_opt_may_fail(r->exprs[i])) return r;
    r = r->inputs[0];
  }
}

enum tr_status tr_opt_step_order(struct tr_opt_plan *p, int i, struct tr_rel **out, struct tr_error *err) {
  struct tr_rel *r = p->nodes[i].rel;
  bool any = false;
  if (sees_order(p, &p->nodes[i])) return TR_OK;
  struct tr_rel **inputs = calloc((size_t)r->n_inputs + 1, sizeof *inputs); /* borrows */
  if (!inputs) return tr_fail_memory(err, sizeof *inputs * r->n_inputs);
  for (int k = 0; k < r->n_inputs; k++) {
    inputs[k] = below_sorts(p, r->inputs[k]);
    any |= inputs[k] != r->inputs[k];
  }
  enum tr_status st = any ? tr_rel_remake(r, inputs, NULL, out, err) : TR_OK;
  free(inputs);
  return st;
}
