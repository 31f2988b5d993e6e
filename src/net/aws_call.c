/* Calls of AWS: see aws_call.h. A flight keeps copies of all it was given, since each attempt is signed anew. */
#include "net/aws_call.h"
#include "base/mem.h"
#include "net/aws_sign.h"
#include "net/http_int.h"
#include "net/url.h"
#include "net/xml.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
  DEADLINE_MS = 20000,
  ATTEMPT_MS = 10000,    /* one attempt; a service that is silent for so long is asked again */
  FAILED_MS = 100,       /* first wait after a failure … */
  THROTTLED_MS = 500,    /* … and after throttling */
  MOST_MS = 8000,        /* no wait is longer */
  SKEW_SECONDS = 60,     /* a smaller difference of clocks is not what a refusal is about */
  REPLY_BYTES = 4 << 20, /* a hundred described tasks are 300 KB */
  MOST_ATTEMPTS = 12
};

struct tr_aws_client {
  struct tr_http *http;
  char *endpoint;
  _Atomic int64_t skew;
};

struct flight {
  struct tr_aws_client *client;
  tr_aws_done done;
  void *arg;
  char *service, *action, *region, *method, *url, *type, *body;
  size_t body_bytes;
  char *names[TR_AWS_CALL_HEADERS], *values[TR_AWS_CALL_HEADERS];
  int n_headers;
  struct tr_aws_keys keys;
  int64_t until_us;
  int attempts;
  bool clock_set; /* once is enough: a clock that still does not please is not the reason */
  struct tr_aws_answer answer;
};

enum tr_status tr_aws_client_new(struct tr_http *http, const char *endpoint, struct tr_aws_client **out,
                                 struct tr_error *err) {
  struct tr_aws_client *c = calloc(1, sizeof *c);
  if (!c) return tr_fail_memory(err, sizeof *c);
  c->http = http;
  if (endpoint && !(c->endpoint = strdup(endpoint))) {
    free(c);
    return tr_fail_memory(err, strlen(endpoint));
  }
  if (c->endpoint) {
    size_t n = strlen(c->endpoint);
    while (n && c->endpoint[n - 1] == '/') c->endpoint[--n] = 0;
  }
  *out = c;
  return TR_OK;
}

void tr_aws_client_free(struct tr_aws_client *c) {
  if (!c) return;
  free(c->endpoint);
  free(c);
}

int64_t tr_aws_client_skew(const struct tr_aws_client *c) { return c->skew; }

void tr_aws_query_begin(struct tr_text *to, const char *action, const char *version) {
  tr_text_clear(to);
  tr_text_add_format(to, "Action=%s&Version=%s", action, version);
}

void tr_aws_query_add(struct tr_text *to, const char *name, const char *value) {
  tr_text_add_format(to, "&%s=", name);
  tr_url_escape(to, value, strlen(value), false);
}

void tr_aws_query_add_int(struct tr_text *to, const char *name, int64_t value) {
  tr_text_add_format(to, "&%s=%lld", name, (long long)value);
}

static void flight_free(struct flight *f) {
  for (int i = 0; i < f->n_headers; i++) {
    free(f->names[i]);
    free(f->values[i]);
  }
  free(f->service);
  free(f->action);
  free(f->region);
  free(f->method);
  free(f->url);
  free(f->type);
  free(f->body);
  tr_aws_keys_free(&f->keys);
  tr_mem_free(f->answer.body, f->answer.room);
  free(f);
}

static void finish(struct flight *f) {
  f->answer.attempts = f->attempts;
  f->done(f->arg, &f->answer);
  flight_free(f);
}

static void finish_failed(struct flight *f, enum tr_aws_result result, const char *code, const char *text) {
  f->answer.result = result;
  snprintf(f->answer.code, sizeof f->answer.code, "%s", code);
  snprintf(f->answer.text, sizeof f->answer.text, "%s %s: %.480s", f->service, f->action, text);
  finish(f);
}

static void on_reply(void *arg, enum tr_status status, struct tr_http_reply *reply, const struct tr_error *err);

