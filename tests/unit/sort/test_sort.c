/* Sorts against a plain stable merge sort with comparisons written out per dtype; threads, morsels and failing
 * allocations. */
#include "base/hash.h"
#include "base/mem.h"
#include "data/kern/sort/sort.h"
#include <cmocka.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static struct tr_ctx ctx;
static struct tr_error err;
static size_t used_before;

static int setup(void **state) {
  (void)state;
  tr_ctx_init(&ctx);
  ctx.threads = 2;
  used_before = tr_mem_used();
  return 0;
}

static int teardown(void **state) {
  (void)state;
  assert_int_equal(tr_mem_used(), used_before);
  return 0;
}

static uint64_t random_at(int64_t i, int salt) { return tr_hash_u64((uint64_t)i * 64 + (uint64_t)salt + 1); }

static struct tr_array *texts(int64_t n, int salt, uint64_t distinct) {
  static const char *const formats[] = {"%d", "a long common beginning %d", "id%010d", "%c"};
  struct tr_text_builder b;
  struct tr_array *a;
  char s[64];
  assert_int_equal(tr_text_builder_init(&b, n, &err), TR_OK);
  for (int64_t i = 0; i < n; i++) {
    uint64_t r = random_at(i, salt) % distinct;
    snprintf(s, sizeof s, formats[salt % 4], (int)r);
    assert_int_equal(tr_text_builder_add(&b, r == 3 ? NULL : s, (int64_t)strlen(s) + (r % 2), &err), TR_OK);
  }
  assert_int_equal(tr_text_builder_finish(&b, &a, &err), TR_OK);
  return a;
}

/* Few distinct values, both signs, missing ones where the dtype has them, extremes. */
static struct tr_array *column(int kind, int64_t n, int salt) {
  struct tr_array *a, *plain;
  if (kind == TR_STR) return texts(n, salt, (uint64_t)n / 3 + 5);
  if (kind == TR_CATEGORY) {
    plain = texts(n, salt, 7);
    assert_int_equal(tr_array_encode(&ctx, plain, n, &a, &err), TR_OK);
    a->dtype = tr_dtype_of(TR_CATEGORY);
    tr_array_unref(plain);
    return a;
  }
  assert_int_equal(tr_array_new(tr_dtype_of((enum tr_kind)kind), n, &a, &err), TR_OK);
  for (int64_t i = 0; i < n; i++) {
    uint64_t r = random_at(i, salt);
    int64_t v = (int64_t)(r % 1000) - 500;
    if (r >> 60 == 1) v = INT64_MIN;
    if (r >> 60 == 2) v = INT64_MAX;
    if (kind == TR_U64) v = r >> 60 == 1 ? -1 : (int64_t)(r % 1000); /* compared as doubles below */
    if (kind == TR_F64)
      ((double *)tr_array_data(a))[i] = r >> 60 == 1     ? NAN
                                        : r >> 60 == 2   ? -0.0
                                        : v == INT64_MAX ? INFINITY
                                                         : (double)v / 8;
    else if (kind == TR_F32) ((float *)tr_array_data(a))[i] = r >> 60 == 1 ? NAN : (float)v / 8;
    else if (kind == TR_BOOL) ((uint8_t *)tr_array_data(a))[i] = v & 1;
    else memcpy((uint8_t *)tr_array_data(a) + i * tr_dtype_width(a->dtype), &v, (size_t)tr_dtype_width(a->dtype));
  }
  return a;
}

static double number_at(const struct tr_array *a, int64_t i) {
  const void *p = tr_array_data(a);
  switch (a->dtype.kind) {
  case TR_BOOL:
  case TR_U8: return ((const uint8_t *)p)[i];
  case TR_I8: return ((const int8_t *)p)[i];
  case TR_I16: return ((const int16_t *)p)[i];
  case TR_U16: return ((const uint16_t *)p)[i];
  case TR_I32: return ((const int32_t *)p)[i];
  case TR_U32: return ((const uint32_t *)p)[i];
  case TR_U64: return (double)((const uint64_t *)p)[i];
  case TR_F32: return (double)((const float *)p)[i];
  case TR_F64: return ((const double *)p)[i];
  case TR_CATEGORY: return tr_array_codes(a)[i] < 0 ? (double)NAN : tr_array_codes(a)[i];
  case TR_I64: return (double)((const int64_t *)p)[i];
  default: return ((const int64_t *)p)[i] == TR_NAT ? (double)NAN : (double)((const int64_t *)p)[i];
  }
}

