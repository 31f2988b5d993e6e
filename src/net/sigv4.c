/* Signature Version 4: see sigv4.h. */
#include "net/sigv4.h"
#include "base/arena.h"
#include "net/url.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

void tr_sigv4_time(int64_t seconds, char out[TR_SIGV4_TIME_SIZE]) {
  struct tm tm;
  time_t t = (time_t)seconds;
  gmtime_r(&t, &tm);
  if (!strftime(out, TR_SIGV4_TIME_SIZE, "%Y%m%dT%H%M%SZ", &tm)) out[0] = 0;
}

/* The path without empty and dotted segments, keeping a slash at its end (RFC 3986 §5.2.4). */
static void add_normalized(struct tr_text *to, const char *path, size_t length) {
  struct tr_text kept = {0};
  for (size_t at = 0; at < length;) {
    size_t end = at;
    while (end < length && path[end] != '/') end++;
    size_t n = end - at;
    if (n == 2 && memcmp(path + at, "..", 2) == 0) {
      while (kept.length && kept.data[--kept.length] != '/') {}
    } else if (n && !(n == 1 && path[at] == '.')) {
      tr_text_add_char(&kept, '/');
      tr_text_add(&kept, path + at, n);
    }
    at = end + 1;
  }
  tr_text_add(to, tr_text_str(&kept), kept.length);
  if (kept.failed_bytes) to->failed_bytes = kept.failed_bytes;
  bool slash = length && path[length - 1] == '/';
  if (!kept.length || slash) tr_text_add_char(to, '/');
  tr_text_free(&kept);
}

static void add_path(struct tr_text *to, const struct tr_sigv4 *s, const struct tr_url *url) {
  struct tr_text path = {0};
  if (s->normalize_path) add_normalized(&path, url->path, url->path_length);
  else if (url->path_length) tr_text_add(&path, url->path, url->path_length);
  else tr_text_add_char(&path, '/');
  if (s->escape_path) tr_url_escape(to, tr_text_str(&path), path.length, true);
  else tr_text_add(to, tr_text_str(&path), path.length);
  if (path.failed_bytes) to->failed_bytes = path.failed_bytes;
  tr_text_free(&path);
}

