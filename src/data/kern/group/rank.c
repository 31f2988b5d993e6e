/* rank, of a whole column or within groups.
 *
 * Values become order-preserving codes (missing ones first, last, or out). Within groups, rows are brought together by
 * group and each group is sorted; a whole column is first cut by the top bits of its codes into buckets, which are
 * sorted alike and in parallel, their ranks counted on from the bucket's beginning. Sorting is stable, which gives
 * method="first".
 */
#include "data/kern/group/agg_int.h"
#include "data/kern/group/number_int.h"

enum { BUCKETS = 1 << 11, MERGE_MAX = 512, RUN = 12 };

struct entry {
  uint64_t code;
  uint32_t row;
};

struct ranker {
  const struct tr_window_spec *spec;
  struct tr_group_codes codes;
  uint64_t span, missing_code, shift; /* code of a value is c + shift or span - c + shift */
  const int64_t *text;                /* text as places */
  uint64_t *keys;                     /* by row; TR_GROUP_DROP = no rank */
  int bucket_shift;
  uint32_t *bucket_ids;
  struct tr_segments seg;
  double *out;
  int64_t *distinct; /* by bucket */
  bool whole;
};

static enum tr_status code_rows(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct ranker *r = arg;
  for (int64_t b = begin; b < end; b += TR_GROUP_BLOCK) {
    int n = (int)(end - b < TR_GROUP_BLOCK ? end - b : TR_GROUP_BLOCK);
    uint64_t *keys = r->keys + b;
    if (r->text) {
      for (int i = 0; i < n; i++) keys[i] = r->text[b + i] == TR_NAT ? TR_GROUP_DROP : (uint64_t)r->text[b + i];
    } else {
      tr_group_codes_block(&r->codes, b, n, keys);
    }
    bool can_miss = r->codes.drop;
    for (int i = 0; i < n; i++) {
      if (can_miss && keys[i] == TR_GROUP_DROP) keys[i] = r->missing_code;
      else keys[i] = (r->spec->descending ? r->span - keys[i] : keys[i]) + r->shift;
    }
    if (!r->bucket_ids) continue;
    for (int i = 0; i < n; i++) {
      r->bucket_ids[b + i] =
          keys[i] == TR_GROUP_DROP && can_miss ? TR_NO_GROUP : (uint32_t)(keys[i] >> r->bucket_shift);
    }
  }
  return TR_OK;
}

static void insertion(struct entry *e, int64_t n) {
  for (int64_t i = 1; i < n; i++) {
    struct entry x = e[i];
    int64_t j = i;
    for (; j > 0 && e[j - 1].code > x.code; j--) e[j] = e[j - 1];
    e[j] = x;
  }
}

/* Stable merge sort; space holds n entries. */
static void merge_sort(struct entry *e, int64_t n, struct entry *space) {
  for (int64_t i = 0; i < n; i += RUN) insertion(e + i, n - i < RUN ? n - i : RUN);
  struct entry *from = e, *to = space;
  for (int64_t width = RUN; width < n; width *= 2) {
    for (int64_t lo = 0; lo < n; lo += 2 * width) {
      int64_t mid = lo + width < n ? lo + width : n, hi = lo + 2 * width < n ? lo + 2 * width : n, a = lo, b = mid;
      for (int64_t k = lo; k < hi; k++)
        to[k] = b >= hi || (a < mid && from[a].code <= from[b].code) ? from[a++] : from[b++];
    }
    struct entry *t = from;
    from = to;
    to = t;
  }
  if (from != e) memcpy(e, from, (size_t)n * sizeof *e);
}

