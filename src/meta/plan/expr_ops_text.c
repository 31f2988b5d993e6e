/* Type inference for text, casts and times: see expr_ops.c. */
#include "meta/plan/expr_int.h"
#include <string.h>

enum { TR_MOST_PADDED = 1 << 24 }; /* code points; pandas may run out of memory in its own way */

static bool is_lit(const struct tr_expr *e) { return e->op == TR_OP_LIT; }

static enum tr_status infer_str_method(struct tr_infer *in, struct tr_error *err) {
  const struct tr_expr *x = in->args[0];
  const struct tr_expr_params *p = in->params;
  if (x->dtype.kind != TR_STR) return tr_infer_refuse(in, err);
  in->dtype = x->dtype;
  in->maybe_null = x->maybe_null;
  switch (in->op) {
  case TR_OP_STR_LEN:
  case TR_OP_STR_FIND:
  case TR_OP_STR_COUNT:
    in->dtype = tr_dtype_of(TR_I64);
    in->depends = x->maybe_null;
    break;
  case TR_OP_STR_CONTAINS:
  case TR_OP_STR_STARTSWITH:
  case TR_OP_STR_ENDSWITH:
  case TR_OP_STR_ISDIGIT:
  case TR_OP_STR_ISALPHA:
    in->dtype = tr_dtype_of(TR_BOOL);
    in->maybe_null = false;
    break;
  case TR_OP_STR_GET: in->maybe_null = true; break;
  case TR_OP_STR_SLICE:
    if (p->params[2] == 0) return tr_infer_refuse(in, err);
    break;
  case TR_OP_STR_ZFILL:
  case TR_OP_STR_PAD:
    if (p->params[0] > TR_MOST_PADDED) return tr_infer_refuse(in, err);
    break;
  case TR_OP_STR_SPLIT_GET: return tr_unsupported(err, "pandas gives object dtype here");
  default: break;
  }
  bool needs_text = in->op == TR_OP_STR_CONTAINS || in->op == TR_OP_STR_STARTSWITH || in->op == TR_OP_STR_ENDSWITH ||
                    in->op == TR_OP_STR_REPLACE || in->op == TR_OP_STR_FIND || in->op == TR_OP_STR_COUNT;
  if (needs_text && !p->text) return tr_infer_refuse(in, err);
  if (in->op == TR_OP_STR_REPLACE && (!p->text2 || p->text[0] == 0)) return tr_infer_refuse(in, err);
  return TR_OK;
}

enum tr_status tr_infer_text(struct tr_infer *in, struct tr_error *err) {
  if (in->op != TR_OP_ADD) return in->n_args == 1 ? infer_str_method(in, err) : tr_infer_refuse(in, err);
  const struct tr_expr *x = in->args[0], *y = in->args[1];
  if (x->dtype.kind != TR_STR || y->dtype.kind != TR_STR || (is_lit(x) && is_lit(y))) return tr_infer_refuse(in, err);
  in->dtype = x->dtype;
  in->maybe_null = x->maybe_null || y->maybe_null;
  return TR_OK;
}

/* Casts between fixed-width kinds; false = not native. */
static bool castable(struct tr_dtype from, struct tr_dtype to) {
  bool from_number = from.kind == TR_BOOL || tr_kind_is_number(from.kind),
       to_number = to.kind == TR_BOOL || tr_kind_is_number(to.kind);
  if (from_number && to_number) return true;
  if (from.kind == to.kind && tr_kind_is_time(from.kind)) return true;
  if (tr_kind_is_time(from.kind)) return to.kind == TR_I64;
  return from.kind == TR_I64 && tr_kind_is_time(to.kind);
}

enum tr_status tr_infer_cast(struct tr_infer *in, struct tr_error *err) {
  const struct tr_expr *x = in->args[0];
  struct tr_dtype from = x->dtype, to = in->params->dtype;
  in->dtype = to;
  bool to_plain = to.kind == TR_BOOL || tr_kind_is_int(to.kind);
  in->maybe_null = !to_plain && (x->maybe_null || to.kind == TR_F32 || to.kind == TR_F64 || tr_kind_is_time(to.kind));
  if (tr_kind_is_float(to.kind) && !x->maybe_null && from.kind != TR_STR && from.kind != TR_CATEGORY)
    in->maybe_null = false;
  if (x->weak && x->op == TR_OP_LIT) TR_TRY(tr_infer_retype(in, 0, (enum tr_kind)from.kind, err));
  if (tr_dtype_eq(from, to) || castable(from, to)) return TR_OK;
  if (to.kind == TR_STR) return TR_OK;
  if (to.kind == TR_CATEGORY && from.kind != TR_CATEGORY) {
    in->dtype.ordered = 0;
    return to.ordered || from.kind != TR_STR ? tr_infer_refuse(in, err) : TR_OK;
  }
  if (from.kind == TR_STR) return tr_kind_is_number(to.kind) && to.kind != TR_F32 ? TR_OK : tr_infer_refuse(in, err);
  return tr_infer_refuse(in, err);
}

static enum tr_unit finer(const struct tr_expr *x, const struct tr_expr *y) {
  return (enum tr_unit)(x->dtype.unit > y->dtype.unit ? x->dtype.unit : y->dtype.unit);
}

