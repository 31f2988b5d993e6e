/* Floor division and modulo of one integer type: Python's signs; a zero divisor is reported (pandas then answers in
 * float64, the _f64 forms). Holes: T, S, IS_SIGNED. */
#define CAT_(a, b) a##b
#define CAT(a, b)  CAT_(a, b)

static inline T CAT(floordiv1_, S)(T x, T y) {
#if IS_SIGNED
  if (y == -1) return (T)(0 - (uint64_t)x); /* wraps */
  T q = (T)(x / y);
  return (T)(q - ((x % y != 0) & ((x < 0) != (y < 0))));
#else
  return (T)(x / y);
#endif
}

static inline T CAT(mod1_, S)(T x, T y) {
#if IS_SIGNED
  if (y == -1) return 0;
  T r = (T)(x % y);
  return (T)((r != 0) & ((r < 0) != (y < 0)) ? r + y : r);
#else
  return (T)(x % y);
#endif
}

static inline T CAT(pow1_, S)(T x, T y) {
  uint64_t base = (uint64_t)x, r = 1;
  for (uint64_t n = (uint64_t)y; n; n >>= 1, base *= base)
    if (n & 1) r *= base;
  return (T)r;
}

static inline double CAT(by_zero_, S)(T x) { return x == 0 ? NAN : x > 0 ? INFINITY : -INFINITY; }

static void CAT(floordiv_, S)(struct tr_call *c) {
  const T *restrict a = c->in[0].p, *restrict b = c->in[1].p;
  T *restrict out = c->out;
  const int64_t n = c->n, sa = c->in[0].is_const ? 0 : 1, sb = c->in[1].is_const ? 0 : 1;
  bool zero = false;
  for (int64_t i = 0; i < n; i++) {
    const T y = b[i * sb];
    zero |= y == 0;
    out[i] = y == 0 ? 0 : CAT(floordiv1_, S)(a[i * sa], y);
  }
  if (zero) c->saw |= TR_SAW_ZERO;
}

static void CAT(mod_, S)(struct tr_call *c) {
  const T *restrict a = c->in[0].p, *restrict b = c->in[1].p;
  T *restrict out = c->out;
  const int64_t n = c->n, sa = c->in[0].is_const ? 0 : 1, sb = c->in[1].is_const ? 0 : 1;
  bool zero = false;
  for (int64_t i = 0; i < n; i++) {
    const T y = b[i * sb];
    zero |= y == 0;
    out[i] = y == 0 ? 0 : CAT(mod1_, S)(a[i * sa], y);
  }
  if (zero) c->saw |= TR_SAW_ZERO;
}

static void CAT(pow_, S)(struct tr_call *c) {
  const T *restrict a = c->in[0].p, *restrict b = c->in[1].p;
  T *restrict out = c->out;
  const int64_t n = c->n, sa = c->in[0].is_const ? 0 : 1, sb = c->in[1].is_const ? 0 : 1;
  bool negative = false;
  for (int64_t i = 0; i < n; i++) {
    const T y = b[i * sb];
#if IS_SIGNED
    negative |= y < 0;
#endif
    out[i] = CAT(pow1_, S)(a[i * sa], y);
  }
  if (negative) c->saw |= TR_SAW_NEG_POW;
}

#define TX   T
#define TY   T
#define R    double
#define NAME CAT(floordiv_f64_, S)
#define EXPR y == 0 ? CAT(by_zero_, S)(x) : (double)CAT(floordiv1_, S)(x, y)
#include "data/kern/expr/number/binary.tmpl.h"
#define NAME CAT(mod_f64_, S)
#define EXPR y == 0 ? NAN : (double)CAT(mod1_, S)(x, y)
#include "data/kern/expr/number/binary.tmpl.h"
#undef TX
#undef TY
#undef R
#undef T
#undef S
#undef IS_SIGNED
#undef CAT
#undef CAT_
