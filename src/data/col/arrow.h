/* Text across Arrow's C data interface (https://arrow.apache.org/docs/format/CDataInterface.html, ABI-stable structs):
 * how pandas' `str` columns enter and leave the engine.
 */
#pragma once
#include "data/col/col.h"

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE
struct ArrowSchema {
  const char *format, *name, *metadata;
  int64_t flags, n_children;
  struct ArrowSchema **children, *dictionary;
  void (*release)(struct ArrowSchema *);
  void *private_data;
};
struct ArrowArray {
  int64_t length, null_count, offset, n_buffers, n_children;
  const void **buffers;
  struct ArrowArray **children, *dictionary;
  void (*release)(struct ArrowArray *);
  void *private_data;
};
#endif

/* A text array (plain or dictionary) as Arrow large_string ("U"): bytes are copied, in parallel. The structs are
 * filled; their release callbacks free everything. */
TR_MUST_USE enum tr_status tr_arrow_export_text(struct tr_ctx *ctx, struct tr_array *a, struct ArrowSchema *schema,
                                                struct ArrowArray *out, struct tr_error *err);
/* Arrow string ("u") or large_string ("U") as a plain text array whose views point into the Arrow buffers, which stay
 * alive with it. `in` is moved from (its release set to NULL) on success. Other formats: TR_UNSUPPORTED. */
TR_MUST_USE enum tr_status tr_arrow_import_text(struct tr_ctx *ctx, const struct ArrowSchema *schema,
                                                struct ArrowArray *in, struct tr_array **out, struct tr_error *err);
