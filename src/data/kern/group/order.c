/* Putting groups and dictionary values in order: a stable LSD radix sort of u64 keys that skips constant digits, and
 * the ranks of a dictionary's values.
 */
#include "data/kern/group/number_int.h"
#include <stdlib.h>

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS, SMALL = 48 };

static void insertion_sort(uint64_t *keys, uint32_t *order, int64_t n) {
  for (int64_t i = 1; i < n; i++) {
    uint64_t key = keys[i];
    uint32_t row = order[i];
    int64_t j = i;
    for (; j > 0 && keys[j - 1] > key; j--) {
      keys[j] = keys[j - 1];
      order[j] = order[j - 1];
    }
    keys[j] = key;
    order[j] = row;
  }
}

static void radix_pass(const uint64_t *keys, const uint32_t *order, uint64_t *keys_to, uint32_t *order_to, int64_t n,
                       int shift) {
  uint32_t at[DIGITS] = {0}, total = 0;
  for (int64_t i = 0; i < n; i++) at[keys[i] >> shift & (DIGITS - 1)]++;
  for (int d = 0; d < DIGITS; d++) {
    uint32_t here = at[d];
    at[d] = total;
    total += here;
  }
  for (int64_t i = 0; i < n; i++) {
    uint32_t to = at[keys[i] >> shift & (DIGITS - 1)]++;
    keys_to[to] = keys[i];
    order_to[to] = order[i];
  }
}

enum tr_status tr_group_sort_u64(struct tr_ctx *ctx, uint64_t *keys, uint32_t *order, int64_t n, struct tr_error *err) {
  uint64_t differ = 0, *spare_keys = NULL;
  uint32_t *spare_order = NULL;
  enum tr_status st = TR_OK;
  for (int64_t i = 0; i < n; i++) {
    order[i] = (uint32_t)i;
    differ |= keys[i] ^ keys[0];
  }
  if (n <= SMALL) {
    insertion_sort(keys, order, n);
    return TR_OK;
  }
  TR_GOTO(st, tr_mem_alloc((size_t)n * 8, (void **)&spare_keys, err));
  TR_GOTO(st, tr_mem_alloc((size_t)n * 4, (void **)&spare_order, err));
  bool in_spare = false;
  for (int shift = 0; shift < 64 && differ >> shift; shift += DIGIT_BITS) {
    while (shift < 64 && !(differ >> shift & 1)) shift++;
    TR_GOTO(st, tr_ctx_check(ctx));
    if (in_spare) radix_pass(spare_keys, spare_order, keys, order, n, shift);
    else radix_pass(keys, order, spare_keys, spare_order, n, shift);
    in_spare = !in_spare;
  }
  if (in_spare) memcpy(order, spare_order, (size_t)n * 4);
  if (in_spare) memcpy(keys, spare_keys, (size_t)n * 8);
done:
  tr_mem_free(spare_keys, (size_t)n * 8);
  tr_mem_free(spare_order, (size_t)n * 4);
  return st;
}

/* By sorting: for few groups among many rows. */
static enum tr_status order_by_sorting(struct tr_ctx *ctx, uint32_t *rows, int64_t n_groups, uint32_t *entries,
                                       int64_t n_entries, struct tr_error *err) {
  uint64_t *keys = NULL;
  uint32_t *order = NULL;
  enum tr_status st;
  TR_GOTO(st, tr_mem_alloc((size_t)n_groups * 8, (void **)&keys, err));
  TR_GOTO(st, tr_mem_alloc((size_t)n_groups * 4, (void **)&order, err));
  for (int64_t g = 0; g < n_groups; g++) keys[g] = rows[g];
  TR_GOTO(st, tr_group_sort_u64(ctx, keys, order, n_groups, err));
  for (int64_t i = 0; i < n_groups; i++) rows[i] = (uint32_t)keys[i];
  /* order[i] = which group comes i-th; keys is reused for its inverse. */
  for (int64_t i = 0; i < n_groups; i++) keys[order[i]] = (uint64_t)i;
  int64_t g = 0;
  for (int64_t e = 0; e < n_entries; e++) entries[e] = entries[e] == TR_NO_ROW ? TR_NO_GROUP : (uint32_t)keys[g++];
done:
  tr_mem_free(keys, (size_t)n_groups * 8);
  tr_mem_free(order, (size_t)n_groups * 4);
  return st;
}

