/* From key columns to parts: the common number type of a pair, codes of the right side's dictionary for texts and
 * categories, ranges of the right side, and folding where keys are too wide together. */
#include "base/mem.h"
#include "data/kern/join/join_int.h"

static enum tr_status own(struct tr_parts *p, int64_t bytes, void **out, struct tr_error *err) {
  TR_TRY(tr_mem_alloc((size_t)bytes, out, err));
  p->owned[p->n_owned] = *out;
  p->owned_bytes[p->n_owned++] = bytes;
  return TR_OK;
}

static void own_array(struct tr_parts *p, struct tr_array *a) {
  p->arrays[p->n_owned] = a;
  p->owned[p->n_owned++] = NULL;
}

struct scan_job {
  const struct tr_part *p;
  uint64_t low[TR_MAX_THREADS], high[TR_MAX_THREADS];
};

static enum tr_status scan_range(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct scan_job *job = arg;
  (void)err;
  tr_part_scan(job->p, begin, end, &job->low[thread], &job->high[thread]);
  return TR_OK;
}

/* Range of right key k; an empty right side has range 0 .. 0. */
static enum tr_status scan(struct tr_ctx *ctx, struct tr_parts *p, int k, int64_t n, struct tr_error *err) {
  struct scan_job job = {.p = &p->right[k]};
  for (int t = 0; t < TR_MAX_THREADS; t++) job.low[t] = UINT64_MAX;
  TR_TRY(tr_parallel_for(ctx, n, tr_grain(ctx), scan_range, &job, err));
  uint64_t low = UINT64_MAX, high = 0;
  for (int t = 0; t < TR_MAX_THREADS; t++) {
    low = job.low[t] < low ? job.low[t] : low;
    high = job.high[t] > high ? job.high[t] : high;
  }
  p->low[k] = low <= high ? low : 0;
  p->span[k] = low <= high ? high - low : 0;
  return TR_OK;
}

static enum tr_part_form number_form(int kind, bool as_float) {
  static const enum tr_part_form ints[TR_N_KINDS] = {
      [TR_BOOL] = TR_PART_U8, [TR_I8] = TR_PART_I8,        [TR_I16] = TR_PART_I16,      [TR_I32] = TR_PART_I32,
      [TR_I64] = TR_PART_I64, [TR_U8] = TR_PART_U8,        [TR_U16] = TR_PART_U16,      [TR_U32] = TR_PART_U32,
      [TR_U64] = TR_PART_U64, [TR_DATETIME] = TR_PART_I64, [TR_TIMEDELTA] = TR_PART_I64};
  if (kind == TR_F32) return TR_PART_F_F32;
  if (kind == TR_F64) return TR_PART_F_F64;
  return (enum tr_part_form)(ints[kind] + (as_float ? TR_PART_F_U8 - TR_PART_U8 : 0));
}

static void add_numbers(struct tr_parts *p, int k, const struct tr_array *l, const struct tr_array *r) {
  enum tr_kind common = tr_kind_common((enum tr_kind)l->dtype.kind, (enum tr_kind)r->dtype.kind);
  bool as_float = tr_kind_is_float(common);
  p->left[k] = (struct tr_part){.form = number_form(l->dtype.kind, as_float), .src = tr_array_data(l)};
  p->right[k] = (struct tr_part){.form = number_form(r->dtype.kind, as_float), .src = tr_array_data(r)};
}

/* The table is made over the smaller dictionary, and turned round if that is the left one. */
enum tr_status tr_join_map_codes(struct tr_ctx *ctx, struct tr_array *left, struct tr_array *right, uint32_t *map,
                                 struct tr_error *err) {
  if (left->dtype.kind != TR_STR) {
    struct tr_buffer *rows;
    bool missing;
    TR_TRY(tr_join_lookup(ctx, &left, left->length, &right, right->length, 1, &rows, &missing, err));
    for (int64_t i = 0; i < left->length; i++) {
      uint32_t row = ((const uint32_t *)rows->data)[i];
      map[i] = row == TR_NO_ROW ? UINT32_MAX : row + 1;
    }
    tr_buffer_unref(rows);
    return TR_OK;
  }
  if (left->length >= right->length) { /* table over the right one, found for the left one */
    TR_TRY(tr_dict_find(ctx, right, left, (int32_t *)map, err));
    for (int64_t i = 0; i < left->length; i++) map[i] = map[i] == UINT32_MAX ? UINT32_MAX : map[i] + 1;
    return TR_OK;
  }
  void *p;
  TR_TRY(tr_mem_alloc((size_t)right->length * 4, &p, err));
  const int32_t *found = p;
  enum tr_status st = tr_dict_find(ctx, left, right, p, err);
  memset(map, 0xff, (size_t)left->length * 4);
  for (int64_t i = 0; i < right->length && st == TR_OK; i++)
    if (found[i] >= 0) map[found[i]] = (uint32_t)i + 1;
  tr_mem_free(p, (size_t)right->length * 4);
  return st;
}

