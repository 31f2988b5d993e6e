/* Row numbers of the set rows of a mask: counted per morsel, then written where the counts say. */
#include "base/mem.h"
#include "data/kern/take/take.h"

struct mask_job {
  const uint8_t *mask;
  int64_t grain;
  int64_t *starts; /* per morsel: its count, then its first place */
  uint32_t *rows;
};

static int64_t count_set(const uint8_t *mask, int64_t n) {
  int64_t total = 0;
  for (int64_t at = 0; at < n; at += 4096) {
    uint32_t part = 0;
    for (int64_t i = at; i < at + 4096 && i < n; i++) part += mask[i];
    total += part;
  }
  return total;
}

static enum tr_status count_range(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct mask_job *job = arg;
  (void)thread;
  (void)err;
  job->starts[begin / job->grain] = count_set(job->mask + begin, end - begin);
  return TR_OK;
}

static enum tr_status write_range(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct mask_job *job = arg;
  int64_t m = begin / job->grain, n = job->starts[m + 1] - job->starts[m];
  uint32_t *out = job->rows + job->starts[m];
  (void)thread;
  (void)err;
  if (n == end - begin) {
    for (int64_t i = 0; i < n; i++) out[i] = (uint32_t)(begin + i);
    return TR_OK;
  }
  /* Stops at the last set row: writing goes past no place that is this morsel's. */
  for (int64_t i = begin, k = 0; k < n; i++) {
    out[k] = (uint32_t)i;
    k += job->mask[i];
  }
  return TR_OK;
}

enum tr_status tr_mask_rows(struct tr_ctx *ctx, const uint8_t *mask, int64_t n, struct tr_buffer **rows,
                            int64_t *n_rows, struct tr_error *err) {
  *rows = NULL;
  *n_rows = 0;
  struct mask_job job = {.mask = mask, .grain = tr_grain(ctx)};
  int64_t n_morsels = n == 0 ? 0 : (n - 1) / job.grain + 1, total = 0;
  void *p;
  TR_TRY(tr_mem_alloc((size_t)(n_morsels + 1) * 8, &p, err));
  job.starts = p;
  enum tr_status st;
  TR_GOTO(st, tr_parallel_for(ctx, n, job.grain, count_range, &job, err));
  for (int64_t m = 0; m < n_morsels; m++) {
    int64_t count = job.starts[m];
    job.starts[m] = total;
    total += count;
  }
  job.starts[n_morsels] = total;
  TR_GOTO(st, tr_buffer_new(total * 4, rows, err));
  job.rows = (uint32_t *)(*rows)->data;
  TR_GOTO(st, tr_parallel_for(ctx, n, job.grain, write_range, &job, err));
  *n_rows = total;
done:
  tr_mem_free(p, (size_t)(n_morsels + 1) * 8);
  if (st != TR_OK) {
    tr_buffer_unref(*rows);
    *rows = NULL;
  }
  return st;
}
