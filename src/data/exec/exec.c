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
    [TR_REL_FRAME] = tr_op_scan_frame,
    [TR_REL_PARQUET] = tr_op_scan_parquet,
    [TR_REL_FILTER] = tr_op_filter,
    [TR_REL_PROJECT] = tr_op_project,
    [TR_REL_AGGREGATE] = tr_op_aggregate,
    [TR_REL_WINDOW] = tr_op_window,
    [TR_REL_GROUP_HEAD] = tr_op_group_head,
    [TR_REL_JOIN] = tr_op_join,
    [TR_REL_SORT] = tr_op_sort,
    [TR_REL_SLICE] = tr_op_slice,
    [TR_REL_CONCAT] = tr_op_concat,
    [TR_REL_DISTINCT] = tr_op_distinct,
    [TR_REL_ZIP] = tr_op_zip,
};

void tr_exec_lock(void) {
  pthread_once(&fork_once, register_fork);
  pthread_mutex_lock(&lock);
}

void tr_exec_unlock(void) { pthread_mutex_unlock(&lock); }

int tr_exec_find(const struct tr_exec_plan *p, const struct tr_rel *r) {
  for (int i = p->n - 1; i >= 0; i--)
    if (p->nodes[i].rel == r) return i;
  return -1;
}

static bool covers(const struct tr_frame *f, const bool *need) {
  for (int i = 0; i < f->n_cols; i++)
    if (need[i] && !f->cols[i]) return false;
  return true;
}

