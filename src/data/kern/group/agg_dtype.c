/* Result dtypes of aggregates, as pandas 3.1 gives them (checked against it for every dtype by tests). */
#include "data/kern/group/agg_int.h"

enum class { C_BOOL, C_INT, C_UINT, C_FLOAT, C_STR, C_DATETIME, C_TIMEDELTA, C_CATEGORY };

static enum class class_of(struct tr_dtype t) {
  switch (t.kind){
    case TR_BOOL : return C_BOOL; case TR_STR : return C_STR; case TR_DATETIME : return C_DATETIME;
    case TR_TIMEDELTA : return C_TIMEDELTA;
    case TR_CATEGORY : return C_CATEGORY;
    default : return tr_kind_is_float(t.kind) ? C_FLOAT
    : tr_kind_is_signed(t.kind)               ? C_INT
                                              : C_UINT;
  }
}

static const char *const names[TR_N_AGGS] = {
    "size",   "count",    "sum",   "prod", "mean",    "min", "max", "std",    "var",    "sem",  "skew",
    "median", "quantile", "first", "last", "nunique", "any", "all", "idxmin", "idxmax", "corr", "nth"};

bool tr_agg_dtype_depends(enum tr_agg fn, struct tr_dtype in, int64_t param, bool whole) {
  bool narrow = tr_kind_is_int(in.kind) && tr_dtype_width(in) < 8,
       fixed = in.kind == TR_BOOL || tr_kind_is_int(in.kind);
  if (whole) return false;
  switch (fn) {
  case TR_AGG_SUM:
  case TR_AGG_PROD: return narrow || (fixed && param > 0);
  case TR_AGG_MIN:
  case TR_AGG_MAX:
  case TR_AGG_FIRST:
  case TR_AGG_LAST: return fixed && param > 1;
  case TR_AGG_MEAN: return in.kind == TR_F32;
  default: return false;
  }
}

/* TR_N_KINDS = refused. */
static struct tr_dtype result(enum tr_agg fn, struct tr_dtype in, bool whole) {
  enum class c = class_of(in);
  bool number = c <= C_FLOAT, time = c == C_DATETIME || c == C_TIMEDELTA;
  struct tr_dtype none = {.kind = TR_N_KINDS}, f64 = tr_dtype_of(TR_F64), i64 = tr_dtype_of(TR_I64);
  struct tr_dtype floating = c == C_FLOAT ? in : f64;
  switch (fn) {
  case TR_AGG_SIZE:
  case TR_AGG_COUNT:
  case TR_AGG_NUNIQUE: return i64;
  case TR_AGG_NTH_ROW: return tr_dtype_of(TR_U32);
  case TR_AGG_SUM:
    if (c == C_TIMEDELTA) return in;
    /* fall through */
  case TR_AGG_PROD:
    if (!number) return none;
    if (c == C_BOOL || (whole && c == C_INT)) return i64;
    return whole && c == C_UINT ? tr_dtype_of(TR_U64) : in;
  case TR_AGG_MEAN:
  case TR_AGG_MEDIAN: return number ? floating : time ? in : none;
  case TR_AGG_MIN:
  case TR_AGG_MAX: return c == C_CATEGORY && !in.ordered ? none : in;
  case TR_AGG_STD:
  case TR_AGG_SEM:
    if (time && !(whole && fn == TR_AGG_SEM)) return tr_dtype_unit(TR_TIMEDELTA, in.unit);
    /* fall through */
  case TR_AGG_VAR:
  case TR_AGG_SKEW: return number ? floating : none;
  case TR_AGG_QUANTILE: return number && c != C_BOOL ? f64 : time ? in : none;
  case TR_AGG_FIRST:
  case TR_AGG_LAST: return in;
  case TR_AGG_ANY:
  case TR_AGG_ALL: return c == C_DATETIME || c == C_CATEGORY ? none : tr_dtype_of(TR_BOOL);
  case TR_AGG_IDXMIN_ROW:
  case TR_AGG_IDXMAX_ROW: return c == C_CATEGORY && !in.ordered ? none : tr_dtype_of(TR_U32);
  case TR_AGG_CORR: return number ? f64 : none;
  case TR_N_AGGS: break;
  }
  return none;
}

enum tr_status tr_agg_dtype(enum tr_agg fn, struct tr_dtype in, bool whole, struct tr_dtype *out,
                            struct tr_error *err) {
  *out = result(fn, in, whole);
  return out->kind == TR_N_KINDS ? tr_unsupported(err, "%s of %s", names[fn], tr_dtype_name(in)) : TR_OK;
}
