/* Runs the reader: head, scan, a pass over the first chunks that shows what the columns are, a parallel pass over all,
 * and further passes for the columns that turned out otherwise. */
#include "base/mem.h"
#include "data/format/csv/reader_int.h"
#include <pthread.h>
#include <stdlib.h>

enum { CHUNK_BYTES = 1 << 19, BATCH_FIELDS = 1 << 14, BATCH_ROWS = 2048, SAMPLE_CHUNKS = 2, SAMPLE_ROWS = 4096 };

struct worker {
  struct tr_csv_text_buffer buffer;
  uint32_t *beg, *end;
};

struct pass {
  struct tr_csv_reader *r;
  struct worker *workers;
  int64_t first; /* chunk of item 0 */
  int64_t batch_rows;
};

static int64_t batch_rows(int width) {
  const int64_t n = BATCH_FIELDS / width;
  return n < 1 ? 1 : n > BATCH_ROWS ? BATCH_ROWS : n;
}

/* Reads chunk k and sets a cursor on it. */
static enum tr_status load_chunk(struct tr_csv_reader *r, struct worker *w, int64_t k, struct tr_csv_cursor *c,
                                 struct tr_error *err) {
  const struct tr_csv_chunk *chunk = &r->scan.chunks[k];
  const int64_t n = chunk->end - chunk->begin;
  if (n > INT32_MAX) return tr_unsupported(err, "read_csv: a record of more than 2 GiB");
  TR_TRY(tr_csv_buffer_reserve(&w->buffer, (size_t)n, err));
  char *text = w->buffer.data + TR_CSV_PAD;
  TR_TRY(tr_csv_pread(&r->file, chunk->begin, n, text, err));
  text[n] = '\n';
  *c = (struct tr_csv_cursor){.text = text,
                              .len = (uint32_t)n,
                              .limit = (uint32_t)n,
                              .eof = true, /* chunks end with a record */
                              .width = r->head.width,
                              .any_width = r->head.any_width,
                              .beg = w->beg,
                              .end = w->end};
  return TR_OK;
}

static int64_t rows_of_chunk(const struct tr_csv_reader *r, int64_t k) {
  const int64_t end = r->scan.chunks[k + 1].row;
  return (end < r->n_rows ? end : r->n_rows) - r->scan.chunks[k].row;
}

static enum tr_status parse_chunk(struct pass *p, int thread, int64_t k, struct tr_error *err) {
  struct tr_csv_reader *r = p->r;
  struct tr_csv_cursor c;
  TR_TRY(load_chunk(r, &p->workers[thread], k, &c, err));
  const int64_t row = r->scan.chunks[k].row, n = rows_of_chunk(r, k);
  int64_t done = 0;
  while (done < n) {
    const int64_t want = n - done < p->batch_rows ? n - done : p->batch_rows, got = tr_csv_cut(&r->dialect, &c, want);
    struct tr_csv_batch b = {
        .text = c.text, .stride = c.width, .n = got, .row = row + done, .chunk = k, .chunk_row = row, .thread = thread};
    for (int i = 0; i < r->n_cols && got; i++) {
      b.beg = c.beg + r->cols[i].field;
      b.end = c.end + r->cols[i].field;
      TR_TRY(tr_csv_column_parse(r, &r->cols[i], &b, err));
    }
    done += got;
    if (got < want) {
      if (c.stopped == TR_CSV_END)
        return tr_fail(err, TR_EXC_RUNTIME, "read_csv: %s changed while it was read", r->file.path);
      tr_csv_lower(&r->bad_chunk, k);
      return TR_OK;
    }
  }
  return TR_OK;
}

static enum tr_status parse_chunks(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct pass *p = arg;
  for (int64_t i = begin; i < end; i++) TR_TRY(parse_chunk(p, thread, p->first + i, err));
  return TR_OK;
}

/* The error of the first row that pandas refuses. */
static enum tr_status row_error(struct pass *p, struct tr_error *err) {
  struct tr_csv_reader *r = p->r;
  const int64_t k = atomic_load(&r->bad_chunk);
  struct tr_csv_cursor c;
  TR_TRY(load_chunk(r, &p->workers[0], k, &c, err));
  for (int64_t left = rows_of_chunk(r, k); left > 0;) {
    const int64_t want = left < p->batch_rows ? left : p->batch_rows, got = tr_csv_cut(&r->dialect, &c, want);
    left -= got;
    if (got == want) continue;
    const int64_t lines = r->scan.chunks[k].line + c.lines;
    if (c.stopped != TR_CSV_LONG) return tr_csv_record_error(c.stopped, lines, err);
    return tr_fail(err, TR_EXC_PARSER, "Error tokenizing data. C error: Expected %d fields in line %lld, saw %d\n",
                   r->head.width, (long long)(lines + 1), c.n_fields);
  }
  return tr_fail(err, TR_EXC_RUNTIME, "read_csv: %s changed while it was read", r->file.path);
}

