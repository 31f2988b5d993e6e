/* Dictionaries: the table of distinct texts, merging dictionaries into one, and finding one's values in another.
 * Hashes of a block of rows are computed first and their slots prefetched, then probed in order, so numbering is by
 * first appearance. */
#include "base/mem.h"
#include "data/col/text_table_int.h"

enum { BLOCK = 128, CHECK_EVERY = 1 << 20 };

enum tr_status tr_text_table_init(struct tr_text_table *t, const struct tr_array *array, int64_t expected,
                                  struct tr_error *err) {
  memset(t, 0, sizeof *t);
  t->array = array;
  int64_t n_slots = 64;
  while (n_slots < expected * 2) n_slots *= 2;
  void *p;
  TR_TRY(tr_mem_calloc((size_t)n_slots * 8, &p, err));
  t->slots = p;
  t->n_slots = n_slots;
  int64_t capacity = n_slots / 2 + BLOCK;
  enum tr_status st = tr_mem_alloc((size_t)capacity * 4, &p, err);
  if (st != TR_OK) {
    tr_text_table_drop(t);
    return st;
  }
  t->rows = p;
  t->rows_capacity = capacity;
  return TR_OK;
}

void tr_text_table_drop(struct tr_text_table *t) {
  tr_mem_free(t->slots, (size_t)t->n_slots * 8);
  tr_mem_free(t->rows, (size_t)t->rows_capacity * 4);
  memset(t, 0, sizeof *t);
}

/* Makes room for one block more, at most half full. Slots keep 32 bits of hash, which place them in any size. */
static enum tr_status reserve_block(struct tr_text_table *t, struct tr_error *err) {
  if ((t->n + BLOCK) * 2 <= t->n_slots) return TR_OK;
  int64_t n_slots = t->n_slots * 2;
  while ((t->n + BLOCK) * 2 > n_slots) n_slots *= 2;
  void *slots, *rows = t->rows;
  TR_TRY(tr_mem_calloc((size_t)n_slots * 8, &slots, err));
  int64_t capacity = n_slots / 2 + BLOCK;
  enum tr_status st = tr_mem_realloc(&rows, (size_t)t->rows_capacity * 4, (size_t)capacity * 4, err);
  if (st != TR_OK) {
    tr_mem_free(slots, (size_t)n_slots * 8);
    return st;
  }
  t->rows = rows;
  t->rows_capacity = capacity;
  uint64_t *to = slots, mask = (uint64_t)n_slots - 1;
  for (int64_t i = 0; i < t->n_slots; i++) {
    if (!t->slots[i]) continue;
    uint64_t p = (t->slots[i] >> 32) & mask;
    while (to[p]) p = (p + 1) & mask;
    to[p] = t->slots[i];
  }
  tr_mem_free(t->slots, (size_t)t->n_slots * 8);
  t->slots = to;
  t->n_slots = n_slots;
  return TR_OK;
}

/* Slot of the text with this hash: the one that holds it or the empty one where it belongs. */
static inline uint64_t find_slot(const struct tr_text_table *t, const struct tr_array *a, const struct tr_view *v,
                                 uint64_t hash) {
  uint64_t mask = (uint64_t)t->n_slots - 1, tag = hash >> 32, p = tag & mask;
  const struct tr_view *own = tr_array_views(t->array);
  for (;; p = (p + 1) & mask) {
    uint64_t s = t->slots[p];
    if (!s) return p;
    if (s >> 32 == tag && tr_view_eq(t->array, own + t->rows[(uint32_t)s - 1], a, v)) return p;
  }
}

static void hash_block(struct tr_ctx *ctx, const struct tr_text_table *t, const struct tr_array *a, int64_t begin,
                       int64_t n, uint64_t *hashes) {
  const struct tr_view *v = tr_array_views(a) + begin;
  uint64_t mask = (uint64_t)t->n_slots - 1;
  if (ctx->hash_zero) {
    memset(hashes, 0, (size_t)n * 8);
    return;
  }
  for (int64_t i = 0; i < n; i++) {
    hashes[i] = v[i].size < 0 ? 0 : tr_view_hash(a, v + i);
    __builtin_prefetch(&t->slots[(hashes[i] >> 32) & mask]);
  }
}

