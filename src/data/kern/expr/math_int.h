/* Functions of one number, and plain copies; see math.c. */
#pragma once
#include "data/kern/expr/eval_int.h"

bool tr_lower_math(const struct tr_expr *e, struct tr_lower *lo);
/* Copies values of 1, 2, 4 or 8 bytes. */
tr_kernel tr_same_kernel(int width);
