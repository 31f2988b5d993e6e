/* How a worker without a token proves what role it has: a request to STS that it signs and the scheduler sends.
 *
 * The scheduler learns from STS whose signature it is, and nothing it could use elsewhere: the request is good for
 * GetCallerIdentity only, for some minutes, and names this scheduler and its nonce among what is signed. What comes
 * back is a token for an hour or so, renewed before it ends.
 */
#include "base/text.h"
#include "net/aws_sign.h"
#include "net/url.h"
#include "worker/worker.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { CALL_MS = 15000, RENEW_SECONDS = 600 };
static const char body[] = "Action=GetCallerIdentity&Version=2011-06-15";
static const char form[] = "application/x-www-form-urlencoded";

static int64_t steady_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_BOOTTIME, &t);
  return t.tv_sec + 1;
}

static void sts_url(const struct tr_link *link, struct tr_text *to) {
  const char *endpoint = tr_aws_identity_endpoint(link->identity), *region = tr_aws_identity_region(link->identity);
  if (endpoint) {
    size_t n = strlen(endpoint);
    while (n && endpoint[n - 1] == '/') n--;
    tr_text_add(to, endpoint, n);
  } else {
    tr_text_add_format(to, "https://sts.%s.amazonaws.com%s", region, strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
  }
  tr_text_add_char(to, '/');
}

/* The signed request as the scheduler takes it; `challenge` is its JSON. */
TR_MUST_USE static enum tr_status sign(struct tr_link *link, const json_t *challenge, const struct tr_aws_keys *keys,
                                       json_t **out, struct tr_error *err) {
  struct tr_text url = {0}, host = {0};
  struct tr_aws_signature signature = {0};
  struct tr_url parts;
  enum tr_status st;
  const char *server = json_string_value(json_object_get(challenge, "server_id")),
             *nonce = json_string_value(json_object_get(challenge, "nonce"));
  *out = NULL;
  if (!server || !nonce) return tr_fail(err, TR_EXC_RUNTIME, "the scheduler's challenge has no server_id or nonce");
  sts_url(link, &url);
  TR_GOTO(st, tr_text_check(&url, err));
  TR_GOTO(st, tr_url_parse(url.data, &parts, err));
  tr_url_add_authority(&host, &parts);
  TR_GOTO(st, tr_text_check(&host, err));
  struct tr_http_header headers[4 + TR_AWS_SIGN_HEADERS] = {
      {"host", host.data}, {"content-type", form}, {"x-terality-server", server}, {"x-terality-nonce", nonce}};
  int n = 4;
  const struct tr_http_request request = {
      .method = "POST", .url = url.data, .body = body, .body_bytes = sizeof body - 1};
  TR_GOTO(st, tr_aws_sign(keys, tr_aws_identity_region(link->identity), "sts", (int64_t)time(NULL), &request, headers,
                          &n, &signature, err));
  json_t *o = json_object(), *list = json_object();
  for (int i = 0; i < n; i++) json_object_set_new(list, headers[i].name, json_string(headers[i].value));
  json_object_set_new(o, "deployment", json_string(link->settings->deployment));
  json_object_set_new(o, "url", json_string(url.data));
  json_object_set_new(o, "headers", list);
  *out = o;
done:
  tr_text_free(&url);
  tr_text_free(&host);
  tr_aws_signature_free(&signature);
  return st;
}

static enum tr_link_outcome keep_token(struct tr_link *link, const json_t *reply, struct tr_error *err) {
  const char *token = json_string_value(json_object_get(reply, "token"));
  int64_t seconds = json_integer_value(json_object_get(reply, "expires_s"));
  if (!token || (size_t)snprintf(link->authorization, sizeof link->authorization, "Bearer %s", token) >=
                    sizeof link->authorization) {
    (void)!tr_fail(err, TR_EXC_RUNTIME, "the scheduler gives no token that could be used");
    *link->authorization = 0;
    return TR_LINK_AGAIN;
  }
  link->token_until_s = steady_s() + seconds;
  link->renew_at_s = link->token_until_s - (seconds > 2 * RENEW_SECONDS ? RENEW_SECONDS : seconds / 2);
  return TR_LINK_OK;
}

static enum tr_link_outcome prove(struct tr_link *link, struct tr_ctx *ctx, int *status, struct tr_error *err) {
  char path[120];
  json_t *challenge = NULL, *proof = NULL, *reply = NULL;
  struct tr_aws_keys keys = {0};
  snprintf(path, sizeof path, "/v1/workers/challenge?deployment=%s", link->settings->deployment);
  const struct tr_link_message question = {.path = path, .deadline_ms = CALL_MS};
  enum tr_link_outcome outcome = tr_link_send(link, &question, ctx, status, &challenge, err);
  if (outcome == TR_LINK_OK && tr_aws_identity_keys(link->identity, &keys, err) != TR_OK) outcome = TR_LINK_AGAIN;
  if (outcome == TR_LINK_OK && sign(link, challenge, &keys, &proof, err) != TR_OK) outcome = TR_LINK_AGAIN;
  char *text = proof ? json_dumps(proof, JSON_COMPACT) : NULL;
  const struct tr_link_message answer = {
      .path = "/v1/workers/identity", .body = text, .noted = "(signed request)", .deadline_ms = CALL_MS};
  if (outcome == TR_LINK_OK) outcome = text ? tr_link_send(link, &answer, ctx, status, &reply, err) : TR_LINK_AGAIN;
  if (outcome == TR_LINK_OK) outcome = keep_token(link, reply, err);
  if (text) tr_crypto_wipe(text, strlen(text));
  free(text);
  tr_aws_keys_free(&keys);
  json_decref(challenge);
  json_decref(proof);
  json_decref(reply);
  return outcome;
}

enum tr_link_outcome tr_identity_ensure(struct tr_link *link, struct tr_ctx *ctx, int *status, struct tr_error *err) {
  int64_t now = steady_s();
  bool have = *link->authorization && now < link->token_until_s;
  if (have && now < link->renew_at_s) return TR_LINK_OK;
  struct tr_error why = {0};
  enum tr_link_outcome outcome = prove(link, ctx, status, &why);
  if (outcome == TR_LINK_OK) return TR_LINK_OK;
  if (have) { /* the old one still holds: again in a while */
    link->renew_at_s = now + 30;
    return TR_LINK_OK;
  }
  if (err) *err = why;
  return outcome;
}

enum tr_status tr_identity_open(struct tr_link *link, struct tr_error *err) {
  const struct tr_worker_settings *s = link->settings;
  const struct tr_aws_options who = {.region = *s->region ? s->region : NULL, .only = s->only};
  TR_TRY(tr_aws_identity_new(&who, "STS", &link->identity, err));
  if (!tr_aws_identity_region(link->identity))
    return tr_fail(err, TR_EXC_VALUE, "TERALITY_REGION is not set: the worker's role cannot be proven without it");
  return TR_OK;
}
