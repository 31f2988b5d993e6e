/* A small HTTP server for tests, a thread per connection: what it does is told by the path.
 *   /echo          the request's method, headers and body as the reply's body
 *   /bytes/N       N bytes 0, 1, … 250, 0, …
 *   /status/N      an empty reply with that status (a 4xx has the body "refused")
 *   /drop          ends the connection without a word     /short      promises 100 bytes and sends 10
 *   /headless      ends the connection within the headers
 *   /stall         sends half and then nothing            /late/MS    answers after MS milliseconds
 *   /held/N        as /bytes/N, once `holding` is false
 *   /moved         302 to /echo                           /chunked    "hello world" in chunks
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct http_peer {
  int listener, port;
  void *tls;                     /* SSL_CTX, NULL = plain */
  _Atomic int connections;       /* accepted so far */
  _Atomic int requests, running; /* connection threads alive */
  _Atomic int most_at_once, at_once, held;
  _Atomic bool stopping, holding;
  char certificate[200]; /* PEM file of a TLS peer, made for 127.0.0.1 */
  unsigned long thread;
};

void http_peer_start(struct http_peer *p, bool tls);
void http_peer_stop(struct http_peer *p);
