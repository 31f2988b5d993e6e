/* Many ranges of objects: neighbours become one request, long ones several, many at a time.
 *
 * A request costs a round trip, so ranges with less than GAP bytes between them are read together and what lies between
 * is thrown away; a connection has its own speed, so nothing is read in pieces above PIECE (AWS advises 8 to 16 MiB).
 * A span is what is read together; its pieces go out as separate requests.
 */
#include "base/mem.h"
#include "data/store/store_int.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { GAP = 512 << 10, SPAN = 16 << 20, PIECE = 8 << 20, AHEAD = 128 << 20, PIECES_AT_ONCE = 32 };

struct span {
  int object;
  int64_t begin, end;
  int64_t first, n; /* of `order` */
  int64_t in_use;   /* ranges not dropped yet */
  uint8_t *data;    /* of a fetch */
  int pieces_left;
  bool started, finished;
  enum tr_status status;
};

struct tr_fetch {
  const struct tr_fetch_object *objects;
  struct tr_range *ranges;
  int64_t n_ranges;
  int64_t *order;   /* ranges by offset */
  int64_t *span_of; /* per range */
  struct span *spans;
  int64_t n_spans, next_span; /* in the order of first use */
  int64_t ahead, held;        /* bytes allowed; bytes of spans started and not dropped */
  bool into_ranges;           /* to where the ranges say, instead of memory of ours */
  bool closing, starting;
  int pieces_out, busy; /* requests under way; threads inside that are about to touch this again */
  struct piece *pieces; /* under way */
  pthread_mutex_t lock;
  pthread_cond_t cond;
  struct tr_error error;
  size_t ranges_bytes, spans_bytes;
};

struct piece {
  struct tr_store_io io;
  struct tr_fetch *fetch;
  struct span *span;
  struct piece *next, **prev;
  int refs;       /* submit's and done's */
  bool submitted; /* submit has returned, so it may be cancelled */
  bool over;
  struct tr_io_part parts[];
};

static int64_t end_of(const struct tr_range *r) { return r->offset + r->bytes; }

static int by_offset(const void *a, const void *b, void *arg) {
  const struct tr_range *r = arg, *x = &r[*(const int64_t *)a], *y = &r[*(const int64_t *)b];
  if (x->object != y->object) return x->object < y->object ? -1 : 1;
  if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
  return (*(const int64_t *)a > *(const int64_t *)b) - (*(const int64_t *)a < *(const int64_t *)b);
}

static int by_first_use(const void *a, const void *b, void *arg) {
  const struct tr_fetch *f = arg;
  int64_t least[2] = {INT64_MAX, INT64_MAX};
  const struct span *s[2] = {a, b};
  for (int k = 0; k < 2; k++)
    for (int64_t i = 0; i < s[k]->n; i++)
      if (f->order[s[k]->first + i] < least[k]) least[k] = f->order[s[k]->first + i];
  return (least[0] > least[1]) - (least[0] < least[1]);
}

/* Cuts the ordered ranges into spans, then puts these into the order in which they are wanted. */
static void make_spans(struct tr_fetch *f) {
  for (int64_t i = 0; i < f->n_ranges; i++) {
    const struct tr_range *r = &f->ranges[f->order[i]];
    struct span *last = f->n_spans ? &f->spans[f->n_spans - 1] : NULL;
    bool joins = last && last->object == r->object && r->offset - last->end <= GAP && end_of(r) - last->begin <= SPAN &&
                 r->offset >= last->end;
    if (!joins) {
      last = &f->spans[f->n_spans++];
      *last = (struct span){.object = r->object, .begin = r->offset, .end = r->offset, .first = i};
    }
    if (end_of(r) > last->end) last->end = end_of(r);
    last->n++;
    last->in_use++;
  }
  qsort_r(f->spans, (size_t)f->n_spans, sizeof *f->spans, by_first_use, f);
  for (int64_t s = 0; s < f->n_spans; s++)
    for (int64_t i = 0; i < f->spans[s].n; i++) f->span_of[f->order[f->spans[s].first + i]] = s;
}

/* The parts of [begin, end) of a span: its own memory, or the ranges' with what lies between passed over. NULL `out`
 * counts. */
