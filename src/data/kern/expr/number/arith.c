/* Arithmetic kernels and their choice. Integers wrap; float floor division and modulo follow numpy's divmod to the
 * sign of zero; both operands are brought to the common kind first. */
#include "data/kern/expr/eval_int.h"
#include <math.h>

#define T        int8_t
#define U        int32_t
#define W        int32_t
#define S        i8
#define IS_FLOAT 0
#include "data/kern/expr/number/arith_type.tmpl.h"
#define T        int16_t
#define U        int32_t
#define W        int32_t
#define S        i16
#define IS_FLOAT 0
#include "data/kern/expr/number/arith_type.tmpl.h"
#define T        int32_t
#define U        uint32_t
#define W        uint32_t
#define S        i32
#define IS_FLOAT 0
#include "data/kern/expr/number/arith_type.tmpl.h"
#define T        int64_t
#define U        uint64_t
#define W        uint64_t
#define S        i64
#define IS_FLOAT 0
#include "data/kern/expr/number/arith_type.tmpl.h"
#define T        float
#define U        float
#define W        float
#define S        f32
#define IS_FLOAT 1
#include "data/kern/expr/number/arith_type.tmpl.h"
#define T        double
#define U        double
#define W        double
#define S        f64
#define IS_FLOAT 1
#include "data/kern/expr/number/arith_type.tmpl.h"

#define T         int8_t
#define S         i8
#define IS_SIGNED 1
#include "data/kern/expr/number/division.tmpl.h"
#define T         int16_t
#define S         i16
#define IS_SIGNED 1
#include "data/kern/expr/number/division.tmpl.h"
#define T         int32_t
#define S         i32
#define IS_SIGNED 1
#include "data/kern/expr/number/division.tmpl.h"
#define T         int64_t
#define S         i64
#define IS_SIGNED 1
#include "data/kern/expr/number/division.tmpl.h"
#define T         uint8_t
#define S         u8
#define IS_SIGNED 0
#include "data/kern/expr/number/division.tmpl.h"
#define T         uint16_t
#define S         u16
#define IS_SIGNED 0
#include "data/kern/expr/number/division.tmpl.h"
#define T         uint32_t
#define S         u32
#define IS_SIGNED 0
#include "data/kern/expr/number/division.tmpl.h"
#define T         uint64_t
#define S         u64
#define IS_SIGNED 0
#include "data/kern/expr/number/division.tmpl.h"

/* numpy's npy_divmod. */
static inline double mod_slow(double a, double b) {
  double m = fmod(a, b);
  if (b == 0) return m;
  if (m != 0) return (b < 0) != (m < 0) ? m + b : m;
  return copysign(0.0, b);
}

static inline double floordiv_slow(double a, double b) {
  if (b == 0) return a / b;
  double m = fmod(a, b), div = (a - m) / b;
  if (m != 0 && (b < 0) != (m < 0)) div -= 1.0;
  if (div == 0) return copysign(0.0, a / b);
  double f = floor(div);
  return div - f > 0.5 ? f + 1.0 : f;
}

/* Vectors of float division. Where the quotient q = trunc(a / b) is below 2^26 and nothing over- or underflows, the
 * remainder a - q * b is computed exactly (Dekker's product), q corrected by one when a / b had rounded up to a whole
 * number: the same remainder as fmod. That loop has no branch; rows outside its range are redone the slow way. */
static inline double exact_rest(double a, double q, double b) {
  const double p = q * b, t = b * 134217729.0, bh = t - (t - b),
               bl = b - bh; /* 26 bits each: q * bh and q * bl are exact */
  return (a - p) - ((q * bh - p) + q * bl);
}

static inline bool quick(double a, double b, double x) {
  const double m = fabs(a), k = fabs(b);
  return (m < 1e140) & (k > 1e-140) & (k < 1e140) & (fabs(x) < 67108864.0) & ((m > 1e-140) | (m == 0));
}

