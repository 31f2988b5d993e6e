/* tr_parquet_read: whole columns from many files and row groups at once.
 *
 * A unit is one row group of one file; its first row in the result is known from the footers, so every (unit, column)
 * is decoded independently into its place, largest first. Two rounds: decode everything, and meanwhile merge the units'
 * dictionaries of each text column, in the units' order; then what the first round could not settle - codes to the
 * merged numbering, text that has too many distinct values as views, integers that turned out to have missing values
 * as float64.
 */
#include "data/format/parquet/decode_int.h"
#include <stdlib.h>
#include <string.h>

enum { KEEP_DICTIONARY = 65536, MAX_DICTIONARY = 1000000 };

struct unit {
  const struct tr_parquet_file *file;
  int file_no, row_group;
  int64_t first, rows;
};

struct column {
  int col;
  struct tr_dtype dtype; /* of the result */
  bool text, category, maybe_float;
  _Atomic bool saw_null;        /* a value is missing where dtype has no room for it */
  _Atomic bool plain;           /* text: too many distinct values for a dictionary */
  bool as_float;                /* second round: read again as float64 */
  struct tr_buffer *values;     /* values, codes or views */
  struct pq_text_chunk *chunks; /* text: n_units */
  _Atomic bool some_missing;    /* text: a page has missing values */
  _Atomic bool merging;         /* a thread is at what follows */
  struct pq_dict all;           /* of the first n_merged units, in their order */
  _Atomic int n_merged;
  int64_t entries, rows; /* of those units */
  struct tr_array *dictionary;
  struct tr_array *array;
};

struct task {
  int unit, column;
  int64_t cost;
  int64_t range; /* of the fetch that brings its chunk; -1: the file is read, or nothing is */
};

struct read {
  struct tr_ctx *ctx;
  struct unit *units;
  int n_units, n_cols;
  int64_t n_rows;
  struct column *columns;
  struct task *tasks;
  int64_t n_tasks;
  struct pq_scratch *scratch; /* one per thread */
  struct pq_text_chunk *chunk_store;
  struct tr_fetch_object *objects; /* per file, where some are objects of stores; else NULL */
  struct tr_fetch *fetch;          /* chunks of this round's tasks */
  size_t units_bytes, columns_bytes, tasks_bytes, scratch_bytes, chunk_bytes;
};

static int by_cost(const void *a, const void *b) {
  const struct task *x = a, *y = b;
  if (x->cost != y->cost) return x->cost < y->cost ? 1 : -1;
  if (x->unit != y->unit) return x->unit < y->unit ? -1 : 1;
  return x->column < y->column ? -1 : x->column > y->column;
}

static enum tr_status find_units(struct read *r, struct tr_parquet_file *const *files, int n_files,
                                 const bool *const *keep, struct tr_error *err) {
  int64_t n = 0;
  for (int f = 0; f < n_files; f++) n += files[f]->n_row_groups;
  if (n > INT32_MAX) return tr_fail(err, TR_EXC_MEMORY, "reading %lld row groups at once", (long long)n);
  r->units_bytes = (size_t)(n + 1) * sizeof *r->units;
  TR_TRY(tr_mem_calloc(r->units_bytes, (void **)&r->units, err));
  for (int f = 0; f < n_files; f++) {
    for (int g = 0; g < files[f]->n_row_groups; g++) {
      if (keep && keep[f] && !keep[f][g]) continue;
      int64_t rows = files[f]->row_group_rows[g];
      if (rows >= (int64_t)UINT32_MAX - r->n_rows)
        return tr_fail(err, TR_EXC_MEMORY, "reading 2^32 rows or more at once from '%s'", files[f]->path);
      r->units[r->n_units++] = (struct unit){files[f], f, g, r->n_rows, rows};
      r->n_rows += rows;
    }
  }
  return TR_OK;
}

/* dtype of one column over all files. */
static enum tr_status settle_column(struct column *c, struct tr_parquet_file *const *files, int n_files,
                                    struct tr_error *err) {
  for (int f = 0; f < n_files; f++) {
    if (c->col < 0 || c->col >= files[f]->n_cols)
      return tr_fail(err, TR_EXC_VALUE, "Parquet file '%s' has no column number %d", files[f]->path, c->col);
  }
  const char *why = tr_parquet_refusal(files, n_files, c->col);
  if (why)
    return tr_unsupported(err, "Parquet file '%s', column '%s': %s", files[0]->path, files[0]->cols[c->col].name, why);
  const struct pq_column *p = &files[0]->internal->columns[c->col];
  c->dtype = files[0]->cols[c->col].dtype;
  for (int f = 0; f < n_files; f++) {
    const struct tr_parquet_column *o = &files[f]->cols[c->col];
    if (o->dtype.kind == TR_F64) c->dtype = o->dtype;
    c->maybe_float |= o->maybe_float;
  }
  c->text = p->convert == PQ_AS_TEXT;
  c->category = p->category;
  return TR_OK;
}

