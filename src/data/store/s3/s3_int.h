/* Inside of the S3 store: a bucket and a prefix in it, and requests to it. */
#pragma once
#include "data/store/http_io.h"
#include "net/aws.h"
#include "net/sigv4.h"

enum { S3_LONG_MS = 120000, S3_SHORT_MS = 30000, S3_HEADERS = 12 };

struct s3 {
  struct tr_store store;
  struct tr_http *http; /* the process' */
  struct tr_aws_identity *identity;
  char *bucket, *root; /* root "" or ending in '/' */
  char *endpoint;      /* "https://host[:port]", NULL = AWS' own of the region */
  bool path_style, secure;
  pthread_mutex_t lock;
  char region[64]; /* may change: a bucket tells where it is */
};

/* A request being put together. s3_call_free in any case. */
struct s3_call {
  const char *method, *key; /* key NULL: the bucket */
  struct tr_text url, full_key, authorization, query;
  struct tr_http_header headers[S3_HEADERS];
  int n_headers;
  char when[TR_SIGV4_TIME_SIZE], hash[TR_HEX_SIZE(TR_SHA256_BYTES)], range[80], region[64];
  struct tr_aws_keys keys;
};

/* Starts a call; `query` canonical already, or NULL. */
void s3_call_begin(struct s3_call *c, const char *method, const char *key);
/* `name=` and the escaped value, to be added in the order of names. */
void s3_call_query(struct s3_call *c, const char *name, const char *value);
void s3_call_header(struct s3_call *c, const char *name, const char *value);
/* Makes URL and signature; then `request` (body and the rest are the caller's to set) may be sent. */
TR_MUST_USE enum tr_status s3_call_sign(struct s3 *s, struct s3_call *c, const void *body, size_t bytes,
                                        struct tr_http_request *request, struct tr_error *err);
void s3_call_free(struct s3_call *c);
/* Signs, sends and waits; replies below 300 are TR_OK, others become errors. */
TR_MUST_USE enum tr_status s3_call_send(struct s3 *s, struct s3_call *c, const void *body, size_t bytes,
                                        int64_t deadline_ms, struct tr_ctx *ctx, struct tr_http_reply *reply,
                                        struct tr_error *err);
/* What a reply of 300 and above means; `key` NULL: the bucket. */
TR_MUST_USE enum tr_status s3_failure(struct s3 *s, const char *key, const struct tr_http_reply *reply,
                                      bool conditional_put, struct tr_error *err);
