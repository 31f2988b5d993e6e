/* Functions of one number: abs, round, bitwise not, roots and logarithms. Rounding is numpy's: scale, rint (half to
 * even), scale back, with the power of ten built as numpy builds it. */
#include "data/kern/expr/math_int.h"
#include <math.h>
#include <stdlib.h>

#define TX   double
#define R    double
#define NAME abs_f64
#define EXPR fabs(x)
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME sqrt_f64
#define EXPR sqrt(x)
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME exp_f64
#define EXPR exp(x)
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME log_f64
#define EXPR log(x)
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME log10_f64
#define EXPR log10(x)
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME log2_f64
#define EXPR log2(x)
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME log1p_f64
#define EXPR log1p(x)
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME floor_f64
#define EXPR floor(x)
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME ceil_f64
#define EXPR ceil(x)
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME sin_f64
#define EXPR sin(x)
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME cos_f64
#define EXPR cos(x)
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME rint_f64
#define EXPR rint(x)
#include "data/kern/expr/number/unary.tmpl.h"
#undef TX
#undef R
#define TX   float
#define R    float
#define NAME abs_f32
#define EXPR fabsf(x)
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME sqrt_f32
#define EXPR sqrtf(x)
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME floor_f32
#define EXPR floorf(x)
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME ceil_f32
#define EXPR ceilf(x)
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME rint_f32
#define EXPR rintf(x)
#include "data/kern/expr/number/unary.tmpl.h"
#undef TX
#undef R

/* |least integer| wraps to itself, as in numpy. */
#define TX   int8_t
#define R    int8_t
#define NAME abs_i8
#define EXPR x < 0 ? -x : x
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME not_i8
#define EXPR ~x
#include "data/kern/expr/number/unary.tmpl.h"
#undef TX
#undef R
#define TX   int16_t
#define R    int16_t
#define NAME abs_i16
#define EXPR x < 0 ? -x : x
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME not_i16
#define EXPR ~x
#include "data/kern/expr/number/unary.tmpl.h"
#undef TX
#undef R
#define TX   int32_t
#define R    int32_t
#define NAME abs_i32
#define EXPR x < 0 ? 0u - (uint32_t)x : (uint32_t)x
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME not_i32
#define EXPR ~x
#include "data/kern/expr/number/unary.tmpl.h"
#undef TX
#undef R
#define TX   int64_t
#define R    int64_t
#define NAME abs_i64
#define EXPR x < 0 ? 0u - (uint64_t)x : (uint64_t)x
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME not_i64
#define EXPR ~x
#include "data/kern/expr/number/unary.tmpl.h"
#undef TX
#undef R

#define TX   uint8_t
#define R    uint8_t
#define NAME same_8
#define EXPR x
#include "data/kern/expr/number/unary.tmpl.h"
#undef TX
#undef R
#define TX   uint16_t
#define R    uint16_t
#define NAME same_16
#define EXPR x
#include "data/kern/expr/number/unary.tmpl.h"
#undef TX
#undef R
#define TX   uint32_t
#define R    uint32_t
#define NAME same_32
#define EXPR x
#include "data/kern/expr/number/unary.tmpl.h"
#undef TX
#undef R
#define TX   uint64_t
#define R    uint64_t
#define NAME same_64
#define EXPR x
#include "data/kern/expr/number/unary.tmpl.h"
#undef TX
#undef R

tr_kernel tr_same_kernel(int width) {
  return width == 1 ? same_8 : width == 2 ? same_16 : width == 4 ? same_32 : same_64;
}

static double power_of_ten(int64_t n) {
  static const double small[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8};
  if (n < 9) return small[n];
  double r = 1e9;
  while (n-- > 9) r *= 10.;
  return r;
}

static void round_f64(struct tr_call *c) {
  const double *restrict a = c->in[0].p;
  double *restrict out = c->out;
  const int64_t n = c->n, decimals = c->e->params[0];
  const double p = power_of_ten(llabs(decimals));
  if (decimals >= 0) {
    for (int64_t i = 0; i < n; i++) out[i] = rint(a[i] * p) / p;
  } else {
    for (int64_t i = 0; i < n; i++) out[i] = rint(a[i] / p) * p;
  }
}

static void round_f32(struct tr_call *c) {
  const float *restrict a = c->in[0].p;
  float *restrict out = c->out;
  const int64_t n = c->n, decimals = c->e->params[0];
  const float p = (float)power_of_ten(llabs(decimals));
  if (decimals >= 0) {
    for (int64_t i = 0; i < n; i++) out[i] = rintf(a[i] * p) / p;
  } else {
    for (int64_t i = 0; i < n; i++) out[i] = rintf(a[i] / p) * p;
  }
}

static tr_kernel round_kernel(const struct tr_expr *e) {
  int t = e->dtype.kind;
  if (t != TR_F32 && t != TR_F64) return tr_same_kernel(tr_dtype_width(e->dtype));
  if (e->params[0] == 0) return t == TR_F64 ? rint_f64 : rint_f32;
  return t == TR_F64 ? round_f64 : round_f32;
}

static tr_kernel math_kernel(const struct tr_expr *e) {
  bool f32 = e->dtype.kind == TR_F32;
  switch (e->op) {
  case TR_OP_SQRT: return f32 ? sqrt_f32 : sqrt_f64;
  case TR_OP_FLOOR: return f32 ? floor_f32 : floor_f64;
  case TR_OP_CEIL: return f32 ? ceil_f32 : ceil_f64;
  case TR_OP_EXP: return f32 ? NULL : exp_f64;
  case TR_OP_LOG: return f32 ? NULL : log_f64;
  case TR_OP_LOG10: return f32 ? NULL : log10_f64;
  case TR_OP_LOG2: return f32 ? NULL : log2_f64;
  case TR_OP_LOG1P: return f32 ? NULL : log1p_f64;
  case TR_OP_SIN: return f32 ? NULL : sin_f64;
  case TR_OP_COS: return f32 ? NULL : cos_f64;
  default: return NULL;
  }
}

bool tr_lower_math(const struct tr_expr *e, struct tr_lower *lo) {
  static const tr_kernel abs_kernels[TR_F64 + 1] = {same_8,  abs_i8,  abs_i16, abs_i32, abs_i64, same_8,
                                                    same_16, same_32, same_64, abs_f32, abs_f64};
  static const tr_kernel not_kernels[TR_U64 + 1] = {NULL,   not_i8,  not_i16, not_i32, not_i64,
                                                    not_i8, not_i16, not_i32, not_i64};
  int t = e->dtype.kind;
  if (t > TR_F64) return false;
  lo->rep[0] = lo->out_rep = (uint8_t)t;
  if (e->op == TR_OP_ABS) lo->kernel = abs_kernels[t];
  else if (e->op == TR_OP_INVERT) lo->kernel = t <= TR_U64 ? not_kernels[t] : NULL;
  else if (e->op == TR_OP_ROUND) lo->kernel = round_kernel(e);
  else lo->kernel = math_kernel(e);
  return lo->kernel != NULL;
}
