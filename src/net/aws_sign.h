/* A request to one of AWS' control APIs, signed: what STS, Lambda, ECS and the others want of headers (S3 wants others,
 * data/store/s3/call.c). */
#pragma once
#include "net/aws.h"
#include "net/http.h"
#include "net/sigv4.h"

/* What the added headers point to; tr_aws_signature_free. */
struct tr_aws_signature {
  char date[TR_SIGV4_TIME_SIZE];
  struct tr_text authorization;
};
enum { TR_AWS_SIGN_HEADERS = 3 };

/* Adds x-amz-date, x-amz-security-token (where the keys have one) and authorization to request->headers, which must
 * have room for TR_AWS_SIGN_HEADERS more; all headers that are there are signed. Reads method, url and body of
 * `request`. `now`: seconds since 1970, as the server's clock has it. */
TR_MUST_USE enum tr_status tr_aws_sign(const struct tr_aws_keys *keys, const char *region, const char *service,
                                       int64_t now, const struct tr_http_request *request,
                                       struct tr_http_header *headers, int *n_headers, struct tr_aws_signature *out,
                                       struct tr_error *err);
void tr_aws_signature_free(struct tr_aws_signature *s);
