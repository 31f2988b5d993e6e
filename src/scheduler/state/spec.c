#include "scheduler/state/spec.h"
#include "base/json_text.h"
#include <jansson.h>
#include <string.h>

const char *const tr_input_mode_names[TR_INPUT_MODES] = {"same", "shuffle", "broadcast", "rows"};

static enum tr_status check_input(const struct tr_spec *spec, int s, const struct tr_spec_input *in,
                                  struct tr_error *err) {
  const struct tr_spec_stage *stage = &spec->stages[s];
  if (in->stage == -1 && in->mode == TR_INPUT_BROADCAST) return TR_OK;
  if (in->stage < 0 || in->stage >= s)
    return tr_fail(err, TR_EXC_VALUE, "stage %d reads stage %d, which is not before it", s, in->stage);
  const struct tr_spec_stage *from = &spec->stages[in->stage];
  /* Fewer are possible: the tasks of one branch of a CONCAT, counted from where it begins, read them. */
  if (in->mode == TR_INPUT_SAME && from->n_tasks > stage->n_tasks)
    return tr_fail(err, TR_EXC_VALUE, "stage %d has %d tasks and reads task by task from %d", s, stage->n_tasks,
                   from->n_tasks);
  if (in->mode == TR_INPUT_SHUFFLE && from->n_parts > stage->n_tasks)
    return tr_fail(err, TR_EXC_VALUE, "stage %d has %d tasks and reads %d parts", s, stage->n_tasks, from->n_parts);
  return TR_OK;
}

enum tr_status tr_spec_check(const struct tr_spec *spec, struct tr_error *err) {
  int64_t tasks = 0;
  if (spec->n_stages < 1 || spec->n_stages > TR_SPEC_STAGES)
    return tr_fail(err, TR_EXC_VALUE, "%d stages: 1 to %d are possible", spec->n_stages, TR_SPEC_STAGES);
  for (int s = 0; s < spec->n_stages; s++) {
    const struct tr_spec_stage *stage = &spec->stages[s];
    if (stage->n_tasks < 1 || stage->n_parts < 1 || stage->n_parts > TR_SPEC_PARTS)
      return tr_fail(err, TR_EXC_VALUE, "stage %d has %d tasks and %d parts", s, stage->n_tasks, stage->n_parts);
    tasks += stage->n_tasks;
    if (stage->base >= 0 && (stage->base >= s || spec->stages[stage->base].n_tasks != stage->n_tasks))
      return tr_fail(err, TR_EXC_VALUE, "stage %d has its rows from stage %d", s, stage->base);
    for (int i = 0; i < stage->n_inputs; i++) TR_TRY(check_input(spec, s, &stage->inputs[i], err));
  }
  if (tasks > TR_SPEC_TASKS)
    return tr_fail(err, TR_EXC_VALUE, "%lld tasks: at most %d are possible", (long long)tasks, TR_SPEC_TASKS);
  return TR_OK;
}

static void print_pieces(const struct tr_spec_stage *stage, struct tr_text *out) {
  tr_text_add_str(out, ",\"pieces\":[");
  for (int t = 0; t < stage->n_tasks; t++) {
    tr_text_add_str(out, t ? ",[" : "[");
    for (int i = stage->first_piece[t]; i < stage->first_piece[t + 1]; i++) {
      const struct tr_spec_piece *p = &stage->pieces[i];
      tr_text_add_format(out, "%s%d,%lld,%lld", i > stage->first_piece[t] ? "," : "", p->source, (long long)p->from,
                         (long long)p->to);
    }
    tr_text_add_char(out, ']');
  }
  tr_text_add_char(out, ']');
}

static void print_rows(const struct tr_spec_stage *stage, struct tr_text *out) {
  tr_text_add_str(out, ",\"rows\":[");
  for (int t = 0; t <= stage->n_tasks; t++) {
    if (t) tr_text_add_char(out, ',');
    tr_text_add_int(out, stage->first_row[t]);
  }
  tr_text_add_char(out, ']');
}

void tr_spec_print(const struct tr_spec *spec, struct tr_text *out) {
  tr_text_add_str(out, "[");
  for (int s = 0; s < spec->n_stages; s++) {
    const struct tr_spec_stage *stage = &spec->stages[s];
    tr_text_add_str(out, s ? ",{\"role\":" : "{\"role\":");
    tr_text_add_json(out, stage->role);
    tr_text_add_format(out, ",\"tasks\":%d,\"parts\":%d,\"inputs\":[", stage->n_tasks, stage->n_parts);
    for (int i = 0; i < stage->n_inputs; i++)
      tr_text_add_format(out, "%s%d,%d", i ? "," : "", stage->inputs[i].stage, (int)stage->inputs[i].mode);
    tr_text_add_str(out, "]");
    if (stage->first_piece) print_pieces(stage, out);
    if (stage->base >= 0) tr_text_add_format(out, ",\"base\":%d", stage->base);
    if (stage->source_rows) tr_text_add_format(out, ",\"source_rows\":%lld", (long long)stage->source_rows);
    if (stage->first_row) print_rows(stage, out);
    tr_text_add_str(out, ",\"fragment\":");
    tr_text_add_str(out, stage->fragment);
    tr_text_add_str(out, "}");
  }
  tr_text_add_str(out, "]");
}

