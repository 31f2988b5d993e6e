/* tr_agg_run: each aggregate is a few accumulators (acc.c), filled by at most two passes over the rows that serve all
 * specs together, or a function of its group's values side by side (order_stat.c, distinct.c); then answers are read
 * off.
 */
#include "data/kern/group/agg_int.h"
#include <math.h>

enum { PER_SPEC = 3 }; /* accumulators of a spec in the first pass */

struct item {
  const struct tr_agg_spec *spec;
  struct tr_dtype dtype; /* of the result */
  int main, count, size; /* accumulators of pass one, -1 = none */
  int second;            /* of pass two */
  int64_t min_count;     /* > 0: fewer values make the result missing */
  bool strict;           /* a missing value makes the result missing */
  int64_t *codes;        /* text as places */
  void *aux;             /* means, n_groups of aux_bytes / n_groups */
  size_t aux_bytes;
};

struct run {
  struct tr_ctx *ctx;
  const struct tr_groups *g;
  bool whole;
  int n, n_accs, n_second;
  struct item *items;
  struct tr_acc *accs, *second;
  struct tr_acc_pass pass, pass2;
  struct tr_array **out;
};

static bool is_fixed(int kind) { return kind == TR_BOOL || tr_kind_is_int(kind); }

static bool by_segment(const struct item *it) {
  enum tr_agg fn = it->spec->fn;
  if (fn == TR_AGG_MEDIAN || fn == TR_AGG_QUANTILE || fn == TR_AGG_SKEW) return true;
  return (fn == TR_AGG_MEAN || fn == TR_AGG_STD || fn == TR_AGG_SEM) && tr_kind_is_time(it->spec->input->dtype.kind);
}

/* Index of the accumulator, shared with earlier specs that want the same. */
static int want(struct run *r, enum tr_acc_kind kind, struct tr_array *x, struct tr_array *y, const int64_t *codes) {
  struct tr_acc acc = {.kind = kind, .x = x, .y = y, .codes = codes};
  for (int i = 0; i < r->n_accs; i++) {
    const struct tr_acc *a = &r->accs[i];
    if (a->kind == kind && a->x == x && a->y == y && a->codes == codes) return i;
  }
  r->accs[r->n_accs] = acc;
  return r->n_accs++;
}

static int want_count(struct run *r, struct tr_array *x) {
  return tr_kind_can_miss(x->dtype.kind) ? want(r, TR_ACC_COUNT, x, NULL, NULL)
                                         : want(r, TR_ACC_SIZE, NULL, NULL, NULL);
}

static int want_extreme(struct run *r, struct item *it, bool max, bool row) {
  static const enum tr_acc_kind kinds[2][2][2] = {
      {{TR_ACC_MIN_I, TR_ACC_MAX_I}, {TR_ACC_MIN_F, TR_ACC_MAX_F}},
      {{TR_ACC_ARGMIN_I, TR_ACC_ARGMAX_I}, {TR_ACC_ARGMIN_F, TR_ACC_ARGMAX_F}}};
  struct tr_array *x = it->spec->input;
  if (x->dtype.kind == TR_STR) return want(r, max ? TR_ACC_ARGMAX_I : TR_ACC_ARGMIN_I, NULL, NULL, it->codes);
  return want(r, kinds[row][tr_kind_is_float(x->dtype.kind)][max], x, NULL, NULL);
}

