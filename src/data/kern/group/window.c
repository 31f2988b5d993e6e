/* Windows within groups, in row order: dtypes, counting, shifting, filling, first and last rows, duplicates. Each is
 * one pass over the rows with a state per group; values are then gathered by row number.
 */
#include "data/kern/group/agg_int.h"

static const char *const names[TR_N_WINDOWS] = {"cumsum", "cumprod", "cummin", "cummax", "cumcount",
                                                "shift",  "diff",    "rank",   "rank",   "rank",
                                                "rank",   "rank",    "ngroup", "ffill",  "bfill"};

static bool is_fixed(int kind) { return kind == TR_BOOL || tr_kind_is_int(kind); }

static struct tr_dtype cumulated(enum tr_window fn, struct tr_dtype in, bool whole, bool dropped) {
  struct tr_dtype none = {.kind = TR_N_KINDS};
  bool sum = fn == TR_WIN_CUMSUM, extreme = fn == TR_WIN_CUMMIN || fn == TR_WIN_CUMMAX;
  if (tr_kind_is_time(in.kind)) { /* with dropped rows pandas takes missing times for numbers: left to pandas */
    return !dropped && (extreme || (sum && in.kind == TR_TIMEDELTA)) ? in : none;
  }
  if (tr_kind_is_float(in.kind)) return in;
  if (!is_fixed(in.kind)) return none;
  if (dropped) return tr_dtype_of(TR_F64);
  if (extreme) return in;
  if (in.kind == TR_BOOL) return tr_dtype_of(TR_I64);
  return whole ? tr_dtype_of(tr_kind_is_signed(in.kind) ? TR_I64 : TR_U64) : in;
}

static struct tr_dtype moved(const struct tr_window_spec *spec, struct tr_dtype in, bool whole) {
  struct tr_dtype none = {.kind = TR_N_KINDS}, f64 = tr_dtype_of(TR_F64);
  if (spec->fn == TR_WIN_SHIFT) {
    if (spec->param == 0) return in;
    return in.kind == TR_BOOL ? none : is_fixed(in.kind) ? f64 : in;
  }
  if (tr_kind_is_time(in.kind)) return tr_dtype_unit(TR_TIMEDELTA, in.unit);
  if (tr_kind_is_float(in.kind)) return in;
  if (in.kind == TR_I8 || in.kind == TR_I16) return tr_dtype_of(TR_F32);
  if (tr_kind_is_int(in.kind)) return spec->param == 0 && !whole ? in : f64;
  return none;
}

enum tr_status tr_window_dtype(const struct tr_window_spec *spec, struct tr_dtype in, bool whole, bool dropped,
                               struct tr_dtype *out, bool *depends, struct tr_error *err) {
  bool narrow = tr_kind_is_int(in.kind) && tr_dtype_width(in) < 8, any = false;
  switch (spec->fn) {
  case TR_WIN_CUMSUM:
  case TR_WIN_CUMPROD: any = narrow && !whole && !dropped; /* fall through */
  case TR_WIN_CUMMIN:
  case TR_WIN_CUMMAX: *out = cumulated(spec->fn, in, whole, dropped); break;
  case TR_WIN_CUMCOUNT:
  case TR_WIN_NGROUP: *out = tr_dtype_of(dropped ? TR_F64 : TR_I64); break;
  case TR_WIN_SHIFT:
  case TR_WIN_DIFF:
    *out = moved(spec, in, whole);
    any = !whole && is_fixed(in.kind);
    break;
  case TR_WIN_FFILL:
  case TR_WIN_BFILL:
    *out = dropped && is_fixed(in.kind) ? tr_dtype_of(TR_F64) : in;
    if (dropped && in.kind == TR_BOOL) out->kind = TR_N_KINDS;
    break;
  default:
    *out = tr_dtype_of(TR_F64);
    if (!whole && in.kind == TR_CATEGORY && !in.ordered) out->kind = TR_N_KINDS;
    if (dropped && tr_kind_is_time(in.kind)) out->kind = TR_N_KINDS;
  }
  if (depends) *depends = any;
  return out->kind == TR_N_KINDS ? tr_unsupported(err, "%s of %s", names[spec->fn], tr_dtype_name(in)) : TR_OK;
}

