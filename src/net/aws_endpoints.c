/* Endpoints of the machine we run on: see aws_endpoints.h. */
#include "net/aws_endpoints.h"
#include "base/text.h"
#include "net/aws_int.h"
#include "net/crypto.h"
#include "net/url.h"
#include "net/xml.h"
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TOKEN_SECONDS = 21600, FIXED_MS = 2000, FIXED_ATTEMPTS = 3, CONTAINER_MS = 2000, CONTAINER_ATTEMPTS = 3 };
enum { REPLY_BYTES = 64 << 10 };

enum tr_status tr_endpoint_get(struct tr_http *http, const struct tr_http_request *request, int attempts,
                               struct tr_http_reply *reply, struct tr_error *err) {
  enum tr_status st = TR_ERROR;
  memset(reply, 0, sizeof *reply);
  for (int tried = 0; tried < attempts; tried++) {
    if (tried) nanosleep(&(struct timespec){0, 100000000L << (tried < 3 ? tried : 3)}, NULL);
    tr_http_reply_free(reply);
    st = tr_http_call(http, request, NULL, reply, err);
    if (st == TR_OK && reply->status < 500) return TR_OK;
  }
  if (st == TR_OK)
    st = tr_fail_os(err, EAGAIN, "%.*s answers %d", (int)strcspn(request->url, "?"), request->url, reply->status);
  return st;
}

/* ---- IMDSv2 */
static bool is_word(const char *value, const char *word) { return value && strcasecmp(value, word) == 0; }

static int64_t number_of(const char *variable, int64_t otherwise) {
  const char *value = tr_aws_variable(variable);
  long long n = value ? strtoll(value, NULL, 10) : 0;
  return n > 0 && n < 1000 ? n : otherwise;
}

