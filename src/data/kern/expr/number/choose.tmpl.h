/* Choosing between values of one type. Holes: T, S, IS_NULL(x), LESS(x, y) (false when x is missing). */
#define CAT_(a, b) a##b
#define CAT(a, b)  CAT_(a, b)

static void CAT(where_, S)(struct tr_call *c) {
  const uint8_t *restrict m = c->in[0].p;
  const T *restrict a = c->in[1].p, *restrict b = c->in[2].p;
  T *restrict out = c->out;
  const int64_t n = c->n, sm = c->in[0].is_const ? 0 : 1, sa = c->in[1].is_const ? 0 : 1;
  if (c->in[2].is_const && sm && sa) {
    const T y = *b;
    for (int64_t i = 0; i < n; i++) out[i] = m[i] ? a[i] : y;
  } else {
    const int64_t sb = c->in[2].is_const ? 0 : 1;
    for (int64_t i = 0; i < n; i++) out[i] = m[i * sm] ? a[i * sa] : b[i * sb];
  }
}

#define TX   T
#define TY   T
#define R    T
#define NAME CAT(fillna_, S)
#define EXPR IS_NULL(x) ? y : x
#include "data/kern/expr/number/binary.tmpl.h"
#define NAME CAT(clip_lower_, S)
#define EXPR LESS(x, y) ? y : x
#include "data/kern/expr/number/binary.tmpl.h"
#define NAME CAT(clip_upper_, S)
#define EXPR LESS(y, x) ? y : x
#include "data/kern/expr/number/binary.tmpl.h"
#undef R
#define R    uint8_t
#define NAME CAT(isna_, S)
#define EXPR IS_NULL(x)
#include "data/kern/expr/number/unary.tmpl.h"
#define NAME CAT(notna_, S)
#define EXPR !(IS_NULL(x))
#include "data/kern/expr/number/unary.tmpl.h"
#undef R
#undef TX
#undef TY
#undef T
#undef S
#undef IS_NULL
#undef LESS
#undef CAT
#undef CAT_
