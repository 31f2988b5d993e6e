/* Each pass on small plans, by the text of the plan it gives. */
#include "fixture.h"

enum { INNER, LEFT, RIGHT, OUTER };
enum { ALL = ~0u };

#define T(name) cmocka_unit_test_teardown(name, plans_drop)

static void filters_fuse(void **state) {
  (void)state;
  struct tr_rel *t = source(TR_REL_PARQUET, "t", 4);
  struct tr_rel *a = filter(t, op(TR_OP_GT, col(t, 0), number(1)));
  assert_plan(filter(a, op(TR_OP_LT, col(a, 1), number(9))), ALL,
              "FILTER #0 (c0 > 1) & (c1 < 9)  [4 columns]\n  PARQUET #1 t  [4 columns, 100 rows]\n");
}

static void filter_passes_project(void **state) {
  (void)state;
  struct tr_rel *t = source(TR_REL_PARQUET, "t", 4);
  struct tr_rel *p = project(t, op(TR_OP_ADD, col(t, 0), number(1)), col(t, 1), NULL);
  assert_plan(filter(p, op(TR_OP_GT, col(p, 0), number(5))), ALL,
              "PROJECT #0 c0 + 1, c1  [2 columns]\n"
              "  FILTER #1 (c0 + 1) > 5  [4 columns]\n"
              "    PARQUET #2 t  [4 columns, 100 rows]\n");
}

static void filter_stays_above_row_numbers_that_are_read(void **state) {
  (void)state;
  struct tr_rel *t = source(TR_REL_PARQUET, "t", 4);
  struct tr_rel *p = project(t, col(t, 0), op(TR_OP_ROW_NUMBER, NULL, NULL), NULL);
  struct tr_rel *f = filter(p, op(TR_OP_GT, col(p, 0), number(5)));
  assert_unchanged(f, 3);
  assert_plan(f, 1,
              "PROJECT #0 c0, row_number()  [2 columns]\n"
              "  FILTER #1 c0 > 5  [4 columns]\n"
              "    PARQUET #2 t  [4 columns, 100 rows]\n");
}

static void filter_enters_both_sides_of_an_inner_join(void **state) {
  (void)state;
  struct tr_rel *a = source(TR_REL_PARQUET, "a", 4), *b = source(TR_REL_PARQUET, "b", 2);
  struct tr_rel *j = join(a, b, INNER, 0, 0);
  struct tr_expr *both = op(TR_OP_AND, op(TR_OP_GT, col(j, 1), number(1)), op(TR_OP_LT, col(j, 5), number(7)));
  assert_plan(filter(j, both), ALL,
              "JOIN #0 inner on c0 = c0  [7 columns]\n"
              "  FILTER #1 c1 > 1  [4 columns]\n    PARQUET #2 a  [4 columns, 100 rows]\n"
              "  FILTER #3 c1 < 7  [2 columns]\n    PARQUET #4 b  [2 columns, 100 rows]\n");
}

static void filter_on_a_key_enters_the_other_side_too(void **state) {
  (void)state;
  struct tr_rel *a = source(TR_REL_PARQUET, "a", 4), *b = source(TR_REL_PARQUET, "b", 2);
  struct tr_rel *j = join(a, b, LEFT, 0, 0);
  assert_plan(filter(j, op(TR_OP_EQ, col(j, 0), number(3))), 1,
              "JOIN #0 left on c0 = c0  [7 columns]\n"
              "  FILTER #1 c0 == 3  [4 columns]\n    PARQUET #2 a  [4 columns, 100 rows]\n"
              "  FILTER #3 c0 == 3  [2 columns]\n    PARQUET #4 b  [2 columns, 100 rows]\n");
}

static void filter_stays_above_what_a_join_may_lack(void **state) {
  (void)state;
  struct tr_rel *a = source(TR_REL_PARQUET, "a", 4), *b = source(TR_REL_PARQUET, "b", 4);
  struct tr_rel *j = join(a, b, LEFT, 0, 0);
  assert_unchanged(filter(j, op(TR_OP_GT, col(j, 5), number(1))), 1 << 1); /* reads the right side */
  assert_unchanged(filter(j, op(TR_OP_GT, col(j, 1), number(1))),
                   1 << 7); /* an int of the right side is read: its dtype */
  struct tr_rel *o = join(a, b, OUTER, 0, 0);
  assert_unchanged(filter(o, op(TR_OP_GT, col(o, 1), number(1))), 1 << 1);
}

static void filter_on_keys_passes_aggregate(void **state) {
  (void)state;
  struct tr_rel *t = source(TR_REL_PARQUET, "t", 4);
  struct tr_rel *g = aggregate(t, 0, 0, 3);
  struct tr_expr *both = op(TR_OP_AND, op(TR_OP_GT, col(g, 0), number(1)), op(TR_OP_GT, col(g, 1), number(2)));
  assert_plan(filter(g, both), ALL,
              "FILTER #0 c1 > 2  [2 columns]\n"
              "  AGGREGATE #1 by c0 sum(c3)  [2 columns]\n"
              "    FILTER #2 c0 > 1  [4 columns]\n"
              "      PARQUET #3 t  [4 columns, 100 rows]\n");
  struct tr_rel *rows = aggregate(t, 0, 2, 3); /* sees other groups: row numbers */
  assert_unchanged(filter(rows, op(TR_OP_GT, col(rows, 0), number(1))), 3);
}

