/* Cutting a plan into stages: see stages.h. From the sources up, each node is either added to the tree that is open
 * below it, or ends that tree: a stage is made, and the node begins a tree over its output. */
#include "meta/opt/stages_int.h"
#include <stdlib.h>
#include <string.h>

void *tr_cut_alloc(struct tr_cut *c, size_t bytes) { return tr_arena_alloc(&c->out->arena, bytes ? bytes : 1); }

static enum tr_status no_memory(struct tr_cut *c) { return tr_fail_memory(c->err, 64); }

int32_t tr_cut_parts(const struct tr_cut *c, int64_t rows) {
  int64_t n = rows / c->options.target_rows + (rows % c->options.target_rows != 0);
  return n < 1 ? 1 : n > c->options.max_partitions ? c->options.max_partitions : (int32_t)n;
}

/* ---- open trees */
struct tr_open tr_cut_leaf(const struct tr_cut *c, int32_t node, int32_t stage, enum tr_stage_mode mode,
                           enum tr_stage_holds holds, int32_t n_tasks) {
  bool same = mode == TR_READ_SAME && holds == TR_HOLDS_ROWS;
  struct tr_open o = {
      .node = node, .n_tasks = n_tasks, .is_leaf = true, .in_place = same, .base_source = -1, .base_stage = -1};
  o.leaf.in = (struct tr_stage_input){.of = -1,
                                      .node = node,
                                      .stage = stage,
                                      .tasks = stage < 0 ? 1 : c->out->stages[stage].n_tasks,
                                      .segment = -1,
                                      .mode = (uint8_t)mode,
                                      .holds = (uint8_t)holds};
  if (same) o.base_stage = stage;
  return o;
}

static enum tr_status add_edge(struct tr_cut *c, struct tr_stage_input in, struct tr_open *into) {
  for (const struct tr_edge *e = into->edges; e; e = e->next)
    if (e->in.of == in.of && e->in.input == in.input) return TR_OK;
  struct tr_edge *edge = tr_cut_alloc(c, sizeof *edge);
  if (!edge) return no_memory(c);
  *edge = (struct tr_edge){in, into->edges};
  into->edges = edge;
  return TR_OK;
}

enum tr_status tr_cut_attach(struct tr_cut *c, const struct tr_open *o, int32_t of, int32_t input,
                             struct tr_open *into) {
  if (o->positions && !into->positions) {
    into->positions = true;
    into->base_source = o->base_source;
    into->base_stage = o->base_stage;
  }
  if (o->is_leaf) {
    struct tr_stage_input in = o->leaf.in;
    in.of = of;
    in.input = input;
    return add_edge(c, in, into);
  }
  for (const struct tr_edge *e = o->edges; e; e = e->next) TR_TRY(add_edge(c, e->in, into));
  for (const struct tr_branch *b = o->branches; b; b = b->next) {
    bool known = false;
    for (const struct tr_branch *k = into->branches; k; k = k->next) known |= k->at.node == b->at.node;
    if (known) continue;
    struct tr_branch *branch = tr_cut_alloc(c, sizeof *branch);
    if (!branch) return no_memory(c);
    *branch = (struct tr_branch){b->at, into->branches};
    into->branches = branch;
  }
  return TR_OK;
}

/* ---- closing: which pieces of which sources each task reads */
struct pieces {
  struct tr_stage_piece *list;
  int32_t n, capacity;
};

static enum tr_status add_pieces(struct tr_cut *c, struct pieces *p, int32_t first, struct tr_stage_piece piece) {
  for (int32_t i = first; i < p->n; i++)
    if (p->list[i].source == piece.source) return TR_OK;
  if (p->n == p->capacity) {
    int32_t capacity = p->capacity ? 2 * p->capacity : 16;
    struct tr_stage_piece *list = tr_cut_alloc(c, sizeof *list * (size_t)capacity);
    if (!list) return no_memory(c);
    if (p->n) memcpy(list, p->list, sizeof *list * (size_t)p->n);
    p->list = list;
    p->capacity = capacity;
  }
  p->list[p->n++] = piece;
  return TR_OK;
}

