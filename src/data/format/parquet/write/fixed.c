/* Fixed-width values on their way out: widened to the physical type, missing ones left out, least and largest found,
 * and put into a dictionary when there are few distinct ones.
 */
#include "data/format/parquet/write/encode_int.h"
#include <math.h>
#include <string.h>

#define NAME     range_i32
#define T        int32_t
#define IS_FLOAT 0
#include "data/format/parquet/write/fixed.tmpl.h"
#define NAME     range_u32
#define T        uint32_t
#define IS_FLOAT 0
#include "data/format/parquet/write/fixed.tmpl.h"
#define NAME     range_i64
#define T        int64_t
#define IS_FLOAT 0
#include "data/format/parquet/write/fixed.tmpl.h"
#define NAME     range_u64
#define T        uint64_t
#define IS_FLOAT 0
#include "data/format/parquet/write/fixed.tmpl.h"
#define NAME     range_f32
#define T        float
#define IS_FLOAT 1
#include "data/format/parquet/write/fixed.tmpl.h"
#define NAME     range_f64
#define T        double
#define IS_FLOAT 1
#include "data/format/parquet/write/fixed.tmpl.h"

enum { MAX_ENTRIES = 131072, MAX_RANGE = 1 << 20, PROBE = 16384 };

static void widen(enum tr_kind kind, const void *src, int64_t n, int32_t *out) {
  switch (kind) {
  case TR_I8:
    for (int64_t i = 0; i < n; i++) out[i] = ((const int8_t *)src)[i];
    break;
  case TR_I16:
    for (int64_t i = 0; i < n; i++) out[i] = ((const int16_t *)src)[i];
    break;
  case TR_U8:
    for (int64_t i = 0; i < n; i++) out[i] = ((const uint8_t *)src)[i];
    break;
  default:
    for (int64_t i = 0; i < n; i++) out[i] = ((const uint16_t *)src)[i];
  }
}

/* Leaves missing values out; gives how many are left. flags gets 1 for each that stays. */
static int64_t keep_f32(const float *restrict src, int64_t n, float *restrict out, uint8_t *restrict flags) {
  int64_t k = 0;
  for (int64_t i = 0; i < n; i++) {
    out[k] = src[i];
    k += flags[i] = src[i] == src[i];
  }
  return k;
}

static int64_t keep_f64(const double *restrict src, int64_t n, double *restrict out, uint8_t *restrict flags) {
  int64_t k = 0;
  for (int64_t i = 0; i < n; i++) {
    out[k] = src[i];
    k += flags[i] = src[i] == src[i];
  }
  return k;
}

static int64_t keep_time(const int64_t *restrict src, int64_t n, int64_t *restrict out, uint8_t *restrict flags) {
  int64_t k = 0;
  for (int64_t i = 0; i < n; i++) {
    out[k] = src[i];
    k += flags[i] = src[i] != TR_NAT;
  }
  return k;
}

/* Values of a category by its codes; missing codes are left out. */
static int64_t keep_codes(const int32_t *codes, int64_t n, const uint8_t *dict, int width, uint8_t *out,
                          uint8_t *flags) {
  int64_t k = 0;
  for (int64_t i = 0; i < n; i++) {
    flags[i] = codes[i] >= 0;
    if (!flags[i]) continue;
    memcpy(out + k * width, dict + (int64_t)codes[i] * width, (size_t)width);
    k++;
  }
  return k;
}

static enum tr_status seconds_to_millis(const struct pq_target *t, int64_t *v, int64_t n, struct tr_error *err) {
  for (int64_t i = 0; i < n; i++) {
    if (__builtin_mul_overflow(v[i], (int64_t)1000, &v[i]))
      return tr_fail(err, TR_EXC_ARROW_INVALID,
                     "Casting from timestamp[s] to timestamp[ms] would result in out of bounds timestamp: %lld "
                     "(column '%s')",
                     (long long)v[i], t->name);
  }
  return TR_OK;
}

