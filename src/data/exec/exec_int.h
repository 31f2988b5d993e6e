/* Inside the executor: one node of the running plan and the operators. */
#pragma once
#include "data/exec/exec.h"

struct tr_node {
  struct tr_rel *rel;
  bool *need;            /* n_cols */
  struct tr_frame *out;  /* result, NULL until run */
  int waiting;           /* consumers that have not run yet */
};

/* One operator: computes the needed columns of node->rel from the inputs' frames into node->out. */
typedef enum tr_status (*tr_operator_fn)(struct tr_ctx *ctx, struct tr_node *node, struct tr_frame *const *in, struct tr_error *err);

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
TR_MUST_USE enum tr_status tr_node_take(struct tr_ctx *ctx, struct tr_node *node, int at, struct tr_array *const *in, int n,
                                        const uint32_t *rows, int64_t n_rows, bool has_missing, struct tr_error *err);
/* Evaluates exprs over a sparse frame into `out` (n slots of references). */
TR_MUST_USE enum tr_status tr_node_eval(struct tr_ctx *ctx, struct tr_expr *const *exprs, int n, const struct tr_frame *in,
                                        struct tr_array **out, struct tr_error *err);
void tr_arrays_drop(struct tr_array **arrays, int n);
