/* Aggregates in two steps: states of the rows of one task, and the result from the states of all. Both steps group with
 * the kernels that aggregate whole columns, so that keys and orders mean the same.
 *
 * States of an item, by place: 0 the accumulated value (a sum in float64 or 64-bit integers, an extreme, the first or
 * last value, a truth, a count); 1 how many values; 2 the second central moment; and where the number of values decides
 * whether there is a result: 3 values, 4 rows. */
#include "data/exec/exec_int.h"
#include "data/exec/task_int.h"
#include "data/kern/group/group.h"
#include "data/kern/take/take.h"
#include <math.h>
#include <stdlib.h>

struct wanted {
  struct tr_agg_spec spec;
  int at; /* column */
};

static bool is_moment(int fn) { return fn == TR_AGG_STD || fn == TR_AGG_VAR || fn == TR_AGG_SEM; }

static bool is_fixed(int kind) { return kind == TR_BOOL || tr_kind_is_int(kind); }

static bool has_minimum(const struct tr_item *it) {
  if (it->fn == TR_AGG_SUM || it->fn == TR_AGG_PROD) return it->param > 0;
  bool one = it->fn == TR_AGG_MIN || it->fn == TR_AGG_MAX || it->fn == TR_AGG_FIRST || it->fn == TR_AGG_LAST;
  return one && it->param > 1;
}

/* A missing value makes the result missing. ANY and ALL settle that in their truths. */
static bool is_strict(const struct tr_item *it, int kind) {
  bool sums = it->fn == TR_AGG_SUM || it->fn == TR_AGG_PROD || it->fn == TR_AGG_MEAN || is_moment(it->fn) ||
              it->fn == TR_AGG_MIN || it->fn == TR_AGG_MAX;
  return !it->skipna && sums && !is_fixed(kind);
}

/* Adds what item i wants of its column; *x is replaced by its float64 form where sums are of floats. */
static int want(const struct tr_item *it, int at, struct tr_array *x, struct tr_array *as_float, struct wanted *w) {
  int n = 0;
  struct tr_agg_spec s = {.fn = (enum tr_agg)it->fn, .input = x, .skipna = true};
  switch (it->fn) {
  case TR_AGG_STD:
  case TR_AGG_VAR:
  case TR_AGG_SEM:
    w[n++] = (struct wanted){{.fn = TR_AGG_VAR, .input = as_float, .skipna = true}, at + 2};
    /* fall through */
  case TR_AGG_MEAN:
    w[n++] = (struct wanted){{.fn = TR_AGG_SUM, .input = as_float, .skipna = true}, at};
    w[n++] = (struct wanted){{.fn = TR_AGG_COUNT, .input = x, .skipna = true}, at + 1};
    break;
  case TR_AGG_SUM:
  case TR_AGG_PROD:
    s.input = as_float ? as_float : x;
    w[n++] = (struct wanted){s, at};
    break;
  case TR_AGG_FIRST:
  case TR_AGG_LAST:
  case TR_AGG_ANY:
  case TR_AGG_ALL: s.skipna = it->skipna; /* fall through */
  default: w[n++] = (struct wanted){s, at};
  }
  if (x && (has_minimum(it) || is_strict(it, x->dtype.kind)))
    w[n++] = (struct wanted){{.fn = TR_AGG_COUNT, .input = x, .skipna = true}, at + 3};
  if (x && is_strict(it, x->dtype.kind)) w[n++] = (struct wanted){{.fn = TR_AGG_SIZE}, at + 4};
  return n;
}

static bool sums_floats(const struct tr_item *it, const struct tr_array *x) {
  if (it->fn == TR_AGG_MEAN || is_moment(it->fn)) return true;
  return (it->fn == TR_AGG_SUM || it->fn == TR_AGG_PROD) && tr_kind_is_float(x->dtype.kind);
}

/* Variances of n values -> sums of squares about the mean. */
static void to_moments(const struct tr_array *count, struct tr_array *m2) {
  const int64_t *n = tr_array_data(count);
  double *v = tr_array_data(m2);
  for (int64_t i = 0; i < m2->length; i++) v[i] = n[i] > 0 ? v[i] * (double)n[i] : 0.0;
}

