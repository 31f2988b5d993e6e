/* Reads the shared array of expressions of a plan: see codec.h. Each is made by the constructors of expr.h, which infer
 * its dtype anew; what they refuse, or infer differently from what is written, is a fault of the text. */
#include "meta/plan/codec_int.h"
#include <stdio.h>
#include <string.h>

static enum tr_status base64_text(struct tr_decoder *d, const json_t *v, char **out, int64_t *n) {
  if (!json_is_string(v)) return tr_decode_fault(d, "base64 must be a string");
  int64_t len = (int64_t)json_string_length(v);
  TR_TRY(tr_decode_alloc(d, (size_t)len / 4 * 3 + 1, out));
  *n = tr_codec_base64_decode(json_string_value(v), len, *out);
  if (*n < 0) return tr_decode_fault(d, "invalid base64");
  (*out)[*n] = 0;
  return TR_OK;
}

static enum tr_status scalar(struct tr_decoder *d, const json_t *o, struct tr_scalar *s) {
  static const char *const keys[] = {"t", "v", "b", "n", NULL};
  memset(s, 0, sizeof *s);
  TR_TRY(tr_decode_object(d, o, keys));
  if (json_object_size(o) != 2) return tr_decode_fault(d, "a value has a dtype and one of v, b and n");
  TR_TRY(tr_decode_dtype(d, o, "t", &s->dtype));
  TR_TRY(tr_decode_bool(d, o, "n", &s->is_null));
  int kind = s->dtype.kind;
  if (json_object_get(o, "n")) {
    if (!s->is_null) return tr_decode_fault(d, "n can only be true");
    if (tr_kind_is_float(kind)) s->f = __builtin_nan("");
    else if (tr_kind_is_time(kind)) s->i = TR_NAT;
    return TR_OK;
  }
  const json_t *coded = json_object_get(o, "b");
  if (coded) {
    char *text;
    if (kind != TR_STR) return tr_decode_fault(d, "base64 for %s", tr_codec_dtype_name(s->dtype));
    TR_TRY(base64_text(d, coded, &text, &s->s.len));
    s->s.ptr = text;
    return TR_OK;
  }
  const char *text;
  TR_TRY(tr_decode_string(d, o, "v", &text));
  if (kind == TR_STR) {
    s->s.ptr = text;
    s->s.len = (int64_t)json_string_length(json_object_get(o, "v"));
    return TR_OK;
  }
  bool ok = kind != TR_CATEGORY && (tr_kind_is_float(kind) ? tr_codec_float_parse(text, &s->f)
                                                           : tr_codec_int_parse(text, (enum tr_kind)kind, s));
  return ok ? TR_OK : tr_decode_fault(d, "no value of %s: %.60s", tr_codec_dtype_name(s->dtype), text);
}

/* A text parameter: a string or {"b": base64}; never with a NUL inside, for expressions hold C strings. */
static enum tr_status text_param(struct tr_decoder *d, const json_t *o, const char *key, const char **out) {
  static const char *const keys[] = {"b", NULL};
  const json_t *v = json_object_get(o, key);
  *out = NULL;
  if (!v || json_is_string(v)) return tr_decode_string(d, o, key, out);
  if (!json_is_object(v)) return tr_decode_fault(d, "%s must be text", key);
  TR_TRY(tr_decode_object(d, v, keys));
  char *text;
  int64_t n;
  TR_TRY(base64_text(d, json_object_get(v, "b"), &text, &n));
  if (memchr(text, 0, (size_t)n)) return tr_decode_fault(d, "NUL in %s", key);
  *out = text;
  return TR_OK;
}

static enum tr_status col(struct tr_decoder *d, const json_t *o, struct tr_expr **out) {
  static const char *const keys[] = {"op", "column", "dtype", "null", NULL};
  int64_t column = -1;
  bool maybe_null = false;
  struct tr_dtype dtype;
  TR_TRY(tr_decode_object(d, o, keys));
  TR_TRY(tr_decode_int(d, o, "column", 0, d->limits.columns - 1, &column));
  if (column < 0) return tr_decode_fault(d, "column is missing");
  TR_TRY(tr_decode_dtype(d, o, "dtype", &dtype));
  TR_TRY(tr_decode_bool(d, o, "null", &maybe_null));
  return tr_expr_col((int32_t)column, dtype, maybe_null, out, d->err);
}

static enum tr_status lit(struct tr_decoder *d, const json_t *o, struct tr_expr **out) {
  static const char *const keys[] = {"op", "lit", "weak", NULL};
  struct tr_scalar value;
  bool weak = false;
  TR_TRY(tr_decode_object(d, o, keys));
  TR_TRY(tr_decode_bool(d, o, "weak", &weak));
  TR_TRY(scalar(d, json_object_get(o, "lit"), &value));
  return tr_expr_lit(&value, weak, out, d->err);
}

