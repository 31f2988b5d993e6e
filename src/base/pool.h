/* Threads, morsels and cancellation.
 *
 * One process-wide pool, made on first use and remade after fork. The calling thread always works too, so
 * `threads` counts it. Work is cut into morsels taken from a shared counter; cancellation and the poll
 * callback are checked between morsels. The first failing morsel decides the result.
 */
#pragma once
#include "base/status.h"
#include <stdatomic.h>

#define TR_MAX_THREADS 64
#define TR_MORSEL_ROWS 65536

/* What a query runs under; owned by the caller, borrowed by everything below. */
struct tr_ctx {
  int threads;            /* >= 1, <= TR_MAX_THREADS */
  int64_t morsel_rows;    /* rows per morsel, TR_MORSEL_ROWS; tests use 1 */
  bool hash_zero;         /* tests: every hash is 0, so that collisions are exercised */
  bool optimise;          /* tests switch the optimiser off */
  _Atomic bool cancelled; /* set by tr_ctx_cancel from any thread */
  bool (*poll)(void *);   /* called now and then on the calling thread; true = cancel. May be NULL */
  void *poll_arg;
  const struct tr_outside *outside; /* who serves values that the engine refuses: data/kern/expr/eval.h. May be NULL */
};

/* threads = cores the process may use (TERALITY_THREADS overrides), other fields at their defaults. */
void tr_ctx_init(struct tr_ctx *ctx);
/* Fails when TERALITY_THREADS is set to what is no number of threads. */
TR_MUST_USE enum tr_status tr_pool_check_environment(struct tr_error *err);
void tr_ctx_cancel(struct tr_ctx *ctx);
/* Number of cores the process may use: its affinity, and the CPU quotas of its control groups when first asked. */
int tr_pool_cores(void);
/* True on a thread of the pool, which must not call ctx->poll: that belongs to the thread the query was called on. */
bool tr_pool_is_helper(void);

/* Work on items [begin, end); `thread` is in [0, ctx->threads) and unique among running calls of one parallel_for. */
typedef enum tr_status (*tr_range_fn)(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err);

/* Runs fn over [0, n_items) in pieces of `grain` items (>= 1; the last may be shorter; begin is always a
 * multiple of grain) on up to ctx->threads threads. Runs inline when one piece suffices. Nested calls run inline. */
TR_MUST_USE enum tr_status tr_parallel_for(struct tr_ctx *ctx, int64_t n_items, int64_t grain, tr_range_fn fn,
                                           void *arg, struct tr_error *err);
/* Grain for row loops: ctx->morsel_rows. */
static inline int64_t tr_grain(const struct tr_ctx *ctx) {
  return ctx->morsel_rows > 0 ? ctx->morsel_rows : TR_MORSEL_ROWS;
}
/* TR_CANCELLED when the query was cancelled; long single-threaded loops call it now and then. */
TR_MUST_USE enum tr_status tr_ctx_check(struct tr_ctx *ctx);
