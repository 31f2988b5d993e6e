/* The executor: turns a plan node into a frame.
 *
 * Operators run one after another over whole columns, each in parallel over morsels (ARCHITECTURE.md, "Life of a
 * byte"). A plan is rewritten first (meta/opt), unless the context says otherwise. Only columns that somebody needs are
 * computed: needs are propagated from the root down before anything runs. A node that occurs several times in the plan
 * runs once. Results of nodes that Python objects hold stay on the node. One query runs at a time in a process (each
 * uses all cores); a lock orders callers.
 */
#pragma once
#include "base/pool.h"
#include "data/col/col.h"
#include "data/format/parquet/parquet.h"
#include "meta/plan/rel.h"

struct tr_parquet_source {
  struct tr_parquet_file **files; /* owned */
  int n_files;
};

/* Leaf over a frame (a reference is taken). `name` is for explain. */
TR_MUST_USE enum tr_status tr_exec_frame_source(struct tr_frame *f, const char *name, struct tr_rel **out,
                                                struct tr_error *err);
/* Leaf over Parquet files of equal schema, opened here. The last column is the row number. Columns we cannot hold make
 * it TR_UNSUPPORTED unless left out: cols = positions wanted (NULL = all). */
TR_MUST_USE enum tr_status tr_exec_parquet_source(const char *const *paths, int n_paths, struct tr_rel **out,
                                                  struct tr_error *err);

/* Computes columns need[0..n_cols) (NULL = all) of `r`; other slots of the frame are NULL. The result is kept on `r`.
 */
TR_MUST_USE enum tr_status tr_exec_run(struct tr_ctx *ctx, struct tr_rel *r, const bool *need, struct tr_frame **out,
                                       struct tr_error *err);
/* The plan that tr_exec_run would run for these columns, rewritten, with the columns and row groups read of each
 * Parquet source. The caller frees *text. fn_name as in tr_rel_print. */
TR_MUST_USE enum tr_status tr_exec_explain(struct tr_rel *r, const bool *need,
                                           const char *(*fn_name)(int item_kind, int fn), char **text,
                                           struct tr_error *err);
/* Drops what is kept on r (memory pressure, tests). */
void tr_exec_drop_kept(struct tr_rel *r);
/* Whether all columns `need` of r are at hand without work. */
bool tr_exec_is_kept(struct tr_rel *r, const bool *need);
