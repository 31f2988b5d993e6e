/* See bucket.h. */
#include "data/exec/bucket.h"
#include "data/exec/task_int.h"
#include <string.h>

enum { MOST_WHOLE_BYTES = 64 << 20 }; /* of an object that is read whole: commits, manifests */

static enum tr_status get(void *arg, const char *key, uint8_t **data, size_t *bytes, size_t *room,
                          struct tr_error *err) {
  struct tr_bucket_store *s = arg;
  return tr_store_get(s->store, key, MOST_WHOLE_BYTES, s->ctx, data, bytes, room, NULL, err);
}

static enum tr_status read_range(void *arg, const char *key, const char *etag, int64_t offset, int64_t bytes, void *to,
                                 struct tr_error *err) {
  struct tr_bucket_store *s = arg;
  struct tr_range range = {.offset = offset, .bytes = bytes, .to = to};
  return tr_store_read(s->store, key, etag, &range, 1, s->ctx, err);
}

static enum tr_status put(void *arg, const char *key, const void *data, size_t bytes, bool if_absent, char *etag,
                          struct tr_error *err) {
  struct tr_bucket_store *s = arg;
  struct tr_put what = {.data = data, .bytes = bytes, .mode = if_absent ? TR_PUT_IF_ABSENT : TR_PUT_ANY};
  TR_TRY(tr_store_put(s->store, key, &what, s->ctx, err));
  if (etag) memcpy(etag, what.new_etag, sizeof what.new_etag);
  return TR_OK;
}

struct tr_bucket tr_bucket_of_store(struct tr_bucket_store *s) {
  return (struct tr_bucket){.arg = s, .get = get, .read = read_range, .put = put};
}

enum tr_status tr_bucket_pack(struct tr_ctx *ctx, const struct tr_frame *f, int64_t piece_rows,
                              struct tr_block_writer *w, struct tr_error *err) {
  TR_TRY(tr_block_begin(w, true, err));
  int64_t at = 0;
  do {
    int64_t n = f->n_rows - at < piece_rows ? f->n_rows - at : piece_rows;
    struct tr_frame *piece = NULL;
    TR_TRY(tr_block_segment(w, err));
    TR_TRY(tr_exchange_slice(f, at, n, &piece, err));
    enum tr_status st = tr_block_add(ctx, w, piece, err);
    tr_frame_unref(piece);
    TR_TRY(st);
    at += n;
  } while (at < f->n_rows);
  return tr_block_finish(w, err);
}
