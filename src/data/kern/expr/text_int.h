/* Text kernels with a state of their own: ISIN's hash set and compiled patterns. */
#pragma once
#include "data/kern/expr/eval_int.h"

void tr_kern_isin_text(struct tr_call *c);
tr_kernel tr_kern_isin_number(struct tr_dtype dtype);
TR_MUST_USE enum tr_status tr_isin_state(struct tr_ctx *ctx, const struct tr_expr *e, void **state,
                                         struct tr_error *err);
void tr_isin_free(void *state);
/* STR_CONTAINS with a pattern (params bit 0) or ignoring case (bit 1). */
void tr_kern_regex(struct tr_call *c);
TR_MUST_USE enum tr_status tr_regex_state(const struct tr_expr *e, void **state, struct tr_error *err);
void tr_regex_free(void *state);
