/* tr_agg_dtype against the dtypes that pandas 3.1.1 gave for each function on four values of each dtype, within groups
 * (of alternating rows) and of a whole Series. "-": pandas raises; "~": pandas answers, the engine leaves it to pandas.
 */
#include "fixture.h"

static const char *const inputs[] = {
    "bool",   "int8",    "int16",   "int32", "int64",          "uint8",           "uint16",   "uint32",
    "uint64", "float32", "float64", "str",   "datetime64[us]", "timedelta64[us]", "category", "ordered"};
enum { N_INPUTS = sizeof inputs / sizeof *inputs };

static const struct {
  enum tr_agg fn;
  bool whole;
  const char *dtypes; /* in the order of inputs */
} table[] = {
    {TR_AGG_COUNT, false,
     "int64 int64 int64 int64 int64 int64 int64 int64 int64 int64 int64 "
     "int64 int64 int64 int64 int64"},
    {TR_AGG_SUM, false,
     "int64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 "
     "~ - timedelta64[us] - -"},
    {TR_AGG_PROD, false, "int64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 - - - - -"},
    {TR_AGG_MEAN, false,
     "float64 float64 float64 float64 float64 float64 float64 float64 float64 float32 float64 "
     "- datetime64[us] timedelta64[us] - -"},
    {TR_AGG_MIN, false,
     "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 "
     "str datetime64[us] timedelta64[us] - ordered"},
    {TR_AGG_MAX, false,
     "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 "
     "str datetime64[us] timedelta64[us] - ordered"},
    {TR_AGG_STD, false,
     "float64 float64 float64 float64 float64 float64 float64 float64 float64 float32 float64 "
     "- timedelta64[us] timedelta64[us] - -"},
    {TR_AGG_VAR, false,
     "float64 float64 float64 float64 float64 float64 float64 float64 float64 float32 float64 "
     "- - - - -"},
    {TR_AGG_SEM, false,
     "float64 float64 float64 float64 float64 float64 float64 float64 float64 float32 float64 "
     "- timedelta64[us] timedelta64[us] - -"},
    {TR_AGG_SKEW, false,
     "float64 float64 float64 float64 float64 float64 float64 float64 float64 float32 float64 "
     "- - - - -"},
    {TR_AGG_MEDIAN, false,
     "float64 float64 float64 float64 float64 float64 float64 float64 float64 float32 float64 "
     "- datetime64[us] timedelta64[us] - -"},
    {TR_AGG_QUANTILE, false,
     "- float64 float64 float64 float64 float64 float64 float64 float64 float64 float64 "
     "- datetime64[us] timedelta64[us] - -"},
    {TR_AGG_FIRST, false,
     "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 "
     "str datetime64[us] timedelta64[us] category ordered"},
    {TR_AGG_LAST, false,
     "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 "
     "str datetime64[us] timedelta64[us] category ordered"},
    {TR_AGG_NUNIQUE, false,
     "int64 int64 int64 int64 int64 int64 int64 int64 int64 int64 int64 "
     "int64 int64 int64 int64 int64"},
    {TR_AGG_ANY, false, "bool bool bool bool bool bool bool bool bool bool bool bool - bool ~ ~"},
    {TR_AGG_ALL, false, "bool bool bool bool bool bool bool bool bool bool bool bool - bool ~ ~"},
    {TR_AGG_IDXMIN_ROW, false,
     "uint32 uint32 uint32 uint32 uint32 uint32 uint32 uint32 uint32 uint32 uint32 "
     "uint32 uint32 uint32 - uint32"},
    {TR_AGG_IDXMAX_ROW, false,
     "uint32 uint32 uint32 uint32 uint32 uint32 uint32 uint32 uint32 uint32 uint32 "
     "uint32 uint32 uint32 - uint32"},
    {TR_AGG_COUNT, true,
     "int64 int64 int64 int64 int64 int64 int64 int64 int64 int64 int64 "
     "int64 int64 int64 int64 int64"},
    {TR_AGG_SUM, true,
     "int64 int64 int64 int64 int64 uint64 uint64 uint64 uint64 float32 float64 "
     "~ - timedelta64[us] - -"},
    {TR_AGG_PROD, true, "int64 int64 int64 int64 int64 uint64 uint64 uint64 uint64 float32 float64 - - - - -"},
    {TR_AGG_MEAN, true,
     "float64 float64 float64 float64 float64 float64 float64 float64 float64 float32 float64 "
     "- datetime64[us] timedelta64[us] - -"},
    {TR_AGG_MIN, true,
     "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 "
     "str datetime64[us] timedelta64[us] - ordered"},
    {TR_AGG_MAX, true,
     "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 "
     "str datetime64[us] timedelta64[us] - ordered"},
    {TR_AGG_STD, true,
     "float64 float64 float64 float64 float64 float64 float64 float64 float64 float32 float64 "
     "- timedelta64[us] timedelta64[us] - -"},
    {TR_AGG_VAR, true,
     "float64 float64 float64 float64 float64 float64 float64 float64 float64 float32 float64 "
     "- - - - -"},
    {TR_AGG_SEM, true,
     "float64 float64 float64 float64 float64 float64 float64 float64 float64 float32 float64 "
     "- - - - -"},
    {TR_AGG_SKEW, true,
     "float64 float64 float64 float64 float64 float64 float64 float64 float64 float32 float64 "
     "- - - - -"},
    {TR_AGG_MEDIAN, true,
     "float64 float64 float64 float64 float64 float64 float64 float64 float64 float32 float64 "
     "- datetime64[us] timedelta64[us] - -"},
    {TR_AGG_QUANTILE, true,
     "- float64 float64 float64 float64 float64 float64 float64 float64 float64 float64 "
     "- datetime64[us] timedelta64[us] ~ ~"},
    {TR_AGG_NUNIQUE, true,
     "int64 int64 int64 int64 int64 int64 int64 int64 int64 int64 int64 "
     "int64 int64 int64 int64 int64"},
    {TR_AGG_ANY, true, "bool bool bool bool bool bool bool bool bool bool bool bool - bool - -"},
    {TR_AGG_ALL, true, "bool bool bool bool bool bool bool bool bool bool bool bool - bool - -"},
    {TR_AGG_IDXMIN_ROW, true,
     "uint32 uint32 uint32 uint32 uint32 uint32 uint32 uint32 uint32 uint32 uint32 "
     "uint32 uint32 uint32 ~ uint32"},
    {TR_AGG_IDXMAX_ROW, true,
     "uint32 uint32 uint32 uint32 uint32 uint32 uint32 uint32 uint32 uint32 uint32 "
     "uint32 uint32 uint32 ~ uint32"},
};

