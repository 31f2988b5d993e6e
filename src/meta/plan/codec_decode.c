/* Reads a plan from JSON: see codec.h. This file: reading fields strictly, the table of sources, and the nodes. */
#include "meta/plan/codec_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum tr_status tr_decode_fault(struct tr_decoder *d, const char *text, ...) {
  char what[400];
  va_list ap;
  va_start(ap, text);
  vsnprintf(what, sizeof what, text, ap);
  va_end(ap);
  return tr_fail(d->err, TR_EXC_VALUE, "plan: %s%s%s", d->path, d->path[0] ? ": " : "", what);
}

enum tr_status tr_decode_alloc(struct tr_decoder *d, size_t bytes, void *out) {
  void *p = tr_arena_alloc(&d->arena, bytes ? bytes : 1);
  if (!p) return tr_fail_memory(d->err, bytes);
  memcpy(out, &p, sizeof p);
  return TR_OK;
}

enum tr_status tr_decode_made(struct tr_decoder *d, enum tr_status st) {
  bool refused = st == TR_UNSUPPORTED || (st == TR_ERROR && d->err && d->err->exc != TR_EXC_MEMORY);
  if (!refused) return st;
  char why[sizeof d->err->text];
  snprintf(why, sizeof why, "%s", d->err ? d->err->text : "");
  return tr_decode_fault(d, "%s", why);
}

enum tr_status tr_decode_object(struct tr_decoder *d, const json_t *v, const char *const *keys) {
  const char *key;
  json_t *value;
  if (!json_is_object(v)) return tr_decode_fault(d, "must be an object");
  json_object_foreach((json_t *)(uintptr_t)v, key, value) {
    bool known = false;
    for (int i = 0; keys[i] && !known; i++) known = strcmp(keys[i], key) == 0;
    if (!known) return tr_decode_fault(d, "unknown field %.60s", key);
  }
  return TR_OK;
}

enum tr_status tr_decode_int(struct tr_decoder *d, const json_t *o, const char *key, int64_t low, int64_t high,
                             int64_t *out) {
  const json_t *v = json_object_get(o, key);
  if (!v) return TR_OK;
  if (!json_is_integer(v)) return tr_decode_fault(d, "%s must be an integer", key);
  *out = json_integer_value(v);
  if (*out >= low && *out <= high) return TR_OK;
  return tr_decode_fault(d, "%s %lld is not in %lld..%lld", key, (long long)*out, (long long)low, (long long)high);
}

enum tr_status tr_decode_bool(struct tr_decoder *d, const json_t *o, const char *key, bool *out) {
  const json_t *v = json_object_get(o, key);
  if (!v) return TR_OK;
  if (!json_is_boolean(v)) return tr_decode_fault(d, "%s must be true or false", key);
  *out = json_is_true(v);
  return TR_OK;
}

enum tr_status tr_decode_string(struct tr_decoder *d, const json_t *o, const char *key, const char **out) {
  const json_t *v = json_object_get(o, key);
  *out = NULL;
  if (!v) return TR_OK;
  if (!json_is_string(v)) return tr_decode_fault(d, "%s must be a string", key);
  *out = json_string_value(v);
  return TR_OK;
}

enum tr_status tr_decode_array(struct tr_decoder *d, const json_t *o, const char *key, int64_t most, const json_t **out,
                               int *n) {
  *out = json_object_get(o, key);
  *n = 0;
  if (!*out) return TR_OK;
  if (!json_is_array(*out)) return tr_decode_fault(d, "%s must be an array", key);
  size_t size = json_array_size(*out);
  if ((int64_t)size > most) return tr_decode_fault(d, "%s has %zu entries, more than %lld", key, size, (long long)most);
  *n = (int)size;
  return TR_OK;
}

enum tr_status tr_decode_dtype(struct tr_decoder *d, const json_t *o, const char *key, struct tr_dtype *out) {
  const char *name;
  TR_TRY(tr_decode_string(d, o, key, &name));
  if (!name) return tr_decode_fault(d, "%s is missing", key);
  return tr_codec_dtype_parse(name, out) ? TR_OK : tr_decode_fault(d, "no dtype %.60s", name);
}

