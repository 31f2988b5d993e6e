/* Between the files of the API: routes, reading of bodies, handlers. */
#pragma once
#include "base/json_text.h"
#include "scheduler/api/api.h"
#include "scheduler/fields.h"

struct tr_api_route {
  const char *method, *path;                 /* one "{id}" at most */
  unsigned who;                              /* bits 1 << enum tr_identity_kind; 0 = everybody */
  int64_t body;                              /* most bytes; 0 = none taken */
  bool (*prepare)(struct tr_api_call *call); /* false with a fault */
  bool (*run)(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last); /* false: parked */
  int64_t (*wake)(const struct tr_state *s,
                  const struct tr_api_call *call); /* when to run it again; NULL: never parked */
};

/* Answers: status and type; the text is written to call->reply. Returns true. */
bool tr_api_answer(struct tr_api_call *call, int status);
/* Answers with call->fault. Returns true. */
bool tr_api_refuse(struct tr_api_call *call);
/* The account of who asks; NULL with a fault (an account that is gone). */
struct tr_account *tr_api_account(struct tr_state *s, struct tr_api_call *call);

bool tr_api_named_prepare(struct tr_api_call *call); /* {"name"[, "account"]} */
bool tr_api_accounts_add(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
bool tr_api_accounts_list(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
bool tr_api_keys_add(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
bool tr_api_keys_list(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
bool tr_api_keys_revoke(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
bool tr_api_deployments_add(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
bool tr_api_deployments_list(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
bool tr_api_deployments_drop(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
bool tr_api_usage(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);

bool tr_api_deployments_get(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);

bool tr_api_aws_prepare(struct tr_api_call *call);
bool tr_api_aws_put(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
bool tr_api_aws_get(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
bool tr_api_aws_drop(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
bool tr_api_deployment_health(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
bool tr_api_challenge(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
bool tr_api_identity_prepare(struct tr_api_call *call);
bool tr_api_identity(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
int64_t tr_api_identity_wake(const struct tr_state *s, const struct tr_api_call *call);

bool tr_api_query_prepare(struct tr_api_call *call);
bool tr_api_queries_add(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
bool tr_api_queries_list(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
bool tr_api_query_get(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
int64_t tr_api_query_get_wake(const struct tr_state *s, const struct tr_api_call *call);
bool tr_api_query_cancel(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
bool tr_api_query_plan(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);

bool tr_api_lease_prepare(struct tr_api_call *call);
bool tr_api_lease(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
int64_t tr_api_lease_wake(const struct tr_state *s, const struct tr_api_call *call);
bool tr_api_workers_list(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
bool tr_api_workers_drain(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
bool tr_api_capacity(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);

bool tr_api_health(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
bool tr_api_metrics(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
bool tr_api_openapi(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last);