TR_MUST_USE static enum tr_status choose_base(struct tr_imds *m, bool fixed, struct tr_error *err) {
  const char *base = TR_INSTANCE_ENDPOINT;
  if (!fixed) {
    const char *given = tr_aws_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    if (is_word(tr_aws_variable("AWS_EC2_METADATA_DISABLED"), "true"))
      return tr_fail_os(err, EACCES, "the instance metadata service (AWS_EC2_METADATA_DISABLED is true)");
    if (is_word(tr_aws_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"), "ipv6")) base = "http://[fd00:ec2::254]";
    if (given) base = given;
  }
  size_t n = strlen(base);
  while (n && base[n - 1] == '/') n--;
  if (n >= sizeof m->base) return tr_fail(err, TR_EXC_VALUE, "AWS_EC2_METADATA_SERVICE_ENDPOINT is too long");
  memcpy(m->base, base, n);
  m->base[n] = 0;
  return TR_OK;
}

enum tr_status tr_imds_open(bool fixed, struct tr_imds *m, struct tr_error *err) {
  *m = (struct tr_imds){.timeout_ms = FIXED_MS, .attempts = FIXED_ATTEMPTS};
  if (!fixed) {
    m->timeout_ms = number_of("AWS_METADATA_SERVICE_TIMEOUT", 1) * 1000;
    m->attempts = (int)number_of("AWS_METADATA_SERVICE_NUM_ATTEMPTS", 1);
  }
  TR_TRY(choose_base(m, fixed, err));
  return tr_http_new(NULL, &m->http, err);
}

void tr_imds_close(struct tr_imds *m) {
  tr_http_free(m->http);
  tr_crypto_wipe(m->token, sizeof m->token);
  m->http = NULL;
}

/* Replies are short texts; a longer one, or one with control bytes, is not what we asked. */
TR_MUST_USE static enum tr_status keep_text(const struct tr_http_reply *reply, const char *url, char *out, size_t room,
                                            struct tr_error *err) {
  size_t n = reply->body_bytes;
  if (n >= room) return tr_fail(err, TR_EXC_RUNTIME, "%s: a reply of %zu bytes", url, n);
  if (n) memcpy(out, reply->body, n);
  out[n] = 0;
  return strlen(out) == n ? TR_OK : tr_fail(err, TR_EXC_RUNTIME, "%s: a reply with zero bytes", url);
}

TR_MUST_USE static enum tr_status send(struct tr_imds *m, const char *method, const char *path,
                                       const struct tr_http_header *header, char *out, size_t room, int *status,
                                       struct tr_error *err) {
  struct tr_http_reply reply;
  char url[600];
  snprintf(url, sizeof url, "%s%s", m->base, path);
  const struct tr_http_request request = {.method = method,
                                          .url = url,
                                          .headers = header,
                                          .n_headers = 1,
                                          .max_bytes = REPLY_BYTES,
                                          .deadline_ms = m->timeout_ms,
                                          .connect_ms = m->timeout_ms};
  enum tr_status st = tr_endpoint_get(m->http, &request, m->attempts, &reply, err);
  *status = reply.status;
  if (st == TR_OK) st = keep_text(&reply, url, out, room, err);
  tr_http_reply_free(&reply);
  return st;
}

/* Sessions only: what a request that a web application was tricked into cannot do. */
TR_MUST_USE static enum tr_status have_token(struct tr_imds *m, struct tr_error *err) {
  char seconds[16];
  int status;
  struct timespec t;
  clock_gettime(CLOCK_BOOTTIME, &t);
  int64_t now = t.tv_sec * 1000000 + t.tv_nsec / 1000;
  if (m->token_until_us > now) return TR_OK;
  snprintf(seconds, sizeof seconds, "%d", TOKEN_SECONDS);
  const struct tr_http_header header = {"X-aws-ec2-metadata-token-ttl-seconds", seconds};
  TR_TRY(send(m, "PUT", "/latest/api/token", &header, m->token, sizeof m->token, &status, err));
  if (status != 200) return tr_fail_os(err, EACCES, "%s/latest/api/token answers %d", m->base, status);
  m->token_until_us = now + (int64_t)(TOKEN_SECONDS - 60) * 1000000;
  return TR_OK;
}

enum tr_status tr_imds_get(struct tr_imds *m, const char *path, char *out, size_t room, int *status,
                           struct tr_error *err) {
  for (int tried = 0; tried < 2; tried++) {
    TR_TRY(have_token(m, err));
    const struct tr_http_header header = {"X-aws-ec2-metadata-token", m->token};
    TR_TRY(send(m, "GET", path, &header, out, room, status, err));
    if (*status != 401) break;
    m->token_until_us = 0; /* the session is over: once more */
  }
  return TR_OK;
}

/* ---- keys */
enum tr_status tr_aws_keys_parse(const void *body, size_t bytes, const char *where, struct tr_aws_keys *out,
                                 struct tr_error *err) {
  json_t *o = json_loadb(body, bytes, 0, NULL);
  const char *access = json_string_value(json_object_get(o, "AccessKeyId")),
             *secret = json_string_value(json_object_get(o, "SecretAccessKey")),
             *token = json_string_value(json_object_get(o, "Token")),
             *until = json_string_value(json_object_get(o, "Expiration")),
             *code = json_string_value(json_object_get(o, "Code")),
             *message = json_string_value(json_object_get(o, "message"));
  enum tr_status st;
  if (!access || !secret || (code && strcmp(code, "Success") != 0))
    st = tr_fail_os(err, EACCES, "%s gives no keys%s%s%s%s", where, code ? ": " : "", code ? code : "",
                    message ? ": " : "", message ? message : "");
  else st = tr_aws_keys_set(out, access, secret, token, err);
  if (st == TR_OK && until) out->expires_at = tr_time_parse(until) / 1000000000;
  json_decref(o);
  return st;
}

enum tr_status tr_aws_instance_keys(bool fixed, struct tr_aws_keys *out, struct tr_error *err) {
  static const char folder[] = "/latest/meta-data/iam/security-credentials/";
  struct tr_imds m;
  char role[200], path[300], *body = malloc(REPLY_BYTES);
  int status;
  enum tr_status st = body ? tr_imds_open(fixed, &m, err) : tr_fail_memory(err, REPLY_BYTES);
  if (st != TR_OK) {
    free(body);
    return st;
  }
  TR_GOTO(st, tr_imds_get(&m, folder, role, sizeof role, &status, err));
  role[strcspn(role, "\r\n")] = 0;
  if (status != 200 || !*role) {
    st = tr_fail_os(err, EACCES, "the instance metadata service: this instance has no role");
    goto done;
  }
  snprintf(path, sizeof path, "%s%s", folder, role);
  TR_GOTO(st, tr_imds_get(&m, path, body, REPLY_BYTES, &status, err));
  if (status == 200) st = tr_aws_keys_parse(body, strlen(body), "the instance metadata service", out, err);
  else st = tr_fail_os(err, EACCES, "the instance metadata service answers %d for role %s", status, role);
done:
  tr_crypto_wipe(body, REPLY_BYTES);
  free(body);
  tr_imds_close(&m);
  return st;
}

/* Keys may come over plain HTTP only from the machine itself. */
TR_MUST_USE static enum tr_status check_full(const char *uri, struct tr_error *err) {
  static const char *const hosts[] = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
  struct tr_url url;
  TR_TRY(tr_url_parse(uri, &url, err));
  if (url.scheme_length == 5 || tr_url_is_loopback(&url)) return TR_OK;
  for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
    if (url.host_length == strlen(hosts[i]) && memcmp(url.host, hosts[i], url.host_length) == 0) return TR_OK;
  return tr_fail(err, TR_EXC_VALUE,
                 "AWS_CONTAINER_CREDENTIALS_FULL_URI %s: plain HTTP is only for a loopback address or %s, %s, %s", uri,
                 hosts[0], hosts[1], hosts[2]);
}

/* What the endpoint wants to see: the text of a file that is renewed, or of a variable. */
TR_MUST_USE static enum tr_status authorization(char *out, size_t room, struct tr_error *err) {
  const char *path = tr_aws_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
             *text = tr_aws_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
  size_t n = 0;
  *out = 0;
  if (path) {
    FILE *f = fopen(path, "re");
    if (!f) return tr_fail_os(err, errno, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE %s", path);
    n = fread(out, 1, room - 1, f);
    fclose(f);
    out[n] = 0;
    while (n && (out[n - 1] == '\n' || out[n - 1] == '\r')) out[--n] = 0;
  } else if (text) {
    n = (size_t)snprintf(out, room, "%s", text);
  }
  return n < room - 1 ? TR_OK : tr_fail(err, TR_EXC_VALUE, "the authorization token of the container is too long");
}

enum tr_status tr_aws_container_keys(bool fixed, struct tr_http *http, struct tr_aws_keys *out, struct tr_error *err) {
  const char *relative = tr_aws_variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
             *full = fixed ? NULL : tr_aws_variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  struct tr_text url = {0};
  struct tr_http_reply reply = {0};
  char token[16 << 10];
  *token = 0;
  if (!relative && !full)
    return tr_fail_os(err, EACCES, "no AWS credentials: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not set");
  if (relative && *relative != '/')
    return tr_fail(err, TR_EXC_VALUE, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI %s is no path", relative);
  if (!relative) TR_TRY(check_full(full, err));
  if (!fixed) TR_TRY(authorization(token, sizeof token, err));
  tr_text_add_format(&url, "%s%s", relative ? TR_CONTAINER_ENDPOINT : "", relative ? relative : full);
  const struct tr_http_header header = {"Authorization", token};
  const struct tr_http_request request = {.method = "GET",
                                          .url = tr_text_str(&url),
                                          .headers = &header,
                                          .n_headers = *token != 0,
                                          .max_bytes = REPLY_BYTES,
                                          .deadline_ms = CONTAINER_MS,
                                          .connect_ms = CONTAINER_MS};
  enum tr_status st = tr_text_check(&url, err);
  if (st == TR_OK) st = tr_endpoint_get(http, &request, CONTAINER_ATTEMPTS, &reply, err);
  if (st == TR_OK && reply.status != 200)
    st = tr_fail_os(err, EACCES, "the container's credentials: %s answers %d", url.data, reply.status);
  if (st == TR_OK) st = tr_aws_keys_parse(reply.body, reply.body_bytes, "the container's endpoint", out, err);
  if (reply.body) tr_crypto_wipe(reply.body, reply.body_bytes);
  tr_crypto_wipe(token, sizeof token);
  tr_http_reply_free(&reply);
  tr_text_free(&url);
  return st;
}