static void filter_on_float_keys_passes_only_comparisons(void **state) {
  (void)state;
  struct tr_rel *t = source(TR_REL_PARQUET, "t", 4);
  struct tr_rel *g = aggregate(t, 1, 0, 3);
  struct tr_expr *sign = op(TR_OP_GT, op(TR_OP_TRUEDIV, number(1), col(g, 0)), number(0)); /* tells 0.0 from -0.0 */
  assert_unchanged(filter(g, sign), 3);
  assert_plan(filter(g, op(TR_OP_GT, col(g, 0), number(0))), 3,
              "AGGREGATE #0 by c1 sum(c3)  [2 columns]\n"
              "  FILTER #1 c1 > 0  [4 columns]\n    PARQUET #2 t  [4 columns, 100 rows]\n");
}

static void filter_passes_sort_and_concat(void **state) {
  (void)state;
  struct tr_rel *a = source(TR_REL_PARQUET, "a", 2), *b = source(TR_REL_PARQUET, "b", 2);
  struct tr_rel *s = sort(concat(a, b), 1);
  assert_plan(filter(s, op(TR_OP_GT, col(s, 0), number(1))), ALL,
              "SORT #0 by c1  [2 columns]\n"
              "  CONCAT #1  [2 columns]\n"
              "    FILTER #2 c0 > 1  [2 columns]\n      PARQUET #3 a  [2 columns, 100 rows]\n"
              "    FILTER #4 c0 > 1  [2 columns]\n      PARQUET #5 b  [2 columns, 100 rows]\n");
  struct tr_rel *top = slice(sort(a, 1), 0, 5);
  assert_plan(filter(top, op(TR_OP_GT, col(top, 0), number(1))), ALL,
              "FILTER #0 c0 > 1  [2 columns]\n"
              "  SORT #1 top 5 by c1  [2 columns, 5 rows]\n    PARQUET #2 a  [2 columns, 100 rows]\n");
}

static void filter_never_doubles_a_shared_node(void **state) {
  (void)state;
  struct tr_rel *a = source(TR_REL_PARQUET, "a", 2), *b = source(TR_REL_PARQUET, "b", 2);
  struct tr_rel *j = join(a, b, INNER, 0, 0);
  struct tr_rel *f = filter(j, op(TR_OP_GT, col(j, 1), number(1)));
  assert_unchanged(concat(f, j), ALL);
}

static void nothing_is_rewritten_past_a_result_at_hand(void **state) {
  (void)state;
  struct tr_rel *a = source(TR_REL_PARQUET, "a", 2), *b = source(TR_REL_PARQUET, "b", 2);
  struct tr_rel *j = join(a, b, INNER, 0, 0);
  at_hand_rel = j;
  assert_unchanged(filter(j, op(TR_OP_GT, col(j, 1), number(1))), ALL);
}

static void head_of_sort_is_top_n(void **state) {
  (void)state;
  struct tr_rel *t = source(TR_REL_PARQUET, "t", 2);
  struct tr_rel *s = sort(t, 0), *p = project(s, op(TR_OP_ADD, col(s, 0), number(1)), NULL, NULL);
  assert_plan(slice(p, 0, 3), ALL,
              "PROJECT #0 c0 + 1  [1 columns, 3 rows]\n"
              "  SORT #1 top 3 by c0  [2 columns, 3 rows]\n    PARQUET #2 t  [2 columns, 100 rows]\n");
  assert_plan(slice(s, 2, 5), ALL,
              "SLICE #0 2:5:1  [2 columns, 3 rows]\n"
              "  SORT #1 top 5 by c0  [2 columns, 5 rows]\n    PARQUET #2 t  [2 columns, 100 rows]\n");
  assert_unchanged(slice(s, -3, INT64_MAX), ALL);
}

static void slice_moves_row_numbers(void **state) {
  (void)state;
  struct tr_rel *t = source(TR_REL_PARQUET, "t", 2);
  struct tr_expr_params p = {.params = {10, 2}};
  struct tr_expr *rows;
  assert_int_equal(tr_expr_make(TR_OP_ROW_NUMBER, NULL, 0, &p, &rows, NULL), TR_OK);
  assert_plan(slice(project(t, own_expr(rows), NULL, NULL), -3, INT64_MAX), ALL,
              "PROJECT #0 row_number(, 204, 2)  [1 columns, 3 rows]\n"
              "  SLICE #1 -3::1  [2 columns, 3 rows]\n    PARQUET #2 t  [2 columns, 100 rows]\n");
}

