/* Parquet files written and read again: every dtype, missing values, slices, row groups, codecs, thread counts, hash
 * collisions, failing allocations, what errors say and leave behind. (That others read our files and we theirs is
 * tested by peers.py.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "data/format/parquet/parquet.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct tr_ctx ctx;
static struct tr_error err;
static size_t used_before;
static char folder[64], path[128];

static int setup(void **state) {
  (void)state;
  tr_ctx_init(&ctx);
  ctx.threads = 2;
  used_before = tr_mem_used();
  strcpy(folder, "/tmp/terality-parquet-XXXXXX");
  if (!mkdtemp(folder)) return 1;
  snprintf(path, sizeof path, "%s/x.parquet", folder);
  return 0;
}

static int entries_left(void) {
  DIR *dir = opendir(folder);
  int n = 0;
  while (dir && readdir(dir)) n++;
  if (dir) closedir(dir);
  return n - 2;
}

static int teardown(void **state) {
  (void)state;
  unlink(path);
  assert_int_equal(entries_left(), 0);
  rmdir(folder);
  assert_int_equal(tr_mem_used(), used_before);
  return 0;
}

static const char *const words[] = {"",        "a", "exactly12byt", "thirteen byte", "a text of more than twelve bytes",
                                    "\xc3\xa9"};
enum { N_WORDS = 6 };

static struct tr_array *make_text(int64_t n, bool distinct, bool missing) {
  struct tr_text_builder b;
  struct tr_array *a;
  char own[64];
  assert_int_equal(tr_text_builder_init(&b, n, &err), TR_OK);
  for (int64_t i = 0; i < n; i++) {
    const char *s = words[i % N_WORDS];
    if (distinct) {
      snprintf(own, sizeof own, "number %lld", (long long)i * 7919);
      s = own;
    }
    assert_int_equal(tr_text_builder_add(&b, missing && i % 5 == 3 ? NULL : s, (int64_t)strlen(s), &err), TR_OK);
  }
  assert_int_equal(tr_text_builder_finish(&b, &a, &err), TR_OK);
  return a;
}

static struct tr_array *make_codes(struct tr_dtype dtype, struct tr_array *dict, int64_t n, bool missing) {
  struct tr_array *a;
  assert_int_equal(tr_array_new_dict(dtype, n, dict, &a, &err), TR_OK);
  for (int64_t i = 0; i < n; i++)
    ((int32_t *)tr_array_data(a))[i] = missing && i % 4 == 1 ? -1 : (int32_t)(i * 5 % dict->length);
  tr_array_unref(dict);
  return a;
}

static struct tr_array *make_fixed(struct tr_dtype dtype, int64_t n) {
  struct tr_array *a;
  assert_int_equal(tr_array_new(dtype, n, &a, &err), TR_OK);
  for (int64_t i = 0; i < n; i++) {
    uint8_t *p = (uint8_t *)tr_array_data(a) + i * tr_dtype_width(dtype);
    uint64_t bits = (uint64_t)i * 0x9e3779b97f4a7c15ull >> (i % 3 ? 0 : 40);
    const double specials[] = {0.0, -0.0, NAN, INFINITY, -INFINITY, 1.5};
    if (dtype.kind == TR_BOOL) *p = i % 3 == 0;
    else if (dtype.kind == TR_F64) *(double *)p = i % 2 ? specials[i / 2 % 6] : (double)i / 7;
    else if (dtype.kind == TR_F32) *(float *)p = i % 2 ? (float)specials[i / 2 % 6] : (float)i / 7;
    else if (tr_kind_is_time(dtype.kind)) *(int64_t *)p = i % 6 == 2 ? TR_NAT : (int64_t)(bits >> 16);
    else memcpy(p, &bits, (size_t)tr_dtype_width(dtype));
  }
  return a;
}

enum { N_COLS = 26 };

static struct tr_frame *make_frame(int64_t n) {
  struct tr_array *c[N_COLS];
  int k = 0;
  for (int kind = TR_BOOL; kind <= TR_F64; kind++) c[k++] = make_fixed(tr_dtype_of((enum tr_kind)kind), n);
  for (int unit = TR_MS; unit <= TR_NS; unit++) c[k++] = make_fixed(tr_dtype_unit(TR_DATETIME, (enum tr_unit)unit), n);
  for (int unit = TR_S; unit <= TR_NS; unit++) c[k++] = make_fixed(tr_dtype_unit(TR_TIMEDELTA, (enum tr_unit)unit), n);
  c[k++] = make_text(n, false, false);
  c[k++] = make_text(n, false, true);
  c[k++] = make_text(n, true, false);
  c[k++] = make_text(n, true, true);
  c[k++] = make_codes(tr_dtype_of(TR_STR), make_text(N_WORDS, false, false), n, false);
  c[k++] = make_codes(tr_dtype_of(TR_STR), make_text(500, true, false), n, true);
  struct tr_dtype ordered = {.kind = TR_CATEGORY, .ordered = 1};
  c[k++] = make_codes(tr_dtype_of(TR_CATEGORY), make_text(N_WORDS, false, false), n, true);
  c[k++] = make_codes(ordered, make_text(500, true, false), n, false);
  assert_int_equal(k, N_COLS);
  struct tr_frame *f;
  assert_int_equal(tr_frame_new(n, k, c, &f, &err), TR_OK);
  for (int i = 0; i < k; i++) tr_array_unref(c[i]);
  return f;
}

static const char *const *make_names(void) {
  static char text[N_COLS][16];
  static const char *names[N_COLS];
  for (int i = 0; i < N_COLS; i++) {
    snprintf(text[i], sizeof text[i], "c%d", i);
    names[i] = text[i];
  }
  return names;
}

/* Text of row i, or NULL. */
static const char *text_at(struct tr_array *a, int64_t i, int32_t *size) {
  const struct tr_array *of = a;
  const struct tr_view *v;
  if (a->enc == TR_DICT) {
    int32_t c = tr_array_codes(a)[i];
    if (c < 0) return NULL;
    of = a->dict;
    v = &tr_array_views(of)[c];
  } else {
    v = &tr_array_views(a)[i];
  }
  *size = v->size;
  return v->size < 0 ? NULL : tr_view_bytes(of, v);
}