static const struct tr_edge *edge_at(const struct tr_open *o, int32_t of, int32_t input) {
  for (const struct tr_edge *e = o->edges; e; e = e->next)
    if (e->in.of == of && e->in.input == input) return e;
  return NULL;
}

/* Task `task` of `n_tasks` that the tree below node `no` has. */
struct walk {
  const struct tr_open *o;
  struct pieces *pieces;
  int32_t first;
  uint8_t *seen; /* nodes */
};

static enum tr_status walk_tree(struct tr_cut *c, const struct walk *w, int32_t no, int32_t task, int32_t n_tasks) {
  const struct tr_shape_node *node = tr_cut_node(c, no);
  if (node->source >= 0) {
    const int32_t *first = c->source_first[node->source];
    bool whole = n_tasks == 1;
    struct tr_stage_piece piece = {node->source, whole ? 0 : first[task],
                                   whole ? c->sources[node->source].n_pieces : first[task + 1]};
    return add_pieces(c, w->pieces, w->first, piece);
  }
  if (w->seen[no]) return TR_OK;
  w->seen[no] = 1;
  for (const struct tr_branch *b = w->o->branches; b; b = b->next) {
    if (b->at.node != no) continue;
    int32_t k = 0;
    while (task >= b->at.tasks[k]) task -= b->at.tasks[k++];
    return edge_at(w->o, no, k) ? TR_OK : walk_tree(c, w, node->inputs[k], task, b->at.tasks[k]);
  }
  for (int k = 0; k < node->n_inputs; k++) {
    if (tr_cut_runs_input(c, no, k) && !edge_at(w->o, no, k)) TR_TRY(walk_tree(c, w, node->inputs[k], task, n_tasks));
  }
  return TR_OK;
}

static enum tr_status list_pieces(struct tr_cut *c, const struct tr_open *o, int32_t node, struct tr_stage *s) {
  struct pieces p = {0};
  uint8_t *seen = malloc((size_t)c->shape->n_nodes);
  enum tr_status st = TR_OK;
  s->first_piece = tr_cut_alloc(c, sizeof *s->first_piece * ((size_t)s->n_tasks + 1));
  if (!s->first_piece || !seen) TR_GOTO(st, no_memory(c));
  for (int32_t t = 0; t < s->n_tasks; t++) {
    s->first_piece[t] = p.n;
    if (edge_at(o, -1, 0)) continue;
    struct walk w = {o, &p, p.n, seen};
    memset(seen, 0, (size_t)c->shape->n_nodes);
    TR_GOTO(st, walk_tree(c, &w, node, t, s->n_tasks));
  }
  s->first_piece[s->n_tasks] = p.n;
  s->pieces = p.list;
done:
  free(seen);
  return st;
}

/* Where each task's rows begin, when the pieces tell. */
static enum tr_status list_offsets(struct tr_cut *c, const struct tr_open *o, struct tr_stage *s) {
  s->positions = o->positions;
  s->base = -1;
  if (!o->positions) return TR_OK;
  s->base = o->base_stage;
  if (s->base >= 0) return TR_OK;
  int32_t source = tr_cut_node(c, o->base_source)->source;
  s->offsets = tr_cut_alloc(c, sizeof *s->offsets * ((size_t)s->n_tasks + 1));
  if (!s->offsets) return no_memory(c);
  for (int32_t t = 0; t < s->n_tasks; t++) {
    s->offsets[t + 1] = s->offsets[t];
    for (int32_t i = c->source_first[source][t]; i < c->source_first[source][t + 1]; i++)
      s->offsets[t + 1] += c->sources[source].rows[i];
  }
  return TR_OK;
}

static enum tr_status copy_tree(struct tr_cut *c, const struct tr_open *o, struct tr_stage *s) {
  for (const struct tr_edge *e = o->edges; e; e = e->next) s->n_inputs++;
  for (const struct tr_branch *b = o->branches; b; b = b->next) s->n_branches++;
  s->inputs = tr_cut_alloc(c, sizeof *s->inputs * (size_t)s->n_inputs);
  s->branches = tr_cut_alloc(c, sizeof *s->branches * (size_t)s->n_branches);
  if (!s->inputs || !s->branches) return no_memory(c);
  int n = s->n_inputs;
  for (const struct tr_edge *e = o->edges; e; e = e->next) s->inputs[--n] = e->in;
  n = s->n_branches;
  for (const struct tr_branch *b = o->branches; b; b = b->next) s->branches[--n] = b->at;
  return TR_OK;
}

