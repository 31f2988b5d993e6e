/* What aggregates and windows see beyond their group's values: the optimiser asks before it moves rows past them. */
#include "data/exec/exec_int.h"
#include "data/kern/group/group.h"

static unsigned agg_traits(const struct tr_rel *r, const struct tr_item *it) {
  unsigned traits = 0;
  struct tr_dtype in = it->expr >= 0 ? r->exprs[it->expr]->dtype : tr_dtype_of(TR_I64);
  bool whole = r->kind == TR_REL_AGGREGATE && r->opt.whole;
  if (it->expr >= 0 && tr_agg_dtype_depends((enum tr_agg)it->fn, in, it->param, whole)) traits |= TR_OPT_DTYPE_DEPENDS;
  switch (it->fn) {
  case TR_AGG_FIRST:
  case TR_AGG_LAST: return traits | TR_OPT_SEES_ORDER;
  case TR_AGG_MIN:
  case TR_AGG_MAX:
  case TR_AGG_MEDIAN:
  case TR_AGG_QUANTILE: /* 0.0 or -0.0: whichever comes first */
    return tr_kind_is_float(in.kind) ? traits | TR_OPT_SEES_ORDER : traits;
  case TR_AGG_IDXMIN_ROW:
  case TR_AGG_IDXMAX_ROW:
  case TR_AGG_NTH_ROW: /* row numbers */ return traits | TR_OPT_SEES_ORDER | TR_OPT_SEES_GROUPS;
  default: return traits;
  }
}

/* Rows of no group lack a value of the window, so whole numbers become float64. */
static bool may_lack(const struct tr_rel *r, int item) {
  int kind = r->cols[r->inputs[0]->n_cols + item].dtype.kind;
  if (!(tr_kind_is_int(kind) || kind == TR_BOOL) || !r->opt.dropna) return false;
  for (int k = 0; k < r->n_keys; k++)
    if (r->exprs[k]->maybe_null) return true;
  return false;
}

unsigned tr_exec_item_traits(const struct tr_rel *r, int item) {
  const struct tr_item *it = &r->items[item];
  unsigned traits = r->kind == TR_REL_WINDOW && may_lack(r, item) ? TR_OPT_DTYPE_DEPENDS : 0;
  if (it->kind != TR_ITEM_WINDOW) return traits | agg_traits(r, it);
  switch (it->fn) {
  case TR_WIN_NGROUP: return TR_OPT_SEES_ORDER | TR_OPT_SEES_GROUPS | TR_OPT_DTYPE_DEPENDS;
  case TR_WIN_SHIFT: return TR_OPT_SEES_ORDER | TR_OPT_DTYPE_DEPENDS;
  default: return traits | TR_OPT_SEES_ORDER;
  }
}
