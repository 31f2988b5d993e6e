/* Times; see time.c and parts.c. */
#pragma once
#include "data/kern/expr/eval_int.h"

bool tr_lower_time_parts(const struct tr_expr *e, struct tr_lower *lo);
