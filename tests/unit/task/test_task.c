/* Tasks against a bucket that misbehaves: many attempts of one task leave one committed object and the right rows; an
 * answer that is lost is settled by looking; what is damaged, missing or malformed is an error that says so, and no
 * memory is left behind. What tasks compute is compared with pandas by the parity tests' "in stages". */
#include "../plan_seal/toy_crypto.h"
#include "base/mem.h"
#include "data/exec/bucket.h"
#include "data/exec/exec.h"
#include "data/exec/task.h"
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- a bucket in memory */
enum { MOST = 400 };
static struct {
  char *key;
  uint8_t *data;
  size_t bytes;
} objects[MOST];
static int n_objects;
static enum { USUAL, ANSWER_LOST, WRITES_FAIL } mood; /* of commits */

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
  (void)arg;
  if (i < 0) return tr_fail_os(err, ENOENT, "%s", key);
  assert_string_equal(etag, "e");
  assert_true(offset >= 0 && (size_t)(offset + bytes) <= objects[i].bytes);
  memcpy(to, objects[i].data + offset, (size_t)bytes);
  return TR_OK;
}

static enum tr_status put(void *arg, const char *key, const void *data, size_t bytes, bool if_absent, char *etag,
                          struct tr_error *err) {
  (void)arg;
  if (find(key) >= 0) return tr_fail_os(err, if_absent ? EEXIST : EINVAL, "%s", key);
  if (if_absent && mood == WRITES_FAIL) return tr_fail_os(err, EAGAIN, "%s", key);
  assert_true(n_objects < MOST);
  objects[n_objects].key = strdup(key);
  objects[n_objects].data = malloc(bytes + 1);
  objects[n_objects].bytes = bytes;
  memcpy(objects[n_objects++].data, data, bytes);
  if (etag) strcpy(etag, "e");
  return if_absent && mood == ANSWER_LOST ? tr_fail_os(err, ETIMEDOUT, "%s", key) : TR_OK;
}

/* ---- a plan of one source of six rows in two pieces: the sum per key */
static struct tr_ctx ctx;
static struct tr_task_plan *plan;
static struct tr_stages stages;
static const int64_t keys[] = {1, 2, 1, 3, 2, 1}, values[] = {1, 10, 100, 1000, 10000, 100000};

static enum tr_status read_source(void *arg, struct tr_ctx *c, int32_t source, int32_t from, int32_t to,
                                  const bool *need, struct tr_frame **out, struct tr_error *err) {
  struct tr_array *cols[2] = {NULL, NULL};
  enum tr_status st = TR_OK;
  (void)arg, (void)c, (void)need;
  assert_int_equal(source, 0);
  if (to < 0) to = 2;
  for (int i = 0; i < 2; i++) {
    TR_GOTO(st, tr_array_new(tr_dtype_of(TR_I64), 3 * (to - from), &cols[i], err));
    memcpy(tr_array_data(cols[i]), (i ? values : keys) + 3 * from, sizeof(int64_t) * 3 * (size_t)(to - from));
  }
  st = tr_frame_new(3 * (to - from), 2, cols, out, err);
done:
  tr_array_unref(cols[0]);
  tr_array_unref(cols[1]);
  return st;
}

static const struct tr_bucket in_memory = {NULL, get, read_range, put};
static struct tr_task_env env = {
    .ctx = &ctx, .bucket = {NULL, get, read_range, put}, .sources = {NULL, read_source}, .compress = true};

static const char *const text =
    "{\"version\":1,\"sources\":[{\"kind\":\"FRAME\",\"rows\":6,\"cols\":[{\"dtype\":\"int64\"},{\"dtype\":\"int64\"}]}"
    "],"
    "\"exprs\":[{\"op\":\"COL\",\"column\":0,\"dtype\":\"int64\"},{\"op\":\"COL\",\"column\":1,\"dtype\":\"int64\"}],"
    "\"nodes\":[{\"source\":0},{\"kind\":\"AGGREGATE\",\"inputs\":[0],\"exprs\":[0,1],\"n_keys\":1,\"items\":[{"
    "\"kind\":"
    "\"agg\",\"fn\":\"sum\",\"expr\":1,\"skipna\":true,\"dtype\":\"int64\"}],\"options\":{\"dropna\":true}}]}";