static void plan_item(struct run *r, struct item *it) {
  const struct tr_agg_spec *s = it->spec;
  struct tr_array *x = s->input;
  bool floating = x && tr_kind_is_float(x->dtype.kind);
  if (by_segment(it)) return;
  switch (s->fn) {
  case TR_AGG_SIZE: it->main = want(r, TR_ACC_SIZE, NULL, NULL, NULL); break;
  case TR_AGG_COUNT: it->main = want_count(r, x); break;
  case TR_AGG_SUM: it->main = want(r, floating ? TR_ACC_SUM_F : TR_ACC_SUM_I, x, NULL, NULL); break;
  case TR_AGG_PROD: it->main = want(r, floating ? TR_ACC_PROD_F : TR_ACC_PROD_I, x, NULL, NULL); break;
  case TR_AGG_MEAN:
  case TR_AGG_STD:
  case TR_AGG_VAR:
  case TR_AGG_SEM: it->main = want(r, TR_ACC_SUM_F, x, NULL, NULL); break;
  case TR_AGG_MIN:
  case TR_AGG_MAX: it->main = want_extreme(r, it, s->fn == TR_AGG_MAX, false); break;
  case TR_AGG_IDXMIN_ROW:
  case TR_AGG_IDXMAX_ROW: it->main = want_extreme(r, it, s->fn == TR_AGG_IDXMAX_ROW, true); break;
  case TR_AGG_FIRST:
  case TR_AGG_LAST: {
    bool any = !s->skipna || !tr_kind_can_miss(x->dtype.kind);
    it->main = want(r, s->fn == TR_AGG_LAST ? TR_ACC_LAST_ROW : TR_ACC_FIRST_ROW, any ? NULL : x, NULL, NULL);
    break;
  }
  case TR_AGG_ANY:
  case TR_AGG_ALL: it->main = want(r, TR_ACC_TRUTH, x, NULL, NULL); break;
  case TR_AGG_CORR: it->main = want(r, TR_ACC_PAIR_SUMS, x, s->input2, NULL); break;
  default: break; /* NUNIQUE, NTH_ROW */
  }
}

static enum tr_status check(struct run *r, struct item *it, struct tr_error *err) {
  const struct tr_agg_spec *s = it->spec;
  enum tr_agg fn = s->fn;
  bool minimum = fn == TR_AGG_MIN || fn == TR_AGG_MAX || fn == TR_AGG_FIRST || fn == TR_AGG_LAST;
  bool bare = fn == TR_AGG_SIZE || fn == TR_AGG_NTH_ROW;
  TR_TRY(tr_agg_dtype(fn, bare ? tr_dtype_of(TR_I64) : s->input->dtype, r->whole, &it->dtype, err));
  if (bare) return TR_OK;
  if (fn == TR_AGG_CORR) return tr_agg_dtype(fn, s->input2->dtype, r->whole, &it->dtype, err);
  if (minimum && r->g->n_rows == 0 && r->g->n_groups == 1 && is_fixed(s->input->dtype.kind)) {
    return tr_unsupported(err, "min, max, first or last of no integers");
  }
  if ((fn == TR_AGG_SUM || fn == TR_AGG_PROD) && s->param > 0) it->min_count = s->param;
  if (minimum && s->param > 1) it->min_count = s->param;
  it->strict = !s->skipna && tr_kind_can_miss(s->input->dtype.kind) && fn != TR_AGG_FIRST && fn != TR_AGG_LAST &&
               fn != TR_AGG_ALL && fn != TR_AGG_COUNT && fn != TR_AGG_NUNIQUE;
  return TR_OK;
}

static enum tr_status plan(struct run *r, struct tr_error *err) {
  for (int i = 0; i < r->n; i++) {
    struct item *it = &r->items[i];
    const struct tr_agg_spec *s = it->spec;
    it->main = it->count = it->size = it->second = -1;
    TR_TRY(check(r, it, err));
    bool extreme =
        s->fn == TR_AGG_MIN || s->fn == TR_AGG_MAX || s->fn == TR_AGG_IDXMIN_ROW || s->fn == TR_AGG_IDXMAX_ROW;
    if (extreme && s->input->dtype.kind == TR_STR) {
      TR_TRY(tr_mem_alloc((size_t)r->g->n_rows * 8, (void **)&it->codes, err));
      TR_TRY(tr_agg_text_codes(r->ctx, s->input, it->codes, err));
    }
    plan_item(r, it);
    if (it->min_count || it->strict) it->count = want_count(r, s->input);
    if (it->strict) it->size = want(r, TR_ACC_SIZE, NULL, NULL, NULL);
  }
  return TR_OK;
}

