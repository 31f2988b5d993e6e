/* An HTTP/1.1 client over libcurl: many requests in flight on one thread.
 *
 * A client owns one loop thread, made at the first request, and a cache of connections. tr_http_submit queues a
 * request and returns; its callback runs exactly once, on the loop thread, whatever happens: a reply (of any status),
 * a failure, a cancellation. tr_http_call does the same and waits. Nothing is retried here, because only the caller
 * knows what may be repeated: `fault` says how far a failed request came. (libcurl itself repeats a request once when a
 * kept connection turns out to have been closed by the server before it answered anything.)
 *
 * After a fork the child's client starts anew with a loop and connections of its own; requests of the parent stay the
 * parent's. TLS certificates are always verified. Error texts name the URL without its query, which may hold a
 * signature.
 */
#pragma once
#include "base/pool.h"
#include "base/status.h"

struct tr_http_options {
  int max_connections_per_host; /* further requests wait their turn; 0 = 64 */
  const char *ca_file;          /* PEM; NULL = AWS_CA_BUNDLE, SSL_CERT_FILE or the system's */
};

/* How a request failed; decides whether it may be sent again. */
enum tr_http_fault {
  TR_HTTP_FAULT_NONE = 0,  /* a whole reply came */
  TR_HTTP_FAULT_REQUEST,   /* malformed: would fail again */
  TR_HTTP_FAULT_TLS,       /* the server's certificate or protocol is not acceptable */
  TR_HTTP_FAULT_CONNECT,   /* no connection: the server has seen nothing */
  TR_HTTP_FAULT_BROKEN,    /* the connection ended early; the server may have acted */
  TR_HTTP_FAULT_DEADLINE,  /* out of time; the server may have acted */
  TR_HTTP_FAULT_TOO_LARGE, /* the body does not fit */
  TR_HTTP_FAULT_MEMORY,    /* over the memory budget */
  TR_HTTP_FAULT_CANCELLED, /* tr_http_cancel, or the client was freed */
};

struct tr_http_header {
  const char *name, *value;
};

/* A piece of memory for a body, or bytes to be passed over (`to` NULL). */
struct tr_http_part {
  void *to;
  size_t bytes;
};

/* A request. Everything but `body` and what `into` points to is copied by tr_http_submit; those two are borrowed until
 * the callback has returned. A body longer than all of `into` is TR_HTTP_FAULT_TOO_LARGE. */
struct tr_http_request {
  const char *method; /* "GET", "HEAD", "PUT", "POST", "DELETE", … */
  const char *url;    /* http or https, escaped; sent exactly as written */
  const struct tr_http_header *headers;
  int n_headers;
  const void *body; /* PUT and POST send Content-Length: 0 without one */
  size_t body_bytes;
  const struct tr_http_part *into; /* where the body of a 2xx goes, one after another; copied. NULL = allocated */
  int n_into;
  size_t max_bytes;       /* limit of an allocated body; 0 = 64 MiB. Bodies of other statuses are cut at 64 KiB */
  int64_t deadline_ms;    /* for all of it, queueing included; 0 = 60 s */
  int64_t connect_ms;     /* for making a connection; 0 = 10 s */
  int64_t stall_ms;       /* less than a byte per second for so long is TR_HTTP_FAULT_BROKEN; 0 = never */
  bool fresh_connection;  /* do not reuse one: for second attempts that must not share the first one's fate */
  bool follow_redirects;  /* GET and HEAD: up to 10. Not for signed requests */
  const char *user_agent; /* NULL = "terality" */
};

struct tr_http_reply {
  enum tr_http_fault fault;
  int status;        /* 0 while none came */
  uint8_t *body;     /* allocated; NULL when it went to `into` */
  size_t body_bytes; /* what came of it, wherever it went */
  size_t body_room;  /* bytes allocated */
  bool new_connection;
  int64_t first_byte_us, total_us; /* since submission */
  char *headers;                   /* name 0 value 0 …, names in lower case */
  size_t headers_bytes, headers_room;
};

struct tr_http;
struct tr_http_flight; /* a request under way, refcounted */

/* `options` (borrowed) may be NULL. Makes no thread and opens nothing. */
TR_MUST_USE enum tr_status tr_http_new(const struct tr_http_options *options, struct tr_http **out,
                                       struct tr_error *err);
/* Cancels what is under way, waits for its callbacks and ends the loop. Not from a callback. NULL is allowed. */
void tr_http_free(struct tr_http *client);
/* Connections that are not in use are not used again: for a process that was stopped for a while, whose peers may have
 * gone unseen. What is under way goes on. */
void tr_http_renew(struct tr_http *client);
/* The process' own client with default options, made at first use, ended at exit; borrowed. */
TR_MUST_USE enum tr_status tr_http_shared(struct tr_http **out, struct tr_error *err);

/* Called on the loop thread without locks held; must not block. status is TR_OK when a whole reply came, whatever its
 * HTTP status; otherwise reply->fault and err say why. `reply` is borrowed; to keep its body set reply->body to NULL
 * and free it with tr_mem_free(body, body_room). May submit requests. */
typedef void (*tr_http_done)(void *arg, enum tr_status status, struct tr_http_reply *reply, const struct tr_error *err);

/* Queues a request. On TR_ERROR the callback is never called. `out` (may be NULL) gives a reference for
 * tr_http_cancel. */
TR_MUST_USE enum tr_status tr_http_submit(struct tr_http *client, const struct tr_http_request *request,
                                          tr_http_done done, void *arg, struct tr_http_flight **out,
                                          struct tr_error *err);
/* Asks for an end; the callback comes with TR_HTTP_FAULT_CANCELLED unless it was already on its way. Any thread. */
void tr_http_cancel(struct tr_http_flight *flight);
/* Calls `done` on the loop thread after delay_ms (TR_OK, an empty reply), or at once when cancelled. */
TR_MUST_USE enum tr_status tr_http_after(struct tr_http *client, int64_t delay_ms, tr_http_done done, void *arg,
                                         struct tr_http_flight **out, struct tr_error *err);
/* NULL is allowed. */
void tr_http_flight_unref(struct tr_http_flight *flight);

/* Sends a request and waits. `ctx` (may be NULL) is polled: TR_CANCELLED when the query is cancelled. `reply` is filled
 * in any case (fault!) and given: free it. Not from a callback. */
TR_MUST_USE enum tr_status tr_http_call(struct tr_http *client, const struct tr_http_request *request,
                                        struct tr_ctx *ctx, struct tr_http_reply *reply, struct tr_error *err);
void tr_http_reply_free(struct tr_http_reply *reply);
/* The value of a header (name in lower case), NULL when absent; the first one if repeated. */
const char *tr_http_reply_header(const struct tr_http_reply *reply, const char *name);
