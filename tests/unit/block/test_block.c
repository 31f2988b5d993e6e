/* Blocks: every dtype and encoding comes back bit for bit; what is cut, changed or lies is an error that names the
 * object, and leaves no memory behind. */
#include "base/mem.h"
#include "data/format/block/block_int.h"
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

static struct tr_ctx ctx;
static struct tr_error err;

static int setup(void **state) {
  (void)state;
  tr_ctx_init(&ctx);
  ctx.threads = 2;
  return 0;
}

enum { N = 5000 }; /* enough that columns are written by several threads */

static struct tr_array *numbers(struct tr_dtype t, int64_t n, uint64_t seed) {
  struct tr_array *a;
  assert_int_equal(tr_array_new(t, n, &a, &err), TR_OK);
  uint8_t *p = tr_array_data(a);
  for (int64_t i = 0; i < n * tr_dtype_width(t); i++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    p[i] = t.kind == TR_BOOL ? (uint8_t)(seed >> 63) : (uint8_t)(seed >> 56 & (i % 3 ? 0xff : 3));
  }
  return a;
}

static struct tr_array *texts(int64_t n, int64_t n_distinct) {
  struct tr_text_builder b;
  struct tr_array *a;
  assert_int_equal(tr_text_builder_init(&b, n, &err), TR_OK);
  for (int64_t i = 0; i < n; i++) {
    char s[64];
    int len = snprintf(s, sizeof s, "%lld%.*s", (long long)(i % n_distinct), (int)(i % n_distinct % 40),
                       "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
    assert_int_equal(tr_text_builder_add(&b, n_distinct < n && i % 7 == 3 ? NULL : s, len, &err), TR_OK);
  }
  assert_int_equal(tr_text_builder_finish(&b, &a, &err), TR_OK);
  return a;
}

static struct tr_array *coded(struct tr_dtype t, int64_t n, struct tr_array *dict) {
  struct tr_array *a;
  assert_int_equal(tr_array_new_dict(t, n, dict, &a, &err), TR_OK);
  for (int64_t i = 0; i < n; i++) ((int32_t *)tr_array_data(a))[i] = (int32_t)(i % (dict->length + 1)) - 1;
  tr_array_unref(dict);
  return a;
}

static struct tr_frame *make_frame(int64_t n) {
  struct tr_array *cols[24] = {NULL};
  struct tr_frame *f;
  int k = 1; /* column 0 is absent */
  for (int kind = TR_BOOL; kind <= TR_F64; kind++) cols[k++] = numbers(tr_dtype_of((enum tr_kind)kind), n, 7);
  cols[k++] = numbers(tr_dtype_unit(TR_DATETIME, TR_US), n, 8);
  cols[k++] = numbers(tr_dtype_unit(TR_TIMEDELTA, TR_NS), n, 9);
  cols[k++] = texts(n, 300);
  cols[k++] = texts(n, INT32_MAX);
  cols[k++] = coded(tr_dtype_of(TR_STR), n, texts(20, INT32_MAX));
  cols[k++] = coded(tr_dtype_of(TR_STR), n, texts(9000, INT32_MAX)); /* more values than rows: written plain */
  cols[k++] = coded((struct tr_dtype){.kind = TR_CATEGORY, .ordered = 1}, n, texts(9, INT32_MAX));
  cols[k++] = coded(tr_dtype_of(TR_CATEGORY), n, numbers(tr_dtype_of(TR_I64), 50, 3));
  assert_int_equal(tr_frame_new(n, k, cols, &f, &err), TR_OK);
  for (int i = 0; i < k; i++) tr_array_unref(cols[i]);
  return f;
}

static void same_array(struct tr_array *a, struct tr_array *b) {
  assert_true(tr_dtype_eq(a->dtype, b->dtype));
  assert_int_equal(a->length, b->length);
  struct tr_array *x, *y;
  if (a->dtype.kind == TR_STR) {
    assert_int_equal(tr_array_decode(&ctx, a, &x, &err), TR_OK);
    assert_int_equal(tr_array_decode(&ctx, b, &y, &err), TR_OK);
    for (int64_t i = 0; i < a->length; i++) assert_true(tr_view_eq(x, tr_array_views(x) + i, y, tr_array_views(y) + i));
    tr_array_unref(x);
    tr_array_unref(y);
    return;
  }
  int width = a->enc == TR_DICT ? 4 : tr_dtype_width(a->dtype);
  assert_int_equal(a->enc, b->enc);
  assert_memory_equal(tr_array_data(a), tr_array_data(b), (size_t)(a->length * width));
  if (a->enc == TR_DICT) same_array(a->dict, b->dict);
}

static void write_object(struct tr_block_writer *w, bool compress, struct tr_frame *const *frames, int n) {
  assert_int_equal(tr_block_begin(w, compress, &err), TR_OK);
  for (int i = 0; i < n; i++) {
    assert_int_equal(tr_block_segment(w, &err), TR_OK);
    if (frames[i]) assert_int_equal(tr_block_add(&ctx, w, frames[i], &err), TR_OK);
  }
  assert_int_equal(tr_block_finish(w, &err), TR_OK);
}

static void test_round_trip(void **state) {
  (void)state;
  size_t used = tr_mem_used();
  for (int compress = 0; compress < 2; compress++) {
    struct tr_frame *frames[] = {make_frame(N), NULL, make_frame(0), make_frame(3)};
    struct tr_block_writer w;
    write_object(&w, compress, frames, 4);
    int64_t at, size;
    const uint8_t *tail = w.bytes + w.size - TR_BLOCK_TAIL_BYTES;
    struct tr_block_segment *segments;
    int n;
    assert_int_equal(tr_block_tail(tail, (int64_t)w.size, "x", &at, &size, &err), TR_OK);
    assert_int_equal(tr_block_index(w.bytes + at, size, tail, "x", &segments, &n, &err), TR_OK);
    assert_int_equal(n, 4);
    for (int i = 0; i < 4; i++) {
      struct tr_block_cursor c = {w.bytes + segments[i].offset, segments[i].bytes, "x"};
      struct tr_frame *f;
      assert_int_equal(tr_block_next(&ctx, &c, NULL, -1, &f, &err), TR_OK);
      assert_int_equal(f != NULL, frames[i] != NULL);
      if (!f) continue;
      assert_int_equal(segments[i].rows, frames[i]->n_rows);
      assert_int_equal(f->n_rows, frames[i]->n_rows);
      assert_int_equal(f->n_cols, frames[i]->n_cols);
      assert_null(f->cols[0]);
      for (int k = 1; k < f->n_cols; k++) same_array(f->cols[k], frames[i]->cols[k]);
      tr_frame_unref(f);
      tr_frame_unref(frames[i]);
      assert_int_equal(c.left, 0);
    }
    free(segments);
    tr_block_drop(&w);
  }
  assert_int_equal(tr_mem_used(), used);
}

static void test_needed_columns(void **state) {
  (void)state;
  struct tr_frame *f = make_frame(10), *got;
  struct tr_block_writer w;
  bool need[24] = {0};
  need[3] = need[14] = need[18] = true;
  write_object(&w, true, &f, 1);
  struct tr_block_cursor c = {w.bytes + TR_BLOCK_MAGIC_BYTES, w.segments[0].bytes, "x"};
  assert_int_equal(tr_block_next(&ctx, &c, need, f->n_cols, &got, &err), TR_OK);
  for (int i = 0; i < f->n_cols; i++) {
    assert_int_equal(got->cols[i] != NULL, need[i]);
    if (need[i]) same_array(got->cols[i], f->cols[i]);
  }
  tr_frame_unref(got);
  c = (struct tr_block_cursor){w.bytes + TR_BLOCK_MAGIC_BYTES, w.segments[0].bytes, "x"};
  assert_int_equal(tr_block_next(&ctx, &c, need, f->n_cols + 1, &got, &err), TR_ERROR);
  assert_string_equal(err.text, "block 'x': a frame of other columns");
  tr_frame_unref(f);
  tr_block_drop(&w);
}

/* Each byte changed in turn: caught by the checksum. With the checksum made right again: an error or a frame, never
 * memory that is not ours (seen by the sanitizers). */
static void test_changed(void **state) {
  (void)state;
  struct tr_frame *f = make_frame(5), *got;
  struct tr_block_writer w;
  write_object(&w, true, &f, 1);
  int64_t n = w.segments[0].bytes;
  uint8_t *copy = malloc((size_t)n);
  size_t used = tr_mem_used();
  for (int64_t i = 0; i < n; i++)
    for (int mended = 0; mended < 2; mended++) {
      memcpy(copy, w.bytes + TR_BLOCK_MAGIC_BYTES, (size_t)n);
      copy[i] ^= (uint8_t)(1 << (i % 8));
      struct tr_frame_head head;
      memcpy(&head, copy, sizeof head);
      if (mended && head.total >= (int64_t)sizeof head && head.total <= n) {
        head.hash = XXH3_64bits_withSeed(copy + sizeof head, (size_t)head.total - sizeof head, tr_frame_seed(&head));
        memcpy(copy, &head, sizeof head);
      }
      struct tr_block_cursor c = {copy, n, "x"};
      enum tr_status st = tr_block_next(&ctx, &c, NULL, -1, &got, &err);
      if (!mended) assert_int_equal(st, TR_ERROR);
      if (st == TR_OK) tr_frame_unref(got);
      else assert_int_equal(strncmp(err.text, "block 'x': ", 11), 0);
      assert_int_equal(tr_mem_used(), used);
    }
  for (int64_t cut = 1; cut < n; cut++) {
    struct tr_block_cursor c = {w.bytes + TR_BLOCK_MAGIC_BYTES, cut, "x"};
    assert_int_equal(tr_block_next(&ctx, &c, NULL, -1, &got, &err), TR_ERROR);
  }
  free(copy);
  tr_frame_unref(f);
  tr_block_drop(&w);
}

static void test_changed_index(void **state) {
  (void)state;
  struct tr_frame *f = make_frame(5);
  struct tr_block_writer w;
  write_object(&w, true, &f, 1);
  for (size_t i = w.size - TR_BLOCK_TAIL_BYTES - sizeof(struct tr_block_segment); i < w.size; i++) {
    int64_t at, size;
    struct tr_block_segment *segments;
    int n;
    w.bytes[i] ^= 64;
    const uint8_t *tail = w.bytes + w.size - TR_BLOCK_TAIL_BYTES;
    enum tr_status st = tr_block_tail(tail, (int64_t)w.size, "x", &at, &size, &err);
    if (st == TR_OK) st = tr_block_index(w.bytes + at, size, tail, "x", &segments, &n, &err);
    assert_int_equal(st, TR_ERROR);
    w.bytes[i] ^= 64;
  }
  tr_frame_unref(f);
  tr_block_drop(&w);
}

/* Frames as the fuzz target wants them, for tests/fuzz/corpus/fuzz_block. */
static int write_corpus(const char *folder) {
  static const int64_t rows[] = {0, 1, 5, 40};
  for (int i = 0; i < 8; i++) {
    struct tr_frame *f = make_frame(rows[i / 2]);
    struct tr_block_writer w;
    char path[1000];
    write_object(&w, i % 2, &f, 1);
    snprintf(path, sizeof path, "%s/%lld_rows_%s", folder, (long long)rows[i / 2], i % 2 ? "packed" : "plain");
    FILE *file = fopen(path, "wb");
    if (!file) return 1;
    fwrite(w.bytes + TR_BLOCK_MAGIC_BYTES, 1, (size_t)w.segments[0].bytes, file);
    fclose(file);
    tr_frame_unref(f);
    tr_block_drop(&w);
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 2) {
    setup(NULL);
    return write_corpus(argv[1]);
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_needed_columns),
                                     cmocka_unit_test(test_changed), cmocka_unit_test(test_changed_index)};
  return cmocka_run_group_tests(tests, setup, NULL);
}