static enum tr_status make_columns(struct read *r, struct tr_parquet_file *const *files, int n_files, const int *cols,
                                   int n_cols, struct tr_error *err) {
  r->columns_bytes = (size_t)(n_cols + 1) * sizeof *r->columns;
  TR_TRY(tr_mem_calloc(r->columns_bytes, (void **)&r->columns, err));
  r->n_cols = n_cols;
  int n_text = 0;
  for (int i = 0; i < n_cols; i++) {
    struct column *c = &r->columns[i];
    c->col = cols[i];
    TR_TRY(settle_column(c, files, n_files, err));
    n_text += c->text;
    TR_TRY(tr_buffer_new(r->n_rows * (c->text ? 4 : tr_dtype_width(c->dtype)), &c->values, err));
  }
  r->chunk_bytes = ((size_t)n_text * (size_t)r->n_units + 1) * sizeof *r->chunk_store;
  TR_TRY(tr_mem_calloc(r->chunk_bytes, (void **)&r->chunk_store, err));
  struct pq_text_chunk *next = r->chunk_store;
  for (int i = 0; i < n_cols; i++) {
    if (!r->columns[i].text) continue;
    r->columns[i].chunks = next;
    r->columns[i].all.hash_zero = r->ctx->hash_zero;
    for (int u = 0; u < r->n_units; u++) {
      next[u].dict.hash_zero = r->ctx->hash_zero;
      atomic_init(&next[u].decoded, r->units[u].rows == 0);
    }
    next += r->n_units;
  }
  r->scratch_bytes = (size_t)r->ctx->threads * sizeof *r->scratch;
  return tr_mem_calloc(r->scratch_bytes, (void **)&r->scratch, err);
}

static enum tr_status make_tasks(struct read *r, struct tr_error *err) {
  r->tasks_bytes = ((size_t)r->n_units * (size_t)r->n_cols + 1) * sizeof *r->tasks;
  return tr_mem_alloc(r->tasks_bytes, (void **)&r->tasks, err);
}

static void add_task(struct read *r, int unit, int column) {
  const struct unit *u = &r->units[unit];
  const struct tr_parquet_file_int *in = u->file->internal;
  const struct pq_chunk *k =
      &in->chunks[(int64_t)u->row_group * in->n_leaves + in->columns[r->columns[column].col].leaf];
  if (u->rows == 0) return;
  int64_t cost = k->uncompressed / 2 + k->size / 2 + u->rows;
  r->tasks[r->n_tasks++] = (struct task){unit, column, cost, -1};
}

static const struct pq_chunk *chunk_of(const struct read *r, const struct task *t) {
  const struct unit *u = &r->units[t->unit];
  const struct tr_parquet_file_int *in = u->file->internal;
  return &in->chunks[(int64_t)u->row_group * in->n_leaves + in->columns[r->columns[t->column].col].leaf];
}

/* Does the task read its chunk (in the second round some only renumber)? */
static bool reads(const struct read *r, const struct task *t, bool second) {
  const struct column *c = &r->columns[t->column];
  return !second || c->as_float || (c->text && atomic_load(&c->plain));
}

/* Starts to fetch what the tasks will read, in their order. */
static enum tr_status fetch_chunks(struct read *r, bool second, struct tr_error *err) {
  tr_fetch_free(r->fetch);
  r->fetch = NULL;
  if (!r->objects) return TR_OK;
  struct tr_range *ranges;
  size_t bytes = (size_t)(r->n_tasks + 1) * sizeof *ranges;
  int64_t n = 0;
  TR_TRY(tr_mem_calloc(bytes, (void **)&ranges, err));
  for (int64_t i = 0; i < r->n_tasks; i++) {
    struct task *t = &r->tasks[i];
    const struct unit *u = &r->units[t->unit];
    if (!u->file->internal->store || !reads(r, t, second)) continue;
    const struct pq_chunk *k = chunk_of(r, t);
    t->range = n;
    ranges[n++] = (struct tr_range){.offset = k->begin, .bytes = k->size, .object = u->file_no};
  }
  enum tr_status st = n ? tr_fetch_start(r->objects, ranges, n, 0, &r->fetch, err) : TR_OK;
  tr_mem_free(ranges, bytes);
  return st;
}

