/* Text on its way out. Dictionary arrays are written with their own dictionary (categories all of it, in order; `str`
 * what the rows use, in order of first appearance); plain arrays get one when it pays.
 */
#include "data/format/parquet/write/encode_int.h"
#include <string.h>

enum { BATCH = 64, PROBE = 16384, MAX_ENTRIES = 1 << 18, MAX_STATS = 4096 };

void pq_put_text(struct pq_out *o, const struct tr_array *heaps_of, const struct tr_view *v) {
  uint8_t *to = pq_out_reserve(o, (size_t)v->size + 4);
  if (!to) return;
  memcpy(to, &v->size, 4);
  if (v->size) memcpy(to + 4, tr_view_bytes(heaps_of, v), (size_t)v->size);
  o->size += (size_t)v->size + 4;
}

static enum tr_status set_stats(struct pq_written *w, const struct tr_array *a, const struct tr_view *lo,
                                const struct tr_view *hi, struct tr_error *err) {
  if (!lo || lo->size > MAX_STATS || hi->size > MAX_STATS) return TR_OK;
  w->has_min_max = true;
  pq_out_bytes(&w->min, tr_view_bytes(a, lo), (size_t)lo->size);
  pq_out_bytes(&w->max, tr_view_bytes(a, hi), (size_t)hi->size);
  return w->min.failed || w->max.failed ? tr_fail_memory(err, MAX_STATS) : TR_OK;
}

static void widen_range(const struct tr_array *a, const struct tr_view *v, const struct tr_view **lo,
                        const struct tr_view **hi) {
  if (!*lo || tr_view_cmp(a, v, a, *lo) < 0) *lo = v;
  if (!*hi || tr_view_cmp(a, v, a, *hi) > 0) *hi = v;
}

/* Does a dictionary of `entries` texts and `bytes` in all take less room than the texts themselves? */
static bool pays(int64_t entries, int64_t bytes, int64_t n, int64_t plain_bytes) {
  int bits = entries > 1 ? 64 - __builtin_clzll((uint64_t)entries - 1) : 1;
  return bytes + 4 * entries + n * bits / 8 < (plain_bytes + 4 * n) / 4 * 3 || entries <= 16;
}

/* Numbers the used dictionary values in order of first appearance. `numbers`: one slot per dictionary value, zeroed. */
static int64_t number_used(const int32_t *codes, int64_t n, uint32_t *numbers, uint32_t *first, uint32_t *ids,
                           uint8_t *flags, int64_t *used) {
  int64_t k = 0;
  *used = 0;
  for (int64_t i = 0; i < n; i++) {
    flags[i] = codes[i] >= 0;
    if (codes[i] < 0) continue;
    uint32_t *slot = &numbers[codes[i]];
    if (!*slot) {
      first[*used] = (uint32_t)codes[i];
      *slot = (uint32_t)++ * used;
    }
    ids[k++] = *slot - 1;
  }
  return k;
}

static enum tr_status load_dict(struct pq_encoder *e, const struct pq_target *t, int64_t first, int64_t n,
                                struct pq_values *v, struct pq_out *dictionary, struct pq_written *w,
                                struct tr_error *err) {
  const struct tr_array *d = t->array->dict;
  const int32_t *codes = tr_array_codes(t->array) + first;
  TR_TRY(pq_block_need(&e->table, (size_t)d->length * 4, err));
  TR_TRY(pq_block_need(&e->first, (size_t)d->length * 4, err));
  if (d->length) memset(e->table.data, 0, (size_t)d->length * 4);
  uint32_t *ids = (uint32_t *)e->ids.data, *order = (uint32_t *)e->first.data;
  int64_t used;
  v->views = tr_array_views(d);
  v->codes = codes;
  v->heaps_of = d;
  v->n_valid = number_used(codes, n, (uint32_t *)e->table.data, order, ids, e->flags.data, &used);
  const struct tr_view *lo = NULL, *hi = NULL;
  int64_t bytes = 0, plain = 0;
  for (int64_t i = 0; i < used; i++) {
    widen_range(d, &v->views[order[i]], &lo, &hi);
    bytes += v->views[order[i]].size;
  }
  TR_TRY(set_stats(w, d, lo, hi, err));
  if (t->category) {
    /* The reader restores categories and their order from the dictionary page: all of them, codes as they are. */
    for (int64_t i = 0, k = 0; i < n; i++) {
      if (codes[i] >= 0) ids[k++] = (uint32_t)codes[i];
    }
    for (int64_t i = 0; i < d->length; i++) pq_put_text(dictionary, d, &v->views[i]);
    v->n_dictionary = d->length;
    v->ids = ids;
    return TR_OK;
  }
  for (int64_t i = 0; i < n; i++) plain += codes[i] >= 0 ? v->views[codes[i]].size : 0;
  if (used == 0 || !pays(used, bytes, v->n_valid, plain)) return TR_OK;
  for (int64_t i = 0; i < used; i++) pq_put_text(dictionary, d, &v->views[order[i]]);
  v->n_dictionary = used;
  v->ids = ids;
  return TR_OK;
}

