/* DataFrame.to_csv: blocks of rows are printed in parallel and written in order, a few at a time.
 *
 * pandas prints in blocks of about 100,000 cells and chooses the format of datetimes block by block ("2020-01-01" where
 * all of the block is midnight), so our blocks are the same. The file appears under its name only when it is
 * complete (temporary file and rename), except in append mode and where the folder takes no new file.
 */
#include "base/mem.h"
#include "data/format/csv/write_int.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_CELLS = 100000, BLOCKS_AT_ONCE = 4 };

struct target {
  int fd;
  const char *path;
  char final[PATH_MAX], temporary[PATH_MAX]; /* temporary[0] == 0: written in place */
  int64_t at;
  struct tr_store_writer *object; /* in place of all that: blocks are added in order */
};

struct writer {
  struct tr_ctx *ctx;
  struct tr_csv_style style;
  struct tr_csv_out_column *cols;
  int n_cols;
  int64_t n_rows, block_rows, first; /* first: block of item 0 */
  struct tr_csv_out *blocks;
  int64_t *offsets;
  struct target *target;
};

void tr_csv_write_options_init(struct tr_csv_write_options *opt) {
  *opt = (struct tr_csv_write_options){
      .sep = ',', .quote = '"', .na_rep = "", .line_terminator = "\n", .header = true, .quote_newlines = true};
}

/* ------------------------------------------------------------------ the file */

static enum tr_status parent_missing(const char *path, struct tr_error *err) {
  const char *slash = strrchr(path, '/');
  if (!slash || slash == path) return tr_fail_os(err, ENOENT, "%s", path);
  return tr_fail(err, TR_EXC_OS, "Cannot save file into a non-existent directory: '%.*s'", (int)(slash - path), path);
}

