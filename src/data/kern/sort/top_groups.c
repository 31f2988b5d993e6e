/* The first (or last) k rows of every group in sorted order, without sorting the rest. Each thread keeps, per group,
 * the k smallest first windows of the bit string that it meets. Where a window holds the whole bit string, their rows
 * are kept beside them, and are what is wanted. Else the k-th smallest window of a group tells in a second pass which
 * rows can be: those up to it, ties included. Either way only the rows found are ordered in the end. Counting from the
 * end is counting from the start with all bits turned round. */
#include "base/mem.h"
#include "data/kern/sort/sort_int.h"
#include "data/kern/take/take.h"

enum { MOST_PER_GROUP = 32 }; /* beyond, keeping a group's smallest in order costs more than it saves */

struct groups_job {
  const struct tr_order *o;
  const struct tr_sort_groups *g;
  int bits;
  bool whole; /* a window is the whole bit string, and never UINT64_MAX */
  uint64_t flip;
  uint64_t *best[TR_MAX_THREADS]; /* per group its k smallest windows, ascending; UINT64_MAX where there are fewer */
  uint32_t *rows[TR_MAX_THREADS]; /* whole: their rows */
  uint64_t *limit;                /* not whole: per group the k-th */
  uint8_t *mask;                  /* rows that are wanted, or can be */
};

static size_t n_entries(const struct tr_sort_groups *g) { return (size_t)g->n_groups * (size_t)g->k; }

/* Tables of a thread, made by the thread that fills them. */
static enum tr_status make_tables(struct groups_job *job, int thread, struct tr_error *err) {
  const size_t n = n_entries(job->g);
  void *p;
  if (job->best[thread]) return TR_OK;
  TR_TRY(tr_mem_alloc(n * 8, &p, err));
  memset(p, 0xff, n * 8);
  job->best[thread] = p;
  if (!job->whole) return TR_OK;
  TR_TRY(tr_mem_alloc(n * 4, &p, err));
  job->rows[thread] = p;
  return TR_OK;
}

/* Puts w in its place among k ascending numbers; the last drops out. */
static inline void insert(uint64_t *best, int64_t k, uint64_t w) {
  int64_t i = k - 1;
  for (; i > 0 && best[i - 1] > w; i--) best[i] = best[i - 1];
  best[i] = w;
}

/* The same with rows. Rows of equal windows come in the order in which they are wanted: those from the end, last ones
 * first. */
static inline void insert_row(uint64_t *best, uint32_t *rows, int64_t k, uint64_t w, uint32_t row, bool tail) {
  int64_t i = k - 1;
  for (; i > 0; i--) {
    const bool later = best[i - 1] > w || (best[i - 1] == w && (tail ? rows[i - 1] < row : rows[i - 1] > row));
    if (!later) break;
    best[i] = best[i - 1];
    rows[i] = rows[i - 1];
  }
  best[i] = w;
  rows[i] = row;
}

static enum tr_status collect_rows(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct groups_job *job = arg;
  const struct tr_sort_groups *g = job->g;
  const int64_t k = g->k;
  uint64_t words[TR_SORT_BLOCK];
  TR_TRY(make_tables(job, thread, err));
  uint64_t *best = job->best[thread];
  uint32_t *rows = job->rows[thread];
  for (int64_t at = begin; at < end; at += TR_SORT_BLOCK) {
    int64_t n = end - at < TR_SORT_BLOCK ? end - at : TR_SORT_BLOCK;
    tr_order_window(job->o, NULL, at, n, 0, job->bits, words);
    for (int64_t i = 0; i < n; i++) {
      const uint32_t id = g->ids[at + i];
      if (id >= g->n_groups) continue;
      uint64_t *mine = best + id * k, w = words[i] ^ job->flip;
      /* a thread's rows ascend, so that of equal ones the later replaces the earlier when counting from the end */
      if (w < mine[k - 1] || (g->tail && w == mine[k - 1]))
        insert_row(mine, rows + id * k, k, w, (uint32_t)(at + i), g->tail);
    }
  }
  return TR_OK;
}