static void assert_equal_arrays(struct tr_array *a, struct tr_array *b, int64_t offset) {
  assert_true(tr_dtype_eq(a->dtype, b->dtype));
  int w = tr_dtype_width(a->dtype);
  for (int64_t i = 0; i < b->length; i++) {
    if (a->dtype.kind == TR_STR || a->dtype.kind == TR_CATEGORY) {
      int32_t m = 0, n = 0;
      const char *x = text_at(a, i + offset, &m), *y = text_at(b, i, &n);
      assert_true(!x == !y);
      if (x) assert_true(m == n && memcmp(x, y, (size_t)m) == 0);
    } else {
      const uint8_t *x = (uint8_t *)tr_array_data(a) + (i + offset) * w, *y = (uint8_t *)tr_array_data(b) + i * w;
      bool nan = (a->dtype.kind == TR_F64 && isnan(*(double *)x) && isnan(*(double *)y)) ||
                 (a->dtype.kind == TR_F32 && isnan(*(float *)x) && isnan(*(float *)y));
      assert_true(nan || memcmp(x, y, (size_t)w) == 0);
    }
  }
}

static enum tr_status read_back(struct tr_parquet_file **f, struct tr_frame **frame) {
  int cols[N_COLS];
  *frame = NULL;
  enum tr_status st = tr_parquet_open(path, f, &err);
  if (st != TR_OK) return st;
  for (int i = 0; i < (*f)->n_cols; i++) cols[i] = i;
  st = tr_parquet_read(&ctx, f, 1, NULL, cols, (*f)->n_cols, frame, &err);
  if (st != TR_OK) tr_parquet_close(*f);
  return st;
}

