/* Expressions as metadata: inferred dtypes as pandas has them, refusals, equality, hashing, rewriting, printing. */
#include "base/mem.h"
#include "meta/plan/expr.h"
#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

static struct tr_error err;

static struct tr_expr *col(int c, const char *dtype, bool maybe_null) {
  struct tr_dtype t;
  struct tr_expr *e;
  assert_true(tr_dtype_parse(dtype, &t));
  assert_int_equal(tr_expr_col(c, t, maybe_null, &e, &err), TR_OK);
  return e;
}

static struct tr_expr *integer(int64_t v) {
  struct tr_expr *e;
  assert_int_equal(tr_expr_lit(&(struct tr_scalar){.dtype = tr_dtype_of(TR_I64), .i = v}, true, &e, &err), TR_OK);
  return e;
}

static struct tr_expr *text(const char *s) {
  struct tr_expr *e;
  struct tr_scalar v = {.dtype = tr_dtype_of(TR_STR)};
  v.s.ptr = s;
  v.s.len = (int64_t)strlen(s);
  assert_int_equal(tr_expr_lit(&v, false, &e, &err), TR_OK);
  return e;
}

/* Takes the arguments. */
static enum tr_status make(enum tr_expr_op op, struct tr_expr *a, struct tr_expr *b, struct tr_expr **out) {
  struct tr_expr *args[2] = {a, b};
  enum tr_status st = tr_expr_make(op, args, b ? 2 : 1, NULL, out, &err);
  tr_expr_unref(a);
  tr_expr_unref(b);
  return st;
}

static void infers(enum tr_expr_op op, struct tr_expr *a, struct tr_expr *b, const char *dtype, bool depends) {
  struct tr_expr *e;
  assert_int_equal(make(op, a, b, &e), TR_OK);
  assert_string_equal(tr_dtype_name(e->dtype), dtype);
  assert_int_equal(e->dtype_depends_on_data, depends);
  tr_expr_unref(e);
}

static void refuses(enum tr_expr_op op, struct tr_expr *a, struct tr_expr *b) {
  struct tr_expr *e;
  assert_int_equal(make(op, a, b, &e), TR_UNSUPPORTED);
  assert_null(e);
}

static void inference(void **state) {
  (void)state;
  infers(TR_OP_ADD, col(0, "int8", false), integer(1), "int8", false);
  refuses(TR_OP_ADD, col(0, "int8", false), integer(300));
  infers(TR_OP_TRUEDIV, col(0, "int8", false), integer(300), "float64", false);
  infers(TR_OP_LT, col(0, "int8", false), integer(300), "bool", false);
  infers(TR_OP_ADD, col(0, "bool", false), integer(1), "int64", false);
  infers(TR_OP_ADD, col(0, "uint64", false), col(1, "int8", false), "float64", false);
  refuses(TR_OP_SUB, col(0, "bool", false), col(1, "bool", false));
  infers(TR_OP_FLOORDIV, col(0, "int64", false), integer(10), "int64", false);
  infers(TR_OP_FLOORDIV, col(0, "int64", false), col(1, "int64", false), "int64", true);
  refuses(TR_OP_FLOORDIV, col(0, "int64", false), integer(0));
  infers(TR_OP_SUB, col(0, "datetime64[s]", true), col(1, "datetime64[us]", true), "timedelta64[us]", false);
  refuses(TR_OP_ADD, col(0, "datetime64[s]", true), col(1, "datetime64[us]", true));
  infers(TR_OP_STR_LEN, col(0, "str", true), NULL, "int64", true);
  infers(TR_OP_STR_LEN, col(0, "str", false), NULL, "int64", false);
  infers(TR_OP_DT_YEAR, col(0, "datetime64[us]", false), NULL, "int32", false);
  infers(TR_OP_ADD, col(0, "str", true), text("x"), "str", false);
  refuses(TR_OP_ADD, col(0, "str", true), integer(1));
  refuses(TR_OP_LT, col(0, "category", true), text("x"));
}

/* A value whose dtype is open may be compared, but not added to. */
static void open_dtypes(void **state) {
  (void)state;
  struct tr_expr *len;
  assert_int_equal(make(TR_OP_STR_LEN, col(0, "str", true), NULL, &len), TR_OK);
  infers(TR_OP_GT, tr_expr_ref(len), integer(3), "bool", false);
  infers(TR_OP_TRUEDIV, tr_expr_ref(len), integer(3), "float64", false);
  refuses(TR_OP_ADD, len, integer(3));
}

static void equality_and_hash(void **state) {
  (void)state;
  struct tr_expr *a, *b, *c;
  assert_int_equal(make(TR_OP_ADD, col(0, "int64", false), integer(1), &a), TR_OK);
  assert_int_equal(make(TR_OP_ADD, col(0, "int64", false), integer(1), &b), TR_OK);
  assert_int_equal(make(TR_OP_ADD, col(0, "int64", false), integer(2), &c), TR_OK);
  assert_true(tr_expr_eq(a, b));
  assert_int_equal(tr_expr_hash(a), tr_expr_hash(b));
  assert_false(tr_expr_eq(a, c));
  tr_expr_unref(a);
  tr_expr_unref(b);
  tr_expr_unref(c);
}

