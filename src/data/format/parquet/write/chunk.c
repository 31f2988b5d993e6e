/* One column chunk: dictionary page and version 1 data pages of at most 65536 rows, about a megabyte each. */
#include "data/format/parquet/write/encode_int.h"
#include <string.h>

enum { PAGE_ROWS = 65536, PAGE_BYTES = 1 << 20, MIN_RUN = 32 };

void pq_encoder_free(struct pq_encoder *e) {
  pq_codec_free(&e->codec);
  pq_block_free(&e->values);
  pq_block_free(&e->flags);
  pq_block_free(&e->ids);
  pq_block_free(&e->table);
  pq_block_free(&e->packed);
  pq_block_free(&e->first);
  pq_out_free(&e->body);
}

void pq_written_free(struct pq_written *w) {
  pq_out_free(&w->out);
  pq_out_free(&w->min);
  pq_out_free(&w->max);
}

/* n values bit-packed, the last group of 8 filled up with zeros. */
static void put_packed(struct pq_out *o, const uint32_t *v, int64_t n, int bits) {
  int64_t groups = (n + 7) / 8;
  pq_out_varint(o, (uint64_t)groups << 1 | 1);
  size_t bytes = (size_t)groups * (size_t)bits;
  uint8_t *p = pq_out_reserve(o, bytes + 8);
  if (!p) return;
  uint64_t acc = 0;
  int have = 0;
  size_t at = 0;
  for (int64_t i = 0; i < n; i++) {
    acc |= (uint64_t)v[i] << have;
    have += bits;
    if (have < 32) continue;
    memcpy(p + at, &acc, 4);
    at += 4;
    acc >>= 32;
    have -= 32;
  }
  memset(p + at, 0, bytes - at + 8);
  memcpy(p + at, &acc, 8);
  o->size += bytes;
}

static void put_run(struct pq_out *o, uint32_t value, int64_t n, int bits) {
  pq_out_varint(o, (uint64_t)n << 1);
  pq_out_bytes(o, &value, (size_t)(bits + 7) / 8);
}

/* The RLE / bit-packed hybrid: runs of MIN_RUN equal values and more are repeated, the rest is packed. */
static void put_hybrid(struct pq_out *o, const uint32_t *v, int64_t n, int bits) {
  int64_t from = 0;
  for (int64_t i = 0; i < n;) {
    int64_t end = i + 1;
    while (end < n && v[end] == v[i]) end++;
    int64_t fill = (8 - ((i - from) & 7)) & 7;
    if (end - i - fill >= MIN_RUN) {
      i += fill;
      if (i > from) put_packed(o, v + from, i - from, bits);
      put_run(o, v[i], end - i, bits);
      from = end;
    }
    i = end;
  }
  if (n > from) put_packed(o, v + from, n - from, bits);
}

static void put_bits(struct pq_out *o, const uint8_t *flags, int64_t n) {
  size_t bytes = (size_t)(n + 7) / 8;
  uint8_t *p = pq_out_reserve(o, bytes);
  if (!p) return;
  memset(p, 0, bytes);
  for (int64_t i = 0; i < n; i++) p[i >> 3] |= (uint8_t)(flags[i] << (i & 7));
  o->size += bytes;
}

/* Definition levels with their length before them. valid NULL = all present. */
static void put_levels(struct pq_out *o, const uint8_t *valid, int64_t n, int64_t n_valid) {
  size_t at = o->size;
  pq_out_bytes(o, "\0\0\0\0", 4);
  if (!valid || n_valid == n || n_valid == 0) {
    put_run(o, n_valid > 0 || n == 0, n, 1);
  } else {
    pq_out_varint(o, (uint64_t)(n + 7) / 8 << 1 | 1);
    put_bits(o, valid, n);
  }
  if (o->failed) return;
  uint32_t size = (uint32_t)(o->size - at - 4);
  memcpy(o->data + at, &size, 4);
}

static void put_page_header(struct pq_out *o, int type, size_t body, size_t stored, int64_t n, int encoding) {
  int last = 0, inner = 0;
  pq_put_int(o, &last, 1, PQ_T_I32, type);
  pq_put_int(o, &last, 2, PQ_T_I32, (int64_t)body);
  pq_put_int(o, &last, 3, PQ_T_I32, (int64_t)stored);
  pq_put_header(o, &last, type == PQ_DICTIONARY_PAGE ? 7 : 5, PQ_T_STRUCT);
  pq_put_int(o, &inner, 1, PQ_T_I32, n);
  pq_put_int(o, &inner, 2, PQ_T_I32, encoding);
  if (type == PQ_DATA_PAGE) {
    pq_put_int(o, &inner, 3, PQ_T_I32, PQ_RLE);
    pq_put_int(o, &inner, 4, PQ_T_I32, PQ_RLE);
  }
  pq_put_stop(o);
  pq_put_stop(o);
}

