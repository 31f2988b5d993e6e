/* Running a plan: needs from the root down, then operators from the leaves up. See exec.h. */
#include "data/exec/exec_int.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static void after_fork_in_child(void) { pthread_mutex_init(&lock, NULL); }
static void register_fork(void) { pthread_atfork(NULL, NULL, after_fork_in_child); }

static const tr_operator_fn operators[TR_N_RELS] = {
    [TR_REL_FRAME] = tr_op_scan_frame,     [TR_REL_PARQUET] = tr_op_scan_parquet, [TR_REL_FILTER] = tr_op_filter,
    [TR_REL_PROJECT] = tr_op_project,      [TR_REL_AGGREGATE] = tr_op_aggregate,  [TR_REL_WINDOW] = tr_op_window,
    [TR_REL_GROUP_HEAD] = tr_op_group_head, [TR_REL_JOIN] = tr_op_join,           [TR_REL_SORT] = tr_op_sort,
    [TR_REL_SLICE] = tr_op_slice,          [TR_REL_CONCAT] = tr_op_concat,        [TR_REL_DISTINCT] = tr_op_distinct,
    [TR_REL_ZIP] = tr_op_zip,
};

struct plan {
  struct tr_node *nodes; /* inputs before their consumers */
  int n, capacity;
};

static int find(const struct plan *p, const struct tr_rel *r) {
  for (int i = p->n - 1; i >= 0; i--)
    if (p->nodes[i].rel == r) return i;
  return -1;
}

static bool covers(const struct tr_frame *f, const bool *need) {
  for (int i = 0; i < f->n_cols; i++)
    if (need[i] && !f->cols[i]) return false;
  return true;
}

static enum tr_status collect(struct plan *p, struct tr_rel *r, struct tr_error *err) {
  if (find(p, r) >= 0) return TR_OK;
  for (int i = 0; i < r->n_inputs; i++) TR_TRY(collect(p, r->inputs[i], err));
  if (p->n == p->capacity) {
    int capacity = p->capacity ? 2 * p->capacity : 16;
    struct tr_node *grown = realloc(p->nodes, sizeof *grown * (size_t)capacity);
    if (!grown) return tr_fail_memory(err, sizeof *grown * (size_t)capacity);
    p->nodes = grown;
    p->capacity = capacity;
  }
  struct tr_node *node = &p->nodes[p->n++];
  *node = (struct tr_node){.rel = r, .need = calloc((size_t)r->n_cols + 1, sizeof(bool))};
  return node->need ? TR_OK : tr_fail_memory(err, (size_t)r->n_cols);
}

static void need_exprs(const struct tr_rel *r, int begin, int end, bool *need) {
  for (int i = begin; i < end; i++) tr_expr_columns(r->exprs[i], need);
}

static void need_items(const struct tr_rel *r, const bool *out_need, bool *need) {
  for (int i = 0; i < r->n_items; i++) {
    if (!out_need[i]) continue;
    if (r->items[i].expr >= 0) tr_expr_columns(r->exprs[r->items[i].expr], need);
    if (r->items[i].expr2 >= 0) tr_expr_columns(r->exprs[r->items[i].expr2], need);
  }
}

static void pass_need(const bool *from, bool *to, int n) {
  for (int i = 0; i < n; i++) to[i] |= from[i];
}

/* What node needs of its inputs. need[k] belongs to input k. */
static void propagate(const struct tr_node *node, bool **need) {
  const struct tr_rel *r = node->rel;
  switch (r->kind) {
  case TR_REL_PROJECT:
    for (int i = 0; i < r->n_exprs; i++)
      if (node->need[i]) tr_expr_columns(r->exprs[i], need[0]);
    break;
  case TR_REL_AGGREGATE:
    need_exprs(r, 0, r->n_keys, need[0]);
    need_items(r, node->need + r->n_keys, need[0]);
    break;
  case TR_REL_WINDOW:
    pass_need(node->need, need[0], r->inputs[0]->n_cols);
    need_exprs(r, 0, r->n_keys, need[0]);
    need_items(r, node->need + r->inputs[0]->n_cols, need[0]);
    break;
  case TR_REL_ZIP:
    for (int k = 0, at = 0; k < r->n_inputs; at += r->inputs[k++]->n_cols)
      pass_need(node->need + at, need[k], r->inputs[k]->n_cols);
    break;
  case TR_REL_JOIN:
    pass_need(node->need, need[0], r->inputs[0]->n_cols);
    pass_need(node->need + r->inputs[0]->n_cols, need[1], r->inputs[1]->n_cols);
    need_exprs(r, 0, r->n_keys, need[0]);
    need_exprs(r, r->n_keys, 2 * r->n_keys, need[1]);
    break;
  default:
    for (int k = 0; k < r->n_inputs; k++) pass_need(node->need, need[k], r->n_cols);
    if (r->n_inputs) need_exprs(r, 0, r->n_exprs, need[0]);
  }
}

/* A ZIP runs only the inputs whose columns are needed; of none needed, the last one counts its rows. */
static bool runs_input(const struct tr_node *node, int k) {
  const struct tr_rel *r = node->rel;
  if (r->kind != TR_REL_ZIP) return true;
  bool any = false, mine = false;
  for (int j = 0, at = 0; j < r->n_inputs; at += r->inputs[j++]->n_cols)
    for (int i = 0; i < r->inputs[j]->n_cols; i++) {
      any |= node->need[at + i];
      mine |= j == k && node->need[at + i];
    }
  return any ? mine : k == r->n_inputs - 1;
}

