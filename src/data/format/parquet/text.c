/* A chunk of a text column: as dictionary codes, or as views into kept page buffers.
 *
 * Codes are tried first. Dictionary pages keep their numbering; texts of PLAIN pages are looked up in a table and
 * added. That is given up (and the chunk read again as views) once distinct texts are many: more than a quarter of the
 * chunk's rows, or nearly every text new. Bytes are not checked to be UTF-8, as pyarrow does not when it reads.
 */
#include "data/format/parquet/decode_int.h"
#include <string.h>

enum {
  BATCH = 64,
  PROBE = 8192,
  ALWAYS_DISTINCT = 1024,
  MANY_DISTINCT = 16384,
  MAX_DISTINCT = 1000000,
  HEAP = 1 << 20
};

void pq_text_chunk_free(struct pq_text_chunk *t) {
  pq_dict_free(&t->dict);
  tr_mem_free(t->map, (size_t)t->n_map * sizeof *t->map);
  for (int i = 0; i < t->n_heaps; i++) tr_buffer_unref(t->heaps[i]);
  tr_mem_free(t->heaps, (size_t)t->n_heaps * sizeof *t->heaps);
  bool hash_zero = t->dict.hash_zero;
  *t = (struct pq_text_chunk){.dict.hash_zero = hash_zero};
}

/* PLAIN texts: 4 bytes of length, then the bytes. Gives NULL past the end of the page. */
static inline const uint8_t *next_text(const uint8_t *p, const uint8_t *end, int32_t *size) {
  if (end - p < 4) return NULL;
  memcpy(size, p, 4);
  return *size < 0 || *size > end - p - 4 ? NULL : p + 4;
}

static enum tr_status load_dictionary(struct pq_cursor *c, struct pq_page *page, struct pq_dict *d,
                                      struct tr_error *err) {
  TR_TRY(pq_cursor_body(c, page, NULL, err));
  if (page->encoding != PQ_PLAIN && page->encoding != PQ_PLAIN_DICTIONARY)
    return pq_corrupt(c, err, "the dictionary page is corrupt");
  const uint8_t *p = page->data, *end = p + page->size;
  if (page->n_values > (int64_t)page->size / 4) return pq_corrupt(c, err, "the dictionary page is corrupt");
  TR_TRY(pq_dict_reserve(d, page->n_values, err));
  for (int64_t i = 0; i < page->n_values; i++) {
    int32_t size;
    p = next_text(p, end, &size);
    if (!p) return pq_corrupt(c, err, "the dictionary page is corrupt");
    struct pq_text t = pq_text_make(p, size, d->hash_zero);
    TR_TRY(pq_dict_append(d, &t, err));
    p += size;
  }
  return TR_OK;
}

struct encoder {
  struct pq_cursor *c;
  struct pq_dict *dict;
  bool any;
  _Atomic bool *stop;
  int64_t limit;
  int64_t seen, seen_distinct; /* since the last look at the rate of new texts */
};

static bool too_many(struct encoder *e) {
  if (e->any) return false;
  if (atomic_load_explicit(e->stop, memory_order_relaxed)) return true;
  bool many = e->dict->n > e->limit;
  if (e->seen >= PROBE) {
    many |= e->dict->n > MANY_DISTINCT && (e->dict->n - e->seen_distinct) * 10 > e->seen * 9;
    e->seen = 0;
    e->seen_distinct = e->dict->n;
  }
  if (many) atomic_store(e->stop, true);
  return many;
}

/* n_valid PLAIN texts, densely to codes. */
static enum tr_status encode_plain(struct encoder *e, const struct pq_page *page, int32_t *codes,
                                   struct tr_error *err) {
  struct pq_text texts[BATCH];
  const uint8_t *p = page->data, *end = p + page->size;
  TR_TRY(pq_dict_index(e->dict, err));
  for (int64_t i = 0; i < page->n_valid; i += BATCH) {
    int k = (int)(page->n_valid - i < BATCH ? page->n_valid - i : BATCH);
    for (int j = 0; j < k; j++) {
      int32_t size;
      p = next_text(p, end, &size);
      if (!p) return pq_corrupt(e->c, err, "a page holds fewer values than it says");
      texts[j] = pq_text_make(p, size, e->dict->hash_zero);
      pq_dict_prefetch(e->dict, &texts[j]);
      p += size;
    }
    TR_TRY(pq_dict_number(e->dict, texts, k, codes + i, err));
    e->seen += k;
    if (too_many(e)) return TR_OK;
  }
  return TR_OK;
}

