/* The first rows of each group of a sorted frame: the sort moves into the GROUP_HEAD, which then orders only the rows
 * it keeps. Columns that were computed row by row between the two are computed of those rows only. Not for plans that
 * will be cut into stages: a sort of all rows is cut, an ordered head is not. */
#include "meta/opt/opt_int.h"
#include <stdlib.h>

enum { MOST_ROWS = 32 }; /* per group; a larger head sorts everything anyway */

static bool is_whole_sort(const struct tr_opt_node *node) {
  if (node->leaf || node->consumers > 1 || node->rel->kind != TR_REL_SORT || node->rel->opt.stop >= 0) return false;
  for (int i = 0; i < node->rel->n_exprs; i++)
    if (tr_opt_may_fail(node->rel->exprs[i])) return false;
  return true;
}

static bool may_follow(const struct tr_opt_node *project) {
  const struct tr_rel *r = project->rel;
  for (int i = 0; i < r->n_exprs; i++)
    if (project->need[i] && (!tr_opt_is_row_local(r->exprs[i]) || tr_opt_may_fail(r->exprs[i]))) return false;
  return true;
}

/* GROUP_HEAD of `head` over the sort's input: keys over its columns, then the sort's. */
static enum tr_status make_head(const struct tr_rel *head, struct tr_expr *const *keys, const struct tr_rel *sort,
                                struct tr_rel **out, struct tr_error *err) {
  const int n = head->n_keys + sort->n_exprs;
  struct tr_expr **exprs = calloc((size_t)n + 1, sizeof *exprs); /* borrows */
  bool *descending = calloc((size_t)n + 1, sizeof *descending);
  enum tr_status st = TR_OK;
  if (!exprs || !descending) TR_GOTO(st, tr_fail_memory(err, sizeof *exprs * (size_t)n));
  for (int i = 0; i < head->n_keys; i++) exprs[i] = keys[i];
  for (int i = 0; i < sort->n_exprs; i++) {
    exprs[head->n_keys + i] = sort->exprs[i];
    descending[head->n_keys + i] = sort->descending && sort->descending[i];
  }
  struct tr_rel_spec s = {.kind = TR_REL_GROUP_HEAD,
                          .inputs = sort->inputs,
                          .n_inputs = 1,
                          .exprs = exprs,
                          .n_exprs = n,
                          .n_keys = head->n_keys,
                          .descending = descending,
                          .opt = head->opt};
  s.opt.na_first = sort->opt.na_first;
  st = tr_rel_make(&s, out, err);
done:
  free(exprs);
  free(descending);
  return st;
}

static enum tr_status over_project(const struct tr_opt_plan *p, const struct tr_rel *head,
                                   const struct tr_opt_node *project, struct tr_rel **out, struct tr_error *err) {
  const struct tr_rel *r = project->rel;
  const struct tr_opt_node *sort = tr_opt_input(p, r, 0);
  struct tr_rel *few = NULL;
  if (project->consumers > 1 || !is_whole_sort(sort) || !may_follow(project)) return TR_OK;
  for (int i = 0; i < head->n_keys; i++)
    if (!tr_opt_can_substitute(head->exprs[i], r->exprs)) return TR_OK;
  struct tr_expr **keys = calloc((size_t)head->n_keys + 1, sizeof *keys);
  enum tr_status st = TR_OK;
  if (!keys) return tr_fail_memory(err, sizeof *keys * (size_t)head->n_keys);
  for (int i = 0; i < head->n_keys; i++) TR_GOTO(st, tr_expr_substitute(head->exprs[i], r->exprs, &keys[i], err));
  TR_GOTO(st, make_head(head, keys, sort->rel, &few, err));
  st = tr_rel_remake(r, &few, NULL, out, err);
done:
  tr_rel_unref(few);
  for (int i = 0; i < head->n_keys; i++) tr_expr_unref(keys[i]);
  free(keys);
  return st;
}

enum tr_status tr_opt_step_group_top(struct tr_opt_plan *p, int i, struct tr_rel **out, struct tr_error *err) {
  const struct tr_rel *r = p->nodes[i].rel;
  if (r->kind != TR_REL_GROUP_HEAD || r->n_exprs > r->n_keys || r->opt.start < 1 || r->opt.start > MOST_ROWS)
    return TR_OK;
  const struct tr_opt_node *in = tr_opt_input(p, r, 0);
  if (is_whole_sort(in)) return make_head(r, r->exprs, in->rel, out, err);
  if (in->leaf || in->rel->kind != TR_REL_PROJECT) return TR_OK;
  return over_project(p, r, in, out, err);
}
