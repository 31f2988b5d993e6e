/* tr_window_run and tr_groups_head: answers recorded from pandas 3.1.1 on eight rows in four groups, and on the whole
 * column; dropped rows; dtypes that are refused; failing allocations. */
#include "fixture.h"

enum { N = 8, G = 4 };
static const int64_t group_of[N] = {0, 1, 0, 2, 1, 0, 2, 3}, ints[N] = {3, -1, 7, 100, 2, 7, -5, 0};
static const double floats[N] = {1.5, NAN, -2.0, 4.0, 8.25, 3.0, 4.0, NAN};
static struct tr_ctx ctx;
static size_t used_before;

static int setup(void **state) {
  (void)state;
  fx_ctx(&ctx, 2, 1, false);
  used_before = tr_mem_used();
  return 0;
}
static int teardown(void **state) {
  (void)state;
  assert_int_equal(tr_mem_used(), used_before);
  return 0;
}
static struct tr_groups make_groups(void) {
  struct tr_array *key = fx_i64(group_of, N);
  struct tr_groups g;
  OK(tr_groups_make(&ctx, &key, 1, N, true, true, &g, &fx_err));
  tr_array_unref(key);
  return g;
}

static const struct {
  enum tr_window fn;
  double group[N], whole[N]; /* ranks of the whole column: descending, missing at the bottom, pct */
} recorded[] = {
    {TR_WIN_CUMSUM, {1.5, NAN, -0.5, 4, 8.25, 2.5, 8, NAN}, {1.5, NAN, -0.5, 3.5, 11.75, 14.75, 18.75, NAN}},
    {TR_WIN_CUMPROD, {1.5, NAN, -3, 4, 8.25, -9, 16, NAN}, {1.5, NAN, -3, -12, -99, -297, -1188, NAN}},
    {TR_WIN_CUMMIN, {1.5, NAN, -2, 4, 8.25, -2, 4, NAN}, {1.5, NAN, -2, -2, -2, -2, -2, NAN}},
    {TR_WIN_CUMMAX, {1.5, NAN, 1.5, 4, 8.25, 3, 4, NAN}, {1.5, NAN, 1.5, 4, 8.25, 8.25, 8.25, NAN}},
    {TR_WIN_RANK_AVERAGE, {2, NAN, 1, 1.5, 1, 3, 1.5, NAN}, {0.625, 0.9375, 0.75, 0.3125, 0.125, 0.5, 0.3125, 0.9375}},
    {TR_WIN_RANK_MIN, {2, NAN, 1, 1, 1, 3, 1, NAN}, {0.625, 0.875, 0.75, 0.25, 0.125, 0.5, 0.25, 0.875}},
    {TR_WIN_RANK_MAX, {2, NAN, 1, 2, 1, 3, 2, NAN}, {0.625, 1, 0.75, 0.375, 0.125, 0.5, 0.375, 1}},
    {TR_WIN_RANK_FIRST, {2, NAN, 1, 1, 1, 3, 2, NAN}, {0.625, 0.875, 0.75, 0.25, 0.125, 0.5, 0.375, 1}},
    {TR_WIN_RANK_DENSE,
     {2, NAN, 1, 1, 1, 3, 1, NAN},
     {0.6666666666666666, 1, 0.8333333333333334, 0.3333333333333333, 0.16666666666666666, 0.5, 0.3333333333333333, 1}},
    {TR_WIN_SHIFT, {NAN, NAN, 1.5, NAN, NAN, -2, 4, NAN}, {NAN, 1.5, NAN, -2, 4, 8.25, 3, 4}},
    {TR_WIN_FFILL, {1.5, NAN, -2, 4, 8.25, 3, 4, NAN}, {1.5, 1.5, -2, 4, 8.25, 3, 4, 4}},
    {TR_WIN_BFILL, {1.5, 8.25, -2, 4, 8.25, 3, 4, NAN}, {1.5, -2, -2, 4, 8.25, 3, 4, NAN}},
};

static void as_pandas(void **state) {
  (void)state;
  struct tr_groups g = make_groups();
  struct tr_array *x = fx_sliced(&ctx, fx_f64(floats, N)), *out;
  for (size_t k = 0; k < sizeof recorded / sizeof *recorded; k++) {
    bool rank = recorded[k].fn >= TR_WIN_RANK_AVERAGE && recorded[k].fn <= TR_WIN_RANK_DENSE;
    for (int whole = 0; whole < 2; whole++) {
      struct tr_window_spec spec = {.fn = recorded[k].fn, .input = x, .param = 1};
      if (rank && whole)
        spec =
            (struct tr_window_spec){.fn = recorded[k].fn, .input = x, .descending = true, .na_option = 2, .pct = true};
      OK(tr_window_run(&ctx, whole ? NULL : &g, N, &spec, &out, &fx_err));
      assert_int_equal(out->dtype.kind, TR_F64);
      const double *expected = whole ? recorded[k].whole : recorded[k].group, *got = tr_array_data(out);
      for (int i = 0; i < N; i++) fx_near(got[i], expected[i], 0);
      tr_array_unref(out);
    }
  }
  tr_array_unref(x);
  tr_groups_drop(&g);
}

