/* The annotated plan: nodes in the order they would run, what is needed of each, who reads it, and which dtypes are
 * loose. */
#include "base/hash.h"
#include "meta/opt/opt_int.h"
#include <stdlib.h>
#include <string.h>

static uint32_t slot_of(const struct tr_opt_plan *p, const struct tr_rel *r) {
  uint32_t at = (uint32_t)tr_hash_u64((uint64_t)(uintptr_t)r) & (p->n_slots - 1);
  while (p->slots[at] && p->nodes[p->slots[at] - 1].rel != r) at = (at + 1) & (p->n_slots - 1);
  return at;
}

int tr_opt_find(const struct tr_opt_plan *p, const struct tr_rel *r) {
  return p->n_slots ? p->slots[slot_of(p, r)] - 1 : -1;
}

static enum tr_status grow(struct tr_opt_plan *p, struct tr_error *err) {
  int capacity = p->capacity ? 2 * p->capacity : 32;
  struct tr_opt_node *nodes = realloc(p->nodes, sizeof *nodes * (size_t)capacity);
  if (!nodes) return tr_fail_memory(err, sizeof *nodes * (size_t)capacity);
  p->nodes = nodes;
  p->capacity = capacity;
  int32_t *slots = calloc((size_t)capacity * 2, sizeof *slots);
  if (!slots) return tr_fail_memory(err, sizeof *slots * (size_t)capacity * 2);
  free(p->slots);
  p->slots = slots;
  p->n_slots = (uint32_t)capacity * 2;
  for (int i = 0; i < p->n; i++) p->slots[slot_of(p, p->nodes[i].rel)] = i + 1;
  return TR_OK;
}

static enum tr_status collect(struct tr_opt_plan *p, struct tr_rel *r, struct tr_error *err) {
  if (tr_opt_find(p, r) >= 0) return TR_OK;
  for (int k = 0; k < r->n_inputs; k++) TR_TRY(collect(p, r->inputs[k], err));
  if (p->n == p->capacity) TR_TRY(grow(p, err));
  bool *flags = calloc((size_t)r->n_cols * 2 + 1, sizeof *flags);
  if (!flags) return tr_fail_memory(err, (size_t)r->n_cols * 2);
  p->nodes[p->n] = (struct tr_opt_node){.rel = r, .need = flags, .loose = flags + r->n_cols};
  p->slots[slot_of(p, r)] = ++p->n;
  p->kinds |= 1u << r->kind;
  return TR_OK;
}

unsigned tr_opt_traits(const struct tr_opt_plan *p, const struct tr_rel *r, int item) {
  unsigned all = TR_OPT_SEES_ORDER | TR_OPT_SEES_GROUPS | TR_OPT_DTYPE_DEPENDS;
  unsigned traits = p->hooks && p->hooks->item_traits ? p->hooks->item_traits(r, item) : all;
  int first = r->kind == TR_REL_WINDOW ? r->inputs[0]->n_cols : r->n_keys;
  return r->cols[first + item].unsettled ? traits | TR_OPT_DTYPE_DEPENDS : traits;
}

static bool expr_is_loose(const struct tr_expr *e, const bool *loose) {
  if (e->dtype_depends_on_data) return true;
  if (e->op == TR_OP_COL) return loose[e->column];
  if (e->dtype.kind == TR_BOOL || e->dtype.kind == TR_STR) return false;
  return tr_opt_reads_any(e, loose);
}

static void find_loose_items(struct tr_opt_plan *p, struct tr_opt_node *node, const bool *in) {
  const struct tr_rel *r = node->rel;
  int at = r->kind == TR_REL_WINDOW ? r->inputs[0]->n_cols : r->n_keys;
  for (int i = 0; i < r->n_items; i++) {
    const struct tr_item *it = &r->items[i];
    bool loose = (tr_opt_traits(p, r, i) & TR_OPT_DTYPE_DEPENDS) != 0;
    if (it->expr >= 0) loose |= expr_is_loose(r->exprs[it->expr], in);
    node->loose[at + i] = loose;
  }
}

