/* Joins against a nested loop over keys as text: every how, one and several keys, dictionaries, collisions, wide keys;
 * order of outer and sorted joins; look-ups; failing allocations. */
#include "base/hash.h"
#include "base/mem.h"
#include "data/kern/join/join.h"
#include "data/kern/take/take.h"
#include <cmocka.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

static struct tr_ctx ctx;
static struct tr_error err;
static size_t used_before;

static int setup(void **state) {
  (void)state;
  tr_ctx_init(&ctx);
  ctx.threads = 2;
  ctx.morsel_rows = 7;
  used_before = tr_mem_used();
  return 0;
}

static int teardown(void **state) {
  (void)state;
  assert_int_equal(tr_mem_used(), used_before);
  return 0;
}

static uint64_t random_at(int64_t i, int salt) { return tr_hash_u64((uint64_t)i * 64 + (uint64_t)salt + 1); }

enum flavour { INT, SPARSE, FLOAT, TEXT, DICT, N_FLAVOURS };

/* Key number r (missing where the dtype can and r is 0) in one of the flavours. */
static struct tr_array *keys_of(enum flavour f, int64_t n, int salt, uint64_t distinct) {
  struct tr_array *a, *d;
  struct tr_text_builder b;
  char s[64];
  if (f == TEXT || f == DICT) {
    assert_int_equal(tr_text_builder_init(&b, n, &err), TR_OK);
    for (int64_t i = 0; i < n; i++) {
      uint64_t r = random_at(i, salt) % distinct;
      snprintf(s, sizeof s, r % 2 ? "%d" : "somewhat longer %d", (int)r);
      assert_int_equal(tr_text_builder_add(&b, r ? s : NULL, (int64_t)strlen(s), &err), TR_OK);
    }
    assert_int_equal(tr_text_builder_finish(&b, &a, &err), TR_OK);
    if (f == TEXT) return a;
    assert_int_equal(tr_array_encode(&ctx, a, n, &d, &err), TR_OK);
    tr_array_unref(a);
    return d;
  }
  assert_int_equal(tr_array_new(tr_dtype_of(f == FLOAT ? TR_F64 : TR_I64), n, &a, &err), TR_OK);
  for (int64_t i = 0; i < n; i++) {
    uint64_t r = random_at(i, salt) % distinct;
    if (f == FLOAT) ((double *)tr_array_data(a))[i] = r == 0 ? NAN : r == 1 ? (i % 2 ? 0.0 : -0.0) : (double)r * 1e100;
    else ((int64_t *)tr_array_data(a))[i] = f == INT ? (int64_t)r - 3 : (int64_t)(r * 0x9e3779b97f4a7c15ull);
  }
  return a;
}

/* The number the key was made from. */
static uint64_t origin(int64_t i, int salt, uint64_t distinct) { return random_at(i, salt) % distinct; }

struct sides {
  int64_t n_left, n_right;
  int n_keys;
  uint64_t distinct;
  int left_salt, right_salt;
};

static bool match(const struct sides *s, int64_t l, int64_t r) {
  for (int k = 0; k < s->n_keys; k++)
    if (origin(l, s->left_salt + k, s->distinct) != origin(r, s->right_salt + k, s->distinct)) return false;
  return true;
}

static int64_t expect(const struct sides *s, enum tr_join_how how, uint32_t *out) {
  int64_t n = 0;
  bool by_right = how == TR_JOIN_RIGHT;
  int64_t n_outer = by_right ? s->n_right : s->n_left, n_inner = by_right ? s->n_left : s->n_right;
  for (int64_t i = 0; i < n_outer; i++) {
    int64_t found = 0;
    for (int64_t j = 0; j < n_inner; j++) {
      if (!match(s, by_right ? j : i, by_right ? i : j)) continue;
      if (found++ && (how == TR_JOIN_SEMI || how == TR_JOIN_ANTI)) continue;
      if (how == TR_JOIN_ANTI) continue;
      out[2 * n] = (uint32_t)(by_right ? j : i);
      out[2 * n++ + 1] = (uint32_t)(by_right ? i : j);
    }
    if (found || how == TR_JOIN_INNER || how == TR_JOIN_SEMI) continue;
    out[2 * n] = by_right ? TR_NO_ROW : (uint32_t)i;
    out[2 * n++ + 1] = by_right ? (uint32_t)i : TR_NO_ROW;
  }
  return n;
}

