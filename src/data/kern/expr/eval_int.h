/* Inside the expression evaluator.
 *
 * An expression is compiled for one frame into steps over slots. A slot is a column (an array), a constant, or a
 * register (a vector of a few thousand values in per-thread scratch, or a stretch of the output array). A step runs one
 * kernel over one vector. Operations that make text, or look at a dictionary once, work on whole arrays before the
 * steps run ("whole").
 *
 * A fixed-width value is represented by its storage kind (`rep`): times are TR_I64, categories TR_I32 codes. Integers
 * that may be missing (parts of dates, lengths of text) carry the least value of their rep as the mark of a missing
 * value; it becomes NaN when the result is settled (eval.c, settle) or used by another operation.
 */
#pragma once
#include "base/mem.h"
#include "data/kern/expr/eval.h"

enum { TR_VECTOR_ROWS = 2048 };

/* What kernels saw; turned into errors or a second look after the run. */
enum {
  TR_SAW_NULL = 1,       /* a missing value in a result whose dtype depends on that */
  TR_SAW_ZERO = 2,       /* a zero divisor of an integer division */
  TR_SAW_OVERFLOW = 4,   /* pandas raises or does something unportable */
  TR_SAW_NEG_POW = 8,    /* integer to a negative integer power */
  TR_SAW_NONFINITE = 16, /* NaN or inf cast to integer */
  TR_SAW_NEGATIVE = 32,  /* negative float cast to unsigned */
  TR_SAW_BAD_TEXT = 64,  /* text that is no number */
  TR_SAW_REFUSE = 128,   /* this input is pandas' */
};

struct tr_operand {
  const void *p; /* vector, or one value when is_const */
  bool is_const;
  const struct tr_array *text; /* TR_STR columns: the array; rows begin.. */
  const struct tr_scalar *lit; /* constants made from a literal */
};

struct tr_call {
  const struct tr_expr *e;
  int64_t begin, n;
  void *out;
  const void *state; /* what the lowering prepared */
  uint32_t saw;
  struct tr_operand in[TR_EXPR_MAX_ARGS];
};

typedef void (*tr_kernel)(struct tr_call *c);

/* How one node is run: filled by the tr_lower_* functions. */
struct tr_lower {
  tr_kernel kernel;
  uint8_t rep[TR_EXPR_MAX_ARGS];   /* representation each argument is wanted in */
  int64_t scale[TR_EXPR_MAX_ARGS]; /* > 1: times argument is multiplied by this first (unit promotion) */
  int64_t params[2];               /* the kernel's state, when the lowering needs some numbers */
  uint8_t out_rep;
  bool marks_null; /* the result marks missing values by its least value */
};

static inline uint8_t tr_rep_of(struct tr_dtype t) {
  return tr_kind_is_time(t.kind) ? TR_I64 : t.kind == TR_CATEGORY ? TR_I32 : t.kind;
}

/* Each fills *lo and gives true when it knows the node's operation. `zero_float`: integer division is wanted as
 * float64. */
bool tr_lower_arith(const struct tr_expr *e, bool zero_float, struct tr_lower *lo);
bool tr_lower_compare(const struct tr_expr *e, struct tr_lower *lo);
bool tr_lower_choose(const struct tr_expr *e, struct tr_lower *lo);
bool tr_lower_cast(const struct tr_expr *e, struct tr_lower *lo);
bool tr_lower_time(const struct tr_expr *e, struct tr_lower *lo);
bool tr_lower_text(const struct tr_expr *e, struct tr_lower *lo);
/* Plain conversion between number representations (C casts); float to integer is never asked for. */
tr_kernel tr_convert_kernel(int from, int to);
/* Least value of an integer rep -> NaN, others exactly: float64. */
tr_kernel tr_unmark_kernel(int from);
/* Multiplies int64 by *(int64_t *)state; keeps NaT; TR_SAW_OVERFLOW. */
void tr_kern_scale(struct tr_call *c);
/* out = lut[code], state = struct tr_lut. */
struct tr_lut {
  const void *values; /* [-1] is what a missing value gives */
};

/* Whether the node is computed array by array, and doing so. args[k] is NULL where the argument is a literal. */
bool tr_is_whole(const struct tr_expr *e);
TR_MUST_USE enum tr_status tr_whole_eval(struct tr_ctx *ctx, const struct tr_expr *e, struct tr_array *const *args,
                                         int64_t n_rows, struct tr_array **out, struct tr_error *err);
TR_MUST_USE enum tr_status tr_whole_text(struct tr_ctx *ctx, const struct tr_expr *e, struct tr_array *x,
                                         struct tr_array **out, struct tr_error *err);
TR_MUST_USE enum tr_status tr_whole_concat_text(struct tr_ctx *ctx, const struct tr_expr *e,
                                                struct tr_array *const *args, int64_t n_rows, struct tr_array **out,
                                                struct tr_error *err);
TR_MUST_USE enum tr_status tr_whole_to_text(struct tr_ctx *ctx, const struct tr_expr *e, struct tr_array *x,
                                            struct tr_array **out, struct tr_error *err);
TR_MUST_USE enum tr_status tr_whole_choose_text(struct tr_ctx *ctx, const struct tr_expr *e,
                                                struct tr_array *const *args, int64_t n_rows, struct tr_array **out,
                                                struct tr_error *err);
TR_MUST_USE enum tr_status tr_whole_category(struct tr_ctx *ctx, struct tr_array *x, struct tr_array **out,
                                             struct tr_error *err);
TR_MUST_USE enum tr_status tr_whole_datetime_names(struct tr_ctx *ctx, const struct tr_expr *e, struct tr_array *x,
                                                   struct tr_array **out, struct tr_error *err);
/* Per-expression state of text kernels (a compiled pattern, a hash set); NULL state is fine. Freed with
 * tr_text_state_free. */
TR_MUST_USE enum tr_status tr_text_state(struct tr_ctx *ctx, const struct tr_expr *e, void **state,
                                         struct tr_error *err);
void tr_text_state_free(const struct tr_expr *e, void *state);
/* A literal as an array of n equal values. */
TR_MUST_USE enum tr_status tr_broadcast(struct tr_ctx *ctx, const struct tr_scalar *s, int64_t n, struct tr_array **out,
                                        struct tr_error *err);
/* The bytes of a fixed-width literal in its dtype's storage. */
void tr_scalar_store(const struct tr_scalar *s, void *to);
/* Turns what kernels saw into an error. */
TR_MUST_USE enum tr_status tr_saw_error(const struct tr_expr *e, uint32_t saw, struct tr_error *err);
