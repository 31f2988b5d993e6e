/* Dictionary encoding of text and its undoing. Encoding numbers fixed chunks of rows independently and in parallel,
 * then merges the chunks' texts in chunk order, which is order of first appearance whatever the number of threads. */
#include "base/mem.h"
#include "data/col/text_table_int.h"

struct decode_job {
  const int32_t *codes;
  const struct tr_view *dict;
  struct tr_view *out;
};

static enum tr_status decode_range(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  const struct decode_job *job = arg;
  (void)thread;
  (void)err;
  const struct tr_view none = tr_view_null();
  for (int64_t i = begin; i < end; i++) job->out[i] = job->codes[i] < 0 ? none : job->dict[job->codes[i]];
  return TR_OK;
}

enum tr_status tr_array_decode(struct tr_ctx *ctx, struct tr_array *a, struct tr_array **out, struct tr_error *err) {
  *out = NULL;
  if (a->enc == TR_PLAIN) {
    *out = tr_array_ref(a);
    return TR_OK;
  }
  if (a->dict->dtype.kind != TR_STR)
    return tr_unsupported(err, "decoding categories of dtype %s", tr_dtype_name(a->dict->dtype));
  struct tr_array *plain;
  TR_TRY(tr_array_new(a->dict->dtype, a->length, &plain, err));
  enum tr_status st = tr_array_share_heaps(plain, a->dict, err);
  if (st == TR_OK) {
    struct decode_job job = {tr_array_codes(a), tr_array_views(a->dict), tr_array_data(plain)};
    st = tr_parallel_for(ctx, a->length, tr_grain(ctx), decode_range, &job, err);
  }
  if (st != TR_OK) {
    tr_array_unref(plain);
    return st;
  }
  plain->null_count = a->null_count;
  *out = plain;
  return TR_OK;
}

enum { MAX_CHUNKS = 64, MIN_CHUNK = 1 << 14 };

struct chunk {
  struct tr_text_table table;
  int32_t *merged; /* number in the merged dictionary of each text of the chunk */
};

struct encode_job {
  struct tr_ctx *ctx;
  struct tr_array *a;
  int64_t chunk_rows, max_distinct;
  int n_chunks;
  struct chunk chunks[MAX_CHUNKS];
  int32_t *codes;
  _Atomic bool too_many;
};

static enum tr_status number_chunks(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct encode_job *job = arg;
  (void)thread;
  for (int64_t c = begin; c < end && !atomic_load(&job->too_many); c++) {
    int64_t from = c * job->chunk_rows, to = from + job->chunk_rows;
    if (to > job->a->length) to = job->a->length;
    struct tr_text_table *t = &job->chunks[c].table;
    TR_TRY(tr_text_table_init(t, job->a, 256, err));
    TR_TRY(tr_text_table_add(job->ctx, t, from, to, job->max_distinct, job->codes + from, err));
    if (t->n > job->max_distinct) atomic_store(&job->too_many, true);
  }
  return TR_OK;
}

static enum tr_status renumber_chunks(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct encode_job *job = arg;
  (void)thread;
  (void)err;
  for (int64_t c = begin; c < end; c++) {
    int64_t from = c * job->chunk_rows, to = from + job->chunk_rows;
    if (to > job->a->length) to = job->a->length;
    const int32_t *merged = job->chunks[c].merged;
    for (int64_t i = from; i < to; i++) job->codes[i] = job->codes[i] < 0 ? -1 : merged[job->codes[i]];
  }
  return TR_OK;
}

/* Gives the distinct texts of all chunks, in order of first appearance; NULL when there are too many. */
static enum tr_status merge_chunks(struct encode_job *job, struct tr_array **out, struct tr_error *err) {
  struct tr_array *firsts[MAX_CHUNKS] = {0};
  int32_t *codes = NULL;
  int64_t total = 0;
  enum tr_status st = TR_OK;
  for (int c = 0; c < job->n_chunks; c++) {
    struct tr_text_table *t = &job->chunks[c].table;
    TR_GOTO(st, tr_text_pick(job->a, t->rows, t->n, &firsts[c], err));
    total += t->n;
  }
  TR_GOTO(st, tr_dict_merge(job->ctx, firsts, job->n_chunks, out, &codes, err));
  int64_t at = 0;
  for (int c = 0; c < job->n_chunks; c++) {
    struct tr_text_table *t = &job->chunks[c].table;
    void *p;
    TR_GOTO(st, tr_mem_alloc((size_t)t->n * 4, &p, err));
    memcpy(p, codes + at, (size_t)t->n * 4);
    job->chunks[c].merged = p;
    at += t->n;
  }
done:
  if (codes) tr_mem_free(codes, (size_t)total * 4);
  for (int c = 0; c < job->n_chunks; c++) tr_array_unref(firsts[c]);
  return st;
}

enum tr_status tr_array_encode(struct tr_ctx *ctx, struct tr_array *a, int64_t max_distinct, struct tr_array **out,
                               struct tr_error *err) {
  *out = NULL;
  if (a->enc == TR_DICT) {
    *out = tr_array_ref(a);
    return TR_OK;
  }
  if (max_distinct > INT32_MAX - 1) max_distinct = INT32_MAX - 1;
  struct encode_job job = {.ctx = ctx, .a = a, .max_distinct = max_distinct};
  struct tr_array *codes = NULL, *dict = NULL;
  job.chunk_rows = (a->length + MAX_CHUNKS - 1) / MAX_CHUNKS;
  if (job.chunk_rows < MIN_CHUNK) job.chunk_rows = MIN_CHUNK;
  job.n_chunks = a->length == 0 ? 1 : (int)((a->length + job.chunk_rows - 1) / job.chunk_rows);
  enum tr_status st;
  TR_GOTO(st, tr_array_new_dict(a->dtype, a->length, NULL, &codes, err));
  job.codes = tr_array_data(codes);
  TR_GOTO(st, tr_parallel_for(ctx, job.n_chunks, 1, number_chunks, &job, err));
  if (job.too_many) goto done;
  TR_GOTO(st, merge_chunks(&job, &dict, err));
  if (dict->length > max_distinct) goto done;
  TR_GOTO(st, tr_parallel_for(ctx, job.n_chunks, 1, renumber_chunks, &job, err));
  codes->dict = dict;
  codes->null_count = a->null_count;
  *out = codes;
  codes = dict = NULL;
done:
  for (int c = 0; c < job.n_chunks; c++) {
    if (job.chunks[c].merged) tr_mem_free(job.chunks[c].merged, (size_t)job.chunks[c].table.n * 4);
    tr_text_table_drop(&job.chunks[c].table);
  }
  tr_array_unref(dict);
  tr_array_unref(codes);
  return st;
}