static enum tr_status new_stage(struct tr_cut *c, int32_t *no) {
  if (c->out->n == c->capacity) {
    int32_t capacity = c->capacity ? 2 * c->capacity : 16;
    struct tr_stage *stages = tr_cut_alloc(c, sizeof *stages * (size_t)capacity);
    if (!stages) return no_memory(c);
    if (c->out->n) memcpy(stages, c->out->stages, sizeof *stages * (size_t)c->out->n);
    c->out->stages = stages;
    c->capacity = capacity;
  }
  *no = c->out->n++;
  return TR_OK;
}

enum tr_status tr_cut_close(struct tr_cut *c, const struct tr_open *o, int32_t node, const struct tr_output *output,
                            int32_t *stage) {
  struct tr_open root = {.base_source = -1, .base_stage = -1};
  bool above = node != o->node; /* PARTIAL and TOP compute a node that the tree does not have yet */
  if (o->is_leaf) {
    root = *o;
    root.is_leaf = false;
    TR_TRY(tr_cut_attach(c, o, above ? node : -1, 0, &root));
    o = &root;
  }
  TR_TRY(new_stage(c, stage));
  struct tr_stage *s = &c->out->stages[*stage];
  *s = (struct tr_stage){.id = *stage,
                         .node = node,
                         .n_tasks = o->n_tasks,
                         .role = (uint8_t)output->role,
                         .by = (uint8_t)output->by,
                         .ordinals = output->ordinals,
                         .parts = output->parts,
                         .key_node = output->key_node,
                         .key_side = output->key_side};
  TR_TRY(copy_tree(c, o, s));
  TR_TRY(list_pieces(c, o, node, s));
  return list_offsets(c, o, s);
}

/* ---- exchanges that every kind uses */
static bool is_bare_source(const struct tr_cut *c, const struct tr_open *o) {
  return !o->is_leaf && tr_cut_node(c, o->node)->source >= 0;
}

static const struct tr_output plain = {.role = TR_STAGE_PLAIN, .by = TR_BY_NONE, .parts = 1, .key_node = -1};

/* The stage that has the rows of o, as they are. */
static enum tr_status written(struct tr_cut *c, const struct tr_open *o, int32_t *stage) {
  bool there = o->is_leaf && o->leaf.in.mode == TR_READ_SAME && o->leaf.in.holds == TR_HOLDS_ROWS;
  if (there && o->leaf.in.segment < 0) {
    *stage = o->leaf.in.stage;
    return TR_OK;
  }
  return tr_cut_close(c, o, o->node, &plain, stage);
}

enum tr_status tr_cut_gather(struct tr_cut *c, struct tr_open *o) {
  int32_t stage;
  if (o->n_tasks == 1) return TR_OK;
  if (is_bare_source(c, o)) {
    o->n_tasks = 1;
    return TR_OK;
  }
  TR_TRY(written(c, o, &stage));
  *o = tr_cut_leaf(c, o->node, stage, TR_READ_BROADCAST, TR_HOLDS_ROWS, 1);
  return TR_OK;
}

enum tr_status tr_cut_settle(struct tr_cut *c, struct tr_open *o) {
  int32_t stage;
  TR_TRY(written(c, o, &stage));
  *o = tr_cut_leaf(c, o->node, stage, TR_READ_SAME, TR_HOLDS_ROWS, c->out->stages[stage].n_tasks);
  return TR_OK;
}

