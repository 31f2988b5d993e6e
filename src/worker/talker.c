/* The conversation with the scheduler, and the thread that runs tasks: see worker.h. */
#include "base/json_text.h"
#include "base/mem.h"
#include "worker/worker.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
  HELD = 2,
  POLL_MS = 20000,
  ANSWER_MS = 15000,
  FIRST_PAUSE_MS = 50,
  LAST_PAUSE_MS = 2000,
  PATIENCE_MS = 600000,
  AUDIT_MS = 5000
};

struct held {
  json_t *task;
  bool cancelled;
};

struct worker {
  const struct tr_worker_settings *settings;
  struct tr_link link;
  struct tr_store *store;
  struct tr_audit audit;
  struct tr_runner runner;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  /* Under the lock. held[0] is the task that runs, if `running`. */
  struct held held[HELD];
  int n_held;
  bool running, ending, draining;
  char **reports; /* not yet taken by the scheduler */
  int n_reports;
  struct tr_ctx task_ctx;
  /* Of the talker. */
  struct tr_ctx poll_ctx;
  int64_t last_task; /* when there was one */
};

/* Set from a signal's thread; `drains` counts how often. */
static _Atomic int drains;
static struct worker *_Atomic active;

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void tr_worker_drain(void) {
  int before = atomic_fetch_add(&drains, 1);
  struct worker *w = atomic_load(&active);
  if (!w) return;
  tr_ctx_cancel(&w->poll_ctx);
  pthread_mutex_lock(&w->lock);
  if (before > 0) tr_ctx_cancel(&w->task_ctx);
  pthread_cond_broadcast(&w->changed);
  pthread_mutex_unlock(&w->lock);
}

static const char *text_of(const json_t *task, const char *name) {
  return json_string_value(json_object_get(task, name));
}

/* Under the lock. Takes the report. */
static void add_report(struct worker *w, char *report) {
  char **list = report ? realloc(w->reports, sizeof *list * ((size_t)w->n_reports + 1)) : NULL;
  if (!list) {
    free(report); /* the lease will run out */
    return;
  }
  w->reports = list;
  w->reports[w->n_reports++] = report;
}

/* Under the lock. */
static void drop_held(struct worker *w, int i) {
  json_decref(w->held[i].task);
  memmove(&w->held[i], &w->held[i + 1], sizeof w->held[0] * (size_t)(w->n_held - i - 1));
  w->n_held--;
}

/* The task goes back unfinished; no attempt is counted. */
static char *returned_report(const json_t *task) {
  json_t *o = json_object();
  const char *const names[] = {"query", "stage", "task", "attempt"};
  for (int i = 0; i < 4; i++) json_object_set(o, names[i], json_object_get(task, names[i]));
  json_object_set_new(o, "ok", json_false());
  json_object_set_new(o, "class", json_string("Drained"));
  json_object_set_new(o, "returned", json_true());
  char *text = json_dumps(o, JSON_COMPACT);
  json_decref(o);
  return text;
}

/* Under the lock. */
static bool is_draining(const struct worker *w) { return w->draining || atomic_load(&drains) > 0; }

/* One line per task for whoever collects logs: CloudWatch's embedded metric format. */
static void log_task(const char *report, double seconds) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  json_t *o = report ? json_loads(report, 0, NULL) : NULL;
  bool ok = json_is_true(json_object_get(o, "ok"));
  printf("{\"_aws\":{\"Timestamp\":%lld,\"CloudWatchMetrics\":[{\"Namespace\":\"terality\",\"Dimensions\":[[]],"
         "\"Metrics\":[{\"Name\":\"TaskSeconds\",\"Unit\":\"Seconds\"},{\"Name\":\"TaskRows\",\"Unit\":\"Count\"},"
         "{\"Name\":\"TaskFailures\",\"Unit\":\"Count\"}]}]},\"TaskSeconds\":%.6f,\"TaskRows\":%lld,"
         "\"TaskFailures\":%d}\n",
         (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000, seconds,
         (long long)json_integer_value(json_object_get(o, "rows")), !ok);
  fflush(stdout);
  json_decref(o);
}

static void *run_tasks(void *arg) {
  struct worker *w = arg;
  pthread_mutex_lock(&w->lock);
  while (true) {
    while ((!w->n_held || is_draining(w)) && !w->ending) pthread_cond_wait(&w->changed, &w->lock);
    if (!w->n_held) break;
    json_t *task = w->held[0].task;
    w->running = true;
    tr_ctx_init(&w->task_ctx);
    pthread_mutex_unlock(&w->lock);
    int64_t begin = now_ms();
    char *report = tr_runner_run(&w->runner, &w->task_ctx, task);
    if (tr_audit_due(&w->audit)) tr_audit_write(&w->audit, AUDIT_MS);
    if (w->settings->metrics) log_task(report, (double)(now_ms() - begin) / 1000);
    pthread_mutex_lock(&w->lock);
    w->running = false;
    /* Stopped by a second signal: somebody else may run it. */
    if (!report && !w->held[0].cancelled) report = returned_report(task);
    if (!w->held[0].cancelled) add_report(w, report);
    else free(report);
    drop_held(w, 0);
    pthread_cond_broadcast(&w->changed);
  }
  pthread_mutex_unlock(&w->lock);
  return NULL;
}

