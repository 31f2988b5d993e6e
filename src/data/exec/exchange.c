/* Rows on their way between tasks: joined again, cut by hash or range of their keys, put back into order. See
 * task_int.h. */
#include "data/exec/exec_int.h"
#include "data/exec/task_int.h"
#include "data/kern/expr/eval.h"
#include "data/kern/sort/sort.h"
#include "data/kern/take/take.h"
#include <stdlib.h>
#include <xxhash.h>

/* ---- dtypes of parts */
enum tr_status tr_exchange_cast(struct tr_ctx *ctx, struct tr_array *a, struct tr_dtype to, struct tr_array **out,
                                struct tr_error *err) {
  struct tr_expr *col = NULL, *cast = NULL;
  struct tr_frame *f = NULL;
  enum tr_status st;
  *out = NULL;
  if (tr_dtype_eq(a->dtype, to)) {
    *out = tr_array_ref(a);
    return TR_OK;
  }
  TR_GOTO(st, tr_expr_col(0, a->dtype, tr_kind_is_float(a->dtype.kind), &col, err));
  TR_GOTO(st, tr_expr_make(TR_OP_CAST, &col, 1, &(struct tr_expr_params){.dtype = to}, &cast, err));
  TR_GOTO(st, tr_frame_new(a->length, 1, &a, &f, err));
  st = tr_expr_eval(ctx, &cast, 1, f, out, err);
done:
  tr_frame_unref(f);
  tr_expr_unref(cast);
  tr_expr_unref(col);
  return st;
}

/* The dtype that columns of these two have together: where data decides between integers and floats, or how wide an
 * integer is, the wider of the two is what deciding over all rows gives. */
static enum tr_status common_dtype(struct tr_dtype a, struct tr_dtype b, struct tr_dtype *out, struct tr_error *err) {
  *out = a;
  if (tr_dtype_eq(a, b)) return TR_OK;
  bool numbers = (tr_kind_is_number(a.kind) || a.kind == TR_BOOL) && (tr_kind_is_number(b.kind) || b.kind == TR_BOOL);
  if (!numbers) return tr_unsupported(err, "parts of %s and %s", tr_dtype_name(a), tr_dtype_name(b));
  bool floating = tr_kind_is_float(a.kind) || tr_kind_is_float(b.kind);
  if (floating && !(tr_kind_is_float(a.kind) && tr_kind_is_float(b.kind))) *out = tr_dtype_of(TR_F64);
  else *out = tr_dtype_of(tr_kind_common((enum tr_kind)a.kind, (enum tr_kind)b.kind));
  return TR_OK;
}

static enum tr_status join_column(struct tr_ctx *ctx, struct tr_frame *const *frames, int n, int col,
                                  struct tr_array **out, struct tr_error *err) {
  struct tr_array **parts = calloc((size_t)n, sizeof *parts);
  struct tr_dtype dtype = frames[0]->cols[col]->dtype;
  enum tr_status st = TR_OK;
  if (!parts) return tr_fail_memory(err, sizeof *parts * (size_t)n);
  for (int i = 1; i < n; i++) TR_GOTO(st, common_dtype(dtype, frames[i]->cols[col]->dtype, &dtype, err));
  for (int i = 0; i < n; i++) TR_GOTO(st, tr_exchange_cast(ctx, frames[i]->cols[col], dtype, &parts[i], err));
  st = tr_array_concat(ctx, parts, n, out, err);
done:
  tr_arrays_drop(parts, n);
  free(parts);
  return st;
}

/* Leaves frames with rows; when none has any, the first. */
static int drop_empty(struct tr_frame *const *frames, int n, struct tr_frame **out) {
  int k = 0;
  for (int i = 0; i < n; i++)
    if (frames[i]->n_rows) out[k++] = frames[i];
  if (!k) out[k++] = frames[0];
  return k;
}

enum tr_status tr_exchange_join(struct tr_ctx *ctx, struct tr_frame *const *frames, int n, struct tr_frame **out,
                                struct tr_error *err) {
  *out = NULL;
  if (!n) return TR_OK;
  int n_cols = frames[0]->n_cols, k;
  int64_t n_rows = 0;
  struct tr_frame **some = calloc((size_t)n, sizeof *some); /* borrows */
  struct tr_array **cols = calloc((size_t)n_cols + 1, sizeof *cols);
  enum tr_status st = TR_OK;
  if (!some || !cols) TR_GOTO(st, tr_fail_memory(err, sizeof *cols * (size_t)n_cols));
  k = drop_empty(frames, n, some);
  for (int i = 0; i < k; i++) {
    if (some[i]->n_cols != n_cols)
      TR_GOTO(st, tr_fail(err, TR_EXC_VALUE, "parts of %d and %d columns", n_cols, some[i]->n_cols));
    n_rows += some[i]->n_rows;
  }
  if (n_rows >= UINT32_MAX) TR_GOTO(st, tr_fail(err, TR_EXC_MEMORY, "%lld rows in one task", (long long)n_rows));
  for (int c = 0; c < n_cols; c++) {
    bool there = true;
    for (int i = 0; i < k; i++) there &= some[i]->cols[c] != NULL;
    if (there) TR_GOTO(st, join_column(ctx, some, k, c, &cols[c], err));
  }
  st = tr_frame_new(n_rows, n_cols, cols, out, err);
done:
  if (cols) tr_arrays_drop(cols, n_cols);
  free(cols);
  free(some);
  return st;
}

