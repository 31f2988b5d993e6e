/* Running a plan in stages within this process, one task after another: a test configuration that shows that what a
 * cluster computes is what the plan says. Everything between tasks goes its usual way: the plan is sealed and cut by
 * its shape, fragments travel as JSON, rows as blocks through a bucket, which here is a list in memory. */
#include "base/mem.h"
#include "bindings.h"
#include "data/exec/seal_key.h"
#include "data/exec/task.h"
#include "data/format/block/block.h"
#include <errno.h>

/* ---- the bucket */
struct object {
  char *key;
  uint8_t *data;
  size_t bytes;
  int64_t version;
  struct object *next;
};

struct memory {
  struct object *first;
  int64_t version;
};

static struct object *find(const struct memory *m, const char *key) {
  for (struct object *o = m->first; o; o = o->next)
    if (strcmp(o->key, key) == 0) return o;
  return NULL;
}

static enum tr_status get(void *arg, const char *key, uint8_t **data, size_t *bytes, size_t *room,
                          struct tr_error *err) {
  const struct object *o = find(arg, key);
  void *p;
  if (!o) return tr_fail_os(err, ENOENT, "%s", key);
  TR_TRY(tr_mem_alloc(o->bytes, &p, err));
  if (o->bytes) memcpy(p, o->data, o->bytes);
  *data = p;
  *bytes = *room = o->bytes;
  return TR_OK;
}

static void etag_of(const struct object *o, char *etag) { snprintf(etag, 128, "v%lld", (long long)o->version); }

static enum tr_status read_range(void *arg, const char *key, const char *etag, int64_t offset, int64_t bytes, void *to,
                                 struct tr_error *err) {
  const struct object *o = find(arg, key);
  char there[128];
  if (!o) return tr_fail_os(err, ENOENT, "%s", key);
  etag_of(o, there);
  if (strcmp(there, etag) != 0) return tr_fail_os(err, ESTALE, "%s", key);
  if (offset < 0 || bytes < 0 || (size_t)(offset + bytes) > o->bytes) return tr_fail_os(err, EINVAL, "%s", key);
  memcpy(to, o->data + offset, (size_t)bytes);
  return TR_OK;
}

static enum tr_status put(void *arg, const char *key, const void *data, size_t bytes, bool if_absent, char *etag,
                          struct tr_error *err) {
  struct memory *m = arg;
  if (find(m, key)) return tr_fail_os(err, if_absent ? EEXIST : EINVAL, "%s", key); /* keys are written once */
  struct object *o = calloc(1, sizeof *o);
  if (!o) return tr_fail_memory(err, sizeof *o);
  *o = (struct object){strdup(key), malloc(bytes + 1), bytes, ++m->version, m->first};
  m->first = o;
  if (!o->key || !o->data) return tr_fail_memory(err, bytes);
  memcpy(o->data, data, bytes);
  if (etag) etag_of(o, etag);
  return TR_OK;
}

static void drop_memory(struct memory *m) {
  for (struct object *o = m->first, *next; o; o = next) {
    next = o->next;
    free(o->key);
    free(o->data);
    free(o);
  }
}

/* ---- sources: frames in blocks of a few rows, Parquet files by row groups */
struct source {
  struct tr_rel *rel; /* borrowed */
  struct tr_block_writer blocks;
  int64_t *rows; /* per piece */
  int32_t n;
};

static enum tr_status slice_frame(const struct tr_frame *f, int64_t begin, int64_t n, struct tr_frame **out,
                                  struct tr_error *err) {
  struct tr_array **cols = calloc((size_t)f->n_cols + 1, sizeof *cols);
  enum tr_status st = TR_OK;
  if (!cols) return tr_fail_memory(err, sizeof *cols * (size_t)f->n_cols);
  for (int i = 0; i < f->n_cols && st == TR_OK; i++)
    if (f->cols[i]) st = tr_array_slice(f->cols[i], begin, n, &cols[i], err);
  if (st == TR_OK) st = tr_frame_new(n, f->n_cols, cols, out, err);
  for (int i = 0; i < f->n_cols; i++) tr_array_unref(cols[i]);
  free(cols);
  return st;
}

static enum tr_status load_frame(struct tr_ctx *ctx, struct source *s, int64_t piece_rows, struct tr_error *err) {
  const struct tr_frame *f = s->rel->source;
  s->rows = calloc((size_t)(f->n_rows / piece_rows) * 2 + 2, sizeof *s->rows);
  if (!s->rows) return tr_fail_memory(err, (size_t)f->n_rows);
  TR_TRY(tr_block_begin(&s->blocks, f->n_rows % 2, err));
  for (int64_t at = 0; at < f->n_rows || !s->n;) {
    int64_t n = piece_rows + s->n % 3 - 1; /* pieces of different size */
    struct tr_frame *part;
    n = n < 1 ? 1 : n;
    if (n > f->n_rows - at) n = f->n_rows - at;
    TR_TRY(slice_frame(f, at, n, &part, err));
    enum tr_status st = tr_block_segment(&s->blocks, err);
    if (st == TR_OK) st = tr_block_add(ctx, &s->blocks, part, err);
    tr_frame_unref(part);
    TR_TRY(st);
    s->rows[s->n++] = n;
    at += n;
  }
  return TR_OK;
}

