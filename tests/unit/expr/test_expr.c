/* Evaluating expressions. Expected values are pandas 3.1.1's; every case runs whole and one row a morsel on two
 * threads. */
#include "base/mem.h"
#include "data/kern/expr/eval.h"
#include <cmocka.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

static struct tr_error err;
static struct tr_ctx ctx;
enum { N = 4 };

static struct tr_array *fixed(enum tr_kind kind, const void *values) {
  struct tr_array *a, *slice; /* a slice, so that offsets are exercised */
  int w = tr_dtype_width(tr_dtype_of(kind));
  assert_int_equal(tr_array_new(tr_dtype_unit(kind, kind == TR_DATETIME ? TR_S : 0), N + 1, &a, &err), TR_OK);
  memset(a->data->data, 0, (size_t)w);
  memcpy(a->data->data + w, values, (size_t)(w * N));
  assert_int_equal(tr_array_slice(a, 1, N, &slice, &err), TR_OK);
  tr_array_unref(a);
  return slice;
}

static struct tr_array *texts(const char *const *values, bool dict) {
  struct tr_text_builder b;
  struct tr_array *plain, *encoded;
  assert_int_equal(tr_text_builder_init(&b, N, &err), TR_OK);
  for (int i = 0; i < N; i++)
    assert_int_equal(tr_text_builder_add(&b, values[i], values[i] ? (int64_t)strlen(values[i]) : 0, &err), TR_OK);
  assert_int_equal(tr_text_builder_finish(&b, &plain, &err), TR_OK);
  if (!dict) return plain;
  assert_int_equal(tr_array_encode(&ctx, plain, INT32_MAX, &encoded, &err), TR_OK);
  tr_array_unref(plain);
  return encoded;
}

static struct tr_expr *lit(struct tr_scalar s, bool weak) {
  struct tr_expr *e;
  assert_int_equal(tr_expr_lit(&s, weak, &e, &err), TR_OK);
  return e;
}
static struct tr_expr *integer(int64_t v) {
  return lit((struct tr_scalar){.dtype = tr_dtype_of(TR_I64), .i = v}, true);
}
static struct tr_expr *word(const char *s) {
  struct tr_scalar v = {.dtype = tr_dtype_of(TR_STR)};
  v.s.ptr = s;
  v.s.len = (int64_t)strlen(s);
  return lit(v, false);
}

static struct tr_expr *col(struct tr_frame *f, int c, bool maybe_null) {
  struct tr_expr *e;
  assert_int_equal(tr_expr_col(c, f->cols[c]->dtype, maybe_null, &e, &err), TR_OK);
  return e;
}

/* Takes the arguments. */
static struct tr_expr *make(enum tr_expr_op op, struct tr_expr *a, struct tr_expr *b, const struct tr_expr_params *p) {
  struct tr_expr *args[2] = {a, b}, *e;
  assert_int_equal(tr_expr_make(op, args, b ? 2 : 1, p, &e, &err), TR_OK);
  tr_expr_unref(a);
  tr_expr_unref(b);
  return e;
}

/* Takes the array. */
static struct tr_frame *frame(struct tr_array *a) {
  struct tr_frame *f;
  assert_int_equal(tr_frame_new(N, 1, &a, &f, &err), TR_OK);
  tr_array_unref(a);
  return f;
}

/* Takes e. Result in dtype `kind` with exactly these bytes. */
static void gives(struct tr_frame *f, struct tr_expr *e, enum tr_kind kind, const void *want) {
  static const struct {
    int threads;
    int64_t rows;
  } configs[] = {{1, TR_MORSEL_ROWS}, {2, 1}, {2, 3}};
  for (int c = 0; c < 3; c++) {
    struct tr_array *out;
    ctx.threads = configs[c].threads;
    ctx.morsel_rows = configs[c].rows;
    assert_int_equal(tr_expr_eval(&ctx, &e, 1, f, &out, &err), TR_OK);
    assert_int_equal(out->dtype.kind, kind);
    assert_int_equal(out->length, N);
    assert_memory_equal(tr_array_data(out), want, (size_t)(N * tr_dtype_width(out->dtype)));
    tr_array_unref(out);
  }
  tr_expr_unref(e);
}

/* Takes e. Result text. */
static void gives_text(struct tr_frame *f, struct tr_expr *e, const char *const *want) {
  struct tr_array *out, *plain;
  assert_int_equal(tr_expr_eval(&ctx, &e, 1, f, &out, &err), TR_OK);
  assert_int_equal(tr_array_decode(&ctx, out, &plain, &err), TR_OK);
  for (int i = 0; i < N; i++) {
    const struct tr_view *v = &tr_array_views(plain)[i];
    assert_int_equal(v->size, want[i] ? (int)strlen(want[i]) : -1);
    if (want[i]) assert_memory_equal(tr_view_bytes(plain, v), want[i], strlen(want[i]));
  }
  tr_array_unref(plain);
  tr_array_unref(out);
  tr_expr_unref(e);
}

