/* Slices: a sort of which only the first rows are taken becomes a top-n; a slice moves below columns that are computed
 * row by row, so that only the rows taken are computed. */
#include "meta/opt/opt_int.h"
#include <stdlib.h>

static bool has_end(struct tr_rel_options o) { return o.start >= 0 && o.stop >= 0 && o.stop != INT64_MAX; }

static enum tr_status make_slice(struct tr_rel *in, int64_t start, int64_t stop, int64_t step, struct tr_rel **out,
                                 struct tr_error *err) {
  struct tr_rel_spec s = {
      .kind = TR_REL_SLICE, .inputs = &in, .n_inputs = 1, .opt = {.start = start, .stop = stop, .step = step}};
  return tr_rel_make(&s, out, err);
}

static enum tr_status over_sort(const struct tr_rel *slice, const struct tr_opt_node *in, struct tr_rel **out,
                                struct tr_error *err) {
  struct tr_rel_options o = slice->opt;
  if (!has_end(o) || in->consumers > 1) return TR_OK;
  bool plain = o.start == 0 && o.step == 1, bounded = in->rel->opt.stop >= 0 && in->rel->opt.stop <= o.stop;
  if (bounded) {
    if (plain) *out = tr_rel_ref(in->rel);
    return TR_OK;
  }
  struct tr_rel_spec s = {.kind = TR_REL_SORT,
                          .inputs = in->rel->inputs,
                          .n_inputs = 1,
                          .exprs = in->rel->exprs,
                          .n_exprs = in->rel->n_exprs,
                          .n_keys = in->rel->n_keys,
                          .descending = in->rel->descending,
                          .opt = in->rel->opt};
  struct tr_rel *top;
  s.opt.stop = o.stop;
  TR_TRY(tr_rel_make(&s, &top, err));
  if (plain) {
    *out = top;
    return TR_OK;
  }
  enum tr_status st = make_slice(top, o.start, o.stop, o.step, out, err);
  tr_rel_unref(top);
  return st;
}

static enum tr_status over_slice(const struct tr_rel *outer, const struct tr_rel *inner, struct tr_rel **out,
                                 struct tr_error *err) {
  const int64_t most = INT64_C(1) << 40;
  struct tr_rel_options a = inner->opt, b = outer->opt;
  if (a.start < 0 || a.stop < 0 || b.start < 0 || b.stop < 0) return TR_OK;
  if (a.start > most || b.start > most || a.step > 1 << 20 || b.step > 1 << 20) return TR_OK;
  int64_t stop = a.stop;
  if (b.stop < most && a.start + b.stop * a.step < stop) stop = a.start + b.stop * a.step;
  else if (b.stop >= most && b.stop != INT64_MAX) return TR_OK;
  return make_slice(inner->inputs[0], a.start + b.start * a.step, stop, a.step * b.step, out, err);
}

/* Row numbers of the rows start::step are start' + i * step'. */
static enum tr_status number_slice(const struct tr_expr *e, int64_t begin, int64_t step, struct tr_expr **out,
                                   struct tr_error *err) {
  struct tr_expr_params p = {.params = {e->params[0] + begin * e->params[1], step * e->params[1]}};
  return tr_expr_make(TR_OP_ROW_NUMBER, NULL, 0, &p, out, err);
}

/* Whether all needed columns can be computed from the rows taken; *begin = the first of them. */
static bool may_pass(const struct tr_rel *slice, const struct tr_opt_node *project, int64_t *begin) {
  const struct tr_rel *r = project->rel;
  int64_t n = r->inputs[0]->n_rows;
  *begin = slice->opt.start;
  if (*begin < 0 && n >= 0) *begin = *begin + n < 0 ? 0 : *begin + n;
  for (int i = 0; i < r->n_exprs; i++) {
    if (!project->need[i] || tr_opt_is_row_local(r->exprs[i])) continue;
    if (r->exprs[i]->op != TR_OP_ROW_NUMBER || *begin < 0) return false;
  }
  return true;
}

static enum tr_status over_project(const struct tr_rel *slice, const struct tr_opt_node *in, struct tr_rel **out,
                                   struct tr_error *err) {
  const struct tr_rel *r = in->rel;
  int64_t begin;
  if (in->consumers > in->slices && in->consumers > 1) return TR_OK; /* somebody computes all rows anyway */
  if (!may_pass(slice, in, &begin)) return TR_OK;
  struct tr_rel *few = NULL;
  struct tr_expr **exprs = calloc((size_t)r->n_exprs + 1, sizeof *exprs);
  enum tr_status st = TR_OK;
  if (!exprs) return tr_fail_memory(err, sizeof *exprs * (size_t)r->n_exprs);
  for (int i = 0; i < r->n_exprs; i++) {
    if (in->need[i] && r->exprs[i]->op == TR_OP_ROW_NUMBER)
      TR_GOTO(st, number_slice(r->exprs[i], begin, slice->opt.step, &exprs[i], err));
    else exprs[i] = tr_expr_ref(r->exprs[i]);
  }
  TR_GOTO(st, make_slice(r->inputs[0], slice->opt.start, slice->opt.stop, slice->opt.step, &few, err));
  st = tr_rel_remake(r, &few, exprs, out, err);
done:
  tr_rel_unref(few);
  for (int i = 0; i < r->n_exprs; i++) tr_expr_unref(exprs[i]);
  free(exprs);
  return st;
}

static enum tr_status over_zip(const struct tr_rel *slice, const struct tr_rel *zip, struct tr_rel **out,
                               struct tr_error *err) {
  struct tr_rel **inputs = calloc((size_t)zip->n_inputs, sizeof *inputs);
  enum tr_status st = TR_OK;
  if (!inputs) return tr_fail_memory(err, sizeof *inputs * zip->n_inputs);
  for (int k = 0; k < zip->n_inputs; k++)
    TR_GOTO(st, make_slice(zip->inputs[k], slice->opt.start, slice->opt.stop, slice->opt.step, &inputs[k], err));
  st = tr_rel_remake(zip, inputs, NULL, out, err);
done:
  for (int k = 0; k < zip->n_inputs; k++) tr_rel_unref(inputs[k]);
  free(inputs);
  return st;
}

enum tr_status tr_opt_step_slice(struct tr_opt_plan *p, int i, struct tr_rel **out, struct tr_error *err) {
  const struct tr_rel *r = p->nodes[i].rel;
  if (r->kind != TR_REL_SLICE) return TR_OK;
  const struct tr_opt_node *in = tr_opt_input(p, r, 0);
  if (in->leaf) return TR_OK;
  switch (in->rel->kind) {
  case TR_REL_SORT: return over_sort(r, in, out, err);
  case TR_REL_SLICE: return over_slice(r, in->rel, out, err);
  case TR_REL_PROJECT: return over_project(r, in, out, err);
  case TR_REL_ZIP: return over_zip(r, in->rel, out, err);
  default: return TR_OK;
  }
}