/* Marks the rows of each group that are the smallest of all threads'. */
static enum tr_status merge_rows(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct groups_job *job = arg;
  const int64_t k = job->g->k;
  const bool tail = job->g->tail;
  (void)thread, (void)err;
  for (int64_t id = begin; id < end; id++) {
    uint64_t all[MOST_PER_GROUP];
    uint32_t rows[MOST_PER_GROUP];
    memset(all, 0xff, sizeof all);
    memset(rows, tail ? 0 : 0xff, sizeof rows);
    for (int t = 0; t < TR_MAX_THREADS; t++) {
      if (!job->best[t]) continue;
      const uint64_t *theirs = job->best[t] + id * k;
      const uint32_t *their_rows = job->rows[t] + id * k;
      for (int64_t i = 0; i < k && theirs[i] != UINT64_MAX; i++) {
        const bool before =
            theirs[i] < all[k - 1] ||
            (theirs[i] == all[k - 1] && (tail ? their_rows[i] > rows[k - 1] : their_rows[i] < rows[k - 1]));
        if (before) insert_row(all, rows, k, theirs[i], their_rows[i], tail);
      }
    }
    for (int64_t i = 0; i < k && all[i] != UINT64_MAX; i++) job->mask[rows[i]] = 1;
  }
  return TR_OK;
}

static enum tr_status collect(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct groups_job *job = arg;
  const struct tr_sort_groups *g = job->g;
  const int64_t k = g->k;
  uint64_t words[TR_SORT_BLOCK];
  TR_TRY(make_tables(job, thread, err));
  uint64_t *best = job->best[thread];
  for (int64_t at = begin; at < end; at += TR_SORT_BLOCK) {
    int64_t n = end - at < TR_SORT_BLOCK ? end - at : TR_SORT_BLOCK;
    tr_order_window(job->o, NULL, at, n, 0, job->bits, words);
    for (int64_t i = 0; i < n; i++) {
      const uint32_t id = g->ids[at + i];
      if (id >= g->n_groups) continue;
      uint64_t *mine = best + id * k, w = words[i] ^ job->flip;
      if (w < mine[k - 1]) insert(mine, k, w);
    }
  }
  return TR_OK;
}

static enum tr_status merge(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct groups_job *job = arg;
  const int64_t k = job->g->k;
  (void)thread, (void)err;
  for (int64_t id = begin; id < end; id++) {
    uint64_t all[MOST_PER_GROUP];
    memset(all, 0xff, sizeof all);
    for (int t = 0; t < TR_MAX_THREADS; t++) {
      if (!job->best[t]) continue;
      const uint64_t *theirs = job->best[t] + id * k;
      for (int64_t i = 0; i < k && theirs[i] < all[k - 1]; i++) insert(all, k, theirs[i]);
    }
    job->limit[id] = all[k - 1];
  }
  return TR_OK;
}

static enum tr_status mark(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct groups_job *job = arg;
  const struct tr_sort_groups *g = job->g;
  uint64_t words[TR_SORT_BLOCK];
  (void)thread, (void)err;
  for (int64_t at = begin; at < end; at += TR_SORT_BLOCK) {
    int64_t n = end - at < TR_SORT_BLOCK ? end - at : TR_SORT_BLOCK;
    tr_order_window(job->o, NULL, at, n, 0, job->bits, words);
    for (int64_t i = 0; i < n; i++) {
      const uint32_t id = g->ids[at + i];
      job->mask[at + i] = id < g->n_groups && (words[i] ^ job->flip) <= job->limit[id];
    }
  }
  return TR_OK;
}

static enum tr_status find(struct tr_ctx *ctx, struct groups_job *job, int64_t n, struct tr_error *err) {
  const int64_t grain = tr_grain(ctx), few = 4096;
  if (job->whole) {
    memset(job->mask, 0, (size_t)n);
    TR_TRY(tr_parallel_for(ctx, n, grain, collect_rows, job, err));
    return tr_parallel_for(ctx, job->g->n_groups, few, merge_rows, job, err);
  }
  TR_TRY(tr_parallel_for(ctx, n, grain, collect, job, err));
  TR_TRY(tr_parallel_for(ctx, job->g->n_groups, few, merge, job, err));
  return tr_parallel_for(ctx, n, grain, mark, job, err);
}

