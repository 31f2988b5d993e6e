/* Relations: the plan's nodes. An immutable, refcounted DAG; a node's columns are addressed by position and carry
 * dtypes; labels and the index live in the client, so a plan holds no label. What a node does to data is in data/exec.
 *
 * A node may be `kept`: its result hangs on it (set by data/exec through the callbacks below, never looked into here),
 * so what was computed once is not computed again while something can reach the node.
 */
#pragma once
#include "meta/plan/expr.h"

enum tr_rel_kind {
  TR_REL_FRAME,      /* a frame in memory: source */
  TR_REL_PARQUET,    /* Parquet files: source; the last column is the row number (int64) over all files */
  TR_REL_FILTER,     /* exprs[0]: bool; columns of the input */
  TR_REL_PROJECT,    /* exprs; one column each */
  TR_REL_AGGREGATE,  /* exprs: n_keys keys, then what items refer to; columns: keys, then items. 0 keys = one row */
  TR_REL_WINDOW,     /* the same exprs and items; columns: the input's, then items, in the input's row order */
  TR_REL_GROUP_HEAD, /* exprs: n_keys keys; the first (start > 0) or last (tail) rows of each group, in row order.
                        Further exprs are sort keys with descending[], na_first: as if over a SORT by them */
  TR_REL_JOIN,       /* exprs: n_keys left keys, n_keys right keys; columns: left, right, then n_keys coalesced keys */
  TR_REL_SORT,       /* exprs: keys with descending[]; stop >= 0: only the first `stop` rows (top-n) */
  TR_REL_SLICE,      /* rows start:stop:step as Python slices (INT64_MAX stop = to the end; negatives from the end) */
  TR_REL_CONCAT,     /* inputs of equal dtypes, one after another */
  TR_REL_DISTINCT,   /* exprs: keys; keep = 0 first, 1 last, 2 none */
  TR_REL_ZIP,        /* inputs of equal row numbers, side by side */
  TR_N_RELS
};

/* items of AGGREGATE and WINDOW */
enum tr_item_kind { TR_ITEM_AGG, TR_ITEM_WINDOW, TR_ITEM_TRANSFORM /* WINDOW: an aggregate broadcast to its rows */ };

struct tr_item {
  uint8_t kind; /* enum tr_item_kind */
  uint8_t fn;   /* enum tr_agg or tr_window of data/kern/group/group.h, by number */
  bool skipna, descending, pct;
  uint8_t na_option;
  int16_t expr, expr2; /* positions in exprs; -1 = none */
  int64_t param;
  double q;
};

struct tr_rel_col {
  struct tr_dtype dtype;
  bool maybe_null; /* false is a proof that nothing is missing */
  bool unsettled;  /* the dtype may turn out otherwise when computed (ints that meet missing rows) */
};

struct tr_rel_options {
  uint8_t how;   /* JOIN: enum tr_join_how by number */
  bool sort;     /* AGGREGATE, WINDOW, JOIN */
  bool dropna;   /* AGGREGATE, WINDOW, GROUP_HEAD */
  bool na_first; /* SORT, GROUP_HEAD */
  bool tail;     /* GROUP_HEAD */
  uint8_t keep;  /* DISTINCT */
  bool whole;    /* AGGREGATE without keys: Series reductions' dtype rules */
  int64_t start, stop, step;
};

struct tr_rel {
  _Atomic int64_t refs;
  _Atomic int64_t handles; /* Python objects that hold this node: its result is worth keeping */
  uint8_t kind;
  uint16_t n_inputs;
  int32_t n_cols, n_exprs, n_keys, n_items;
  struct tr_rel **inputs;
  struct tr_rel_col *cols;
  struct tr_expr **exprs;
  struct tr_item *items;
  bool *descending; /* SORT, GROUP_HEAD: per expression */
  struct tr_rel_options opt;
  int64_t n_rows; /* -1 = unknown until executed */
  void *source;   /* FRAME: struct tr_frame; PARQUET: struct tr_parquet_source. Owned through release */
  void (*source_release)(void *);
  char *source_name; /* for people: path, or "frame"; owned */
  void *kept;        /* guarded by data/exec's lock */
  void (*kept_release)(void *);
};

/* What a new node is made of; everything is borrowed and copied/referenced. */
struct tr_rel_spec {
  enum tr_rel_kind kind;
  struct tr_rel *const *inputs;
  int n_inputs;
  struct tr_expr *const *exprs;
  int n_exprs, n_keys;
  const struct tr_item *items;
  int n_items;
  const struct tr_dtype *item_dtypes; /* per item: result dtype (the caller asked data/kern's rules) */
  const bool *item_unsettled;         /* may be NULL */
  const bool *descending;
  struct tr_rel_options opt;
};

/* Makes an inner node; infers columns and row count. TR_ERROR on a malformed spec. */
TR_MUST_USE enum tr_status tr_rel_make(const struct tr_rel_spec *spec, struct tr_rel **out, struct tr_error *err);
/* The same inner node over other inputs (as many), and with other expressions when exprs is not NULL. */
TR_MUST_USE enum tr_status tr_rel_remake(const struct tr_rel *r, struct tr_rel *const *inputs,
                                         struct tr_expr *const *exprs, struct tr_rel **out, struct tr_error *err);
/* Makes a leaf over `source` (taken, also on failure). */
TR_MUST_USE enum tr_status tr_rel_source(enum tr_rel_kind kind, const struct tr_rel_col *cols, int n_cols,
                                         int64_t n_rows, void *source, void (*release)(void *), const char *name,
                                         struct tr_rel **out, struct tr_error *err);
struct tr_rel *tr_rel_ref(struct tr_rel *r);
void tr_rel_unref(struct tr_rel *r);
const char *tr_rel_kind_name(enum tr_rel_kind kind);
/* Text tree of the plan for people; like snprintf. `fn_name(kind, fn)` names item functions. */
int64_t tr_rel_print(const struct tr_rel *r, const char *(*fn_name)(int item_kind, int fn), char *buf, int64_t size);
/* The same, with what `note` has to say of a node (up to `size` bytes, "" = nothing) at the end of its line. */
int64_t tr_rel_print_noted(const struct tr_rel *r, const char *(*fn_name)(int item_kind, int fn),
                           void (*note)(void *arg, const struct tr_rel *r, char *buf, int64_t size), void *arg,
                           char *buf, int64_t size);
