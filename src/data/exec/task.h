/* Tasks: what a worker does with one task of a stage (meta/opt/stages.h). It reads what the stage's inputs and sources
 * have for it, computes its part of the plan, writes one object into the bucket and commits it.
 *
 *   shuffle/<2 hex>/<query>-<stage>-<task>-<attempt>   the object (data/format/block), segments by target task
 *   results/<query>/<task>-<attempt>                   the same of the last stage, one segment
 *   commit/<query>/<stage>/<task>                      JSON: which attempt's object counts, its etag and segments
 *
 * An object's key is its attempt's own; only putting the commit, which succeeds once, makes it what readers see. A task
 * may therefore run any number of times, at the same time too, and be killed at any instruction.
 */
#pragma once
#include "base/pool.h"
#include "data/col/col.h"
#include "meta/opt/stages.h"
#include "meta/plan/codec_seal.h"

/* Where objects lie. Errors are TR_EXC_OS with an errno. */
struct tr_bucket {
  void *arg;
  /* A whole object: memory for tr_mem_free(*data, *room). ENOENT when there is none. */
  enum tr_status (*get)(void *arg, const char *key, uint8_t **data, size_t *bytes, size_t *room, struct tr_error *err);
  /* Bytes [offset, offset + bytes) of the object with that etag. */
  enum tr_status (*read)(void *arg, const char *key, const char *etag, int64_t offset, int64_t bytes, void *to,
                         struct tr_error *err);
  /* Writes an object whole; if_absent: EEXIST when there is one. etag: 128 bytes for the etag, or NULL. */
  enum tr_status (*put)(void *arg, const char *key, const void *data, size_t bytes, bool if_absent, char *etag,
                        struct tr_error *err);
};

/* Where the plan's sources are read. */
struct tr_task_sources {
  void *arg;
  /* Pieces [from, to) of source `source` (to -1 = all): a frame of all its columns, of which those with need[c] false
   * may be NULL. */
  enum tr_status (*read)(void *arg, struct tr_ctx *ctx, int32_t source, int32_t from, int32_t to, const bool *need,
                         struct tr_frame **out, struct tr_error *err);
};

struct tr_task_env {
  struct tr_ctx *ctx;
  struct tr_bucket bucket;
  struct tr_task_sources sources;
  bool compress;
};

/* A query's plan, opened: workers keep it for the query's tasks. */
struct tr_task_plan;
TR_MUST_USE enum tr_status tr_task_plan_open(const char *sealed, size_t len, const struct tr_seal_hooks *hooks,
                                             struct tr_task_plan **out, struct tr_error *err);
void tr_task_plan_free(struct tr_task_plan *plan); /* NULL allowed */

/* Runs a task. `task` is what a lease says of it:
 *   {"query","stage","task","attempt","fragment":{…},"pieces":[{"source","from","to"}…],
 *    "row_offset","rows","total_rows"}                (the last three for stages with positions)
 * Gives the report (free with free()): {"rows","segment_bytes":[…],"segment_rows":[…],"seconds","won"}; won is false
 * when another attempt had committed before. */
TR_MUST_USE enum tr_status tr_task_run(const struct tr_task_env *env, const struct tr_task_plan *plan,
                                       const json_t *task, char **report, struct tr_error *err);

/* The rows of a query's result, from the tasks of its last stage, in order. */
TR_MUST_USE enum tr_status tr_task_read_result(const struct tr_task_env *env, const char *query, int32_t stage,
                                               int32_t n_tasks, struct tr_frame **out, struct tr_error *err);
