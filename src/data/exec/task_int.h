/* Between the files that run tasks: fragments of plans (fragment.c), states of aggregates (states.c), what tasks
 * exchange (exchange.c). See task.h. */
#pragma once
#include "data/exec/task.h"
#include "data/format/block/block.h"

/* A plan as a worker has it: nodes by number, and which of their columns anybody needs. */
struct tr_task_plan {
  struct tr_rel **nodes;
  bool **need;
  bool *runs; /* ZIP does not run inputs that nobody needs */
  int n_nodes;
  int n_sources;
  int32_t *source_node; /* per source: its node */
};

/* ---- columns (exchange.c) */
/* Frames one after another as one; columns whose dtypes the data decided differently become what pandas makes of them
 * together. A column absent in some is absent. n = 0 gives NULL. */
TR_MUST_USE enum tr_status tr_exchange_join(struct tr_ctx *ctx, struct tr_frame *const *frames, int n,
                                            struct tr_frame **out, struct tr_error *err);
/* Rows of every column that is there. */
TR_MUST_USE enum tr_status tr_exchange_take(struct tr_ctx *ctx, const struct tr_frame *f, const uint32_t *rows,
                                            int64_t n, struct tr_frame **out, struct tr_error *err);
TR_MUST_USE enum tr_status tr_exchange_slice(const struct tr_frame *f, int64_t begin, int64_t n, struct tr_frame **out,
                                             struct tr_error *err);
TR_MUST_USE enum tr_status tr_exchange_cast(struct tr_ctx *ctx, struct tr_array *a, struct tr_dtype to,
                                            struct tr_array **out, struct tr_error *err);
/* f and one more column (NULL: none is added) after it; columns keep their places. Borrows. */
TR_MUST_USE enum tr_status tr_exchange_append(const struct tr_frame *f, struct tr_array *last, struct tr_frame **out,
                                              struct tr_error *err);

/* Ordinals: task << 40 | row. */
enum { TR_ORDINAL_ROW_BITS = 40 };
TR_MUST_USE enum tr_status tr_exchange_ordinals(int32_t task, const uint32_t *rows, int64_t n, struct tr_array **out,
                                                struct tr_error *err);
/* Rows in the order of the last column, which is taken off. */
TR_MUST_USE enum tr_status tr_exchange_restore(struct tr_ctx *ctx, const struct tr_frame *f, struct tr_frame **out,
                                               struct tr_error *err);

/* Keys that rows are exchanged by. */
struct tr_exchange_keys {
  struct tr_array **arrays; /* references */
  int n;
  const bool *descending; /* NULL = all ascend */
  bool na_first;
};
/* parts[i] = part of row i, by hash. */
TR_MUST_USE enum tr_status tr_exchange_hash(struct tr_ctx *ctx, const struct tr_exchange_keys *keys, int64_t n_rows,
                                            int32_t n_parts, uint32_t *parts, struct tr_error *err);
/* By bounds (key columns of at most n_parts - 1 rows in order): how many of them are not behind the row. */
TR_MUST_USE enum tr_status tr_exchange_range(struct tr_ctx *ctx, const struct tr_exchange_keys *keys, int64_t n_rows,
                                             const struct tr_frame *bounds, uint32_t *parts, struct tr_error *err);
/* Keys of some rows, evenly spread. */
TR_MUST_USE enum tr_status tr_exchange_sample(struct tr_ctx *ctx, const struct tr_exchange_keys *keys, int64_t n_rows,
                                              struct tr_frame **out, struct tr_error *err);
/* Bounds of n_parts ranges from samples (key columns; NULL = there were none). */
TR_MUST_USE enum tr_status tr_exchange_bounds(struct tr_ctx *ctx, const struct tr_exchange_keys *order,
                                              const struct tr_frame *samples, int32_t n_parts, struct tr_frame **out,
                                              struct tr_error *err);
/* Writes the rows of each part as a segment, in their order. */
TR_MUST_USE enum tr_status tr_exchange_write(struct tr_ctx *ctx, struct tr_block_writer *w, const struct tr_frame *f,
                                             const uint32_t *parts, int32_t n_parts, struct tr_error *err);

/* ---- states (states.c): columns are keys, then TR_STATES_OF_ITEM per item, then the ordinal if there is one */
enum { TR_STATES_OF_ITEM = 5 };
/* Of the rows of one task; `in` are the columns of r's input. *out NULL: no keys and no rows. */
TR_MUST_USE enum tr_status tr_states_make(struct tr_ctx *ctx, const struct tr_rel *r, const bool *need,
                                          const struct tr_frame *in, bool ordinals, int32_t task, struct tr_frame **out,
                                          struct tr_error *err);
