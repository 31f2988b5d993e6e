/* See http_server.h. An exchange is libmicrohttpd's per-request context: made at the first call of its access handler,
 * freed by its completion callback. `state` walks READING → (DROPPING →) ANSWERING → ANSWERED; the handler is entered
 * again after each part of the body and once more when a suspended connection is resumed. */
#include "net/http_server.h"
#include "base/mem.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD_BYTES = 32 << 10, IDLE_SECONDS = 90, DROPPED_BYTES_MAX = 256 << 20 };

enum exchange_state { READING, DROPPING, ANSWERING, ANSWERED };

struct tr_http_server {
  struct tr_http_server_options options;
  struct MHD_Daemon *daemon;
  char *cert, *key;
  _Atomic int64_t body_bytes;
  uint16_t port;
};

struct tr_http_exchange {
  struct tr_http_server *server;
  struct MHD_Connection *connection;
  enum exchange_state state;
  bool suspended;
  char method[16], id[17];
  char *path;
  char *body;
  size_t n_body, room;
  int64_t most, dropped;
  struct MHD_Response *response; /* set by tr_exchange_reply */
  int status;
  int fd;
  void *data;
  void (*drop_data)(void *);
};

const char *tr_exchange_method(const struct tr_http_exchange *x) { return x->method; }
const char *tr_exchange_path(const struct tr_http_exchange *x) { return x->path; }
const char *tr_exchange_request_id(const struct tr_http_exchange *x) { return x->id; }
void *tr_exchange_data(const struct tr_http_exchange *x) { return x->data; }

const char *tr_exchange_body(const struct tr_http_exchange *x, size_t *n) {
  *n = x->n_body;
  return x->body ? x->body : "";
}

const char *tr_exchange_header(const struct tr_http_exchange *x, const char *name) {
  return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

const char *tr_exchange_param(const struct tr_http_exchange *x, const char *name) {
  return MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, name);
}

void tr_exchange_set_data(struct tr_http_exchange *x, void *data, void (*drop)(void *)) {
  x->data = data;
  x->drop_data = drop;
}

bool tr_exchange_alive(const struct tr_http_exchange *x) {
  struct tcp_info info = {0};
  socklen_t n = sizeof info;
  if (getsockopt(x->fd, IPPROTO_TCP, TCP_INFO, &info, &n)) return true;
  return info.tcpi_state == TCP_ESTABLISHED;
}

static void free_text(void *s) { free(s); }

void tr_exchange_reply(struct tr_http_exchange *x, int status, const char *type, struct tr_text *body) {
  /* The text's memory is aligned and sized by base/mem.h; libmicrohttpd frees what it is given by free(). */
  char *copy = malloc(body->length + 1);
  if (copy && body->length) memcpy(copy, body->data, body->length);
  struct MHD_Response *r =
      copy ? MHD_create_response_from_buffer_with_free_callback(body->length, copy, free_text) : NULL;
  if (!r) free(copy);
  tr_text_free(body);
  if (r) {
    if (type) MHD_add_response_header(r, "Content-Type", type);
    MHD_add_response_header(r, "X-Request-Id", x->id);
    MHD_add_response_header(r, "Cache-Control", "no-store");
    for (size_t i = 0; i < sizeof x->server->options.headers / sizeof *x->server->options.headers; i++) {
      const char *line = x->server->options.headers[i], *colon = line ? strchr(line, ':') : NULL;
      char name[64];
      if (!colon || (size_t)(colon - line) >= sizeof name) continue;
      memcpy(name, line, (size_t)(colon - line));
      name[colon - line] = 0;
      MHD_add_response_header(r, name, colon + 1 + strspn(colon + 1, " "));
    }
  }
  x->status = status;
  x->response = r;
  /* After this line a suspended exchange belongs to the server thread. */
  if (x->suspended) MHD_resume_connection(x->connection);
}

static struct tr_http_exchange *exchange_new(struct tr_http_server *s, struct MHD_Connection *c, const char *url,
                                             const char *method) {
  struct tr_http_exchange *x = calloc(1, sizeof *x);
  if (!x) return NULL;
  x->path = strdup(url);
  uint64_t id = 0;
  if (!x->path || getrandom(&id, sizeof id, 0) != sizeof id) {
    free(x->path);
    free(x);
    return NULL;
  }
  x->server = s;
  x->connection = c;
  snprintf(x->id, sizeof x->id, "%016" PRIx64, id);
  snprintf(x->method, sizeof x->method, "%s", method);
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
  x->fd = info ? info->connect_fd : -1;
  return x;
}

