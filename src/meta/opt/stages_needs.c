/* Which columns of which node are needed, by the shape alone: needs.c's rule for plans that cannot be read. Cutting
 * asks it for inputs that do not run. */
#include "meta/opt/stages_int.h"

static void need_expr(const struct tr_cut *c, int32_t no, bool *need) {
  const struct tr_shape_expr *e = &c->shape->exprs[no];
  if (e->column >= 0) need[e->column] = true;
  for (int i = 0; i < e->n_args; i++) need_expr(c, e->args[i], need);
}

static void need_exprs(const struct tr_cut *c, const struct tr_shape_node *node, int begin, int end, bool *need) {
  for (int i = begin; i < end; i++) need_expr(c, node->exprs[i], need);
}

static void need_items(const struct tr_cut *c, const struct tr_shape_node *node, const bool *wanted, bool *need) {
  for (int i = 0; i < node->n_items; i++) {
    if (!wanted[i]) continue;
    if (node->items[i].expr >= 0) need_expr(c, node->exprs[node->items[i].expr], need);
    if (node->items[i].expr2 >= 0) need_expr(c, node->exprs[node->items[i].expr2], need);
  }
}

static void pass(const bool *from, bool *to, int n) {
  for (int i = 0; i < n; i++) to[i] |= from[i];
}

static void propagate(const struct tr_cut *c, const struct tr_shape_node *node, const bool *mine, bool *const *in) {
  const struct tr_shape_node *left = tr_cut_node(c, node->inputs[0]);
  switch (node->kind) {
  case TR_REL_PROJECT:
    for (int i = 0; i < node->n_exprs; i++)
      if (mine[i]) need_expr(c, node->exprs[i], in[0]);
    return;
  case TR_REL_AGGREGATE:
    need_exprs(c, node, 0, node->n_keys, in[0]);
    need_items(c, node, mine + node->n_keys, in[0]);
    return;
  case TR_REL_WINDOW:
    pass(mine, in[0], left->n_cols);
    need_exprs(c, node, 0, node->n_keys, in[0]);
    need_items(c, node, mine + left->n_cols, in[0]);
    return;
  case TR_REL_JOIN:
    pass(mine, in[0], left->n_cols);
    pass(mine + left->n_cols, in[1], tr_cut_node(c, node->inputs[1])->n_cols);
    need_exprs(c, node, 0, node->n_keys, in[0]);
    need_exprs(c, node, node->n_keys, 2 * node->n_keys, in[1]);
    return;
  case TR_REL_ZIP:
    for (int k = 0, at = 0; k < node->n_inputs; at += tr_cut_node(c, node->inputs[k++])->n_cols)
      if (in[k]) pass(mine + at, in[k], tr_cut_node(c, node->inputs[k])->n_cols);
    return;
  default:
    for (int k = 0; k < node->n_inputs; k++) pass(mine, in[k], node->n_cols);
    need_exprs(c, node, 0, node->n_exprs, in[0]);
  }
}

bool tr_cut_runs_input(const struct tr_cut *c, int32_t no, int k) {
  const struct tr_shape_node *node = tr_cut_node(c, no);
  bool any = false, mine = false;
  if (node->kind != TR_REL_ZIP) return true;
  for (int j = 0, at = 0; j < node->n_inputs; at += tr_cut_node(c, node->inputs[j++])->n_cols)
    for (int i = 0; i < tr_cut_node(c, node->inputs[j])->n_cols; i++) {
      any |= c->need[no][at + i];
      mine |= j == k && c->need[no][at + i];
    }
  return any ? mine : k == node->n_inputs - 1;
}

static bool *new_need(struct tr_cut *c, int32_t no) { return tr_cut_alloc(c, (size_t)tr_cut_node(c, no)->n_cols); }

enum tr_status tr_cut_needs(struct tr_cut *c) {
  int32_t root = c->shape->n_nodes - 1;
  c->need = tr_cut_alloc(c, sizeof *c->need * (size_t)c->shape->n_nodes);
  if (!c->need || !(c->need[root] = new_need(c, root))) return tr_fail_memory(c->err, 1000);
  for (int32_t i = 0; i < tr_cut_node(c, root)->n_cols; i++) c->need[root][i] = true;
  for (int32_t no = root; no >= 0; no--) {
    const struct tr_shape_node *node = tr_cut_node(c, no);
    if (!c->need[no] || node->source >= 0) continue;
    bool **in = tr_cut_alloc(c, sizeof *in * (size_t)node->n_inputs);
    if (!in) return tr_fail_memory(c->err, 1000);
    for (int k = 0; k < node->n_inputs; k++) {
      if (!tr_cut_runs_input(c, no, k)) continue;
      bool **need = &c->need[node->inputs[k]];
      if (!*need && !(*need = new_need(c, node->inputs[k]))) return tr_fail_memory(c->err, 1000);
      in[k] = *need;
    }
    propagate(c, node, c->need[no], in);
  }
  return TR_OK;
}