/* Field `key`, one of n names; a missing one leaves *out (-1 = there must be one). */
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

/* Every source is described as the one that the caller has at that place. */
static enum tr_status check_source(struct tr_decoder *d, const json_t *o, int no) {
  static const char *const keys[] = {"kind", "rows", "cols", NULL}, *const col_keys[] = {"dtype", "null", "unsettled",
                                                                                         NULL};
  const struct tr_rel *r = d->sources[no];
  const char *kind;
  int64_t rows = -1;
  const json_t *cols;
  int n;
  snprintf(d->path, sizeof d->path, "sources[%d]", no);
  TR_TRY(tr_decode_object(d, o, keys));
  TR_TRY(tr_decode_string(d, o, "kind", &kind));
  const char *want = tr_rel_kind_name((enum tr_rel_kind)r->kind);
  if (!kind || strcmp(kind, want) != 0)
    return tr_decode_fault(d, "is %.60s, the source given is %s", kind ? kind : "nothing", want);
  if (!tr_codec_is_source(r->kind)) return tr_decode_fault(d, "%s is no source", want);
  TR_TRY(tr_decode_int(d, o, "rows", 0, INT64_MAX, &rows));
  if (rows != r->n_rows)
    return tr_decode_fault(d, "has %lld rows, the source given %lld", (long long)rows, (long long)r->n_rows);
  TR_TRY(tr_decode_array(d, o, "cols", d->limits.columns, &cols, &n));
  if (n != r->n_cols) return tr_decode_fault(d, "has %d columns, the source given %d", n, r->n_cols);
  for (int i = 0; i < n; i++) {
    const json_t *c = json_array_get(cols, (size_t)i);
    struct tr_rel_col col = {0};
    snprintf(d->path, sizeof d->path, "sources[%d].cols[%d]", no, i);
    TR_TRY(tr_decode_object(d, c, col_keys));
    TR_TRY(tr_decode_dtype(d, c, "dtype", &col.dtype));
    TR_TRY(tr_decode_bool(d, c, "null", &col.maybe_null));
    TR_TRY(tr_decode_bool(d, c, "unsettled", &col.unsettled));
    if (!tr_dtype_eq(col.dtype, r->cols[i].dtype))
      return tr_decode_fault(d, "is %s, the source given has %s", tr_codec_dtype_name(col.dtype),
                             tr_codec_dtype_name(r->cols[i].dtype));
    if (col.maybe_null != r->cols[i].maybe_null || col.unsettled != r->cols[i].unsettled)
      return tr_decode_fault(d, "what is known of the column differs from the source given");
  }
  return TR_OK;
}

/* Numbers of field `key` that are below `end`, marked as used. */
static enum tr_status numbers(struct tr_decoder *d, const json_t *o, const char *key, int64_t most, int end,
                              const char *what, bool *used, int32_t **out, int *n) {
  const json_t *list;
  TR_TRY(tr_decode_array(d, o, key, most, &list, n));
  TR_TRY(tr_decode_alloc(d, sizeof **out * (size_t)*n, out));
  size_t at = strlen(d->path);
  for (int i = 0; i < *n; i++) {
    const json_t *v = json_array_get(list, (size_t)i);
    snprintf(d->path + at, sizeof d->path - at, ".%s[%d]", key, i);
    if (!json_is_integer(v)) return tr_decode_fault(d, "must be an integer");
    long long no = json_integer_value(v);
    if (no < 0 || no >= end) return tr_decode_fault(d, "no %s %lld", what, no);
    (*out)[i] = (int32_t)no;
    used[no] = true;
  }
  d->path[at] = 0;
  return TR_OK;
}

/* Columns an expression reads are there, of that dtype, and as sure to be complete. Its size has been charged before.
 */
