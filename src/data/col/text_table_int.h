/* Hash table of the distinct texts of one array: a slot is the upper half of the hash and the number of the distinct
 * value plus one, so that a probe touches the text only when 32 bits of hash agree. Grows by doubling; half full at
 * most. */
#pragma once
#include "base/hash.h"
#include "data/col/col.h"

struct tr_text_table {
  const struct tr_array *array; /* borrowed: views and heaps of the values */
  uint64_t *slots;              /* (hash >> 32) << 32 | number + 1; 0 = empty */
  int64_t n_slots;              /* a power of two */
  uint32_t *rows;               /* row in `array` of each distinct value, in order of insertion */
  int64_t n, rows_capacity;
};

TR_MUST_USE enum tr_status tr_text_table_init(struct tr_text_table *t, const struct tr_array *array, int64_t expected,
                                              struct tr_error *err);
/* Numbers rows [begin, end) of the array into codes[0 ..], -1 for missing ones; new texts get the next number. Stops
 * early, with t->n > max_distinct, when there are more. */
TR_MUST_USE enum tr_status tr_text_table_add(struct tr_ctx *ctx, struct tr_text_table *t, int64_t begin, int64_t end,
                                             int64_t max_distinct, int32_t *codes, struct tr_error *err);
/* Number of each of n texts of another array, -1 when missing or absent. */
void tr_text_table_find(struct tr_ctx *ctx, const struct tr_text_table *t, const struct tr_array *other, int64_t begin,
                        int64_t end, int32_t *codes);
void tr_text_table_drop(struct tr_text_table *t);

static inline uint64_t tr_view_hash(const struct tr_array *a, const struct tr_view *v) {
  if (v->size > TR_VIEW_INLINE) return tr_hash_bytes(tr_view_bytes(a, v), (size_t)v->size);
  uint64_t w[2];
  memcpy(w, v, 16);
  return tr_hash_mix(w[0], w[1]);
}
