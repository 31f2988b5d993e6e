/* One request on its way: what libcurl is told, what comes back, what an end of libcurl's means to a caller. */
#include "base/mem.h"
#include "net/http_int.h"
#include "net/url.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum { ERROR_BODY_BYTES = 64 << 10, HEADER_BYTES = 256 << 10, DEFAULT_BODY_BYTES = 64 << 20 };
enum { DEFAULT_DEADLINE_MS = 60000, DEFAULT_CONNECT_MS = 10000 };

void tr_http_flight_unref(struct tr_http_flight *f) {
  if (!f || atomic_fetch_sub(&f->refs, 1) != 1) return;
  curl_slist_free_all(f->headers);
  free(f->method);
  free(f->url);
  free(f->user_agent);
  free(f->into);
  tr_http_reply_free(&f->reply);
  tr_mem_free(f, sizeof *f);
}

static bool has_control(const char *s) {
  for (; *s; s++)
    if ((unsigned char)*s < ' ' || *s == 0x7f) return true;
  return false;
}

/* Adds "name: value", or "name;" as libcurl wants a header with an empty value. */
TR_MUST_USE static enum tr_status add_header(struct tr_http_flight *f, const char *name, const char *value,
                                             struct tr_error *err) {
  if (!*name || has_control(name) || strpbrk(name, ": ") || has_control(value))
    return tr_fail(err, TR_EXC_VALUE, "an HTTP header may not hold control characters: %.40s", name);
  size_t n = strlen(name), v = strlen(value);
  char *line = malloc(n + v + 3);
  if (!line) return tr_fail_memory(err, n + v);
  memcpy(line, name, n);
  memcpy(line + n, *value ? ": " : ";", *value ? 2 : 1);
  memcpy(line + n + (*value ? 2 : 1), value, v + 1);
  struct curl_slist *longer = curl_slist_append(f->headers, line);
  free(line);
  if (!longer) return tr_fail_memory(err, n + v);
  f->headers = longer;
  return TR_OK;
}

TR_MUST_USE static enum tr_status fill(struct tr_http_flight *f, const struct tr_http_request *r,
                                       struct tr_error *err) {
  struct tr_url url;
  TR_TRY(tr_url_parse(r->url, &url, err));
  f->request = *r;
  f->method = strdup(r->method);
  f->url = strdup(r->url);
  f->user_agent = strdup(r->user_agent ? r->user_agent : "terality");
  if (!f->method || !f->url || !f->user_agent) return tr_fail_memory(err, strlen(r->url));
  f->request.method = f->method;
  f->request.url = f->url;
  f->request.headers = NULL;
  if (r->into) {
    f->into = malloc((size_t)(r->n_into + 1) * sizeof *f->into);
    if (!f->into) return tr_fail_memory(err, (size_t)r->n_into * sizeof *f->into);
    memcpy(f->into, r->into, (size_t)r->n_into * sizeof *f->into);
    f->request.into = f->into;
  }
  bool typed = false;
  for (int i = 0; i < r->n_headers; i++) {
    typed |= strcasecmp(r->headers[i].name, "content-type") == 0;
    TR_TRY(add_header(f, r->headers[i].name, r->headers[i].value, err));
  }
  /* What libcurl would add by itself: a form's content type, and a round trip before large bodies. */
  static const char *const unwanted[] = {"Accept:", "Expect:", "Content-Type:"};
  for (size_t i = 0; i < (typed ? 2 : 3); i++) {
    struct curl_slist *longer = curl_slist_append(f->headers, unwanted[i]);
    if (!longer) return tr_fail_memory(err, 20);
    f->headers = longer;
  }
  return TR_OK;
}

enum tr_status tr_http_timer_new(struct tr_http *client, int64_t delay_ms, struct tr_http_flight **out,
                                 struct tr_error *err) {
  void *memory;
  TR_TRY(tr_mem_calloc(sizeof(struct tr_http_flight), &memory, err));
  struct tr_http_flight *f = memory;
  f->refs = 1;
  f->client = client;
  f->submitted_us = tr_http_now_us();
  f->due_us = f->submitted_us + (delay_ms > 0 ? delay_ms * 1000 : 1);
  *out = f;
  return TR_OK;
}

