/* Which row groups of a Parquet file can hold a row that satisfies a predicate, by the statistics in its footer.
 *
 * Each bool expression gets two answers for a row group: may it be true for some row, may it be false for some row.
 * What we know nothing of may be both. Bounds need not be values that occur (writers may shorten long texts), which
 * keeps both answers right. */
#include "meta/opt/opt_int.h"
#include <string.h>

struct answer {
  bool may_hold, may_fail;
};

struct group {
  const struct tr_opt_column_stats *stats; /* of the row group's columns */
  int n_stats;
  int64_t rows;
};

static const struct answer anything = {true, true};

static const struct tr_opt_column_stats *stats_of(const struct group *g, const struct tr_expr *e) {
  return e->op == TR_OP_COL && e->column < g->n_stats ? &g->stats[e->column] : NULL;
}

static bool may_be_missing(const struct tr_opt_column_stats *s, struct tr_dtype t) {
  if (tr_kind_is_int(t.kind) || t.kind == TR_BOOL) return false;
  return tr_kind_is_float(t.kind) || !s->has_null_count || s->null_count > 0; /* NaN is no null to Parquet */
}

static bool is_whole(int kind) { return kind == TR_BOOL || tr_kind_is_int(kind); }

static int order_i128(__int128 a, __int128 b) { return a < b ? -1 : a > b; }

static __int128 whole_value(const struct tr_scalar *s) {
  return tr_kind_is_int(s->dtype.kind) && !tr_kind_is_signed(s->dtype.kind) ? (__int128)s->u : (__int128)s->i;
}

static __int128 ticks(const struct tr_scalar *s) {
  return (__int128)s->i * (1000000000 / tr_unit_per_second((enum tr_unit)s->dtype.unit));
}

static double as_double(const struct tr_scalar *s) { return is_whole(s->dtype.kind) ? (double)whole_value(s) : s->f; }

/* Order of a bound and a literal as the engine would compare values with it; false = not comparable here. */
static bool compare(const struct tr_scalar *bound, const struct tr_scalar *lit, int *order) {
  int a = bound->dtype.kind, b = lit->dtype.kind;
  if (bound->is_null || lit->is_null) return false;
  if (is_whole(a) && is_whole(b)) {
    *order = order_i128(whole_value(bound), whole_value(lit));
    return true;
  }
  if ((is_whole(a) || tr_kind_is_float(a)) && (is_whole(b) || tr_kind_is_float(b))) {
    double x = as_double(bound), y = as_double(lit);
    bool narrow = a == TR_F32 || b == TR_F32; /* the literal may be rounded to the column's precision */
    if (x != x || y != y || (narrow && y != (double)(float)y) || (narrow && x != (double)(float)x)) return false;
    *order = x < y ? -1 : x > y;
    return true;
  }
  if (a == b && tr_kind_is_time(a)) {
    if (bound->i == TR_NAT || lit->i == TR_NAT) return false;
    *order = order_i128(ticks(bound), ticks(lit));
    return true;
  }
  if (a == TR_STR && b == TR_STR) {
    int64_t n = bound->s.len < lit->s.len ? bound->s.len : lit->s.len;
    int c = n ? memcmp(bound->s.ptr, lit->s.ptr, (size_t)n) : 0;
    *order = c ? (c < 0 ? -1 : 1) : (bound->s.len > lit->s.len) - (bound->s.len < lit->s.len);
    return true;
  }
  return false;
}

/* Orders of the literal's bounds: min against it and max against it. */
static bool place(const struct tr_opt_column_stats *s, const struct tr_scalar *lit, int *low, int *high) {
  return s && s->has_min_max && compare(&s->min, lit, low) && compare(&s->max, lit, high);
}

static struct answer compare_column(const struct group *g, enum tr_expr_op op, const struct tr_expr *col,
                                    const struct tr_scalar *lit) {
  const struct tr_opt_column_stats *s = stats_of(g, col);
  int low, high;
  if (!place(s, lit, &low, &high)) return anything;
  bool missing = may_be_missing(s, col->dtype); /* a missing value is equal to nothing, less than nothing, … */
  bool in = low <= 0 && high >= 0, only = low == 0 && high == 0;
  switch (op) {
  case TR_OP_EQ: return (struct answer){in, !only || missing};
  case TR_OP_NE: return (struct answer){!only || missing, in};
  case TR_OP_LT: return (struct answer){low < 0, high >= 0 || missing};
  case TR_OP_LE: return (struct answer){low <= 0, high > 0 || missing};
  case TR_OP_GT: return (struct answer){high > 0, low <= 0 || missing};
  case TR_OP_GE: return (struct answer){high >= 0, low < 0 || missing};
  default: return anything;
  }
}

