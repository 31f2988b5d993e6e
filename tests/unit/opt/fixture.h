/* Plans made in a line each, and the optimised plan as text. Nodes made here live until plans_drop(). */
#pragma once
#include "meta/opt/opt.h"
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wunused-function" /* each test takes what it needs */

static struct tr_rel *made[400];
static struct tr_expr *kept_exprs[400];
static int n_made, n_kept_exprs;
static const struct tr_rel *at_hand_rel; /* what the hook says is at hand */

static struct tr_rel *own(struct tr_rel *r) { return made[n_made++] = r; }
static struct tr_expr *own_expr(struct tr_expr *e) { return kept_exprs[n_kept_exprs++] = e; }

static int plans_drop(void **state) {
  (void)state;
  while (n_made) tr_rel_unref(made[--n_made]);
  while (n_kept_exprs) tr_expr_unref(kept_exprs[--n_kept_exprs]);
  at_hand_rel = NULL;
  return 0;
}

static void no_release(void *p) { (void)p; }

/* A source of n columns: int64, float64, str, then int64 again. */
static struct tr_rel *source(enum tr_rel_kind kind, const char *name, int n) {
  static const enum tr_kind kinds[] = {TR_I64, TR_F64, TR_STR, TR_I64};
  struct tr_rel_col cols[8] = {0};
  struct tr_rel *r;
  for (int i = 0; i < n; i++)
    cols[i] = (struct tr_rel_col){.dtype = tr_dtype_of(kinds[i & 3]), .maybe_null = (i & 3) == 1 || (i & 3) == 2};
  assert_int_equal(tr_rel_source(kind, cols, n, 100, (void *)(uintptr_t)name, no_release, name, &r, NULL), TR_OK);
  return own(r);
}

static struct tr_expr *col(const struct tr_rel *r, int i) {
  struct tr_expr *e;
  assert_int_equal(tr_expr_col(i, r->cols[i].dtype, r->cols[i].maybe_null, &e, NULL), TR_OK);
  return own_expr(e);
}

static struct tr_expr *number(int64_t v) {
  struct tr_scalar s = {.dtype = tr_dtype_of(TR_I64), .i = v};
  struct tr_expr *e;
  assert_int_equal(tr_expr_lit(&s, true, &e, NULL), TR_OK);
  return own_expr(e);
}

static struct tr_expr *op(enum tr_expr_op o, struct tr_expr *a, struct tr_expr *b) {
  struct tr_expr *args[2] = {a, b}, *e;
  assert_int_equal(tr_expr_make(o, args, (a != NULL) + (b != NULL), NULL, &e, NULL), TR_OK);
  return own_expr(e);
}

static struct tr_rel *node(struct tr_rel_spec s) {
  struct tr_rel *r;
  assert_int_equal(tr_rel_make(&s, &r, NULL), TR_OK);
  return own(r);
}

static struct tr_rel *filter(struct tr_rel *in, struct tr_expr *e) {
  return node((struct tr_rel_spec){.kind = TR_REL_FILTER, .inputs = &in, .n_inputs = 1, .exprs = &e, .n_exprs = 1});
}

static struct tr_rel *sort(struct tr_rel *in, int key) {
  struct tr_expr *e = col(in, key);
  return node((struct tr_rel_spec){
      .kind = TR_REL_SORT, .inputs = &in, .n_inputs = 1, .exprs = &e, .n_exprs = 1, .opt = {.stop = -1}});
}

static struct tr_rel *slice(struct tr_rel *in, int64_t start, int64_t stop) {
  return node((struct tr_rel_spec){
      .kind = TR_REL_SLICE, .inputs = &in, .n_inputs = 1, .opt = {.start = start, .stop = stop, .step = 1}});
}

/* Up to three expressions; NULL ends them. */
static struct tr_rel *project(struct tr_rel *in, struct tr_expr *a, struct tr_expr *b, struct tr_expr *c) {
  struct tr_expr *exprs[3] = {a, b, c};
  int n = (a != NULL) + (b != NULL) + (c != NULL);
  return node((struct tr_rel_spec){.kind = TR_REL_PROJECT, .inputs = &in, .n_inputs = 1, .exprs = exprs, .n_exprs = n});
}

static struct tr_rel *join(struct tr_rel *a, struct tr_rel *b, int how, int key_a, int key_b) {
  struct tr_rel *in[2] = {a, b};
  struct tr_expr *keys[2] = {col(a, key_a), col(b, key_b)};
  return node((struct tr_rel_spec){.kind = TR_REL_JOIN,
                                   .inputs = in,
                                   .n_inputs = 2,
                                   .exprs = keys,
                                   .n_exprs = 2,
                                   .n_keys = 1,
                                   .opt = {.how = (uint8_t)how}});
}

/* By column `key` (sorted), function `fn` of column `value`. The fixture's functions: 0 sees nothing, 1 the order, 2
 * other groups. */
static struct tr_rel *aggregate(struct tr_rel *in, int key, int fn, int value) {
  struct tr_expr *exprs[2] = {col(in, key), col(in, value)};
  struct tr_item item = {.kind = TR_ITEM_AGG, .fn = (uint8_t)fn, .expr = 1, .expr2 = -1};
  struct tr_dtype dtype = in->cols[value].dtype;
  return node((struct tr_rel_spec){.kind = TR_REL_AGGREGATE,
                                   .inputs = &in,
                                   .n_inputs = 1,
                                   .exprs = exprs,
                                   .n_exprs = 2,
                                   .n_keys = 1,
                                   .items = &item,
                                   .n_items = 1,
                                   .item_dtypes = &dtype,
                                   .opt = {.sort = true, .dropna = true}});
}

static struct tr_rel *concat(struct tr_rel *a, struct tr_rel *b) {
  struct tr_rel *in[2] = {a, b};
  return node((struct tr_rel_spec){.kind = TR_REL_CONCAT, .inputs = in, .n_inputs = 2});
}

static unsigned traits(const struct tr_rel *r, int item) {
  return r->items[item].fn == 1 ? TR_OPT_SEES_ORDER : r->items[item].fn == 2 ? TR_OPT_SEES_GROUPS : 0;
}

static bool at_hand(const struct tr_rel *r, const bool *need) {
  (void)need;
  return r == at_hand_rel;
}

static const char *fn_name(int kind, int fn) {
  (void)kind;
  return fn == 1 ? "first" : fn == 2 ? "row" : "sum";
}

static const struct tr_opt_hooks hooks = {at_hand, traits};

/* Optimises `r` for columns given as bits and compares the plan's text. */
static void assert_plan(struct tr_rel *r, unsigned columns, const char *expected) {
  struct tr_opt_result got;
  bool need[32];
  char text[4000];
  for (int i = 0; i < 32; i++) need[i] = columns >> i & 1;
  assert_int_equal(tr_opt_run(r, need, &hooks, &got, NULL), TR_OK);
  assert_int_equal(got.root->n_cols, r->n_cols);
  tr_rel_print(got.root, fn_name, text, sizeof text);
  assert_string_equal(text, expected);
  tr_opt_result_drop(&got);
}

/* The plan stays what it is: the very same nodes. */
static void assert_unchanged(struct tr_rel *r, unsigned columns) {
  struct tr_opt_result got;
  bool need[32];
  for (int i = 0; i < 32; i++) need[i] = columns >> i & 1;
  assert_int_equal(tr_opt_run(r, need, &hooks, &got, NULL), TR_OK);
  assert_ptr_equal(got.root, r);
  tr_opt_result_drop(&got);
}
