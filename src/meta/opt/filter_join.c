/* Filters above joins: each conjunct that reads one side only, a side all of whose pairs the filter may take away,
 * moves into that side; one that reads only key columns goes into the other side too when that side is still to be
 * read. */
#include "meta/opt/filter_int.h"
#include <stdlib.h>
#include <string.h>

/* numbers of enum tr_join_how of data/kern/join */
enum { INNER, LEFT, RIGHT, OUTER, CROSS, SEMI, ANTI };

struct sides {
  const struct tr_rel *join;
  const struct tr_opt_node *in[2];
  struct tr_expr **subst[2]; /* n_cols each: a join column over a side's columns; NULL where it is not the side's */
};

static bool may_enter(int how, int side) {
  return side == 0 ? how == INNER || how == LEFT || how == SEMI || how == ANTI || how == CROSS
                   : how == INNER || how == RIGHT || how == CROSS;
}

/* Equal keys are equal values: same dtype, nothing that compares equal and is not. */
static bool same_key(const struct tr_expr *a, const struct tr_expr *b) {
  return tr_dtype_eq(a->dtype, b->dtype) && !tr_kind_is_float(a->dtype.kind) && a->dtype.kind != TR_CATEGORY &&
         !a->dtype_depends_on_data && !b->dtype_depends_on_data;
}

static enum tr_status sides_make(struct tr_opt_plan *p, const struct tr_rel *join, struct sides *s,
                                 struct tr_error *err) {
  int at[3] = {0, join->inputs[0]->n_cols, join->inputs[0]->n_cols + join->inputs[1]->n_cols};
  s->join = join;
  for (int k = 0; k < 2; k++) {
    s->in[k] = tr_opt_input(p, join, k);
    s->subst[k] = calloc((size_t)join->n_cols + 1, sizeof *s->subst[k]);
    if (!s->subst[k]) return tr_fail_memory(err, sizeof *s->subst[k] * (size_t)join->n_cols);
    if (!may_enter(join->opt.how, k)) continue;
    for (int c = at[k]; c < at[k + 1]; c++)
      TR_TRY(tr_expr_col(c - at[k], join->cols[c].dtype, join->cols[c].maybe_null, &s->subst[k][c], err));
    for (int j = 0; j < join->n_keys; j++) { /* the coalesced key is the left one wherever there is a left row */
      struct tr_expr *a = join->exprs[j], *b = join->exprs[join->n_keys + j];
      if (k == 0) s->subst[0][at[2] + j] = tr_expr_ref(a);
      else if (join->opt.how == RIGHT && same_key(a, b)) s->subst[1][at[2] + j] = tr_expr_ref(b);
    }
  }
  return TR_OK;
}

static void sides_drop(struct sides *s) {
  for (int k = 0; k < 2; k++) {
    for (int c = 0; s->subst[k] && c < s->join->n_cols; c++) tr_expr_unref(s->subst[k][c]);
    free(s->subst[k]);
  }
}

static bool covered(const struct tr_expr *e, struct tr_expr *const *subst) {
  if (e->op == TR_OP_COL) return subst[e->column] != NULL;
  for (int i = 0; i < e->n_args; i++)
    if (!covered(e->args[i], subst)) return false;
  return true;
}

/* Fewer rows of one side must not change a needed dtype: ints that meet missing rows become float. */
static bool dtypes_stay(const struct sides *s, const bool *above) {
  const struct tr_rel *j = s->join;
  int n_left = j->inputs[0]->n_cols, n_both = n_left + j->inputs[1]->n_cols;
  if (j->opt.how != LEFT && j->opt.how != RIGHT) return true;
  for (int c = 0; c < j->n_cols; c++) {
    if (!above[c]) continue;
    if (c < n_both && (c < n_left) == (j->opt.how == RIGHT) && j->cols[c].unsettled) return false;
    if (c >= n_both && j->opt.how == RIGHT && !same_key(j->exprs[c - n_both], j->exprs[c - n_both + j->n_keys]))
      return false;
  }
  return true;
}

/* The parts that move into `side`, over the other side's keys; NULL when they read anything else or it would not pay.
 */
