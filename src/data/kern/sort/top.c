/* Top-n: finds the k-th smallest first window of the bit string, keeps the rows up to it, and orders only those. Each
 * thread keeps its k smallest windows; which thread saw what does not matter for the k-th of all. */
#include "base/mem.h"
#include "data/kern/sort/sort_int.h"
#include "data/kern/take/take.h"

struct top_job {
  const struct tr_order *o;
  int64_t k;
  int bits;
  uint64_t *best[TR_MAX_THREADS]; /* capacity + tmp of the same size */
  int64_t n_best[TR_MAX_THREADS];
  uint64_t limit[TR_MAX_THREADS]; /* larger windows cannot be among the k smallest */
  int64_t capacity;
  uint64_t kth;
  uint8_t *mask;
};

static void keep_smallest(struct top_job *job, int t) {
  tr_sort_u64(job->best[t], job->best[t] + job->capacity, job->n_best[t], 0);
  if (job->n_best[t] < job->k) return;
  job->n_best[t] = job->k;
  job->limit[t] = job->best[t][job->k - 1];
}

static enum tr_status collect(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct top_job *job = arg;
  uint64_t words[TR_SORT_BLOCK];
  if (!job->best[thread]) {
    void *p;
    TR_TRY(tr_mem_alloc((size_t)job->capacity * 16, &p, err));
    job->best[thread] = p;
  }
  uint64_t *best = job->best[thread];
  for (int64_t at = begin; at < end; at += TR_SORT_BLOCK) {
    int64_t n = end - at < TR_SORT_BLOCK ? end - at : TR_SORT_BLOCK, m = job->n_best[thread];
    uint64_t limit = job->limit[thread];
    tr_order_window(job->o, NULL, at, n, 0, job->bits, words);
    for (int64_t i = 0; i < n; i++) {
      best[m] = words[i];
      m += words[i] < limit;
    }
    job->n_best[thread] = m;
    if (m + TR_SORT_BLOCK >= job->capacity) keep_smallest(job, thread);
  }
  return TR_OK;
}

static enum tr_status mark(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct top_job *job = arg;
  uint64_t words[TR_SORT_BLOCK];
  (void)thread;
  (void)err;
  for (int64_t at = begin; at < end; at += TR_SORT_BLOCK) {
    int64_t n = end - at < TR_SORT_BLOCK ? end - at : TR_SORT_BLOCK;
    tr_order_window(job->o, NULL, at, n, 0, job->bits, words);
    for (int64_t i = 0; i < n; i++) job->mask[at + i] = words[i] <= job->kth;
  }
  return TR_OK;
}

/* Smallest windows of all threads together; the k-th of them. */
static enum tr_status find_kth(struct top_job *job, struct tr_error *err) {
  int64_t total = 0;
  for (int t = 0; t < TR_MAX_THREADS; t++) total += job->n_best[t];
  void *p;
  TR_TRY(tr_mem_alloc((size_t)total * 16, &p, err));
  uint64_t *all = p;
  int64_t at = 0;
  for (int t = 0; t < TR_MAX_THREADS; t++) {
    if (!job->n_best[t]) continue;
    memcpy(all + at, job->best[t], (size_t)job->n_best[t] * 8);
    at += job->n_best[t];
  }
  tr_sort_u64(all, all + total, total, 0);
  job->kth = total < job->k ? UINT64_MAX : all[job->k - 1];
  tr_mem_free(p, (size_t)total * 16);
  return TR_OK;
}

/* Rows whose first window is at most the k-th smallest, ascending. */
static enum tr_status candidates(struct tr_ctx *ctx, const struct tr_order *o, int64_t n, int64_t k,
                                 struct tr_buffer **rows, int64_t *n_rows, struct tr_error *err) {
  struct top_job job = {.o = o, .k = k, .bits = o->bits < 64 ? o->bits : 64, .capacity = 2 * k + 4 * TR_SORT_BLOCK};
  void *mask = NULL;
  enum tr_status st;
  for (int t = 0; t < TR_MAX_THREADS; t++) job.limit[t] = UINT64_MAX;
  TR_GOTO(st, tr_mem_alloc((size_t)n, &mask, err));
  TR_GOTO(st, tr_parallel_for(ctx, n, tr_grain(ctx), collect, &job, err));
  TR_GOTO(st, find_kth(&job, err));
  job.mask = mask;
  TR_GOTO(st, tr_parallel_for(ctx, n, tr_grain(ctx), mark, &job, err));
  st = tr_mask_rows(ctx, mask, n, rows, n_rows, err);
done:
  for (int t = 0; t < TR_MAX_THREADS; t++) tr_mem_free(job.best[t], (size_t)job.capacity * 16);
  tr_mem_free(mask, (size_t)n);
  return st;
}

static enum tr_status first_of_all(struct tr_ctx *ctx, const struct tr_order *o, int64_t n, int64_t k, uint32_t *out,
                                   struct tr_error *err) {
  struct tr_buffer *few = NULL;
  int64_t m = n;
  void *sorted = NULL;
  enum tr_status st = TR_OK;
  if (k < n / 8 && o->bits > 0) TR_GOTO(st, candidates(ctx, o, n, k, &few, &m, err));
  TR_GOTO(st, tr_mem_alloc((size_t)m * 4, &sorted, err));
  TR_GOTO(st, tr_order_rows(o, few ? (const uint32_t *)few->data : NULL, m, 0, sorted, err));
  memcpy(out, sorted, (size_t)k * 4);
done:
  tr_mem_free(sorted, (size_t)m * 4);
  tr_buffer_unref(few);
  return st;
}

enum tr_status tr_sort_top(struct tr_ctx *ctx, const struct tr_sort_key *keys, int n_keys, int64_t n, int64_t k,
                           bool na_first, struct tr_buffer **rows, int64_t *n_out, struct tr_error *err) {
  struct tr_key_pieces pieces;
  *rows = NULL;
  *n_out = k = k < 0 ? 0 : k < n ? k : n;
  if (n >= UINT32_MAX) return tr_fail_memory(err, (size_t)n * 8);
  if (k == 0) return tr_buffer_new(0, rows, err);
  TR_TRY(tr_key_pieces_make(ctx, keys, n_keys, n, na_first, &pieces, err));
  const struct tr_order order = {.ctx = ctx, .pieces = pieces.pieces, .n_pieces = pieces.n, .bits = pieces.bits};
  enum tr_status st = tr_buffer_new(k * 4, rows, err);
  if (st == TR_OK) st = first_of_all(ctx, &order, n, k, (uint32_t *)(*rows)->data, err);
  tr_key_pieces_drop(&pieces);
  if (st != TR_OK) {
    tr_buffer_unref(*rows);
    *rows = NULL;
  }
  return st;
}
