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

/* The same where stores[i] (borrowed; NULL = the file system, as are NULL stores) is what paths[i] is a key of. `ctx`
 * may be NULL. */
TR_MUST_USE enum tr_status tr_exec_parquet_objects(struct tr_store *const *stores, const char *const *paths,
                                                   int n_paths, struct tr_ctx *ctx, struct tr_rel **out,
                                                   struct tr_error *err);
/* Row groups [from, to) of a PARQUET leaf, counted over all its files: a frame of its columns, row numbers among them;
 * those with need[c] false are NULL. */
TR_MUST_USE enum tr_status tr_exec_read_row_groups(struct tr_ctx *ctx, struct tr_rel *parquet, int32_t from, int32_t to,
                                                   const bool *need, struct tr_frame **out, struct tr_error *err);

/* Computes columns need[0..n_cols) (NULL = all) of `r`; other slots of the frame are NULL. The result is kept on `r`.
 */
TR_MUST_USE enum tr_status tr_exec_run(struct tr_ctx *ctx, struct tr_rel *r, const bool *need, struct tr_frame **out,
                                       struct tr_error *err);
/* The plan that tr_exec_run would run for these columns, rewritten, with the columns and row groups read of each
 * Parquet source. The caller frees *text. fn_name as in tr_rel_print. */
TR_MUST_USE enum tr_status tr_exec_explain(struct tr_rel *r, const bool *need,
                                           const char *(*fn_name)(int item_kind, int fn), char **text,
                                           struct tr_error *err);
/* What a run of columns `need` (NULL = all) of r would compute, as a rewritten plan that shares no leaf with this
 * process' results: its root has exactly the needed columns, in order; what is at hand, and every frame, is a FRAME
 * leaf of which unneeded columns are gaps (NULL). It can be encoded and run elsewhere. */
TR_MUST_USE enum tr_status tr_exec_detach(struct tr_rel *r, const bool *need, struct tr_rel **out,
                                          struct tr_error *err);
/* Gives the frame that tr_exec_run would have given, from the detached plan's result (borrowed), and keeps it on r. */
TR_MUST_USE enum tr_status tr_exec_attach(struct tr_rel *r, const bool *need, const struct tr_frame *result,
                                          struct tr_frame **out, struct tr_error *err);
/* Keeps a frame (borrowed; gaps allowed) on r as its result, together with columns kept before. */
void tr_exec_keep(struct tr_rel *r, struct tr_frame *f);
/* Drops what is kept on r (memory pressure, tests). */
void tr_exec_drop_kept(struct tr_rel *r);
/* Whether all columns `need` of r are at hand without work. */
bool tr_exec_is_kept(struct tr_rel *r, const bool *need);