/* Remainder with the sign of b; *q = floor(a / b) (its zero carries no sign). */
static inline double divmod_quick(double a, double b, double x, double *q) {
  double t = (double)(int32_t)x, r = exact_rest(a, t, b);
  /* a / b rounded up to t: one less, towards zero */
  const bool over = (r < 0) != (a < 0) && r != 0;
  const double one = x < 0 ? -1.0 : 1.0;
  t = over ? t - one : t;
  r = over ? r + (x < 0 ? -b : b) : r;
  const bool adjust = (r != 0) & ((b < 0) != (r < 0));
  *q = adjust ? t - 1.0 : t;
  return adjust ? r + b : r;
}

/* Rows that need the slow way are counted. Inlined with constant strides and want_mod, so that each form is one plain
 * loop. */
static inline __attribute__((always_inline)) int64_t divide_loop(const double *restrict a, int64_t sa,
                                                                 const double *restrict b, int64_t sb, int64_t n,
                                                                 bool want_mod, double *restrict out) {
  int64_t slow = 0;
  for (int64_t i = 0; i < n; i++) {
    const double x = a[i * sa], y = b[i * sb], d = x / y;
    const bool ok = quick(x, y, d), nan = (x != x) | (y != y);
    double q, r = divmod_quick(ok ? x : 1.0, ok ? y : 1.0, ok ? d : 1.0, &q);
    slow += !ok & !nan;
    const double v = want_mod ? (r == 0 ? copysign(0.0, y) : r) : (q == 0 ? copysign(0.0, d) : q);
    out[i] = nan ? d : v;
  }
  return slow;
}

static inline __attribute__((always_inline)) void divide_f64(struct tr_call *c, bool want_mod) {
  const double *a = c->in[0].p, *b = c->in[1].p;
  double *out = c->out;
  const int64_t n = c->n, sa = c->in[0].is_const ? 0 : 1, sb = c->in[1].is_const ? 0 : 1;
  int64_t slow;
  if (sa && !sb) slow = divide_loop(a, 1, b, 0, n, want_mod, out);
  else if (sa && sb) slow = divide_loop(a, 1, b, 1, n, want_mod, out);
  else slow = divide_loop(a, sa, b, sb, n, want_mod, out);
  if (!slow) return;
  for (int64_t i = 0; i < n; i++) {
    const double x = a[i * sa], y = b[i * sb];
    if (!quick(x, y, x / y) && x == x && y == y) out[i] = want_mod ? mod_slow(x, y) : floordiv_slow(x, y);
  }
}

static void floordiv_f64(struct tr_call *c) { divide_f64(c, false); }
static void mod_f64(struct tr_call *c) { divide_f64(c, true); }

static inline float mod_f32_1(float a, float b) {
  float m = fmodf(a, b);
  if (b == 0) return m;
  if (m != 0) return (b < 0) != (m < 0) ? m + b : m;
  return copysignf(0.0f, b);
}

static inline float floordiv_f32_1(float a, float b) {
  if (b == 0) return a / b;
  float m = fmodf(a, b), div = (a - m) / b;
  if (m != 0 && (b < 0) != (m < 0)) div -= 1.0f;
  if (div == 0) return copysignf(0.0f, a / b);
  float f = floorf(div);
  return div - f > 0.5f ? f + 1.0f : f;
}

/* numpy takes shortcuts for these constants when the exponent is a scalar. */
static void pow_f64(struct tr_call *c) {
  const double *restrict a = c->in[0].p, *restrict b = c->in[1].p;
  double *restrict out = c->out;
  const int64_t n = c->n, sa = c->in[0].is_const ? 0 : 1, sb = c->in[1].is_const ? 0 : 1;
  if (c->in[1].is_const && *b == 2.0) {
    for (int64_t i = 0; i < n; i++) out[i] = a[i * sa] * a[i * sa];
  } else if (c->in[1].is_const && *b == 0.5) {
    for (int64_t i = 0; i < n; i++) out[i] = sqrt(a[i * sa]);
  } else {
    for (int64_t i = 0; i < n; i++) out[i] = pow(a[i * sa], b[i * sb]);
  }
}