enum tr_status tr_cut_range(struct tr_cut *c, struct tr_open *o, int32_t node, int32_t key_node,
                            enum tr_stage_role role, int32_t parts) {
  enum tr_stage_holds holds = role == TR_STAGE_PARTIAL ? TR_HOLDS_STATES : TR_HOLDS_ROWS;
  int32_t rows, bounds, split;
  struct tr_output sampled = {.role = role, .by = TR_BY_SAMPLE, .parts = 2, .key_node = key_node};
  TR_TRY(tr_cut_close(c, o, node, &sampled, &rows));
  struct tr_open samples = tr_cut_leaf(c, node, rows, TR_READ_BROADCAST, holds, 1);
  samples.leaf.in.segment = 1;
  struct tr_output found = {.role = TR_STAGE_BOUNDS, .by = TR_BY_NONE, .parts = parts, .key_node = key_node};
  TR_TRY(tr_cut_close(c, &samples, node, &found, &bounds));
  struct tr_open all = tr_cut_leaf(c, node, rows, TR_READ_SAME, holds, o->n_tasks), ends;
  all.leaf.in.segment = 0;
  ends = tr_cut_leaf(c, node, bounds, TR_READ_BROADCAST, TR_HOLDS_ROWS, 1);
  struct tr_open both = {.node = node, .n_tasks = o->n_tasks, .base_source = -1, .base_stage = -1};
  TR_TRY(tr_cut_attach(c, &all, -1, 0, &both));
  TR_TRY(tr_cut_attach(c, &ends, -1, 1, &both));
  struct tr_output ranged = {.role = TR_STAGE_SPLIT, .by = TR_BY_RANGE, .parts = parts, .key_node = key_node};
  TR_TRY(tr_cut_close(c, &both, node, &ranged, &split));
  *o = tr_cut_leaf(c, node, split, TR_READ_SHUFFLE, holds, parts);
  return TR_OK;
}

/* ---- how many rows there may be */
static int64_t sum_to(int64_t a, int64_t b) { return a > INT64_MAX - b ? INT64_MAX : a + b; }

static void count_rows(struct tr_cut *c, int32_t no) {
  const struct tr_shape_node *node = tr_cut_node(c, no);
  int64_t n = 0, most = 0, stop = node->opt.stop;
  if (node->source >= 0) {
    for (int i = 0; i < c->sources[node->source].n_pieces; i++) n = sum_to(n, c->sources[node->source].rows[i]);
    c->estimate[no] = c->bound[no] = n;
    return;
  }
  n = c->estimate[node->inputs[0]];
  most = c->bound[node->inputs[0]];
  if (node->kind == TR_REL_CONCAT)
    for (int k = 1; k < node->n_inputs; k++) {
      n = sum_to(n, c->estimate[node->inputs[k]]);
      most = sum_to(most, c->bound[node->inputs[k]]);
    }
  if (node->kind == TR_REL_AGGREGATE && !node->n_keys) n = most = 1;
  bool top = node->kind == TR_REL_SORT || (node->kind == TR_REL_SLICE && node->opt.start >= 0);
  if (top && stop >= 0) {
    n = n > stop ? stop : n;
    most = most > stop ? stop : most;
  }
  if (node->kind == TR_REL_JOIN) {
    int64_t other = c->estimate[node->inputs[1]];
    bool one_side = node->opt.how >= 5; /* SEMI, ANTI */
    n = one_side || n > other ? n : other;
    most = one_side ? most : INT64_MAX;
  }
  c->estimate[no] = n;
  c->bound[no] = most;
}

/* Cuts a source into stretches of pieces of about equal rows. */
static enum tr_status cut_source(struct tr_cut *c, int32_t no) {
  const struct tr_stage_source *s = &c->sources[no];
  const struct tr_shape_source *shape = &c->shape->sources[no];
  int64_t total = 0, before = 0;
  for (int i = 0; i < s->n_pieces; i++) total = sum_to(total, s->rows[i]);
  int32_t n = tr_cut_parts(c, total), k = 0;
  /* categories of a Parquet file are those of all its rows */
  if (shape->kind == TR_REL_PARQUET && shape->has_category) n = 1;
  if (n > s->n_pieces) n = s->n_pieces;
  int32_t *first = c->source_first[no] = tr_cut_alloc(c, sizeof *first * ((size_t)n + 1));
  if (!first) return no_memory(c);
  for (int32_t i = 0; i < s->n_pieces; i++) {
    if (k < n && before >= total / n * k + total % n * k / n) first[k++] = i;
    before += s->rows[i];
  }
  first[k] = s->n_pieces;
  c->source_tasks[no] = k;
  return TR_OK;
}

