/* Inside of the sorts. Every key becomes one or more "pieces": numbers of a known number of bits whose unsigned order
 * is the wanted order (direction and missing values settled). The pieces side by side are one long bit string per row;
 * sorting looks at it window by window, as many bits at a time as fit beside a row number in 64 bits. */
#pragma once
#include "data/kern/sort/sort.h"

enum { TR_SORT_BLOCK = 512 };

enum tr_piece_form {
  TR_PIECE_U8,
  TR_PIECE_U16,
  TR_PIECE_U32,
  TR_PIECE_U64,
  TR_PIECE_I8,
  TR_PIECE_I16,
  TR_PIECE_I32,
  TR_PIECE_I64,
  TR_PIECE_NAT64, /* int64, TR_NAT missing */
  TR_PIECE_F32,
  TR_PIECE_F64,
  TR_PIECE_CODE,   /* int32, -1 missing */
  TR_PIECE_RANKED, /* int32 code into rank[], -1 missing */
  TR_PIECE_RANK,   /* uint32, UINT32_MAX missing */
  TR_PIECE_TEXT_FLAG,
  TR_PIECE_TEXT, /* missing or not; 7 bytes and how many of them there are */
};

struct tr_piece {
  enum tr_piece_form form;
  const void *src;
  const uint32_t *rank;
  const struct tr_array *text;
  int64_t text_at; /* first byte of the window */
  int bits;
  bool descending;
  uint64_t base; /* ascending: value - base; descending: base - value */
  uint64_t lift; /* added to every present value (1 when missing ones come first) */
  uint64_t missing;
};

struct tr_order {
  struct tr_ctx *ctx;
  const struct tr_piece *pieces;
  int n_pieces;
  int bits;                    /* of all pieces */
  const struct tr_array *text; /* settles what all bits leave equal; NULL = nothing does */
};

/* Smallest and largest order-preserving number of values [begin, end), and whether some are missing. */
struct tr_piece_range {
  uint64_t low, high;
  bool missing;
};
void tr_piece_scan(const struct tr_piece *p, int64_t begin, int64_t end, struct tr_piece_range *range);
/* Numbers of rows[0 .. n), or of rows begin .. begin + n when rows is NULL; n <= TR_SORT_BLOCK. */
void tr_piece_encode(const struct tr_piece *p, const uint32_t *rows, int64_t begin, int64_t n, uint64_t *out);
/* Bits [from, from + bits) of the bit string of the same rows; 1 <= bits <= 64. */
void tr_order_window(const struct tr_order *o, const uint32_t *rows, int64_t begin, int64_t n, int from, int bits,
                     uint64_t *out);
static inline int tr_bit_length(uint64_t v) { return v ? 64 - __builtin_clzll(v) : 0; }

/* Sorts numbers that are distinct as a whole; those equal above `low_bits` come in ascending order. tmp: n numbers. */
void tr_sort_u64(uint64_t *a, uint64_t *tmp, int64_t n, int low_bits);
/* Orders rows by the bits from `from` on, stably: out = in (NULL: 0 .. n) in order. */
TR_MUST_USE enum tr_status tr_order_rows(const struct tr_order *o, const uint32_t *in, int64_t n, int from,
                                         uint32_t *out, struct tr_error *err);
/* Orders the rows of short tied runs of `rows`; runs are (begin, end) pairs. Single-threaded. */
TR_MUST_USE enum tr_status tr_order_ties(const struct tr_order *o, uint32_t *rows, const int64_t *runs, int64_t n_runs,
                                         int from, struct tr_error *err);

/* The pieces of a list of keys, and what they own. */
struct tr_key_pieces {
  struct tr_piece *pieces; /* constant keys have none */
  int n, capacity, bits;
  void **owned; /* rank tables: pairs of pointer and bytes */
  int64_t *owned_bytes;
  struct tr_array **arrays;
  int n_owned;
};
TR_MUST_USE enum tr_status tr_key_pieces_make(struct tr_ctx *ctx, const struct tr_sort_key *keys, int n_keys, int64_t n,
                                              bool na_first, struct tr_key_pieces *out, struct tr_error *err);
void tr_key_pieces_drop(struct tr_key_pieces *k);
/* Rank of every value of a PLAIN text array (equal texts have equal ranks, missing UINT32_MAX); n_ranks of them.
 * `distinct`: the caller knows that no text comes twice. ranks: a->length slots. */
TR_MUST_USE enum tr_status tr_text_ranks(struct tr_ctx *ctx, struct tr_array *a, bool distinct, uint32_t *ranks,
                                         int64_t *n_ranks, struct tr_error *err);
