#include "base/mem.h"
#include "net/url.h"
#include "worker/worker.h"
#include <stdio.h>
#include <string.h>

#define API_VERSION "1"

enum tr_status tr_link_open(const struct tr_worker_settings *settings, struct tr_audit *audit, struct tr_link *out,
                            struct tr_error *err) {
  struct tr_http_options options = {.ca_file = *settings->ca_file ? settings->ca_file : NULL};
  struct tr_url url;
  *out = (struct tr_link){.settings = settings, .audit = audit};
  TR_TRY(tr_url_parse(settings->scheduler, &url, err));
  if (strncmp(settings->scheduler, "http://", 7) == 0 && !tr_url_is_loopback(&url))
    return tr_fail(err, TR_EXC_VALUE, "TERALITY_SCHEDULER %s: without TLS only a loopback address is talked to",
                   settings->scheduler);
  pthread_mutex_init(&out->lock, NULL);
  if (*settings->token) snprintf(out->authorization, sizeof out->authorization, "Bearer %s", settings->token);
  else TR_TRY(tr_identity_open(out, err));
  return tr_http_new(&options, &out->http, err);
}

void tr_link_close(struct tr_link *link) {
  tr_http_free(link->http);
  tr_aws_identity_free(link->identity);
  tr_crypto_wipe(link->authorization, sizeof link->authorization);
}

/* What the scheduler says of a refusal. */
static void explain(const json_t *reply, int status, struct tr_error *err) {
  const json_t *error = json_object_get(reply, "error");
  const char *code = json_string_value(json_object_get(error, "code"));
  const char *message = json_string_value(json_object_get(error, "message"));
  const char *id = json_string_value(json_object_get(error, "request_id"));
  enum tr_status st = tr_fail(err, TR_EXC_RUNTIME, "the scheduler says %d %s: %s (request %s)", status,
                              code ? code : "", message ? message : "", id ? id : "unknown");
  (void)st;
}

enum tr_link_outcome tr_link_send(struct tr_link *link, const struct tr_link_message *message, struct tr_ctx *ctx,
                                  int *status, json_t **reply, struct tr_error *err) {
  const char *path = message->path, *body = message->body;
  char url[1024];
  struct tr_http_reply answer = {0};
  struct tr_http_header headers[3] = {{"Terality-Version", API_VERSION}};
  int n = 1;
  if (body) headers[n++] = (struct tr_http_header){"Content-Type", "application/json"};
  if (message->authorization) headers[n++] = (struct tr_http_header){"Authorization", message->authorization};
  snprintf(url, sizeof url, "%s%s", link->settings->scheduler, path);
  struct tr_http_request request = {.method = body ? "POST" : "GET",
                                    .url = url,
                                    .headers = headers,
                                    .n_headers = n,
                                    .body = body,
                                    .body_bytes = body ? strlen(body) : 0,
                                    .deadline_ms = message->deadline_ms,
                                    .user_agent = "terality-worker"};
  *reply = NULL;
  *status = 0;
  tr_audit_note(link->audit, request.method, path, message->noted ? message->noted : body);
  enum tr_status st = tr_http_call(link->http, &request, ctx, &answer, err);
  enum tr_link_outcome outcome = TR_LINK_AGAIN;
  if (st == TR_OK) {
    *status = answer.status;
    *reply = json_loadb((const char *)answer.body, answer.body_bytes, JSON_REJECT_DUPLICATES, NULL);
    bool good = answer.status / 100 == 2 && *reply;
    outcome = good ? TR_LINK_OK : answer.status / 100 == 4 && answer.status != 429 ? TR_LINK_REFUSED : TR_LINK_AGAIN;
    if (!good) explain(*reply, answer.status, err);
  }
  if (outcome != TR_LINK_OK) {
    json_decref(*reply);
    *reply = NULL;
  }
  tr_http_reply_free(&answer);
  return outcome;
}

/* A worker that proves who it is needs a token first, and a new one when the scheduler no longer knows the old. */
enum tr_link_outcome tr_link_call(struct tr_link *link, const char *path, const char *body, int64_t deadline_ms,
                                  struct tr_ctx *ctx, int *status, json_t **reply, struct tr_error *err) {
  char authorization[sizeof link->authorization];
  enum tr_link_outcome outcome = TR_LINK_OK;
  for (int tried = 0; tried < 2; tried++) {
    *reply = NULL;
    pthread_mutex_lock(&link->lock);
    if (link->identity) outcome = tr_identity_ensure(link, ctx, status, err);
    memcpy(authorization, link->authorization, sizeof authorization);
    pthread_mutex_unlock(&link->lock);
    if (outcome != TR_LINK_OK) break;
    const struct tr_link_message message = {path, body, authorization, NULL, deadline_ms};
    outcome = tr_link_send(link, &message, ctx, status, reply, err);
    if (outcome != TR_LINK_REFUSED || *status != 401 || !link->identity) break;
    pthread_mutex_lock(&link->lock);
    if (strcmp(authorization, link->authorization) == 0) *link->authorization = 0;
    pthread_mutex_unlock(&link->lock);
  }
  tr_crypto_wipe(authorization, sizeof authorization);
  return outcome;
}