struct fix_job {
  const struct tr_view *views;
  uint32_t *found;
};

static enum tr_status fix_range(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  const struct fix_job *job = arg;
  (void)thread;
  (void)err;
  for (int64_t i = begin; i < end; i++)
    job->found[i] = job->views[i].size < 0 ? 0 : job->found[i] == UINT32_MAX ? UINT32_MAX : job->found[i] + 1;
  return TR_OK;
}

static enum tr_status add_texts(struct tr_ctx *ctx, struct tr_parts *p, int k, struct tr_array *l, struct tr_array *r,
                                struct tr_error *err) {
  if (r->enc != TR_DICT) {
    struct tr_array *encoded;
    TR_TRY(tr_array_encode(ctx, r, r->length, &encoded, err));
    own_array(p, encoded);
    r = encoded;
  }
  p->right[k] = (struct tr_part){.form = TR_PART_CODE, .src = tr_array_data(r)};
  p->low[k] = 0;
  p->span[k] = (uint64_t)r->dict->length;
  p->left[k] = (struct tr_part){.form = TR_PART_CODE, .src = tr_array_data(l)};
  if (l->enc == TR_DICT && l->dict == r->dict) return TR_OK;
  void *map;
  if (l->enc == TR_DICT) {
    TR_TRY(own(p, l->dict->length * 4, &map, err));
    p->left[k].form = TR_PART_MAPPED;
    p->left[k].map = map;
    return tr_join_map_codes(ctx, l->dict, r->dict, map, err);
  }
  TR_TRY(own(p, l->length * 4, &map, err));
  TR_TRY(tr_dict_find(ctx, r->dict, l, map, err));
  struct fix_job job = {tr_array_views(l), map};
  p->left[k] = (struct tr_part){.form = TR_PART_ROW, .src = map};
  return tr_parallel_for(ctx, l->length, tr_grain(ctx), fix_range, &job, err);
}

/* How many of the first keys fit in 64 bits together, and how many numbers they make (0 = all 2^64). */
static int fitting(const struct tr_parts *p, uint64_t *domain) {
  const unsigned __int128 all = (unsigned __int128)1 << 64;
  unsigned __int128 d = 1;
  int to = 0;
  for (; to < p->n && d < all; to++) {
    unsigned __int128 next = d * ((unsigned __int128)p->span[to] + 2);
    if (next > all && to > 0) break;
    d = next > all ? all : next;
  }
  *domain = (uint64_t)d;
  return to;
}

/* Replaces keys [from, to), which fit together, by one: the first right row with equal values. */
static enum tr_status fold(struct tr_ctx *ctx, struct tr_parts *p, int64_t n_left, int64_t n_right, int from, int to,
                           uint64_t domain, struct tr_error *err) {
  struct tr_join_table t;
  void *l, *r;
  TR_TRY(own(p, n_left * 4, &l, err));
  TR_TRY(own(p, n_right * 4, &r, err));
  TR_TRY(tr_join_table_make(ctx, p, from, to, domain, n_right, &t, err));
  enum tr_status st = tr_join_table_find_all(ctx, &t, p->right, n_right, r, err);
  if (st == TR_OK) st = tr_join_table_find_all(ctx, &t, p->left, n_left, l, err);
  tr_join_table_drop(&t);
  TR_TRY(st);
  p->left[from] = (struct tr_part){.form = TR_PART_ROW, .src = l};
  p->right[from] = (struct tr_part){.form = TR_PART_ROW, .src = r};
  p->low[from] = 0;
  p->span[from] = (uint64_t)(n_right > 0 ? n_right - 1 : 0);
  for (int k = to; k < p->n; k++) {
    p->left[k - to + from + 1] = p->left[k];
    p->right[k - to + from + 1] = p->right[k];
    p->low[k - to + from + 1] = p->low[k];
    p->span[k - to + from + 1] = p->span[k];
  }
  p->n -= to - from - 1;
  return TR_OK;
}

