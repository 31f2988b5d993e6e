/* The scheduler as a whole: HTTP server, the one thread that owns the state, long polls.
 *
 * A turn of the loop: take all requests that have come, run them and the parked ones whose time it is, write everything
 * to disk in one commit, then reply. Under load the commit is shared by many requests. When the commit fails every
 * request of the turn gets a 503 and the state is read anew from disk.
 */
#pragma once
#include "net/http_server.h"
#include "scheduler/api/api.h"

struct tr_loop_options {
  const char *database; /* path */
  const char *admin_key;
  struct tr_http_server_options server; /* address, port, TLS, threads */
  struct tr_state_options state;
  const char *aws_endpoint, *sts_endpoint; /* NULL = AWS' own; see launch/launch.h */
};

struct tr_loop;
/* Gives a running scheduler. Nothing of the options is kept, except the texts of `server`. */
TR_MUST_USE enum tr_status tr_loop_start(const struct tr_loop_options *options, struct tr_loop **out,
                                         struct tr_error *err);
uint16_t tr_loop_port(const struct tr_loop *l);
/* Answers what waits, writes what is left and ends. NULL is allowed. */
void tr_loop_stop(struct tr_loop *l);
