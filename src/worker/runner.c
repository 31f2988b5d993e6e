/* One task: the query's plan and sources (kept for its next tasks), the bucket over the store, the report. */
#include "base/json_text.h"
#include "base/mem.h"
#include "data/exec/bucket.h"
#include "data/exec/seal_key.h"
#include "worker/worker.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT_QUERIES = 8, CALL_MS = 30000 };

struct tr_runner_query {
  char id[64];
  struct tr_task_plan *plan;
  struct tr_sources *sources;
  struct tr_runner_query *next;
};

static void query_free(struct tr_runner_query *q) {
  tr_task_plan_free(q->plan);
  tr_sources_free(q->sources);
  free(q);
}

void tr_runner_close(struct tr_runner *r) {
  for (struct tr_runner_query *q = r->queries, *next; q; q = next) {
    next = q->next;
    query_free(q);
  }
  r->queries = NULL;
  tr_crypto_wipe(r->key, sizeof r->key);
}

/* ---- the bucket */
struct bucket {
  struct tr_bucket_store store; /* first: it is what get and put of tr_bucket_of_store see */
  struct tr_bucket inner;
  struct tr_runner *runner;
};

/* Whether the object belongs to a task; which one. */
static void remember_lost(struct tr_runner *r, const char *key, const struct tr_error *err) {
  const char *name = strrchr(key, '/'), *dash = name ? strchr(name, '-') : NULL;
  long long stage, task, attempt;
  char rest;
  if (err->os_errno != ENOENT && err->os_errno != ESTALE) return;
  if (strncmp(key, "shuffle/", 8) != 0 || !dash) return;
  if (sscanf(dash, "-%lld-%lld-%lld%c", &stage, &task, &attempt, &rest) != 3) return;
  r->lost_stage = stage;
  r->lost_task = task;
  r->lost_attempt = attempt;
}

static enum tr_status bucket_read(void *arg, const char *key, const char *etag, int64_t offset, int64_t bytes, void *to,
                                  struct tr_error *err) {
  const struct bucket *b = arg;
  struct tr_error own = {0};
  enum tr_status st = b->inner.read(arg, key, etag, offset, bytes, to, &own);
  if (st == TR_ERROR) remember_lost(b->runner, key, &own);
  if (st != TR_OK && err) *err = own;
  return st;
}

/* The attempt that the commit of a task names; -1 when there is none. */
static int64_t committed_attempt(struct tr_runner *r, struct tr_ctx *ctx, const char *query, int64_t stage,
                                 int64_t task, char key[200]) {
  uint8_t *data;
  size_t bytes, room;
  struct tr_error err;
  snprintf(key, 200, "commit/%s/%" PRId64 "/%" PRId64, query, stage, task);
  if (tr_store_get(r->store, key, 64 << 20, ctx, &data, &bytes, &room, NULL, &err) != TR_OK) return -1;
  json_t *o = json_loadb((const char *)data, bytes, 0, NULL);
  const json_t *attempt = json_object_get(o, "attempt");
  int64_t n = json_is_integer(attempt) ? json_integer_value(attempt) : -1;
  json_decref(o);
  tr_mem_free(data, room);
  return n;
}

/* ---- what a query's tasks share */
static enum tr_status called(enum tr_link_outcome outcome, struct tr_error *err) {
  if (outcome == TR_LINK_OK) return TR_OK;
  /* Told as an OSError: another attempt may find the scheduler again. */
  if (err->exc != TR_EXC_OS) err->exc = TR_EXC_OS, err->os_errno = EAGAIN;
  return TR_ERROR;
}

static enum tr_status load_key(struct tr_runner *r, struct tr_ctx *ctx, struct tr_error *err) {
  char path[100];
  uint8_t *data;
  size_t bytes, room;
  json_t *reply;
  int status;
  if (r->has_key) return TR_OK;
  TR_TRY(called(tr_link_call(r->link, "/v1/capacity", NULL, CALL_MS, ctx, &status, &reply, err), err));
  const char *id = json_string_value(json_object_get(reply, "deployment"));
  snprintf(r->deployment, sizeof r->deployment, "%s", id ? id : "");
  json_decref(reply);
  snprintf(path, sizeof path, "keys/%s", r->deployment);
  TR_TRY(tr_store_get(r->store, path, 4096, ctx, &data, &bytes, &room, NULL, err));
  bool good = bytes == sizeof r->key;
  if (good) memcpy(r->key, data, sizeof r->key);
  tr_crypto_wipe(data, bytes);
  tr_mem_free(data, room);
  if (!good) return tr_fail(err, TR_EXC_VALUE, "%s has %zu bytes: no key", path, bytes);
  r->hooks = tr_seal_key_hooks(r->key);
  r->has_key = true;
  return TR_OK;
}

