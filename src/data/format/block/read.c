/* Reading blocks: see block.h. Every size is checked before anything of that size is read or reserved. */
#include "data/format/block/block_int.h"
#include <stdlib.h>
#include <xxhash.h>
#include <zstd.h>

enum { MOST_RATIO = 40000, SLACK = 4096, MOST_SEGMENTS = 1 << 20 };

static enum tr_status damaged(const char *name, const char *what, struct tr_error *err) {
  return tr_fail(err, TR_EXC_VALUE, "block '%s': %s", name, what);
}

enum tr_status tr_block_tail(const uint8_t *tail, int64_t object_bytes, const char *name, int64_t *index_offset,
                             int64_t *index_bytes, struct tr_error *err) {
  struct tr_block_end end;
  memcpy(&end, tail, sizeof end);
  if (memcmp(end.magic, TR_BLOCK_MAGIC, TR_BLOCK_MAGIC_BYTES) != 0) return damaged(name, "the end is missing", err);
  int64_t most = object_bytes - TR_BLOCK_TAIL_BYTES;
  if (end.index_offset < TR_BLOCK_MAGIC_BYTES || end.index_bytes < 0 || end.index_offset > most ||
      end.index_bytes != most - end.index_offset || end.index_bytes % (int64_t)sizeof(struct tr_block_segment))
    return damaged(name, "the index lies elsewhere", err);
  *index_offset = end.index_offset;
  *index_bytes = end.index_bytes;
  return TR_OK;
}

enum tr_status tr_block_index(const uint8_t *index, int64_t index_bytes, const uint8_t *tail, const char *name,
                              struct tr_block_segment **out, int *n, struct tr_error *err) {
  struct tr_block_end end;
  memcpy(&end, tail, sizeof end);
  *out = NULL;
  int64_t count = index_bytes / (int64_t)sizeof **out, at = TR_BLOCK_MAGIC_BYTES;
  if (count > MOST_SEGMENTS) return damaged(name, "too many segments", err);
  if (XXH3_64bits(index, (size_t)index_bytes) != end.hash) return damaged(name, "the index was changed", err);
  struct tr_block_segment *segments = malloc((size_t)index_bytes + 1);
  if (!segments) return tr_fail_memory(err, (size_t)index_bytes);
  memcpy(segments, index, (size_t)index_bytes);
  for (int64_t i = 0; i < count; i++) {
    const struct tr_block_segment *s = &segments[i];
    bool ok = s->offset == at && s->bytes >= 0 && s->rows >= 0 && s->bytes <= end.index_offset - at;
    if (!ok) {
      free(segments);
      return damaged(name, "segments overlap", err);
    }
    at += s->bytes;
  }
  *out = segments;
  *n = (int)count;
  return TR_OK;
}

struct reader {
  struct tr_ctx *ctx;
  const uint8_t *at, *end;
  const char *name;
  struct tr_error *err;
};

static enum tr_status take(struct reader *r, void *out, size_t n) {
  if ((size_t)(r->end - r->at) < n) return damaged(r->name, "a frame is cut", r->err);
  memcpy(out, r->at, n);
  r->at += n;
  return TR_OK;
}

/* The next buffer, of exactly `want` bytes (-1 = less than 2 GiB); out NULL: skipped. */
static enum tr_status take_buffer(struct reader *r, int64_t want, struct tr_buffer **out) {
  struct tr_buffer_head h;
  TR_TRY(take(r, &h, sizeof h));
  if (h.stored < 0 || h.stored > r->end - r->at) return damaged(r->name, "a buffer is cut", r->err);
  if (want >= 0 ? h.raw != want : (h.raw < 0 || h.raw > INT32_MAX))
    return damaged(r->name, "a buffer has another size than its column", r->err);
  if (h.stored > h.raw || h.raw > h.stored * MOST_RATIO + SLACK)
    return damaged(r->name, "a buffer has an impossible size", r->err);
  const uint8_t *from = r->at;
  r->at += h.stored;
  if (!out) return TR_OK;
  TR_TRY(tr_buffer_new(h.raw, out, r->err));
  if (h.stored == h.raw) {
    if (h.raw) memcpy((*out)->data, from, (size_t)h.raw);
    return TR_OK;
  }
  size_t got = ZSTD_decompress((*out)->data, (size_t)h.raw, from, (size_t)h.stored);
  if (!ZSTD_isError(got) && got == (size_t)h.raw) return TR_OK;
  tr_buffer_unref(*out);
  *out = NULL;
  return damaged(r->name, "a buffer does not decompress", r->err);
}