enum tr_status pq_load_fixed(struct pq_encoder *e, const struct pq_target *t, int64_t first, int64_t n,
                             struct pq_values *v, struct tr_error *err) {
  int width = tr_dtype_width(t->dtype), kind = t->dtype.kind;
  bool narrow = t->type == PQ_INT32 && width < 4;
  v->width = t->type == PQ_BOOLEAN ? 1 : t->type == PQ_INT32 || t->type == PQ_FLOAT ? 4 : 8;
  TR_TRY(pq_block_need(&e->flags, (size_t)n + 64, err));
  TR_TRY(pq_block_need(&e->values, (size_t)(n + 8) * 8, err));
  uint8_t *out = e->values.data, *flags = e->flags.data;
  const uint8_t *src = (const uint8_t *)tr_array_data(t->array) + first * width;
  v->n_valid = n;
  v->dense = out;
  if (t->array->enc == TR_DICT) {
    TR_TRY(pq_block_need(&e->packed, (size_t)(n + 8) * 8, err));
    uint8_t *to = narrow ? e->packed.data : out;
    v->n_valid = keep_codes(tr_array_codes(t->array) + first, n, tr_array_data(t->array->dict), width, to, flags);
    src = to;
    if (narrow) widen((enum tr_kind)kind, src, v->n_valid, (int32_t *)out);
  } else if (narrow) {
    widen((enum tr_kind)kind, src, n, (int32_t *)out);
  } else if (kind == TR_F32) {
    v->n_valid = keep_f32((const float *)src, n, (float *)out, flags);
  } else if (kind == TR_F64) {
    v->n_valid = keep_f64((const double *)src, n, (double *)out, flags);
  } else if (tr_kind_is_time(kind)) {
    v->n_valid = keep_time((const int64_t *)src, n, (int64_t *)out, flags);
  } else {
    v->dense = src;
  }
  v->valid = v->n_valid < n ? flags : NULL;
  if (kind == TR_DATETIME && t->dtype.unit == TR_S) return seconds_to_millis(t, (int64_t *)out, v->n_valid, err);
  return TR_OK;
}

static bool is_unsigned(const struct pq_target *t) { return t->dtype.kind >= TR_U8 && t->dtype.kind <= TR_U64; }

enum tr_status pq_fixed_stats(const struct pq_target *t, const struct pq_values *v, struct pq_written *w,
                              struct tr_error *err) {
  union {
    int32_t i32;
    uint32_t u32;
    int64_t i64;
    uint64_t u64;
    float f32;
    double f64;
    uint8_t b;
  } lo = {0}, hi = {0};
  int64_t n = v->n_valid;
  switch (t->type) {
  case PQ_BOOLEAN:
    lo.b = 1;
    for (int64_t i = 0; i < n; i++) {
      lo.b &= v->dense[i];
      hi.b |= v->dense[i];
    }
    w->has_min_max = n > 0;
    break;
  case PQ_INT32:
    w->has_min_max =
        is_unsigned(t) ? range_u32(v->dense, n, &lo.u32, &hi.u32) : range_i32(v->dense, n, &lo.i32, &hi.i32);
    break;
  case PQ_INT64:
    w->has_min_max =
        is_unsigned(t) ? range_u64(v->dense, n, &lo.u64, &hi.u64) : range_i64(v->dense, n, &lo.i64, &hi.i64);
    break;
  case PQ_FLOAT: w->has_min_max = range_f32(v->dense, n, &lo.f32, &hi.f32); break;
  default: w->has_min_max = range_f64(v->dense, n, &lo.f64, &hi.f64);
  }
  if (!w->has_min_max) return TR_OK;
  pq_out_bytes(&w->min, &lo, (size_t)v->width);
  pq_out_bytes(&w->max, &hi, (size_t)v->width);
  return w->min.failed || w->max.failed ? tr_fail_memory(err, 16) : TR_OK;
}

static uint64_t value_at(const struct pq_values *v, int64_t i) {
  uint64_t x = 0;
  memcpy(&x, v->dense + i * v->width, (size_t)v->width);
  return x;
}