static enum tr_status check_columns(struct tr_decoder *d, const struct tr_expr *e, const struct tr_rel *in) {
  if (e->op == TR_OP_COL) {
    if (e->column >= in->n_cols) return tr_decode_fault(d, "column %d of %d", e->column, in->n_cols);
    const struct tr_rel_col *c = &in->cols[e->column];
    if (!tr_dtype_eq(c->dtype, e->dtype))
      return tr_decode_fault(d, "column %d is %s, not %s", e->column, tr_codec_dtype_name(c->dtype),
                             tr_codec_dtype_name(e->dtype));
    bool may_lack = c->maybe_null && c->dtype.kind != TR_BOOL && !tr_kind_is_int(c->dtype.kind);
    if (may_lack && !e->maybe_null) return tr_decode_fault(d, "column %d may have missing values", e->column);
  }
  for (int i = 0; i < e->n_args; i++) TR_TRY(check_columns(d, e->args[i], in));
  return TR_OK;
}

static enum tr_status charge(struct tr_decoder *d, int64_t n) {
  d->size += n;
  if (d->size <= d->limits.size) return TR_OK;
  return tr_decode_fault(d, "the plan has more than %lld columns and operations", (long long)d->limits.size);
}

static enum tr_status node_inputs(struct tr_decoder *d, const json_t *o, int no, struct tr_rel_spec *s) {
  int32_t *at;
  struct tr_rel **inputs = NULL;
  int64_t most = d->limits.list < UINT16_MAX ? d->limits.list : UINT16_MAX, n_cols = 0, rows = 0;
  TR_TRY(numbers(d, o, "inputs", most, no, "node", d->node_used, &at, &s->n_inputs));
  int want = s->kind == TR_REL_JOIN ? 2 : s->kind == TR_REL_CONCAT || s->kind == TR_REL_ZIP ? s->n_inputs : 1;
  if (s->n_inputs < 1 || s->n_inputs != want)
    return tr_decode_fault(d, "%d inputs of %s", s->n_inputs, tr_rel_kind_name(s->kind));
  TR_TRY(tr_decode_alloc(d, sizeof *inputs * (size_t)s->n_inputs, &inputs));
  for (int i = 0; i < s->n_inputs; i++) {
    const struct tr_rel *in = inputs[i] = d->nodes[at[i]];
    if (d->node_depth[at[i]] >= d->node_depth[no]) d->node_depth[no] = d->node_depth[at[i]] + 1;
    n_cols += in->n_cols;
    if (in->n_rows >= 0 && __builtin_add_overflow(rows, in->n_rows, &rows)) return tr_decode_fault(d, "too many rows");
  }
  if (d->node_depth[no] > d->limits.depth) return tr_decode_fault(d, "more than %lld deep", (long long)d->limits.depth);
  if (n_cols > d->limits.columns && s->kind != TR_REL_CONCAT)
    return tr_decode_fault(d, "more than %lld columns", (long long)d->limits.columns);
  TR_TRY(charge(d, n_cols));
  for (int i = 1; s->kind == TR_REL_CONCAT && i < s->n_inputs; i++)
    for (int c = 0; c < inputs[0]->n_cols; c++)
      if (c >= inputs[i]->n_cols || !tr_dtype_eq(inputs[i]->cols[c].dtype, inputs[0]->cols[c].dtype))
        return tr_decode_fault(d, "inputs[%d] has another dtype in column %d", i, c);
  s->inputs = inputs;
  return TR_OK;
}

