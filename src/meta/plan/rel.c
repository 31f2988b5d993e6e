/* Making, counting references of and freeing plan nodes; schema inference of every node kind. See rel.h. */
#include "meta/plan/rel.h"
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[TR_N_RELS] = {"FRAME",  "PARQUET",    "FILTER", "PROJECT", "AGGREGATE",
                                                  "WINDOW", "GROUP_HEAD", "JOIN",   "SORT",    "SLICE",
                                                  "CONCAT", "DISTINCT",   "ZIP"};

const char *tr_rel_kind_name(enum tr_rel_kind kind) { return kind < TR_N_RELS ? kind_names[kind] : "?"; }

struct tr_rel *tr_rel_ref(struct tr_rel *r) {
  if (r) atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
  return r;
}

static void rel_free(struct tr_rel *r) {
  if (r->kept) r->kept_release(r->kept);
  if (r->source && r->source_release) r->source_release(r->source);
  for (int i = 0; r->inputs && i < r->n_inputs; i++) tr_rel_unref(r->inputs[i]);
  for (int i = 0; r->exprs && i < r->n_exprs; i++) tr_expr_unref(r->exprs[i]);
  free(r->inputs);
  free(r->cols);
  free(r->exprs);
  free(r->items);
  free(r->descending);
  free(r->source_name);
  free(r);
}

void tr_rel_unref(struct tr_rel *r) {
  if (r && atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1) rel_free(r);
}

static int count_cols(const struct tr_rel_spec *s) {
  switch (s->kind) {
  case TR_REL_PROJECT: return s->n_exprs;
  case TR_REL_AGGREGATE: return s->n_keys + s->n_items;
  case TR_REL_WINDOW: return s->inputs[0]->n_cols + s->n_items;
  case TR_REL_JOIN: return s->inputs[0]->n_cols + s->inputs[1]->n_cols + s->n_keys;
  case TR_REL_ZIP: {
    int n = 0;
    for (int k = 0; k < s->n_inputs; k++) n += s->inputs[k]->n_cols;
    return n;
  }
  default: return s->inputs[0]->n_cols;
  }
}

static struct tr_rel_col col_of_expr(const struct tr_expr *e) {
  return (struct tr_rel_col){.dtype = e->dtype, .maybe_null = e->maybe_null};
}

static struct tr_rel_col col_of_item(const struct tr_rel_spec *s, int i) {
  return (struct tr_rel_col){
      .dtype = s->item_dtypes[i], .maybe_null = true, .unsettled = s->item_unsettled && s->item_unsettled[i]};
}

/* Join columns of the side that may lack a row: integers and bools may turn into floats or objects. */
static struct tr_rel_col col_of_side(struct tr_rel_col c, bool may_lack) {
  if (!may_lack) return c;
  c.maybe_null = true;
  if (tr_kind_is_int(c.dtype.kind) || c.dtype.kind == TR_BOOL) c.unsettled = true;
  return c;
}

/* numbers of enum tr_join_how that lack rows on the left (right, outer) or the right (left, outer) */
enum { HOW_LEFT = 1, HOW_RIGHT = 2, HOW_OUTER = 3 };

static void infer_join(struct tr_rel *r, const struct tr_rel_spec *s) {
  const struct tr_rel *a = s->inputs[0], *b = s->inputs[1];
  bool lack_left = s->opt.how == HOW_RIGHT || s->opt.how == HOW_OUTER;
  bool lack_right = s->opt.how == HOW_LEFT || s->opt.how == HOW_OUTER;
  int n = 0;
  for (int i = 0; i < a->n_cols; i++) r->cols[n++] = col_of_side(a->cols[i], lack_left);
  for (int i = 0; i < b->n_cols; i++) r->cols[n++] = col_of_side(b->cols[i], lack_right);
  for (int i = 0; i < s->n_keys; i++) {
    struct tr_rel_col c = col_of_expr(s->exprs[i]);
    c.maybe_null |= s->exprs[s->n_keys + i]->maybe_null;
    r->cols[n++] = c;
  }
}

