/* One request to Azure Blob: where it goes, SharedKey or SAS, and what the answer means. Source of the signature:
 * "Authorize with Shared Key" in Azure's documentation. */
#include "data/store/azure/azure_int.h"
#include "net/xml.h"
#include "net/url.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define VERSION "2021-12-02"

void az_call_begin(struct az_call *c, const char *method, const char *key) {
  memset(c, 0, sizeof *c);
  c->method = method;
  c->key = key;
}

void az_call_query(struct az_call *c, const char *name, const char *value) {
  if (c->n_query == AZ_QUERY) return;
  c->query[c->n_query].name = name;
  c->query[c->n_query++].value = value;
}

void az_call_header(struct az_call *c, const char *name, const char *value) {
  if (c->n_headers < AZ_HEADERS) c->headers[c->n_headers++] = (struct tr_http_header){name, value};
}

void az_call_free(struct az_call *c) {
  tr_text_free(&c->url);
  tr_text_free(&c->path);
  tr_text_free(&c->authorization);
}

static const char *header_value(const struct az_call *c, const char *name) {
  for (int i = 0; i < c->n_headers; i++)
    if (strcasecmp(c->headers[i].name, name) == 0) return c->headers[i].value;
  return "";
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const struct tr_http_header *)a)->name, ((const struct tr_http_header *)b)->name);
}

/* What is signed: fixed headers by line, x-ms-* headers, the resource with its query. */
static void add_string_to_sign(struct tr_text *to, const struct azure *s, struct az_call *c, size_t bytes) {
  struct tr_url url;
  tr_text_add_format(to, "%s\n\n\n", c->method);
  if (bytes) tr_text_add_format(to, "%zu", bytes);
  tr_text_add_format(to, "\n\n\n\n\n%s\n%s\n\n%s\n", header_value(c, "if-match"), header_value(c, "if-none-match"),
                     header_value(c, "range"));
  qsort(c->headers, (size_t)c->n_headers, sizeof *c->headers, by_name);
  for (int i = 0; i < c->n_headers; i++)
    if (strncmp(c->headers[i].name, "x-ms-", 5) == 0)
      tr_text_add_format(to, "%s:%s\n", c->headers[i].name, c->headers[i].value);
  tr_text_add_format(to, "/%s", s->account);
  if (tr_url_parse(tr_text_str(&c->url), &url, NULL) == TR_OK) tr_text_add(to, url.path, url.path_length);
  for (int i = 0; i < c->n_query; i++) tr_text_add_format(to, "\n%s:%s", c->query[i].name, c->query[i].value);
}

TR_MUST_USE static enum tr_status authorize(const struct azure *s, struct az_call *c, size_t bytes,
                                            struct tr_error *err) {
  struct tr_text text = {0};
  uint8_t mac[TR_SHA256_BYTES];
  char code[TR_BASE64_SIZE(TR_SHA256_BYTES)];
  add_string_to_sign(&text, s, c, bytes);
  enum tr_status st = tr_text_check(&text, err);
  if (st == TR_OK) st = tr_crypto_hmac_sha256(s->key, s->key_bytes, text.data, text.length, mac, err);
  if (st == TR_OK) {
    tr_base64_encode(mac, sizeof mac, code);
    tr_text_add_format(&c->authorization, "SharedKey %s:%s", s->account, code);
    st = tr_text_check(&c->authorization, err);
  }
  tr_text_free(&text);
  if (st == TR_OK) az_call_header(c, "authorization", c->authorization.data);
  return st;
}

