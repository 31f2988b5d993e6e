/* A store as the bucket of tasks, and frames on their way into it. */
#pragma once
#include "data/exec/task.h"
#include "data/format/block/block.h"
#include "data/store/store.h"

/* Borrows the store. `ctx` (may be NULL) is polled while waiting. */
struct tr_bucket_store {
  struct tr_store *store;
  struct tr_ctx *ctx;
};
/* Borrows s. */
struct tr_bucket tr_bucket_of_store(struct tr_bucket_store *s);

/* Rows of a frame as a block object with a segment per piece of `piece_rows` (the last may have fewer; one piece at
 * least). The caller ends `w` with tr_block_drop, also on failure. */
TR_MUST_USE enum tr_status tr_bucket_pack(struct tr_ctx *ctx, const struct tr_frame *f, int64_t piece_rows,
                                          struct tr_block_writer *w, struct tr_error *err);
