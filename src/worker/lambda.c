/* The worker as bootstrap of an AWS Lambda function: waits for invocations at the runtime API and works a shift in
 * each.
 *
 * An invocation is a wake-up call; its payload is not looked at, for whoever may invoke the function shall not be able
 * to tell the worker anything. Replies and errors hold nothing of data either: the invoker may read them.
 *
 * Between invocations the process is frozen, for a moment or for an hour. What was open then is not trusted: after a
 * longer gap connections are made anew. A task that a shift had to leave behind is stopped when the process thaws.
 */
#include "base/json_text.h"
#include "base/mem.h"
#include "worker/worker.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ANSWER_MS = 10000, INIT_ERROR_MS = 3000, GAP_MS = 3000, TRIES = 5, REQUEST_ID = 64 };
/* A deadline below this is a duration, as stand-ins of the runtime API give it. */
static const int64_t least_epoch_ms = (int64_t)1 << 40;

struct lambda {
  struct tr_http *http;
  char base[400]; /* of the runtime API */
  char request[REQUEST_ID];
  int64_t answered_ms; /* wall clock */
};

const char *tr_lambda_api(void) {
  const char *api = getenv("AWS_LAMBDA_RUNTIME_API");
  return api && *api ? api : NULL;
}

static int64_t wall_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Sends to the runtime API. False when it did not take it, which is told on stderr. */
static bool tell(struct lambda *l, const char *path, const char *error_type, const char *body, int64_t deadline_ms) {
  struct tr_http_reply reply;
  struct tr_error err;
  char url[500];
  const struct tr_http_header headers[] = {{"Content-Type", "application/json"},
                                           {"Lambda-Runtime-Function-Error-Type", error_type ? error_type : ""}};
  snprintf(url, sizeof url, "%s%s", l->base, path);
  const struct tr_http_request request = {.method = "POST",
                                          .url = url,
                                          .headers = headers,
                                          .n_headers = error_type ? 2 : 1,
                                          .body = body,
                                          .body_bytes = strlen(body),
                                          .deadline_ms = deadline_ms,
                                          .user_agent = "terality-worker"};
  enum tr_status st = tr_http_call(l->http, &request, NULL, &reply, &err);
  bool good = st == TR_OK && reply.status / 100 == 2;
  if (!good)
    fprintf(stderr, "terality-worker: the runtime API: POST %s: %s (status %d)\n", path,
            st == TR_OK ? "refused" : err.text, reply.status);
  tr_http_reply_free(&reply);
  l->answered_ms = wall_ms();
  return good;
}

static void tell_error(struct lambda *l, const char *path, const char *type, const struct tr_error *why,
                       int64_t deadline_ms) {
  struct tr_text body = {0};
  tr_text_add_str(&body, "{\"errorMessage\":");
  tr_text_add_json(&body, why->text);
  tr_text_add_format(&body, ",\"errorType\":\"%s\",\"stackTrace\":[]}", type);
  tell(l, path, type, tr_text_str(&body), deadline_ms);
  tr_text_free(&body);
}

static bool asked_to_end(void *arg) {
  (void)arg;
  return tr_worker_is_drained();
}

/* The id goes into paths and to the scheduler. */
static bool keep_request(struct lambda *l, const char *id) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
  if (!id || !*id || strlen(id) >= sizeof l->request || id[strspn(id, allowed)]) return false;
  strcpy(l->request, id);
  return true;
}