static enum tr_status open_in_place(struct target *t, int flags, struct tr_error *err) {
  t->temporary[0] = 0;
  t->fd = open(t->path, flags | O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (t->fd >= 0) return TR_OK;
  return errno == ENOENT ? parent_missing(t->path, err) : tr_fail_os(err, errno, "%s", t->path);
}

static enum tr_status open_target(const char *path, bool append, struct target *t, struct tr_error *err) {
  struct stat st;
  t->fd = -1;
  t->path = path;
  const bool exists = stat(path, &st) == 0;
  if (exists && S_ISDIR(st.st_mode)) return tr_fail_os(err, EISDIR, "%s", path);
  if (append || (exists && !S_ISREG(st.st_mode))) {
    TR_TRY(open_in_place(t, append ? 0 : O_TRUNC, err));
    off_t end = append ? lseek(t->fd, 0, SEEK_END) : 0;
    t->at = end > 0 ? end : 0;
    return TR_OK;
  }
  if (exists && access(path, W_OK) != 0) return tr_fail_os(err, errno, "%s", path);
  if (!exists || !realpath(path, t->final)) {
    if (strlen(path) >= sizeof t->final) return tr_fail_os(err, ENAMETOOLONG, "%s", path);
    strcpy(t->final, path);
  }
  int n = snprintf(t->temporary, sizeof t->temporary, "%s.%ld.tmp", t->final, (long)getpid());
  if (n < 0 || (size_t)n >= sizeof t->temporary) return open_in_place(t, O_TRUNC, err);
  for (int i = 0; i < 100; i++) { /* left-overs of a killed process with our number */
    t->fd = open(t->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (t->fd >= 0 || errno != EEXIST) break;
    n = snprintf(t->temporary, sizeof t->temporary, "%s.%ld-%d.tmp", t->final, (long)getpid(), i);
    if (n < 0 || (size_t)n >= sizeof t->temporary) break;
  }
  if (t->fd < 0) return open_in_place(t, O_TRUNC, err);
  if (exists) (void)!fchmod(t->fd, st.st_mode & 07777);
  return TR_OK;
}

static enum tr_status close_target(struct target *t, enum tr_status st, struct tr_error *err) {
  if (t->object && st == TR_OK) return tr_store_writer_commit(t->object, NULL, NULL, err);
  tr_store_writer_abort(t->object);
  if (t->fd < 0) return st;
  if (close(t->fd) != 0 && st == TR_OK) st = tr_fail_os(err, errno, "%s", t->path);
  t->fd = -1;
  if (!t->temporary[0]) return st;
  if (st == TR_OK && rename(t->temporary, t->final) != 0) st = tr_fail_os(err, errno, "%s", t->path);
  if (st != TR_OK) unlink(t->temporary);
  return st;
}

static enum tr_status write_at(const struct target *t, const char *s, size_t n, int64_t at, struct tr_error *err) {
  if (t->object) return tr_store_writer_add(t->object, s, n, err);
  while (n > 0) {
    ssize_t done = pwrite(t->fd, s, n, at);
    if (done < 0 && errno == ESPIPE) done = write(t->fd, s, n);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return tr_fail_os(err, errno, "%s", t->path);
    s += done;
    n -= (size_t)done;
    at += done;
  }
  return TR_OK;
}

/* ------------------------------------------------------------------ columns made ready */

static enum tr_status style_make(const struct tr_csv_write_options *opt, struct tr_csv_style *s, struct tr_error *err) {
  if (opt->quoting < 0 || opt->quoting > 2) return tr_unsupported(err, "to_csv: quoting=QUOTE_NONE");
  if ((uint8_t)opt->sep >= 128 || (uint8_t)opt->quote >= 128 || !opt->sep || !opt->quote || opt->sep == opt->quote) {
    return tr_unsupported(err, "to_csv: this separator or quote character");
  }
  *s = (struct tr_csv_style){.sep = opt->sep,
                             .quote = opt->quote,
                             .quoting = opt->quoting,
                             .line_end = opt->line_terminator,
                             .line_end_size = strlen(opt->line_terminator)};
  s->special[(uint8_t)opt->sep] = s->special[(uint8_t)opt->quote] = true;
  for (const char *p = opt->line_terminator; *p; p++) {
    if ((uint8_t)*p >= 128) return tr_unsupported(err, "to_csv: this line terminator");
    s->special[(uint8_t)*p] = true;
  }
  if (opt->quote_newlines) s->special['\n'] = s->special['\r'] = true;
  s->plain_numbers = true;
  for (const char *p = "0123456789+-.einfaTrueFalse: dys"; *p; p++) s->plain_numbers &= !s->special[(uint8_t)*p];
  struct tr_csv_out o = {0};
  enum tr_status st = tr_csv_put_text(s, opt->na_rep, strlen(opt->na_rep), true, &o, err);
  if (st == TR_OK) {
    s->na_size = o.used;
    s->na = malloc(o.used + 1);
    if (s->na) {
      memcpy(s->na, o.data, o.used);
    } else {
      st = tr_fail_memory(err, o.used);
    }
  }
  tr_mem_free(o.data, o.bytes);
  return st;
}

static enum tr_csv_cell cell_of_kind(int kind) {
  switch (kind) {
  case TR_STR: return TR_CSV_CELL_TEXT;
  case TR_DATETIME: return TR_CSV_CELL_DATETIME;
  case TR_TIMEDELTA: return TR_CSV_CELL_TIMEDELTA;
  default: return (enum tr_csv_cell)(TR_CSV_CELL_BOOL + kind);
  }
}

/* Every value of a dictionary, printed once. */
static enum tr_status print_dict(const struct tr_csv_style *s, struct tr_csv_out_column *c, struct tr_error *err) {
  const struct tr_array *d = c->array->dict;
  const struct tr_csv_out_column values = {.array = d, .cell = cell_of_kind(d->dtype.kind)};
  void *p;
  c->n_texts = d->length;
  TR_TRY(tr_mem_alloc((size_t)d->length * sizeof *c->text_end, &p, err));
  c->text_end = p;
  for (int64_t i = 0; i < d->length; i++) {
    TR_TRY(tr_csv_put_cell(s, &values, i, 0, &c->texts, err));
    c->text_end[i] = (int64_t)c->texts.used;
  }
  return TR_OK;
}

/* Categories of dates are printed as the column of dates they stand for. */
static enum tr_status spread_times(struct tr_csv_out_column *c, struct tr_error *err) {
  const struct tr_array *a = c->array;
  const int32_t *codes = tr_array_codes(a);
  TR_TRY(tr_array_new(a->dict->dtype, a->length, &c->own, err));
  int64_t *out = tr_array_data(c->own);
  const int64_t *values = tr_array_data(a->dict);
  for (int64_t i = 0; i < a->length; i++) out[i] = codes[i] < 0 ? TR_NAT : values[codes[i]];
  c->array = c->own;
  c->cell = cell_of_kind(c->own->dtype.kind);
  return TR_OK;
}

static enum tr_status column_make(const struct writer *w, const struct tr_array *a, bool level,
                                  struct tr_csv_out_column *c, struct tr_error *err) {
  c->array = a;
  c->cell = TR_CSV_CELL_CODES;
  if (a->enc == TR_DICT) {
    const int kind = a->dict->dtype.kind;
    if (a->dtype.kind == TR_CATEGORY && kind == TR_F32) return tr_unsupported(err, "to_csv: categories of float32");
    TR_TRY(tr_kind_is_time(kind) ? spread_times(c, err) : print_dict(&w->style, c, err));
  } else {
    c->cell = cell_of_kind(a->dtype.kind);
  }
  c->whole = level && (c->cell == TR_CSV_CELL_DATETIME || c->cell == TR_CSV_CELL_TIMEDELTA);
  if (c->whole) c->whole_format = tr_csv_time_format(c->array, 0, c->array->length);
  return TR_OK;
}

static void column_drop(struct tr_csv_out_column *c) {
  tr_mem_free(c->texts.data, c->texts.bytes);
  tr_mem_free(c->text_end, (size_t)c->n_texts * sizeof *c->text_end);
  tr_array_unref(c->own);
}

/* ------------------------------------------------------------------ rows */

/* A row without a single byte is printed as a quoted empty field. */
static enum tr_status end_row(const struct tr_csv_style *s, size_t row_begin, struct tr_csv_out *o,
                              struct tr_error *err) {
  TR_TRY(tr_csv_out_room(o, s->line_end_size + 2, err));
  if (o->used == row_begin) {
    o->data[o->used++] = s->quote;
    o->data[o->used++] = s->quote;
  }
  memcpy(o->data + o->used, s->line_end, s->line_end_size);
  o->used += s->line_end_size;
  return TR_OK;
}

static enum tr_status print_block(const struct writer *w, int64_t begin, int64_t end, int *formats,
                                  struct tr_csv_out *o, struct tr_error *err) {
  for (int k = 0; k < w->n_cols; k++) {
    const struct tr_csv_out_column *c = &w->cols[k];
    const bool time = c->cell == TR_CSV_CELL_DATETIME || c->cell == TR_CSV_CELL_TIMEDELTA;
    formats[k] = c->whole ? c->whole_format : time ? tr_csv_time_format(c->array, begin, end) : 0;
  }
  for (int64_t i = begin; i < end; i++) {
    const size_t row = o->used;
    for (int k = 0; k < w->n_cols; k++) {
      if (k > 0) o->data[o->used++] = w->style.sep; /* every cell leaves room behind it */
      TR_TRY(tr_csv_put_cell(&w->style, &w->cols[k], i, formats[k], o, err));
    }
    TR_TRY(end_row(&w->style, row, o, err));
  }
  return TR_OK;
}

static enum tr_status print_blocks(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  struct writer *w = arg;
  void *formats;
  TR_TRY(tr_mem_alloc((size_t)w->n_cols * sizeof(int), &formats, err));
  enum tr_status st = TR_OK;
  for (int64_t i = begin; i < end && st == TR_OK; i++) {
    const int64_t from = (w->first + i) * w->block_rows;
    const int64_t to = from + w->block_rows < w->n_rows ? from + w->block_rows : w->n_rows;
    st = print_block(w, from, to, formats, &w->blocks[i], err);
  }
  tr_mem_free(formats, (size_t)w->n_cols * sizeof(int));
  return st;
}

static enum tr_status write_blocks(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  struct writer *w = arg;
  for (int64_t i = begin; i < end; i++) {
    TR_TRY(write_at(w->target, w->blocks[i].data, w->blocks[i].used, w->offsets[i], err));
  }
  return TR_OK;
}

/* Prints and writes all blocks, `many` at a time. */
static enum tr_status write_body(struct writer *w, int64_t many, struct tr_error *err) {
  const int64_t n = (w->n_rows + w->block_rows - 1) / w->block_rows;
  const bool regular = w->target->temporary[0] != 0;
  for (w->first = 0; w->first < n; w->first += many) {
    const int64_t now = n - w->first < many ? n - w->first : many;
    for (int64_t i = 0; i < now; i++) w->blocks[i].used = 0;
    TR_TRY(tr_parallel_for(w->ctx, now, 1, print_blocks, w, err));
    for (int64_t i = 0; i < now; i++) {
      w->offsets[i] = w->target->at;
      w->target->at += (int64_t)w->blocks[i].used;
    }
    if (regular) {
      TR_TRY(tr_parallel_for(w->ctx, now, 1, write_blocks, w, err));
    } else {
      TR_TRY(write_blocks(w, 0, 0, now, err));
    }
  }
  return TR_OK;
}

static enum tr_status write_header(struct writer *w, const char *const *names, struct tr_error *err) {
  struct tr_csv_out o = {0};
  enum tr_status st = TR_OK;
  for (int k = 0; k < w->n_cols; k++) {
    TR_GOTO(st, tr_csv_put_text(&w->style, names[k], strlen(names[k]), true, &o, err));
    if (k + 1 < w->n_cols) o.data[o.used++] = w->style.sep;
  }
  if (w->n_cols > 0) {
    TR_GOTO(st, end_row(&w->style, 0, &o, err));
  } else {
    TR_GOTO(st, tr_csv_out_room(&o, w->style.line_end_size, err));
    memcpy(o.data, w->style.line_end, w->style.line_end_size);
    o.used = w->style.line_end_size;
  }
  TR_GOTO(st, write_at(w->target, o.data, o.used, w->target->at, err));
  w->target->at += (int64_t)o.used;
done:
  tr_mem_free(o.data, o.bytes);
  return st;
}

static enum tr_status prepare(struct writer *w, const struct tr_frame *f, const struct tr_csv_write_options *opt,
                              struct tr_error *err) {
  void *p;
  if (opt->n_index > 1 && opt->quoting != 0) return tr_unsupported(err, "to_csv: quoting with a MultiIndex");
  if (f->n_cols == 0 && f->n_rows > 0) return tr_unsupported(err, "to_csv: rows without columns");
  TR_TRY(style_make(opt, &w->style, err));
  TR_TRY(tr_mem_calloc((size_t)f->n_cols * sizeof *w->cols, &p, err));
  w->cols = p;
  w->n_rows = f->n_rows;
  for (int i = 0; i < f->n_cols; i++) {
    w->n_cols = i + 1;
    TR_TRY(column_make(w, f->cols[i], opt->n_index > 1 && i < opt->n_index, &w->cols[i], err));
  }
  const int64_t cols = f->n_cols - opt->n_index, rows = BLOCK_CELLS / (cols > 0 ? cols : 1);
  w->block_rows = opt->chunk_size > 0 ? opt->chunk_size : rows > 0 ? rows : 1;
  return TR_OK;
}

enum tr_status tr_csv_write(struct tr_ctx *ctx, const char *path, const struct tr_frame *f, const char *const *names,
                            const struct tr_csv_write_options *opt, struct tr_error *err) {
  struct target target = {.fd = -1};
  struct writer w = {.ctx = ctx, .target = &target};
  const int64_t many = (int64_t)ctx->threads * BLOCKS_AT_ONCE;
  void *blocks = NULL, *offsets = NULL;
  enum tr_status st = TR_OK;
  TR_GOTO(st, prepare(&w, f, opt, err));
  TR_GOTO(st, tr_mem_calloc((size_t)many * sizeof *w.blocks, &blocks, err));
  TR_GOTO(st, tr_mem_alloc((size_t)many * sizeof *w.offsets, &offsets, err));
  w.blocks = blocks;
  w.offsets = offsets;
  if (opt->store) TR_GOTO(st, tr_store_writer_new(opt->store, path, &target.object, err));
  else TR_GOTO(st, open_target(path, opt->append, &target, err));
  if (opt->header) TR_GOTO(st, write_header(&w, names, err));
  TR_GOTO(st, write_body(&w, many, err));
done:
  st = close_target(&target, st, err);
  for (int64_t i = 0; w.blocks && i < many; i++) tr_mem_free(w.blocks[i].data, w.blocks[i].bytes);
  tr_mem_free(blocks, (size_t)many * sizeof *w.blocks);
  tr_mem_free(offsets, (size_t)many * sizeof *w.offsets);
  for (int i = 0; i < w.n_cols; i++) column_drop(&w.cols[i]);
  tr_mem_free(w.cols, (size_t)f->n_cols * sizeof *w.cols);
  free(w.style.na);
  return st;
}
