/* Gathers of rows by number. All columns of a morsel are produced block by block (256 rows): values come straight from
 * the column or from packed rows (pack.c), integers become float64 where rows may be missing, missing rows are filled.
 * Contiguous rows are shared as slices or copied. Which way is taken never changes a value. */
#include "base/mem.h"
#include "data/kern/take/take_int.h"

struct pair16 {
  uint64_t a, b;
};

#define T       uint8_t
#define NAME(x) x##_1
#include "data/kern/take/gather.tmpl.h"
#undef T
#undef NAME
#define T       uint16_t
#define NAME(x) x##_2
#include "data/kern/take/gather.tmpl.h"
#undef T
#undef NAME
#define T       uint32_t
#define NAME(x) x##_4
#include "data/kern/take/gather.tmpl.h"
#undef T
#undef NAME
#define T       uint64_t
#define NAME(x) x##_8
#include "data/kern/take/gather.tmpl.h"
#undef T
#undef NAME
#define T       struct pair16
#define NAME(x) x##_16
#include "data/kern/take/gather.tmpl.h"
#undef T
#undef NAME

static const struct kernel {
  void (*gather)(const void *, const uint32_t *, int64_t, int64_t, void *);
  void (*gather_near)(const void *, const uint32_t *, int64_t, void *);
  void (*fill)(const uint32_t *, int64_t, const void *, void *);
} kernels[5] = {
    /* by log2 of width */
    {gather_1, gather_near_1, fill_1}, {gather_2, gather_near_2, fill_2},    {gather_4, gather_near_4, fill_4},
    {gather_8, gather_near_8, fill_8}, {gather_16, gather_near_16, fill_16},
};

struct take_job {
  const uint32_t *rows;
  int64_t n_src;
  bool missing, far; /* far: memory is asked for ahead */
  struct tr_take_group *groups;
  int n_groups;
};

static void to_f64(int kind, const void *in, int64_t n, double *out) {
  switch (kind) {
  case TR_I8:
    for (int64_t i = 0; i < n; i++) out[i] = ((const int8_t *)in)[i];
    break;
  case TR_I16:
    for (int64_t i = 0; i < n; i++) out[i] = ((const int16_t *)in)[i];
    break;
  case TR_I32:
    for (int64_t i = 0; i < n; i++) out[i] = ((const int32_t *)in)[i];
    break;
  case TR_I64:
    for (int64_t i = 0; i < n; i++) out[i] = (double)((const int64_t *)in)[i];
    break;
  case TR_U8:
    for (int64_t i = 0; i < n; i++) out[i] = ((const uint8_t *)in)[i];
    break;
  case TR_U16:
    for (int64_t i = 0; i < n; i++) out[i] = ((const uint16_t *)in)[i];
    break;
  case TR_U32:
    for (int64_t i = 0; i < n; i++) out[i] = ((const uint32_t *)in)[i];
    break;
  default:
    for (int64_t i = 0; i < n; i++) out[i] = (double)((const uint64_t *)in)[i];
    break;
  }
}

/* One block of one group: rows[0 .. n), of which rows[0 .. known) may be read ahead; `safe` has no TR_NO_ROW. */
static void take_block(const struct take_job *job, const struct tr_take_group *g, const uint32_t *rows,
                       const uint32_t *safe, int64_t n, int64_t known, int64_t at) {
  _Alignas(64) uint8_t packed[TR_GATHER_BLOCK * TR_PACK_ROW];
  _Alignas(64) uint8_t ints[TR_GATHER_BLOCK * 8];
  if (g->rows && g->stride == 32) {
    for (int64_t i = 0; i < n; i++) {
      if (i + TR_GATHER_AHEAD < known) __builtin_prefetch(g->rows + (int64_t)safe[i + TR_GATHER_AHEAD] * 32);
      memcpy(packed + i * 32, g->rows + (int64_t)safe[i] * 32, 32);
    }
  } else if (g->rows) {
    kernels[__builtin_ctzll((uint64_t)g->stride)].gather(g->rows, safe, n, known, packed);
  }
  for (int c = 0; c < g->n_cols; c++) {
    const struct tr_take_col *col = g->cols[c];
    const struct kernel *k = &kernels[__builtin_ctz(col->width)];
    uint8_t *out = (uint8_t *)col->out + at * (col->to_f64 ? 8 : col->width);
    void *to = col->to_f64 ? ints : out;
    if (g->rows) tr_pack_unpack(col, packed, g->stride, n, to);
    else if (job->far) k->gather(col->src, safe, n, known, to);
    else k->gather_near(col->src, safe, n, to);
    if (col->to_f64) to_f64(col->kind, ints, n, (double *)out);
    if (job->missing) kernels[col->to_f64 ? 3 : __builtin_ctz(col->width)].fill(rows, n, col->null, out);
  }
}