static enum tr_status node_exprs(struct tr_decoder *d, const json_t *o, struct tr_rel_spec *s) {
  int32_t *at;
  struct tr_expr **exprs = NULL;
  int64_t n_keys = 0;
  TR_TRY(numbers(d, o, "exprs", d->limits.list, d->n_exprs, "expression", d->expr_used, &at, &s->n_exprs));
  TR_TRY(tr_decode_alloc(d, sizeof *exprs * (size_t)s->n_exprs, &exprs));
  TR_TRY(tr_decode_int(d, o, "n_keys", 0, s->n_exprs, &n_keys));
  s->n_keys = (int)n_keys;
  bool keyed = s->kind == TR_REL_SORT || s->kind == TR_REL_DISTINCT || s->kind == TR_REL_GROUP_HEAD;
  bool bare = s->kind == TR_REL_SLICE || s->kind == TR_REL_CONCAT || s->kind == TR_REL_ZIP;
  bool ok = s->kind == TR_REL_FILTER ? s->n_exprs == 1
            : s->kind == TR_REL_JOIN ? s->n_exprs == 2 * s->n_keys
            : keyed                  ? s->n_exprs > 0
                                     : !(bare && s->n_exprs);
  if (s->kind == TR_REL_GROUP_HEAD && s->n_keys < 1) ok = false;
  if (!ok)
    return tr_decode_fault(d, "%s with %d expressions, %d keys", tr_rel_kind_name(s->kind), s->n_exprs, s->n_keys);
  size_t end = strlen(d->path);
  for (int i = 0; i < s->n_exprs; i++) {
    exprs[i] = d->exprs[at[i]];
    snprintf(d->path + end, sizeof d->path - end, ".exprs[%d]", i);
    TR_TRY(charge(d, d->expr_size[at[i]]));
    TR_TRY(check_columns(d, exprs[i], s->inputs[s->kind == TR_REL_JOIN && i >= s->n_keys]));
  }
  d->path[end] = 0;
  s->exprs = exprs;
  return TR_OK;
}

static enum tr_status item_fn(struct tr_decoder *d, const json_t *o, const struct tr_rel_spec *s, struct tr_item *it) {
  int kind = -1, fn = -1;
  TR_TRY(choice(d, o, "kind", tr_codec_item_kinds, TR_CODEC_N_ITEM_KINDS, &kind));
  if ((kind == TR_ITEM_AGG) != (s->kind == TR_REL_AGGREGATE))
    return tr_decode_fault(d, "%s in %s", tr_codec_item_kinds[kind], tr_rel_kind_name(s->kind));
  bool window = kind == TR_ITEM_WINDOW;
  const struct tr_codec_fn *fns = window ? tr_codec_windows : tr_codec_aggs;
  int n_fns = window ? TR_PLAN_N_WINDOWS : TR_PLAN_N_AGGS;
  const char *names[TR_PLAN_N_AGGS > TR_PLAN_N_WINDOWS ? TR_PLAN_N_AGGS : TR_PLAN_N_WINDOWS];
  for (int i = 0; i < n_fns; i++) names[i] = fns[i].name;
  TR_TRY(choice(d, o, "fn", names, n_fns, &fn));
  it->kind = (uint8_t)kind;
  it->fn = (uint8_t)fn;
  int64_t at[2] = {-1, -1}, most = s->n_exprs - 1 < INT16_MAX ? s->n_exprs - 1 : INT16_MAX;
  TR_TRY(tr_decode_int(d, o, "expr", 0, most, &at[0]));
  TR_TRY(tr_decode_int(d, o, "expr2", 0, most, &at[1]));
  for (int i = 0; i < fns[fn].n_inputs; i++)
    if (at[i] < 0) return tr_decode_fault(d, "%s needs %d expressions", fns[fn].name, fns[fn].n_inputs);
  it->expr = (int16_t)at[0];
  it->expr2 = (int16_t)at[1];
  return TR_OK;
}