/* A cursor over the task's chunk, once that is there. */
static enum tr_status open_cursor(struct read *r, const struct task *t, int thread, struct pq_cursor *cursor,
                                  struct tr_error *err) {
  const struct unit *u = &r->units[t->unit];
  pq_cursor_open(cursor, u->file, u->row_group, r->columns[t->column].col, &r->scratch[thread]);
  return t->range >= 0 ? tr_fetch_wait(r->fetch, t->range, r->ctx, &cursor->fetched, err) : TR_OK;
}

static void close_cursor(struct read *r, const struct task *t) {
  if (t->range >= 0) tr_fetch_drop(r->fetch, t->range);
}

static enum tr_status decode_fixed(struct read *r, struct column *c, struct pq_cursor *cursor, const struct unit *u,
                                   struct tr_error *err) {
  struct pq_fixed_target t = {.dtype = c->dtype, .dst = c->values->data + u->first * tr_dtype_width(c->dtype)};
  (void)r;
  TR_TRY(pq_decode_fixed(cursor, &t, err));
  if (!t.saw_null) return TR_OK;
  if (c->dtype.kind == TR_BOOL)
    return tr_unsupported(err, "Parquet file '%s', column '%s': bool with missing values is object in pandas",
                          u->file->path, u->file->cols[c->col].name);
  if (!c->maybe_float) return pq_corrupt(cursor, err, "a value is missing though the statistics say that none is");
  atomic_store(&c->saw_null, true);
  return TR_OK;
}

static bool merging_pays(const struct column *c) {
  const struct pq_dict *d = &c->all;
  if (c->category || d->n <= KEEP_DICTIONARY) return true;
  if (d->n > MAX_DICTIONARY && d->n > c->rows / 16) return false;
  return d->n <= c->rows / 4 || d->n < c->entries / 10 * 9;
}

/* Adds a unit's dictionary to the column's; leaves a map in the chunk where the numbers change. */
static enum tr_status merge_unit(struct read *r, struct column *c, int unit, struct tr_error *err) {
  struct pq_text_chunk *t = &c->chunks[unit];
  c->rows += r->units[unit].rows;
  if (t->dict.n == 0) return TR_OK;
  TR_TRY(tr_ctx_check(r->ctx));
  TR_TRY(tr_mem_alloc((size_t)t->dict.n * sizeof *t->map, (void **)&t->map, err));
  t->n_map = t->dict.n;
  TR_TRY(pq_dict_merge(&c->all, &t->dict, t->map, err));
  c->entries += t->dict.n;
  pq_dict_free(&t->dict);
  if (!merging_pays(c)) atomic_store(&c->plain, true);
  for (int64_t i = 0; i < t->n_map; i++) {
    if (t->map[i] != i) return TR_OK;
  }
  tr_mem_free(t->map, (size_t)t->n_map * sizeof *t->map);
  t->map = NULL;
  t->n_map = 0;
  return TR_OK;
}

static bool may_merge(const struct read *r, const struct column *c) {
  int next = atomic_load(&c->n_merged);
  return !atomic_load(&c->plain) && next < r->n_units && atomic_load(&c->chunks[next].decoded);
}

/* Merges the units that are decoded, as far as there is no gap, unless another thread does; that one sees what came
 * meanwhile, as it looks again after it has let go. */
static enum tr_status merge_decoded(struct read *r, struct column *c, struct tr_error *err) {
  while (may_merge(r, c)) {
    if (atomic_exchange(&c->merging, true)) return TR_OK;
    enum tr_status st = TR_OK;
    while (st == TR_OK && may_merge(r, c)) {
      int next = atomic_load(&c->n_merged);
      st = merge_unit(r, c, next, err);
      if (st == TR_OK) atomic_store(&c->n_merged, next + 1);
    }
    /* After a failure nobody else goes on: the unit is half merged, and the read has failed. */
    if (st != TR_OK) return st;
    atomic_store(&c->merging, false);
  }
  return TR_OK;
}

static enum tr_status decode_text(struct read *r, struct column *c, struct pq_cursor *cursor, int unit,
                                  struct tr_error *err) {
  struct pq_text_chunk *t = &c->chunks[unit];
  TR_TRY(pq_text_encode(cursor, t, (int32_t *)c->values->data + r->units[unit].first, c->category, &c->plain, err));
  pq_dict_unindex(&t->dict); /* the next unit's table is in the same memory, which is still near */
  if (t->some_missing) atomic_store(&c->some_missing, true);
  atomic_store(&t->decoded, true);
  return merge_decoded(r, c, err);
}

