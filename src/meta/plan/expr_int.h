/* Between expr.c (making and comparing nodes) and expr_ops*.c (which dtypes an operation takes and gives). */
#pragma once
#include "meta/plan/expr.h"

/* A node being made. The rules read args and params, may replace an argument by a typed literal, and set the result. */
struct tr_infer {
  enum tr_expr_op op;
  int n_args;
  struct tr_expr *args[TR_EXPR_MAX_ARGS]; /* references, owned by expr.c */
  const struct tr_expr_params *params;    /* never NULL */
  struct tr_dtype dtype;                  /* result */
  bool maybe_null;
  bool depends; /* dtype_depends_on_data */
};

/* Fills in->dtype, maybe_null, depends. */
TR_MUST_USE enum tr_status tr_infer(struct tr_infer *in, struct tr_error *err);
/* Families; called by tr_infer. */
TR_MUST_USE enum tr_status tr_infer_arith(struct tr_infer *in, struct tr_error *err);
TR_MUST_USE enum tr_status tr_infer_compare(struct tr_infer *in, struct tr_error *err);
TR_MUST_USE enum tr_status tr_infer_choose(struct tr_infer *in, struct tr_error *err);
TR_MUST_USE enum tr_status tr_infer_cast(struct tr_infer *in, struct tr_error *err);
TR_MUST_USE enum tr_status tr_infer_text(struct tr_infer *in, struct tr_error *err);
TR_MUST_USE enum tr_status tr_infer_time(struct tr_infer *in, struct tr_error *err);
/* "not native: ADD of int64 and str". */
TR_MUST_USE enum tr_status tr_infer_refuse(const struct tr_infer *in, struct tr_error *err);
/* Replaces argument k, a literal, by one of number dtype `to` (value converted as numpy would). */
TR_MUST_USE enum tr_status tr_infer_retype(struct tr_infer *in, int k, enum tr_kind to, struct tr_error *err);
/* Whether the number literal's value is exactly representable in `to`. */
bool tr_scalar_fits(const struct tr_scalar *s, enum tr_kind to);
