/* What a column is, once a pass has shown its texts; and pandas' inference by blocks.
 *
 * pandas (low_memory=True) infers dtypes per block of rows and joins the blocks afterwards; files of 5 MB and more it
 * cuts by bytes first. Whatever could come out otherwise block by block than for the whole column is refused
 * (TR_UNSUPPORTED) here.
 */
#include "base/mem.h"
#include "data/format/csv/reader_int.h"
#include <math.h>
#include <stdlib.h>

enum { NUMBERS = TR_CSV_INT | TR_CSV_FLOAT | TR_CSV_OVER, PARALLEL_BYTES = 5 * 1024 * 1024 };

int64_t tr_csv_block_rows(const struct tr_csv_reader *r) {
  if (!r->opt->low_memory) return INT64_MAX;
  int64_t rows = 1;
  while (rows * 2 < (1 << 20) / r->head.width) rows *= 2;
  return rows;
}

/* pandas sees the whole column at once. */
static bool one_block(const struct tr_csv_reader *r) {
  return r->n_rows <= tr_csv_block_rows(r) && (r->file.size < PARALLEL_BYTES || !r->opt->low_memory);
}

void tr_csv_column_drop(struct tr_csv_reader *r, struct tr_csv_column *c) {
  const size_t threads = (size_t)r->ctx->threads, chunks = (size_t)r->scan.n;
  for (size_t i = 0; c->dicts && i < threads; i++) tr_csv_dict_drop(&c->dicts[i]);
  for (int i = 0; i < c->n_heaps; i++) tr_buffer_unref(c->heaps[i]);
  tr_mem_free(c->dicts, threads * sizeof *c->dicts);
  tr_mem_free(c->cursors, threads * sizeof *c->cursors);
  tr_mem_free(c->heaps, (size_t)c->heap_capacity * sizeof *c->heaps);
  tr_mem_free(c->chunk_is_float, chunks);
  tr_mem_free(c->chunk_thread, chunks);
  tr_array_unref(c->array);
  c->dicts = NULL, c->cursors = NULL, c->heaps = NULL, c->chunk_is_float = c->chunk_thread = NULL, c->array = NULL;
  c->n_heaps = c->heap_capacity = 0;
}

enum tr_status tr_csv_column_prepare(struct tr_csv_reader *r, struct tr_csv_column *c, struct tr_error *err) {
  static const uint8_t kinds[] = {TR_I64, TR_I64, TR_I64, TR_BOOL, TR_I32, TR_STR, TR_I64};
  const size_t threads = (size_t)r->ctx->threads, chunks = (size_t)r->scan.n;
  tr_csv_column_drop(r, c);
  void *p;
  TR_TRY(tr_array_new(tr_dtype_of(kinds[c->way]), r->n_rows, &c->array, err));
  TR_TRY(tr_mem_calloc(chunks, &p, err));
  c->chunk_is_float = p;
  TR_TRY(tr_mem_calloc(chunks, &p, err));
  c->chunk_thread = p;
  TR_TRY(tr_mem_calloc(threads * sizeof *c->dicts, &p, err));
  c->dicts = p;
  TR_TRY(tr_mem_calloc(threads * sizeof *c->cursors, &p, err));
  c->cursors = p;
  atomic_fetch_and(&c->seen, ~(uint32_t)(TR_CSV_STOP | TR_CSV_DISTINCT));
  atomic_store(&c->first_over, INT64_MAX);
  atomic_store(&c->first_other, INT64_MAX);
  atomic_store(&c->date_code, 0);
  const int64_t most = r->n_rows / 4 > 1 << 20 ? 1 << 20 : r->n_rows / 4;
  c->max_distinct = most < 1000 ? 1000 : (int32_t)most;
  if (c->option && c->option->has_dtype && c->option->dtype.kind == TR_CATEGORY) c->max_distinct = INT32_MAX / 4;
  return TR_OK;
}

static void again(struct tr_csv_column *c, enum tr_csv_way way) {
  c->way = way;
  c->todo = true;
}

static enum tr_status refuse(const struct tr_csv_column *c, const char *why, struct tr_error *err) {
  return tr_unsupported(err, "read_csv: column %s: %s", c->name, why);
}

static bool has_int_dtype(const struct tr_csv_column *c) {
  return c->option && c->option->has_dtype && tr_kind_is_int(c->option->dtype.kind);
}

