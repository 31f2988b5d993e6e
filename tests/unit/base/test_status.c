/* src/base/status: what failing functions fill in, also with no error asked for, long texts and nested contexts. */
#include "base/status.h"
#include <cmocka.h>
#include <errno.h>
#include <string.h>

static void fields(void **state) {
  (void)state;
  struct tr_error err = {0};
  assert_int_equal(tr_fail(&err, TR_EXC_KEY, "'%s'", "a"), TR_ERROR);
  assert_int_equal(err.exc, TR_EXC_KEY);
  assert_string_equal(err.text, "'a'");
  assert_int_equal(tr_fail_os(&err, ENOENT, "x.csv"), TR_ERROR);
  assert_int_equal(err.exc, TR_EXC_OS);
  assert_int_equal(err.os_errno, ENOENT);
  assert_int_equal(tr_fail(&err, TR_EXC_VALUE, "bad"), TR_ERROR);
  assert_int_equal(err.os_errno, 0);
  assert_int_equal(tr_unsupported(&err, "engine=%d", 3), TR_UNSUPPORTED);
  assert_string_equal(err.text, "engine=3");
  assert_int_equal(tr_fail_memory(&err, 77), TR_ERROR);
  assert_int_equal(err.exc, TR_EXC_MEMORY);
  assert_non_null(strstr(err.text, "77 bytes"));
  assert_int_equal(tr_fail(NULL, TR_EXC_VALUE, "nobody listens"), TR_ERROR);
}

static void text_may_wrap_itself(void **state) {
  (void)state;
  struct tr_error err;
  assert_int_equal(tr_fail(&err, TR_EXC_VALUE, "bad page"), TR_ERROR);
  assert_int_equal(tr_fail(&err, TR_EXC_ARROW_INVALID, "column 'x': %s", err.text), TR_ERROR);
  assert_string_equal(err.text, "column 'x': bad page");
}

static void long_text_is_cut_between_characters(void **state) {
  (void)state;
  static const char *const letters[] = {"a", "é", "€", "😀"};
  for (size_t l = 0; l < 4; l++) {
    for (size_t shift = 0; shift < 4; shift++) {
      char text[2000] = "zzzz";
      size_t n = shift, unit = strlen(letters[l]);
      while (n + unit < sizeof text) {
        memcpy(text + n, letters[l], unit);
        n += unit;
      }
      text[n] = 0;
      struct tr_error err;
      assert_int_equal(tr_fail(&err, TR_EXC_VALUE, "%s", text), TR_ERROR);
      size_t kept = strlen(err.text);
      assert_int_equal((kept - shift) % unit, 0);
      assert_true(kept > sizeof err.text - 1 - unit && kept < sizeof err.text);
      assert_memory_equal(err.text, text, kept);
    }
  }
}

static enum tr_status fails(struct tr_error *err) { return tr_fail(err, TR_EXC_TYPE, "t"); }

static enum tr_status tries(struct tr_error *err, int *reached) {
  TR_TRY(fails(err));
  *reached = 1;
  return TR_OK;
}

static enum tr_status cleans_up(struct tr_error *err, int *cleaned) {
  enum tr_status st;
  TR_GOTO(st, fails(err));
  *cleaned = -1;
done:
  *cleaned += 1;
  return st;
}

static void ways_out(void **state) {
  (void)state;
  struct tr_error err;
  int reached = 0, cleaned = 0;
  assert_int_equal(tries(&err, &reached), TR_ERROR);
  assert_int_equal(reached, 0);
  assert_int_equal(cleans_up(&err, &cleaned), TR_ERROR);
  assert_int_equal(cleaned, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fields),
      cmocka_unit_test(text_may_wrap_itself),
      cmocka_unit_test(long_text_is_cut_between_characters),
      cmocka_unit_test(ways_out),
  };
  return cmocka_run_group_tests_name("base/status", tests, NULL, NULL);
}