static enum tr_status run_wanted(struct tr_ctx *ctx, const struct tr_groups *g, const struct wanted *w, int n,
                                 struct tr_array **cols, struct tr_error *err) {
  struct tr_agg_spec *specs = calloc((size_t)n + 1, sizeof *specs);
  struct tr_array **got = calloc((size_t)n + 1, sizeof *got);
  enum tr_status st = specs && got ? TR_OK : tr_fail_memory(err, sizeof *specs * (size_t)n);
  for (int i = 0; st == TR_OK && i < n; i++) specs[i] = w[i].spec;
  if (st == TR_OK && n) st = tr_agg_run(ctx, g, specs, n, true, got, err);
  for (int i = 0; st == TR_OK && i < n; i++) cols[w[i].at] = got[i];
  free(specs);
  free(got);
  return st;
}

/* Groups of rows by the first n_keys arrays. */
static enum tr_status make_groups(struct tr_ctx *ctx, struct tr_array *const *keys, int n_keys, int64_t n, bool sort,
                                  bool dropna, struct tr_groups *g, struct tr_error *err) {
  if (n_keys) return tr_groups_make(ctx, keys, n_keys, n, sort, dropna, g, err);
  return tr_groups_all(n, g, err);
}

static enum tr_status take_keys(struct tr_ctx *ctx, struct tr_array *const *keys, int n_keys, const struct tr_groups *g,
                                struct tr_array **out, struct tr_error *err) {
  if (!n_keys) return TR_OK;
  TR_TRY(tr_take_many(ctx, keys, n_keys, (const uint32_t *)g->first_row->data, g->n_groups, false, out, err));
  for (int i = 0; i < n_keys && n_keys > 1; i++)
    if (tr_kind_is_float(out[i]->dtype.kind)) TR_TRY(tr_group_one_zero(keys[i], &out[i], err));
  return TR_OK;
}

/* ---- step one */
struct making {
  struct tr_array **values, **floats, **cols;
  struct wanted *wanted;
  int n_wanted, n_cols;
};

static enum tr_status want_items(struct tr_ctx *ctx, const struct tr_rel *r, const bool *need,
                                 const struct tr_frame *in, struct making *m, struct tr_error *err) {
  for (int i = 0; i < r->n_exprs; i++) {
    bool used = i < r->n_keys;
    for (int k = 0; k < r->n_items && !used; k++) used = need[r->n_keys + k] && r->items[k].expr == i;
    if (used) TR_TRY(tr_node_eval(ctx, &r->exprs[i], 1, in, &m->values[i], err));
  }
  for (int i = 0; i < r->n_items; i++) {
    const struct tr_item *it = &r->items[i];
    if (!need[r->n_keys + i]) continue;
    struct tr_array *x = it->expr >= 0 ? m->values[it->expr] : NULL, **as_float = NULL;
    if (x && sums_floats(it, x)) {
      as_float = &m->floats[it->expr];
      if (!*as_float) TR_TRY(tr_exchange_cast(ctx, x, tr_dtype_of(TR_F64), as_float, err));
    }
    m->n_wanted += want(it, r->n_keys + i * TR_STATES_OF_ITEM, x, as_float ? *as_float : NULL, m->wanted + m->n_wanted);
  }
  return TR_OK;
}

static enum tr_status making_begin(const struct tr_rel *r, struct making *m, struct tr_error *err) {
  *m = (struct making){.n_cols = r->n_keys + r->n_items * TR_STATES_OF_ITEM + 1};
  m->values = calloc((size_t)r->n_exprs + 1, sizeof *m->values);
  m->floats = calloc((size_t)r->n_exprs + 1, sizeof *m->floats);
  m->cols = calloc((size_t)m->n_cols, sizeof *m->cols);
  m->wanted = calloc((size_t)r->n_items * TR_STATES_OF_ITEM + 1, sizeof *m->wanted);
  return m->values && m->floats && m->cols && m->wanted ? TR_OK : tr_fail_memory(err, 1000);
}

static void making_drop(const struct tr_rel *r, struct making *m) {
  if (m->values) tr_arrays_drop(m->values, r->n_exprs);
  if (m->floats) tr_arrays_drop(m->floats, r->n_exprs);
  if (m->cols) tr_arrays_drop(m->cols, m->n_cols);
  free(m->values);
  free(m->floats);
  free(m->cols);
  free(m->wanted);
}