static void fault(struct tr_http_exchange *x, int status, const char *code, const char *message) {
  struct tr_text t = {0};
  tr_text_add_format(&t, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\",\"request_id\":\"%s\"}}", code, message,
                     x->id);
  tr_exchange_reply(x, status, "application/json", &t);
}

/* Adds a part of the body; false after having replied. */
static bool keep(struct tr_http_exchange *x, const char *part, size_t n) {
  if ((int64_t)(x->n_body + n) > x->most) {
    char text[100];
    snprintf(text, sizeof text, "the body has more than %" PRId64 " bytes", x->most);
    fault(x, 413, "body_too_large", text);
    return false;
  }
  if (x->n_body + n >= x->room) {
    size_t room = x->room ? x->room : 1024;
    while (room <= x->n_body + n) room *= 2;
    int64_t all = atomic_fetch_add(&x->server->body_bytes, (int64_t)(room - x->room)) + (int64_t)(room - x->room);
    char *p = all > x->server->options.all_body_bytes ? NULL : realloc(x->body, room);
    if (!p) {
      atomic_fetch_sub(&x->server->body_bytes, (int64_t)(room - x->room));
      fault(x, 503, "busy", "too many bytes are being received at this moment; try again");
      return false;
    }
    x->body = p;
    x->room = room;
  }
  memcpy(x->body + x->n_body, part, n);
  x->n_body += n;
  x->body[x->n_body] = 0;
  return true;
}

static enum MHD_Result answer(struct tr_http_exchange *x) {
  if (!x->response) return MHD_NO;
  enum MHD_Result ok = MHD_queue_response(x->connection, (unsigned)x->status, x->response);
  MHD_destroy_response(x->response);
  x->response = NULL;
  x->state = ANSWERED;
  return ok;
}

static int64_t content_length(const struct tr_http_exchange *x) {
  const char *s = tr_exchange_header(x, "Content-Length");
  return s ? strtoll(s, NULL, 10) : 0;
}

/* The headers are there. */
static enum MHD_Result begin(struct tr_http_exchange *x) {
  const struct tr_http_server_options *o = &x->server->options;
  x->most = o->admit ? o->admit(o->arg, x) : 0;
  if (!x->response && content_length(x) > x->most) {
    char text[120];
    snprintf(text, sizeof text, "the body has %" PRId64 " bytes, more than %" PRId64, content_length(x), x->most);
    fault(x, 413, "body_too_large", text);
  }
  if (x->response) x->state = DROPPING;
  /* A client that waits for "100 Continue" gets the refusal instead of sending its body for nothing. */
  return x->response && tr_exchange_header(x, "Expect") ? answer(x) : MHD_YES;
}

static enum MHD_Result finish(struct tr_http_exchange *x) {
  if (x->state == DROPPING) return answer(x);
  x->state = ANSWERING;
  x->suspended = true;
  MHD_suspend_connection(x->connection);
  x->server->options.handle(x->server->options.arg, x);
  return MHD_YES;
}

static enum MHD_Result access_handler(void *arg, struct MHD_Connection *c, const char *url, const char *method,
                                      const char *version, const char *part, size_t *n_part, void **context) {
  (void)version;
  struct tr_http_exchange *x = *context;
  if (!x) {
    *context = x = exchange_new(arg, c, url, method);
    return x ? begin(x) : MHD_NO;
  }
  if (x->state == ANSWERING) return answer(x);
  if (x->state == ANSWERED) return MHD_NO;
  if (*n_part == 0) return finish(x);
  if (x->state == READING && !keep(x, part, *n_part)) x->state = DROPPING;
  if (x->state == DROPPING) {
    x->dropped += (int64_t)*n_part;
    if (x->dropped > DROPPED_BYTES_MAX) return MHD_NO;
  }
  *n_part = 0;
  return MHD_YES;
}

static void completed(void *arg, struct MHD_Connection *c, void **context, enum MHD_RequestTerminationCode why) {
  (void)c;
  (void)why;
  struct tr_http_server *s = arg;
  struct tr_http_exchange *x = *context;
  if (!x) return;
  if (x->response) MHD_destroy_response(x->response);
  if (x->drop_data && x->data) x->drop_data(x->data);
  atomic_fetch_sub(&s->body_bytes, (int64_t)x->room);
  free(x->body);
  free(x->path);
  free(x);
  *context = NULL;
}

