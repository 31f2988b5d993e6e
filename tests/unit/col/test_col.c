/* Buffers, arrays, dictionaries: ownership (memory in use returns to where it was), slices, concat, encode and decode.
 */
#include "base/mem.h"
#include "data/col/col.h"
#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

static struct tr_ctx ctx;
static struct tr_error err;
static size_t used_before;

static const char *const WORDS[] = {"",
                                    "a",
                                    "hello world!",
                                    "hello world, this is long",
                                    NULL,
                                    "żółw",
                                    "a\0b",
                                    "hello world, this is lonh",
                                    "hello world",
                                    "zz"};
enum { N_WORDS = 10 };

static int64_t word_size(const char *w) {
  return w && w[0] == 'a' && w[1] == 0 && w == WORDS[6] ? 3 : w ? (int64_t)strlen(w) : -1;
}

static int setup(void **state) {
  (void)state;
  tr_ctx_init(&ctx);
  ctx.threads = 2;
  ctx.morsel_rows = 3;
  used_before = tr_mem_used();
  return 0;
}

static int teardown(void **state) {
  (void)state;
  tr_mem_fail_at(0);
  assert_int_equal(tr_mem_used(), used_before);
  return 0;
}

static struct tr_array *text(int64_t n, int step) {
  struct tr_text_builder b;
  struct tr_array *a;
  assert_int_equal(tr_text_builder_init(&b, 0, &err), TR_OK);
  for (int64_t i = 0; i < n; i++) {
    const char *w = WORDS[(i * step) % N_WORDS];
    assert_int_equal(tr_text_builder_add(&b, w, word_size(w), &err), TR_OK);
  }
  assert_int_equal(tr_text_builder_finish(&b, &a, &err), TR_OK);
  return a;
}

static void check_text(struct tr_array *a, int64_t begin, int64_t n, int step, int64_t at) {
  struct tr_array *plain;
  assert_int_equal(tr_array_decode(&ctx, a, &plain, &err), TR_OK);
  const struct tr_view *v = tr_array_views(plain);
  for (int64_t i = 0; i < n; i++) {
    const char *w = WORDS[((begin + i) * step) % N_WORDS];
    assert_int_equal(v[at + i].size, word_size(w));
    if (w) assert_memory_equal(tr_view_bytes(plain, v + at + i), w, (size_t)word_size(w));
  }
  tr_array_unref(plain);
}

static void test_builder_and_encode(void **state) {
  (void)state;
  for (int zero = 0; zero < 2; zero++) {
    ctx.hash_zero = zero;
    struct tr_array *a = text(1000, 3), *d, *s, *none;
    assert_int_equal(tr_array_null_count(a), 100);
    assert_int_equal(tr_array_encode(&ctx, a, 100, &d, &err), TR_OK);
    assert_non_null(d);
    assert_int_equal(d->enc, TR_DICT);
    assert_int_equal(d->dict->length, 9);
    assert_int_equal(tr_array_null_count(d), 100);
    check_text(d, 0, 1000, 3, 0);
    assert_int_equal(tr_array_slice(d, 7, 500, &s, &err), TR_OK);
    check_text(s, 7, 500, 3, 0);
    assert_int_equal(tr_array_encode(&ctx, a, 8, &none, &err), TR_OK);
    assert_null(none);
    tr_array_unref(s);
    tr_array_unref(a);
    tr_array_unref(d);
  }
}

static void test_encode_many_chunks(void **state) {
  (void)state;
  struct tr_text_builder b;
  struct tr_array *a, *d;
  char w[40];
  enum { N = 60000 };
  assert_int_equal(tr_text_builder_init(&b, N, &err), TR_OK);
  for (int i = 0; i < N; i++) {
    snprintf(w, sizeof w, i % 2 ? "%d" : "a long text number %d", (int)((unsigned)i * 2654435761u % 20011));
    assert_int_equal(tr_text_builder_add(&b, w, (int64_t)strlen(w), &err), TR_OK);
  }
  assert_int_equal(tr_text_builder_finish(&b, &a, &err), TR_OK);
  assert_int_equal(tr_array_encode(&ctx, a, N, &d, &err), TR_OK);
  const int32_t *c = tr_array_codes(d);
  int32_t next = 0;
  for (int i = 0; i < N; i++) {
    assert_in_range(c[i], 0, next);
    if (c[i] == next) next++;
    assert_true(tr_view_eq(d->dict, tr_array_views(d->dict) + c[i], a, tr_array_views(a) + i));
  }
  assert_int_equal(next, d->dict->length);
  tr_array_unref(a);
  tr_array_unref(d);
}

static void test_concat_text(void **state) {
  (void)state;
  struct tr_array *a = text(50, 1), *b = text(40, 7), *s, *d1, *d2, *out;
  assert_int_equal(tr_array_slice(a, 5, 30, &s, &err), TR_OK);
  assert_int_equal(tr_array_encode(&ctx, s, 100, &d1, &err), TR_OK);
  assert_int_equal(tr_array_encode(&ctx, b, 100, &d2, &err), TR_OK);
  struct tr_array *sets[3][3] = {{s, b, s}, {d1, d2, d1}, {d1, b, s}};
  for (int k = 0; k < 3; k++) {
    assert_int_equal(tr_array_concat(&ctx, sets[k], 3, &out, &err), TR_OK);
    assert_int_equal(out->length, 100);
    assert_int_equal(out->enc, k == 1 ? TR_DICT : TR_PLAIN);
    check_text(out, 5, 30, 1, 0);
    check_text(out, 0, 40, 7, 30);
    check_text(out, 5, 30, 1, 70);
    tr_array_unref(out);
  }
  tr_array_unref(a);
  tr_array_unref(b);
  tr_array_unref(s);
  tr_array_unref(d1);
  tr_array_unref(d2);
}