static enum tr_status open_query(struct tr_runner *r, struct tr_ctx *ctx, const char *plan, const char *manifest,
                                 struct tr_runner_query *q, struct tr_error *err) {
  char path[150];
  uint8_t *data;
  size_t bytes, room;
  TR_TRY(tr_task_plan_open(plan, strlen(plan), &r->hooks, &q->plan, err));
  snprintf(path, sizeof path, "uploads/manifest-%s", manifest);
  TR_TRY(tr_store_get(r->store, path, 256 << 20, ctx, &data, &bytes, &room, NULL, err));
  enum tr_status st = tr_sources_open((const char *)data, bytes, r->store, &r->hooks, &q->sources, err);
  tr_mem_free(data, room);
  return st;
}

static enum tr_status load_query(struct tr_runner *r, struct tr_ctx *ctx, const char *id, struct tr_runner_query **out,
                                 struct tr_error *err) {
  char path[150];
  json_t *reply;
  int status;
  struct tr_runner_query *q = calloc(1, sizeof *q);
  if (!q) return tr_fail_memory(err, sizeof *q);
  snprintf(q->id, sizeof q->id, "%s", id);
  snprintf(path, sizeof path, "/v1/queries/%s/plan", id);
  enum tr_status st = called(tr_link_call(r->link, path, NULL, CALL_MS, ctx, &status, &reply, err), err);
  if (st == TR_OK) {
    char *plan = json_dumps(json_object_get(reply, "plan"), JSON_COMPACT);
    const char *manifest = json_string_value(json_object_get(reply, "manifest"));
    st = plan && manifest ? open_query(r, ctx, plan, manifest, q, err)
                          : tr_fail(err, TR_EXC_RUNTIME, "the scheduler gives no plan of query %s", id);
    free(plan);
    json_decref(reply);
  }
  if (st == TR_OK) *out = q;
  else query_free(q);
  return st;
}

/* The latest used first; few are kept. */
static enum tr_status find_query(struct tr_runner *r, struct tr_ctx *ctx, const char *id, struct tr_runner_query **out,
                                 struct tr_error *err) {
  struct tr_runner_query **at = &r->queries, *q;
  int n = 0;
  for (; (q = *at) && strcmp(q->id, id) != 0; at = &q->next) n++;
  if (q) *at = q->next;
  else TR_TRY(load_query(r, ctx, id, &q, err));
  q->next = r->queries;
  r->queries = q;
  *out = q;
  if (n < KEPT_QUERIES) return TR_OK;
  for (at = &r->queries; (*at)->next; at = &(*at)->next) {}
  query_free(*at);
  *at = NULL;
  return TR_OK;
}

/* ---- reports */
static const char *class_of(enum tr_status st, const struct tr_error *err) {
  static const char *const names[] = {[TR_EXC_RUNTIME] = "RuntimeError",
                                      [TR_EXC_VALUE] = "ValueError",
                                      [TR_EXC_TYPE] = "TypeError",
                                      [TR_EXC_KEY] = "KeyError",
                                      [TR_EXC_INDEX] = "IndexError",
                                      [TR_EXC_MEMORY] = "MemoryError",
                                      [TR_EXC_OS] = "OSError",
                                      [TR_EXC_OVERFLOW] = "OverflowError",
                                      [TR_EXC_PARSER] = "ParserError",
                                      [TR_EXC_EMPTY_DATA] = "EmptyDataError",
                                      [TR_EXC_UNICODE] = "UnicodeDecodeError",
                                      [TR_EXC_ARROW_INVALID] = "ArrowInvalid",
                                      [TR_EXC_MERGE] = "MergeError"};
  size_t n = sizeof names / sizeof *names, i = (size_t)err->exc;
  if (st == TR_UNSUPPORTED) return "NotImplementedError";
  if (err->exc == TR_EXC_OS && err->os_errno == ENOENT) return "FileNotFoundError";
  if (err->exc == TR_EXC_OS && err->os_errno == EACCES) return "PermissionError";
  return i < n && names[i] ? names[i] : "RuntimeError";
}

/* Whether another attempt, perhaps on another machine, may do better. What data or plan make fail fails anywhere. */
static bool may_retry(enum tr_status st, const struct tr_error *err) {
  if (st != TR_ERROR) return false;
  if (err->exc == TR_EXC_MEMORY) return true;
  if (err->exc != TR_EXC_OS) return false;
  return err->os_errno != EACCES && err->os_errno != ESTALE && err->os_errno != ENOENT;
}

static void print_head(const json_t *task, struct tr_text *out) {
  tr_text_add_str(out, "{\"query\":");
  tr_text_add_json(out, json_string_value(json_object_get(task, "query")));
  const char *const names[] = {"stage", "task", "attempt"};
  for (int i = 0; i < 3; i++)
    tr_text_add_format(out, ",\"%s\":%" PRId64, names[i], (int64_t)json_integer_value(json_object_get(task, names[i])));
}

/* The text of an error for those who have the key. Without one it stays here: only the log has it. */
static char *seal_error(const struct tr_runner *r, const struct tr_error *err) {
  char text[sizeof err->text + 100], *sealed = NULL;
  /* Where the errno is our own way of saying what the text says, the system's words for it would only confuse. */
  bool said = err->exc != TR_EXC_OS || !err->os_errno || err->os_errno == EAGAIN || err->os_errno == ESTALE;
  snprintf(text, sizeof text, "%s%s%s", said ? "" : strerror(err->os_errno), said ? "" : ": ", err->text);
  if (!r->has_key) fprintf(stderr, "terality-worker: %s\n", text);
  else if (tr_seal_bytes(text, strlen(text), &r->hooks, &sealed, NULL) != TR_OK) sealed = NULL;
  return sealed;
}

