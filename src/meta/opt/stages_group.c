/* Cutting at aggregates, windows, group heads and distinct: see stages.h.
 *
 * Aggregates whose functions can be put together from states of parts (sums, extremes, counts, moments, first, last)
 * are computed in two steps. Sorted ones exchange by ranges of their keys, so that tasks' results follow one another;
 * the others by hash, and go back to the order of first appearance by ordinals. */
#include "meta/opt/stages_int.h"

/* How an aggregate function can be distributed, by enum tr_agg. */
enum way {
  NUMBERS, /* states, of numbers and bools */
  ANY,     /* states, of everything */
  ROWS,    /* needs its group's rows together */
  ALONE    /* needs all rows: it gives row numbers */
};
static const uint8_t ways[TR_PLAN_N_AGGS] = {ANY /* size */,      ANY /* count */,
                                             NUMBERS /* sum */,   NUMBERS /* prod */,
                                             NUMBERS /* mean */,  ANY /* min */,
                                             ANY /* max */,       NUMBERS /* std */,
                                             NUMBERS /* var */,   NUMBERS /* sem */,
                                             ROWS /* skew */,     ROWS /* median */,
                                             ROWS /* quantile */, ANY /* first */,
                                             ANY /* last */,      ROWS /* nunique */,
                                             ANY /* any */,       ANY /* all */,
                                             ALONE /* idxmin */,  ALONE /* idxmax */,
                                             ROWS /* corr */,     ALONE /* nth */};
enum { MEAN = 4, NGROUP = 12 /* of enum tr_window */ };

static enum way way_of(const struct tr_cut *c, const struct tr_shape_node *node, const struct tr_shape_item *it) {
  if (it->kind == TR_ITEM_WINDOW) return it->fn == NGROUP ? ALONE : ROWS;
  enum way way = (enum way)ways[it->fn];
  if (it->expr < 0) return way;
  const struct tr_shape_expr *e = &c->shape->exprs[node->exprs[it->expr]];
  /* whether the mean of float32 is float64 depends on how all groups lie in the rows */
  if (it->fn == MEAN && e->dtype.kind == TR_F32 && node->n_keys) return ALONE;
  bool number = tr_kind_is_number(e->dtype.kind) || e->dtype.kind == TR_BOOL;
  return way == NUMBERS ? number ? ANY : ROWS : way;
}

/* The way that serves all items; ALONE when an expression must see all rows. */
static enum way way_of_node(const struct tr_cut *c, const struct tr_shape_node *node) {
  enum way way = ANY;
  for (int i = 0; i < node->n_exprs; i++)
    if (c->shape->exprs[node->exprs[i]].sees_all_rows || c->shape->exprs[node->exprs[i]].row_number) return ALONE;
  for (int i = 0; i < node->n_items; i++) {
    enum way one = way_of(c, node, &node->items[i]);
    way = one > way ? one : way;
  }
  return way;
}

/* Rows (or states) by hash of the keys, the node per key, and back to where the rows came from. */
static enum tr_status keyed(struct tr_cut *c, int32_t no, const struct tr_open *in, enum tr_stage_role role,
                            int32_t parts, struct tr_open *out) {
  bool states = role == TR_STAGE_PARTIAL;
  int32_t stage, n_origins = in->n_tasks;
  struct tr_output hashed = {.role = role, .by = TR_BY_HASH, .parts = parts, .key_node = no, .ordinals = true};
  TR_TRY(tr_cut_close(c, in, states ? no : in->node, &hashed, &stage));
  struct tr_open rows = tr_cut_leaf(c, states ? no : in->node, stage, TR_READ_SHUFFLE,
                                    states ? TR_HOLDS_STATES : TR_HOLDS_ORDINALS, parts);
  struct tr_open tree = {.node = no, .n_tasks = parts, .base_source = -1, .base_stage = -1};
  TR_TRY(tr_cut_attach(c, &rows, no, 0, &tree));
  struct tr_output back = {
      .role = TR_STAGE_KEYED, .by = TR_BY_ORIGIN, .parts = n_origins, .key_node = -1, .ordinals = true};
  TR_TRY(tr_cut_close(c, &tree, no, &back, &stage));
  *out = tr_cut_leaf(c, no, stage, TR_READ_SHUFFLE, TR_HOLDS_ORDINALS, n_origins);
  return TR_OK;
}

static enum tr_status together(struct tr_cut *c, int32_t no, struct tr_open *in, struct tr_open *out) {
  TR_TRY(tr_cut_gather(c, in));
  out->n_tasks = 1;
  return tr_cut_attach(c, in, no, 0, out);
}

/* Of several keys a float one shows its zeros with the sign of the column's first: one task must see them all. */
static bool shows_first_zero(const struct tr_cut *c, const struct tr_shape_node *node) {
  for (int i = 0; i < node->n_keys && node->n_keys > 1; i++)
    if (tr_kind_is_float(c->shape->exprs[node->exprs[i]].dtype.kind)) return true;
  return false;
}

enum tr_status tr_cut_aggregate(struct tr_cut *c, int32_t no, struct tr_open *in, struct tr_open *out) {
  const struct tr_shape_node *node = tr_cut_node(c, no);
  enum way way = way_of_node(c, node);
  int32_t parts = shows_first_zero(c, node) ? 1 : tr_cut_parts(c, c->estimate[node->inputs[0]]), stage;
  if (in->n_tasks == 1 || way == ALONE || (way == ROWS && (parts == 1 || !node->n_keys)))
    return together(c, no, in, out);
  if (way != ROWS && (!node->n_keys || parts == 1)) {
    struct tr_output states = {.role = TR_STAGE_PARTIAL, .by = TR_BY_NONE, .parts = 1, .key_node = -1};
    TR_TRY(tr_cut_close(c, in, no, &states, &stage));
    *out = tr_cut_leaf(c, no, stage, TR_READ_BROADCAST, TR_HOLDS_STATES, 1);
    return TR_OK;
  }
  if (!node->opt.sort) return keyed(c, no, in, way == ROWS ? TR_STAGE_PLAIN : TR_STAGE_PARTIAL, parts, out);
  if (way == ROWS) {
    TR_TRY(tr_cut_range(c, in, in->node, no, TR_STAGE_PLAIN, parts));
    out->n_tasks = parts;
    return tr_cut_attach(c, in, no, 0, out);
  }
  TR_TRY(tr_cut_range(c, in, no, no, TR_STAGE_PARTIAL, parts));
  *out = *in;
  return TR_OK;
}

enum tr_status tr_cut_by_key(struct tr_cut *c, int32_t no, struct tr_open *in, struct tr_open *out) {
  const struct tr_shape_node *node = tr_cut_node(c, no);
  int32_t parts = tr_cut_parts(c, c->estimate[node->inputs[0]]);
  int32_t n_keys = node->kind == TR_REL_DISTINCT ? node->n_exprs : node->n_keys;
  if (node->kind == TR_REL_GROUP_HEAD && node->n_exprs > n_keys) return together(c, no, in, out); /* a sort as well */
  if (in->n_tasks == 1 || parts == 1 || !n_keys || way_of_node(c, node) == ALONE) return together(c, no, in, out);
  return keyed(c, no, in, TR_STAGE_PLAIN, parts, out);
}