static void infer_cols(struct tr_rel *r, const struct tr_rel_spec *s) {
  const struct tr_rel *in = s->inputs[0];
  int n = 0;
  switch (s->kind) {
  case TR_REL_PROJECT:
    for (int i = 0; i < s->n_exprs; i++) r->cols[n++] = col_of_expr(s->exprs[i]);
    break;
  case TR_REL_AGGREGATE:
    for (int i = 0; i < s->n_keys; i++) r->cols[n++] = col_of_expr(s->exprs[i]);
    for (int i = 0; i < s->n_items; i++) r->cols[n++] = col_of_item(s, i);
    break;
  case TR_REL_JOIN: infer_join(r, s); break;
  case TR_REL_ZIP:
    for (int k = 0; k < s->n_inputs; k++)
      for (int i = 0; i < s->inputs[k]->n_cols; i++) r->cols[n++] = s->inputs[k]->cols[i];
    break;
  case TR_REL_CONCAT:
    memcpy(r->cols, in->cols, sizeof *in->cols * (size_t)in->n_cols);
    for (int k = 1; k < s->n_inputs; k++)
      for (int i = 0; i < in->n_cols; i++) r->cols[i].maybe_null |= s->inputs[k]->cols[i].maybe_null;
    break;
  default:
    memcpy(r->cols, in->cols, sizeof *in->cols * (size_t)in->n_cols);
    n = in->n_cols;
    if (s->kind == TR_REL_WINDOW)
      for (int i = 0; i < s->n_items; i++) r->cols[n++] = col_of_item(s, i);
  }
}

static int64_t slice_rows(int64_t n, struct tr_rel_options o) {
  if (n < 0) return -1;
  int64_t a = o.start < 0 ? (o.start + n < 0 ? 0 : o.start + n) : (o.start > n ? n : o.start);
  int64_t b = o.stop < 0 ? (o.stop + n < 0 ? 0 : o.stop + n) : (o.stop > n ? n : o.stop);
  return b <= a ? 0 : (b - a - 1) / o.step + 1; /* step may be huge */
}

static int64_t infer_rows(const struct tr_rel_spec *s) {
  const struct tr_rel *in = s->inputs[0];
  switch (s->kind) {
  case TR_REL_PROJECT:
  case TR_REL_WINDOW: return in->n_rows;
  case TR_REL_SORT: return s->opt.stop >= 0 && in->n_rows > s->opt.stop ? s->opt.stop : in->n_rows;
  case TR_REL_SLICE: return slice_rows(in->n_rows, s->opt);
  case TR_REL_AGGREGATE: return s->n_keys == 0 ? 1 : -1;
  case TR_REL_ZIP:
    for (int i = 0; i < s->n_inputs; i++)
      if (s->inputs[i]->n_rows >= 0) return s->inputs[i]->n_rows;
    return -1;
  case TR_REL_CONCAT: {
    int64_t n = 0;
    for (int i = 0; i < s->n_inputs; i++) {
      if (s->inputs[i]->n_rows < 0) return -1;
      n += s->inputs[i]->n_rows;
    }
    return n;
  }
  default: return -1;
  }
}

static enum tr_status check_spec(const struct tr_rel_spec *s, struct tr_error *err) {
  int want = s->kind == TR_REL_JOIN ? 2 : s->kind == TR_REL_CONCAT || s->kind == TR_REL_ZIP ? s->n_inputs : 1;
  if (s->n_inputs != want || s->n_inputs < 1)
    return tr_fail(err, TR_EXC_VALUE, "plan node %s: %d inputs", tr_rel_kind_name(s->kind), s->n_inputs);
  int n_in = s->inputs[0]->n_cols;
  for (int i = 0; i < s->n_exprs; i++) {
    int limit = s->kind == TR_REL_JOIN && i >= s->n_keys ? s->inputs[1]->n_cols : n_in;
    int top = tr_expr_max_column(s->exprs[i]);
    if (top >= limit)
      return tr_fail(err, TR_EXC_VALUE, "plan node %s: column %d of %d", tr_rel_kind_name(s->kind), top, limit);
  }
  for (int i = 0; i < s->n_items; i++)
    if (s->items[i].expr >= s->n_exprs || s->items[i].expr2 >= s->n_exprs)
      return tr_fail(err, TR_EXC_VALUE, "plan node %s: item %d refers to a missing expression",
                     tr_rel_kind_name(s->kind), i);
  for (int k = 1; s->kind == TR_REL_CONCAT && k < s->n_inputs; k++)
    if (s->inputs[k]->n_cols != n_in) return tr_fail(err, TR_EXC_VALUE, "plan node CONCAT: inputs of different width");
  if (s->kind == TR_REL_SLICE && s->opt.step < 1)
    return tr_fail(err, TR_EXC_VALUE, "plan node SLICE: step %lld", (long long)s->opt.step);
  if (s->kind == TR_REL_FILTER && (s->n_exprs != 1 || s->exprs[0]->dtype.kind != TR_BOOL))
    return tr_fail(err, TR_EXC_VALUE, "plan node FILTER: needs one bool expression");
  return TR_OK;
}

