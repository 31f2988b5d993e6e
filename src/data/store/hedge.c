/* Hedged reads: a request that takes longer than almost all of its size is sent a second time, on a new connection, and
 * whoever answers first wins. Both write the same bytes to the same place, which only an etag makes certain, so reads
 * without one are passed on as they are. At most two in a hundred reads are doubled: when everything is slow, more
 * requests would make it slower.
 */
#include "data/store/store_int.h"
#include "net/http.h"
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 64, CLASSES = 12, EARLY_MS = 300, EARLY_BYTES_PER_MS = 20000, LEAST_US = 50000 };

/* How long reads of about one size took: the last SAMPLES of them. */
struct latency {
  int64_t us[SAMPLES];
  int64_t n;
  int64_t patience_us; /* max(2 * median, 99th percentile), made anew every 16 samples; 0 = not known */
};

struct hedger {
  struct tr_store store;
  pthread_mutex_t lock;
  struct latency classes[CLASSES];
  int64_t reads, hedged;
};

/* Two attempts at one read. */
struct race {
  struct tr_child child[2];
  struct tr_store_io *owner;
  struct hedger *store;
  struct tr_http_flight *timer;
  pthread_mutex_t lock;
  int refs; /* submit, each child, the timer */
  int running;
  bool won, over;
  int64_t begun_us;
  enum tr_status status; /* of the first failure */
  struct tr_error error;
};

static int size_class(size_t bytes) {
  int k = 0;
  for (bytes >>= 14; bytes && k < CLASSES - 1; bytes >>= 1) k++;
  return k;
}

