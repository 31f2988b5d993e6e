/* What the passes must know of an expression before they move it. The answers err on the side of leaving things alone.
 */
#include "meta/opt/opt_int.h"
#include <string.h>

static bool op_may_fail(const struct tr_expr *e) { return tr_expr_outcome(e) == TR_OUTCOME_RAISES; }

bool tr_opt_may_fail(const struct tr_expr *e) { return e->may_raise; }

static bool is_row_local(const struct tr_expr *e) {
  if (e->op == TR_OP_ROW_NUMBER || op_may_fail(e)) return false;
  if (e->dtype.kind == TR_CATEGORY && e->op != TR_OP_COL) return false; /* categories may be made from all rows */
  for (int i = 0; i < e->n_args; i++)
    if (!is_row_local(e->args[i])) return false;
  return true;
}

bool tr_opt_is_row_local(const struct tr_expr *e) { return !e->dtype_depends_on_data && is_row_local(e); }

static int cost(const struct tr_expr *e) {
  int n = 0;
  switch (e->op) {
  case TR_OP_COL:
  case TR_OP_LIT: return 0;
  case TR_OP_ADD:
  case TR_OP_SUB:
  case TR_OP_MUL:
  case TR_OP_NEG:
  case TR_OP_ABS:
  case TR_OP_AND:
  case TR_OP_OR:
  case TR_OP_XOR:
  case TR_OP_INVERT:
  case TR_OP_EQ:
  case TR_OP_NE:
  case TR_OP_LT:
  case TR_OP_LE:
  case TR_OP_GT:
  case TR_OP_GE:
  case TR_OP_ISNA:
  case TR_OP_NOTNA: n = 1; break;
  case TR_OP_TRUEDIV:
  case TR_OP_WHERE:
  case TR_OP_FILLNA:
  case TR_OP_CLIP_LOWER:
  case TR_OP_CLIP_UPPER:
  case TR_OP_CAST:
  case TR_OP_ISIN: n = 2; break;
  default: n = 8;
  }
  if (e->dtype.kind == TR_STR || e->dtype.kind == TR_CATEGORY) n += 8;
  for (int i = 0; i < e->n_args; i++) n += cost(e->args[i]);
  return n;
}

bool tr_opt_is_cheap(const struct tr_expr *e) { return cost(e) <= 6; }

static bool has_float_column(const struct tr_expr *e) {
  if (e->op == TR_OP_COL) return tr_kind_is_float(e->dtype.kind);
  for (int i = 0; i < e->n_args; i++)
    if (has_float_column(e->args[i])) return true;
  return false;
}

bool tr_opt_is_key_safe(const struct tr_expr *e) {
  if (!has_float_column(e)) return true;
  switch (e->op) {
  case TR_OP_AND:
  case TR_OP_OR:
  case TR_OP_XOR:
  case TR_OP_INVERT:
    for (int i = 0; i < e->n_args; i++)
      if (!tr_opt_is_key_safe(e->args[i])) return false;
    return true;
  case TR_OP_EQ:
  case TR_OP_NE:
  case TR_OP_LT:
  case TR_OP_LE:
  case TR_OP_GT:
  case TR_OP_GE:
  case TR_OP_ISNA:
  case TR_OP_NOTNA:
  case TR_OP_ISIN:
    for (int i = 0; i < e->n_args; i++)
      if (!tr_opt_is_free(e->args[i])) return false;
    return true;
  default: return false;
  }
}

bool tr_opt_reads_only(const struct tr_expr *e, const bool *allowed) {
  if (e->op == TR_OP_COL) return allowed[e->column];
  for (int i = 0; i < e->n_args; i++)
    if (!tr_opt_reads_only(e->args[i], allowed)) return false;
  return true;
}

bool tr_opt_reads_any(const struct tr_expr *e, const bool *columns) {
  if (e->op == TR_OP_COL) return columns[e->column];
  for (int i = 0; i < e->n_args; i++)
    if (tr_opt_reads_any(e->args[i], columns)) return true;
  return false;
}

bool tr_opt_has_op(const struct tr_expr *e, enum tr_expr_op op) {
  if (e->op == op) return true;
  for (int i = 0; i < e->n_args; i++)
    if (tr_opt_has_op(e->args[i], op)) return true;
  return false;
}

/* The evaluator computes nothing from literals alone. */
static bool is_evaluable(const struct tr_expr *e) {
  bool constant = e->n_args > 0;
  for (int i = 0; i < e->n_args; i++) {
    if (!is_evaluable(e->args[i])) return false;
    constant &= e->args[i]->op == TR_OP_LIT;
  }
  return !constant;
}

bool tr_opt_can_substitute(const struct tr_expr *e, struct tr_expr *const *subst) {
  struct tr_expr *got = NULL;
  if (tr_expr_substitute(e, subst, &got, NULL) != TR_OK) return false;
  bool same =
      tr_dtype_eq(got->dtype, e->dtype) && got->dtype_depends_on_data == e->dtype_depends_on_data && is_evaluable(got);
  tr_expr_unref(got);
  return same;
}