static uint32_t id_of(const uint32_t *ids, int64_t i) { return ids ? ids[i] : 0; }

/* cumcount and ngroup: int64, or float64 with NaN for dropped rows. */
static enum tr_status number_rows(struct tr_ctx *ctx, const struct tr_groups *g, int64_t n,
                                  const struct tr_window_spec *spec, struct tr_array **out, struct tr_error *err) {
  const uint32_t *ids = g ? tr_groups_ids(g) : NULL;
  bool dropped = g && g->has_dropped, count = spec->fn == TR_WIN_CUMCOUNT, back = spec->param == 1;
  uint32_t *seen = NULL;
  size_t bytes = (size_t)(g ? g->n_groups : 1) * 4;
  enum tr_status st;
  TR_GOTO(st, tr_mem_calloc(bytes, (void **)&seen, err));
  TR_GOTO(st, tr_array_new(tr_dtype_of(dropped ? TR_F64 : TR_I64), n, out, err));
  double *f = (double *)(*out)->data->data;
  int64_t *v = (int64_t *)(*out)->data->data;
  for (int64_t k = 0; k < n; k++) {
    if (k % (1 << 16) == 0) TR_GOTO(st, tr_ctx_check(ctx));
    int64_t i = back ? n - 1 - k : k;
    uint32_t id = id_of(ids, i);
    int64_t value = id == TR_NO_GROUP ? 0 : count ? seen[id]++ : id;
    if (!dropped) v[i] = value;
    else f[i] = id == TR_NO_GROUP ? __builtin_nan("") : (double)value;
  }
  (*out)->null_count = -1;
done:
  tr_mem_free(seen, bytes);
  return st;
}

/* The same for one period, without bringing groups together. */
static enum tr_status neighbour_rows(struct tr_ctx *ctx, const struct tr_groups *g, bool back, uint32_t *rows,
                                     bool *missing, struct tr_error *err) {
  const uint32_t *ids = tr_groups_ids(g);
  size_t bytes = (size_t)g->n_groups * 4;
  uint32_t *last;
  TR_TRY(tr_mem_alloc(bytes, (void **)&last, err));
  memset(last, 0xff, bytes);
  enum tr_status st = TR_OK;
  for (int64_t k = 0; k < g->n_rows; k++) {
    if (k % (1 << 16) == 0) TR_GOTO(st, tr_ctx_check(ctx));
    int64_t i = back ? g->n_rows - 1 - k : k;
    rows[i] = TR_NO_ROW;
    if (ids[i] == TR_NO_GROUP) continue;
    rows[i] = last[ids[i]];
    last[ids[i]] = (uint32_t)i;
  }
  *missing = g->n_rows > 0;
done:
  tr_mem_free(last, bytes);
  return st;
}

/* rows[i] = row that lies `periods` before row i in its group, TR_NO_ROW where none. */
static enum tr_status shifted_rows(struct tr_ctx *ctx, const struct tr_groups *g, int64_t n, int64_t periods,
                                   uint32_t *rows, bool *missing, struct tr_error *err) {
  *missing = false;
  if (!g || !g->ids || periods == 0) {
    for (int64_t i = 0; i < n; i++) {
      /* written so that no period overflows */
      bool none = periods > 0 ? i < periods : periods < 0 && (periods <= -n || i >= n + periods);
      rows[i] = none ? TR_NO_ROW : (uint32_t)(i - periods);
      *missing |= none;
    }
    return TR_OK;
  }
  if (periods == 1 || periods == -1) return neighbour_rows(ctx, g, periods < 0, rows, missing, err);
  struct tr_segments s;
  TR_TRY(tr_segments_make(ctx, g, true, &s, err));
  if (s.n_rows < n) memset(rows, 0xff, (size_t)n * 4);
  *missing = s.n_rows < n;
  for (int64_t k = 0; k < s.n_groups; k++) {
    int64_t lo = s.start[k], size = s.start[k + 1] - lo;
    for (int64_t i = 0; i < size; i++) {
      bool none = periods > 0 ? i < periods : periods <= -size || i >= size + periods;
      rows[s.rows[lo + i]] = none ? TR_NO_ROW : s.rows[lo + i - periods];
      *missing |= none;
    }
  }
  tr_segments_drop(&s);
  return TR_OK;
}

