/* Routes, heads and bodies: see api.h. */
#include "scheduler/api/api_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  ADMIN = 1 << TR_WHO_ADMIN,
  USER = 1 << TR_WHO_USER,
  WORKER = 1 << TR_WHO_WORKER,
  SMALL_BODY = 64 << 10,
  LARGE_BODY = 16 << 20,
  BODY_VALUES = 1 << 20, /* JSON values in a body */
  BODY_DEPTH = 64,
  WAIT_MS_MAX = 30000
};

const char *const tr_api_param_names[TR_PARAMS] = {"wait_ms", "seen", "deployment", "account", "limit"};

static const struct tr_api_route routes[] = {
    {"GET", "/healthz", 0, 0, NULL, tr_api_health, NULL},
    {"GET", "/metrics", 0, 0, NULL, tr_api_metrics, NULL},
    {"GET", "/v1/openapi.json", 0, 0, NULL, tr_api_openapi, NULL},
    {"POST", "/v1/accounts", ADMIN, SMALL_BODY, tr_api_named_prepare, tr_api_accounts_add, NULL},
    {"GET", "/v1/accounts", ADMIN, 0, NULL, tr_api_accounts_list, NULL},
    {"POST", "/v1/keys", ADMIN | USER, SMALL_BODY, tr_api_named_prepare, tr_api_keys_add, NULL},
    {"GET", "/v1/keys", ADMIN | USER, 0, NULL, tr_api_keys_list, NULL},
    {"DELETE", "/v1/keys/{id}", ADMIN | USER, 0, NULL, tr_api_keys_revoke, NULL},
    {"POST", "/v1/deployments", USER, SMALL_BODY, tr_api_named_prepare, tr_api_deployments_add, NULL},
    {"GET", "/v1/deployments", USER, 0, NULL, tr_api_deployments_list, NULL},
    {"GET", "/v1/deployments/{id}", USER, 0, NULL, tr_api_deployments_get, NULL},
    {"PUT", "/v1/deployments/{id}/aws", USER, SMALL_BODY, tr_api_aws_prepare, tr_api_aws_put, NULL},
    {"GET", "/v1/deployments/{id}/aws", USER, 0, NULL, tr_api_aws_get, NULL},
    {"DELETE", "/v1/deployments/{id}/aws", USER, 0, NULL, tr_api_aws_drop, NULL},
    {"GET", "/v1/deployments/{id}/health", USER, 0, NULL, tr_api_deployment_health, NULL},
    {"DELETE", "/v1/deployments/{id}", USER, 0, NULL, tr_api_deployments_drop, NULL},
    {"POST", "/v1/queries", USER, LARGE_BODY, tr_api_query_prepare, tr_api_queries_add, NULL},
    {"GET", "/v1/queries", USER, 0, NULL, tr_api_queries_list, NULL},
    {"GET", "/v1/queries/{id}", USER, 0, NULL, tr_api_query_get, tr_api_query_get_wake},
    {"DELETE", "/v1/queries/{id}", USER, 0, NULL, tr_api_query_cancel, NULL},
    {"GET", "/v1/queries/{id}/plan", WORKER, 0, NULL, tr_api_query_plan, NULL},
    {"POST", "/v1/lease", WORKER, LARGE_BODY, tr_api_lease_prepare, tr_api_lease, tr_api_lease_wake},
    {"GET", "/v1/workers/challenge", 0, 0, NULL, tr_api_challenge, NULL},
    {"POST", "/v1/workers/identity", 0, SMALL_BODY, tr_api_identity_prepare, tr_api_identity, tr_api_identity_wake},
    {"GET", "/v1/workers", USER | WORKER, 0, NULL, tr_api_workers_list, NULL},
    {"DELETE", "/v1/workers/{id}", USER | WORKER, 0, NULL, tr_api_workers_drain, NULL},
    {"GET", "/v1/capacity", USER | WORKER, 0, NULL, tr_api_capacity, NULL},
    {"GET", "/v1/usage", ADMIN | USER, 0, NULL, tr_api_usage, NULL},
};
enum { N_ROUTES = sizeof routes / sizeof *routes };

bool tr_api_answer(struct tr_api_call *call, int status) {
  call->status = status;
  if (!call->type) call->type = "application/json";
  return true;
}

bool tr_api_refuse(struct tr_api_call *call) { return tr_api_answer(call, call->fault.status); }