static enum tr_status args_of(struct tr_decoder *d, const json_t *o, int i, struct tr_expr **args, int *n) {
  const json_t *list;
  TR_TRY(tr_decode_array(d, o, "args", TR_EXPR_MAX_ARGS, &list, n));
  for (int k = 0; k < *n; k++) {
    const json_t *v = json_array_get(list, (size_t)k);
    if (!json_is_integer(v)) return tr_decode_fault(d, "args[%d] must be an integer", k);
    long long no = json_integer_value(v);
    if (no < 0 || no >= i) return tr_decode_fault(d, "args[%d]: no expression %lld before this one", k, no);
    args[k] = d->exprs[no];
    d->expr_used[no] = true;
    d->expr_size[i] += d->expr_size[no];
    if (d->expr_depth[no] >= d->expr_depth[i]) d->expr_depth[i] = d->expr_depth[no] + 1;
  }
  return TR_OK;
}

static enum tr_status params_of(struct tr_decoder *d, const json_t *o, struct tr_expr_params *p) {
  const json_t *list;
  int n;
  TR_TRY(tr_decode_array(d, o, "params", 4, &list, &n));
  for (int k = 0; k < n; k++) {
    if (!json_is_integer(json_array_get(list, (size_t)k)))
      return tr_decode_fault(d, "params[%d] must be an integer", k);
    p->params[k] = json_integer_value(json_array_get(list, (size_t)k));
  }
  TR_TRY(text_param(d, o, "text", &p->text));
  TR_TRY(text_param(d, o, "text2", &p->text2));
  TR_TRY(tr_decode_array(d, o, "list", d->limits.list, &list, &n));
  if (!n) return TR_OK;
  struct tr_scalar *values;
  TR_TRY(tr_decode_alloc(d, sizeof *values * (size_t)n, &values));
  size_t end = strlen(d->path);
  for (int k = 0; k < n; k++) {
    snprintf(d->path + end, sizeof d->path - end, ".list[%d]", k);
    TR_TRY(scalar(d, json_array_get(list, (size_t)k), &values[k]));
  }
  d->path[end] = 0;
  p->list = values;
  p->n_list = n;
  return TR_OK;
}

static enum tr_status operation(struct tr_decoder *d, const json_t *o, enum tr_expr_op op, int i,
                                struct tr_expr **out) {
  static const char *const keys[] = {"op", "args", "params", "text", "text2", "list", "dtype", NULL};
  struct tr_expr *args[TR_EXPR_MAX_ARGS];
  struct tr_expr_params p = {0};
  int n_args;
  TR_TRY(tr_decode_object(d, o, keys));
  TR_TRY(args_of(d, o, i, args, &n_args));
  TR_TRY(params_of(d, o, &p));
  TR_TRY(tr_decode_dtype(d, o, "dtype", &p.dtype));
  TR_TRY(tr_decode_made(d, tr_expr_make(op, args, n_args, &p, out, d->err)));
  if (!tr_dtype_eq((*out)->dtype, p.dtype))
    return tr_decode_fault(d, "%s gives %s, not %s", tr_expr_op_name(op), tr_codec_dtype_name((*out)->dtype),
                           tr_codec_dtype_name(p.dtype));
  return TR_OK;
}

static enum tr_status one(struct tr_decoder *d, const json_t *o, int i) {
  const char *name;
  if (!json_is_object(o)) return tr_decode_fault(d, "must be an object");
  TR_TRY(tr_decode_string(d, o, "op", &name));
  int op = name ? tr_expr_op_parse(name) : -1;
  if (op < 0) return tr_decode_fault(d, "no operation %.60s", name ? name : "");
  d->expr_size[i] = 1;
  d->expr_depth[i] = 1;
  TR_TRY(op == TR_OP_COL   ? col(d, o, &d->exprs[i])
         : op == TR_OP_LIT ? lit(d, o, &d->exprs[i])
                           : operation(d, o, (enum tr_expr_op)op, i, &d->exprs[i]));
  if (d->expr_depth[i] > d->limits.depth) return tr_decode_fault(d, "more than %lld deep", (long long)d->limits.depth);
  if (d->expr_size[i] > d->limits.size)
    return tr_decode_fault(d, "more than %lld operations", (long long)d->limits.size);
  return TR_OK;
}

enum tr_status tr_decode_exprs(struct tr_decoder *d, const json_t *list) {
  int n = d->n_exprs;
  TR_TRY(tr_decode_alloc(d, sizeof *d->exprs * (size_t)n, &d->exprs));
  TR_TRY(tr_decode_alloc(d, sizeof *d->expr_size * (size_t)n, &d->expr_size));
  TR_TRY(tr_decode_alloc(d, sizeof *d->expr_depth * (size_t)n, &d->expr_depth));
  TR_TRY(tr_decode_alloc(d, sizeof *d->expr_used * (size_t)n, &d->expr_used));
  for (int i = 0; i < n; i++) {
    snprintf(d->path, sizeof d->path, "exprs[%d]", i);
    TR_TRY(one(d, json_array_get(list, (size_t)i), i));
  }
  return TR_OK;
}
