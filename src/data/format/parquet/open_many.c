/* Opening many objects at once: each costs two round trips, so threads that only wait take turns at the list. They are
 * not the pool's, which has one per core. Only the calling thread asks the query whether to go on.
 */
#include "data/format/parquet/parquet.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS = 16 };

struct opening {
  struct tr_store *const *stores;
  const char *const *keys;
  int n, next, running;
  struct tr_parquet_file **out;
  struct tr_ctx ctx; /* of the threads: cancelled when the query is, never polled */
  pthread_mutex_t lock;
  pthread_cond_t cond;
  int failed_at; /* the first of the list that failed so far; n = none */
  enum tr_status status;
  struct tr_error error;
};

/* Under the lock: the next to open, -1 = nothing left. Those before a failure are opened still, so that the error does
 * not depend on timing. */
static int take(struct opening *o) { return o->next < o->n && o->next < o->failed_at ? o->next++ : -1; }

static void *open_some(void *arg) {
  struct opening *o = arg;
  pthread_mutex_lock(&o->lock);
  for (int i; (i = take(o)) >= 0;) {
    struct tr_error err = {0};
    pthread_mutex_unlock(&o->lock);
    enum tr_status st = tr_parquet_open_object(o->stores[i], o->keys[i], &o->ctx, &o->out[i], &err);
    pthread_mutex_lock(&o->lock);
    if (st == TR_OK || i >= o->failed_at) continue;
    o->failed_at = i;
    o->status = st;
    o->error = err;
  }
  o->running--;
  pthread_cond_signal(&o->cond);
  pthread_mutex_unlock(&o->lock);
  return NULL;
}

/* Waits for the threads, asking the query every 20 ms. Called with the lock. */
static void wait_for_threads(struct opening *o, struct tr_ctx *ctx) {
  while (o->running) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    int64_t ns = until.tv_nsec + 20000000;
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    pthread_cond_timedwait(&o->cond, &o->lock, &until);
    if (!o->running || !ctx) continue;
    pthread_mutex_unlock(&o->lock);
    if (ctx->poll && !tr_pool_is_helper() && ctx->poll(ctx->poll_arg)) tr_ctx_cancel(ctx);
    if (tr_ctx_check(ctx) != TR_OK) tr_ctx_cancel(&o->ctx);
    pthread_mutex_lock(&o->lock);
  }
}

enum tr_status tr_parquet_open_objects(struct tr_store *const *stores, const char *const *keys, int n,
                                       struct tr_ctx *ctx, struct tr_parquet_file **out, struct tr_error *err) {
  struct opening o = {.stores = stores, .keys = keys, .n = n, .out = out, .failed_at = n};
  pthread_t threads[THREADS];
  int n_threads = 0;
  memset(out, 0, (size_t)n * sizeof *out);
  tr_ctx_init(&o.ctx);
  pthread_mutex_init(&o.lock, NULL);
  pthread_cond_init(&o.cond, NULL);
  pthread_mutex_lock(&o.lock);
  sigset_t all, before; /* signals belong to the caller's threads */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (; n_threads < THREADS && n_threads < n; n_threads++) {
    if (pthread_create(&threads[n_threads], NULL, open_some, &o) != 0) break;
    o.running++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  wait_for_threads(&o, ctx);
  pthread_mutex_unlock(&o.lock);
  for (int i = 0; i < n_threads; i++) pthread_join(threads[i], NULL);
  enum tr_status st = o.status;
  if (n_threads == 0) st = tr_fail(err, TR_EXC_RUNTIME, "no thread can be started");
  else if (st != TR_OK && err) *err = o.error;
  for (int i = 0; i < n && st != TR_OK; i++) {
    tr_parquet_close(out[i]);
    out[i] = NULL;
  }
  pthread_cond_destroy(&o.cond);
  pthread_mutex_destroy(&o.lock);
  return st;
}