static int setup(void **state) {
  char *sealed;
  struct tr_error err = {0};
  struct tr_shape shape;
  const int64_t rows[] = {3, 3};
  const struct tr_stage_source source = {2, rows};
  const struct tr_stage_options options = {3, -1, 2};
  (void)state;
  tr_ctx_init(&ctx);
  ctx.threads = 1;
  if (tr_plan_seal(text, strlen(text), &toy_hooks, &sealed, &err) != TR_OK) return 1;
  if (tr_shape_decode(sealed, strlen(sealed), NULL, &shape, &err) != TR_OK) return 1;
  if (tr_stages_cut(&shape, &source, 1, &options, &stages, &err) != TR_OK) return 1;
  if (tr_task_plan_open(sealed, strlen(sealed), &toy_hooks, &plan, &err) != TR_OK) return 1;
  free(sealed);
  tr_shape_drop(&shape);
  return stages.n != 3;
}

static int teardown(void **state) {
  (void)state;
  tr_task_plan_free(plan);
  tr_stages_drop(&stages);
  return 0;
}

static int empty_bucket(void **state) {
  (void)state;
  for (int i = 0; i < n_objects; i++) {
    free(objects[i].key);
    free(objects[i].data);
  }
  n_objects = 0;
  mood = USUAL;
  return 0;
}

static char query[20] = "q1";

static json_t *task_of(int stage, int task, int attempt) {
  const struct tr_stage *s = &stages.stages[stage];
  char *fragment;
  assert_int_equal(tr_stage_encode(s, &fragment, NULL), TR_OK);
  json_t *pieces = json_array();
  for (int i = s->first_piece[task]; i < s->first_piece[task + 1]; i++)
    json_array_append_new(pieces,
                          json_pack("{s:i,s:i,s:i}", "source", 0, "from", s->pieces[i].from, "to", s->pieces[i].to));
  json_t *o = json_pack("{s:s,s:i,s:i,s:i,s:o,s:o}", "query", query, "stage", stage, "task", task, "attempt", attempt,
                        "fragment", json_loads(fragment, 0, NULL), "pieces", pieces);
  free(fragment);
  return o;
}

static enum tr_status run(int stage, int task, int attempt, bool *won, struct tr_error *err) {
  json_t *o = task_of(stage, task, attempt);
  char *report;
  enum tr_status st = tr_task_run(&env, plan, o, &report, err);
  json_decref(o);
  json_t *r = report ? json_loads(report, 0, NULL) : NULL;
  *won = json_is_true(json_object_get(r, "won"));
  json_decref(r);
  free(report);
  return st;
}

static void run_query(int attempts) {
  struct tr_error err = {0};
  for (int s = 0; s < stages.n; s++)
    for (int t = 0; t < stages.stages[s].n_tasks; t++) {
      int winners = 0;
      for (int a = 0; a < attempts; a++) {
        bool won;
        enum tr_status st = run(s, t, a, &won, &err);
        if (st != TR_OK) fail_msg("%s", err.text);
        winners += won;
      }
      assert_int_equal(winners, 1);
    }
}

static void check_result(void) {
  static const int64_t want_keys[] = {1, 2, 3}, want_sums[] = {100101, 10010, 1000};
  struct tr_frame *f;
  struct tr_error err = {0};
  enum tr_status st = tr_task_read_result(&env, query, stages.n - 1, stages.stages[stages.n - 1].n_tasks, &f, &err);
  if (st != TR_OK) fail_msg("%s", err.text);
  assert_int_equal(f->n_rows, 3);
  assert_memory_equal(tr_array_data(f->cols[0]), want_keys, sizeof want_keys);
  assert_memory_equal(tr_array_data(f->cols[1]), want_sums, sizeof want_sums);
  tr_frame_unref(f);
}