/* ---- columns */
struct column {
  struct tr_column_head head, dict; /* dict: of a DICT */
};

static enum tr_status check_head(struct reader *r, const struct tr_column_head *h, bool dictionary) {
  bool time = h->kind == TR_DATETIME || h->kind == TR_TIMEDELTA;
  bool ok = h->form <= TR_COLUMN_DICT && h->kind < TR_N_KINDS && h->length >= 0 && h->length < UINT32_MAX &&
            h->unit <= (time ? TR_NS : 0) && h->ordered <= (h->kind == TR_CATEGORY) && h->sorted <= 1;
  if (h->form == TR_COLUMN_FIXED) ok &= h->kind != TR_STR && h->kind != TR_CATEGORY;
  if (h->form == TR_COLUMN_TEXT) ok &= h->kind == TR_STR;
  if (h->form == TR_COLUMN_DICT) ok &= h->kind == TR_STR || h->kind == TR_CATEGORY;
  if (dictionary) ok &= h->form == TR_COLUMN_FIXED || h->form == TR_COLUMN_TEXT;
  return ok ? TR_OK : damaged(r->name, "a column of no dtype", r->err);
}

static enum tr_status take_head(struct reader *r, int64_t n_rows, struct column *c) {
  TR_TRY(take(r, &c->head, sizeof c->head));
  if (c->head.form == TR_COLUMN_ABSENT) return TR_OK;
  TR_TRY(check_head(r, &c->head, false));
  if (c->head.length != n_rows) return damaged(r->name, "a column of another length", r->err);
  if (c->head.form != TR_COLUMN_DICT) return TR_OK;
  TR_TRY(take(r, &c->dict, sizeof c->dict));
  TR_TRY(check_head(r, &c->dict, true));
  bool ok = c->dict.length <= INT32_MAX && (c->head.kind == TR_CATEGORY || c->dict.form == TR_COLUMN_TEXT);
  return ok ? TR_OK : damaged(r->name, "a dictionary of another dtype", r->err);
}

static struct tr_dtype dtype_of(const struct tr_column_head *h) {
  return (struct tr_dtype){.kind = h->kind, .unit = h->unit, .ordered = h->ordered};
}

static enum tr_status take_fixed(struct reader *r, const struct tr_column_head *h, struct tr_array **out) {
  struct tr_buffer *data = NULL;
  struct tr_dtype t = dtype_of(h);
  TR_TRY(take_buffer(r, h->length * tr_dtype_width(t), out ? &data : NULL));
  if (!out) return TR_OK;
  if (t.kind == TR_BOOL)
    for (int64_t i = 0; i < h->length; i++)
      if (data->data[i] > 1) {
        tr_buffer_unref(data);
        return damaged(r->name, "a bool that is none", r->err);
      }
  return tr_array_from_buffer(t, h->length, data, out, r->err);
}

/* Views over the bytes; false when sizes and bytes do not agree. */
static bool make_views(const int32_t *sizes, int64_t n, const struct tr_buffer *bytes, struct tr_view *v) {
  int64_t at = 0;
  for (int64_t i = 0; i < n; i++) {
    if (sizes[i] < -1 || sizes[i] > bytes->size - at) return false;
    if (sizes[i] < 0) {
      v[i] = tr_view_null();
      continue;
    }
    v[i] = tr_view_make((const char *)bytes->data + at, sizes[i], 0, (int32_t)at);
    at += sizes[i];
  }
  return at == bytes->size;
}

static enum tr_status take_text(struct reader *r, const struct tr_column_head *h, struct tr_array **out) {
  struct tr_buffer *sizes = NULL, *bytes = NULL;
  struct tr_array *a = NULL;
  enum tr_status st;
  int heap;
  TR_GOTO(st, take_buffer(r, h->length * 4, out ? &sizes : NULL));
  TR_GOTO(st, take_buffer(r, -1, out ? &bytes : NULL));
  if (!out) return TR_OK;
  TR_GOTO(st, tr_array_new(dtype_of(h), h->length, &a, r->err));
  TR_GOTO(st, tr_array_add_heap(a, bytes, &heap, r->err));
  if (!make_views((const int32_t *)sizes->data, h->length, bytes, tr_array_data(a)))
    TR_GOTO(st, damaged(r->name, "texts of another size", r->err));
  *out = a;
  a = NULL;
done:
  tr_array_unref(a);
  tr_buffer_unref(sizes);
  tr_buffer_unref(bytes);
  return st;
}

