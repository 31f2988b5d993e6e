#include "http_peer.h"
#include <arpa/inet.h>
#include <assert.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection {
  struct http_peer *peer;
  int fd;
  SSL *ssl;
  char *in; /* what has come and is not used yet */
  size_t have, room;
};

static int receive(struct connection *c, void *to, int n) {
  return c->ssl ? SSL_read(c->ssl, to, n) : (int)recv(c->fd, to, (size_t)n, 0);
}

static bool give(struct connection *c, const char *data, size_t n) {
  while (n) {
    int done = c->ssl ? SSL_write(c->ssl, data, (int)n) : (int)send(c->fd, data, n, MSG_NOSIGNAL);
    if (done <= 0) return false;
    data += done;
    n -= (size_t)done;
  }
  return true;
}

static bool more(struct connection *c) {
  struct pollfd p = {.fd = c->fd, .events = POLLIN};
  while (!(c->ssl && SSL_pending(c->ssl)) && poll(&p, 1, 50) == 0)
    if (c->peer->stopping) return false;
  if (c->room - c->have < 65536) c->in = realloc(c->in, c->room += 1 << 20);
  int n = receive(c, c->in + c->have, 65536);
  if (n <= 0) return false;
  c->have += (size_t)n;
  return true;
}

static bool reply(struct connection *c, int status, const char *extra, const char *body, size_t n) {
  char head[300];
  int h = snprintf(head, sizeof head,
                   "HTTP/1.1 %d Whatever\r\nContent-Length: %zu\r\nX-Twice: one\r\nX-Twice:two \r\n%s\r\n", status, n,
                   extra);
  return give(c, head, (size_t)h) && give(c, body, n);
}

/* Shorter when the client goes away. */
static void pause_ms(struct connection *c, int ms) {
  struct pollfd gone = {.fd = c->fd, .events = POLLRDHUP};
  for (int i = 0; i < ms && !c->peer->stopping && poll(&gone, 1, 5) == 0; i += 5) continue;
}

static bool bytes_reply(struct connection *c, size_t n) {
  char *data = malloc(n + 1);
  for (size_t i = 0; i < n; i++) data[i] = (char)(i % 251);
  bool ok = reply(c, 200, "ETag: \"abc\"\r\n", data, n);
  free(data);
  return ok;
}