static void test_concat_fixed(void **state) {
  (void)state;
  struct tr_array *a, *s, *e, *out;
  assert_int_equal(tr_array_new(tr_dtype_of(TR_I16), 20, &a, &err), TR_OK);
  for (int i = 0; i < 20; i++) ((int16_t *)tr_array_data(a))[i] = (int16_t)i;
  assert_int_equal(tr_array_slice(a, 3, 9, &s, &err), TR_OK);
  assert_int_equal(tr_array_slice(a, 3, 0, &e, &err), TR_OK);
  struct tr_array *all[] = {e, s, e, a, e};
  assert_int_equal(tr_array_concat(&ctx, all, 5, &out, &err), TR_OK);
  assert_int_equal(out->length, 29);
  const int16_t *v = tr_array_data(out);
  for (int i = 0; i < 29; i++) assert_int_equal(v[i], i < 9 ? i + 3 : i - 9);
  tr_array_unref(a);
  tr_array_unref(s);
  tr_array_unref(e);
  tr_array_unref(out);
}

static void test_dict_merge_keeps_first(void **state) {
  (void)state;
  struct tr_array *a = text(4, 1), *b = text(3, 1), *m;
  int32_t *codes, found[4];
  struct tr_array *dicts[] = {a, b};
  assert_int_equal(tr_dict_merge(&ctx, dicts, 2, &m, &codes, &err), TR_OK);
  assert_ptr_equal(m, a);
  for (int i = 0; i < 7; i++) assert_int_equal(codes[i], i % 4);
  tr_mem_free(codes, 7 * 4);
  tr_array_unref(m);
  assert_int_equal(tr_dict_find(&ctx, b, a, found, &err), TR_OK);
  for (int i = 0; i < 4; i++) assert_int_equal(found[i], i < 3 ? i : -1);
  tr_array_unref(a);
  tr_array_unref(b);
}

static int released;
static void count_release(void *arg) { released += *(int *)arg; }

static void test_foreign(void **state) {
  (void)state;
  static const double values[] = {1, __builtin_nan(""), 3};
  struct tr_buffer *b;
  struct tr_array *a, *s;
  int one = 1;
  assert_int_equal(tr_buffer_foreign(values, sizeof values, count_release, &one, &b, &err), TR_OK);
  assert_int_equal(tr_array_from_buffer(tr_dtype_of(TR_F64), 3, b, &a, &err), TR_OK);
  assert_int_equal(tr_array_slice(a, 1, 2, &s, &err), TR_OK);
  tr_array_unref(a);
  assert_int_equal(released, 0);
  assert_int_equal(tr_array_null_count(s), 1);
  tr_array_unref(s);
  assert_int_equal(released, 1);
}

static void test_allocation_failures(void **state) {
  (void)state;
  struct tr_array *a = text(50, 1), *b = text(50, 7), *d1, *d2, *out;
  for (int n = 1;; n++) {
    d1 = d2 = out = NULL;
    tr_mem_fail_at(n);
    enum tr_status st = tr_array_encode(&ctx, a, 100, &d1, &err);
    if (st == TR_OK) st = tr_array_encode(&ctx, b, 100, &d2, &err);
    struct tr_array *dicts[] = {d1, d2}, *mixed[] = {a, d1};
    if (st == TR_OK) st = tr_array_concat(&ctx, dicts, 2, &out, &err);
    if (st == TR_OK) {
      tr_array_unref(out);
      st = tr_array_concat(&ctx, mixed, 2, &out, &err);
    }
    tr_mem_fail_at(0);
    tr_array_unref(d1);
    tr_array_unref(d2);
    tr_array_unref(out);
    if (st == TR_OK) break;
    assert_int_equal(err.exc, TR_EXC_MEMORY);
  }
  tr_array_unref(a);
  tr_array_unref(b);
}

static void test_frame_and_nulls(void **state) {
  (void)state;
  struct tr_array *a, *d;
  struct tr_frame *f;
  for (int k = 0; k < TR_N_KINDS; k++) {
    bool can = k == TR_STR || tr_kind_is_float(k) || tr_kind_is_time(k);
    assert_int_equal(tr_array_new_null(tr_dtype_of((enum tr_kind)k), 5, &a, &err), can ? TR_OK : TR_UNSUPPORTED);
    if (!can) continue;
    a->null_count = -1;
    assert_int_equal(tr_array_null_count(a), 5);
    assert_int_equal(tr_frame_new(4, 1, &a, &f, &err), TR_ERROR);
    assert_int_equal(tr_frame_new(5, 1, &a, &f, &err), TR_OK);
    tr_array_unref(a);
    tr_frame_unref(tr_frame_ref(f));
    tr_frame_unref(f);
  }
  a = text(0, 1);
  assert_int_equal(tr_array_encode(&ctx, a, 0, &d, &err), TR_OK);
  assert_int_equal(d->length, 0);
  tr_array_unref(a);
  tr_array_unref(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_builder_and_encode, setup, teardown),
      cmocka_unit_test_setup_teardown(test_encode_many_chunks, setup, teardown),
      cmocka_unit_test_setup_teardown(test_concat_text, setup, teardown),
      cmocka_unit_test_setup_teardown(test_concat_fixed, setup, teardown),
      cmocka_unit_test_setup_teardown(test_dict_merge_keeps_first, setup, teardown),
      cmocka_unit_test_setup_teardown(test_foreign, setup, teardown),
      cmocka_unit_test_setup_teardown(test_allocation_failures, setup, teardown),
      cmocka_unit_test_setup_teardown(test_frame_and_nulls, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
