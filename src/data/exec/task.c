/* Running one task: see task.h. */
#include "data/exec/task.h"
#include "base/mem.h"
#include "data/exec/exec_int.h"
#include "data/exec/task_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- the plan */
static enum tr_status find_needs(struct tr_task_plan *p, struct tr_error *err) {
  p->need = calloc((size_t)p->n_nodes, sizeof *p->need);
  p->runs = calloc((size_t)p->n_nodes, sizeof *p->runs);
  if (!p->need || !p->runs) return tr_fail_memory(err, sizeof *p->need * (size_t)p->n_nodes);
  for (int i = 0; i < p->n_nodes; i++) {
    p->need[i] = calloc((size_t)p->nodes[i]->n_cols + 1, sizeof **p->need);
    if (!p->need[i]) return tr_fail_memory(err, (size_t)p->nodes[i]->n_cols);
  }
  for (int c = 0; c < p->nodes[p->n_nodes - 1]->n_cols; c++) p->need[p->n_nodes - 1][c] = true;
  p->runs[p->n_nodes - 1] = true;
  for (int i = p->n_nodes - 1; i >= 0; i--) {
    const struct tr_rel *r = p->nodes[i];
    bool **need = calloc((size_t)r->n_inputs + 1, sizeof *need);
    if (!need) return tr_fail_memory(err, sizeof *need * r->n_inputs);
    for (int k = 0; k < r->n_inputs; k++)
      for (int j = 0; j < i; j++)
        if (p->nodes[j] == r->inputs[k]) need[k] = p->need[j];
    if (p->runs[i]) tr_opt_input_needs(r, p->need[i], need);
    for (int k = 0; k < r->n_inputs; k++)
      for (int j = 0; j < i; j++)
        if (p->nodes[j] == r->inputs[k]) p->runs[j] |= p->runs[i] && tr_opt_runs_input(r, p->need[i], k);
    free(need);
  }
  return TR_OK;
}

static enum tr_status find_sources(struct tr_task_plan *p, struct tr_rel *const *sources, struct tr_error *err) {
  p->source_node = calloc((size_t)p->n_sources + 1, sizeof *p->source_node);
  if (!p->source_node) return tr_fail_memory(err, sizeof *p->source_node * (size_t)p->n_sources);
  for (int s = 0; s < p->n_sources; s++)
    for (int i = 0; i < p->n_nodes; i++)
      if (p->nodes[i] == sources[s]) p->source_node[s] = i;
  return TR_OK;
}

enum tr_status tr_task_plan_open(const char *sealed, size_t len, const struct tr_seal_hooks *hooks,
                                 struct tr_task_plan **out, struct tr_error *err) {
  struct tr_task_plan *p = calloc(1, sizeof *p);
  struct tr_rel **sources = NULL;
  char *text = NULL;
  enum tr_status st;
  *out = NULL;
  if (!p) return tr_fail_memory(err, sizeof *p);
  TR_GOTO(st, tr_plan_unseal(sealed, len, hooks, &text, err));
  TR_GOTO(st, tr_plan_described_sources(text, strlen(text), &sources, &p->n_sources, err));
  TR_GOTO(st,
          tr_plan_decode_nodes(text, (int64_t)strlen(text), NULL, sources, p->n_sources, &p->nodes, &p->n_nodes, err));
  TR_GOTO(st, find_sources(p, sources, err));
  TR_GOTO(st, find_needs(p, err));
  *out = p;
  p = NULL;
done:
  free(text);
  if (sources) tr_plan_sources_free(sources, (*out ? *out : p)->n_sources);
  tr_task_plan_free(p);
  return st;
}

void tr_task_plan_free(struct tr_task_plan *p) {
  if (!p) return;
  for (int i = 0; p->need && i < p->n_nodes; i++) free(p->need[i]);
  free(p->need);
  free(p->runs);
  free(p->source_node);
  if (p->nodes) tr_plan_sources_free(p->nodes, p->n_nodes);
  free(p);
}

/* ---- the task */
struct run {
  const struct tr_task_env *env;
  const struct tr_task_plan *plan;
  const char *query;
  int32_t task, attempt;
  struct tr_arena arena;
  struct tr_stage stage;
  struct tr_stage_position at;
  const json_t *pieces;
};

