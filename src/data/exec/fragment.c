/* The part of a plan that one task computes: nodes of the decoded plan made again over leaves that hold what this task
 * reads. See task_int.h; which edges are leaves is said by the stage (meta/opt/stages.h). */
#include "data/exec/exec_int.h"
#include "data/exec/task_int.h"
#include "data/kern/group/group.h"
#include <stdlib.h>
#include <string.h>

static void release_frame(void *f) { tr_frame_unref(f); }

/* Whether an array can stand for a column: its dtype, or another number where data decides. */
static bool fits(struct tr_dtype a, struct tr_dtype b) {
  bool numbers = (tr_kind_is_number(a.kind) || a.kind == TR_BOOL) && (tr_kind_is_number(b.kind) || b.kind == TR_BOOL);
  return numbers || tr_dtype_eq(a, b);
}

enum tr_status tr_fragment_check(const struct tr_rel *like, int n_cols, const struct tr_frame *f, const bool *need,
                                 struct tr_error *err) {
  bool ok = f->n_cols >= n_cols;
  for (int i = 0; ok && i < n_cols; i++) {
    if (f->cols[i]) ok = fits(f->cols[i]->dtype, like->cols[i].dtype);
    else ok = !need || !need[i];
  }
  return ok ? TR_OK : tr_fail(err, TR_EXC_VALUE, "fragment: columns of another node");
}

enum tr_status tr_fragment_leaf(const struct tr_rel *like, struct tr_frame *f, bool ordinal, struct tr_rel **out,
                                struct tr_error *err) {
  int n = like->n_cols + ordinal;
  if (f->n_cols != n) return tr_fail(err, TR_EXC_VALUE, "%d columns where %d were expected", f->n_cols, n);
  TR_TRY(tr_fragment_check(like, like->n_cols, f, NULL, err));
  if (ordinal && (!f->cols[n - 1] || f->cols[n - 1]->dtype.kind != TR_I64))
    return tr_fail(err, TR_EXC_VALUE, "rows without ordinals");
  struct tr_rel_col *cols = calloc((size_t)n + 1, sizeof *cols);
  if (!cols) return tr_fail_memory(err, sizeof *cols * (size_t)n);
  memcpy(cols, like->cols, sizeof *cols * (size_t)like->n_cols);
  if (ordinal) cols[like->n_cols] = (struct tr_rel_col){.dtype = tr_dtype_of(TR_I64)};
  enum tr_status st = tr_rel_source(TR_REL_FRAME, cols, n, f->n_rows, tr_frame_ref(f), release_frame, "part", out, err);
  free(cols);
  return st;
}

struct builder {
  const struct tr_fragment *f;
  struct tr_rel **made; /* per node */
};

static const struct tr_stage_input *input_at(const struct tr_stage *s, int32_t of, int32_t input) {
  for (int i = 0; i < s->n_inputs; i++)
    if (s->inputs[i].of == of && s->inputs[i].input == input) return &s->inputs[i];
  return NULL;
}

static int32_t number_of(const struct tr_task_plan *p, const struct tr_rel *r) {
  for (int32_t i = p->n_nodes - 1; i >= 0; i--)
    if (p->nodes[i] == r) return i;
  return -1;
}

/* `of` is what the edge must hold: rows of that node. */
static enum tr_status read_leaf(const struct builder *b, const struct tr_stage_input *in, const struct tr_rel *of,
                                int32_t part, struct tr_rel **out, struct tr_error *err) {
  struct tr_frame *frame;
  if (b->f->plan->nodes[in->node] != of) return tr_fail(err, TR_EXC_VALUE, "fragment: an edge to another node");
  TR_TRY(b->f->read_input(b->f->arg, in, part, &frame, err));
  enum tr_status st = tr_fragment_check(of, of->n_cols, frame, b->f->plan->need[in->node], err);
  if (st == TR_OK) st = tr_fragment_leaf(of, frame, false, out, err);
  tr_frame_unref(frame);
  return st;
}

