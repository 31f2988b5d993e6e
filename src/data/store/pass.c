/* What a filter does that has nothing to add: hands on to the store behind. */
#include "data/store/store_int.h"

enum tr_status tr_pass_make(struct tr_store *s, struct tr_ctx *ctx, struct tr_error *err) {
  return s->next->ops->make(s->next, ctx, err);
}

enum tr_status tr_pass_stat(struct tr_store *s, const char *key, struct tr_ctx *ctx, struct tr_object *out,
                            struct tr_error *err) {
  return s->next->ops->stat(s->next, key, ctx, out, err);
}

enum tr_status tr_pass_put(struct tr_store *s, const char *key, struct tr_put *put, struct tr_ctx *ctx,
                           struct tr_error *err) {
  return s->next->ops->put(s->next, key, put, ctx, err);
}

enum tr_status tr_pass_list(struct tr_store *s, const char *prefix, char delimiter, const char *from,
                            struct tr_ctx *ctx, struct tr_page *page, struct tr_error *err) {
  return s->next->ops->list(s->next, prefix, delimiter, from, ctx, page, err);
}

enum tr_status tr_pass_remove(struct tr_store *s, const char *key, struct tr_ctx *ctx, struct tr_error *err) {
  return s->next->ops->remove(s->next, key, ctx, err);
}

enum tr_status tr_pass_begin(struct tr_store *s, const char *key, char **upload, struct tr_error *err) {
  return s->next->ops->upload_begin(s->next, key, upload, err);
}

enum tr_status tr_pass_end(struct tr_store *s, const char *key, const char *upload, const char (*etags)[TR_ETAG_SIZE],
                           int n_parts, struct tr_ctx *ctx, char etag_out[TR_ETAG_SIZE], struct tr_error *err) {
  return s->next->ops->upload_end(s->next, key, upload, etags, n_parts, ctx, etag_out, err);
}

void tr_pass_abort(struct tr_store *s, const char *key, const char *upload) {
  s->next->ops->upload_abort(s->next, key, upload);
}
