/* tr_agg_run: answers recorded from pandas 3.1.1 on eight rows in four groups; the same bits for any number of threads
 * and morsel size; failing allocations; text, times and narrow ints. */
#include "fixture.h"
#include <stdlib.h>

enum { N = 8, G = 4 };
static const int64_t group_of[N] = {0, 1, 0, 2, 1, 0, 2, 3}, ints[N] = {3, -1, 7, 100, 2, 7, -5, 0};
static const double floats[N] = {1.5, NAN, -2.0, 4.0, 8.25, 3.0, 4.0, NAN}, others[N] = {2, 1, NAN, 3, 5, 1, 9, 2};
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
  assert_int_equal(g.n_groups, G);
  return g;
}

static double value(const struct tr_array *a, int64_t i) {
  const void *v = tr_array_data(a);
  switch (a->dtype.kind) {
  case TR_BOOL: return ((const uint8_t *)v)[i];
  case TR_I8: return ((const int8_t *)v)[i];
  case TR_U32: return ((const uint32_t *)v)[i] == TR_NO_ROW ? -1.0 : (double)((const uint32_t *)v)[i];
  case TR_F64: return ((const double *)v)[i];
  default: return (double)((const int64_t *)v)[i];
  }
}

static const struct {
  enum tr_agg fn;
  int64_t param;
  double floats[G], ints[G];
} recorded[] = {
    {TR_AGG_SUM, 0, {2.5, 8.25, 8, 0}, {17, 1, 95, 0}},
    {TR_AGG_PROD, 0, {-9, 8.25, 16, 1}, {147, -2, -500, 0}},
    {TR_AGG_MEAN, 0, {0.8333333333333334, 8.25, 4, NAN}, {5.666666666666667, 0.5, 47.5, 0}},
    {TR_AGG_MIN, -1, {-2, 8.25, 4, NAN}, {3, -1, -5, 0}},
    {TR_AGG_MAX, -1, {3, 8.25, 4, NAN}, {7, 2, 100, 0}},
    {TR_AGG_STD, 1, {2.565800719723442, NAN, 0, NAN}, {2.309401076758503, 2.1213203435596424, 74.24621202458749, NAN}},
    {TR_AGG_VAR, 1, {6.583333333333334, NAN, 0, NAN}, {5.333333333333333, 4.5, 5512.5, NAN}},
    {TR_AGG_SEM, 1, {1.481365736219265, NAN, 0, NAN}, {1.3333333333333333, 1.5, 52.5, NAN}},
    {TR_AGG_SKEW, 0, {-1.0902905798280034, NAN, NAN, NAN}, {-1.7320508075688774, NAN, NAN, NAN}},
    {TR_AGG_MEDIAN, 0, {1.5, 8.25, 4, NAN}, {7, 0.5, 47.5, 0}},
    {TR_AGG_QUANTILE, 0, {0.10000000000000009, 8.25, 4, NAN}, {5.4, -0.10000000000000009, 26.5, 0}}, /* q = .3 */
    {TR_AGG_FIRST, -1, {1.5, 8.25, 4, NAN}, {3, -1, 100, 0}},
    {TR_AGG_LAST, -1, {3, 8.25, 4, NAN}, {7, 2, -5, 0}},
    {TR_AGG_NUNIQUE, 0, {3, 1, 1, 0}, {2, 2, 2, 1}},
    {TR_AGG_NUNIQUE, 1, {3, 2, 1, 1}, {2, 2, 2, 1}},
    {TR_AGG_COUNT, 0, {3, 1, 2, 0}, {3, 2, 2, 1}},
    {TR_AGG_IDXMIN_ROW, 0, {2, 4, 3, -1}, {0, 1, 6, 7}},
    {TR_AGG_IDXMAX_ROW, 0, {5, 4, 3, -1}, {2, 4, 3, 7}},
    {TR_AGG_ANY, 0, {1, 1, 1, 0}, {1, 1, 1, 0}},
    {TR_AGG_ALL, 0, {1, 1, 1, 1}, {1, 1, 1, 0}},
    {TR_AGG_SIZE, 0, {3, 2, 2, 1}, {3, 2, 2, 1}},
    {TR_AGG_NTH_ROW, -2, {2, 1, 3, -1}, {2, 1, 3, -1}},
    {TR_AGG_NTH_ROW, 1, {2, 4, 6, -1}, {2, 4, 6, -1}},
};
enum { N_RECORDED = sizeof recorded / sizeof *recorded };