static void pow_f32(struct tr_call *c) {
  const float *restrict a = c->in[0].p, *restrict b = c->in[1].p;
  float *restrict out = c->out;
  const int64_t n = c->n, sa = c->in[0].is_const ? 0 : 1, sb = c->in[1].is_const ? 0 : 1;
  if (c->in[1].is_const && *b == 2.0f) {
    for (int64_t i = 0; i < n; i++) out[i] = a[i * sa] * a[i * sa];
  } else if (c->in[1].is_const && *b == 0.5f) {
    for (int64_t i = 0; i < n; i++) out[i] = sqrtf(a[i * sa]);
  } else {
    for (int64_t i = 0; i < n; i++) out[i] = powf(a[i * sa], b[i * sb]);
  }
}

static void floordiv_f32(struct tr_call *c) {
  const float *restrict a = c->in[0].p, *restrict b = c->in[1].p;
  float *restrict out = c->out;
  const int64_t n = c->n, sa = c->in[0].is_const ? 0 : 1, sb = c->in[1].is_const ? 0 : 1;
  bool zero = false;
  for (int64_t i = 0; i < n; i++) {
    zero |= b[i * sb] == 0 && a[i * sa] == a[i * sa];
    out[i] = floordiv_f32_1(a[i * sa], b[i * sb]);
  }
  if (zero) c->saw |= TR_SAW_ZERO;
}

#define TX   float
#define TY   float
#define R    float
#define NAME mod_f32
#define EXPR mod_f32_1(x, y)
#include "data/kern/expr/number/binary.tmpl.h"
#undef R
#define R    double
#define NAME floordiv_f64_f32
#define EXPR (double)floordiv_f32_1(x, y)
#include "data/kern/expr/number/binary.tmpl.h"
#undef TX
#undef TY
#undef R

#define TX   uint8_t
#define TY   uint8_t
#define R    uint8_t
#define NAME or_u8
#define EXPR x | y
#include "data/kern/expr/number/binary.tmpl.h"
#define NAME and_u8
#define EXPR x &y
#include "data/kern/expr/number/binary.tmpl.h"
#define NAME xor_u8
#define EXPR x ^ y
#include "data/kern/expr/number/binary.tmpl.h"
#define NAME not_bool
#define EXPR x ^ 1
#include "data/kern/expr/number/unary.tmpl.h"
#undef TX
#undef TY
#undef R
#define TX   uint64_t
#define TY   uint64_t
#define R    uint64_t
#define NAME or_u64
#define EXPR x | y
#include "data/kern/expr/number/binary.tmpl.h"
#define NAME and_u64
#define EXPR x &y
#include "data/kern/expr/number/binary.tmpl.h"
#define NAME xor_u64
#define EXPR x ^ y
#include "data/kern/expr/number/binary.tmpl.h"
#undef TX
#undef TY
#undef R