static int by_time(const void *a, const void *b) {
  const int64_t *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

static void learn(struct hedger *h, size_t bytes, int64_t us) {
  struct latency *l = &h->classes[size_class(bytes)];
  int64_t sorted[SAMPLES];
  pthread_mutex_lock(&h->lock);
  l->us[l->n++ % SAMPLES] = us;
  if (l->n >= SAMPLES / 2 && l->n % 16 == 0) {
    size_t n = l->n < SAMPLES ? (size_t)l->n : SAMPLES;
    memcpy(sorted, l->us, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_time);
    int64_t twice = 2 * sorted[n / 2], high = sorted[n - 1 - n / 100];
    l->patience_us = twice > high ? twice : high;
    if (l->patience_us < LEAST_US) l->patience_us = LEAST_US;
  }
  pthread_mutex_unlock(&h->lock);
}

static int64_t patience_ms(struct hedger *h, size_t bytes) {
  pthread_mutex_lock(&h->lock);
  int64_t us = h->classes[size_class(bytes)].patience_us;
  h->reads++;
  pthread_mutex_unlock(&h->lock);
  return us ? us / 1000 + 1 : EARLY_MS + (int64_t)bytes / EARLY_BYTES_PER_MS;
}

static bool may_hedge(struct hedger *h) {
  pthread_mutex_lock(&h->lock);
  bool may = h->hedged < 2 + h->reads / 50;
  h->hedged += may;
  pthread_mutex_unlock(&h->lock);
  return may;
}

/* Called with the lock, which is given up. */
static void unlock_unref(struct race *r) {
  bool last = --r->refs == 0;
  pthread_mutex_unlock(&r->lock);
  if (!last) return;
  tr_http_flight_unref(r->timer);
  pthread_mutex_destroy(&r->lock);
  free(r);
}

/* The children lie in the race: at their last unref one of its references goes. */
static void child_free(struct tr_child *c) {
  struct race *r = c->io.arg;
  pthread_mutex_lock(&r->lock);
  unlock_unref(r);
}

static void child_done(struct tr_store_io *io, enum tr_status status, const struct tr_error *err) {
  struct race *r = io->arg;
  struct tr_child *mine = io == &r->child[0].io ? &r->child[0] : &r->child[1];
  struct tr_child *other = mine == &r->child[0] ? &r->child[1] : &r->child[0];
  tr_child_over(mine);
  pthread_mutex_lock(&r->lock);
  bool first = status == TR_OK && !r->won;
  r->won |= status == TR_OK;
  if (status != TR_OK && r->status == TR_OK) {
    r->status = status;
    if (err) r->error = *err;
  }
  bool cancel_other = first && r->running == 2;
  r->over = --r->running == 0; /* from here on the timer starts nothing */
  bool over = r->over;
  struct tr_http_flight *timer = over ? r->timer : NULL;
  pthread_mutex_unlock(&r->lock);
  if (first) learn(r->store, io->bytes, tr_store_now_us() - r->begun_us);
  if (cancel_other) tr_child_cancel(other);
  if (timer) tr_http_cancel(timer);
  if (over) r->owner->done(r->owner, r->won ? TR_OK : r->status, r->won ? NULL : &r->error);
  tr_child_unref(mine);
}

static void patience_over(void *arg, enum tr_status status, struct tr_http_reply *reply, const struct tr_error *err) {
  struct race *r = arg;
  (void)reply, (void)err;
  pthread_mutex_lock(&r->lock);
  bool start = status == TR_OK && !r->over && may_hedge(r->store);
  if (start) {
    r->running++;
    r->refs++;
    tr_child_init(&r->child[1], r->store->store.next, r->owner, child_done, r, child_free);
    r->child[1].io.fresh_connection = true;
  }
  pthread_mutex_unlock(&r->lock);
  if (start) tr_child_submit(&r->child[1]);
  pthread_mutex_lock(&r->lock);
  unlock_unref(r);
}

static void hedge_submit(struct tr_store *s, struct tr_store_io *io) {
  struct hedger *h = (struct hedger *)s;
  struct tr_http *http;
  struct tr_error err;
  if (io->kind != TR_IO_READ || !io->etag) {
    s->next->ops->submit(s->next, io);
    return;
  }
  struct race *r = calloc(1, sizeof *r);
  enum tr_status st = r ? tr_http_shared(&http, &err) : tr_fail_memory(&err, sizeof *r);
  if (st != TR_OK) {
    free(r);
    io->done(io, st, &err);
    return;
  }
  r->owner = io;
  r->store = h;
  r->refs = 3; /* this function, the first child, the timer */
  r->running = 1;
  r->begun_us = tr_store_now_us();
  pthread_mutex_init(&r->lock, NULL);
  tr_child_init(&r->child[0], s->next, io, child_done, r, child_free);
  io->under_way = r;
  int64_t ms = patience_ms(h, io->bytes);
  tr_child_submit(&r->child[0]);
  /* `io` may be gone by now. A timer that rings at once waits for the lock. */
  struct tr_http_flight *timer = NULL;
  pthread_mutex_lock(&r->lock);
  if (r->over || tr_http_after(http, ms, patience_over, r, &timer, NULL) != TR_OK) r->refs--;
  r->timer = timer;
  unlock_unref(r);
}

static void hedge_cancel(struct tr_store *s, struct tr_store_io *io) {
  if (io->kind != TR_IO_READ || !io->etag) {
    s->next->ops->cancel(s->next, io);
    return;
  }
  struct race *r = io->under_way;
  pthread_mutex_lock(&r->lock);
  bool both = r->running == 2;
  pthread_mutex_unlock(&r->lock);
  tr_child_cancel(&r->child[0]);
  if (both) tr_child_cancel(&r->child[1]);
}

static void hedge_free(struct tr_store *s) {
  pthread_mutex_destroy(&((struct hedger *)s)->lock);
  free(s);
}

static const struct tr_store_ops OPS = {tr_pass_make,   tr_pass_stat,  tr_pass_put, tr_pass_list,
                                        tr_pass_remove, tr_pass_begin, tr_pass_end, tr_pass_abort,
                                        hedge_submit,   hedge_cancel,  hedge_free};

enum tr_status tr_store_hedge(struct tr_store *next, struct tr_store **out, struct tr_error *err) {
  struct hedger *h = calloc(1, sizeof *h);
  enum tr_status st = h ? tr_store_init(&h->store, &OPS, strdup(next->url), next, err) : tr_fail_memory(err, sizeof *h);
  if (st != TR_OK) {
    tr_store_unref(next);
    free(h);
    return st;
  }
  pthread_mutex_init(&h->lock, NULL);
  *out = &h->store;
  return TR_OK;
}