static enum tr_status number(const json_t *o, const char *key, int64_t low, int64_t *out, struct tr_error *err) {
  const json_t *v = json_object_get(o, key);
  if (!json_is_integer(v) || json_integer_value(v) < low)
    return tr_fail(err, TR_EXC_VALUE, "task: %s must be an integer from %lld on", key, (long long)low);
  *out = json_integer_value(v);
  return TR_OK;
}

static bool is_plain_name(const char *s) {
  size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
  return n > 0 && n <= 100 && !s[n];
}

static enum tr_status parse_task(const json_t *o, struct run *r, struct tr_error *err) {
  int64_t task, attempt, stage;
  r->query = json_string_value(json_object_get(o, "query"));
  if (!r->query || !is_plain_name(r->query)) return tr_fail(err, TR_EXC_VALUE, "task: query is no name");
  TR_TRY(number(o, "stage", 0, &stage, err));
  TR_TRY(number(o, "task", 0, &task, err));
  TR_TRY(number(o, "attempt", 0, &attempt, err));
  TR_TRY(tr_stage_decode(json_object_get(o, "fragment"), r->plan->n_nodes, &r->arena, &r->stage, err));
  if (stage != r->stage.id || task >= r->stage.n_tasks || attempt > INT32_MAX)
    return tr_fail(err, TR_EXC_VALUE, "task: stage, task or attempt is not of the fragment");
  r->task = (int32_t)task;
  r->attempt = (int32_t)attempt;
  r->pieces = json_object_get(o, "pieces");
  if (!r->stage.positions) return TR_OK;
  TR_TRY(number(o, "row_offset", 0, &r->at.offset, err));
  TR_TRY(number(o, "rows", 0, &r->at.rows, err));
  TR_TRY(number(o, "total_rows", 0, &r->at.total, err));
  bool ok = r->at.offset <= r->at.total && r->at.rows <= r->at.total - r->at.offset && r->at.total <= INT64_MAX / 4;
  return ok ? TR_OK : tr_fail(err, TR_EXC_VALUE, "task: rows beyond all rows");
}

/* ---- reading */
/* Rows [at.offset, at.offset + at.rows) of all that a stage wrote. */
static enum tr_status read_positions(const struct run *r, const struct tr_stage_input *in, struct tr_frame **out,
                                     struct tr_error *err) {
  struct tr_frames list = {0};
  struct tr_frame *all = NULL;
  int64_t row = 0, first = -1, end = r->at.offset + r->at.rows;
  enum tr_status st = TR_OK;
  for (int32_t t = 0; st == TR_OK && t < in->tasks; t++) {
    struct tr_commit c;
    int64_t rows = 0;
    TR_GOTO(st, tr_commit_read(&r->env->bucket, r->query, in->stage, t, &c, err));
    for (int i = 0; i < c.n_segments; i++) rows += c.segments[i].rows;
    bool last_chance = t == in->tasks - 1 && !list.n;
    if ((row + rows > r->at.offset && row < end) || last_chance) {
      if (first < 0) first = row;
      st = tr_commit_frames(r->env, &c, -1, &list, err);
    }
    row += rows;
    tr_commit_drop(&c);
  }
  if (st != TR_OK) goto done;
  if (row != r->at.total)
    TR_GOTO(st, tr_fail(err, TR_EXC_RUNTIME, "plan node ZIP: inputs of %lld and %lld rows", (long long)r->at.total,
                        (long long)row));
  TR_GOTO(st, tr_exchange_join(r->env->ctx, list.frames, list.n, &all, err));
  int64_t begin = r->at.rows ? r->at.offset - first : 0;
  if (!all || begin < 0 || begin + r->at.rows > all->n_rows)
    TR_GOTO(st, tr_fail(err, TR_EXC_VALUE, "stage %d wrote other rows than it says", in->stage));
  st = tr_exchange_slice(all, begin, r->at.rows, out, err);
done:
  tr_frame_unref(all);
  tr_frames_drop(&list);
  return st;
}

