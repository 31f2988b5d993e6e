/* CSV against what pandas made of the same texts (cases.inc, recorded by record.py): under usual and tiny chunks, one
 * and two threads, hashes forced to zero, and with the n-th allocation failing; printed again and compared with to_csv.
 */
#include "base/mem.h"
#include "data/format/csv/csv.h"
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct test_case {
  const char *text;
  struct tr_csv_read_options opt;
  const char *error, *columns, *printed;
};

static const struct test_case cases[] = {
#include "cases.inc"
};
enum { N_CASES = sizeof cases / sizeof *cases };

static char folder[] = "/tmp/test_csv_XXXXXX";
static char path[64], path2[64];
static struct tr_ctx ctx;
static struct tr_error err;
static size_t used_before;

static int setup(void **state) {
  (void)state;
  tr_ctx_init(&ctx);
  used_before = tr_mem_used();
  return 0;
}

static int teardown(void **state) {
  (void)state;
  assert_int_equal(tr_mem_used(), used_before);
  return 0;
}

static void put_file(const char *to, const char *s, size_t n) {
  FILE *f = fopen(to, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(s, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
}

static char *get_file(const char *from) {
  FILE *f = fopen(from, "rb");
  assert_non_null(f);
  char *s = calloc(1, 1 << 20);
  (void)!fread(s, 1, (1 << 20) - 1, f);
  fclose(f);
  return s;
}

static void put_text(FILE *f, const struct tr_array *a, int64_t i) {
  const struct tr_view *v = &tr_array_views(a)[i];
  if (v->size < 0) {
    fputc('~', f);
  } else {
    fwrite(tr_view_bytes(a, v), 1, (size_t)v->size, f);
  }
}

static void put_value(FILE *f, const struct tr_array *a, int64_t i) {
  const void *v = tr_array_data(a);
  double d = 0;
  uint64_t bits;
  if (a->enc == TR_DICT) {
    const int32_t code = tr_array_codes(a)[i];
    if (code < 0) fputc('~', f);
    else put_text(f, a->dict, code);
    return;
  }
  switch (a->dtype.kind) {
  case TR_BOOL: fprintf(f, "%d", ((const uint8_t *)v)[i]); return;
  case TR_I8: fprintf(f, "%d", ((const int8_t *)v)[i]); return;
  case TR_U8: fprintf(f, "%d", ((const uint8_t *)v)[i]); return;
  case TR_I64: fprintf(f, "%lld", ((const long long *)v)[i]); return;
  case TR_U64: fprintf(f, "%llu", ((const unsigned long long *)v)[i]); return;
  case TR_STR: put_text(f, a, i); return;
  case TR_DATETIME:
    if (((const int64_t *)v)[i] == TR_NAT) fputc('~', f);
    else fprintf(f, "%lld", ((const long long *)v)[i]);
    return;
  default: break;
  }
  d = a->dtype.kind == TR_F32 ? (double)((const float *)v)[i] : ((const double *)v)[i];
  memcpy(&bits, &d, 8);
  if (isnan(d)) fputc('~', f);
  else fprintf(f, "%016llx", (unsigned long long)bits);
}

static char *dump(const struct tr_frame *frame, char **names) {
  char *s;
  size_t n;
  FILE *f = open_memstream(&s, &n);
  for (int k = 0; k < frame->n_cols; k++) {
    fprintf(f, "%s:%s:", names[k], tr_dtype_name(frame->cols[k]->dtype));
    for (int64_t i = 0; i < frame->n_rows; i++) {
      if (i) fputc('|', f);
      put_value(f, frame->cols[k], i);
    }
    fputc('\n', f);
  }
  fclose(f);
  return s;
}

static const char *exc_name(enum tr_exc e) {
  switch (e) {
  case TR_EXC_VALUE: return "ValueError";
  case TR_EXC_PARSER: return "ParserError";
  case TR_EXC_EMPTY_DATA: return "EmptyDataError";
  default: return "?";
  }
}

static void check_printed(const struct tr_frame *f, char **names, const char *want) {
  struct tr_csv_write_options opt;
  tr_csv_write_options_init(&opt);
  assert_int_equal(tr_csv_write(&ctx, path2, f, (const char *const *)names, &opt, &err), TR_OK);
  char *got = get_file(path2);
  assert_string_equal(got, want);
  free(got);
}

/* TR_UNSUPPORTED is right where pandas gives objects, and where an error other than the parser's is due. */
static void check_case(const struct test_case *c) {
  struct tr_frame *f;
  char **names;
  put_file(path, c->text, strlen(c->text));
  enum tr_status st = tr_csv_read(&ctx, path, &c->opt, &f, &names, &err);
  if (st == TR_UNSUPPORTED) {
    assert_string_equal(c->error, "unsupported");
    return;
  }
  if (st != TR_OK) {
    assert_string_equal(exc_name(err.exc), c->error);
    assert_string_equal(err.text, c->columns);
    return;
  }
  char *got = dump(f, names);
  assert_string_equal(got, c->columns);
  assert_string_equal(c->error, "");
  check_printed(f, names, c->printed);
  free(got);
  tr_csv_names_free(names, f->n_cols);
  tr_frame_unref(f);
}

static void test_usual(void **state) {
  (void)state;
  for (int i = 0; i < N_CASES; i++) check_case(&cases[i]);
}

static void test_tiny_chunks(void **state) {
  (void)state;
  for (int m = 1; m < 40; m = 2 * m + 1) {
    ctx.morsel_rows = m;
    ctx.threads = 1 + m % 4 / 2;
    ctx.hash_zero = m == 7;
    for (int i = 0; i < N_CASES; i++) check_case(&cases[i]);
  }
}

static void test_failing_allocations(void **state) {
  (void)state;
  ctx.threads = 1;
  ctx.morsel_rows = 8;
  for (int i = 0; i < N_CASES; i += 3) {
    put_file(path, cases[i].text, strlen(cases[i].text));
    for (int64_t n = 1; n < 400; n++) {
      struct tr_frame *f;
      char **names;
      tr_mem_fail_at(n);
      enum tr_status st = tr_csv_read(&ctx, path, &cases[i].opt, &f, &names, &err);
      if (st == TR_OK) {
        struct tr_csv_write_options opt;
        tr_csv_write_options_init(&opt);
        st = tr_csv_write(&ctx, path2, f, (const char *const *)names, &opt, &err);
        tr_csv_names_free(names, f->n_cols);
        tr_frame_unref(f);
      }
      tr_mem_fail_at(0);
      assert_int_equal(tr_mem_used(), used_before);
      if (st != TR_ERROR || err.exc != TR_EXC_MEMORY) break;
    }
  }
}

static enum tr_status read_path(const char *p) {
  struct tr_csv_read_options opt;
  struct tr_frame *f;
  char **names;
  tr_csv_read_options_init(&opt);
  enum tr_status st = tr_csv_read(&ctx, p, &opt, &f, &names, &err);
  assert_null(f);
  assert_null(names);
  return st;
}

static void test_bad_files(void **state) {
  (void)state;
  assert_int_equal(read_path("/nonexistent/x.csv"), TR_ERROR);
  assert_int_equal(err.exc, TR_EXC_OS);
  assert_int_equal(err.os_errno, ENOENT);
  assert_int_equal(read_path(folder), TR_ERROR);
  assert_int_equal(err.os_errno, EISDIR);
  assert_int_equal(read_path("/dev/null"), TR_UNSUPPORTED);
  put_file(path, "a\n\xff\n", 4);
  assert_int_equal(read_path(path), TR_UNSUPPORTED);
  put_file(path, "\xff\n1\n", 4);
  assert_int_equal(read_path(path), TR_UNSUPPORTED);
}

static struct tr_frame *one_column(const char *text) {
  struct tr_csv_read_options opt;
  struct tr_frame *f;
  char **names;
  tr_csv_read_options_init(&opt);
  put_file(path, text, strlen(text));
  assert_int_equal(tr_csv_read(&ctx, path, &opt, &f, &names, &err), TR_OK);
  tr_csv_names_free(names, f->n_cols);
  return f;
}

static void test_write_targets(void **state) {
  (void)state;
  struct tr_csv_write_options opt;
  const char *const names[] = {"a"};
  char p[128];
  tr_csv_write_options_init(&opt);
  struct tr_frame *f = one_column("a\n1\n2\n");
  snprintf(p, sizeof p, "%s/missing/x.csv", folder);
  assert_int_equal(tr_csv_write(&ctx, p, f, names, &opt, &err), TR_ERROR);
  assert_non_null(strstr(err.text, "Cannot save file into a non-existent directory: '"));
  assert_int_equal(tr_csv_write(&ctx, folder, f, names, &opt, &err), TR_ERROR);
  assert_int_equal(err.os_errno, EISDIR);
  put_file(path2, "old\n", 4);
  assert_int_equal(chmod(path2, 0640), 0);
  opt.append = true;
  opt.header = false;
  assert_int_equal(tr_csv_write(&ctx, path2, f, names, &opt, &err), TR_OK);
  char *s = get_file(path2);
  assert_string_equal(s, "old\n1\n2\n");
  free(s);
  opt.append = false;
  assert_int_equal(tr_csv_write(&ctx, path2, f, names, &opt, &err), TR_OK);
  s = get_file(path2);
  assert_string_equal(s, "1\n2\n");
  free(s);
  struct stat st;
  assert_int_equal(stat(path2, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0640);
  tr_frame_unref(f);
}

static void test_write_full_disk(void **state) {
  (void)state;
  if (access("/dev/full", W_OK) != 0) return;
  struct tr_csv_write_options opt;
  const char *const names[] = {"a"};
  tr_csv_write_options_init(&opt);
  struct tr_frame *f = one_column("a\n1\n2\n");
  assert_int_equal(tr_csv_write(&ctx, "/dev/full", f, names, &opt, &err), TR_ERROR);
  assert_int_equal(err.os_errno, ENOSPC);
  tr_frame_unref(f);
}

static void test_cancel(void **state) {
  (void)state;
  put_file(path, "a\n1\n", 4);
  tr_ctx_cancel(&ctx);
  assert_int_equal(read_path(path), TR_CANCELLED);
}

/* Long enough for pandas to infer dtypes in two blocks: what differs between them is not ours to decide. */
static void test_blocks(void **state) {
  (void)state;
  enum { BLOCK = 1 << 19 };
  static const struct {
    const char *first, *second;
    enum tr_status want;
  } pairs[] = {{"1", "2", TR_OK},
               {"1", "2.5", TR_OK},
               {"x", "y", TR_OK},
               {"x", "NA", TR_OK},
               {"1", "x", TR_UNSUPPORTED},
               {"x", "1", TR_UNSUPPORTED},
               {"True", "NA", TR_UNSUPPORTED},
               {"-0", "2.5", TR_UNSUPPORTED},
               {"1", "18446744073709551615", TR_UNSUPPORTED},
               {"x", "18446744073709551616", TR_UNSUPPORTED}};
  for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
    FILE *f = fopen(path, "wb");
    fputs("a\n", f);
    for (int i = 0; i < BLOCK; i++) fprintf(f, "%s\n", pairs[k].first);
    for (int i = 0; i < 3; i++) fprintf(f, "%s\n", pairs[k].second);
    fclose(f);
    struct tr_csv_read_options opt;
    struct tr_frame *frame;
    char **names;
    tr_csv_read_options_init(&opt);
    assert_int_equal(tr_csv_read(&ctx, path, &opt, &frame, &names, &err), pairs[k].want);
    if (pairs[k].want != TR_OK) continue;
    assert_int_equal(frame->n_rows, BLOCK + 3);
    tr_csv_names_free(names, frame->n_cols);
    tr_frame_unref(frame);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_usual, setup, teardown),
      cmocka_unit_test_setup_teardown(test_tiny_chunks, setup, teardown),
      cmocka_unit_test_setup_teardown(test_failing_allocations, setup, teardown),
      cmocka_unit_test_setup_teardown(test_bad_files, setup, teardown),
      cmocka_unit_test_setup_teardown(test_write_targets, setup, teardown),
      cmocka_unit_test_setup_teardown(test_write_full_disk, setup, teardown),
      cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
      cmocka_unit_test_setup_teardown(test_blocks, setup, teardown),
  };
  if (!mkdtemp(folder)) return 1;
  snprintf(path, sizeof path, "%s/in.csv", folder);
  snprintf(path2, sizeof path2, "%s/out.csv", folder);
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  unlink(path2);
  rmdir(folder);
  return failed;
}
