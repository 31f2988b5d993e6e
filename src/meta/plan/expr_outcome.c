/* Which operations some values stop. Known from the operation and its operands' dtypes alone, so that the client knows
 * at the call which expressions must be computed there (pandas' exceptions belong to the call), and the evaluator knows
 * which refused operation it may hand to pandas in the middle of a run. What pandas does with such values was asked of
 * pandas 3.1; tests/client/test_refused_values.py asks again. */
#include "meta/plan/expr.h"

static bool is_time(const struct tr_expr *e) { return tr_kind_is_time(e->dtype.kind); }

static enum tr_outcome of_arith(const struct tr_expr *e) {
  const struct tr_expr *x = e->args[0], *y = e->args[1];
  if (!is_time(x) && !is_time(y)) {
    bool whole = e->op == TR_OP_POW && tr_kind_is_int(e->dtype.kind);
    bool natural = y->op == TR_OP_LIT && (!tr_kind_is_signed(y->dtype.kind) || y->lit.i >= 0);
    return whole && !natural ? TR_OUTCOME_RAISES : TR_OUTCOME_SURE;
  }
  bool ratio = is_time(x) && is_time(y) && e->op == TR_OP_TRUEDIV;
  return ratio && x->dtype.unit == y->dtype.unit ? TR_OUTCOME_SURE : TR_OUTCOME_RAISES;
}

/* Numbers of a smaller range or precision are pandas' own wrapping; everything else looks at values. */
static enum tr_outcome of_cast(const struct tr_expr *e) {
  const struct tr_dtype from = e->args[0]->dtype, to = e->dtype;
  bool plain = tr_kind_is_int(from.kind) || from.kind == TR_BOOL;
  if (tr_dtype_eq(from, to) || (tr_kind_is_float(from.kind) && !tr_kind_is_int(to.kind) && to.kind <= TR_STR))
    return TR_OUTCOME_SURE;
  bool settled = !e->args[0]->dtype_depends_on_data || tr_kind_is_float(to.kind);
  if (plain && settled && !tr_kind_is_time(to.kind)) return TR_OUTCOME_SURE;
  return from.kind == TR_STR && to.kind == TR_CATEGORY ? TR_OUTCOME_SURE : TR_OUTCOME_RAISES;
}

/* Days beyond the engine's calendar: seconds and milliseconds reach there. A year of seconds may not fit int32. */
static enum tr_outcome of_date(const struct tr_expr *e) {
  const int unit = e->args[0]->dtype.unit;
  if (unit == TR_NS || unit == TR_US) return TR_OUTCOME_SURE;
  return e->op == TR_OP_DT_YEAR && unit == TR_S ? TR_OUTCOME_RAISES : TR_OUTCOME_REFUSES;
}

enum tr_outcome tr_expr_outcome(const struct tr_expr *e) {
  switch (e->op) {
  case TR_OP_ADD:
  case TR_OP_SUB:
  case TR_OP_MUL:
  case TR_OP_TRUEDIV:
  case TR_OP_FLOORDIV:
  case TR_OP_MOD:
  case TR_OP_POW: return of_arith(e);
  case TR_OP_CAST: return of_cast(e);
  case TR_OP_STR_LOWER:
  case TR_OP_STR_UPPER:
  case TR_OP_STR_TITLE:
  case TR_OP_STR_CAPITALIZE:
  case TR_OP_STR_ISDIGIT:
  case TR_OP_STR_ISALPHA: return TR_OUTCOME_REFUSES; /* code points newer than the tables */
  case TR_OP_STR_CONTAINS: return e->params[0] ? TR_OUTCOME_REFUSES : TR_OUTCOME_SURE;
  case TR_OP_DT_YEAR:
  case TR_OP_DT_MONTH:
  case TR_OP_DT_DAY:
  case TR_OP_DT_DAYOFWEEK:
  case TR_OP_DT_DAYOFYEAR:
  case TR_OP_DT_QUARTER:
  case TR_OP_DT_DAYS_IN_MONTH:
  case TR_OP_DT_IS_LEAP_YEAR:
  case TR_OP_DT_IS_MONTH_START:
  case TR_OP_DT_IS_MONTH_END:
  case TR_OP_DT_DAY_NAME:
  case TR_OP_DT_MONTH_NAME: return of_date(e);
  case TR_OP_DT_STRFTIME: return e->args[0]->dtype.unit == TR_NS ? TR_OUTCOME_SURE : TR_OUTCOME_RAISES;
  case TR_OP_DT_NORMALIZE:
  case TR_OP_DT_FLOOR:
  case TR_OP_DT_CEIL:
  case TR_OP_TO_DATETIME_PARTS: return TR_OUTCOME_RAISES;
  case TR_OP_TD_TOTAL_SECONDS: return TR_OUTCOME_REFUSES; /* beyond 2^53 ticks */
  default: return TR_OUTCOME_SURE;
  }
}
