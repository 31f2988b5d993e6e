/* Reads the shape of a sealed plan: see shape.h. Works with the decoder's strict readers (codec_int.h). */
#include "meta/plan/shape.h"
#include "meta/plan/codec_int.h"
#include "meta/plan/codec_seal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
  struct tr_decoder d;
  struct tr_shape *shape;
  int32_t *depth;     /* of nodes */
  bool *used;         /* nodes */
  bool *source_taken; /* a source stands in one node */
};

static enum tr_status charge(struct tr_decoder *d, int64_t n) {
  d->size += n;
  if (d->size <= d->limits.size) return TR_OK;
  return tr_decode_fault(d, "the plan has more than %lld columns and operations", (long long)d->limits.size);
}

/* ---- expressions */
static enum tr_status expr_keys(struct tr_decoder *d, const json_t *o, int op) {
  static const char *const col[] = {"op", "column", "dtype", "null", NULL},
                           *const lit[] = {"op", "sealed", "weak", NULL}, *const other[] = {"op",     "args",  "params",
                                                                                            "sealed", "dtype", NULL},
                           *const values[] = {"lit", "text", "text2", "list"};
  for (int i = 0; i < 4; i++)
    if (json_object_get(o, values[i])) return tr_decode_fault(d, "%s is not sealed", values[i]);
  return tr_decode_object(d, o, op == TR_OP_COL ? col : op == TR_OP_LIT ? lit : other);
}

static enum tr_status expr_args(struct reader *r, const json_t *o, int i) {
  struct tr_decoder *d = &r->d;
  struct tr_shape_expr *e = &r->shape->exprs[i];
  const json_t *list;
  int n;
  TR_TRY(tr_decode_array(d, o, "args", TR_EXPR_MAX_ARGS, &list, &n));
  e->n_args = n;
  e->args = tr_arena_alloc(&r->shape->arena, sizeof *e->args * (size_t)(n + 1));
  if (!e->args) return tr_fail_memory(d->err, sizeof *e->args * (size_t)n);
  for (int k = 0; k < n; k++) {
    const json_t *v = json_array_get(list, (size_t)k);
    if (!json_is_integer(v)) return tr_decode_fault(d, "args[%d] must be an integer", k);
    long long no = json_integer_value(v);
    if (no < 0 || no >= i) return tr_decode_fault(d, "args[%d]: no expression %lld before this one", k, no);
    const struct tr_shape_expr *a = &r->shape->exprs[no];
    e->args[k] = (int32_t)no;
    e->size += a->size;
    e->row_number |= a->row_number;
    e->sees_all_rows |= a->sees_all_rows;
    if (a->depth >= e->depth) e->depth = a->depth + 1;
    if (a->top_column > e->top_column) e->top_column = a->top_column;
  }
  TR_TRY(tr_decode_array(d, o, "params", 4, &list, &n));
  for (int k = 0; k < n; k++)
    if (!json_is_integer(json_array_get(list, (size_t)k)))
      return tr_decode_fault(d, "params[%d] must be an integer", k);
  return TR_OK;
}