static const struct tr_sort_key *cmp_keys;
static int cmp_n;

/* <0, 0, >0; missing last. 64-bit values here are exact as doubles or extremes. */
static int compare(uint32_t x, uint32_t y) {
  for (int k = 0; k < cmp_n; k++) {
    const struct tr_array *a = cmp_keys[k].array;
    int c;
    if (a->dtype.kind == TR_STR) {
      const struct tr_view *v = tr_array_views(a);
      if (v[x].size < 0 || v[y].size < 0) c = (v[x].size < 0) - (v[y].size < 0);
      else c = tr_view_cmp(a, v + x, a, v + y) * (cmp_keys[k].descending ? -1 : 1);
    } else {
      double p = number_at(a, x), q = number_at(a, y);
      if (isnan(p) || isnan(q)) c = isnan(p) - isnan(q);
      else c = ((p > q) - (p < q)) * (cmp_keys[k].descending ? -1 : 1);
    }
    if (c) return c;
  }
  return 0;
}

static void merge_sort(uint32_t *rows, uint32_t *tmp, int64_t n) {
  if (n < 2) return;
  int64_t h = n / 2, i = 0, j = h, k = 0;
  merge_sort(rows, tmp, h);
  merge_sort(rows + h, tmp, n - h);
  memcpy(tmp, rows, (size_t)h * 4);
  while (i < h && j < n) {
    bool second = compare(rows[j], tmp[i]) < 0;
    rows[k++] = second ? rows[j++] : tmp[i++];
  }
  memcpy(rows + k, tmp + i, (size_t)(h - i) * 4);
}

static void check(const struct tr_sort_key *keys, int n_keys, int64_t n) {
  struct tr_buffer *rows;
  uint32_t *expect = test_malloc((size_t)n * 8 + 8);
  for (int64_t i = 0; i < n; i++) expect[i] = (uint32_t)i;
  cmp_keys = keys;
  cmp_n = n_keys;
  merge_sort(expect, expect + n, n);
  assert_int_equal(tr_sort_rows(&ctx, keys, n_keys, n, false, &rows, &err), TR_OK);
  if (n) assert_memory_equal(rows->data, expect, (size_t)n * 4);
  tr_buffer_unref(rows);
  const int64_t ks[] = {0, 1, n / 20, n / 2, n + 5};
  for (int k = 0; k < 5; k++) {
    int64_t n_out;
    assert_int_equal(tr_sort_top(&ctx, keys, n_keys, n, ks[k], false, &rows, &n_out, &err), TR_OK);
    assert_int_equal(n_out, ks[k] < n ? ks[k] : n);
    if (n_out) assert_memory_equal(rows->data, expect, (size_t)n_out * 4);
    tr_buffer_unref(rows);
  }
  test_free(expect);
}

static void test_every_kind(void **state) {
  (void)state;
  const int64_t sizes[] = {0, 1, 2, 100, 3000, 20000};
  for (int s = 0; s < 6; s++)
    for (int kind = 0; kind < TR_N_KINDS; kind++)
      for (int desc = 0; desc < 2; desc++) {
        ctx.threads = 1 + (s + kind) % 2;
        ctx.morsel_rows = s < 4 ? 1 : 777;
        struct tr_sort_key key = {column(kind, sizes[s], kind + desc), desc};
        check(&key, 1, sizes[s]);
        tr_array_unref(key.array);
      }
}

