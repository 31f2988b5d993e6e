/* Cutting at joins: see stages.h. A small side is read by every task of the other, whose row order is then the join's;
 * two large ones meet by hash of their keys, and go back to the order of the side that pandas keeps. */
#include "meta/opt/stages_int.h"

enum how { INNER, LEFT, RIGHT, OUTER, CROSS, SEMI, ANTI }; /* enum tr_join_how */

static bool comparable(struct tr_dtype a, struct tr_dtype b) {
  bool numbers = (tr_kind_is_number(a.kind) || a.kind == TR_BOOL) && (tr_kind_is_number(b.kind) || b.kind == TR_BOOL);
  return numbers || tr_dtype_eq(a, b);
}

/* Equal keys hash alike on both sides, and no key depends on other rows. */
static bool keys_can_move(const struct tr_cut *c, const struct tr_shape_node *node) {
  for (int k = 0; k < 2 * node->n_keys; k++) {
    const struct tr_shape_expr *e = &c->shape->exprs[node->exprs[k]];
    const struct tr_shape_expr *other = &c->shape->exprs[node->exprs[(k + node->n_keys) % (2 * node->n_keys)]];
    if (e->sees_all_rows || e->row_number || !comparable(e->dtype, other->dtype)) return false;
  }
  return node->n_keys > 0;
}

static bool keys_are_local(const struct tr_cut *c, const struct tr_shape_node *node) {
  for (int k = 0; k < node->n_exprs; k++)
    if (c->shape->exprs[node->exprs[k]].sees_all_rows || c->shape->exprs[node->exprs[k]].row_number) return false;
  return true;
}

/* `small` is read by every task of `large`. */
static enum tr_status broadcast(struct tr_cut *c, int32_t no, struct tr_open *large, struct tr_open *small,
                                int small_side, struct tr_open *out) {
  int32_t stage;
  bool source = tr_cut_node(c, small->node)->source >= 0;
  out->n_tasks = large->n_tasks;
  TR_TRY(tr_cut_attach(c, large, no, !small_side, out));
  if (source) {
    struct tr_open whole = tr_cut_leaf(c, small->node, -1, TR_READ_BROADCAST, TR_HOLDS_ROWS, 1);
    return tr_cut_attach(c, &whole, no, small_side, out);
  }
  struct tr_output all = {.role = TR_STAGE_PLAIN, .by = TR_BY_NONE, .parts = 1, .key_node = -1};
  TR_TRY(tr_cut_close(c, small, small->node, &all, &stage));
  struct tr_open leaf = tr_cut_leaf(c, small->node, stage, TR_READ_BROADCAST, TR_HOLDS_ROWS, 1);
  return tr_cut_attach(c, &leaf, no, small_side, out);
}

static enum tr_status shuffle(struct tr_cut *c, int32_t no, struct tr_open *const sides[2], int32_t parts,
                              struct tr_open *out) {
  const struct tr_shape_node *node = tr_cut_node(c, no);
  int32_t stage, kept = node->opt.how == RIGHT; /* the side whose order is the join's */
  struct tr_open tree = {.node = no, .n_tasks = parts, .base_source = -1, .base_stage = -1};
  for (int k = 0; k < 2; k++) {
    struct tr_output hashed = {
        .role = TR_STAGE_PLAIN, .by = TR_BY_HASH, .parts = parts, .key_node = no, .key_side = k, .ordinals = k == kept};
    TR_TRY(tr_cut_close(c, sides[k], sides[k]->node, &hashed, &stage));
    struct tr_open leaf =
        tr_cut_leaf(c, sides[k]->node, stage, TR_READ_SHUFFLE, k == kept ? TR_HOLDS_ORDINALS : TR_HOLDS_ROWS, parts);
    TR_TRY(tr_cut_attach(c, &leaf, no, k, &tree));
  }
  int32_t n_origins = sides[kept]->n_tasks;
  struct tr_output back = {
      .role = TR_STAGE_KEYED, .by = TR_BY_ORIGIN, .parts = n_origins, .key_node = -1, .ordinals = true};
  TR_TRY(tr_cut_close(c, &tree, no, &back, &stage));
  *out = tr_cut_leaf(c, no, stage, TR_READ_SHUFFLE, TR_HOLDS_ORDINALS, n_origins);
  return TR_OK;
}

enum tr_status tr_cut_join(struct tr_cut *c, int32_t no, struct tr_open *left, struct tr_open *right,
                           struct tr_open *out) {
  const struct tr_shape_node *node = tr_cut_node(c, no);
  int64_t small = c->options.broadcast_rows, n_left = c->estimate[node->inputs[0]],
          n_right = c->estimate[node->inputs[1]];
  int how = node->opt.how;
  if (left->n_tasks > 1 || right->n_tasks > 1) {
    bool ordered = !node->opt.sort && how != OUTER && keys_are_local(c, node);
    if (ordered && how != RIGHT && left->n_tasks > 1 && c->bound[node->inputs[1]] <= small)
      return broadcast(c, no, left, right, 1, out);
    if (ordered && how == RIGHT && right->n_tasks > 1 && c->bound[node->inputs[0]] <= small)
      return broadcast(c, no, right, left, 0, out);
    int32_t parts = tr_cut_parts(c, n_left > n_right ? n_left : n_right);
    if (ordered && how != CROSS && parts > 1 && keys_can_move(c, node)) {
      struct tr_open *const sides[2] = {left, right};
      return shuffle(c, no, sides, parts, out);
    }
    TR_TRY(tr_cut_gather(c, left));
    TR_TRY(tr_cut_gather(c, right));
  }
  out->n_tasks = 1;
  TR_TRY(tr_cut_attach(c, left, no, 0, out));
  return tr_cut_attach(c, right, no, 1, out);
}
