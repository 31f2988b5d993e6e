/* Commits, and reading what was committed: see task.h. */
#include "base/mem.h"
#include "data/exec/task_int.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

void tr_commit_key(char *out, size_t size, const char *query, int32_t stage, int32_t task) {
  snprintf(out, size, "commit/%s/%d/%d", query, stage, task);
}

static bool read_segment(const json_t *v, struct tr_block_segment *s) {
  int64_t *to[] = {&s->offset, &s->bytes, &s->rows};
  if (json_array_size(v) != 3) return false;
  for (size_t i = 0; i < 3; i++) {
    const json_t *n = json_array_get(v, i);
    if (!json_is_integer(n) || json_integer_value(n) < 0) return false;
    *to[i] = json_integer_value(n);
  }
  return true;
}

static enum tr_status parse_commit(const json_t *o, const char *name, struct tr_commit *out, struct tr_error *err) {
  const char *key = json_string_value(json_object_get(o, "key")), *etag = json_string_value(json_object_get(o, "etag"));
  const json_t *list = json_object_get(o, "segments"), *attempt = json_object_get(o, "attempt");
  size_t n = json_array_size(list);
  bool ok = key && strlen(key) < sizeof out->key && etag && strlen(etag) < sizeof out->etag && json_is_array(list) &&
            n <= TR_COMMIT_SEGMENTS && json_is_integer(attempt);
  if (ok) {
    snprintf(out->key, sizeof out->key, "%s", key);
    snprintf(out->etag, sizeof out->etag, "%s", etag);
    out->attempt = (int32_t)json_integer_value(attempt);
    out->segments = calloc(n + 1, sizeof *out->segments);
    if (!out->segments) return tr_fail_memory(err, n);
    out->n_segments = (int32_t)n;
    for (size_t i = 0; i < n && ok; i++) ok = read_segment(json_array_get(list, i), &out->segments[i]);
  }
  return ok ? TR_OK : tr_fail(err, TR_EXC_VALUE, "commit '%s' is damaged", name);
}

enum tr_status tr_commit_read(const struct tr_bucket *bucket, const char *query, int32_t stage, int32_t task,
                              struct tr_commit *out, struct tr_error *err) {
  char key[TR_KEY_SIZE];
  uint8_t *data;
  size_t bytes, room;
  *out = (struct tr_commit){0};
  tr_commit_key(key, sizeof key, query, stage, task);
  TR_TRY(bucket->get(bucket->arg, key, &data, &bytes, &room, err));
  json_t *o = json_loadb((const char *)data, bytes, JSON_REJECT_DUPLICATES, NULL);
  tr_mem_free(data, room);
  enum tr_status st = parse_commit(o, key, out, err);
  json_decref(o);
  if (st != TR_OK) tr_commit_drop(out);
  return st;
}

void tr_commit_drop(struct tr_commit *c) {
  free(c->segments);
  c->segments = NULL;
}

static char *commit_text(const struct tr_commit *c) {
  json_t *o = json_pack("{s:i,s:s,s:s,s:[]}", "attempt", c->attempt, "key", c->key, "etag", c->etag, "segments");
  json_t *list = json_object_get(o, "segments");
  for (int i = 0; i < c->n_segments; i++)
    json_array_append_new(list, json_pack("[I,I,I]", (json_int_t)c->segments[i].offset,
                                          (json_int_t)c->segments[i].bytes, (json_int_t)c->segments[i].rows));
  char *text = o && json_array_size(list) == (size_t)c->n_segments ? json_dumps(o, JSON_COMPACT) : NULL;
  json_decref(o);
  return text;
}

enum tr_status tr_commit_put(const struct tr_bucket *bucket, const char *query, int32_t stage, int32_t task,
                             const struct tr_commit *c, bool *won, struct tr_error *err) {
  char key[TR_KEY_SIZE];
  char *text = commit_text(c);
  if (!text) return tr_fail_memory(err, 1000);
  tr_commit_key(key, sizeof key, query, stage, task);
  struct tr_error why = {0};
  enum tr_status st = bucket->put(bucket->arg, key, text, strlen(text), true, NULL, &why);
  free(text);
  *won = st == TR_OK;
  if (st == TR_OK || st == TR_CANCELLED) return st;
  /* There is one, or the answer was unclear: what lies there decides. */
  struct tr_commit there;
  struct tr_error none;
  if (tr_commit_read(bucket, query, stage, task, &there, &none) != TR_OK) {
    if (err) *err = why;
    return st;
  }
  *won = there.attempt == c->attempt && strcmp(there.key, c->key) == 0;
  tr_commit_drop(&there);
  return TR_OK;
}

/* Frames of the segment [offset, offset + bytes), put behind those in `list`. */
static enum tr_status read_frames(const struct tr_task_env *env, const struct tr_commit *c, int64_t offset,
                                  int64_t bytes, struct tr_frames *list, struct tr_error *err) {
  void *data;
  if (!bytes) return TR_OK;
  TR_TRY(tr_mem_alloc((size_t)bytes, &data, err));
  enum tr_status st = env->bucket.read(env->bucket.arg, c->key, c->etag, offset, bytes, data, err);
  struct tr_block_cursor at = {data, bytes, c->key};
  while (st == TR_OK && at.left) {
    struct tr_frame *f;
    st = tr_block_next(env->ctx, &at, NULL, -1, &f, err);
    if (st == TR_OK) st = tr_frames_add(list, f, err);
  }
  tr_mem_free(data, (size_t)bytes);
  return st;
}

