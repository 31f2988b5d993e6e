/* Gathers: every width, missing rows, ranges, packed rows with wrong guesses, masks, failing allocations. */
#include "base/mem.h"
#include "data/kern/take/take.h"
#include <cmocka.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

static struct tr_ctx ctx;
static struct tr_error err;
static size_t used_before;

static int setup(void **state) {
  (void)state;
  tr_ctx_init(&ctx);
  ctx.threads = 2;
  used_before = tr_mem_used();
  return 0;
}

static int teardown(void **state) {
  (void)state;
  assert_int_equal(tr_mem_used(), used_before);
  return 0;
}

static uint32_t scatter(int64_t i, int64_t n) { return (uint32_t)((uint64_t)i * 2654435761u % (uint64_t)n); }

/* Value i of column kind k: small numbers, with one outlier that no sample sees. */
static int64_t value(int k, int64_t i, int64_t n) {
  return i == n - 3 ? INT64_MIN + 5 : (int64_t)scatter(i + k, n) % 100;
}

static struct tr_array *column(int k, int64_t n) {
  struct tr_array *a;
  assert_int_equal(tr_array_new(tr_dtype_of((enum tr_kind)k), n, &a, &err), TR_OK);
  for (int64_t i = 0; i < n; i++) {
    int64_t v = value(k, i, n);
    uint8_t *p = (uint8_t *)tr_array_data(a) + i * tr_dtype_width(a->dtype);
    if (k == TR_STR)
      *(struct tr_view *)p = v < 0 ? tr_view_null() : tr_view_make("xxxxxxxxxxxx", (int32_t)v % 12, 0, 0);
    else if (k == TR_F64) *(double *)p = (double)v;
    else if (k == TR_F32) *(float *)p = (float)v;
    else if (k == TR_BOOL) *p = v & 1;
    else memcpy(p, &v, (size_t)tr_dtype_width(a->dtype));
  }
  return a;
}

static void check_take(int64_t n, int64_t m, int from_kind, bool missing) {
  struct tr_array *cols[TR_N_KINDS], *out[TR_N_KINDS];
  uint32_t *rows = test_malloc((size_t)m * 4);
  int n_cols = 0;
  for (int k = from_kind; k < TR_CATEGORY; k++) cols[n_cols++] = column(k, n);
  for (int64_t i = 0; i < m; i++) rows[i] = missing && i % 3 == 0 ? TR_NO_ROW : scatter(i, n);
  assert_int_equal(tr_take_many(&ctx, cols, n_cols, rows, m, missing, out, &err), TR_OK);
  for (int c = 0; c < n_cols; c++) {
    int w = tr_dtype_width(cols[c]->dtype), ow = tr_dtype_width(out[c]->dtype);
    bool promoted = missing && tr_kind_is_int(cols[c]->dtype.kind);
    assert_int_equal(out[c]->dtype.kind, promoted ? TR_F64 : cols[c]->dtype.kind);
    for (int64_t i = 0; i < m; i++) {
      const uint8_t *o = (uint8_t *)tr_array_data(out[c]) + i * ow;
      const uint8_t *v = (uint8_t *)tr_array_data(cols[c]) + (rows[i] == TR_NO_ROW ? 0 : rows[i]) * (int64_t)w;
      if (rows[i] == TR_NO_ROW) continue;
      if (promoted && cols[c]->dtype.kind == TR_I64) assert_true(*(const double *)o == (double)*(const int64_t *)v);
      else if (!promoted) assert_memory_equal(o, v, (size_t)w);
    }
    int64_t expect = 0;
    if (missing) {
      for (int64_t i = 0; i < m; i++)
        expect += rows[i] == TR_NO_ROW || (rows[i] == n - 3 && cols[c]->dtype.kind == TR_STR);
      assert_int_equal(tr_array_null_count(out[c]), expect);
    }
    tr_array_unref(cols[c]);
    tr_array_unref(out[c]);
  }
  test_free(rows);
}

static void test_all_kinds(void **state) {
  (void)state;
  const int64_t sizes[] = {1, 5, 1000};
  for (int s = 0; s < 3; s++) {
    ctx.morsel_rows = s == 0 ? 1 : 300;
    check_take(sizes[s], 700, TR_BOOL, false);
    check_take(sizes[s], 700, TR_I8, true);
  }
}