static uint32_t row_of(const struct tr_buffer *b, int64_t i) {
  return b ? ((const uint32_t *)b->data)[i] : (uint32_t)i;
}

static void check(const struct sides *s, const enum flavour *left, const enum flavour *right) {
  static const enum tr_join_how hows[] = {TR_JOIN_INNER, TR_JOIN_LEFT, TR_JOIN_RIGHT, TR_JOIN_SEMI, TR_JOIN_ANTI};
  struct tr_array *l[3], *r[3];
  uint32_t *want = test_malloc((size_t)((s->n_left + 1) * (s->n_right + 1)) * 8);
  for (int k = 0; k < s->n_keys; k++) {
    l[k] = keys_of(left[k], s->n_left, s->left_salt + k, s->distinct);
    r[k] = keys_of(right[k], s->n_right, s->right_salt + k, s->distinct);
  }
  for (int h = 0; h < 5; h++) {
    struct tr_join_rows got;
    bool one_side = hows[h] == TR_JOIN_SEMI || hows[h] == TR_JOIN_ANTI;
    int64_t n = expect(s, hows[h], want);
    assert_int_equal(tr_join_make(&ctx, l, s->n_left, r, s->n_right, s->n_keys, hows[h], false, &got, &err), TR_OK);
    assert_int_equal(got.n, n);
    for (int64_t i = 0; i < n; i++) {
      assert_int_equal(row_of(got.left, i), want[2 * i]);
      if (!one_side) assert_int_equal(row_of(got.right, i), want[2 * i + 1]);
    }
    if (one_side) assert_null(got.right);
    tr_join_rows_drop(&got);
  }
  for (int k = 0; k < s->n_keys; k++) {
    tr_array_unref(l[k]);
    tr_array_unref(r[k]);
  }
  test_free(want);
}

static void test_one_key(void **state) {
  (void)state;
  static const int64_t sizes[][2] = {{0, 0}, {0, 5}, {5, 0}, {1, 1}, {60, 50}, {10, 90}, {90, 3}};
  for (int zero = 0; zero < 2; zero++)
    for (int f = 0; f < N_FLAVOURS; f++)
      for (int g = 0; g < N_FLAVOURS; g++)
        for (int k = 0; k < 7; k++) {
          bool texts = f >= TEXT;
          if (f != g && !(texts && g >= TEXT)) continue;
          ctx.hash_zero = zero;
          struct sides s = {sizes[k][0], sizes[k][1], 1, k % 2 ? 20 : 1000, 1, 9};
          check(&s, &(enum flavour){f}, &(enum flavour){g});
        }
}

static void test_several_keys(void **state) {
  (void)state;
  static const enum flavour sets[][3] = {
      {INT, INT, INT}, {SPARSE, SPARSE, INT}, {SPARSE, FLOAT, DICT}, {TEXT, DICT, SPARSE}, {FLOAT, FLOAT, FLOAT}};
  for (int set = 0; set < 5; set++)
    for (int n_keys = 2; n_keys <= 3; n_keys++) {
      struct sides s = {80, 70, n_keys, 3, 1, 9};
      check(&s, sets[set], sets[set]);
    }
}