static enum tr_status decode_task(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct read *r = arg;
  for (int64_t i = begin; i < end; i++) {
    const struct task *t = &r->tasks[i];
    const struct unit *u = &r->units[t->unit];
    struct column *c = &r->columns[t->column];
    struct pq_cursor cursor;
    TR_TRY(open_cursor(r, t, thread, &cursor, err));
    if (c->text) {
      TR_TRY(decode_text(r, c, &cursor, t->unit, err));
    } else if (!atomic_load_explicit(&c->saw_null, memory_order_relaxed)) {
      TR_TRY(decode_fixed(r, c, &cursor, u, err));
    }
    close_cursor(r, t);
  }
  return TR_OK;
}

/* Prepares the last round: fresh buffers for columns that are read again, tasks for those and for renumbering. */
static enum tr_status plan_second(struct read *r, struct tr_error *err) {
  r->n_tasks = 0;
  for (int i = 0; i < r->n_cols; i++) {
    struct column *c = &r->columns[i];
    bool plain = c->text && atomic_load(&c->plain);
    if (c->text && !plain) TR_TRY(pq_dict_array(&c->all, &c->dictionary, err));
    pq_dict_free(&c->all);
    if (atomic_load(&c->saw_null)) {
      c->dtype = tr_dtype_of(TR_F64);
      c->as_float = true;
    }
    if (plain || c->as_float) {
      tr_buffer_unref(c->values);
      c->values = NULL;
      TR_TRY(tr_buffer_new(r->n_rows * (plain ? (int64_t)sizeof(struct tr_view) : 8), &c->values, err));
    }
    for (int u = 0; u < r->n_units; u++) {
      if (plain) pq_text_chunk_free(&c->chunks[u]);
      if (plain || c->as_float || (c->text && c->chunks[u].map)) add_task(r, u, i);
    }
  }
  return TR_OK;
}

static enum tr_status second_task(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct read *r = arg;
  for (int64_t i = begin; i < end; i++) {
    const struct task *t = &r->tasks[i];
    const struct unit *u = &r->units[t->unit];
    struct column *c = &r->columns[t->column];
    struct pq_cursor cursor;
    TR_TRY(open_cursor(r, t, thread, &cursor, err));
    if (c->as_float) {
      TR_TRY(decode_fixed(r, c, &cursor, u, err));
    } else if (atomic_load(&c->plain)) {
      TR_TRY(pq_text_views(&cursor, &c->chunks[t->unit], (struct tr_view *)c->values->data + u->first, err));
    } else {
      int32_t *codes = (int32_t *)c->values->data + u->first;
      const int32_t *map = c->chunks[t->unit].map;
      for (int64_t k = 0; k < u->rows; k++) codes[k] = codes[k] < 0 ? -1 : map[codes[k]];
    }
    close_cursor(r, t);
  }
  return TR_OK;
}

struct renumber {
  struct read *r;
  struct column *c;
  const int *base; /* number of the unit's first heap */
};

static enum tr_status renumber_heaps(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  const struct renumber *x = arg;
  (void)thread;
  (void)err;
  for (int64_t u = begin; u < end; u++) {
    const struct unit *unit = &x->r->units[u];
    struct tr_view *v = (struct tr_view *)x->c->values->data + unit->first;
    if (!x->c->chunks[u].has_long || x->base[u] == 0) continue;
    for (int64_t i = 0; i < unit->rows; i++) v[i].heap += v[i].size > TR_VIEW_INLINE ? x->base[u] : 0;
  }
  return TR_OK;
}

/* Gathers the units' heaps into the array and shifts the views' heap numbers. Heaps no text needs are dropped. */
static enum tr_status adopt_heaps(struct read *r, struct column *c, struct tr_error *err) {
  int *base;
  size_t bytes = (size_t)(r->n_units + 1) * sizeof *base;
  TR_TRY(tr_mem_alloc(bytes, (void **)&base, err));
  enum tr_status st = TR_OK;
  for (int u = 0; u < r->n_units; u++) {
    struct pq_text_chunk *t = &c->chunks[u];
    int no;
    base[u] = c->array->n_heaps;
    for (int h = 0; h < t->n_heaps && t->has_long; h++) TR_GOTO(st, tr_array_add_heap(c->array, t->heaps[h], &no, err));
  }
  struct renumber x = {r, c, base};
  st = tr_parallel_for(r->ctx, r->n_units, 1, renumber_heaps, &x, err);
done:
  tr_mem_free(base, bytes);
  return st;
}