static enum tr_status expr(struct reader *r, const json_t *o, int i) {
  struct tr_decoder *d = &r->d;
  struct tr_shape_expr *e = &r->shape->exprs[i];
  const char *name, *sealed;
  bool flag = false;
  int64_t column = -1;
  if (!json_is_object(o)) return tr_decode_fault(d, "must be an object");
  TR_TRY(tr_decode_string(d, o, "op", &name));
  int op = name ? tr_expr_op_parse(name) : -1;
  if (op < 0) return tr_decode_fault(d, "no operation %.60s", name ? name : "");
  TR_TRY(expr_keys(d, o, op));
  *e = (struct tr_shape_expr){
      .op = (int16_t)op, .dtype = tr_dtype_of(TR_N_KINDS), .column = -1, .top_column = -1, .depth = 1, .size = 1};
  TR_TRY(tr_decode_string(d, o, "sealed", &sealed));
  if (sealed && !tr_seal_is_form(sealed, strlen(sealed))) return tr_decode_fault(d, "sealed has another form");
  TR_TRY(tr_decode_bool(d, o, op == TR_OP_COL ? "null" : "weak", &flag));
  if (op == TR_OP_LIT) return sealed ? TR_OK : tr_decode_fault(d, "sealed is missing");
  TR_TRY(tr_decode_dtype(d, o, "dtype", &e->dtype));
  if (op == TR_OP_COL) {
    TR_TRY(tr_decode_int(d, o, "column", 0, d->limits.columns - 1, &column));
    if (column < 0) return tr_decode_fault(d, "column is missing");
    e->column = e->top_column = (int32_t)column;
    return TR_OK;
  }
  e->row_number = op == TR_OP_ROW_NUMBER;
  e->sees_all_rows = e->dtype.kind == TR_CATEGORY;
  TR_TRY(expr_args(r, o, i));
  if (e->depth > d->limits.depth) return tr_decode_fault(d, "more than %lld deep", (long long)d->limits.depth);
  if (e->size > d->limits.size) return tr_decode_fault(d, "more than %lld operations", (long long)d->limits.size);
  return TR_OK;
}

/* ---- sources */
static enum tr_status source(struct reader *r, const json_t *o, int no) {
  static const char *const keys[] = {"kind", "rows", "cols", NULL}, *const col_keys[] = {"dtype", "null", "unsettled",
                                                                                         NULL};
  struct tr_decoder *d = &r->d;
  struct tr_shape_source *s = &r->shape->sources[no];
  const char *kind;
  const json_t *cols;
  bool flag = false;
  snprintf(d->path, sizeof d->path, "sources[%d]", no);
  TR_TRY(tr_decode_object(d, o, keys));
  TR_TRY(tr_decode_string(d, o, "kind", &kind));
  bool frame = kind && strcmp(kind, tr_rel_kind_name(TR_REL_FRAME)) == 0;
  if (!frame && !(kind && strcmp(kind, tr_rel_kind_name(TR_REL_PARQUET)) == 0))
    return tr_decode_fault(d, "no source %.60s", kind ? kind : "");
  s->kind = frame ? TR_REL_FRAME : TR_REL_PARQUET;
  s->n_rows = -1;
  TR_TRY(tr_decode_int(d, o, "rows", 0, INT64_MAX, &s->n_rows));
  TR_TRY(tr_decode_array(d, o, "cols", d->limits.columns, &cols, &s->n_cols));
  for (int i = 0; i < s->n_cols; i++) {
    const json_t *c = json_array_get(cols, (size_t)i);
    struct tr_dtype dtype;
    snprintf(d->path, sizeof d->path, "sources[%d].cols[%d]", no, i);
    TR_TRY(tr_decode_object(d, c, col_keys));
    TR_TRY(tr_decode_dtype(d, c, "dtype", &dtype));
    TR_TRY(tr_decode_bool(d, c, "null", &flag));
    TR_TRY(tr_decode_bool(d, c, "unsettled", &flag));
    s->has_category |= dtype.kind == TR_CATEGORY;
  }
  return charge(d, s->n_cols);
}

/* ---- nodes */
static enum tr_status numbers(struct reader *r, const json_t *o, const char *key, int64_t most, int end, int32_t **out,
                              int32_t *n) {
  struct tr_decoder *d = &r->d;
  const json_t *list;
  TR_TRY(tr_decode_array(d, o, key, most, &list, n));
  int32_t *got = tr_arena_alloc(&r->shape->arena, sizeof *got * (size_t)(*n + 1));
  if (!got) return tr_fail_memory(d->err, sizeof *got * (size_t)*n);
  for (int i = 0; i < *n; i++) {
    const json_t *v = json_array_get(list, (size_t)i);
    long long no = json_is_integer(v) ? json_integer_value(v) : -1;
    if (no < 0 || no >= end) return tr_decode_fault(d, "%s[%d] must be a number below %d", key, i, end);
    got[i] = (int32_t)no;
  }
  *out = got;
  return TR_OK;
}

