/* src/base/arena: zeroed, aligned, disjoint pieces; all given back at once; NULL when over budget or absurd. */
#include "base/arena.h"
#include "base/mem.h"
#include <cmocka.h>
#include <string.h>

static void pieces_are_disjoint_and_zero(void **state) {
  (void)state;
  struct tr_arena a;
  tr_arena_init(&a);
  enum { N = 3000 };
  static unsigned char *pieces[N];
  static size_t sizes[N];
  for (int i = 0; i < N; i++) {
    sizes[i] = (size_t)(i % 97 == 0 ? 5000 + i * 20 : i % 41);
    pieces[i] = tr_arena_alloc(&a, sizes[i]);
    assert_non_null(pieces[i]);
    assert_int_equal((uintptr_t)pieces[i] % 16, 0);
    for (size_t k = 0; k < sizes[i]; k++) assert_int_equal(pieces[i][k], 0);
    memset(pieces[i], i, sizes[i]);
  }
  for (int i = 0; i < N; i++) {
    for (size_t k = 0; k < sizes[i]; k++) assert_int_equal(pieces[i][k], (unsigned char)i);
  }
  tr_arena_free(&a);
  assert_int_equal(tr_mem_used(), 0);
  tr_arena_free(&a);
}

static void large_piece_keeps_the_chunk(void **state) {
  (void)state;
  struct tr_arena a;
  tr_arena_init(&a);
  char *first = tr_arena_alloc(&a, 16);
  assert_non_null(tr_arena_alloc(&a, 100000));
  char *second = tr_arena_alloc(&a, 16);
  assert_ptr_equal(second, first + 16);
  tr_arena_free(&a);
}

static void strings(void **state) {
  (void)state;
  struct tr_arena a;
  tr_arena_init(&a);
  assert_string_equal(tr_arena_strndup(&a, "abcdef", 3), "abc");
  assert_string_equal(tr_arena_strndup(&a, "", 0), "");
  assert_null(tr_arena_strndup(&a, "x", SIZE_MAX));
  tr_arena_free(&a);
}

static void too_much(void **state) {
  (void)state;
  struct tr_arena a;
  tr_arena_init(&a);
  assert_null(tr_arena_alloc(&a, SIZE_MAX));
  assert_null(tr_arena_alloc(&a, SIZE_MAX - 20));
  tr_mem_fail_at(1);
  assert_null(tr_arena_alloc(&a, 8));
  assert_non_null(tr_arena_alloc(&a, 8));
  tr_mem_fail_at(1);
  assert_null(tr_arena_alloc(&a, 100000));
  assert_non_null(tr_arena_alloc(&a, 8));
  tr_arena_free(&a);
  assert_int_equal(tr_mem_used(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pieces_are_disjoint_and_zero),
      cmocka_unit_test(large_piece_keeps_the_chunk),
      cmocka_unit_test(strings),
      cmocka_unit_test(too_much),
  };
  return cmocka_run_group_tests_name("base/arena", tests, NULL, NULL);
}