static enum tr_status run_chunks(struct pass *p, int64_t from, int64_t to, struct tr_error *err) {
  p->first = from;
  TR_TRY(tr_parallel_for(p->r->ctx, to - from, 1, parse_chunks, p, err));
  return atomic_load(&p->r->bad_chunk) == INT64_MAX ? TR_OK : row_error(p, err);
}

/* The first chunks, on this thread alone: until every column is parsed a way that fits them. */
static enum tr_status run_sample(struct pass *p, int64_t n_chunks, struct tr_error *err) {
  struct tr_csv_reader *r = p->r;
  for (bool more = true; more;) {
    for (int i = 0; i < r->n_cols; i++) {
      if (r->cols[i].todo) TR_TRY(tr_csv_column_prepare(r, &r->cols[i], err));
    }
    p->first = 0;
    TR_TRY(parse_chunks(p, 0, 0, n_chunks, err));
    if (atomic_load(&r->bad_chunk) != INT64_MAX) return row_error(p, err);
    more = false;
    const int64_t rows = r->scan.chunks[n_chunks].row;
    for (int i = 0; i < r->n_cols; i++) {
      struct tr_csv_column *c = &r->cols[i];
      const enum tr_csv_way way = c->way;
      if (!c->todo) continue;
      TR_TRY(tr_csv_column_settle(r, c, false, err));
      const bool category = c->option && c->option->has_dtype && c->option->dtype.kind == TR_CATEGORY;
      /* 20,000 rows drawn from 300,000 values hold 97 % distinct ones: beyond that a dictionary would not pay. */
      if (c->way == TR_CSV_AS_DICT && way == c->way && !category && rows >= SAMPLE_ROWS &&
          c->dicts[0].n > rows / 100 * 97) {
        c->way = TR_CSV_AS_PLAIN;
      }
      c->todo = c->way != way;
      more |= c->todo;
    }
  }
  for (int i = 0; i < r->n_cols; i++) r->cols[i].todo = true;
  return TR_OK;
}

/* The other threads start with the dictionaries of the sample, so that their codes mostly agree. */
static enum tr_status copy_dicts(struct tr_csv_reader *r, struct tr_error *err) {
  for (int i = 0; i < r->n_cols; i++) {
    struct tr_csv_column *c = &r->cols[i];
    if (c->way != TR_CSV_AS_DICT) continue;
    for (int t = 1; t < r->ctx->threads; t++) TR_TRY(tr_csv_dict_copy(&c->dicts[0], &c->dicts[t], err));
  }
  return TR_OK;
}

/* Settles all columns after a pass over everything; *more: some must be parsed again. pandas fails at the first bad
 * column: an error stands only when no column before it is open. */
static enum tr_status settle_all(struct tr_csv_reader *r, bool *more, struct tr_error *err) {
  *more = false;
  for (int i = 0; i < r->n_cols; i++) {
    struct tr_csv_column *c = &r->cols[i];
    if (!c->todo) continue;
    enum tr_status st = tr_csv_column_settle(r, c, true, err);
    if (st == TR_OK && !c->todo) st = tr_csv_column_finish(r, c, err);
    if (st == TR_ERROR && err && err->exc == TR_EXC_VALUE && *more)
      return tr_unsupported(err, "read_csv: column %s: texts that do not fit the dtype", c->name);
    if (st != TR_OK) return st;
    *more |= c->todo;
  }
  return TR_OK;
}

static enum tr_status run_all(struct pass *p, struct tr_error *err) {
  struct tr_csv_reader *r = p->r;
  const int64_t sample = r->scan.n < SAMPLE_CHUNKS ? r->scan.n : SAMPLE_CHUNKS;
  TR_TRY(run_sample(p, sample, err));
  TR_TRY(copy_dicts(r, err));
  TR_TRY(run_chunks(p, sample, r->scan.n, err));
  for (;;) {
    bool more;
    TR_TRY(settle_all(r, &more, err));
    if (!more) return TR_OK;
    for (int i = 0; i < r->n_cols; i++) {
      if (r->cols[i].todo) TR_TRY(tr_csv_column_prepare(r, &r->cols[i], err));
    }
    TR_TRY(run_chunks(p, 0, r->scan.n, err));
  }
}

