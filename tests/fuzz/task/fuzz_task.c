/* Any text as a task, over a plan with most kinds of nodes, whose query has run before: what the text asks to read is
 * there. A worker must bear any task that it is given. */
#include "../../unit/plan_seal/toy_crypto.h"
#include "base/mem.h"
#include "data/exec/task.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 200, ROWS = 4, PIECES = 3 };
static struct {
  char *key;
  uint8_t *data;
  size_t bytes;
} objects[MOST];
static int n_objects;
static bool frozen; /* what is put from now on is dropped */
static struct tr_ctx ctx;
static struct tr_task_plan *plan;

static void require(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "fuzz_task: %s\n", what);
  abort();
}

static int find(const char *key) {
  for (int i = 0; i < n_objects; i++)
    if (strcmp(objects[i].key, key) == 0) return i;
  return -1;
}

static enum tr_status get(void *arg, const char *key, uint8_t **data, size_t *bytes, size_t *room,
                          struct tr_error *err) {
  int i = find(key);
  void *p;
  (void)arg;
  if (i < 0) return tr_fail_os(err, ENOENT, "%s", key);
  TR_TRY(tr_mem_alloc(objects[i].bytes, &p, err));
  memcpy(p, objects[i].data, objects[i].bytes);
  *data = p;
  *bytes = *room = objects[i].bytes;
  return TR_OK;
}

static enum tr_status read_range(void *arg, const char *key, const char *etag, int64_t offset, int64_t bytes, void *to,
                                 struct tr_error *err) {
  int i = find(key);
  (void)arg, (void)etag;
  if (i < 0) return tr_fail_os(err, ENOENT, "%s", key);
  require(offset >= 0 && bytes >= 0 && (size_t)(offset + bytes) <= objects[i].bytes, "a range beyond its object");
  memcpy(to, objects[i].data + offset, (size_t)bytes);
  return TR_OK;
}

static enum tr_status put(void *arg, const char *key, const void *data, size_t bytes, bool if_absent, char *etag,
                          struct tr_error *err) {
  (void)arg, (void)if_absent, (void)err;
  if (etag) strcpy(etag, "e");
  if (frozen) return TR_OK;
  require(n_objects < MOST, "too many objects");
  objects[n_objects].key = strdup(key);
  objects[n_objects].data = malloc(bytes + 1);
  objects[n_objects].bytes = bytes;
  memcpy(objects[n_objects++].data, data, bytes);
  return TR_OK;
}

static enum tr_status read_source(void *arg, struct tr_ctx *c, int32_t source, int32_t from, int32_t to,
                                  const bool *need, struct tr_frame **out, struct tr_error *err) {
  struct tr_array *cols[2] = {NULL, NULL};
  enum tr_status st = TR_OK;
  (void)arg, (void)c, (void)source, (void)need;
  if (to < 0) to = PIECES;
  if (from > to || to > PIECES) return tr_fail(err, TR_EXC_VALUE, "no such pieces");
  int64_t n = (int64_t)ROWS * (to - from);
  for (int i = 0; i < 2; i++) {
    TR_GOTO(st, tr_array_new(tr_dtype_of(TR_I64), n, &cols[i], err));
    for (int64_t k = 0; k < n; k++) ((int64_t *)tr_array_data(cols[i]))[k] = (k + from) % (i ? 7 : 3);
  }
  st = tr_frame_new(n, 2, cols, out, err);
done:
  tr_array_unref(cols[0]);
  tr_array_unref(cols[1]);
  return st;
}

static const struct tr_task_env env = {
    .ctx = &ctx, .bucket = {NULL, get, read_range, put}, .sources = {NULL, read_source}, .compress = true};

