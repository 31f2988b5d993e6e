/* Which columns a node needs of its inputs: the rule of column pruning, used by the optimiser and by the executor. */
#include "meta/opt/opt.h"

static void need_exprs(const struct tr_rel *r, int begin, int end, bool *need) {
  for (int i = begin; i < end; i++) tr_expr_columns(r->exprs[i], need);
}

static void need_items(const struct tr_rel *r, const bool *out_need, bool *need) {
  for (int i = 0; i < r->n_items; i++) {
    if (!out_need[i]) continue;
    if (r->items[i].expr >= 0) tr_expr_columns(r->exprs[r->items[i].expr], need);
    if (r->items[i].expr2 >= 0) tr_expr_columns(r->exprs[r->items[i].expr2], need);
  }
}

static void pass_need(const bool *from, bool *to, int n) {
  for (int i = 0; i < n; i++) to[i] |= from[i];
}

void tr_opt_input_needs(const struct tr_rel *r, const bool *need, bool *const *input_need) {
  switch (r->kind) {
  case TR_REL_PROJECT:
    for (int i = 0; i < r->n_exprs; i++)
      if (need[i]) tr_expr_columns(r->exprs[i], input_need[0]);
    break;
  case TR_REL_AGGREGATE:
    need_exprs(r, 0, r->n_keys, input_need[0]);
    need_items(r, need + r->n_keys, input_need[0]);
    break;
  case TR_REL_WINDOW:
    pass_need(need, input_need[0], r->inputs[0]->n_cols);
    need_exprs(r, 0, r->n_keys, input_need[0]);
    need_items(r, need + r->inputs[0]->n_cols, input_need[0]);
    break;
  case TR_REL_ZIP:
    for (int k = 0, at = 0; k < r->n_inputs; at += r->inputs[k++]->n_cols)
      pass_need(need + at, input_need[k], r->inputs[k]->n_cols);
    break;
  case TR_REL_JOIN:
    pass_need(need, input_need[0], r->inputs[0]->n_cols);
    pass_need(need + r->inputs[0]->n_cols, input_need[1], r->inputs[1]->n_cols);
    need_exprs(r, 0, r->n_keys, input_need[0]);
    need_exprs(r, r->n_keys, 2 * r->n_keys, input_need[1]);
    break;
  default:
    for (int k = 0; k < r->n_inputs; k++) pass_need(need, input_need[k], r->n_cols);
    if (r->n_inputs) need_exprs(r, 0, r->n_exprs, input_need[0]);
  }
}

bool tr_opt_runs_input(const struct tr_rel *r, const bool *need, int k) {
  if (r->kind != TR_REL_ZIP) return true;
  bool any = false, mine = false;
  for (int j = 0, at = 0; j < r->n_inputs; at += r->inputs[j++]->n_cols)
    for (int i = 0; i < r->inputs[j]->n_cols; i++) {
      any |= need[at + i];
      mine |= j == k && need[at + i];
    }
  return any ? mine : k == r->n_inputs - 1;
}