/* ---- rows */
enum tr_status tr_exchange_take(struct tr_ctx *ctx, const struct tr_frame *f, const uint32_t *rows, int64_t n,
                                struct tr_frame **out, struct tr_error *err) {
  struct tr_array **src = calloc((size_t)f->n_cols * 3 + 1, sizeof *src), **got = src + f->n_cols,
                  **cols = got + f->n_cols;
  enum tr_status st = TR_OK;
  int k = 0;
  if (!src) return tr_fail_memory(err, sizeof *src * (size_t)f->n_cols);
  for (int i = 0; i < f->n_cols; i++)
    if (f->cols[i]) src[k++] = f->cols[i];
  if (k) TR_GOTO(st, tr_take_many(ctx, src, k, rows, n, false, got, err));
  k = 0;
  for (int i = 0; i < f->n_cols; i++)
    if (f->cols[i]) cols[i] = got[k++];
  st = tr_frame_new(n, f->n_cols, cols, out, err);
  tr_arrays_drop(got, k);
done:
  free(src);
  return st;
}

enum tr_status tr_exchange_slice(const struct tr_frame *f, int64_t begin, int64_t n, struct tr_frame **out,
                                 struct tr_error *err) {
  struct tr_array **cols = calloc((size_t)f->n_cols + 1, sizeof *cols);
  enum tr_status st = TR_OK;
  if (!cols) return tr_fail_memory(err, sizeof *cols * (size_t)f->n_cols);
  for (int i = 0; i < f->n_cols; i++)
    if (f->cols[i]) TR_GOTO(st, tr_array_slice(f->cols[i], begin, n, &cols[i], err));
  st = tr_frame_new(n, f->n_cols, cols, out, err);
done:
  tr_arrays_drop(cols, f->n_cols);
  free(cols);
  return st;
}

enum tr_status tr_exchange_append(const struct tr_frame *f, struct tr_array *last, struct tr_frame **out,
                                  struct tr_error *err) {
  struct tr_array **cols = calloc((size_t)f->n_cols + 1, sizeof *cols); /* borrows */
  if (!cols) return tr_fail_memory(err, sizeof *cols * (size_t)f->n_cols);
  for (int i = 0; i < f->n_cols; i++) cols[i] = f->cols[i];
  cols[f->n_cols] = last;
  enum tr_status st = tr_frame_new(f->n_rows, f->n_cols + (last != NULL), cols, out, err);
  free(cols);
  return st;
}

enum tr_status tr_exchange_ordinals(int32_t task, const uint32_t *rows, int64_t n, struct tr_array **out,
                                    struct tr_error *err) {
  TR_TRY(tr_array_new(tr_dtype_of(TR_I64), n, out, err));
  int64_t *v = tr_array_data(*out), first = (int64_t)task << TR_ORDINAL_ROW_BITS;
  for (int64_t i = 0; i < n; i++) v[i] = first + (rows ? (int64_t)rows[i] : i);
  (*out)->null_count = 0;
  return TR_OK;
}

enum tr_status tr_exchange_restore(struct tr_ctx *ctx, const struct tr_frame *f, struct tr_frame **out,
                                   struct tr_error *err) {
  struct tr_buffer *rows = NULL;
  struct tr_array *ordinal = f->n_cols ? f->cols[f->n_cols - 1] : NULL;
  struct tr_frame without = {.n_rows = f->n_rows, .n_cols = f->n_cols - 1, .cols = f->cols};
  if (!ordinal || ordinal->dtype.kind != TR_I64) return tr_fail(err, TR_EXC_VALUE, "rows without ordinals");
  struct tr_sort_key key = {ordinal, false};
  TR_TRY(tr_sort_rows(ctx, &key, 1, f->n_rows, false, &rows, err));
  enum tr_status st = tr_exchange_take(ctx, &without, (const uint32_t *)rows->data, f->n_rows, out, err);
  tr_buffer_unref(rows);
  return st;
}

/* ---- by hash. Numbers that are equal as pandas compares keys hash alike whatever their kind; so do texts and
 * categories. These hashes decide which task gets a row: they must not differ between versions that work together. */
static uint64_t mixed(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdu;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53u;
  return x ^ x >> 33;
}