static void test_outer_and_sorted(void **state) {
  (void)state;
  static const int64_t left[] = {5, 1, 5, 9}, right[] = {7, 5, 1, 5};
  static const uint32_t outer[][2] = {{1, 2}, {0, 1}, {0, 3}, {2, 1}, {2, 3}, {TR_NO_ROW, 0}, {3, TR_NO_ROW}};
  static const uint32_t by_right[][2] = {{1, 2}, {0, 1}, {2, 1}, {0, 3}, {2, 3}, {TR_NO_ROW, 0}};
  struct tr_array *l, *r;
  struct tr_join_rows got;
  assert_int_equal(tr_array_new(tr_dtype_of(TR_I64), 4, &l, &err), TR_OK);
  assert_int_equal(tr_array_new(tr_dtype_of(TR_I64), 4, &r, &err), TR_OK);
  memcpy(tr_array_data(l), left, 32);
  memcpy(tr_array_data(r), right, 32);
  assert_int_equal(tr_join_make(&ctx, &l, 4, &r, 4, 1, TR_JOIN_OUTER, false, &got, &err), TR_OK);
  assert_int_equal(got.n, 7);
  for (int i = 0; i < 7; i++) {
    assert_int_equal(row_of(got.left, i), outer[i][0]);
    assert_int_equal(row_of(got.right, i), outer[i][1]);
  }
  assert_true(got.left_missing && got.right_missing);
  tr_join_rows_drop(&got);
  assert_int_equal(tr_join_make(&ctx, &l, 4, &r, 4, 1, TR_JOIN_RIGHT, true, &got, &err), TR_OK);
  assert_int_equal(got.n, 6);
  for (int i = 0; i < 6; i++) {
    assert_int_equal(row_of(got.left, i), by_right[i][0]);
    assert_int_equal(row_of(got.right, i), by_right[i][1]);
  }
  tr_join_rows_drop(&got);
  assert_int_equal(tr_join_make(&ctx, NULL, 4, NULL, 3, 0, TR_JOIN_CROSS, false, &got, &err), TR_OK);
  assert_int_equal(got.n, 12);
  for (int i = 0; i < 12; i++) assert_int_equal(row_of(got.left, i) * 3 + row_of(got.right, i), i);
  tr_join_rows_drop(&got);
  tr_array_unref(l);
  tr_array_unref(r);
}

static void test_lookup(void **state) {
  (void)state;
  static const int64_t left[] = {5, 1, 5, 9}, right[] = {7, 5, 1};
  static const uint32_t want[] = {1, 2, 1, TR_NO_ROW};
  struct tr_array *l, *r;
  struct tr_buffer *rows;
  bool missing;
  assert_int_equal(tr_array_new(tr_dtype_of(TR_I64), 4, &l, &err), TR_OK);
  assert_int_equal(tr_array_new(tr_dtype_of(TR_I64), 3, &r, &err), TR_OK);
  memcpy(tr_array_data(l), left, 32);
  memcpy(tr_array_data(r), right, 24);
  assert_int_equal(tr_join_lookup(&ctx, &l, 4, &r, 3, 1, &rows, &missing, &err), TR_OK);
  assert_memory_equal(rows->data, want, 16);
  assert_true(missing);
  tr_buffer_unref(rows);
  ((int64_t *)tr_array_data(r))[0] = 5;
  assert_int_equal(tr_join_lookup(&ctx, &l, 4, &r, 3, 1, &rows, &missing, &err), TR_ERROR);
  assert_int_equal(err.exc, TR_EXC_VALUE);
  assert_string_equal(err.text, "cannot reindex on an axis with duplicate labels");
  tr_array_unref(l);
  tr_array_unref(r);
}

static void test_allocation_failures(void **state) {
  (void)state;
  static const enum flavour flavours[] = {SPARSE, TEXT, FLOAT};
  struct tr_array *l[3], *r[3];
  for (int k = 0; k < 3; k++) {
    l[k] = keys_of(flavours[k], 100, 1 + k, 3);
    r[k] = keys_of(flavours[k], 90, 9 + k, 3);
  }
  static const enum tr_join_how hows[] = {TR_JOIN_OUTER, TR_JOIN_RIGHT};
  for (int h = 0; h < 2; h++) {
    enum tr_status st = TR_ERROR;
    for (int at = 1; st != TR_OK; at++) {
      struct tr_join_rows got;
      tr_mem_fail_at(at);
      st = tr_join_make(&ctx, l, 100, r, 90, 3, hows[h], true, &got, &err);
      tr_mem_fail_at(0);
      tr_join_rows_drop(&got);
    }
  }
  for (int k = 0; k < 3; k++) {
    tr_array_unref(l[k]);
    tr_array_unref(r[k]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_one_key, setup, teardown),
      cmocka_unit_test_setup_teardown(test_several_keys, setup, teardown),
      cmocka_unit_test_setup_teardown(test_outer_and_sorted, setup, teardown),
      cmocka_unit_test_setup_teardown(test_lookup, setup, teardown),
      cmocka_unit_test_setup_teardown(test_allocation_failures, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
