/* Stages as JSON and back: the fragments that workers get. See stages.h. */
#include "meta/opt/stages.h"
#include <stdlib.h>
#include <string.h>

static const char *const roles[TR_N_STAGE_ROLES] = {"plain", "partial", "keyed", "top", "bounds", "split"};
static const char *const modes[TR_N_STAGE_MODES] = {"same", "shuffle", "broadcast", "rows"};
static const char *const holds[TR_N_STAGE_HOLDS] = {"rows", "ordinals", "states"};
static const char *const bys[TR_N_STAGE_BYS] = {"none", "hash", "range", "origin", "sample", "result"};

/* Takes the value; false when memory is short. */
static bool put(json_t *o, const char *key, json_t *v) { return json_object_set_new(o, key, v) == 0; }

static json_t *input_json(const struct tr_stage_input *in) {
  json_t *o = json_object();
  bool ok = o && put(o, "of", json_integer(in->of)) && put(o, "input", json_integer(in->input)) &&
            put(o, "node", json_integer(in->node)) && put(o, "stage", json_integer(in->stage)) &&
            put(o, "tasks", json_integer(in->tasks)) && put(o, "mode", json_string(modes[in->mode])) &&
            put(o, "holds", json_string(holds[in->holds]));
  if (ok && in->segment >= 0) ok = put(o, "segment", json_integer(in->segment));
  if (ok) return o;
  json_decref(o);
  return NULL;
}

static json_t *branches_json(const struct tr_stage_branches *b) {
  json_t *o = json_object(), *list = json_array();
  bool ok = o && list && put(o, "node", json_integer(b->node));
  for (int i = 0; ok && i < b->n; i++) ok = json_array_append_new(list, json_integer(b->tasks[i])) == 0;
  if (ok) ok = json_object_set(o, "tasks", list) == 0;
  json_decref(list);
  if (ok) return o;
  json_decref(o);
  return NULL;
}

static json_t *output_json(const struct tr_stage *s) {
  json_t *o = json_object();
  bool ok = o && put(o, "by", json_string(bys[s->by])) && put(o, "parts", json_integer(s->parts));
  if (ok && s->key_node >= 0) ok = put(o, "node", json_integer(s->key_node));
  if (ok && s->key_side) ok = put(o, "side", json_integer(s->key_side));
  if (ok && s->ordinals) ok = put(o, "ordinals", json_true());
  if (ok) return o;
  json_decref(o);
  return NULL;
}

enum tr_status tr_stage_encode(const struct tr_stage *s, char **json, struct tr_error *err) {
  json_t *o = json_object(), *inputs = json_array(), *branches = json_array();
  bool ok = o && inputs && branches && put(o, "stage", json_integer(s->id)) &&
            put(o, "role", json_string(roles[s->role])) && put(o, "node", json_integer(s->node)) &&
            put(o, "tasks", json_integer(s->n_tasks));
  for (int i = 0; ok && i < s->n_inputs; i++) ok = json_array_append_new(inputs, input_json(&s->inputs[i])) == 0;
  for (int i = 0; ok && i < s->n_branches; i++)
    ok = json_array_append_new(branches, branches_json(&s->branches[i])) == 0;
  if (ok && s->n_inputs) ok = json_object_set(o, "inputs", inputs) == 0;
  if (ok && s->n_branches) ok = json_object_set(o, "branches", branches) == 0;
  if (ok && s->positions) ok = put(o, "positions", json_true());
  if (ok) ok = put(o, "output", output_json(s));
  *json = ok ? json_dumps(o, JSON_COMPACT) : NULL;
  json_decref(inputs);
  json_decref(branches);
  json_decref(o);
  return *json ? TR_OK : tr_fail_memory(err, 1000);
}

/* ---- reading */
enum { MOST_TASKS = 1 << 20, MOST_STAGES = 1 << 20, MOST_INPUTS = 1 << 16 };

static enum tr_status fault(struct tr_error *err, const char *what) {
  return tr_fail(err, TR_EXC_VALUE, "fragment: %s", what);
}

