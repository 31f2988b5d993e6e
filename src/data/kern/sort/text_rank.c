/* Ranks of texts: rows are ordered by the first 14 bytes after the prefix that all share, the few that still tie by
 * comparison; equal neighbours get the same rank. */
#include "base/mem.h"
#include "data/kern/sort/sort_int.h"

struct prefix_job {
  const struct tr_array *a;
  const struct tr_view *first;
  int64_t shared[TR_MAX_THREADS];
};

static int64_t shared_bytes(const char *x, const char *y, int64_t n) {
  int64_t i = 0;
  while (i < n && x[i] == y[i]) i++;
  return i;
}

static enum tr_status shorten_prefix(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct prefix_job *job = arg;
  const struct tr_view *v = tr_array_views(job->a);
  const char *first = tr_view_bytes(job->a, job->first);
  int64_t shared = job->shared[thread];
  (void)err;
  for (int64_t i = begin; i < end && shared > 0; i++) {
    if (v[i].size < 0) continue;
    if (shared > v[i].size) shared = v[i].size;
    shared = shared_bytes(first, tr_view_bytes(job->a, v + i), shared);
  }
  job->shared[thread] = shared;
  return TR_OK;
}

/* Bytes that all present texts begin with. */
static enum tr_status common_prefix(struct tr_ctx *ctx, const struct tr_array *a, int64_t *bytes,
                                    struct tr_error *err) {
  struct prefix_job job = {.a = a};
  const struct tr_view *v = tr_array_views(a);
  *bytes = 0;
  for (int64_t i = 0; i < a->length && !job.first; i++)
    if (v[i].size >= 0) job.first = v + i;
  if (!job.first) return TR_OK;
  for (int t = 0; t < TR_MAX_THREADS; t++) job.shared[t] = job.first->size;
  TR_TRY(tr_parallel_for(ctx, a->length, tr_grain(ctx), shorten_prefix, &job, err));
  *bytes = job.first->size;
  for (int t = 0; t < TR_MAX_THREADS; t++) *bytes = job.shared[t] < *bytes ? job.shared[t] : *bytes;
  return TR_OK;
}

/* rows: all rows in text order, missing last. */
static int64_t number_ranks(const struct tr_array *a, bool distinct, const uint32_t *rows, uint32_t *ranks) {
  const struct tr_view *v = tr_array_views(a);
  int64_t rank = -1;
  for (int64_t i = 0; i < a->length; i++) {
    const struct tr_view *x = v + rows[i];
    if (x->size < 0) {
      ranks[rows[i]] = UINT32_MAX;
      continue;
    }
    rank += distinct || i == 0 || !tr_view_eq(a, v + rows[i - 1], a, x);
    ranks[rows[i]] = (uint32_t)rank;
  }
  return rank + 1;
}

enum tr_status tr_text_ranks(struct tr_ctx *ctx, struct tr_array *a, bool distinct, uint32_t *ranks, int64_t *n_ranks,
                             struct tr_error *err) {
  int64_t shared;
  TR_TRY(common_prefix(ctx, a, &shared, err));
  const struct tr_piece pieces[] = {
      {.form = TR_PIECE_TEXT_FLAG, .text = a, .bits = 1},
      {.form = TR_PIECE_TEXT, .text = a, .text_at = shared, .bits = 64},
      {.form = TR_PIECE_TEXT, .text = a, .text_at = shared + 7, .bits = 64},
  };
  int skip = distinct; /* a dictionary has nothing missing */
  const struct tr_order order = {
      .ctx = ctx, .pieces = pieces + skip, .n_pieces = 3 - skip, .bits = 129 - skip, .text = a};
  void *rows;
  TR_TRY(tr_mem_alloc((size_t)a->length * 4, &rows, err));
  enum tr_status st = tr_order_rows(&order, NULL, a->length, 0, rows, err);
  if (st == TR_OK) *n_ranks = number_ranks(a, distinct, rows, ranks);
  tr_mem_free(rows, (size_t)a->length * 4);
  return st;
}