enum tr_status tr_text_table_add(struct tr_ctx *ctx, struct tr_text_table *t, int64_t begin, int64_t end,
                                 int64_t max_distinct, int32_t *codes, struct tr_error *err) {
  uint64_t hashes[BLOCK];
  const struct tr_view *v = tr_array_views(t->array);
  for (int64_t at = begin; at < end && t->n <= max_distinct; at += BLOCK) {
    int64_t n = end - at < BLOCK ? end - at : BLOCK;
    if (((at - begin) & (CHECK_EVERY - 1)) == 0) TR_TRY(tr_ctx_check(ctx));
    TR_TRY(reserve_block(t, err));
    hash_block(ctx, t, t->array, at, n, hashes);
    for (int64_t i = 0; i < n; i++) {
      if (v[at + i].size < 0) {
        codes[at - begin + i] = -1;
        continue;
      }
      uint64_t p = find_slot(t, t->array, v + at + i, hashes[i]);
      if (!t->slots[p]) {
        t->rows[t->n++] = (uint32_t)(at + i);
        t->slots[p] = (hashes[i] >> 32) << 32 | (uint64_t)t->n;
      }
      codes[at - begin + i] = (int32_t)(uint32_t)t->slots[p] - 1;
    }
  }
  return TR_OK;
}

void tr_text_table_find(struct tr_ctx *ctx, const struct tr_text_table *t, const struct tr_array *other, int64_t begin,
                        int64_t end, int32_t *codes) {
  uint64_t hashes[BLOCK];
  const struct tr_view *v = tr_array_views(other);
  for (int64_t at = begin; at < end; at += BLOCK) {
    int64_t n = end - at < BLOCK ? end - at : BLOCK;
    hash_block(ctx, t, other, at, n, hashes);
    for (int64_t i = 0; i < n; i++) {
      uint64_t s = v[at + i].size < 0 ? 0 : t->slots[find_slot(t, other, v + at + i, hashes[i])];
      codes[at - begin + i] = (int32_t)(uint32_t)s - 1;
    }
  }
}

enum tr_status tr_text_pick(const struct tr_array *a, const uint32_t *rows, int64_t n, struct tr_array **out,
                            struct tr_error *err) {
  struct tr_text_builder b;
  *out = NULL;
  enum tr_status st = tr_text_builder_init(&b, n, err);
  const struct tr_view *v = tr_array_views(a);
  for (int64_t i = 0; i < n && st == TR_OK; i++) {
    const struct tr_view *x = v + rows[i];
    st = tr_text_builder_add(&b, x->size < 0 ? NULL : tr_view_bytes(a, x), x->size, err);
  }
  if (st == TR_OK) st = tr_text_builder_finish(&b, out, err);
  if (st != TR_OK) tr_text_builder_drop(&b);
  return st;
}

/* Whether numbering found nothing beyond the first dictionary, in its order. */
static bool is_prefix(const struct tr_text_table *t, int64_t n) {
  if (t->n != n) return false;
  for (int64_t i = 0; i < n; i++)
    if (t->rows[i] != (uint32_t)i) return false;
  return true;
}

enum tr_status tr_dict_merge(struct tr_ctx *ctx, struct tr_array *const *dicts, int n, struct tr_array **out,
                             int32_t **codes, struct tr_error *err) {
  struct tr_text_table t = {0};
  struct tr_array *all = NULL;
  void *numbers = NULL;
  *out = NULL;
  *codes = NULL;
  enum tr_status st;
  TR_GOTO(st, tr_array_concat(ctx, dicts, n, &all, err));
  TR_GOTO(st, tr_mem_alloc((size_t)all->length * 4, &numbers, err));
  TR_GOTO(st, tr_text_table_init(&t, all, dicts[0]->length, err));
  TR_GOTO(st, tr_text_table_add(ctx, &t, 0, all->length, INT64_MAX, numbers, err));
  if (is_prefix(&t, dicts[0]->length)) *out = tr_array_ref(dicts[0]);
  else TR_GOTO(st, tr_text_pick(all, t.rows, t.n, out, err));
  *codes = numbers;
  numbers = NULL;
done:
  if (numbers) tr_mem_free(numbers, (size_t)all->length * 4);
  tr_text_table_drop(&t);
  tr_array_unref(all);
  return st;
}

struct find_job {
  struct tr_ctx *ctx;
  struct tr_text_table table;
  const struct tr_array *from;
  int32_t *codes;
};

static enum tr_status find_range(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct find_job *job = arg;
  (void)thread;
  (void)err;
  tr_text_table_find(job->ctx, &job->table, job->from, begin, end, job->codes + begin);
  return TR_OK;
}

enum tr_status tr_dict_find(struct tr_ctx *ctx, struct tr_array *in, struct tr_array *from, int32_t *codes,
                            struct tr_error *err) {
  struct find_job job = {.ctx = ctx, .from = from, .codes = codes};
  void *own = NULL;
  enum tr_status st;
  TR_GOTO(st, tr_mem_alloc((size_t)in->length * 4, &own, err));
  TR_GOTO(st, tr_text_table_init(&job.table, in, in->length, err));
  TR_GOTO(st, tr_text_table_add(ctx, &job.table, 0, in->length, INT64_MAX, own, err));
  TR_GOTO(st, tr_parallel_for(ctx, from->length, tr_grain(ctx), find_range, &job, err));
done:
  tr_mem_free(own, (size_t)in->length * 4);
  tr_text_table_drop(&job.table);
  return st;
}