static enum tr_status run(struct tr_csv_reader *r, struct tr_error *err) {
  const size_t threads = (size_t)r->ctx->threads;
  struct pass p = {.r = r, .batch_rows = batch_rows(r->head.width)};
  const size_t bytes = (size_t)p.batch_rows * (size_t)r->head.width * sizeof(uint32_t);
  void *workers = NULL;
  enum tr_status st = TR_OK;
  TR_GOTO(st, tr_mem_calloc(threads * sizeof *p.workers, &workers, err));
  p.workers = workers;
  for (size_t i = 0; i < threads; i++) {
    void *m;
    TR_GOTO(st, tr_mem_alloc(bytes, &m, err));
    p.workers[i].beg = m;
    TR_GOTO(st, tr_mem_alloc(bytes, &m, err));
    p.workers[i].end = m;
  }
  st = run_all(&p, err);
done:
  for (size_t i = 0; p.workers && i < threads; i++) {
    tr_csv_buffer_drop(&p.workers[i].buffer);
    tr_mem_free(p.workers[i].beg, bytes);
    tr_mem_free(p.workers[i].end, bytes);
  }
  tr_mem_free(workers, threads * sizeof *p.workers);
  return st;
}

static int64_t chunk_bytes(const struct tr_ctx *ctx) { /* tests make morsels, and so chunks, tiny */
  const int64_t n = tr_grain(ctx) * (CHUNK_BYTES / TR_MORSEL_ROWS);
  return n < 2 ? 2 : n > CHUNK_BYTES ? CHUNK_BYTES : n;
}

static enum tr_status open_reader(struct tr_csv_reader *r, const char *path, struct tr_error *err) {
  TR_TRY(tr_csv_dialect_make(r->opt, &r->dialect, err));
  if (r->opt->store) TR_TRY(tr_csv_open_object(r->opt->store, path, r->ctx, &r->file, err));
  else TR_TRY(tr_csv_open(path, &r->file, err));
  return tr_csv_head_read(&r->file, &r->dialect, r->opt, &r->head, err);
}

static enum tr_status read_all(struct tr_csv_reader *r, struct tr_error *err) {
  TR_TRY(tr_csv_texts_make(r, err));
  TR_TRY(tr_csv_columns_make(r, err));
  TR_TRY(tr_csv_scan(r->ctx, &r->file, &r->dialect, &r->head, r->opt->n_rows, chunk_bytes(r->ctx), &r->scan, err));
  r->n_rows = r->opt->n_rows >= 0 && r->opt->n_rows < r->scan.n_rows ? r->opt->n_rows : r->scan.n_rows;
  while (r->scan.n > 0 && r->scan.chunks[r->scan.n - 1].row >= r->n_rows) r->scan.n--;
  if (r->n_rows == 0) return tr_unsupported(err, "read_csv: no rows (object columns)");
  TR_TRY(run(r, err));
  return tr_csv_unchanged(&r->file, err);
}

static void close_reader(struct tr_csv_reader *r) {
  for (int i = 0; i < r->n_cols; i++) tr_csv_column_drop(r, &r->cols[i]);
  tr_mem_free(r->cols, (size_t)r->head.width * sizeof *r->cols);
  tr_mem_free(r->na_numbers, (size_t)r->n_na_numbers * sizeof *r->na_numbers);
  tr_csv_texts_drop(&r->na);
  tr_csv_texts_drop(&r->yes);
  tr_csv_texts_drop(&r->no);
  tr_csv_scan_drop(&r->scan);
  tr_csv_names_free(r->head.names, r->head.n_names);
  tr_csv_close(&r->file);
}

/* Names of the used columns: moved out of the head. */
static enum tr_status give_names(struct tr_csv_reader *r, char ***out, struct tr_error *err) {
  char **names = calloc((size_t)r->n_cols + 1, sizeof *names);
  if (!names) return tr_fail_memory(err, (size_t)r->n_cols * sizeof *names);
  for (int i = 0; i < r->n_cols; i++) {
    names[i] = r->head.names[r->cols[i].field];
    r->head.names[r->cols[i].field] = NULL;
  }
  *out = names;
  return TR_OK;
}

enum tr_status tr_csv_read(struct tr_ctx *ctx, const char *path, const struct tr_csv_read_options *opt,
                           struct tr_frame **out, char ***names_out, struct tr_error *err) {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  struct tr_csv_reader r = {.ctx = ctx, .opt = opt, .file = {.fd = -1}, .lock = &lock};
  atomic_init(&r.bad_chunk, INT64_MAX);
  struct tr_array **arrays = NULL;
  void *p = NULL;
  enum tr_status st = TR_OK;
  *out = NULL;
  *names_out = NULL;
  TR_GOTO(st, open_reader(&r, path, err));
  TR_GOTO(st, read_all(&r, err));
  TR_GOTO(st, tr_mem_alloc((size_t)r.n_cols * sizeof *arrays, &p, err));
  arrays = p;
  for (int i = 0; i < r.n_cols; i++) arrays[i] = r.cols[i].array;
  TR_GOTO(st, tr_frame_new(r.n_rows, r.n_cols, arrays, out, err));
  st = give_names(&r, names_out, err);
  if (st != TR_OK) {
    tr_frame_unref(*out);
    *out = NULL;
  }
done:
  tr_mem_free(p, (size_t)r.n_cols * sizeof *arrays);
  close_reader(&r);
  return st;
}
