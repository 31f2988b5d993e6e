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
  STAY_POLL_MS = 5000,
  ANSWER_MS = 15000,
  FIRST_PAUSE_MS = 50,
  LAST_PAUSE_MS = 2000,
  AUDIT_MS = 5000,
  LAST_MS = 100
};

/* How little time a shift has left. */
enum urgency {
  TIME_ENOUGH,
  TIME_NO_MORE,   /* no further tasks */
  TIME_HAND_BACK, /* what runs is stopped and handed back */
  TIME_LEAVE      /* it is handed back, stopped or not */
};

struct held {
  json_t *task;
  bool cancelled;
};

struct tr_worker {
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
  int64_t longest_ms; /* of the tasks so far */
  int64_t began_ms;   /* the task that runs */
  /* Of the talker. */
  struct tr_ctx poll_ctx;
  int64_t last_task; /* when there was one */
  int64_t stay_ms;   /* the scheduler has said that there will be more: idle for so long at least; 0 = it has not */
  struct tr_worker_shift *shift;
  int64_t total_ms; /* of the shift */
};

/* Set from a signal's thread; `drains` counts how often. */
static _Atomic int drains;
static struct tr_worker *_Atomic active;

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t wall_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void tr_worker_shift_limit(struct tr_worker_shift *shift, int64_t total_ms) {
  shift->wall_ms = wall_ms() + total_ms;
  shift->steady_ms = now_ms() + total_ms;
}

/* Of the shift. */
static int64_t left_ms(const struct tr_worker *w) {
  if (!w->shift->wall_ms) return INT64_MAX / 2;
  int64_t wall = w->shift->wall_ms - wall_ms(), steady = w->shift->steady_ms - now_ms();
  return wall < steady ? wall : steady;
}

static int64_t within(int64_t v, int64_t least, int64_t most) { return v < least ? least : v > most ? most : v; }

/* The time left at which a step of urgency begins: so much that a task like those before may end, that it may be
 * stopped, that a last call may be answered. Functions may live for seconds or for a quarter of an hour. */
static int64_t margin_ms(const struct tr_worker *w, enum urgency u) {
  int64_t leave = within(w->total_ms / 20, 100, 500), back = leave + within(w->total_ms / 10, 200, 2500);
  if (u == TIME_LEAVE) return leave;
  if (u == TIME_HAND_BACK) return back;
  return back + within(2 * w->longest_ms, w->total_ms / 20, w->total_ms / 2);
}

static enum urgency urgency(const struct tr_worker *w) {
  int64_t left = left_ms(w);
  for (enum urgency u = TIME_LEAVE; u > TIME_ENOUGH; u--)
    if (left <= margin_ms(w, u)) return u;
  return TIME_ENOUGH;
}

/* Until more urgency comes. */
static int64_t calm_ms(const struct tr_worker *w) {
  enum urgency u = urgency(w);
  int64_t left = left_ms(w) - (u == TIME_LEAVE ? 0 : margin_ms(w, u + 1));
  return left > 0 ? left : 0;
}

bool tr_worker_is_drained(void) { return atomic_load(&drains) > 0; }

