/* Pages of a column chunk: headers, decompression, definition levels.
 *
 * The file is read through a window of about half a megabyte, so that stored bytes, decompressed page and output stay
 * in the cache. Files are read, not mapped: a file that shrinks under us gives an error instead of SIGBUS.
 */
#include "data/format/parquet/decode_int.h"
#include <string.h>

enum { WINDOW = 512 << 10, HEADER_MAX = 16 << 20, SLACK = 64 };

enum tr_status pq_block_need(struct pq_block *b, size_t n, struct tr_error *err) {
  if (n <= b->size) return TR_OK;
  size_t want = n < (1 << 20) ? 1 << 20 : n + n / 4;
  void *p;
  TR_TRY(tr_mem_alloc(want, &p, err));
  tr_mem_free(b->data, b->size);
  b->data = p;
  b->size = want;
  return TR_OK;
}

void pq_block_free(struct pq_block *b) {
  tr_mem_free(b->data, b->size);
  *b = (struct pq_block){0};
}

void pq_scratch_free(struct pq_scratch *s) {
  pq_codec_free(&s->codec);
  pq_block_free(&s->window);
  pq_block_free(&s->page);
  pq_block_free(&s->dictionary);
  pq_block_free(&s->flags);
}

void pq_cursor_open(struct pq_cursor *c, const struct tr_parquet_file *f, int row_group, int col,
                    struct pq_scratch *s) {
  const struct tr_parquet_file_int *in = f->internal;
  *c = (struct pq_cursor){.file = f, .scratch = s, .col = col, .row_group = row_group, .column = &in->columns[col]};
  c->chunk = &in->chunks[(int64_t)row_group * in->n_leaves + c->column->leaf];
  c->at = c->chunk->begin;
  c->end = c->at + c->chunk->size;
  c->rows_left = f->row_group_rows[row_group];
}

enum tr_status pq_corrupt(const struct pq_cursor *c, struct tr_error *err, const char *what) {
  return tr_fail(err, TR_EXC_ARROW_INVALID, "Parquet file '%s', row group %d, column '%s', before byte %lld: %s",
                 c->file->path, c->row_group, c->file->cols[c->col].name, (long long)(c->at - (int64_t)c->window_n),
                 what);
}

/* Makes min(n, what the chunk still has) unread bytes available in the window. */
static enum tr_status fill(struct pq_cursor *c, size_t n, struct tr_error *err) {
  int64_t left = c->end - c->at;
  if (c->window_n >= n || left == 0) return TR_OK;
  struct pq_block *w = &c->scratch->window;
  size_t target = n > WINDOW ? n : WINDOW;
  if (target > c->window_n + (size_t)left) target = c->window_n + (size_t)left;
  if (target + SLACK > w->size) {
    struct pq_block bigger = {0};
    TR_TRY(pq_block_need(&bigger, target + SLACK, err));
    if (c->window_n) memcpy(bigger.data, w->data + c->window_from, c->window_n);
    pq_block_free(w);
    *w = bigger;
  } else if (c->window_n) {
    memmove(w->data, w->data + c->window_from, c->window_n);
  }
  c->window_from = 0;
  if (c->fetched) memcpy(w->data + c->window_n, c->fetched + (c->at - c->chunk->begin), target - c->window_n);
  else TR_TRY(pq_pread(c->file, c->at, w->data + c->window_n, target - c->window_n, err));
  c->at += (int64_t)(target - c->window_n);
  c->window_n = target;
  return TR_OK;
}

static void read_data_header(struct pq_thrift *t, struct pq_page *p) {
  struct pq_field f = {0, 0};
  while (pq_thrift_field(t, &f)) {
    switch (f.id) {
    case 1: p->n_values = pq_thrift_i32(t, &f); break;
    case 2: p->encoding = pq_thrift_i32(t, &f); break;
    case 3: p->level_encoding = pq_thrift_i32(t, &f); break;
    default: pq_thrift_skip(t, &f);
    }
  }
}

static void read_data_header_v2(struct pq_thrift *t, struct pq_page *p) {
  struct pq_field f = {0, 0};
  int64_t levels = 0, repeats = 0;
  p->v2 = true;
  p->level_encoding = PQ_RLE;
  while (pq_thrift_field(t, &f)) {
    switch (f.id) {
    case 1: p->n_values = pq_thrift_i32(t, &f); break;
    case 4: p->encoding = pq_thrift_i32(t, &f); break;
    case 5: levels = pq_thrift_i32(t, &f); break;
    case 6: repeats = pq_thrift_i32(t, &f); break;
    case 7: p->compressed = pq_thrift_int(t, &f) != 0; break;
    default: pq_thrift_skip(t, &f);
    }
  }
  if (levels < 0 || repeats < 0) {
    t->bad = true;
    return;
  }
  p->level_bytes = (size_t)levels;
  p->repeat_bytes = (size_t)repeats;
}