/* All at once, so that accumulators are shared. */
static void as_pandas(void **state) {
  (void)state;
  struct tr_groups g = make_groups();
  struct tr_array *x = fx_sliced(&ctx, fx_f64(floats, N)), *i = fx_i64(ints, N), *out[2 * N_RECORDED];
  struct tr_agg_spec specs[2 * N_RECORDED];
  for (int k = 0; k < 2 * N_RECORDED; k++) {
    specs[k] = (struct tr_agg_spec){
        .fn = recorded[k / 2].fn, .input = k % 2 ? i : x, .param = recorded[k / 2].param, .q = .3, .skipna = true};
  }
  OK(tr_agg_run(&ctx, &g, specs, 2 * N_RECORDED, false, out, &fx_err));
  for (int k = 0; k < 2 * N_RECORDED; k++) {
    for (int j = 0; j < G; j++)
      fx_near(value(out[k], j), k % 2 ? recorded[k / 2].ints[j] : recorded[k / 2].floats[j], 1e-12);
    tr_array_unref(out[k]);
  }
  tr_array_unref(x);
  tr_array_unref(i);
  tr_groups_drop(&g);
}

static void whole_column(void **state) {
  (void)state;
  const enum tr_agg fns[] = {TR_AGG_SUM,      TR_AGG_MEAN, TR_AGG_STD,  TR_AGG_MIN,     TR_AGG_MAX,  TR_AGG_MEDIAN,
                             TR_AGG_QUANTILE, TR_AGG_SKEW, TR_AGG_PROD, TR_AGG_NUNIQUE, TR_AGG_COUNT};
  const double expected[] = {18.75, 3.125, 3.36804839632687, -2, 8.25, 3.5, 2.25, -0.023188257519960963, -1188, 5, 6};
  struct tr_groups g;
  OK(tr_groups_all(N, &g, &fx_err));
  struct tr_array *x = fx_f64(floats, N), *out;
  for (int k = 0; k < 11; k++) {
    struct tr_agg_spec spec = {.fn = fns[k], .input = x, .q = .3, .skipna = true, .param = fns[k] == TR_AGG_STD};
    OK(tr_agg_run(&ctx, &g, &spec, 1, true, &out, &fx_err));
    fx_near(value(out, 0), expected[k], 1e-12);
    tr_array_unref(out);
  }
  tr_array_unref(x);
  tr_groups_drop(&g);
}

static void check_one(struct tr_agg_spec spec, const double *expected) {
  struct tr_groups g = make_groups();
  struct tr_array *out;
  OK(tr_agg_run(&ctx, &g, &spec, 1, false, &out, &fx_err));
  for (int j = 0; j < G; j++) fx_near(value(out, j), expected[j], 1e-12);
  tr_array_unref(out);
  tr_groups_drop(&g);
}

static void limits_and_pairs(void **state) {
  (void)state;
  struct tr_array *x = fx_f64(floats, N), *y = fx_f64(others, N), *i = fx_i64(ints, N);
  const double two[] = {2.5, NAN, 8, NAN}, pair[] = {-1, 1, -1, NAN}, ints_two[] = {17, 1, 95, NAN};
  check_one((struct tr_agg_spec){.fn = TR_AGG_SUM, .input = x, .param = 2, .skipna = true}, two);
  check_one((struct tr_agg_spec){.fn = TR_AGG_SUM, .input = x, .skipna = false}, two);
  check_one((struct tr_agg_spec){.fn = TR_AGG_SUM, .input = i, .param = 2, .skipna = true},
            ints_two); /* becomes float64 */
  check_one((struct tr_agg_spec){.fn = TR_AGG_CORR, .input = i, .input2 = y, .skipna = true}, pair);
  tr_array_unref(x);
  tr_array_unref(y);
  tr_array_unref(i);
}

