/* Text columns: dictionaries per thread that are merged at the end in order of first appearance, or plain views with
 * private heaps. The order of a dictionary does not depend on threads. */
#include "base/hash.h"
#include "base/mem.h"
#include "data/format/csv/column_int.h"
#include <pthread.h>
#include <stdlib.h>

enum { BATCH = 256, FIRST_HEAP = 1 << 14, LAST_HEAP = 1 << 24 };

void tr_csv_dict_drop(struct tr_csv_dict *d) {
  tr_mem_free(d->views, (size_t)d->capacity * sizeof *d->views);
  tr_mem_free(d->first_row, (size_t)d->capacity * sizeof *d->first_row);
  tr_mem_free(d->slots, (size_t)d->n_slots * sizeof *d->slots);
  tr_mem_free(d->heap, d->heap_bytes);
  *d = (struct tr_csv_dict){0};
}

/* A view as two words; little-endian: the size is the lower half of the first. Written and read word by word: mixing
 * that with 16-byte moves would stall each on the store before it. */
struct words {
  uint64_t w[2];
};

static inline int32_t words_size(const struct words *v) { return (int32_t)(uint32_t)v->w[0]; }

static inline struct words words_of(const struct tr_view *v) {
  struct words r;
  memcpy(r.w, v, 16);
  return r;
}

static inline struct tr_view view_of(const struct words *w) {
  struct tr_view v;
  memcpy(&v, w->w, 16);
  return v;
}

static inline uint32_t hash_words(const struct words *v, const char *s) {
  const int32_t n = words_size(v);
  const uint64_t h =
      __builtin_expect(n > TR_VIEW_INLINE, 0) ? tr_hash_bytes(s, (size_t)n) : tr_hash_mix(v->w[0], v->w[1]);
  return (uint32_t)(h >> 16);
}

enum tr_status tr_csv_dict_grow(struct tr_csv_dict *d, struct tr_error *err) {
  const uint32_t n_slots = d->n_slots ? 2 * d->n_slots : 512;
  const int32_t capacity = (int32_t)(n_slots / 2);
  void *p = d->views, *q = d->first_row, *slots;
  TR_TRY(tr_mem_alloc(n_slots * sizeof *d->slots, &slots, err));
  enum tr_status st =
      tr_mem_realloc(&p, (size_t)d->capacity * sizeof *d->views, (size_t)capacity * sizeof *d->views, err);
  if (st != TR_OK) goto fail;
  d->views = p;
  st = tr_mem_realloc(&q, (size_t)d->capacity * sizeof *d->first_row, (size_t)capacity * sizeof *d->first_row, err);
  if (st != TR_OK) { /* keep the sizes in step */
    tr_mem_free(d->views, (size_t)capacity * sizeof *d->views);
    d->views = NULL;
    tr_mem_free(d->first_row, (size_t)d->capacity * sizeof *d->first_row);
    d->first_row = NULL;
    d->capacity = d->n = 0;
    goto fail;
  }
  d->first_row = q;
  d->capacity = capacity;
  struct tr_csv_slot *new = slots;
  memset(new, 0xff, n_slots * sizeof *new);
  for (uint32_t i = 0; i < d->n_slots; i++) {
    if (d->slots[i].code < 0) continue;
    uint32_t at = d->slots[i].hash & (n_slots - 1);
    while (new[at].code >= 0) at = (at + 1) & (n_slots - 1);
    new[at] = d->slots[i];
  }
  tr_mem_free(d->slots, (size_t)d->n_slots * sizeof *d->slots);
  d->slots = new;
  d->n_slots = n_slots;
  return TR_OK;
fail:
  tr_mem_free(slots, n_slots * sizeof *d->slots);
  return st;
}