/* Means for the second pass. */
static enum tr_status plan_second(struct run *r, struct tr_error *err) {
  for (int i = 0; i < r->n; i++) {
    struct item *it = &r->items[i];
    enum tr_agg fn = it->spec->fn;
    bool pair = fn == TR_AGG_CORR;
    if (it->main < 0 || !(pair || fn == TR_AGG_STD || fn == TR_AGG_VAR || fn == TR_AGG_SEM)) continue;
    for (int k = 0; k < i && it->second < 0; k++) {
      if (r->items[k].second >= 0 && r->items[k].main == it->main) it->second = r->items[k].second;
    }
    if (it->second >= 0) continue;
    it->aux_bytes = (size_t)r->g->n_groups * (pair ? sizeof(struct tr_acc_pair) : 8);
    TR_TRY(tr_mem_alloc(it->aux_bytes, &it->aux, err));
    for (int p = 0; p < r->pass.n_parts; p++) {
      const struct tr_acc_part *part = &r->pass.parts[p];
      const struct tr_acc_f *sum = part->acc[it->main];
      const struct tr_acc_pair *sums = part->acc[it->main];
      for (int64_t g = part->lo; g < part->hi; g++) {
        int64_t k = g - part->lo;
        if (!pair) ((double *)it->aux)[g] = sum[k].sum / (double)sum[k].n;
        else
          ((struct tr_acc_pair *)it->aux)[g] =
              (struct tr_acc_pair){0, sums[k].x / (double)sums[k].n, sums[k].y / (double)sums[k].n};
      }
    }
    it->second = r->n_second;
    r->second[r->n_second++] = (struct tr_acc){.kind = pair ? TR_ACC_PAIR_SQUARES : TR_ACC_SQUARES,
                                               .x = it->spec->input,
                                               .y = it->spec->input2,
                                               .aux = it->aux};
  }
  return TR_OK;
}

/* Second central moment; a spread far below the rounding of the mean is none (constant groups have variance 0). */
static double central_square(const struct tr_acc_squares *s, double n) {
  double m2 = s->d2 - s->d * s->d / n;
  return m2 < 1e-10 * s->d2 ? 0.0 : m2;
}

static double spread(enum tr_agg fn, double m2, int64_t n, int64_t ddof) {
  if (n <= ddof) return NAN;
  double var = m2 / (double)(n - ddof);
  return fn == TR_AGG_VAR ? var : fn == TR_AGG_STD ? sqrt(var) : sqrt(var / (double)n);
}

/* NaN where a side is constant: like central_square, whatever the rounding of its mean. */
static double correlation(const struct tr_acc_pair *p, const struct tr_acc_cross *c) {
  if (p->n < 2) return NAN;
  double n = (double)p->n;
  double xx = central_square(&(struct tr_acc_squares){.d = c->x, .d2 = c->xx}, n);
  double yy = central_square(&(struct tr_acc_squares){.d = c->y, .d2 = c->yy}, n);
  if (xx == 0 || yy == 0) return NAN;
  double v = (c->xy - c->x * c->y / n) / sqrt(xx) / sqrt(yy);
  return v > 1 ? 1 : v < -1 ? -1 : v;
}

static void put_float(struct tr_array *out, int64_t i, double v) {
  if (out->dtype.kind == TR_F32) ((float *)out->data->data)[i] = (float)v;
  else ((double *)out->data->data)[i] = v;
}

void tr_agg_put_int(struct tr_array *out, int64_t i, int64_t v) {
  uint8_t *to = out->data->data;
  switch (tr_dtype_width(out->dtype)) {
  case 1: to[i] = (uint8_t)v; break;
  case 2: ((uint16_t *)to)[i] = (uint16_t)v; break;
  case 4: ((uint32_t *)to)[i] = (uint32_t)v; break;
  default: ((int64_t *)to)[i] = v;
  }
}