static enum tr_status collect(struct tr_exec_plan *p, struct tr_rel *r, struct tr_error *err) {
  if (tr_exec_find(p, r) >= 0) return TR_OK;
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

bool tr_exec_at_hand(const struct tr_node *node) { return node->rel->kept && covers(node->rel->kept, node->need); }

static bool kept_covers(const struct tr_rel *r, const bool *need) { return r->kept && covers(r->kept, need); }

static bool runs(const struct tr_exec_plan *p, int i) { return i == p->n - 1 || p->nodes[i].waiting > 0; }

static enum tr_status propagate_all(struct tr_exec_plan *p, struct tr_error *err) {
  for (int i = p->n - 1; i >= 0; i--) {
    struct tr_node *node = &p->nodes[i];
    if (!runs(p, i) || tr_exec_at_hand(node) || !node->rel->n_inputs) continue;
    bool **need = calloc(node->rel->n_inputs, sizeof *need);
    if (!need) return tr_fail_memory(err, sizeof *need);
    for (int k = 0; k < node->rel->n_inputs; k++) {
      struct tr_node *in = &p->nodes[tr_exec_find(p, node->rel->inputs[k])];
      need[k] = in->need;
      if (tr_opt_runs_input(node->rel, node->need, k)) in->waiting++;
    }
    tr_opt_input_needs(node->rel, node->need, need);
    free(need);
  }
  return TR_OK;
}

enum { MOST_READERS = 8 };

/* The nodes that read node i, in readers; their number, or 0 when they are too many. */
static int find_readers(const struct tr_exec_plan *p, int i, const struct tr_rel **readers) {
  int n = 0;
  for (int j = i + 1; j < p->n; j++) {
    const struct tr_node *node = &p->nodes[j];
    if (!runs(p, j) || tr_exec_at_hand(node)) continue;
    for (int k = 0; k < node->rel->n_inputs; k++) {
      if (node->rel->inputs[k] != p->nodes[i].rel) continue;
      if (n == MOST_READERS) return 0;
      readers[n++] = node->rel;
    }
  }
  return n;
}

static void choose_row_groups(struct tr_exec_plan *p) {
  const struct tr_rel *readers[MOST_READERS];
  for (int i = 0; i < p->n - 1; i++) {
    struct tr_node *node = &p->nodes[i];
    if (node->rel->kind != TR_REL_PARQUET || !node->waiting || tr_exec_at_hand(node)) continue;
    int n = find_readers(p, i, readers);
    if (n) tr_scan_choose_row_groups(node, readers, n);
  }
}

/* Slices take few rows: what they read of a filter is gathered by them, not by the filter. */
static void choose_late_filters(struct tr_exec_plan *p) {
  const struct tr_rel *readers[MOST_READERS];
  for (int i = 0; i < p->n - 1; i++) {
    struct tr_node *node = &p->nodes[i];
    if (node->rel->kind != TR_REL_FILTER || !node->waiting || tr_exec_at_hand(node)) continue;
    int n = find_readers(p, i, readers);
    node->late = n > 0;
    for (int k = 0; k < n; k++) node->late &= readers[k]->kind == TR_REL_SLICE;
  }
}

enum tr_status tr_exec_prepare(struct tr_rel *r, const bool *need, enum tr_exec_aim aim, struct tr_exec_plan *out,
                               struct tr_error *err) {
  const struct tr_opt_hooks hooks = {kept_covers, tr_exec_item_traits, aim == TR_AIM_TRAVEL};
  const bool optimise = aim != TR_AIM_AS_MADE;
  *out = (struct tr_exec_plan){0};
  enum tr_status st;
  if (optimise) TR_GOTO(st, tr_opt_run(r, need, &hooks, &out->opt, err));
  TR_GOTO(st, collect(out, optimise ? out->opt.root : r, err));
  struct tr_node *root = &out->nodes[out->n - 1];
  for (int i = 0; i < r->n_cols; i++) root->need[i] = need ? need[i] : true;
  TR_GOTO(st, propagate_all(out, err));
  if (optimise) choose_row_groups(out);
  if (optimise) choose_late_filters(out);
done:
  if (st != TR_OK) tr_exec_plan_drop(out);
  return st;
}

static void release_kept(void *kept) { tr_frame_unref(kept); }

/* f with the columns that only `old` has; a frame of its own, for f may be kept elsewhere too. NULL = out of memory. */
static struct tr_frame *merged(const struct tr_frame *old, const struct tr_frame *f) {
  struct tr_frame *both = NULL;
  struct tr_array **cols = calloc((size_t)f->n_cols + 1, sizeof *cols); /* borrows */
  for (int i = 0; cols && i < f->n_cols; i++) cols[i] = f->cols[i] ? f->cols[i] : old->cols[i];
  if (!cols || tr_frame_new(f->n_rows, f->n_cols, cols, &both, NULL) != TR_OK) both = NULL;
  free(cols);
  return both;
}

/* Keeps a result on its node, together with columns kept before. */
static void keep(struct tr_rel *r, struct tr_frame *f) {
  struct tr_frame *old = r->kept, *now = NULL;
  if (old && old != f) now = merged(old, f);
  if (old != f) {
    r->kept = now ? now : tr_frame_ref(f);
    r->kept_release = release_kept;
    tr_frame_unref(old);
  }
  r->n_rows = f->n_rows;
}

/* Cheap nodes are not worth memory of their own. */
static bool worth_keeping(const struct tr_rel *r) {
  return atomic_load(&r->handles) > 0 && r->kind != TR_REL_FRAME && r->kind != TR_REL_PROJECT &&
         r->kind != TR_REL_SLICE;
}

/* A result goes to every node that handles hold and that this one stands for. */
static void keep_result(const struct tr_exec_plan *p, const struct tr_node *node) {
  if (node->row_groups || node->late) return;
  if (worth_keeping(node->rel)) keep(node->rel, node->out);
  for (int t = 0; t < p->opt.n_twins; t++) {
    struct tr_opt_twin twin = p->opt.twins[t];
    if (twin.now == node->rel && twin.original != node->rel && worth_keeping(twin.original))
      keep(twin.original, node->out);
  }
}

static void drop_output(struct tr_node *node) {
  tr_frame_unref(node->out);
  tr_frame_unref(node->picked_from);
  tr_buffer_unref(node->picked);
  node->out = node->picked_from = NULL;
  node->picked = NULL;
}

static enum tr_status run_node(struct tr_ctx *ctx, struct tr_exec_plan *p, int i, struct tr_error *err) {
  struct tr_node *node = &p->nodes[i];
  if (tr_exec_at_hand(node)) {
    node->out = tr_frame_ref(node->rel->kept);
    return TR_OK;
  }
  int n_in = node->rel->n_inputs;
  struct tr_frame *few[4], **in = n_in <= 4 ? few : malloc(sizeof *in * (size_t)n_in);
  if (!in) return tr_fail_memory(err, sizeof *in * (size_t)n_in);
  for (int k = 0; k < n_in; k++) in[k] = p->nodes[tr_exec_find(p, node->rel->inputs[k])].out;
  node->first = n_in ? &p->nodes[tr_exec_find(p, node->rel->inputs[0])] : NULL;
  enum tr_status st = operators[node->rel->kind](ctx, node, in, err);
  if (in != few) free(in);
  TR_TRY(st);
  for (int k = 0; k < n_in; k++) {
    struct tr_node *src = &p->nodes[tr_exec_find(p, node->rel->inputs[k])];
    if (tr_opt_runs_input(node->rel, node->need, k) && --src->waiting == 0) drop_output(src);
  }
  keep_result(p, node);
  return TR_OK;
}

void tr_exec_plan_drop(struct tr_exec_plan *p) {
  for (int i = 0; i < p->n; i++) {
    drop_output(&p->nodes[i]);
    free(p->nodes[i].need);
    free(p->nodes[i].row_groups);
  }
  free(p->nodes);
  tr_opt_result_drop(&p->opt);
  *p = (struct tr_exec_plan){0};
}

static enum tr_status run_locked(struct tr_ctx *ctx, struct tr_rel *r, const bool *need, struct tr_frame **out,
                                 struct tr_error *err) {
  struct tr_exec_plan p;
  enum tr_status st;
  TR_TRY(tr_exec_prepare(r, need, ctx->optimise ? TR_AIM_RUN : TR_AIM_AS_MADE, &p, err));
  for (int i = 0; i < p.n; i++) {
    if (!runs(&p, i)) continue;
    TR_GOTO(st, tr_ctx_check(ctx));
    TR_GOTO(st, run_node(ctx, &p, i, err));
  }
  struct tr_node *root = &p.nodes[p.n - 1];
  if (r->kind != TR_REL_FRAME) keep(r, root->out);
  *out = tr_frame_ref(root->out);
done:
  tr_exec_plan_drop(&p);
  return st;
}

enum tr_status tr_exec_run(struct tr_ctx *ctx, struct tr_rel *r, const bool *need, struct tr_frame **out,
                           struct tr_error *err) {
  *out = NULL;
  tr_exec_lock();
  enum tr_status st = run_locked(ctx, r, need, out, err);
  tr_exec_unlock();
  return st;
}

void tr_exec_keep(struct tr_rel *r, struct tr_frame *f) {
  tr_exec_lock();
  if (r->kind != TR_REL_FRAME) keep(r, f);
  tr_exec_unlock();
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