enum tr_status tr_commit_frames(const struct tr_task_env *env, const struct tr_commit *c, int32_t segment,
                                struct tr_frames *list, struct tr_error *err) {
  if (segment >= c->n_segments) return tr_fail(err, TR_EXC_VALUE, "object '%s' has no segment %d", c->key, segment);
  if (segment >= 0) return read_frames(env, c, c->segments[segment].offset, c->segments[segment].bytes, list, err);
  int64_t bytes = 0; /* all: they lie one after another */
  for (int i = 0; i < c->n_segments; i++) bytes += c->segments[i].bytes;
  return read_frames(env, c, c->n_segments ? c->segments[0].offset : 0, bytes, list, err);
}

enum tr_status tr_frames_add(struct tr_frames *list, struct tr_frame *f, struct tr_error *err) {
  if (list->n == list->room) {
    int room = list->room ? 2 * list->room : 16;
    struct tr_frame **frames = realloc(list->frames, sizeof *frames * (size_t)room);
    if (!frames) {
      tr_frame_unref(f);
      return tr_fail_memory(err, sizeof *frames * (size_t)room);
    }
    list->frames = frames;
    list->room = room;
  }
  list->frames[list->n++] = f;
  return TR_OK;
}

void tr_frames_drop(struct tr_frames *list) {
  for (int i = 0; i < list->n; i++) tr_frame_unref(list->frames[i]);
  free(list->frames);
  *list = (struct tr_frames){0};
}

/* ---- many at a time: what takes time is waiting for the bucket, so there are more readers than cores */
enum { MOST_READERS = 16 };

struct reading {
  const struct tr_task_env *env;
  const char *query;
  int32_t stage, first, n, segment;
  struct tr_frames *lists; /* per task */
  _Atomic int32_t next;
  pthread_mutex_t lock;
  int32_t failed; /* the first task that failed, n = none; with its error, under the lock */
  enum tr_status status;
  struct tr_error err;
};

static enum tr_status read_one(struct reading *r, int32_t i, struct tr_error *err) {
  struct tr_commit c;
  TR_TRY(tr_commit_read(&r->env->bucket, r->query, r->stage, r->first + i, &c, err));
  enum tr_status st = tr_commit_frames(r->env, &c, r->segment, &r->lists[i], err);
  tr_commit_drop(&c);
  return st;
}

static void *read_some(void *arg) {
  struct reading *r = arg;
  for (int32_t i; (i = atomic_fetch_add(&r->next, 1)) < r->n;) {
    struct tr_error err = {0};
    enum tr_status st = read_one(r, i, &err);
    if (st == TR_OK) continue;
    pthread_mutex_lock(&r->lock);
    if (i < r->failed) {
      r->failed = i;
      r->status = st;
      r->err = err;
    }
    pthread_mutex_unlock(&r->lock);
    atomic_store(&r->next, r->n); /* those under way end by themselves */
  }
  return NULL;
}

enum tr_status tr_commits_frames(const struct tr_task_env *env, const char *query, int32_t stage, int32_t first,
                                 int32_t end, int32_t segment, struct tr_frames *list, struct tr_error *err) {
  struct reading r = {.env = env, .query = query, .stage = stage, .first = first, .n = end - first, .segment = segment};
  pthread_t threads[MOST_READERS];
  int n_threads = 0;
  enum tr_status st = TR_OK;
  r.failed = r.n;
  r.lists = calloc((size_t)r.n + 1, sizeof *r.lists);
  if (!r.lists) return tr_fail_memory(err, sizeof *r.lists * (size_t)r.n);
  pthread_mutex_init(&r.lock, NULL);
  while (n_threads < MOST_READERS && n_threads < r.n - 1) /* this thread reads too; fewer threads only take longer */
    if (pthread_create(&threads[n_threads], NULL, read_some, &r) == 0) n_threads++;
    else break;
  read_some(&r);
  for (int t = 0; t < n_threads; t++) pthread_join(threads[t], NULL);
  pthread_mutex_destroy(&r.lock);
  if (r.failed < r.n) {
    st = r.status;
    if (err) *err = r.err;
  }
  for (int32_t i = 0; i < r.n; i++) {
    for (int k = 0; k < r.lists[i].n && st == TR_OK; k++) {
      struct tr_frame *f = r.lists[i].frames[k];
      r.lists[i].frames[k] = NULL;
      st = tr_frames_add(list, f, err);
    }
    tr_frames_drop(&r.lists[i]);
  }
  free(r.lists);
  return st;
}

enum tr_status tr_task_read_result(const struct tr_task_env *env, const char *query, int32_t stage, int32_t n_tasks,
                                   struct tr_frame **out, struct tr_error *err) {
  struct tr_frames list = {0};
  *out = NULL;
  enum tr_status st = tr_commits_frames(env, query, stage, 0, n_tasks, -1, &list, err);
  if (st == TR_OK) st = tr_exchange_join(env->ctx, list.frames, list.n, out, err);
  tr_frames_drop(&list);
  if (st == TR_OK && !*out) return tr_fail(err, TR_EXC_RUNTIME, "query %s gave no result", query);
  return st;
}
