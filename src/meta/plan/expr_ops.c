/* Type inference of expressions: which operand dtypes an operation takes and what dtype comes out, as pandas 3.1 with
 * numpy 2 decides it (NEP 50: a Python scalar takes the other side's dtype). What pandas refuses, and what this engine
 * cannot hold, is TR_UNSUPPORTED: the client then asks pandas, which raises or computes. This file: the dispatch by
 * operation, and the rules for numbers. Text and times are in the files beside it. */
#include "meta/plan/expr_int.h"
#include <math.h>

enum tr_status tr_infer_refuse(const struct tr_infer *in, struct tr_error *err) {
  const char *op = tr_expr_op_name(in->op);
  if (in->n_args == 0) return tr_unsupported(err, "%s is not native", op);
  if (in->n_args == 1) return tr_unsupported(err, "%s of %s is not native", op, tr_dtype_name(in->args[0]->dtype));
  return tr_unsupported(err, "%s of %s and %s is not native", op, tr_dtype_name(in->args[0]->dtype),
                        tr_dtype_name(in->args[1]->dtype));
}

static bool int_fits(const struct tr_scalar *s, enum tr_kind to) {
  bool neg = tr_kind_is_signed(s->dtype.kind) || s->dtype.kind == TR_BOOL ? s->i < 0 : false;
  uint64_t v = s->u;
  if (to == TR_BOOL) return v <= 1;
  int bits = 8 * tr_dtype_width(tr_dtype_of(to));
  if (!tr_kind_is_signed(to)) return !neg && (bits == 64 || v < (uint64_t)1 << bits);
  return neg ? s->i >= INT64_MIN >> (64 - bits) : v <= (uint64_t)(INT64_MAX >> (64 - bits));
}

static double as_double(const struct tr_scalar *s) {
  if (tr_kind_is_float(s->dtype.kind)) return s->f;
  return tr_kind_is_signed(s->dtype.kind) || s->dtype.kind == TR_BOOL ? (double)s->i : (double)s->u;
}

bool tr_scalar_fits(const struct tr_scalar *s, enum tr_kind to) {
  bool from_float = tr_kind_is_float(s->dtype.kind);
  if (s->is_null) return tr_kind_is_float(to);
  if (tr_kind_is_float(to)) {
    double d = as_double(s);
    if (to == TR_F32 && (double)(float)d != d) return false;
    return from_float || fabs(d) <= 9007199254740992.0;
  }
  if (!from_float) return int_fits(s, to);
  if (!(s->f == floor(s->f)) || fabs(s->f) > 9007199254740992.0 || (s->f == 0 && signbit(s->f))) return false;
  struct tr_scalar i = {.dtype = tr_dtype_of(TR_I64), .i = (int64_t)s->f};
  return int_fits(&i, to);
}

enum tr_status tr_infer_retype(struct tr_infer *in, int k, enum tr_kind to, struct tr_error *err) {
  struct tr_expr *old = in->args[k], *typed = NULL;
  struct tr_scalar s = {.dtype = tr_dtype_of(to), .is_null = old->lit.is_null};
  if (tr_kind_is_float(to)) {
    s.f = as_double(&old->lit);
    if (to == TR_F32) s.f = (double)(float)s.f;
  } else if (tr_kind_is_float(old->lit.dtype.kind)) {
    s.i = (int64_t)old->lit.f;
  } else {
    s.u = old->lit.u;
  }
  TR_TRY(tr_expr_lit(&s, false, &typed, err));
  in->args[k] = typed;
  tr_expr_unref(old);
  return TR_OK;
}