static bool read_page_header(struct pq_thrift *t, struct pq_page *p) {
  struct pq_field f = {0, 0};
  int64_t raw = -1, body = -1;
  *p = (struct pq_page){.type = -1, .encoding = -1, .n_values = -1, .compressed = true};
  while (pq_thrift_field(t, &f)) {
    switch (f.id) {
    case 1: p->type = pq_thrift_i32(t, &f); break;
    case 2: body = pq_thrift_i32(t, &f); break;
    case 3: raw = pq_thrift_i32(t, &f); break;
    case 5:
    case 7:
      if (pq_thrift_is_struct(t, &f)) read_data_header(t, p);
      break;
    case 8:
      if (pq_thrift_is_struct(t, &f)) read_data_header_v2(t, p);
      break;
    default: pq_thrift_skip(t, &f);
    }
  }
  p->raw_size = raw < 0 ? 0 : (size_t)raw;
  p->body_size = body < 0 ? 0 : (size_t)body;
  return !t->bad && raw >= 0 && body >= 0;
}

/* Header of the next page of any type; its stored bytes are in the window afterwards. */
static enum tr_status next_page(struct pq_cursor *c, struct pq_page *page, struct tr_error *err) {
  struct pq_thrift t;
  for (size_t want = 4096;; want *= 8) {
    TR_TRY(fill(c, want, err));
    if (c->window_n == 0) return pq_corrupt(c, err, "the column chunk ends before its last row");
    t = pq_thrift_open(c->scratch->window.data + c->window_from, c->window_n);
    if (read_page_header(&t, page)) break;
    if (!t.short_input || c->at == c->end || want > HEADER_MAX) return pq_corrupt(c, err, "a page header is corrupt");
  }
  size_t used = (size_t)(t.p - (c->scratch->window.data + c->window_from));
  c->window_from += used;
  c->window_n -= used;
  if (page->raw_size > c->window_n + (size_t)(c->end - c->at))
    return pq_corrupt(c, err, "a page is longer than its column chunk");
  TR_TRY(fill(c, page->raw_size, err));
  c->raw = c->scratch->window.data + c->window_from;
  c->window_from += page->raw_size;
  c->window_n -= page->raw_size;
  return TR_OK;
}

enum tr_status pq_cursor_next(struct pq_cursor *c, struct pq_page *page, bool *more, struct tr_error *err) {
  *more = c->rows_left > 0;
  if (!*more) return TR_OK;
  do {
    TR_TRY(next_page(c, page, err));
  } while (page->type != PQ_DATA_PAGE && page->type != PQ_DATA_PAGE_V2 && page->type != PQ_DICTIONARY_PAGE);
  bool data = page->type != PQ_DICTIONARY_PAGE;
  if (page->n_values < 0 || page->v2 != (page->type == PQ_DATA_PAGE_V2))
    return pq_corrupt(c, err, "a page header is incomplete");
  if (data && page->n_values > c->rows_left) return pq_corrupt(c, err, "a page has more rows than its row group");
  /* No codec in use makes more than about 1000 bytes of one, except zstd for runs: bound what a lying header can claim.
   */
  if (page->body_size > (page->raw_size + 64) * (c->chunk->codec == PQ_C_ZSTD   ? 1 << 17
                                                 : c->chunk->codec == PQ_C_GZIP ? 1100
                                                                                : 64))
    return pq_corrupt(c, err, "a page claims to decompress to an impossible size");
  if (data) c->rows_left -= page->n_values;
  return TR_OK;
}

static enum tr_status decompress(struct pq_cursor *c, const uint8_t *raw, size_t n, bool compressed, size_t body,
                                 uint8_t *into, const uint8_t **out, struct tr_error *err) {
  int codec = compressed ? c->chunk->codec : PQ_C_NONE;
  *out = raw;
  if (codec == PQ_C_NONE && n != body) return pq_corrupt(c, err, "a page's sizes contradict each other");
  if (codec == PQ_C_NONE && !into) return TR_OK;
  if (body == 0) return TR_OK;
  if (!into) {
    TR_TRY(pq_block_need(&c->scratch->page, body + SLACK, err));
    into = c->scratch->page.data;
  }
  *out = into;
  if (pq_decompress(&c->scratch->codec, codec, raw, n, into, body)) return TR_OK;
  return pq_corrupt(c, err,
                    codec == PQ_C_SNAPPY ? "Corrupt snappy compressed data."
                    : codec == PQ_C_GZIP ? "Corrupt gzip compressed data."
                                         : "Corrupt zstd compressed data.");
}