static char *finish_text(struct tr_text *t) {
  char *copy = tr_text_check(t, NULL) == TR_OK ? strdup(tr_text_str(t)) : NULL;
  tr_text_free(t);
  return copy;
}

static char *failure_report(const struct tr_runner *r, const json_t *task, enum tr_status st,
                            const struct tr_error *err) {
  struct tr_text out = {0};
  bool lost = r->lost_stage >= 0;
  print_head(task, &out);
  tr_text_add_format(&out, ",\"ok\":false,\"class\":\"%s\",\"retry\":%s", class_of(st, err),
                     may_retry(st, err) || lost ? "true" : "false");
  char *sealed = seal_error(r, err);
  if (sealed) tr_text_add_format(&out, ",\"sealed\":\"%s\"", sealed);
  free(sealed);
  if (lost)
    tr_text_add_format(&out, ",\"lost\":{\"stage\":%" PRId64 ",\"task\":%" PRId64 ",\"attempt\":%" PRId64 "}",
                       r->lost_stage, r->lost_task, r->lost_attempt);
  tr_text_add_char(&out, '}');
  return finish_text(&out);
}

/* `done` is what tr_task_run gave. */
static char *success_report(struct tr_runner *r, struct tr_ctx *ctx, const json_t *task, const json_t *done) {
  struct tr_text out = {0};
  char key[200];
  print_head(task, &out);
  tr_text_add_format(&out, ",\"ok\":true,\"seconds\":%.6f", json_number_value(json_object_get(done, "seconds")));
  tr_text_add_format(&out, ",\"rows\":%" PRId64, (int64_t)json_integer_value(json_object_get(done, "rows")));
  const char *const lists[] = {"segment_rows", "segment_bytes"};
  for (int i = 0; i < 2; i++) {
    char *list = json_dumps(json_object_get(done, lists[i]), JSON_COMPACT);
    tr_text_add_format(&out, ",\"%s\":%s", lists[i], list ? list : "[]");
    free(list);
  }
  if (!json_is_true(json_object_get(done, "won"))) {
    int64_t winner = committed_attempt(r, ctx, json_string_value(json_object_get(task, "query")),
                                       json_integer_value(json_object_get(task, "stage")),
                                       json_integer_value(json_object_get(task, "task")), key);
    if (winner >= 0) tr_text_add_format(&out, ",\"winner\":%" PRId64, winner);
  }
  tr_text_add_char(&out, '}');
  return finish_text(&out);
}

/* The object of an attempt is gone, but its commit is there and would win again. */
static enum tr_status forget_lost(struct tr_runner *r, struct tr_ctx *ctx, const json_t *task, struct tr_error *err) {
  const json_t *replaces = json_object_get(task, "replaces");
  char key[200];
  if (!json_is_integer(replaces)) return TR_OK;
  int64_t attempt = committed_attempt(r, ctx, json_string_value(json_object_get(task, "query")),
                                      json_integer_value(json_object_get(task, "stage")),
                                      json_integer_value(json_object_get(task, "task")), key);
  return attempt == json_integer_value(replaces) ? tr_store_remove(r->store, key, ctx, err) : TR_OK;
}

static enum tr_status run(struct tr_runner *r, struct tr_ctx *ctx, const json_t *task, char **report,
                          struct tr_error *err) {
  struct bucket bucket = {.store = {.store = r->store, .ctx = ctx}, .runner = r};
  struct tr_runner_query *q;
  const char *id = json_string_value(json_object_get(task, "query"));
  if (!id || strlen(id) >= sizeof q->id)
    return tr_fail(err, TR_EXC_RUNTIME, "the scheduler gives a task without query");
  TR_TRY(load_key(r, ctx, err));
  TR_TRY(find_query(r, ctx, id, &q, err));
  TR_TRY(forget_lost(r, ctx, task, err));
  bucket.inner = tr_bucket_of_store(&bucket.store);
  struct tr_task_env env = {
      .ctx = ctx, .bucket = bucket.inner, .sources = tr_sources_reader(q->sources), .compress = true};
  env.bucket.arg = &bucket;
  env.bucket.read = bucket_read;
  return tr_task_run(&env, q->plan, task, report, err);
}

char *tr_runner_run(struct tr_runner *r, struct tr_ctx *ctx, const json_t *task) {
  struct tr_error err = {0};
  char *text = NULL, *report;
  r->lost_stage = -1;
  enum tr_status st = run(r, ctx, task, &text, &err);
  if (st == TR_CANCELLED || atomic_load(&ctx->cancelled)) {
    free(text);
    return NULL;
  }
  if (st != TR_OK) return failure_report(r, task, st, &err);
  json_t *done = json_loads(text, 0, NULL);
  report = success_report(r, ctx, task, done);
  json_decref(done);
  free(text);
  return report;
}