static void *copy_of(const void *p, size_t bytes) {
  void *q = malloc(bytes ? bytes : 1);
  if (q && bytes) memcpy(q, p, bytes);
  return q;
}

enum tr_status tr_rel_make(const struct tr_rel_spec *s, struct tr_rel **out, struct tr_error *err) {
  *out = NULL;
  TR_TRY(check_spec(s, err));
  struct tr_rel *r = calloc(1, sizeof *r);
  if (!r) return tr_fail_memory(err, sizeof *r);
  r->refs = 1;
  r->kind = (uint8_t)s->kind;
  r->opt = s->opt;
  r->n_keys = s->n_keys;
  r->n_cols = count_cols(s);
  r->cols = calloc((size_t)r->n_cols + 1, sizeof *r->cols);
  r->inputs = copy_of(s->inputs, sizeof *s->inputs * (size_t)s->n_inputs);
  r->exprs = copy_of(s->exprs, sizeof *s->exprs * (size_t)s->n_exprs);
  r->items = copy_of(s->items, sizeof *s->items * (size_t)s->n_items);
  r->descending = s->descending ? copy_of(s->descending, sizeof(bool) * (size_t)s->n_exprs) : NULL;
  if (!r->cols || !r->inputs || !r->exprs || !r->items || (s->descending && !r->descending)) {
    rel_free(r);
    return tr_fail_memory(err, sizeof *r);
  }
  r->n_inputs = (uint16_t)s->n_inputs;
  r->n_exprs = s->n_exprs;
  r->n_items = s->n_items;
  for (int i = 0; i < s->n_inputs; i++) tr_rel_ref(r->inputs[i]);
  for (int i = 0; i < s->n_exprs; i++) tr_expr_ref(r->exprs[i]);
  infer_cols(r, s);
  r->n_rows = infer_rows(s);
  *out = r;
  return TR_OK;
}

enum tr_status tr_rel_source(enum tr_rel_kind kind, const struct tr_rel_col *cols, int n_cols, int64_t n_rows,
                             void *source, void (*release)(void *), const char *name, struct tr_rel **out,
                             struct tr_error *err) {
  *out = NULL;
  struct tr_rel *r = calloc(1, sizeof *r);
  if (!r) {
    release(source);
    return tr_fail_memory(err, sizeof *r);
  }
  r->refs = 1;
  r->kind = (uint8_t)kind;
  r->n_cols = n_cols;
  r->n_rows = n_rows;
  r->source = source;
  r->source_release = release;
  r->cols = copy_of(cols, sizeof *cols * (size_t)n_cols);
  r->source_name = strdup(name ? name : "frame");
  if (!r->cols || !r->source_name) {
    rel_free(r);
    return tr_fail_memory(err, sizeof *r);
  }
  *out = r;
  return TR_OK;
}

enum tr_status tr_rel_remake(const struct tr_rel *r, struct tr_rel *const *inputs, struct tr_expr *const *exprs,
                             struct tr_rel **out, struct tr_error *err) {
  struct tr_dtype *dtypes = malloc(sizeof *dtypes * (size_t)(r->n_items + 1));
  bool *unsettled = malloc((size_t)r->n_items + 1);
  enum tr_status st = TR_OK;
  *out = NULL;
  if (!dtypes || !unsettled) TR_GOTO(st, tr_fail_memory(err, sizeof *dtypes * (size_t)r->n_items));
  int first = r->n_cols - r->n_items;
  for (int i = 0; i < r->n_items; i++) {
    dtypes[i] = r->cols[first + i].dtype;
    unsettled[i] = r->cols[first + i].unsettled;
  }
  struct tr_rel_spec s = {.kind = (enum tr_rel_kind)r->kind,
                          .inputs = inputs,
                          .n_inputs = r->n_inputs,
                          .exprs = exprs ? exprs : r->exprs,
                          .n_exprs = r->n_exprs,
                          .n_keys = r->n_keys,
                          .items = r->items,
                          .n_items = r->n_items,
                          .item_dtypes = dtypes,
                          .item_unsettled = unsettled,
                          .descending = r->descending,
                          .opt = r->opt};
  st = tr_rel_make(&s, out, err);
done:
  free(dtypes);
  free(unsettled);
  return st;
}
