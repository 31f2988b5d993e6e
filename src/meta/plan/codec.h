/* A plan as canonical JSON text and back: the form in which plans travel and are kept.
 *
 *   {"version":1,"sources":[...],"exprs":[...],"nodes":[...]}
 *
 * Nodes stand in topological order, the root last; inputs, expressions and sources are referred to by number, so what
 * is shared is written once. Defaults are left out, there is no white space and keys have one order: equal plans give
 * equal text. Integers and floats of literals are text (decimal; hexadecimal floats, so every bit survives), texts that
 * JSON cannot hold are base64. Sources carry no name and no data: they are ordinals into a table that the caller keeps.
 *
 * Decoding trusts nothing: every number is checked against its range, every dtype is inferred anew and compared, and
 * what is not needed is refused, as are unknown fields. Errors are TR_EXC_VALUE and name the place: "plan:
 * nodes[3].exprs[0]: no expression 17".
 */
#pragma once
#include "meta/plan/rel.h"

#define TR_PLAN_VERSION 1

/* How many aggregate and window functions (data/kern/group/group.h) the codec has names for. */
#define TR_PLAN_N_AGGS    22
#define TR_PLAN_N_WINDOWS 15

/* What decoding accepts. */
struct tr_plan_limits {
  int64_t bytes; /* of text */
  int64_t nodes;
  int64_t exprs;
  int64_t depth;   /* of expressions, and of nodes below one another */
  int64_t columns; /* of one relation */
  int64_t list;    /* values of one literal list; inputs, expressions and items of one node */
  int64_t size;    /* columns and expression operations of all nodes together, shared ones counted at every use */
};

/* Generous for plans that people write, small for a machine. */
extern const struct tr_plan_limits tr_plan_limits_default;

/* Gives the text (free with free()) and the sources in the order of their ordinals: references, in an array to be freed
 * with tr_plan_sources_free. TR_EXC_VALUE when the plan is deeper than the default limits allow. Linear in the size of
 * the plan. */
TR_MUST_USE enum tr_status tr_plan_encode(const struct tr_rel *root, char **json, struct tr_rel ***sources,
                                          int *n_sources, struct tr_error *err);
/* Gives the root. `limits` may be NULL (defaults). Sources are borrowed; their kinds, columns and row counts must be
 * those of the plan that was encoded. */
TR_MUST_USE enum tr_status tr_plan_decode(const char *text, int64_t len, const struct tr_plan_limits *limits,
                                          struct tr_rel *const *sources, int n_sources, struct tr_rel **out,
                                          struct tr_error *err);
void tr_plan_sources_free(struct tr_rel **sources, int n_sources);
/* The same, giving all nodes by their numbers in the text, the root last: references, to be freed with
 * tr_plan_sources_free. */
TR_MUST_USE enum tr_status tr_plan_decode_nodes(const char *text, int64_t len, const struct tr_plan_limits *limits,
                                                struct tr_rel *const *sources, int n_sources, struct tr_rel ***nodes,
                                                int *n_nodes, struct tr_error *err);