static enum tr_status choice(struct tr_decoder *d, const json_t *o, const char *key, const char *const *names, int n,
                             int *out) {
  const char *name;
  TR_TRY(tr_decode_string(d, o, key, &name));
  if (!name) return *out >= 0 ? TR_OK : tr_decode_fault(d, "%s is missing", key);
  for (int i = 0; i < n; i++)
    if (strcmp(names[i], name) == 0) {
      *out = i;
      return TR_OK;
    }
  return tr_decode_fault(d, "no %s %.60s", key, name);
}

static enum tr_status item(struct reader *r, const json_t *o, const struct tr_shape_node *node,
                           struct tr_shape_item *it) {
  static const char *const keys[] = {"kind",       "fn",  "expr",      "expr2", "param",     "q", "skipna",
                                     "descending", "pct", "na_option", "dtype", "unsettled", NULL};
  struct tr_decoder *d = &r->d;
  const char *q, *names[TR_PLAN_N_AGGS > TR_PLAN_N_WINDOWS ? TR_PLAN_N_AGGS : TR_PLAN_N_WINDOWS];
  int kind = -1, fn = -1, na_option = 0;
  int64_t at[2] = {-1, -1}, most = node->n_exprs - 1 < INT16_MAX ? node->n_exprs - 1 : INT16_MAX;
  double v;
  bool flag = false;
  TR_TRY(tr_decode_object(d, o, keys));
  TR_TRY(choice(d, o, "kind", tr_codec_item_kinds, TR_CODEC_N_ITEM_KINDS, &kind));
  if ((kind == TR_ITEM_AGG) != (node->kind == TR_REL_AGGREGATE)) return tr_decode_fault(d, "an item of another node");
  bool window = kind == TR_ITEM_WINDOW;
  const struct tr_codec_fn *fns = window ? tr_codec_windows : tr_codec_aggs;
  int n_fns = window ? TR_PLAN_N_WINDOWS : TR_PLAN_N_AGGS;
  for (int i = 0; i < n_fns; i++) names[i] = fns[i].name;
  TR_TRY(choice(d, o, "fn", names, n_fns, &fn));
  TR_TRY(tr_decode_int(d, o, "expr", 0, most, &at[0]));
  TR_TRY(tr_decode_int(d, o, "expr2", 0, most, &at[1]));
  for (int i = 0; i < fns[fn].n_inputs; i++)
    if (at[i] < 0) return tr_decode_fault(d, "%s needs %d expressions", fns[fn].name, fns[fn].n_inputs);
  it->kind = (uint8_t)kind;
  it->fn = (uint8_t)fn;
  it->expr = (int16_t)at[0];
  it->expr2 = (int16_t)at[1];
  TR_TRY(tr_decode_int(d, o, "param", INT64_MIN, INT64_MAX, &it->param));
  TR_TRY(tr_decode_string(d, o, "q", &q));
  if (q && !tr_codec_float_parse(q, &v)) return tr_decode_fault(d, "no value of float64: %.60s", q);
  TR_TRY(tr_decode_bool(d, o, "skipna", &it->skipna));
  TR_TRY(tr_decode_bool(d, o, "descending", &flag));
  TR_TRY(tr_decode_bool(d, o, "pct", &flag));
  TR_TRY(choice(d, o, "na_option", tr_codec_na_options, TR_CODEC_N_NA_OPTIONS, &na_option));
  TR_TRY(tr_decode_bool(d, o, "unsettled", &it->unsettled));
  return tr_decode_dtype(d, o, "dtype", &it->dtype);
}

static enum tr_status items(struct reader *r, const json_t *o, struct tr_shape_node *node) {
  struct tr_decoder *d = &r->d;
  const json_t *list;
  int64_t most = d->limits.list < d->limits.columns ? d->limits.list : d->limits.columns;
  TR_TRY(tr_decode_array(d, o, "items", most, &list, &node->n_items));
  if (!node->n_items) return TR_OK;
  if (node->kind != TR_REL_AGGREGATE && node->kind != TR_REL_WINDOW)
    return tr_decode_fault(d, "items of %s", tr_rel_kind_name((enum tr_rel_kind)node->kind));
  node->items = tr_arena_alloc(&r->shape->arena, sizeof *node->items * (size_t)node->n_items);
  if (!node->items) return tr_fail_memory(d->err, sizeof *node->items * (size_t)node->n_items);
  size_t end = strlen(d->path);
  for (int i = 0; i < node->n_items; i++) {
    snprintf(d->path + end, sizeof d->path - end, ".items[%d]", i);
    TR_TRY(item(r, json_array_get(list, (size_t)i), node, &node->items[i]));
  }
  d->path[end] = 0;
  return charge(d, node->n_items);
}