/* Gives a weak literal its dtype beside a column of kind `other`. exact: comparison, where integers never overflow. */
static enum tr_status settle_weak(struct tr_infer *in, int k, enum tr_kind other, bool exact, struct tr_error *err) {
  const struct tr_scalar *s = &in->args[k]->lit;
  if (tr_kind_is_float(other)) return tr_infer_retype(in, k, other, err);
  if (tr_kind_is_float(s->dtype.kind)) return tr_infer_retype(in, k, TR_F64, err);
  if (other == TR_BOOL || !tr_kind_is_int(other)) {
    if (s->dtype.kind == TR_U64) return tr_unsupported(err, "Python integer out of bounds for int64");
    return tr_infer_retype(in, k, TR_I64, err);
  }
  if (int_fits(s, other)) return tr_infer_retype(in, k, other, err);
  if (exact) return tr_infer_retype(in, k, (enum tr_kind)s->dtype.kind, err);
  return tr_unsupported(err, "Python integer out of bounds for %s", tr_dtype_name(tr_dtype_of(other)));
}

static enum tr_status settle(struct tr_infer *in, bool exact, struct tr_error *err) {
  bool w0 = in->args[0]->weak, w1 = in->args[1]->weak;
  enum tr_kind k0 = (enum tr_kind)in->args[0]->dtype.kind, k1 = (enum tr_kind)in->args[1]->dtype.kind;
  if (w0) TR_TRY(settle_weak(in, 0, w1 ? TR_BOOL : k1, exact, err));
  if (w1) TR_TRY(settle_weak(in, 1, w0 ? TR_BOOL : k0, exact, err));
  return TR_OK;
}

static bool is_number_or_bool(const struct tr_expr *e) {
  return e->dtype.kind == TR_BOOL || tr_kind_is_number(e->dtype.kind);
}
static bool is_zero_lit(const struct tr_expr *e) {
  return e->op == TR_OP_LIT && !e->lit.is_null && as_double(&e->lit) == 0;
}

/* int // int and int % int become float64 when a divisor is zero; so does float32 // float32. */
static enum tr_status divisor_rule(struct tr_infer *in, enum tr_kind t, struct tr_error *err) {
  const struct tr_expr *y = in->args[1];
  if (t == TR_F64 || (t == TR_F32 && in->op == TR_OP_MOD)) return TR_OK;
  if (in->op == TR_OP_MOD && y->dtype.kind == TR_BOOL) return TR_OK; /* pandas leaves numpy's 0 */
  if (is_zero_lit(y)) return tr_unsupported(err, "division by the literal zero");
  in->depends = y->op != TR_OP_LIT;
  if (in->depends) in->maybe_null = true;
  return TR_OK;
}

static enum tr_status number_arith(struct tr_infer *in, struct tr_error *err) {
  const enum tr_expr_op op = in->op;
  if (op == TR_OP_TRUEDIV && (in->args[0]->weak || in->args[1]->weak)) {
    for (int k = 0; k < 2; k++) { /* ints divide as float64, so a Python int of any size is fine */
      enum tr_kind other = (enum tr_kind)in->args[1 - k]->dtype.kind;
      if (in->args[k]->weak) TR_TRY(tr_infer_retype(in, k, tr_kind_is_float(other) ? other : TR_F64, err));
    }
  }
  TR_TRY(settle(in, false, err));
  const struct tr_expr *x = in->args[0], *y = in->args[1];
  enum tr_kind t = tr_kind_common((enum tr_kind)x->dtype.kind, (enum tr_kind)y->dtype.kind);
  if (t == TR_BOOL && op != TR_OP_ADD && op != TR_OP_MUL) return tr_infer_refuse(in, err);
  if (op == TR_OP_POW && x->dtype.kind == TR_BOOL && y->op == TR_OP_LIT)
    return tr_infer_refuse(in, err); /* numpy: ** 2 is int8 */
  bool both_int = !tr_kind_is_float(x->dtype.kind) && !tr_kind_is_float(y->dtype.kind);
  if (op == TR_OP_TRUEDIV && both_int) t = TR_F64;
  in->dtype = tr_dtype_of(t);
  in->maybe_null = tr_kind_is_float(t);
  if (op == TR_OP_TRUEDIV && both_int && y->op == TR_OP_LIT && !is_zero_lit(y)) in->maybe_null = false;
  if (op == TR_OP_FLOORDIV || op == TR_OP_MOD) TR_TRY(divisor_rule(in, t, err));
  return TR_OK;
}