static int piece_parts(const struct tr_fetch *f, const struct span *s, int64_t begin, int64_t end,
                       struct tr_io_part *out) {
  if (!f->into_ranges) {
    if (out) *out = (struct tr_io_part){s->data + (begin - s->begin), (size_t)(end - begin)};
    return 1;
  }
  int n = 0;
  int64_t at = begin;
  for (int64_t i = 0; i < s->n && at < end; i++) {
    const struct tr_range *r = &f->ranges[f->order[s->first + i]];
    int64_t from = r->offset > at ? r->offset : at, to = end_of(r) < end ? end_of(r) : end;
    if (to <= from) continue;
    if (from > at) {
      if (out) out[n] = (struct tr_io_part){NULL, (size_t)(from - at)};
      n++;
    }
    if (out) out[n] = (struct tr_io_part){(uint8_t *)r->to + (from - r->offset), (size_t)(to - from)};
    n++;
    at = to;
  }
  return n;
}

/* Under the lock: forgets a piece that neither submit nor done needs any more. */
static void piece_unref(struct piece *p) {
  if (--p->refs == 0) free(p);
}

static void start_more(struct tr_fetch *f);

static void piece_done(struct tr_store_io *io, enum tr_status status, const struct tr_error *err) {
  struct piece *p = io->arg;
  struct tr_fetch *f = p->fetch;
  pthread_mutex_lock(&f->lock);
  struct span *s = p->span;
  if (status != TR_OK && s->status == TR_OK) {
    s->status = status;
    if (err && !f->error.text[0]) f->error = *err;
  }
  *p->prev = p->next;
  if (p->next) p->next->prev = p->prev;
  p->over = true;
  piece_unref(p);
  if (--s->pieces_left == 0) s->finished = true;
  f->busy++; /* this thread still works on f */
  f->pieces_out--;
  if (f->ahead >= 0) start_more(f);
  f->busy--;
  pthread_cond_broadcast(&f->cond);
  pthread_mutex_unlock(&f->lock);
}

/* Makes the piece [begin, end), listed as under way. Under the lock. */
static struct piece *make_piece(struct tr_fetch *f, struct span *s, int64_t begin, int64_t end) {
  int n = piece_parts(f, s, begin, end, NULL);
  struct piece *p = calloc(1, sizeof *p + (size_t)n * sizeof *p->parts);
  if (!p) return NULL;
  piece_parts(f, s, begin, end, p->parts);
  p->fetch = f;
  p->span = s;
  p->refs = 2;
  p->io = (struct tr_store_io){.kind = TR_IO_READ,
                               .key = f->objects[s->object].key,
                               .etag = f->objects[s->object].etag,
                               .offset = begin,
                               .bytes = (size_t)(end - begin),
                               .parts = p->parts,
                               .n_parts = n,
                               .done = piece_done,
                               .arg = p};
  p->next = f->pieces;
  p->prev = &f->pieces;
  if (p->next) p->next->prev = &p->next;
  f->pieces = p;
  f->pieces_out++;
  return p;
}

static void fail_span(struct tr_fetch *f, struct span *s, size_t bytes) {
  if (s->status == TR_OK) s->status = tr_fail_memory(f->error.text[0] ? NULL : &f->error, bytes);
}

/* Sends a span's pieces. Called with the lock, which is not held while the store works. */
static void start_span(struct tr_fetch *f, struct span *s) {
  int64_t bytes = s->end - s->begin;
  s->started = true;
  f->held += bytes;
  f->busy++;
  void *memory = NULL;
  if (!f->into_ranges && bytes && tr_mem_alloc((size_t)bytes, &memory, NULL) != TR_OK) {
    fail_span(f, s, (size_t)bytes);
    bytes = 0;
  }
  s->data = memory;
  s->pieces_left = (int)((bytes + PIECE - 1) / PIECE);
  int n = s->pieces_left;
  s->finished = n == 0;
  for (int i = 0; i < n; i++) {
    int64_t begin = s->begin + (int64_t)i * PIECE, end = begin + PIECE < s->end ? begin + PIECE : s->end;
    struct piece *p = f->closing || s->status != TR_OK ? NULL : make_piece(f, s, begin, end);
    if (!p) {
      fail_span(f, s, sizeof *p);
      if (--s->pieces_left == 0) s->finished = true;
      continue;
    }
    struct tr_store *store = f->objects[s->object].store;
    pthread_mutex_unlock(&f->lock);
    store->ops->submit(store, &p->io);
    pthread_mutex_lock(&f->lock);
    p->submitted = true;
    if (f->closing && !p->over) store->ops->cancel(store, &p->io);
    piece_unref(p);
  }
  f->busy--;
  pthread_cond_broadcast(&f->cond);
}

