/* Calls of AWS' control APIs (sts, lambda, ecs, ec2, autoscaling, monitoring), signed and repeated as they must be.
 *
 * A call is a request under a service's name; its answer comes once, on the HTTP thread, whatever happens. What may
 * pass is tried again within the call's deadline: throttling, 5xx and lost connections, waiting twice as long each time
 * and by chance somewhat less. A refusal because of our clock is answered by taking the server's (its Date header): the
 * difference is kept for later calls. Nothing here blocks.
 *
 * Only what is safe to do twice may be asked for, or what carries a token that makes it so: a lost answer is repeated.
 */
#pragma once
#include "base/text.h"
#include "net/aws.h"
#include "net/http.h"

enum tr_aws_result {
  TR_AWS_OK,
  TR_AWS_REFUSED,   /* this call is not right, or not now; asking again at once is in vain */
  TR_AWS_DENIED,    /* whose keys these are may not do this */
  TR_AWS_EXPIRED,   /* the keys are no good any more: get new ones */
  TR_AWS_THROTTLED, /* until the deadline */
  TR_AWS_FAILED,    /* 5xx or no connection, until the deadline; or no memory */
  TR_AWS_CANCELLED  /* the HTTP client was freed */
};

struct tr_aws_answer {
  enum tr_aws_result result;
  int status, attempts; /* HTTP status of the last attempt; 0 = none came */
  char code[80];        /* "ThrottlingException"; of transport failures "Connection", "TLS", "Deadline" */
  char text[600];       /* for people: "ecs RunTask: ClusterNotFoundException: … (400)" */
  uint8_t *body;        /* of a 2xx; to keep it take it and set NULL, tr_mem_free(body, room) */
  size_t bytes, room;
};
/* Called once, on the HTTP thread, or within tr_aws_call_start when nothing could be sent. `answer` is borrowed. */
typedef void (*tr_aws_done)(void *arg, struct tr_aws_answer *answer);

/* Where calls go and what is known of AWS' clock. Lives as long as the HTTP client. */
struct tr_aws_client;
/* `endpoint` (copied) is a URL for all services; NULL = AWS' own. `http` is borrowed. */
TR_MUST_USE enum tr_status tr_aws_client_new(struct tr_http *http, const char *endpoint, struct tr_aws_client **out,
                                             struct tr_error *err);
/* After the HTTP client was freed. NULL is allowed. */
void tr_aws_client_free(struct tr_aws_client *c);
/* How far AWS' clock is ahead of ours, in seconds. */
int64_t tr_aws_client_skew(const struct tr_aws_client *c);

/* Everything is borrowed until tr_aws_call_start has returned. */
struct tr_aws_call {
  const char *service; /* as it signs: "ecs", "monitoring" */
  const char *action;  /* for messages */
  const char *region;
  const struct tr_aws_keys *keys;
  const char *method, *path; /* NULL = POST, "/" */
  const char *content_type;  /* NULL = application/x-www-form-urlencoded */
  const struct tr_http_header *headers;
  int n_headers; /* at most TR_AWS_CALL_HEADERS */
  const char *body;
  size_t body_bytes;
  int64_t deadline_ms; /* for all attempts; 0 = 20 s */
};
enum { TR_AWS_CALL_HEADERS = 4 };

void tr_aws_call_start(struct tr_aws_client *c, const struct tr_aws_call *call, tr_aws_done done, void *arg);

/* Bodies of the query protocol: Action and Version, then parameters. */
void tr_aws_query_begin(struct tr_text *to, const char *action, const char *version);
void tr_aws_query_add(struct tr_text *to, const char *name, const char *value);
void tr_aws_query_add_int(struct tr_text *to, const char *name, int64_t value);

/* What a refusal means, from its status, headers and body; fills result, code and text (of `service` `action`). */
void tr_aws_read_refusal(const struct tr_http_reply *reply, const char *service, const char *action,
                         struct tr_aws_answer *out);