static void find_loose(struct tr_opt_plan *p, struct tr_opt_node *node) {
  const struct tr_rel *r = node->rel;
  int n = 0;
  for (int i = 0; i < r->n_cols; i++) node->loose[i] = r->cols[i].unsettled;
  const bool *in = r->n_inputs ? tr_opt_input(p, r, 0)->loose : NULL;
  switch (r->kind) {
  case TR_REL_FRAME:
  case TR_REL_PARQUET: return;
  case TR_REL_PROJECT:
    for (int i = 0; i < r->n_exprs; i++) node->loose[i] = expr_is_loose(r->exprs[i], in);
    return;
  case TR_REL_AGGREGATE:
    for (int i = 0; i < r->n_keys; i++) node->loose[i] = expr_is_loose(r->exprs[i], in);
    find_loose_items(p, node, in);
    return;
  case TR_REL_WINDOW:
    memcpy(node->loose, in, (size_t)r->inputs[0]->n_cols);
    find_loose_items(p, node, in);
    return;
  case TR_REL_ZIP:
  case TR_REL_JOIN:
    for (int k = 0; k < r->n_inputs; k++) {
      const struct tr_opt_node *side = tr_opt_input(p, r, k);
      for (int i = 0; i < side->rel->n_cols; i++) node->loose[n++] |= side->loose[i];
    }
    for (int i = 0; r->kind == TR_REL_JOIN && i < r->n_keys; i++)
      node->loose[n++] |=
          expr_is_loose(r->exprs[i], in) || expr_is_loose(r->exprs[r->n_keys + i], tr_opt_input(p, r, 1)->loose);
    return;
  default:
    for (int k = 0; k < r->n_inputs; k++)
      for (int i = 0; i < r->n_cols; i++) node->loose[i] |= tr_opt_input(p, r, k)->loose[i];
  }
}

static bool is_leaf(const struct tr_opt_plan *p, const struct tr_opt_node *node) {
  if (!node->rel->n_inputs) return true;
  return p->hooks && p->hooks->at_hand && p->hooks->at_hand(node->rel, node->need);
}

static enum tr_status propagate(struct tr_opt_plan *p, struct tr_error *err) {
  for (int i = p->n - 1; i >= 0; i--) {
    struct tr_opt_node *node = &p->nodes[i];
    const struct tr_rel *r = node->rel;
    node->wanted = node->consumers > 0;
    if (!node->wanted) continue;
    node->leaf = is_leaf(p, node);
    if (node->leaf) continue;
    bool *few[8], **need = r->n_inputs <= 8 ? few : malloc(sizeof *need * r->n_inputs);
    if (!need) return tr_fail_memory(err, sizeof *need * r->n_inputs);
    for (int k = 0; k < r->n_inputs; k++) {
      struct tr_opt_node *in = tr_opt_input(p, r, k);
      need[k] = in->need;
      if (!tr_opt_runs_input(r, node->need, k)) continue;
      in->consumers++;
      in->slices += r->kind == TR_REL_SLICE;
    }
    tr_opt_input_needs(r, node->need, need);
    if (need != few) free(need);
  }
  return TR_OK;
}

enum tr_status tr_opt_plan_make(struct tr_rel *root, const bool *need, const struct tr_opt_hooks *hooks,
                                struct tr_opt_plan *out, struct tr_error *err) {
  *out = (struct tr_opt_plan){.hooks = hooks};
  enum tr_status st = grow(out, err);
  if (st == TR_OK) st = collect(out, root, err);
  if (st == TR_OK) {
    struct tr_opt_node *top = &out->nodes[out->n - 1];
    for (int i = 0; i < root->n_cols; i++) top->need[i] = need ? need[i] : true;
    top->consumers = 1;
    for (int i = 0; i < out->n; i++) find_loose(out, &out->nodes[i]);
    st = propagate(out, err);
  }
  if (st != TR_OK) tr_opt_plan_drop(out);
  return st;
}

void tr_opt_plan_drop(struct tr_opt_plan *p) {
  for (int i = 0; i < p->n; i++) free(p->nodes[i].need);
  free(p->nodes);
  free(p->slots);
  *p = (struct tr_opt_plan){0};
}

enum tr_status tr_opt_make_filter(struct tr_rel *in, struct tr_expr *predicate, struct tr_rel **out,
                                  struct tr_error *err) {
  struct tr_rel_spec s = {.kind = TR_REL_FILTER, .inputs = &in, .n_inputs = 1, .exprs = &predicate, .n_exprs = 1};
  return tr_rel_make(&s, out, err);
}
