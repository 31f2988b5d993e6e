/* Pairs in the order of their keys. The key of a pair is the left row's, or the right row's where there is no left one.
 * Numbers are ordered as they were compared (part.c), so keys that count as equal tie; NaT and missing categories are,
 * as in pandas' merge, ordinary numbers that come first. */
#include "base/mem.h"
#include "data/kern/join/join_int.h"
#include "data/kern/sort/sort.h"

struct raw_job {
  const struct tr_parts *parts;
  const struct tr_part *side;
  uint64_t *out;
};

static enum tr_status raw_range(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  const struct raw_job *job = arg;
  (void)thread;
  (void)err;
  for (int64_t at = begin; at < end; at += TR_JOIN_BLOCK) {
    int64_t n = end - at < TR_JOIN_BLOCK ? end - at : TR_JOIN_BLOCK;
    tr_parts_encode(job->parts, job->side, 0, 1, at, n, job->out + at);
  }
  return TR_OK;
}

/* Order-preserving uint64 of the wanted sides, left before right. */
static enum tr_status number_column(struct tr_ctx *ctx, struct tr_array *l, struct tr_array *r, bool with_left,
                                    bool with_right, struct tr_array **out, struct tr_error *err) {
  struct tr_parts parts;
  TR_TRY(tr_parts_make(ctx, &l, l->length, &r, r->length, 1, &parts, err));
  /* Nothing is cut off, and subtracted only the bias that makes signed numbers ascend but uint64 not. */
  bool unsigned64 = tr_kind_common((enum tr_kind)l->dtype.kind, (enum tr_kind)r->dtype.kind) == TR_U64;
  parts.low[0] = unsigned64 ? 1ull << 63 : 0;
  parts.span[0] = UINT64_MAX;
  int64_t n_left = with_left ? l->length : 0, n_right = with_right ? r->length : 0;
  enum tr_status st;
  TR_GOTO(st, tr_array_new(tr_dtype_of(TR_U64), n_left + n_right, out, err));
  struct raw_job job = {&parts, parts.left, tr_array_data(*out)};
  TR_GOTO(st, tr_parallel_for(ctx, n_left, tr_grain(ctx), raw_range, &job, err));
  job.side = parts.right;
  job.out += n_left;
  st = tr_parallel_for(ctx, n_right, tr_grain(ctx), raw_range, &job, err);
done:
  tr_parts_drop(&parts);
  return st;
}

/* Codes of the left categories; right values that the left side lacks come behind. */
static enum tr_status category_column(struct tr_ctx *ctx, struct tr_array *l, struct tr_array *r, bool with_left,
                                      bool with_right, struct tr_array **out, struct tr_error *err) {
  int64_t n_left = with_left ? l->length : 0, n_right = with_right ? r->length : 0;
  void *p = NULL;
  enum tr_status st;
  TR_GOTO(st, tr_mem_alloc((size_t)r->dict->length * 4, &p, err));
  uint32_t *map = p;
  TR_GOTO(st, tr_join_map_codes(ctx, r->dict, l->dict, map, err));
  TR_GOTO(st, tr_array_new(tr_dtype_of(TR_I32), n_left + n_right, out, err));
  int32_t *o = tr_array_data(*out);
  memcpy(o, tr_array_codes(l), (size_t)n_left * 4);
  const int32_t *codes = tr_array_codes(r);
  for (int64_t i = 0; i < n_right; i++) {
    int32_t c = codes[i];
    o[n_left + i] = c < 0 ? -1 : map[c] == UINT32_MAX ? (int32_t)l->dict->length + c : (int32_t)map[c] - 1;
  }
done:
  tr_mem_free(p, (size_t)r->dict->length * 4);
  return st;
}

static enum tr_status order_column(struct tr_ctx *ctx, struct tr_array *l, struct tr_array *r, bool with_left,
                                   bool with_right, struct tr_array **out, struct tr_error *err) {
  if (l->dtype.kind == TR_CATEGORY) return category_column(ctx, l, r, with_left, with_right, out, err);
  if (l->dtype.kind != TR_STR) return number_column(ctx, l, r, with_left, with_right, out, err);
  struct tr_array *both[] = {l, r};
  return tr_array_concat(ctx, both + !with_left, with_left + with_right, out, err);
}

