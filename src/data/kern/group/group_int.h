/* Inside of the group family: keys in coded form, the numbering core, and row segments.
 *
 * A key column is coded: each value becomes an order-preserving unsigned code in [0, card), so that a tuple of keys is
 * one mixed-radix u64 and comparing tuples is comparing integers. Everything after that (direct tables, hash tables,
 * partitions, sorting of groups) knows only u64 codes; key columns too wide to be packed together are numbered first
 * and enter as their group numbers.
 */
#pragma once
#include "base/hash.h"
#include "base/mem.h"
#include "data/kern/group/group.h"
#include "data/kern/take/take.h"

#define TR_GROUP_BLOCK 1024       /* rows coded at a time: 8 KiB of u64, stays in L1 */
#define TR_GROUP_DROP  UINT64_MAX /* code of a row that belongs to no group */

enum tr_group_form {
  TR_FORM_I8,
  TR_FORM_I16,
  TR_FORM_I32,
  TR_FORM_I64,
  TR_FORM_U8,
  TR_FORM_U16,
  TR_FORM_U32,
  TR_FORM_U64,
  TR_FORM_F32,
  TR_FORM_F64,
  TR_FORM_TIME,
  TR_FORM_CODE,
  TR_FORM_RANK,
  TR_FORM_ID,
  TR_FORM_TEXT
};

struct tr_group_key {
  uint8_t form;     /* enum tr_group_form */
  bool has_missing; /* some value is missing: its code is span + 1 */
  bool all_seen;    /* every code in [0, span] occurs, or nearly: worth looking for an early end */
  const void *data; /* first value */
  uint64_t base;    /* taken off the order-preserving image of a value */
  uint64_t span;    /* largest code of a value that is not missing */
  uint32_t *rank;   /* TR_FORM_RANK: owned, order of each dictionary value */
  int64_t rank_bytes;
  struct tr_array *array; /* the column, borrowed */
};

/* Coded keys of n rows; product of cards is `total` (0 stands for 2^64). */
struct tr_group_codes {
  struct tr_group_key *keys;
  int n_keys;
  int64_t n;
  uint64_t total;
  bool drop; /* missing values drop their row */
};

/* Describes a column: scans for its range; text gets form TR_FORM_TEXT and no range. `ordered`: codes must follow
 * values. */
TR_MUST_USE enum tr_status tr_group_key_init(struct tr_ctx *ctx, struct tr_array *a, int64_t n, bool ordered,
                                             struct tr_group_key *out, struct tr_error *err);
void tr_group_key_drop(struct tr_group_key *k);
/* Number of codes incl. missing's unless rows with missing keys are dropped; 0 stands for 2^64. */
uint64_t tr_group_key_card(const struct tr_group_key *k, bool drop);
/* Codes of rows [begin, begin + n), n <= TR_GROUP_BLOCK. */
void tr_group_codes_block(const struct tr_group_codes *c, int64_t begin, int n, uint64_t *out);
/* 64-bit hashes of texts (never TR_GROUP_DROP, which stands for missing when `drop`, else missing is 0). */
void tr_group_text_block(const struct tr_array *a, int64_t begin, int n, bool drop, uint64_t *out);

/* Numbers the tuples of c; borrowed. */
TR_MUST_USE enum tr_status tr_group_number(struct tr_ctx *ctx, const struct tr_group_codes *c, bool sort,
                                           struct tr_groups *out, struct tr_error *err);
/* Its three ways: a table over all codes; at most 2^bits groups in hash tables (gives *fits = false when there are
 * more); radix partitions. */
TR_MUST_USE enum tr_status tr_group_direct(struct tr_ctx *ctx, const struct tr_group_codes *c, bool sort,
                                           struct tr_groups *out, struct tr_error *err);
TR_MUST_USE enum tr_status tr_group_few(struct tr_ctx *ctx, const struct tr_group_codes *c, int bits, bool sort,
                                        bool *fits, struct tr_groups *out, struct tr_error *err);
TR_MUST_USE enum tr_status tr_group_partitioned(struct tr_ctx *ctx, const struct tr_group_codes *c, bool sort,
                                                struct tr_groups *out, struct tr_error *err);
/* Groups of one plain text column in order of first appearance, or ascending. */
TR_MUST_USE enum tr_status tr_group_text(struct tr_ctx *ctx, struct tr_array *a, int64_t n, bool sort, bool drop,
                                         struct tr_groups *out, struct tr_error *err);

/* order[i] = place of the i-th smallest key; keys distinct or not (stable). Clobbers keys. */
TR_MUST_USE enum tr_status tr_group_sort_u64(struct tr_ctx *ctx, uint64_t *keys, uint32_t *order, int64_t n,
                                             struct tr_error *err);
/* rank[i] = place of value i of a plain array of distinct, non-missing values in ascending order. */
TR_MUST_USE enum tr_status tr_group_rank_values(struct tr_ctx *ctx, struct tr_array *values, uint32_t *rank,
                                                struct tr_error *err);

/* Rows by group: row numbers of group g are rows[start[g] .. start[g + 1]), ascending; dropped rows are left out. */
struct tr_segments {
  int64_t n_groups, n_rows; /* n_rows = rows in groups */
  int64_t *start;           /* n_groups + 1 */
  uint32_t *rows;           /* NULL when every row is in group 0: row i is i */
  int64_t rows_capacity;
};
TR_MUST_USE enum tr_status tr_segments_make(struct tr_ctx *ctx, const struct tr_groups *g, bool want_rows,
                                            struct tr_segments *out, struct tr_error *err);
void tr_segments_drop(struct tr_segments *s);

static inline const uint32_t *tr_groups_ids(const struct tr_groups *g) {
  return g->ids ? (const uint32_t *)g->ids->data : NULL;
}
/* Distance of v from the smallest value in sorting order; -0.0 maps as 0.0. */
static inline uint64_t tr_group_image_f64(double v) {
  v += 0.0;
  uint64_t b;
  memcpy(&b, &v, 8);
  return b >> 63 ? ~b : b | 0x8000000000000000ull;
}
static inline uint64_t tr_group_image_f32(float v) {
  v += 0.0f;
  uint32_t b;
  memcpy(&b, &v, 4);
  return b >> 31 ? (uint32_t)~b : b | 0x80000000u;
}
