/* A dictionary of texts under construction: views, their bytes, hashes, and an open-addressing table.
 *
 * Look-ups come in batches, and whoever makes a batch prefetches the slots, so that cache misses overlap with that
 * work. A bucket of four slots is one cache line and is compared at once; a bucket that is full goes on in the next
 * one, which the table is empty enough to make rare: lines that nobody asked for early were a third of the time.
 */
#include "data/format/parquet/decode_int.h"
#include <string.h>

enum { BATCH = 64 };

void pq_dict_free(struct pq_dict *d) {
  tr_mem_free(d->views, (size_t)d->capacity * sizeof *d->views);
  tr_mem_free(d->hashes, (size_t)d->capacity * sizeof *d->hashes);
  tr_mem_free(d->bytes, (size_t)d->bytes_capacity);
  tr_mem_free(d->slots, (size_t)d->n_slots * sizeof *d->slots);
  *d = (struct pq_dict){.hash_zero = d->hash_zero};
}

enum tr_status pq_dict_reserve(struct pq_dict *d, int64_t n, struct tr_error *err) {
  if (n <= d->capacity) return TR_OK;
  int64_t want = d->capacity ? d->capacity * 2 : 64;
  if (want < n) want = n;
  if (n >= PQ_SLOT_NUMBER) return tr_fail(err, TR_EXC_MEMORY, "a dictionary of more than 2^28 texts");
  if (want > PQ_SLOT_NUMBER) want = PQ_SLOT_NUMBER;
  void *views, *hashes;
  TR_TRY(tr_mem_alloc((size_t)want * sizeof *d->views, &views, err));
  enum tr_status st = tr_mem_alloc((size_t)want * sizeof *d->hashes, &hashes, err);
  if (st != TR_OK) {
    tr_mem_free(views, (size_t)want * sizeof *d->views);
    return st;
  }
  if (d->n) {
    memcpy(views, d->views, (size_t)d->n * sizeof *d->views);
    memcpy(hashes, d->hashes, (size_t)d->n * sizeof *d->hashes);
  }
  tr_mem_free(d->views, (size_t)d->capacity * sizeof *d->views);
  tr_mem_free(d->hashes, (size_t)d->capacity * sizeof *d->hashes);
  d->views = views;
  d->hashes = hashes;
  d->capacity = want;
  return TR_OK;
}

enum tr_status pq_dict_append(struct pq_dict *d, const struct pq_text *t, struct tr_error *err) {
  if (d->n == d->capacity) TR_TRY(pq_dict_reserve(d, d->n + 1, err));
  struct tr_view v = t->view;
  if (v.size > TR_VIEW_INLINE) {
    int64_t need = d->n_bytes + v.size + 16;
    if (need > d->bytes_capacity) {
      int64_t want = need * 2 < 4096 ? 4096 : need * 2;
      TR_TRY(tr_mem_realloc((void **)&d->bytes, (size_t)d->bytes_capacity, (size_t)want, err));
      d->bytes_capacity = want;
    }
    if (need > INT32_MAX) return tr_fail(err, TR_EXC_MEMORY, "a text dictionary of more than 2 GiB");
    memcpy(d->bytes + d->n_bytes, t->ptr, (size_t)v.size);
    v.heap = 0;
    v.offset = (int32_t)d->n_bytes;
    d->n_bytes += v.size;
  }
  d->views[d->n] = v;
  d->hashes[d->n++] = t->hash;
  return TR_OK;
}

/* The slot that t would have, without its number. */
static inline struct pq_slot key_of(const struct pq_text *t) {
  struct pq_slot k;
  uint32_t size = (uint32_t)t->view.size;
  memcpy(&k.prefix, (const char *)&t->view + 4, 4);
  memcpy(&k.rest, (const char *)&t->view + 8, 8);
  if (size > TR_VIEW_INLINE) {
    k.rest = t->hash;
    size = TR_VIEW_INLINE + 1;
  }
  k.tag = size << 28;
  return k;
}

/* Slots of the bucket that may be k's, a bit each; an empty slot may be there for the empty text. Without branches, and
 * in whole registers. */
static inline unsigned candidates(const struct pq_slot *bucket, const struct pq_slot *k) {
  const uint64_t number = (uint64_t)PQ_SLOT_NUMBER << 32, last = k->prefix | (uint64_t)k->tag << 32;
  unsigned found = 0;
  for (unsigned j = 0; j < PQ_BUCKET; j++) {
    uint64_t w;
    memcpy(&w, &bucket[j].prefix, 8);
    uint64_t differs = (bucket[j].rest ^ k->rest) | ((w ^ last) & ~number);
    found |= (unsigned)(differs == 0) << j;
  }
  return found;
}