/* ---- the talker */
struct call {
  struct tr_text body;
  int n_reports; /* of w->reports, that the body holds */
  int64_t wait_ms;
  bool waits;
};

/* Under the lock: waits until there is something to say. False when it is time to end. */
static bool next_call(struct worker *w, int64_t renew_at) {
  while (true) {
    if (is_draining(w))
      while (w->n_held > w->running) {
        add_report(w, returned_report(w->held[w->running].task));
        drop_held(w, w->running);
      }
    if (w->n_reports) return true;
    int64_t now = now_ms(), idle = w->settings->idle_ms;
    if (!w->n_held) return !is_draining(w) && !(idle && now >= w->last_task + idle);
    if (now >= renew_at) return true;
    struct timespec until = {renew_at / 1000, renew_at % 1000 * 1000000};
    pthread_cond_timedwait(&w->changed, &w->lock, &until);
  }
}

/* Under the lock. */
static void compose(const struct worker *w, struct call *c) {
  const struct tr_worker_settings *s = w->settings;
  int want = is_draining(w) ? 0 : HELD - w->n_held;
  c->waits = want > 0 && !w->n_held;
  c->wait_ms = c->waits ? POLL_MS : 0;
  if (c->waits && s->idle_ms && w->last_task + s->idle_ms - now_ms() < POLL_MS) {
    int64_t left = w->last_task + s->idle_ms - now_ms();
    c->wait_ms = left > 0 ? left : 0;
  }
  tr_text_add_format(&c->body,
                     "{\"worker\":\"%s\",\"kind\":\"%s\",\"cores\":%d,\"memory\":%zu,\"want\":%d,\"wait_ms\":%lld,"
                     "\"running\":[",
                     s->name, s->kind, tr_pool_cores(), tr_mem_budget(), want, (long long)c->wait_ms);
  const char *comma = "";
  for (int i = 0; i < w->n_held; i++) {
    if (w->held[i].cancelled) continue;
    tr_text_add_str(&c->body, comma);
    tr_text_add_json(&c->body, text_of(w->held[i].task, "lease"));
    comma = ",";
  }
  tr_text_add_str(&c->body, "],\"reports\":[");
  for (int i = 0; i < w->n_reports; i++) {
    if (i) tr_text_add_char(&c->body, ',');
    tr_text_add_str(&c->body, w->reports[i]);
  }
  tr_text_add_str(&c->body, "]}");
  c->n_reports = w->n_reports;
}

/* Under the lock. */
static void forget_reports(struct worker *w, int n) {
  for (int i = 0; i < n; i++) free(w->reports[i]);
  w->n_reports -= n;
  if (w->n_reports) memmove(w->reports, w->reports + n, sizeof *w->reports * (size_t)w->n_reports);
}

/* Under the lock: a lease that need not go on. */
static void cancel_lease(struct worker *w, const char *lease) {
  for (int i = 0; lease && i < w->n_held; i++) {
    if (strcmp(text_of(w->held[i].task, "lease"), lease) != 0) continue;
    w->held[i].cancelled = true;
    if (i == 0 && w->running) tr_ctx_cancel(&w->task_ctx);
    else drop_held(w, i--);
  }
}

static void take_reply(struct worker *w, const json_t *reply, int n_reported) {
  const json_t *tasks = json_object_get(reply, "tasks"), *cancel = json_object_get(reply, "cancel");
  pthread_mutex_lock(&w->lock);
  forget_reports(w, n_reported);
  for (size_t i = 0; i < json_array_size(cancel); i++) cancel_lease(w, json_string_value(json_array_get(cancel, i)));
  for (size_t i = 0; i < json_array_size(tasks) && w->n_held < HELD; i++) {
    json_t *task = json_array_get(tasks, i);
    if (text_of(task, "lease")) w->held[w->n_held++] = (struct held){json_incref(task), false};
  }
  if (json_is_true(json_object_get(reply, "drain"))) w->draining = true;
  if (w->n_held) w->last_task = now_ms();
  pthread_cond_broadcast(&w->changed);
  pthread_mutex_unlock(&w->lock);
}

