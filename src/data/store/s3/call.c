/* One request to S3: where it goes, its signature, and what the answer means. */
#include "data/store/s3/s3_int.h"
#include "net/xml.h"
#include "net/url.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void s3_call_begin(struct s3_call *c, const char *method, const char *key) {
  memset(c, 0, sizeof *c);
  c->method = method;
  c->key = key;
}

void s3_call_query(struct s3_call *c, const char *name, const char *value) {
  if (c->query.length) tr_text_add_char(&c->query, '&');
  tr_text_add_str(&c->query, name);
  tr_text_add_char(&c->query, '=');
  tr_url_escape(&c->query, value, strlen(value), false);
}

void s3_call_header(struct s3_call *c, const char *name, const char *value) {
  if (c->n_headers < S3_HEADERS) c->headers[c->n_headers++] = (struct tr_http_header){name, value};
}

void s3_call_free(struct s3_call *c) {
  tr_text_free(&c->url);
  tr_text_free(&c->full_key);
  tr_text_free(&c->authorization);
  tr_text_free(&c->query);
  tr_aws_keys_free(&c->keys);
}

static void make_url(struct s3 *s, struct s3_call *c) {
  const char *https = "https://";
  if (s->endpoint) {
    const char *host = strstr(s->endpoint, "://") + 3;
    if (s->path_style) tr_text_add_str(&c->url, s->endpoint);
    else tr_text_add_format(&c->url, "%.*s%s.%s", (int)(host - s->endpoint), s->endpoint, s->bucket, host);
  } else if (s->path_style) {
    tr_text_add_format(&c->url, "%ss3.%s.amazonaws.com", https, c->region);
  } else {
    tr_text_add_format(&c->url, "%s%s.s3.%s.amazonaws.com", https, s->bucket, c->region);
  }
  tr_text_add_char(&c->url, '/');
  if (s->path_style) tr_text_add_str(&c->url, s->bucket);
  if (c->key) {
    tr_text_add_format(&c->full_key, "%s%s", s->root, c->key);
    if (s->path_style) tr_text_add_char(&c->url, '/');
    tr_url_escape(&c->url, tr_text_str(&c->full_key), c->full_key.length, true);
  }
  if (c->query.length) tr_text_add_format(&c->url, "?%s", c->query.data);
}

enum tr_status s3_call_sign(struct s3 *s, struct s3_call *c, const void *body, size_t bytes,
                            struct tr_http_request *request, struct tr_error *err) {
  int64_t now = (int64_t)time(NULL);
  pthread_mutex_lock(&s->lock);
  memcpy(c->region, s->region, sizeof c->region);
  pthread_mutex_unlock(&s->lock);
  make_url(s, c);
  TR_TRY(tr_text_check(&c->full_key, err));
  TR_TRY(tr_text_check(&c->query, err));
  TR_TRY(tr_text_check(&c->url, err));
  TR_TRY(tr_aws_identity_keys(s->identity, &c->keys, err));
  if (c->keys.access_key) {
    const char *hash = TR_SIGV4_EMPTY_HASH;
    if (bytes > (64 << 10) && s->secure) {
      hash = TR_SIGV4_UNSIGNED; /* TLS protects it; hashing would cost as much again */
    } else if (bytes) {
      uint8_t digest[TR_SHA256_BYTES];
      TR_TRY(tr_crypto_sha256(body, bytes, digest, err));
      tr_hex_encode(digest, sizeof digest, c->hash);
      hash = c->hash;
    }
    tr_sigv4_time(now, c->when);
    s3_call_header(c, "x-amz-content-sha256", hash);
    s3_call_header(c, "x-amz-date", c->when);
    if (c->keys.session_token) s3_call_header(c, "x-amz-security-token", c->keys.session_token);
    const struct tr_sigv4 signer = {.access_key = c->keys.access_key,
                                    .secret_key = c->keys.secret_key,
                                    .region = c->region,
                                    .service = "s3",
                                    .time = now};
    const struct tr_sigv4_request what = {.method = c->method,
                                          .url = c->url.data,
                                          .headers = c->headers,
                                          .n_headers = c->n_headers,
                                          .payload_hash = hash};
    TR_TRY(tr_sigv4_authorize(&signer, &what, &c->authorization, err));
    s3_call_header(c, "authorization", c->authorization.data);
  }
  *request = (struct tr_http_request){.method = c->method,
                                      .url = c->url.data,
                                      .headers = c->headers,
                                      .n_headers = c->n_headers,
                                      .body = body,
                                      .body_bytes = bytes};
  return TR_OK;
}

