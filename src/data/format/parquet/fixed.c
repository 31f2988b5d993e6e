/* Values of fixed width: PLAIN and dictionary pages straight into the array that the caller allocated.
 *
 * Integers with missing values are made float64 on the way, as pandas has them. Values are first laid down densely at
 * their page's first row and then spread over the missing rows from the back, so no second buffer is needed.
 */
#include "data/format/parquet/decode_int.h"
#include <math.h>
#include <string.h>

#define NAME plain_i8
#define SRC  int32_t
#define MID  int8_t
#define DST  int8_t
#include "data/format/parquet/fixed.tmpl.h"
#define NAME plain_i8_f64
#define SRC  int32_t
#define MID  int8_t
#define DST  double
#include "data/format/parquet/fixed.tmpl.h"
#define NAME plain_i16
#define SRC  int32_t
#define MID  int16_t
#define DST  int16_t
#include "data/format/parquet/fixed.tmpl.h"
#define NAME plain_i16_f64
#define SRC  int32_t
#define MID  int16_t
#define DST  double
#include "data/format/parquet/fixed.tmpl.h"
#define NAME plain_u8
#define SRC  int32_t
#define MID  uint8_t
#define DST  uint8_t
#include "data/format/parquet/fixed.tmpl.h"
#define NAME plain_u8_f64
#define SRC  int32_t
#define MID  uint8_t
#define DST  double
#include "data/format/parquet/fixed.tmpl.h"
#define NAME plain_u16
#define SRC  int32_t
#define MID  uint16_t
#define DST  uint16_t
#include "data/format/parquet/fixed.tmpl.h"
#define NAME plain_u16_f64
#define SRC  int32_t
#define MID  uint16_t
#define DST  double
#include "data/format/parquet/fixed.tmpl.h"
#define NAME plain_i32_f64
#define SRC  int32_t
#define MID  int32_t
#define DST  double
#include "data/format/parquet/fixed.tmpl.h"
#define NAME plain_u32_f64
#define SRC  int32_t
#define MID  uint32_t
#define DST  double
#include "data/format/parquet/fixed.tmpl.h"
#define NAME plain_i64_f64
#define SRC  int64_t
#define MID  int64_t
#define DST  double
#include "data/format/parquet/fixed.tmpl.h"
#define NAME plain_u64_f64
#define SRC  int64_t
#define MID  uint64_t
#define DST  double
#include "data/format/parquet/fixed.tmpl.h"

static void plain_4(const uint8_t *restrict src, int64_t n, void *restrict dst) { memcpy(dst, src, (size_t)n * 4); }
static void plain_8(const uint8_t *restrict src, int64_t n, void *restrict dst) { memcpy(dst, src, (size_t)n * 8); }
static void plain_bool(const uint8_t *restrict src, int64_t n, void *restrict dst) { pq_bits_to_bytes(src, 0, n, dst); }

/* 8 bytes nanoseconds of the day, 4 bytes Julian day; wraps as pyarrow's does. */
static void plain_int96(const uint8_t *restrict src, int64_t n, void *restrict dst) {
  int64_t *out = dst;
  for (int64_t i = 0; i < n; i++, src += 12) {
    uint64_t nanos;
    uint32_t day;
    memcpy(&nanos, src, 8);
    memcpy(&day, src + 8, 4);
    out[i] = (int64_t)(((uint64_t)day - 2440588u) * 86400000000000ull + nanos);
  }
}

typedef void (*plain_fn)(const uint8_t *restrict, int64_t, void *restrict);
/* By enum pq_convert: as the base dtype, and as float64. */
static const plain_fn plain_of[][2] = {
    [PQ_AS_BOOL] = {plain_bool, NULL},        [PQ_AS_I8] = {plain_i8, plain_i8_f64},
    [PQ_AS_I16] = {plain_i16, plain_i16_f64}, [PQ_AS_I32] = {plain_4, plain_i32_f64},
    [PQ_AS_I64] = {plain_8, plain_i64_f64},   [PQ_AS_U8] = {plain_u8, plain_u8_f64},
    [PQ_AS_U16] = {plain_u16, plain_u16_f64}, [PQ_AS_U32] = {plain_4, plain_u32_f64},
    [PQ_AS_U64] = {plain_8, plain_u64_f64},   [PQ_AS_F32] = {plain_4, NULL},
    [PQ_AS_F64] = {plain_8, plain_8},         [PQ_AS_INT96] = {plain_int96, NULL},
};
static const uint8_t stored_bytes[] = {
    [PQ_BOOLEAN] = 0, [PQ_INT32] = 4, [PQ_INT64] = 8, [PQ_INT96] = 12, [PQ_FLOAT] = 4, [PQ_DOUBLE] = 8};

