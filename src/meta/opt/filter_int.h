/* Shared by filter.c and filter_join.c: a predicate taken apart. */
#pragma once
#include "meta/opt/opt_int.h"

enum { TR_MOST_CONJUNCTS = 64 };

struct tr_conjuncts {
  struct tr_expr *parts[TR_MOST_CONJUNCTS]; /* borrowed */
  bool moves[TR_MOST_CONJUNCTS];
  int n;
};

/* Rewrites a FILTER above a JOIN; c->moves is filled here. */
enum tr_status tr_opt_filter_join(struct tr_opt_plan *p, int i, struct tr_conjuncts *c, struct tr_rel **out,
                                  struct tr_error *err);
/* AND of the parts that move (or of the others), with columns exchanged by subst (NULL = as they are); NULL when there
 * are none. */
TR_MUST_USE enum tr_status tr_opt_join_conjuncts(const struct tr_conjuncts *c, bool moves, struct tr_expr *const *subst,
                                                 struct tr_expr **out, struct tr_error *err);
/* need, and what the parts that stay read. */
void tr_opt_needed_above(const struct tr_opt_plan *p, int i, const struct tr_conjuncts *c, bool *need);
/* The FILTER of the parts that stay over `in` (taken); `in` itself when all move. */
TR_MUST_USE enum tr_status tr_opt_keep_rest(const struct tr_conjuncts *c, struct tr_rel *in, struct tr_rel **out,
                                            struct tr_error *err);
