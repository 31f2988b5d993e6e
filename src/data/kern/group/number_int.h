/* Shared by the ways of numbering (direct.c, few.c, partition.c): chunks of rows, and putting groups in order. */
#pragma once
#include "data/kern/group/group_int.h"

/* Contiguous stretches of rows, one a thread; fewer when tables of `table` entries would outweigh the rows.
 * Nothing in the answer may depend on their number. */
static inline int tr_group_n_chunks(const struct tr_ctx *ctx, int64_t n, uint64_t table) {
  int64_t most = n / (1 << 15) + 1;
  if (tr_grain(ctx) < 64) most = n / tr_grain(ctx) + 1; /* tests */
  if (table && most > n / (int64_t)table + 1) most = n / (int64_t)table + 1;
  return ctx->threads < most ? ctx->threads : (int)most;
}
static inline void tr_group_chunk(int64_t n, int n_chunks, int64_t chunk, int64_t *begin, int64_t *end) {
  int64_t size = (n / n_chunks + TR_GROUP_BLOCK) / TR_GROUP_BLOCK * TR_GROUP_BLOCK;
  if (n < TR_GROUP_BLOCK * 4) size = n / n_chunks + 1;
  *begin = size * chunk < n ? size * chunk : n;
  *end = size * (chunk + 1) < n ? size * (chunk + 1) : n;
}

static inline uint32_t tr_group_count_bits(uint64_t x) {
  x -= x >> 1 & 0x5555555555555555ull;
  x = (x & 0x3333333333333333ull) + (x >> 2 & 0x3333333333333333ull);
  x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0full;
  return (uint32_t)(x * 0x0101010101010101ull >> 56);
}
/* Rows marked in `bits` before `row`; before[w] = those before word w. */
static inline uint32_t tr_group_rank_bit(const uint64_t *bits, const uint32_t *before, uint32_t row) {
  return before[row >> 6] + tr_group_count_bits(bits[row >> 6] & (((uint64_t)1 << (row & 63)) - 1));
}

/* Sorts the n_groups first rows of n rows ascending, and replaces each entry of `entries` (a first row, or TR_NO_ROW)
 * by the place of that row. */
TR_MUST_USE enum tr_status tr_group_order_rows(struct tr_ctx *ctx, uint32_t *rows, int64_t n_groups, int64_t n,
                                               uint32_t *entries, int64_t n_entries, struct tr_error *err);