/* One request of `head` bytes with `body` bytes behind; false = end the connection. */
static bool answer(struct connection *c, size_t head, size_t body) {
  char method[20], path[200] = "";
  bool ok = sscanf(c->in, "%19s %199s", method, path) == 2;
  int n = 0;
  path[strcspn(path, "?")] = 0;
  if (!ok || strcmp(path, "/drop") == 0) return false;
  if (strcmp(method, "HEAD") == 0 && strcmp(path, "/headless") != 0)
    return give(c, "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n", 39);
  if (strncmp(path, "/echo", 5) == 0) return reply(c, 200, "", c->in, head + body);
  if (sscanf(path, "/bytes/%d", &n) == 1) return bytes_reply(c, (size_t)n);
  if (sscanf(path, "/held/%d", &n) == 1) {
    for (c->peer->held++; c->peer->holding && !c->peer->stopping;) usleep(5000);
    c->peer->held--;
    return bytes_reply(c, (size_t)n);
  }
  if (sscanf(path, "/status/%d", &n) == 1) return reply(c, n, "", "refused", n >= 400 ? 7 : 0);
  if (sscanf(path, "/late/%d", &n) == 1) {
    pause_ms(c, n);
    return reply(c, 200, "", "late", 4);
  }
  if (strcmp(path, "/short") == 0)
    return give(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789", 50) && false;
  if (strcmp(path, "/headless") == 0) return give(c, "HTTP/1.1 200 OK\r\nServer: me\r\nETag: \"a\"\r\n", 39) && false;
  if (strcmp(path, "/stall") == 0) {
    give(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789", 50);
    pause_ms(c, 20000);
    return false;
  }
  if (strcmp(path, "/moved") == 0) return reply(c, 302, "Location: /echo\r\n", "gone", 4);
  if (strcmp(path, "/chunked") == 0) {
    static const char text[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n";
    return give(c, text, sizeof text - 1);
  }
  return reply(c, 404, "", "no such path", 12);
}

static void serve(struct connection *c) {
  for (;;) {
    char *end = NULL;
    while (!(c->have && (end = memmem(c->in, c->have, "\r\n\r\n", 4))))
      if (!more(c)) return;
    size_t head = (size_t)(end - c->in) + 4, body = 0;
    char *length = memmem(c->in, head, "Content-Length: ", 16);
    if (length) body = strtoul(length + 16, NULL, 10);
    while (c->have < head + body)
      if (!more(c)) return;
    c->peer->requests++;
    int now = ++c->peer->at_once;
    if (now > c->peer->most_at_once) c->peer->most_at_once = now;
    bool stay = answer(c, head, body);
    c->peer->at_once--;
    if (!stay) return;
    memmove(c->in, c->in + head + body, c->have - head - body);
    c->have -= head + body;
  }
}

static void *connection_main(void *arg) {
  struct connection *c = arg;
  struct http_peer *p = c->peer;
  if (p->tls) {
    c->ssl = SSL_new(p->tls);
    SSL_set_fd(c->ssl, c->fd);
    if (SSL_accept(c->ssl) == 1) serve(c);
    SSL_free(c->ssl);
  } else {
    serve(c);
  }
  close(c->fd);
  free(c->in);
  free(c);
  p->running--;
  return NULL;
}

static void *listener_main(void *arg) {
  struct http_peer *p = arg;
  while (!p->stopping) {
    struct pollfd waiting = {.fd = p->listener, .events = POLLIN};
    if (poll(&waiting, 1, 20) != 1) continue;
    int fd = accept(p->listener, NULL, NULL);
    if (fd < 0) continue;
    struct connection *c = calloc(1, sizeof *c);
    c->peer = p;
    c->fd = fd;
    p->connections++;
    p->running++;
    pthread_t t;
    assert(pthread_create(&t, NULL, connection_main, c) == 0);
    pthread_detach(t);
  }
  return NULL;
}

/* A certificate for 127.0.0.1 signed by itself. */
static void make_certificate(struct http_peer *p) {
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *x = X509_new();
  X509_set_version(x, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
  X509_gmtime_adj(X509_getm_notBefore(x), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x), 3600);
  X509_set_pubkey(x, key);
  X509_NAME *name = X509_get_subject_name(x);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
  X509_set_issuer_name(x, name);
  X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
  X509_add_ext(x, e, -1);
  X509_EXTENSION_free(e);
  assert(X509_sign(x, key, EVP_sha256()));
  p->tls = SSL_CTX_new(TLS_server_method());
  assert(SSL_CTX_use_certificate(p->tls, x) == 1 && SSL_CTX_use_PrivateKey(p->tls, key) == 1);
  const char *tmp = getenv("TMPDIR");
  snprintf(p->certificate, sizeof p->certificate, "%s/http_peer.XXXXXX", tmp ? tmp : "/tmp");
  FILE *f = fdopen(mkstemp(p->certificate), "w");
  assert(f && PEM_write_X509(f, x) == 1);
  fclose(f);
  X509_free(x);
  EVP_PKEY_free(key);
}

void http_peer_start(struct http_peer *p, bool tls) {
  memset(p, 0, sizeof *p);
  if (tls) make_certificate(p);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t n = sizeof a;
  p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert(bind(p->listener, (struct sockaddr *)&a, n) == 0 && listen(p->listener, 100) == 0);
  assert(getsockname(p->listener, (struct sockaddr *)&a, &n) == 0);
  p->port = ntohs(a.sin_port);
  pthread_t t;
  assert(pthread_create(&t, NULL, listener_main, p) == 0);
  p->thread = t;
}

void http_peer_stop(struct http_peer *p) {
  p->stopping = true;
  pthread_join(p->thread, NULL);
  close(p->listener);
  while (p->running) usleep(1000);
  if (!p->tls) return;
  SSL_CTX_free(p->tls);
  unlink(p->certificate);
}