enum tr_status tr_http_flight_new(struct tr_http *client, const struct tr_http_request *request,
                                  struct tr_http_flight **out, struct tr_error *err) {
  void *memory;
  TR_TRY(tr_mem_calloc(sizeof(struct tr_http_flight), &memory, err));
  struct tr_http_flight *f = memory;
  f->refs = 1;
  f->client = client;
  f->submitted_us = tr_http_now_us();
  enum tr_status st = fill(f, request, err);
  if (st != TR_OK) tr_http_flight_unref(f);
  else *out = f;
  return st;
}

/* Room for `more` bytes in an allocated block of a reply, within `limit`. */
static bool grow(struct tr_http_flight *f, void **block, size_t used, size_t *room, size_t more, size_t limit) {
  if (more > limit - used) {
    f->fault = TR_HTTP_FAULT_TOO_LARGE;
    return false;
  }
  if (used + more <= *room) return true;
  size_t want = *room * 2 > used + more ? *room * 2 : used + more;
  if (want < 4096) want = 4096;
  if (want > limit) want = limit;
  if (tr_mem_realloc(block, *room, want, NULL) != TR_OK) {
    f->fault = TR_HTTP_FAULT_MEMORY;
    return false;
  }
  *room = want;
  return true;
}

/* Before the first byte of a body: the whole of it at once where its length is known. */
static bool make_room(struct tr_http_flight *f, size_t more, size_t limit) {
  size_t first = more;
  curl_off_t length = -1;
  if (!f->reply.body_bytes && curl_easy_getinfo(f->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length) == CURLE_OK &&
      length > 0 && (size_t)length > more)
    first = (size_t)length;
  return grow(f, (void **)&f->reply.body, f->reply.body_bytes, &f->reply.body_room, first, limit);
}

/* Puts bytes where the caller wants them. */
static bool scatter(struct tr_http_flight *f, const char *data, size_t bytes) {
  while (bytes && f->at_part < f->request.n_into) {
    struct tr_http_part *p = &f->into[f->at_part];
    size_t n = p->bytes - f->at_byte < bytes ? p->bytes - f->at_byte : bytes;
    if (p->to) memcpy((uint8_t *)p->to + f->at_byte, data, n);
    data += n;
    bytes -= n;
    f->reply.body_bytes += n;
    f->at_byte += n;
    if (f->at_byte < p->bytes) continue;
    f->at_part++;
    f->at_byte = 0;
  }
  if (bytes) f->fault = TR_HTTP_FAULT_TOO_LARGE;
  return bytes == 0;
}

static size_t on_body(char *data, size_t one, size_t bytes, void *arg) {
  (void)one;
  struct tr_http_flight *f = arg;
  struct tr_http_reply *r = &f->reply;
  if (!r->status) {
    long status = 0;
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    r->status = (int)status;
  }
  bool good = r->status >= 200 && r->status < 300;
  if (good && f->into) {
    return scatter(f, data, bytes) ? bytes : 0;
  } else if (good) {
    if (!make_room(f, bytes, f->request.max_bytes ? f->request.max_bytes : DEFAULT_BODY_BYTES)) return 0;
  } else {
    size_t left = ERROR_BODY_BYTES - r->body_bytes, keep = bytes < left ? bytes : left;
    if (!grow(f, (void **)&r->body, r->body_bytes, &r->body_room, keep, ERROR_BODY_BYTES)) return 0;
    memcpy(r->body + r->body_bytes, data, keep);
    r->body_bytes += keep;
    return bytes;
  }
  memcpy(r->body + r->body_bytes, data, bytes);
  r->body_bytes += bytes;
  return bytes;
}

