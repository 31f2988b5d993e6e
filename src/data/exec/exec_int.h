/* Inside the executor: one node of the running plan and the operators. */
#pragma once
#include "data/exec/exec.h"
#include "meta/opt/opt.h"

struct tr_node {
  struct tr_rel *rel;
  bool *need;           /* n_cols */
  struct tr_frame *out; /* result, NULL until run */
  int waiting;          /* consumers that have not run yet */
  bool *row_groups; /* PARQUET: the row groups its readers can use, file after file; NULL = all. Such a result is never
                       kept */
  bool late;        /* FILTER that only slices read: it leaves its rows ungathered, in the two fields below */
  struct tr_buffer *picked;     /* uint32 row numbers; owned */
  struct tr_frame *picked_from; /* owned */
  const struct tr_node *first;  /* the node of input 0, while an operator runs */
};

/* A plan about to run: the nodes of the rewritten plan, inputs before their consumers, with needs and counts of
 * readers. */
struct tr_exec_plan {
  struct tr_node *nodes;
  int n, capacity;
  struct tr_opt_result opt; /* nothing in it when the plan runs as it was made */
};

/* How a plan is rewritten: not at all, to run here, or to be cut into stages that run elsewhere. */
enum tr_exec_aim { TR_AIM_AS_MADE, TR_AIM_RUN, TR_AIM_TRAVEL };
/* Rewrites the plan of r and annotates it. Under the executor's lock. */
TR_MUST_USE enum tr_status tr_exec_prepare(struct tr_rel *r, const bool *need, enum tr_exec_aim aim,
                                           struct tr_exec_plan *out, struct tr_error *err);
void tr_exec_plan_drop(struct tr_exec_plan *p);
int tr_exec_find(const struct tr_exec_plan *p, const struct tr_rel *r);
/* Whether the node's needed columns are kept on it. */
bool tr_exec_at_hand(const struct tr_node *node);
void tr_exec_lock(void);
void tr_exec_unlock(void);
/* Sets scan->row_groups when the readers of a PARQUET node can do without some: one filter, by the footers' statistics;
 * or slices, which take the first and last rows. Leaves NULL when it would not pay or could show in a dtype. */
void tr_scan_choose_row_groups(struct tr_node *scan, const struct tr_rel *const *readers, int n_readers);
/* What an aggregate or window sees; for the optimiser. */
unsigned tr_exec_item_traits(const struct tr_rel *r, int item);

/* One operator: computes the needed columns of node->rel from the inputs' frames into node->out. */
typedef enum tr_status (*tr_operator_fn)(struct tr_ctx *ctx, struct tr_node *node, struct tr_frame *const *in,
                                         struct tr_error *err);

enum tr_status tr_op_scan_frame(struct tr_ctx *, struct tr_node *, struct tr_frame *const *, struct tr_error *);
enum tr_status tr_op_scan_parquet(struct tr_ctx *, struct tr_node *, struct tr_frame *const *, struct tr_error *);
enum tr_status tr_op_filter(struct tr_ctx *, struct tr_node *, struct tr_frame *const *, struct tr_error *);
enum tr_status tr_op_project(struct tr_ctx *, struct tr_node *, struct tr_frame *const *, struct tr_error *);
enum tr_status tr_op_aggregate(struct tr_ctx *, struct tr_node *, struct tr_frame *const *, struct tr_error *);
enum tr_status tr_op_window(struct tr_ctx *, struct tr_node *, struct tr_frame *const *, struct tr_error *);
enum tr_status tr_op_group_head(struct tr_ctx *, struct tr_node *, struct tr_frame *const *, struct tr_error *);
enum tr_status tr_op_join(struct tr_ctx *, struct tr_node *, struct tr_frame *const *, struct tr_error *);
enum tr_status tr_op_sort(struct tr_ctx *, struct tr_node *, struct tr_frame *const *, struct tr_error *);
enum tr_status tr_op_slice(struct tr_ctx *, struct tr_node *, struct tr_frame *const *, struct tr_error *);
enum tr_status tr_op_concat(struct tr_ctx *, struct tr_node *, struct tr_frame *const *, struct tr_error *);
enum tr_status tr_op_distinct(struct tr_ctx *, struct tr_node *, struct tr_frame *const *, struct tr_error *);
enum tr_status tr_op_zip(struct tr_ctx *, struct tr_node *, struct tr_frame *const *, struct tr_error *);

/* Makes node->out with n_rows rows and NULL columns. */
TR_MUST_USE enum tr_status tr_node_begin(struct tr_node *node, int64_t n_rows, struct tr_error *err);
/* Fills the needed columns out[at + i] = take(in[i], rows) for i < n. rows NULL = identity. */
TR_MUST_USE enum tr_status tr_node_take(struct tr_ctx *ctx, struct tr_node *node, int at, struct tr_array *const *in,
                                        int n, const uint32_t *rows, int64_t n_rows, bool has_missing,
                                        struct tr_error *err);
/* Evaluates exprs over a sparse frame into `out` (n slots of references). */
TR_MUST_USE enum tr_status tr_node_eval(struct tr_ctx *ctx, struct tr_expr *const *exprs, int n,
                                        const struct tr_frame *in, struct tr_array **out, struct tr_error *err);
void tr_arrays_drop(struct tr_array **arrays, int n);
/* Gives all zeros among *labels the sign of the first zero of their key column. pandas makes labels of several keys
 * from the distinct values of each column, in which 0.0 and -0.0 are one value, the first. (A group of one key begins
 * with the column's first zero anyway.) The key is searched only when a label is zero, and up to its first zero. The
 * labels may be the key column itself, so they are copied before they change. */
TR_MUST_USE enum tr_status tr_group_one_zero(const struct tr_array *key, struct tr_array **labels,
                                             struct tr_error *err);