void tr_worker_drain(void) {
  int before = atomic_fetch_add(&drains, 1);
  struct tr_worker *w = atomic_load(&active);
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
static void add_report(struct tr_worker *w, char *report) {
  char **list = report ? realloc(w->reports, sizeof *list * ((size_t)w->n_reports + 1)) : NULL;
  if (!list) {
    free(report); /* the lease will run out */
    return;
  }
  w->reports = list;
  w->reports[w->n_reports++] = report;
}

/* Under the lock. */
static void drop_held(struct tr_worker *w, int i) {
  json_decref(w->held[i].task);
  memmove(&w->held[i], &w->held[i + 1], sizeof w->held[0] * (size_t)(w->n_held - i - 1));
  w->n_held--;
}

/* The task goes back unfinished; no attempt is counted. `ran_ms` > 0: it ran so long until the shift's time was over,
 * which the scheduler has to know, for it might be too long for any shift. */
static char *returned_report(const json_t *task, int64_t ran_ms) {
  json_t *o = json_object();
  const char *const names[] = {"query", "stage", "task", "attempt"};
  for (int i = 0; i < 4; i++) json_object_set(o, names[i], json_object_get(task, names[i]));
  json_object_set_new(o, "ok", json_false());
  json_object_set_new(o, "class", json_string(ran_ms > 0 ? "OutOfTime" : "Drained"));
  json_object_set_new(o, "returned", json_true());
  if (ran_ms > 0) json_object_set_new(o, "ran", json_real((double)ran_ms / 1000));
  char *text = json_dumps(o, JSON_COMPACT);
  json_decref(o);
  return text;
}

/* Under the lock. */
static bool is_draining(const struct tr_worker *w) {
  return w->draining || atomic_load(&drains) > 0 || urgency(w) > TIME_ENOUGH;
}

/* Under the lock: what has to be done because of the time. */
static void hurry(struct tr_worker *w) {
  enum urgency u = urgency(w);
  if (u < TIME_HAND_BACK || !w->running || w->held[0].cancelled) return;
  tr_ctx_cancel(&w->task_ctx);
  if (u < TIME_LEAVE) return;
  add_report(w, returned_report(w->held[0].task, now_ms() - w->began_ms));
  w->held[0].cancelled = true;
}

static void *run_tasks(void *arg) {
  struct tr_worker *w = arg;
  pthread_mutex_lock(&w->lock);
  while (true) {
    while ((!w->n_held || is_draining(w)) && !w->ending) pthread_cond_wait(&w->changed, &w->lock);
    if (!w->n_held) break;
    json_t *task = w->held[0].task;
    int64_t begin = w->began_ms = now_ms();
    w->running = true;
    tr_ctx_init(&w->task_ctx);
    pthread_mutex_unlock(&w->lock);
    struct tr_store_totals before;
    tr_store_totals_get(&before);
    char *report = tr_runner_run(&w->runner, &w->task_ctx, task);
    int64_t took = now_ms() - begin;
    if (tr_audit_due(&w->audit)) tr_audit_write(&w->audit, AUDIT_MS);
    if (w->settings->metrics)
      tr_metrics_log(w->settings, w->runner.deployment, task, report, (double)took / 1000, &before);
    pthread_mutex_lock(&w->lock);
    w->running = false;
    w->last_task = now_ms();
    if (took > w->longest_ms) w->longest_ms = took;
    w->shift->n_tasks += report != NULL;
    /* Stopped by a second signal or for lack of time: somebody else may run it. */
    if (!report && !w->held[0].cancelled)
      report = returned_report(task, urgency(w) >= TIME_HAND_BACK ? within(took, 1, INT64_MAX) : 0);
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
  int64_t wait_ms, deadline_ms;
  bool waits;
};

/* After so long without a task the shift ends; 0 = never. */
static int64_t idle_ms(const struct tr_worker *w) {
  int64_t own = w->settings->idle_ms;
  return own && w->stay_ms > own ? w->stay_ms : own;
}

/* Under the lock: waits until there is something to say. False when it is time to end. */
static bool next_call(struct tr_worker *w, int64_t renew_at) {
  while (true) {
    hurry(w);
    if (is_draining(w))
      while (w->n_held > w->running) {
        add_report(w, returned_report(w->held[w->running].task, 0));
        drop_held(w, w->running);
      }
    if (w->n_reports) return true;
    int64_t now = now_ms(), idle = idle_ms(w);
    if (!w->n_held) return !is_draining(w) && !(idle && now >= w->last_task + idle);
    enum urgency u = urgency(w);
    if (u == TIME_LEAVE) return false;
    if (now >= renew_at) return true;
    int64_t calm = calm_ms(w) + 1, at = renew_at - now < calm ? renew_at : now + calm;
    struct timespec until = {at / 1000, at % 1000 * 1000000};
    pthread_cond_timedwait(&w->changed, &w->lock, &until);
  }
}

/* Under the lock. */
static void compose(const struct tr_worker *w, struct call *c) {
  const struct tr_worker_settings *s = w->settings;
  int want = is_draining(w) ? 0 : HELD - w->n_held;
  c->waits = want > 0 && !w->n_held;
  c->wait_ms = c->waits ? POLL_MS : 0;
  int64_t left = w->last_task + idle_ms(w) - now_ms();
  if (c->waits && s->idle_ms && left < POLL_MS) c->wait_ms = left > 0 ? left : 0;
  /* Whether it is still to stay, it hears from replies only. */
  if (c->waits && s->idle_ms && w->stay_ms && c->wait_ms > STAY_POLL_MS) c->wait_ms = STAY_POLL_MS;
  if (c->waits) c->wait_ms = within(c->wait_ms, 0, calm_ms(w));
  /* A call may not outlast what has to be done because of the time. */
  c->deadline_ms = within(c->wait_ms + ANSWER_MS, 100, calm_ms(w) + 100);
  tr_text_add_format(&c->body, "{\"worker\":\"%s\",\"kind\":\"%s\",", w->shift->name, s->kind);
  if (*w->shift->instance) tr_text_add_format(&c->body, "\"instance\":\"%s\",", w->shift->instance);
  tr_text_add_format(&c->body, "\"cores\":%d,\"memory\":%zu,\"want\":%d,\"wait_ms\":%lld,\"running\":[",
                     tr_pool_cores(), tr_mem_budget(), want, (long long)c->wait_ms);
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
static void forget_reports(struct tr_worker *w, int n) {
  for (int i = 0; i < n; i++) free(w->reports[i]);
  w->n_reports -= n;
  if (w->n_reports) memmove(w->reports, w->reports + n, sizeof *w->reports * (size_t)w->n_reports);
}

/* Under the lock: a lease that need not go on. */
static void cancel_lease(struct tr_worker *w, const char *lease) {
  for (int i = 0; lease && i < w->n_held; i++) {
    if (strcmp(text_of(w->held[i].task, "lease"), lease) != 0) continue;
    w->held[i].cancelled = true;
    if (i == 0 && w->running) tr_ctx_cancel(&w->task_ctx);
    else drop_held(w, i--);
  }
}

static void take_reply(struct tr_worker *w, const json_t *reply, int n_reported) {
  const json_t *tasks = json_object_get(reply, "tasks"), *cancel = json_object_get(reply, "cancel");
  pthread_mutex_lock(&w->lock);
  forget_reports(w, n_reported);
  for (size_t i = 0; i < json_array_size(cancel); i++) cancel_lease(w, json_string_value(json_array_get(cancel, i)));
  for (size_t i = 0; i < json_array_size(tasks) && w->n_held < HELD; i++) {
    json_t *task = json_array_get(tasks, i);
    if (text_of(task, "lease")) w->held[w->n_held++] = (struct held){json_incref(task), false};
  }
  if (json_is_true(json_object_get(reply, "drain"))) w->draining = true;
  w->stay_ms = json_integer_value(json_object_get(reply, "idle_ms"));
  if (w->n_held) w->last_task = now_ms();
  pthread_cond_broadcast(&w->changed);
  pthread_mutex_unlock(&w->lock);
}

/* Waits before the same call is made again, shorter when told to end. */
static void pause_ms(struct tr_worker *w, int64_t ms) {
  int64_t end = now_ms() + ms;
  struct timespec until = {end / 1000, end % 1000 * 1000000};
  pthread_mutex_lock(&w->lock);
  while (now_ms() < end && pthread_cond_timedwait(&w->changed, &w->lock, &until) == 0) {}
  pthread_mutex_unlock(&w->lock);
}

/* What a refusal means: reports that the scheduler cannot take are dropped, their leases run out; anything else ends
 * the worker, for it would be refused again. */
static enum tr_status refused(struct tr_worker *w, int status, const struct call *c, const struct tr_error *why,
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

/* After a call that was not answered. An error when there is no more patience, or no more time. */
static enum tr_status try_later(struct tr_worker *w, int64_t failing_ms, int64_t *pause, const struct tr_error *why,
                                struct tr_error *err) {
  int64_t patience = atomic_load(&drains) ? ANSWER_MS : w->settings->patience_ms;
  if (failing_ms > patience || urgency(w) == TIME_LEAVE) {
    *err = *why;
    return TR_ERROR;
  }
  int64_t calm = calm_ms(w) + 1;
  pause_ms(w, *pause < calm ? *pause : calm);
  *pause = within(*pause * 2, FIRST_PAUSE_MS, LAST_PAUSE_MS);
  return TR_OK;
}

static enum tr_status talk(struct tr_worker *w, struct tr_error *err) {
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
    enum tr_link_outcome outcome = tr_link_call(&w->link, "/v1/lease", c.body.data, c.deadline_ms,
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
    TR_TRY(try_later(w, now - failing_since, &pause, &why, err));
  }
}

/* In a bucket whose region and keys the settings decide, where they say so. */
static enum tr_status open_store(struct tr_worker *w, struct tr_error *err) {
  const struct tr_worker_settings *s = w->settings;
  struct tr_store_option options[2];
  int n = 0;
  bool s3 = strncmp(s->store, "s3://", 5) == 0;
  if (s3 && *s->region) options[n++] = (struct tr_store_option){"region", s->region};
  if (s3 && s->only)
    options[n++] = (struct tr_store_option){"credentials", s->only == TR_AWS_CONTAINER ? "container" : "instance"};
  return tr_store_open(s->store, options, n, &w->store, err);
}

static enum tr_status begin(struct tr_worker *w, struct tr_error *err) {
  pthread_condattr_t attributes;
  pthread_mutex_init(&w->lock, NULL);
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&w->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  tr_ctx_init(&w->task_ctx);
  tr_ctx_init(&w->poll_ctx);
  TR_TRY(open_store(w, err));
  tr_audit_open(&w->audit, w->settings, w->store);
  TR_TRY(tr_link_open(w->settings, &w->audit, &w->link, err));
  w->runner = (struct tr_runner){.link = &w->link, .store = w->store};
  int rc = pthread_create(&w->thread, NULL, run_tasks, w);
  return rc ? tr_fail_os(err, rc, "thread of tasks") : TR_OK;
}

static void end(struct tr_worker *w) {
  for (int i = 0; i < w->n_held; i++) json_decref(w->held[i].task);
  forget_reports(w, w->n_reports);
  free(w->reports);
  tr_runner_close(&w->runner);
  tr_link_close(&w->link);
  tr_audit_close(&w->audit);
  tr_store_unref(w->store);
}

enum tr_status tr_worker_open(const struct tr_worker_settings *settings, struct tr_worker **out, struct tr_error *err) {
  /* One per process, and never freed: the thread of a signal may hold its lock to the end. */
  static struct tr_worker the_worker;
  static struct tr_worker_shift none;
  struct tr_worker *w = &the_worker;
  w->settings = settings;
  w->shift = &none;
  w->draining = true; /* until a shift begins */
  enum tr_status st = begin(w, err);
  if (st != TR_OK) {
    end(w);
    return st;
  }
  atomic_store(&active, w);
  *out = w;
  return TR_OK;
}

/* Under the lock, after a shift. What still runs is of no use to anybody when the scheduler does not want us, or was
 * handed back. */
static void settle(struct tr_worker *w) {
  if (w->running) tr_ctx_cancel(&w->task_ctx);
  if (w->running) w->held[0].cancelled = true;
  w->draining = true;
  while (w->n_held > w->running) drop_held(w, w->running);
  pthread_cond_broadcast(&w->changed);
}

enum tr_status tr_worker_work(struct tr_worker *w, struct tr_worker_shift *shift, struct tr_error *err) {
  static struct tr_worker_shift none;
  pthread_mutex_lock(&w->lock);
  w->shift = shift;
  w->total_ms = left_ms(w);
  w->draining = false;
  w->stay_ms = 0;
  w->last_task = now_ms();
  pthread_cond_broadcast(&w->changed);
  pthread_mutex_unlock(&w->lock);
  enum tr_status st = talk(w, err);
  pthread_mutex_lock(&w->lock);
  shift->end = urgency(w) > TIME_ENOUGH ? "deadline" : is_draining(w) ? "drained" : "idle";
  settle(w);
  int64_t left = left_ms(w) - LAST_MS;
  w->shift = &none;
  pthread_mutex_unlock(&w->lock);
  /* Who knows whether the process is ever thawed. */
  tr_audit_write(&w->audit, within(left, 0, AUDIT_MS));
  return st;
}

void tr_worker_thaw(struct tr_worker *w) {
  struct tr_http *shared;
  tr_http_renew(w->link.http);
  if (tr_http_shared(&shared, NULL) == TR_OK) tr_http_renew(shared);
}

void tr_worker_close(struct tr_worker *w) {
  pthread_mutex_lock(&w->lock);
  settle(w);
  w->ending = true;
  pthread_cond_broadcast(&w->changed);
  pthread_mutex_unlock(&w->lock);
  pthread_join(w->thread, NULL);
  atomic_store(&active, NULL);
  end(w);
}

enum tr_status tr_worker_run(const struct tr_worker_settings *settings, struct tr_error *err) {
  struct tr_worker_shift shift = {0};
  struct tr_worker *w;
  memcpy(shift.name, settings->name, sizeof shift.name);
  memcpy(shift.instance, settings->instance, sizeof shift.instance);
  TR_TRY(tr_worker_open(settings, &w, err));
  enum tr_status st = tr_worker_work(w, &shift, err);
  tr_worker_close(w);
  return st;
}