static const char *const text =
    "{\"version\":1,\"sources\":[{\"kind\":\"FRAME\",\"rows\":12,\"cols\":[{\"dtype\":\"int64\"},{\"dtype\":\"int64\"}]"
    "}],"
    "\"exprs\":[{\"op\":\"COL\",\"column\":0,\"dtype\":\"int64\"},{\"op\":\"COL\",\"column\":1,\"dtype\":\"int64\"}],"
    "\"nodes\":[{\"source\":0},"
    "{\"kind\":\"PROJECT\",\"inputs\":[0],\"exprs\":[1,0]},"
    "{\"kind\":\"CONCAT\",\"inputs\":[0,1]},"
    "{\"kind\":\"JOIN\",\"inputs\":[2,1],\"exprs\":[0,0],\"n_keys\":1,\"options\":{\"how\":\"left\"}},"
    "{\"kind\":\"SORT\",\"inputs\":[3],\"exprs\":[1]},"
    "{\"kind\":\"SLICE\",\"inputs\":[4],\"options\":{\"start\":1,\"stop\":-1}},"
    "{\"kind\":\"DISTINCT\",\"inputs\":[5],\"exprs\":[0,1]},"
    "{\"kind\":\"AGGREGATE\",\"inputs\":[6],\"exprs\":[0,1],\"n_keys\":1,\"items\":[{\"kind\":\"agg\",\"fn\":\"std\","
    "\"expr\":1,\"param\":1,\"skipna\":true,\"dtype\":\"float64\"}],\"options\":{\"sort\":true,\"dropna\":true}},"
    "{\"kind\":\"WINDOW\",\"inputs\":[6],\"exprs\":[0,1],\"n_keys\":1,\"items\":[{\"kind\":\"window\",\"fn\":"
    "\"cumsum\","
    "\"expr\":1,\"dtype\":\"int64\"}]},"
    "{\"kind\":\"JOIN\",\"inputs\":[7,8],\"exprs\":[0,0],\"n_keys\":1}]}";

/* Runs the query; with a folder in FUZZ_TASK_CORPUS its tasks are written there. */
static void run_query(const struct tr_stages *stages) {
  const char *folder = getenv("FUZZ_TASK_CORPUS");
  int64_t rows[MOST][8] = {{0}};
  for (int s = 0; s < stages->n; s++)
    for (int t = 0; t < stages->stages[s].n_tasks; t++) {
      const struct tr_stage *stage = &stages->stages[s];
      char *fragment, *report, path[1000];
      struct tr_error err = {0};
      require(tr_stage_encode(stage, &fragment, &err) == TR_OK, "no fragment");
      json_t *pieces = json_array();
      for (int i = stage->first_piece[t]; i < stage->first_piece[t + 1]; i++)
        json_array_append_new(
            pieces, json_pack("{s:i,s:i,s:i}", "source", 0, "from", stage->pieces[i].from, "to", stage->pieces[i].to));
      json_t *o = json_pack("{s:s,s:i,s:i,s:i,s:o,s:o}", "query", "q", "stage", s, "task", t, "attempt", 1, "fragment",
                            json_loads(fragment, 0, NULL), "pieces", pieces);
      if (stage->positions) {
        struct tr_stage_position at = tr_stage_position(stage, t, stage->base < 0 ? NULL : rows[stage->base], 8);
        json_object_set_new(o, "row_offset", json_integer(at.offset));
        json_object_set_new(o, "rows", json_integer(at.rows));
        json_object_set_new(o, "total_rows", json_integer(at.total));
      }
      if (folder) snprintf(path, sizeof path, "%s/stage%d_task%d", folder, s, t);
      if (folder && t == stage->n_tasks - 1) json_dump_file(o, path, JSON_COMPACT);
      enum tr_status st = tr_task_run(&env, plan, o, &report, &err);
      if (st != TR_OK) fprintf(stderr, "stage %d: %s\n", s, err.text);
      require(st == TR_OK, "a task fails");
      json_t *r = json_loads(report, 0, NULL);
      if (t < 8) rows[s][t] = json_integer_value(json_object_get(r, "rows"));
      json_decref(r);
      json_decref(o);
      free(report);
      free(fragment);
    }
}

static void set_up(void) {
  static const int64_t rows[PIECES] = {ROWS, ROWS, ROWS};
  const struct tr_stage_source source = {PIECES, rows};
  const struct tr_stage_options options = {ROWS, -1, 3};
  struct tr_error err = {0};
  struct tr_shape shape;
  struct tr_stages stages;
  char *sealed;
  tr_ctx_init(&ctx);
  ctx.threads = 1;
  require(tr_plan_seal(text, strlen(text), &toy_hooks, &sealed, &err) == TR_OK, "not sealed");
  require(tr_shape_decode(sealed, strlen(sealed), NULL, &shape, &err) == TR_OK, err.text);
  require(tr_stages_cut(&shape, &source, 1, &options, &stages, &err) == TR_OK, err.text);
  require(tr_task_plan_open(sealed, strlen(sealed), &toy_hooks, &plan, &err) == TR_OK, err.text);
  run_query(&stages);
  tr_stages_drop(&stages);
  tr_shape_drop(&shape);
  free(sealed);
  frozen = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct tr_error err = {0};
  char *report;
  if (!plan) set_up();
  tr_mem_set_budget(256 << 20);
  size_t used = tr_mem_used();
  json_t *o = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
  if (o && tr_task_run(&env, plan, o, &report, &err) == TR_OK) free(report);
  json_decref(o);
  require(tr_mem_used() == used, "memory is lost");
  return 0;
}
