/* Damaged files: every byte of small files changed in three ways, and every truncation, must give an error or an answer
 * of the right shape. Takes the folder of small files and, if it is there, one with the parquet-testing files, which
 * are only read whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "data/format/parquet/parquet.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *corpus, *testing;
static struct tr_ctx ctx;
static struct tr_error err;

static void check_views(const struct tr_array *a) {
  const struct tr_view *v = tr_array_views(a);
  for (int64_t i = 0; i < a->length; i++) {
    if (v[i].size <= TR_VIEW_INLINE) continue;
    assert_in_range(v[i].heap, 0, a->n_heaps - 1);
    assert_true(v[i].offset >= 0 && (int64_t)v[i].offset + v[i].size <= a->heaps[v[i].heap]->size);
  }
}

/* Reads all supported columns, each alone. Gives how many could be read, -1 when the file does not open. */
static int read_all(const char *path) {
  struct tr_parquet_file *f;
  size_t before = tr_mem_used();
  int good = 0;
  err.text[0] = 0;
  if (tr_parquet_open(path, &f, &err) != TR_OK) {
    assert_true(err.text[0]);
    return -1;
  }
  for (int i = 0; i < f->n_cols; i++) {
    struct tr_frame *frame = NULL;
    err.text[0] = 0;
    enum tr_status st = tr_parquet_read(&ctx, &f, 1, NULL, &i, 1, &frame, &err);
    if (st != TR_OK) {
      assert_true(err.text[0]);
      assert_null(frame);
      continue;
    }
    const struct tr_array *a = frame->cols[0];
    assert_int_equal(frame->n_rows, f->n_rows);
    assert_int_equal(a->length, f->n_rows);
    if (a->enc == TR_DICT) {
      check_views(a->dict);
      for (int64_t r = 0; r < a->length; r++)
        assert_true(tr_array_codes(a)[r] >= -1 && tr_array_codes(a)[r] < a->dict->length);
    } else if (a->dtype.kind == TR_STR) {
      check_views(a);
    }
    tr_frame_unref(frame);
    good++;
  }
  tr_parquet_close(f);
  assert_int_equal(tr_mem_used(), before);
  return good;
}

static int read_bytes(const uint8_t *data, size_t n) {
  char path[64];
  int fd = memfd_create("damaged", MFD_CLOEXEC);
  assert_true(fd >= 0 && write(fd, data, n) == (ssize_t)n);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int good = read_all(path);
  close(fd);
  return good;
}

static uint8_t *load(const char *folder, const char *name, size_t *n) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  fseek(f, 0, SEEK_END);
  *n = (size_t)ftell(f);
  rewind(f);
  uint8_t *data = malloc(*n + 1);
  assert_true(data && fread(data, 1, *n, f) == *n);
  fclose(f);
  return data;
}

static void damage(const char *name, size_t step) {
  size_t n;
  uint8_t *data = load(corpus, name, &n);
  assert_true(read_bytes(data, n) > 0);
  for (size_t i = 0; i < n; i += step) {
    const uint8_t was = data[i], tries[] = {(uint8_t)~was, (uint8_t)(was + 1), (uint8_t)(was ^ 0x80)};
    for (int k = 0; k < 3; k++) {
      data[i] = tries[k];
      read_bytes(data, n);
    }
    data[i] = was;
  }
  for (size_t i = 0; i < n; i += step) assert_int_equal(read_bytes(data, i), -1);
  free(data);
}

static void test_bytes(void **state) {
  (void)state;
  static const char *const names[] = {"none-v1", "none-v2", "maybe-float", "nested", "int96"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) damage(names[i], 1);
}

static void test_bytes_compressed(void **state) {
  (void)state;
  static const char *const names[] = {"snappy-v1", "snappy-v2", "gzip-v1", "zstd-v2", "fallback", "plain-groups"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) damage(names[i], 3);
}

/* A dictionary that comes when texts are being numbered already, and is larger than their table. */
static void test_late_dictionary(void **state) {
  (void)state;
  char name[4096];
  snprintf(name, sizeof name, "%s/late-dictionary", corpus);
  assert_int_equal(read_all(name), 1);
}

/* The middle of the file is missing: offsets point past the data. */
static void test_holes(void **state) {
  (void)state;
  size_t n;
  uint8_t *data = load(corpus, "snappy-v1", &n);
  for (size_t cut = 1; cut + 900 < n; cut += 7) {
    uint8_t *copy = malloc(n);
    memcpy(copy, data, 4);
    memcpy(copy + 4, data + 4 + cut, n - 4 - cut);
    read_bytes(copy, n - cut);
    free(copy);
  }
  free(data);
}

static void test_parquet_testing(void **state) {
  (void)state;
  DIR *dir = opendir(testing);
  int opened = 0, refused = 0, columns = 0;
  if (!dir) {
    print_message("parquet-testing files are not here: skipped\n");
    skip();
  }
  for (struct dirent *e; (e = readdir(dir));) {
    char path[4096];
    if (!strstr(e->d_name, ".parquet")) continue;
    snprintf(path, sizeof path, "%s/%s", testing, e->d_name);
    int good = read_all(path);
    if (good < 0) print_message("%s: %s\n", e->d_name, err.text);
    opened += good >= 0;
    refused += good < 0;
    columns += good > 0 ? good : 0;
  }
  closedir(dir);
  print_message("%d files opened, %d columns read\n", opened, columns);
  assert_int_equal(refused, 0);
  assert_true(opened > 0 && columns >= 30);
}

int main(int argc, char **argv) {
  corpus = argc > 1 ? argv[1] : "";
  testing = argc > 2 ? argv[2] : "";
  tr_ctx_init(&ctx);
  ctx.threads = 1;
  tr_mem_set_budget((size_t)256 << 20);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bytes), cmocka_unit_test(test_bytes_compressed), cmocka_unit_test(test_late_dictionary),
      cmocka_unit_test(test_holes), cmocka_unit_test(test_parquet_testing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
