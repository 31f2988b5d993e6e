/* The thread pool: see pool.h.
 *
 * Helpers sleep on a condition variable; a job publishes (fn, arg, counter) under the mutex and wakes as many
 * as it can use. Only one job runs at a time: a parallel_for that finds the pool busy (another Python thread,
 * or a nested call) runs inline on its caller. Among failing morsels the one with the lowest items decides: all
 * before it were handed out earlier and run to their end, so the error does not depend on timing. The caller
 * polls also while it waits for helpers. Helpers block all signals: they belong to the caller's threads.
 */
#include "base/pool.h"
#include "base/cgroup.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct job {
  struct tr_ctx *ctx;
  tr_range_fn fn;
  void *arg;
  int64_t n_items, grain;
  _Atomic int64_t next;
  _Atomic int status;
  pthread_mutex_t error_lock;
  int64_t error_begin;
  struct tr_error error;
};

enum { POLL_MS = 20 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work_cond = PTHREAD_COND_INITIALIZER, done_cond = PTHREAD_COND_INITIALIZER;
static struct job *current;
static int seats_left, active, next_seat, n_helpers;
static uint64_t generation;
static _Atomic bool busy;
static __thread bool inside;    /* in a morsel: parallel_for runs inline */
static __thread bool is_helper; /* a thread of the pool, which must not call poll */

/* Cores' worth of time that the control groups allow, rounded up; read once: every query asks. */
static int quota_cores(void) {
  static _Atomic int known;
  int n = atomic_load_explicit(&known, memory_order_relaxed);
  if (n) return n;
  const int64_t milli = tr_cgroup_read(NULL, NULL).milli_cpus;
  n = milli && milli < TR_MAX_THREADS * 1000 ? (int)((milli + 999) / 1000) : TR_MAX_THREADS;
  atomic_store_explicit(&known, n, memory_order_relaxed);
  return n;
}

int tr_pool_cores(void) {
  cpu_set_t set;
  int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1, quota = quota_cores();
  if (quota < n) n = quota; /* more threads would only be stopped for parts of every period */
  return n < 1 ? 1 : n > TR_MAX_THREADS ? TR_MAX_THREADS : n;
}

bool tr_pool_is_helper(void) { return is_helper; }

void tr_ctx_init(struct tr_ctx *ctx) {
  memset(ctx, 0, sizeof *ctx);
  const char *env = getenv("TERALITY_THREADS");
  int n = env ? atoi(env) : 0;
  ctx->threads = n >= 1 && n <= TR_MAX_THREADS ? n : tr_pool_cores();
  ctx->morsel_rows = TR_MORSEL_ROWS;
  ctx->optimise = true;
}

enum tr_status tr_pool_check_environment(struct tr_error *err) {
  const char *env = getenv("TERALITY_THREADS");
  if (!env || !*env || (strspn(env, "0123456789") == strlen(env) && strspn(env, "0") < strlen(env))) return TR_OK;
  return tr_fail(err, TR_EXC_VALUE, "TERALITY_THREADS='%.100s': expected a number of threads, 1 or more", env);
}

void tr_ctx_cancel(struct tr_ctx *ctx) { atomic_store(&ctx->cancelled, true); }

enum tr_status tr_ctx_check(struct tr_ctx *ctx) {
  return atomic_load_explicit(&ctx->cancelled, memory_order_relaxed) ? TR_CANCELLED : TR_OK;
}

static void record_failure(struct job *job, int64_t begin, enum tr_status st, const struct tr_error *err) {
  pthread_mutex_lock(&job->error_lock);
  if (atomic_load(&job->status) == TR_OK || begin < job->error_begin) {
    job->error = *err;
    job->error_begin = begin;
    atomic_store(&job->status, (int)st);
  }
  pthread_mutex_unlock(&job->error_lock);
}

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Asks the caller's poll function, on the caller's thread, at most every POLL_MS. */
static void poll_caller(struct job *job, int64_t *last_ms) {
  if (!job->ctx->poll || is_helper) return;
  int64_t now = now_ms();
  if (now - *last_ms < POLL_MS) return;
  *last_ms = now;
  if (job->ctx->poll(job->ctx->poll_arg)) tr_ctx_cancel(job->ctx);
}

static void run_morsels(struct job *job, int seat) {
  struct tr_error err;
  int64_t last_poll = now_ms();
  while (atomic_load_explicit(&job->status, memory_order_relaxed) == TR_OK) {
    int64_t begin = atomic_fetch_add(&job->next, job->grain);
    if (begin >= job->n_items) break;
    if (seat == 0) poll_caller(job, &last_poll);
    enum tr_status st = tr_ctx_check(job->ctx);
    err.text[0] = 0;
    err.exc = TR_EXC_RUNTIME;
    err.os_errno = 0;
    int64_t end = job->n_items - begin > job->grain ? begin + job->grain : job->n_items;
    if (st == TR_OK) st = job->fn(job->arg, seat, begin, end, &err);
    if (st != TR_OK) record_failure(job, begin, st, &err);
  }
}

static void *helper_main(void *unused) {
  (void)unused;
  inside = is_helper = true;
  uint64_t seen = 0;
  pthread_mutex_lock(&lock);
  for (;;) {
    while (!(current && seats_left > 0 && generation != seen)) pthread_cond_wait(&work_cond, &lock);
    seen = generation;
    struct job *job = current;
    seats_left--;
    active++;
    int seat = next_seat++;
    pthread_mutex_unlock(&lock);
    run_morsels(job, seat);
    pthread_mutex_lock(&lock);
    if (--active == 0) pthread_cond_signal(&done_cond);
  }
  return NULL;
}

static void after_fork_in_child(void) {
  pthread_mutex_init(&lock, NULL);
  pthread_cond_init(&work_cond, NULL);
  pthread_cond_init(&done_cond, NULL);
  current = NULL;
  n_helpers = active = seats_left = 0;
  atomic_store(&busy, false);
  inside = is_helper = false;
}

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static void register_fork(void) { pthread_atfork(NULL, NULL, after_fork_in_child); }

/* Makes sure `want` helpers exist; fewer is fine, the caller works too. Called with the lock held. */
static void grow(int want) {
  pthread_once(&fork_once, register_fork);
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (n_helpers < want) {
    pthread_t t;
    if (pthread_create(&t, &attr, helper_main, NULL) != 0) break;
    n_helpers++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attr);
}

/* Waits until no helper works on the job. Called with the lock held. */
static void wait_for_helpers(struct job *job) {
  int64_t last_poll = now_ms();
  while (active > 0) {
    if (!job->ctx->poll) {
      pthread_cond_wait(&done_cond, &lock);
      continue;
    }
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += POLL_MS * 1000000;
    if (until.tv_nsec >= 1000000000) {
      until.tv_sec++;
      until.tv_nsec -= 1000000000;
    }
    if (pthread_cond_timedwait(&done_cond, &lock, &until) != ETIMEDOUT) continue;
    pthread_mutex_unlock(&lock);
    poll_caller(job, &last_poll);
    pthread_mutex_lock(&lock);
  }
}

static void run_with_helpers(struct job *job, int helpers) {
  pthread_mutex_lock(&lock);
  grow(helpers);
  current = job;
  seats_left = helpers;
  next_seat = 1;
  generation++;
  pthread_cond_broadcast(&work_cond);
  pthread_mutex_unlock(&lock);
  inside = true;
  run_morsels(job, 0);
  inside = false;
  pthread_mutex_lock(&lock);
  current = NULL;
  seats_left = 0;
  wait_for_helpers(job);
  pthread_mutex_unlock(&lock);
}

enum tr_status tr_parallel_for(struct tr_ctx *ctx, int64_t n_items, int64_t grain, tr_range_fn fn, void *arg,
                               struct tr_error *err) {
  if (n_items <= 0) return tr_ctx_check(ctx);
  if (grain < 1) grain = 1;
  struct job job = {.ctx = ctx, .fn = fn, .arg = arg, .n_items = n_items, .grain = grain};
  pthread_mutex_init(&job.error_lock, NULL);
  int64_t pieces = (n_items - 1) / grain + 1;
  int threads = ctx->threads < TR_MAX_THREADS ? ctx->threads : TR_MAX_THREADS;
  if (pieces < threads) threads = (int)pieces;
  bool free_pool = false;
  if (threads > 1 && !inside && atomic_compare_exchange_strong(&busy, &free_pool, true)) {
    run_with_helpers(&job, threads - 1);
    atomic_store(&busy, false);
  } else {
    run_morsels(&job, 0);
  }
  pthread_mutex_destroy(&job.error_lock);
  if (job.status != TR_OK && err) *err = job.error;
  return (enum tr_status)job.status;
}