static void test_packed(void **state) {
  (void)state;
  check_take(60000, 50000, TR_BOOL, false);
  check_take(60000, 50000, TR_I8, true);
}

static void test_ranges_are_shared(void **state) {
  (void)state;
  struct tr_array *a = column(TR_I64, 100), *out;
  uint32_t rows[100];
  for (uint32_t i = 0; i < 100; i++) rows[i] = i;
  assert_int_equal(tr_take(&ctx, a, rows, 100, false, &out, &err), TR_OK);
  assert_ptr_equal(out, a);
  tr_array_unref(out);
  assert_int_equal(tr_take(&ctx, a, rows + 20, 60, false, &out, &err), TR_OK);
  assert_ptr_equal(out->data, a->data);
  tr_array_unref(out);
  assert_int_equal(tr_take(&ctx, a, rows + 20, 3, false, &out, &err), TR_OK);
  assert_ptr_not_equal(out->data, a->data);
  assert_memory_equal(tr_array_data(out), (int64_t *)tr_array_data(a) + 20, 24);
  tr_array_unref(out);
  tr_array_unref(a);
}

static void test_missing_from_empty(void **state) {
  (void)state;
  struct tr_array *a = column(TR_U8, 0), *b = column(TR_BOOL, 0), *out;
  uint32_t rows[2] = {TR_NO_ROW, TR_NO_ROW};
  assert_int_equal(tr_take(&ctx, a, rows, 2, true, &out, &err), TR_OK);
  assert_int_equal(out->dtype.kind, TR_F64);
  assert_true(isnan(((double *)tr_array_data(out))[1]));
  tr_array_unref(out);
  assert_int_equal(tr_take(&ctx, b, rows, 2, true, &out, &err), TR_UNSUPPORTED);
  assert_null(out);
  tr_array_unref(a);
  tr_array_unref(b);
}

static void test_mask(void **state) {
  (void)state;
  enum { N = 1000 };
  uint8_t mask[N];
  const int steps[] = {1, 2, 7, 999, 5000};
  const int64_t grains[] = {1, 64, 100000};
  for (int s = 0; s < 5; s++)
    for (int g = 0; g < 3; g++) {
      struct tr_buffer *rows;
      int64_t n, k = 0;
      ctx.morsel_rows = grains[g];
      for (int i = 0; i < N; i++) mask[i] = i % steps[s] == steps[s] / 2;
      assert_int_equal(tr_mask_rows(&ctx, mask, N, &rows, &n, &err), TR_OK);
      for (int i = 0; i < N; i++)
        if (mask[i]) assert_int_equal(((uint32_t *)rows->data)[k++], i);
      assert_int_equal(k, n);
      tr_buffer_unref(rows);
      assert_int_equal(tr_mask_rows(&ctx, mask, 0, &rows, &n, &err), TR_OK);
      assert_int_equal(n, 0);
      tr_buffer_unref(rows);
    }
}

static void test_allocation_failures(void **state) {
  (void)state;
  enum { N = 60000 };
  struct tr_array *cols[] = {column(TR_I64, N), column(TR_STR, N), column(TR_I32, N), column(TR_F64, N)}, *out[4];
  uint32_t *rows = test_malloc(N * 4);
  for (int64_t i = 0; i < N; i++) rows[i] = scatter(i, N);
  enum tr_status st = TR_ERROR;
  for (int n = 1; st != TR_OK; n++) {
    tr_mem_fail_at(n);
    st = tr_take_many(&ctx, cols, 4, rows, N, false, out, &err);
    tr_mem_fail_at(0);
    for (int c = 0; c < 4; c++) tr_array_unref(out[c]);
  }
  for (int c = 0; c < 4; c++) tr_array_unref(cols[c]);
  test_free(rows);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_all_kinds, setup, teardown),
      cmocka_unit_test_setup_teardown(test_packed, setup, teardown),
      cmocka_unit_test_setup_teardown(test_ranges_are_shared, setup, teardown),
      cmocka_unit_test_setup_teardown(test_missing_from_empty, setup, teardown),
      cmocka_unit_test_setup_teardown(test_mask, setup, teardown),
      cmocka_unit_test_setup_teardown(test_allocation_failures, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
