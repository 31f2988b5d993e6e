/* Inside of the joins. Each key of both sides becomes numbers of one domain: 0 .. span for the values that the right
 * side spans, span + 1 for left values that cannot match. Mixed by radix they are one 64-bit number per row; keys that
 * do not fit are first replaced by the number of an equal right row (a "fold"). The right side is a table from that
 * number to its first row; rows with equal keys are listed behind it when keys repeat. */
#pragma once
#include "base/hash.h"
#include "data/kern/join/join.h"
#include "data/kern/take/take.h"

enum { TR_JOIN_BLOCK = 256 };

enum tr_part_form {
  TR_PART_U8,
  TR_PART_U16,
  TR_PART_U32,
  TR_PART_U64,
  TR_PART_I8,
  TR_PART_I16,
  TR_PART_I32,
  TR_PART_I64,
  TR_PART_F_U8,
  TR_PART_F_U16,
  TR_PART_F_U32,
  TR_PART_F_U64,
  TR_PART_F_I8,
  TR_PART_F_I16,
  TR_PART_F_I32,
  TR_PART_F_I64,
  TR_PART_F_F32,
  TR_PART_F_F64,  /* as float64; all NaN are one value */
  TR_PART_CODE,   /* int32 code + 1, missing 0 */
  TR_PART_MAPPED, /* int32 code into map[], which gives the other side's code + 1; missing 0 */
  TR_PART_ROW,    /* uint32; UINT32_MAX matches nothing */
};

/* One key of one side. */
struct tr_part {
  enum tr_part_form form;
  const void *src;
  const uint32_t *map;
};

/* All keys of both sides. */
struct tr_parts {
  struct tr_part *left, *right;
  uint64_t *low, *span; /* of the right side; span + 1 means "matches nothing" */
  int n;
  uint64_t domain; /* numbers are below it; 0 = all 64 bits */
  void **owned;    /* map tables */
  int64_t *owned_bytes;
  struct tr_array **arrays;
  int n_owned, capacity;
};
TR_MUST_USE enum tr_status tr_parts_make(struct tr_ctx *ctx, struct tr_array *const *left, int64_t n_left,
                                         struct tr_array *const *right, int64_t n_right, int n_keys,
                                         struct tr_parts *out, struct tr_error *err);
void tr_parts_drop(struct tr_parts *p);
void tr_part_scan(const struct tr_part *p, int64_t begin, int64_t end, uint64_t *low, uint64_t *high);
/* Numbers of rows [begin, begin + n) of one side by keys [from, to); n <= TR_JOIN_BLOCK. */
void tr_parts_encode(const struct tr_parts *p, const struct tr_part *side, int from, int to, int64_t begin, int64_t n,
                     uint64_t *out);

/* From key number to the first right row that has it. */
struct tr_join_table {
  struct tr_ctx *ctx;
  const struct tr_parts *parts;
  int from, to;
  uint64_t domain;
  uint32_t *dense; /* by number; NULL = hashed */
  uint64_t *slots; /* tag << 32 | row; all ones = empty */
  int64_t n_slots;
  int hash_shift;
  bool exact;        /* numbers are below 2^32: the tag is the number */
  uint64_t *numbers; /* of right rows, when not exact */
  int64_t n_right;
  bool unique; /* no two right rows have equal keys */
};
TR_MUST_USE enum tr_status tr_join_table_make(struct tr_ctx *ctx, const struct tr_parts *parts, int from, int to,
                                              uint64_t domain, int64_t n_right, struct tr_join_table *out,
                                              struct tr_error *err);
void tr_join_table_drop(struct tr_join_table *t);
/* First right row, or TR_NO_ROW, of rows [begin, end) of a side. Parallel callers welcome. */
void tr_join_table_find(const struct tr_join_table *t, const struct tr_part *side, int64_t begin, int64_t end,
                        uint32_t *first);
/* The same for all rows of a side, in parallel. */
TR_MUST_USE enum tr_status tr_join_table_find_all(struct tr_ctx *ctx, const struct tr_join_table *t,
                                                  const struct tr_part *side, int64_t n, uint32_t *first,
                                                  struct tr_error *err);

/* Orders pairs by their join keys as pandas' sort=True does, stably: NaT and missing categories first, other missing
 * last. */
TR_MUST_USE enum tr_status tr_join_order(struct tr_ctx *ctx, struct tr_array *const *left, int64_t n_left,
                                         struct tr_array *const *right, int64_t n_right, int n_keys,
                                         struct tr_join_rows *pairs, struct tr_error *err);
/* map[left code] = right code + 1 of the same value of two dictionaries, UINT32_MAX = no such. map: left->length slots.
 */
TR_MUST_USE enum tr_status tr_join_map_codes(struct tr_ctx *ctx, struct tr_array *left, struct tr_array *right,
                                             uint32_t *map, struct tr_error *err);
