/* AWS Signature Version 4: who sends a request, proven by an HMAC over what is sent.
 *
 * The signer knows nothing of how a request travels; it takes the URL as it will stand on the wire. Checked against
 * the published test suite. Source: "Signature Version 4 signing process" in AWS' documentation.
 */
#pragma once
#include "base/text.h"
#include "net/crypto.h"
#include "net/http.h"

/* Who signs, and for what. Everything is borrowed. */
struct tr_sigv4 {
  const char *access_key, *secret_key;
  const char *region, *service;
  int64_t time;        /* seconds since 1970; servers accept a few minutes of difference */
  bool normalize_path; /* take . and .. and doubled slashes out; every service but S3 */
  bool escape_path;    /* escape the path once more for the signature; every service but S3 */
};

/* What is signed: all headers given, and host from the URL unless it is among them. */
struct tr_sigv4_request {
  const char *method, *url;
  const struct tr_http_header *headers;
  int n_headers;
  const char *payload_hash; /* hex SHA-256 of the body, or TR_SIGV4_UNSIGNED */
};

#define TR_SIGV4_UNSIGNED    "UNSIGNED-PAYLOAD" /* S3: the body is protected by TLS only */
#define TR_SIGV4_EMPTY_HASH  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define TR_SIGV4_TIME_SIZE   17 /* "20150830T123600Z" and its 0 */
#define TR_SIGV4_TOP_HEADERS 64

/* The time as x-amz-date has it. */
void tr_sigv4_time(int64_t seconds, char out[TR_SIGV4_TIME_SIZE]);

/* Adds the value of the Authorization header to `out`. The request's headers must already hold x-amz-date (of s->time)
 * and, where used, x-amz-security-token and x-amz-content-sha256. At most TR_SIGV4_TOP_HEADERS headers. */
TR_MUST_USE enum tr_status tr_sigv4_authorize(const struct tr_sigv4 *s, const struct tr_sigv4_request *r,
                                              struct tr_text *out, struct tr_error *err);
/* Adds the request's URL with a signature in its query, valid for `expires_s` seconds; whoever has it may send that
 * request with those headers. `session_token` may be NULL. */
TR_MUST_USE enum tr_status tr_sigv4_presign(const struct tr_sigv4 *s, const struct tr_sigv4_request *r,
                                            const char *session_token, int64_t expires_s, struct tr_text *out,
                                            struct tr_error *err);
/* Steps of the same, for tests: the canonical request, and the string to sign made of it. */
TR_MUST_USE enum tr_status tr_sigv4_canonical(const struct tr_sigv4 *s, const struct tr_sigv4_request *r,
                                              struct tr_text *out, struct tr_error *err);
TR_MUST_USE enum tr_status tr_sigv4_string_to_sign(const struct tr_sigv4 *s, const char *canonical, struct tr_text *out,
                                                   struct tr_error *err);