static enum tr_status unary_arith(struct tr_infer *in, struct tr_error *err) {
  const struct tr_expr *x = in->args[0];
  int k = x->dtype.kind;
  in->dtype = x->dtype;
  in->maybe_null = x->maybe_null;
  switch (in->op) {
  case TR_OP_NEG:
  case TR_OP_ABS: return is_number_or_bool(x) || k == TR_TIMEDELTA ? TR_OK : tr_infer_refuse(in, err);
  case TR_OP_INVERT: return k == TR_BOOL || tr_kind_is_int(k) ? TR_OK : tr_infer_refuse(in, err);
  case TR_OP_ROUND:
    if (tr_kind_is_int(k) && in->params->params[0] < 0) return tr_infer_refuse(in, err);
    if (in->params->params[0] > 300 || in->params->params[0] < -300) return tr_infer_refuse(in, err);
    in->maybe_null = x->maybe_null || tr_kind_is_float(k);
    return is_number_or_bool(x) ? TR_OK : tr_infer_refuse(in, err);
  case TR_OP_FLOOR:
  case TR_OP_CEIL: return tr_kind_is_float(k) ? TR_OK : tr_infer_refuse(in, err);
  default: /* sqrt, exp, log, …: small ints give float16/float32 in numpy */
    if (k == TR_I32 || k == TR_I64 || k == TR_U32 || k == TR_U64) in->dtype = tr_dtype_of(TR_F64);
    else if (!tr_kind_is_float(k)) return tr_infer_refuse(in, err);
    in->maybe_null = true;
    return TR_OK;
  }
}

static enum tr_status logic(struct tr_infer *in, struct tr_error *err) {
  const struct tr_expr *x = in->args[0], *y = in->args[1];
  if (x->dtype.kind == TR_BOOL && y->dtype.kind == TR_BOOL) {
    in->dtype = tr_dtype_of(TR_BOOL);
    return TR_OK;
  }
  if (!tr_kind_is_int(x->dtype.kind) || !tr_kind_is_int(y->dtype.kind)) return tr_infer_refuse(in, err);
  TR_TRY(settle(in, false, err));
  enum tr_kind t = tr_kind_common((enum tr_kind)in->args[0]->dtype.kind, (enum tr_kind)in->args[1]->dtype.kind);
  if (!tr_kind_is_int(t)) return tr_infer_refuse(in, err);
  in->dtype = tr_dtype_of(t);
  return TR_OK;
}

enum tr_status tr_infer_arith(struct tr_infer *in, struct tr_error *err) {
  if (in->op == TR_OP_AND || in->op == TR_OP_OR || in->op == TR_OP_XOR) return logic(in, err);
  if (in->n_args == 1) return unary_arith(in, err);
  const struct tr_expr *x = in->args[0], *y = in->args[1];
  if (is_number_or_bool(x) && is_number_or_bool(y)) return number_arith(in, err);
  if (tr_kind_is_time(x->dtype.kind) || tr_kind_is_time(y->dtype.kind)) return tr_infer_time(in, err);
  return tr_infer_text(in, err);
}

enum tr_status tr_infer_compare(struct tr_infer *in, struct tr_error *err) {
  const struct tr_expr *x = in->args[0], *y = in->args[1];
  int a = x->dtype.kind, b = y->dtype.kind;
  bool order = in->op != TR_OP_EQ && in->op != TR_OP_NE;
  in->dtype = tr_dtype_of(TR_BOOL);
  if (is_number_or_bool(x) && is_number_or_bool(y)) return settle(in, true, err);
  if (tr_kind_is_time(a) && a == b) return TR_OK;
  if (a == TR_STR && b == TR_STR) {
    bool null_lit = (x->op == TR_OP_LIT && x->lit.is_null) || (y->op == TR_OP_LIT && y->lit.is_null);
    return null_lit && order ? tr_infer_refuse(in, err) : TR_OK;
  }
  bool lit = y->op == TR_OP_LIT && !y->lit.is_null && !y->weak;
  if (a == TR_CATEGORY && lit && !order) return TR_OK; /* the dictionary's kind is looked at when evaluated */
  if (a == TR_CATEGORY && y->op == TR_OP_LIT && y->weak && !order)
    return tr_infer_retype(in, 1, (enum tr_kind)y->dtype.kind, err);
  return tr_infer_refuse(in, err);
}