/* What an input has for this task, as it was written; *out NULL when that is nothing at all. */
static enum tr_status read_raw(const struct run *r, const struct tr_stage_input *in, int32_t part,
                               struct tr_frame **out, struct tr_error *err) {
  struct tr_frames list = {0};
  bool same = in->mode == TR_READ_SAME;
  *out = NULL;
  if (in->stage < 0) {
    const struct tr_task_sources *s = &r->env->sources;
    for (int32_t i = 0; i < r->plan->n_sources; i++)
      if (r->plan->source_node[i] == in->node)
        return s->read(s->arg, r->env->ctx, i, 0, -1, r->plan->need[in->node], out, err);
    return tr_fail(err, TR_EXC_VALUE, "fragment: node %d is no source", in->node);
  }
  if (in->mode == TR_READ_ROWS) return read_positions(r, in, out, err);
  if (same && part >= in->tasks) return tr_fail(err, TR_EXC_VALUE, "fragment: a task beyond its input");
  int32_t segment = in->mode == TR_READ_SHUFFLE ? part : in->segment;
  enum tr_status st =
      tr_commits_frames(r->env, r->query, in->stage, same ? part : 0, same ? part + 1 : in->tasks, segment, &list, err);
  if (st == TR_OK) st = tr_exchange_join(r->env->ctx, list.frames, list.n, out, err);
  tr_frames_drop(&list);
  return st;
}

static enum tr_status read_input(void *arg, const struct tr_stage_input *in, int32_t part, struct tr_frame **out,
                                 struct tr_error *err) {
  const struct run *r = arg;
  struct tr_frame *raw;
  *out = NULL;
  TR_TRY(read_raw(r, in, part, &raw, err));
  if (in->holds == TR_HOLDS_STATES) {
    enum tr_status st =
        tr_states_finish(r->env->ctx, r->plan->nodes[in->node], r->plan->need[in->node], raw, false, out, err);
    tr_frame_unref(raw);
    return st;
  }
  if (!raw) return tr_fail(err, TR_EXC_VALUE, "stage %d wrote nothing for task %d", in->stage, r->task);
  if (in->holds == TR_HOLDS_ROWS) {
    *out = raw;
    return TR_OK;
  }
  enum tr_status st = tr_exchange_restore(r->env->ctx, raw, out, err);
  tr_frame_unref(raw);
  return st;
}

static enum tr_status read_source(void *arg, int32_t node, struct tr_frame **out, struct tr_error *err) {
  const struct run *r = arg;
  const struct tr_task_sources *s = &r->env->sources;
  *out = NULL;
  for (size_t i = 0; i < json_array_size(r->pieces); i++) {
    const json_t *o = json_array_get(r->pieces, i);
    int64_t source, from, to;
    TR_TRY(number(o, "source", 0, &source, err));
    TR_TRY(number(o, "from", 0, &from, err));
    TR_TRY(number(o, "to", from, &to, err));
    if (source >= r->plan->n_sources || to > INT32_MAX) return tr_fail(err, TR_EXC_VALUE, "task: no such piece");
    if (r->plan->source_node[source] != node) continue;
    return s->read(s->arg, r->env->ctx, (int32_t)source, (int32_t)from, (int32_t)to, r->plan->need[node], out, err);
  }
  return tr_fail(err, TR_EXC_VALUE, "task: no pieces of the source at node %d", node);
}

/* ---- computing */
static const struct tr_stage_input *find_input(const struct tr_stage *s, int32_t of, int32_t input) {
  for (int i = 0; i < s->n_inputs; i++)
    if (s->inputs[i].of == of && s->inputs[i].input == input) return &s->inputs[i];
  return NULL;
}

static struct tr_fragment fragment_of(struct run *r) {
  return (struct tr_fragment){.plan = r->plan,
                              .stage = &r->stage,
                              .task = r->task,
                              .at = r->at,
                              .read_input = read_input,
                              .read_source = read_source,
                              .arg = r};
}

static enum tr_status run_keyed(struct run *r, struct tr_frame **out, struct tr_error *err) {
  struct tr_rel *node = r->plan->nodes[r->stage.node];
  const bool *need = r->plan->need[r->stage.node];
  struct tr_frame *in[2] = {NULL, NULL};
  bool has_ordinal[2] = {false, false};
  bool states = false;
  enum tr_status st = TR_OK;
  if (node->n_inputs > 2) return tr_fail(err, TR_EXC_VALUE, "fragment: too many inputs");
  for (int k = 0; k < node->n_inputs; k++) {
    const struct tr_stage_input *input = find_input(&r->stage, r->stage.node, k);
    if (!input) TR_GOTO(st, tr_fail(err, TR_EXC_VALUE, "fragment: input %d is missing", k));
    TR_GOTO(st, read_raw(r, input, r->task, &in[k], err));
    if (!in[k]) TR_GOTO(st, tr_fail(err, TR_EXC_VALUE, "stage %d wrote nothing", input->stage));
    bool is_states = input->holds == TR_HOLDS_STATES;
    const struct tr_rel *holds = r->plan->nodes[input->node];
    if (holds != (is_states ? node : node->inputs[k]))
      TR_GOTO(st, tr_fail(err, TR_EXC_VALUE, "fragment: an edge to another node"));
    if (!is_states) TR_GOTO(st, tr_fragment_check(holds, holds->n_cols, in[k], r->plan->need[input->node], err));
    has_ordinal[k] = input->holds == TR_HOLDS_ORDINALS;
    states |= input->holds == TR_HOLDS_STATES;
  }
  st = states ? tr_states_finish(r->env->ctx, node, need, in[0], true, out, err)
              : tr_fragment_run_keyed(r->env->ctx, node, need, in, has_ordinal, out, err);
done:
  tr_frame_unref(in[0]);
  tr_frame_unref(in[1]);
  return st;
}

