/* Inside of the HTTP client: the client, and a request on its way. */
#pragma once
#include "net/http.h"
#include <curl/curl.h>
#include <pthread.h>

enum { TR_HTTP_IDLE_HANDLES = 64 };

struct tr_http {
  pthread_mutex_t lock; /* queue, running, stopping */
  pthread_mutex_t work; /* held while the loop is inside libcurl, so that fork finds it outside */
  int max_connections;
  char *ca_file;
  struct tr_http_flight *queue_head, *queue_tail; /* submitted, not yet taken by the loop */
  bool running, stopping;
  _Atomic bool cancels; /* some flight wants to be cancelled */
  _Atomic bool renews;  /* connections are to be given up as soon as none is in use */
  pthread_t thread;
  CURLM *multi;
  struct tr_http_flight *active, *waiting; /* the loop's own: in libcurl; timers */
  CURL *idle[TR_HTTP_IDLE_HANDLES];
  int n_idle;
  struct tr_http *next; /* list of all clients, for fork */
};

struct tr_http_flight {
  _Atomic int refs;
  _Atomic bool cancelled;
  struct tr_http *client;
  struct tr_http_flight *next, **prev; /* queue (next only) or active list */
  tr_http_done done;
  void *arg;
  char *method, *url, *user_agent;
  struct curl_slist *headers;
  struct tr_http_request request; /* its strings are the copies above */
  int64_t submitted_us;
  int64_t due_us;            /* a timer: when it rings; else 0 */
  struct tr_http_part *into; /* request.n_into of them, malloc'ed */
  int at_part;               /* the one that is being filled */
  size_t at_byte;
  CURL *easy;
  char curl_text[CURL_ERROR_SIZE];
  bool headers_whole;       /* the empty line behind them has come */
  enum tr_http_fault fault; /* found by a callback of libcurl */
  struct tr_http_reply reply;
  enum tr_status status;
  struct tr_error error;
};

int64_t tr_http_now_us(void);
/* Checks and copies a request; the flight has one reference. */
TR_MUST_USE enum tr_status tr_http_flight_new(struct tr_http *client, const struct tr_http_request *request,
                                              struct tr_http_flight **out, struct tr_error *err);
/* A flight that only waits. */
TR_MUST_USE enum tr_status tr_http_timer_new(struct tr_http *client, int64_t delay_ms, struct tr_http_flight **out,
                                             struct tr_error *err);
/* Makes libcurl's handle ready to send. False when libcurl has no memory. */
bool tr_http_flight_prepare(struct tr_http_flight *f);
/* Fills status, error and reply from how libcurl ended. */
void tr_http_flight_settle(struct tr_http_flight *f, CURLcode code);
/* Ends a flight that libcurl has not, for a reason of ours. */
void tr_http_flight_fail(struct tr_http_flight *f, enum tr_http_fault fault, const char *why);
