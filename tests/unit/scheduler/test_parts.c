/* What the state stands on: the map of names, the text of stages, keys. */
#include "fixture.h"
#include "scheduler/planning.h"

enum { NAMES = 3000 };

static void a_map_is_a_map(void **state) {
  static char names[NAMES][16];
  static bool there[NAMES];
  struct tr_name_map m = {0};
  size_t n = 0;
  (void)state;
  srand(1);
  for (int i = 0; i < NAMES; i++) snprintf(names[i], sizeof names[i], "n%d", i);
  for (int step = 0; step < 60000; step++) {
    int i = rand() % NAMES;
    void *value = &names[i];
    if (rand() % 2) {
      assert_true(tr_name_map_put(&m, names[i], value));
      n += !there[i];
      there[i] = true;
    } else {
      assert_ptr_equal(tr_name_map_remove(&m, names[i]), there[i] ? value : NULL);
      n -= there[i];
      there[i] = false;
    }
    int k = rand() % NAMES;
    assert_ptr_equal(tr_name_map_get(&m, names[k]), there[k] ? &names[k] : NULL);
    assert_int_equal(m.n, n);
  }
  size_t at = 0, seen = 0;
  while (tr_name_map_next(&m, &at)) seen++;
  assert_int_equal(seen, n);
  tr_name_map_free(&m);
}

static void stages_as_text_and_back(void **state) {
  struct tr_spec_input in[2] = {{0, TR_INPUT_SAME}, {-1, TR_INPUT_BROADCAST}};
  int32_t first[3] = {0, 1, 3};
  int64_t rows[3] = {0, 5, (int64_t)1 << 40};
  struct tr_spec_piece pieces[3] = {{0, 0, 4}, {0, 4, 5}, {1, 0, 1}};
  struct tr_spec_stage stages[2] = {
      {.role = "a",
       .fragment = "{\"x\":[1,2]}",
       .n_tasks = 2,
       .n_parts = 3,
       .first_piece = first,
       .pieces = pieces,
       .base = TR_SPEC_ROWS,
       .first_row = rows},
      {.role = "b\"", .fragment = "{}", .n_tasks = 2, .n_parts = 1, .n_inputs = 2, .inputs = in, .base = 0}};
  struct tr_spec spec = {2, stages}, back;
  struct tr_text text = {0}, again = {0};
  struct tr_arena arena;
  struct tr_error err;
  (void)state;
  tr_arena_init(&arena);
  tr_spec_print(&spec, &text);
  assert_int_equal(tr_spec_parse(text.data, &arena, &back, &err), TR_OK);
  tr_spec_print(&back, &again);
  assert_string_equal(text.data, again.data);
  in[0].stage = 1;
  assert_int_equal(tr_spec_check(&spec, &err), TR_ERROR);
  in[0] = (struct tr_spec_input){0, TR_INPUT_SHUFFLE};
  assert_int_equal(tr_spec_check(&spec, &err), TR_ERROR);
  assert_int_equal(tr_spec_parse("[{\"role\":1}]", &arena, &back, &err), TR_ERROR);
  assert_int_equal(tr_spec_parse("[", &arena, &back, &err), TR_ERROR);
  tr_arena_free(&arena);
  tr_text_free(&text);
  tr_text_free(&again);
}

static void leases_have_one_form(void **state) {
  char query[TR_ID_BYTES];
  int32_t stage, task;
  int64_t attempt;
  (void)state;
  assert_true(tr_lease_parse("q12/3/4/5000000000", query, &stage, &task, &attempt));
  assert_true(strcmp(query, "q12") == 0 && stage == 3 && task == 4 && attempt == 5000000000);
  const char *const bad[] = {"",
                             "/",
                             "q",
                             "q/1/2",
                             "q/1/2/",
                             "q/1/2/3/",
                             "q/-1/2/3",
                             "q/1/2/3x",
                             "q/1/99999999999/3",
                             "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq/1/2/3",
                             "q/1/2/99999999999999999999999"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_false(tr_lease_parse(bad[i], query, &stage, &task, &attempt));
}

static void a_later_database_is_refused(void **state) {
  struct tr_journal *j;
  struct tr_error err;
  (void)state;
  assert_int_equal(tr_journal_open("no/such/folder/x.db", &j, &err), TR_ERROR);
  assert_non_null(strstr(err.text, "no/such/folder/x.db"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_map_is_a_map),
      cmocka_unit_test(stages_as_text_and_back),
      cmocka_unit_test(leases_have_one_form),
      cmocka_unit_test(a_later_database_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
