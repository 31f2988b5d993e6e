/* Filters move towards the sources, one node at a time and conjunct by conjunct, so that less is computed, joined,
 * sorted and read. A filter stays above what must see all rows: row numbers that somebody reads, windows that look
 * across its groups, dtypes and categories that the data decides, operations that may raise. It never moves into a node
 * that others read too. */
#include "meta/opt/filter_int.h"
#include <stdlib.h>
#include <string.h>

static bool take_apart(struct tr_expr *e, struct tr_conjuncts *c) {
  if (e->op == TR_OP_AND) return take_apart(e->args[0], c) && take_apart(e->args[1], c);
  if (c->n == TR_MOST_CONJUNCTS) return false;
  c->parts[c->n++] = e;
  return true;
}

enum tr_status tr_opt_join_conjuncts(const struct tr_conjuncts *c, bool moves, struct tr_expr *const *subst,
                                     struct tr_expr **out, struct tr_error *err) {
  struct tr_expr *all = NULL;
  enum tr_status st = TR_OK;
  *out = NULL;
  for (int i = 0; i < c->n && st == TR_OK; i++) {
    struct tr_expr *part = NULL, *both = NULL;
    if (c->moves[i] != moves) continue;
    if (subst) st = tr_expr_substitute(c->parts[i], subst, &part, err);
    else part = tr_expr_ref(c->parts[i]);
    if (st == TR_OK && all) {
      struct tr_expr *args[2] = {all, part};
      st = tr_expr_make(TR_OP_AND, args, 2, NULL, &both, err);
      tr_expr_unref(all);
      tr_expr_unref(part);
      all = both;
    } else if (st == TR_OK) {
      all = part;
    }
  }
  if (st == TR_OK) *out = all;
  else tr_expr_unref(all);
  return st;
}

void tr_opt_needed_above(const struct tr_opt_plan *p, int i, const struct tr_conjuncts *c, bool *need) {
  memcpy(need, p->nodes[i].need, (size_t)p->nodes[i].rel->n_cols);
  for (int k = 0; k < c->n; k++)
    if (!c->moves[k]) tr_expr_columns(c->parts[k], need);
}

enum tr_status tr_opt_keep_rest(const struct tr_conjuncts *c, struct tr_rel *in, struct tr_rel **out,
                                struct tr_error *err) {
  struct tr_expr *rest = NULL;
  *out = NULL;
  enum tr_status st = tr_opt_join_conjuncts(c, false, NULL, &rest, err);
  if (st == TR_OK && !rest) {
    *out = in;
    return TR_OK;
  }
  if (st == TR_OK) st = tr_opt_make_filter(in, rest, out, err);
  tr_expr_unref(rest);
  tr_rel_unref(in);
  return st;
}

static bool any_moves(const struct tr_conjuncts *c) {
  for (int k = 0; k < c->n; k++)
    if (c->moves[k]) return true;
  return false;
}

static bool all_row_local(const struct tr_rel *r) {
  for (int i = 0; i < r->n_exprs; i++)
    if (!tr_opt_is_row_local(r->exprs[i])) return false;
  return true;
}

/* Puts the parts that move below node `in` (of one or several inputs). */
static enum tr_status push_below(const struct tr_conjuncts *c, const struct tr_rel *in, struct tr_expr *const *subst,
                                 struct tr_rel **out, struct tr_error *err) {
  struct tr_expr *moved = NULL;
  struct tr_rel *made = NULL, **inputs = calloc((size_t)in->n_inputs, sizeof *inputs);
  enum tr_status st;
  if (!inputs) return tr_fail_memory(err, sizeof *inputs * in->n_inputs);
  TR_GOTO(st, tr_opt_join_conjuncts(c, true, subst, &moved, err));
  for (int k = 0; k < in->n_inputs; k++) TR_GOTO(st, tr_opt_make_filter(in->inputs[k], moved, &inputs[k], err));
  TR_GOTO(st, tr_rel_remake(in, inputs, NULL, &made, err));
  st = tr_opt_keep_rest(c, made, out, err);
done:
  for (int k = 0; k < in->n_inputs; k++) tr_rel_unref(inputs[k]);
  free(inputs);
  tr_expr_unref(moved);
  return st;
}