static enum tr_status options(struct tr_decoder *d, const json_t *node, struct tr_shape_node *out) {
  const char *keys[TR_CODEC_N_OPTIONS + 1];
  const json_t *o = json_object_get(node, "options");
  int n = 0, how = 0, keep = 0;
  out->opt = tr_codec_defaults;
  if (!o) return TR_OK;
  for (enum tr_codec_option k = 0; k < TR_CODEC_N_OPTIONS; k++)
    if (tr_codec_has_option((enum tr_rel_kind)out->kind, k)) keys[n++] = tr_codec_options[k];
  keys[n] = NULL;
  TR_TRY(tr_decode_object(d, o, keys));
  for (enum tr_codec_option k = 0; k < TR_CODEC_N_OPTIONS; k++) {
    bool *flag = tr_codec_flag(&out->opt, k);
    int64_t *number = tr_codec_number(&out->opt, k);
    if (flag) TR_TRY(tr_decode_bool(d, o, tr_codec_options[k], flag));
    if (number) TR_TRY(tr_decode_int(d, o, tr_codec_options[k], k == TR_CODEC_STEP ? 1 : INT64_MIN, INT64_MAX, number));
  }
  TR_TRY(choice(d, o, "how", tr_codec_hows, TR_CODEC_N_HOWS, &how));
  TR_TRY(choice(d, o, "keep", tr_codec_keeps, TR_CODEC_N_KEEPS, &keep));
  out->opt.how = (uint8_t)how;
  out->opt.keep = (uint8_t)keep;
  return TR_OK;
}

static enum tr_status inputs(struct reader *r, const json_t *o, int no) {
  struct tr_decoder *d = &r->d;
  struct tr_shape_node *node = &r->shape->nodes[no];
  int64_t most = d->limits.list < UINT16_MAX ? d->limits.list : UINT16_MAX, n_cols = 0;
  TR_TRY(numbers(r, o, "inputs", most, no, &node->inputs, &node->n_inputs));
  int n = node->n_inputs;
  int want = node->kind == TR_REL_JOIN ? 2 : node->kind == TR_REL_CONCAT || node->kind == TR_REL_ZIP ? n : 1;
  if (n < 1 || n != want)
    return tr_decode_fault(d, "%d inputs of %s", n, tr_rel_kind_name((enum tr_rel_kind)node->kind));
  for (int i = 0; i < n; i++) {
    int in = node->inputs[i];
    r->used[in] = true;
    r->shape->nodes[in].consumers++;
    n_cols += r->shape->nodes[in].n_cols;
    if (r->depth[in] >= r->depth[no]) r->depth[no] = r->depth[in] + 1;
    if (node->kind == TR_REL_CONCAT && r->shape->nodes[in].n_cols != r->shape->nodes[node->inputs[0]].n_cols)
      return tr_decode_fault(d, "inputs of different width");
  }
  if (r->depth[no] > d->limits.depth) return tr_decode_fault(d, "more than %lld deep", (long long)d->limits.depth);
  if (n_cols > d->limits.columns && node->kind != TR_REL_CONCAT)
    return tr_decode_fault(d, "more than %lld columns", (long long)d->limits.columns);
  return charge(d, n_cols);
}

