/* The HTTP client's loop, its threads and forks: see http.h.
 *
 * The loop alternates between libcurl (under `work`) and waiting in curl_multi_poll (under nothing). Finished flights
 * are collected under `work` and their callbacks called after it. fork takes the locks of all clients first, so a child
 * finds every client between two rounds, no lock of OpenSSL or libcurl held by a thread that does not exist there; it
 * then drops the parent's handles without closing them, since a TLS goodbye would end the parent's connections.
 */
#include "base/mem.h"
#include "net/http_int.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t clients_lock = PTHREAD_MUTEX_INITIALIZER, shared_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tr_http *clients, *shared;
static bool ready;

int64_t tr_http_now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void before_fork(void) {
  pthread_mutex_lock(&shared_lock);
  pthread_mutex_lock(&clients_lock);
  for (struct tr_http *c = clients; c; c = c->next) {
    pthread_mutex_lock(&c->work);
    pthread_mutex_lock(&c->lock);
  }
}

static void after_fork_in_parent(void) {
  for (struct tr_http *c = clients; c; c = c->next) {
    pthread_mutex_unlock(&c->lock);
    pthread_mutex_unlock(&c->work);
  }
  pthread_mutex_unlock(&clients_lock);
  pthread_mutex_unlock(&shared_lock);
}

static void after_fork_in_child(void) {
  for (struct tr_http *c = clients; c; c = c->next) {
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->work, NULL);
    c->running = c->stopping = false;
    c->multi = NULL;
    c->queue_head = c->queue_tail = c->active = c->waiting = NULL;
    c->n_idle = 0;
  }
  pthread_mutex_init(&clients_lock, NULL);
  pthread_mutex_init(&shared_lock, NULL);
}

/* Registered after libcurl has set up OpenSSL, so it runs before OpenSSL takes itself down. */
static void at_exit(void) {
  struct tr_http *mine = shared;
  shared = NULL;
  tr_http_free(mine);
}

static void set_up(void) {
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return;
  /* The last to register is the first to lock. The loop allocates while it holds its locks, so base/mem must lock after
   * us; using it once makes it register now. */
  tr_mem_trim();
  if (pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0) return;
  atexit(at_exit);
  ready = true;
}

/* Where distributions keep the authorities they trust. A libcurl that was brought from another looks in vain; NULL when
 * it does not, or when there is nothing to be found. */
static const char *ca_of_system(void) {
  static const char *const places[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                       "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem"};
  const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);
  if (curl->age < CURLVERSION_SEVENTH || !curl->cainfo || access(curl->cainfo, R_OK) == 0) return NULL;
  for (size_t i = 0; i < sizeof places / sizeof *places; i++)
    if (access(places[i], R_OK) == 0) return places[i];
  return NULL;
}

/* A file of certificates the user named, else NULL: libcurl's own default. */
static const char *ca_from_environment(void) {
  static const char *const names[] = {"AWS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *value = getenv(names[i]);
    if (value && *value) return value;
  }
  return ca_of_system();
}

enum tr_status tr_http_new(const struct tr_http_options *options, struct tr_http **out, struct tr_error *err) {
  pthread_once(&once, set_up);
  if (!ready) return tr_fail(err, TR_EXC_RUNTIME, "libcurl could not be set up");
  void *memory;
  TR_TRY(tr_mem_calloc(sizeof(struct tr_http), &memory, err));
  struct tr_http *c = memory;
  c->max_connections = options && options->max_connections_per_host > 0 ? options->max_connections_per_host : 64;
  const char *ca = options && options->ca_file ? options->ca_file : ca_from_environment();
  if (ca && !(c->ca_file = strdup(ca))) {
    tr_mem_free(c, sizeof *c);
    return tr_fail_memory(err, strlen(ca));
  }
  pthread_mutex_init(&c->lock, NULL);
  pthread_mutex_init(&c->work, NULL);
  pthread_mutex_lock(&clients_lock);
  c->next = clients;
  clients = c;
  pthread_mutex_unlock(&clients_lock);
  *out = c;
  return TR_OK;
}

