/* Writing blocks: see block.h. */
#include "base/mem.h"
#include "data/format/block/block_int.h"
#include <stdlib.h>
#include <xxhash.h>
#include <zstd.h>

enum { FRAME_ROWS = 1 << 20, FRAME_TEXT = 1 << 29, WORTH_TRYING = 64 };

static enum tr_status reserve(struct tr_block_writer *w, size_t bytes, struct tr_error *err) {
  if (w->size + bytes <= w->room) return TR_OK;
  size_t room = w->room * 2 > w->size + bytes ? w->room * 2 : w->size + bytes + 4096;
  void *p = w->bytes;
  TR_TRY(tr_mem_realloc(&p, w->room, room, err));
  w->bytes = p;
  w->room = room;
  return TR_OK;
}

static enum tr_status put(struct tr_block_writer *w, const void *p, size_t n, struct tr_error *err) {
  TR_TRY(reserve(w, n, err));
  if (n) memcpy(w->bytes + w->size, p, n);
  w->size += n;
  return TR_OK;
}

enum tr_status tr_block_begin(struct tr_block_writer *w, bool compress, struct tr_error *err) {
  *w = (struct tr_block_writer){.compress = compress};
  return put(w, TR_BLOCK_MAGIC, TR_BLOCK_MAGIC_BYTES, err);
}

enum tr_status tr_block_segment(struct tr_block_writer *w, struct tr_error *err) {
  if (w->n_segments == w->room_segments) {
    int room = w->room_segments ? 2 * w->room_segments : 16;
    struct tr_block_segment *segments = realloc(w->segments, sizeof *segments * (size_t)room);
    if (!segments) return tr_fail_memory(err, sizeof *segments * (size_t)room);
    w->segments = segments;
    w->room_segments = room;
  }
  w->segments[w->n_segments++] = (struct tr_block_segment){.offset = (int64_t)w->size};
  return TR_OK;
}

static enum tr_status put_buffer(struct tr_block_writer *w, const void *p, int64_t n, struct tr_error *err) {
  struct tr_buffer_head head = {n, n};
  size_t at = w->size;
  TR_TRY(put(w, &head, sizeof head, err));
  if (w->compress && n >= WORTH_TRYING) {
    TR_TRY(reserve(w, ZSTD_compressBound((size_t)n), err));
    size_t got = ZSTD_compress(w->bytes + w->size, w->room - w->size, p, (size_t)n, 1);
    if (!ZSTD_isError(got) && got < (size_t)n - (size_t)n / 8) {
      head.stored = (int64_t)got;
      memcpy(w->bytes + at, &head, sizeof head);
      w->size += got;
      return TR_OK;
    }
  }
  return put(w, p, (size_t)n, err);
}

static enum tr_status put_text(struct tr_block_writer *w, const struct tr_array *a, struct tr_error *err) {
  const struct tr_view *v = tr_array_views(a);
  int64_t n = a->length, total = 0, at = 0;
  void *sizes = NULL, *bytes = NULL;
  enum tr_status st;
  for (int64_t i = 0; i < n; i++) total += v[i].size > 0 ? v[i].size : 0;
  TR_GOTO(st, tr_mem_alloc((size_t)n * 4, &sizes, err));
  TR_GOTO(st, tr_mem_alloc((size_t)total, &bytes, err));
  for (int64_t i = 0; i < n; i++) {
    ((int32_t *)sizes)[i] = v[i].size;
    if (v[i].size <= 0) continue;
    memcpy((char *)bytes + at, tr_view_bytes(a, &v[i]), (size_t)v[i].size);
    at += v[i].size;
  }
  TR_GOTO(st, put_buffer(w, sizes, n * 4, err));
  st = put_buffer(w, bytes, total, err);
done:
  tr_mem_free(sizes, (size_t)n * 4);
  tr_mem_free(bytes, (size_t)total);
  return st;
}

static enum tr_column_form form_of(const struct tr_array *a) {
  if (!a) return TR_COLUMN_ABSENT;
  return a->enc == TR_DICT ? TR_COLUMN_DICT : a->dtype.kind == TR_STR ? TR_COLUMN_TEXT : TR_COLUMN_FIXED;
}

static enum tr_status put_head(struct tr_block_writer *w, const struct tr_array *a, struct tr_error *err) {
  struct tr_column_head h = {.form = (uint8_t)form_of(a)};
  if (a) {
    h.kind = a->dtype.kind;
    h.unit = a->dtype.unit;
    h.ordered = a->dtype.ordered;
    h.sorted = a->enc == TR_DICT && a->dict_sorted;
    h.length = a->length;
  }
  TR_TRY(put(w, &h, sizeof h, err));
  return h.form == TR_COLUMN_DICT ? put_head(w, a->dict, err) : TR_OK;
}

static enum tr_status put_values(struct tr_block_writer *w, const struct tr_array *a, struct tr_error *err) {
  switch (form_of(a)) {
  case TR_COLUMN_ABSENT: return TR_OK;
  case TR_COLUMN_FIXED: return put_buffer(w, tr_array_data(a), a->length * tr_dtype_width(a->dtype), err);
  case TR_COLUMN_TEXT: return put_text(w, a, err);
  default: TR_TRY(put_buffer(w, tr_array_codes(a), a->length * 4, err)); return put_values(w, a->dict, err);
  }
}

/* The buffers of each column, made side by side. */
struct columns {
  struct tr_array *const *cols;
  struct tr_block_writer *parts;
};

static enum tr_status put_columns(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  const struct columns *c = arg;
  (void)thread;
  for (int64_t i = begin; i < end; i++)
    if (c->cols[i]) TR_TRY(put_values(&c->parts[i], c->cols[i], err));
  return TR_OK;
}

