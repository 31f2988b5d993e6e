/* Conversions between fixed-width kinds: the silent ones that bring operands to a common kind, and CAST, which checks
 * as pandas' astype does. */
#include "data/kern/expr/math_int.h"
#include <math.h>

#define TX       uint8_t
#define S        b8
#define IS_FLOAT 0
#include "data/kern/expr/number/convert_from.tmpl.h"
#define TX       int8_t
#define S        i8
#define IS_FLOAT 0
#include "data/kern/expr/number/convert_from.tmpl.h"
#define TX       int16_t
#define S        i16
#define IS_FLOAT 0
#include "data/kern/expr/number/convert_from.tmpl.h"
#define TX       int32_t
#define S        i32
#define LEAST    INT32_MIN
#define IS_FLOAT 0
#include "data/kern/expr/number/convert_from.tmpl.h"
#define TX       int64_t
#define S        i64
#define LEAST    INT64_MIN
#define IS_FLOAT 0
#include "data/kern/expr/number/convert_from.tmpl.h"
#define TX       uint16_t
#define S        u16
#define IS_FLOAT 0
#include "data/kern/expr/number/convert_from.tmpl.h"
#define TX       uint32_t
#define S        u32
#define IS_FLOAT 0
#include "data/kern/expr/number/convert_from.tmpl.h"
#define TX       uint64_t
#define S        u64
#define IS_FLOAT 0
#include "data/kern/expr/number/convert_from.tmpl.h"
#define TX       float
#define S        f32
#define IS_FLOAT 1
#include "data/kern/expr/number/convert_from.tmpl.h"
#define TX       double
#define S        f64
#define IS_FLOAT 1
#include "data/kern/expr/number/convert_from.tmpl.h"

#define TX          float
#define R           int8_t
#define NAME        checked_i8_f32
#define LOW         -129.0
#define HIGH        128.0
#define IS_UNSIGNED 0
#include "data/kern/expr/number/checked.tmpl.h"
#define R           int16_t
#define NAME        checked_i16_f32
#define LOW         -32769.0
#define HIGH        32768.0
#define IS_UNSIGNED 0
#include "data/kern/expr/number/checked.tmpl.h"
#define R           int32_t
#define NAME        checked_i32_f32
#define LOW         -2147483649.0
#define HIGH        2147483648.0
#define IS_UNSIGNED 0
#include "data/kern/expr/number/checked.tmpl.h"
#define R           int64_t
#define NAME        checked_i64_f32
#define LOW         -9223372036854775809.0
#define HIGH        9223372036854775808.0
#define IS_UNSIGNED 0
#include "data/kern/expr/number/checked.tmpl.h"
#define R           uint8_t
#define NAME        checked_u8_f32
#define LOW         -1.0
#define HIGH        256.0
#define IS_UNSIGNED 1
#include "data/kern/expr/number/checked.tmpl.h"
#define R           uint16_t
#define NAME        checked_u16_f32
#define LOW         -1.0
#define HIGH        65536.0
#define IS_UNSIGNED 1
#include "data/kern/expr/number/checked.tmpl.h"
#define R           uint32_t
#define NAME        checked_u32_f32
#define LOW         -1.0
#define HIGH        4294967296.0
#define IS_UNSIGNED 1
#include "data/kern/expr/number/checked.tmpl.h"
#define R           uint64_t
#define NAME        checked_u64_f32
#define LOW         -1.0
#define HIGH        18446744073709551616.0
#define IS_UNSIGNED 1
#include "data/kern/expr/number/checked.tmpl.h"
#undef TX
#define TX          double
#define R           int8_t
#define NAME        checked_i8_f64
#define LOW         -129.0
#define HIGH        128.0
#define IS_UNSIGNED 0
#include "data/kern/expr/number/checked.tmpl.h"
#define R           int16_t
#define NAME        checked_i16_f64
#define LOW         -32769.0
#define HIGH        32768.0
#define IS_UNSIGNED 0
#include "data/kern/expr/number/checked.tmpl.h"
#define R           int32_t
#define NAME        checked_i32_f64
#define LOW         -2147483649.0
#define HIGH        2147483648.0
#define IS_UNSIGNED 0
#include "data/kern/expr/number/checked.tmpl.h"
#define R           int64_t
#define NAME        checked_i64_f64
#define LOW         -9223372036854775809.0
#define HIGH        9223372036854775808.0
#define IS_UNSIGNED 0
#include "data/kern/expr/number/checked.tmpl.h"
#define R           uint8_t
#define NAME        checked_u8_f64
#define LOW         -1.0
#define HIGH        256.0
#define IS_UNSIGNED 1
#include "data/kern/expr/number/checked.tmpl.h"
#define R           uint16_t
#define NAME        checked_u16_f64
#define LOW         -1.0
#define HIGH        65536.0
#define IS_UNSIGNED 1
#include "data/kern/expr/number/checked.tmpl.h"
#define R           uint32_t
#define NAME        checked_u32_f64
#define LOW         -1.0
#define HIGH        4294967296.0
#define IS_UNSIGNED 1
#include "data/kern/expr/number/checked.tmpl.h"
#define R           uint64_t
#define NAME        checked_u64_f64
#define LOW         -1.0
#define HIGH        18446744073709551616.0
#define IS_UNSIGNED 1
#include "data/kern/expr/number/checked.tmpl.h"
#undef TX