/* ---- nodes */
static enum tr_status over_inputs(struct tr_cut *c, int32_t no, struct tr_open *in, struct tr_open *out) {
  out->n_tasks = in->n_tasks;
  out->in_place = in->in_place;
  out->base_source = in->base_source;
  out->base_stage = in->base_stage;
  return tr_cut_attach(c, in, no, 0, out);
}

/* Makes o's tasks know where their rows stand. */
static enum tr_status position(struct tr_cut *c, struct tr_open *o) {
  if (o->n_tasks == 1) return TR_OK;
  if (!o->in_place) TR_TRY(tr_cut_settle(c, o));
  o->positions = true;
  return TR_OK;
}

static enum tr_status row_by_row(struct tr_cut *c, int32_t no, struct tr_open *in, struct tr_open *out) {
  const struct tr_shape_node *node = tr_cut_node(c, no);
  bool all = false, number = false;
  for (int i = 0; i < node->n_exprs; i++) {
    all |= c->shape->exprs[node->exprs[i]].sees_all_rows;
    number |= c->shape->exprs[node->exprs[i]].row_number;
  }
  if (all) TR_TRY(tr_cut_gather(c, in));
  if (number) TR_TRY(position(c, in));
  TR_TRY(over_inputs(c, no, in, out));
  if (node->kind == TR_REL_FILTER) out->in_place = false;
  return TR_OK;
}

static enum tr_status top(struct tr_cut *c, int32_t no, struct tr_open *in, struct tr_open *out) {
  int32_t stage;
  struct tr_output few = {.role = TR_STAGE_TOP, .by = TR_BY_NONE, .parts = 1, .key_node = -1};
  TR_TRY(tr_cut_close(c, in, no, &few, &stage));
  struct tr_open leaf = tr_cut_leaf(c, in->node, stage, TR_READ_BROADCAST, TR_HOLDS_ROWS, 1);
  out->n_tasks = 1;
  return tr_cut_attach(c, &leaf, no, 0, out);
}

static enum tr_status sort(struct tr_cut *c, int32_t no, struct tr_open *in, struct tr_open *out) {
  const struct tr_shape_node *node = tr_cut_node(c, no);
  int32_t parts = tr_cut_parts(c, c->estimate[node->inputs[0]]);
  bool all = false;
  for (int i = 0; i < node->n_exprs; i++)
    all |= c->shape->exprs[node->exprs[i]].sees_all_rows | c->shape->exprs[node->exprs[i]].row_number;
  if (in->n_tasks > 1 && !all && node->opt.stop >= 0) return top(c, no, in, out);
  if (in->n_tasks > 1 && !all && parts > 1) TR_TRY(tr_cut_range(c, in, in->node, no, TR_STAGE_PLAIN, parts));
  else TR_TRY(tr_cut_gather(c, in));
  out->n_tasks = in->n_tasks;
  return tr_cut_attach(c, in, no, 0, out);
}

static enum tr_status slice(struct tr_cut *c, int32_t no, struct tr_open *in, struct tr_open *out) {
  struct tr_rel_options o = tr_cut_node(c, no)->opt;
  bool head = o.start >= 0 && o.stop >= 0 && o.stop <= c->options.target_rows;
  bool tail = o.start < 0 && o.start >= -c->options.target_rows && o.stop == INT64_MAX;
  if (in->n_tasks > 1 && (head || tail)) return top(c, no, in, out);
  TR_TRY(position(c, in));
  TR_TRY(over_inputs(c, no, in, out));
  out->in_place = false;
  return TR_OK;
}