static enum tr_status make_array(struct read *r, struct column *c, struct tr_error *err) {
  struct tr_buffer *values = c->values;
  if (c->text && !atomic_load(&c->plain)) {
    TR_TRY(tr_array_new_dict(c->dtype, 0, c->dictionary, &c->array, err));
    tr_buffer_unref(c->array->data);
    c->array->data = values;
    c->array->length = r->n_rows;
    c->array->null_count = atomic_load(&c->some_missing) ? -1 : 0;
    c->values = NULL;
    return TR_OK;
  }
  c->values = NULL; /* taken, also on failure */
  TR_TRY(tr_array_from_buffer(c->dtype, r->n_rows, values, &c->array, err));
  c->values = tr_buffer_ref(values);
  return c->text ? adopt_heaps(r, c, err) : TR_OK;
}

static enum tr_status make_frame(struct read *r, struct tr_frame **out, struct tr_error *err) {
  struct tr_array **arrays;
  size_t bytes = (size_t)(r->n_cols + 1) * sizeof *arrays;
  TR_TRY(tr_mem_calloc(bytes, (void **)&arrays, err));
  enum tr_status st = TR_OK;
  for (int i = 0; i < r->n_cols && st == TR_OK; i++) {
    st = make_array(r, &r->columns[i], err);
    arrays[i] = r->columns[i].array;
  }
  if (st == TR_OK) st = tr_frame_new(r->n_rows, r->n_cols, arrays, out, err);
  tr_mem_free(arrays, bytes);
  return st;
}

static void drop(struct read *r) {
  for (int i = 0; r->columns && i < r->n_cols; i++) {
    struct column *c = &r->columns[i];
    tr_buffer_unref(c->values);
    tr_array_unref(c->dictionary);
    tr_array_unref(c->array);
    pq_dict_free(&c->all);
    for (int u = 0; c->chunks && u < r->n_units; u++) pq_text_chunk_free(&c->chunks[u]);
  }
  tr_fetch_free(r->fetch);
  free(r->objects);
  for (int t = 0; r->scratch && t < r->ctx->threads; t++) pq_scratch_free(&r->scratch[t]);
  tr_mem_free(r->scratch, r->scratch_bytes);
  tr_mem_free(r->chunk_store, r->chunk_bytes);
  tr_mem_free(r->tasks, r->tasks_bytes);
  tr_mem_free(r->columns, r->columns_bytes);
  tr_mem_free(r->units, r->units_bytes);
}

/* Names the files that are objects of stores. */
static enum tr_status find_objects(struct read *r, struct tr_parquet_file *const *files, int n_files,
                                   struct tr_error *err) {
  for (int f = 0; f < n_files; f++) {
    const struct tr_parquet_file_int *in = files[f]->internal;
    if (!in->store) continue;
    if (!r->objects && !(r->objects = calloc((size_t)n_files, sizeof *r->objects)))
      return tr_fail_memory(err, (size_t)n_files * sizeof *r->objects);
    r->objects[f] = (struct tr_fetch_object){in->store, in->key, in->etag};
  }
  return TR_OK;
}

enum tr_status tr_parquet_read(struct tr_ctx *ctx, struct tr_parquet_file *const *files, int n_files,
                               const bool *const *keep, const int *cols, int n_cols, struct tr_frame **out,
                               struct tr_error *err) {
  struct read r = {.ctx = ctx};
  enum tr_status st;
  *out = NULL;
  if (n_files < 1) return tr_fail(err, TR_EXC_VALUE, "no Parquet file to read");
  for (int f = 0; f < n_files; f++) TR_TRY(tr_parquet_unchanged(files[f], err));
  TR_GOTO(st, find_units(&r, files, n_files, keep, err));
  TR_GOTO(st, make_columns(&r, files, n_files, cols, n_cols, err));
  TR_GOTO(st, make_tasks(&r, err));
  for (int u = 0; u < r.n_units; u++) {
    for (int i = 0; i < n_cols; i++) add_task(&r, u, i);
  }
  qsort(r.tasks, (size_t)r.n_tasks, sizeof *r.tasks, by_cost);
  TR_GOTO(st, find_objects(&r, files, n_files, err));
  TR_GOTO(st, fetch_chunks(&r, false, err));
  TR_GOTO(st, tr_parallel_for(ctx, r.n_tasks, 1, decode_task, &r, err));
  TR_GOTO(st, plan_second(&r, err));
  qsort(r.tasks, (size_t)r.n_tasks, sizeof *r.tasks, by_cost);
  TR_GOTO(st, fetch_chunks(&r, true, err));
  TR_GOTO(st, tr_parallel_for(ctx, r.n_tasks, 1, second_task, &r, err));
  TR_GOTO(st, make_frame(&r, out, err));
done:
  drop(&r);
  return st;
}