static void counts_and_differences(void **state) {
  (void)state;
  struct tr_groups g = make_groups();
  struct tr_array *i = fx_i64(ints, N), *out;
  const int64_t up[N] = {0, 0, 1, 0, 1, 2, 1, 0}, down[N] = {2, 1, 1, 1, 0, 0, 0, 0};
  const double diff[N] = {NAN, NAN, 4, NAN, 3, 0, -105, NAN};
  struct tr_window_spec spec = {.fn = TR_WIN_CUMCOUNT};
  OK(tr_window_run(&ctx, &g, N, &spec, &out, &fx_err));
  assert_memory_equal(tr_array_data(out), up, sizeof up);
  tr_array_unref(out);
  spec.param = 1;
  OK(tr_window_run(&ctx, &g, N, &spec, &out, &fx_err));
  assert_memory_equal(tr_array_data(out), down, sizeof down);
  tr_array_unref(out);
  spec.fn = TR_WIN_NGROUP;
  OK(tr_window_run(&ctx, &g, N, &spec, &out, &fx_err));
  assert_memory_equal(tr_array_data(out), group_of, sizeof group_of);
  tr_array_unref(out);
  spec = (struct tr_window_spec){.fn = TR_WIN_DIFF, .input = i, .param = 1};
  OK(tr_window_run(&ctx, &g, N, &spec, &out, &fx_err));
  for (int k = 0; k < N; k++) fx_near(((const double *)tr_array_data(out))[k], diff[k], 0);
  tr_array_unref(out);
  tr_array_unref(i);
  tr_groups_drop(&g);
}

static void heads_and_tails(void **state) {
  (void)state;
  static const struct {
    int64_t k;
    bool tail;
    int n;
    uint32_t rows[N];
  } cases[] = {{1, false, 4, {0, 1, 3, 7}},
               {1, true, 4, {4, 5, 6, 7}},
               {2, false, 7, {0, 1, 2, 3, 4, 6, 7}},
               {2, true, 7, {1, 2, 3, 4, 5, 6, 7}},
               {-1, false, 4, {0, 1, 2, 3}},
               {-1, true, 4, {2, 4, 5, 6}},
               {0, false, 0, {0}},
               {INT64_MAX, true, 8, {0, 1, 2, 3, 4, 5, 6, 7}},
               {INT64_MIN, false, 0, {0}}};
  struct tr_groups g = make_groups();
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    struct tr_buffer *rows;
    int64_t n;
    OK(tr_groups_head(&ctx, &g, cases[c].k, cases[c].tail, &rows, &n, &fx_err));
    assert_int_equal(n, cases[c].n);
    if (n > 0) assert_memory_equal(rows->data, cases[c].rows, (size_t)n * 4);
    tr_buffer_unref(rows);
  }
  tr_groups_drop(&g);
}

static void refused(void **state) {
  (void)state;
  const uint8_t b[N] = {1, 0, 1, 0, 1, 1, 0, 0};
  const int64_t days[N] = {1, TR_NAT, 3, 4, 5, 6, 7, 8};
  struct tr_groups g = make_groups();
  struct tr_array *bools = fx_fixed(tr_dtype_of(TR_BOOL), b, N),
                  *times = fx_fixed(tr_dtype_unit(TR_DATETIME, TR_NS), days, N), *out;
  struct tr_window_spec spec = {.fn = TR_WIN_SHIFT, .input = bools, .param = 1};
  assert_int_equal(tr_window_run(&ctx, &g, N, &spec, &out, &fx_err), TR_UNSUPPORTED);
  spec.fn = TR_WIN_DIFF;
  assert_int_equal(tr_window_run(&ctx, NULL, N, &spec, &out, &fx_err), TR_UNSUPPORTED);
  spec = (struct tr_window_spec){.fn = TR_WIN_CUMSUM, .input = times};
  assert_int_equal(tr_window_run(&ctx, &g, N, &spec, &out, &fx_err), TR_UNSUPPORTED);
  spec.fn = TR_WIN_CUMMAX;
  OK(tr_window_run(&ctx, &g, N, &spec, &out, &fx_err));
  tr_array_unref(out);
  tr_array_unref(bools);
  tr_array_unref(times);
  tr_groups_drop(&g);
}

static void allocations_fail(void **state) {
  (void)state;
  struct tr_groups g = make_groups();
  const char *const t[N] = {"x", NULL, "y", "z", "x", "y", "z", NULL};
  struct tr_array *x = fx_f64(floats, N), *text = fx_text(t, N), *out;
  for (int fn = 0; fn < TR_N_WINDOWS; fn++) {
    struct tr_window_spec spec = {
        .fn = (enum tr_window)fn, .input = fn >= TR_WIN_RANK_AVERAGE && fn <= TR_WIN_RANK_DENSE ? text : x, .param = 1};
    size_t before = tr_mem_used();
    for (int64_t k = 1;; k++) {
      tr_mem_fail_at(k);
      enum tr_status st = tr_window_run(&ctx, fn % 2 ? &g : NULL, N, &spec, &out, &fx_err);
      tr_mem_fail_at(0);
      tr_array_unref(out);
      assert_int_equal(tr_mem_used(), before);
      if (st == TR_OK) break;
      assert_int_equal(fx_err.exc, TR_EXC_MEMORY);
    }
  }
  tr_array_unref(x);
  tr_array_unref(text);
  tr_groups_drop(&g);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(as_pandas, setup, teardown),
                                     cmocka_unit_test_setup_teardown(counts_and_differences, setup, teardown),
                                     cmocka_unit_test_setup_teardown(heads_and_tails, setup, teardown),
                                     cmocka_unit_test_setup_teardown(refused, setup, teardown),
                                     cmocka_unit_test_setup_teardown(allocations_fail, setup, teardown)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