static enum tr_status dict_add(struct tr_csv_dict *d, const struct tr_view *v, const char *s, int64_t row,
                               int32_t *code, struct tr_error *err) {
  struct tr_view *to = &d->views[d->n];
  *to = *v;
  if (v->size > TR_VIEW_INLINE) {
    const size_t want = d->heap_used + (size_t)v->size;
    if (want > INT32_MAX) return tr_unsupported(err, "read_csv: a dictionary of more than 2 GiB");
    if (want > d->heap_bytes) {
      size_t bytes = d->heap_bytes ? 2 * d->heap_bytes : FIRST_HEAP;
      while (bytes < want) bytes *= 2;
      void *p = d->heap;
      TR_TRY(tr_mem_realloc(&p, d->heap_bytes, bytes, err));
      d->heap = p;
      d->heap_bytes = bytes;
    }
    memcpy(d->heap + d->heap_used, s, (size_t)v->size);
    to->heap = 0;
    to->offset = (int32_t)d->heap_used;
    d->heap_used = want;
  }
  d->first_row[d->n] = row;
  *code = d->n++;
  return TR_OK;
}

static inline bool same(const struct tr_csv_dict *d, int32_t code, const struct tr_view *v, const char *s) {
  const struct tr_view *x = &d->views[code];
  if (v->size <= TR_VIEW_INLINE) return memcmp(x, v, 16) == 0;
  return memcmp(x, v, 8) == 0 && memcmp(d->heap + x->offset, s, (size_t)v->size) == 0;
}

enum tr_status tr_csv_dict_find(struct tr_csv_dict *d, const struct tr_view *v, const char *s, uint32_t hash,
                                int64_t row, int32_t *code, struct tr_error *err) {
  if (d->n == d->capacity) TR_TRY(tr_csv_dict_grow(d, err));
  uint32_t at = hash & (d->n_slots - 1);
  for (;; at = (at + 1) & (d->n_slots - 1)) {
    struct tr_csv_slot *slot = &d->slots[at];
    if (slot->code < 0) break;
    if (slot->hash == hash && same(d, slot->code, v, s)) {
      *code = slot->code;
      return TR_OK;
    }
  }
  TR_TRY(dict_add(d, v, s, row, code, err));
  d->slots[at] = (struct tr_csv_slot){hash, *code};
  return TR_OK;
}

enum tr_status tr_csv_dict_copy(const struct tr_csv_dict *from, struct tr_csv_dict *to, struct tr_error *err) {
  const size_t bytes[4] = {(size_t)from->capacity * sizeof *to->views, (size_t)from->capacity * sizeof *to->first_row,
                           from->n_slots * sizeof *to->slots, from->heap_bytes};
  const void *source[4] = {from->views, from->first_row, from->slots, from->heap};
  void *p[4] = {0};
  for (int i = 0; i < 4; i++) {
    if (bytes[i] == 0) continue;
    enum tr_status st = tr_mem_alloc(bytes[i], &p[i], err);
    if (st != TR_OK) {
      for (int k = 0; k < i; k++) tr_mem_free(p[k], bytes[k]);
      return st;
    }
    memcpy(p[i], source[i], bytes[i]);
  }
  *to = *from;
  to->views = p[0], to->first_row = p[1], to->slots = p[2], to->heap = p[3];
  return TR_OK;
}

/* View of s (heap fields zero). Reads, and ignores, up to 12 bytes at s. *high: some byte is not ASCII. */
static inline struct words words_of_text(const char *s, uint32_t n, bool *high) {
  static const uint64_t low[9] = {
      0, 0xff, 0xffff, 0xffffff, 0xffffffff, 0xffffffffff, 0xffffffffffff, 0xffffffffffffff, ~0ull};
  if (n <= TR_VIEW_INLINE) {
    const uint64_t a = tr_csv_load8(s) & low[n < 4 ? n : 4], b = tr_csv_load8(s + 4) & low[n < 4 ? 0 : n - 4];
    *high = ((a | b) & 0x8080808080808080ull) != 0;
    return (struct words){{n | a << 32, b}};
  }
  uint64_t all = tr_csv_load8(s + n - 8);
  for (uint32_t i = 0; i + 8 < n; i += 8) all |= tr_csv_load8(s + i);
  *high = (all & 0x8080808080808080ull) != 0;
  return (struct words){{n | tr_csv_load8(s) << 32, 0}};
}

struct texts_batch {
  struct words views[BATCH];
  const char *text[BATCH];
  uint32_t hash[BATCH];
};