/* Folds until all keys fit together: first every key too wide to fit beside a row number, then the first keys. */
static enum tr_status fold_to_fit(struct tr_ctx *ctx, struct tr_parts *p, int64_t n_left, int64_t n_right,
                                  struct tr_error *err) {
  for (;;) {
    int to = fitting(p, &p->domain), wide = 0;
    if (to == p->n) return TR_OK;
    while (wide < p->n && p->span[wide] <= UINT32_MAX - 2) wide++;
    if (wide < p->n) {
      uint64_t domain = p->span[wide] >= UINT64_MAX - 1 ? 0 : p->span[wide] + 2;
      TR_TRY(fold(ctx, p, n_left, n_right, wide, wide + 1, domain, err));
    } else {
      TR_TRY(fold(ctx, p, n_left, n_right, 0, to, p->domain, err));
    }
  }
}

static enum tr_status add_key(struct tr_ctx *ctx, struct tr_parts *p, int k, struct tr_array *l, struct tr_array *r,
                              struct tr_error *err) {
  bool texts = l->dtype.kind == TR_STR || l->dtype.kind == TR_CATEGORY;
  bool same = l->dtype.kind == r->dtype.kind;
  bool numbers = (tr_kind_is_number(l->dtype.kind) || l->dtype.kind == TR_BOOL) &&
                 (tr_kind_is_number(r->dtype.kind) || r->dtype.kind == TR_BOOL);
  if (!same && !numbers)
    return tr_unsupported(err, "joining %s with %s", tr_dtype_name(l->dtype), tr_dtype_name(r->dtype));
  if (same && l->dtype.kind == TR_CATEGORY && l->dict->dtype.kind != r->dict->dtype.kind)
    return tr_unsupported(err, "joining categories of different kinds");
  if (texts) return add_texts(ctx, p, k, l, r, err);
  add_numbers(p, k, l, r);
  return scan(ctx, p, k, r->length, err);
}

enum tr_status tr_parts_make(struct tr_ctx *ctx, struct tr_array *const *left, int64_t n_left,
                             struct tr_array *const *right, int64_t n_right, int n_keys, struct tr_parts *out,
                             struct tr_error *err) {
  memset(out, 0, sizeof *out);
  out->n = n_keys;
  out->capacity = n_keys * 6; /* a key owns two things, its fold two more, a fold of several the same */
  const size_t sizes[] = {sizeof *out->left, sizeof *out->right, 8, 8, sizeof *out->owned, 8, sizeof *out->arrays};
  void *p[7] = {0};
  enum tr_status st = TR_OK;
  for (int i = 0; i < 7 && st == TR_OK; i++) st = tr_mem_calloc(sizes[i] * (size_t)out->capacity, &p[i], err);
  out->left = p[0];
  out->right = p[1];
  out->low = p[2];
  out->span = p[3];
  out->owned = p[4];
  out->owned_bytes = p[5];
  out->arrays = p[6];
  for (int k = 0; k < n_keys && st == TR_OK; k++) st = add_key(ctx, out, k, left[k], right[k], err);
  if (st == TR_OK) st = fold_to_fit(ctx, out, n_left, n_right, err);
  if (st != TR_OK) tr_parts_drop(out);
  return st;
}

void tr_parts_drop(struct tr_parts *p) {
  for (int i = 0; i < p->n_owned; i++) {
    tr_mem_free(p->owned[i], (size_t)p->owned_bytes[i]);
    tr_array_unref(p->arrays[i]);
  }
  const size_t n = (size_t)p->capacity;
  tr_mem_free(p->left, n * sizeof *p->left);
  tr_mem_free(p->right, n * sizeof *p->right);
  tr_mem_free(p->low, n * 8);
  tr_mem_free(p->span, n * 8);
  tr_mem_free(p->owned, n * sizeof *p->owned);
  tr_mem_free(p->owned_bytes, n * 8);
  tr_mem_free(p->arrays, n * sizeof *p->arrays);
  memset(p, 0, sizeof *p);
}