/* A bucket elsewhere tells its region; the next attempt goes there. */
static bool learn_region(struct s3 *s, const struct tr_http_reply *reply) {
  const char *told = tr_http_reply_header(reply, "x-amz-bucket-region");
  char found[64];
  if (!told && tr_xml_find(reply->body, reply->body_bytes, "Region", found, sizeof found)) told = found;
  if (!told || !*told || strlen(told) >= sizeof s->region ||
      strspn(told, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(told))
    return false;
  pthread_mutex_lock(&s->lock);
  bool news = strcmp(s->region, told) != 0;
  if (news) strcpy(s->region, told);
  pthread_mutex_unlock(&s->lock);
  return news;
}

static bool is_one_of(const char *code, const char *const *codes) {
  for (; *codes; codes++)
    if (strcmp(code, *codes) == 0) return true;
  return false;
}

enum tr_status s3_failure(struct s3 *s, const char *key, const struct tr_http_reply *reply, bool conditional_put,
                          struct tr_error *err) {
  static const char *const expired[] = {"ExpiredToken", "TokenRefreshRequired", "RequestExpired", NULL};
  static const char *const busy[] = {"SlowDown",         "RequestTimeout",
                                     "InternalError",    "ServiceUnavailable",
                                     "Throttling",       "ConditionalRequestConflict",
                                     "OperationAborted", NULL};
  char code[64], message[400];
  int status = reply->status;
  tr_xml_find(reply->body, reply->body_bytes, "Code", code, sizeof code);
  tr_xml_find(reply->body, reply->body_bytes, "Message", message, sizeof message);
  const char *slash = key ? "/" : "", *k = key ? key : "", *url = s->store.url;
  if ((status == 301 || status == 307 || status == 400) && learn_region(s, reply))
    return tr_fail_os(err, EAGAIN, "%s%s%s: the bucket is in another region", url, slash, k);
  if (status == 404 && strcmp(code, "NoSuchBucket") == 0)
    return tr_fail_os(err, ENOENT, "%s%s%s: the bucket '%s' does not exist (NoSuchBucket)", url, slash, k, s->bucket);
  if (status == 404 && strcmp(code, "NoSuchUpload") == 0)
    return tr_fail_os(err, ESTALE, "%s%s%s: the upload is gone (NoSuchUpload)", url, slash, k);
  if (status == 404) return tr_fail_os(err, ENOENT, "%s%s%s", url, slash, k);
  if (status == 412 || status == 304) {
    if (conditional_put) return tr_fail_os(err, EEXIST, "%s%s%s", url, slash, k);
    return tr_fail_os(err, ESTALE, "%s%s%s: the object was changed meanwhile", url, slash, k);
  }
  if (status == 416) return tr_fail_os(err, ESTALE, "%s%s%s: the object is shorter than expected", url, slash, k);
  if (is_one_of(code, expired))
    return tr_fail_os(err, EACCES, "%s%s%s: the credentials have expired (%s)", url, slash, k, code);
  if (status == 401 || status == 403)
    return tr_fail_os(err, EACCES, "%s%s%s: access denied (%s%s%s)", url, slash, k, *code ? code : "status 403",
                      *message ? ": " : "", message);
  int why = status >= 500 || status == 429 || status == 408 || is_one_of(code, busy) ? EAGAIN : 0;
  return tr_fail_os(err, why, "%s%s%s: the store answered %d (%s%s%s)", url, slash, k, status, code,
                    *message ? ": " : "", message);
}

enum tr_status s3_call_send(struct s3 *s, struct s3_call *c, const void *body, size_t bytes, int64_t deadline_ms,
                            struct tr_ctx *ctx, struct tr_http_reply *reply, struct tr_error *err) {
  struct tr_http_request request;
  memset(reply, 0, sizeof *reply);
  TR_TRY(s3_call_sign(s, c, body, bytes, &request, err));
  return tr_http_io_call(s->http, &request, deadline_ms, ctx, reply, err);
}