TR_MUST_USE static enum tr_status sign_and_send(struct flight *f, struct tr_error *err) {
  struct tr_http_header headers[1 + TR_AWS_CALL_HEADERS + TR_AWS_SIGN_HEADERS] = {{"content-type", f->type}};
  struct tr_aws_signature signature;
  int n = 1;
  int64_t now = (int64_t)time(NULL) + f->client->skew, left_ms = (f->until_us - tr_http_now_us()) / 1000;
  for (int i = 0; i < f->n_headers; i++) headers[n++] = (struct tr_http_header){f->names[i], f->values[i]};
  struct tr_http_request request = {.method = f->method,
                                    .url = f->url,
                                    .headers = headers,
                                    .body = f->body,
                                    .body_bytes = f->body_bytes,
                                    .max_bytes = REPLY_BYTES,
                                    .deadline_ms = left_ms < ATTEMPT_MS ? left_ms : ATTEMPT_MS,
                                    .connect_ms = ATTEMPT_MS / 2};
  enum tr_status st = tr_aws_sign(&f->keys, f->region, f->service, now, &request, headers, &n, &signature, err);
  if (st == TR_OK) {
    request.n_headers = n;
    f->attempts++;
    st = tr_http_submit(f->client->http, &request, on_reply, f, NULL, err);
  }
  tr_aws_signature_free(&signature);
  return st;
}

static void send_now(struct flight *f) {
  struct tr_error err;
  if (sign_and_send(f, &err) != TR_OK) finish_failed(f, TR_AWS_FAILED, "NotSent", err.text);
}

static void on_time(void *arg, enum tr_status status, struct tr_http_reply *reply, const struct tr_error *err) {
  struct flight *f = arg;
  (void)reply, (void)err;
  if (status == TR_OK) send_now(f);
  else finish_failed(f, TR_AWS_CANCELLED, "Cancelled", "cancelled");
}

/* Waits and sends again; finishes when there is no time left for it. */
static void again(struct flight *f, int64_t first_ms, int64_t least_ms) {
  uint32_t chance = 0;
  struct tr_error err;
  int64_t most = first_ms << (f->attempts < 8 ? f->attempts - 1 : 7);
  if (most > MOST_MS) most = MOST_MS;
  if (tr_crypto_random(&chance, sizeof chance, NULL) != TR_OK) chance = UINT32_MAX / 2;
  int64_t wait = most / 2 + (int64_t)(chance % (uint64_t)(most / 2 + 1));
  if (wait < least_ms) wait = least_ms;
  bool late = tr_http_now_us() + wait * 1000 >= f->until_us || f->attempts >= MOST_ATTEMPTS;
  if (late || tr_http_after(f->client->http, wait, on_time, f, NULL, &err) != TR_OK) finish(f);
}

static bool is_one_of(const char *code, const char *const *list) {
  for (; *list; list++)
    if (strcmp(code, *list) == 0) return true;
  return false;
}

/* The lists follow botocore's retry and clock-skew handling and the services' common errors. */
static enum tr_aws_result meaning(int status, const char *code) {
  static const char *const throttled[] = {"Throttling",
                                          "ThrottlingException",
                                          "ThrottledException",
                                          "RequestThrottled",
                                          "RequestThrottledException",
                                          "TooManyRequestsException",
                                          "RequestLimitExceeded",
                                          "BandwidthLimitExceeded",
                                          "SlowDown",
                                          "PriorRequestNotComplete",
                                          "EC2ThrottledException",
                                          "ProvisionedThroughputExceededException",
                                          NULL};
  static const char *const expired[] = {
      "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException",
      "InvalidToken", "AuthFailure",           "TokenRefreshRequired", NULL};
  static const char *const denied[] = {"AccessDenied",  "AccessDeniedException", "UnauthorizedOperation",
                                       "NotAuthorized", "OptInRequired",         NULL};
  if (status == 429 || is_one_of(code, throttled)) return TR_AWS_THROTTLED;
  if (is_one_of(code, expired)) return TR_AWS_EXPIRED;
  if (is_one_of(code, denied)) return TR_AWS_DENIED;
  return status >= 500 ? TR_AWS_FAILED : TR_AWS_REFUSED;
}