static struct tr_dtype dtype_of(const char *name) {
  struct tr_dtype t;
  bool ordered = strcmp(name, "ordered") == 0;
  assert_true(tr_dtype_parse(ordered ? "category" : name, &t));
  t.ordered = ordered;
  return t;
}

static void as_pandas(void **state) {
  (void)state;
  for (size_t r = 0; r < sizeof table / sizeof *table; r++) {
    char row[400], *save = NULL;
    strcpy(row, table[r].dtypes);
    char *expected = strtok_r(row, " ", &save);
    for (int i = 0; i < N_INPUTS; i++, expected = strtok_r(NULL, " ", &save)) {
      struct tr_dtype got;
      enum tr_status st = tr_agg_dtype(table[r].fn, dtype_of(inputs[i]), table[r].whole, &got, &fx_err);
      if (*expected == '-' || *expected == '~') {
        assert_int_equal(st, TR_UNSUPPORTED);
      } else {
        if (st != TR_OK || !tr_dtype_eq(got, dtype_of(expected)))
          fail_msg("row %zu, %s: not %s", r, inputs[i], expected);
      }
    }
    assert_null(expected);
  }
}

static void dependence_on_values(void **state) {
  (void)state;
  assert_true(tr_agg_dtype_depends(TR_AGG_SUM, tr_dtype_of(TR_I8), 0, false));
  assert_false(tr_agg_dtype_depends(TR_AGG_SUM, tr_dtype_of(TR_I64), 0, false));
  assert_true(tr_agg_dtype_depends(TR_AGG_SUM, tr_dtype_of(TR_I64), 1, false));
  assert_false(tr_agg_dtype_depends(TR_AGG_SUM, tr_dtype_of(TR_I8), 0, true));
  assert_true(tr_agg_dtype_depends(TR_AGG_MEAN, tr_dtype_of(TR_F32), 0, false));
  assert_false(tr_agg_dtype_depends(TR_AGG_MIN, tr_dtype_of(TR_I64), 1, false));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(as_pandas), cmocka_unit_test(dependence_on_values)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