/* The aggregate from all states (in the order of their tasks); NULL states: of no rows. With `ordinals` the last column
 * of states and result is the smallest ordinal of the group. */
TR_MUST_USE enum tr_status tr_states_finish(struct tr_ctx *ctx, struct tr_rel *r, const bool *need,
                                            const struct tr_frame *states, bool ordinals, struct tr_frame **out,
                                            struct tr_error *err);

/* ---- fragments (fragment.c) */
struct tr_fragment {
  const struct tr_task_plan *plan;
  const struct tr_stage *stage;
  int32_t task;
  struct tr_stage_position at; /* of stages with positions */
  /* Gives the frame at an edge of the tree, or of a source; `part` is the task number that the tree has there. */
  enum tr_status (*read_input)(void *arg, const struct tr_stage_input *in, int32_t part, struct tr_frame **out,
                               struct tr_error *err);
  enum tr_status (*read_source)(void *arg, int32_t node, struct tr_frame **out, struct tr_error *err);
  void *arg;
};
/* Computes the tree of the stage's node: the frame has its needed columns. Roles PLAIN and TOP. */
TR_MUST_USE enum tr_status tr_fragment_run(struct tr_ctx *ctx, const struct tr_fragment *f, struct tr_frame **out,
                                           struct tr_error *err);
/* The rows that go into the stage's node as its input 0 (PARTIAL). */
TR_MUST_USE enum tr_status tr_fragment_run_below(struct tr_ctx *ctx, const struct tr_fragment *f, struct tr_frame **out,
                                                 struct tr_error *err);
/* The stage's node over rows that carry ordinals as their last column (has_ordinal[k] per input); the result's last
 * column is the ordinal. in: frames of the inputs. KEYED. */
TR_MUST_USE enum tr_status tr_fragment_run_keyed(struct tr_ctx *ctx, struct tr_rel *r, const bool *need,
                                                 struct tr_frame *const *in, const bool *has_ordinal,
                                                 struct tr_frame **out, struct tr_error *err);
/* Whether the first n_cols columns of f can be those of `like`, and the needed ones (NULL = any) are there: what is
 * read is as another task wrote it, and the fragment may name the wrong one. */
TR_MUST_USE enum tr_status tr_fragment_check(const struct tr_rel *like, int n_cols, const struct tr_frame *f,
                                             const bool *need, struct tr_error *err);
/* A FRAME leaf (takes nothing) with the columns of `like`, and one more for an ordinal. */
TR_MUST_USE enum tr_status tr_fragment_leaf(const struct tr_rel *like, struct tr_frame *f, bool ordinal,
                                            struct tr_rel **out, struct tr_error *err);

/* ---- commits (task_commit.c) */
enum { TR_KEY_SIZE = 300, TR_COMMIT_SEGMENTS = 1 << 20 };
struct tr_commit {
  int32_t attempt, n_segments;
  char key[TR_KEY_SIZE], etag[128];
  struct tr_block_segment *segments; /* owned */
};
void tr_commit_key(char *out, size_t size, const char *query, int32_t stage, int32_t task);
TR_MUST_USE enum tr_status tr_commit_read(const struct tr_bucket *bucket, const char *query, int32_t stage,
                                          int32_t task, struct tr_commit *out, struct tr_error *err);
void tr_commit_drop(struct tr_commit *c);
/* Puts the commit; *won tells whether it is this one that lies there now. */
TR_MUST_USE enum tr_status tr_commit_put(const struct tr_bucket *bucket, const char *query, int32_t stage, int32_t task,
                                         const struct tr_commit *c, bool *won, struct tr_error *err);

struct tr_frames {
  struct tr_frame **frames; /* owned */
  int n, room;
};
/* Takes f. */
TR_MUST_USE enum tr_status tr_frames_add(struct tr_frames *list, struct tr_frame *f, struct tr_error *err);
void tr_frames_drop(struct tr_frames *list);
/* Frames of one segment (-1: all) of what tasks [first, end) of a stage committed, in their order; several are read at
 * a time. */
TR_MUST_USE enum tr_status tr_commits_frames(const struct tr_task_env *env, const char *query, int32_t stage,
                                             int32_t first, int32_t end, int32_t segment, struct tr_frames *list,
                                             struct tr_error *err);
/* Frames of one segment of a committed object, or of all (-1), behind those in the list. */
TR_MUST_USE enum tr_status tr_commit_frames(const struct tr_task_env *env, const struct tr_commit *c, int32_t segment,
                                            struct tr_frames *list, struct tr_error *err);
