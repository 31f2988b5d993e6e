/* What stores behind HTTP share: calls that wait, and bytes under way. A store makes and signs its requests, and says
 * what its replies mean; deadlines, transport failures and the life of a flight are here. */
#pragma once
#include "data/store/store_int.h"
#include "net/http.h"

/* Sends a signed request and waits. A reply of any status is TR_OK; a transport failure is an error of the store. The
 * caller frees `reply` in any case. */
TR_MUST_USE enum tr_status tr_http_io_call(struct tr_http *http, struct tr_http_request *request, int64_t deadline_ms,
                                           struct tr_ctx *ctx, struct tr_http_reply *reply, struct tr_error *err);
/* What a reply of 300 and above to an io means. Never TR_OK. */
typedef enum tr_status (*tr_http_io_failure)(struct tr_store *s, const char *key, const struct tr_http_reply *reply,
                                             struct tr_error *err);
/* Sends an io's signed request. On TR_OK io->done comes, by the meaning `failure` gives to refusals; on an error it
 * does not. */
TR_MUST_USE enum tr_status tr_http_io_start(struct tr_store *s, struct tr_store_io *io, struct tr_http *http,
                                            struct tr_http_request *request, tr_http_io_failure failure,
                                            struct tr_error *err);
/* The `cancel` of such stores. */
void tr_http_io_cancel(struct tr_store *s, struct tr_store_io *io);
/* The value of a range header for a READ. */
void tr_http_io_range(const struct tr_store_io *io, char out[80]);
/* "" when the reply has none. */
void tr_http_io_etag(const struct tr_http_reply *reply, char out[TR_ETAG_SIZE]);
