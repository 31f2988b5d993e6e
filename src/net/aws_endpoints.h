/* What a machine at AWS can be asked about itself: the metadata of an EC2 instance (IMDSv2), a container's endpoint.
 *
 * Both live at link-local addresses that only the machine itself reaches. AWS' own variables move the first
 * (AWS_EC2_METADATA_SERVICE_ENDPOINT, …_ENDPOINT_MODE, AWS_EC2_METADATA_DISABLED), unless it is asked for `fixed`: a
 * program whose environment others may set then still asks the machine it runs on and nobody else.
 */
#pragma once
#include "net/http.h"

#define TR_CONTAINER_ENDPOINT "http://169.254.170.2"
#define TR_INSTANCE_ENDPOINT  "http://169.254.169.254"

struct tr_imds {
  struct tr_http *http;
  char base[256], token[256];
  int64_t token_until_us, timeout_ms;
  int attempts;
};
/* Asks for nothing yet. An OSError when it is disabled. */
TR_MUST_USE enum tr_status tr_imds_open(bool fixed, struct tr_imds *out, struct tr_error *err);
void tr_imds_close(struct tr_imds *m);
/* GET of a path ("/latest/meta-data/instance-id"). `out` is 0-terminated and cut at `room`; `status` is the reply's. */
TR_MUST_USE enum tr_status tr_imds_get(struct tr_imds *m, const char *path, char *out, size_t room, int *status,
                                       struct tr_error *err);

/* GET of a URL at an endpoint of this kind; transport failures and 5xx are repeated. Any status below 500 is TR_OK.
 * `reply` is the caller's to free in any case. */
TR_MUST_USE enum tr_status tr_endpoint_get(struct tr_http *http, const struct tr_http_request *request, int attempts,
                                           struct tr_http_reply *reply, struct tr_error *err);
