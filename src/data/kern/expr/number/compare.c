/* Comparison kernels and their choice. Numbers are compared in numpy's common kind, except int64 with uint64, which is
 * exact. Times are compared exactly whatever their units; NaT equals nothing. */
#include "data/kern/expr/eval_int.h"

#define TX  int8_t
#define TY  int8_t
#define S   i8
#define EQ_ x == y
#define LT_ x < y
#define LE_ x <= y
#define GT_ x > y
#define GE_ x >= y
#include "data/kern/expr/number/compare_type.tmpl.h"
#define TX  int16_t
#define TY  int16_t
#define S   i16
#define EQ_ x == y
#define LT_ x < y
#define LE_ x <= y
#define GT_ x > y
#define GE_ x >= y
#include "data/kern/expr/number/compare_type.tmpl.h"
#define TX  int32_t
#define TY  int32_t
#define S   i32
#define EQ_ x == y
#define LT_ x < y
#define LE_ x <= y
#define GT_ x > y
#define GE_ x >= y
#include "data/kern/expr/number/compare_type.tmpl.h"
#define TX  int64_t
#define TY  int64_t
#define S   i64
#define EQ_ x == y
#define LT_ x < y
#define LE_ x <= y
#define GT_ x > y
#define GE_ x >= y
#include "data/kern/expr/number/compare_type.tmpl.h"
#define TX  uint8_t
#define TY  uint8_t
#define S   u8
#define EQ_ x == y
#define LT_ x < y
#define LE_ x <= y
#define GT_ x > y
#define GE_ x >= y
#include "data/kern/expr/number/compare_type.tmpl.h"
#define TX  uint16_t
#define TY  uint16_t
#define S   u16
#define EQ_ x == y
#define LT_ x < y
#define LE_ x <= y
#define GT_ x > y
#define GE_ x >= y
#include "data/kern/expr/number/compare_type.tmpl.h"
#define TX  uint32_t
#define TY  uint32_t
#define S   u32
#define EQ_ x == y
#define LT_ x < y
#define LE_ x <= y
#define GT_ x > y
#define GE_ x >= y
#include "data/kern/expr/number/compare_type.tmpl.h"
#define TX  uint64_t
#define TY  uint64_t
#define S   u64
#define EQ_ x == y
#define LT_ x < y
#define LE_ x <= y
#define GT_ x > y
#define GE_ x >= y
#include "data/kern/expr/number/compare_type.tmpl.h"
#define TX  float
#define TY  float
#define S   f32
#define EQ_ x == y
#define LT_ x < y
#define LE_ x <= y
#define GT_ x > y
#define GE_ x >= y
#include "data/kern/expr/number/compare_type.tmpl.h"
#define TX  double
#define TY  double
#define S   f64
#define EQ_ x == y
#define LT_ x < y
#define LE_ x <= y
#define GT_ x > y
#define GE_ x >= y
#include "data/kern/expr/number/compare_type.tmpl.h"
#define TX  int64_t
#define TY  uint64_t
#define S   iu
#define EQ_ x >= 0 && (uint64_t)x == y
#define LT_ x < 0 || (uint64_t)x < y
#define LE_ x < 0 || (uint64_t)x <= y
#define GT_ x >= 0 && (uint64_t)x > y
#define GE_ x >= 0 && (uint64_t)x >= y
#include "data/kern/expr/number/compare_type.tmpl.h"
/* times: NaT is the least int64 */
#define TX  int64_t
#define TY  int64_t
#define S   nat
#define EQ_ (x == y) & (x != TR_NAT)
#define LT_ (x < y) & (x != TR_NAT)
#define LE_ (x <= y) & (x != TR_NAT)
#define GT_ (x > y) & (y != TR_NAT)
#define GE_ (x >= y) & (y != TR_NAT)
#include "data/kern/expr/number/compare_type.tmpl.h"