static enum tr_status run_plain(struct run *r, struct tr_frame **out, struct tr_error *err) {
  struct tr_fragment f = fragment_of(r);
  struct tr_frame *rows = NULL;
  struct tr_array *ordinals = NULL;
  TR_TRY(tr_fragment_run(r->env->ctx, &f, &rows, err));
  if (!r->stage.ordinals) {
    *out = rows;
    return TR_OK;
  }
  enum tr_status st = tr_exchange_ordinals(r->task, NULL, rows->n_rows, &ordinals, err);
  if (st == TR_OK) st = tr_exchange_append(rows, ordinals, out, err);
  tr_array_unref(ordinals);
  tr_frame_unref(rows);
  return st;
}

static enum tr_status run_partial(struct run *r, struct tr_frame **out, struct tr_error *err) {
  struct tr_fragment f = fragment_of(r);
  struct tr_frame *rows = NULL;
  int32_t no = r->stage.node;
  if (r->plan->nodes[no]->kind != TR_REL_AGGREGATE)
    return tr_fail(err, TR_EXC_VALUE, "fragment: states of no aggregate");
  TR_TRY(tr_fragment_run_below(r->env->ctx, &f, &rows, err));
  enum tr_status st =
      tr_states_make(r->env->ctx, r->plan->nodes[no], r->plan->need[no], rows, r->stage.ordinals, r->task, out, err);
  tr_frame_unref(rows);
  return st;
}

/* ---- keys of what goes out */
static enum tr_status find_keys(const struct run *r, struct tr_frame *f, bool states, struct tr_exchange_keys *keys,
                                struct tr_error *err) {
  const struct tr_rel *node = r->plan->nodes[r->stage.key_node];
  bool join = node->kind == TR_REL_JOIN, all = node->kind == TR_REL_SORT || node->kind == TR_REL_DISTINCT;
  int n = all ? node->n_exprs : node->n_keys, first = join && r->stage.key_side ? node->n_keys : 0;
  *keys = (struct tr_exchange_keys){.n = n};
  int32_t from = states ? r->stage.key_node : -1; /* the node whose rows or states go out */
  if (!states && node->n_inputs > r->stage.key_side)
    for (int32_t i = 0; i < r->stage.key_node; i++)
      if (r->plan->nodes[i] == node->inputs[r->stage.key_side]) from = i;
  if (f && from != r->stage.node) return tr_fail(err, TR_EXC_VALUE, "fragment: keys of another node");
  if (f && !states)
    TR_TRY(tr_fragment_check(r->plan->nodes[from], r->plan->nodes[from]->n_cols, f, r->plan->need[from], err));
  if (node->kind == TR_REL_SORT) {
    keys->descending = node->descending;
    keys->na_first = node->opt.na_first;
  }
  if (!f) return TR_OK;
  keys->arrays = calloc((size_t)n + 1, sizeof *keys->arrays);
  if (!keys->arrays) return tr_fail_memory(err, sizeof *keys->arrays * (size_t)n);
  if (!states) return tr_node_eval(r->env->ctx, node->exprs + first, n, f, keys->arrays, err);
  for (int k = 0; k < n; k++) {
    if (k >= f->n_cols || !f->cols[k]) return tr_fail(err, TR_EXC_VALUE, "states without keys");
    keys->arrays[k] = tr_array_ref(f->cols[k]);
  }
  return TR_OK;
}

static void drop_keys(struct tr_exchange_keys *keys) {
  if (keys->arrays) tr_arrays_drop(keys->arrays, keys->n);
  free(keys->arrays);
}