static void round_trip(struct tr_frame *frame, int64_t begin, int64_t n, const struct tr_parquet_write_options *opt) {
  struct tr_frame *part = frame, *back;
  struct tr_array *cols[N_COLS];
  struct tr_parquet_file *f;
  for (int i = 0; i < frame->n_cols; i++)
    assert_int_equal(tr_array_slice(frame->cols[i], begin, n, &cols[i], &err), TR_OK);
  assert_int_equal(tr_frame_new(n, frame->n_cols, cols, &part, &err), TR_OK);
  for (int i = 0; i < frame->n_cols; i++) tr_array_unref(cols[i]);
  assert_int_equal(tr_parquet_write(&ctx, path, part, make_names(), opt, &err), TR_OK);
  enum tr_status st = read_back(&f, &back);
  if (n == 0) {
    assert_int_equal(st, TR_UNSUPPORTED); /* categories without rows */
  } else {
    assert_string_equal(st == TR_OK ? "" : err.text, "");
    assert_int_equal(back->n_rows, n);
    for (int i = 0; i < back->n_cols; i++) assert_equal_arrays(frame->cols[i], back->cols[i], begin);
    tr_frame_unref(back);
    tr_parquet_close(f);
  }
  tr_frame_unref(part);
}

static void test_round_trip(void **state) {
  (void)state;
  static const int64_t sizes[] = {0, 1, 2, 8, 9, 65, 1000};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    struct tr_frame *f = make_frame(sizes[s]);
    for (int codec = TR_CODEC_NONE; codec <= TR_CODEC_ZSTD; codec++) {
      struct tr_parquet_write_options opt = {.codec = (enum tr_codec)codec,
                                             .row_group_rows = codec == TR_CODEC_GZIP ? 7 : 0};
      ctx.threads = codec % 2 + 1;
      round_trip(f, 0, sizes[s], &opt);
    }
    if (sizes[s] > 8) round_trip(f, 5, sizes[s] - 8, NULL);
    tr_frame_unref(f);
  }
}

static void test_collisions(void **state) {
  (void)state;
  struct tr_frame *f = make_frame(400);
  ctx.hash_zero = true;
  struct tr_parquet_write_options opt = {.codec = TR_CODEC_SNAPPY, .row_group_rows = 50};
  round_trip(f, 0, 400, &opt);
  tr_frame_unref(f);
}

/* Many distinct texts, more than a dictionary is kept for. */
static void test_many_texts(void **state) {
  (void)state;
  enum { N = 150000 };
  struct tr_array *a = make_text(N, true, true);
  struct tr_frame *f;
  assert_int_equal(tr_frame_new(N, 1, &a, &f, &err), TR_OK);
  struct tr_parquet_write_options opt = {.codec = TR_CODEC_SNAPPY, .row_group_rows = 40000};
  for (ctx.threads = 1; ctx.threads <= 2; ctx.threads++) {
    struct tr_parquet_file *file;
    struct tr_frame *back;
    assert_int_equal(tr_parquet_write(&ctx, path, f, make_names(), &opt, &err), TR_OK);
    assert_int_equal(read_back(&file, &back), TR_OK);
    assert_int_equal(back->cols[0]->enc, TR_PLAIN);
    assert_equal_arrays(a, back->cols[0], 0);
    tr_frame_unref(back);
    tr_parquet_close(file);
  }
  tr_frame_unref(f);
  tr_array_unref(a);
}

static void test_statistics(void **state) {
  (void)state;
  struct tr_frame *f = make_frame(100);
  struct tr_parquet_write_options opt = {
      .codec = TR_CODEC_SNAPPY, .row_group_rows = 60, .pandas_metadata = "{\"a\": 1}"};
  assert_int_equal(tr_parquet_write(&ctx, path, f, make_names(), &opt, &err), TR_OK);
  struct tr_parquet_file *file;
  assert_int_equal(tr_parquet_open(path, &file, &err), TR_OK);
  assert_string_equal(file->pandas_metadata, "{\"a\": 1}");
  assert_int_equal(file->n_row_groups, 2);
  assert_int_equal(file->row_group_rows[1], 40);
  assert_int_equal(tr_parquet_unchanged(file, &err), TR_OK);
  const struct tr_parquet_stats *s = &file->stats[TR_F64];
  assert_true(s->has_min_max && s->has_null_count);
  assert_int_equal(s->null_count, 5);
  assert_true(s->min.f == -INFINITY && s->max.f == INFINITY);
  const struct tr_parquet_stats *t = &file->stats[19]; /* text with missing values */
  assert_int_equal(t->null_count, 12);
  assert_int_equal(t->min.s.len, 0);
  assert_true(t->max.s.len == 2 && memcmp(t->max.s.ptr, "\xc3\xa9", 2) == 0);
  /* One row group only, by its number. */
  const bool keep[] = {false, true}, *keeps[] = {keep};
  int col = 4;
  struct tr_frame *back;
  assert_int_equal(tr_parquet_read(&ctx, &file, 1, keeps, &col, 1, &back, &err), TR_OK);
  assert_int_equal(back->n_rows, 40);
  assert_equal_arrays(f->cols[4], back->cols[0], 60);
  tr_frame_unref(back);
  /* Two files (here: the same one twice) end to end. */
  struct tr_parquet_file *two[] = {file, file};
  int text = 18;
  assert_int_equal(tr_parquet_read(&ctx, two, 2, NULL, &text, 1, &back, &err), TR_OK);
  assert_int_equal(back->n_rows, 200);
  assert_int_equal(back->cols[0]->enc, TR_DICT);
  assert_int_equal(back->cols[0]->dict->length, N_WORDS);
  assert_equal_arrays(back->cols[0], back->cols[0], 0);
  tr_frame_unref(back);
  tr_parquet_close(file);
  tr_frame_unref(f);
}

