/* An HTTP/1.1 server for small JSON services, over libmicrohttpd (epoll).
 *
 * A request goes through two calls, both on a server thread: `admit` when its headers are there, before a byte of body
 * is kept, and `handle` when the body is complete. The reply may come later and from any thread: from `handle` on the
 * connection is suspended and costs no thread, which is what makes long polls cheap. Each exchange gets exactly one
 * tr_http_reply. Every reply carries X-Request-Id, 16 random hex digits.
 *
 * Guarded here: size of head and body (431, 413), bytes of all bodies together (503), idle connections, number of
 * connections. Bodies of refused requests are read and dropped, so that a client that is still sending sees the reply.
 */
#pragma once
#include "base/text.h"
#include <stddef.h>

struct tr_http_server;
struct tr_http_exchange;

struct tr_http_server_options {
  const char *address;    /* numeric IPv4 or IPv6; NULL = 127.0.0.1 */
  uint16_t port;          /* 0 = any free one */
  const char *cert_file;  /* PEM; with key_file: TLS. NULL = plain */
  const char *key_file;   /* PEM */
  int threads;            /* server threads; 0 = 1 */
  int connections;        /* at a time; 0 = 4096 */
  int64_t all_body_bytes; /* of all requests that are being read or answered; 0 = 512 MiB */
  const char *headers[4]; /* extra response headers as "Name: value", borrowed while the server lives */
  void *arg;
  /* Says how many bytes of body are welcome, or replies (and returns anything). May be NULL: 0 bytes. */
  int64_t (*admit)(void *arg, struct tr_http_exchange *x);
  /* Replies, now or later. */
  void (*handle)(void *arg, struct tr_http_exchange *x);
};

/* Gives a listening server. TR_EXC_OS when the address is taken, TR_EXC_VALUE for a bad address, certificate or key. */
TR_MUST_USE enum tr_status tr_http_server_start(const struct tr_http_server_options *options,
                                                struct tr_http_server **out, struct tr_error *err);
uint16_t tr_http_server_port(const struct tr_http_server *s);
/* Accepts no new connection. What is being answered goes on. */
void tr_http_server_quiesce(struct tr_http_server *s);
/* Ends everything; all exchanges must have been replied to. NULL is allowed. */
void tr_http_server_stop(struct tr_http_server *s);

/* Borrowed until the reply. */
const char *tr_exchange_method(const struct tr_http_exchange *x);
const char *tr_exchange_path(const struct tr_http_exchange *x);
const char *tr_exchange_body(const struct tr_http_exchange *x, size_t *n);
const char *tr_exchange_request_id(const struct tr_http_exchange *x);
/* A header (any case) or NULL; a parameter of the query part, or NULL. Only within admit and handle. */
const char *tr_exchange_header(const struct tr_http_exchange *x, const char *name);
const char *tr_exchange_param(const struct tr_http_exchange *x, const char *name);
/* The request's own data between admit, handle and the reply; `drop` (may be NULL) is called once with it. */
void tr_exchange_set_data(struct tr_http_exchange *x, void *data, void (*drop)(void *));
void *tr_exchange_data(const struct tr_http_exchange *x);
/* Whether the peer still holds its connection: asked before something is given to a request that has waited. */
bool tr_exchange_alive(const struct tr_http_exchange *x);
/* Answers; takes the text, x is not to be used after. `type` is a content type that outlives the server. Thread-safe.
 */
void tr_exchange_reply(struct tr_http_exchange *x, int status, const char *type, struct tr_text *body);