enum { HASH_MISSING = 0x6d697373 };

static uint64_t hash_double(double v) {
  uint64_t bits;
  if (v != v) return mixed(HASH_MISSING);
  if (v == 0) v = 0; /* -0.0 */
  memcpy(&bits, &v, sizeof bits);
  return mixed(bits);
}

static double number_at(const struct tr_array *a, int64_t i) {
  const void *p = tr_array_data(a);
  switch (a->dtype.kind) {
  case TR_BOOL:
  case TR_U8: return ((const uint8_t *)p)[i];
  case TR_I8: return ((const int8_t *)p)[i];
  case TR_I16: return ((const int16_t *)p)[i];
  case TR_U16: return ((const uint16_t *)p)[i];
  case TR_I32: return ((const int32_t *)p)[i];
  case TR_U32: return ((const uint32_t *)p)[i];
  case TR_I64: return (double)((const int64_t *)p)[i];
  case TR_U64: return (double)((const uint64_t *)p)[i];
  case TR_F32: return (double)((const float *)p)[i];
  default: return ((const double *)p)[i];
  }
}

static uint64_t hash_plain(const struct tr_array *a, int64_t i) {
  if (a->dtype.kind == TR_STR) {
    const struct tr_view *v = tr_array_views(a) + i;
    return v->size < 0 ? mixed(HASH_MISSING) : XXH3_64bits(tr_view_bytes(a, v), (size_t)v->size);
  }
  if (tr_kind_is_time(a->dtype.kind)) {
    int64_t v = ((const int64_t *)tr_array_data(a))[i];
    return v == TR_NAT ? mixed(HASH_MISSING) : mixed((uint64_t)v);
  }
  return hash_double(number_at(a, i));
}

static uint64_t joined(uint64_t a, uint64_t b) { return mixed(a * 31 + b); }

static enum tr_status hash_column(const struct tr_array *a, int64_t n, uint64_t *hashes, struct tr_error *err) {
  if (a->enc != TR_DICT) {
    for (int64_t i = 0; i < n; i++) hashes[i] = joined(hashes[i], hash_plain(a, i));
    return TR_OK;
  }
  const int32_t *codes = tr_array_codes(a);
  uint64_t *of_code = malloc(sizeof *of_code * (size_t)(a->dict->length + 1));
  if (!of_code) return tr_fail_memory(err, sizeof *of_code * (size_t)a->dict->length);
  of_code[0] = mixed(HASH_MISSING);
  for (int64_t i = 0; i < a->dict->length; i++) of_code[i + 1] = hash_plain(a->dict, i);
  for (int64_t i = 0; i < n; i++) hashes[i] = joined(hashes[i], of_code[codes[i] + 1]);
  free(of_code);
  return TR_OK;
}

enum tr_status tr_exchange_hash(struct tr_ctx *ctx, const struct tr_exchange_keys *keys, int64_t n_rows,
                                int32_t n_parts, uint32_t *parts, struct tr_error *err) {
  uint64_t *hashes = calloc((size_t)n_rows + 1, sizeof *hashes);
  enum tr_status st = hashes ? TR_OK : tr_fail_memory(err, sizeof *hashes * (size_t)n_rows);
  for (int k = 0; st == TR_OK && k < keys->n; k++) st = hash_column(keys->arrays[k], n_rows, hashes, err);
  for (int64_t i = 0; st == TR_OK && i < n_rows; i++)
    parts[i] = ctx->hash_zero ? 0 : (uint32_t)((hashes[i] >> 32) * (uint64_t)n_parts >> 32);
  free(hashes);
  return st;
}

/* ---- by range */
static enum tr_status sorted_rows(struct tr_ctx *ctx, struct tr_array *const *arrays,
                                  const struct tr_exchange_keys *order, int n, int64_t n_rows, struct tr_buffer **rows,
                                  struct tr_error *err) {
  struct tr_sort_key *keys = calloc((size_t)n + 1, sizeof *keys);
  if (!keys) return tr_fail_memory(err, sizeof *keys * (size_t)n);
  for (int k = 0; k < n; k++) keys[k] = (struct tr_sort_key){arrays[k], order->descending && order->descending[k]};
  enum tr_status st = tr_sort_rows(ctx, keys, n, n_rows, order->na_first, rows, err);
  free(keys);
  return st;
}

