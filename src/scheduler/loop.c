#include "scheduler/loop.h"
#include "base/mem.h"
#include "scheduler/launch/launch.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A request between the server's threads and the state's. */
struct request {
  struct tr_api_call call;
  struct tr_http_exchange *x;
  struct request *next;
};

struct queue {
  struct request *first, *last;
};

struct tr_loop {
  struct tr_http_server *server;
  struct tr_auth *auth;
  struct tr_state *state;
  struct tr_launch *launch;
  pthread_t thread;
  bool thread_runs;
  pthread_mutex_t lock; /* inbox, stop, stopped */
  pthread_cond_t wake;
  struct queue inbox;
  bool stop, stopped;
  bool nudged; /* something came from AWS */
  /* Of the state's thread. */
  struct queue parked;
  bool fault_told;
};

static void push(struct queue *q, struct request *r) {
  r->next = NULL;
  if (q->last) q->last->next = r;
  else q->first = r;
  q->last = r;
}

static struct request *pop(struct queue *q) {
  struct request *r = q->first;
  if (r) q->first = r->next;
  if (!q->first) q->last = NULL;
  return r;
}

static struct tr_clock now(void) {
  struct timespec m, w;
  clock_gettime(CLOCK_MONOTONIC, &m);
  clock_gettime(CLOCK_REALTIME, &w);
  return (struct tr_clock){m.tv_sec * 1000 + m.tv_nsec / 1000000, w.tv_sec * 1000 + w.tv_nsec / 1000000};
}

static void drop_request(void *data) {
  struct request *r = data;
  tr_api_call_drop(&r->call);
  free(r);
}

/* The request is gone after this. */
static void reply(struct request *r) {
  struct tr_text body;
  tr_api_finish(&r->call, tr_exchange_request_id(r->x));
  body = r->call.reply;
  r->call.reply = (struct tr_text){0};
  tr_exchange_reply(r->x, r->call.status, r->call.type, &body);
}

static void refuse(struct request *r, int status, const char *code, const char *text) {
  tr_text_clear(&r->call.reply);
  tr_fault_set(&r->call.fault, status, code, "%s", text);
  reply(r);
}

static int64_t admit(void *arg, struct tr_http_exchange *x) {
  struct tr_loop *l = arg;
  struct request *r = calloc(1, sizeof *r);
  if (!r) {
    struct tr_text none = {0};
    tr_exchange_reply(x, 503, NULL, &none);
    return 0;
  }
  r->x = x;
  tr_exchange_set_data(x, r, drop_request);
  struct tr_api_head head = {.method = tr_exchange_method(x),
                             .path = tr_exchange_path(x),
                             .authorization = tr_exchange_header(x, "Authorization"),
                             .version = tr_exchange_header(x, "Terality-Version")};
  for (int i = 0; i < TR_PARAMS; i++) head.params[i] = tr_exchange_param(x, tr_api_param_names[i]);
  int64_t most = tr_api_admit(l->auth, &head, &r->call);
  if (r->call.status) reply(r);
  return most;
}

static void handle(void *arg, struct tr_http_exchange *x) {
  struct tr_loop *l = arg;
  struct request *r = tr_exchange_data(x);
  size_t n;
  const char *body = tr_exchange_body(x, &n);
  tr_api_prepare(&r->call, body, n);
  if (r->call.status) {
    reply(r);
    return;
  }
  r->call.arrived = now().now;
  pthread_mutex_lock(&l->lock);
  bool taken = !l->stopped;
  if (taken) push(&l->inbox, r);
  pthread_cond_signal(&l->wake);
  pthread_mutex_unlock(&l->lock);
  if (!taken) refuse(r, 503, "stopping", "the scheduler is being stopped");
}

static void nudge(void *arg) {
  struct tr_loop *l = arg;
  pthread_mutex_lock(&l->lock);
  l->nudged = true;
  pthread_cond_signal(&l->wake);
  pthread_mutex_unlock(&l->lock);
}

/* Waits for requests, at most until `until`. Gives whether the loop goes on. */
static bool wait_for_requests(struct tr_loop *l, int64_t until, struct queue *out) {
  struct timespec t = {until / 1000, until % 1000 * 1000000};
  pthread_mutex_lock(&l->lock);
  while (!l->inbox.first && !l->stop && !l->nudged && pthread_cond_timedwait(&l->wake, &l->lock, &t) == 0) {}
  *out = l->inbox;
  l->nudged = false;
  l->inbox = (struct queue){0};
  bool on = !l->stop;
  if (!on) l->stopped = true;
  pthread_mutex_unlock(&l->lock);
  return on;
}

static void run_one(struct tr_loop *l, struct request *r, struct tr_clock at, bool last, struct queue *answered,
                    struct queue *waiting) {
  /* Nothing is given to a worker that left while it waited. */
  bool gone = r->call.polled && !tr_exchange_alive(r->x);
  bool done = gone ? !tr_fault_set(&r->call.fault, 499, "gone", "the client closed its connection")
                   : tr_api_run(l->state, &r->call, at, last);
  push(done ? answered : waiting, r);
}