/* Keeps "name 0 value 0"; a new status line (after 100 Continue or a redirect) starts over. */
static size_t on_header(char *line, size_t one, size_t bytes, void *arg) {
  (void)one;
  struct tr_http_flight *f = arg;
  struct tr_http_reply *r = &f->reply;
  size_t n = bytes;
  if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
    r->headers_bytes = 0;
    r->status = 0;
    f->headers_whole = false;
    return bytes;
  }
  while (n && isspace((unsigned char)line[n - 1])) n--;
  if (!n) f->headers_whole = true;
  char *colon = memchr(line, ':', n);
  if (!colon) return bytes;
  size_t name = (size_t)(colon - line), at = name + 1;
  while (at < n && isspace((unsigned char)line[at])) at++;
  if (!grow(f, (void **)&r->headers, r->headers_bytes, &r->headers_room, name + n - at + 2, HEADER_BYTES)) return 0;
  char *to = r->headers + r->headers_bytes;
  for (size_t i = 0; i < name; i++) to[i] = (char)tolower((unsigned char)line[i]);
  to[name] = 0;
  memcpy(to + name + 1, line + at, n - at);
  to[name + 1 + n - at] = 0;
  r->headers_bytes += name + n - at + 2;
  return bytes;
}

/* Sockets are not for programs we start. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a) {
  (void)arg;
  (void)purpose;
  return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static int stall_seconds(int64_t ms) { return ms <= 0 ? 0 : ms < 1000 ? 1 : (int)((ms + 999) / 1000); }

static void set_transport(struct tr_http_flight *f, CURL *e) {
  struct tr_url url;
  if (tr_url_parse(f->url, &url, NULL) == TR_OK && (tr_url_is_loopback(&url) || tr_url_is_link_local(&url)))
    curl_easy_setopt(e, CURLOPT_NOPROXY, "*"); /* what is near a proxy is not what is near us */
  if (f->client->ca_file) curl_easy_setopt(e, CURLOPT_CAINFO, f->client->ca_file);
  curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
  curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(e, CURLOPT_DNS_SHUFFLE_ADDRESSES, 1L);
  curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
  /* A body passes through this buffer once; a quarter of a megabyte stays in cache and keeps system calls few. */
  curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 256L << 10);
  curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, 512L << 10);
  if (f->request.fresh_connection) curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
}

static void set_time_limits(struct tr_http_flight *f, CURL *e) {
  int64_t deadline = f->request.deadline_ms > 0 ? f->request.deadline_ms : DEFAULT_DEADLINE_MS;
  int64_t left = deadline - (tr_http_now_us() - f->submitted_us) / 1000;
  int64_t connect = f->request.connect_ms > 0 ? f->request.connect_ms : DEFAULT_CONNECT_MS;
  curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(left > 0 ? left : 1));
  curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)connect);
  if (f->request.stall_ms > 0) {
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)stall_seconds(f->request.stall_ms));
  }
}

bool tr_http_flight_prepare(struct tr_http_flight *f) {
  CURL *e = f->easy;
  const struct tr_http_request *r = &f->request;
  set_transport(f, e);
  set_time_limits(f, e);
  bool sends = r->body_bytes || strcmp(r->method, "PUT") == 0 || strcmp(r->method, "POST") == 0;
  if (sends) {
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_bytes);
    curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->body_bytes ? r->body : (const void *)"");
  } else if (strcmp(r->method, "HEAD") == 0) {
    curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
  }
  if (r->follow_redirects) {
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(e, CURLOPT_MAXREDIRS, 10L);
  }
  f->curl_text[0] = 0;
  curl_easy_setopt(e, CURLOPT_ERRORBUFFER, f->curl_text);
  curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(e, CURLOPT_WRITEDATA, f);
  curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(e, CURLOPT_HEADERDATA, f);
  curl_easy_setopt(e, CURLOPT_PRIVATE, f);
  return (strcmp(r->method, "HEAD") == 0 || curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, f->method) == CURLE_OK) &&
         curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK &&
         curl_easy_setopt(e, CURLOPT_URL, f->url) == CURLE_OK &&
         curl_easy_setopt(e, CURLOPT_USERAGENT, f->user_agent) == CURLE_OK &&
         curl_easy_setopt(e, CURLOPT_HTTPHEADER, f->headers) == CURLE_OK;
}