/* rows[i] = last (first, going back) row of i's group up to i whose value is there. */
static enum tr_status filled_rows(struct tr_ctx *ctx, const struct tr_groups *g, int64_t n, const struct tr_array *a,
                                  bool back, uint32_t *rows, bool *missing, struct tr_error *err) {
  const uint32_t *ids = g ? tr_groups_ids(g) : NULL;
  size_t groups = (size_t)(g ? g->n_groups : 1), bytes = groups * 4;
  uint32_t *last;
  TR_TRY(tr_mem_alloc(bytes, (void **)&last, err));
  memset(last, 0xff, bytes);
  enum tr_status st = TR_OK;
  *missing = false;
  double space[TR_GROUP_BLOCK];
  for (int64_t k = 0; k < n; k += TR_GROUP_BLOCK) {
    if (k % (1 << 16) == 0) TR_GOTO(st, tr_ctx_check(ctx));
    int size = (int)(n - k < TR_GROUP_BLOCK ? n - k : TR_GROUP_BLOCK);
    int64_t b = back ? n - k - size : k;
    const double *x = tr_block_f64(a, b, size, space);
    for (int j = 0; j < size; j++) {
      int i = back ? size - 1 - j : j;
      uint32_t id = id_of(ids, b + i);
      if (id != TR_NO_GROUP && x[i] == x[i]) last[id] = (uint32_t)(b + i);
      rows[b + i] = id == TR_NO_GROUP ? TR_NO_ROW : last[id];
      *missing |= rows[b + i] == TR_NO_ROW;
    }
  }
done:
  tr_mem_free(last, bytes);
  return st;
}

/* a - b of ints in their own width, as numpy wraps. */
static int64_t subtract(struct tr_dtype t, int64_t a, int64_t b) {
  uint64_t d = (uint64_t)a - (uint64_t)b;
  switch (t.kind) {
  case TR_I32: return (int32_t)(uint32_t)d;
  case TR_U8: return (uint8_t)d;
  case TR_U16: return (uint16_t)d;
  case TR_U32: return (uint32_t)d;
  default: return (int64_t)d;
  }
}

/* Value i minus value `row`. Within groups pandas subtracts after promotion, in whole columns before. */
static void put_difference(const struct tr_array *a, int64_t i, uint32_t row, bool whole, struct tr_array *out) {
  double fs[2], d = __builtin_nan("");
  int64_t is[2], v = TR_NAT;
  int kind = a->dtype.kind;
  bool ints = tr_kind_is_int(kind), time = tr_kind_is_time(kind), missing = row == TR_NO_ROW;
  if (!missing && (time || (ints && (whole || is_fixed(out->dtype.kind))))) {
    int64_t x = *tr_block_i64(a, i, 1, &is[0]), y = *tr_block_i64(a, row, 1, &is[1]);
    if (!time || (x != TR_NAT && y != TR_NAT)) v = subtract(a->dtype, x, y);
    d = kind == TR_U64 ? (double)(uint64_t)v : (double)v;
  } else if (!missing && kind == TR_F32) {
    const float *f = tr_array_data(a);
    d = f[i] - f[row];
  } else if (!missing) {
    d = *tr_block_f64(a, i, 1, &fs[0]) - *tr_block_f64(a, row, 1, &fs[1]);
    if (out->dtype.kind == TR_F32) d = (float)*tr_block_f64(a, i, 1, &fs[0]) - (float)*tr_block_f64(a, row, 1, &fs[1]);
  }
  if (out->dtype.kind == TR_F32) ((float *)out->data->data)[i] = (float)d;
  else if (out->dtype.kind == TR_F64) ((double *)out->data->data)[i] = d;
  else tr_agg_put_int(out, i, v);
}