static enum tr_status run_bounds(struct run *r, struct tr_frame **out, struct tr_error *err) {
  const struct tr_stage_input *in = find_input(&r->stage, -1, 0);
  struct tr_exchange_keys order;
  struct tr_frame *samples = NULL;
  if (!in) return tr_fail(err, TR_EXC_VALUE, "fragment: input 0 is missing");
  TR_TRY(find_keys(r, NULL, false, &order, err));
  TR_TRY(read_raw(r, in, r->task, &samples, err));
  for (int i = 0; samples && i < order.n; i++)
    if (samples->n_cols != order.n || !samples->cols[i]) {
      tr_frame_unref(samples);
      return tr_fail(err, TR_EXC_VALUE, "samples of other keys");
    }
  enum tr_status st = tr_exchange_bounds(r->env->ctx, &order, samples, r->stage.parts, out, err);
  tr_frame_unref(samples);
  return st;
}

/* ---- writing */
static enum tr_status write_single(struct run *r, struct tr_block_writer *w, const struct tr_frame *f,
                                   struct tr_error *err) {
  TR_TRY(tr_block_segment(w, err));
  return f ? tr_block_add(r->env->ctx, w, f, err) : TR_OK;
}

static enum tr_status write_sampled(struct run *r, struct tr_block_writer *w, struct tr_frame *f, bool states,
                                    struct tr_error *err) {
  struct tr_exchange_keys keys = {0};
  struct tr_frame *sample = NULL;
  enum tr_status st;
  TR_GOTO(st, write_single(r, w, f, err));
  if (f) TR_GOTO(st, find_keys(r, f, states, &keys, err));
  if (f) TR_GOTO(st, tr_exchange_sample(r->env->ctx, &keys, f->n_rows, &sample, err));
  st = write_single(r, w, sample, err);
done:
  tr_frame_unref(sample);
  drop_keys(&keys);
  return st;
}

static enum tr_status find_origins(const struct tr_frame *f, int32_t n_parts, uint32_t *parts, struct tr_error *err) {
  const struct tr_array *ordinal = f->n_cols ? f->cols[f->n_cols - 1] : NULL;
  if (!ordinal || ordinal->dtype.kind != TR_I64) return tr_fail(err, TR_EXC_VALUE, "rows without ordinals");
  const int64_t *v = tr_array_data(ordinal);
  for (int64_t i = 0; i < f->n_rows; i++) {
    int64_t p = v[i] >> TR_ORDINAL_ROW_BITS;
    if (p < 0 || p >= n_parts) return tr_fail(err, TR_EXC_VALUE, "a row of task %lld of %d", (long long)p, n_parts);
    parts[i] = (uint32_t)p;
  }
  return TR_OK;
}

static enum tr_status write_parts(struct run *r, struct tr_block_writer *w, struct tr_frame *f, bool states,
                                  const struct tr_frame *bounds, struct tr_error *err) {
  struct tr_exchange_keys keys = {0};
  int32_t n = r->stage.parts;
  enum tr_status st = TR_OK;
  uint32_t *parts = malloc(sizeof *parts * (size_t)(f->n_rows + 1));
  if (!parts) return tr_fail_memory(err, sizeof *parts * (size_t)f->n_rows);
  if (r->stage.by == TR_BY_ORIGIN) {
    TR_GOTO(st, find_origins(f, n, parts, err));
  } else {
    TR_GOTO(st, find_keys(r, f, states, &keys, err));
    TR_GOTO(st, r->stage.by == TR_BY_HASH ? tr_exchange_hash(r->env->ctx, &keys, f->n_rows, n, parts, err)
                                          : tr_exchange_range(r->env->ctx, &keys, f->n_rows, bounds, parts, err));
  }
  st = tr_exchange_write(r->env->ctx, w, f, parts, n, err);
done:
  drop_keys(&keys);
  free(parts);
  return st;
}

static enum tr_status run_split(struct run *r, struct tr_block_writer *w, struct tr_error *err) {
  const struct tr_stage_input *rows = find_input(&r->stage, -1, 0), *ends = find_input(&r->stage, -1, 1);
  struct tr_frame *f = NULL, *bounds = NULL;
  enum tr_status st;
  if (!rows || !ends) return tr_fail(err, TR_EXC_VALUE, "fragment: rows or bounds are missing");
  TR_GOTO(st, read_raw(r, rows, r->task, &f, err));
  TR_GOTO(st, read_raw(r, ends, r->task, &bounds, err));
  if (!f) TR_GOTO(st, tr_fail(err, TR_EXC_VALUE, "stage %d wrote nothing", rows->stage));
  st = write_parts(r, w, f, rows->holds == TR_HOLDS_STATES, bounds, err);
done:
  tr_frame_unref(f);
  tr_frame_unref(bounds);
  return st;
}

