/* Missing values and choices between values: ISNA, NOTNA, FILLNA, WHERE, CLIP on fixed-width kinds. */
#include "data/kern/expr/math_int.h"

#define T          int8_t
#define S          i8
#define IS_NULL(x) ((x) != (x))
#define LESS(x, y) ((x) < (y))
#include "data/kern/expr/number/choose.tmpl.h"
#define T          int16_t
#define S          i16
#define IS_NULL(x) ((x) != (x))
#define LESS(x, y) ((x) < (y))
#include "data/kern/expr/number/choose.tmpl.h"
#define T          int32_t
#define S          i32
#define IS_NULL(x) ((x) != (x))
#define LESS(x, y) ((x) < (y))
#include "data/kern/expr/number/choose.tmpl.h"
#define T          uint8_t
#define S          u8
#define IS_NULL(x) ((x) != (x))
#define LESS(x, y) ((x) < (y))
#include "data/kern/expr/number/choose.tmpl.h"
#define T          uint16_t
#define S          u16
#define IS_NULL(x) ((x) != (x))
#define LESS(x, y) ((x) < (y))
#include "data/kern/expr/number/choose.tmpl.h"
#define T          uint32_t
#define S          u32
#define IS_NULL(x) ((x) != (x))
#define LESS(x, y) ((x) < (y))
#include "data/kern/expr/number/choose.tmpl.h"
#define T          uint64_t
#define S          u64
#define IS_NULL(x) ((x) != (x))
#define LESS(x, y) ((x) < (y))
#include "data/kern/expr/number/choose.tmpl.h"
#define T          int64_t
#define S          i64
#define IS_NULL(x) ((x) != (x))
#define LESS(x, y) ((x) < (y))
#include "data/kern/expr/number/choose.tmpl.h"
#define T          float
#define S          f32
#define IS_NULL(x) ((x) != (x))
#define LESS(x, y) ((x) < (y))
#include "data/kern/expr/number/choose.tmpl.h"
#define T          double
#define S          f64
#define IS_NULL(x) ((x) != (x))
#define LESS(x, y) ((x) < (y))
#include "data/kern/expr/number/choose.tmpl.h"
#define T          int64_t
#define S          nat
#define IS_NULL(x) ((x) == TR_NAT)
#define LESS(x, y) ((x) < (y) && (x) != TR_NAT)
#include "data/kern/expr/number/choose.tmpl.h"
/* categories: codes */
#define TX   int32_t
#define R    uint8_t
#define NAME isna_code
#define EXPR x < 0
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME notna_code
#define EXPR x >= 0
#include "data/kern/expr/number/unary.tmpl.h"
#undef TX
#undef R

#define ROW(f) \
  { f##_u8, f##_i8, f##_i16, f##_i32, f##_i64, f##_u8, f##_u16, f##_u32, f##_u64, f##_f32, f##_f64 }
static const tr_kernel where_kernels[] = ROW(where), fillna_kernels[] = ROW(fillna), lower_kernels[] = ROW(clip_lower),
                       upper_kernels[] = ROW(clip_upper), isna_kernels[] = ROW(isna), notna_kernels[] = ROW(notna);

bool tr_lower_choose(const struct tr_expr *e, struct tr_lower *lo) {
  int a = e->op == TR_OP_WHERE ? 1 : 0;
  struct tr_dtype t = e->args[a]->dtype;
  bool time = tr_kind_is_time(t.kind);
  if (t.kind > TR_F64 && !time && t.kind != TR_CATEGORY) return false;
  int rep = e->args[a]->dtype_depends_on_data ? TR_F64 : tr_rep_of(t);
  bool code = t.kind == TR_CATEGORY;
  lo->rep[a] = lo->rep[a + (e->n_args > 1)] = lo->out_rep = (uint8_t)rep;
  switch (e->op) {
  case TR_OP_WHERE:
    lo->rep[0] = TR_BOOL;
    lo->kernel = time ? where_nat : where_kernels[rep];
    return true;
  case TR_OP_ISNA:
    lo->kernel = time ? isna_nat : code ? isna_code : isna_kernels[rep];
    lo->out_rep = TR_BOOL;
    return true;
  case TR_OP_NOTNA:
    lo->kernel = time ? notna_nat : code ? notna_code : notna_kernels[rep];
    lo->out_rep = TR_BOOL;
    return true;
  case TR_OP_FILLNA: lo->kernel = time ? fillna_nat : fillna_kernels[rep]; return true;
  case TR_OP_CLIP_LOWER: lo->kernel = time ? clip_lower_nat : lower_kernels[rep]; return true;
  case TR_OP_CLIP_UPPER: lo->kernel = time ? clip_upper_nat : upper_kernels[rep]; return true;
  default: return false;
  }
}