static enum tr_expr_op mirrored(enum tr_expr_op op) {
  switch (op) {
  case TR_OP_LT: return TR_OP_GT;
  case TR_OP_LE: return TR_OP_GE;
  case TR_OP_GT: return TR_OP_LT;
  case TR_OP_GE: return TR_OP_LE;
  default: return op;
  }
}

static struct answer in_list(const struct group *g, const struct tr_expr *e) {
  const struct tr_opt_column_stats *s = stats_of(g, e->args[0]);
  int low, high;
  if (!s) return anything;
  for (int64_t i = 0; i < e->n_list; i++) {
    const struct tr_scalar *v = &e->list[i];
    if (v->is_null || (tr_kind_is_float(v->dtype.kind) && v->f != v->f)) {
      if (may_be_missing(s, e->args[0]->dtype)) return anything;
      continue;
    }
    if (!place(s, v, &low, &high) || (low <= 0 && high >= 0)) return anything;
  }
  return (struct answer){false, true};
}

static struct answer is_missing(const struct group *g, const struct tr_expr *col) {
  const struct tr_opt_column_stats *s = stats_of(g, col);
  if (!s) return anything;
  return (struct answer){may_be_missing(s, col->dtype), !(s->has_null_count && s->null_count == g->rows)};
}

static struct answer starts_with(const struct group *g, const struct tr_expr *e) {
  const struct tr_opt_column_stats *s = stats_of(g, e->args[0]);
  if (!s || !s->has_min_max || !e->text || s->min.dtype.kind != TR_STR || s->min.is_null || s->max.is_null)
    return anything;
  size_t n = strlen(e->text);
  size_t n_min = (size_t)s->min.s.len < n ? (size_t)s->min.s.len : n,
         n_max = (size_t)s->max.s.len < n ? (size_t)s->max.s.len : n;
  int low = n_min ? memcmp(s->min.s.ptr, e->text, n_min) : 0, high = n_max ? memcmp(s->max.s.ptr, e->text, n_max) : 0;
  bool below = high < 0 || (high == 0 && (size_t)s->max.s.len < n); /* all values sort before the prefix */
  return (struct answer){low <= 0 && !below, true};
}

static struct answer ask(const struct group *g, const struct tr_expr *e) {
  struct answer a, b;
  switch (e->op) {
  case TR_OP_AND:
    a = ask(g, e->args[0]), b = ask(g, e->args[1]);
    return (struct answer){a.may_hold && b.may_hold, a.may_fail || b.may_fail};
  case TR_OP_OR:
    a = ask(g, e->args[0]), b = ask(g, e->args[1]);
    return (struct answer){a.may_hold || b.may_hold, a.may_fail && b.may_fail};
  case TR_OP_INVERT:
    if (e->dtype.kind != TR_BOOL) return anything;
    a = ask(g, e->args[0]);
    return (struct answer){a.may_fail, a.may_hold};
  case TR_OP_EQ:
  case TR_OP_NE:
  case TR_OP_LT:
  case TR_OP_LE:
  case TR_OP_GT:
  case TR_OP_GE:
    if (e->args[0]->op == TR_OP_COL && e->args[1]->op == TR_OP_LIT)
      return compare_column(g, (enum tr_expr_op)e->op, e->args[0], &e->args[1]->lit);
    if (e->args[1]->op == TR_OP_COL && e->args[0]->op == TR_OP_LIT)
      return compare_column(g, mirrored((enum tr_expr_op)e->op), e->args[1], &e->args[0]->lit);
    return anything;
  case TR_OP_ISIN: return e->args[0]->op == TR_OP_COL ? in_list(g, e) : anything;
  case TR_OP_ISNA: return is_missing(g, e->args[0]);
  case TR_OP_NOTNA: a = is_missing(g, e->args[0]); return (struct answer){a.may_fail, a.may_hold};
  case TR_OP_STR_STARTSWITH: return starts_with(g, e);
  default: return anything;
  }
}

void tr_opt_prune_row_groups(const struct tr_expr *predicate, const struct tr_opt_column_stats *stats, int n_stats_cols,
                             const int64_t *rows, int n_groups, bool *keep) {
  for (int i = 0; i < n_groups; i++) {
    struct group g = {stats + (size_t)i * (size_t)n_stats_cols, n_stats_cols, rows[i]};
    if (keep[i] && !ask(&g, predicate).may_hold) keep[i] = false;
  }
}