static void put_extreme_i(struct tr_array *out, int kind, bool max, int64_t i, int64_t v) {
  bool can_miss = kind >= TR_STR;
  if (!max && can_miss) v = (int64_t)((uint64_t)v + 1); /* undo the shift of TR_ACC_MIN_I */
  if (kind == TR_U64) v = (int64_t)((uint64_t)v ^ 0x8000000000000000ull);
  if (kind == TR_CATEGORY && v == TR_NAT) v = -1;
  tr_agg_put_int(out, i, v);
}

/* Reads the answers of one part of the pass. */
static void finish_part(struct run *r, struct item *it, struct tr_array *out, int part_no) {
  const struct tr_acc_part *part = &r->pass.parts[part_no];
  const void *acc = part->acc[it->main], *acc2 = it->second >= 0 ? r->pass2.parts[part_no].acc[it->second] : NULL;
  enum tr_agg fn = it->spec->fn;
  int kind = it->spec->input ? it->spec->input->dtype.kind : TR_I64;
  for (int64_t g = part->lo, k = 0; g < part->hi; g++, k++) {
    const struct tr_acc_f *f = (const struct tr_acc_f *)acc + k;
    switch (r->accs[it->main].kind) {
    case TR_ACC_SIZE:
    case TR_ACC_COUNT: ((int64_t *)out->data->data)[g] = ((const uint32_t *)acc)[k]; break;
    case TR_ACC_SUM_I:
    case TR_ACC_PROD_I: ((int64_t *)out->data->data)[g] = ((const int64_t *)acc)[k]; break;
    case TR_ACC_PROD_F: put_float(out, g, f->sum); break;
    case TR_ACC_SUM_F:
      if (fn == TR_AGG_SUM) put_float(out, g, f->sum);
      else if (fn == TR_AGG_MEAN) put_float(out, g, f->n ? f->sum / (double)f->n : NAN);
      else
        put_float(
            out, g,
            spread(fn, central_square((const struct tr_acc_squares *)acc2 + k, (double)f->n), f->n, it->spec->param));
      break;
    case TR_ACC_MIN_F:
    case TR_ACC_MAX_F: put_float(out, g, ((const double *)acc)[k]); break;
    case TR_ACC_MIN_I: put_extreme_i(out, kind, false, g, ((const int64_t *)acc)[k]); break;
    case TR_ACC_MAX_I: put_extreme_i(out, kind, true, g, ((const int64_t *)acc)[k]); break;
    case TR_ACC_ARGMIN_I:
    case TR_ACC_ARGMAX_I: ((uint32_t *)out->data->data)[g] = ((const struct tr_acc_arg_i *)acc)[k].row; break;
    case TR_ACC_ARGMIN_F:
    case TR_ACC_ARGMAX_F: ((uint32_t *)out->data->data)[g] = ((const struct tr_acc_arg_f *)acc)[k].row; break;
    case TR_ACC_FIRST_ROW:
    case TR_ACC_LAST_ROW: ((uint32_t *)out->data->data)[g] = ((const uint32_t *)acc)[k]; break;
    case TR_ACC_TRUTH: {
      uint8_t seen = ((const uint8_t *)acc)[k];
      out->data->data[g] = fn == TR_AGG_ANY ? seen & 1 : !(seen & 2);
      break;
    }
    case TR_ACC_PAIR_SUMS:
      put_float(out, g, correlation((const struct tr_acc_pair *)acc + k, (const struct tr_acc_cross *)acc2 + k));
      break;
    default: break;
    }
  }
}

struct finisher {
  struct run *r;
  struct item *it;
  struct tr_array *out;
};
static enum tr_status finish_parts(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct finisher *f = arg;
  for (int64_t p = begin; p < end; p++) finish_part(f->r, f->it, f->out, (int)p);
  return TR_OK;
}

/* An extreme that came out infinite may be that of no value at all: then it is NaN. Counts only when there is such a
 * group. */