/* Waits before the same call is made again, shorter when told to end. */
static void pause_ms(struct worker *w, int64_t ms) {
  int64_t end = now_ms() + ms;
  struct timespec until = {end / 1000, end % 1000 * 1000000};
  pthread_mutex_lock(&w->lock);
  while (now_ms() < end && pthread_cond_timedwait(&w->changed, &w->lock, &until) == 0) {}
  pthread_mutex_unlock(&w->lock);
}

/* What a refusal means: reports that the scheduler cannot take are dropped, their leases run out; anything else ends
 * the worker, for it would be refused again. */
static enum tr_status refused(struct worker *w, int status, const struct call *c, const struct tr_error *why,
                              struct tr_error *err) {
  fprintf(stderr, "terality-worker: %s\n", why->text);
  if ((status == 400 || status == 413) && c->n_reports) {
    pthread_mutex_lock(&w->lock);
    forget_reports(w, c->n_reports);
    pthread_mutex_unlock(&w->lock);
    return TR_OK;
  }
  *err = *why;
  return TR_ERROR;
}

static enum tr_status talk(struct worker *w, struct tr_error *err) {
  int64_t renew_at = 0, failing_since = 0, pause = FIRST_PAUSE_MS;
  while (true) {
    struct call c = {0};
    struct tr_error why = {0};
    json_t *reply;
    int status;
    pthread_mutex_lock(&w->lock);
    bool on = next_call(w, renew_at);
    if (on) compose(w, &c);
    pthread_mutex_unlock(&w->lock);
    if (!on) return TR_OK;
    TR_TRY(tr_text_check(&c.body, err));
    enum tr_link_outcome outcome = tr_link_call(&w->link, "/v1/lease", c.body.data, c.wait_ms + ANSWER_MS,
                                                c.waits ? &w->poll_ctx : NULL, &status, &reply, &why);
    tr_text_free(&c.body);
    renew_at = now_ms() + w->settings->renew_ms;
    if (outcome == TR_LINK_OK) {
      bool idle = c.waits && !json_array_size(json_object_get(reply, "tasks"));
      take_reply(w, reply, c.n_reports);
      json_decref(reply);
      if (idle && tr_audit_due(&w->audit)) tr_audit_write(&w->audit, AUDIT_MS); /* there is nothing to renew */
      failing_since = 0;
      pause = FIRST_PAUSE_MS;
      continue;
    }
    if (outcome == TR_LINK_REFUSED) {
      TR_TRY(refused(w, status, &c, &why, err));
      continue;
    }
    if (c.waits && atomic_load(&drains)) continue;
    int64_t now = now_ms();
    if (!failing_since) fprintf(stderr, "terality-worker: %s\n", why.text), failing_since = now;
    if (now - failing_since > (atomic_load(&drains) ? ANSWER_MS : PATIENCE_MS)) {
      *err = why;
      return TR_ERROR;
    }
    pause_ms(w, pause);
    pause = pause * 2 < LAST_PAUSE_MS ? pause * 2 : LAST_PAUSE_MS;
  }
}

static enum tr_status begin(struct worker *w, struct tr_error *err) {
  pthread_condattr_t attributes;
  pthread_mutex_init(&w->lock, NULL);
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&w->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  tr_ctx_init(&w->task_ctx);
  tr_ctx_init(&w->poll_ctx);
  w->last_task = now_ms();
  TR_TRY(tr_store_open(w->settings->store, NULL, 0, &w->store, err));
  tr_audit_open(&w->audit, w->settings, w->store);
  TR_TRY(tr_link_open(w->settings, &w->audit, &w->link, err));
  w->runner = (struct tr_runner){.link = &w->link, .store = w->store};
  atomic_store(&active, w);
  int rc = pthread_create(&w->thread, NULL, run_tasks, w);
  return rc ? tr_fail_os(err, rc, "thread of tasks") : TR_OK;
}

static void end(struct worker *w) {
  for (int i = 0; i < w->n_held; i++) json_decref(w->held[i].task);
  forget_reports(w, w->n_reports);
  free(w->reports);
  tr_runner_close(&w->runner);
  tr_link_close(&w->link);
  tr_audit_close(&w->audit);
  tr_store_unref(w->store);
}

enum tr_status tr_worker_run(const struct tr_worker_settings *settings, struct tr_error *err) {
  /* One per process, and never freed: the thread of a signal may hold its lock to the end. */
  static struct worker the_worker;
  struct worker *w = &the_worker;
  w->settings = settings;
  enum tr_status st = begin(w, err);
  if (st == TR_OK) {
    st = talk(w, err);
    pthread_mutex_lock(&w->lock);
    /* What still runs is of no use to anybody when the scheduler does not want us. */
    if (w->running) tr_ctx_cancel(&w->task_ctx);
    w->draining = w->ending = true;
    while (w->n_held > w->running) drop_held(w, w->running);
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    tr_audit_write(&w->audit, AUDIT_MS);
  }
  atomic_store(&active, NULL);
  end(w);
  return st;
}