/* Rows that can be among the k of their group, ascending. */
static enum tr_status candidates(struct tr_ctx *ctx, const struct tr_order *o, const struct tr_sort_groups *g,
                                 int64_t n, struct tr_buffer **rows, int64_t *n_rows, struct tr_error *err) {
  struct groups_job job = {.o = o, .g = g, .bits = o->bits < 64 ? o->bits : 64, .whole = o->bits < 64};
  void *mask = NULL, *limit = NULL;
  enum tr_status st;
  if (g->tail) job.flip = job.bits == 64 ? UINT64_MAX : (1ull << job.bits) - 1;
  TR_GOTO(st, tr_mem_alloc((size_t)n, &mask, err));
  TR_GOTO(st, tr_mem_alloc((size_t)g->n_groups * 8, &limit, err));
  job.mask = mask;
  job.limit = limit;
  TR_GOTO(st, find(ctx, &job, n, err));
  st = tr_mask_rows(ctx, mask, n, rows, n_rows, err);
done:
  for (int t = 0; t < TR_MAX_THREADS; t++) {
    tr_mem_free(job.best[t], job.best[t] ? n_entries(g) * 8 : 0);
    tr_mem_free(job.rows[t], job.rows[t] ? n_entries(g) * 4 : 0);
  }
  tr_mem_free(mask, (size_t)n);
  tr_mem_free(limit, (size_t)g->n_groups * 8);
  return st;
}

/* Leaves of m sorted rows the first (last) k of each group, in place; gives how many. */
static enum tr_status pick(const struct tr_sort_groups *g, uint32_t *rows, int64_t m, int64_t *n_out,
                           struct tr_error *err) {
  void *p;
  TR_TRY(tr_mem_calloc((size_t)g->n_groups * 4, &p, err));
  uint32_t *seen = p;
  int64_t out = g->tail ? m : 0;
  for (int64_t j = 0; j < m; j++) {
    const uint32_t row = rows[g->tail ? m - 1 - j : j], id = g->ids[row];
    if (id >= g->n_groups || seen[id] >= g->k) continue;
    seen[id]++;
    rows[g->tail ? --out : out++] = row;
  }
  *n_out = g->tail ? m - out : out;
  if (g->tail) memmove(rows, rows + out, (size_t)*n_out * 4);
  tr_mem_free(p, (size_t)g->n_groups * 4);
  return TR_OK;
}

static enum tr_status first_of_groups(struct tr_ctx *ctx, const struct tr_order *o, const struct tr_sort_groups *g,
                                      int64_t n, struct tr_buffer **rows, int64_t *n_out, struct tr_error *err) {
  struct tr_buffer *few = NULL;
  void *sorted = NULL;
  int64_t m = n;
  bool pays = g->k <= MOST_PER_GROUP && g->n_groups <= n / 4 / g->k && o->bits > 0;
  enum tr_status st = TR_OK;
  if (pays) TR_GOTO(st, candidates(ctx, o, g, n, &few, &m, err));
  const size_t bytes = (size_t)m * 4;
  TR_GOTO(st, tr_mem_alloc(bytes, &sorted, err));
  st = tr_order_rows(o, few ? (const uint32_t *)few->data : NULL, m, 0, sorted, err);
  if (st == TR_OK) st = pick(g, sorted, m, n_out, err);
  if (st == TR_OK) st = tr_buffer_new(*n_out * 4, rows, err);
  if (st == TR_OK && *n_out) memcpy((*rows)->data, sorted, (size_t)*n_out * 4);
  tr_mem_free(sorted, bytes);
done:
  tr_buffer_unref(few);
  return st;
}

enum tr_status tr_sort_top_of_groups(struct tr_ctx *ctx, const struct tr_sort_key *keys, int n_keys, int64_t n,
                                     bool na_first, const struct tr_sort_groups *groups, struct tr_buffer **rows,
                                     int64_t *n_out, struct tr_error *err) {
  struct tr_key_pieces pieces;
  *rows = NULL;
  *n_out = 0;
  if (n >= UINT32_MAX) return tr_fail_memory(err, (size_t)n * 8);
  if (groups->k <= 0 || n == 0) return tr_buffer_new(0, rows, err);
  TR_TRY(tr_key_pieces_make(ctx, keys, n_keys, n, na_first, &pieces, err));
  const struct tr_order order = {.ctx = ctx, .pieces = pieces.pieces, .n_pieces = pieces.n, .bits = pieces.bits};
  enum tr_status st = first_of_groups(ctx, &order, groups, n, rows, n_out, err);
  tr_key_pieces_drop(&pieces);
  return st;
}
