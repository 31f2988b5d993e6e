/* src/base/text: additions of all kinds across growth, sticky failure. */
#include "base/mem.h"
#include "base/text.h"
#include <cmocka.h>
#include <string.h>

static void grows(void **state) {
  (void)state;
  struct tr_error err;
  struct tr_text t = {0};
  assert_string_equal(tr_text_str(&t), "");
  tr_text_add_str(&t, "");
  assert_string_equal(tr_text_str(&t), "");
  tr_text_add_str(&t, "ab");
  tr_text_add(&t, "c\0d", 3);
  tr_text_add_char(&t, '!');
  tr_text_add_format(&t, "%d-%s", 42, "x");
  assert_int_equal(t.length, 10);
  assert_memory_equal(t.data, "abc\0d!42-x", 11);
  tr_text_clear(&t);
  assert_string_equal(tr_text_str(&t), "");
  char line[1001];
  memset(line, 'y', 1000);
  line[1000] = 0;
  for (int i = 0; i < 50; i++) tr_text_add_format(&t, "%s", line);
  assert_int_equal(t.length, 50000);
  for (int i = 0; i < 50000; i++) assert_int_equal(t.data[i], 'y');
  assert_int_equal(t.data[50000], 0);
  assert_int_equal(tr_text_check(&t, &err), TR_OK);
  tr_text_free(&t);
  assert_int_equal(tr_mem_used(), 0);
}

static void exact_fits(void **state) {
  (void)state;
  for (size_t n = 250; n < 260; n++) {
    struct tr_text t = {0};
    char line[300];
    memset(line, 'z', n);
    tr_text_add(&t, line, n);
    assert_int_equal(strlen(t.data), n);
    assert_true(t.room > n);
    tr_text_free(&t);
  }
}

static void fails_once_for_all(void **state) {
  (void)state;
  struct tr_error err;
  struct tr_text t = {0};
  tr_text_add_str(&t, "kept");
  tr_mem_fail_at(1);
  char line[1000] = {0};
  tr_text_add(&t, line, sizeof line);
  tr_mem_fail_at(0);
  tr_text_add_str(&t, "no more");
  assert_string_equal(tr_text_str(&t), "kept");
  assert_int_equal(tr_text_check(&t, &err), TR_ERROR);
  assert_int_equal(err.exc, TR_EXC_MEMORY);
  tr_text_free(&t);
  assert_int_equal(tr_text_check(&t, &err), TR_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(grows), cmocka_unit_test(exact_fits),
                                     cmocka_unit_test(fails_once_for_all)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