/* Starts what the bounds allow. One thread at a time: a store that answers within submit would otherwise recurse. */
static void start_more(struct tr_fetch *f) {
  if (f->starting) return;
  f->starting = true;
  while (!f->closing && f->next_span < f->n_spans && f->pieces_out < PIECES_AT_ONCE) {
    struct span *s = &f->spans[f->next_span];
    if (!s->started) {
      if (f->held && f->held + s->end - s->begin > f->ahead) break;
      start_span(f, s);
    }
    f->next_span++;
  }
  f->starting = false;
}

void tr_fetch_free(struct tr_fetch *f) {
  if (!f) return;
  pthread_mutex_lock(&f->lock);
  f->closing = true;
  for (struct piece *p = f->pieces; p; p = p->next) {
    struct tr_store *store = f->objects[p->span->object].store;
    if (p->submitted) store->ops->cancel(store, &p->io);
  }
  while (f->pieces_out || f->busy) pthread_cond_wait(&f->cond, &f->lock);
  pthread_mutex_unlock(&f->lock);
  for (int64_t i = 0; i < f->n_spans; i++) tr_mem_free(f->spans[i].data, (size_t)(f->spans[i].end - f->spans[i].begin));
  tr_mem_free(f->ranges, f->ranges_bytes);
  tr_mem_free(f->spans, f->spans_bytes);
  pthread_mutex_destroy(&f->lock);
  pthread_cond_destroy(&f->cond);
  free(f);
}

/* Memory for n ranges and as many spans, `order` and `span_of` behind the ranges. */
TR_MUST_USE static enum tr_status reserve(struct tr_fetch *f, const struct tr_range *ranges, int64_t n,
                                          struct tr_error *err) {
  void *memory;
  f->ranges_bytes = (size_t)n * (sizeof *f->ranges + 2 * sizeof(int64_t)) + 1;
  TR_TRY(tr_mem_alloc(f->ranges_bytes, &memory, err));
  f->ranges = memory;
  f->order = (int64_t *)(void *)(f->ranges + n);
  f->span_of = f->order + n;
  f->spans_bytes = (size_t)(n + 1) * sizeof *f->spans;
  enum tr_status st = tr_mem_calloc(f->spans_bytes, &memory, err);
  if (st != TR_OK) return st;
  f->spans = memory;
  for (int64_t i = 0; i < n; i++) {
    const struct tr_fetch_object *o = &f->objects[ranges[i].object];
    if (ranges[i].offset < 0 || ranges[i].bytes < 0 || ranges[i].bytes > INT64_MAX - ranges[i].offset)
      return tr_fail(err, TR_EXC_VALUE, "%s/%s: a range outside of any object", o->store->url, o->key);
    f->ranges[i] = ranges[i];
    f->order[i] = i;
  }
  f->n_ranges = n;
  return TR_OK;
}

TR_MUST_USE static enum tr_status fetch_new(const struct tr_fetch_object *objects, const struct tr_range *ranges,
                                            int64_t n, int64_t ahead, bool into_ranges, struct tr_fetch **out,
                                            struct tr_error *err) {
  struct tr_fetch *f = calloc(1, sizeof *f);
  if (!f) return tr_fail_memory(err, sizeof *f);
  f->objects = objects;
  f->into_ranges = into_ranges;
  f->ahead = ahead;
  pthread_mutex_init(&f->lock, NULL);
  pthread_cond_init(&f->cond, NULL);
  enum tr_status st = reserve(f, ranges, n, err);
  if (st != TR_OK) {
    tr_fetch_free(f);
    return st;
  }
  qsort_r(f->order, (size_t)n, sizeof *f->order, by_offset, f->ranges);
  make_spans(f);
  pthread_mutex_lock(&f->lock);
  if (f->ahead >= 0) start_more(f);
  pthread_mutex_unlock(&f->lock);
  *out = f;
  return TR_OK;
}

