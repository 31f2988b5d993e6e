/* See http_io.h. */
#include "data/store/http_io.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALL_STALL_MS = 20000, IO_STALL_MS = 10000, IO_DEADLINE_MS = 120000 };

/* A flight and its io; `done` and start hold one reference each, as cancelling may come between them. */
struct flight {
  struct tr_store *s;
  struct tr_store_io *io;
  tr_http_io_failure failure;
  struct tr_http_flight *flight;
  _Atomic int refs;
};

static void unref(struct flight *x) {
  if (atomic_fetch_sub(&x->refs, 1) != 1) return;
  tr_http_flight_unref(x->flight);
  free(x);
}

static enum tr_status transport_failure(enum tr_status st, const struct tr_http_reply *reply, struct tr_error *err) {
  bool passes = reply->fault == TR_HTTP_FAULT_CONNECT || reply->fault == TR_HTTP_FAULT_BROKEN;
  if (st == TR_ERROR && passes && err) err->os_errno = EAGAIN;
  return reply->fault == TR_HTTP_FAULT_CANCELLED ? TR_CANCELLED : st;
}

enum tr_status tr_http_io_call(struct tr_http *http, struct tr_http_request *request, int64_t deadline_ms,
                               struct tr_ctx *ctx, struct tr_http_reply *reply, struct tr_error *err) {
  request->deadline_ms = deadline_ms;
  request->stall_ms = CALL_STALL_MS;
  enum tr_status st = tr_http_call(http, request, ctx, reply, err);
  tr_store_count_request(st == TR_OK ? reply->status : 0, reply->body_bytes, request->body_bytes);
  return st == TR_OK ? TR_OK : transport_failure(st, reply, err);
}

void tr_http_io_range(const struct tr_store_io *io, char out[80]) {
  snprintf(out, 80, "bytes=%" PRId64 "-%" PRId64, io->offset, io->offset + (int64_t)io->bytes - 1);
}

void tr_http_io_etag(const struct tr_http_reply *reply, char out[TR_ETAG_SIZE]) {
  const char *etag = tr_http_reply_header(reply, "etag");
  snprintf(out, TR_ETAG_SIZE, "%s", etag ? etag : "");
}

TR_MUST_USE static enum tr_status result(const struct flight *x, const struct tr_http_reply *reply,
                                         struct tr_error *err) {
  struct tr_store_io *io = x->io;
  if (reply->status >= 300) return x->failure(x->s, io->key, reply, err);
  if (io->kind == TR_IO_PART) {
    tr_http_io_etag(reply, io->new_etag);
    return TR_OK;
  }
  if (reply->status == 200 && io->offset > 0)
    return tr_fail_os(err, 0, "%s/%s: the store does not give ranges", x->s->url, io->key);
  if (reply->body_bytes != io->bytes)
    return tr_fail_os(err, ESTALE, "%s/%s: ends before byte %lld", x->s->url, io->key,
                      (long long)io->offset + (long long)io->bytes);
  return TR_OK;
}

static void finished(void *arg, enum tr_status st, struct tr_http_reply *reply, const struct tr_error *err) {
  struct flight *x = arg;
  struct tr_error mine;
  bool writes = x->io->kind == TR_IO_PART;
  tr_store_count_request(st == TR_OK ? reply->status : 0, writes ? 0 : reply->body_bytes, writes ? x->io->bytes : 0);
  if (st == TR_OK) {
    st = result(x, reply, &mine);
  } else {
    mine = *err;
    st = transport_failure(st, reply, &mine);
  }
  x->io->done(x->io, st, &mine);
  unref(x);
}

enum tr_status tr_http_io_start(struct tr_store *s, struct tr_store_io *io, struct tr_http *http,
                                struct tr_http_request *request, tr_http_io_failure failure, struct tr_error *err) {
  struct flight *x = calloc(1, sizeof *x);
  struct tr_http_part *into = calloc((size_t)io->n_parts + 1, sizeof *into);
  enum tr_status st = x && into ? TR_OK : tr_fail_memory(err, sizeof *x + (size_t)io->n_parts * sizeof *into);
  if (st == TR_OK) {
    *x = (struct flight){.s = s, .io = io, .failure = failure, .refs = 2};
    io->under_way = x;
    for (int i = 0; i < io->n_parts; i++) into[i] = (struct tr_http_part){io->parts[i].to, io->parts[i].bytes};
    request->into = io->kind == TR_IO_READ ? into : NULL;
    request->n_into = io->n_parts;
    request->deadline_ms = IO_DEADLINE_MS;
    request->stall_ms = IO_STALL_MS;
    request->fresh_connection = io->fresh_connection;
    st = tr_http_submit(http, request, finished, x, &x->flight, err);
  }
  free(into);
  if (st == TR_OK) unref(x);
  else free(x);
  return st;
}

void tr_http_io_cancel(struct tr_store *s, struct tr_store_io *io) {
  (void)s;
  tr_http_cancel(((struct flight *)io->under_way)->flight);
}
