/* Which row groups a predicate keeps, by their statistics. */
#include "fixture.h"

/* Three row groups of 10 rows: column 0 (int) 0..9, 10..19, 20..29; column 1 (float) the same without null counts;
 * column 2 (text) "aa".."ac", "ba".."bc" with a missing value, all missing. */
static struct tr_opt_column_stats stats[3][3];
static const int64_t rows[3] = {10, 10, 10};

static struct tr_scalar whole(int64_t v) { return (struct tr_scalar){.dtype = tr_dtype_of(TR_I64), .i = v}; }
static struct tr_scalar real(double v) { return (struct tr_scalar){.dtype = tr_dtype_of(TR_F64), .f = v}; }
static struct tr_scalar word(const char *s) {
  struct tr_scalar out = {.dtype = tr_dtype_of(TR_STR)};
  out.s.ptr = s;
  out.s.len = (int64_t)strlen(s);
  return out;
}

static int setup(void **state) {
  static const char *const low[] = {"aa", "ba"}, *const high[] = {"ac", "bc"};
  (void)state;
  for (int g = 0; g < 3; g++) {
    stats[g][0] = (struct tr_opt_column_stats){true, true, whole(10 * g), whole(10 * g + 9), 0};
    stats[g][1] = (struct tr_opt_column_stats){true, false, real(10 * g), real(10 * g + 9), 0};
    stats[g][2] = g < 2 ? (struct tr_opt_column_stats){true, true, word(low[g]), word(high[g]), g}
                        : (struct tr_opt_column_stats){.has_null_count = true, .null_count = 10};
  }
  return 0;
}

static struct tr_expr *lit(struct tr_scalar s) {
  struct tr_expr *e;
  assert_int_equal(tr_expr_lit(&s, true, &e, NULL), TR_OK);
  return own_expr(e);
}

/* Bits of the row groups kept. */
static int kept(const struct tr_expr *e) {
  bool keep[3] = {true, true, true};
  tr_opt_prune_row_groups(e, stats[0], 3, rows, 3, keep);
  return keep[0] | keep[1] << 1 | keep[2] << 2;
}

static struct tr_expr *with_params(enum tr_expr_op o, struct tr_expr *a, struct tr_expr_params p) {
  struct tr_expr *e;
  assert_int_equal(tr_expr_make(o, &a, 1, &p, &e, NULL), TR_OK);
  return own_expr(e);
}

static void comparisons(void **state) {
  (void)state;
  struct tr_rel *t = source(TR_REL_PARQUET, "t", 4);
  struct tr_expr *c = col(t, 0), *f = col(t, 1);
  assert_int_equal(kept(op(TR_OP_GT, c, lit(whole(19)))), 4);
  assert_int_equal(kept(op(TR_OP_GE, c, lit(whole(19)))), 6);
  assert_int_equal(kept(op(TR_OP_LT, c, lit(whole(10)))), 1);
  assert_int_equal(kept(op(TR_OP_LE, c, lit(whole(10)))), 3);
  assert_int_equal(kept(op(TR_OP_EQ, c, lit(whole(15)))), 2);
  assert_int_equal(kept(op(TR_OP_EQ, c, lit(whole(99)))), 0);
  assert_int_equal(kept(op(TR_OP_NE, c, lit(whole(15)))), 7);
  assert_int_equal(kept(op(TR_OP_LT, lit(whole(19)), c)), 4); /* mirrored */
  assert_int_equal(kept(op(TR_OP_GT, f, lit(real(9.5)))), 6);
  assert_int_equal(kept(op(TR_OP_GT, c, lit(real(18.5)))), 6);
  assert_int_equal(kept(op(TR_OP_INVERT, op(TR_OP_LE, c, lit(whole(19))), NULL)), 4);
  assert_int_equal(kept(op(TR_OP_INVERT, op(TR_OP_LE, f, lit(real(19))), NULL)), 7); /* NaN is not <= 19 */
}

static void combinations(void **state) {
  (void)state;
  struct tr_rel *t = source(TR_REL_PARQUET, "t", 4);
  struct tr_expr *low = op(TR_OP_LT, col(t, 0), lit(whole(5))), *high = op(TR_OP_GT, col(t, 0), lit(whole(25)));
  assert_int_equal(kept(op(TR_OP_OR, low, high)), 5);
  assert_int_equal(kept(op(TR_OP_AND, low, high)), 0);
  assert_int_equal(kept(op(TR_OP_AND, low, op(TR_OP_GT, col(t, 3), lit(whole(0))))), 1); /* column 3: no statistics */
  assert_int_equal(kept(op(TR_OP_INVERT, op(TR_OP_OR, low, high), NULL)), 7);
}

static void texts_lists_and_missing(void **state) {
  (void)state;
  struct tr_rel *t = source(TR_REL_PARQUET, "t", 4);
  struct tr_expr *s = col(t, 2);
  struct tr_scalar list[2] = {whole(3), whole(21)}, words[1] = {word("bb")};
  struct tr_expr_params in = {.list = list, .n_list = 2}, in_words = {.list = words, .n_list = 1};
  assert_int_equal(kept(with_params(TR_OP_ISIN, col(t, 0), in)), 5);
  assert_int_equal(kept(with_params(TR_OP_ISIN, s, in_words)), 6); /* no bounds where all are missing: kept */
  assert_int_equal(kept(op(TR_OP_EQ, s, lit(word("ab")))) & 3, 1);
  assert_int_equal(kept(with_params(TR_OP_STR_STARTSWITH, s, (struct tr_expr_params){.text = "b"})) & 3, 2);
  assert_int_equal(kept(with_params(TR_OP_STR_STARTSWITH, s, (struct tr_expr_params){.text = "abc"})) & 3, 1);
  assert_int_equal(kept(op(TR_OP_ISNA, s, NULL)), 6);
  assert_int_equal(kept(op(TR_OP_NOTNA, s, NULL)), 3);
  assert_int_equal(kept(op(TR_OP_ISNA, col(t, 1), NULL)), 7); /* NaN is no null to Parquet */
  assert_int_equal(kept(op(TR_OP_NE, s, lit(word("zz")))) & 3, 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(comparisons, plans_drop),
                                     cmocka_unit_test_teardown(combinations, plans_drop),
                                     cmocka_unit_test_teardown(texts_lists_and_missing, plans_drop)};
  return cmocka_run_group_tests(tests, setup, NULL);
}
