/* Keys as numbers whose equality is pandas' equality of keys: -0.0 equals 0.0, NaN equals NaN, integers against floats
 * compare as float64. */
#include "data/kern/join/join_int.h"

#define SIGN (1ull << 63)

static inline uint64_t raw_f64(double v) {
  uint64_t b;
  if (v != v) return UINT64_MAX;
  v += 0.0; /* -0.0 becomes 0.0 */
  memcpy(&b, &v, 8);
  return b ^ ((uint64_t)((int64_t)b >> 63) | SIGN);
}

#define RAW(v)  ((uint64_t)(v))
#define T       uint32_t
#define NAME(x) x##_row
#include "data/kern/join/part.tmpl.h"
#undef T
#undef NAME
#undef RAW

#define RAW(v)  ((uint64_t)(v) ^ SIGN) /* as the signed ones, which they may meet */
#define T       uint8_t
#define NAME(x) x##_u8
#include "data/kern/join/part.tmpl.h"
#undef T
#undef NAME
#define T       uint16_t
#define NAME(x) x##_u16
#include "data/kern/join/part.tmpl.h"
#undef T
#undef NAME
#define T       uint32_t
#define NAME(x) x##_u32
#include "data/kern/join/part.tmpl.h"
#undef T
#undef NAME
#define T       uint64_t
#define NAME(x) x##_u64
#include "data/kern/join/part.tmpl.h"
#undef T
#undef NAME
#undef RAW

#define RAW(v)  ((uint64_t)(int64_t)(v) ^ SIGN)
#define T       int8_t
#define NAME(x) x##_i8
#include "data/kern/join/part.tmpl.h"
#undef T
#undef NAME
#define T       int16_t
#define NAME(x) x##_i16
#include "data/kern/join/part.tmpl.h"
#undef T
#undef NAME
#define T       int32_t
#define NAME(x) x##_i32
#include "data/kern/join/part.tmpl.h"
#undef T
#undef NAME
#define T       int64_t
#define NAME(x) x##_i64
#include "data/kern/join/part.tmpl.h"
#undef T
#undef NAME
#undef RAW

#define RAW(v)  raw_f64((double)(v))
#define T       uint8_t
#define NAME(x) x##_f_u8
#include "data/kern/join/part.tmpl.h"
#undef T
#undef NAME
#define T       uint16_t
#define NAME(x) x##_f_u16
#include "data/kern/join/part.tmpl.h"
#undef T
#undef NAME
#define T       uint32_t
#define NAME(x) x##_f_u32
#include "data/kern/join/part.tmpl.h"
#undef T
#undef NAME
#define T       uint64_t
#define NAME(x) x##_f_u64
#include "data/kern/join/part.tmpl.h"
#undef T
#undef NAME
#define T       int8_t
#define NAME(x) x##_f_i8
#include "data/kern/join/part.tmpl.h"
#undef T
#undef NAME
#define T       int16_t
#define NAME(x) x##_f_i16
#include "data/kern/join/part.tmpl.h"
#undef T
#undef NAME
#define T       int32_t
#define NAME(x) x##_f_i32
#include "data/kern/join/part.tmpl.h"
#undef T
#undef NAME
#define T       int64_t
#define NAME(x) x##_f_i64
#include "data/kern/join/part.tmpl.h"
#undef T
#undef NAME
#define T       float
#define NAME(x) x##_f_f32
#include "data/kern/join/part.tmpl.h"
#undef T
#undef NAME
#define T       double
#define NAME(x) x##_f_f64
#include "data/kern/join/part.tmpl.h"
#undef T
#undef NAME
#undef RAW

#define T       int32_t
#define RAW(v)  ((uint64_t)((int64_t)(v) + 1))
#define NAME(x) x##_code
#include "data/kern/join/part.tmpl.h"
#undef NAME
#undef RAW
#define RAW(v)  ((v) < 0 ? 0 : (uint64_t)p->map[v])
#define NAME(x) x##_mapped
#include "data/kern/join/part.tmpl.h"
#undef T
#undef NAME
#undef RAW

static const struct form {
  void (*scan)(const struct tr_part *, int64_t, int64_t, uint64_t *, uint64_t *);
  void (*encode)(const struct tr_part *, int64_t, int64_t, uint64_t, uint64_t, bool, uint64_t *);
} forms[] = {
    [TR_PART_U8] = {scan_u8, encode_u8},          [TR_PART_U16] = {scan_u16, encode_u16},
    [TR_PART_U32] = {scan_u32, encode_u32},       [TR_PART_U64] = {scan_u64, encode_u64},
    [TR_PART_I8] = {scan_i8, encode_i8},          [TR_PART_I16] = {scan_i16, encode_i16},
    [TR_PART_I32] = {scan_i32, encode_i32},       [TR_PART_I64] = {scan_i64, encode_i64},
    [TR_PART_F_U8] = {scan_f_u8, encode_f_u8},    [TR_PART_F_U16] = {scan_f_u16, encode_f_u16},
    [TR_PART_F_U32] = {scan_f_u32, encode_f_u32}, [TR_PART_F_U64] = {scan_f_u64, encode_f_u64},
    [TR_PART_F_I8] = {scan_f_i8, encode_f_i8},    [TR_PART_F_I16] = {scan_f_i16, encode_f_i16},
    [TR_PART_F_I32] = {scan_f_i32, encode_f_i32}, [TR_PART_F_I64] = {scan_f_i64, encode_f_i64},
    [TR_PART_F_F32] = {scan_f_f32, encode_f_f32}, [TR_PART_F_F64] = {scan_f_f64, encode_f_f64},
    [TR_PART_CODE] = {scan_code, encode_code},    [TR_PART_MAPPED] = {scan_mapped, encode_mapped},
    [TR_PART_ROW] = {scan_row, encode_row},
};

void tr_part_scan(const struct tr_part *p, int64_t begin, int64_t end, uint64_t *low, uint64_t *high) {
  forms[p->form].scan(p, begin, end, low, high);
}

void tr_parts_encode(const struct tr_parts *p, const struct tr_part *side, int from, int to, int64_t begin, int64_t n,
                     uint64_t *out) {
  for (int k = from; k < to; k++) {
    uint64_t limit = p->span[k] == UINT64_MAX ? UINT64_MAX : p->span[k] + 1;
    forms[side[k].form].encode(&side[k], begin, n, p->low[k], limit, k == from, out);
  }
}
