/* dtype names, widths and numpy's common types (expected values from np.result_type). */
#include "meta/type/type.h"
#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

static void names_round_trip(void **state) {
  (void)state;
  for (int k = 0; k < TR_N_KINDS; k++) {
    for (int u = 0; u < (tr_kind_is_time(k) ? 4 : 1); u++) {
      struct tr_dtype t = tr_dtype_unit((enum tr_kind)k, (enum tr_unit)u), back;
      assert_true(tr_dtype_parse(tr_dtype_name(t), &back));
      assert_true(tr_dtype_eq(t, back));
    }
  }
  struct tr_dtype t;
  assert_false(tr_dtype_parse("object", &t));
  assert_false(tr_dtype_parse("", &t));
}

static void common_types(void **state) {
  (void)state;
  static const struct {
    const char *a, *b, *common;
  } cases[] = {
      {"bool", "bool", "bool"},         {"bool", "int8", "int8"},          {"int8", "uint8", "int16"},
      {"int8", "int64", "int64"},       {"uint32", "int32", "int64"},      {"uint64", "int8", "float64"},
      {"int16", "float32", "float32"},  {"int32", "float32", "float64"},   {"uint16", "float32", "float32"},
      {"uint64", "float32", "float64"}, {"float32", "float64", "float64"}, {"uint16", "int64", "int64"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tr_dtype a, b, c;
    assert_true(tr_dtype_parse(cases[i].a, &a) && tr_dtype_parse(cases[i].b, &b) &&
                tr_dtype_parse(cases[i].common, &c));
    assert_int_equal(tr_kind_common((enum tr_kind)a.kind, (enum tr_kind)b.kind), c.kind);
    assert_int_equal(tr_kind_common((enum tr_kind)b.kind, (enum tr_kind)a.kind), c.kind);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(names_round_trip), cmocka_unit_test(common_types)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