/* Waits for the next invocation, however long. TR_CANCELLED when told to end. */
TR_MUST_USE static enum tr_status next(struct lambda *l, struct tr_worker_shift *shift, struct tr_error *err) {
  struct tr_http_reply reply;
  struct tr_ctx ctx;
  char url[500];
  tr_ctx_init(&ctx);
  ctx.poll = asked_to_end;
  snprintf(url, sizeof url, "%s/invocation/next", l->base);
  const struct tr_http_request request = {
      .method = "GET", .url = url, .deadline_ms = (int64_t)365 * 86400 * 1000, .user_agent = "terality-worker"};
  enum tr_status st = tr_http_call(l->http, &request, &ctx, &reply, err);
  if (st == TR_OK && reply.status != 200)
    st = tr_fail(err, TR_EXC_RUNTIME, "the runtime API answers %d to GET /invocation/next", reply.status);
  if (st == TR_OK && !keep_request(l, tr_http_reply_header(&reply, "lambda-runtime-aws-request-id")))
    st = tr_fail(err, TR_EXC_RUNTIME, "the runtime API gives an invocation without a proper request id");
  if (st == TR_OK) {
    const char *deadline = tr_http_reply_header(&reply, "lambda-runtime-deadline-ms");
    int64_t ms = deadline ? strtoll(deadline, NULL, 10) : 0;
    *shift = (struct tr_worker_shift){0};
    snprintf(shift->name, sizeof shift->name, "%s", l->request);
    snprintf(shift->instance, sizeof shift->instance, "%s", l->request);
    if (ms > 0) tr_worker_shift_limit(shift, ms > least_epoch_ms ? ms - wall_ms() : ms);
  }
  tr_http_reply_free(&reply);
  return st;
}

static void serve(struct lambda *l, struct tr_worker *w, struct tr_worker_shift *shift) {
  char path[REQUEST_ID + 40], body[200];
  struct tr_error err;
  if (l->answered_ms && llabs(wall_ms() - l->answered_ms) > GAP_MS) tr_worker_thaw(w);
  enum tr_status st = tr_worker_work(w, shift, &err);
  if (st != TR_OK) {
    fprintf(stderr, "terality-worker: %s\n", err.text);
    snprintf(path, sizeof path, "/invocation/%s/error", l->request);
    tell_error(l, path, "Worker.Scheduler", &err, ANSWER_MS);
    return;
  }
  snprintf(path, sizeof path, "/invocation/%s/response", l->request);
  snprintf(body, sizeof body, "{\"tasks\":%" PRId64 ",\"end\":\"%s\"}", shift->n_tasks, shift->end);
  tell(l, path, NULL, body, ANSWER_MS);
}

static int serve_all(struct lambda *l, struct tr_worker *w) {
  struct tr_error err;
  int failures = 0;
  while (!tr_worker_is_drained()) {
    struct tr_worker_shift shift;
    enum tr_status st = next(l, &shift, &err);
    if (st == TR_CANCELLED) break;
    if (st == TR_OK) {
      failures = 0;
      serve(l, w, &shift);
      continue;
    }
    fprintf(stderr, "terality-worker: %s\n", err.text);
    if (++failures == TRIES) return 1;
    nanosleep(&(struct timespec){0, 100000000L << failures}, NULL);
  }
  return 0;
}

int tr_lambda_run(const char *api) {
  static struct tr_worker_settings settings;
  struct lambda l = {0};
  struct tr_worker *w = NULL;
  struct tr_error err;
  enum tr_status st = tr_http_new(NULL, &l.http, &err);
  int n = snprintf(l.base, sizeof l.base, "http://%s/2018-06-01/runtime", api);
  if (st == TR_OK && (size_t)n >= sizeof l.base) st = tr_fail(&err, TR_EXC_VALUE, "AWS_LAMBDA_RUNTIME_API is too long");
  if (st == TR_OK) st = tr_worker_settings_lambda(&settings, &err);
  if (st == TR_OK) st = tr_worker_open(&settings, &w, &err);
  int status = 1;
  if (st == TR_OK) {
    status = serve_all(&l, w);
    tr_worker_close(w);
  } else {
    fprintf(stderr, "terality-worker: %s\n", err.text);
    if (l.http) tell_error(&l, "/init/error", "Worker.Settings", &err, INIT_ERROR_MS);
  }
  tr_http_free(l.http);
  return status;
}