/* Integers within a small range: a table by value. */
static int64_t number_range(const struct pq_values *v, const struct pq_written *w, uint32_t *table, uint32_t *ids,
                            struct pq_out *dict) {
  int64_t n = 0;
  if (v->width == 4) {
    int32_t low;
    memcpy(&low, w->min.data, 4);
    for (int64_t i = 0; i < v->n_valid; i++) {
      int32_t x = ((const int32_t *)v->dense)[i];
      uint32_t *slot = &table[(uint32_t)x - (uint32_t)low];
      if (!*slot) {
        *slot = (uint32_t)++n;
        pq_out_bytes(dict, &x, 4);
      }
      ids[i] = *slot - 1;
    }
    return n;
  }
  int64_t low;
  memcpy(&low, w->min.data, 8);
  for (int64_t i = 0; i < v->n_valid; i++) {
    int64_t x = ((const int64_t *)v->dense)[i];
    uint32_t *slot = &table[(uint64_t)x - (uint64_t)low];
    if (!*slot) {
      *slot = (uint32_t)++n;
      pq_out_bytes(dict, &x, 8);
    }
    ids[i] = *slot - 1;
  }
  return n;
}

/* Any values, by their bits. -1 when there are too many distinct ones. table: 4 * MAX_ENTRIES numbers. */
static int64_t number_hashed(const struct pq_values *v, uint32_t *table, uint32_t *ids, struct pq_out *dict) {
  const uint64_t mask = 4 * MAX_ENTRIES - 1;
  int64_t n = 0;
  for (int64_t i = 0; i < v->n_valid; i++) {
    uint64_t x = value_at(v, i), h = tr_hash_u64(x) & mask;
    for (;; h = (h + 1) & mask) {
      if (!table[h]) {
        if (n == MAX_ENTRIES) return -1;
        table[h] = (uint32_t)++n;
        pq_out_bytes(dict, &x, (size_t)v->width);
        if (dict->failed) return -1;
        break;
      }
      if (memcmp(dict->data + (size_t)(table[h] - 1) * (size_t)v->width, &x, (size_t)v->width) == 0) break;
    }
    ids[i] = table[h] - 1;
    if (i == PROBE && n > PROBE * 97 / 100) return -1;
  }
  return n;
}

/* Width of the value range if it is small enough for a table, else 0. */
static uint64_t small_range(const struct pq_target *t, const struct pq_values *v, const struct pq_written *w) {
  uint64_t lo = 0, hi = 0;
  if (!w->has_min_max || (t->type != PQ_INT32 && t->type != PQ_INT64)) return 0;
  memcpy(&lo, w->min.data, (size_t)v->width);
  memcpy(&hi, w->max.data, (size_t)v->width);
  uint64_t range = v->width == 4 ? (uint64_t)(uint32_t)((uint32_t)hi - (uint32_t)lo) : hi - lo;
  return range < MAX_RANGE && range < (uint64_t)v->n_valid ? range + 1 : 0;
}

enum tr_status pq_fixed_dictionary(struct pq_encoder *e, const struct pq_target *t, struct pq_values *v,
                                   struct pq_written *w, struct pq_out *dictionary, struct tr_error *err) {
  if (t->type == PQ_BOOLEAN || v->n_valid < 64) return TR_OK;
  uint64_t range = small_range(t, v, w);
  size_t entries = range ? (size_t)range : 4 * MAX_ENTRIES;
  TR_TRY(pq_block_need(&e->table, entries * 4, err));
  TR_TRY(pq_block_need(&e->ids, (size_t)(v->n_valid + 64) * 4, err));
  memset(e->table.data, 0, entries * 4);
  uint32_t *ids = (uint32_t *)e->ids.data, *table = (uint32_t *)e->table.data;
  int64_t n = range ? number_range(v, w, table, ids, dictionary) : number_hashed(v, table, ids, dictionary);
  if (dictionary->failed) return tr_fail_memory(err, dictionary->size);
  int bits = n > 1 ? 64 - __builtin_clzll((uint64_t)n - 1) : 1;
  if (n < 0 || n * v->width + v->n_valid * bits / 8 > v->n_valid * v->width / 4 * 3) {
    dictionary->size = 0;
    return TR_OK;
  }
  v->ids = ids;
  v->n_dictionary = n;
  return TR_OK;
}
