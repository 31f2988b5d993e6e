/* Arrays: making, sharing and counting columns. An array owns references to its data, its heaps and its dictionary;
 * slices and gathers share them, so nothing here copies values. The heap list grows by doubling: its capacity follows
 * from n_heaps alone (heap_capacity), so that no field has to remember it. */
#include "base/mem.h"
#include "data/col/col.h"

static int heap_capacity(int n) {
  int c = 4;
  while (c < n) c *= 2;
  return n == 0 ? 0 : c;
}

static int value_width(const struct tr_array *a) { return a->enc == TR_DICT ? 4 : tr_dtype_width(a->dtype); }

/* Takes `data` on success only. */
static enum tr_status new_header(struct tr_dtype dtype, int64_t length, struct tr_buffer *data, struct tr_array **out,
                                 struct tr_error *err) {
  void *p;
  TR_TRY(tr_mem_alloc(sizeof(struct tr_array), &p, err));
  struct tr_array *a = p;
  memset(a, 0, sizeof *a);
  atomic_init(&a->refs, 1);
  a->dtype = dtype;
  a->length = length;
  a->null_count = -1;
  a->data = data;
  *out = a;
  return TR_OK;
}

enum tr_status tr_array_from_buffer(struct tr_dtype dtype, int64_t length, struct tr_buffer *data,
                                    struct tr_array **out, struct tr_error *err) {
  *out = NULL;
  enum tr_status st = new_header(dtype, length, data, out, err);
  if (st != TR_OK) tr_buffer_unref(data);
  return st;
}

enum tr_status tr_array_new(struct tr_dtype dtype, int64_t length, struct tr_array **out, struct tr_error *err) {
  *out = NULL;
  struct tr_buffer *data;
  if (length < 0 || length > INT64_MAX / 16) return tr_fail_memory(err, SIZE_MAX);
  TR_TRY(tr_buffer_new(length * tr_dtype_width(dtype), &data, err));
  return tr_array_from_buffer(dtype, length, data, out, err);
}

enum tr_status tr_array_new_dict(struct tr_dtype dtype, int64_t length, struct tr_array *dict, struct tr_array **out,
                                 struct tr_error *err) {
  *out = NULL;
  struct tr_buffer *data;
  if (length < 0 || length > INT64_MAX / 16) return tr_fail_memory(err, SIZE_MAX);
  TR_TRY(tr_buffer_new(length * 4, &data, err));
  TR_TRY(tr_array_from_buffer(dtype, length, data, out, err));
  (*out)->enc = TR_DICT;
  (*out)->dict = tr_array_ref(dict);
  return TR_OK;
}

enum tr_status tr_array_add_heap(struct tr_array *a, struct tr_buffer *heap, int *heap_no, struct tr_error *err) {
  int old = heap_capacity(a->n_heaps), want = heap_capacity(a->n_heaps + 1);
  if (want != old) {
    void *p = a->heaps;
    TR_TRY(tr_mem_realloc(&p, (size_t)old * sizeof *a->heaps, (size_t)want * sizeof *a->heaps, err));
    a->heaps = p;
  }
  *heap_no = a->n_heaps;
  a->heaps[a->n_heaps++] = tr_buffer_ref(heap);
  return TR_OK;
}

enum tr_status tr_array_share_heaps(struct tr_array *a, const struct tr_array *from, struct tr_error *err) {
  if (from->n_heaps == 0) return TR_OK;
  void *p;
  TR_TRY(tr_mem_alloc((size_t)heap_capacity(from->n_heaps) * sizeof *a->heaps, &p, err));
  a->heaps = p;
  a->n_heaps = from->n_heaps;
  for (int i = 0; i < from->n_heaps; i++) a->heaps[i] = tr_buffer_ref(from->heaps[i]);
  return TR_OK;
}

struct tr_array *tr_array_ref(struct tr_array *a) {
  if (a) atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
  return a;
}

void tr_array_unref(struct tr_array *a) {
  if (!a || atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) != 1) return;
  tr_buffer_unref(a->data);
  for (int i = 0; i < a->n_heaps; i++) tr_buffer_unref(a->heaps[i]);
  tr_mem_free(a->heaps, (size_t)heap_capacity(a->n_heaps) * sizeof *a->heaps);
  tr_array_unref(a->dict);
  tr_mem_free(a, sizeof *a);
}

