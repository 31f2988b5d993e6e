/* Between the files that cut a plan into stages (stages*.c). */
#pragma once
#include "meta/opt/stages.h"

struct tr_edge {
  struct tr_stage_input in;
  struct tr_edge *next;
};

struct tr_branch {
  struct tr_stage_branches at;
  struct tr_branch *next;
};

/* A node that no stage has computed yet: the tree that is growing above its inputs. */
struct tr_open {
  int32_t node, n_tasks;
  bool is_leaf;          /* the node itself is read from another stage, as `leaf` says */
  struct tr_edge leaf;   /* of and input are filled in by who reads it */
  struct tr_edge *edges; /* of the tree */
  struct tr_branch *branches;
  bool in_place;       /* row i of task p is row i of task p of the base: no row came or went */
  bool positions;      /* some node of the tree asks where rows stand */
  int32_t base_source; /* in_place: the source node whose pieces the tasks read, or … */
  int32_t base_stage;  /* … the stage read with SAME; -1 = not this one */
};

struct tr_cut {
  const struct tr_shape *shape;
  const struct tr_stage_source *sources;
  struct tr_stage_options options;
  struct tr_stages *out;
  int32_t capacity;
  int32_t *source_tasks;  /* per source */
  int32_t **source_first; /* per source: first piece of each task, n_tasks + 1 */
  int64_t *estimate;      /* rows per node, more or less */
  int64_t *bound;         /* rows per node at most; INT64_MAX = anything */
  bool **need;            /* per node: columns somebody needs; NULL = the node does not run */
  struct tr_open **done;  /* per node that has several consumers: how it can be had */
  struct tr_error *err;
};

void *tr_cut_alloc(struct tr_cut *c, size_t bytes);
static inline const struct tr_shape_node *tr_cut_node(const struct tr_cut *c, int32_t node) {
  return &c->shape->nodes[node];
}
/* Tasks that an exchange of so many rows should have. */
int32_t tr_cut_parts(const struct tr_cut *c, int64_t rows);
/* Fills need. */
TR_MUST_USE enum tr_status tr_cut_needs(struct tr_cut *c);
/* Whether input k of the node runs: of ZIP only inputs whose columns are needed do, as tr_opt_runs_input says. */
bool tr_cut_runs_input(const struct tr_cut *c, int32_t no, int k);
/* How node `no` can be had (recursive). */
TR_MUST_USE enum tr_status tr_cut_node_open(struct tr_cut *c, int32_t no, struct tr_open *out);

/* Where a stage's output goes. */
struct tr_output {
  enum tr_stage_role role;
  enum tr_stage_by by;
  int32_t parts, key_node, key_side;
  bool ordinals;
};
/* Makes a stage that computes the open tree (role PARTIAL, TOP: node `node` over it); gives its number. */
TR_MUST_USE enum tr_status tr_cut_close(struct tr_cut *c, const struct tr_open *o, int32_t node,
                                        const struct tr_output *output, int32_t *stage);
/* A leaf: node, as the given stage wrote it. */
struct tr_open tr_cut_leaf(const struct tr_cut *c, int32_t node, int32_t stage, enum tr_stage_mode mode,
                           enum tr_stage_holds holds, int32_t n_tasks);
/* Makes `o` input `input` of node `of` in the tree that `into` describes: adds edges and branches. */
TR_MUST_USE enum tr_status tr_cut_attach(struct tr_cut *c, const struct tr_open *o, int32_t of, int32_t input,
                                         struct tr_open *into);
/* The rows of o in one task. */
TR_MUST_USE enum tr_status tr_cut_gather(struct tr_cut *c, struct tr_open *o);
/* o as a leaf that is read task by task (SAME). */
TR_MUST_USE enum tr_status tr_cut_settle(struct tr_cut *c, struct tr_open *o);
/* Rows of o ranged by the keys of key_node, which the next stage reads with SHUFFLE: *o becomes that leaf. */
TR_MUST_USE enum tr_status tr_cut_range(struct tr_cut *c, struct tr_open *o, int32_t node, int32_t key_node,
                                        enum tr_stage_role role, int32_t parts);

/* Node kinds (stages_group.c, stages_join.c); inputs are open already. *out begins as an empty tree for the node. */
enum tr_status tr_cut_aggregate(struct tr_cut *, int32_t no, struct tr_open *in, struct tr_open *out);
enum tr_status tr_cut_by_key(struct tr_cut *, int32_t no, struct tr_open *in, struct tr_open *out);
enum tr_status tr_cut_join(struct tr_cut *, int32_t no, struct tr_open *left, struct tr_open *right,
                           struct tr_open *out);