static enum tr_status settle_infinite(struct run *r, struct item *it, struct tr_array *out, struct tr_error *err) {
  double none = it->spec->fn == TR_AGG_MIN ? INFINITY : -INFINITY;
  bool any = false;
  for (int64_t g = 0; g < r->g->n_groups && !any; g++) {
    double space[1];
    any = *tr_block_f64(out, g, 1, space) == none;
  }
  if (!any) return TR_OK;
  struct tr_acc count = {.kind = TR_ACC_COUNT, .x = it->spec->input};
  struct tr_acc_pass pass;
  TR_TRY(tr_acc_run(r->ctx, r->g, &count, 1, &pass, err));
  for (int p = 0; p < pass.n_parts; p++) {
    const struct tr_acc_part *part = &pass.parts[p];
    for (int64_t g = part->lo; g < part->hi; g++) {
      if (((const uint32_t *)part->acc[0])[g - part->lo] == 0) put_float(out, g, NAN);
    }
  }
  tr_acc_drop(&pass);
  return TR_OK;
}

/* The result of pandas' cast back to a narrow dtype: only when every value survives it. */
enum tr_status tr_agg_narrow(struct tr_array **a, struct tr_dtype to, struct tr_error *err) {
  const int64_t *v = (const int64_t *)(*a)->data->data;
  int64_t n = (*a)->length;
  struct tr_array *out;
  TR_TRY(tr_array_new(to, n, &out, err));
  for (int64_t i = 0; i < n; i++) tr_agg_put_int(out, i, v[i]);
  for (int64_t i = 0; i < n; i++) {
    int64_t space[1];
    if (*tr_block_i64(out, i, 1, space) == v[i]) continue;
    tr_array_unref(out);
    return TR_OK;
  }
  tr_array_unref(*a);
  *a = out;
  return TR_OK;
}

/* Ints -> float64, so that results can be missing. */
static enum tr_status to_float(struct tr_array **a, struct tr_error *err) {
  struct tr_array *out;
  TR_TRY(tr_array_new(tr_dtype_of(TR_F64), (*a)->length, &out, err));
  for (int64_t i = 0; i < (*a)->length; i++) {
    double space[1];
    ((double *)out->data->data)[i] = *tr_block_f64(*a, i, 1, space);
  }
  tr_array_unref(*a);
  *a = out;
  return TR_OK;
}

static void set_missing(struct tr_array *a, int64_t i) {
  if (a->enc == TR_DICT) ((int32_t *)a->data->data)[i] = -1;
  else if (tr_kind_is_float(a->dtype.kind)) put_float(a, i, NAN);
  else if (a->dtype.kind == TR_U32) ((uint32_t *)a->data->data)[i] = TR_NO_ROW;
  else tr_agg_put_int(a, i, TR_NAT);
}

/* min_count and skipna=False. rows: *out holds row numbers, not yet values. */
static enum tr_status apply_limits(struct run *r, struct item *it, bool rows, struct tr_array **out,
                                   struct tr_error *err) {
  for (int p = 0; p < r->pass.n_parts; p++) {
    const struct tr_acc_part *part = &r->pass.parts[p];
    const uint32_t *count = part->acc[it->count], *size = it->strict ? part->acc[it->size] : NULL;
    for (int64_t g = part->lo, k = 0; g < part->hi; g++, k++) {
      if (!(count[k] < it->min_count || (size && count[k] < size[k]))) continue;
      if (it->spec->fn == TR_AGG_ANY) { /* a missing value counts as true */
        (*out)->data->data[g] = 1;
        continue;
      }
      if (!rows && is_fixed((*out)->dtype.kind)) TR_TRY(to_float(out, err));
      set_missing(*out, g);
    }
  }
  return TR_OK;
}

/* Doubles -> the result's dtype. Takes values. */
static enum tr_status from_doubles(struct tr_array **a, struct tr_dtype to, struct tr_error *err) {
  if (to.kind == TR_F64) return TR_OK;
  const double *v = (const double *)(*a)->data->data;
  struct tr_array *out;
  TR_TRY(tr_array_new(to, (*a)->length, &out, err));
  for (int64_t i = 0; i < (*a)->length; i++) {
    if (to.kind == TR_F32) put_float(out, i, v[i]);
    else tr_agg_put_int(out, i, v[i] > -9.2233720368547748e18 && v[i] < 9.2233720368547748e18 ? (int64_t)v[i] : TR_NAT);
  }
  tr_array_unref(*a);
  *a = out;
  return TR_OK;
}