struct fixed {
  struct pq_cursor *c;
  plain_fn plain;
  int width, stored;
  const uint8_t *dictionary; /* values as the array has them */
  int64_t n_dictionary;
};

struct pq_16 {
  uint64_t a, b;
};
#define T      uint8_t
#define GATHER gather_1
#define SPREAD spread_1
#include "data/format/parquet/moves.tmpl.h"
#define T      uint16_t
#define GATHER gather_2
#define SPREAD spread_2
#include "data/format/parquet/moves.tmpl.h"
#define T      uint32_t
#define GATHER gather_4
#define SPREAD spread_4
#include "data/format/parquet/moves.tmpl.h"
#define T      uint64_t
#define GATHER gather_8
#define SPREAD spread_8
#include "data/format/parquet/moves.tmpl.h"
#define T      struct pq_16
#define GATHER gather_16
#define SPREAD spread_16
#include "data/format/parquet/moves.tmpl.h"

static void gather(int width, const uint32_t *restrict ids, int64_t n, const void *dict, void *dst) {
  switch (width) {
  case 1: gather_1(ids, n, dict, dst); break;
  case 2: gather_2(ids, n, dict, dst); break;
  case 4: gather_4(ids, n, dict, dst); break;
  case 16: gather_16(ids, n, dict, dst); break;
  default: gather_8(ids, n, dict, dst);
  }
}

static void fill_value(int width, void *dst, const void *value, int64_t n) {
  uint8_t *out = dst;
  if (n > 0) memcpy(out, value, (size_t)width);
  for (int64_t done = 1; done < n;) {
    int64_t k = done < n - done ? done : n - done;
    memcpy(out + done * width, out, (size_t)(k * width));
    done += k;
  }
}

bool pq_in_range(const uint32_t *ids, int64_t n, int64_t limit) {
  uint32_t high = 0;
  for (int64_t i = 0; i < n; i++) high = ids[i] > high ? ids[i] : high;
  return n == 0 || high < (uint64_t)limit;
}

bool pq_decode_indices(const struct pq_page *p, const void *dictionary, int64_t n_dictionary, int width, void *to) {
  enum { BATCH = 1024 };
  uint32_t ids[BATCH];
  struct pq_rle r;
  int64_t left = p->n_valid;
  uint8_t *dst = to;
  if (left == 0) return true;
  if (p->size < 1 || !pq_rle_open(&r, p->data + 1, p->size - 1, p->data[0])) return false;
  while (left > 0) {
    int64_t k;
    uint32_t value;
    bool repeated;
    if (!pq_rle_run(&r, left, &k, &value, &repeated)) return false;
    if (repeated) {
      if (value >= n_dictionary) return false;
      fill_value(width, dst, (const uint8_t *)dictionary + (int64_t)value * width, k);
    } else {
      if (k > BATCH) k = BATCH;
      pq_rle_packed(&r, k, ids);
      if (!pq_in_range(ids, k, n_dictionary)) return false;
      gather(width, ids, k, dictionary, dst);
    }
    dst += k * width;
    left -= k;
  }
  return true;
}

void pq_spread(void *dst, int width, const uint8_t *valid, int64_t n, int64_t n_valid, const void *null) {
  switch (width) {
  case 1: spread_1(dst, valid, n, n_valid, null); break;
  case 2: spread_2(dst, valid, n, n_valid, null); break;
  case 4: spread_4(dst, valid, n, n_valid, null); break;
  case 16: spread_16(dst, valid, n, n_valid, null); break;
  default: spread_8(dst, valid, n, n_valid, null);
  }
}