enum tr_status tr_fetch_start(const struct tr_fetch_object *objects, const struct tr_range *ranges, int64_t n_ranges,
                              int64_t ahead_bytes, struct tr_fetch **out, struct tr_error *err) {
  /* A disk has no round trip to hide: whoever wants a range reads it. */
  int64_t ahead = n_ranges && !objects[ranges[0].object].store->remote ? -1 : ahead_bytes > 0 ? ahead_bytes : AHEAD;
  return fetch_new(objects, ranges, n_ranges, ahead, false, out, err);
}

/* Waits 20 ms at most, so that the caller can look at its query. */
static void wait_a_little(struct tr_fetch *f) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  int64_t ns = until.tv_nsec + 20000000;
  until.tv_sec += ns / 1000000000;
  until.tv_nsec = ns % 1000000000;
  pthread_cond_timedwait(&f->cond, &f->lock, &until);
}

/* Under the lock, given up meanwhile. */
TR_MUST_USE static enum tr_status wait_for_span(struct tr_fetch *f, struct span *s, struct tr_ctx *ctx,
                                                struct tr_error *err) {
  if (!s->started) start_span(f, s); /* somebody waits: the bounds do not count */
  while (!s->finished) {
    if (!ctx) {
      pthread_cond_wait(&f->cond, &f->lock);
      continue;
    }
    wait_a_little(f);
    pthread_mutex_unlock(&f->lock);
    if (ctx->poll && !tr_pool_is_helper() && ctx->poll(ctx->poll_arg)) tr_ctx_cancel(ctx);
    enum tr_status st = tr_ctx_check(ctx);
    pthread_mutex_lock(&f->lock);
    if (st != TR_OK) return st;
  }
  if (s->status != TR_OK && err) *err = f->error;
  return s->status;
}

enum tr_status tr_fetch_wait(struct tr_fetch *f, int64_t i, struct tr_ctx *ctx, const uint8_t **data,
                             struct tr_error *err) {
  static const uint8_t nothing[1];
  struct span *s = &f->spans[f->span_of[i]];
  pthread_mutex_lock(&f->lock);
  enum tr_status st = wait_for_span(f, s, ctx, err);
  pthread_mutex_unlock(&f->lock);
  *data = s->data ? s->data + (f->ranges[i].offset - s->begin) : nothing;
  return st;
}

void tr_fetch_drop(struct tr_fetch *f, int64_t i) {
  struct span *s = &f->spans[f->span_of[i]];
  pthread_mutex_lock(&f->lock);
  if (--s->in_use == 0 && s->finished) {
    tr_mem_free(s->data, (size_t)(s->end - s->begin));
    s->data = NULL;
    f->held -= s->end - s->begin;
    if (f->ahead >= 0) start_more(f);
  }
  pthread_mutex_unlock(&f->lock);
}

enum tr_status tr_store_read(struct tr_store *s, const char *key, const char *etag, const struct tr_range *ranges,
                             int64_t n_ranges, struct tr_ctx *ctx, struct tr_error *err) {
  struct tr_fetch *f;
  const struct tr_fetch_object object = {s, key, etag};
  TR_TRY(tr_store_check_key(s, key, err));
  for (int64_t i = 0; i < n_ranges; i++)
    if (ranges[i].object) return tr_fail(err, TR_EXC_VALUE, "%s/%s: a range of another object", s->url, key);
  TR_TRY(fetch_new(&object, ranges, n_ranges, INT64_MAX / 2, true, &f, err));
  enum tr_status st = TR_OK;
  pthread_mutex_lock(&f->lock);
  for (int64_t i = 0; i < f->n_spans && st == TR_OK; i++) st = wait_for_span(f, &f->spans[i], ctx, err);
  pthread_mutex_unlock(&f->lock);
  tr_fetch_free(f);
  return st;
}
