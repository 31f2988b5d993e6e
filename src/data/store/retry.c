/* Repeats what may succeed later: EAGAIN and ETIMEDOUT of the store behind, up to ATTEMPTS times, waiting twice as long
 * each time and by chance somewhat less, so that many clients do not come back together.
 */
#include "data/store/store_int.h"
#include "net/http.h"
#include <stdlib.h>
#include <string.h>

enum { ATTEMPTS = 6, FIRST_MS = 100, MOST_MS = 5000 };

/* An io of ours, repeated under the one of the caller. */
struct attempt {
  struct tr_child child;
  struct tr_store_io *owner;
  int tried;
};

static int64_t delay_ms(int tried) {
  int64_t most = (int64_t)FIRST_MS << tried;
  if (most > MOST_MS) most = MOST_MS;
  static _Atomic uint64_t state = 0x9e3779b97f4a7c15ull;
  uint64_t x = atomic_fetch_add(&state, 0x9e3779b97f4a7c15ull) ^ (uint64_t)tr_store_now_us();
  x = (x ^ x >> 31) * 0xbf58476d1ce4e5b9ull;
  return most / 2 + (int64_t)((x >> 33) % (uint64_t)(most / 2 + 1));
}

/* Shall it be tried again? Then sleeps. */
static bool again(struct tr_ctx *ctx, int tried, enum tr_status *st, const struct tr_error *err) {
  if (!tr_store_may_pass(*st, err) || tried + 1 >= ATTEMPTS) return false;
  tr_store_count_retry();
  enum tr_status slept = tr_store_sleep(ctx, delay_ms(tried));
  if (slept == TR_OK) return true;
  *st = slept;
  return false;
}

static enum tr_status retry_stat(struct tr_store *s, const char *key, struct tr_ctx *ctx, struct tr_object *out,
                                 struct tr_error *err) {
  struct tr_error mine;
  enum tr_status st;
  int tried = 0;
  do st = s->next->ops->stat(s->next, key, ctx, out, &mine);
  while (again(ctx, tried++, &st, &mine));
  if (st != TR_OK && err) *err = mine;
  return st;
}

static enum tr_status retry_put(struct tr_store *s, const char *key, struct tr_put *put, struct tr_ctx *ctx,
                                struct tr_error *err) {
  struct tr_error mine;
  enum tr_status st;
  int tried = 0;
  do st = s->next->ops->put(s->next, key, put, ctx, &mine);
  while (again(ctx, tried++, &st, &mine));
  if (st != TR_OK && err) *err = mine;
  return st;
}

static enum tr_status retry_list(struct tr_store *s, const char *prefix, char delimiter, const char *from,
                                 struct tr_ctx *ctx, struct tr_page *page, struct tr_error *err) {
  struct tr_error mine;
  enum tr_status st;
  int tried = 0;
  do {
    page->n = 0;
    page->next = NULL;
    st = s->next->ops->list(s->next, prefix, delimiter, from, ctx, page, &mine);
  } while (again(ctx, tried++, &st, &mine));
  if (st != TR_OK && err) *err = mine;
  return st;
}

static enum tr_status retry_remove(struct tr_store *s, const char *key, struct tr_ctx *ctx, struct tr_error *err) {
  struct tr_error mine;
  enum tr_status st;
  int tried = 0;
  do st = s->next->ops->remove(s->next, key, ctx, &mine);
  while (again(ctx, tried++, &st, &mine));
  if (st != TR_OK && err) *err = mine;
  return st;
}

static enum tr_status retry_begin(struct tr_store *s, const char *key, char **upload, struct tr_error *err) {
  struct tr_error mine;
  enum tr_status st;
  int tried = 0;
  do st = s->next->ops->upload_begin(s->next, key, upload, &mine);
  while (again(NULL, tried++, &st, &mine));
  if (st != TR_OK && err) *err = mine;
  return st;
}

static enum tr_status retry_end(struct tr_store *s, const char *key, const char *upload,
                                const char (*etags)[TR_ETAG_SIZE], int n_parts, struct tr_ctx *ctx,
                                char etag_out[TR_ETAG_SIZE], struct tr_error *err) {
  struct tr_error mine;
  enum tr_status st;
  int tried = 0;
  do st = s->next->ops->upload_end(s->next, key, upload, etags, n_parts, ctx, etag_out, &mine);
  while (again(ctx, tried++, &st, &mine));
  if (st != TR_OK && err) *err = mine;
  return st;
}

static void retry_abort(struct tr_store *s, const char *key, const char *upload) {
  s->next->ops->upload_abort(s->next, key, upload);
}

static void attempt_free(struct tr_child *c) { free(c); }

/* The caller may cancel until its `done` is called, so the attempt outlives that. */
static void finish(struct attempt *a, enum tr_status status, const struct tr_error *err) {
  memcpy(a->owner->new_etag, a->child.io.new_etag, sizeof a->owner->new_etag);
  a->owner->done(a->owner, status, err);
  tr_child_unref(&a->child);
}

static void try_again(void *arg, enum tr_status status, struct tr_http_reply *reply, const struct tr_error *err) {
  struct attempt *a = arg;
  (void)reply, (void)err;
  if (status != TR_OK || tr_child_is_cancelled(&a->child)) {
    struct tr_error why;
    (void)!tr_fail(&why, TR_EXC_OS, "cancelled");
    finish(a, TR_CANCELLED, &why);
    return;
  }
  a->child.io.fresh_connection = true;
  tr_store_count_retry();
  tr_child_submit(&a->child);
}

static void attempt_done(struct tr_store_io *io, enum tr_status status, const struct tr_error *err) {
  struct attempt *a = io->arg;
  struct tr_http *http;
  tr_child_over(&a->child);
  if (!tr_store_may_pass(status, err) || a->tried + 1 >= ATTEMPTS || tr_child_is_cancelled(&a->child)) {
    finish(a, status, err);
    return;
  }
  struct tr_error why = *err;
  int64_t ms = delay_ms(a->tried++);
  if (tr_http_shared(&http, NULL) != TR_OK || tr_http_after(http, ms, try_again, a, NULL, NULL) != TR_OK)
    finish(a, status, &why);
}

static void retry_submit(struct tr_store *s, struct tr_store_io *io) {
  struct attempt *a = calloc(1, sizeof *a);
  if (!a) {
    struct tr_error err;
    enum tr_status st = tr_fail_memory(&err, sizeof *a);
    io->done(io, st, &err);
    return;
  }
  a->owner = io;
  tr_child_init(&a->child, s->next, io, attempt_done, a, attempt_free);
  io->under_way = a;
  tr_child_submit(&a->child);
}

static void retry_cancel(struct tr_store *s, struct tr_store_io *io) {
  (void)s;
  tr_child_cancel(&((struct attempt *)io->under_way)->child);
}

static void retry_free(struct tr_store *s) { free(s); }

static const struct tr_store_ops OPS = {tr_pass_make, retry_stat,   retry_put, retry_list,
                                        retry_remove, retry_begin,  retry_end, retry_abort,
                                        retry_submit, retry_cancel, retry_free};

enum tr_status tr_store_retry(struct tr_store *next, struct tr_store **out, struct tr_error *err) {
  struct tr_store *s = calloc(1, sizeof *s);
  enum tr_status st = s ? tr_store_init(s, &OPS, strdup(next->url), next, err) : tr_fail_memory(err, sizeof *s);
  if (st != TR_OK) {
    tr_store_unref(next);
    free(s);
    return st;
  }
  *out = s;
  return TR_OK;
}