static bool is_positional(const struct builder *b) { return b->f->stage->positions && b->f->stage->n_tasks > 1; }

static int64_t clamp(int64_t at, int64_t n) {
  if (at < 0) at += n;
  return at < 0 ? 0 : at > n ? n : at;
}

/* The slice of all rows, as a slice of this task's. */
static struct tr_rel_options local_slice(struct tr_rel_options o, struct tr_stage_position at) {
  int64_t begin = clamp(o.start, at.total), end = clamp(o.stop, at.total), first = begin;
  if (first < at.offset) {
    int64_t behind = (at.offset - begin) % o.step;
    first = at.offset + (behind ? o.step - behind : 0);
    if (first < at.offset) first = INT64_MAX; /* the step went past all rows */
  }
  if (end > at.offset + at.rows) end = at.offset + at.rows;
  o.start = first < end ? first - at.offset : 0;
  o.stop = first < end ? end - at.offset : 0;
  return o;
}

static enum tr_status remake_slice(const struct tr_rel *r, struct tr_rel *in, struct tr_rel_options opt,
                                   struct tr_rel **out, struct tr_error *err) {
  struct tr_rel_spec s = {.kind = TR_REL_SLICE, .inputs = &in, .n_inputs = 1, .opt = opt};
  (void)r;
  return tr_rel_make(&s, out, err);
}

/* Row numbers begin where this task's rows do. */
static enum tr_status remake_project(const struct builder *b, const struct tr_rel *r, struct tr_rel *in,
                                     struct tr_rel **out, struct tr_error *err) {
  struct tr_expr **exprs = calloc((size_t)r->n_exprs + 1, sizeof *exprs);
  enum tr_status st = TR_OK;
  if (!exprs) return tr_fail_memory(err, sizeof *exprs * (size_t)r->n_exprs);
  for (int i = 0; i < r->n_exprs; i++) {
    const struct tr_expr *e = r->exprs[i];
    if (e->op != TR_OP_ROW_NUMBER) {
      exprs[i] = tr_expr_ref(r->exprs[i]);
      continue;
    }
    uint64_t start = (uint64_t)e->params[0] + (uint64_t)b->f->at.offset * (uint64_t)e->params[1];
    struct tr_expr_params p = {.params = {(int64_t)start, e->params[1]}, .dtype = e->dtype};
    TR_GOTO(st, tr_expr_make(TR_OP_ROW_NUMBER, NULL, 0, &p, &exprs[i], err));
  }
  st = tr_rel_remake(r, &in, exprs, out, err);
done:
  for (int i = 0; i < r->n_exprs; i++) tr_expr_unref(exprs[i]);
  free(exprs);
  return st;
}

static enum tr_status build(struct builder *b, int32_t no, int32_t part, struct tr_rel **out, struct tr_error *err);

/* In the place of an input that does not run. */
static enum tr_status build_nothing(const struct tr_rel *like, struct tr_rel **out, struct tr_error *err) {
  struct tr_array **none = calloc((size_t)like->n_cols + 1, sizeof *none);
  struct tr_frame *f = NULL;
  if (!none) return tr_fail_memory(err, sizeof *none * (size_t)like->n_cols);
  enum tr_status st = tr_frame_new(0, like->n_cols, none, &f, err);
  if (st == TR_OK) st = tr_fragment_leaf(like, f, false, out, err);
  tr_frame_unref(f);
  free(none);
  return st;
}

static enum tr_status build_input(struct builder *b, int32_t no, int32_t k, int32_t part, struct tr_rel **out,
                                  struct tr_error *err) {
  const struct tr_stage_input *in = input_at(b->f->stage, no, k);
  const struct tr_rel *r = b->f->plan->nodes[no];
  if (!tr_opt_runs_input(r, b->f->plan->need[no], k)) return build_nothing(r->inputs[k], out, err);
  if (in) return read_leaf(b, in, r->inputs[k], part, out, err);
  int32_t below = number_of(b->f->plan, r->inputs[k]);
  return build(b, below, part, out, err);
}