/* Bounds and rows are sorted together, bounds first among equals: a row's part is the number of bounds before it. */
enum tr_status tr_exchange_range(struct tr_ctx *ctx, const struct tr_exchange_keys *keys, int64_t n_rows,
                                 const struct tr_frame *bounds, uint32_t *parts, struct tr_error *err) {
  int64_t n_bounds = bounds ? bounds->n_rows : 0;
  if (bounds && bounds->n_cols != keys->n) return tr_fail(err, TR_EXC_VALUE, "bounds of other keys");
  memset(parts, 0, (size_t)n_rows * sizeof *parts);
  if (!n_bounds || !n_rows) return TR_OK;
  struct tr_frame rows = {.n_rows = n_rows, .n_cols = keys->n, .cols = keys->arrays}, *all = NULL;
  struct tr_frame *both[] = {(struct tr_frame *)(uintptr_t)bounds, &rows};
  struct tr_buffer *order = NULL;
  enum tr_status st;
  TR_GOTO(st, tr_exchange_join(ctx, both, 2, &all, err));
  TR_GOTO(st, sorted_rows(ctx, all->cols, keys, keys->n, all->n_rows, &order, err));
  uint32_t before = 0;
  const uint32_t *at = (const uint32_t *)order->data;
  for (int64_t i = 0; i < all->n_rows; i++) {
    if (at[i] < n_bounds) before++;
    else parts[at[i] - n_bounds] = before;
  }
done:
  tr_buffer_unref(order);
  tr_frame_unref(all);
  return st;
}

enum { SAMPLE_ROWS = 2000 };

/* Rows begin, begin + step, … as a buffer. */
static enum tr_status every(int64_t n, int64_t of, struct tr_buffer **rows, struct tr_error *err) {
  TR_TRY(tr_buffer_new(n * 4, rows, err));
  for (int64_t i = 0; i < n; i++) ((uint32_t *)(*rows)->data)[i] = (uint32_t)(i * (of / n) + i * (of % n) / n);
  return TR_OK;
}

enum tr_status tr_exchange_sample(struct tr_ctx *ctx, const struct tr_exchange_keys *keys, int64_t n_rows,
                                  struct tr_frame **out, struct tr_error *err) {
  struct tr_frame all = {.n_rows = n_rows, .n_cols = keys->n, .cols = keys->arrays};
  int64_t n = n_rows < SAMPLE_ROWS ? n_rows : SAMPLE_ROWS;
  struct tr_buffer *rows = NULL;
  TR_TRY(every(n, n_rows, &rows, err));
  enum tr_status st = tr_exchange_take(ctx, &all, (const uint32_t *)rows->data, n, out, err);
  tr_buffer_unref(rows);
  return st;
}

enum tr_status tr_exchange_bounds(struct tr_ctx *ctx, const struct tr_exchange_keys *order,
                                  const struct tr_frame *samples, int32_t n_parts, struct tr_frame **out,
                                  struct tr_error *err) {
  struct tr_buffer *rows = NULL;
  *out = NULL;
  if (!samples) return TR_OK;
  int64_t n = samples->n_rows, n_bounds = n < n_parts - 1 ? n : n_parts - 1;
  TR_TRY(sorted_rows(ctx, samples->cols, order, samples->n_cols, n, &rows, err));
  uint32_t *at = (uint32_t *)rows->data;
  for (int64_t i = 0; i < n_bounds; i++) at[i] = at[(i + 1) * n / (n_bounds + 1)]; /* ahead of where it is written */
  enum tr_status st = tr_exchange_take(ctx, samples, at, n_bounds, out, err);
  tr_buffer_unref(rows);
  return st;
}

/* ---- writing */
enum tr_status tr_exchange_write(struct tr_ctx *ctx, struct tr_block_writer *w, const struct tr_frame *f,
                                 const uint32_t *parts, int32_t n_parts, struct tr_error *err) {
  int64_t *begin = calloc((size_t)n_parts + 1, sizeof *begin);
  uint32_t *rows = malloc(sizeof *rows * (size_t)(f->n_rows + 1));
  enum tr_status st = TR_OK;
  if (!begin || !rows) TR_GOTO(st, tr_fail_memory(err, sizeof *rows * (size_t)f->n_rows));
  for (int64_t i = 0; i < f->n_rows; i++) {
    if (parts[i] >= (uint32_t)n_parts)
      TR_GOTO(st, tr_fail(err, TR_EXC_VALUE, "a row of part %u of %d", parts[i], n_parts));
    begin[parts[i] + 1]++;
  }
  for (int32_t p = 0; p < n_parts; p++) begin[p + 1] += begin[p];
  for (int64_t i = 0; i < f->n_rows; i++) rows[begin[parts[i]]++] = (uint32_t)i; /* begin[p] ends as its end */
  for (int32_t p = 0; p < n_parts; p++) {
    int64_t from = p ? begin[p - 1] : 0;
    struct tr_frame *part;
    TR_GOTO(st, tr_block_segment(w, err));
    TR_GOTO(st, tr_exchange_take(ctx, f, rows + from, begin[p] - from, &part, err));
    st = tr_block_add(ctx, w, part, err);
    tr_frame_unref(part);
    if (st != TR_OK) goto done;
  }
done:
  free(begin);
  free(rows);
  return st;
}