static enum tr_status exprs(struct reader *r, const json_t *o, struct tr_shape_node *node) {
  struct tr_decoder *d = &r->d;
  const struct tr_shape *s = r->shape;
  int64_t n_keys = 0;
  TR_TRY(numbers(r, o, "exprs", d->limits.list, s->n_exprs, &node->exprs, &node->n_exprs));
  TR_TRY(tr_decode_int(d, o, "n_keys", 0, node->n_exprs, &n_keys));
  node->n_keys = (int32_t)n_keys;
  int kind = node->kind, n = node->n_exprs;
  bool keyed = kind == TR_REL_SORT || kind == TR_REL_DISTINCT || kind == TR_REL_GROUP_HEAD;
  bool bare = kind == TR_REL_SLICE || kind == TR_REL_CONCAT || kind == TR_REL_ZIP;
  bool ok = kind == TR_REL_FILTER ? n == 1 : kind == TR_REL_JOIN ? n == 2 * n_keys : keyed ? n > 0 : !(bare && n);
  if (kind == TR_REL_GROUP_HEAD && n_keys < 1) ok = false;
  if (!ok)
    return tr_decode_fault(d, "%s with %d expressions, %lld keys", tr_rel_kind_name((enum tr_rel_kind)kind), n,
                           (long long)n_keys);
  for (int i = 0; i < n; i++) {
    const struct tr_shape_expr *e = &s->exprs[node->exprs[i]];
    const struct tr_shape_node *in = &s->nodes[node->inputs[kind == TR_REL_JOIN && i >= n_keys]];
    if (e->top_column >= in->n_cols) return tr_decode_fault(d, "column %d of %d", e->top_column, in->n_cols);
    TR_TRY(charge(d, e->size));
  }
  return TR_OK;
}

static enum tr_status directions(struct reader *r, const json_t *o, const struct tr_shape_node *node) {
  struct tr_decoder *d = &r->d;
  const json_t *list;
  int n;
  bool directed = node->kind == TR_REL_SORT || node->kind == TR_REL_GROUP_HEAD;
  TR_TRY(tr_decode_array(d, o, "descending", directed ? node->n_exprs : 0, &list, &n));
  for (int i = 0; i < n; i++)
    if (!json_is_boolean(json_array_get(list, (size_t)i)))
      return tr_decode_fault(d, "descending[%d] must be true or false", i);
  return TR_OK;
}

static int64_t columns_of(const struct tr_shape *s, const struct tr_shape_node *node) {
  int64_t in = 0;
  switch (node->kind) {
  case TR_REL_PROJECT: return node->n_exprs;
  case TR_REL_AGGREGATE: return (int64_t)node->n_keys + node->n_items;
  case TR_REL_JOIN:
  case TR_REL_ZIP:
    for (int i = 0; i < node->n_inputs; i++) in += s->nodes[node->inputs[i]].n_cols;
    return in + (node->kind == TR_REL_JOIN ? node->n_keys : 0);
  case TR_REL_WINDOW: return (int64_t)s->nodes[node->inputs[0]].n_cols + node->n_items;
  default: return s->nodes[node->inputs[0]].n_cols;
  }
}

static enum tr_status leaf(struct reader *r, const json_t *o, struct tr_shape_node *node) {
  static const char *const keys[] = {"source", NULL};
  struct tr_decoder *d = &r->d;
  int64_t at = -1;
  TR_TRY(tr_decode_object(d, o, keys));
  TR_TRY(tr_decode_int(d, o, "source", 0, r->shape->n_sources - 1, &at));
  if (at < 0) return tr_decode_fault(d, "source is missing");
  if (r->source_taken[at]) return tr_decode_fault(d, "source %lld stands here twice", (long long)at);
  r->source_taken[at] = true;
  node->source = (int32_t)at;
  node->kind = r->shape->sources[at].kind;
  node->n_cols = r->shape->sources[at].n_cols;
  return TR_OK;
}