struct differ {
  const struct tr_array *a;
  const uint32_t *rows;
  bool whole;
  struct tr_array *out;
};
static enum tr_status differences(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct differ *d = arg;
  if (d->a->dtype.kind == TR_F64) {
    const double *v = tr_array_data(d->a);
    double *out = (double *)d->out->data->data;
    for (int64_t i = begin; i < end; i++) out[i] = d->rows[i] == TR_NO_ROW ? __builtin_nan("") : v[i] - v[d->rows[i]];
    return TR_OK;
  }
  for (int64_t i = begin; i < end; i++) put_difference(d->a, i, d->rows[i], d->whole, d->out);
  return TR_OK;
}

static enum tr_status difference(struct tr_ctx *ctx, int64_t n, const struct tr_window_spec *spec, const uint32_t *rows,
                                 bool missing, bool whole, struct tr_array **out, struct tr_error *err) {
  struct tr_dtype in = spec->input->dtype, to = moved(spec, in, whole);
  bool wide = is_fixed(in.kind) && in.kind != TR_I8 && in.kind != TR_I16;
  if (!whole && wide) to = missing ? tr_dtype_of(TR_F64) : in;
  TR_TRY(tr_array_new(to, n, out, err));
  (*out)->null_count = -1;
  struct differ d = {spec->input, rows, whole, *out};
  return tr_parallel_for(ctx, n, tr_grain(ctx), differences, &d, err);
}

/* SHIFT, DIFF, FFILL, BFILL: row numbers first. */
static enum tr_status by_rows(struct tr_ctx *ctx, const struct tr_groups *g, int64_t n,
                              const struct tr_window_spec *spec, struct tr_array **out, struct tr_error *err) {
  uint32_t *rows = NULL;
  bool missing, move = spec->fn == TR_WIN_SHIFT || spec->fn == TR_WIN_DIFF;
  struct tr_dtype to;
  enum tr_status st;
  TR_GOTO(st, tr_mem_alloc((size_t)n * 4, (void **)&rows, err));
  if (move) TR_GOTO(st, shifted_rows(ctx, g, n, spec->param, rows, &missing, err));
  else TR_GOTO(st, filled_rows(ctx, g, n, spec->input, spec->fn == TR_WIN_BFILL, rows, &missing, err));
  if (spec->fn == TR_WIN_DIFF) {
    st = difference(ctx, n, spec, rows, missing, !g, out, err);
    goto done;
  }
  /* pandas promotes a whole column that is shifted at all, even when it is empty */
  bool promote = spec->fn == TR_WIN_SHIFT && !g && spec->param != 0;
  if (promote && n == 0) {
    TR_GOTO(st, tr_take_missing_dtype(spec->input->dtype, &to, err));
    if (!tr_dtype_eq(to, spec->input->dtype)) {
      st = tr_array_new(to, 0, out, err);
      goto done;
    }
  }
  st = tr_take(ctx, spec->input, rows, n, missing || promote, out, err);
done:
  tr_mem_free(rows, (size_t)n * 4);
  return st;
}

enum tr_status tr_window_run(struct tr_ctx *ctx, const struct tr_groups *g, int64_t n_rows,
                             const struct tr_window_spec *spec, struct tr_array **out, struct tr_error *err) {
  struct tr_dtype to, in = spec->input ? spec->input->dtype : tr_dtype_of(TR_I64);
  bool dropped = g && g->has_dropped;
  enum tr_status st;
  *out = NULL;
  if (spec->fn == TR_WIN_SHIFT && g && in.kind == TR_BOOL) to = in; /* decided by the rows */
  else TR_TRY(tr_window_dtype(spec, in, !g, dropped, &to, NULL, err));
  switch (spec->fn) {
  case TR_WIN_CUMSUM:
  case TR_WIN_CUMPROD:
  case TR_WIN_CUMMIN:
  case TR_WIN_CUMMAX: st = tr_window_cumulate(ctx, g, n_rows, spec, out, err); break;
  case TR_WIN_CUMCOUNT:
  case TR_WIN_NGROUP: st = number_rows(ctx, g, n_rows, spec, out, err); break;
  case TR_WIN_SHIFT:
  case TR_WIN_DIFF: st = by_rows(ctx, g, n_rows, spec, out, err); break;
  case TR_WIN_FFILL:
  case TR_WIN_BFILL:
    if (!dropped && is_fixed(in.kind)) {
      *out = tr_array_ref(spec->input);
      return TR_OK;
    }
    st = by_rows(ctx, g, n_rows, spec, out, err);
    break;
  default: st = tr_window_rank(ctx, g, n_rows, spec, out, err);
  }
  if (st != TR_OK) {
    tr_array_unref(*out);
    *out = NULL;
  }
  return st;
}