static enum tr_status fuse(const struct tr_conjuncts *c, const struct tr_rel *outer, const struct tr_rel *inner,
                           struct tr_rel **out, struct tr_error *err) {
  for (int k = 0; k < c->n; k++) /* a dear test is better run on what the inner filter leaves */
    if (!tr_opt_is_cheap(c->parts[k])) return TR_OK;
  struct tr_expr *args[2] = {inner->exprs[0], outer->exprs[0]}, *both;
  TR_TRY(tr_expr_make(TR_OP_AND, args, 2, NULL, &both, err));
  enum tr_status st = tr_opt_make_filter(inner->inputs[0], both, out, err);
  tr_expr_unref(both);
  return st;
}

/* Over columns in memory, filtering more columns than come out costs more than computing all rows of cheap ones. */
static bool pays(const struct tr_opt_plan *p, const struct tr_rel *project, const bool *above) {
  const struct tr_opt_node *src = tr_opt_input(p, project, 0);
  if (!src->leaf || src->rel->kind == TR_REL_PARQUET) return true;
  bool *read = calloc((size_t)src->rel->n_cols + 1, sizeof *read);
  int n_in = 0, n_out = 0;
  bool dear = !read;
  for (int c = 0; c < project->n_cols && !dear; c++) {
    if (!above[c]) continue;
    n_out++;
    dear = !tr_opt_is_cheap(project->exprs[c]);
    tr_expr_columns(project->exprs[c], read);
  }
  for (int c = 0; c < src->rel->n_cols && !dear; c++) n_in += read[c];
  free(read);
  return dear || n_in <= n_out;
}

static bool may_pass_project(const struct tr_opt_plan *p, int i, const struct tr_rel *project,
                             const struct tr_expr *part, bool *reads) {
  memset(reads, 0, (size_t)project->n_cols);
  tr_expr_columns(part, reads);
  for (int c = 0; c < project->n_cols; c++) {
    if (!reads[c]) continue;
    const struct tr_expr *e = project->exprs[c];
    if (tr_opt_has_op(e, TR_OP_ROW_NUMBER) || !(tr_opt_is_row_local(e) || e->dtype_depends_on_data)) return false;
    if (!tr_opt_is_cheap(e) && p->nodes[i].need[c]) return false; /* it would be computed twice */
  }
  return tr_opt_can_substitute(part, project->exprs);
}

static enum tr_status through_project(struct tr_opt_plan *p, int i, struct tr_conjuncts *c, struct tr_rel **out,
                                      struct tr_error *err) {
  const struct tr_rel *project = p->nodes[i].rel->inputs[0];
  bool *above = calloc((size_t)project->n_cols + 1, sizeof *above);
  if (!above) return tr_fail_memory(err, (size_t)project->n_cols);
  for (int k = 0; k < c->n; k++) c->moves[k] = may_pass_project(p, i, project, c->parts[k], above);
  tr_opt_needed_above(p, i, c, above);
  bool moves = any_moves(c) && pays(p, project, above);
  for (int k = 0; k < project->n_cols; k++)
    if (above[k] && !tr_opt_is_row_local(project->exprs[k])) moves = false;
  free(above);
  return moves ? push_below(c, project, project->exprs, out, err) : TR_OK;
}

static enum tr_status through_concat(struct tr_opt_plan *p, int i, struct tr_conjuncts *c, struct tr_rel **out,
                                     struct tr_error *err) {
  const struct tr_rel *concat = p->nodes[i].rel->inputs[0];
  const bool *loose = tr_opt_input(p, p->nodes[i].rel, 0)->loose;
  for (int k = 0; k < c->n; k++) c->moves[k] = !tr_opt_reads_any(c->parts[k], loose);
  return any_moves(c) ? push_below(c, concat, NULL, out, err) : TR_OK;
}