static enum tr_status nth_rows(struct run *r, const struct tr_agg_spec *spec, uint32_t *out, struct tr_error *err) {
  struct tr_segments s;
  TR_TRY(tr_segments_make(r->ctx, r->g, true, &s, err));
  for (int64_t g = 0; g < r->g->n_groups; g++) {
    int64_t n = s.start[g + 1] - s.start[g], k = spec->param < 0 ? n + spec->param : spec->param;
    out[g] = k < 0 || k >= n ? TR_NO_ROW : s.rows ? s.rows[s.start[g] + k] : (uint32_t)k;
  }
  tr_segments_drop(&s);
  return TR_OK;
}

/* Group numbers never fall from row to row (dropped rows first), as pandas' is_monotonic. */
static bool ids_ascend(const struct tr_groups *g) {
  const uint32_t *ids = tr_groups_ids(g);
  for (int64_t i = 1; ids && i < g->n_rows; i++) {
    if (ids[i] + 1 < ids[i - 1] + 1) return false; /* TR_NO_GROUP + 1 wraps to 0 */
  }
  return true;
}

static bool nothing_missing(const struct tr_array *a, int64_t n) {
  const float *v = tr_array_data(a);
  for (int64_t i = 0; i < n; i++) {
    if (v[i] != v[i]) return false;
  }
  return true;
}

/* The array that finish_part fills: wide ints, rows, or the dtype of the result. */
static enum tr_status make_array(struct run *r, struct item *it, struct tr_array **out, struct tr_error *err) {
  const struct tr_agg_spec *s = it->spec;
  struct tr_dtype t = it->dtype;
  int acc = it->main >= 0 ? (int)r->accs[it->main].kind : -1;
  if ((acc == TR_ACC_SUM_I || acc == TR_ACC_PROD_I) && tr_dtype_width(t) < 8) {
    t = tr_dtype_of(tr_kind_is_signed(t.kind) ? TR_I64 : TR_U64);
  }
  if (acc == TR_ACC_FIRST_ROW || acc == TR_ACC_LAST_ROW || (t.kind == TR_STR && s->fn != TR_AGG_NTH_ROW))
    t = tr_dtype_of(TR_U32);
  if (by_segment(it)) t = tr_dtype_of(TR_F64);
  if (s->fn == TR_AGG_MEAN && t.kind == TR_F32 && !r->whole && r->g->n_groups > 0 && ids_ascend(r->g) &&
      nothing_missing(s->input, r->g->n_rows)) {
    t = tr_dtype_of(TR_F64);
  }
  if (t.kind == TR_CATEGORY) return tr_array_new_dict(t, r->g->n_groups, s->input->dict, out, err);
  return tr_array_new(t, r->g->n_groups, out, err);
}

/* Rows -> values. */
static enum tr_status take_rows(struct run *r, struct item *it, struct tr_array **out, struct tr_error *err) {
  struct tr_array *values;
  const uint32_t *rows = (const uint32_t *)(*out)->data->data;
  bool missing = false;
  for (int64_t i = 0; i < r->g->n_groups && !missing; i++) missing = rows[i] == TR_NO_ROW;
  TR_TRY(tr_take(r->ctx, it->spec->input, rows, r->g->n_groups, missing, &values, err));
  tr_array_unref(*out);
  *out = values;
  return TR_OK;
}