static enum tr_status for_other_side(const struct sides *s, int side, const struct tr_conjuncts *c,
                                     struct tr_expr **out, struct tr_error *err) {
  const struct tr_rel *j = s->join;
  const struct tr_opt_node *other = s->in[!side];
  struct tr_conjuncts keys = *c;
  bool any = false;
  *out = NULL;
  if (other->leaf && other->rel->kind != TR_REL_PARQUET) return TR_OK;
  struct tr_expr **subst = calloc((size_t)j->n_cols + 1, sizeof *subst); /* borrows */
  if (!subst) return tr_fail_memory(err, sizeof *subst * (size_t)j->n_cols);
  int first = side ? j->inputs[0]->n_cols : 0, n_both = j->inputs[0]->n_cols + j->inputs[1]->n_cols;
  for (int k = 0; k < j->n_keys; k++) {
    struct tr_expr *mine = j->exprs[side ? j->n_keys + k : k], *theirs = j->exprs[side ? k : j->n_keys + k];
    if (!same_key(mine, theirs)) continue;
    if (mine->op == TR_OP_COL && !s->in[side]->loose[mine->column]) subst[first + mine->column] = theirs;
    if (s->subst[side][n_both + k]) subst[n_both + k] = theirs;
  }
  for (int k = 0; k < c->n; k++) {
    keys.moves[k] = c->moves[k] && covered(c->parts[k], subst) && tr_opt_can_substitute(c->parts[k], subst);
    any |= keys.moves[k];
  }
  enum tr_status st = any ? tr_opt_join_conjuncts(&keys, true, subst, out, err) : TR_OK;
  free(subst);
  return st;
}

static enum tr_status filtered(struct tr_rel *in, struct tr_expr *predicate, struct tr_rel **out,
                               struct tr_error *err) {
  if (predicate) return tr_opt_make_filter(in, predicate, out, err);
  *out = tr_rel_ref(in);
  return TR_OK;
}

static enum tr_status push_into(struct sides *s, int side, const struct tr_conjuncts *c, struct tr_rel **out,
                                struct tr_error *err) {
  struct tr_expr *moved = NULL, *echo = NULL;
  struct tr_rel *inputs[2] = {0}, *made = NULL;
  enum tr_status st;
  TR_GOTO(st, tr_opt_join_conjuncts(c, true, s->subst[side], &moved, err));
  TR_GOTO(st, for_other_side(s, side, c, &echo, err));
  TR_GOTO(st, filtered(s->join->inputs[side], moved, &inputs[side], err));
  TR_GOTO(st, filtered(s->join->inputs[!side], echo, &inputs[!side], err));
  TR_GOTO(st, tr_rel_remake(s->join, inputs, NULL, &made, err));
  st = tr_opt_keep_rest(c, made, out, err);
done:
  tr_expr_unref(moved);
  tr_expr_unref(echo);
  tr_rel_unref(inputs[0]);
  tr_rel_unref(inputs[1]);
  return st;
}

static bool keys_row_local(const struct tr_rel *r) {
  for (int i = 0; i < r->n_exprs; i++)
    if (!tr_opt_is_row_local(r->exprs[i])) return false;
  return true;
}

enum tr_status tr_opt_filter_join(struct tr_opt_plan *p, int i, struct tr_conjuncts *c, struct tr_rel **out,
                                  struct tr_error *err) {
  const struct tr_rel *join = p->nodes[i].rel->inputs[0];
  struct sides s = {0};
  enum tr_status st = TR_OK;
  if (!keys_row_local(join)) return TR_OK;
  bool *above = calloc((size_t)join->n_cols + 1, sizeof *above);
  if (!above) return tr_fail_memory(err, (size_t)join->n_cols);
  TR_GOTO(st, sides_make(p, join, &s, err));
  for (int side = 0; side < 2 && !*out; side++) { /* the other side's turn comes with the next sweep */
    bool any = false;
    if (!may_enter(join->opt.how, side)) continue;
    for (int k = 0; k < c->n; k++) {
      c->moves[k] = covered(c->parts[k], s.subst[side]) && tr_opt_can_substitute(c->parts[k], s.subst[side]);
      any |= c->moves[k];
    }
    tr_opt_needed_above(p, i, c, above);
    if (any && dtypes_stay(&s, above)) TR_GOTO(st, push_into(&s, side, c, out, err));
  }
done:
  sides_drop(&s);
  free(above);
  return st;
}