enum tr_status tr_http_shared(struct tr_http **out, struct tr_error *err) {
  pthread_mutex_lock(&shared_lock);
  enum tr_status st = shared ? TR_OK : tr_http_new(NULL, &shared, err);
  *out = shared;
  pthread_mutex_unlock(&shared_lock);
  return st;
}

static void link_into(struct tr_http_flight **list, struct tr_http_flight *f) {
  f->next = *list;
  f->prev = list;
  if (f->next) f->next->prev = &f->next;
  *list = f;
}

static void unlink_flight(struct tr_http_flight *f) {
  *f->prev = f->next;
  if (f->next) f->next->prev = f->prev;
}

static void give_back_handle(struct tr_http *c, CURL *easy) {
  if (c->n_idle == TR_HTTP_IDLE_HANDLES) {
    curl_easy_cleanup(easy);
    return;
  }
  curl_easy_reset(easy);
  c->idle[c->n_idle++] = easy;
}

/* Moves a flight from the active or waiting to the finished list. */
static void retire(struct tr_http *c, struct tr_http_flight *f, struct tr_http_flight **finished) {
  unlink_flight(f);
  if (f->easy) {
    curl_multi_remove_handle(c->multi, f->easy);
    give_back_handle(c, f->easy);
    f->easy = NULL;
  }
  f->next = *finished;
  *finished = f;
}

/* Starts one queued flight; what cannot start is finished at once. */
static void start(struct tr_http *c, struct tr_http_flight *f, bool stopping, struct tr_http_flight **finished) {
  if (stopping || f->cancelled) {
    tr_http_flight_fail(f, TR_HTTP_FAULT_CANCELLED, "cancelled");
  } else if (f->due_us) {
    link_into(&c->waiting, f);
    return;
  } else {
    f->easy = c->n_idle ? c->idle[--c->n_idle] : curl_easy_init();
    if (f->easy && tr_http_flight_prepare(f) && curl_multi_add_handle(c->multi, f->easy) == CURLM_OK) {
      link_into(&c->active, f);
      return;
    }
    if (f->easy) give_back_handle(c, f->easy);
    f->easy = NULL;
    tr_http_flight_fail(f, TR_HTTP_FAULT_MEMORY, "libcurl is out of memory");
  }
  f->next = *finished;
  *finished = f;
}

static void end_cancelled(struct tr_http *c, bool all, struct tr_http_flight **finished) {
  if (!atomic_exchange(&c->cancels, false) && !all) return;
  for (int list = 0; list < 2; list++) {
    for (struct tr_http_flight *f = list ? c->active : c->waiting, *next; f; f = next) {
      next = f->next;
      if (!all && !f->cancelled) continue;
      tr_http_flight_fail(f, TR_HTTP_FAULT_CANCELLED, "cancelled");
      retire(c, f, finished);
    }
  }
}

/* Rings the timers that are due; gives the milliseconds until the next one. */
static int ring(struct tr_http *c, struct tr_http_flight **finished) {
  int64_t now = c->waiting ? tr_http_now_us() : 0, next_us = INT64_MAX;
  for (struct tr_http_flight *f = c->waiting, *next; f; f = next) {
    next = f->next;
    if (f->due_us <= now) {
      f->status = TR_OK;
      retire(c, f, finished);
    } else if (f->due_us < next_us) {
      next_us = f->due_us;
    }
  }
  int64_t ms = next_us == INT64_MAX ? 60000 : (next_us - now) / 1000 + 1;
  return ms > 60000 ? 60000 : (int)ms;
}

static void collect(struct tr_http *c, struct tr_http_flight **finished) {
  int left, running;
  curl_multi_perform(c->multi, &running);
  for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left));) {
    if (m->msg != CURLMSG_DONE) continue;
    struct tr_http_flight *f = NULL;
    CURLcode code = m->data.result; /* m is gone once the handle is removed */
    curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&f);
    tr_http_flight_settle(f, code);
    retire(c, f, finished);
  }
}

static void call_back(struct tr_http_flight *finished) {
  struct tr_http_flight *ordered = NULL;
  while (finished) { /* the list was filled from the front: the first to finish is called first */
    struct tr_http_flight *f = finished;
    finished = f->next;
    f->next = ordered;
    ordered = f;
  }
  while (ordered) {
    struct tr_http_flight *f = ordered;
    ordered = f->next;
    f->done(f->arg, f->status, &f->reply, &f->error);
    tr_http_flight_unref(f);
  }
}