/* LSD radix on bytes that differ. */
static void radix_sort(struct entry *e, int64_t n, struct entry *space) {
  uint64_t differ = 0;
  for (int64_t i = 1; i < n; i++) differ |= e[i].code ^ e[0].code;
  struct entry *from = e, *to = space;
  for (int shift = 0; shift < 64; shift += 8) {
    if (!(differ >> shift & 255)) continue;
    int64_t at[256] = {0}, total = 0;
    for (int64_t i = 0; i < n; i++) at[from[i].code >> shift & 255]++;
    for (int d = 0; d < 256; d++) {
      int64_t here = at[d];
      at[d] = total;
      total += here;
    }
    for (int64_t i = 0; i < n; i++) to[at[from[i].code >> shift & 255]++] = from[i];
    struct entry *t = from;
    from = to;
    to = t;
  }
  if (from != e) memcpy(e, from, (size_t)n * sizeof *e);
}

/* Ranks of sorted entries, counted on from `base` values and `dense` distinct ones; gives the number of distinct. */
static int64_t assign(const struct ranker *r, const struct entry *e, int64_t n, int64_t base, int64_t dense) {
  int64_t distinct = 0;
  for (int64_t i = 0, j; i < n; i = j) {
    for (j = i + 1; j < n && e[j].code == e[i].code; j++) {}
    distinct++;
    double lo = (double)(base + i + 1), hi = (double)(base + j), rank;
    switch (r->spec->fn) {
    case TR_WIN_RANK_MIN: rank = lo; break;
    case TR_WIN_RANK_MAX: rank = hi; break;
    case TR_WIN_RANK_DENSE: rank = (double)(dense + distinct); break;
    default: rank = (lo + hi) / 2;
    }
    for (int64_t k = i; k < j; k++) r->out[e[k].row] = r->spec->fn == TR_WIN_RANK_FIRST ? (double)(base + k + 1) : rank;
  }
  return distinct;
}

static enum tr_status rank_segments(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  struct ranker *r = arg;
  int64_t most = 0;
  for (int64_t g = begin; g < end; g++)
    most = r->seg.start[g + 1] - r->seg.start[g] > most ? r->seg.start[g + 1] - r->seg.start[g] : most;
  struct entry *e;
  size_t bytes = (size_t)most * 2 * sizeof *e;
  TR_TRY(tr_mem_alloc(bytes, (void **)&e, err));
  for (int64_t g = begin; g < end; g++) {
    int64_t n = 0, lo = r->seg.start[g], hi = r->seg.start[g + 1];
    for (int64_t i = lo; i < hi; i++) {
      uint32_t row = r->seg.rows ? r->seg.rows[i] : (uint32_t)i;
      if (r->codes.drop && r->keys[row] == TR_GROUP_DROP) r->out[row] = __builtin_nan("");
      else e[n++] = (struct entry){r->keys[row], row};
    }
    if (n <= RUN) insertion(e, n);
    else if (n <= MERGE_MAX) merge_sort(e, n, e + most);
    else radix_sort(e, n, e + most);
    int64_t distinct = assign(r, e, n, r->whole ? lo : 0, 0);
    if (r->distinct) r->distinct[g] = distinct;
    if (!r->spec->pct || r->whole) continue;
    double all = r->spec->fn == TR_WIN_RANK_DENSE ? (double)distinct : (double)n;
    for (int64_t i = 0; i < n; i++) r->out[e[i].row] /= all;
  }
  tr_mem_free(e, bytes);
  return TR_OK;
}

/* Whole column: dense ranks go on from bucket to bucket; percentages of all. */
static void settle_whole(struct ranker *r, int64_t n) {
  bool dense = r->spec->fn == TR_WIN_RANK_DENSE;
  int64_t distinct = 0;
  for (int64_t g = 0; g < r->seg.n_groups && dense; g++) {
    for (int64_t i = r->seg.start[g]; i < r->seg.start[g + 1]; i++)
      r->out[r->seg.rows ? r->seg.rows[i] : (uint32_t)i] += (double)distinct;
    distinct += r->distinct[g];
  }
  if (!r->spec->pct) return;
  double all = dense ? (double)distinct : (double)r->seg.n_rows;
  for (int64_t i = 0; i < n; i++) r->out[i] /= all;
}

