/* See planning.h. The cutting itself is meta/opt/stages.h; this copies what the scheduler must know of a stage. */
#include "scheduler/planning.h"
#include "meta/opt/stages.h"
#include <stdlib.h>
#include <string.h>

/* A plan that a scheduler takes is much smaller than what the codec reads in-process: it is decoded before anything
 * else is known of it. */
static const struct tr_plan_limits limits = {
    .bytes = 16 << 20, .nodes = 4000, .exprs = 50000, .depth = 500, .columns = 50000, .list = 65535, .size = 2000000};

static const char *const role_names[TR_N_STAGE_ROLES] = {"plain", "partial", "keyed", "top", "bounds", "split"};

static enum tr_status get(struct tr_arena *arena, size_t bytes, void *out, struct tr_error *err) {
  void *mem = tr_arena_alloc(arena, bytes ? bytes : 1);
  memcpy(out, &mem, sizeof mem);
  return mem ? TR_OK : tr_fail_memory(err, bytes);
}

static enum tr_status copy_pieces(const struct tr_stage *from, const struct tr_stage_source *sources,
                                  struct tr_arena *arena, struct tr_spec_stage *to, struct tr_error *err) {
  size_t n = (size_t)from->first_piece[from->n_tasks];
  TR_TRY(get(arena, sizeof *to->first_piece * ((size_t)from->n_tasks + 1), &to->first_piece, err));
  TR_TRY(get(arena, sizeof *to->pieces * n, &to->pieces, err));
  memcpy(to->first_piece, from->first_piece, sizeof *to->first_piece * ((size_t)from->n_tasks + 1));
  for (size_t i = 0; i < n; i++) {
    to->pieces[i] = (struct tr_spec_piece){from->pieces[i].source, from->pieces[i].from, from->pieces[i].to};
    for (int64_t k = from->pieces[i].from; k < from->pieces[i].to; k++)
      to->source_rows += sources[from->pieces[i].source].rows[k];
  }
  return TR_OK;
}

static enum tr_status copy_inputs(const struct tr_stage *from, struct tr_arena *arena, struct tr_spec_stage *to,
                                  struct tr_error *err) {
  static const enum tr_input_mode modes[TR_N_STAGE_MODES] = {[TR_READ_SAME] = TR_INPUT_SAME,
                                                             [TR_READ_SHUFFLE] = TR_INPUT_SHUFFLE,
                                                             [TR_READ_BROADCAST] = TR_INPUT_BROADCAST,
                                                             [TR_READ_ROWS] = TR_INPUT_ROWS};
  to->n_inputs = from->n_inputs;
  TR_TRY(get(arena, sizeof *to->inputs * (size_t)from->n_inputs, &to->inputs, err));
  for (int i = 0; i < from->n_inputs; i++)
    to->inputs[i] = (struct tr_spec_input){from->inputs[i].stage, modes[from->inputs[i].mode]};
  return TR_OK;
}

/* Segments that its tasks write: `parts` may also tell into how many ranges others will cut. */
static int32_t segments_of(const struct tr_stage *stage) {
  return stage->by == TR_BY_NONE || stage->by == TR_BY_RESULT ? 1 : stage->parts;
}

static enum tr_status copy_stage(const struct tr_stage *from, const struct tr_stage_source *sources,
                                 struct tr_arena *arena, struct tr_spec_stage *to, struct tr_error *err) {
  char *fragment;
  *to = (struct tr_spec_stage){.role = role_names[from->role],
                               .n_tasks = from->n_tasks,
                               .n_parts = segments_of(from),
                               .base = from->positions ? from->base : TR_SPEC_NO_ROWS};
  TR_TRY(tr_stage_encode(from, &fragment, err));
  to->fragment = tr_arena_strndup(arena, fragment, strlen(fragment));
  free(fragment);
  if (!to->fragment) return tr_fail_memory(err, 0);
  TR_TRY(copy_inputs(from, arena, to, err));
  if (from->first_piece) TR_TRY(copy_pieces(from, sources, arena, to, err));
  if (to->base != TR_SPEC_ROWS) return TR_OK;
  TR_TRY(get(arena, sizeof *to->first_row * ((size_t)from->n_tasks + 1), &to->first_row, err));
  memcpy(to->first_row, from->offsets, sizeof *to->first_row * ((size_t)from->n_tasks + 1));
  return TR_OK;
}

static enum tr_status copy_stages(const struct tr_stages *from, const struct tr_stage_source *sources,
                                  struct tr_arena *arena, struct tr_spec *out, struct tr_error *err) {
  out->n_stages = from->n;
  TR_TRY(get(arena, sizeof *out->stages * (size_t)from->n, &out->stages, err));
  for (int i = 0; i < from->n; i++) TR_TRY(copy_stage(&from->stages[i], sources, arena, &out->stages[i], err));
  return tr_spec_check(out, err);
}

enum tr_status tr_planning_cut(const char *plan, size_t n, const struct tr_planning_source *sources, int n_sources,
                               const struct tr_planning_options *options, struct tr_arena *arena, struct tr_spec *out,
                               struct tr_error *err) {
  struct tr_shape shape;
  struct tr_stages stages;
  struct tr_stage_source *given;
  struct tr_stage_options wanted = {options->target_rows, options->broadcast_rows, (int32_t)options->max_partitions};
  TR_TRY(get(arena, sizeof *given * (size_t)n_sources, &given, err));
  for (int i = 0; i < n_sources; i++) given[i] = (struct tr_stage_source){sources[i].n_pieces, sources[i].rows};
  TR_TRY(tr_shape_decode(plan, n, &limits, &shape, err));
  enum tr_status st = TR_OK;
  if (shape.n_sources != n_sources)
    st = tr_fail(err, TR_EXC_VALUE, "plan: it has %d sources, %d are described", shape.n_sources, n_sources);
  if (st == TR_OK) {
    st = tr_stages_cut(&shape, given, n_sources, &wanted, &stages, err);
    if (st == TR_OK) {
      st = copy_stages(&stages, given, arena, out, err);
      tr_stages_drop(&stages);
    }
  }
  tr_shape_drop(&shape);
  return st;
}