/* Times of different units: state = the two factors that bring them to the finer one. */
#define X_  ((__int128)x * ((const int64_t *)c->state)[0])
#define Y_  ((__int128)y * ((const int64_t *)c->state)[1])
#define TX  int64_t
#define TY  int64_t
#define S   units
#define EQ_ X_ == Y_ &&x != TR_NAT &&y != TR_NAT
#define LT_ X_ < Y_ &&x != TR_NAT &&y != TR_NAT
#define LE_ X_ <= Y_ &&x != TR_NAT &&y != TR_NAT
#define GT_ X_ > Y_ &&x != TR_NAT &&y != TR_NAT
#define GE_ X_ >= Y_ &&x != TR_NAT &&y != TR_NAT
#include "data/kern/expr/number/compare_type.tmpl.h"

#define ROW(op) \
  { op##_u8, op##_i8, op##_i16, op##_i32, op##_i64, op##_u8, op##_u16, op##_u32, op##_u64, op##_f32, op##_f64 }
static const tr_kernel number_kernels[6][TR_F64 + 1] = {ROW(eq), ROW(ne), ROW(lt), ROW(le), ROW(gt), ROW(ge)};
static const tr_kernel iu_kernels[6] = {eq_iu, ne_iu, lt_iu, le_iu, gt_iu, ge_iu};
static const tr_kernel nat_kernels[6] = {eq_nat, ne_nat, lt_nat, le_nat, gt_nat, ge_nat};
static const tr_kernel unit_kernels[6] = {eq_units, ne_units, lt_units, le_units, gt_units, ge_units};

/* uint64 OP int64: the same comparison seen from the other side. */
static void swapped(struct tr_call *c) {
  static const uint8_t mirror[6] = {0, 1, 4, 5, 2, 3};
  struct tr_operand t = c->in[0];
  c->in[0] = c->in[1];
  c->in[1] = t;
  iu_kernels[mirror[c->e->op - TR_OP_EQ]](c);
}

static bool lower_times(const struct tr_expr *e, struct tr_lower *lo) {
  int a = e->args[0]->dtype.unit, b = e->args[1]->dtype.unit;
  int64_t pa = tr_unit_per_second((enum tr_unit)a), pb = tr_unit_per_second((enum tr_unit)b);
  lo->rep[0] = lo->rep[1] = TR_I64;
  lo->kernel = a == b ? nat_kernels[e->op - TR_OP_EQ] : unit_kernels[e->op - TR_OP_EQ];
  lo->params[0] = pb > pa ? pb / pa : 1;
  lo->params[1] = pa > pb ? pa / pb : 1;
  return true;
}

bool tr_lower_compare(const struct tr_expr *e, struct tr_lower *lo) {
  if (e->op < TR_OP_EQ || e->op > TR_OP_GE) return false;
  struct tr_dtype x = e->args[0]->dtype, y = e->args[1]->dtype;
  lo->out_rep = TR_BOOL;
  if (tr_kind_is_time(x.kind)) return lower_times(e, lo);
  if (x.kind > TR_F64 || y.kind > TR_F64) return false;
  enum tr_kind a = e->args[0]->dtype_depends_on_data ? TR_F64 : (enum tr_kind)x.kind;
  enum tr_kind b = e->args[1]->dtype_depends_on_data ? TR_F64 : (enum tr_kind)y.kind;
  if (tr_kind_is_int(a) && tr_kind_is_int(b) && tr_kind_common(a, b) == TR_F64) {
    bool first_unsigned = a == TR_U64;
    lo->rep[0] = first_unsigned ? TR_U64 : TR_I64;
    lo->rep[1] = first_unsigned ? TR_I64 : TR_U64;
    lo->kernel = first_unsigned ? swapped : iu_kernels[e->op - TR_OP_EQ];
    return true;
  }
  enum tr_kind t = tr_kind_common(a, b);
  lo->rep[0] = lo->rep[1] = (uint8_t)t;
  lo->kernel = number_kernels[e->op - TR_OP_EQ][t];
  return true;
}
