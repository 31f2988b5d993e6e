/* src/base/pool: every item runs exactly once, the lowest failing morsel decides, cancelling and polling work, nested
 * and concurrent calls run inline, and a child made by fork gets a pool of its own. */
#include "base/pool.h"
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N_ITEMS = 10007 };

static struct tr_ctx make_ctx(int threads) {
  struct tr_ctx ctx;
  tr_ctx_init(&ctx);
  ctx.threads = threads;
  return ctx;
}

static void nap(int ms) { nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL); }

struct visits {
  _Atomic int seen[N_ITEMS];
  _Atomic int on_seat[TR_MAX_THREADS];
  int64_t grain;
  int threads;
  _Atomic int faults;
};

static enum tr_status visit(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)err;
  struct visits *v = arg;
  bool fits = thread >= 0 && thread < v->threads && begin % v->grain == 0 && end > begin && end - begin <= v->grain;
  if (!fits || atomic_fetch_add(&v->on_seat[thread], 1) != 0) atomic_fetch_add(&v->faults, 1);
  for (int64_t i = begin; i < end; i++) atomic_fetch_add(&v->seen[i], 1);
  atomic_fetch_sub(&v->on_seat[thread], 1);
  return TR_OK;
}

static void every_item_once(void **state) {
  (void)state;
  static const int threads[] = {1, 2, 3, 8, 64};
  static const int64_t grains[] = {1, 7, 1000, N_ITEMS, 20000};
  struct visits *v = malloc(sizeof *v);
  for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
    for (size_t g = 0; g < sizeof grains / sizeof *grains; g++) {
      memset(v, 0, sizeof *v);
      v->grain = grains[g];
      v->threads = threads[t];
      struct tr_ctx ctx = make_ctx(threads[t]);
      assert_int_equal(tr_parallel_for(&ctx, N_ITEMS, grains[g], visit, v, NULL), TR_OK);
      assert_int_equal(v->faults, 0);
      for (int i = 0; i < N_ITEMS; i++) assert_int_equal(v->seen[i], 1);
    }
  }
  free(v);
}

static void no_items(void **state) {
  (void)state;
  struct tr_ctx ctx = make_ctx(4);
  assert_int_equal(tr_parallel_for(&ctx, 0, 1, visit, NULL, NULL), TR_OK);
  assert_int_equal(tr_parallel_for(&ctx, -3, 1, visit, NULL, NULL), TR_OK);
}

static enum tr_status fail_some(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)end;
  int64_t first_bad = *(int64_t *)arg;
  if (begin == first_bad) nap(3); /* later morsels fail earlier */
  if (begin >= first_bad) return tr_fail(err, TR_EXC_VALUE, "item %lld", (long long)begin);
  return TR_OK;
}

static void lowest_failure_decides(void **state) {
  (void)state;
  for (int round = 0; round < 20; round++) {
    int64_t first_bad = 30 + round;
    char want[32];
    snprintf(want, sizeof want, "item %lld", (long long)first_bad);
    struct tr_ctx ctx = make_ctx(4);
    struct tr_error err;
    assert_int_equal(tr_parallel_for(&ctx, 1000, 1, fail_some, &first_bad, &err), TR_ERROR);
    assert_int_equal(err.exc, TR_EXC_VALUE);
    assert_string_equal(err.text, want);
    assert_int_equal(tr_parallel_for(&ctx, 1000, 1, fail_some, &first_bad, NULL), TR_ERROR);
  }
}

static enum tr_status count_then_cancel(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)end;
  (void)err;
  if (begin == 5) tr_ctx_cancel(arg);
  return TR_OK;
}