static enum tr_status load_parquet(struct source *s, struct tr_error *err) {
  const struct tr_parquet_source *p = s->rel->source;
  int32_t n = 0;
  for (int f = 0; f < p->n_files; f++) n += p->files[f]->n_row_groups;
  s->rows = calloc((size_t)n + 1, sizeof *s->rows);
  if (!s->rows) return tr_fail_memory(err, sizeof *s->rows * (size_t)n);
  for (int f = 0; f < p->n_files; f++)
    for (int g = 0; g < p->files[f]->n_row_groups; g++) s->rows[s->n++] = p->files[f]->row_group_rows[g];
  if (!s->n) s->n = 1; /* no row groups: one piece of no rows */
  return TR_OK;
}

struct staged {
  struct memory bucket;
  struct source *sources;
  int n_sources;
  struct tr_task_env env;
  struct tr_task_plan *plan;
  struct tr_stages stages;
  int64_t **task_rows; /* per stage, per task */
  struct tr_stage_options options;
};

static enum tr_status concat_frames(struct tr_ctx *ctx, struct tr_frame **frames, int n, struct tr_frame **out,
                                    struct tr_error *err) {
  int n_cols = frames[0]->n_cols;
  int64_t n_rows = 0;
  struct tr_array **cols = calloc((size_t)n_cols + 1, sizeof *cols),
                  **parts = calloc((size_t)n + 1, sizeof *parts); /* borrows */
  enum tr_status st = cols && parts ? TR_OK : tr_fail_memory(err, sizeof *cols * (size_t)n_cols);
  for (int i = 0; i < n; i++) n_rows += frames[i]->n_rows;
  for (int c = 0; c < n_cols && st == TR_OK; c++) {
    for (int i = 0; i < n; i++) parts[i] = frames[i]->cols[c];
    if (parts[0]) st = tr_array_concat(ctx, parts, n, &cols[c], err);
  }
  if (st == TR_OK) st = tr_frame_new(n_rows, n_cols, cols, out, err);
  for (int c = 0; cols && c < n_cols; c++) tr_array_unref(cols[c]);
  free(cols);
  free(parts);
  return st;
}

static enum tr_status read_frame_pieces(struct tr_ctx *ctx, const struct source *s, int32_t from, int32_t to,
                                        const bool *need, struct tr_frame **out, struct tr_error *err) {
  const struct tr_block_segment *a = &s->blocks.segments[from], *b = &s->blocks.segments[to - 1];
  struct tr_block_cursor at = {s->blocks.bytes + a->offset, b->offset + b->bytes - a->offset, "source"};
  struct tr_frame **frames = calloc((size_t)(to - from) + 1, sizeof *frames);
  int n = 0;
  enum tr_status st = frames ? TR_OK : tr_fail_memory(err, (size_t)(to - from));
  while (st == TR_OK && at.left) {
    st = tr_block_next(ctx, &at, need, s->rel->n_cols, &frames[n], err);
    n += st == TR_OK;
  }
  if (st == TR_OK) st = concat_frames(ctx, frames, n, out, err);
  for (int i = 0; i < n; i++) tr_frame_unref(frames[i]);
  free(frames);
  return st;
}

static enum tr_status read_source(void *arg, struct tr_ctx *ctx, int32_t no, int32_t from, int32_t to, const bool *need,
                                  struct tr_frame **out, struct tr_error *err) {
  const struct staged *g = arg;
  const struct source *s = &g->sources[no];
  if (to < 0) to = s->n;
  if (from < 0 || from >= to || to > s->n) return tr_fail(err, TR_EXC_VALUE, "pieces %d to %d of %d", from, to, s->n);
  return s->rel->kind == TR_REL_FRAME ? read_frame_pieces(ctx, s, from, to, need, out, err)
                                      : tr_exec_read_row_groups(ctx, s->rel, from, to, need, out, err);
}

/* ---- running */
static json_t *task_json(const struct staged *g, const struct tr_stage *s, int32_t task, const char *fragment) {
  json_t *pieces = json_array();
  for (int32_t i = s->first_piece[task]; i < s->first_piece[task + 1]; i++)
    json_array_append_new(pieces, json_pack("{s:i,s:i,s:i}", "source", s->pieces[i].source, "from", s->pieces[i].from,
                                            "to", s->pieces[i].to));
  json_t *o = json_pack("{s:s,s:i,s:i,s:i,s:o,s:o}", "query", "q1", "stage", s->id, "task", task, "attempt", 1,
                        "fragment", json_loads(fragment, 0, NULL), "pieces", pieces);
  if (o && s->positions) {
    int32_t n_base = s->base >= 0 ? g->stages.stages[s->base].n_tasks : 0;
    struct tr_stage_position at = tr_stage_position(s, task, s->base >= 0 ? g->task_rows[s->base] : NULL, n_base);
    json_object_set_new(o, "row_offset", json_integer(at.offset));
    json_object_set_new(o, "rows", json_integer(at.rows));
    json_object_set_new(o, "total_rows", json_integer(at.total));
  }
  return o;
}