static bool at_hand(const struct tr_node *node) { return node->rel->kept && covers(node->rel->kept, node->need); }

static enum tr_status propagate_all(struct plan *p, struct tr_error *err) {
  for (int i = p->n - 1; i >= 0; i--) {
    struct tr_node *node = &p->nodes[i];
    bool wanted = i == p->n - 1 || node->waiting > 0;
    if (!wanted || at_hand(node) || !node->rel->n_inputs) continue;
    bool **need = calloc(node->rel->n_inputs, sizeof *need);
    if (!need) return tr_fail_memory(err, sizeof *need);
    for (int k = 0; k < node->rel->n_inputs; k++) {
      struct tr_node *in = &p->nodes[find(p, node->rel->inputs[k])];
      need[k] = in->need;
      if (runs_input(node, k)) in->waiting++;
    }
    propagate(node, need);
    free(need);
  }
  return TR_OK;
}

static void release_kept(void *kept) { tr_frame_unref(kept); }

/* Keeps a result on its node, together with columns kept before. */
static void keep(struct tr_rel *r, struct tr_frame *f) {
  struct tr_frame *old = r->kept;
  if (old && old != f)
    for (int i = 0; i < f->n_cols; i++)
      if (!f->cols[i] && old->cols[i]) f->cols[i] = tr_array_ref(old->cols[i]);
  if (old != f) {
    r->kept = tr_frame_ref(f);
    r->kept_release = release_kept;
    tr_frame_unref(old);
  }
  r->n_rows = f->n_rows;
}

/* Cheap nodes are not worth memory of their own. */
static bool worth_keeping(const struct tr_rel *r) {
  return atomic_load(&r->handles) > 0 && r->kind != TR_REL_FRAME && r->kind != TR_REL_PROJECT && r->kind != TR_REL_SLICE;
}

static enum tr_status run_node(struct tr_ctx *ctx, struct plan *p, int i, struct tr_error *err) {
  struct tr_node *node = &p->nodes[i];
  if (at_hand(node)) {
    node->out = tr_frame_ref(node->rel->kept);
    return TR_OK;
  }
  int n_in = node->rel->n_inputs;
  struct tr_frame *few[4], **in = n_in <= 4 ? few : malloc(sizeof *in * (size_t)n_in);
  if (!in) return tr_fail_memory(err, sizeof *in * (size_t)n_in);
  for (int k = 0; k < n_in; k++) in[k] = p->nodes[find(p, node->rel->inputs[k])].out;
  enum tr_status st = operators[node->rel->kind](ctx, node, in, err);
  if (in != few) free(in);
  TR_TRY(st);
  for (int k = 0; k < n_in; k++) {
    struct tr_node *src = &p->nodes[find(p, node->rel->inputs[k])];
    if (runs_input(node, k) && --src->waiting == 0) {
      tr_frame_unref(src->out);
      src->out = NULL;
    }
  }
  if (worth_keeping(node->rel)) keep(node->rel, node->out);
  return TR_OK;
}

static void plan_drop(struct plan *p) {
  for (int i = 0; i < p->n; i++) {
    tr_frame_unref(p->nodes[i].out);
    free(p->nodes[i].need);
  }
  free(p->nodes);
}

static enum tr_status run_locked(struct tr_ctx *ctx, struct tr_rel *r, const bool *need, struct tr_frame **out, struct tr_error *err) {
  struct plan p = {0};
  enum tr_status st = collect(&p, r, err);
  if (st != TR_OK) goto done;
  struct tr_node *root = &p.nodes[p.n - 1];
  for (int i = 0; i < r->n_cols; i++) root->need[i] = need ? need[i] : true;
  TR_GOTO(st, propagate_all(&p, err));
  for (int i = 0; i < p.n; i++) {
    if (i != p.n - 1 && p.nodes[i].waiting == 0) continue;
    TR_GOTO(st, tr_ctx_check(ctx));
    TR_GOTO(st, run_node(ctx, &p, i, err));
  }
  root = &p.nodes[p.n - 1];
  if (r->kind != TR_REL_FRAME) keep(r, root->out);
  *out = tr_frame_ref(root->out);
done:
  plan_drop(&p);
  return st;
}

enum tr_status tr_exec_run(struct tr_ctx *ctx, struct tr_rel *r, const bool *need, struct tr_frame **out, struct tr_error *err) {
  *out = NULL;
  pthread_once(&fork_once, register_fork);
  pthread_mutex_lock(&lock);
  enum tr_status st = run_locked(ctx, r, need, out, err);
  pthread_mutex_unlock(&lock);
  return st;
}

void tr_exec_drop_kept(struct tr_rel *r) {
  pthread_mutex_lock(&lock);
  if (r->kept) tr_frame_unref(r->kept);
  r->kept = NULL;
  pthread_mutex_unlock(&lock);
}

bool tr_exec_is_kept(struct tr_rel *r, const bool *need) {
  pthread_mutex_lock(&lock);
  struct tr_frame *f = r->kind == TR_REL_FRAME ? r->source : r->kept;
  bool yes = f && f->n_cols == r->n_cols;
  for (int i = 0; yes && i < r->n_cols; i++)
    if ((!need || need[i]) && !f->cols[i]) yes = false;
  pthread_mutex_unlock(&lock);
  return yes;
}
