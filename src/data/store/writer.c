/* An object written piece by piece: see store.h.
 *
 * Bytes are gathered into parts of PART bytes; a full part goes out while the next one fills, at most OUT of them at a
 * time. What never reaches a full part is written by one put, so small objects cost one request.
 */
#include "base/mem.h"
#include "data/store/store_int.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { PART = 16 << 20, FIRST = 256 << 10, OUT = 4, MOST_PARTS = 10000 };

struct part {
  struct tr_store_io io;
  struct tr_store_writer *writer;
  uint8_t *data;
};

struct tr_store_writer {
  struct tr_store *store;
  char *key, *upload; /* upload NULL until the first full part */
  uint8_t *buffer;
  size_t have, room;
  int n_parts;
  char (*etags)[TR_ETAG_SIZE];
  size_t etags_bytes;
  int out;
  enum tr_status status;
  struct tr_error error;
  pthread_mutex_t lock;
  pthread_cond_t cond;
};

enum tr_status tr_store_writer_new(struct tr_store *s, const char *key, struct tr_store_writer **out,
                                   struct tr_error *err) {
  TR_TRY(tr_store_check_key(s, key, err));
  struct tr_store_writer *w = calloc(1, sizeof *w);
  if (!w || !(w->key = strdup(key))) {
    free(w);
    return tr_fail_memory(err, sizeof *w);
  }
  w->store = tr_store_ref(s);
  pthread_mutex_init(&w->lock, NULL);
  pthread_cond_init(&w->cond, NULL);
  *out = w;
  return TR_OK;
}

static void part_done(struct tr_store_io *io, enum tr_status status, const struct tr_error *err) {
  struct part *p = io->arg;
  struct tr_store_writer *w = p->writer;
  pthread_mutex_lock(&w->lock);
  if (status == TR_OK) {
    memcpy(w->etags[io->number - 1], io->new_etag, TR_ETAG_SIZE);
  } else if (w->status == TR_OK) {
    w->status = status;
    if (err) w->error = *err;
  }
  tr_mem_free(p->data, PART);
  free(p);
  w->out--;
  pthread_cond_signal(&w->cond);
  pthread_mutex_unlock(&w->lock);
}

/* Waits until at most `out` parts are under way. */
TR_MUST_USE static enum tr_status wait_for_parts(struct tr_store_writer *w, int out, struct tr_error *err) {
  pthread_mutex_lock(&w->lock);
  while (w->out > out) pthread_cond_wait(&w->cond, &w->lock);
  enum tr_status st = w->status;
  if (st != TR_OK && err) *err = w->error;
  pthread_mutex_unlock(&w->lock);
  return st;
}

/* Sends the buffer as the next part; it is taken. */
TR_MUST_USE static enum tr_status send_part(struct tr_store_writer *w, struct tr_error *err) {
  if (!w->upload) {
    TR_TRY(tr_mem_alloc(w->etags_bytes = MOST_PARTS * sizeof *w->etags, (void **)&w->etags, err));
    TR_TRY(w->store->ops->upload_begin(w->store, w->key, &w->upload, err));
  }
  if (w->n_parts == MOST_PARTS)
    return tr_fail_os(err, EFBIG, "%s/%s: more than %d parts of %d bytes", w->store->url, w->key, MOST_PARTS, PART);
  TR_TRY(wait_for_parts(w, OUT - 1, err));
  struct part *p = calloc(1, sizeof *p);
  if (!p) return tr_fail_memory(err, sizeof *p);
  p->writer = w;
  p->data = w->buffer;
  p->io = (struct tr_store_io){.kind = TR_IO_PART,
                               .key = w->key,
                               .upload = w->upload,
                               .number = w->n_parts + 1,
                               .offset = (int64_t)w->n_parts * PART,
                               .data = w->buffer,
                               .bytes = w->have,
                               .done = part_done,
                               .arg = p};
  w->n_parts++;
  w->buffer = NULL;
  w->have = w->room = 0;
  pthread_mutex_lock(&w->lock);
  w->out++;
  pthread_mutex_unlock(&w->lock);
  w->store->ops->submit(w->store, &p->io);
  return TR_OK;
}

/* A buffer of PART bytes, but a small one for what may stay small. */
TR_MUST_USE static enum tr_status make_room(struct tr_store_writer *w, size_t bytes, struct tr_error *err) {
  if (w->room - w->have >= bytes || w->room == PART) return TR_OK;
  size_t want = w->n_parts || w->have + bytes > PART / 2 ? PART : FIRST;
  while (want < w->have + bytes && want < PART) want *= 2;
  void *grown = w->buffer;
  TR_TRY(tr_mem_realloc(&grown, w->room, want, err));
  w->buffer = grown;
  w->room = want;
  return TR_OK;
}

enum tr_status tr_store_writer_add(struct tr_store_writer *w, const void *data, size_t bytes, struct tr_error *err) {
  const uint8_t *from = data;
  while (bytes) {
    TR_TRY(make_room(w, bytes, err));
    size_t n = w->room - w->have < bytes ? w->room - w->have : bytes;
    memcpy(w->buffer + w->have, from, n);
    w->have += n;
    from += n;
    bytes -= n;
    if (w->have == PART && bytes) TR_TRY(send_part(w, err));
  }
  return TR_OK;
}

static void writer_free(struct tr_store_writer *w) {
  tr_mem_free(w->buffer, w->room);
  tr_mem_free(w->etags, w->etags_bytes);
  pthread_mutex_destroy(&w->lock);
  pthread_cond_destroy(&w->cond);
  tr_store_unref(w->store);
  free(w->upload);
  free(w->key);
  free(w);
}

void tr_store_writer_abort(struct tr_store_writer *w) {
  if (!w) return;
  (void)!wait_for_parts(w, 0, NULL);
  if (w->upload) w->store->ops->upload_abort(w->store, w->key, w->upload);
  writer_free(w);
}

enum tr_status tr_store_writer_commit(struct tr_store_writer *w, struct tr_ctx *ctx, char etag_out[TR_ETAG_SIZE],
                                      struct tr_error *err) {
  enum tr_status st;
  char etag[TR_ETAG_SIZE] = "";
  if (!w->upload) {
    struct tr_put put = {.data = w->buffer, .bytes = w->have};
    st = tr_store_put(w->store, w->key, &put, ctx, err);
    memcpy(etag, put.new_etag, sizeof etag);
  } else {
    st = w->have ? send_part(w, err) : TR_OK;
    if (st == TR_OK) st = wait_for_parts(w, 0, err);
    if (st == TR_OK)
      st = w->store->ops->upload_end(w->store, w->key, w->upload, (const char(*)[TR_ETAG_SIZE])w->etags, w->n_parts,
                                     ctx, etag, err);
  }
  if (etag_out) memcpy(etag_out, etag, sizeof etag);
  if (st == TR_OK) writer_free(w);
  else tr_store_writer_abort(w);
  return st;
}