static void cancelling_stops(void **state) {
  (void)state;
  for (int threads = 1; threads <= 4; threads++) {
    struct tr_ctx ctx = make_ctx(threads);
    struct tr_error err;
    assert_int_equal(tr_parallel_for(&ctx, 1 << 30, 1, count_then_cancel, &ctx, &err), TR_CANCELLED);
    assert_int_equal(tr_ctx_check(&ctx), TR_CANCELLED);
    assert_int_equal(tr_parallel_for(&ctx, 10, 1, count_then_cancel, &ctx, &err), TR_CANCELLED);
    /* The pool is as good as before. */
    struct tr_ctx next = make_ctx(threads);
    struct tr_ctx other = make_ctx(1);
    assert_int_equal(tr_parallel_for(&next, 100, 1, count_then_cancel, &other, &err), TR_OK);
  }
}

struct polling {
  pthread_t caller;
  _Atomic int calls, elsewhere;
  int stop_after;
};

static bool poll_and_stop(void *arg) {
  struct polling *p = arg;
  if (!pthread_equal(p->caller, pthread_self())) atomic_fetch_add(&p->elsewhere, 1);
  return atomic_fetch_add(&p->calls, 1) + 1 >= p->stop_after;
}

static enum tr_status doze(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)arg;
  (void)thread;
  (void)begin;
  (void)end;
  (void)err;
  nap(1);
  return TR_OK;
}

static void poll_cancels(void **state) {
  (void)state;
  for (int threads = 1; threads <= 3; threads++) {
    struct polling p = {.caller = pthread_self(), .stop_after = 3};
    struct tr_ctx ctx = make_ctx(threads);
    ctx.poll = poll_and_stop;
    ctx.poll_arg = &p;
    assert_int_equal(tr_parallel_for(&ctx, 100000, 1, doze, NULL, NULL), TR_CANCELLED);
    assert_int_equal(p.calls, 3);
    assert_int_equal(p.elsewhere, 0);
  }
}

/* The helper's only morsel lasts until somebody cancels; the caller has nothing left to do but wait. */
static enum tr_status wait_for_cancel(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)begin;
  (void)end;
  (void)err;
  struct tr_ctx *ctx = arg;
  for (int i = 0; thread != 0 && i < 5000; i++) {
    TR_TRY(tr_ctx_check(ctx));
    nap(1);
  }
  if (thread == 0) nap(5);
  return TR_OK;
}

static void caller_polls_while_it_waits(void **state) {
  (void)state;
  struct polling p = {.caller = pthread_self(), .stop_after = 2};
  struct tr_ctx ctx = make_ctx(2);
  ctx.poll = poll_and_stop;
  ctx.poll_arg = &p;
  assert_int_equal(tr_parallel_for(&ctx, 6, 1, wait_for_cancel, &ctx, NULL), TR_CANCELLED);
  assert_int_equal(p.elsewhere, 0);
}

struct nested {
  struct tr_ctx *ctx;
  _Atomic int64_t items;
};

static enum tr_status inner(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)err;
  struct nested *n = arg;
  if (thread != 0) return tr_fail(err, TR_EXC_RUNTIME, "a nested call used another thread");
  atomic_fetch_add(&n->items, end - begin);
  nap(1);
  return TR_OK;
}

static enum tr_status outer(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  struct nested *n = arg;
  for (int64_t i = begin; i < end; i++) TR_TRY(tr_parallel_for(n->ctx, 30, 1, inner, n, err));
  return TR_OK;
}

static void nested_calls_run_inline(void **state) {
  (void)state;
  struct polling p = {.caller = pthread_self(), .stop_after = 1 << 30};
  struct tr_ctx ctx = make_ctx(4);
  ctx.poll = poll_and_stop;
  ctx.poll_arg = &p;
  struct nested n = {.ctx = &ctx};
  struct tr_error err = {0};
  assert_int_equal(tr_parallel_for(&ctx, 12, 1, outer, &n, &err), TR_OK);
  assert_int_equal(n.items, 12 * 30);
  assert_int_equal(p.elsewhere, 0);
}

static enum tr_status add_up(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  int64_t sum = 0;
  for (int64_t i = begin; i < end; i++) sum += i;
  atomic_fetch_add((_Atomic int64_t *)arg, sum);
  return TR_OK;
}

