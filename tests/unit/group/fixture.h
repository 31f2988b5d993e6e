/* Columns and comparisons for the tests of data/kern/group. */
#pragma once
#include "base/mem.h"
#include "data/kern/group/group.h"
#include "data/kern/take/take.h"
#include <cmocka.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

static struct tr_error fx_err;
#define OK(call) assert_int_equal((call), TR_OK)

static inline struct tr_array *fx_fixed(struct tr_dtype t, const void *values, int64_t n) {
  struct tr_array *a;
  OK(tr_array_new(t, n, &a, &fx_err));
  memcpy(a->data->data, values, (size_t)n * (size_t)tr_dtype_width(t));
  a->null_count = -1;
  return a;
}
static inline struct tr_array *fx_i64(const int64_t *v, int64_t n) { return fx_fixed(tr_dtype_of(TR_I64), v, n); }
static inline struct tr_array *fx_f64(const double *v, int64_t n) { return fx_fixed(tr_dtype_of(TR_F64), v, n); }

/* NULL = missing. */
static inline struct tr_array *fx_text(const char *const *v, int64_t n) {
  struct tr_text_builder b;
  struct tr_array *a;
  OK(tr_text_builder_init(&b, n, &fx_err));
  for (int64_t i = 0; i < n; i++) OK(tr_text_builder_add(&b, v[i], v[i] ? (int64_t)strlen(v[i]) : 0, &fx_err));
  OK(tr_text_builder_finish(&b, &a, &fx_err));
  return a;
}
static inline struct tr_array *fx_dict(struct tr_dtype t, const int32_t *codes, int64_t n, const char *const *values,
                                       int64_t n_values) {
  struct tr_array *dict = fx_text(values, n_values), *a;
  OK(tr_array_new_dict(t, n, dict, &a, &fx_err));
  memcpy(a->data->data, codes, (size_t)n * 4);
  a->null_count = -1;
  tr_array_unref(dict);
  return a;
}
/* The same values behind an offset. Takes a. */
static inline struct tr_array *fx_sliced(struct tr_ctx *ctx, struct tr_array *a) {
  struct tr_array *twice[2] = {a, a}, *all, *slice;
  OK(tr_array_concat(ctx, twice, 2, &all, &fx_err));
  OK(tr_array_slice(all, a->length, a->length, &slice, &fx_err));
  tr_array_unref(all);
  tr_array_unref(a);
  return slice;
}
static inline uint64_t fx_random(uint64_t *s) {
  *s = *s * 6364136223846793005ull + 1442695040888963407ull;
  return *s >> 33;
}
static inline void fx_ctx(struct tr_ctx *ctx, int threads, int64_t morsel, bool hash_zero) {
  tr_ctx_init(ctx);
  ctx->threads = threads;
  ctx->morsel_rows = morsel;
  ctx->hash_zero = hash_zero;
}
/* Numbers equal, NaN equal to NaN; rtol relative. */
static inline void fx_near(double got, double expected, double rtol) {
  if (isnan(expected) && isnan(got)) return;
  if (got == expected) return;
  if (!(fabs(got - expected) <= rtol * fabs(expected))) fail_msg("%.17g is not %.17g", got, expected);
}