enum tr_status tr_states_make(struct tr_ctx *ctx, const struct tr_rel *r, const bool *need, const struct tr_frame *in,
                              bool ordinals, int32_t task, struct tr_frame **out, struct tr_error *err) {
  struct making m;
  struct tr_groups g = {0};
  enum tr_status st;
  *out = NULL;
  if (!r->n_keys && !in->n_rows) return TR_OK;
  TR_GOTO(st, making_begin(r, &m, err));
  TR_GOTO(st, want_items(ctx, r, need, in, &m, err));
  TR_GOTO(st, make_groups(ctx, m.values, r->n_keys, in->n_rows, r->opt.sort, r->opt.dropna, &g, err));
  TR_GOTO(st, take_keys(ctx, m.values, r->n_keys, &g, m.cols, err));
  TR_GOTO(st, run_wanted(ctx, &g, m.wanted, m.n_wanted, m.cols, err));
  for (int i = 0; i < r->n_items; i++) {
    struct tr_array **c = m.cols + r->n_keys + i * TR_STATES_OF_ITEM;
    if (c[2]) to_moments(c[1], c[2]);
  }
  if (ordinals) {
    const uint32_t *rows = g.first_row ? (const uint32_t *)g.first_row->data : NULL;
    TR_GOTO(st, tr_exchange_ordinals(task, rows, g.n_groups, &m.cols[m.n_cols - 1], err));
  }
  st = tr_frame_new(g.n_groups, m.n_cols - !ordinals, m.cols, out, err);
done:
  tr_groups_drop(&g);
  making_drop(r, &m);
  return st;
}

/* ---- step two */
/* Sums of squares about the mean of all, from those of the parts; parts whose means differ by rounding only do not
 * differ (a constant column has no spread). */
struct spread {
  double n, pivot, d, d2, m2;
};

static void add_part(struct spread *s, double n, double sum, double m2) {
  if (n <= 0) return;
  double mean = sum / n;
  if (s->n == 0) s->pivot = mean;
  double d = mean - s->pivot;
  if (fabs(d) <= 4 * 2.220446049250313e-16 * fabs(s->pivot)) d = 0;
  s->n += n;
  s->d += n * d;
  s->d2 += n * d * d;
  s->m2 += m2;
}

static enum tr_status finish_moment(const struct tr_item *it, const struct tr_groups *g, struct tr_array *const *c,
                                    struct tr_array **out, struct tr_error *err) {
  struct spread *s = calloc((size_t)g->n_groups + 1, sizeof *s);
  if (!s) return tr_fail_memory(err, sizeof *s * (size_t)g->n_groups);
  const double *sum = tr_array_data(c[0]), *m2 = tr_array_data(c[2]);
  const int64_t *n = tr_array_data(c[1]);
  const uint32_t *ids = g->ids ? (const uint32_t *)g->ids->data : NULL;
  for (int64_t i = 0; i < g->n_rows; i++) add_part(&s[ids ? ids[i] : 0], (double)n[i], sum[i], m2[i]);
  enum tr_status st = tr_array_new(tr_dtype_of(TR_F64), g->n_groups, out, err);
  for (int64_t k = 0; st == TR_OK && k < g->n_groups; k++) {
    double between = s[k].n > 0 ? s[k].d2 - s[k].d * s[k].d / s[k].n : 0;
    double all = s[k].m2 + (between > 0 ? between : 0), var = all / (s[k].n - (double)it->param);
    if (s[k].n <= (double)it->param || s[k].n == 0) var = NAN;
    ((double *)tr_array_data(*out))[k] = it->fn == TR_AGG_VAR   ? var
                                         : it->fn == TR_AGG_STD ? sqrt(var)
                                                                : sqrt(var / s[k].n);
  }
  free(s);
  return st;
}

static void divide(struct tr_array *sum, const struct tr_array *count) {
  double *v = tr_array_data(sum);
  const int64_t *n = tr_array_data(count);
  for (int64_t i = 0; i < sum->length; i++) v[i] = n[i] ? v[i] / (double)n[i] : NAN;
}

static void set_missing(struct tr_array *a, int64_t i) {
  if (a->enc == TR_DICT) ((int32_t *)tr_array_data(a))[i] = -1;
  else if (a->dtype.kind == TR_STR) ((struct tr_view *)tr_array_data(a))[i] = tr_view_null();
  else if (a->dtype.kind == TR_F64) ((double *)tr_array_data(a))[i] = NAN;
  else if (a->dtype.kind == TR_F32) ((float *)tr_array_data(a))[i] = NAN;
  else ((int64_t *)tr_array_data(a))[i] = TR_NAT;
}

/* Results of groups with too few values become missing. */
static enum tr_status apply_limits(struct tr_ctx *ctx, const struct tr_item *it, const struct tr_array *count,
                                   const struct tr_array *size, struct tr_array **out, struct tr_error *err) {
  const int64_t *n = tr_array_data(count), *rows = size ? tr_array_data(size) : NULL;
  int64_t least = has_minimum(it) ? it->param : 0;
  for (int64_t i = 0; i < count->length; i++) {
    if (!(n[i] < least || (rows && n[i] < rows[i]))) continue;
    if (is_fixed((*out)->dtype.kind)) {
      struct tr_array *floating;
      TR_TRY(tr_exchange_cast(ctx, *out, tr_dtype_of(TR_F64), &floating, err));
      tr_array_unref(*out);
      *out = floating;
    }
    set_missing(*out, i);
  }
  (*out)->null_count = -1;
  return TR_OK;
}