static enum tr_status encode_indices(struct encoder *e, const struct pq_page *page, int64_t n_dictionary,
                                     int32_t *codes, struct tr_error *err) {
  struct pq_rle r;
  if (n_dictionary < 0) return pq_corrupt(e->c, err, "a dictionary-coded page without a dictionary");
  if (page->n_valid == 0) return TR_OK;
  if (page->size < 1 || !pq_rle_open(&r, page->data + 1, page->size - 1, page->data[0]) ||
      !pq_rle_values(&r, page->n_valid, (uint32_t *)codes) ||
      !pq_in_range((uint32_t *)codes, page->n_valid, n_dictionary))
    return pq_corrupt(e->c, err, "dictionary indices are corrupt");
  return TR_OK;
}

enum tr_status pq_text_encode(struct pq_cursor *c, struct pq_text_chunk *t, int32_t *codes, bool any,
                              _Atomic bool *stop, struct tr_error *err) {
  struct encoder e = {.c = c, .dict = &t->dict, .any = any, .stop = stop, .limit = c->rows_left / 4};
  if (e.limit < ALWAYS_DISTINCT) e.limit = ALWAYS_DISTINCT;
  if (e.limit > MAX_DISTINCT) e.limit = MAX_DISTINCT;
  int64_t n_dictionary = -1;
  const int32_t missing = -1;
  struct pq_page page;
  bool more;
  for (;;) {
    if (!any && atomic_load_explicit(stop, memory_order_relaxed)) return TR_OK;
    TR_TRY(pq_cursor_next(c, &page, &more, err));
    if (!more) return TR_OK;
    if (page.type == PQ_DICTIONARY_PAGE) {
      if (t->dict.n || n_dictionary >= 0) return pq_corrupt(c, err, "a second dictionary page");
      /* A page of missing texts before it has made a table, which would neither have these nor be large enough. */
      pq_dict_free(&t->dict);
      TR_TRY(load_dictionary(c, &page, &t->dict, err));
      n_dictionary = t->dict.n;
      e.seen_distinct = t->dict.n;
      continue;
    }
    TR_TRY(pq_cursor_body(c, &page, NULL, err));
    if (page.encoding == PQ_PLAIN) TR_TRY(encode_plain(&e, &page, codes, err));
    else if (page.encoding == PQ_PLAIN_DICTIONARY || page.encoding == PQ_RLE_DICTIONARY)
      TR_TRY(encode_indices(&e, &page, n_dictionary, codes, err));
    else return pq_corrupt(c, err, "a page has an encoding that the column's metadata does not name");
    t->some_missing |= page.valid != NULL;
    if (page.valid) pq_spread(codes, 4, page.valid, page.n_values, page.n_valid, &missing);
    codes += page.n_values;
  }
}

/* The heap that the next page of `body` bytes is decompressed into. */
struct keeper {
  struct pq_cursor *c;
  struct pq_text_chunk *t;
  int64_t used;
};

static enum tr_status keep_room(struct keeper *k, size_t body, struct tr_buffer **heap, struct tr_error *err) {
  struct pq_text_chunk *t = k->t;
  *heap = t->n_heaps ? t->heaps[t->n_heaps - 1] : NULL;
  if (*heap && (int64_t)body <= (*heap)->size - k->used) return TR_OK;
  int64_t size = k->c->chunk->uncompressed < HEAP ? k->c->chunk->uncompressed : HEAP;
  if (size < (int64_t)body) size = (int64_t)body;
  struct tr_buffer *fresh;
  TR_TRY(tr_buffer_new(size, &fresh, err));
  enum tr_status st = tr_mem_realloc((void **)&t->heaps, (size_t)t->n_heaps * sizeof *t->heaps,
                                     (size_t)(t->n_heaps + 1) * sizeof *t->heaps, err);
  if (st != TR_OK) {
    tr_buffer_unref(fresh);
    return st;
  }
  t->heaps[t->n_heaps++] = fresh;
  k->used = 0;
  *heap = fresh;
  return TR_OK;
}