static struct pq_text text_of(const struct tr_array *a, const struct tr_view *v) {
  if (v->size > TR_VIEW_INLINE) return pq_text_make((const uint8_t *)tr_view_bytes(a, v), v->size, false);
  struct pq_text t = {.view = *v};
  uint64_t half[2];
  memcpy(half, v, 16);
  t.hash = tr_hash_mix(half[0], half[1]);
  return t;
}

/* Numbers the texts present; false in *few when a dictionary would not pay. */
static enum tr_status number_plain(const struct pq_values *v, struct pq_dict *d, uint32_t *ids, bool *few,
                                   struct tr_error *err) {
  struct pq_text texts[BATCH];
  int64_t k = 0;
  int in_batch = 0;
  *few = true;
  for (int64_t i = 0; i < v->n_rows; i++) {
    const struct tr_view *x = &v->views[i];
    if (x->size >= 0) {
      texts[in_batch] = text_of(v->heaps_of, x);
      pq_dict_prefetch(d, &texts[in_batch++]);
    }
    if (in_batch < BATCH && i + 1 < v->n_rows) continue;
    TR_TRY(pq_dict_number(d, texts, in_batch, (int32_t *)ids + k, err));
    k += in_batch;
    in_batch = 0;
    *few = d->n <= MAX_ENTRIES && !(k > PROBE && k < 2 * PROBE && d->n > k / 10 * 9) && d->n_bytes < INT32_MAX / 4;
    if (!*few) return TR_OK;
  }
  return TR_OK;
}

static enum tr_status load_plain(struct pq_encoder *e, const struct pq_target *t, int64_t first, int64_t n,
                                 struct pq_values *v, struct pq_out *dictionary, struct pq_written *w,
                                 struct tr_error *err) {
  struct pq_dict d = {0};
  const struct tr_array *a = t->array;
  enum tr_status st;
  int64_t plain = 0, bytes = 0;
  bool few;
  v->views = tr_array_views(a) + first;
  v->heaps_of = a;
  v->n_valid = 0;
  for (int64_t i = 0; i < n; i++) {
    v->n_valid += e->flags.data[i] = v->views[i].size >= 0;
    plain += v->views[i].size > 0 ? v->views[i].size : 0;
  }
  TR_GOTO(st, pq_dict_index(&d, err));
  TR_GOTO(st, number_plain(v, &d, (uint32_t *)e->ids.data, &few, err));
  const struct tr_view *lo = NULL, *hi = NULL;
  if (few) {
    struct tr_buffer heap = {.data = d.bytes, .size = d.n_bytes}, *heaps = &heap;
    struct tr_array texts = {.n_heaps = 1, .heaps = &heaps};
    for (int64_t i = 0; i < d.n; i++) {
      bytes += d.views[i].size;
      widen_range(&texts, &d.views[i], &lo, &hi);
    }
    TR_GOTO(st, set_stats(w, &texts, lo, hi, err));
    if (d.n == 0 || !pays(d.n, bytes, v->n_valid, plain)) goto done;
    for (int64_t i = 0; i < d.n; i++) pq_put_text(dictionary, &texts, &d.views[i]);
    v->n_dictionary = d.n;
    v->ids = (uint32_t *)e->ids.data;
  } else {
    for (int64_t i = 0; i < n; i++) {
      if (e->flags.data[i]) widen_range(a, &v->views[i], &lo, &hi);
    }
    st = set_stats(w, a, lo, hi, err);
  }
done:
  pq_dict_free(&d);
  return st;
}

enum tr_status pq_load_text(struct pq_encoder *e, const struct pq_target *t, int64_t first, int64_t n,
                            struct pq_values *v, struct pq_out *dictionary, struct pq_written *w,
                            struct tr_error *err) {
  TR_TRY(pq_block_need(&e->flags, (size_t)n + 64, err));
  TR_TRY(pq_block_need(&e->ids, (size_t)(n + BATCH) * 4, err));
  if (t->array->enc == TR_DICT) TR_TRY(load_dict(e, t, first, n, v, dictionary, w, err));
  else TR_TRY(load_plain(e, t, first, n, v, dictionary, w, err));
  v->valid = v->n_valid < n ? e->flags.data : NULL;
  return dictionary->failed ? tr_fail_memory(err, dictionary->size) : TR_OK;
}