/* Whether the literal `k` may stand among values of dtype t without changing it (pandas' np_can_hold_element). */
static enum tr_status literal_fits(struct tr_infer *in, int k, struct tr_dtype t, struct tr_error *err) {
  const struct tr_expr *v = in->args[k];
  bool number = tr_kind_is_number(t.kind);
  if (v->lit.is_null) { /* any missing value is the dtype's own */
    if (!number && t.kind != TR_STR && !tr_kind_is_time(t.kind)) return tr_infer_refuse(in, err);
    if (tr_kind_is_int(t.kind)) return tr_infer_refuse(in, err);
    if (tr_kind_is_time(t.kind) && tr_kind_is_time(v->dtype.kind) && v->dtype.kind != t.kind)
      return tr_infer_refuse(in, err);
    struct tr_scalar null = {.dtype = t, .is_null = true};
    struct tr_expr *old = in->args[k], *typed = NULL;
    TR_TRY(tr_expr_lit(&null, false, &typed, err));
    in->args[k] = typed;
    tr_expr_unref(old);
    return TR_OK;
  }
  if (number && tr_kind_is_number(v->dtype.kind)) {
    bool ok = tr_scalar_fits(&v->lit, (enum tr_kind)t.kind) || (t.kind == TR_F64 && tr_kind_is_int(v->dtype.kind)) ||
              (t.kind == TR_F32 && v->weak && in->op == TR_OP_WHERE && tr_kind_is_float(v->dtype.kind));
    return ok ? tr_infer_retype(in, k, (enum tr_kind)t.kind, err) : tr_infer_refuse(in, err);
  }
  return tr_dtype_eq(v->dtype, t) && t.kind != TR_CATEGORY ? TR_OK : tr_infer_refuse(in, err);
}

/* WHERE, FILLNA, CLIP: values of a with some replaced by b. */
enum tr_status tr_infer_choose(struct tr_infer *in, struct tr_error *err) {
  int a = in->op == TR_OP_WHERE ? 1 : 0;
  const struct tr_expr *x = in->args[a];
  if (x->weak) return tr_infer_refuse(in, err);
  in->dtype = x->dtype;
  if (in->op == TR_OP_WHERE && in->args[0]->dtype.kind != TR_BOOL) return tr_infer_refuse(in, err);
  if (in->op == TR_OP_FILLNA && (x->dtype.kind == TR_BOOL || tr_kind_is_int(x->dtype.kind)))
    return TR_OK; /* nothing to fill */
  if (in->args[a + 1]->op == TR_OP_LIT) TR_TRY(literal_fits(in, a + 1, x->dtype, err));
  const struct tr_expr *y = in->args[a + 1];
  if (!tr_dtype_eq(x->dtype, y->dtype) || x->dtype.kind == TR_CATEGORY) return tr_infer_refuse(in, err);
  bool clip = in->op == TR_OP_CLIP_LOWER || in->op == TR_OP_CLIP_UPPER;
  if (clip &&
      (y->op != TR_OP_LIT || y->lit.is_null || !(tr_kind_is_number(x->dtype.kind) || tr_kind_is_time(x->dtype.kind))))
    return tr_infer_refuse(in, err);
  in->maybe_null = in->op == TR_OP_FILLNA ? x->maybe_null && y->maybe_null : x->maybe_null || y->maybe_null;
  return TR_OK;
}