static enum tr_status item(struct tr_decoder *d, const json_t *o, const struct tr_rel_spec *s, struct tr_item *it,
                           struct tr_dtype *dtype, bool *unsettled) {
  static const char *const keys[] = {"kind",       "fn",  "expr",      "expr2", "param",     "q", "skipna",
                                     "descending", "pct", "na_option", "dtype", "unsettled", NULL};
  const char *q;
  int na_option = 0;
  TR_TRY(tr_decode_object(d, o, keys));
  TR_TRY(item_fn(d, o, s, it));
  TR_TRY(tr_decode_int(d, o, "param", INT64_MIN, INT64_MAX, &it->param));
  TR_TRY(tr_decode_string(d, o, "q", &q));
  if (q && !tr_codec_float_parse(q, &it->q)) return tr_decode_fault(d, "no value of float64: %.60s", q);
  TR_TRY(tr_decode_bool(d, o, "skipna", &it->skipna));
  TR_TRY(tr_decode_bool(d, o, "descending", &it->descending));
  TR_TRY(tr_decode_bool(d, o, "pct", &it->pct));
  TR_TRY(choice(d, o, "na_option", tr_codec_na_options, TR_CODEC_N_NA_OPTIONS, &na_option));
  it->na_option = (uint8_t)na_option;
  TR_TRY(tr_decode_bool(d, o, "unsettled", unsettled));
  return tr_decode_dtype(d, o, "dtype", dtype);
}

static enum tr_status node_items(struct tr_decoder *d, const json_t *o, struct tr_rel_spec *s) {
  const json_t *list;
  struct tr_item *items = NULL;
  struct tr_dtype *dtypes = NULL;
  bool *unsettled = NULL;
  int n;
  TR_TRY(tr_decode_array(d, o, "items", d->limits.list < d->limits.columns ? d->limits.list : d->limits.columns, &list,
                         &n));
  if (!n) return TR_OK;
  if (s->kind != TR_REL_AGGREGATE && s->kind != TR_REL_WINDOW)
    return tr_decode_fault(d, "items of %s", tr_rel_kind_name(s->kind));
  TR_TRY(tr_decode_alloc(d, sizeof *items * (size_t)n, &items));
  TR_TRY(tr_decode_alloc(d, sizeof *dtypes * (size_t)n, &dtypes));
  TR_TRY(tr_decode_alloc(d, sizeof *unsettled * (size_t)n, &unsettled));
  size_t end = strlen(d->path);
  for (int i = 0; i < n; i++) {
    snprintf(d->path + end, sizeof d->path - end, ".items[%d]", i);
    TR_TRY(item(d, json_array_get(list, (size_t)i), s, &items[i], &dtypes[i], &unsettled[i]));
  }
  d->path[end] = 0;
  s->items = items;
  s->n_items = n;
  s->item_dtypes = dtypes;
  s->item_unsettled = unsettled;
  return charge(d, n);
}

static enum tr_status node_directions(struct tr_decoder *d, const json_t *o, struct tr_rel_spec *s) {
  const json_t *list;
  bool *descending = NULL;
  int n;
  bool directed = s->kind == TR_REL_SORT || s->kind == TR_REL_GROUP_HEAD;
  TR_TRY(tr_decode_array(d, o, "descending", directed ? s->n_exprs : 0, &list, &n));
  if (!directed) return TR_OK;
  TR_TRY(tr_decode_alloc(d, sizeof *descending * (size_t)s->n_exprs, &descending));
  for (int i = 0; i < n; i++) {
    const json_t *v = json_array_get(list, (size_t)i);
    if (!json_is_boolean(v)) return tr_decode_fault(d, "descending[%d] must be true or false", i);
    descending[i] = json_is_true(v);
  }
  s->descending = descending;
  return TR_OK;
}

static enum tr_status node_options(struct tr_decoder *d, const json_t *node, struct tr_rel_spec *s) {
  const char *keys[TR_CODEC_N_OPTIONS + 1];
  const json_t *o = json_object_get(node, "options");
  int n = 0, how = 0, keep = 0;
  s->opt = tr_codec_defaults;
  if (!o) return TR_OK;
  size_t end = strlen(d->path);
  snprintf(d->path + end, sizeof d->path - end, ".options");
  for (enum tr_codec_option k = 0; k < TR_CODEC_N_OPTIONS; k++)
    if (tr_codec_has_option(s->kind, k)) keys[n++] = tr_codec_options[k];
  keys[n] = NULL;
  TR_TRY(tr_decode_object(d, o, keys));
  for (enum tr_codec_option k = 0; k < TR_CODEC_N_OPTIONS; k++) {
    bool *flag = tr_codec_flag(&s->opt, k);
    int64_t *number = tr_codec_number(&s->opt, k);
    if (flag) TR_TRY(tr_decode_bool(d, o, tr_codec_options[k], flag));
    if (number) TR_TRY(tr_decode_int(d, o, tr_codec_options[k], k == TR_CODEC_STEP ? 1 : INT64_MIN, INT64_MAX, number));
  }
  TR_TRY(choice(d, o, "how", tr_codec_hows, TR_CODEC_N_HOWS, &how));
  TR_TRY(choice(d, o, "keep", tr_codec_keeps, TR_CODEC_N_KEEPS, &keep));
  s->opt.how = (uint8_t)how;
  s->opt.keep = (uint8_t)keep;
  d->path[end] = 0;
  return TR_OK;
}