static enum tr_status node(struct reader *r, const json_t *o, int no) {
  static const char *const keys[] = {"kind", "inputs", "exprs", "n_keys", "items", "descending", "options", NULL};
  struct tr_decoder *d = &r->d;
  struct tr_shape_node *out = &r->shape->nodes[no];
  const char *kinds[TR_N_RELS];
  int kind = -1;
  snprintf(d->path, sizeof d->path, "nodes[%d]", no);
  *out = (struct tr_shape_node){.source = -1, .opt = tr_codec_defaults};
  r->depth[no] = 1;
  if (json_object_get(o, "source")) return leaf(r, o, out);
  TR_TRY(tr_decode_object(d, o, keys));
  for (int k = 0; k < TR_N_RELS; k++) kinds[k] = tr_rel_kind_name((enum tr_rel_kind)k);
  TR_TRY(choice(d, o, "kind", kinds, TR_N_RELS, &kind));
  if (tr_codec_is_source(kind)) return tr_decode_fault(d, "%s without a source", kinds[kind]);
  out->kind = (uint8_t)kind;
  TR_TRY(inputs(r, o, no));
  TR_TRY(exprs(r, o, out));
  TR_TRY(items(r, o, out));
  TR_TRY(directions(r, o, out));
  TR_TRY(options(d, o, out));
  int64_t n_cols = columns_of(r->shape, out);
  if (n_cols > d->limits.columns) return tr_decode_fault(d, "more than %lld columns", (long long)d->limits.columns);
  out->n_cols = (int32_t)n_cols;
  return charge(d, n_cols);
}

/* ---- the whole */
static enum tr_status reserve(struct reader *r, size_t bytes, void *out) {
  void *p = tr_arena_alloc(&r->shape->arena, bytes ? bytes : 1);
  if (!p) return tr_fail_memory(r->d.err, bytes);
  memcpy(out, &p, sizeof p);
  return TR_OK;
}

static enum tr_status whole(struct reader *r, const json_t *root) {
  static const char *const keys[] = {"version", "sources", "exprs", "nodes", NULL};
  struct tr_decoder *d = &r->d;
  struct tr_shape *s = r->shape;
  const json_t *list[3];
  int64_t version = 0;
  if (!json_is_object(root)) return tr_decode_fault(d, "must be an object");
  TR_TRY(tr_decode_int(d, root, "version", INT64_MIN, INT64_MAX, &version));
  if (version != TR_PLAN_VERSION)
    return tr_decode_fault(d, "version %lld, this engine reads version %d", (long long)version, TR_PLAN_VERSION);
  TR_TRY(tr_decode_object(d, root, keys));
  TR_TRY(tr_decode_array(d, root, "sources", d->limits.nodes, &list[0], &s->n_sources));
  TR_TRY(tr_decode_array(d, root, "exprs", d->limits.exprs, &list[1], &s->n_exprs));
  TR_TRY(tr_decode_array(d, root, "nodes", d->limits.nodes, &list[2], &s->n_nodes));
  if (s->n_nodes < 1) return tr_decode_fault(d, "no nodes");
  TR_TRY(reserve(r, sizeof *s->sources * (size_t)s->n_sources, &s->sources));
  TR_TRY(reserve(r, sizeof *s->exprs * (size_t)s->n_exprs, &s->exprs));
  TR_TRY(reserve(r, sizeof *s->nodes * (size_t)s->n_nodes, &s->nodes));
  TR_TRY(tr_decode_alloc(d, sizeof *r->depth * (size_t)s->n_nodes, &r->depth));
  TR_TRY(tr_decode_alloc(d, (size_t)s->n_nodes, &r->used));
  TR_TRY(tr_decode_alloc(d, (size_t)s->n_sources, &r->source_taken));
  for (int i = 0; i < s->n_sources; i++) TR_TRY(source(r, json_array_get(list[0], (size_t)i), i));
  for (int i = 0; i < s->n_exprs; i++) {
    snprintf(d->path, sizeof d->path, "exprs[%d]", i);
    TR_TRY(expr(r, json_array_get(list[1], (size_t)i), i));
  }
  for (int i = 0; i < s->n_nodes; i++) TR_TRY(node(r, json_array_get(list[2], (size_t)i), i));
  for (int i = 0; i < s->n_nodes - 1; i++) {
    snprintf(d->path, sizeof d->path, "nodes[%d]", i);
    if (!r->used[i]) return tr_decode_fault(d, "nothing uses it");
  }
  s->nodes[s->n_nodes - 1].consumers++;
  return TR_OK;
}

