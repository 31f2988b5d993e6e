/* A compiled set of expressions for one frame: see eval_int.h for the idea, compile.c for making it, eval.c for running
 * it. */
#pragma once
#include "data/kern/expr/math_int.h"

enum tr_slot_kind { TR_SLOT_COLUMN, TR_SLOT_CONST, TR_SLOT_REG };

struct tr_slot {
  uint8_t kind;
  uint8_t rep;     /* storage kind; TR_STR for text */
  bool marks_null; /* integers whose least value marks a missing value */
  uint8_t width;
  struct tr_array *array; /* COLUMN: a reference; REG that is a result: the output array, a reference */
  char *base;             /* first value of COLUMN or output; NULL = scratch register `reg` */
  uint64_t value;         /* CONST: the value's bytes */
  const struct tr_scalar *lit;
  int reg, last_use; /* REG: scratch register, last step that reads it */
};

struct tr_step {
  const struct tr_expr *e;
  tr_kernel kernel;
  int n_in, in[TR_EXPR_MAX_ARGS], out;
  const void *state; /* NULL = params */
  int64_t params[2];
  struct tr_lut lut; /* the state when use_lut */
  bool use_lut;
  void *text_state;       /* owned */
  struct tr_array *owned; /* what state points into; a reference */
  _Atomic uint32_t saw;
};

struct tr_memo {
  const struct tr_expr *e;
  int slot;
};

/* Operations that were computed outside for this frame. */
struct tr_served {
  int n, cap;
  struct tr_served_item {
    struct tr_expr *e;  /* a reference */
    struct tr_array *a; /* a reference */
  } * items;
};

struct tr_program {
  struct tr_ctx *ctx;
  const struct tr_frame *in;
  bool zero_float;
  const struct tr_served *served; /* borrowed; may be NULL */
  struct tr_expr *refused;        /* the operation that ended in TR_UNSUPPORTED; borrowed from the expressions */
  int n_slots, n_steps, n_memo, cap_slots, cap_steps, cap_memo;
  struct tr_slot *slots;
  struct tr_step *steps;
  struct tr_memo *memo;
  int n_regs;
  int64_t vector_rows;
};

/* Compiles `e`; gives its slot. */
TR_MUST_USE enum tr_status tr_compile(struct tr_program *p, struct tr_expr *e, int *slot, struct tr_error *err);
/* outside.c: after TR_UNSUPPORTED over `refused` (a reference, taken; may be NULL) asks ctx->outside and remembers its
 * answer, so that compiling again succeeds. Otherwise gives TR_UNSUPPORTED with `err` as it is. */
TR_MUST_USE enum tr_status tr_serve_outside(struct tr_ctx *ctx, struct tr_expr *refused, const struct tr_frame *in,
                                            struct tr_served *served, struct tr_error *err);
/* The answer remembered for e; NULL = none. Borrowed. */
struct tr_array *tr_served_find(const struct tr_served *served, const struct tr_expr *e);
void tr_served_drop(struct tr_served *served);
/* A slot with the value of `slot` in representation `rep`. */
TR_MUST_USE enum tr_status tr_compile_as(struct tr_program *p, int slot, int rep, const struct tr_expr *e, int *out,
                                         struct tr_error *err);
/* Gives scratch registers to slots by last use. Slots that are results have `base` set before. */
void tr_program_assign(struct tr_program *p);
void tr_program_drop(struct tr_program *p);
/* text_step.c: an operation that reads text (or a category's dictionary) and gives a fixed-width value. */
TR_MUST_USE enum tr_status tr_compile_text(struct tr_program *p, struct tr_expr *e, int *slot, struct tr_error *err);
/* For tr_compile_text. */
TR_MUST_USE enum tr_status tr_program_slot(struct tr_program *p, const struct tr_slot *s, int *slot,
                                           struct tr_error *err);
TR_MUST_USE enum tr_status tr_program_step(struct tr_program *p, const struct tr_step *s, const struct tr_slot *out,
                                           int *slot, struct tr_error *err);
/* A column slot over `array` (takes the reference). */
TR_MUST_USE enum tr_status tr_program_column(struct tr_program *p, struct tr_array *array, int *slot,
                                             struct tr_error *err);