/* Row of the key columns for each pair. */
static enum tr_status key_rows(const struct tr_join_rows *pairs, int64_t n_left, bool with_left, bool with_right,
                               struct tr_buffer **out, struct tr_error *err) {
  if (!(with_left && with_right)) {
    *out = tr_buffer_ref(with_left ? pairs->left : pairs->right);
    return TR_OK;
  }
  TR_TRY(tr_buffer_new(pairs->n * 4, out, err));
  const uint32_t *left = (const uint32_t *)pairs->left->data, *right = (const uint32_t *)pairs->right->data;
  uint32_t *rows = (uint32_t *)(*out)->data;
  for (int64_t i = 0; i < pairs->n; i++) rows[i] = left[i] == TR_NO_ROW ? (uint32_t)(n_left + right[i]) : left[i];
  return TR_OK;
}

struct permute_job {
  const uint32_t *rows, *order;
  uint32_t *out;
};

static enum tr_status permute_range(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  const struct permute_job *job = arg;
  (void)thread;
  (void)err;
  for (int64_t i = begin; i < end; i++) job->out[i] = job->rows[job->order[i]];
  return TR_OK;
}

static enum tr_status permute(struct tr_ctx *ctx, struct tr_buffer **rows, struct tr_buffer *order, int64_t n,
                              struct tr_error *err) {
  if (!*rows) {
    *rows = tr_buffer_ref(order);
    return TR_OK;
  }
  struct tr_buffer *fresh;
  TR_TRY(tr_buffer_new(n * 4, &fresh, err));
  struct permute_job job = {(const uint32_t *)(*rows)->data, (const uint32_t *)order->data, (uint32_t *)fresh->data};
  enum tr_status st = tr_parallel_for(ctx, n, tr_grain(ctx), permute_range, &job, err);
  tr_buffer_unref(st == TR_OK ? *rows : fresh);
  if (st == TR_OK) *rows = fresh;
  return st;
}

enum tr_status tr_join_order(struct tr_ctx *ctx, struct tr_array *const *left, int64_t n_left,
                             struct tr_array *const *right, int64_t n_right, int n_keys, struct tr_join_rows *pairs,
                             struct tr_error *err) {
  bool with_left = !pairs->left_missing || pairs->right_missing, with_right = pairs->left_missing;
  struct tr_buffer *rows = NULL, *order = NULL;
  void *p = NULL;
  enum tr_status st;
  if (n_left + n_right >= UINT32_MAX) return tr_fail_memory(err, (size_t)(n_left + n_right) * 4);
  TR_GOTO(st, tr_mem_calloc((size_t)n_keys * sizeof(struct tr_sort_key), &p, err));
  struct tr_sort_key *keys = p;
  TR_GOTO(st, key_rows(pairs, n_left, with_left, with_right, &rows, err));
  for (int k = 0; k < n_keys; k++) {
    struct tr_array *column = NULL;
    st = order_column(ctx, left[k], right[k], with_left, with_right, &column, err);
    if (st == TR_OK && rows)
      st = tr_take(ctx, column, (const uint32_t *)rows->data, pairs->n, false, &keys[k].array, err);
    else if (st == TR_OK) keys[k].array = tr_array_ref(column);
    tr_array_unref(column);
    if (st != TR_OK) goto done;
  }
  TR_GOTO(st, tr_sort_rows(ctx, keys, n_keys, pairs->n, false, &order, err));
  TR_GOTO(st, permute(ctx, &pairs->left, order, pairs->n, err));
  st = permute(ctx, &pairs->right, order, pairs->n, err);
done:
  for (int k = 0; k < n_keys && p; k++) tr_array_unref(((struct tr_sort_key *)p)[k].array);
  tr_mem_free(p, (size_t)n_keys * sizeof(struct tr_sort_key));
  tr_buffer_unref(rows);
  tr_buffer_unref(order);
  return st;
}