static void *use_pool(void *arg) {
  (void)arg;
  for (int i = 0; i < 200; i++) {
    struct tr_ctx ctx = make_ctx(3);
    _Atomic int64_t sum = 0;
    if (tr_parallel_for(&ctx, 1000, 10, add_up, &sum, NULL) != TR_OK || sum != 499500) return "wrong sum";
  }
  return NULL;
}

static void several_callers(void **state) {
  (void)state;
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, use_pool, NULL), 0);
  for (int i = 0; i < 4; i++) {
    void *fault;
    pthread_join(threads[i], &fault);
    assert_null(fault);
  }
}

static void child_has_a_pool(void **state) {
  (void)state;
  assert_null(use_pool(NULL));
  for (int i = 0; i < 5; i++) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
      alarm(120);
      _exit(use_pool(NULL) ? 1 : 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_null(use_pool(NULL));
  }
}

static enum tr_status fork_inside(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)end;
  if (begin != 3) return doze(arg, thread, begin, end, err);
  pid_t child = fork();
  if (child == 0) {
    alarm(120);
    _exit(use_pool(NULL) ? 1 : 0);
  }
  int status = 1;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
    return tr_fail(err, TR_EXC_RUNTIME, "the child failed");
  }
  return TR_OK;
}

static void fork_within_a_morsel(void **state) {
  (void)state;
  struct tr_ctx ctx = make_ctx(2);
  struct tr_error err = {0};
  assert_int_equal(tr_parallel_for(&ctx, 8, 1, fork_inside, NULL, &err), TR_OK);
}

static enum tr_status signals_blocked(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)arg;
  (void)begin;
  (void)end;
  sigset_t set;
  pthread_sigmask(SIG_SETMASK, NULL, &set);
  nap(1);
  if ((thread != 0) != sigismember(&set, SIGINT)) return tr_fail(err, TR_EXC_RUNTIME, "wrong mask on %d", thread);
  return TR_OK;
}

static void helpers_take_no_signals(void **state) {
  (void)state;
  struct tr_ctx ctx = make_ctx(3);
  assert_int_equal(tr_parallel_for(&ctx, 50, 1, signals_blocked, NULL, NULL), TR_OK);
}

static void defaults(void **state) {
  (void)state;
  struct tr_ctx ctx;
  struct tr_error err;
  setenv("TERALITY_THREADS", "3", 1);
  tr_ctx_init(&ctx);
  assert_int_equal(ctx.threads, 3);
  static const char *const wrong[] = {"0", "-1", "x", "1000", ""};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    setenv("TERALITY_THREADS", wrong[i], 1);
    tr_ctx_init(&ctx);
    assert_int_equal(ctx.threads, tr_pool_cores());
    const bool fine = !*wrong[i] || strcmp(wrong[i], "1000") == 0; /* not set; all there are */
    assert_int_equal(tr_pool_check_environment(&err), fine ? TR_OK : TR_ERROR);
    assert_true(fine || strstr(err.text, "TERALITY_THREADS='"));
  }
  unsetenv("TERALITY_THREADS");
  assert_int_equal(tr_grain(&ctx), TR_MORSEL_ROWS);
  assert_true(ctx.optimise && !ctx.hash_zero && !ctx.cancelled);
  assert_true(tr_pool_cores() >= 1 && tr_pool_cores() <= TR_MAX_THREADS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_item_once),
      cmocka_unit_test(no_items),
      cmocka_unit_test(lowest_failure_decides),
      cmocka_unit_test(cancelling_stops),
      cmocka_unit_test(poll_cancels),
      cmocka_unit_test(caller_polls_while_it_waits),
      cmocka_unit_test(nested_calls_run_inline),
      cmocka_unit_test(several_callers),
      cmocka_unit_test(child_has_a_pool),
      cmocka_unit_test(fork_within_a_morsel),
      cmocka_unit_test(helpers_take_no_signals),
      cmocka_unit_test(defaults),
  };
  return cmocka_run_group_tests_name("base/pool", tests, NULL, NULL);
}