/* A weak literal that takes a column's place is weak no longer. */
static void substitution(void **state) {
  (void)state;
  struct tr_expr *sum, *lit = integer(5), *out;
  assert_int_equal(make(TR_OP_ADD, col(0, "int64", false), col(1, "int8", false), &sum), TR_OK);
  struct tr_expr *one = col(7, "int8", false), *subst[2] = {lit, one};
  bool used[8] = {0};
  char buf[64];
  assert_int_equal(tr_expr_substitute(sum, subst, &out, &err), TR_OK);
  assert_int_equal(out->dtype.kind, TR_I64);
  tr_expr_columns(out, used);
  assert_true(used[7] && !used[0]);
  assert_int_equal(tr_expr_print(out, NULL, buf, sizeof buf), 6);
  assert_string_equal(buf, "5 + c7");
  assert_int_equal(tr_expr_print(out, NULL, buf, 3), 6);
  tr_expr_unref(out);
  tr_expr_unref(sum);
  tr_expr_unref(lit);
  tr_expr_unref(one);
}

static void op_names(void **state) {
  (void)state;
  for (int i = 0; i < TR_N_OPS; i++) assert_int_equal(tr_expr_op_parse(tr_expr_op_name((enum tr_expr_op)i)), i);
  assert_int_equal(tr_expr_op_parse("NO_SUCH"), -1);
}

/* Every allocation that fails leaves nothing behind. */
static void allocation_failures(void **state) {
  (void)state;
  struct tr_expr *a = col(0, "str", true), *out;
  struct tr_scalar list[2] = {{.dtype = tr_dtype_of(TR_STR)}, {.dtype = tr_dtype_of(TR_STR)}};
  for (int i = 0; i < 2; i++) list[i].s.ptr = "some text", list[i].s.len = 9;
  struct tr_expr_params p = {.list = list, .n_list = 2, .text = "a", .text2 = "b"};
  size_t before = tr_mem_used();
  enum tr_status st = TR_ERROR;
  for (int64_t n = 1; st != TR_OK; n++) {
    tr_mem_fail_at(n);
    st = tr_expr_make(TR_OP_ISIN, &a, 1, &p, &out, &err);
    tr_mem_fail_at(0);
    assert_true(n < 20);
    if (st != TR_OK) assert_int_equal(tr_mem_used(), before);
  }
  tr_expr_unref(out);
  assert_int_equal(tr_mem_used(), before);
  tr_expr_unref(a);
}

static void outcome(enum tr_expr_op op, struct tr_expr *a, struct tr_expr *b, enum tr_outcome expected) {
  struct tr_expr *e, *above;
  assert_int_equal(make(op, a, b, &e), TR_OK);
  assert_int_equal(tr_expr_outcome(e), expected);
  assert_int_equal(e->may_raise, expected == TR_OUTCOME_RAISES);
  assert_int_equal(e->may_refuse, expected == TR_OUTCOME_REFUSES);
  assert_int_equal(make(TR_OP_ISNA, tr_expr_ref(e), NULL, &above), TR_OK);
  assert_int_equal(above->may_raise, e->may_raise);
  assert_int_equal(above->may_refuse, e->may_refuse);
  tr_expr_unref(above);
  tr_expr_unref(e);
}

static void outcomes(void **state) {
  (void)state;
  outcome(TR_OP_ADD, col(0, "int64", false), integer(1), TR_OUTCOME_SURE);
  outcome(TR_OP_POW, col(0, "int64", false), integer(2), TR_OUTCOME_SURE);
  outcome(TR_OP_POW, col(0, "int64", false), col(1, "int64", false), TR_OUTCOME_RAISES);
  outcome(TR_OP_ADD, col(0, "datetime64[ns]", true), col(1, "timedelta64[ns]", true), TR_OUTCOME_RAISES);
  outcome(TR_OP_MUL, col(0, "timedelta64[s]", true), integer(3), TR_OUTCOME_RAISES);
  outcome(TR_OP_TRUEDIV, col(0, "timedelta64[s]", true), col(1, "timedelta64[s]", true), TR_OUTCOME_SURE);
  outcome(TR_OP_TRUEDIV, col(0, "timedelta64[s]", true), col(1, "timedelta64[ns]", true), TR_OUTCOME_RAISES);
  outcome(TR_OP_DT_YEAR, col(0, "datetime64[ns]", true), NULL, TR_OUTCOME_SURE);
  outcome(TR_OP_DT_YEAR, col(0, "datetime64[ms]", true), NULL, TR_OUTCOME_REFUSES);
  outcome(TR_OP_DT_YEAR, col(0, "datetime64[s]", true), NULL, TR_OUTCOME_RAISES);
  outcome(TR_OP_DT_HOUR, col(0, "datetime64[s]", true), NULL, TR_OUTCOME_SURE);
  outcome(TR_OP_STR_UPPER, col(0, "str", true), NULL, TR_OUTCOME_REFUSES);
  outcome(TR_OP_STR_STRIP, col(0, "str", true), NULL, TR_OUTCOME_SURE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(inference),    cmocka_unit_test(open_dtypes), cmocka_unit_test(equality_and_hash),
      cmocka_unit_test(substitution), cmocka_unit_test(op_names),    cmocka_unit_test(allocation_failures),
      cmocka_unit_test(outcomes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