static enum tr_status leaf(struct tr_decoder *d, const json_t *o, int no) {
  static const char *const keys[] = {"source", NULL};
  int64_t at = -1;
  TR_TRY(tr_decode_object(d, o, keys));
  TR_TRY(tr_decode_int(d, o, "source", INT64_MIN, INT64_MAX, &at));
  if (at < 0 || at >= d->n_sources) return tr_decode_fault(d, "no source %lld", (long long)at);
  if (d->source_used[at]) return tr_decode_fault(d, "source %lld stands here twice", (long long)at);
  d->source_used[at] = true;
  d->nodes[no] = tr_rel_ref(d->sources[at]);
  return TR_OK;
}

static enum tr_status node(struct tr_decoder *d, const json_t *o, int no) {
  static const char *const keys[] = {"kind", "inputs", "exprs", "n_keys", "items", "descending", "options", NULL};
  const char *kinds[TR_N_RELS];
  int kind = -1;
  snprintf(d->path, sizeof d->path, "nodes[%d]", no);
  d->node_depth[no] = 1;
  if (json_object_get(o, "source")) return leaf(d, o, no);
  TR_TRY(tr_decode_object(d, o, keys));
  for (int k = 0; k < TR_N_RELS; k++) kinds[k] = tr_rel_kind_name((enum tr_rel_kind)k);
  TR_TRY(choice(d, o, "kind", kinds, TR_N_RELS, &kind));
  if (tr_codec_is_source(kind)) return tr_decode_fault(d, "%s without a source", kinds[kind]);
  struct tr_rel_spec s = {.kind = (enum tr_rel_kind)kind};
  TR_TRY(node_inputs(d, o, no, &s));
  TR_TRY(node_exprs(d, o, &s));
  TR_TRY(node_items(d, o, &s));
  TR_TRY(node_directions(d, o, &s));
  TR_TRY(node_options(d, o, &s));
  TR_TRY(tr_decode_made(d, tr_rel_make(&s, &d->nodes[no], d->err)));
  if (d->nodes[no]->n_cols > d->limits.columns)
    return tr_decode_fault(d, "more than %lld columns", (long long)d->limits.columns);
  return charge(d, d->nodes[no]->n_cols);
}

static enum tr_status check_used(struct tr_decoder *d, const char *what, const bool *used, int n) {
  for (int i = 0; i < n; i++)
    if (!used[i]) {
      snprintf(d->path, sizeof d->path, "%s[%d]", what, i);
      return tr_decode_fault(d, "nothing uses it");
    }
  return TR_OK;
}