/* Views of rows [i, i + n) of the batch; -1 sizes for missing. */
static bool make_views(struct tr_csv_reader *r, const struct tr_csv_batch *b, int64_t i, int64_t n, bool hash,
                       struct texts_batch *t) {
  const bool *na = r->na.first;
  const bool zero = r->ctx->hash_zero;
  for (int64_t k = 0; k < n; k++) {
    const uint32_t from = b->beg[(i + k) * b->stride], size = b->end[(i + k) * b->stride] - from;
    const char *s = b->text + from;
    t->text[k] = s;
    if (__builtin_expect(na[size ? (uint8_t)*s : 256], 0) && tr_csv_texts_has(&r->na, s, size)) {
      t->views[k] = (struct words){{UINT32_MAX, 0}};
      continue;
    }
    bool high;
    t->views[k] = words_of_text(s, size, &high);
    if (high && !tr_csv_utf8_valid(s, size)) return false;
    if (hash) t->hash[k] = zero ? 0 : hash_words(&t->views[k], s);
  }
  return true;
}

/* Code of a short text that is known already at its first slot; -1: look properly. */
static inline int32_t find_short(const struct tr_csv_dict *d, const struct words *v, uint32_t hash) {
  const struct tr_csv_slot *slot = &d->slots[hash & (d->n_slots - 1)];
  if (slot->hash != hash || slot->code < 0 || words_size(v) > TR_VIEW_INLINE) return -1;
  const struct words x = words_of(&d->views[slot->code]);
  return ((v->w[0] ^ x.w[0]) | (v->w[1] ^ x.w[1])) == 0 ? slot->code : -1;
}

static enum tr_status parse_dict(struct tr_csv_reader *r, struct tr_csv_column *c, const struct tr_csv_batch *b,
                                 struct tr_error *err) {
  struct tr_csv_dict *d = &c->dicts[b->thread];
  int32_t *out = (int32_t *)tr_array_data(c->array) + b->row;
  struct texts_batch t;
  c->chunk_thread[b->chunk] = (uint8_t)b->thread;
  for (int64_t i = 0; i < b->n; i += BATCH) {
    const int64_t n = b->n - i < BATCH ? b->n - i : BATCH;
    if (!make_views(r, b, i, n, true, &t)) {
      atomic_fetch_or(&c->seen, TR_CSV_BAD_UTF8 | TR_CSV_STOP);
      return TR_OK;
    }
    if (d->n + n > d->capacity) TR_TRY(tr_csv_dict_grow(d, err));
    if (d->n_slots > 4096) {
      for (int64_t k = 0; k < n; k++) __builtin_prefetch(&d->slots[t.hash[k] & (d->n_slots - 1)]);
      for (int64_t k = 0; k < n; k++) {
        if (words_size(&t.views[k]) < 0) continue;
        int32_t code = d->slots[t.hash[k] & (d->n_slots - 1)].code;
        if (code >= 0) __builtin_prefetch(&d->views[code]);
      }
    }
    for (int64_t k = 0; k < n; k++) {
      out[i + k] = -1;
      if (words_size(&t.views[k]) < 0) continue;
      out[i + k] = find_short(d, &t.views[k], t.hash[k]);
      if (out[i + k] >= 0) continue;
      const struct tr_view v = view_of(&t.views[k]);
      TR_TRY(tr_csv_dict_find(d, &v, t.text[k], t.hash[k], b->row + i + k, &out[i + k], err));
    }
    if (d->n > c->max_distinct) {
      atomic_fetch_or(&c->seen, TR_CSV_DISTINCT | TR_CSV_STOP);
      return TR_OK;
    }
  }
  return TR_OK;
}