static enum tr_status prepare(struct tr_ctx *ctx, struct ranker *r, struct tr_group_key *key, int64_t *text, int64_t n,
                              struct tr_error *err) {
  struct tr_array *a = r->spec->input;
  bool by_value = a->dtype.kind == TR_CATEGORY && !a->dtype.ordered;
  if (text) {
    TR_TRY(tr_agg_text_codes(ctx, a, text, err));
    r->text = text;
    *key = (struct tr_group_key){.form = TR_FORM_I64, .data = text, .array = a};
    for (int64_t i = 0; i < n; i++) {
      key->has_missing |= text[i] == TR_NAT;
      if (text[i] != TR_NAT && (uint64_t)text[i] > key->span) key->span = (uint64_t)text[i];
    }
  } else {
    TR_TRY(tr_group_key_init(ctx, a, n, true, key, err));
    if (by_value) { /* unordered categories rank by their values */
      key->form = TR_FORM_RANK;
      key->rank_bytes = a->dict->length * 4;
      TR_TRY(tr_mem_alloc((size_t)key->rank_bytes, (void **)&key->rank, err));
      TR_TRY(tr_group_rank_values(ctx, a->dict, key->rank, err));
    }
  }
  r->codes = (struct tr_group_codes){.keys = key, .n_keys = 1, .n = n, .drop = key->has_missing};
  r->span = key->span;
  r->shift = key->has_missing;
  r->missing_code = r->spec->na_option == 0 ? TR_GROUP_DROP : r->spec->na_option == 1 ? 0 : key->span + 2;
  uint64_t top = key->span + (key->has_missing ? 2 : 0);
  while (top >> r->bucket_shift >= BUCKETS) r->bucket_shift++;
  return TR_OK;
}

enum tr_status tr_window_rank(struct tr_ctx *ctx, const struct tr_groups *g, int64_t n,
                              const struct tr_window_spec *spec, struct tr_array **out, struct tr_error *err) {
  struct ranker r = {.spec = spec, .whole = !g};
  struct tr_group_key key = {0};
  struct tr_groups buckets = {.n_rows = n, .n_groups = BUCKETS};
  int64_t *text = NULL;
  size_t text_bytes = spec->input->dtype.kind == TR_STR ? (size_t)n * 8 : 0;
  enum tr_status st;
  *out = NULL;
  TR_GOTO(st, tr_array_new(tr_dtype_of(TR_F64), n, out, err));
  r.out = (double *)(*out)->data->data;
  for (int64_t i = 0; i < n; i++) r.out[i] = __builtin_nan("");
  if (text_bytes) TR_GOTO(st, tr_mem_alloc(text_bytes, (void **)&text, err));
  TR_GOTO(st, prepare(ctx, &r, &key, text, n, err));
  TR_GOTO(st, tr_mem_alloc((size_t)n * 8, (void **)&r.keys, err));
  if (!g) {
    TR_GOTO(st, tr_buffer_new(n * 4, &buckets.ids, err));
    r.bucket_ids = (uint32_t *)buckets.ids->data;
    TR_GOTO(st, tr_mem_calloc(BUCKETS * 8, (void **)&r.distinct, err));
  }
  TR_GOTO(st, tr_parallel_for(ctx, n, tr_grain(ctx), code_rows, &r, err));
  TR_GOTO(st, tr_segments_make(ctx, g ? g : &buckets, true, &r.seg, err));
  int64_t grain = r.seg.n_groups / (ctx->threads * 32) + 1;
  TR_GOTO(st, tr_parallel_for(ctx, r.seg.n_groups, grain < 2048 ? grain : 2048, rank_segments, &r, err));
  if (!g) settle_whole(&r, n);
  (*out)->null_count = -1;
done:
  tr_group_key_drop(&key);
  tr_segments_drop(&r.seg);
  tr_mem_free(text, text_bytes);
  tr_mem_free(r.keys, (size_t)n * 8);
  tr_mem_free(r.distinct, BUCKETS * 8);
  tr_buffer_unref(buckets.ids);
  if (st != TR_OK) {
    tr_array_unref(*out);
    *out = NULL;
  }
  return st;
}