/* All texts of the column are numbers or missing. */
static enum tr_status settle_number(struct tr_csv_reader *r, struct tr_csv_column *c, uint32_t seen,
                                    struct tr_error *err) {
  if (has_int_dtype(c)) {
    if (seen & TR_CSV_FLOAT) return refuse(c, "floats for an integer dtype", err);
    if ((seen & TR_CSV_OVER) && c->option->dtype.kind != TR_U64) return refuse(c, "integers beyond 64 bits", err);
    if (seen & TR_CSV_NA) {
      if (!one_block(r) || (seen & TR_CSV_OVER)) return refuse(c, "missing values for an integer dtype", err);
      return tr_fail(err, TR_EXC_VALUE, "Integer column has NA values in column %d", c->field);
    }
  }
  if (seen & TR_CSV_OVER) {
    if (!one_block(r)) return refuse(c, "integers beyond int64 in a long column", err);
    if (!(seen & TR_CSV_FLOAT)) {
      if (seen & TR_CSV_NA) return refuse(c, "integers beyond int64 with missing values", err);
      again(c, TR_CSV_AS_U64);
      return TR_OK;
    }
    if (atomic_load(&c->first_over) < atomic_load(&c->first_other))
      return refuse(c, "integers beyond int64 before floats", err);
  }
  if (!(seen & TR_CSV_FLOAT)) return TR_OK;
  const bool differs = (seen & TR_CSV_ZERO) || r->n_na_numbers > 0 || (r->dialect.thousands && (seen & TR_CSV_INT));
  if (!differs) return TR_OK;
  if ((seen & TR_CSV_INT) && !one_block(r))
    return refuse(c, "integers that read differently as floats in a long column", err);
  again(c, TR_CSV_AS_FLOAT);
  return TR_OK;
}

/* The texts so far do not fit the way the column was parsed. */
static enum tr_status other_way(struct tr_csv_column *c, uint32_t seen, struct tr_error *err) {
  if (c->option && c->option->has_dtype) return refuse(c, "texts that do not fit the dtype", err);
  if ((seen & TR_CSV_TEXT) || ((seen & TR_CSV_BOOL) && (seen & NUMBERS))) {
    again(c, TR_CSV_AS_DICT);
  } else {
    again(c, (seen & TR_CSV_BOOL) ? TR_CSV_AS_BOOL : TR_CSV_AS_NUMBER);
  }
  return TR_OK;
}

enum tr_status tr_csv_column_settle(struct tr_csv_reader *r, struct tr_csv_column *c, bool whole,
                                    struct tr_error *err) {
  const uint32_t seen = atomic_load(&c->seen);
  const bool has_dtype = c->option && c->option->has_dtype;
  c->todo = !whole;
  if (!whole && (has_dtype || (seen & TR_CSV_BAD_UTF8))) return TR_OK; /* a bad row further on goes first */
  if (seen & TR_CSV_BAD_UTF8) return refuse(c, "text that is not UTF-8", err);
  if (!whole && c->way == TR_CSV_AS_DATE) return TR_OK;
  if (seen & TR_CSV_BAD_DATE) return refuse(c, "dates other than ISO 8601 of one layout", err);
  if (seen & TR_CSV_NEGATIVE) return refuse(c, "integers beyond int64 and negative ones", err);
  if (seen & TR_CSV_DISTINCT) {
    if (has_dtype && c->option->dtype.kind == TR_CATEGORY) return refuse(c, "too many categories", err);
    again(c, TR_CSV_AS_PLAIN);
    return TR_OK;
  }
  switch (c->way) {
  case TR_CSV_AS_NUMBER:
    if (seen & TR_CSV_STOP) return other_way(c, seen, err);
    return whole ? settle_number(r, c, seen, err) : TR_OK;
  case TR_CSV_AS_BOOL: return seen & TR_CSV_STOP ? other_way(c, seen, err) : TR_OK;
  case TR_CSV_AS_FLOAT:
  case TR_CSV_AS_U64: return seen & TR_CSV_STOP ? refuse(c, "texts that are no such number", err) : TR_OK;
  default: return TR_OK;
  }
}

/* ------------------------------------------------------------------ finishing */

static enum tr_status turn_chunks(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread, (void)err;
  struct tr_csv_column *c = ((void **)arg)[0];
  struct tr_csv_reader *r = ((void **)arg)[1];
  int64_t *v = tr_array_data(c->array);
  for (int64_t k = begin; k < end; k++) {
    if (c->chunk_is_float[k]) continue;
    int64_t to = r->scan.chunks[k + 1].row < r->n_rows ? r->scan.chunks[k + 1].row : r->n_rows;
    for (int64_t i = r->scan.chunks[k].row; i < to; i++) {
      double x = (double)v[i];
      memcpy(&v[i], &x, sizeof x);
    }
  }
  return TR_OK;
}