static enum tr_status finish(struct run *r, struct item *it, struct tr_array **out, struct tr_error *err) {
  const struct tr_agg_spec *s = it->spec;
  TR_TRY(make_array(r, it, out, err));
  if (by_segment(it)) {
    TR_TRY(tr_agg_by_segment(r->ctx, r->g, s, r->whole, (double *)(*out)->data->data, err));
    struct tr_dtype to = s->fn == TR_AGG_SKEW && r->g->n_groups == 0 && !r->whole ? s->input->dtype : it->dtype;
    TR_TRY(from_doubles(out, to, err));
  } else if (s->fn == TR_AGG_NUNIQUE) {
    TR_TRY(tr_agg_nunique(r->ctx, r->g, s, (int64_t *)(*out)->data->data, err));
  } else if (s->fn == TR_AGG_NTH_ROW) {
    TR_TRY(nth_rows(r, s, (uint32_t *)(*out)->data->data, err));
  } else {
    struct finisher f = {r, it, *out};
    TR_TRY(tr_parallel_for(r->ctx, r->pass.n_parts, 1, finish_parts, &f, err));
    bool extreme = s->fn == TR_AGG_MIN || s->fn == TR_AGG_MAX;
    if (extreme && tr_kind_is_float(s->input->dtype.kind)) TR_TRY(settle_infinite(r, it, *out, err));
  }
  bool by_row = s->fn == TR_AGG_FIRST || s->fn == TR_AGG_LAST ||
                ((s->fn == TR_AGG_MIN || s->fn == TR_AGG_MAX) && s->input->dtype.kind == TR_STR);
  bool rows = by_row || s->fn == TR_AGG_IDXMIN_ROW || s->fn == TR_AGG_IDXMAX_ROW;
  (*out)->null_count = -1;
  if (it->count >= 0) TR_TRY(apply_limits(r, it, rows, out, err));
  if (by_row) TR_TRY(take_rows(r, it, out, err));
  bool summed = s->fn == TR_AGG_SUM || s->fn == TR_AGG_PROD;
  if (summed && tr_dtype_width(it->dtype) < 8 && is_fixed((*out)->dtype.kind))
    return tr_agg_narrow(out, it->dtype, err);
  return TR_OK;
}

static void release(struct run *r, size_t item_bytes, size_t acc_bytes) {
  for (int i = 0; r->items && i < r->n; i++) {
    tr_mem_free(r->items[i].codes, (size_t)r->g->n_rows * 8);
    tr_mem_free(r->items[i].aux, r->items[i].aux_bytes);
  }
  tr_acc_drop(&r->pass);
  tr_acc_drop(&r->pass2);
  tr_mem_free(r->items, item_bytes);
  tr_mem_free(r->accs, acc_bytes);
}

enum tr_status tr_agg_run(struct tr_ctx *ctx, const struct tr_groups *g, const struct tr_agg_spec *specs, int n,
                          bool whole, struct tr_array **out, struct tr_error *err) {
  struct run r = {.ctx = ctx, .g = g, .whole = whole, .n = n, .out = out};
  size_t item_bytes = sizeof *r.items * (size_t)n, acc_bytes = sizeof *r.accs * (size_t)n * (PER_SPEC + 1);
  enum tr_status st;
  for (int i = 0; i < n; i++) out[i] = NULL;
  TR_GOTO(st, tr_mem_calloc(item_bytes, (void **)&r.items, err));
  TR_GOTO(st, tr_mem_alloc(acc_bytes, (void **)&r.accs, err));
  r.second = r.accs + (size_t)n * PER_SPEC;
  for (int i = 0; i < n; i++) r.items[i].spec = &specs[i];
  TR_GOTO(st, plan(&r, err));
  TR_GOTO(st, tr_acc_run(ctx, g, r.accs, r.n_accs, &r.pass, err));
  TR_GOTO(st, plan_second(&r, err));
  TR_GOTO(st, tr_acc_run(ctx, g, r.second, r.n_second, &r.pass2, err));
  for (int i = 0; i < n; i++) TR_GOTO(st, finish(&r, &r.items[i], &out[i], err));
done:
  release(&r, item_bytes, acc_bytes);
  for (int i = 0; st != TR_OK && i < n; i++) {
    tr_array_unref(out[i]);
    out[i] = NULL;
  }
  return st;
}