#define FROM(s)                                                                                                    \
  {                                                                                                                \
    to_bool_##s, to_8_##s, to_16_##s, to_32_##s, to_64_##s, to_8_##s, to_16_##s, to_32_##s, to_64_##s, to_f32_##s, \
        to_f64_##s                                                                                                 \
  }
#define FROM_FLOAT(s) \
  { [TR_BOOL] = to_bool_##s, [TR_F32] = to_f32_##s, [TR_F64] = to_f64_##s }
static const tr_kernel convert[TR_F64 + 1][TR_F64 + 1] = {FROM(b8),  FROM(i8),        FROM(i16),      FROM(i32),
                                                          FROM(i64), FROM(b8),        FROM(u16),      FROM(u32),
                                                          FROM(u64), FROM_FLOAT(f32), FROM_FLOAT(f64)};
#define CHECKED(s)                                                                                            \
  {                                                                                                           \
    NULL, checked_i8_##s, checked_i16_##s, checked_i32_##s, checked_i64_##s, checked_u8_##s, checked_u16_##s, \
        checked_u32_##s, checked_u64_##s                                                                      \
  }
static const tr_kernel checked[2][TR_U64 + 1] = {CHECKED(f32), CHECKED(f64)};

tr_kernel tr_convert_kernel(int from, int to) {
  return from == to ? tr_same_kernel(tr_dtype_width(tr_dtype_of((enum tr_kind)to))) : convert[from][to];
}

tr_kernel tr_unmark_kernel(int from) { return from == TR_I32 ? unmark_i32 : from == TR_I64 ? unmark_i64 : NULL; }

void tr_kern_scale(struct tr_call *c) {
  const int64_t *restrict a = c->in[0].p;
  int64_t *restrict out = c->out;
  const int64_t n = c->n, f = *(const int64_t *)c->state, limit = INT64_MAX / f;
  bool over = false;
  for (int64_t i = 0; i < n; i++) {
    const bool nat = a[i] == TR_NAT;
    over |= !nat && (a[i] > limit || a[i] < -limit);
    out[i] = nat ? TR_NAT : (int64_t)((uint64_t)a[i] * (uint64_t)f);
  }
  if (over) c->saw |= TR_SAW_OVERFLOW;
}

/* To a coarser unit: rounded down. */
static void coarser(struct tr_call *c) {
  const int64_t *restrict a = c->in[0].p;
  int64_t *restrict out = c->out;
  const int64_t n = c->n, f = *(const int64_t *)c->state;
  for (int64_t i = 0; i < n; i++) {
    const int64_t q = a[i] / f;
    out[i] = a[i] == TR_NAT ? TR_NAT : q - (a[i] % f < 0);
  }
}

static bool lower_time_cast(struct tr_dtype from, struct tr_dtype to, struct tr_lower *lo) {
  lo->rep[0] = lo->out_rep = TR_I64;
  if (!tr_kind_is_time(to.kind)) {
    lo->kernel = tr_same_kernel(8); /* NaT is the least int64 there too */
    return to.kind == TR_I64;
  }
  int64_t a = tr_unit_per_second((enum tr_unit)from.unit), b = tr_unit_per_second((enum tr_unit)to.unit);
  lo->params[0] = b > a ? b / a : a / b;
  lo->kernel = !tr_kind_is_time(from.kind) || a == b ? tr_same_kernel(8) : b > a ? tr_kern_scale : coarser;
  return true;
}

bool tr_lower_cast(const struct tr_expr *e, struct tr_lower *lo) {
  struct tr_dtype from = e->args[0]->dtype, to = e->dtype;
  if (tr_kind_is_time(from.kind) || tr_kind_is_time(to.kind))
    return from.kind != TR_STR && lower_time_cast(from, to, lo);
  if (from.kind > TR_F64 || to.kind > TR_F64) return false;
  if (e->args[0]->dtype_depends_on_data) from.kind = TR_F64;
  lo->rep[0] = from.kind;
  lo->out_rep = to.kind;
  bool narrowing = tr_kind_is_float(from.kind) && tr_kind_is_int(to.kind);
  lo->kernel = narrowing ? checked[from.kind - TR_F32][to.kind] : tr_convert_kernel(from.kind, to.kind);
  return true;
}
