/* Gathers: rows of arrays by number. Row numbers are uint32 (a frame in one process has < 2^32 - 1 rows);
 * TR_NO_ROW makes a missing value. */
#pragma once
#include "data/col/col.h"

#define TR_NO_ROW UINT32_MAX

/* dtype of a take in which some row is TR_NO_ROW, as pandas promotes: ints -> float64 (int8/16, uint8/16 -> float64
 * too, as pandas' reindex does), others keep theirs; bool -> TR_UNSUPPORTED (object in pandas). */
TR_MUST_USE enum tr_status tr_take_missing_dtype(struct tr_dtype dtype, struct tr_dtype *out, struct tr_error *err);

/* out[i] = a[rows[i]]. Text and dictionaries share heaps and dictionary. `has_missing`: some rows[i] is TR_NO_ROW. */
TR_MUST_USE enum tr_status tr_take(struct tr_ctx *ctx, struct tr_array *a, const uint32_t *rows, int64_t n,
                                   bool has_missing, struct tr_array **out, struct tr_error *err);
/* The same for n_cols arrays at once; packs columns into rows before random access where that is faster. out: n_cols
 * slots. */
TR_MUST_USE enum tr_status tr_take_many(struct tr_ctx *ctx, struct tr_array *const *cols, int n_cols,
                                        const uint32_t *rows, int64_t n, bool has_missing, struct tr_array **out,
                                        struct tr_error *err);
/* Row numbers (uint32, ascending) where mask (one byte a row, 0/1) is set. */
TR_MUST_USE enum tr_status tr_mask_rows(struct tr_ctx *ctx, const uint8_t *mask, int64_t n, struct tr_buffer **rows,
                                        int64_t *n_rows, struct tr_error *err);
