/* Inside the optimiser: the annotated plan, the sweep that applies a step to each node, and questions about
 * expressions. */
#pragma once
#include "meta/opt/opt.h"

struct tr_opt_node {
  struct tr_rel *rel;
  bool *need;     /* columns somebody needs */
  bool *loose;    /* columns whose dtype the data decides, here or below */
  int consumers;  /* nodes that run and read this one; the root has one more */
  int slices;     /* consumers that are SLICE */
  bool wanted;    /* runs, or is at hand */
  bool leaf;      /* a source, or at hand: nothing is rewritten from here on down */
  bool unordered; /* order.c: nobody can see the order of its rows */
};

struct tr_opt_plan {
  const struct tr_opt_hooks *hooks;
  struct tr_opt_node *nodes; /* inputs before their consumers; the root is last */
  int n, capacity;
  int32_t *slots;   /* open-addressed table of node numbers + 1 by pointer */
  uint32_t n_slots; /* a power of two */
  unsigned kinds;   /* bit set of the kinds that occur */
};

TR_MUST_USE enum tr_status tr_opt_plan_make(struct tr_rel *root, const bool *need, const struct tr_opt_hooks *hooks,
                                            struct tr_opt_plan *out, struct tr_error *err);
void tr_opt_plan_drop(struct tr_opt_plan *p);
/* Number of a node, -1 = not in the plan. */
int tr_opt_find(const struct tr_opt_plan *p, const struct tr_rel *r);
static inline struct tr_opt_node *tr_opt_input(const struct tr_opt_plan *p, const struct tr_rel *r, int k) {
  return &p->nodes[tr_opt_find(p, r->inputs[k])];
}
unsigned tr_opt_traits(const struct tr_opt_plan *p, const struct tr_rel *r, int item);

/* One rewriting at node i of which nothing below has changed in this sweep: gives a node of equal result, or leaves
 * NULL. */
typedef enum tr_status (*tr_opt_step)(struct tr_opt_plan *p, int i, struct tr_rel **out, struct tr_error *err);

enum tr_status tr_opt_step_filter(struct tr_opt_plan *, int, struct tr_rel **, struct tr_error *);
enum tr_status tr_opt_step_slice(struct tr_opt_plan *, int, struct tr_rel **, struct tr_error *);
enum tr_status tr_opt_step_group_top(struct tr_opt_plan *, int, struct tr_rel **, struct tr_error *);
enum tr_status tr_opt_step_order(struct tr_opt_plan *, int, struct tr_rel **, struct tr_error *);
enum tr_status tr_opt_step_project(struct tr_opt_plan *, int, struct tr_rel **, struct tr_error *);
/* Fills nodes[].unordered. */
void tr_opt_find_unordered(struct tr_opt_plan *p);
/* map[i] = reference to the node that stands for node i from now on. */
TR_MUST_USE enum tr_status tr_opt_share(struct tr_opt_plan *p, struct tr_rel **map, bool *changed,
                                        struct tr_error *err);

TR_MUST_USE enum tr_status tr_opt_make_filter(struct tr_rel *in, struct tr_expr *predicate, struct tr_rel **out,
                                              struct tr_error *err);

/* ---- questions about expressions */
/* Evaluating it may raise, depending on values. */
bool tr_opt_may_fail(const struct tr_expr *e);
/* Its value and dtype at a row depend on that row alone (no row numbers, no categories or dtype made from all rows). */
bool tr_opt_is_row_local(const struct tr_expr *e);
/* A column or a literal: costs nothing. */
static inline bool tr_opt_is_free(const struct tr_expr *e) { return e->op == TR_OP_COL || e->op == TR_OP_LIT; }
/* Costs a pass over memory at most: few plain arithmetic operations on numbers. */
bool tr_opt_is_cheap(const struct tr_expr *e);
/* Equal keys give equal values: it does not tell -0.0 from 0.0 in columns that are float. */
bool tr_opt_is_key_safe(const struct tr_expr *e);
bool tr_opt_reads_only(const struct tr_expr *e, const bool *allowed);
bool tr_opt_reads_any(const struct tr_expr *e, const bool *columns);
bool tr_opt_has_op(const struct tr_expr *e, enum tr_expr_op op);
/* Whether the expression can be had over other columns: with the same dtype, and in a form that the evaluator takes. */
bool tr_opt_can_substitute(const struct tr_expr *e, struct tr_expr *const *subst);