static void text_and_narrow(void **state) {
  (void)state;
  const char *const t[N] = {"pear", NULL, "a text longer than twelve bytes", "b", "", "apple", "b", NULL};
  const char *const smallest[G] = {"a text longer than twelve bytes", "", "b", NULL};
  const int8_t small[N] = {100, 1, 1, 2, 2, 1, 3, 4}, big[N] = {100, 1, 100, 2, 2, 1, 3, 4};
  struct tr_groups g = make_groups();
  struct tr_array *text = fx_text(t, N), *s = fx_fixed(tr_dtype_of(TR_I8), small, N),
                  *b = fx_fixed(tr_dtype_of(TR_I8), big, N), *out[3];
  struct tr_agg_spec specs[3] = {{.fn = TR_AGG_MIN, .input = text, .skipna = true, .param = -1},
                                 {.fn = TR_AGG_SUM, .input = s, .skipna = true},
                                 {.fn = TR_AGG_SUM, .input = b, .skipna = true}};
  OK(tr_agg_run(&ctx, &g, specs, 3, false, out, &fx_err));
  for (int j = 0; j < G; j++) {
    const struct tr_view *v = &tr_array_views(out[0])[j];
    assert_int_equal(v->size, smallest[j] ? (int)strlen(smallest[j]) : -1);
    if (smallest[j]) assert_memory_equal(tr_view_bytes(out[0], v), smallest[j], (size_t)v->size);
  }
  assert_int_equal(out[1]->dtype.kind, TR_I8);
  assert_int_equal(out[2]->dtype.kind, TR_I64); /* 201 does not fit */
  assert_int_equal(((const int64_t *)tr_array_data(out[2]))[0], 201);
  for (int k = 0; k < 3; k++) tr_array_unref(out[k]);
  tr_array_unref(text);
  tr_array_unref(s);
  tr_array_unref(b);
  tr_groups_drop(&g);
}

static void nothing(void **state) {
  (void)state;
  struct tr_groups g;
  struct tr_array *x = fx_f64(floats, 0), *i = fx_i64(ints, 0), *out;
  OK(tr_groups_make(&ctx, &i, 1, 0, true, true, &g, &fx_err));
  struct tr_agg_spec spec = {.fn = TR_AGG_MEAN, .input = x, .skipna = true};
  OK(tr_agg_run(&ctx, &g, &spec, 1, false, &out, &fx_err));
  assert_int_equal(out->length, 0);
  tr_array_unref(out);
  tr_groups_drop(&g);
  OK(tr_groups_all(0, &g, &fx_err));
  OK(tr_agg_run(&ctx, &g, &spec, 1, true, &out, &fx_err));
  assert_true(isnan(value(out, 0)));
  tr_array_unref(out);
  spec = (struct tr_agg_spec){.fn = TR_AGG_MIN, .input = i, .skipna = true};
  assert_int_equal(tr_agg_run(&ctx, &g, &spec, 1, true, &out, &fx_err), TR_UNSUPPORTED);
  tr_groups_drop(&g);
  tr_array_unref(x);
  tr_array_unref(i);
}