enum tr_status az_call_sign(struct azure *s, struct az_call *c, const void *body, size_t bytes,
                            struct tr_http_request *request, struct tr_error *err) {
  struct tm tm;
  time_t now = time(NULL);
  gmtime_r(&now, &tm);
  if (!strftime(c->date, sizeof c->date, "%a, %d %b %Y %H:%M:%S GMT", &tm)) c->date[0] = 0;
  tr_text_add_format(&c->url, "%s/%s", s->endpoint, s->container);
  if (c->key) {
    tr_text_add_format(&c->path, "%s%s", s->root, c->key);
    tr_text_add_char(&c->url, '/');
    tr_url_escape(&c->url, tr_text_str(&c->path), c->path.length, true);
  }
  for (int i = 0; i < c->n_query; i++) {
    tr_text_add_format(&c->url, "%c%s=", i ? '&' : '?', c->query[i].name);
    tr_url_escape(&c->url, c->query[i].value, strlen(c->query[i].value), false);
  }
  if (s->sas) tr_text_add_format(&c->url, "%c%s", c->n_query ? '&' : '?', s->sas);
  TR_TRY(tr_text_check(&c->path, err));
  TR_TRY(tr_text_check(&c->url, err));
  az_call_header(c, "x-ms-date", c->date);
  az_call_header(c, "x-ms-version", VERSION);
  if (s->key && !s->sas) TR_TRY(authorize(s, c, bytes, err));
  *request = (struct tr_http_request){.method = c->method,
                                      .url = c->url.data,
                                      .headers = c->headers,
                                      .n_headers = c->n_headers,
                                      .body = body,
                                      .body_bytes = bytes};
  return TR_OK;
}

void az_error_code(const struct tr_http_reply *reply, char *out, size_t size) {
  const char *told = tr_http_reply_header(reply, "x-ms-error-code");
  if (told) snprintf(out, size, "%s", told);
  else tr_xml_find(reply->body, reply->body_bytes, "Code", out, size);
}

enum tr_status az_failure(const struct azure *s, const char *key, const struct tr_http_reply *reply, bool if_absent,
                          struct tr_error *err) {
  char code[80], message[400];
  int status = reply->status;
  az_error_code(reply, code, sizeof code);
  if (tr_xml_find(reply->body, reply->body_bytes, "Message", message, sizeof message))
    message[strcspn(message, "\n")] = 0;
  const char *slash = key ? "/" : "", *k = key ? key : "", *url = s->store.url;
  if (status == 404 && strcmp(code, "ContainerNotFound") == 0)
    return tr_fail_os(err, ENOENT, "%s%s%s: the container '%s' does not exist (ContainerNotFound)", url, slash, k,
                      s->container);
  if (status == 404) return tr_fail_os(err, ENOENT, "%s%s%s", url, slash, k);
  if (if_absent && (status == 412 || (status == 409 && strcmp(code, "BlobAlreadyExists") == 0)))
    return tr_fail_os(err, EEXIST, "%s%s%s", url, slash, k);
  if (status == 412 || status == 304)
    return tr_fail_os(err, ESTALE, "%s%s%s: the object was changed meanwhile", url, slash, k);
  if (status == 416) return tr_fail_os(err, ESTALE, "%s%s%s: the object is shorter than expected", url, slash, k);
  if (status == 401 || status == 403)
    return tr_fail_os(err, EACCES, "%s%s%s: access denied (%s%s%s)", url, slash, k, *code ? code : "status 403",
                      *message ? ": " : "", message);
  int why = status >= 500 || status == 429 || status == 408 ? EAGAIN : 0;
  return tr_fail_os(err, why, "%s%s%s: the store answered %d (%s%s%s)", url, slash, k, status, code,
                    *message ? ": " : "", message);
}

enum tr_status az_call_send(struct azure *s, struct az_call *c, const void *body, size_t bytes, int64_t deadline_ms,
                            struct tr_ctx *ctx, struct tr_http_reply *reply, struct tr_error *err) {
  struct tr_http_request request;
  memset(reply, 0, sizeof *reply);
  TR_TRY(az_call_sign(s, c, body, bytes, &request, err));
  return tr_http_io_call(s->http, &request, deadline_ms, ctx, reply, err);
}