static void test_many_keys(void **state) {
  (void)state;
  const int64_t n = 30000;
  struct tr_sort_key keys[] = {{column(TR_BOOL, n, 1), true},
                               {column(TR_STR, n, 2), false},
                               {column(TR_F64, n, 3), true},
                               {column(TR_I64, n, 4), false},
                               {column(TR_CATEGORY, n, 5), true}};
  for (int first = 0; first < 5; first++) check(keys + first, 5 - first, n);
  for (int k = 0; k < 5; k++) tr_array_unref(keys[k].array);
}

/* The first or last k of each group, by sorting everything and counting. */
static void check_groups(const struct tr_sort_key *keys, int n_keys, int64_t n, int64_t n_groups, int64_t k,
                         bool tail) {
  struct tr_buffer *rows, *all;
  int64_t n_out, found = 0;
  uint32_t *ids = test_malloc((size_t)n * 4 + 4), *expect = test_malloc((size_t)n * 4 + 4);
  int64_t *seen = test_calloc((size_t)n_groups + 1, sizeof *seen);
  for (int64_t i = 0; i < n; i++) { /* one in eight has no group */
    uint32_t x = (uint32_t)i * 2654435761u >> 7;
    ids[i] = x % 8 == 0 ? UINT32_MAX : x % (uint32_t)n_groups;
  }
  assert_int_equal(tr_sort_rows(&ctx, keys, n_keys, n, false, &all, &err), TR_OK);
  for (int64_t j = 0; j < n; j++) {
    uint32_t row = ((const uint32_t *)all->data)[tail ? n - 1 - j : j];
    if (ids[row] < n_groups && seen[ids[row]]++ < k) expect[found++] = row;
  }
  for (int64_t i = 0; tail && i < found / 2; i++) {
    uint32_t x = expect[i];
    expect[i] = expect[found - 1 - i];
    expect[found - 1 - i] = x;
  }
  const struct tr_sort_groups groups = {ids, n_groups, k, tail};
  assert_int_equal(tr_sort_top_of_groups(&ctx, keys, n_keys, n, false, &groups, &rows, &n_out, &err), TR_OK);
  assert_int_equal(n_out, found);
  if (found) assert_memory_equal(rows->data, expect, (size_t)found * 4);
  tr_buffer_unref(rows);
  tr_buffer_unref(all);
  test_free(ids);
  test_free(expect);
  test_free(seen);
}

static void test_top_of_groups(void **state) {
  (void)state;
  const int64_t sizes[] = {0, 1, 90, 20000};
  for (int s = 0; s < 4; s++)
    for (int kind = 0; kind < TR_N_KINDS; kind++)
      for (int way = 0; way < 4; way++) {
        ctx.threads = 1 + (s + kind) % 2;
        ctx.morsel_rows = s < 3 ? 1 : 777;
        const int64_t n = sizes[s];
        struct tr_sort_key keys[] = {{column(kind, n, kind + way), way % 2}, {column(TR_I64, n, 4), way / 2}};
        check_groups(keys, 1, n, 1 + n / 50, 1 + kind % 3, way / 2);
        check_groups(keys, 2, n, 1 + n / 200, 2, way / 2);
        check_groups(keys, 2, n, 3, 40, way / 2);
        check_groups(keys, 1, n, n + 1, 1, way / 2);
        for (int k = 0; k < 2; k++) tr_array_unref(keys[k].array);
      }
}

static void test_long_ties(void **state) {
  (void)state;
  const int64_t n = 150000; /* one outlier makes the first window say nothing about the others */
  struct tr_array *a;
  assert_int_equal(tr_array_new(tr_dtype_of(TR_I64), n, &a, &err), TR_OK);
  int64_t *v = tr_array_data(a);
  for (int64_t i = 0; i < n; i++) v[i] = (int64_t)(random_at(i, 1) % 100000);
  v[7] = INT64_MAX / 2;
  check(&(struct tr_sort_key){a, false}, 1, n);
  tr_array_unref(a);
}