/* The slot of t, or the empty one where it belongs. */
static inline struct pq_slot *find(const struct pq_dict *d, const struct pq_text *t) {
  uint64_t mask = (uint64_t)d->n_slots - 1;
  const struct pq_slot k = key_of(t);
  for (uint64_t i = (t->hash * PQ_BUCKET) & mask;; i = (i + PQ_BUCKET) & mask) {
    struct pq_slot *bucket = &d->slots[i];
    for (unsigned found = candidates(bucket, &k); found; found &= found - 1) {
      struct pq_slot *s = &bucket[__builtin_ctz(found)];
      if (t->view.size <= TR_VIEW_INLINE || s->tag == 0) return s;
      const struct tr_view *v = &d->views[(s->tag & PQ_SLOT_NUMBER) - 1];
      if (v->size == t->view.size && memcmp(d->bytes + v->offset, t->ptr, (size_t)v->size) == 0) return s;
    }
    if (bucket[PQ_BUCKET - 1].tag) continue;
    for (struct pq_slot *s = bucket;; s++) {
      if (s->tag == 0) return s;
    }
  }
}

static inline void occupy(struct pq_slot *s, const struct pq_text *t, int64_t number) {
  *s = key_of(t);
  s->tag |= (uint32_t)number + 1;
}

static bool too_full(int64_t n, int64_t n_slots) { return n > n_slots / 8 * 5; }

static struct pq_text entry(const struct pq_dict *d, int64_t i) {
  const struct tr_view *v = &d->views[i];
  return (struct pq_text){*v, v->size > TR_VIEW_INLINE ? d->bytes + v->offset : NULL, d->hashes[i]};
}

static enum tr_status rebuild(struct pq_dict *d, int64_t n_slots, struct tr_error *err) {
  enum { AHEAD = 16 };
  void *slots;
  TR_TRY(tr_mem_calloc((size_t)n_slots * sizeof *d->slots, &slots, err));
  tr_mem_free(d->slots, (size_t)d->n_slots * sizeof *d->slots);
  d->slots = slots;
  d->n_slots = n_slots;
  for (int64_t i = 0; i < d->n; i++) {
    if (i + AHEAD < d->n) __builtin_prefetch(&d->slots[(d->hashes[i + AHEAD] * PQ_BUCKET) & ((uint64_t)n_slots - 1)]);
    struct pq_text t = entry(d, i);
    struct pq_slot *slot = find(d, &t);
    if (slot->tag == 0) occupy(slot, &t, i);
  }
  return TR_OK;
}

enum tr_status pq_dict_index(struct pq_dict *d, struct tr_error *err) {
  if (d->slots) return TR_OK;
  int64_t n_slots = 1024;
  while (too_full(d->n + d->n / 2 + BATCH, n_slots)) n_slots *= 2;
  return rebuild(d, n_slots, err);
}

void pq_dict_unindex(struct pq_dict *d) {
  tr_mem_free(d->slots, (size_t)d->n_slots * sizeof *d->slots);
  d->slots = NULL;
  d->n_slots = 0;
}

enum tr_status pq_dict_number(struct pq_dict *d, const struct pq_text *texts, int n, int32_t *codes,
                              struct tr_error *err) {
  if (too_full(d->n + n, d->n_slots)) TR_TRY(rebuild(d, d->n_slots * 2, err));
  for (int i = 0; i < n; i++) {
    struct pq_slot *slot = find(d, &texts[i]);
    if (slot->tag == 0) {
      TR_TRY(pq_dict_append(d, &texts[i], err));
      occupy(slot, &texts[i], d->n - 1);
    }
    codes[i] = (int32_t)((slot->tag & PQ_SLOT_NUMBER) - 1);
  }
  return TR_OK;
}

enum tr_status pq_dict_merge(struct pq_dict *d, const struct pq_dict *from, int32_t *map, struct tr_error *err) {
  struct pq_text texts[BATCH];
  TR_TRY(pq_dict_reserve(d, from->n, err));
  TR_TRY(pq_dict_index(d, err));
  for (int64_t i = 0; i < from->n; i += BATCH) {
    int k = (int)(from->n - i < BATCH ? from->n - i : BATCH);
    for (int j = 0; j < k; j++) {
      texts[j] = entry(from, i + j);
      pq_dict_prefetch(d, &texts[j]);
    }
    TR_TRY(pq_dict_number(d, texts, k, map + i, err));
  }
  return TR_OK;
}

enum tr_status pq_dict_array(const struct pq_dict *d, struct tr_array **out, struct tr_error *err) {
  struct tr_array *a;
  TR_TRY(tr_array_new(tr_dtype_of(TR_STR), d->n, &a, err));
  if (d->n) memcpy(tr_array_data(a), d->views, (size_t)d->n * sizeof *d->views);
  a->null_count = 0;
  enum tr_status st = TR_OK;
  if (d->n_bytes) {
    struct tr_buffer *heap = NULL;
    int no;
    st = tr_buffer_new(d->n_bytes, &heap, err);
    if (st == TR_OK) {
      memcpy(heap->data, d->bytes, (size_t)d->n_bytes);
      st = tr_array_add_heap(a, heap, &no, err);
      tr_buffer_unref(heap);
    }
  }
  if (st != TR_OK) tr_array_unref(a);
  else *out = a;
  return st;
}
