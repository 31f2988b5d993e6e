/* URLs: see url.h. */
#include "net/url.h"
#include <ctype.h>
#include <string.h>

enum tr_status tr_url_parse(const char *text, struct tr_url *out, struct tr_error *err) {
  memset(out, 0, sizeof *out);
  for (const char *p = text; *p; p++)
    if ((unsigned char)*p <= ' ' || *p == 0x7f)
      return tr_fail(err, TR_EXC_VALUE, "a URL has no blanks or control characters: position %td", p - text);
  const char *colon = strstr(text, "://");
  if (!colon || colon == text) return tr_fail(err, TR_EXC_VALUE, "a URL begins with its scheme, as https://");
  out->scheme = text;
  out->scheme_length = (size_t)(colon - text);
  const char *authority = colon + 3, *end = authority + strcspn(authority, "/?#");
  for (const char *p = authority; p < end; p++)
    if (*p == '@') authority = p + 1;
  const char *port = end;
  for (const char *p = authority; p < end; p++) {
    if (*p == '[')
      while (p < end && *p != ']') p++;
    else if (*p == ':') port = p;
  }
  out->host = authority;
  out->host_length = (size_t)(port - authority);
  for (const char *p = port + 1; p < end; p++) {
    if (!isdigit((unsigned char)*p) || out->port > 6553)
      return tr_fail(err, TR_EXC_VALUE, "a URL has a bad port: %.*s", (int)(end - port), port);
    out->port = out->port * 10 + (*p - '0');
  }
  if (out->port > 65535) return tr_fail(err, TR_EXC_VALUE, "a URL has a bad port: %d", out->port);
  out->path = end;
  out->path_length = strcspn(end, "?#");
  out->query = end + out->path_length;
  if (*out->query == '?') out->query++;
  out->query_length = strcspn(out->query, "#");
  return TR_OK;
}

bool tr_url_is_loopback(const struct tr_url *url) {
  return (url->host_length == 9 && strncasecmp(url->host, "localhost", 9) == 0) ||
         (url->host_length > 4 && memcmp(url->host, "127.", 4) == 0 &&
          strspn(url->host, "0123456789.") >= url->host_length) ||
         (url->host_length == 5 && memcmp(url->host, "[::1]", 5) == 0);
}

bool tr_url_is_link_local(const struct tr_url *url) {
  return (url->host_length > 8 && memcmp(url->host, "169.254.", 8) == 0 &&
          strspn(url->host, "0123456789.") >= url->host_length) ||
         (url->host_length > 10 && memcmp(url->host, "[fd00:ec2:", 10) == 0);
}

void tr_url_add_authority(struct tr_text *to, const struct tr_url *url) {
  tr_text_add(to, url->host, url->host_length);
  bool secure = url->scheme_length == 5 && strncasecmp(url->scheme, "https", 5) == 0;
  if (url->port && url->port != (secure ? 443 : 80)) tr_text_add_format(to, ":%d", url->port);
}

void tr_url_escape(struct tr_text *to, const char *data, size_t bytes, bool keep_slash) {
  static const char digits[] = "0123456789ABCDEF";
  size_t plain = 0;
  for (size_t i = 0; i < bytes; i++) {
    unsigned char c = (unsigned char)data[i];
    bool kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                c == '_' || c == '~' || (keep_slash && c == '/');
    if (kept) continue;
    tr_text_add(to, data + plain, i - plain);
    tr_text_add(to, (char[]){'%', digits[c >> 4], digits[c & 15]}, 3);
    plain = i + 1;
  }
  tr_text_add(to, data + plain, bytes - plain);
}

static int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void tr_url_unescape(struct tr_text *to, const char *data, size_t bytes) {
  size_t plain = 0;
  for (size_t i = 0; i + 2 < bytes; i++) {
    if (data[i] != '%' || digit(data[i + 1]) < 0 || digit(data[i + 2]) < 0) continue;
    tr_text_add(to, data + plain, i - plain);
    tr_text_add_char(to, (char)(digit(data[i + 1]) << 4 | digit(data[i + 2])));
    i += 2;
    plain = i + 1;
  }
  tr_text_add(to, data + plain, bytes - plain);
}