static enum tr_status parse(const char *text, size_t len, const struct tr_plan_limits *limits, json_t **root,
                            struct tr_error *err) {
  json_error_t fault;
  if (len > (size_t)limits->bytes)
    return tr_fail(err, TR_EXC_VALUE, "plan: %zu bytes, more than %lld", len, (long long)limits->bytes);
  *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &fault);
  if (*root) return TR_OK;
  return tr_fail(err, TR_EXC_VALUE, "plan: not JSON: %s (byte %d)", fault.text, fault.position);
}

enum tr_status tr_shape_decode(const char *text, size_t len, const struct tr_plan_limits *limits, struct tr_shape *out,
                               struct tr_error *err) {
  struct tr_error own;
  struct reader r = {.d = {.limits = limits ? *limits : tr_plan_limits_default, .err = err ? err : &own}, .shape = out};
  json_t *root;
  *out = (struct tr_shape){0};
  TR_TRY(parse(text, len, &r.d.limits, &root, err));
  tr_arena_init(&r.d.arena);
  tr_arena_init(&out->arena);
  enum tr_status st = whole(&r, root);
  tr_arena_free(&r.d.arena);
  json_decref(root);
  if (st != TR_OK) tr_shape_drop(out);
  return st;
}

void tr_shape_drop(struct tr_shape *shape) {
  tr_arena_free(&shape->arena);
  *shape = (struct tr_shape){0};
}

/* ---- sources over nothing */
static void release_nothing(void *source) { (void)source; }

static enum tr_status described_source(struct tr_decoder *d, const json_t *o, int no, struct tr_rel **out) {
  const char *kind;
  const json_t *list;
  int64_t rows = -1;
  int n;
  snprintf(d->path, sizeof d->path, "sources[%d]", no);
  TR_TRY(tr_decode_string(d, o, "kind", &kind));
  TR_TRY(tr_decode_int(d, o, "rows", 0, INT64_MAX, &rows));
  TR_TRY(tr_decode_array(d, o, "cols", d->limits.columns, &list, &n));
  struct tr_rel_col *cols;
  TR_TRY(tr_decode_alloc(d, sizeof *cols * (size_t)n, &cols));
  for (int i = 0; i < n; i++) {
    const json_t *c = json_array_get(list, (size_t)i);
    TR_TRY(tr_decode_dtype(d, c, "dtype", &cols[i].dtype));
    TR_TRY(tr_decode_bool(d, c, "null", &cols[i].maybe_null));
    TR_TRY(tr_decode_bool(d, c, "unsettled", &cols[i].unsettled));
  }
  bool parquet = kind && strcmp(kind, tr_rel_kind_name(TR_REL_PARQUET)) == 0;
  return tr_rel_source(parquet ? TR_REL_PARQUET : TR_REL_FRAME, cols, n, rows, NULL, release_nothing, "elsewhere", out,
                       d->err);
}

enum tr_status tr_plan_described_sources(const char *text, size_t len, struct tr_rel ***out, int *n,
                                         struct tr_error *err) {
  struct tr_error own;
  struct tr_decoder d = {.limits = tr_plan_limits_default, .err = err ? err : &own};
  const json_t *list;
  json_t *root;
  enum tr_status st;
  *out = NULL;
  *n = 0;
  TR_TRY(parse(text, len, &d.limits, &root, err));
  tr_arena_init(&d.arena);
  TR_GOTO(st, tr_decode_array(&d, root, "sources", d.limits.nodes, &list, n));
  *out = calloc((size_t)*n + 1, sizeof **out);
  if (!*out) TR_GOTO(st, tr_fail_memory(err, sizeof **out * (size_t)*n));
  for (int i = 0; i < *n; i++) TR_GOTO(st, described_source(&d, json_array_get(list, (size_t)i), i, &(*out)[i]));
done:
  tr_arena_free(&d.arena);
  json_decref(root);
  if (st != TR_OK && *out) {
    tr_plan_sources_free(*out, *n);
    *out = NULL;
  }
  return st;
}