static enum tr_status isin(struct tr_infer *in, struct tr_error *err) {
  int k = in->args[0]->dtype.kind;
  in->dtype = tr_dtype_of(TR_BOOL);
  for (int64_t i = 0; i < in->params->n_list; i++) {
    const struct tr_scalar *s = &in->params->list[i];
    int v = s->dtype.kind;
    bool ok = k == TR_CATEGORY       ? v != TR_CATEGORY
              : tr_kind_is_number(k) ? tr_kind_is_number(v)
              : tr_kind_is_time(k)   ? tr_dtype_eq(s->dtype, in->args[0]->dtype)
                                     : v == k;
    if (!ok)
      return tr_unsupported(err, "isin of %s with %s values is not native", tr_dtype_name(in->args[0]->dtype),
                            tr_dtype_name(s->dtype));
    /* ints beside floats are compared as float64, where large ones collide */
    bool mixed = tr_kind_is_number(k) && tr_kind_is_number(v) && tr_kind_is_float(k) != tr_kind_is_float(v);
    if (mixed && !s->is_null && fabs(as_double(s)) > 9007199254740992.0) return tr_infer_refuse(in, err);
  }
  return TR_OK;
}

/* Arithmetic and comparison with an argument whose dtype is not settled: fine when float64 in its place changes
 * nothing. */
static bool settled_either_way(const struct tr_infer *in) {
  switch (in->op) {
  case TR_OP_EQ:
  case TR_OP_NE:
  case TR_OP_LT:
  case TR_OP_LE:
  case TR_OP_GT:
  case TR_OP_GE:
  case TR_OP_ISNA:
  case TR_OP_NOTNA: return true;
  case TR_OP_CAST: return in->params->dtype.kind == TR_F64 || in->params->dtype.kind == TR_I64;
  case TR_OP_TRUEDIV:
  case TR_OP_ADD:
  case TR_OP_SUB:
  case TR_OP_MUL: return in->dtype.kind == TR_F64;
  default: return false;
  }
}

static enum tr_status infer_op(struct tr_infer *in, struct tr_error *err) {
  switch (in->op) {
  case TR_OP_ADD:
  case TR_OP_SUB:
  case TR_OP_MUL:
  case TR_OP_TRUEDIV:
  case TR_OP_FLOORDIV:
  case TR_OP_MOD:
  case TR_OP_POW:
  case TR_OP_NEG:
  case TR_OP_ABS:
  case TR_OP_ROUND:
  case TR_OP_AND:
  case TR_OP_OR:
  case TR_OP_XOR:
  case TR_OP_INVERT:
  case TR_OP_SQRT:
  case TR_OP_EXP:
  case TR_OP_LOG:
  case TR_OP_LOG10:
  case TR_OP_LOG2:
  case TR_OP_LOG1P:
  case TR_OP_FLOOR:
  case TR_OP_CEIL:
  case TR_OP_SIN:
  case TR_OP_COS: return tr_infer_arith(in, err);
  case TR_OP_EQ:
  case TR_OP_NE:
  case TR_OP_LT:
  case TR_OP_LE:
  case TR_OP_GT:
  case TR_OP_GE: return tr_infer_compare(in, err);
  case TR_OP_ISNA:
  case TR_OP_NOTNA: in->dtype = tr_dtype_of(TR_BOOL); return TR_OK;
  case TR_OP_FILLNA:
  case TR_OP_WHERE:
  case TR_OP_CLIP_LOWER:
  case TR_OP_CLIP_UPPER: return tr_infer_choose(in, err);
  case TR_OP_ISIN: return isin(in, err);
  case TR_OP_CAST: return tr_infer_cast(in, err);
  case TR_OP_ROW_NUMBER: in->dtype = tr_dtype_of(TR_I64); return TR_OK;
  default:
    return in->op >= TR_OP_STR_LEN && in->op <= TR_OP_STR_SPLIT_GET ? tr_infer_text(in, err) : tr_infer_time(in, err);
  }
}

enum tr_status tr_infer(struct tr_infer *in, struct tr_error *err) {
  TR_TRY(infer_op(in, err));
  for (int k = 0; k < in->n_args; k++) {
    if (!in->args[k]->dtype_depends_on_data) continue;
    if (in->args[k]->op == TR_OP_FLOORDIV || in->args[k]->op == TR_OP_MOD || !settled_either_way(in))
      return tr_unsupported(err, "%s of a value whose dtype depends on the data is not native",
                            tr_expr_op_name(in->op));
    if (in->op == TR_OP_CAST) in->maybe_null = in->dtype.kind == TR_F64;
  }
  return TR_OK;
}