/* Of a CONCAT that is cut into branches, this task's. */
static enum tr_status build_branch(struct builder *b, const struct tr_stage_branches *at, int32_t part,
                                   struct tr_rel **out, struct tr_error *err) {
  const struct tr_rel *r = b->f->plan->nodes[at->node];
  if (r->kind != TR_REL_CONCAT || at->n != r->n_inputs)
    return tr_fail(err, TR_EXC_VALUE, "fragment: branches of another node");
  for (int32_t k = 0; k < at->n; k++) {
    if (part < at->tasks[k]) return build_input(b, at->node, k, part, out, err);
    part -= at->tasks[k];
  }
  return tr_fail(err, TR_EXC_VALUE, "fragment: a task beyond all branches");
}

static enum tr_status build_source(struct builder *b, int32_t no, struct tr_rel **out, struct tr_error *err) {
  struct tr_frame *frame;
  TR_TRY(b->f->read_source(b->f->arg, no, &frame, err));
  enum tr_status st = tr_fragment_leaf(b->f->plan->nodes[no], frame, false, out, err);
  tr_frame_unref(frame);
  return st;
}

static enum tr_status build_over(struct builder *b, int32_t no, struct tr_rel *const *inputs, struct tr_rel **out,
                                 struct tr_error *err) {
  const struct tr_rel *r = b->f->plan->nodes[no];
  if (is_positional(b) && r->kind == TR_REL_SLICE)
    return remake_slice(r, inputs[0], local_slice(r->opt, b->f->at), out, err);
  if (is_positional(b) && r->kind == TR_REL_PROJECT) return remake_project(b, r, inputs[0], out, err);
  return tr_rel_remake(r, inputs, NULL, out, err);
}

/* Gives a reference. */
static enum tr_status build(struct builder *b, int32_t no, int32_t part, struct tr_rel **out, struct tr_error *err) {
  const struct tr_stage *s = b->f->stage;
  const struct tr_rel *r = b->f->plan->nodes[no];
  enum tr_status st = TR_OK;
  *out = NULL;
  if (b->made[no]) {
    *out = tr_rel_ref(b->made[no]);
    return TR_OK;
  }
  if (!r->n_inputs) {
    TR_TRY(build_source(b, no, &b->made[no], err));
    *out = tr_rel_ref(b->made[no]);
    return TR_OK;
  }
  for (int i = 0; i < s->n_branches; i++)
    if (s->branches[i].node == no) return build_branch(b, &s->branches[i], part, out, err);
  struct tr_rel **inputs = calloc(r->n_inputs, sizeof *inputs);
  if (!inputs) return tr_fail_memory(err, sizeof *inputs * r->n_inputs);
  for (int k = 0; k < r->n_inputs; k++) TR_GOTO(st, build_input(b, no, k, part, &inputs[k], err));
  TR_GOTO(st, build_over(b, no, inputs, &b->made[no], err));
  *out = tr_rel_ref(b->made[no]);
done:
  for (int k = 0; k < r->n_inputs; k++) tr_rel_unref(inputs[k]);
  free(inputs);
  return st;
}

static enum tr_status begin(const struct tr_fragment *f, struct builder *b, struct tr_error *err) {
  *b = (struct builder){f, calloc((size_t)f->plan->n_nodes, sizeof *b->made)};
  return b->made ? TR_OK : tr_fail_memory(err, sizeof *b->made * (size_t)f->plan->n_nodes);
}

static void end(struct builder *b) {
  for (int i = 0; i < b->f->plan->n_nodes; i++) tr_rel_unref(b->made[i]);
  free(b->made);
}

/* The rows of an end that can be among the first or last of all: for SLICEs from an end. */
static struct tr_rel_options local_end(struct tr_rel_options o) {
  if (o.start >= 0) o.start = 0;
  o.step = 1;
  return o;
}

