/* dtypes as pandas has them, and scalars.
 *
 * How a missing value is stored is a property of the dtype, always in band, so that a kernel never needs a
 * second array to know it:
 *   float32/64            NaN
 *   datetime64, timedelta64   INT64_MIN (NaT)
 *   str                   a view of size -1; with a dictionary, code -1
 *   category              code -1
 *   bool, integers        cannot be missing
 */
#pragma once
#include "base/status.h"

enum tr_kind {
  TR_BOOL, /* one byte, 0 or 1 */
  TR_I8,
  TR_I16,
  TR_I32,
  TR_I64,
  TR_U8,
  TR_U16,
  TR_U32,
  TR_U64,
  TR_F32,
  TR_F64,
  TR_STR,       /* pandas `str`: missing is NaN */
  TR_DATETIME,  /* datetime64[unit], int64 since 1970-01-01, no zone */
  TR_TIMEDELTA, /* timedelta64[unit], int64 */
  TR_CATEGORY,  /* int32 codes into a dictionary array (TR_STR or any numeric/datetime kind) */
  TR_N_KINDS
};

enum tr_unit { TR_S, TR_MS, TR_US, TR_NS };

struct tr_dtype {
  uint8_t kind;    /* enum tr_kind */
  uint8_t unit;    /* enum tr_unit for TR_DATETIME and TR_TIMEDELTA, else 0 */
  uint8_t ordered; /* TR_CATEGORY: ordered categories, else 0 */
  uint8_t pad;
};

#define TR_NAT INT64_MIN

static inline struct tr_dtype tr_dtype_of(enum tr_kind kind) { return (struct tr_dtype){.kind = (uint8_t)kind}; }
static inline struct tr_dtype tr_dtype_unit(enum tr_kind kind, enum tr_unit unit) {
  return (struct tr_dtype){.kind = (uint8_t)kind, .unit = (uint8_t)unit};
}
static inline bool tr_dtype_eq(struct tr_dtype a, struct tr_dtype b) {
  return a.kind == b.kind && a.unit == b.unit && a.ordered == b.ordered;
}
static inline bool tr_kind_is_int(int k) { return k >= TR_I8 && k <= TR_U64; }
static inline bool tr_kind_is_signed(int k) { return k >= TR_I8 && k <= TR_I64; }
static inline bool tr_kind_is_float(int k) { return k == TR_F32 || k == TR_F64; }
static inline bool tr_kind_is_number(int k) { return tr_kind_is_int(k) || tr_kind_is_float(k); }
static inline bool tr_kind_is_time(int k) { return k == TR_DATETIME || k == TR_TIMEDELTA; }

/* Bytes per value: 1, 2, 4 or 8 for fixed kinds, 16 for TR_STR (a view), 4 for TR_CATEGORY (a code). */
int tr_dtype_width(struct tr_dtype t);
/* numpy/pandas name: "int64", "datetime64[ns]", "str", "category", … Static storage. */
const char *tr_dtype_name(struct tr_dtype t);
/* Parses such a name; false when it is none of ours. */
bool tr_dtype_parse(const char *name, struct tr_dtype *out);
/* numpy's common type of two number/bool kinds (np.result_type on arrays). */
enum tr_kind tr_kind_common(enum tr_kind a, enum tr_kind b);
/* Ticks of a unit in one second: 1, 1e3, 1e6, 1e9. */
int64_t tr_unit_per_second(enum tr_unit u);

/* One value of some dtype. Text is owned by whoever made the scalar. */
struct tr_scalar {
  struct tr_dtype dtype;
  bool is_null; /* None/NaN/NaT of that dtype */
  union {
    int64_t i; /* bool, signed, datetime, timedelta */
    uint64_t u;
    double f; /* f32 too */
    struct {
      const char *ptr;
      int64_t len;
    } s; /* UTF-8, not terminated */
  };
};