/* Unsigned add, sub, mul and neg are the signed ones: the bits are the same. */
static const tr_kernel arith_kernels[TR_OP_POW - TR_OP_ADD + 1][TR_F64 + 1] = {
#define ADD_LIKE(op) \
  { or_u8, op##_i8, op##_i16, op##_i32, op##_i64, op##_i8, op##_i16, op##_i32, op##_i64, op##_f32, op##_f64 }
#define DIV_LIKE(op) \
  { NULL, op##_i8, op##_i16, op##_i32, op##_i64, op##_u8, op##_u16, op##_u32, op##_u64, op##_f32, op##_f64 }
    [TR_OP_ADD - TR_OP_ADD] = ADD_LIKE(add),
    [TR_OP_SUB - TR_OP_ADD] = ADD_LIKE(sub),
    [TR_OP_MUL - TR_OP_ADD] = ADD_LIKE(mul),
    [TR_OP_TRUEDIV - TR_OP_ADD] = {[TR_F32] = truediv_f32, [TR_F64] = truediv_f64},
    [TR_OP_FLOORDIV - TR_OP_ADD] = DIV_LIKE(floordiv),
    [TR_OP_MOD - TR_OP_ADD] = DIV_LIKE(mod),
    [TR_OP_POW - TR_OP_ADD] = DIV_LIKE(pow),
};
static const tr_kernel floordiv_as_float[TR_F64 + 1] = {NULL,
                                                        floordiv_f64_i8,
                                                        floordiv_f64_i16,
                                                        floordiv_f64_i32,
                                                        floordiv_f64_i64,
                                                        floordiv_f64_u8,
                                                        floordiv_f64_u16,
                                                        floordiv_f64_u32,
                                                        floordiv_f64_u64,
                                                        floordiv_f64_f32,
                                                        floordiv_f64};
static const tr_kernel mod_as_float[TR_F64 + 1] = {NULL,        mod_f64_i8, mod_f64_i16, mod_f64_i32,
                                                   mod_f64_i64, mod_f64_u8, mod_f64_u16, mod_f64_u32,
                                                   mod_f64_u64, mod_f32,    mod_f64};
static const tr_kernel neg_kernels[TR_F64 + 1] = {not_bool, neg_i8,  neg_i16, neg_i32, neg_i64, neg_i8,
                                                  neg_i16,  neg_i32, neg_i64, neg_f32, neg_f64};

static const tr_kernel bit_kernels[3][2] = {{and_u8, and_u64}, {or_u8, or_u64}, {xor_u8, xor_u64}};

static bool lower_number(const struct tr_expr *e, bool zero_float, struct tr_lower *lo) {
  int t = tr_kind_common((enum tr_kind)e->args[0]->dtype.kind, (enum tr_kind)e->args[1]->dtype.kind);
  bool unsettled = e->args[0]->dtype_depends_on_data || e->args[1]->dtype_depends_on_data;
  if (e->op == TR_OP_TRUEDIV && t != TR_F32) t = TR_F64;
  if (unsettled) t = e->dtype.kind;
  lo->rep[0] = lo->rep[1] = (uint8_t)t;
  lo->out_rep = (uint8_t)t;
  lo->kernel = arith_kernels[e->op - TR_OP_ADD][t];
  if (t == TR_BOOL) lo->kernel = e->op == TR_OP_MUL ? and_u8 : or_u8;
  if (zero_float && (e->op == TR_OP_FLOORDIV || (e->op == TR_OP_MOD && t != TR_F32))) {
    lo->kernel = e->op == TR_OP_MOD ? mod_as_float[t] : floordiv_as_float[t];
    lo->out_rep = TR_F64;
  }
  return lo->kernel != NULL;
}

/* Bitwise on integers runs on 64 bits, narrowed again by the caller's conversion. */
static bool lower_logic(const struct tr_expr *e, struct tr_lower *lo) {
  bool narrow = e->dtype.kind == TR_BOOL || e->dtype.kind == TR_I8 || e->dtype.kind == TR_U8;
  if (!narrow && e->dtype.kind != TR_I64 && e->dtype.kind != TR_U64) return false;
  lo->rep[0] = lo->rep[1] = lo->out_rep = e->dtype.kind;
  lo->kernel = bit_kernels[e->op - TR_OP_AND][narrow ? 0 : 1];
  return true;
}

bool tr_lower_arith(const struct tr_expr *e, bool zero_float, struct tr_lower *lo) {
  if (e->op >= TR_OP_AND && e->op <= TR_OP_XOR) return lower_logic(e, lo);
  if (e->op >= TR_OP_ADD && e->op <= TR_OP_POW) {
    if (tr_kind_is_time(e->args[0]->dtype.kind) || tr_kind_is_time(e->args[1]->dtype.kind)) return false;
    return lower_number(e, zero_float, lo);
  }
  if (e->dtype.kind > TR_F64) return false;
  lo->rep[0] = lo->out_rep = e->dtype.kind;
  if (e->op == TR_OP_NEG || (e->op == TR_OP_INVERT && e->dtype.kind == TR_BOOL)) {
    lo->kernel = neg_kernels[e->dtype.kind];
    return true;
  }
  return false;
}