/* Compresses a page's body and appends header and body. */
static enum tr_status put_page(struct pq_encoder *e, const struct pq_target *t, struct pq_written *w, int type,
                               const struct pq_out *body, int64_t n, int encoding, struct tr_error *err) {
  if (body->failed) return tr_fail_memory(err, body->size);
  size_t room = pq_compress_bound(e->codec_id, body->size);
  if (body->size > INT32_MAX || room > INT32_MAX)
    return tr_unsupported(err, "writing column '%s' to Parquet: a page of more than 2 GiB", t->name);
  const uint8_t *stored = body->data;
  size_t n_stored = body->size, before = w->out.size;
  if (e->codec_id != PQ_C_NONE) {
    TR_TRY(pq_block_need(&e->packed, room + 64, err));
    n_stored = pq_compress(&e->codec, e->codec_id, e->codec_level, body->data, body->size, e->packed.data, room);
    if (!n_stored) return tr_fail(err, TR_EXC_RUNTIME, "compressing column '%s' for Parquet failed", t->name);
    stored = e->packed.data;
  }
  put_page_header(&w->out, type, body->size, n_stored, n, encoding);
  w->uncompressed += (int64_t)(w->out.size - before + body->size);
  pq_out_bytes(&w->out, stored, n_stored);
  return w->out.failed ? tr_fail_memory(err, n_stored) : TR_OK;
}

/* Rows of the next page from row `at`: few enough that the page stays near PAGE_BYTES. */
static int64_t page_rows(const struct pq_values *v, int64_t at) {
  int64_t n = v->n_rows - at < PAGE_ROWS ? v->n_rows - at : PAGE_ROWS;
  if (!v->views || v->ids) return n;
  int64_t bytes = 0;
  for (int64_t i = 0; i < n; i++) {
    if (v->valid && !v->valid[at + i]) continue;
    bytes += 4 + pq_row_view(v, at + i)->size;
    if (bytes > PAGE_BYTES) return i > 0 ? i : 1;
  }
  return n;
}

static void put_values(struct pq_out *o, const struct pq_target *t, const struct pq_values *v, int64_t at, int64_t n,
                       int64_t dense, int64_t n_valid) {
  if (v->ids) {
    int bits = v->n_dictionary > 1 ? 64 - __builtin_clzll((uint64_t)v->n_dictionary - 1) : 1;
    pq_out_byte(o, (uint8_t)bits);
    put_hybrid(o, v->ids + dense, n_valid, bits);
  } else if (v->views) {
    for (int64_t i = at; i < at + n; i++) {
      if (!v->valid || v->valid[i]) pq_put_text(o, v->heaps_of, pq_row_view(v, i));
    }
  } else if (t->type == PQ_BOOLEAN) {
    put_bits(o, v->dense + dense, n_valid);
  } else {
    pq_out_bytes(o, v->dense + dense * v->width, (size_t)(n_valid * v->width));
  }
}

static enum tr_status put_pages(struct pq_encoder *e, const struct pq_target *t, const struct pq_values *v,
                                struct pq_written *w, struct tr_error *err) {
  int64_t dense = 0;
  for (int64_t at = 0, n; at < v->n_rows; at += n) {
    n = page_rows(v, at);
    int64_t n_valid = n;
    for (int64_t i = at; v->valid && i < at + n; i++) n_valid -= !v->valid[i];
    e->body.size = 0;
    put_levels(&e->body, v->valid ? v->valid + at : NULL, n, n_valid);
    put_values(&e->body, t, v, at, n, dense, n_valid);
    TR_TRY(put_page(e, t, w, PQ_DATA_PAGE, &e->body, n, v->ids ? PQ_RLE_DICTIONARY : PQ_PLAIN, err));
    dense += n_valid;
  }
  return TR_OK;
}

enum tr_status pq_encode_chunk(struct pq_encoder *e, const struct pq_target *t, int64_t first, int64_t n,
                               struct pq_written *w, struct tr_error *err) {
  struct pq_values v = {.n_rows = n};
  struct pq_out dictionary = {0};
  enum tr_status st;
  w->n_rows = n;
  e->body.failed = false;
  if (t->text) {
    TR_GOTO(st, pq_load_text(e, t, first, n, &v, &dictionary, w, err));
  } else {
    TR_GOTO(st, pq_load_fixed(e, t, first, n, &v, err));
    TR_GOTO(st, pq_fixed_stats(t, &v, w, err));
    TR_GOTO(st, pq_fixed_dictionary(e, t, &v, w, &dictionary, err));
  }
  w->null_count = n - v.n_valid;
  if (v.ids) TR_GOTO(st, put_page(e, t, w, PQ_DICTIONARY_PAGE, &dictionary, v.n_dictionary, PQ_PLAIN, err));
  w->dictionary_size = (int64_t)w->out.size;
  TR_GOTO(st, put_pages(e, t, &v, w, err));
done:
  pq_out_free(&dictionary);
  return st;
}
