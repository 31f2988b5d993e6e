/* Grouping of plain text: rows are numbered by the 64-bit hash of their text, then every row is compared with the first
 * row of its group. Two texts of one hash (practically never; always in tests that force hashes to 0) send the column
 * to an exact table instead.
 */
#include "data/kern/group/number_int.h"

static inline uint64_t hash_view(const struct tr_array *a, const struct tr_view *v) {
  uint64_t x, y;
  memcpy(&x, v, 8);
  if (v->size <= TR_VIEW_INLINE) memcpy(&y, (const char *)v + 8, 8);
  else y = tr_hash_bytes(tr_view_bytes(a, v), (size_t)v->size);
  uint64_t h = tr_hash_mix(x, y);
  return h >= UINT64_MAX - 1 ? 1 : h;
}

void tr_group_text_block(const struct tr_array *a, int64_t begin, int n, bool drop, uint64_t *out) {
  const struct tr_view *v = tr_array_views(a) + begin;
  for (int i = 0; i < n; i++) out[i] = v[i].size < 0 ? TR_GROUP_DROP - !drop : hash_view(a, &v[i]);
}

struct verify {
  const struct tr_array *a;
  const uint32_t *ids, *first;
  _Atomic bool wrong;
};

static enum tr_status verify_rows(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct verify *v = arg;
  const struct tr_view *views = tr_array_views(v->a);
  for (int64_t i = begin; i < end; i++) {
    if (v->ids[i] == TR_NO_GROUP) continue;
    if (!tr_view_eq(v->a, &views[i], v->a, &views[v->first[v->ids[i]]])) {
      atomic_store(&v->wrong, true);
      return TR_OK;
    }
  }
  return TR_OK;
}

/* One table over all rows that compares texts; serial. */
static enum tr_status number_exactly(struct tr_ctx *ctx, struct tr_array *a, int64_t n, bool drop,
                                     struct tr_groups *out, struct tr_error *err) {
  const struct tr_view *views = tr_array_views(a);
  uint64_t n_slots = 16;
  while ((int64_t)n_slots < n * 2) n_slots *= 2;
  uint32_t *slots = NULL, *first = NULL;
  enum tr_status st;
  TR_GOTO(st, tr_mem_calloc(n_slots * 4, (void **)&slots, err));
  TR_GOTO(st, tr_mem_alloc((size_t)n * 4, (void **)&first, err));
  TR_GOTO(st, tr_buffer_new(n * 4, &out->ids, err));
  uint32_t *ids = (uint32_t *)out->ids->data, n_groups = 0, g;
  for (int64_t i = 0; i < n; i++) {
    if ((i & 0xffff) == 0) TR_GOTO(st, tr_ctx_check(ctx));
    if (views[i].size < 0 && drop) {
      ids[i] = TR_NO_GROUP;
      out->has_dropped = true;
      continue;
    }
    uint64_t s = ctx->hash_zero || views[i].size < 0 ? 0 : hash_view(a, &views[i]);
    for (s &= n_slots - 1; (g = slots[s]) != 0 && !tr_view_eq(a, &views[i], a, &views[first[g - 1]]);)
      s = (s + 1) & (n_slots - 1);
    if (!g) {
      first[n_groups] = (uint32_t)i;
      slots[s] = g = ++n_groups;
    }
    ids[i] = g - 1;
  }
  out->n_groups = n_groups;
  TR_GOTO(st, tr_buffer_new((int64_t)n_groups * 4, &out->first_row, err));
  memcpy(out->first_row->data, first, (size_t)n_groups * 4);
done:
  tr_mem_free(slots, n_slots * 4);
  tr_mem_free(first, (size_t)n * 4);
  return st;
}

struct remap {
  uint32_t *ids;
  const uint32_t *from, *map;
};
static enum tr_status remap_rows(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct remap *r = arg;
  for (int64_t i = begin; i < end; i++) r->ids[i] = r->from[i] == TR_NO_GROUP ? TR_NO_GROUP : r->map[r->from[i]];
  return TR_OK;
}

/* Renumbers groups ascending by text, the missing group last. */
static enum tr_status sort_groups(struct tr_ctx *ctx, struct tr_array *a, int64_t n, struct tr_groups *g,
                                  struct tr_error *err) {
  struct tr_array *texts = NULL;
  struct tr_buffer *sorted_first = NULL;
  uint32_t *rank = NULL, *first = (uint32_t *)g->first_row->data, *rows;
  int64_t missing = -1, n_texts = g->n_groups;
  const struct tr_view *views = tr_array_views(a);
  enum tr_status st;
  TR_GOTO(st, tr_mem_alloc((size_t)g->n_groups * 4, (void **)&rank, err));
  TR_GOTO(st, tr_array_new(tr_dtype_of(TR_STR), g->n_groups, &texts, err));
  TR_GOTO(st, tr_array_share_heaps(texts, a, err));
  struct tr_view *v = (struct tr_view *)texts->data->data;
  for (int64_t i = 0, k = 0; i < g->n_groups; i++) {
    if (views[first[i]].size < 0) missing = i;
    else v[k++] = views[first[i]];
  }
  n_texts -= missing >= 0;
  texts->length = n_texts;
  TR_GOTO(st, tr_group_rank_values(ctx, texts, rank, err));
  if (missing >= 0) {
    memmove(rank + missing + 1, rank + missing, (size_t)(n_texts - missing) * 4);
    rank[missing] = (uint32_t)n_texts;
  }
  TR_GOTO(st, tr_buffer_new(g->n_groups * 4, &sorted_first, err));
  rows = (uint32_t *)sorted_first->data;
  for (int64_t i = 0; i < g->n_groups; i++) rows[rank[i]] = first[i];
  tr_buffer_unref(g->first_row);
  g->first_row = tr_buffer_ref(sorted_first);
  struct remap r = {(uint32_t *)g->ids->data, tr_groups_ids(g), rank};
  st = tr_parallel_for(ctx, n, tr_grain(ctx), remap_rows, &r, err);
done:
  tr_buffer_unref(sorted_first);
  tr_array_unref(texts);
  tr_mem_free(rank, (size_t)g->n_groups * 4);
  return st;
}

enum tr_status tr_group_text(struct tr_ctx *ctx, struct tr_array *a, int64_t n, bool sort, bool drop,
                             struct tr_groups *out, struct tr_error *err) {
  struct tr_group_key key = {.form = TR_FORM_TEXT, .array = a, .has_missing = true};
  struct tr_group_codes c = {.keys = &key, .n_keys = 1, .n = n, .total = 0, .drop = drop};
  bool exact = ctx->hash_zero;
  if (!exact) {
    TR_TRY(tr_group_number(ctx, &c, false, out, err));
    struct verify v = {.a = a, .ids = tr_groups_ids(out), .first = (const uint32_t *)out->first_row->data};
    TR_TRY(tr_parallel_for(ctx, n, tr_grain(ctx), verify_rows, &v, err));
    exact = v.wrong;
  }
  if (exact) {
    tr_groups_drop(out);
    out->n_rows = n;
    TR_TRY(number_exactly(ctx, a, n, drop, out, err));
  }
  return sort ? sort_groups(ctx, a, n, out, err) : TR_OK;
}