static enum tr_status build_top(struct builder *b, struct tr_rel **out, struct tr_error *err) {
  int32_t no = b->f->stage->node;
  struct tr_rel *r = b->f->plan->nodes[no], *in;
  if (r->kind != TR_REL_SLICE && r->kind != TR_REL_SORT)
    return tr_fail(err, TR_EXC_VALUE, "fragment: no top of %s", tr_rel_kind_name((enum tr_rel_kind)r->kind));
  TR_TRY(build_input(b, no, 0, b->f->task, &in, err));
  enum tr_status st = r->kind == TR_REL_SLICE ? remake_slice(r, in, local_end(r->opt), out, err)
                                              : tr_rel_remake(r, &in, NULL, out, err);
  tr_rel_unref(in);
  return st;
}

enum tr_status tr_fragment_run(struct tr_ctx *ctx, const struct tr_fragment *f, struct tr_frame **out,
                               struct tr_error *err) {
  const struct tr_stage *s = f->stage;
  const struct tr_stage_input *whole = input_at(s, -1, 0);
  int32_t no = s->node;
  struct builder b;
  struct tr_rel *root = NULL;
  *out = NULL;
  if (whole) {
    if (whole->node != no) return tr_fail(err, TR_EXC_VALUE, "fragment: an edge to another node");
    TR_TRY(f->read_input(f->arg, whole, f->task, out, err));
    enum tr_status same =
        tr_fragment_check(f->plan->nodes[no], f->plan->nodes[no]->n_cols, *out, f->plan->need[no], err);
    if (same == TR_OK) return TR_OK;
    tr_frame_unref(*out);
    *out = NULL;
    return same;
  }
  TR_TRY(begin(f, &b, err));
  enum tr_status st = s->role == TR_STAGE_TOP ? build_top(&b, &root, err) : build(&b, no, f->task, &root, err);
  if (s->role == TR_STAGE_TOP && st == TR_OK) no = number_of(f->plan, f->plan->nodes[no]->inputs[0]);
  if (st == TR_OK) st = tr_exec_run(ctx, root, f->plan->need[no], out, err);
  tr_rel_unref(root);
  end(&b);
  return st;
}

enum tr_status tr_fragment_run_below(struct tr_ctx *ctx, const struct tr_fragment *f, struct tr_frame **out,
                                     struct tr_error *err) {
  int32_t no = f->stage->node;
  int32_t below = number_of(f->plan, f->plan->nodes[no]->inputs[0]);
  struct builder b;
  struct tr_rel *root = NULL;
  *out = NULL;
  TR_TRY(begin(f, &b, err));
  enum tr_status st = build_input(&b, no, 0, f->task, &root, err);
  if (st == TR_OK) st = tr_exec_run(ctx, root, f->plan->need[below], out, err);
  tr_rel_unref(root);
  end(&b);
  return st;
}

/* ---- rows with ordinals */
/* AGGREGATE with one more item: the ordinal of each group's first row. */
static enum tr_status aggregate_with_ordinal(const struct tr_rel *r, struct tr_rel *in, struct tr_rel **out,
                                             struct tr_error *err) {
  struct tr_expr **exprs = calloc((size_t)r->n_exprs + 1, sizeof *exprs), *ordinal = NULL; /* borrows */
  struct tr_item *items = calloc((size_t)r->n_items + 1, sizeof *items);
  struct tr_dtype *dtypes = calloc((size_t)r->n_items + 1, sizeof *dtypes);
  enum tr_status st = TR_OK;
  if (!exprs || !items || !dtypes) TR_GOTO(st, tr_fail_memory(err, sizeof *items * (size_t)r->n_items));
  TR_GOTO(st, tr_expr_col(in->n_cols - 1, tr_dtype_of(TR_I64), false, &ordinal, err));
  for (int i = 0; i < r->n_exprs; i++) exprs[i] = r->exprs[i];
  exprs[r->n_exprs] = ordinal;
  for (int i = 0; i < r->n_items; i++) {
    items[i] = r->items[i];
    dtypes[i] = r->cols[r->n_keys + i].dtype;
  }
  items[r->n_items] =
      (struct tr_item){.kind = TR_ITEM_AGG, .fn = TR_AGG_FIRST, .expr = (int16_t)r->n_exprs, .expr2 = -1};
  dtypes[r->n_items] = tr_dtype_of(TR_I64);
  struct tr_rel_spec s = {.kind = TR_REL_AGGREGATE,
                          .inputs = &in,
                          .n_inputs = 1,
                          .exprs = exprs,
                          .n_exprs = r->n_exprs + 1,
                          .n_keys = r->n_keys,
                          .items = items,
                          .n_items = r->n_items + 1,
                          .item_dtypes = dtypes,
                          .opt = r->opt};
  st = tr_rel_make(&s, out, err);
done:
  tr_expr_unref(ordinal);
  free(exprs);
  free(items);
  free(dtypes);
  return st;
}