static enum tr_http_fault fault_of(CURLcode code, bool connected) {
  switch (code) {
  case CURLE_OK: return TR_HTTP_FAULT_NONE;
  case CURLE_UNSUPPORTED_PROTOCOL:
  case CURLE_URL_MALFORMAT:
  case CURLE_TOO_MANY_REDIRECTS: return TR_HTTP_FAULT_REQUEST;
  case CURLE_PEER_FAILED_VERIFICATION:
  case CURLE_SSL_CACERT_BADFILE:
  case CURLE_SSL_ISSUER_ERROR:
  case CURLE_SSL_INVALIDCERTSTATUS:
  case CURLE_SSL_CERTPROBLEM: return TR_HTTP_FAULT_TLS;
  case CURLE_COULDNT_RESOLVE_PROXY:
  case CURLE_COULDNT_RESOLVE_HOST:
  case CURLE_COULDNT_CONNECT:
  case CURLE_SSL_CONNECT_ERROR: return TR_HTTP_FAULT_CONNECT;
  case CURLE_OPERATION_TIMEDOUT: return connected ? TR_HTTP_FAULT_DEADLINE : TR_HTTP_FAULT_CONNECT;
  case CURLE_OUT_OF_MEMORY: return TR_HTTP_FAULT_MEMORY;
  default: return TR_HTTP_FAULT_BROKEN;
  }
}

void tr_http_flight_fail(struct tr_http_flight *f, enum tr_http_fault fault, const char *why) {
  f->reply.fault = fault;
  f->reply.total_us = tr_http_now_us() - f->submitted_us;
  if (!f->url) { /* a timer */
    f->status = tr_fail(&f->error, TR_EXC_OS, "%s", why);
    return;
  }
  int shown = (int)strcspn(f->url, "?#");
  if (fault == TR_HTTP_FAULT_DEADLINE) { /* TimeoutError in Python */
    f->status = tr_fail_os(&f->error, ETIMEDOUT, "%s %.*s: %s", f->method, shown, f->url, why);
    return;
  }
  enum tr_exc exc = fault == TR_HTTP_FAULT_MEMORY    ? TR_EXC_MEMORY
                    : fault == TR_HTTP_FAULT_REQUEST ? TR_EXC_VALUE
                                                     : TR_EXC_OS;
  f->status = tr_fail(&f->error, exc, "%s %.*s: %s", f->method, shown, f->url, why);
}

void tr_http_flight_settle(struct tr_http_flight *f, CURLcode code) {
  struct tr_http_reply *r = &f->reply;
  long status = 0, connects = 0;
  curl_off_t started = 0, connected = 0;
  curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(f->easy, CURLINFO_NUM_CONNECTS, &connects);
  curl_easy_getinfo(f->easy, CURLINFO_STARTTRANSFER_TIME_T, &started);
  curl_easy_getinfo(f->easy, CURLINFO_PRETRANSFER_TIME_T, &connected);
  r->status = (int)status;
  r->new_connection = connects > 0;
  r->first_byte_us = started;
  r->total_us = tr_http_now_us() - f->submitted_us;
  if (code == CURLE_OK && f->headers_whole) {
    f->status = TR_OK;
    return;
  }
  if (code == CURLE_OK) {
    /* A connection that ends within the headers is a good reply to libcurl, and would be an object without a size. */
    tr_http_flight_fail(f, TR_HTTP_FAULT_BROKEN, "the connection ended within the headers of the reply");
    return;
  }
  enum tr_http_fault fault = f->fault ? f->fault : fault_of(code, connected > 0);
  const char *why = fault == TR_HTTP_FAULT_TOO_LARGE ? "the reply is larger than expected"
                    : fault == TR_HTTP_FAULT_MEMORY  ? "the reply does not fit the memory budget"
                    : *f->curl_text                  ? f->curl_text
                                                     : curl_easy_strerror(code);
  tr_http_flight_fail(f, fault, why);
}

void tr_http_reply_free(struct tr_http_reply *r) {
  tr_mem_free(r->body, r->body_room);
  tr_mem_free(r->headers, r->headers_room);
  memset(r, 0, sizeof *r);
}

const char *tr_http_reply_header(const struct tr_http_reply *r, const char *name) {
  const char *at = r->headers, *end = at ? at + r->headers_bytes : at;
  while (at < end) {
    const char *value = at + strlen(at) + 1;
    if (strcmp(at, name) == 0) return value;
    at = value + strlen(value) + 1;
  }
  return NULL;
}