/* "com.amazonaws.ecs#ClientException:http://…" -> "ClientException" */
static void take_code(const char *full, char *out, size_t room) {
  const char *hash = strrchr(full, '#');
  if (hash) full = hash + 1;
  snprintf(out, room, "%.*s", (int)strcspn(full, ":"), full);
}

static void read_json(const struct tr_http_reply *reply, char *code, size_t code_room, char *text, size_t text_room) {
  json_t *json = json_loadb((const char *)reply->body, reply->body_bytes, 0, NULL);
  const char *type = tr_http_reply_header(reply, "x-amzn-errortype");
  const char *message = json_string_value(json_object_get(json, "message"));
  if (!message) message = json_string_value(json_object_get(json, "Message"));
  if (!type) type = json_string_value(json_object_get(json, "__type"));
  if (!type) type = json_string_value(json_object_get(json, "code"));
  if (type) take_code(type, code, code_room);
  if (message) snprintf(text, text_room, "%s", message);
  json_decref(json);
}

void tr_aws_read_refusal(const struct tr_http_reply *reply, const char *service, const char *action,
                         struct tr_aws_answer *out) {
  char message[400] = "";
  out->code[0] = 0;
  if (reply->body_bytes && *reply->body == '<') {
    tr_xml_find(reply->body, reply->body_bytes, "Code", out->code, sizeof out->code);
    tr_xml_find(reply->body, reply->body_bytes, "Message", message, sizeof message);
  } else if (reply->body_bytes) {
    read_json(reply, out->code, sizeof out->code, message, sizeof message);
  }
  if (!*out->code) snprintf(out->code, sizeof out->code, "HTTP%d", reply->status);
  if (!*message) snprintf(message, sizeof message, "no reason given");
  for (char *c = message; *c; c++)
    if ((unsigned char)*c < ' ') *c = ' ';
  out->status = reply->status;
  out->result = meaning(reply->status, out->code);
  snprintf(out->text, sizeof out->text, "%s %s: %s: %s (%d)", service, action, out->code, message, reply->status);
}

/* Whether the refusal is about our clock; then the server's is taken. */
static bool take_clock(struct flight *f, const struct tr_http_reply *reply) {
  static const char *const about_time[] = {
      "RequestTimeTooSkewed",  "RequestExpired", "RequestInTheFuture",   "InvalidSignatureException",
      "SignatureDoesNotMatch", "AuthFailure",    "InvalidClientTokenId", NULL};
  const char *date = tr_http_reply_header(reply, "date");
  int64_t theirs = date ? tr_time_parse(date) / 1000000000 : 0;
  if (f->clock_set || theirs <= 0 || !is_one_of(f->answer.code, about_time)) return false;
  int64_t skew = theirs - (int64_t)time(NULL), off = skew - f->client->skew;
  if (off > -SKEW_SECONDS && off < SKEW_SECONDS) return false;
  f->client->skew = skew;
  f->clock_set = true;
  return true;
}

static int64_t retry_after_ms(const struct tr_http_reply *reply) {
  const char *s = tr_http_reply_header(reply, "retry-after");
  long seconds = s ? strtol(s, NULL, 10) : 0;
  return seconds > 0 && seconds < 3600 ? seconds * 1000 : 0;
}

static void on_refusal(struct flight *f, const struct tr_http_reply *reply) {
  tr_aws_read_refusal(reply, f->service, f->action, &f->answer);
  if (take_clock(f, reply)) send_now(f);
  else if (f->answer.result == TR_AWS_THROTTLED) again(f, THROTTLED_MS, retry_after_ms(reply));
  else if (f->answer.result == TR_AWS_FAILED) again(f, FAILED_MS, retry_after_ms(reply));
  else finish(f);
}

static void on_no_reply(struct flight *f, enum tr_http_fault fault, const struct tr_error *err) {
  const char *code = fault == TR_HTTP_FAULT_TLS        ? "TLS"
                     : fault == TR_HTTP_FAULT_DEADLINE ? "Deadline"
                     : fault == TR_HTTP_FAULT_MEMORY   ? "Memory"
                                                       : "Connection";
  if (fault == TR_HTTP_FAULT_CANCELLED) {
    finish_failed(f, TR_AWS_CANCELLED, "Cancelled", "cancelled");
  } else if (fault == TR_HTTP_FAULT_CONNECT || fault == TR_HTTP_FAULT_BROKEN || fault == TR_HTTP_FAULT_DEADLINE) {
    f->answer.result = TR_AWS_FAILED;
    f->answer.status = 0;
    snprintf(f->answer.code, sizeof f->answer.code, "%s", code);
    snprintf(f->answer.text, sizeof f->answer.text, "%s %s: %.480s", f->service, f->action, err->text);
    again(f, FAILED_MS, 0);
  } else {
    finish_failed(f, TR_AWS_FAILED, code, err->text);
  }
}

