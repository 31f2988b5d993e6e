/* Stages: a plan cut into pieces of work that exchange rows through the bucket. A pure function of the plan's shape, of
 * how many rows lie in which piece of its sources, and of options; the scheduler and an engine that runs its own tasks
 * use it alike. What a task does with its stage is in data/exec/task.h; docs/distributed.md says which operation is
 * distributed how.
 *
 * A stage computes one plan node over a tree of nodes below it. The tree ends at sources and at inputs: edges where the
 * output of an earlier stage is read. It has `n_tasks` tasks; what they give, one after another, is the node's rows in
 * their order. An operator that would lose row order gives every row an ordinal (task << 40 | row) before it and goes
 * back to that order behind it.
 */
#pragma once
#include "meta/plan/shape.h"
#include <jansson.h>

struct tr_stage_options {
  int64_t target_rows;    /* per task; 0 = TR_STAGE_TARGET_ROWS */
  int64_t broadcast_rows; /* a side of a join that has no more is read by every task; 0 = default, -1 = never */
  int32_t max_partitions; /* tasks of a scan and of an exchange at most; 0 = default */
};
enum { TR_STAGE_TARGET_ROWS = 4000000, TR_STAGE_BROADCAST_ROWS = 1000000, TR_STAGE_MAX_PARTITIONS = 64 };

/* A source of the plan: rows of each piece (a Parquet row group or a block of an uploaded frame). */
struct tr_stage_source {
  int32_t n_pieces;
  const int64_t *rows;
};

enum tr_stage_role {
  TR_STAGE_PLAIN,   /* the node, over its tree */
  TR_STAGE_PARTIAL, /* AGGREGATE: accumulator states of this task's rows */
  TR_STAGE_KEYED,   /* one node over rows (or states) that carry ordinals, each key in one task; gives ordinals on */
  TR_STAGE_TOP,     /* SORT with a limit, SLICE from an end: rows of this task that can be in the result */
  TR_STAGE_BOUNDS,  /* from samples of keys: where ranges end */
  TR_STAGE_SPLIT,   /* rows as they came, by range */
  TR_N_STAGE_ROLES
};

enum tr_stage_mode {
  TR_READ_SAME,      /* task p reads what task p of the other stage wrote */
  TR_READ_SHUFFLE,   /* task p reads segment p of all its tasks, in task order */
  TR_READ_BROADCAST, /* every task reads all of it, in task order; stage -1: all of a source */
  TR_READ_ROWS,      /* task p reads rows [offset, offset + rows) of all of it */
  TR_N_STAGE_MODES
};

enum tr_stage_holds {
  TR_HOLDS_ROWS,
  TR_HOLDS_ORDINALS, /* the last column is the ordinal */
  TR_HOLDS_STATES,   /* of an AGGREGATE, from PARTIAL */
  TR_N_STAGE_HOLDS
};

enum tr_stage_by {
  TR_BY_NONE,   /* one segment */
  TR_BY_HASH,   /* of the keys of key_node */
  TR_BY_RANGE,  /* of the keys of key_node */
  TR_BY_ORIGIN, /* the task that the ordinal names */
  TR_BY_SAMPLE, /* segment 0: the rows; segment 1: keys of some of them */
  TR_BY_RESULT, /* one segment: the query's result */
  TR_N_STAGE_BYS
};

/* The edge into input `input` of node `of` (-1: the stage's node itself) is fed by another stage. */
struct tr_stage_input {
  int32_t of, input;
  int32_t node;    /* what the other stage computed */
  int32_t stage;   /* -1 = a source, read whole */
  int32_t tasks;   /* of that stage */
  int32_t segment; /* SAME, BROADCAST: only this one; -1 = all */
  uint8_t mode, holds;
};

/* Of CONCAT `node` each task computes one branch: input k in tasks[k] tasks, counted from where the branch begins. */
struct tr_stage_branches {
  int32_t node, n;
  int32_t *tasks;
};

struct tr_stage_piece {
  int32_t source, from, to;
};

struct tr_stage {
  int32_t id, node, n_tasks, n_inputs, n_branches;
  uint8_t role;
  uint8_t by;
  bool ordinals;    /* the output's last column is the ordinal: made here, or handed on (KEYED) */
  int32_t parts;    /* segments of the output */
  int32_t key_node; /* HASH, RANGE, SAMPLE, BOUNDS; else -1 */
  int32_t key_side; /* JOIN: 0 left, 1 right */
  struct tr_stage_input *inputs;
  struct tr_stage_branches *branches;
  /* Positions: tasks must be told which rows of all rows they have. base = the stage whose tasks' row counts say so (it
   * is read with SAME), -1: offsets[n_tasks + 1] says it. */
  bool positions;
  int32_t base;
  int64_t *offsets;
  /* Pieces of sources per task: pieces[first_piece[task] .. first_piece[task + 1]). Not part of the fragment. */
  int32_t *first_piece;
  struct tr_stage_piece *pieces;
};

struct tr_stages {
  struct tr_arena arena;
  int32_t n;
  struct tr_stage *stages; /* in topological order; the last gives the result */
};

/* options may be NULL. One tr_stage_source per source of the shape, with at least one piece each. */
TR_MUST_USE enum tr_status tr_stages_cut(const struct tr_shape *shape, const struct tr_stage_source *sources,
                                         int n_sources, const struct tr_stage_options *options, struct tr_stages *out,
                                         struct tr_error *err);
void tr_stages_drop(struct tr_stages *stages);

/* Which rows task `task` of a stage with `positions` has: `rows` from `offset` on, of `total`. base_rows: rows of each
 * task of stage `base`; not read when base is -1. */
struct tr_stage_position {
  int64_t offset, rows, total;
};
struct tr_stage_position tr_stage_position(const struct tr_stage *stage, int32_t task, const int64_t *base_rows,
                                           int32_t n_base);

/* The stage as JSON, for workers: all but pieces and offsets. Free with free(). */
TR_MUST_USE enum tr_status tr_stage_encode(const struct tr_stage *stage, char **json, struct tr_error *err);
/* And back, in memory of the arena; numbers are checked against each other, nodes against n_nodes. `fragment` is the
 * parsed object, as a larger message may hold it. TR_EXC_VALUE "fragment: …". */
TR_MUST_USE enum tr_status tr_stage_decode(const json_t *fragment, int32_t n_nodes, struct tr_arena *arena,
                                           struct tr_stage *out, struct tr_error *err);
