/* The shape of a plan: what can be known of a sealed plan (codec_seal.h) without opening a seal. Stages are cut from it
 * (meta/opt/stages.h), by the scheduler and in-process alike.
 *
 * Decoding is as strict as codec.h's: limits, ranges, no unknown fields. It differs in that values must be sealed (a
 * plan with a readable value is refused: whoever reads shapes must not be shown any) and that dtypes are taken as
 * written, since inferring them needs the values. Errors are TR_EXC_VALUE "plan: …" naming the place.
 */
#pragma once
#include "base/arena.h"
#include "meta/plan/codec.h"

struct tr_shape_expr {
  int16_t op;            /* enum tr_expr_op */
  struct tr_dtype dtype; /* of LIT: unknown, kind TR_N_KINDS */
  int32_t column;        /* COL, else -1 */
  int32_t top_column;    /* highest column read, -1 = none */
  int32_t depth, n_args;
  int32_t *args;      /* numbers of expressions */
  int64_t size;       /* operations, shared ones counted at every use */
  bool row_number;    /* ROW_NUMBER occurs: it depends on where a row stands */
  bool sees_all_rows; /* its value or dtype at a row may depend on other rows (categories made from values) */
};

struct tr_shape_item {
  uint8_t kind, fn; /* as in struct tr_item */
  bool skipna, unsettled;
  int16_t expr, expr2;
  int64_t param;
  struct tr_dtype dtype;
};

struct tr_shape_node {
  uint8_t kind;   /* enum tr_rel_kind; FRAME and PARQUET are sources */
  int32_t source; /* ordinal, -1 = inner node */
  int32_t n_cols, n_inputs, n_exprs, n_keys, n_items;
  int32_t *inputs, *exprs; /* numbers of nodes and expressions */
  struct tr_shape_item *items;
  struct tr_rel_options opt;
  int32_t consumers; /* nodes that name it as input, each once per time; the root has one more */
};

struct tr_shape_source {
  uint8_t kind;
  int32_t n_cols;
  int64_t n_rows;    /* -1 = unknown */
  bool has_category; /* a column is a category: its categories may be known only when all of it was read */
};

struct tr_shape {
  struct tr_arena arena; /* holds everything below */
  int32_t n_sources, n_exprs, n_nodes;
  struct tr_shape_source *sources;
  struct tr_shape_expr *exprs;
  struct tr_shape_node *nodes; /* inputs before their consumers; the root is last */
};

/* limits may be NULL (defaults). The caller drops the shape, unless decoding failed. */
TR_MUST_USE enum tr_status tr_shape_decode(const char *text, size_t len, const struct tr_plan_limits *limits,
                                           struct tr_shape *out, struct tr_error *err);
void tr_shape_drop(struct tr_shape *shape);

/* Sources as a plan's text (sealed or not) describes them, over nothing: what tr_plan_decode needs on a machine that
 * does not have them. *out: references, to be freed with tr_plan_sources_free. */
TR_MUST_USE enum tr_status tr_plan_described_sources(const char *text, size_t len, struct tr_rel ***out, int *n,
                                                     struct tr_error *err);