/* What the sums of states, in 64 bits, become. */
static enum tr_status settle_dtype(struct tr_ctx *ctx, const struct tr_rel *r, const struct tr_item *it,
                                   struct tr_array **out, struct tr_error *err) {
  struct tr_dtype to;
  TR_TRY(tr_agg_dtype((enum tr_agg)it->fn, r->exprs[it->expr]->dtype, r->opt.whole, &to, err));
  if (to.kind == TR_F32) {
    struct tr_array *small;
    TR_TRY(tr_exchange_cast(ctx, *out, to, &small, err));
    tr_array_unref(*out);
    *out = small;
    return TR_OK;
  }
  bool summed = it->fn == TR_AGG_SUM || it->fn == TR_AGG_PROD;
  if (summed && is_fixed((*out)->dtype.kind) && tr_kind_is_int(to.kind) && tr_dtype_width(to) < 8)
    return tr_agg_narrow(out, to, err);
  return TR_OK;
}

static enum tr_status finish_item(struct tr_ctx *ctx, const struct tr_rel *r, const struct tr_item *it,
                                  const struct tr_groups *g, struct tr_array *const *c, struct tr_array **out,
                                  struct tr_error *err) {
  struct tr_array *got[TR_STATES_OF_ITEM] = {NULL};
  struct wanted w[TR_STATES_OF_ITEM];
  int n = 0;
  bool counts = it->fn == TR_AGG_SIZE || it->fn == TR_AGG_COUNT, mean = it->fn == TR_AGG_MEAN;
  enum tr_agg fn = counts || mean ? TR_AGG_SUM : (enum tr_agg)it->fn;
  bool ordered = fn == TR_AGG_FIRST || fn == TR_AGG_LAST || fn == TR_AGG_ANY || fn == TR_AGG_ALL;
  enum tr_status st;
  /* a NaN that is a sum or product of a part (of inf and -inf) is one of the whole; an extreme that is NaN is of none
   */
  bool summed = fn == TR_AGG_SUM || fn == TR_AGG_PROD;
  if (!is_moment(it->fn))
    w[n++] = (struct wanted){{.fn = fn, .input = c[0], .skipna = ordered ? it->skipna : !summed}, 0};
  for (int k = 1; k < TR_STATES_OF_ITEM; k++)
    if (c[k] && k != 2) w[n++] = (struct wanted){{.fn = TR_AGG_SUM, .input = c[k], .skipna = true}, k};
  TR_GOTO(st, run_wanted(ctx, g, w, n, got, err));
  if (is_moment(it->fn)) TR_GOTO(st, finish_moment(it, g, c, &got[0], err));
  if (mean) divide(got[0], got[1]);
  if (got[3]) TR_GOTO(st, apply_limits(ctx, it, got[3], got[4], &got[0], err));
  if (!counts && !ordered && fn != TR_AGG_MIN && fn != TR_AGG_MAX) TR_GOTO(st, settle_dtype(ctx, r, it, &got[0], err));
  *out = got[0];
  got[0] = NULL;
done:
  tr_arrays_drop(got, TR_STATES_OF_ITEM);
  return st;
}

static enum tr_status of_no_rows(struct tr_ctx *ctx, struct tr_rel *r, const bool *need, struct tr_frame **out,
                                 struct tr_error *err) {
  const struct tr_rel *in = r->inputs[0];
  struct tr_array **cols = calloc((size_t)in->n_cols + 1, sizeof *cols), *no_values = NULL;
  struct tr_frame *none = NULL;
  struct tr_rel *leaf = NULL, *made = NULL;
  enum tr_status st = TR_OK;
  if (!cols) return tr_fail_memory(err, sizeof *cols);
  TR_GOTO(st, tr_array_new(tr_dtype_of(TR_STR), 0, &no_values, err));
  for (int i = 0; i < in->n_cols; i++)
    TR_GOTO(st, in->cols[i].dtype.kind == TR_CATEGORY
                    ? tr_array_new_dict(in->cols[i].dtype, 0, no_values, &cols[i], err)
                    : tr_array_new(in->cols[i].dtype, 0, &cols[i], err));
  TR_GOTO(st, tr_frame_new(0, in->n_cols, cols, &none, err));
  TR_GOTO(st, tr_fragment_leaf(in, none, false, &leaf, err));
  TR_GOTO(st, tr_rel_remake(r, &leaf, NULL, &made, err));
  st = tr_exec_run(ctx, made, need, out, err);
done:
  tr_arrays_drop(cols, in->n_cols);
  free(cols);
  tr_array_unref(no_values);
  tr_frame_unref(none);
  tr_rel_unref(leaf);
  tr_rel_unref(made);
  return st;
}