static void on_reply(void *arg, enum tr_status status, struct tr_http_reply *reply, const struct tr_error *err) {
  struct flight *f = arg;
  if (status != TR_OK) {
    on_no_reply(f, reply->fault, err);
  } else if (reply->status >= 200 && reply->status < 300) {
    f->answer = (struct tr_aws_answer){.result = TR_AWS_OK,
                                       .status = reply->status,
                                       .body = reply->body,
                                       .bytes = reply->body_bytes,
                                       .room = reply->body_room};
    reply->body = NULL;
    reply->body_bytes = reply->body_room = 0;
    finish(f);
  } else {
    on_refusal(f, reply);
  }
}

/* A malloc'ed copy; `ok` is and-ed with whether there is one. */
static char *copy(const char *s, bool *ok) {
  char *made = strdup(s);
  *ok = *ok && made;
  return made;
}

static char *make_url(const struct tr_aws_client *c, const struct tr_aws_call *call, bool *ok) {
  struct tr_text url = {0};
  const char *path = call->path ? call->path : "/";
  const char *end = strncmp(call->region, "cn-", 3) == 0 ? ".cn" : "";
  if (c->endpoint) tr_text_add_format(&url, "%s%s", c->endpoint, path);
  else tr_text_add_format(&url, "https://%s.%s.amazonaws.com%s%s", call->service, call->region, end, path);
  char *made = copy(tr_text_str(&url), ok);
  *ok = *ok && tr_text_check(&url, NULL) == TR_OK;
  tr_text_free(&url);
  return made;
}

static bool fill(struct flight *f, const struct tr_aws_call *call) {
  bool ok = true;
  f->service = copy(call->service, &ok);
  f->action = copy(call->action, &ok);
  f->region = copy(call->region, &ok);
  f->method = copy(call->method ? call->method : "POST", &ok);
  f->type = copy(call->content_type ? call->content_type : "application/x-www-form-urlencoded", &ok);
  f->url = make_url(f->client, call, &ok);
  f->keys.access_key = copy(call->keys->access_key, &ok);
  f->keys.secret_key = copy(call->keys->secret_key, &ok);
  if (call->keys->session_token) f->keys.session_token = copy(call->keys->session_token, &ok);
  f->body = malloc(call->body_bytes + 1);
  if (f->body && call->body_bytes) memcpy(f->body, call->body, call->body_bytes);
  f->body_bytes = call->body_bytes;
  for (; f->n_headers < call->n_headers; f->n_headers++) {
    f->names[f->n_headers] = copy(call->headers[f->n_headers].name, &ok);
    f->values[f->n_headers] = copy(call->headers[f->n_headers].value, &ok);
  }
  return ok && f->body;
}

void tr_aws_call_start(struct tr_aws_client *c, const struct tr_aws_call *call, tr_aws_done done, void *arg) {
  struct flight *f = calloc(1, sizeof *f);
  if (!f) {
    struct tr_aws_answer answer = {.result = TR_AWS_FAILED, .code = "Memory", .text = "no memory for a call of AWS"};
    done(arg, &answer);
    return;
  }
  f->client = c;
  f->done = done;
  f->arg = arg;
  f->until_us = tr_http_now_us() + (call->deadline_ms > 0 ? call->deadline_ms : DEADLINE_MS) * 1000;
  if (fill(f, call)) {
    send_now(f);
  } else {
    f->answer.result = TR_AWS_FAILED;
    snprintf(f->answer.code, sizeof f->answer.code, "Memory");
    snprintf(f->answer.text, sizeof f->answer.text, "no memory for a call of AWS");
    finish(f);
  }
}