/* Reads a page's body into the heap; n texts become views. The heap is used up only if a text needs it. */
static enum tr_status keep_texts(struct keeper *k, struct pq_page *page, int64_t n, const struct tr_buffer *heap,
                                 struct tr_view *out, struct tr_error *err) {
  const uint8_t *p = page->data, *end = p + page->size;
  int32_t heap_no = k->t->n_heaps - 1;
  bool has_long = false;
  for (int64_t i = 0; i < n; i++) {
    int32_t size;
    p = next_text(p, end, &size);
    if (!p) return pq_corrupt(k->c, err, "a page holds fewer values than it says");
    if (size <= TR_VIEW_INLINE) {
      out[i] = pq_text_make(p, size, true).view;
    } else {
      out[i] = tr_view_make((const char *)p, size, heap_no, (int32_t)(p - heap->data));
      has_long = true;
    }
    p += size;
  }
  if (has_long) {
    k->used = (end - heap->data + 63) & ~(int64_t)63;
    k->t->has_long = true;
  }
  return TR_OK;
}

static enum tr_status keep_dictionary(struct keeper *k, struct pq_page *page, const struct tr_buffer *heap,
                                      struct tr_error *err) {
  if ((page->encoding != PQ_PLAIN && page->encoding != PQ_PLAIN_DICTIONARY) || page->n_values > (int64_t)page->size / 4)
    return pq_corrupt(k->c, err, "the dictionary page is corrupt");
  TR_TRY(pq_block_need(&k->c->scratch->dictionary, (size_t)page->n_values * sizeof(struct tr_view), err));
  return keep_texts(k, page, page->n_values, heap, (struct tr_view *)k->c->scratch->dictionary.data, err);
}

enum tr_status pq_text_views(struct pq_cursor *c, struct pq_text_chunk *t, struct tr_view *views,
                             struct tr_error *err) {
  struct keeper k = {.c = c, .t = t};
  const struct tr_view missing = tr_view_null();
  int64_t n_dictionary = -1;
  struct pq_page page;
  struct tr_buffer *heap;
  bool more;
  for (;;) {
    TR_TRY(pq_cursor_next(c, &page, &more, err));
    if (!more) return TR_OK;
    TR_TRY(keep_room(&k, page.body_size, &heap, err));
    TR_TRY(pq_cursor_body(c, &page, heap->data + k.used, err));
    if (page.type == PQ_DICTIONARY_PAGE) {
      if (n_dictionary >= 0) return pq_corrupt(c, err, "a second dictionary page");
      TR_TRY(keep_dictionary(&k, &page, heap, err));
      n_dictionary = page.n_values;
      continue;
    }
    if (page.encoding == PQ_PLAIN) {
      TR_TRY(keep_texts(&k, &page, page.n_valid, heap, views, err));
    } else if (page.encoding == PQ_PLAIN_DICTIONARY || page.encoding == PQ_RLE_DICTIONARY) {
      if (n_dictionary < 0) return pq_corrupt(c, err, "a dictionary-coded page without a dictionary");
      if (!pq_decode_indices(&page, c->scratch->dictionary.data, n_dictionary, (int)sizeof *views, views))
        return pq_corrupt(c, err, "dictionary indices are corrupt");
    } else {
      return pq_corrupt(c, err, "a page has an encoding that the column's metadata does not name");
    }
    if (page.valid) pq_spread(views, (int)sizeof *views, page.valid, page.n_values, page.n_valid, &missing);
    views += page.n_values;
  }
}