static enum tr_status compute(struct run *r, struct tr_block_writer *w, struct tr_error *err) {
  struct tr_frame *f = NULL;
  enum tr_status st;
  if (r->stage.role == TR_STAGE_SPLIT) return run_split(r, w, err);
  switch (r->stage.role) {
  case TR_STAGE_PARTIAL: st = run_partial(r, &f, err); break;
  case TR_STAGE_KEYED: st = run_keyed(r, &f, err); break;
  case TR_STAGE_BOUNDS: st = run_bounds(r, &f, err); break;
  default: st = run_plain(r, &f, err);
  }
  bool states = r->stage.role == TR_STAGE_PARTIAL;
  if (st == TR_OK) switch (r->stage.by) {
    case TR_BY_NONE:
    case TR_BY_RESULT: st = write_single(r, w, f, err); break;
    case TR_BY_SAMPLE: st = write_sampled(r, w, f, states, err); break;
    default: st = f ? write_parts(r, w, f, states, NULL, err) : tr_fail(err, TR_EXC_RUNTIME, "no rows to exchange");
    }
  tr_frame_unref(f);
  return st;
}

/* ---- the end */
static void object_key(const struct run *r, char *out, size_t size) {
  if (r->stage.by == TR_BY_RESULT) {
    snprintf(out, size, "results/%s/%d-%d", r->query, r->task, r->attempt);
    return;
  }
  char name[200];
  snprintf(name, sizeof name, "%s-%d-%d-%d", r->query, r->stage.id, r->task, r->attempt);
  uint32_t h = 2166136261u; /* spreads keys over prefixes */
  for (const char *p = name; *p; p++) h = (h ^ (uint8_t)*p) * 16777619u;
  snprintf(out, size, "shuffle/%02x/%s", (h ^ h >> 16) & 0xff, name);
}

static enum tr_status finish(struct run *r, struct tr_block_writer *w, struct tr_commit *c, bool *won,
                             struct tr_error *err) {
  *c = (struct tr_commit){.attempt = r->attempt, .n_segments = w->n_segments, .segments = w->segments};
  TR_TRY(tr_block_finish(w, err));
  TR_TRY(tr_ctx_check(r->env->ctx));
  object_key(r, c->key, sizeof c->key);
  TR_TRY(r->env->bucket.put(r->env->bucket.arg, c->key, w->bytes, w->size, false, c->etag, err));
  return tr_commit_put(&r->env->bucket, r->query, r->stage.id, r->task, c, won, err);
}

static enum tr_status make_report(const struct tr_block_writer *w, bool won, double seconds, char **out,
                                  struct tr_error *err) {
  json_t *o = json_pack("{s:I,s:[],s:[],s:f,s:b}", "rows", (json_int_t)0, "segment_bytes", "segment_rows", "seconds",
                        seconds, "won", won);
  json_t *bytes = json_object_get(o, "segment_bytes"), *rows = json_object_get(o, "segment_rows");
  int64_t total = 0;
  for (int i = 0; o && i < w->n_segments; i++) {
    total += w->segments[i].rows;
    json_array_append_new(bytes, json_integer(w->segments[i].bytes));
    json_array_append_new(rows, json_integer(w->segments[i].rows));
  }
  if (o) json_object_set_new(o, "rows", json_integer(total));
  *out = o ? json_dumps(o, JSON_COMPACT) : NULL;
  json_decref(o);
  return *out ? TR_OK : tr_fail_memory(err, 1000);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum tr_status tr_task_run(const struct tr_task_env *env, const struct tr_task_plan *plan, const json_t *task,
                           char **report, struct tr_error *err) {
  struct run r = {.env = env, .plan = plan};
  struct tr_block_writer w = {0};
  struct tr_commit c;
  double begin = now();
  bool won = false;
  enum tr_status st;
  *report = NULL;
  tr_arena_init(&r.arena);
  TR_GOTO(st, parse_task(task, &r, err));
  TR_GOTO(st, tr_block_begin(&w, env->compress, err));
  TR_GOTO(st, compute(&r, &w, err));
  TR_GOTO(st, finish(&r, &w, &c, &won, err));
  st = make_report(&w, won, now() - begin, report, err);
done:
  tr_block_drop(&w);
  tr_arena_free(&r.arena);
  return st;
}