static enum tr_status take_range(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  const struct take_job *job = arg;
  uint32_t clamped[TR_GATHER_BLOCK + TR_GATHER_AHEAD];
  (void)thread;
  (void)err;
  for (int64_t at = begin; at < end; at += TR_GATHER_BLOCK) {
    int64_t n = end - at < TR_GATHER_BLOCK ? end - at : TR_GATHER_BLOCK;
    int64_t known = end - at < n + TR_GATHER_AHEAD ? end - at : n + TR_GATHER_AHEAD;
    const uint32_t *rows = job->rows + at, *safe = rows;
    if (job->missing) {
      for (int64_t i = 0; i < known; i++) clamped[i] = rows[i] == TR_NO_ROW ? 0 : rows[i];
      safe = clamped;
    }
    for (int g = 0; g < job->n_groups; g++) take_block(job, &job->groups[g], rows, safe, n, known, at);
  }
  return TR_OK;
}

enum tr_status tr_take_missing_dtype(struct tr_dtype dtype, struct tr_dtype *out, struct tr_error *err) {
  if (dtype.kind == TR_BOOL) return tr_unsupported(err, "missing rows in a bool column give dtype object");
  *out = tr_kind_is_int(dtype.kind) ? tr_dtype_of(TR_F64) : dtype;
  return TR_OK;
}

static void null_of(struct tr_dtype dtype, int enc, uint8_t *null) {
  const struct tr_view none = tr_view_null();
  const int64_t nat = TR_NAT;
  const double nan64 = __builtin_nan("");
  const float nan32 = __builtin_nanf("");
  memset(null, 0, 16);
  if (enc == TR_DICT) memset(null, 0xff, 4);
  else if (dtype.kind == TR_STR) memcpy(null, &none, 16);
  else if (tr_kind_is_time(dtype.kind)) memcpy(null, &nat, 8);
  else if (dtype.kind == TR_F32) memcpy(null, &nan32, 4);
  else memcpy(null, &nan64, 8);
}

/* Makes the output array of `a` and says how its values get there. */
static enum tr_status prepare(struct tr_array *a, int64_t n, bool missing, struct tr_take_col *col,
                              struct tr_array **out, struct tr_error *err) {
  struct tr_dtype dtype = a->dtype;
  if (missing) TR_TRY(tr_take_missing_dtype(dtype, &dtype, err));
  if (a->enc == TR_DICT) TR_TRY(tr_array_new_dict(dtype, n, a->dict, out, err));
  else TR_TRY(tr_array_new(dtype, n, out, err));
  (*out)->dict_sorted = a->dict_sorted;
  if (!missing && __atomic_load_n(&a->null_count, __ATOMIC_RELAXED) == 0) (*out)->null_count = 0;
  memset(col, 0, sizeof *col);
  col->src = tr_array_data(a);
  col->out = tr_array_data(*out);
  col->kind = a->dtype.kind;
  col->width = (uint8_t)(a->enc == TR_DICT ? 4 : tr_dtype_width(a->dtype));
  col->packed = col->width;
  col->to_f64 = missing && tr_kind_is_int(a->dtype.kind);
  col->narrow =
      a->enc == TR_DICT || (tr_kind_is_int(a->dtype.kind) && col->width > 1) || tr_kind_is_time(a->dtype.kind);
  col->max_code = a->enc == TR_DICT ? a->dict->length : -1;
  null_of(dtype, a->enc, col->null);
  enum tr_status st = a->enc == TR_PLAIN ? tr_array_share_heaps(*out, a, err) : TR_OK;
  if (st != TR_OK) {
    tr_array_unref(*out);
    *out = NULL;
  }
  return st;
}