static bool is_kind(const struct tr_array *a, enum tr_kind kind) { return a && a->dtype.kind == kind; }

/* The states that an item is made from are there, in the dtypes that tr_states_make gives them. */
static bool has_states(const struct tr_item *it, struct tr_array *const *c) {
  bool counts = it->fn == TR_AGG_SIZE || it->fn == TR_AGG_COUNT, mean = it->fn == TR_AGG_MEAN;
  bool truth = it->fn == TR_AGG_ANY || it->fn == TR_AGG_ALL;
  bool summed = it->fn == TR_AGG_SUM || it->fn == TR_AGG_PROD;
  bool ok = c[0] && (!c[3] || is_kind(c[3], TR_I64)) && (!c[4] || (c[3] && is_kind(c[4], TR_I64)));
  if (counts) ok = ok && is_kind(c[0], TR_I64);
  if (mean || is_moment(it->fn)) ok = ok && is_kind(c[0], TR_F64) && is_kind(c[1], TR_I64);
  if (is_moment(it->fn)) ok = ok && is_kind(c[2], TR_F64);
  if (truth) ok = ok && is_kind(c[0], TR_BOOL);
  if (summed) ok = ok && (is_kind(c[0], TR_I64) || is_kind(c[0], TR_U64) || is_kind(c[0], TR_F64));
  return ok;
}

static enum tr_status check_states(const struct tr_rel *r, const bool *need, const struct tr_frame *states,
                                   bool ordinals, struct tr_error *err) {
  bool ok = states->n_cols == r->n_keys + r->n_items * TR_STATES_OF_ITEM + ordinals;
  if (ok) TR_TRY(tr_fragment_check(r, r->n_keys, states, NULL, err));
  for (int i = 0; ok && i < r->n_keys; i++) ok = states->cols[i] != NULL;
  for (int i = 0; ok && i < r->n_items; i++)
    if (need[r->n_keys + i]) ok = has_states(&r->items[i], states->cols + r->n_keys + i * TR_STATES_OF_ITEM);
  if (ok && ordinals) ok = is_kind(states->cols[states->n_cols - 1], TR_I64);
  return ok ? TR_OK : tr_fail(err, TR_EXC_VALUE, "states of another aggregate");
}

enum tr_status tr_states_finish(struct tr_ctx *ctx, struct tr_rel *r, const bool *need, const struct tr_frame *states,
                                bool ordinals, struct tr_frame **out, struct tr_error *err) {
  struct tr_groups g = {0};
  *out = NULL;
  if (r->kind != TR_REL_AGGREGATE) return tr_fail(err, TR_EXC_VALUE, "fragment: states of no aggregate");
  if (!states) return of_no_rows(ctx, r, need, out, err);
  TR_TRY(check_states(r, need, states, ordinals, err));
  int n_cols = r->n_cols + 1;
  struct tr_array **cols = calloc((size_t)n_cols, sizeof *cols);
  enum tr_status st;
  if (!cols) return tr_fail_memory(err, sizeof *cols);
  TR_GOTO(st, make_groups(ctx, states->cols, r->n_keys, states->n_rows, r->opt.sort, false, &g, err));
  TR_GOTO(st, take_keys(ctx, states->cols, r->n_keys, &g, cols, err));
  for (int i = 0; i < r->n_items; i++) {
    struct tr_array *const *c = states->cols + r->n_keys + i * TR_STATES_OF_ITEM;
    if (need[r->n_keys + i]) TR_GOTO(st, finish_item(ctx, r, &r->items[i], &g, c, &cols[r->n_keys + i], err));
  }
  if (ordinals) {
    struct wanted first = {{.fn = TR_AGG_MIN, .input = states->cols[states->n_cols - 1], .skipna = true}, r->n_cols};
    TR_GOTO(st, run_wanted(ctx, &g, &first, 1, cols, err));
  }
  st = tr_frame_new(g.n_groups, n_cols - !ordinals, cols, out, err);
done:
  tr_groups_drop(&g);
  tr_arrays_drop(cols, n_cols);
  free(cols);
  return st;
}