/* Every allocation of a write and of a read fails once; nothing may leak, nothing may be left in the folder. */
static void test_failing_allocations(void **state) {
  (void)state;
  struct tr_frame *f = make_frame(60);
  struct tr_parquet_write_options opt = {.codec = TR_CODEC_ZSTD, .row_group_rows = 25};
  struct tr_frame *back = NULL;
  struct tr_parquet_file *file;
  ctx.threads = 1;
  enum tr_status st = TR_ERROR;
  size_t used = tr_mem_used();
  for (int n = 1; st != TR_OK; n++) {
    tr_mem_fail_at(n);
    st = tr_parquet_write(&ctx, path, f, make_names(), &opt, &err);
    tr_mem_fail_at(0);
    if (st != TR_OK) assert_int_equal(entries_left(), 0);
    assert_int_equal(tr_mem_used(), used);
  }
  for (int n = 1; !back; n++) {
    tr_mem_fail_at(n);
    st = read_back(&file, &back);
    tr_mem_fail_at(0);
    if (st != TR_OK) assert_int_equal(tr_mem_used(), used);
  }
  for (int i = 0; i < back->n_cols; i++) assert_equal_arrays(f->cols[i], back->cols[i], 0);
  tr_frame_unref(back);
  tr_parquet_close(file);
  tr_frame_unref(f);
}

static void expect_open(enum tr_exc exc, int os_errno, const char *text) {
  struct tr_parquet_file *f;
  assert_int_equal(tr_parquet_open(path, &f, &err), TR_ERROR);
  assert_int_equal(err.exc, exc);
  assert_int_equal(err.os_errno, os_errno);
  if (!strstr(err.text, text)) fail_msg("%s", err.text);
}

static void put_file(const void *data, size_t n) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(data, 1, n, f), n);
  fclose(f);
}

/* The texts are what pyarrow 26 says. */
static void test_open_errors(void **state) {
  (void)state;
  expect_open(TR_EXC_OS, ENOENT, path);
  put_file("", 0);
  expect_open(TR_EXC_ARROW_INVALID, 0, "Parquet file size is 0 bytes");
  put_file("PAR1", 4);
  expect_open(TR_EXC_ARROW_INVALID, 0, "Parquet file size is 4 bytes, smaller than the minimum file footer (8 bytes)");
  put_file("a,b\n1,2\n3,4\n5,6\n", 16);
  expect_open(TR_EXC_ARROW_INVALID, 0,
              "Parquet magic bytes not found in footer. Either the file is corrupted or this is not a parquet file.");
  put_file("PAR1aaaa\xff\xff\xff\x7fPAR1", 16);
  expect_open(TR_EXC_ARROW_INVALID, 0,
              "Parquet file size is 16 bytes, smaller than the size reported by footer's (2147483647bytes)");
  put_file("PAR1\0\0\0\0PAR1", 12);
  expect_open(TR_EXC_OS, 0, "Couldn't deserialize thrift: No more data to read.");
  unlink(path);
  mkdir(path, 0777);
  expect_open(TR_EXC_OS, EISDIR, path);
  rmdir(path);
}