TR_MUST_USE static CURLM *make_multi(const struct tr_http *c) {
  CURLM *multi = curl_multi_init();
  if (!multi) return NULL;
  curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)c->max_connections);
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)c->max_connections * 4);
  curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
  return multi;
}

/* libcurl gives connections up only with all of their pool. Whoever wakes the loop does so under the lock. */
static void renew(struct tr_http *c) {
  if (c->active || !atomic_exchange(&c->renews, false)) return;
  CURLM *fresh = make_multi(c), *old = c->multi;
  if (!fresh) return;
  pthread_mutex_lock(&c->lock);
  c->multi = fresh;
  pthread_mutex_unlock(&c->lock);
  curl_multi_cleanup(old);
}

static void *loop(void *arg) {
  struct tr_http *c = arg;
  for (bool stopping = false; !stopping;) {
    struct tr_http_flight *finished = NULL;
    pthread_mutex_lock(&c->work);
    pthread_mutex_lock(&c->lock);
    struct tr_http_flight *queued = c->queue_head;
    c->queue_head = c->queue_tail = NULL;
    stopping = c->stopping;
    pthread_mutex_unlock(&c->lock);
    renew(c);
    while (queued) {
      struct tr_http_flight *f = queued;
      queued = f->next;
      start(c, f, stopping, &finished);
    }
    end_cancelled(c, stopping, &finished);
    collect(c, &finished);
    int quiet_ms = ring(c, &finished);
    pthread_mutex_unlock(&c->work);
    bool called = finished != NULL;
    call_back(finished);
    if (!stopping && !called) curl_multi_poll(c->multi, NULL, 0, quiet_ms, NULL);
  }
  return NULL;
}

/* Makes the loop if there is none. Called with the lock held. */
TR_MUST_USE static enum tr_status run(struct tr_http *c, struct tr_error *err) {
  if (c->running) return TR_OK;
  if (!c->multi && !(c->multi = make_multi(c))) return tr_fail_memory(err, 0);
  sigset_t all, before; /* signals belong to the caller's threads */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int code = pthread_create(&c->thread, NULL, loop, c);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (code != 0) return tr_fail_os(err, code, "starting the HTTP thread");
  c->running = true;
  return TR_OK;
}

/* Hands a new flight (taken) to the loop. */
TR_MUST_USE static enum tr_status enqueue(struct tr_http *c, struct tr_http_flight *f, tr_http_done done, void *arg,
                                          struct tr_http_flight **out, struct tr_error *err) {
  f->done = done;
  f->arg = arg;
  if (out) f->refs = 2;
  pthread_mutex_lock(&c->lock);
  enum tr_status st = c->stopping ? tr_fail(err, TR_EXC_RUNTIME, "the HTTP client is being closed") : run(c, err);
  if (st == TR_OK) {
    if (c->queue_tail) c->queue_tail->next = f;
    else c->queue_head = f;
    c->queue_tail = f;
    curl_multi_wakeup(c->multi); /* under the lock: free joins the loop before it takes `multi` down */
  }
  pthread_mutex_unlock(&c->lock);
  if (st != TR_OK) {
    f->refs = 1;
    tr_http_flight_unref(f);
    return st;
  }
  if (out) *out = f;
  return TR_OK;
}

enum tr_status tr_http_submit(struct tr_http *c, const struct tr_http_request *request, tr_http_done done, void *arg,
                              struct tr_http_flight **out, struct tr_error *err) {
  struct tr_http_flight *f;
  TR_TRY(tr_http_flight_new(c, request, &f, err));
  return enqueue(c, f, done, arg, out, err);
}

enum tr_status tr_http_after(struct tr_http *c, int64_t delay_ms, tr_http_done done, void *arg,
                             struct tr_http_flight **out, struct tr_error *err) {
  struct tr_http_flight *f;
  TR_TRY(tr_http_timer_new(c, delay_ms, &f, err));
  return enqueue(c, f, done, arg, out, err);
}