static enum tr_status narrow_ints(struct tr_csv_column *c, struct tr_error *err) {
  const enum tr_kind kind = c->option->dtype.kind;
  const int64_t *v = tr_array_data(c->array), n = c->array->length;
  struct tr_array *a;
  TR_TRY(tr_array_new(tr_dtype_of(kind), n, &a, err));
  void *out = tr_array_data(a);
  bool bad = false;
  for (int64_t i = 0; i < n; i++) {
    switch (kind) {
    case TR_I8: bad |= (((int8_t *)out)[i] = (int8_t)v[i]) != v[i]; break;
    case TR_I16: bad |= (((int16_t *)out)[i] = (int16_t)v[i]) != v[i]; break;
    case TR_I32: bad |= (((int32_t *)out)[i] = (int32_t)v[i]) != v[i]; break;
    case TR_U8: bad |= (((uint8_t *)out)[i] = (uint8_t)v[i]) != v[i]; break;
    case TR_U16: bad |= (((uint16_t *)out)[i] = (uint16_t)v[i]) != v[i]; break;
    case TR_U32: bad |= (((uint32_t *)out)[i] = (uint32_t)v[i]) != v[i]; break;
    default:
      bad |= v[i] < 0;
      ((uint64_t *)out)[i] = (uint64_t)v[i];
      break;
    }
  }
  if (bad) {
    tr_array_unref(a);
    return tr_fail(err, TR_EXC_VALUE,
                   "cannot safely convert passed user dtype of %s for int64 dtyped data in column %d",
                   tr_dtype_name(c->option->dtype), c->field);
  }
  tr_array_unref(c->array);
  c->array = a;
  return TR_OK;
}

static enum tr_status finish_number(struct tr_csv_reader *r, struct tr_csv_column *c, struct tr_error *err) {
  const uint32_t seen = atomic_load(&c->seen);
  c->array->null_count = 0;
  if ((seen & (NUMBERS | TR_CSV_NA)) == TR_CSV_INT) {
    return has_int_dtype(c) && c->option->dtype.kind != TR_I64 ? narrow_ints(c, err) : TR_OK;
  }
  void *arg[2] = {c, r};
  TR_TRY(tr_parallel_for(r->ctx, r->scan.n, 16, turn_chunks, arg, err));
  c->array->dtype = tr_dtype_of(TR_F64);
  c->array->null_count = -1;
  return TR_OK;
}

static enum tr_status finish_float(struct tr_csv_column *c, struct tr_error *err) {
  c->array->dtype = tr_dtype_of(TR_F64);
  if (!c->option || !c->option->has_dtype || c->option->dtype.kind == TR_F64) return TR_OK;
  struct tr_array *a;
  const double *v = tr_array_data(c->array);
  TR_TRY(tr_array_new(c->option->dtype, c->array->length, &a, err));
  float *out = tr_array_data(a);
  for (int64_t i = 0; i < a->length; i++) out[i] = (float)v[i];
  tr_array_unref(c->array);
  c->array = a;
  return TR_OK;
}

static enum tr_status finish_bool(struct tr_csv_reader *r, struct tr_csv_column *c, struct tr_error *err) {
  c->array->null_count = 0;
  if (!(atomic_load(&c->seen) & TR_CSV_NA)) return TR_OK;
  if (c->option && c->option->has_dtype && one_block(r)) {
    return tr_fail(err, TR_EXC_VALUE, "Bool column has NA values in column %d", c->field);
  }
  return refuse(c, "bools with missing values (an object column)", err);
}

static enum tr_status finish_date(struct tr_csv_column *c) {
  const bool any = atomic_load(&c->date_code) != 0;
  c->array->dtype = tr_dtype_unit(TR_DATETIME, any ? TR_US : TR_S);
  return TR_OK;
}

/* The text of row i of a text column that is finished; false when missing. */
static bool text_at(const struct tr_array *a, int64_t i, const char **s, uint32_t *n) {
  const struct tr_array *from = a;
  const struct tr_view *v;
  if (a->enc == TR_DICT) {
    int32_t code = tr_array_codes(a)[i];
    if (code < 0) return false;
    from = a->dict;
    v = &tr_array_views(from)[code];
  } else {
    v = &tr_array_views(a)[i];
    if (v->size < 0) return false;
  }
  *s = tr_view_bytes(from, v);
  *n = (uint32_t)v->size;
  return true;
}

