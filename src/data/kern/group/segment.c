/* Rows or values by group: a stable counting sort on group numbers, parallel over stretches of rows. */
#include "data/kern/group/agg_int.h"
#include "data/kern/group/number_int.h"

struct sorter {
  const uint32_t *ids;
  int64_t n, n_groups;
  int n_chunks;
  uint32_t *cursors; /* n_chunks x (n_groups + 1); the last slot counts dropped rows */
  uint32_t *rows;
  const struct tr_array *a;
  double *values;
};

static enum tr_status count_ids(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct sorter *s = arg;
  uint32_t last = (uint32_t)s->n_groups;
  for (int64_t chunk = begin; chunk < end; chunk++) {
    uint32_t *count = s->cursors + chunk * (s->n_groups + 1);
    int64_t lo, hi;
    tr_group_chunk(s->n, s->n_chunks, chunk, &lo, &hi);
    memset(count, 0, ((size_t)last + 1) * 4);
    for (int64_t i = lo; i < hi; i++) count[s->ids[i] < last ? s->ids[i] : last]++;
  }
  return TR_OK;
}

static enum tr_status scatter_rows(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct sorter *s = arg;
  uint32_t last = (uint32_t)s->n_groups;
  for (int64_t chunk = begin; chunk < end; chunk++) {
    uint32_t *cursor = s->cursors + chunk * (s->n_groups + 1);
    int64_t lo, hi;
    tr_group_chunk(s->n, s->n_chunks, chunk, &lo, &hi);
    if (s->rows) {
      for (int64_t i = lo; i < hi; i++) {
        if (s->ids[i] < last) s->rows[cursor[s->ids[i]]++] = (uint32_t)i;
      }
      continue;
    }
    double space[TR_GROUP_BLOCK];
    for (int64_t b = lo; b < hi; b += TR_GROUP_BLOCK) {
      int n = (int)(hi - b < TR_GROUP_BLOCK ? hi - b : TR_GROUP_BLOCK);
      const double *x = tr_block_f64(s->a, b, n, space);
      for (int i = 0; i < n; i++) {
        if (s->ids[b + i] < last) s->values[cursor[s->ids[b + i]]++] = x[i];
      }
    }
  }
  return TR_OK;
}

static enum tr_status copy_values(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct sorter *s = arg;
  for (int64_t b = begin; b < end; b += TR_GROUP_BLOCK) {
    int n = (int)(end - b < TR_GROUP_BLOCK ? end - b : TR_GROUP_BLOCK);
    double space[TR_GROUP_BLOCK];
    memcpy(s->values + b, tr_block_f64(s->a, b, n, space), (size_t)n * 8);
  }
  return TR_OK;
}

/* Counts; fills start (when not NULL) and leaves in the cursors where each stretch's rows of each group begin. */
static enum tr_status prepare(struct tr_ctx *ctx, const struct tr_groups *g, struct sorter *s, int64_t *start,
                              struct tr_error *err) {
  s->ids = tr_groups_ids(g);
  s->n = g->n_rows;
  s->n_groups = g->n_groups;
  s->n_chunks = tr_group_n_chunks(ctx, s->n, (uint64_t)g->n_groups + 1);
  TR_TRY(tr_mem_alloc((size_t)s->n_chunks * ((size_t)s->n_groups + 1) * 4, (void **)&s->cursors, err));
  TR_TRY(tr_parallel_for(ctx, s->n_chunks, 1, count_ids, s, err));
  uint32_t at = 0;
  for (int64_t k = 0; k <= s->n_groups; k++) {
    if (start) start[k] = at;
    for (int chunk = 0; chunk < s->n_chunks; chunk++) {
      uint32_t *cell = &s->cursors[(size_t)chunk * ((size_t)s->n_groups + 1) + (size_t)k], here = *cell;
      *cell = at;
      at += here;
    }
  }
  return TR_OK;
}

static void sorter_drop(struct sorter *s) {
  tr_mem_free(s->cursors, (size_t)s->n_chunks * ((size_t)s->n_groups + 1) * 4);
}

enum tr_status tr_segments_make(struct tr_ctx *ctx, const struct tr_groups *g, bool want_rows, struct tr_segments *out,
                                struct tr_error *err) {
  *out = (struct tr_segments){.n_groups = g->n_groups};
  TR_TRY(tr_mem_alloc(((size_t)g->n_groups + 1) * 8, (void **)&out->start, err));
  if (!g->ids) {
    out->start[0] = 0;
    out->start[1] = out->n_rows = g->n_rows;
    return TR_OK;
  }
  struct sorter s = {0};
  enum tr_status st;
  TR_GOTO(st, prepare(ctx, g, &s, out->start, err));
  out->n_rows = out->start[g->n_groups];
  if (want_rows) {
    out->rows_capacity = out->n_rows;
    TR_GOTO(st, tr_mem_alloc((size_t)out->n_rows * 4, (void **)&out->rows, err));
    s.rows = out->rows;
    st = tr_parallel_for(ctx, s.n_chunks, 1, scatter_rows, &s, err);
  }
done:
  sorter_drop(&s);
  if (st != TR_OK) tr_segments_drop(out);
  return st;
}

void tr_segments_drop(struct tr_segments *s) {
  tr_mem_free(s->start, ((size_t)s->n_groups + 1) * 8);
  tr_mem_free(s->rows, (size_t)s->rows_capacity * 4);
  memset(s, 0, sizeof *s);
}

enum tr_status tr_segments_values(struct tr_ctx *ctx, const struct tr_groups *g, int64_t *start,
                                  const struct tr_array *a, double *values, struct tr_error *err) {
  struct sorter s = {.a = a, .values = values};
  if (!g->ids) {
    start[0] = 0;
    start[1] = g->n_rows;
    return tr_parallel_for(ctx, g->n_rows, tr_grain(ctx), copy_values, &s, err);
  }
  enum tr_status st;
  TR_GOTO(st, prepare(ctx, g, &s, start, err));
  st = tr_parallel_for(ctx, s.n_chunks, 1, scatter_rows, &s, err);
done:
  sorter_drop(&s);
  return st;
}