static void expect_write(const struct tr_frame *f, const char *to, int os_errno) {
  assert_int_equal(tr_parquet_write(&ctx, to, f, make_names(), NULL, &err), TR_ERROR);
  assert_int_equal(err.exc, TR_EXC_OS);
  assert_int_equal(err.os_errno, os_errno);
  assert_non_null(strstr(err.text, to));
}

static void test_write_errors(void **state) {
  (void)state;
  struct tr_frame *f = make_frame(2000);
  char other[160];
  snprintf(other, sizeof other, "%s/no/such.parquet", folder);
  expect_write(f, other, ENOENT);
  expect_write(f, folder, EISDIR);
  expect_write(f, "/dev/full", ENOSPC);
  struct rlimit was, low;
  getrlimit(RLIMIT_FSIZE, &was);
  low = was;
  low.rlim_cur = 5000;
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &low);
  put_file("old", 3);
  expect_write(f, path, EFBIG);
  setrlimit(RLIMIT_FSIZE, &was);
  signal(SIGXFSZ, SIG_DFL);
  assert_int_equal(entries_left(), 1); /* the old file, untouched */
  struct stat st;
  assert_true(stat(path, &st) == 0 && st.st_size == 3);
  ctx.cancelled = true;
  assert_int_equal(tr_parquet_write(&ctx, path, f, make_names(), NULL, &err), TR_CANCELLED);
  assert_int_equal(entries_left(), 1);
  tr_frame_unref(f);
}

/* Mode of a new file as open() would give it; of a replaced one kept; links followed. */
static void test_modes(void **state) {
  (void)state;
  struct tr_frame *f = make_frame(10);
  struct stat st;
  char link[160];
  mode_t mask = umask(027);
  assert_int_equal(tr_parquet_write(&ctx, path, f, make_names(), NULL, &err), TR_OK);
  assert_true(stat(path, &st) == 0 && (st.st_mode & 0777) == 0640);
  chmod(path, 0604);
  snprintf(link, sizeof link, "%s/link", folder);
  assert_int_equal(symlink(path, link), 0);
  assert_int_equal(tr_parquet_write(&ctx, link, f, make_names(), NULL, &err), TR_OK);
  assert_true(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
  assert_true(stat(path, &st) == 0 && (st.st_mode & 0777) == 0604);
  umask(mask);
  unlink(link);
  tr_frame_unref(f);
}

static void test_changed_in_place(void **state) {
  (void)state;
  struct tr_frame *f = make_frame(10), *back;
  struct tr_parquet_file *file;
  int col = 0;
  assert_int_equal(tr_parquet_write(&ctx, path, f, make_names(), NULL, &err), TR_OK);
  assert_int_equal(tr_parquet_open(path, &file, &err), TR_OK);
  /* Replaced by rename: the open descriptor still has the old bytes. */
  assert_int_equal(tr_parquet_write(&ctx, path, f, make_names(), NULL, &err), TR_OK);
  assert_int_equal(tr_parquet_read(&ctx, &file, 1, NULL, &col, 1, &back, &err), TR_OK);
  tr_frame_unref(back);
  tr_parquet_close(file);
  assert_int_equal(tr_parquet_open(path, &file, &err), TR_OK);
  assert_int_equal(truncate(path, 100), 0);
  assert_int_equal(tr_parquet_read(&ctx, &file, 1, NULL, &col, 1, &back, &err), TR_ERROR);
  assert_non_null(strstr(err.text, "changed"));
  tr_parquet_close(file);
  tr_frame_unref(f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
      cmocka_unit_test_setup_teardown(test_collisions, setup, teardown),
      cmocka_unit_test_setup_teardown(test_many_texts, setup, teardown),
      cmocka_unit_test_setup_teardown(test_statistics, setup, teardown),
      cmocka_unit_test_setup_teardown(test_failing_allocations, setup, teardown),
      cmocka_unit_test_setup_teardown(test_open_errors, setup, teardown),
      cmocka_unit_test_setup_teardown(test_write_errors, setup, teardown),
      cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
      cmocka_unit_test_setup_teardown(test_changed_in_place, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