/* Whether neighbours in `rows` lie far apart in most places, from a sample. */
static bool is_scattered(const uint32_t *rows, int64_t n) {
  enum { SAMPLE = 1024, NEAR = 64 };
  int64_t step = n / SAMPLE + 1, far = 0, seen = 0;
  for (int64_t i = 0; i + 1 < n; i += step, seen++) {
    int64_t gap = (int64_t)rows[i + 1] - (int64_t)rows[i];
    far += gap > NEAR || gap < -NEAR;
  }
  return far * 2 > seen;
}

static bool is_contiguous(const uint32_t *rows, int64_t n) {
  if (n == 0 || rows[0] == TR_NO_ROW || rows[n - 1] - rows[0] != (uint64_t)n - 1) return false;
  uint32_t bad = 0;
  for (int64_t at = 0; at < n && !bad; at += 4096)
    for (int64_t i = at; i < at + 4096 && i < n; i++) bad |= rows[i] ^ (rows[0] + (uint32_t)i);
  return !bad;
}

/* Sorts columns into groups whose packed rows are at most TR_PACK_ROW bytes; first fit, widest first. */
static int make_groups(struct tr_take_col *cols, int n_cols, struct tr_take_col **order, struct tr_take_group *groups) {
  int n_groups = 0, n = 0, used[TR_PACK_ROW];
  for (int w = 16; w >= 1; w /= 2)
    for (int c = 0; c < n_cols; c++)
      if (cols[c].packed == w) order[n++] = &cols[c];
  for (int from = 0; from < n_cols; from += used[0]) {
    struct tr_take_group *g = &groups[n_groups++];
    *g = (struct tr_take_group){.cols = order + from};
    int64_t bytes = 0;
    used[0] = 0;
    for (int c = from; c < n_cols; c++) { /* keeps order: a column that does not fit waits for a later group */
      if (bytes + order[c]->packed > TR_PACK_ROW) continue;
      struct tr_take_col *col = order[c];
      memmove(order + from + used[0] + 1, order + from + used[0], (size_t)(c - from - used[0]) * sizeof *order);
      order[from + used[0]++] = col;
      col->at = (uint8_t)bytes;
      bytes += col->packed;
    }
    g->n_cols = used[0];
    for (g->stride = 1; g->stride < bytes; g->stride *= 2) {}
  }
  return n_groups;
}

static void free_packed(struct tr_take_group *groups, int n_groups, int64_t n_src) {
  for (int g = 0; g < n_groups; g++) {
    tr_mem_free(groups[g].rows, (size_t)(n_src * groups[g].stride));
    groups[g].rows = NULL;
  }
}

/* Settles groups and packs them; a group of one column is left as it is. */
static enum tr_status pack_groups(struct tr_ctx *ctx, struct tr_take_col *cols, int n_cols, int64_t n_src,
                                  struct tr_take_col **order, struct tr_take_group *groups, int *n_groups,
                                  struct tr_error *err) {
  for (int c = 0; c < n_cols; c++) tr_pack_guess(&cols[c], n_src);
  for (bool again = true; again;) {
    again = false;
    *n_groups = make_groups(cols, n_cols, order, groups);
    for (int g = 0; g < *n_groups; g++) {
      void *p;
      bool misfit;
      if (groups[g].n_cols < 2) continue;
      TR_TRY(tr_mem_alloc((size_t)(n_src * groups[g].stride), &p, err));
      groups[g].rows = p;
      TR_TRY(tr_pack_rows(ctx, &groups[g], n_src, &misfit, err));
      again |= misfit;
    }
    if (again) free_packed(groups, *n_groups, n_src);
  }
  return TR_OK;
}

static void single_groups(struct tr_take_col *cols, int n_cols, struct tr_take_col **order,
                          struct tr_take_group *groups) {
  for (int c = 0; c < n_cols; c++) {
    order[c] = &cols[c];
    groups[c] = (struct tr_take_group){.cols = order + c, .n_cols = 1};
  }
}