static enum tr_status fields(const json_t *o, const char *const *known, struct tr_error *err) {
  const char *key;
  json_t *value;
  if (!json_is_object(o)) return fault(err, "an object is missing");
  json_object_foreach((json_t *)(uintptr_t)o, key, value) {
    bool found = false;
    for (int i = 0; known[i] && !found; i++) found = strcmp(known[i], key) == 0;
    if (!found) return tr_fail(err, TR_EXC_VALUE, "fragment: unknown field %.60s", key);
  }
  return TR_OK;
}

/* A missing field leaves *out as it is. */
static enum tr_status number(const json_t *o, const char *key, int64_t low, int64_t high, int32_t *out,
                             struct tr_error *err) {
  const json_t *v = json_object_get(o, key);
  if (v && (!json_is_integer(v) || json_integer_value(v) < low || json_integer_value(v) > high))
    return tr_fail(err, TR_EXC_VALUE, "fragment: %s is not in %lld..%lld", key, (long long)low, (long long)high);
  if (v) *out = (int32_t)json_integer_value(v);
  return TR_OK;
}

static enum tr_status name(const json_t *o, const char *key, const char *const *names, int n, uint8_t *out,
                           struct tr_error *err) {
  const char *s = json_string_value(json_object_get(o, key));
  for (int i = 0; s && i < n; i++)
    if (strcmp(names[i], s) == 0) {
      *out = (uint8_t)i;
      return TR_OK;
    }
  return tr_fail(err, TR_EXC_VALUE, "fragment: no %s %.60s", key, s ? s : "");
}

static enum tr_status room(struct tr_arena *arena, size_t bytes, void *out, struct tr_error *err) {
  void *p = tr_arena_alloc(arena, bytes ? bytes : 1);
  if (!p) return tr_fail_memory(err, bytes);
  memcpy(out, &p, sizeof p);
  return TR_OK;
}

static enum tr_status read_input(const json_t *o, int32_t n_nodes, const struct tr_stage *s, struct tr_stage_input *in,
                                 struct tr_error *err) {
  static const char *const known[] = {"of", "input", "node", "stage", "tasks", "mode", "holds", "segment", NULL};
  *in = (struct tr_stage_input){.of = -1, .node = -1, .stage = -2, .tasks = -1, .segment = -1};
  TR_TRY(fields(o, known, err));
  TR_TRY(number(o, "of", -1, n_nodes - 1, &in->of, err));
  TR_TRY(number(o, "input", 0, MOST_INPUTS, &in->input, err));
  TR_TRY(number(o, "node", 0, n_nodes - 1, &in->node, err));
  TR_TRY(number(o, "stage", -1, s->id - 1, &in->stage, err));
  TR_TRY(number(o, "tasks", 1, MOST_TASKS, &in->tasks, err));
  TR_TRY(number(o, "segment", 0, MOST_TASKS, &in->segment, err));
  TR_TRY(name(o, "mode", modes, TR_N_STAGE_MODES, &in->mode, err));
  TR_TRY(name(o, "holds", holds, TR_N_STAGE_HOLDS, &in->holds, err));
  if (in->node < 0 || in->stage < -1 || in->tasks < 1) return fault(err, "an input without node, stage or tasks");
  if (in->stage < 0 && in->mode != TR_READ_BROADCAST) return fault(err, "a source is read in another way");
  return TR_OK;
}

static enum tr_status read_branches(const json_t *o, int32_t n_nodes, struct tr_arena *arena,
                                    struct tr_stage_branches *b, struct tr_error *err) {
  static const char *const known[] = {"node", "tasks", NULL};
  TR_TRY(fields(o, known, err));
  b->node = -1;
  TR_TRY(number(o, "node", 0, n_nodes - 1, &b->node, err));
  const json_t *list = json_object_get(o, "tasks");
  if (b->node < 0 || !json_is_array(list) || json_array_size(list) < 1 || json_array_size(list) > MOST_INPUTS)
    return fault(err, "branches without node or tasks");
  b->n = (int32_t)json_array_size(list);
  TR_TRY(room(arena, sizeof *b->tasks * (size_t)b->n, &b->tasks, err));
  for (int i = 0; i < b->n; i++) {
    const json_t *v = json_array_get(list, (size_t)i);
    if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > MOST_TASKS)
      return fault(err, "a branch without tasks");
    b->tasks[i] = (int32_t)json_integer_value(v);
  }
  return TR_OK;
}