/* Arithmetic in which at least one side is a datetime or timedelta. */
static enum tr_status time_arith(struct tr_infer *in, struct tr_error *err) {
  const struct tr_expr *x = in->args[0], *y = in->args[1];
  int a = x->dtype.kind, b = y->dtype.kind;
  bool add = in->op == TR_OP_ADD, sub = in->op == TR_OP_SUB;
  in->maybe_null = x->maybe_null || y->maybe_null;
  if (tr_kind_is_time(a) && tr_kind_is_time(b)) {
    if ((add && (a == TR_TIMEDELTA || b == TR_TIMEDELTA)) || (sub && (a == b || b == TR_TIMEDELTA))) {
      bool span = a == b; /* datetime - datetime, timedelta +- timedelta */
      in->dtype = tr_dtype_unit(span ? TR_TIMEDELTA : TR_DATETIME, finer(x, y));
      return TR_OK;
    }
    if (in->op != TR_OP_TRUEDIV || a != TR_TIMEDELTA || b != TR_TIMEDELTA) return tr_infer_refuse(in, err);
    in->dtype = tr_dtype_of(TR_F64);
    in->maybe_null = true;
    return TR_OK;
  }
  /* timedelta and number */
  int td = a == TR_TIMEDELTA ? 0 : 1;
  const struct tr_expr *number = in->args[1 - td];
  int nk = number->dtype.kind;
  if (in->args[td]->dtype.kind != TR_TIMEDELTA || !tr_kind_is_number(nk) || nk == TR_U64)
    return tr_infer_refuse(in, err);
  bool ok =
      in->op == TR_OP_MUL || (td == 0 && (in->op == TR_OP_TRUEDIV || (in->op == TR_OP_FLOORDIV && tr_kind_is_int(nk))));
  if (!ok) return tr_infer_refuse(in, err);
  in->dtype = in->args[td]->dtype;
  in->maybe_null = in->maybe_null || in->op != TR_OP_MUL || tr_kind_is_float(nk);
  if (is_lit(number)) return tr_infer_retype(in, 1 - td, tr_kind_is_int(nk) ? TR_I64 : TR_F64, err);
  return TR_OK;
}

static bool strftime_ok(const char *f) {
  if (!f) return false;
  for (; *f; f++) {
    if ((unsigned char)*f >= 0x80) return false;
    if (*f == '%' && (!*++f || !strchr("YmdHMSfjyBbAaIp%", *f))) return false;
  }
  return true;
}

static enum tr_status datetime_parts(struct tr_infer *in, struct tr_error *err) {
  int64_t set = in->params->params[0];
  int n = 0;
  if ((set & 7) != 7 || set >= 512) return tr_infer_refuse(in, err);
  for (int i = 0; i < 9; i++) n += (int)(set >> i & 1);
  if (n != in->n_args) return tr_fail(err, TR_EXC_VALUE, "TO_DATETIME_PARTS: %d parts and %d arguments", n, in->n_args);
  for (int i = 0; i < n; i++)
    if (!tr_kind_is_int(in->args[i]->dtype.kind)) return tr_infer_refuse(in, err);
  in->dtype = tr_dtype_unit(TR_DATETIME, set & 256 ? TR_NS : TR_US);
  return TR_OK;
}

enum tr_status tr_infer_time(struct tr_infer *in, struct tr_error *err) {
  if (in->op == TR_OP_TO_DATETIME_PARTS) return datetime_parts(in, err);
  if (in->n_args == 2) return time_arith(in, err);
  const struct tr_expr *x = in->args[0];
  bool td = in->op >= TR_OP_TD_DAYS && in->op <= TR_OP_TD_TOTAL_SECONDS;
  int want = td ? TR_TIMEDELTA : TR_DATETIME;
  bool rounding = in->op == TR_OP_DT_FLOOR || in->op == TR_OP_DT_CEIL;
  if (x->dtype.kind != want && !(rounding && x->dtype.kind == TR_TIMEDELTA)) return tr_infer_refuse(in, err);
  in->maybe_null = x->maybe_null;
  in->depends = x->maybe_null;
  in->dtype = tr_dtype_of(in->op == TR_OP_TD_DAYS ? TR_I64 : TR_I32);
  if (in->op == TR_OP_DT_FLOOR || in->op == TR_OP_DT_CEIL || in->op == TR_OP_DT_NORMALIZE) {
    in->dtype = x->dtype;
    in->depends = false;
    if (in->params->params[0] < 0) return tr_infer_refuse(in, err);
  } else if (in->op == TR_OP_DT_DAY_NAME || in->op == TR_OP_DT_MONTH_NAME || in->op == TR_OP_DT_STRFTIME) {
    in->dtype = tr_dtype_of(TR_STR);
    in->depends = false;
    if (in->op == TR_OP_DT_STRFTIME && !strftime_ok(in->params->text)) return tr_infer_refuse(in, err);
  } else if (in->op == TR_OP_TD_TOTAL_SECONDS) {
    in->dtype = tr_dtype_of(TR_F64);
    in->depends = false;
  } else if (in->op >= TR_OP_DT_IS_LEAP_YEAR && in->op <= TR_OP_DT_IS_MONTH_END) {
    in->dtype = tr_dtype_of(TR_BOOL);
    in->depends = in->maybe_null = false;
  }
  return TR_OK;
}