/* Room for `size` bytes in the thread's heap. */
static enum tr_status heap_room(struct tr_csv_reader *r, struct tr_csv_column *c, int thread, int64_t size,
                                struct tr_error *err) {
  struct tr_csv_heap_cursor *h = &c->cursors[thread];
  if (h->heap && h->used + size <= h->heap->size) return TR_OK;
  int64_t bytes = h->heap ? 4 * h->heap->size : FIRST_HEAP;
  if (bytes > LAST_HEAP) bytes = LAST_HEAP;
  struct tr_buffer *heap;
  TR_TRY(tr_buffer_new(bytes < size ? size : bytes, &heap, err));
  enum tr_status st = TR_OK;
  pthread_mutex_lock(r->lock);
  if (c->n_heaps == c->heap_capacity) {
    void *p = c->heaps;
    int want = c->heap_capacity ? 2 * c->heap_capacity : 16;
    st = tr_mem_realloc(&p, (size_t)c->heap_capacity * sizeof *c->heaps, (size_t)want * sizeof *c->heaps, err);
    if (st == TR_OK) {
      c->heaps = p;
      c->heap_capacity = want;
    }
  }
  if (st == TR_OK) {
    h->no = c->n_heaps;
    c->heaps[c->n_heaps++] = heap;
    h->heap = heap;
    h->used = 0;
  }
  pthread_mutex_unlock(r->lock);
  if (st != TR_OK) tr_buffer_unref(heap);
  return st;
}

static enum tr_status parse_plain(struct tr_csv_reader *r, struct tr_csv_column *c, const struct tr_csv_batch *b,
                                  struct tr_error *err) {
  struct tr_view *out = (struct tr_view *)tr_array_data(c->array) + b->row;
  struct texts_batch t;
  for (int64_t i = 0; i < b->n; i += BATCH) {
    const int64_t n = b->n - i < BATCH ? b->n - i : BATCH;
    if (!make_views(r, b, i, n, false, &t)) {
      atomic_fetch_or(&c->seen, TR_CSV_BAD_UTF8 | TR_CSV_STOP);
      return TR_OK;
    }
    for (int64_t k = 0; k < n; k++) {
      struct tr_view v = view_of(&t.views[k]);
      if (v.size > TR_VIEW_INLINE) {
        TR_TRY(heap_room(r, c, b->thread, v.size, err));
        struct tr_csv_heap_cursor *h = &c->cursors[b->thread];
        memcpy(h->heap->data + h->used, t.text[k], (size_t)v.size);
        v.heap = h->no;
        v.offset = (int32_t)h->used;
        h->used += v.size;
      }
      out[i + k] = v;
    }
  }
  return TR_OK;
}

enum tr_status tr_csv_text_parse(struct tr_csv_reader *r, struct tr_csv_column *c, const struct tr_csv_batch *b,
                                 struct tr_error *err) {
  return c->way == TR_CSV_AS_DICT ? parse_dict(r, c, b, err) : parse_plain(r, c, b, err);
}

/* ------------------------------------------------------------------ merging dictionaries */

struct entry {
  int64_t first_row;
  int32_t thread, code;
};

static int by_first_row(const void *a, const void *b) {
  const struct entry *x = a, *y = b;
  if (x->first_row != y->first_row) return x->first_row < y->first_row ? -1 : 1;
  return x->thread - y->thread;
}

struct merge {
  struct tr_csv_reader *r;
  struct tr_csv_column *c;
  int32_t **map; /* per thread: its code -> the common one; NULL = the same */
};

static enum tr_status remap_chunks(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread, (void)err;
  struct merge *m = arg;
  int32_t *codes = tr_array_data(m->c->array);
  for (int64_t k = begin; k < end; k++) {
    const int32_t *map = m->map[m->c->chunk_thread[k]];
    if (!map) continue;
    const int64_t from = m->r->scan.chunks[k].row;
    int64_t to = m->r->scan.chunks[k + 1].row;
    if (to > m->r->n_rows) to = m->r->n_rows;
    for (int64_t i = from; i < to; i++) codes[i] = codes[i] < 0 ? -1 : map[codes[i]];
  }
  return TR_OK;
}