static enum tr_status read_pem(const char *path, char **out, struct tr_error *err) {
  enum { PEM_BYTES = 1 << 20 };
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return tr_fail_os(err, errno, "%s", path);
  char *text = calloc(1, PEM_BYTES + 1);
  ssize_t n = text ? read(fd, text, PEM_BYTES) : -1;
  int fault_no = errno;
  close(fd);
  if (n <= 0) {
    free(text);
    return n ? tr_fail_os(err, fault_no, "%s", path) : tr_fail(err, TR_EXC_VALUE, "%s is empty", path);
  }
  *out = text;
  return TR_OK;
}

static enum tr_status parse_address(const char *address, uint16_t port, struct sockaddr_storage *out,
                                    struct tr_error *err) {
  struct sockaddr_in *v4 = (struct sockaddr_in *)out;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
  memset(out, 0, sizeof *out);
  if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
  } else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
  } else {
    return tr_fail(err, TR_EXC_VALUE, "%s is no numeric IP address", address);
  }
  return TR_OK;
}

/* Without MHD_OPTION_LISTENING_ADDRESS_REUSE: it lets a second server take half of the connections of the same port. A
 * port that was just left can be taken again all the same. */
static enum tr_status start_daemon(struct tr_http_server *s, struct sockaddr_storage *at, struct tr_error *err) {
  unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC;
  if (at->ss_family == AF_INET6) flags |= MHD_USE_IPv6;
  if (s->cert) flags |= MHD_USE_TLS;
  struct MHD_OptionItem tls[] = {
      {MHD_OPTION_HTTPS_MEM_CERT, 0, s->cert}, {MHD_OPTION_HTTPS_MEM_KEY, 0, s->key}, {MHD_OPTION_END, 0, NULL}};
  struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
  errno = 0;
  s->daemon = MHD_start_daemon(
      flags, 0, NULL, NULL, access_handler, s, MHD_OPTION_SOCK_ADDR, at, MHD_OPTION_NOTIFY_COMPLETED, completed, s,
      MHD_OPTION_CONNECTION_LIMIT, (unsigned)s->options.connections, MHD_OPTION_CONNECTION_TIMEOUT,
      (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES, MHD_OPTION_LISTEN_BACKLOG_SIZE,
      1024u, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)(s->options.threads > 1 ? s->options.threads : 0), MHD_OPTION_ARRAY,
      s->cert ? tls : none, MHD_OPTION_END);
  if (s->daemon) return TR_OK;
  if (errno == EADDRINUSE || errno == EACCES || errno == EADDRNOTAVAIL)
    return tr_fail_os(err, errno, "cannot listen on %s port %u", s->options.address, s->options.port);
  return tr_fail(err, TR_EXC_VALUE, "the HTTP server does not start on %s port %u%s", s->options.address,
                 s->options.port, s->cert ? ": look at certificate and key" : "");
}

static uint16_t bound_port(struct MHD_Daemon *daemon) {
  const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
  return info ? info->port : 0;
}

enum tr_status tr_http_server_start(const struct tr_http_server_options *options, struct tr_http_server **out,
                                    struct tr_error *err) {
  struct sockaddr_storage at;
  struct tr_http_server *s = calloc(1, sizeof *s);
  if (!s) return tr_fail_memory(err, sizeof *s);
  s->options = *options;
  if (!s->options.address) s->options.address = "127.0.0.1";
  if (s->options.connections <= 0) s->options.connections = 4096;
  if (s->options.all_body_bytes <= 0) s->options.all_body_bytes = 512 << 20;
  enum tr_status st;
  TR_GOTO(st, parse_address(s->options.address, s->options.port, &at, err));
  if (options->cert_file) TR_GOTO(st, read_pem(options->cert_file, &s->cert, err));
  if (options->key_file) TR_GOTO(st, read_pem(options->key_file, &s->key, err));
  TR_GOTO(st, start_daemon(s, &at, err));
  s->port = bound_port(s->daemon);
  *out = s;
  return TR_OK;
done:
  tr_http_server_stop(s);
  return st;
}

uint16_t tr_http_server_port(const struct tr_http_server *s) { return s->port; }

void tr_http_server_quiesce(struct tr_http_server *s) {
  MHD_socket fd = MHD_quiesce_daemon(s->daemon);
  if (fd != MHD_INVALID_SOCKET) close(fd);
}

void tr_http_server_stop(struct tr_http_server *s) {
  if (!s) return;
  if (s->daemon) MHD_stop_daemon(s->daemon);
  if (s->key) explicit_bzero(s->key, strlen(s->key));
  free(s->cert);
  free(s->key);
  free(s);
}