static enum tr_status read_output(const json_t *o, int32_t n_nodes, struct tr_stage *s, struct tr_error *err) {
  static const char *const known[] = {"by", "parts", "node", "side", "ordinals", NULL};
  TR_TRY(fields(o, known, err));
  TR_TRY(name(o, "by", bys, TR_N_STAGE_BYS, &s->by, err));
  s->key_node = -1;
  TR_TRY(number(o, "parts", 1, MOST_TASKS, &s->parts, err));
  TR_TRY(number(o, "node", 0, n_nodes - 1, &s->key_node, err));
  TR_TRY(number(o, "side", 0, 1, &s->key_side, err));
  s->ordinals = json_is_true(json_object_get(o, "ordinals"));
  bool keyed = s->by == TR_BY_HASH || s->by == TR_BY_RANGE || s->by == TR_BY_SAMPLE || s->role == TR_STAGE_BOUNDS;
  if (s->parts < 1 || (keyed && s->key_node < 0)) return fault(err, "an output without parts or keys");
  return TR_OK;
}

enum tr_status tr_stage_decode(const json_t *o, int32_t n_nodes, struct tr_arena *arena, struct tr_stage *out,
                               struct tr_error *err) {
  static const char *const known[] = {"stage",    "role",      "node",   "tasks", "inputs",
                                      "branches", "positions", "output", NULL};
  *out = (struct tr_stage){.id = -1, .node = -1, .base = -1};
  TR_TRY(fields(o, known, err));
  TR_TRY(number(o, "stage", 0, MOST_STAGES, &out->id, err));
  TR_TRY(number(o, "node", 0, n_nodes - 1, &out->node, err));
  TR_TRY(number(o, "tasks", 1, MOST_TASKS, &out->n_tasks, err));
  TR_TRY(name(o, "role", roles, TR_N_STAGE_ROLES, &out->role, err));
  if (out->id < 0 || out->node < 0 || out->n_tasks < 1) return fault(err, "no stage, node or tasks");
  out->positions = json_is_true(json_object_get(o, "positions"));
  const json_t *inputs = json_object_get(o, "inputs"), *branches = json_object_get(o, "branches");
  if (json_array_size(inputs) > MOST_INPUTS || json_array_size(branches) > MOST_INPUTS)
    return fault(err, "too many inputs");
  out->n_inputs = (int32_t)json_array_size(inputs);
  out->n_branches = (int32_t)json_array_size(branches);
  TR_TRY(room(arena, sizeof *out->inputs * (size_t)out->n_inputs, &out->inputs, err));
  TR_TRY(room(arena, sizeof *out->branches * (size_t)out->n_branches, &out->branches, err));
  for (int i = 0; i < out->n_inputs; i++)
    TR_TRY(read_input(json_array_get(inputs, (size_t)i), n_nodes, out, &out->inputs[i], err));
  for (int i = 0; i < out->n_branches; i++)
    TR_TRY(read_branches(json_array_get(branches, (size_t)i), n_nodes, arena, &out->branches[i], err));
  return read_output(json_object_get(o, "output"), n_nodes, out, err);
}

struct tr_stage_position tr_stage_position(const struct tr_stage *stage, int32_t task, const int64_t *base_rows,
                                           int32_t n_base) {
  struct tr_stage_position at = {0};
  if (stage->base < 0) {
    at.offset = stage->offsets[task];
    at.rows = stage->offsets[task + 1] - at.offset;
    at.total = stage->offsets[stage->n_tasks];
    return at;
  }
  for (int32_t i = 0; i < n_base; i++) {
    if (i < task) at.offset += base_rows[i];
    if (i == task) at.rows = base_rows[i];
    at.total += base_rows[i];
  }
  return at;
}
