/* Inside of the gathers: one column's way from source to output, block by block (take.c, pack.c). */
#pragma once
#include "data/kern/take/take.h"

enum { TR_GATHER_BLOCK = 256, TR_GATHER_AHEAD = 32, TR_PACK_ROW = 32 };

struct tr_take_col {
  const void *src;
  void *out;
  uint8_t width;    /* bytes of a source value */
  uint8_t kind;     /* enum tr_kind of the source */
  bool to_f64;      /* integer that becomes float64 because rows are missing */
  bool narrow;      /* integers or codes: may be packed narrower */
  uint8_t packed;   /* bytes in the packed row */
  uint8_t at;       /* first byte in the packed row */
  uint64_t base;    /* added to the packed value */
  int64_t max_code; /* codes lie in [-1, max_code]; -1 = unknown */
  uint8_t null[16]; /* output value of a missing row */
};

/* Columns that share packed rows. n_cols 1 and rows NULL: gathered straight from the column. */
struct tr_take_group {
  struct tr_take_col **cols;
  int n_cols;
  int64_t stride;
  uint8_t *rows;
};

/* Makes packed rows of all n source rows of the group's columns, whose widths and places are settled. Widths that the
 * sample got wrong are widened and *misfit set: the caller settles places anew. */
TR_MUST_USE enum tr_status tr_pack_rows(struct tr_ctx *ctx, struct tr_take_group *g, int64_t n, bool *misfit,
                                        struct tr_error *err);
/* Guesses packed width and base of an integer column from a sample of its n values. */
void tr_pack_guess(struct tr_take_col *c, int64_t n);
/* Values of one block of packed rows of one column, in the source's width. */
void tr_pack_unpack(const struct tr_take_col *c, const uint8_t *rows, int64_t stride, int64_t n, void *out);