static enum tr_status concat(struct tr_cut *c, int32_t no, struct tr_open *ins, int n, struct tr_open *out) {
  int64_t n_tasks = 0;
  bool few = true;
  for (int k = 0; k < n; k++) {
    few &= ins[k].n_tasks == 1;
    if (ins[k].positions) TR_TRY(tr_cut_settle(c, &ins[k]));
    n_tasks += ins[k].n_tasks;
  }
  for (int k = 0; k < n; k++) TR_TRY(tr_cut_attach(c, &ins[k], no, k, out));
  out->n_tasks = 1;
  if (few && c->estimate[no] <= c->options.target_rows) return TR_OK;
  struct tr_branch *b = tr_cut_alloc(c, sizeof *b);
  if (!b) return no_memory(c);
  *b = (struct tr_branch){{.node = no, .n = n, .tasks = tr_cut_alloc(c, sizeof(int32_t) * (size_t)n)}, out->branches};
  if (!b->at.tasks) return no_memory(c);
  for (int k = 0; k < n; k++) b->at.tasks[k] = ins[k].n_tasks;
  out->branches = b;
  out->n_tasks = (int32_t)n_tasks;
  return n_tasks > INT16_MAX ? tr_fail(c->err, TR_EXC_VALUE, "plan: more than %d tasks in a stage", INT16_MAX) : TR_OK;
}

/* Side by side: inputs that are in place over one base go on together; others are read by the rows of the first. */
static enum tr_status zip(struct tr_cut *c, int32_t no, struct tr_open *ins, int n, struct tr_open *out) {
  bool few = true;
  int first = -1;
  for (int k = n - 1; k >= 0; k--) {
    if (!tr_cut_runs_input(c, no, k)) continue;
    few &= ins[k].n_tasks == 1;
    first = k;
  }
  struct tr_open *base = &ins[first];
  if (!few && !base->in_place) TR_TRY(tr_cut_settle(c, base));
  out->n_tasks = base->n_tasks;
  for (int k = first; k < n; k++) {
    struct tr_open *in = &ins[k];
    if (!tr_cut_runs_input(c, no, k)) continue;
    bool along = in->in_place && in->base_source == base->base_source && in->base_stage == base->base_stage;
    if (!few && !(along && in->n_tasks == base->n_tasks)) {
      int32_t stage;
      TR_TRY(written(c, in, &stage));
      *in = tr_cut_leaf(c, in->node, stage, TR_READ_ROWS, TR_HOLDS_ROWS, out->n_tasks);
      out->positions = out->n_tasks > 1;
      if (out->n_tasks == 1) in->leaf.in.mode = TR_READ_BROADCAST;
    }
    TR_TRY(tr_cut_attach(c, in, no, k, out));
  }
  out->in_place = !few;
  out->base_source = base->base_source;
  out->base_stage = base->base_stage;
  return TR_OK;
}

static enum tr_status cut_kind(struct tr_cut *c, int32_t no, struct tr_open *ins, struct tr_open *out) {
  const struct tr_shape_node *node = tr_cut_node(c, no);
  switch (node->kind) {
  case TR_REL_FILTER:
  case TR_REL_PROJECT: return row_by_row(c, no, ins, out);
  case TR_REL_AGGREGATE: return tr_cut_aggregate(c, no, ins, out);
  case TR_REL_WINDOW:
  case TR_REL_GROUP_HEAD:
  case TR_REL_DISTINCT: return tr_cut_by_key(c, no, ins, out);
  case TR_REL_JOIN: return tr_cut_join(c, no, &ins[0], &ins[1], out);
  case TR_REL_SORT: return sort(c, no, ins, out);
  case TR_REL_SLICE: return slice(c, no, ins, out);
  case TR_REL_CONCAT: return concat(c, no, ins, node->n_inputs, out);
  case TR_REL_ZIP: return zip(c, no, ins, node->n_inputs, out);
  default:
    return tr_fail(c->err, TR_EXC_RUNTIME, "plan: no stages for %s", tr_rel_kind_name((enum tr_rel_kind)node->kind));
  }
}

/* A node that several read is computed once: in a stage of its own, unless all of it is one task's work anyway. */
static enum tr_status share(struct tr_cut *c, int32_t no, struct tr_open *out) {
  if (out->n_tasks > 1 && !out->is_leaf) TR_TRY(tr_cut_settle(c, out));
  c->done[no] = tr_cut_alloc(c, sizeof *out);
  if (!c->done[no]) return no_memory(c);
  *c->done[no] = *out;
  return TR_OK;
}