enum tr_status tr_array_slice(struct tr_array *a, int64_t begin, int64_t length, struct tr_array **out,
                              struct tr_error *err) {
  if (begin == 0 && length == a->length) {
    *out = tr_array_ref(a);
    return TR_OK;
  }
  TR_TRY(tr_array_from_buffer(a->dtype, length, tr_buffer_ref(a->data), out, err));
  struct tr_array *s = *out;
  s->enc = a->enc;
  s->dict_sorted = a->dict_sorted;
  s->offset = a->offset + begin;
  s->dict = tr_array_ref(a->dict);
  if (__atomic_load_n(&a->null_count, __ATOMIC_RELAXED) == 0) s->null_count = 0;
  enum tr_status st = tr_array_share_heaps(s, a, err);
  if (st != TR_OK) {
    tr_array_unref(s);
    *out = NULL;
  }
  return st;
}

static int64_t count_views(const struct tr_view *v, int64_t n) {
  int64_t nulls = 0;
  for (int64_t i = 0; i < n; i++) nulls += v[i].size < 0;
  return nulls;
}

static int64_t count_codes(const int32_t *c, int64_t n) {
  int64_t nulls = 0;
  for (int64_t i = 0; i < n; i++) nulls += c[i] < 0;
  return nulls;
}

static int64_t count_f64(const double *v, int64_t n) {
  int64_t nulls = 0;
  for (int64_t i = 0; i < n; i++) nulls += v[i] != v[i];
  return nulls;
}

static int64_t count_f32(const float *v, int64_t n) {
  int64_t nulls = 0;
  for (int64_t i = 0; i < n; i++) nulls += v[i] != v[i];
  return nulls;
}

static int64_t count_nat(const int64_t *v, int64_t n) {
  int64_t nulls = 0;
  for (int64_t i = 0; i < n; i++) nulls += v[i] == TR_NAT;
  return nulls;
}

int64_t tr_array_null_count(struct tr_array *a) {
  int64_t known = __atomic_load_n(&a->null_count, __ATOMIC_RELAXED);
  if (known >= 0) return known;
  int64_t nulls = 0;
  const void *data = tr_array_data(a);
  if (a->enc == TR_DICT) nulls = count_codes(data, a->length);
  else if (a->dtype.kind == TR_STR) nulls = count_views(data, a->length);
  else if (a->dtype.kind == TR_F64) nulls = count_f64(data, a->length);
  else if (a->dtype.kind == TR_F32) nulls = count_f32(data, a->length);
  else if (tr_kind_is_time(a->dtype.kind)) nulls = count_nat(data, a->length);
  __atomic_store_n(&a->null_count, nulls, __ATOMIC_RELAXED);
  return nulls;
}

static void fill_null(struct tr_array *a) {
  int64_t n = a->length;
  if (a->dtype.kind == TR_STR) {
    struct tr_view *v = tr_array_data(a);
    for (int64_t i = 0; i < n; i++) v[i] = tr_view_null();
  } else if (a->dtype.kind == TR_F64) {
    double *v = tr_array_data(a);
    for (int64_t i = 0; i < n; i++) v[i] = __builtin_nan("");
  } else if (a->dtype.kind == TR_F32) {
    float *v = tr_array_data(a);
    for (int64_t i = 0; i < n; i++) v[i] = __builtin_nanf("");
  } else {
    int64_t *v = tr_array_data(a);
    for (int64_t i = 0; i < n; i++) v[i] = TR_NAT;
  }
}

enum tr_status tr_array_new_null(struct tr_dtype dtype, int64_t length, struct tr_array **out, struct tr_error *err) {
  *out = NULL;
  if (dtype.kind != TR_STR && !tr_kind_is_float(dtype.kind) && !tr_kind_is_time(dtype.kind))
    return tr_unsupported(err, "missing values in a column of dtype %s", tr_dtype_name(dtype));
  TR_TRY(tr_array_new(dtype, length, out, err));
  fill_null(*out);
  (*out)->null_count = length;
  return TR_OK;
}

int64_t tr_array_nbytes(const struct tr_array *a) {
  int64_t bytes = a->length * value_width(a);
  for (int i = 0; i < a->n_heaps; i++) {
    bool seen = false;
    for (int j = i - 1; j >= 0 && j >= i - 64 && !seen; j--) seen = a->heaps[j] == a->heaps[i];
    if (!seen) bytes += a->heaps[i]->size;
  }
  return a->dict ? bytes + tr_array_nbytes(a->dict) : bytes;
}
