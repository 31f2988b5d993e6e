/* The HTTP API without HTTP: from method, path, headers and body to a status and a JSON text.
 *
 * A call is made in three steps. tr_api_admit looks at the head: which route, who asks, what version, how large a body
 * may be. tr_api_prepare reads the body and, for a query, cuts it into stages; it needs no state and so runs on a
 * server thread. tr_api_run does what is asked; it runs on the one thread that owns the state, and may park the call: a
 * long poll, to be run again when something has happened or its time is over. A step that refuses fills the reply;
 * nothing has changed then.
 *
 * docs/openapi.json describes every route; tests hold what the server says against it.
 */
#pragma once
#include "scheduler/state/state.h"
#include <jansson.h>

/* Of the API. A neighbour of this version is served too, anything else is refused with 426. */
#define TR_API_VERSION 1

enum tr_api_param { TR_PARAM_WAIT_MS, TR_PARAM_SEEN, TR_PARAM_DEPLOYMENT, TR_PARAM_ACCOUNT, TR_PARAM_LIMIT, TR_PARAMS };
extern const char *const tr_api_param_names[TR_PARAMS];

struct tr_api_route;

/* What POST /v1/queries brought. */
struct tr_api_query {
  struct tr_arena arena;
  struct tr_spec spec;
  char *plan; /* JSON text */
  const char *deployment, *manifest;
};

/* What POST /v1/lease brought; points into the body. */
struct tr_api_lease {
  const char *worker, *kind, *instance;
  int32_t cores, want, n_running, n_reports;
  int64_t memory;
  const char **running;
  struct tr_report *reports;
  struct tr_arena arena;
  bool applied; /* reports and renewals are done; what is left is to wait for tasks */
  struct tr_text stop;
};

/* What POST /v1/workers/identity brought; points into the body. */
struct tr_api_identity {
  const char *deployment;
  struct tr_proof proof;
  char names[TR_PROOF_HEADERS][32]; /* of the headers */
  int64_t ticket;                   /* 0 = STS was not asked yet */
};

struct tr_api_call {
  const struct tr_api_route *route;
  struct tr_identity who;
  char id[TR_ID_BYTES + 48]; /* of the path */
  char text_params[2][65];   /* deployment, account */
  int64_t wait_ms, seen, limit;
  int64_t arrived; /* monotonic ms */
  bool polled;     /* it has been parked */
  json_t *body;
  struct tr_api_query query;
  struct tr_api_lease lease;
  struct tr_api_identity identity;
  struct tr_aws_record *aws; /* what PUT /v1/deployments/{id}/aws brought */
  /* The reply: status 0 while there is none. */
  struct tr_fault fault;
  int status;
  const char *type;
  struct tr_text reply;
};

struct tr_api_head {
  const char *method, *path, *authorization, *version;
  const char *params[TR_PARAMS]; /* NULL = absent */
};

/* How the request's head looks. Gives the most bytes of body; when it fills the reply, the rest does not matter. */
int64_t tr_api_admit(struct tr_auth *auth, const struct tr_api_head *head, struct tr_api_call *call);
void tr_api_prepare(struct tr_api_call *call, const char *body, size_t n);
/* False: parked. With `last` it is answered in any case. */
bool tr_api_run(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
/* When a parked call is to be run again, as things stand: 0 = now. */
int64_t tr_api_wake(const struct tr_state *s, const struct tr_api_call *call);
/* Turns the fault (if any) into the reply's text. */
void tr_api_finish(struct tr_api_call *call, const char *request_id);
void tr_api_call_drop(struct tr_api_call *call);