/* By marking rows in a bit map and counting: for many groups. */
static enum tr_status order_by_marking(struct tr_ctx *ctx, uint32_t *rows, int64_t n_groups, int64_t n,
                                       uint32_t *entries, int64_t n_entries, struct tr_error *err) {
  int64_t words = (n + 63) / 64, at = 0;
  uint64_t *bits = NULL;
  uint32_t *before = NULL, total = 0;
  enum tr_status st;
  TR_GOTO(st, tr_mem_calloc((size_t)words * 8, (void **)&bits, err));
  TR_GOTO(st, tr_mem_alloc((size_t)words * 4, (void **)&before, err));
  for (int64_t g = 0; g < n_groups; g++) bits[rows[g] >> 6] |= (uint64_t)1 << (rows[g] & 63);
  TR_GOTO(st, tr_ctx_check(ctx));
  for (int64_t w = 0; w < words; w++) {
    before[w] = total;
    total += tr_group_count_bits(bits[w]);
    for (uint64_t word = bits[w]; word; word &= word - 1) rows[at++] = (uint32_t)(w * 64 + __builtin_ctzll(word));
  }
  for (int64_t e = 0; e < n_entries; e++)
    entries[e] = entries[e] == TR_NO_ROW ? TR_NO_GROUP : tr_group_rank_bit(bits, before, entries[e]);
done:
  tr_mem_free(bits, (size_t)words * 8);
  tr_mem_free(before, (size_t)words * 4);
  return st;
}

enum tr_status tr_group_order_rows(struct tr_ctx *ctx, uint32_t *rows, int64_t n_groups, int64_t n, uint32_t *entries,
                                   int64_t n_entries, struct tr_error *err) {
  if (n_groups < n / 64) return order_by_sorting(ctx, rows, n_groups, entries, n_entries, err);
  return order_by_marking(ctx, rows, n_groups, n, entries, n_entries, err);
}

struct text_item {
  uint64_t head; /* first eight bytes, big endian */
  uint32_t place;
};

struct text_sort {
  const struct tr_array *a;
  const struct tr_view *views;
};

static uint64_t text_head(const struct tr_array *a, const struct tr_view *v) {
  uint64_t head = 0;
  memcpy(&head, tr_view_bytes(a, v), v->size < 8 ? (size_t)v->size : 8);
  return __builtin_bswap64(head);
}

static int compare_items(const void *x, const void *y, void *arg) {
  const struct text_item *p = x, *q = y;
  const struct text_sort *s = arg;
  if (p->head != q->head) return p->head < q->head ? -1 : 1;
  return tr_view_cmp(s->a, &s->views[p->place], s->a, &s->views[q->place]);
}

static enum tr_status rank_text(struct tr_array *values, uint32_t *rank, struct tr_error *err) {
  int64_t n = values->length;
  struct text_item *items;
  TR_TRY(tr_mem_alloc((size_t)n * sizeof *items, (void **)&items, err));
  struct text_sort s = {values, tr_array_views(values)};
  bool sorted = true;
  for (int64_t i = 0; i < n; i++) {
    items[i] = (struct text_item){text_head(values, &s.views[i]), (uint32_t)i};
    sorted = sorted && (i == 0 || compare_items(&items[i - 1], &items[i], &s) < 0);
  }
  if (!sorted) qsort_r(items, (size_t)n, sizeof *items, compare_items, &s);
  for (int64_t i = 0; i < n; i++) rank[items[i].place] = (uint32_t)i;
  tr_mem_free(items, (size_t)n * sizeof *items);
  return TR_OK;
}

enum tr_status tr_group_rank_values(struct tr_ctx *ctx, struct tr_array *values, uint32_t *rank, struct tr_error *err) {
  int64_t n = values->length;
  if (values->dtype.kind == TR_STR) return rank_text(values, rank, err);
  struct tr_group_key key;
  uint64_t *codes = NULL;
  uint32_t *order = NULL;
  enum tr_status st;
  TR_GOTO(st, tr_group_key_init(ctx, values, n, true, &key, err));
  struct tr_group_codes c = {.keys = &key, .n_keys = 1, .n = n, .total = tr_group_key_card(&key, false)};
  TR_GOTO(st, tr_mem_alloc((size_t)n * 8, (void **)&codes, err));
  TR_GOTO(st, tr_mem_alloc((size_t)n * 4, (void **)&order, err));
  for (int64_t b = 0; b < n; b += TR_GROUP_BLOCK) {
    tr_group_codes_block(&c, b, (int)(n - b < TR_GROUP_BLOCK ? n - b : TR_GROUP_BLOCK), codes + b);
  }
  TR_GOTO(st, tr_group_sort_u64(ctx, codes, order, n, err));
  for (int64_t i = 0; i < n; i++) rank[order[i]] = (uint32_t)i;
done:
  tr_group_key_drop(&key);
  tr_mem_free(codes, (size_t)n * 8);
  tr_mem_free(order, (size_t)n * 4);
  return st;
}
