/* The optimiser: rewrites a plan into a cheaper one of equal result. It sees metadata only; what it must know of
 * results at hand and of aggregate functions comes through hooks. One pass per file:
 *
 *   share.c    structurally equal nodes become one
 *   filter.c   filters move towards the sources
 *   slice.c    sort + head becomes top-n; slices move below computed columns
 *   order.c    sorts whose order nobody can see are dropped
 *   project.c  projections of projections become one
 *   prune.c    which Parquet row groups a filter can match
 *
 * Guarantees: the root's columns keep their positions; values, dtypes, row order and errors of the needed columns stay
 * (float sums within the tolerance between plan shapes). A node whose needed columns are at hand is a leaf: nothing
 * below it is looked at. A node with several consumers is never made to run twice. Given nodes are not changed: a
 * rewritten plan shares them.
 */
#pragma once
#include "meta/plan/rel.h"

/* What an item of AGGREGATE or WINDOW sees beyond the values of its own group. */
enum tr_opt_trait {
  TR_OPT_SEES_ORDER = 1,    /* the order of rows within a group */
  TR_OPT_SEES_GROUPS = 2,   /* other groups' rows */
  TR_OPT_DTYPE_DEPENDS = 4, /* the result's dtype is decided by values of all groups */
};

/* Any of these may be NULL: then the optimiser assumes the worst. */
struct tr_opt_hooks {
  bool (*at_hand)(const struct tr_rel *r, const bool *need); /* the needed columns are kept on r */
  unsigned (*item_traits)(const struct tr_rel *r, int item); /* set of enum tr_opt_trait */
  bool travels; /* the plan will be cut into stages: sorts stay nodes of their own, for each is a stage */
};

/* A node of the given plan and the node of the rewritten plan that computes the same (for the columns needed). */
struct tr_opt_twin {
  struct tr_rel *original; /* borrowed */
  struct tr_rel *now;      /* a reference */
};

struct tr_opt_result {
  struct tr_rel *root;
  struct tr_opt_twin
      *twins; /* of nodes that handles hold, and the root; `now` need not occur in the plan of root any more */
  int n_twins;
};

/* Rewrites the plan of `root` of which columns `need` (NULL = all) are wanted. The caller drops the result. */
TR_MUST_USE enum tr_status tr_opt_run(struct tr_rel *root, const bool *need, const struct tr_opt_hooks *hooks,
                                      struct tr_opt_result *out, struct tr_error *err);
void tr_opt_result_drop(struct tr_opt_result *result);

/* What a node needs of its inputs when columns `need` of it are wanted: sets input_need[k][c], never clears. */
void tr_opt_input_needs(const struct tr_rel *r, const bool *need, bool *const *input_need);
/* Whether input k runs at all: a ZIP runs only inputs whose columns are needed; of none needed, the last one counts its
 * rows. */
bool tr_opt_runs_input(const struct tr_rel *r, const bool *need, int k);

/* What a file's footer tells of one column in one row group. */
struct tr_opt_column_stats {
  bool has_min_max, has_null_count;
  struct tr_scalar min, max; /* bounds (not always values that occur); of the column's dtype; text borrowed */
  int64_t null_count;
};

/* Clears keep[g] for each of n_groups row groups of which no row can satisfy `predicate` (over n_cols columns; a column
 * beyond n_stats_cols has no statistics). stats: n_groups * n_stats_cols, group major; rows: rows of each group. */
void tr_opt_prune_row_groups(const struct tr_expr *predicate, const struct tr_opt_column_stats *stats, int n_stats_cols,
                             const int64_t *rows, int n_groups, bool *keep);