static enum tr_status load_dictionary(struct fixed *x, struct pq_page *p, struct tr_error *err) {
  struct pq_cursor *c = x->c;
  TR_TRY(pq_cursor_body(c, p, NULL, err));
  if (x->stored == 0 || (p->encoding != PQ_PLAIN && p->encoding != PQ_PLAIN_DICTIONARY) ||
      p->n_values > (int64_t)p->size / x->stored)
    return pq_corrupt(c, err, "the dictionary page is corrupt");
  TR_TRY(pq_block_need(&c->scratch->dictionary, (size_t)p->n_values * 8 + 64, err));
  x->plain(p->data, p->n_values, c->scratch->dictionary.data);
  x->dictionary = c->scratch->dictionary.data;
  x->n_dictionary = p->n_values;
  return TR_OK;
}

/* n_valid values of one page, densely, to dst. */
static enum tr_status decode_values(struct fixed *x, const struct pq_page *p, uint8_t *dst, struct tr_error *err) {
  struct pq_cursor *c = x->c;
  size_t n = (size_t)p->n_valid;
  if (n == 0) return TR_OK;
  switch (p->encoding) {
  case PQ_PLAIN:
    if (p->size < (x->stored ? n * (size_t)x->stored : (n + 7) / 8))
      return pq_corrupt(c, err, "a page holds fewer values than it says");
    x->plain(p->data, p->n_valid, dst);
    return TR_OK;
  case PQ_PLAIN_DICTIONARY:
  case PQ_RLE_DICTIONARY:
    if (!x->dictionary) return pq_corrupt(c, err, "a dictionary-coded page without a dictionary");
    return pq_decode_indices(p, x->dictionary, x->n_dictionary, x->width, dst)
               ? TR_OK
               : pq_corrupt(c, err, "dictionary indices are corrupt");
  case PQ_RLE: {
    struct pq_rle r;
    uint32_t bytes = 0;
    if (c->column->type != PQ_BOOLEAN || p->size < 4)
      return pq_corrupt(c, err, "RLE values of a type that is not boolean");
    memcpy(&bytes, p->data, 4);
    pq_rle_open(&r, p->data + 4, bytes <= p->size - 4 ? bytes : p->size - 4, 1);
    return pq_rle_flags(&r, p->n_valid, dst) ? TR_OK : pq_corrupt(c, err, "boolean values are corrupt");
  }
  default: return pq_corrupt(c, err, "a page has an encoding that the column's metadata does not name");
  }
}

enum tr_status pq_decode_fixed(struct pq_cursor *c, struct pq_fixed_target *t, struct tr_error *err) {
  bool as_float = t->dtype.kind == TR_F64;
  struct fixed x = {.c = c,
                    .plain = plain_of[c->column->convert][as_float],
                    .width = tr_dtype_width(t->dtype),
                    .stored = stored_bytes[c->column->type]};
  bool can_miss = tr_kind_is_float(t->dtype.kind) || tr_kind_is_time(t->dtype.kind);
  union {
    int64_t i;
    double d;
    float f;
  } null = {.i = TR_NAT};
  if (t->dtype.kind == TR_F32) null.f = NAN;
  if (as_float) null.d = NAN;
  uint8_t *dst = t->dst;
  bool more;
  struct pq_page p;
  for (;;) {
    TR_TRY(pq_cursor_next(c, &p, &more, err));
    if (!more) return TR_OK;
    if (p.type == PQ_DICTIONARY_PAGE) {
      if (x.dictionary) return pq_corrupt(c, err, "a second dictionary page");
      TR_TRY(load_dictionary(&x, &p, err));
      continue;
    }
    TR_TRY(pq_cursor_body(c, &p, NULL, err));
    if (p.valid && !can_miss) {
      t->saw_null = true;
      return TR_OK;
    }
    TR_TRY(decode_values(&x, &p, dst, err));
    if (p.valid) pq_spread(dst, x.width, p.valid, p.n_values, p.n_valid, &null);
    dst += p.n_values * x.width;
  }
}