static void sort_goes_when_nobody_sees_it(void **state) {
  (void)state;
  struct tr_rel *t = source(TR_REL_PARQUET, "t", 4), *s = sort(t, 1);
  struct tr_rel *f = filter(s, op(TR_OP_GT, col(s, 3), number(1)));
  assert_plan(aggregate(f, 0, 0, 3), ALL,
              "AGGREGATE #0 by c0 sum(c3)  [2 columns]\n"
              "  FILTER #1 c3 > 1  [4 columns]\n    PARQUET #2 t  [4 columns, 100 rows]\n");
  assert_unchanged(aggregate(s, 0, 1, 3), ALL); /* first: sees the order */
  assert_unchanged(aggregate(s, 1, 0, 3), ALL); /* float keys: which zero is shown */
  assert_unchanged(sort(s, 0), ALL);            /* ties keep the lower order */
}

static void equal_subplans_become_one(void **state) {
  (void)state;
  struct tr_rel *a = source(TR_REL_PARQUET, "a", 2), *b = source(TR_REL_PARQUET, "b", 2);
  struct tr_rel *one = join(a, b, INNER, 0, 0), *two = join(a, b, INNER, 0, 0), *other = join(a, b, LEFT, 0, 0);
  assert_plan(concat(one, two), ALL,
              "CONCAT #0  [5 columns]\n  JOIN #1 inner on c0 = c0  [5 columns]\n"
              "    PARQUET #2 a  [2 columns, 100 rows]\n    PARQUET #3 b  [2 columns, 100 rows]\n"
              "  JOIN (node 1 again)\n");
  assert_unchanged(concat(one, other), ALL);
}

static void projects_fuse(void **state) {
  (void)state;
  struct tr_rel *t = source(TR_REL_PARQUET, "t", 4);
  struct tr_rel *p = project(t, op(TR_OP_ADD, col(t, 0), number(1)), col(t, 1), col(t, 2));
  assert_plan(project(p, op(TR_OP_MUL, col(p, 0), col(p, 0)), col(p, 2), NULL), ALL,
              "PROJECT #0 (c0 + 1) * (c0 + 1), c2  [2 columns, 100 rows]\n  PARQUET #1 t  [4 columns, 100 rows]\n");
  struct tr_rel *numbered = project(t, op(TR_OP_ROW_NUMBER, NULL, NULL), NULL, NULL);
  assert_unchanged(project(numbered, op(TR_OP_ADD, col(numbered, 0), number(1)), NULL, NULL), ALL);
}

static void identity_goes_but_not_at_the_root(void **state) {
  (void)state;
  struct tr_rel *t = source(TR_REL_PARQUET, "t", 2);
  struct tr_rel *p = project(t, col(t, 0), col(t, 1), NULL);
  assert_unchanged(p, ALL);
  assert_plan(sort(p, 0), ALL, "SORT #0 by c0  [2 columns, 100 rows]\n  PARQUET #1 t  [2 columns, 100 rows]\n");
}

/* A held node whose result still occurs is followed; one that a filter has moved past is not. */
static void twins_follow_results(void **state) {
  (void)state;
  struct tr_rel *t = source(TR_REL_PARQUET, "t", 2), *s = sort(t, 0),
                *inner = filter(s, op(TR_OP_GT, col(s, 0), number(1)));
  struct tr_rel *g = aggregate(inner, 0, 1, 1);
  struct tr_opt_result got;
  atomic_fetch_add(&s->handles, 1);
  atomic_fetch_add(&inner->handles, 1);
  assert_int_equal(tr_opt_run(g, NULL, &hooks, &got, NULL), TR_OK);
  bool saw_filter = false;
  for (int i = 0; i < got.n_twins; i++) {
    if (got.twins[i].original == s)
      assert_ptr_equal(got.twins[i].now, s); /* gone from the plan: nobody stands for it */
    if (got.twins[i].original != inner) continue;
    saw_filter = true;
    assert_int_equal(got.twins[i].now->kind, TR_REL_SORT); /* the sort of the filtered rows */
  }
  assert_true(saw_filter);
  tr_opt_result_drop(&got);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      T(filters_fuse),
      T(filter_passes_project),
      T(filter_stays_above_row_numbers_that_are_read),
      T(filter_enters_both_sides_of_an_inner_join),
      T(filter_on_a_key_enters_the_other_side_too),
      T(filter_stays_above_what_a_join_may_lack),
      T(filter_on_keys_passes_aggregate),
      T(filter_on_float_keys_passes_only_comparisons),
      T(filter_passes_sort_and_concat),
      T(filter_never_doubles_a_shared_node),
      T(nothing_is_rewritten_past_a_result_at_hand),
      T(head_of_sort_is_top_n),
      T(slice_moves_row_numbers),
      T(sort_goes_when_nobody_sees_it),
      T(equal_subplans_become_one),
      T(projects_fuse),
      T(identity_goes_but_not_at_the_root),
      T(twins_follow_results),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
