/* Running the passes. A pass is a step applied to every node, inputs first, again and again until nothing changes; a
 * step is tried only where nothing below has changed in the same sweep, so what the annotated plan says there is true.
 */
#include "meta/opt/opt_int.h"
#include <stdlib.h>

enum { MOST_SWEEPS = 200 }; /* a plan is never worth more; each sweep leaves it right */

struct run {
  const bool *need;
  const struct tr_opt_hooks *hooks;
  struct tr_opt_result *result;
  struct tr_opt_plan plan; /* of result->root, when fresh */
  bool fresh;
};

static enum tr_status annotate(struct run *r, struct tr_error *err) {
  if (r->fresh) return TR_OK;
  tr_opt_plan_drop(&r->plan);
  TR_TRY(tr_opt_plan_make(r->result->root, r->need, r->hooks, &r->plan, err));
  r->fresh = true;
  return TR_OK;
}

/* The node over what its inputs have become. */
static enum tr_status over_new_inputs(const struct tr_opt_plan *p, int i, struct tr_rel *const *map,
                                      struct tr_rel **out, struct tr_error *err) {
  struct tr_rel *r = p->nodes[i].rel, *few[8];
  struct tr_rel **inputs = r->n_inputs <= 8 ? few : malloc(sizeof *inputs * r->n_inputs);
  if (!inputs) return tr_fail_memory(err, sizeof *inputs * r->n_inputs);
  for (int k = 0; k < r->n_inputs; k++) inputs[k] = map[tr_opt_find(p, r->inputs[k])];
  enum tr_status st = tr_rel_remake(r, inputs, NULL, out, err);
  if (inputs != few) free(inputs);
  return st;
}

static enum tr_status sweep(struct tr_opt_plan *p, tr_opt_step step, struct tr_rel **map, bool *changed,
                            struct tr_error *err) {
  for (int i = 0; i < p->n; i++) {
    const struct tr_opt_node *node = &p->nodes[i];
    struct tr_rel *r = node->rel, *made = NULL;
    bool below = false;
    for (int k = 0; !node->leaf && k < r->n_inputs; k++) below |= map[tr_opt_find(p, r->inputs[k])] != r->inputs[k];
    if (node->wanted && !node->leaf) {
      if (below) TR_TRY(over_new_inputs(p, i, map, &made, err));
      else TR_TRY(step(p, i, &made, err));
    }
    map[i] = made ? made : tr_rel_ref(r);
    *changed |= made != NULL;
  }
  return TR_OK;
}

/* Follows the nodes that handles hold into the new plan; those it no longer has are forgotten. */
static void follow_twins(struct run *r, struct tr_rel *const *map) {
  struct tr_opt_result *res = r->result;
  int kept = 0;
  for (int t = 0; t < res->n_twins; t++) {
    struct tr_opt_twin twin = res->twins[t];
    int i = tr_opt_find(&r->plan, twin.now);
    bool lost = i < 0 || !r->plan.nodes[i].wanted || (map[i] != twin.now && r->plan.nodes[i].unordered);
    struct tr_rel *now = lost ? NULL : tr_rel_ref(map[i]);
    tr_rel_unref(twin.now);
    if (now) res->twins[kept++] = (struct tr_opt_twin){twin.original, now};
  }
  res->n_twins = kept;
}

/* Goes over to the new plan in map (whose references are taken). */
static void adopt(struct run *r, struct tr_rel **map, bool changed) {
  int n = r->plan.n;
  if (changed) {
    follow_twins(r, map);
    struct tr_rel *old = r->result->root;
    r->result->root = tr_rel_ref(map[n - 1]);
    tr_rel_unref(old);
    r->fresh = false;
  }
  for (int i = 0; i < n; i++) tr_rel_unref(map[i]);
}

/* step NULL = share. */
static enum tr_status run_once(struct run *r, tr_opt_step step, bool *changed, struct tr_error *err) {
  *changed = false;
  TR_TRY(annotate(r, err));
  struct tr_rel **map = calloc((size_t)r->plan.n, sizeof *map);
  if (!map) return tr_fail_memory(err, sizeof *map * (size_t)r->plan.n);
  if (step == tr_opt_step_order) tr_opt_find_unordered(&r->plan);
  enum tr_status st = step ? sweep(&r->plan, step, map, changed, err) : tr_opt_share(&r->plan, map, changed, err);
  adopt(r, map, *changed && st == TR_OK);
  if (!step) r->fresh = false; /* sharing joins the needs of nodes it looks at */
  free(map);
  return st;
}

/* Nothing to do for a pass whose kinds of nodes do not occur. */
static enum tr_status run_pass(struct run *r, tr_opt_step step, unsigned kinds, struct tr_error *err) {
  bool changed = true;
  for (int i = 0; i < MOST_SWEEPS && changed; i++) {
    TR_TRY(annotate(r, err));
    if (!(r->plan.kinds & kinds)) return TR_OK;
    TR_TRY(run_once(r, step, &changed, err));
  }
  return TR_OK;
}

static enum tr_status find_twins(struct run *r, struct tr_rel *root, struct tr_error *err) {
  TR_TRY(annotate(r, err));
  const struct tr_opt_plan *p = &r->plan;
  r->result->twins = calloc((size_t)p->n, sizeof *r->result->twins);
  if (!r->result->twins) return tr_fail_memory(err, sizeof *r->result->twins * (size_t)p->n);
  for (int i = 0; i < p->n; i++) {
    struct tr_rel *rel = p->nodes[i].rel;
    if (p->nodes[i].wanted && !p->nodes[i].leaf && (rel == root || atomic_load(&rel->handles) > 0))
      r->result->twins[r->result->n_twins++] = (struct tr_opt_twin){rel, tr_rel_ref(rel)};
  }
  return TR_OK;
}

enum tr_status tr_opt_run(struct tr_rel *root, const bool *need, const struct tr_opt_hooks *hooks,
                          struct tr_opt_result *out, struct tr_error *err) {
  const unsigned slices = 1u << TR_REL_SLICE, sorts = 1u << TR_REL_SORT, projects = 1u << TR_REL_PROJECT;
  enum tr_status st;
  bool changed;
  *out = (struct tr_opt_result){.root = tr_rel_ref(root)};
  struct run r = {.need = need, .hooks = hooks, .result = out};
  TR_GOTO(st, find_twins(&r, root, err));
  if (r.plan.n > 1) {
    TR_GOTO(st, run_once(&r, NULL, &changed, err));
    TR_GOTO(st, run_pass(&r, tr_opt_step_filter, 1u << TR_REL_FILTER, err));
    TR_GOTO(st, run_pass(&r, tr_opt_step_slice, slices, err));
    const unsigned heads = hooks && hooks->travels ? 0 : 1u << TR_REL_GROUP_HEAD;
    TR_GOTO(st, run_pass(&r, tr_opt_step_group_top, heads, err));
    TR_GOTO(st, run_pass(&r, tr_opt_step_order, sorts, err));
    TR_GOTO(st, run_pass(&r, tr_opt_step_project, projects, err));
    TR_GOTO(st, run_once(&r, NULL, &changed, err));
  }
done:
  tr_opt_plan_drop(&r.plan);
  if (st != TR_OK) tr_opt_result_drop(out);
  return st;
}

void tr_opt_result_drop(struct tr_opt_result *result) {
  for (int i = 0; i < result->n_twins; i++) tr_rel_unref(result->twins[i].now);
  free(result->twins);
  tr_rel_unref(result->root);
  *result = (struct tr_opt_result){0};
}
