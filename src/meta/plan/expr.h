/* Expressions: what is computed row by row. An immutable, refcounted tree over the columns of one relation; dtype is
 * inferred (as pandas infers it) when a node is made, and nodes that pandas would refuse, or whose result we cannot
 * hold, are refused then. Everything here is metadata: no data is touched.
 */
#pragma once
#include "meta/type/type.h"
#include <stdatomic.h>

/* name, arguments (-1 = any), what the other fields mean. The table in expr_ops.c gives inference per op; the table in
 * data/kern/expr gives the kernel. Adding an op = one line here, one in each table. */
/* clang-format off */
#define TR_EXPR_OPS(X) \
  X(COL, 0) X(LIT, 0) \
  X(ADD, 2) X(SUB, 2) X(MUL, 2) X(TRUEDIV, 2) X(FLOORDIV, 2) X(MOD, 2) X(POW, 2) X(NEG, 1) X(ABS, 1) X(ROUND, 1) \
  X(EQ, 2) X(NE, 2) X(LT, 2) X(LE, 2) X(GT, 2) X(GE, 2) \
  X(AND, 2) X(OR, 2) X(XOR, 2) X(INVERT, 1) \
  X(ISNA, 1) X(NOTNA, 1) X(FILLNA, 2) X(WHERE, 3) X(ISIN, 1) X(CAST, 1) X(CLIP_LOWER, 2) X(CLIP_UPPER, 2) \
  X(SQRT, 1) X(EXP, 1) X(LOG, 1) X(LOG10, 1) X(LOG2, 1) X(LOG1P, 1) X(FLOOR, 1) X(CEIL, 1) X(SIN, 1) X(COS, 1) \
  X(STR_LEN, 1) X(STR_LOWER, 1) X(STR_UPPER, 1) X(STR_TITLE, 1) X(STR_CAPITALIZE, 1) X(STR_STRIP, 1) X(STR_LSTRIP, 1) \
  X(STR_RSTRIP, 1) X(STR_CONTAINS, 1) X(STR_STARTSWITH, 1) X(STR_ENDSWITH, 1) X(STR_SLICE, 1) X(STR_GET, 1) X(STR_REPLACE, 1) \
  X(STR_FIND, 1) X(STR_COUNT, 1) X(STR_ZFILL, 1) X(STR_PAD, 1) X(STR_REPEAT, 1) X(STR_ISDIGIT, 1) X(STR_ISALPHA, 1) X(STR_SPLIT_GET, 1) \
  X(DT_YEAR, 1) X(DT_MONTH, 1) X(DT_DAY, 1) X(DT_HOUR, 1) X(DT_MINUTE, 1) X(DT_SECOND, 1) X(DT_MICROSECOND, 1) X(DT_NANOSECOND, 1) \
  X(DT_DAYOFWEEK, 1) X(DT_DAYOFYEAR, 1) X(DT_QUARTER, 1) X(DT_DAYS_IN_MONTH, 1) X(DT_IS_LEAP_YEAR, 1) \
  X(DT_IS_MONTH_START, 1) X(DT_IS_MONTH_END, 1) X(DT_DAY_NAME, 1) X(DT_MONTH_NAME, 1) \
  X(DT_NORMALIZE, 1) X(DT_FLOOR, 1) X(DT_CEIL, 1) X(DT_STRFTIME, 1) \
  X(TD_DAYS, 1) X(TD_SECONDS, 1) X(TD_MICROSECONDS, 1) X(TD_NANOSECONDS, 1) X(TD_TOTAL_SECONDS, 1) \
  X(TO_DATETIME_PARTS, -1) X(ROW_NUMBER, 0)
/* clang-format on */

enum tr_expr_op {
#define X(name, n_args) TR_OP_##name,
  TR_EXPR_OPS(X)
#undef X
      TR_N_OPS
};

#define TR_EXPR_MAX_ARGS 8

struct tr_expr {
  _Atomic int64_t refs;
  uint16_t op; /* enum tr_expr_op */
  uint8_t n_args;
  struct tr_dtype dtype;
  bool maybe_null; /* a result value may be missing (false is a proof) */
  bool weak;       /* LIT: a Python int/float/bool that takes the other side's dtype. Gone once it is an argument */
  /* The result's dtype depends on values: `dtype` is what it is when nothing special occurs (no missing value, no zero
   * divisor), else the computed array is float64. Such an expression is an execution point: compute it, look at the
   * array's dtype, go on with a COL. As an argument it is only taken by operations whose result does not depend on it
   * (comparison, ISNA, NOTNA, arithmetic that is float64 either way). */
  bool dtype_depends_on_data;
  bool may_raise, may_refuse; /* the operation or one of its arguments: see tr_expr_outcome */
  struct tr_expr *args[TR_EXPR_MAX_ARGS];
  int32_t column;       /* COL: position in the relation's output */
  struct tr_scalar lit; /* LIT; text owned. Also the fill of STR_PAD etc. */
  int64_t params[4];    /* per op, see below */
  char *text;           /* owned; pattern, chars to strip, format, replaced text; NULL = none */
  char *text2;          /* owned; replacement */
  int64_t n_list;       /* ISIN: values, owned */
  struct tr_scalar *list;
};