static void numbers(void **state) {
  (void)state;
  struct tr_frame *f = frame(fixed(TR_I64, (int64_t[]){7, -7, 0, INT64_MAX}));
  gives(f, make(TR_OP_ADD, col(f, 0, false), integer(1), NULL), TR_I64, (int64_t[]){8, -6, 1, INT64_MIN});
  gives(f, make(TR_OP_FLOORDIV, col(f, 0, false), integer(2), NULL), TR_I64, (int64_t[]){3, -4, 0, INT64_MAX / 2});
  gives(f, make(TR_OP_MOD, col(f, 0, false), integer(3), NULL), TR_I64, (int64_t[]){1, 2, 0, 1});
  gives(f, make(TR_OP_GT, col(f, 0, false), integer(0), NULL), TR_BOOL, (uint8_t[]){1, 0, 0, 1});
  tr_frame_unref(f);
  f = frame(fixed(TR_F64, (double[]){517, -7.5, 1e300, 2.5}));
  gives(f, make(TR_OP_MOD, col(f, 0, true), integer(100), NULL), TR_F64, (double[]){17, 92.5, fmod(1e300, 100), 2.5});
  gives(f, make(TR_OP_ROUND, col(f, 0, true), NULL, NULL), TR_F64, (double[]){517, -8, 1e300, 2});
  gives(f, make(TR_OP_ISNA, col(f, 0, true), NULL, NULL), TR_BOOL, (uint8_t[]){0, 0, 0, 0});
  tr_frame_unref(f);
}

/* A zero divisor turns integer division into float64, as pandas does. */
static void zero_divisors(void **state) {
  (void)state;
  struct tr_frame *f = frame(fixed(TR_I64, (int64_t[]){4, 2, 0, -3}));
  struct tr_expr *e =
      make(TR_OP_FLOORDIV, lit((struct tr_scalar){.dtype = tr_dtype_of(TR_I64), .i = 9}, true), col(f, 0, false), NULL);
  assert_true(e->dtype_depends_on_data);
  gives(f, e, TR_F64, (double[]){2, 4, INFINITY, -3});
  tr_frame_unref(f);
}

static void times(void **state) {
  (void)state;
  struct tr_frame *f = frame(
      fixed(TR_DATETIME, (int64_t[]){951782400, -1, TR_NAT, 1709164800})); /* 2000-02-29, 1969-12-31, NaT, 2024-02-29 */
  gives(f, make(TR_OP_DT_YEAR, col(f, 0, true), NULL, NULL), TR_F64, (double[]){2000, 1969, NAN, 2024});
  gives(f, make(TR_OP_DT_IS_MONTH_END, col(f, 0, true), NULL, NULL), TR_BOOL, (uint8_t[]){1, 1, 0, 1});
  gives(f, make(TR_OP_GT, make(TR_OP_DT_MONTH, col(f, 0, true), NULL, NULL), integer(2), NULL), TR_BOOL,
        (uint8_t[]){0, 1, 0, 0});
  gives_text(f, make(TR_OP_DT_DAY_NAME, col(f, 0, true), NULL, NULL),
             (const char *[]){"Tuesday", "Wednesday", NULL, "Thursday"});
  struct tr_expr_params p = {.dtype = tr_dtype_of(TR_STR)};
  gives_text(f, make(TR_OP_CAST, col(f, 0, true), NULL, &p),
             (const char *[]){"2000-02-29 00:00:00", "1969-12-31 23:59:59", NULL, "2024-02-29 00:00:00"});
  tr_frame_unref(f);
}

static void text_ops(void **state) {
  (void)state;
  for (int dict = 0; dict < 2; dict++) {
    struct tr_frame *f = frame(texts((const char *[]){"stra\xc3\x9f"
                                                      "e nach Hause",
                                                      NULL, "ab", "AB"},
                                     dict));
    struct tr_expr_params p = {.params = {0, 5, 1}};
    gives_text(f, make(TR_OP_STR_SLICE, col(f, 0, true), NULL, &p), (const char *[]){"stra\xc3\x9f", NULL, "ab", "AB"});
    gives_text(f, make(TR_OP_STR_LOWER, col(f, 0, true), NULL, NULL),
               (const char *[]){"stra\xc3\x9f"
                                "e nach hause",
                                NULL, "ab", "ab"});
    gives_text(f, make(TR_OP_STR_TITLE, col(f, 0, true), NULL, NULL),
               (const char *[]){"Stra\xc3\x9f"
                                "e Nach Hause",
                                NULL, "Ab", "Ab"});
    gives_text(f, make(TR_OP_ADD, make(TR_OP_ADD, col(f, 0, true), word("-"), NULL), col(f, 0, true), NULL),
               (const char *[]){"stra\xc3\x9f"
                                "e nach Hause-stra\xc3\x9f"
                                "e nach Hause",
                                NULL, "ab-ab", "AB-AB"});
    gives(f, make(TR_OP_STR_LEN, col(f, 0, true), NULL, NULL), TR_F64, (double[]){17, NAN, 2, 2});
    gives(f, make(TR_OP_EQ, col(f, 0, true), word("ab"), NULL), TR_BOOL, (uint8_t[]){0, 0, 1, 0});
    gives(f, make(TR_OP_NE, col(f, 0, true), word("ab"), NULL), TR_BOOL, (uint8_t[]){1, 1, 0, 1});
    gives(f, make(TR_OP_LT, col(f, 0, true), word("b"), NULL), TR_BOOL, (uint8_t[]){0, 0, 1, 1});
    p = (struct tr_expr_params){.params = {1}, .text = "^[a-z]+$"};
    gives(f, make(TR_OP_STR_CONTAINS, col(f, 0, true), NULL, &p), TR_BOOL, (uint8_t[]){0, 0, 1, 0});
    tr_frame_unref(f);
  }
}