struct parser {
  struct tr_arena *arena;
  struct tr_error *err;
};

static enum tr_status damaged(const struct parser *p, const char *what) {
  return tr_fail(p->err, TR_EXC_VALUE, "the stages of a query are damaged: %s", what);
}

static enum tr_status get(const struct parser *p, size_t bytes, void *out) {
  void *mem = tr_arena_alloc(p->arena, bytes ? bytes : 1);
  memcpy(out, &mem, sizeof mem);
  return mem ? TR_OK : tr_fail_memory(p->err, bytes);
}

static enum tr_status parse_inputs(const struct parser *p, const json_t *list, struct tr_spec_stage *stage) {
  stage->n_inputs = (int32_t)(json_array_size(list) / 2);
  TR_TRY(get(p, sizeof *stage->inputs * (size_t)stage->n_inputs, &stage->inputs));
  for (int i = 0; i < stage->n_inputs; i++) {
    int64_t mode = json_integer_value(json_array_get(list, (size_t)i * 2 + 1));
    if (mode < 0 || mode >= TR_INPUT_MODES) return damaged(p, "a mode");
    stage->inputs[i] = (struct tr_spec_input){(int32_t)json_integer_value(json_array_get(list, (size_t)i * 2)),
                                              (enum tr_input_mode)mode};
  }
  return TR_OK;
}

static enum tr_status parse_pieces(const struct parser *p, const json_t *list, struct tr_spec_stage *stage) {
  size_t total = 0;
  if (json_array_size(list) != (size_t)stage->n_tasks) return damaged(p, "pieces");
  for (int t = 0; t < stage->n_tasks; t++) total += json_array_size(json_array_get(list, (size_t)t)) / 3;
  TR_TRY(get(p, sizeof *stage->first_piece * ((size_t)stage->n_tasks + 1), &stage->first_piece));
  TR_TRY(get(p, sizeof *stage->pieces * total, &stage->pieces));
  int32_t at = 0;
  for (int t = 0; t < stage->n_tasks; t++) {
    const json_t *of = json_array_get(list, (size_t)t);
    for (size_t i = 0; i + 2 < json_array_size(of); i += 3)
      stage->pieces[at++] = (struct tr_spec_piece){(int32_t)json_integer_value(json_array_get(of, i)),
                                                   json_integer_value(json_array_get(of, i + 1)),
                                                   json_integer_value(json_array_get(of, i + 2))};
    stage->first_piece[t + 1] = at;
  }
  return TR_OK;
}

static enum tr_status parse_stage(const struct parser *p, const json_t *o, struct tr_spec_stage *stage) {
  const char *role = json_string_value(json_object_get(o, "role"));
  const json_t *pieces = json_object_get(o, "pieces"), *rows = json_object_get(o, "rows");
  stage->n_tasks = (int32_t)json_integer_value(json_object_get(o, "tasks"));
  stage->n_parts = (int32_t)json_integer_value(json_object_get(o, "parts"));
  if (!role || stage->n_tasks < 1 || stage->n_tasks > TR_SPEC_TASKS) return damaged(p, "a stage");
  stage->role = tr_arena_strndup(p->arena, role, strlen(role));
  char *fragment = json_dumps(json_object_get(o, "fragment"), JSON_COMPACT);
  if (fragment) stage->fragment = tr_arena_strndup(p->arena, fragment, strlen(fragment));
  free(fragment);
  if (!stage->role || !stage->fragment) return damaged(p, "a fragment");
  TR_TRY(parse_inputs(p, json_object_get(o, "inputs"), stage));
  if (pieces) TR_TRY(parse_pieces(p, pieces, stage));
  stage->source_rows = json_integer_value(json_object_get(o, "source_rows"));
  const json_t *base = json_object_get(o, "base");
  stage->base = base ? (int32_t)json_integer_value(base) : rows ? TR_SPEC_ROWS : TR_SPEC_NO_ROWS;
  if (!rows) return TR_OK;
  if (json_array_size(rows) != (size_t)stage->n_tasks + 1) return damaged(p, "rows");
  TR_TRY(get(p, sizeof *stage->first_row * ((size_t)stage->n_tasks + 1), &stage->first_row));
  for (int t = 0; t <= stage->n_tasks; t++) stage->first_row[t] = json_integer_value(json_array_get(rows, (size_t)t));
  return TR_OK;
}

enum tr_status tr_spec_parse(const char *text, struct tr_arena *arena, struct tr_spec *out, struct tr_error *err) {
  struct parser p = {arena, err};
  json_t *root = json_loads(text, 0, NULL);
  if (!root) return damaged(&p, "not JSON");
  enum tr_status st = TR_OK;
  out->n_stages = (int32_t)json_array_size(root);
  TR_GOTO(st, get(&p, sizeof *out->stages * (size_t)out->n_stages, &out->stages));
  for (int s = 0; s < out->n_stages; s++)
    TR_GOTO(st, parse_stage(&p, json_array_get(root, (size_t)s), &out->stages[s]));
  st = tr_spec_check(out, err);
done:
  json_decref(root);
  return st;
}