enum tr_status tr_cut_node_open(struct tr_cut *c, int32_t no, struct tr_open *out) {
  const struct tr_shape_node *node = tr_cut_node(c, no);
  if (c->done[no]) {
    *out = *c->done[no];
    return TR_OK;
  }
  *out = (struct tr_open){.node = no, .base_source = -1, .base_stage = -1};
  if (node->source >= 0) {
    out->n_tasks = c->source_tasks[node->source];
    out->in_place = true;
    out->base_source = no;
    return TR_OK;
  }
  struct tr_open *ins = tr_cut_alloc(c, sizeof *ins * (size_t)node->n_inputs);
  if (!ins) return no_memory(c);
  for (int k = 0; k < node->n_inputs; k++)
    if (tr_cut_runs_input(c, no, k)) TR_TRY(tr_cut_node_open(c, node->inputs[k], &ins[k]));
  TR_TRY(cut_kind(c, no, ins, out));
  return node->consumers > 1 ? share(c, no, out) : TR_OK;
}

static enum tr_status cut_all(struct tr_cut *c) {
  const struct tr_shape *s = c->shape;
  struct tr_open root;
  int32_t stage;
  struct tr_output result = {.role = TR_STAGE_PLAIN, .by = TR_BY_RESULT, .parts = 1, .key_node = -1};
  c->source_tasks = tr_cut_alloc(c, sizeof *c->source_tasks * (size_t)s->n_sources);
  c->source_first = tr_cut_alloc(c, sizeof *c->source_first * (size_t)s->n_sources);
  c->estimate = tr_cut_alloc(c, sizeof *c->estimate * (size_t)s->n_nodes);
  c->bound = tr_cut_alloc(c, sizeof *c->bound * (size_t)s->n_nodes);
  c->done = tr_cut_alloc(c, sizeof *c->done * (size_t)s->n_nodes);
  if (!c->source_tasks || !c->source_first || !c->estimate || !c->bound || !c->done) return no_memory(c);
  for (int32_t i = 0; i < s->n_sources; i++) TR_TRY(cut_source(c, i));
  for (int32_t i = 0; i < s->n_nodes; i++) count_rows(c, i);
  TR_TRY(tr_cut_needs(c));
  TR_TRY(tr_cut_node_open(c, s->n_nodes - 1, &root));
  return tr_cut_close(c, &root, root.node, &result, &stage);
}

enum tr_status tr_stages_cut(const struct tr_shape *shape, const struct tr_stage_source *sources, int n_sources,
                             const struct tr_stage_options *options, struct tr_stages *out, struct tr_error *err) {
  struct tr_error own;
  struct tr_cut c = {.shape = shape, .sources = sources, .out = out, .err = err ? err : &own};
  if (options) c.options = *options;
  if (c.options.target_rows <= 0) c.options.target_rows = TR_STAGE_TARGET_ROWS;
  if (c.options.broadcast_rows == 0) c.options.broadcast_rows = TR_STAGE_BROADCAST_ROWS;
  if (c.options.max_partitions <= 0) c.options.max_partitions = TR_STAGE_MAX_PARTITIONS;
  *out = (struct tr_stages){0};
  if (n_sources != shape->n_sources)
    return tr_fail(err, TR_EXC_VALUE, "plan: %d sources, %d given", shape->n_sources, n_sources);
  for (int i = 0; i < n_sources; i++)
    for (int k = 0; k < sources[i].n_pieces || k < 1; k++)
      if (k >= sources[i].n_pieces || sources[i].rows[k] < 0)
        return tr_fail(err, TR_EXC_VALUE, "plan: source %d: rows of its pieces are not known", i);
  tr_arena_init(&out->arena);
  enum tr_status st = cut_all(&c);
  if (st != TR_OK) tr_stages_drop(out);
  return st;
}

void tr_stages_drop(struct tr_stages *stages) {
  tr_arena_free(&stages->arena);
  *stages = (struct tr_stages){0};
}