/* Whether the path is the route's; takes the id out of it. */
static bool path_is(const char *pattern, const char *path, char *id, size_t room) {
  const char *brace = strchr(pattern, '{');
  if (!brace) return strcmp(pattern, path) == 0;
  size_t before = (size_t)(brace - pattern);
  const char *after = brace + strlen("{id}");
  if (strncmp(pattern, path, before) != 0) return false;
  size_t n = strcspn(path + before, "/");
  if (n == 0 || n >= room || strcmp(path + before + n, after) != 0) return false;
  memcpy(id, path + before, n);
  id[n] = 0;
  return true;
}

static bool find_route(const struct tr_api_head *head, struct tr_api_call *call) {
  char allowed[100] = "";
  for (int i = 0; i < N_ROUTES; i++) {
    char id[sizeof call->id] = "";
    if (!path_is(routes[i].path, head->path, id, sizeof id)) continue;
    const char *method = strcmp(head->method, "HEAD") == 0 ? "GET" : head->method;
    if (strcmp(routes[i].method, method) == 0) {
      call->route = &routes[i];
      memcpy(call->id, id, sizeof id);
      if (!*id || tr_text_keeps(id, TR_RULE_NAME, sizeof id)) return true;
      return tr_fault_set(&call->fault, 400, "invalid_id", "the id in the path has a character that no id has");
    }
    size_t n = strlen(allowed);
    snprintf(allowed + n, sizeof allowed - n, "%s%s", n ? ", " : "", routes[i].method);
  }
  if (*allowed) return tr_fault_set(&call->fault, 405, "method", "this path has %s only", allowed);
  return tr_fault_set(&call->fault, 404, "no_path", "there is no such path; /v1/openapi.json lists them");
}

static bool check_version(const struct tr_api_head *head, struct tr_api_call *call) {
  if (!head->version) return true;
  char *end;
  long theirs = strtol(head->version, &end, 10);
  if (*end || end == head->version)
    return tr_fault_set(&call->fault, 400, "invalid_version", "the header Terality-Version is no number");
  if (theirs < 1 || theirs < TR_API_VERSION - 1)
    return tr_fault_set(&call->fault, 426, "client_too_old",
                        "this scheduler speaks version %d of its API, the client version %ld: upgrade terality there",
                        TR_API_VERSION, theirs);
  if (theirs > TR_API_VERSION + 1)
    return tr_fault_set(&call->fault, 426, "scheduler_too_old",
                        "the client speaks version %ld of the API, this scheduler version %d: upgrade the scheduler",
                        theirs, TR_API_VERSION);
  return true;
}

static const char *needed(unsigned who) {
  if (who == ADMIN) return "the admin key";
  if (who == WORKER) return "a worker token";
  if (who == USER) return "an API key";
  return who == (USER | WORKER) ? "an API key or a worker token" : "an API key or the admin key";
}

static bool check_who(struct tr_auth *auth, const struct tr_api_head *head, struct tr_api_call *call) {
  unsigned who = call->route->who;
  if (!who) return true;
  if (!head->authorization)
    return tr_fault_set(&call->fault, 401, "no_key", "the header Authorization is missing: Bearer and %s", needed(who));
  if (strncmp(head->authorization, "Bearer ", 7) != 0)
    return tr_fault_set(&call->fault, 401, "no_key", "the header Authorization is not of the form: Bearer KEY");
  call->who = tr_auth_find(auth, head->authorization + 7);
  if (call->who.kind == TR_WHO_NOBODY) return tr_fault_set(&call->fault, 401, "wrong_key", "nobody has this key");
  if (call->who.kind == TR_WHO_REVOKED) return tr_fault_set(&call->fault, 401, "revoked_key", "this key was revoked");
  if (who >> call->who.kind & 1) return true;
  return tr_fault_set(&call->fault, 403, "wrong_kind", "%s is needed here", needed(who));
}

static bool number_param(struct tr_api_call *call, const struct tr_api_head *head, enum tr_api_param param,
                         int64_t most, int64_t *out) {
  const char *s = head->params[param];
  if (!s) return true;
  char *end;
  long long v = strtoll(s, &end, 10);
  if (*end || end == s || v < 0 || v > most)
    return tr_fault_set(&call->fault, 400, "invalid_parameter", "%s is no number from 0 to %lld",
                        tr_api_param_names[param], (long long)most);
  *out = v;
  return true;
}