/* Definition levels (0 or 1) as flags; a page where all are 1 costs nothing. */
static enum tr_status decode_levels(struct pq_cursor *c, struct pq_page *p, const uint8_t *levels, size_t n,
                                    struct tr_error *err) {
  struct pq_rle r;
  bool repeated = false;
  int64_t run = 0;
  uint32_t value = 0;
  if (p->n_values == 0) return TR_OK;
  pq_rle_open(&r, levels, n, 1);
  if (!pq_rle_run(&r, p->n_values, &run, &value, &repeated))
    return pq_corrupt(c, err, "definition levels are too short");
  if (repeated && run == p->n_values && value == 1) return TR_OK;
  TR_TRY(pq_block_need(&c->scratch->flags, (size_t)p->n_values + SLACK, err));
  uint8_t *flags = c->scratch->flags.data;
  pq_rle_open(&r, levels, n, 1);
  if (!pq_rle_flags(&r, p->n_values, flags)) return pq_corrupt(c, err, "definition levels are corrupt");
  int64_t valid = 0;
  for (int64_t i = 0; i < p->n_values; i++) valid += flags[i];
  p->n_valid = valid;
  p->valid = valid < p->n_values ? flags : NULL;
  return TR_OK;
}

/* The deprecated BIT_PACKED levels: most significant bit first, no length. */
static enum tr_status decode_levels_msb(struct pq_cursor *c, struct pq_page *p, const uint8_t *bits, size_t n,
                                        struct tr_error *err) {
  if (((size_t)p->n_values + 7) / 8 > n) return pq_corrupt(c, err, "definition levels are too short");
  TR_TRY(pq_block_need(&c->scratch->flags, (size_t)p->n_values + SLACK, err));
  uint8_t *flags = c->scratch->flags.data;
  p->n_valid = 0;
  for (int64_t i = 0; i < p->n_values; i++) {
    flags[i] = bits[i >> 3] >> (7 - (i & 7)) & 1;
    p->n_valid += flags[i];
  }
  p->valid = p->n_valid < p->n_values ? flags : NULL;
  return TR_OK;
}

static enum tr_status body_v2(struct pq_cursor *c, struct pq_page *p, uint8_t *into, struct tr_error *err) {
  if (p->level_bytes > p->raw_size || p->repeat_bytes > p->raw_size - p->level_bytes ||
      p->level_bytes + p->repeat_bytes > p->body_size)
    return pq_corrupt(c, err, "levels are longer than their page");
  size_t skip = p->level_bytes + p->repeat_bytes;
  if (c->column->optional) TR_TRY(decode_levels(c, p, c->raw + p->repeat_bytes, p->level_bytes, err));
  /* An all-missing page may store nothing at all. */
  if (p->raw_size == skip) {
    p->data = c->raw + skip;
    p->size = 0;
    return TR_OK;
  }
  TR_TRY(decompress(c, c->raw + skip, p->raw_size - skip, p->compressed, p->body_size - skip, into, &p->data, err));
  p->size = p->body_size - skip;
  return TR_OK;
}

enum tr_status pq_cursor_body(struct pq_cursor *c, struct pq_page *p, uint8_t *into, struct tr_error *err) {
  p->n_valid = p->n_values;
  p->valid = NULL;
  if (p->v2) return body_v2(c, p, into, err);
  TR_TRY(decompress(c, c->raw, p->raw_size, true, p->body_size, into, &p->data, err));
  p->size = p->body_size;
  if (p->type == PQ_DICTIONARY_PAGE || !c->column->optional) return TR_OK;
  size_t used;
  if (p->level_encoding == PQ_BIT_PACKED) {
    used = ((size_t)p->n_values + 7) / 8;
    TR_TRY(decode_levels_msb(c, p, p->data, p->size, err));
  } else {
    uint32_t n;
    if (p->level_encoding != PQ_RLE || p->size < 4) return pq_corrupt(c, err, "definition levels are corrupt");
    memcpy(&n, p->data, 4);
    if (n > p->size - 4) return pq_corrupt(c, err, "definition levels are longer than their page");
    TR_TRY(decode_levels(c, p, p->data + 4, n, err));
    used = 4 + n;
  }
  p->data += used;
  p->size -= used;
  return TR_OK;
}