/* Items that are computed group by group stay what they are when whole groups go. */
static bool items_stay(const struct tr_opt_plan *p, const struct tr_rel *r, const bool *item_need) {
  for (int i = 0; i < r->n_items; i++)
    if (item_need[i] && (tr_opt_traits(p, r, i) & (TR_OPT_SEES_GROUPS | TR_OPT_DTYPE_DEPENDS))) return false;
  return true;
}

/* AGGREGATE, WINDOW, GROUP_HEAD and DISTINCT: parts that read only keys take or leave whole groups. */
static enum tr_status through_groups(struct tr_opt_plan *p, int i, struct tr_conjuncts *c, struct tr_rel **out,
                                     struct tr_error *err) {
  const struct tr_rel *r = p->nodes[i].rel->inputs[0];
  bool aggregate = r->kind == TR_REL_AGGREGATE;
  int n_keys = r->kind == TR_REL_DISTINCT ? r->n_exprs : r->n_keys;
  if (!n_keys || !all_row_local(r)) return TR_OK;
  bool *flags = calloc((size_t)r->n_cols * 2 + 1, sizeof *flags), *above = flags + r->n_cols;
  if (!flags) return tr_fail_memory(err, (size_t)r->n_cols);
  for (int k = 0; k < n_keys; k++) {
    if (aggregate) flags[k] = true;
    else if (r->exprs[k]->op == TR_OP_COL) flags[r->exprs[k]->column] = true;
  }
  for (int k = 0; k < c->n; k++)
    c->moves[k] = tr_opt_reads_only(c->parts[k], flags) && tr_opt_is_key_safe(c->parts[k]) &&
                  (!aggregate || tr_opt_can_substitute(c->parts[k], r->exprs));
  tr_opt_needed_above(p, i, c, above);
  bool moves = any_moves(c) && items_stay(p, r, above + (r->n_cols - r->n_items));
  free(flags);
  return moves ? push_below(c, r, aggregate ? r->exprs : NULL, out, err) : TR_OK;
}

/* A projection of plain columns may be repeated for each of its readers. */
static bool is_free_project(const struct tr_opt_node *node) {
  if (node->rel->kind != TR_REL_PROJECT) return false;
  for (int i = 0; i < node->rel->n_exprs; i++)
    if (node->need[i] && !tr_opt_is_free(node->rel->exprs[i])) return false;
  return true;
}

enum tr_status tr_opt_step_filter(struct tr_opt_plan *p, int i, struct tr_rel **out, struct tr_error *err) {
  const struct tr_rel *r = p->nodes[i].rel;
  if (r->kind != TR_REL_FILTER) return TR_OK;
  const struct tr_opt_node *in = tr_opt_input(p, r, 0);
  if (in->leaf || (in->consumers > 1 && !is_free_project(in)) || tr_opt_may_fail(r->exprs[0])) return TR_OK;
  struct tr_conjuncts c = {0};
  if (!take_apart(r->exprs[0], &c)) {
    c.parts[0] = r->exprs[0];
    c.n = 1;
  }
  switch (in->rel->kind) {
  case TR_REL_FILTER: return fuse(&c, r, in->rel, out, err);
  case TR_REL_PROJECT: return through_project(p, i, &c, out, err);
  case TR_REL_CONCAT: return through_concat(p, i, &c, out, err);
  case TR_REL_JOIN: return tr_opt_filter_join(p, i, &c, out, err);
  case TR_REL_AGGREGATE:
  case TR_REL_WINDOW:
  case TR_REL_GROUP_HEAD:
  case TR_REL_DISTINCT: return through_groups(p, i, &c, out, err);
  case TR_REL_SORT:
    if (in->rel->opt.stop >= 0 || !all_row_local(in->rel)) return TR_OK;
    memset(c.moves, true, sizeof c.moves);
    return push_below(&c, in->rel, NULL, out, err);
  default: return TR_OK;
  }
}