static enum tr_status whole(struct tr_decoder *d, const json_t *root) {
  static const char *const keys[] = {"version", "sources", "exprs", "nodes", NULL};
  const json_t *sources, *exprs, *nodes;
  int64_t version = 0;
  int n_sources;
  if (!json_is_object(root)) return tr_decode_fault(d, "must be an object");
  TR_TRY(tr_decode_int(d, root, "version", INT64_MIN, INT64_MAX, &version));
  if (version != TR_PLAN_VERSION)
    return tr_decode_fault(d, "version %lld, this engine reads version %d", (long long)version, TR_PLAN_VERSION);
  TR_TRY(tr_decode_object(d, root, keys));
  TR_TRY(tr_decode_array(d, root, "sources", d->limits.nodes, &sources, &n_sources));
  TR_TRY(tr_decode_array(d, root, "exprs", d->limits.exprs, &exprs, &d->n_exprs));
  TR_TRY(tr_decode_array(d, root, "nodes", d->limits.nodes, &nodes, &d->n_nodes));
  if (n_sources != d->n_sources) return tr_decode_fault(d, "%d sources, %d given", n_sources, d->n_sources);
  int n = d->n_nodes;
  if (n < 1) return tr_decode_fault(d, "no nodes");
  TR_TRY(tr_decode_alloc(d, sizeof *d->source_used * (size_t)n_sources, &d->source_used));
  TR_TRY(tr_decode_alloc(d, sizeof *d->node_depth * (size_t)n, &d->node_depth));
  TR_TRY(tr_decode_alloc(d, sizeof *d->node_used * (size_t)n, &d->node_used));
  TR_TRY(tr_decode_alloc(d, sizeof *d->nodes * (size_t)n, &d->nodes));
  for (int i = 0; i < n_sources; i++) TR_TRY(check_source(d, json_array_get(sources, (size_t)i), i));
  TR_TRY(tr_decode_exprs(d, exprs));
  for (int i = 0; i < n; i++) TR_TRY(node(d, json_array_get(nodes, (size_t)i), i));
  TR_TRY(check_used(d, "sources", d->source_used, n_sources));
  TR_TRY(check_used(d, "exprs", d->expr_used, d->n_exprs));
  return check_used(d, "nodes", d->node_used, n - 1);
}

enum tr_status tr_plan_decode_nodes(const char *text, int64_t len, const struct tr_plan_limits *limits,
                                    struct tr_rel *const *sources, int n_sources, struct tr_rel ***nodes, int *n_nodes,
                                    struct tr_error *err) {
  struct tr_error own;
  struct tr_decoder d = {.limits = limits ? *limits : tr_plan_limits_default,
                         .sources = sources,
                         .n_sources = n_sources,
                         .err = err ? err : &own};
  json_error_t fault;
  *nodes = NULL;
  *n_nodes = 0;
  if (len > d.limits.bytes)
    return tr_fail(err, TR_EXC_VALUE, "plan: %lld bytes, more than %lld", (long long)len, (long long)d.limits.bytes);
  json_t *root = json_loadb(text, (size_t)len, JSON_REJECT_DUPLICATES, &fault);
  if (!root) return tr_fail(err, TR_EXC_VALUE, "plan: not JSON: %s (byte %d)", fault.text, fault.position);
  tr_arena_init(&d.arena);
  enum tr_status st = whole(&d, root);
  if (st == TR_OK) {
    *nodes = calloc((size_t)d.n_nodes, sizeof **nodes);
    if (!*nodes) st = tr_fail_memory(err, sizeof **nodes * (size_t)d.n_nodes);
    for (int i = 0; st == TR_OK && i < d.n_nodes; i++) (*nodes)[(*n_nodes)++] = tr_rel_ref(d.nodes[i]);
  }
  for (int i = d.n_nodes - 1; d.nodes && i >= 0; i--) tr_rel_unref(d.nodes[i]);
  for (int i = d.n_exprs - 1; d.exprs && i >= 0; i--) tr_expr_unref(d.exprs[i]);
  tr_arena_free(&d.arena);
  json_decref(root);
  return st;
}

enum tr_status tr_plan_decode(const char *text, int64_t len, const struct tr_plan_limits *limits,
                              struct tr_rel *const *sources, int n_sources, struct tr_rel **out, struct tr_error *err) {
  struct tr_rel **nodes;
  int n;
  *out = NULL;
  TR_TRY(tr_plan_decode_nodes(text, len, limits, sources, n_sources, &nodes, &n, err));
  *out = tr_rel_ref(nodes[n - 1]);
  tr_plan_sources_free(nodes, n);
  return TR_OK;
}
