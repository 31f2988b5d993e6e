/* Text to category as pandas' astype("category"): the categories are the distinct values that occur, ascending. */
#include "data/kern/expr/eval_int.h"
#include <stdlib.h>
#include <string.h>

struct used {
  const int32_t *codes;
  uint8_t *flags;
};

static enum tr_status mark_used(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread, (void)err;
  const struct used *u = arg;
  for (int64_t i = begin; i < end; i++) /* flags[-1] takes the missing; racing stores all store 1 */
    if (!__atomic_load_n(&u->flags[u->codes[i]], __ATOMIC_RELAXED))
      __atomic_store_n(&u->flags[u->codes[i]], 1, __ATOMIC_RELAXED);
  return TR_OK;
}

struct remap {
  const int32_t *from, *table;
  int32_t *to;
};

static enum tr_status remap_codes(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread, (void)err;
  const struct remap *r = arg;
  for (int64_t i = begin; i < end; i++) r->to[i] = r->table[r->from[i]];
  return TR_OK;
}

static int by_text(const void *a, const void *b, void *dict) {
  const struct tr_view *v = tr_array_views(dict);
  return tr_view_cmp(dict, &v[*(const int32_t *)a], dict, &v[*(const int32_t *)b]);
}

/* Dictionary of the used values in order, and table[old code] = new code (table[-1] = -1 is set by the caller). */
static enum tr_status sorted_dictionary(const struct tr_array *old, const uint8_t *flags, int32_t *order,
                                        int32_t *table, struct tr_array **out, struct tr_error *err) {
  int64_t n = 0;
  for (int64_t i = 0; i < old->length; i++)
    if (flags[i]) order[n++] = (int32_t)i;
  if (!old->dict_sorted) qsort_r(order, (size_t)n, 4, by_text, (void *)(uintptr_t)old);
  TR_TRY(tr_array_new(tr_dtype_of(TR_STR), n, out, err));
  TR_TRY(tr_array_share_heaps(*out, old, err));
  struct tr_view *to = tr_array_data(*out);
  for (int64_t i = 0; i < n; i++) {
    to[i] = tr_array_views(old)[order[i]];
    table[order[i]] = (int32_t)i;
  }
  (*out)->null_count = 0;
  return TR_OK;
}

static enum tr_status recode(struct tr_ctx *ctx, struct tr_array *x, struct tr_array **out, struct tr_error *err) {
  int64_t n = x->dict->length;
  size_t bytes = (size_t)n * 9 + 16;
  struct tr_array *dict = NULL;
  void *memory = NULL;
  enum tr_status st;
  TR_GOTO(st, tr_mem_calloc(bytes, &memory, err));
  int32_t *table = (int32_t *)memory + 1, *order = table + n;
  uint8_t *flags = (uint8_t *)(order + n) + 1;
  table[-1] = -1;
  struct used u = {.codes = tr_array_codes(x), .flags = flags};
  TR_GOTO(st, tr_parallel_for(ctx, x->length, tr_grain(ctx), mark_used, &u, err));
  TR_GOTO(st, sorted_dictionary(x->dict, flags, order, table, &dict, err));
  TR_GOTO(st, tr_array_new_dict(tr_dtype_of(TR_CATEGORY), x->length, dict, out, err));
  (*out)->dict_sorted = true;
  struct remap r = {.from = tr_array_codes(x), .table = table, .to = tr_array_data(*out)};
  st = tr_parallel_for(ctx, x->length, tr_grain(ctx), remap_codes, &r, err);
done:
  tr_array_unref(dict);
  tr_mem_free(memory, bytes);
  return st;
}

enum tr_status tr_whole_category(struct tr_ctx *ctx, struct tr_array *x, struct tr_array **out, struct tr_error *err) {
  struct tr_array *encoded = NULL;
  *out = NULL;
  enum tr_status st;
  if (x->enc == TR_DICT) encoded = tr_array_ref(x);
  else TR_GOTO(st, tr_array_encode(ctx, x, INT32_MAX, &encoded, err));
  if (!encoded) return tr_unsupported(err, "too many categories");
  st = recode(ctx, encoded, out, err);
done:
  tr_array_unref(encoded);
  if (st != TR_OK) {
    tr_array_unref(*out);
    *out = NULL;
  }
  return st;
}
