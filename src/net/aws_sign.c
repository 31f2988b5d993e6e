/* The three users sign alike: calls of the scheduler, keys from STS, a worker's proof of its role. */
#include "net/aws_sign.h"

enum tr_status tr_aws_sign(const struct tr_aws_keys *keys, const char *region, const char *service, int64_t now,
                           const struct tr_http_request *request, struct tr_http_header *headers, int *n_headers,
                           struct tr_aws_signature *out, struct tr_error *err) {
  char hash[TR_HEX_SIZE(TR_SHA256_BYTES)];
  uint8_t digest[TR_SHA256_BYTES];
  *out = (struct tr_aws_signature){0};
  TR_TRY(tr_crypto_sha256(request->body, request->body_bytes, digest, err));
  tr_hex_encode(digest, sizeof digest, hash);
  tr_sigv4_time(now, out->date);
  headers[(*n_headers)++] = (struct tr_http_header){"x-amz-date", out->date};
  if (keys->session_token)
    headers[(*n_headers)++] = (struct tr_http_header){"x-amz-security-token", keys->session_token};
  const struct tr_sigv4 signer = {.access_key = keys->access_key,
                                  .secret_key = keys->secret_key,
                                  .region = region,
                                  .service = service,
                                  .time = now,
                                  .normalize_path = true,
                                  .escape_path = true};
  const struct tr_sigv4_request what = {request->method, request->url, headers, *n_headers, hash};
  TR_TRY(tr_sigv4_authorize(&signer, &what, &out->authorization, err));
  headers[(*n_headers)++] = (struct tr_http_header){"authorization", tr_text_str(&out->authorization)};
  return TR_OK;
}

void tr_aws_signature_free(struct tr_aws_signature *s) { tr_text_free(&s->authorization); }
