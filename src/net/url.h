/* URLs taken apart and put together: scheme://user@host:port/path?query, and percent escapes as RFC 3986 has them. */
#pragma once
#include "base/text.h"

/* Where the parts of a URL lie in its text; nothing is copied or decoded. A part that is absent has length 0. */
struct tr_url {
  const char *scheme, *host, *path, *query; /* query without '?'; path from its '/' on */
  size_t scheme_length, host_length, path_length, query_length;
  int port; /* 0 = not given */
};

/* Takes `text` apart (borrowed by `out`). TR_EXC_VALUE when it has no scheme, a bad port, blanks or control bytes. A
 * fragment is cut off, user information is skipped; the host of an IPv6 address keeps its brackets. */
TR_MUST_USE enum tr_status tr_url_parse(const char *text, struct tr_url *out, struct tr_error *err);
/* True for localhost, 127.x.y.z and [::1]. */
bool tr_url_is_loopback(const struct tr_url *url);
/* True for 169.254.x.y and [fd00:ec2:…]: where clouds answer questions about the machine. */
bool tr_url_is_link_local(const struct tr_url *url);
/* Adds `host` or `host:port` as an HTTP client sends it: the port only where it is not the scheme's own. */
void tr_url_add_authority(struct tr_text *to, const struct tr_url *url);

/* Adds `data` with everything escaped but A-Z a-z 0-9 - . _ ~ and, with keep_slash, '/'. */
void tr_url_escape(struct tr_text *to, const char *data, size_t bytes, bool keep_slash);
/* Adds `data` with escapes resolved; what is no escape stays as it is. */
void tr_url_unescape(struct tr_text *to, const char *data, size_t bytes);