/* Every function on enough rows for lanes, and for ranges of groups, with 1 and 3 threads and two morsel sizes. */
static void same_bits(void **state) {
  (void)state;
  enum { ROWS = 300000 };
  double *v = malloc(ROWS * sizeof *v);
  int64_t *k = malloc(ROWS * sizeof *k);
  uint64_t seed = 5;
  const enum tr_agg fns[] = {TR_AGG_SUM, TR_AGG_MEAN,   TR_AGG_VAR,  TR_AGG_PROD,
                             TR_AGG_MIN, TR_AGG_MEDIAN, TR_AGG_SKEW, TR_AGG_CORR};
  enum { FNS = 8 };
  for (int64_t card = 1; card <= ROWS; card *= 100) {
    for (int64_t i = 0; i < ROWS; i++) {
      v[i] = fx_random(&seed) % 50 == 0 ? NAN : (double)fx_random(&seed) / 1e6 + 0.5;
      k[i] = (int64_t)(fx_random(&seed) % (uint64_t)card);
    }
    struct tr_array *x = fx_f64(v, ROWS), *key = fx_i64(k, ROWS), *first[FNS], *out[FNS];
    struct tr_agg_spec specs[FNS];
    for (int f = 0; f < FNS; f++)
      specs[f] =
          (struct tr_agg_spec){.fn = fns[f], .input = x, .input2 = key, .skipna = true, .param = fns[f] == TR_AGG_VAR};
    for (int way = 0; way < 3; way++) {
      struct tr_groups g;
      fx_ctx(&ctx, way == 0 ? 1 : 3, way == 2 ? 1000 : TR_MORSEL_ROWS, false);
      OK(tr_groups_make(&ctx, &key, 1, ROWS, false, true, &g, &fx_err));
      OK(tr_agg_run(&ctx, &g, specs, FNS, false, way ? out : first, &fx_err));
      for (int f = 0; f < FNS && way; f++) {
        assert_memory_equal(tr_array_data(first[f]), tr_array_data(out[f]), (size_t)g.n_groups * 8);
        tr_array_unref(out[f]);
      }
      tr_groups_drop(&g);
    }
    for (int f = 0; f < FNS; f++) tr_array_unref(first[f]);
    tr_array_unref(x);
    tr_array_unref(key);
  }
  free(v);
  free(k);
}

static void allocations_fail(void **state) {
  (void)state;
  struct tr_groups g = make_groups();
  const char *const t[N] = {"x", NULL, "y", "z", "x", "y", "z", NULL};
  struct tr_array *x = fx_f64(floats, N), *text = fx_text(t, N), *out[6];
  struct tr_agg_spec specs[6] = {{.fn = TR_AGG_VAR, .input = x, .param = 1, .skipna = true},
                                 {.fn = TR_AGG_MEDIAN, .input = x, .skipna = true},
                                 {.fn = TR_AGG_MAX, .input = text, .skipna = true},
                                 {.fn = TR_AGG_NUNIQUE, .input = text, .skipna = true},
                                 {.fn = TR_AGG_NTH_ROW, .param = 0},
                                 {.fn = TR_AGG_CORR, .input = x, .input2 = x, .skipna = true}};
  size_t before = tr_mem_used();
  for (int64_t k = 1;; k++) {
    tr_mem_fail_at(k);
    enum tr_status st = tr_agg_run(&ctx, &g, specs, 6, false, out, &fx_err);
    tr_mem_fail_at(0);
    for (int i = 0; i < 6; i++) tr_array_unref(out[i]);
    assert_int_equal(tr_mem_used(), before);
    if (st == TR_OK) break;
    assert_int_equal(fx_err.exc, TR_EXC_MEMORY);
  }
  tr_array_unref(x);
  tr_array_unref(text);
  tr_groups_drop(&g);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(as_pandas, setup, teardown),
                                     cmocka_unit_test_setup_teardown(whole_column, setup, teardown),
                                     cmocka_unit_test_setup_teardown(limits_and_pairs, setup, teardown),
                                     cmocka_unit_test_setup_teardown(text_and_narrow, setup, teardown),
                                     cmocka_unit_test_setup_teardown(nothing, setup, teardown),
                                     cmocka_unit_test_setup_teardown(same_bits, setup, teardown),
                                     cmocka_unit_test_setup_teardown(allocations_fail, setup, teardown)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
