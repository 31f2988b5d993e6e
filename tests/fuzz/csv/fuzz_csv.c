/* The CSV reader on any bytes. The first three choose options, the rest is the file. It is read twice, in one chunk and
 * in chunks of a few bytes with hashes forced to zero: both must give the same frame or the same error. What was read
 * is written, too. */
#include "base/mem.h"
#include "data/format/csv/csv.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "fuzz_csv: %s\n", what);
  abort();
}

static void choose(struct tr_csv_read_options *o, const uint8_t *c) {
  static const char seps[] = {',', ';', '\t', ' '};
  static const char *const na[] = {"7", "x"}, *const names[] = {"a", "b", "c"};
  static const struct tr_csv_column_option columns[] = {
      {.name = "a", .has_dtype = true, .dtype = {.kind = TR_CATEGORY}},
      {.name = "b", .parse_date = true},
      {.name = "a", .has_dtype = true, .dtype = {.kind = TR_I8}},
      {.name = "b", .has_dtype = true, .dtype = {.kind = TR_F32}}};
  tr_csv_read_options_init(o);
  o->sep = seps[c[0] & 3];
  o->quote = c[0] & 4 ? 0 : c[0] & 8 ? '\'' : '"';
  o->comment = c[0] & 16 ? '#' : 0;
  o->escape = c[0] & 32 ? '\\' : 0;
  o->double_quote = !(c[0] & 64);
  o->skip_blank_lines = !(c[0] & 128);
  o->skip_initial_space = c[1] & 1;
  o->header = c[1] & 2 ? -1 : (c[1] & 4) >> 2;
  o->skip_rows = c[1] & 8 ? 2 : 0;
  o->n_rows = c[1] & 16 ? 3 : -1;
  o->thousands = c[1] & 32 ? '_' : 0;
  o->decimal = c[1] & 64 ? '^' : '.';
  o->keep_default_na = !(c[1] & 128);
  o->na_filter = !(c[2] & 1);
  o->low_memory = !(c[2] & 2);
  if (c[2] & 4) o->na_values = na, o->n_na_values = 2;
  if (c[2] & 8) o->names = names, o->n_names = 3;
  if (c[2] & 16) o->use_columns = names, o->n_use_columns = 2;
  if (c[2] & 32) o->column_options = columns + (c[2] >> 6), o->n_column_options = 1;
}

struct result {
  enum tr_status st;
  struct tr_frame *frame;
  char **names;
  struct tr_error err;
};

static void read_once(const char *path, const struct tr_csv_read_options *o, int64_t morsel_rows, struct result *r) {
  struct tr_ctx ctx;
  tr_ctx_init(&ctx);
  ctx.threads = 1;
  ctx.morsel_rows = morsel_rows;
  ctx.hash_zero = morsel_rows == 1;
  r->err = (struct tr_error){0};
  r->st = tr_csv_read(&ctx, path, o, &r->frame, &r->names, &r->err);
}

static bool same_value(const struct tr_array *a, const struct tr_array *b, int64_t i) {
  const struct tr_array *x = a, *y = b;
  int64_t k = i, m = i;
  if (a->enc == TR_DICT) {
    k = tr_array_codes(a)[i];
    x = a->dict;
  }
  if (b->enc == TR_DICT) {
    m = tr_array_codes(b)[i];
    y = b->dict;
  }
  if (k < 0 || m < 0) return k == m;
  if (x->dtype.kind == TR_STR) return tr_view_eq(x, &tr_array_views(x)[k], y, &tr_array_views(y)[m]);
  const size_t w = (size_t)tr_dtype_width(x->dtype);
  return memcmp((const char *)tr_array_data(x) + (size_t)k * w, (const char *)tr_array_data(y) + (size_t)m * w, w) == 0;
}

/* Where several columns are refused, or one is and one fails, either may be told. */
static bool is_refusal(const struct result *r) {
  return r->st == TR_UNSUPPORTED || (r->st == TR_ERROR && r->err.exc == TR_EXC_VALUE);
}

static void compare(const struct result *a, const struct result *b) {
  if (is_refusal(a) && is_refusal(b)) return;
  require(a->st == b->st, "another status");
  require(a->err.exc == b->err.exc && strcmp(a->err.text, b->err.text) == 0, "another error");
  if (a->st != TR_OK) return;
  require(a->frame->n_cols == b->frame->n_cols && a->frame->n_rows == b->frame->n_rows, "another shape");
  for (int k = 0; k < a->frame->n_cols; k++) {
    const struct tr_array *x = a->frame->cols[k], *y = b->frame->cols[k];
    require(strcmp(a->names[k], b->names[k]) == 0, "another name");
    require(tr_dtype_eq(x->dtype, y->dtype), "another dtype");
    for (int64_t i = 0; i < x->length; i++) require(same_value(x, y, i), "another value");
  }
}

static void write_once(const char *path, const struct result *r) {
  struct tr_csv_write_options o;
  struct tr_ctx ctx;
  struct tr_error err;
  tr_ctx_init(&ctx);
  ctx.threads = 1;
  tr_csv_write_options_init(&o);
  o.append = true; /* in place: the file is a memory file */
  require(tr_csv_write(&ctx, path, r->frame, (const char *const *)r->names, &o, &err) == TR_OK, "cannot be written");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 3 || size > 1 << 14) return 0;
  const size_t used = tr_mem_used();
  const int fd = memfd_create("csv", 0);
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  require(fd >= 0 && write(fd, data + 3, size - 3) == (ssize_t)(size - 3), "no memory file");
  struct tr_csv_read_options o;
  choose(&o, data);
  struct result a, b;
  read_once(path, &o, TR_MORSEL_ROWS, &a);
  read_once(path, &o, 1, &b);
  compare(&a, &b);
  if (a.st == TR_OK) write_once(path, &a);
  for (int i = 0; i < 2; i++) {
    struct result *r = i ? &b : &a;
    if (r->st != TR_OK) continue;
    tr_csv_names_free(r->names, r->frame->n_cols);
    tr_frame_unref(r->frame);
  }
  close(fd);
  require(tr_mem_used() == used, "memory is lost");
  return 0;
}