void tr_http_cancel(struct tr_http_flight *f) {
  struct tr_http *c = f->client;
  atomic_store(&f->cancelled, true);
  atomic_store(&c->cancels, true);
  pthread_mutex_lock(&c->lock);
  if (c->running) curl_multi_wakeup(c->multi);
  pthread_mutex_unlock(&c->lock);
}

void tr_http_renew(struct tr_http *c) {
  pthread_mutex_lock(&c->lock);
  atomic_store(&c->renews, c->running);
  if (c->running) curl_multi_wakeup(c->multi);
  pthread_mutex_unlock(&c->lock);
}

void tr_http_free(struct tr_http *c) {
  if (!c) return;
  pthread_mutex_lock(&c->lock);
  bool running = c->running;
  c->stopping = true;
  if (running) curl_multi_wakeup(c->multi);
  pthread_mutex_unlock(&c->lock);
  if (running) pthread_join(c->thread, NULL);
  pthread_mutex_lock(&clients_lock);
  for (struct tr_http **at = &clients; *at; at = &(*at)->next) {
    if (*at != c) continue;
    *at = c->next;
    break;
  }
  pthread_mutex_unlock(&clients_lock);
  for (int i = 0; i < c->n_idle; i++) curl_easy_cleanup(c->idle[i]);
  if (c->multi) curl_multi_cleanup(c->multi);
  pthread_mutex_destroy(&c->lock);
  pthread_mutex_destroy(&c->work);
  free(c->ca_file);
  tr_mem_free(c, sizeof *c);
}

/* A caller that waits. Lives on its stack: it leaves only after the callback. */
struct waiter {
  pthread_mutex_t lock;
  pthread_cond_t cond;
  bool finished;
  enum tr_status status;
  struct tr_http_reply *reply;
  struct tr_error *err;
};

static void wake_waiter(void *arg, enum tr_status status, struct tr_http_reply *reply, const struct tr_error *err) {
  struct waiter *w = arg;
  pthread_mutex_lock(&w->lock);
  *w->reply = *reply;
  memset(reply, 0, sizeof *reply);
  if (status != TR_OK && w->err) *w->err = *err;
  w->status = status;
  w->finished = true;
  pthread_cond_signal(&w->cond);
  pthread_mutex_unlock(&w->lock);
}

/* Waits on w, asking ctx every 20 ms; true when the query was cancelled meanwhile. */
static bool wait_polling(struct waiter *w, struct tr_ctx *ctx, struct tr_http_flight *f) {
  bool cancelled = false;
  pthread_mutex_lock(&w->lock);
  while (!w->finished) {
    if (!ctx || cancelled) {
      pthread_cond_wait(&w->cond, &w->lock);
      continue;
    }
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    int64_t ns = until.tv_nsec + 20000000;
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    pthread_cond_timedwait(&w->cond, &w->lock, &until);
    if (w->finished) break;
    pthread_mutex_unlock(&w->lock);
    if (ctx->poll && !tr_pool_is_helper() && ctx->poll(ctx->poll_arg)) tr_ctx_cancel(ctx);
    cancelled = tr_ctx_check(ctx) != TR_OK;
    if (cancelled) tr_http_cancel(f);
    pthread_mutex_lock(&w->lock);
  }
  pthread_mutex_unlock(&w->lock);
  return cancelled;
}

enum tr_status tr_http_call(struct tr_http *client, const struct tr_http_request *request, struct tr_ctx *ctx,
                            struct tr_http_reply *reply, struct tr_error *err) {
  struct waiter w = {.reply = reply, .err = err};
  struct tr_http_flight *f = NULL;
  memset(reply, 0, sizeof *reply);
  if (ctx) TR_TRY(tr_ctx_check(ctx));
  pthread_mutex_init(&w.lock, NULL);
  pthread_cond_init(&w.cond, NULL);
  enum tr_status st = tr_http_submit(client, request, wake_waiter, &w, &f, err);
  bool cancelled = false;
  if (st == TR_OK) {
    cancelled = wait_polling(&w, ctx, f);
    st = w.status;
  } else {
    reply->fault = TR_HTTP_FAULT_REQUEST;
  }
  tr_http_flight_unref(f);
  pthread_cond_destroy(&w.cond);
  pthread_mutex_destroy(&w.lock);
  return cancelled && st != TR_OK ? TR_CANCELLED : st;
}