/* One dictionary of all, in order of first appearance, and the maps to it. */
static enum tr_status merge_dicts(struct merge *m, struct tr_csv_dict *all, struct tr_error *err) {
  const int threads = m->r->ctx->threads;
  int64_t n = 0;
  for (int t = 0; t < threads; t++) n += m->c->dicts[t].n;
  void *p;
  TR_TRY(tr_mem_alloc((size_t)n * sizeof(struct entry), &p, err));
  struct entry *e = p;
  n = 0;
  for (int t = 0; t < threads; t++) {
    for (int32_t i = 0; i < m->c->dicts[t].n; i++) e[n++] = (struct entry){m->c->dicts[t].first_row[i], t, i};
  }
  qsort(e, (size_t)n, sizeof *e, by_first_row);
  enum tr_status st = TR_OK;
  for (int64_t i = 0; i < n && st == TR_OK; i++) {
    const struct tr_csv_dict *d = &m->c->dicts[e[i].thread];
    const struct tr_view *v = &d->views[e[i].code];
    const char *s = tr_csv_dict_text(d, e[i].code);
    const struct words words = words_of(v);
    const uint32_t hash = m->r->ctx->hash_zero ? 0 : hash_words(&words, s);
    st = tr_csv_dict_find(all, v, s, hash, e[i].first_row, &m->map[e[i].thread][e[i].code], err);
  }
  tr_mem_free(e, (size_t)n * sizeof *e);
  return st;
}

static enum tr_status dict_array(struct tr_csv_dict *d, struct tr_array **out, struct tr_error *err) {
  struct tr_array *a;
  struct tr_buffer *heap = NULL;
  int no;
  TR_TRY(tr_array_new(tr_dtype_of(TR_STR), d->n, &a, err));
  if (d->n) memcpy(tr_array_data(a), d->views, (size_t)d->n * sizeof *d->views);
  a->null_count = 0;
  enum tr_status st = TR_OK;
  if (d->heap_used) {
    TR_GOTO(st, tr_buffer_new((int64_t)d->heap_used, &heap, err));
    memcpy(heap->data, d->heap, d->heap_used);
    TR_GOTO(st, tr_array_add_heap(a, heap, &no, err));
  }
  *out = a;
  a = NULL;
done:
  tr_buffer_unref(heap);
  tr_array_unref(a);
  return st;
}

static bool drop_map_if_same(int32_t *map, int32_t n) {
  for (int32_t i = 0; i < n; i++) {
    if (map[i] != i) return false;
  }
  return true;
}

static enum tr_status finish_dict(struct tr_csv_reader *r, struct tr_csv_column *c, struct tr_error *err) {
  int32_t *map[TR_MAX_THREADS] = {0}, *use[TR_MAX_THREADS] = {0};
  struct merge m = {r, c, map};
  struct tr_csv_dict all = {0};
  enum tr_status st = TR_OK;
  for (int t = 0; t < r->ctx->threads; t++) {
    void *p;
    TR_GOTO(st, tr_mem_alloc((size_t)c->dicts[t].n * sizeof(int32_t), &p, err));
    map[t] = p;
  }
  TR_GOTO(st, merge_dicts(&m, &all, err));
  if (all.n > c->max_distinct) {
    atomic_fetch_or(&c->seen, TR_CSV_DISTINCT);
    goto done;
  }
  for (int t = 0; t < r->ctx->threads; t++) use[t] = drop_map_if_same(map[t], c->dicts[t].n) ? NULL : map[t];
  m.map = use;
  TR_GOTO(st, tr_parallel_for(r->ctx, r->scan.n, 16, remap_chunks, &m, err));
  TR_GOTO(st, dict_array(&all, &c->array->dict, err));
  c->array->enc = TR_DICT;
  c->array->dtype = tr_dtype_of(TR_STR);
done:
  for (int t = 0; t < r->ctx->threads; t++) tr_mem_free(map[t], (size_t)c->dicts[t].n * sizeof(int32_t));
  tr_csv_dict_drop(&all);
  return st;
}

enum tr_status tr_csv_text_finish(struct tr_csv_reader *r, struct tr_csv_column *c, struct tr_error *err) {
  if (c->way == TR_CSV_AS_DICT) return finish_dict(r, c, err);
  for (int i = 0; i < c->n_heaps; i++) {
    int no;
    TR_TRY(tr_array_add_heap(c->array, c->heaps[i], &no, err));
  }
  return TR_OK;
}