static int compare_texts(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* One "name=value" in canonical form: escapes resolved and made anew. The '=' is kept out of the escapes; sorting by
 * the whole text equals sorting by name then value but for names with bytes below '=', which 0x01 stands in for. */
static char *canonical_pair(struct tr_arena *arena, const char *pair, size_t length) {
  struct tr_text plain = {0}, out = {0};
  const char *equals = memchr(pair, '=', length);
  size_t name = equals ? (size_t)(equals - pair) : length;
  tr_url_unescape(&plain, pair, name);
  tr_url_escape(&out, tr_text_str(&plain), plain.length, false);
  tr_text_add_char(&out, 1);
  tr_text_clear(&plain);
  if (equals) tr_url_unescape(&plain, equals + 1, length - name - 1);
  tr_url_escape(&out, tr_text_str(&plain), plain.length, false);
  char *made = out.failed_bytes || plain.failed_bytes ? NULL : tr_arena_strndup(arena, out.data, out.length);
  tr_text_free(&plain);
  tr_text_free(&out);
  return made;
}

/* Adds the sorted query of `query`. */
TR_MUST_USE static enum tr_status add_query(struct tr_text *to, const char *query, size_t length,
                                            struct tr_error *err) {
  enum { TOP = 200 };
  char *pairs[TOP];
  int n = 0;
  struct tr_arena arena;
  tr_arena_init(&arena);
  enum tr_status st = TR_OK;
  for (size_t at = 0; at < length && st == TR_OK;) {
    size_t end = at;
    while (end < length && query[end] != '&') end++;
    if (end > at) {
      if (n == TOP) st = tr_fail(err, TR_EXC_VALUE, "a signed query has at most %d parts", TOP);
      else if (!(pairs[n++] = canonical_pair(&arena, query + at, end - at))) st = tr_fail_memory(err, end - at);
    }
    at = end + 1;
  }
  if (st == TR_OK) {
    qsort(pairs, (size_t)n, sizeof *pairs, compare_texts);
    for (int i = 0; i < n; i++) {
      if (i) tr_text_add_char(to, '&');
      *strchr(pairs[i], 1) = '=';
      tr_text_add_str(to, pairs[i]);
    }
  }
  tr_arena_free(&arena);
  return st;
}

/* Headers by name; equal names keep their order. */
struct ordered {
  const struct tr_http_header *header;
  int at;
};

static int compare_headers(const void *a, const void *b) {
  const struct ordered *x = a, *y = b;
  int c = strcasecmp(x->header->name, y->header->name);
  return c ? c : (x->at > y->at) - (x->at < y->at);
}

static void add_lower(struct tr_text *to, const char *s) {
  for (; *s; s++) tr_text_add_char(to, (char)tolower((unsigned char)*s));
}

/* The value without blanks around it, runs of blanks made one. */
static void add_trimmed(struct tr_text *to, const char *s) {
  bool blank = false, any = false;
  for (; *s; s++) {
    if (isspace((unsigned char)*s)) {
      blank = any;
      continue;
    }
    if (blank) tr_text_add_char(to, ' ');
    tr_text_add_char(to, *s);
    blank = false;
    any = true;
  }
}

/* What is signed of the headers: their canonical lines and the list of their names. */
struct signed_headers {
  struct tr_text lines, names;
};

static void signed_headers_free(struct signed_headers *h) {
  tr_text_free(&h->lines);
  tr_text_free(&h->names);
}

TR_MUST_USE static enum tr_status sign_headers(const struct tr_sigv4_request *r, const struct tr_url *url,
                                               struct signed_headers *out, struct tr_error *err) {
  struct ordered order[TR_SIGV4_TOP_HEADERS + 1];
  struct tr_text host = {0};
  int n = 0;
  if (r->n_headers > TR_SIGV4_TOP_HEADERS)
    return tr_fail(err, TR_EXC_VALUE, "at most %d headers can be signed", TR_SIGV4_TOP_HEADERS);
  bool has_host = false;
  for (; n < r->n_headers; n++) {
    order[n] = (struct ordered){&r->headers[n], n};
    has_host |= strcasecmp(r->headers[n].name, "host") == 0;
  }
  tr_url_add_authority(&host, url);
  const struct tr_http_header host_header = {"host", tr_text_str(&host)};
  if (!has_host) {
    order[n] = (struct ordered){&host_header, n};
    n++;
  }
  qsort(order, (size_t)n, sizeof *order, compare_headers);
  for (int i = 0; i < n; i++) {
    bool again = i && strcasecmp(order[i - 1].header->name, order[i].header->name) == 0;
    if (!again) {
      if (i) tr_text_add_char(&out->lines, '\n'), tr_text_add_char(&out->names, ';');
      add_lower(&out->lines, order[i].header->name);
      add_lower(&out->names, order[i].header->name);
    }
    tr_text_add_char(&out->lines, again ? ',' : ':');
    add_trimmed(&out->lines, order[i].header->value);
  }
  tr_text_add_char(&out->lines, '\n');
  if (host.failed_bytes) out->lines.failed_bytes = host.failed_bytes;
  tr_text_free(&host);
  return TR_OK;
}

TR_MUST_USE static enum tr_status canonical(const struct tr_sigv4 *s, const struct tr_sigv4_request *r,
                                            const struct tr_url *url, const struct signed_headers *h,
                                            struct tr_text *out, struct tr_error *err) {
  tr_text_add_str(out, r->method);
  tr_text_add_char(out, '\n');
  add_path(out, s, url);
  tr_text_add_char(out, '\n');
  TR_TRY(add_query(out, url->query, url->query_length, err));
  tr_text_add_char(out, '\n');
  tr_text_add(out, tr_text_str(&h->lines), h->lines.length);
  tr_text_add_format(out, "\n%s\n%s", tr_text_str(&h->names), r->payload_hash);
  TR_TRY(tr_text_check(&h->lines, err));
  TR_TRY(tr_text_check(&h->names, err));
  return tr_text_check(out, err);
}

enum tr_status tr_sigv4_canonical(const struct tr_sigv4 *s, const struct tr_sigv4_request *r, struct tr_text *out,
                                  struct tr_error *err) {
  struct tr_url url;
  struct signed_headers h = {0};
  TR_TRY(tr_url_parse(r->url, &url, err));
  enum tr_status st = sign_headers(r, &url, &h, err);
  if (st == TR_OK) st = canonical(s, r, &url, &h, out, err);
  signed_headers_free(&h);
  return st;
}

/* "20150830/us-east-1/s3/aws4_request" */
static void add_scope(struct tr_text *to, const struct tr_sigv4 *s) {
  char when[TR_SIGV4_TIME_SIZE];
  tr_sigv4_time(s->time, when);
  tr_text_add_format(to, "%.8s/%s/%s/aws4_request", when, s->region, s->service);
}

enum tr_status tr_sigv4_string_to_sign(const struct tr_sigv4 *s, const char *text, struct tr_text *out,
                                       struct tr_error *err) {
  char when[TR_SIGV4_TIME_SIZE], hex[TR_HEX_SIZE(TR_SHA256_BYTES)];
  uint8_t hash[TR_SHA256_BYTES];
  tr_sigv4_time(s->time, when);
  TR_TRY(tr_crypto_sha256(text, strlen(text), hash, err));
  tr_hex_encode(hash, sizeof hash, hex);
  tr_text_add_format(out, "AWS4-HMAC-SHA256\n%s\n", when);
  add_scope(out, s);
  tr_text_add_format(out, "\n%s", hex);
  return tr_text_check(out, err);
}

/* The secret goes through date, region and service, so that what signs one day's requests opens no other's. */
TR_MUST_USE static enum tr_status sign(const struct tr_sigv4 *s, const char *text, struct tr_text *hex_out,
                                       struct tr_error *err) {
  char when[TR_SIGV4_TIME_SIZE], hex[TR_HEX_SIZE(TR_SHA256_BYTES)];
  uint8_t key[TR_SHA256_BYTES];
  struct tr_text secret = {0}, to_sign = {0};
  tr_sigv4_time(s->time, when);
  tr_text_add_format(&secret, "AWS4%s", s->secret_key);
  enum tr_status st = tr_text_check(&secret, err);
  if (st == TR_OK) st = tr_crypto_hmac_sha256(secret.data, secret.length, when, 8, key, err);
  const char *const steps[] = {s->region, s->service, "aws4_request"};
  for (int i = 0; i < 3 && st == TR_OK; i++)
    st = tr_crypto_hmac_sha256(key, sizeof key, steps[i], strlen(steps[i]), key, err);
  if (st == TR_OK) st = tr_sigv4_string_to_sign(s, text, &to_sign, err);
  if (st == TR_OK) st = tr_crypto_hmac_sha256(key, sizeof key, to_sign.data, to_sign.length, key, err);
  if (st == TR_OK) {
    tr_hex_encode(key, sizeof key, hex);
    tr_text_add_str(hex_out, hex);
  }
  if (secret.room) tr_crypto_wipe(secret.data, secret.room);
  tr_crypto_wipe(key, sizeof key);
  tr_text_free(&secret);
  tr_text_free(&to_sign);
  return st == TR_OK ? tr_text_check(hex_out, err) : st;
}

enum tr_status tr_sigv4_authorize(const struct tr_sigv4 *s, const struct tr_sigv4_request *r, struct tr_text *out,
                                  struct tr_error *err) {
  struct tr_url url;
  struct signed_headers h = {0};
  struct tr_text text = {0};
  TR_TRY(tr_url_parse(r->url, &url, err));
  enum tr_status st = sign_headers(r, &url, &h, err);
  if (st == TR_OK) st = canonical(s, r, &url, &h, &text, err);
  if (st == TR_OK) {
    tr_text_add_format(out, "AWS4-HMAC-SHA256 Credential=%s/", s->access_key);
    add_scope(out, s);
    tr_text_add_format(out, ", SignedHeaders=%s, Signature=", tr_text_str(&h.names));
    st = sign(s, text.data, out, err);
  }
  tr_text_free(&text);
  signed_headers_free(&h);
  return st;
}

/* Adds the URL with all that a presigned query has but the signature. */
static void add_presigned_url(struct tr_text *to, const struct tr_sigv4 *s, const struct tr_sigv4_request *r,
                              const struct tr_url *url, const char *names, const char *token, int64_t expires_s) {
  char when[TR_SIGV4_TIME_SIZE];
  struct tr_text credential = {0};
  tr_sigv4_time(s->time, when);
  tr_text_add_format(&credential, "%s/", s->access_key);
  add_scope(&credential, s);
  tr_text_add(to, r->url, (size_t)(url->path - r->url) + url->path_length);
  if (!url->path_length) tr_text_add_char(to, '/');
  tr_text_add_char(to, '?');
  tr_text_add(to, url->query, url->query_length);
  tr_text_add_str(to, url->query_length ? "&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="
                                        : "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=");
  tr_url_escape(to, tr_text_str(&credential), credential.length, false);
  tr_text_add_format(to, "&X-Amz-Date=%s&X-Amz-SignedHeaders=", when);
  tr_url_escape(to, names, strlen(names), false);
  tr_text_add_format(to, "&X-Amz-Expires=%lld", (long long)expires_s);
  if (token) {
    tr_text_add_str(to, "&X-Amz-Security-Token=");
    tr_url_escape(to, token, strlen(token), false);
  }
  if (credential.failed_bytes) to->failed_bytes = credential.failed_bytes;
  tr_text_free(&credential);
}

enum tr_status tr_sigv4_presign(const struct tr_sigv4 *s, const struct tr_sigv4_request *r, const char *session_token,
                                int64_t expires_s, struct tr_text *out, struct tr_error *err) {
  struct tr_url url;
  struct signed_headers h = {0};
  struct tr_text made = {0}, text = {0};
  TR_TRY(tr_url_parse(r->url, &url, err));
  enum tr_status st = sign_headers(r, &url, &h, err);
  if (st == TR_OK) {
    add_presigned_url(&made, s, r, &url, tr_text_str(&h.names), session_token, expires_s);
    st = tr_text_check(&made, err);
  }
  struct tr_sigv4_request longer = *r;
  longer.url = tr_text_str(&made);
  if (st == TR_OK) st = tr_sigv4_canonical(s, &longer, &text, err);
  if (st == TR_OK) {
    tr_text_add(out, made.data, made.length);
    tr_text_add_str(out, "&X-Amz-Signature=");
    st = sign(s, text.data, out, err);
  }
  tr_text_free(&text);
  tr_text_free(&made);
  signed_headers_free(&h);
  return st;
}