static enum tr_status take_dict(struct reader *r, const struct column *c, struct tr_array **out) {
  struct tr_buffer *codes = NULL;
  struct tr_array *dict = NULL;
  enum tr_status st;
  TR_GOTO(st, take_buffer(r, c->head.length * 4, out ? &codes : NULL));
  TR_GOTO(st, c->dict.form == TR_COLUMN_TEXT ? take_text(r, &c->dict, out ? &dict : NULL)
                                             : take_fixed(r, &c->dict, out ? &dict : NULL));
  if (!out) return TR_OK;
  const int32_t *from = (const int32_t *)codes->data;
  for (int64_t i = 0; i < c->head.length; i++)
    if (from[i] < -1 || from[i] >= dict->length) TR_GOTO(st, damaged(r->name, "a code of no value", r->err));
  TR_GOTO(st, tr_array_new_dict(dtype_of(&c->head), c->head.length, dict, out, r->err));
  if (codes->size) memcpy(tr_array_data(*out), codes->data, (size_t)codes->size);
  (*out)->dict_sorted = c->head.sorted;
done:
  tr_array_unref(dict);
  tr_buffer_unref(codes);
  return st;
}

static enum tr_status take_column(struct reader *r, const struct column *c, struct tr_array **out) {
  switch (c->head.form) {
  case TR_COLUMN_ABSENT: return TR_OK;
  case TR_COLUMN_FIXED: return take_fixed(r, &c->head, out);
  case TR_COLUMN_TEXT: return take_text(r, &c->head, out);
  default: return take_dict(r, c, out);
  }
}

static enum tr_status take_frame(struct reader *r, const struct tr_frame_head *head, const bool *need,
                                 struct tr_frame **out) {
  int n = (int)head->n_cols;
  struct column *columns = calloc((size_t)n + 1, sizeof *columns);
  struct tr_array **cols = calloc((size_t)n + 1, sizeof *cols);
  enum tr_status st = TR_OK;
  if (!columns || !cols) TR_GOTO(st, tr_fail_memory(r->err, sizeof *columns * (size_t)n));
  for (int i = 0; i < n; i++) TR_GOTO(st, take_head(r, head->n_rows, &columns[i]));
  for (int i = 0; i < n; i++) TR_GOTO(st, take_column(r, &columns[i], !need || need[i] ? &cols[i] : NULL));
  if (r->at != r->end) TR_GOTO(st, damaged(r->name, "a frame is longer than its columns", r->err));
  st = tr_frame_new(head->n_rows, n, cols, out, r->err);
done:
  for (int i = 0; cols && i < n; i++) tr_array_unref(cols[i]);
  free(columns);
  free(cols);
  return st;
}

enum tr_status tr_block_next(struct tr_ctx *ctx, struct tr_block_cursor *cursor, const bool *need, int n_cols,
                             struct tr_frame **out, struct tr_error *err) {
  struct tr_frame_head head;
  *out = NULL;
  if (!cursor->left) return TR_OK;
  if (cursor->left < (int64_t)sizeof head) return damaged(cursor->name, "a frame is cut", err);
  memcpy(&head, cursor->at, sizeof head);
  int64_t body = head.total - (int64_t)sizeof head;
  if (head.magic != TR_FRAME_MAGIC) return damaged(cursor->name, "a frame begins elsewhere", err);
  if (body < 0 || head.total > cursor->left) return damaged(cursor->name, "a frame is cut", err);
  if (head.n_rows < 0 || head.n_rows >= UINT32_MAX || head.n_cols > body / (int64_t)sizeof(struct tr_column_head))
    return damaged(cursor->name, "a frame of impossible size", err);
  if (n_cols >= 0 && head.n_cols != (uint32_t)n_cols) return damaged(cursor->name, "a frame of other columns", err);
  struct reader r = {ctx, cursor->at + sizeof head, cursor->at + head.total, cursor->name, err};
  if (XXH3_64bits_withSeed(r.at, (size_t)body, tr_frame_seed(&head)) != head.hash)
    return damaged(cursor->name, "a frame was changed", err);
  TR_TRY(take_frame(&r, &head, need, out));
  cursor->at += head.total;
  cursor->left -= head.total;
  return TR_OK;
}