enum tr_status tr_groups_head(struct tr_ctx *ctx, const struct tr_groups *g, int64_t k, bool tail,
                              struct tr_buffer **rows, int64_t *n, struct tr_error *err) {
  const uint32_t *ids = tr_groups_ids(g);
  /* The k first are those before the k-th; all but the k last are the others counted from the end. */
  bool back = tail != (k < 0), want_below = k >= 0;
  uint64_t limit = k < 0 ? 0 - (uint64_t)k : (uint64_t)k;
  uint32_t *seen = NULL, bound = limit > UINT32_MAX ? UINT32_MAX : (uint32_t)limit;
  size_t bytes = (size_t)g->n_groups * 4;
  struct tr_buffer *all = NULL;
  enum tr_status st;
  *rows = NULL;
  TR_GOTO(st, tr_mem_calloc(bytes, (void **)&seen, err));
  TR_GOTO(st, tr_buffer_new(g->n_rows * 4, &all, err));
  uint32_t *to = (uint32_t *)all->data;
  int64_t m = 0;
  for (int64_t j = 0; j < g->n_rows; j++) {
    if (j % (1 << 16) == 0) TR_GOTO(st, tr_ctx_check(ctx));
    int64_t i = back ? g->n_rows - 1 - j : j;
    uint32_t id = id_of(ids, i);
    if (id == TR_NO_GROUP) continue;
    to[m] = (uint32_t)i;
    m += (seen[id]++ < bound) == want_below;
  }
  for (int64_t i = 0; back && i < m / 2; i++) {
    uint32_t t = to[i];
    to[i] = to[m - 1 - i];
    to[m - 1 - i] = t;
  }
  TR_GOTO(st, tr_buffer_new(m * 4, rows, err));
  memcpy((*rows)->data, to, (size_t)m * 4);
  *n = m;
done:
  tr_buffer_unref(all);
  tr_mem_free(seen, bytes);
  return st;
}

enum tr_status tr_groups_duplicated(struct tr_ctx *ctx, struct tr_array *const *keys, int n_keys, int64_t n, int keep,
                                    struct tr_array **out, struct tr_error *err) {
  struct tr_groups g = {0};
  uint32_t *last = NULL;
  size_t bytes = 0;
  enum tr_status st;
  *out = NULL;
  TR_GOTO(st, tr_groups_make(ctx, keys, n_keys, n, false, false, &g, err));
  TR_GOTO(st, tr_array_new(tr_dtype_of(TR_BOOL), n, out, err));
  uint8_t *to = (*out)->data->data;
  const uint32_t *ids = tr_groups_ids(&g), *first = (const uint32_t *)g.first_row->data;
  memset(to, 1, (size_t)n);
  if (keep == 0) {
    for (int64_t k = 0; k < g.n_groups; k++) to[first[k]] = 0;
    goto done;
  }
  bytes = (size_t)g.n_groups * 4;
  TR_GOTO(st, tr_mem_alloc(bytes, (void **)&last, err));
  for (int64_t i = 0; i < n; i++) last[ids[i]] = (uint32_t)i;
  for (int64_t k = 0; k < g.n_groups; k++) {
    if (keep == 1 || last[k] == first[k]) to[last[k]] = 0;
  }
done:
  tr_mem_free(last, bytes);
  tr_groups_drop(&g);
  if (st != TR_OK) {
    tr_array_unref(*out);
    *out = NULL;
  }
  return st;
}