/* Everything of this turn is on disk, or told that it is not. */
static void settle(struct tr_loop *l, struct tr_clock at, struct queue *answered, struct queue *waiting) {
  struct tr_error err;
  struct request *r;
  if (tr_state_commit(l->state, at, &err) == TR_OK) {
    while ((r = pop(answered))) reply(r);
    while ((r = pop(waiting))) push(&l->parked, r);
    l->fault_told = false;
    return;
  }
  if (!l->fault_told) fprintf(stderr, "terality-scheduler: nothing can be written: %s\n", err.text);
  l->fault_told = true;
  while ((r = pop(answered))) refuse(r, 503, "storage", err.text);
  while ((r = pop(waiting))) refuse(r, 503, "storage", err.text);
  if (tr_state_reload(l->state, at, &err) != TR_OK) {
    fprintf(stderr, "terality-scheduler: the database cannot be read: %s\n", err.text);
    exit(3);
  }
}

/* Runs what waits and has something to be told. Gives when the next one is due. */
static void run_parked(struct tr_loop *l, struct tr_clock at, bool last, struct queue *answered,
                       struct queue *waiting) {
  struct queue all = l->parked;
  l->parked = (struct queue){0};
  for (struct request *r; (r = pop(&all));) {
    if (last || tr_api_wake(l->state, &r->call) <= at.now) run_one(l, r, at, last, answered, waiting);
    else push(&l->parked, r);
  }
}

static int64_t next_wake(const struct tr_loop *l, int64_t until) {
  for (const struct request *r = l->parked.first; r; r = r->next) {
    int64_t wake = tr_api_wake(l->state, &r->call);
    if (wake < until) until = wake;
  }
  return until;
}

static void *run(void *arg) {
  struct tr_loop *l = arg;
  int64_t until = 0;
  for (bool on = true; on;) {
    struct queue inbox, answered = {0}, waiting = {0};
    on = wait_for_requests(l, until, &inbox);
    struct tr_clock at = now();
    tr_launch_take(l->launch, l->state, at);
    int64_t next = tr_state_tick(l->state, at);
    for (struct request *r; (r = pop(&inbox));) run_one(l, r, at, !on, &answered, &waiting);
    run_parked(l, at, !on, &answered, &waiting);
    int64_t look = tr_launch_plan(l->launch, l->state, at);
    settle(l, at, &answered, &waiting);
    until = next_wake(l, look < next ? look : next);
  }
  return NULL;
}

static enum tr_status add_admin(struct tr_loop *l, const char *key, struct tr_error *err) {
  char hash[TR_HASH_BYTES];
  TR_TRY(tr_auth_hash(key, hash, err));
  return tr_auth_put(l->auth, hash, &(struct tr_identity){TR_WHO_ADMIN, "", ""}) ? TR_OK : tr_fail_memory(err, 0);
}

static enum tr_status start_thread(struct tr_loop *l, struct tr_error *err) {
  int rc = pthread_create(&l->thread, NULL, run, l);
  if (rc) return tr_fail_os(err, rc, "thread of the scheduler");
  l->thread_runs = true;
  return TR_OK;
}

enum tr_status tr_loop_start(const struct tr_loop_options *options, struct tr_loop **out, struct tr_error *err) {
  struct tr_loop *l = calloc(1, sizeof *l);
  if (!l) return tr_fail_memory(err, sizeof *l);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&l->wake, &attributes);
  pthread_condattr_destroy(&attributes);
  pthread_mutex_init(&l->lock, NULL);
  struct tr_http_server_options server = options->server;
  server.arg = l;
  server.admit = admit;
  server.handle = handle;
  enum tr_status st;
  TR_GOTO(st, tr_auth_new(&l->auth, err));
  TR_GOTO(st, add_admin(l, options->admin_key, err));
  TR_GOTO(st, tr_state_open(options->database, &options->state, l->auth, now(), &l->state, err));
  const struct tr_launch_options launch = {options->aws_endpoint, options->sts_endpoint, nudge, l};
  TR_GOTO(st, tr_launch_new(&launch, &l->launch, err));
  l->state->launch = l->launch;
  TR_GOTO(st, tr_http_server_start(&server, &l->server, err));
  TR_GOTO(st, start_thread(l, err));
  *out = l;
  return TR_OK;
done:
  tr_loop_stop(l);
  return st;
}

uint16_t tr_loop_port(const struct tr_loop *l) { return tr_http_server_port(l->server); }

void tr_loop_stop(struct tr_loop *l) {
  if (!l) return;
  if (l->server) tr_http_server_quiesce(l->server);
  pthread_mutex_lock(&l->lock);
  l->stop = true;
  if (!l->thread_runs) l->stopped = true;
  pthread_cond_signal(&l->wake);
  pthread_mutex_unlock(&l->lock);
  if (l->thread_runs) pthread_join(l->thread, NULL);
  tr_http_server_stop(l->server);
  tr_launch_free(l->launch);
  tr_state_close(l->state);
  tr_auth_free(l->auth);
  pthread_cond_destroy(&l->wake);
  pthread_mutex_destroy(&l->lock);
  free(l);
}