/* Where the ordinal of the input stands among the columns of `made`. */
static int ordinal_column(const struct tr_rel *r, const struct tr_rel *made, const bool *has_ordinal) {
  if (r->kind == TR_REL_WINDOW) return r->inputs[0]->n_cols;
  if (r->kind == TR_REL_JOIN)
    return has_ordinal[0] ? r->inputs[0]->n_cols : r->inputs[0]->n_cols + r->inputs[1]->n_cols;
  return made->n_cols - 1;
}

enum tr_status tr_fragment_run_keyed(struct tr_ctx *ctx, struct tr_rel *r, const bool *need, struct tr_frame *const *in,
                                     const bool *has_ordinal, struct tr_frame **out, struct tr_error *err) {
  struct tr_rel *leaves[2] = {NULL, NULL}, *made = NULL;
  struct tr_frame *got = NULL;
  struct tr_array **cols = NULL; /* borrows */
  bool *wanted = NULL;
  int n = 0;
  enum tr_status st = TR_OK;
  *out = NULL;
  bool known = r->kind == TR_REL_AGGREGATE || r->kind == TR_REL_WINDOW || r->kind == TR_REL_GROUP_HEAD ||
               r->kind == TR_REL_DISTINCT || r->kind == TR_REL_JOIN;
  if (!known || has_ordinal[0] == has_ordinal[1])
    return tr_fail(err, TR_EXC_VALUE, "fragment: ordinals of another node");
  for (int k = 0; k < r->n_inputs; k++)
    TR_GOTO(st, tr_fragment_leaf(r->inputs[k], in[k], has_ordinal[k], &leaves[k], err));
  if (r->kind == TR_REL_AGGREGATE) TR_GOTO(st, aggregate_with_ordinal(r, leaves[0], &made, err));
  else TR_GOTO(st, tr_rel_remake(r, leaves, NULL, &made, err));
  int ordinal = ordinal_column(r, made, has_ordinal);
  wanted = calloc((size_t)made->n_cols + 1, sizeof *wanted);
  cols = calloc((size_t)made->n_cols + 1, sizeof *cols);
  if (!wanted || !cols) TR_GOTO(st, tr_fail_memory(err, (size_t)made->n_cols * 9));
  for (int i = 0; i < made->n_cols; i++) wanted[i] = i == ordinal || need[i - (i > ordinal)];
  TR_GOTO(st, tr_exec_run(ctx, made, wanted, &got, err));
  for (int i = 0; i < made->n_cols; i++)
    if (i != ordinal) cols[n++] = got->cols[i];
  cols[n++] = got->cols[ordinal];
  st = tr_frame_new(got->n_rows, n, cols, out, err);
done:
  tr_frame_unref(got);
  free(wanted);
  free(cols);
  tr_rel_unref(made);
  tr_rel_unref(leaves[0]);
  tr_rel_unref(leaves[1]);
  return st;
}