static void test_once(void **state) {
  (void)state;
  size_t used = tr_mem_used();
  run_query(1);
  check_result();
  assert_int_equal(tr_mem_used(), used);
}

static void test_many_attempts(void **state) {
  (void)state;
  run_query(16);
  check_result();
}

static void test_lost_answer(void **state) {
  (void)state;
  mood = ANSWER_LOST;
  run_query(2);
  check_result();
}

static void test_commit_fails(void **state) {
  struct tr_error err = {0};
  bool won;
  (void)state;
  mood = WRITES_FAIL;
  assert_int_equal(run(0, 0, 0, &won, &err), TR_ERROR);
  assert_int_equal(err.os_errno, EAGAIN);
}

static void test_damage(void **state) {
  struct tr_error err = {0};
  bool won;
  (void)state;
  assert_int_equal(run(1, 0, 0, &won, &err), TR_ERROR); /* nothing there to read */
  assert_int_equal(err.os_errno, ENOENT);
  run_query(1);
  for (int i = 0; i < n_objects; i++)
    if (strncmp(objects[i].key, "shuffle/", 8) == 0) objects[i].data[60] ^= 1;
  assert_int_equal(run(1, 0, 7, &won, &err), TR_ERROR);
  assert_non_null(strstr(err.text, "block 'shuffle/"));
  int c = find("commit/q1/0/0");
  memcpy(objects[c].data, "{}", 2);
  objects[c].bytes = 2;
  assert_int_equal(run(1, 0, 8, &won, &err), TR_ERROR);
  assert_string_equal(err.text, "commit 'commit/q1/0/0' is damaged");
}

static void test_malformed(void **state) {
  static const char *const fields[] = {"query", "stage", "task", "attempt", "fragment"};
  (void)state;
  for (int i = 0; i < 5; i++)
    for (int how = 0; how < 3; how++) {
      json_t *o = task_of(0, 1, 0);
      struct tr_error err = {0};
      char *report;
      if (how == 0) json_object_del(o, fields[i]);
      else json_object_set_new(o, fields[i], how == 1 ? json_integer(-1) : json_string("../x"));
      assert_int_equal(tr_task_run(&env, plan, o, &report, &err), TR_ERROR);
      assert_int_equal(err.exc, TR_EXC_VALUE);
      json_decref(o);
    }
  json_t *o = task_of(0, 1, 0);
  struct tr_error err = {0};
  char *report;
  json_object_set_new(o, "pieces", json_array());
  assert_int_equal(tr_task_run(&env, plan, o, &report, &err), TR_ERROR);
  assert_string_equal(err.text, "task: no pieces of the source at node 0");
  json_decref(o);
  assert_int_equal(n_objects, 0);
}

/* Every allocation fails once: an error or a result, and nothing is lost. */
static void test_no_memory(void **state) {
  (void)state;
  for (int n = 1, failed = 1; failed; n++) {
    struct tr_error err = {0};
    bool won;
    size_t used = tr_mem_used();
    failed = 0;
    for (int s = 0; s < stages.n && !failed; s++)
      for (int t = 0; t < stages.stages[s].n_tasks && !failed; t++) {
        tr_mem_fail_at(n);
        failed = run(s, t, 0, &won, &err) != TR_OK;
        tr_mem_fail_at(0);
        if (failed) assert_int_equal(err.exc, TR_EXC_MEMORY);
      }
    assert_int_equal(tr_mem_used(), used);
    if (!failed) check_result();
    empty_bucket(NULL);
  }
}

/* ---- sixteen attempts of one task at once, over a real store */
enum { ATTEMPTS = 16, ROUNDS = 200 };
struct attempt {
  pthread_t thread;
  pthread_barrier_t *begin;
  json_t *task;
  struct tr_ctx ctx;
  enum tr_status status;
  struct tr_error err;
  bool won;
};