enum { PACK_MIN_BYTES = 2 << 20, FAR_MIN_BYTES = 512 << 10 };

static enum tr_status take_columns(struct tr_ctx *ctx, struct tr_take_col *cols, int n_cols, int64_t n_src,
                                   const uint32_t *rows, int64_t n, bool missing, struct tr_error *err) {
  struct tr_take_group *groups = NULL;
  struct tr_take_col **order = NULL;
  void *p = NULL, *q = NULL;
  int n_groups = n_cols;
  int64_t row_bytes = 0;
  enum tr_status st;
  TR_GOTO(st, tr_mem_calloc((size_t)n_cols * sizeof *groups, &p, err));
  groups = p;
  TR_GOTO(st, tr_mem_alloc((size_t)n_cols * sizeof *order, &q, err));
  order = q;
  for (int c = 0; c < n_cols; c++) row_bytes += cols[c].width;
  single_groups(cols, n_cols, order, groups);
  bool scattered = is_scattered(rows, n);
  if (n_cols > 1 && scattered && n_src * row_bytes > PACK_MIN_BYTES && n >= n_src / 4)
    TR_GOTO(st, pack_groups(ctx, cols, n_cols, n_src, order, groups, &n_groups, err));
  struct take_job job = {.rows = rows,
                         .n_src = n_src,
                         .missing = missing,
                         .groups = groups,
                         .n_groups = n_groups,
                         .far = scattered && n_src * row_bytes > FAR_MIN_BYTES};
  st = tr_parallel_for(ctx, n, tr_grain(ctx), take_range, &job, err);
done:
  if (groups) free_packed(groups, n_groups, n_src);
  tr_mem_free(p, (size_t)n_cols * sizeof *groups);
  tr_mem_free(q, (size_t)n_cols * sizeof *order);
  return st;
}

/* Whole arrays and large ranges are shared; a small range is not worth keeping a large array alive for. */
static bool shares(const struct tr_array *a, int64_t n) { return n * 2 >= a->length; }

static void fill_missing(struct tr_take_col *col, int64_t n) {
  int width = col->to_f64 ? 8 : col->width;
  for (int64_t i = 0; i < n; i++) memcpy((uint8_t *)col->out + i * width, col->null, (size_t)width);
}

enum tr_status tr_take_many(struct tr_ctx *ctx, struct tr_array *const *arrays, int n_cols, const uint32_t *rows,
                            int64_t n, bool has_missing, struct tr_array **out, struct tr_error *err) {
  for (int c = 0; c < n_cols; c++) out[c] = NULL;
  if (n_cols == 0) return TR_OK;
  void *p;
  TR_TRY(tr_mem_alloc((size_t)n_cols * sizeof(struct tr_take_col), &p, err));
  struct tr_take_col *cols = p;
  int64_t n_src = arrays[0]->length;
  bool contiguous = !has_missing && is_contiguous(rows, n), share = contiguous && shares(arrays[0], n);
  enum tr_status st = TR_OK;
  for (int c = 0; c < n_cols && st == TR_OK; c++)
    st = share ? tr_array_slice(arrays[c], rows[0], n, &out[c], err)
               : prepare(arrays[c], n, has_missing, &cols[c], &out[c], err);
  if (st != TR_OK || share || n == 0) goto done;
  if (n_src == 0) {
    for (int c = 0; c < n_cols; c++) fill_missing(&cols[c], n);
  } else {
    st = take_columns(ctx, cols, n_cols, n_src, rows, n, has_missing, err);
  }
done:
  tr_mem_free(p, (size_t)n_cols * sizeof *cols);
  for (int c = 0; c < n_cols && st != TR_OK; c++) {
    tr_array_unref(out[c]);
    out[c] = NULL;
  }
  return st;
}

enum tr_status tr_take(struct tr_ctx *ctx, struct tr_array *a, const uint32_t *rows, int64_t n, bool has_missing,
                       struct tr_array **out, struct tr_error *err) {
  return tr_take_many(ctx, &a, 1, rows, n, has_missing, out, err);
}
