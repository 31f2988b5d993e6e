/* The table of right rows: an array by number where numbers are dense, else open addressing with 8-byte slots. It is
 * built by all threads at once: a slot is claimed by compare-and-swap and keeps the smallest row of its key, so what is
 * found does not depend on who came first. Blocks of rows are hashed first and their slots prefetched. */
#include "base/mem.h"
#include "data/kern/join/join_int.h"

#define EMPTY UINT64_MAX

static uint64_t tag_of(const struct tr_join_table *t, uint64_t number, uint64_t hash) {
  return t->exact ? number : hash & UINT32_MAX;
}

/* Place of the first slot to look at; hash_zero puts everything at 0. */
static void hash_block(const struct tr_join_table *t, const uint64_t *numbers, int64_t n, uint64_t *hashes) {
  const bool zero = t->ctx->hash_zero;
  for (int64_t i = 0; i < n; i++) {
    hashes[i] = zero ? 0 : tr_hash_u64(numbers[i]);
    __builtin_prefetch(&t->slots[hashes[i] >> t->hash_shift]);
  }
}

struct build_job {
  struct tr_join_table *t;
  const struct tr_part *right;
  _Atomic int64_t distinct;
};

static int64_t insert_dense(struct tr_join_table *t, const uint64_t *numbers, int64_t first, int64_t n) {
  int64_t fresh = 0;
  for (int64_t i = 0; i < n; i++) __builtin_prefetch(&t->dense[numbers[i]], 1);
  for (int64_t i = 0; i < n; i++) {
    uint32_t *slot = &t->dense[numbers[i]], row = (uint32_t)(first + i), old = __atomic_load_n(slot, __ATOMIC_RELAXED);
    while (row < old) {
      if (!__atomic_compare_exchange_n(slot, &old, row, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) continue;
      fresh += old == TR_NO_ROW;
      break;
    }
  }
  return fresh;
}

static bool same_key(const struct tr_join_table *t, uint64_t slot, uint64_t tag, uint64_t number) {
  return slot >> 32 == tag && (t->exact || t->numbers[(uint32_t)slot] == number);
}

static int64_t insert_hashed(struct tr_join_table *t, const uint64_t *numbers, int64_t first, int64_t n) {
  uint64_t hashes[TR_JOIN_BLOCK], mask = (uint64_t)t->n_slots - 1;
  int64_t fresh = 0;
  hash_block(t, numbers, n, hashes);
  for (int64_t i = 0; i < n; i++) {
    uint64_t tag = tag_of(t, numbers[i], hashes[i]), mine = tag << 32 | (uint64_t)(first + i);
    uint64_t p = hashes[i] >> t->hash_shift, s = __atomic_load_n(&t->slots[p], __ATOMIC_RELAXED);
    for (;;) {
      if (s == EMPTY || (same_key(t, s, tag, numbers[i]) && mine < s)) {
        if (!__atomic_compare_exchange_n(&t->slots[p], &s, mine, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) continue;
        fresh += s == EMPTY;
        break;
      }
      if (same_key(t, s, tag, numbers[i])) break;
      p = (p + 1) & mask;
      s = __atomic_load_n(&t->slots[p], __ATOMIC_RELAXED);
    }
  }
  return fresh;
}

static enum tr_status number_range(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  const struct build_job *job = arg;
  const struct tr_join_table *t = job->t;
  (void)thread;
  (void)err;
  for (int64_t at = begin; at < end; at += TR_JOIN_BLOCK) {
    int64_t n = end - at < TR_JOIN_BLOCK ? end - at : TR_JOIN_BLOCK;
    tr_parts_encode(t->parts, job->right, t->from, t->to, at, n, t->numbers + at);
  }
  return TR_OK;
}

static enum tr_status build_range(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct build_job *job = arg;
  struct tr_join_table *t = job->t;
  uint64_t block[TR_JOIN_BLOCK];
  int64_t fresh = 0;
  (void)thread;
  (void)err;
  for (int64_t at = begin; at < end; at += TR_JOIN_BLOCK) {
    int64_t n = end - at < TR_JOIN_BLOCK ? end - at : TR_JOIN_BLOCK;
    const uint64_t *numbers = t->numbers ? t->numbers + at : block;
    if (!t->numbers) tr_parts_encode(t->parts, job->right, t->from, t->to, at, n, block);
    fresh += t->dense ? insert_dense(t, numbers, at, n) : insert_hashed(t, numbers, at, n);
  }
  atomic_fetch_add(&job->distinct, fresh);
  return TR_OK;
}

struct clear_job {
  uint8_t *bytes;
};

static enum tr_status clear_range(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  const struct clear_job *job = arg;
  (void)thread;
  (void)err;
  memset(job->bytes + begin, 0xff, (size_t)(end - begin));
  return TR_OK;
}

static enum tr_status new_cleared(struct tr_ctx *ctx, int64_t bytes, void **out, struct tr_error *err) {
  TR_TRY(tr_mem_alloc((size_t)bytes, out, err));
  struct clear_job job = {*out};
  return tr_parallel_for(ctx, bytes, 1 << 20, clear_range, &job, err); /* the table's drop frees it on failure */
}

static enum tr_status allocate(struct tr_join_table *t, int64_t n, struct tr_error *err) {
  void *p;
  enum tr_status st;
  if (t->domain != 0 && t->domain <= (uint64_t)n * 6 + 65536) {
    st = new_cleared(t->ctx, (int64_t)t->domain * 4, &p, err);
    t->dense = p;
    return st;
  }
  t->n_slots = 64;
  while (t->n_slots < n + n / 2) t->n_slots *= 2;
  t->hash_shift = 65 - __builtin_ffsll(t->n_slots);
  t->exact = t->domain != 0 && t->domain <= UINT32_MAX;
  st = new_cleared(t->ctx, t->n_slots * 8, &p, err);
  t->slots = p;
  if (st != TR_OK || t->exact) return st;
  st = tr_mem_alloc((size_t)n * 8, &p, err);
  t->numbers = p;
  return st;
}

enum tr_status tr_join_table_make(struct tr_ctx *ctx, const struct tr_parts *parts, int from, int to, uint64_t domain,
                                  int64_t n_right, struct tr_join_table *out, struct tr_error *err) {
  *out =
      (struct tr_join_table){.ctx = ctx, .parts = parts, .from = from, .to = to, .domain = domain, .n_right = n_right};
  struct build_job job = {.t = out, .right = parts->right};
  enum tr_status st;
  TR_GOTO(st, allocate(out, n_right, err));
  if (out->numbers) TR_GOTO(st, tr_parallel_for(ctx, n_right, tr_grain(ctx), number_range, &job, err));
  TR_GOTO(st, tr_parallel_for(ctx, n_right, tr_grain(ctx), build_range, &job, err));
  out->unique = job.distinct == n_right;
done:
  if (st != TR_OK) tr_join_table_drop(out);
  return st;
}

void tr_join_table_drop(struct tr_join_table *t) {
  tr_mem_free(t->dense, (size_t)t->domain * 4);
  tr_mem_free(t->slots, (size_t)t->n_slots * 8);
  tr_mem_free(t->numbers, (size_t)t->n_right * 8);
  memset(t, 0, sizeof *t);
}

/* Slot of the key or an empty one, from place p on, looking at tags only. */
static inline uint64_t next_with_tag(const struct tr_join_table *t, uint64_t p, uint64_t tag, uint64_t *slot) {
  uint64_t mask = (uint64_t)t->n_slots - 1;
  for (;; p = (p + 1) & mask) {
    uint64_t s = t->slots[p];
    *slot = s;
    if (s == EMPTY || s >> 32 == tag) return p;
  }
}

static void find_hashed(const struct tr_join_table *t, const uint64_t *numbers, int64_t n, uint32_t *first) {
  uint64_t hashes[TR_JOIN_BLOCK], places[TR_JOIN_BLOCK], slot, mask = (uint64_t)t->n_slots - 1;
  hash_block(t, numbers, n, hashes);
  if (t->exact) {
    for (int64_t i = 0; i < n; i++) {
      next_with_tag(t, hashes[i] >> t->hash_shift, numbers[i], &slot);
      first[i] = (uint32_t)slot; /* an empty slot's row is TR_NO_ROW */
    }
    return;
  }
  for (int64_t i = 0; i < n; i++) {
    places[i] = next_with_tag(t, hashes[i] >> t->hash_shift, hashes[i] & UINT32_MAX, &slot);
    first[i] = (uint32_t)slot;
    if (slot != EMPTY) __builtin_prefetch(&t->numbers[first[i]]);
  }
  for (int64_t i = 0; i < n; i++) {
    while (first[i] != TR_NO_ROW && t->numbers[first[i]] != numbers[i]) {
      places[i] = next_with_tag(t, (places[i] + 1) & mask, hashes[i] & UINT32_MAX, &slot);
      first[i] = (uint32_t)slot;
    }
  }
}

static void find_dense(const struct tr_join_table *t, const uint64_t *numbers, int64_t n, uint32_t *first) {
  for (int64_t i = 0; i < n; i++) __builtin_prefetch(&t->dense[numbers[i]]);
  for (int64_t i = 0; i < n; i++) first[i] = t->dense[numbers[i]];
}

void tr_join_table_find(const struct tr_join_table *t, const struct tr_part *side, int64_t begin, int64_t end,
                        uint32_t *first) {
  uint64_t numbers[TR_JOIN_BLOCK];
  for (int64_t at = begin; at < end; at += TR_JOIN_BLOCK) {
    int64_t n = end - at < TR_JOIN_BLOCK ? end - at : TR_JOIN_BLOCK;
    tr_parts_encode(t->parts, side, t->from, t->to, at, n, numbers);
    if (t->dense) find_dense(t, numbers, n, first + (at - begin));
    else find_hashed(t, numbers, n, first + (at - begin));
  }
}

struct find_job {
  const struct tr_join_table *t;
  const struct tr_part *side;
  uint32_t *first;
};

static enum tr_status find_range(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  const struct find_job *job = arg;
  (void)thread;
  (void)err;
  tr_join_table_find(job->t, job->side, begin, end, job->first + begin);
  return TR_OK;
}

enum tr_status tr_join_table_find_all(struct tr_ctx *ctx, const struct tr_join_table *t, const struct tr_part *side,
                                      int64_t n, uint32_t *first, struct tr_error *err) {
  struct find_job job = {t, side, first};
  return tr_parallel_for(ctx, n, tr_grain(ctx), find_range, &job, err);
}