/* Does pandas read rows [from, to) as text? All missing will do, too. */
static enum tr_status check_block(const struct tr_csv_reader *r, const struct tr_csv_column *c, int64_t from,
                                  int64_t to, struct tr_error *err) {
  uint32_t seen = 0;
  for (int64_t i = from; i < to; i++) {
    const char *s;
    uint32_t n;
    if (!text_at(c->array, i, &s, &n)) continue;
    enum tr_csv_class k = tr_csv_classify(r, s, n);
    if (k == TR_CSV_OVER && !(seen & ~(uint32_t)TR_CSV_INT)) return refuse(c, "integers beyond int64 among texts", err);
    seen |= k;
    if (k == TR_CSV_TEXT || ((seen & TR_CSV_BOOL) && (seen & NUMBERS))) return TR_OK;
  }
  if (seen == 0) return TR_OK;
  return refuse(c, "numbers in one part and texts in another (an object column)", err);
}

static int by_view(const void *a, const void *b, void *arg) {
  const struct tr_array *d = arg;
  return tr_view_cmp(d, &tr_array_views(d)[*(const int32_t *)a], d, &tr_array_views(d)[*(const int32_t *)b]);
}

/* pandas makes numbers or bools of categories when all of them are; one that surely is neither settles it. */
static bool surely_text(const struct tr_array *dict) {
  for (int64_t i = 0; i < dict->length; i++) {
    const struct tr_view *v = &tr_array_views(dict)[i];
    const char *s = tr_view_bytes(dict, v);
    for (int32_t k = 0; k < v->size; k++) {
      if (s[k] && strchr("bcdghjkmopqvwzBCDGHJKMOPQVWZ/:;!?&%$*()[]{}<>@", s[k])) return true;
    }
  }
  return false;
}

static enum tr_status finish_category(struct tr_csv_column *c, struct tr_error *err) {
  struct tr_array *old = c->array->dict, *dict = NULL;
  const int64_t n = old->length;
  if (!surely_text(old)) return refuse(c, "categories that may be numbers", err);
  void *order = NULL, *rank = NULL;
  enum tr_status st = TR_OK;
  int32_t *codes = tr_array_data(c->array);
  TR_GOTO(st, tr_mem_alloc((size_t)n * sizeof(int32_t), &order, err));
  TR_GOTO(st, tr_mem_alloc((size_t)n * sizeof(int32_t), &rank, err));
  for (int64_t i = 0; i < n; i++) ((int32_t *)order)[i] = (int32_t)i;
  qsort_r(order, (size_t)n, sizeof(int32_t), by_view, old);
  TR_GOTO(st, tr_array_new(tr_dtype_of(TR_STR), n, &dict, err));
  TR_GOTO(st, tr_array_share_heaps(dict, old, err));
  for (int64_t i = 0; i < n; i++) {
    const int32_t from = ((int32_t *)order)[i];
    ((struct tr_view *)tr_array_data(dict))[i] = tr_array_views(old)[from];
    ((int32_t *)rank)[from] = (int32_t)i;
  }
  for (int64_t i = 0; i < c->array->length; i++) codes[i] = codes[i] < 0 ? -1 : ((int32_t *)rank)[codes[i]];
  dict->null_count = 0;
  c->array->dict = dict;
  c->array->dict_sorted = true;
  c->array->dtype = c->option->dtype;
  dict = old;
done:
  tr_array_unref(dict);
  tr_mem_free(order, (size_t)n * sizeof(int32_t));
  tr_mem_free(rank, (size_t)n * sizeof(int32_t));
  return st;
}

static enum tr_status finish_text(struct tr_csv_reader *r, struct tr_csv_column *c, struct tr_error *err) {
  TR_TRY(tr_csv_text_finish(r, c, err));
  if (atomic_load(&c->seen) & TR_CSV_DISTINCT) { /* every thread was below the limit, all together are not */
    again(c, TR_CSV_AS_PLAIN);
    return TR_OK;
  }
  if (c->option && c->option->has_dtype) return c->option->dtype.kind == TR_CATEGORY ? finish_category(c, err) : TR_OK;
  const int64_t rows = tr_csv_block_rows(r);
  for (int64_t i = 0; i < r->n_rows; i += rows) {
    TR_TRY(check_block(r, c, i, r->n_rows - i < rows ? r->n_rows : i + rows, err));
    if (rows > r->n_rows) break;
  }
  return TR_OK;
}

enum tr_status tr_csv_column_finish(struct tr_csv_reader *r, struct tr_csv_column *c, struct tr_error *err) {
  switch (c->way) {
  case TR_CSV_AS_NUMBER: return finish_number(r, c, err);
  case TR_CSV_AS_FLOAT: return finish_float(c, err);
  case TR_CSV_AS_U64: c->array->dtype = tr_dtype_of(TR_U64); return TR_OK;
  case TR_CSV_AS_BOOL: return finish_bool(r, c, err);
  case TR_CSV_AS_DATE: return finish_date(c);
  default: return finish_text(r, c, err);
  }
}