static void *run_attempt(void *arg) {
  struct attempt *a = arg;
  struct tr_task_env mine = env;
  char *report = NULL;
  mine.ctx = &a->ctx;
  pthread_barrier_wait(a->begin);
  a->status = tr_task_run(&mine, plan, a->task, &report, &a->err);
  a->won = report && strstr(report, "\"won\":true");
  free(report);
  return NULL;
}

static void race(int stage, int task) {
  struct attempt attempts[ATTEMPTS];
  pthread_barrier_t begin;
  int winners = 0;
  pthread_barrier_init(&begin, NULL, ATTEMPTS);
  for (int i = 0; i < ATTEMPTS; i++) {
    attempts[i] = (struct attempt){.begin = &begin, .task = task_of(stage, task, i)};
    tr_ctx_init(&attempts[i].ctx);
    attempts[i].ctx.threads = 1;
    assert_int_equal(pthread_create(&attempts[i].thread, NULL, run_attempt, &attempts[i]), 0);
  }
  for (int i = 0; i < ATTEMPTS; i++) {
    pthread_join(attempts[i].thread, NULL);
    json_decref(attempts[i].task);
    if (attempts[i].status != TR_OK) fail_msg("attempt %d: %s", i, attempts[i].err.text);
    winners += attempts[i].won;
  }
  pthread_barrier_destroy(&begin);
  assert_int_equal(winners, 1);
}

static void race_over(const char *url) {
  struct tr_error err = {0};
  struct tr_store *store;
  int n_tasks = 0, done = 0;
  for (int s = 0; s < stages.n; s++) n_tasks += stages.stages[s].n_tasks;
  assert_int_equal(tr_store_open(url, NULL, 0, &store, &err), TR_OK);
  assert_int_equal(tr_store_make(store, NULL, &err), TR_OK);
  struct tr_bucket_store bucket = {store, NULL};
  env.bucket = tr_bucket_of_store(&bucket);
  for (int round = 0; round < ROUNDS; round++, done = 0) {
    snprintf(query, sizeof query, "q%d", round);
    for (int s = 0; s < stages.n; s++)
      for (int t = 0; t < stages.stages[s].n_tasks; t++) {
        bool won = true;
        if (done++ == round % n_tasks) race(s, t);
        else assert_int_equal(run(s, t, 0, &won, &err), TR_OK);
        assert_true(won);
      }
    check_result();
  }
  strcpy(query, "q1");
  env.bucket = in_memory;
  tr_store_unref(store);
}

static void test_race(void **state) {
  char folder[] = "/tmp/terality-race.XXXXXX", command[60];
  (void)state;
  race_over("memory://");
  assert_non_null(mkdtemp(folder));
  race_over(folder);
  snprintf(command, sizeof command, "rm -r %s", folder);
  assert_int_equal(system(command), 0);
}

/* The races alone, over the store that TERALITY_TEST_STORE names. */
static void test_race_there(void **state) {
  (void)state;
  race_over(getenv("TERALITY_TEST_STORE"));
}

int main(void) {
  const struct CMUnitTest there[] = {cmocka_unit_test(test_race_there)};
  const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_once, empty_bucket),
                                     cmocka_unit_test_teardown(test_many_attempts, empty_bucket),
                                     cmocka_unit_test_teardown(test_lost_answer, empty_bucket),
                                     cmocka_unit_test(test_race),
                                     cmocka_unit_test_teardown(test_commit_fails, empty_bucket),
                                     cmocka_unit_test_teardown(test_damage, empty_bucket),
                                     cmocka_unit_test_teardown(test_malformed, empty_bucket),
                                     cmocka_unit_test_teardown(test_no_memory, empty_bucket)};
  if (getenv("TERALITY_TEST_STORE")) return cmocka_run_group_tests(there, setup, teardown);
  return cmocka_run_group_tests(tests, setup, teardown);
}