static void filters(void **state) {
  (void)state;
  struct tr_frame *f = frame(fixed(TR_F64, (double[]){1, NAN, 3, 0.5}));
  struct tr_expr *e = make(TR_OP_GE, col(f, 0, true), integer(1), NULL);
  for (int64_t rows = 1; rows <= 4; rows++) {
    struct tr_buffer *b;
    int64_t n;
    ctx.morsel_rows = rows;
    assert_int_equal(tr_expr_filter_rows(&ctx, e, f, &b, &n, &err), TR_OK);
    assert_int_equal(n, 2);
    assert_memory_equal(b->data, ((uint32_t[]){0, 2}), 8);
    tr_buffer_unref(b);
  }
  tr_expr_unref(e);
  tr_frame_unref(f);
}

/* What pandas raises. */
static void errors(void **state) {
  (void)state;
  struct tr_frame *f = frame(fixed(TR_F64, (double[]){1, NAN, 3, 0.5}));
  struct tr_array *out;
  struct tr_expr_params p = {.dtype = tr_dtype_of(TR_I64)};
  struct tr_expr *e = make(TR_OP_CAST, col(f, 0, true), NULL, &p);
  assert_int_equal(tr_expr_eval(&ctx, &e, 1, f, &out, &err), TR_ERROR);
  assert_int_equal(err.exc, TR_EXC_VALUE);
  assert_non_null(strstr(err.text, "Cannot convert non-finite values (NA or inf) to integer"));
  assert_null(out);
  tr_expr_unref(e);
  tr_frame_unref(f);
}

struct answers {
  int asked;
  bool declines;
};

/* Upper case of what it is asked for: its argument unchanged. */
static enum tr_status answer(void *arg, const struct tr_expr *e, struct tr_array *const *args, int64_t n_rows,
                             const char *why, struct tr_array **out, struct tr_error *error) {
  struct answers *a = arg;
  a->asked++;
  assert_int_equal(e->op, TR_OP_STR_UPPER);
  assert_int_equal(args[0]->length, n_rows);
  assert_non_null(strstr(why, "newer than the engine's tables"));
  if (a->declines) return tr_unsupported(error, "%s", why);
  *out = tr_array_ref(args[0]);
  return TR_OK;
}

/* A code point that no version of Unicode has assigned yet is left to somebody outside. */
static void outside(void **state) {
  (void)state;
  for (int dict = 0; dict < 2; dict++) {
    struct answers a = {0};
    struct tr_outside who = {answer, &a};
    struct tr_frame *f = frame(texts((const char *[]){"\xf0\xb2\xba\xb0x", NULL, "ab", "AB"}, dict));
    struct tr_expr *upper = make(TR_OP_STR_UPPER, col(f, 0, true), NULL, NULL);
    struct tr_expr *test = make(TR_OP_EQ, tr_expr_ref(upper), word("ab"), NULL);
    struct tr_array *out = NULL;
    struct tr_buffer *rows = NULL;
    int64_t n;
    assert_int_equal(tr_expr_eval(&ctx, &upper, 1, f, &out, &err), TR_UNSUPPORTED);
    assert_null(out);
    ctx.outside = &who;
    gives_text(f, tr_expr_ref(upper), (const char *[]){"\xf0\xb2\xba\xb0x", NULL, "ab", "AB"});
    assert_int_equal(a.asked, 1);
    assert_int_equal(tr_expr_filter_rows(&ctx, test, f, &rows, &n, &err), TR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(*(uint32_t *)rows->data, 2);
    tr_buffer_unref(rows);
    a.declines = true;
    assert_int_equal(tr_expr_filter_rows(&ctx, test, f, &rows, &n, &err), TR_UNSUPPORTED);
    ctx.outside = NULL;
    tr_expr_unref(test);
    tr_expr_unref(upper);
    tr_frame_unref(f);
  }
}

static void nothing_leaks(void **state) {
  (void)state;
  assert_int_equal(tr_mem_used(), 0);
}

int main(void) {
  tr_ctx_init(&ctx);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(numbers),  cmocka_unit_test(zero_divisors), cmocka_unit_test(times),
      cmocka_unit_test(text_ops), cmocka_unit_test(filters),       cmocka_unit_test(errors),
      cmocka_unit_test(outside),  cmocka_unit_test(nothing_leaks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