static bool text_param(struct tr_api_call *call, const struct tr_api_head *head, enum tr_api_param param) {
  const char *s = head->params[param];
  if (!s) return true;
  if (!tr_text_keeps(s, TR_RULE_NAME, 64))
    return tr_fault_set(&call->fault, 400, "invalid_parameter", "%s is no name", tr_api_param_names[param]);
  memcpy(call->text_params[param - TR_PARAM_DEPLOYMENT], s, strlen(s) + 1);
  return true;
}

int64_t tr_api_admit(struct tr_auth *auth, const struct tr_api_head *head, struct tr_api_call *call) {
  *call = (struct tr_api_call){.seen = -1, .limit = 100};
  bool ok = find_route(head, call) && check_version(head, call) && check_who(auth, head, call) &&
            number_param(call, head, TR_PARAM_WAIT_MS, WAIT_MS_MAX, &call->wait_ms) &&
            number_param(call, head, TR_PARAM_SEEN, INT64_MAX / 2, &call->seen) &&
            number_param(call, head, TR_PARAM_LIMIT, 1000, &call->limit) &&
            text_param(call, head, TR_PARAM_DEPLOYMENT) && text_param(call, head, TR_PARAM_ACCOUNT);
  if (!ok) tr_api_refuse(call);
  return ok ? call->route->body : 0;
}

/* Whether a text is small enough to be parsed: a short body can hold millions of empty lists. */
static bool check_json_size(struct tr_api_call *call, const char *s, size_t n) {
  int64_t values = 1, depth = 0;
  bool inside = false;
  for (size_t i = 0; i < n; i++) {
    char c = s[i];
    if (inside) {
      if (c == '\\') i++;
      else if (c == '"') inside = false;
      continue;
    }
    if (c == '"') inside = true;
    else if (c == '[' || c == '{') values++, depth++;
    else if (c == ']' || c == '}') depth--;
    else if (c == ',' || c == ':') values++;
    if (depth > BODY_DEPTH)
      return tr_fault_set(&call->fault, 400, "invalid_body", "the body is more than %d deep", BODY_DEPTH);
    if (values > BODY_VALUES)
      return tr_fault_set(&call->fault, 400, "invalid_body", "the body has more than %d values", BODY_VALUES);
  }
  return true;
}

static bool read_body(struct tr_api_call *call, const char *body, size_t n) {
  json_error_t fault;
  if (!check_json_size(call, body, n)) return false;
  call->body = json_loadb(body, n, JSON_REJECT_DUPLICATES, &fault);
  if (call->body) return true;
  return tr_fault_set(&call->fault, 400, "invalid_json", "the body is no JSON: line %d, column %d", fault.line,
                      fault.column);
}

void tr_api_prepare(struct tr_api_call *call, const char *body, size_t n) {
  bool ok = true;
  if (call->route->body) ok = read_body(call, body, n) && call->route->prepare(call);
  if (!ok) tr_api_refuse(call);
}

bool tr_api_run(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  if (call->route->run(s, call, at, last)) return true;
  call->polled = true;
  return false;
}

int64_t tr_api_wake(const struct tr_state *s, const struct tr_api_call *call) {
  int64_t end = call->arrived + call->wait_ms, wake = call->route->wake ? call->route->wake(s, call) : 0;
  return wake < end ? wake : end;
}

void tr_api_finish(struct tr_api_call *call, const char *request_id) {
  if (!call->fault.status && tr_text_check(&call->reply, NULL) == TR_OK) return;
  if (!call->fault.status) tr_fault_set(&call->fault, 503, "no_memory", "the scheduler has no memory left; try again");
  call->status = call->fault.status;
  call->type = "application/json";
  tr_text_free(&call->reply);
  tr_text_add_str(&call->reply, "{\"error\":{\"code\":");
  tr_text_add_json(&call->reply, call->fault.code);
  tr_text_add_str(&call->reply, ",\"message\":");
  tr_text_add_json(&call->reply, call->fault.text);
  tr_text_add_format(&call->reply, ",\"request_id\":\"%s\"}}", request_id);
}

void tr_api_call_drop(struct tr_api_call *call) {
  json_decref(call->body);
  tr_aws_record_free(call->aws);
  tr_arena_free(&call->query.arena);
  tr_arena_free(&call->lease.arena);
  free(call->query.plan);
  tr_text_free(&call->lease.stop);
  tr_text_free(&call->reply);
  *call = (struct tr_api_call){0};
}