static enum tr_status run_stage(struct staged *g, const struct tr_stage *s, struct tr_error *err) {
  char *fragment = NULL;
  TR_TRY(tr_stage_encode(s, &fragment, err));
  g->task_rows[s->id] = calloc((size_t)s->n_tasks, sizeof **g->task_rows);
  enum tr_status st = g->task_rows[s->id] ? TR_OK : tr_fail_memory(err, (size_t)s->n_tasks);
  for (int32_t t = 0; st == TR_OK && t < s->n_tasks; t++) {
    char *report = NULL;
    json_t *task = task_json(g, s, t, fragment);
    st = tr_task_run(&g->env, g->plan, task, &report, err);
    json_decref(task);
    json_t *o = report ? json_loads(report, 0, NULL) : NULL;
    g->task_rows[s->id][t] = json_integer_value(json_object_get(o, "rows"));
    json_decref(o);
    free(report);
  }
  free(fragment);
  return st;
}

static enum tr_status prepare(struct staged *g, const char *text, struct tr_error *err) {
  uint8_t key[TR_KEY_BYTES];
  char *sealed = NULL;
  struct tr_shape shape = {0};
  struct tr_stage_source *counts = calloc((size_t)g->n_sources + 1, sizeof *counts);
  enum tr_status st;
  if (!counts) return tr_fail_memory(err, sizeof *counts * (size_t)g->n_sources);
  TR_GOTO(st, tr_crypto_random(key, sizeof key, err));
  struct tr_seal_hooks hooks = tr_seal_key_hooks(key);
  TR_GOTO(st, tr_plan_seal(text, strlen(text), &hooks, &sealed, err));
  TR_GOTO(st, tr_shape_decode(sealed, strlen(sealed), NULL, &shape, err));
  for (int i = 0; i < g->n_sources; i++) counts[i] = (struct tr_stage_source){g->sources[i].n, g->sources[i].rows};
  TR_GOTO(st, tr_stages_cut(&shape, counts, g->n_sources, &g->options, &g->stages, err));
  TR_GOTO(st, tr_task_plan_open(sealed, strlen(sealed), &hooks, &g->plan, err));
  g->task_rows = calloc((size_t)g->stages.n, sizeof *g->task_rows);
  if (!g->task_rows) st = tr_fail_memory(err, sizeof *g->task_rows * (size_t)g->stages.n);
done:
  free(counts);
  free(sealed);
  tr_shape_drop(&shape);
  return st;
}

static enum tr_status load_sources(struct staged *g, struct tr_rel *const *sources, int n, struct tr_error *err) {
  g->sources = calloc((size_t)n + 1, sizeof *g->sources);
  if (!g->sources) return tr_fail_memory(err, sizeof *g->sources * (size_t)n);
  g->n_sources = n;
  for (int i = 0; i < n; i++) {
    struct source *s = &g->sources[i];
    s->rel = sources[i];
    TR_TRY(s->rel->kind == TR_REL_FRAME ? load_frame(g->env.ctx, s, g->options.target_rows, err)
                                        : load_parquet(s, err));
  }
  return TR_OK;
}

static void drop(struct staged *g) {
  for (int i = 0; i < g->n_sources; i++) {
    tr_block_drop(&g->sources[i].blocks);
    free(g->sources[i].rows);
  }
  free(g->sources);
  for (int i = 0; g->task_rows && i < g->stages.n; i++) free(g->task_rows[i]);
  free(g->task_rows);
  tr_stages_drop(&g->stages);
  tr_task_plan_free(g->plan);
  drop_memory(&g->bucket);
}

enum tr_status tr_client_run_staged(struct tr_ctx *ctx, struct tr_rel *r, const bool *need, int64_t task_rows,
                                    struct tr_frame **out, struct tr_error *err) {
  struct staged g = {.options = {.target_rows = task_rows, .broadcast_rows = 2 * task_rows, .max_partitions = 3}};
  char *text = NULL;
  struct tr_rel **sources = NULL, *detached = NULL;
  struct tr_frame *result = NULL;
  int n = 0;
  enum tr_status st;
  *out = NULL;
  g.env = (struct tr_task_env){
      .ctx = ctx, .bucket = {&g.bucket, get, read_range, put}, .sources = {&g, read_source}, .compress = true};
  TR_GOTO(st, tr_exec_detach(r, need, &detached, err));
  TR_GOTO(st, tr_plan_encode(detached, &text, &sources, &n, err));
  TR_GOTO(st, load_sources(&g, sources, n, err));
  TR_GOTO(st, prepare(&g, text, err));
  for (int i = 0; i < g.stages.n; i++) TR_GOTO(st, run_stage(&g, &g.stages.stages[i], err));
  int last = g.stages.n - 1;
  TR_GOTO(st, tr_task_read_result(&g.env, "q1", last, g.stages.stages[last].n_tasks, &result, err));
  st = tr_exec_attach(r, need, result, out, err);
done:
  drop(&g);
  tr_frame_unref(result);
  tr_rel_unref(detached);
  tr_plan_sources_free(sources, n);
  free(text);
  return st;
}