enum { WORTH_THREADS = 4096 /* rows */ };

static enum tr_status put_all_values(struct tr_ctx *ctx, struct tr_block_writer *w, struct tr_array *const *cols,
                                     int n_cols, int64_t n_rows, struct tr_error *err) {
  enum tr_status st = TR_OK;
  if (n_rows < WORTH_THREADS || n_cols < 2) {
    for (int i = 0; i < n_cols; i++)
      if (cols[i]) TR_TRY(put_values(w, cols[i], err));
    return TR_OK;
  }
  struct tr_block_writer *parts = calloc((size_t)n_cols, sizeof *parts);
  if (!parts) return tr_fail_memory(err, sizeof *parts * (size_t)n_cols);
  for (int i = 0; i < n_cols; i++) parts[i].compress = w->compress;
  TR_GOTO(st, tr_parallel_for(ctx, n_cols, 1, put_columns, &(struct columns){cols, parts}, err));
  for (int i = 0; i < n_cols; i++) TR_GOTO(st, put(w, parts[i].bytes, parts[i].size, err));
done:
  for (int i = 0; i < n_cols; i++) tr_block_drop(&parts[i]);
  free(parts);
  return st;
}

static enum tr_status put_frame(struct tr_ctx *ctx, struct tr_block_writer *w, struct tr_array *const *cols, int n_cols,
                                int64_t n_rows, struct tr_error *err) {
  size_t at = w->size;
  struct tr_frame_head head = {.magic = TR_FRAME_MAGIC, .n_cols = (uint32_t)n_cols, .n_rows = n_rows};
  TR_TRY(put(w, &head, sizeof head, err));
  for (int i = 0; i < n_cols; i++) TR_TRY(put_head(w, cols[i], err));
  TR_TRY(put_all_values(ctx, w, cols, n_cols, n_rows, err));
  head.total = (int64_t)(w->size - at);
  head.hash = XXH3_64bits_withSeed(w->bytes + at + sizeof head, (size_t)head.total - sizeof head, tr_frame_seed(&head));
  memcpy(w->bytes + at, &head, sizeof head);
  return TR_OK;
}

/* Rows [begin, begin + n) of a column, as they are best written: a dictionary of text larger than its rows is not. */
static enum tr_status cut_column(struct tr_ctx *ctx, struct tr_array *a, int64_t begin, int64_t n,
                                 struct tr_array **out, struct tr_error *err) {
  struct tr_array *part;
  TR_TRY(tr_array_slice(a, begin, n, &part, err));
  if (part->enc != TR_DICT || part->dtype.kind != TR_STR || part->dict->length <= n) {
    *out = part;
    return TR_OK;
  }
  enum tr_status st = tr_array_decode(ctx, part, out, err);
  tr_array_unref(part);
  return st;
}

static int64_t text_bytes(const struct tr_array *a) {
  int64_t total = 0;
  if (!a || a->enc == TR_DICT || a->dtype.kind != TR_STR) return 0;
  const struct tr_view *v = tr_array_views(a);
  for (int64_t i = 0; i < a->length; i++) total += v[i].size > 0 ? v[i].size : 0;
  return total;
}

static enum tr_status add_rows(struct tr_ctx *ctx, struct tr_block_writer *w, const struct tr_frame *f, int64_t begin,
                               int64_t n, struct tr_error *err) {
  struct tr_array **cols = calloc((size_t)f->n_cols + 1, sizeof *cols);
  enum tr_status st = TR_OK;
  bool large = false;
  if (!cols) return tr_fail_memory(err, sizeof *cols * (size_t)f->n_cols);
  for (int i = 0; i < f->n_cols; i++) {
    if (!f->cols[i]) continue;
    TR_GOTO(st, cut_column(ctx, f->cols[i], begin, n, &cols[i], err));
    large |= text_bytes(cols[i]) > FRAME_TEXT;
  }
  if (!large || n == 1) st = put_frame(ctx, w, cols, f->n_cols, n, err);
done:
  for (int i = 0; i < f->n_cols; i++) tr_array_unref(cols[i]);
  free(cols);
  if (st != TR_OK || !large || n == 1) return st;
  TR_TRY(add_rows(ctx, w, f, begin, n / 2, err));
  return add_rows(ctx, w, f, begin + n / 2, n - n / 2, err);
}

enum tr_status tr_block_add(struct tr_ctx *ctx, struct tr_block_writer *w, const struct tr_frame *f,
                            struct tr_error *err) {
  struct tr_block_segment *s = &w->segments[w->n_segments - 1];
  int64_t begin = 0;
  do { /* a frame of no rows is written too: its dtypes and categories count */
    int64_t n = f->n_rows - begin < FRAME_ROWS ? f->n_rows - begin : FRAME_ROWS;
    TR_TRY(add_rows(ctx, w, f, begin, n, err));
    begin += n;
  } while (begin < f->n_rows);
  s->rows += f->n_rows;
  s->bytes = (int64_t)w->size - s->offset;
  return TR_OK;
}

enum tr_status tr_block_finish(struct tr_block_writer *w, struct tr_error *err) {
  size_t bytes = sizeof *w->segments * (size_t)w->n_segments;
  struct tr_block_end end = {.index_offset = (int64_t)w->size,
                             .index_bytes = (int64_t)bytes,
                             .hash = XXH3_64bits(w->segments, bytes),
                             .magic = TR_BLOCK_MAGIC};
  TR_TRY(put(w, w->segments, bytes, err));
  return put(w, &end, sizeof end, err);
}

void tr_block_drop(struct tr_block_writer *w) {
  tr_mem_free(w->bytes, w->room);
  free(w->segments);
  *w = (struct tr_block_writer){0};
}