/* What the ops take besides arguments (columns and literals):
 *   WHERE(cond, a, b)     cond ? a : b, dtype of a (Series.where's rule; b must fit it)
 *   FILLNA(a, b)          dtype of a
 *   CLIP_LOWER(a, bound)  max(a, bound), missing stays missing
 *   ROUND                 params[0] decimals
 *   CAST                  dtype (TR_CATEGORY: unordered, categories sorted)
 *   ISIN                  list: one kind, or ints and floats mixed; a null matches missing values
 *   STR_STRIP…            text = characters, NULL = whitespace
 *   STR_CONTAINS          text pattern; params[0] bit 0 regex, bit 1 ignore case
 *   STR_STARTSWITH/ENDSWITH/COUNT/FIND   text (literal; FIND from the left)
 *   STR_SLICE             params start, stop, step (INT64_MIN = none); STR_GET params[0] position
 *   STR_REPLACE           text, text2 (literal), params[0] = most replacements, -1 all
 *   STR_ZFILL             params[0] width; STR_PAD params[0] width, params[1] side (0 left, 1 right, 2 both), text =
 * fill char STR_REPEAT            params[0]; STR_SPLIT_GET text = separator, params[0] = position (not native: object
 * in pandas) DT_FLOOR/DT_CEIL      params[0] = ticks of the argument's unit (0 = unchanged) DT_STRFTIME           text
 * = format TO_DATETIME_PARTS     params[0] = bit set of given parts (1 year, 2 month, 4 day, 8 hour, 16 minute, 32
 * second, 64 ms, 128 us, 256 ns), args in that order
 */
/* Column `column` of dtype `dtype`. Gives a reference. */
TR_MUST_USE enum tr_status tr_expr_col(int32_t column, struct tr_dtype dtype, bool maybe_null, struct tr_expr **out,
                                       struct tr_error *err);
/* Copies the scalar (and its text). `weak`: a Python int/float/bool that takes the other side's dtype (NEP 50). Strong
 * scalars promote as arrays do: Timestamps and, in comparisons only, numpy scalars (pandas turns numpy scalars into
 * Python ones before arithmetic, so they are weak there). */
TR_MUST_USE enum tr_status tr_expr_lit(const struct tr_scalar *value, bool weak, struct tr_expr **out,
                                       struct tr_error *err);

/* What an op needs besides its arguments; all zero by default; texts are copied. */
struct tr_expr_params {
  int64_t params[4];
  const char *text, *text2;
  const struct tr_scalar *list;
  int64_t n_list;
  struct tr_dtype dtype; /* CAST target */
};

/* Makes op(args…), borrowing args (references are added). Infers dtype. TR_UNSUPPORTED: we have no native way for these
 * dtypes or parameters (the client lets pandas serve, or raise). params may be NULL. */
TR_MUST_USE enum tr_status tr_expr_make(enum tr_expr_op op, struct tr_expr *const *args, int n_args,
                                        const struct tr_expr_params *params, struct tr_expr **out,
                                        struct tr_error *err);
/* What values can do to an operation, its arguments given. Where dtypes prove that nothing can happen: SURE. RAISES:
 * for some values pandas raises, and the engine refuses when it runs; such an expression is an execution point, so that
 * it is refused at the call. REFUSES: for some values the engine cannot tell pandas' answer, which has the inferred
 * dtype and is no exception; the expression may stay lazy, for the evaluator asks tr_outside (data/kern/expr/eval.h).
 */
enum tr_outcome { TR_OUTCOME_SURE, TR_OUTCOME_REFUSES, TR_OUTCOME_RAISES };
enum tr_outcome tr_expr_outcome(const struct tr_expr *e);
struct tr_expr *tr_expr_ref(struct tr_expr *e);
void tr_expr_unref(struct tr_expr *e);
/* Name of an op ("ADD"), and the op of a name; -1 when unknown. */
const char *tr_expr_op_name(enum tr_expr_op op);
int tr_expr_op_parse(const char *name);
/* Same tree, literals included. */
bool tr_expr_eq(const struct tr_expr *a, const struct tr_expr *b);
uint64_t tr_expr_hash(const struct tr_expr *e);
/* Highest column the expression reads; -1 = none. */
int tr_expr_max_column(const struct tr_expr *e);
/* Sets used[c] for every column c the expression reads. */
void tr_expr_columns(const struct tr_expr *e, bool *used);
/* The expression with each COL c replaced by subst[c] (references added where used). */
TR_MUST_USE enum tr_status tr_expr_substitute(const struct tr_expr *e, struct tr_expr *const *subst,
                                              struct tr_expr **out, struct tr_error *err);
/* Text for people: "(c0 + 1) > c2". Appends to buf like snprintf; returns the length needed. names may be NULL. */
int64_t tr_expr_print(const struct tr_expr *e, const char *const *names, char *buf, int64_t size);