static void test_missing_first(void **state) {
  (void)state;
  struct tr_array *a, *b;
  struct tr_buffer *rows;
  static const double values[] = {2, NAN, -INFINITY, 1};
  static const uint32_t alone[] = {1, 2, 3, 0}, ties[] = {2, 1, 3, 0};
  static const uint8_t second[] = {0, 1, 0, 0};
  assert_int_equal(tr_array_new(tr_dtype_of(TR_F64), 4, &a, &err), TR_OK);
  assert_int_equal(tr_array_new(tr_dtype_of(TR_BOOL), 4, &b, &err), TR_OK);
  memcpy(tr_array_data(a), values, sizeof values);
  memcpy(tr_array_data(b), second, sizeof second);
  struct tr_sort_key keys[] = {{a, false}, {b, false}};
  assert_int_equal(tr_sort_rows(&ctx, keys, 1, 4, true, &rows, &err), TR_OK);
  assert_memory_equal(rows->data, alone, 16);
  tr_buffer_unref(rows);
  assert_int_equal(tr_sort_rows(&ctx, keys, 2, 4, true, &rows, &err), TR_OK); /* pandas: NaN ties with -inf here */
  assert_memory_equal(rows->data, ties, 16);
  tr_buffer_unref(rows);
  tr_array_unref(a);
  tr_array_unref(b);
}

static void test_is_sorted(void **state) {
  (void)state;
  static const int64_t up[] = {-3, 0, 4, 9}, flat[] = {-3, 4, 4, 9}, down[] = {1, 5, 4, 9}, nat[] = {TR_NAT, 1, 2, 3};
  const int64_t *const sets[] = {up, flat, down, nat};
  ctx.morsel_rows = 1;
  for (int s = 0; s < 4; s++) {
    struct tr_array *a;
    bool ascending, strict;
    assert_int_equal(tr_array_new(tr_dtype_unit(TR_DATETIME, TR_NS), 4, &a, &err), TR_OK);
    memcpy(tr_array_data(a), sets[s], 32);
    assert_int_equal(tr_sort_is_sorted(&ctx, a, &ascending, &strict, &err), TR_OK);
    assert_int_equal(ascending, s < 2);
    assert_int_equal(strict, s == 0);
    tr_array_unref(a);
  }
}

static void test_allocation_failures(void **state) {
  (void)state;
  const int64_t n = 20000;
  static const uint32_t ids[20000]; /* one group */
  struct tr_sort_key keys[] = {{column(TR_STR, n, 2), false}, {column(TR_F64, n, 3), true}};
  enum tr_status st = TR_ERROR;
  for (int at = 1; st != TR_OK; at += 1 + at / 8) {
    struct tr_buffer *rows, *top;
    int64_t n_out;
    tr_mem_fail_at(at);
    st = tr_sort_rows(&ctx, keys, 2, n, false, &rows, &err);
    if (st == TR_OK) {
      st = tr_sort_top(&ctx, keys + 1, 1, n, 10, false, &top, &n_out, &err);
      tr_buffer_unref(top);
    }
    if (st == TR_OK) {
      const struct tr_sort_groups groups = {ids, 1, 3, false};
      st = tr_sort_top_of_groups(&ctx, keys + 1, 1, n, false, &groups, &top, &n_out, &err);
      tr_buffer_unref(top);
    }
    tr_mem_fail_at(0);
    tr_buffer_unref(rows);
  }
  for (int k = 0; k < 2; k++) tr_array_unref(keys[k].array);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_every_kind, setup, teardown),
      cmocka_unit_test_setup_teardown(test_many_keys, setup, teardown),
      cmocka_unit_test_setup_teardown(test_top_of_groups, setup, teardown),
      cmocka_unit_test_setup_teardown(test_long_ties, setup, teardown),
      cmocka_unit_test_setup_teardown(test_missing_first, setup, teardown),
      cmocka_unit_test_setup_teardown(test_is_sorted, setup, teardown),
      cmocka_unit_test_setup_teardown(test_allocation_failures, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
