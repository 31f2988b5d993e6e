/* A deployment's settings on AWS, its health, and how workers prove who they are. */
#include "scheduler/api/api_int.h"
#include "scheduler/launch/launch.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { MAX_HEADER = 8192, MAX_URL = 300, STS_WAIT_MS = 15000 };

/* The deployment of the path, of who asks; NULL with a fault. */
static struct tr_deployment *named(struct tr_state *s, struct tr_api_call *call) {
  const struct tr_account *a = tr_api_account(s, call);
  struct tr_deployment *d = a ? tr_deployment_find(s, a, call->id) : NULL;
  if (a && !d) tr_fault_set(&call->fault, 404, "no_deployment", "no deployment %s in this account", call->id);
  return d;
}

/* The record takes the body: nothing else refers to its texts from then on. */
bool tr_api_aws_prepare(struct tr_api_call *call) {
  call->aws = tr_aws_record_read(call->body, &call->fault);
  json_decref(call->body);
  call->body = NULL;
  return call->aws != NULL;
}

bool tr_api_aws_put(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  (void)at, (void)last;
  struct tr_deployment *d = named(s, call);
  struct tr_aws_record *record = call->aws;
  if (!d) return tr_api_refuse(call);
  call->aws = NULL;
  if (!tr_deployment_set_aws(s, d, record, &call->fault)) return tr_api_refuse(call);
  tr_aws_record_print(d->aws, &call->reply);
  return tr_api_answer(call, 200);
}

bool tr_api_aws_get(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  (void)at, (void)last;
  struct tr_deployment *d = named(s, call);
  if (d && !d->aws) tr_fault_set(&call->fault, 404, "no_aws", "deployment %s has no settings on AWS", d->name);
  if (!d || !d->aws) return tr_api_refuse(call);
  tr_aws_record_print(d->aws, &call->reply);
  return tr_api_answer(call, 200);
}

bool tr_api_aws_drop(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  (void)at, (void)last;
  struct tr_deployment *d = named(s, call);
  if (d && !d->aws) tr_fault_set(&call->fault, 404, "no_aws", "deployment %s has no settings on AWS", d->name);
  if (!d || !d->aws || !tr_deployment_set_aws(s, d, NULL, &call->fault)) return tr_api_refuse(call);
  tr_text_add_str(&call->reply, "{}");
  return tr_api_answer(call, 200);
}

bool tr_api_deployment_health(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  (void)last;
  const struct tr_deployment *d = named(s, call);
  if (!d) return tr_api_refuse(call);
  tr_launch_print_health(s->launch, s, d, at, &call->reply);
  return tr_api_answer(call, 200);
}

/* A deployment by its id, for whoever has no key yet: there must be something to prove oneself for. */
static const struct tr_deployment *provable(const struct tr_state *s, struct tr_api_call *call, const char *id) {
  const struct tr_deployment *d = tr_name_map_get(&s->deployments, id);
  if (d && d->aws) return d;
  tr_fault_set(&call->fault, 404, "no_deployment", "no deployment %s with settings on AWS", id);
  return NULL;
}

bool tr_api_challenge(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  char nonce[TR_NONCE_TEXT_BYTES];
  (void)last;
  const struct tr_deployment *d = NULL;
  if (!*call->text_params[0]) tr_fault_set(&call->fault, 400, "invalid_parameter", "deployment is missing");
  else d = provable(s, call, call->text_params[0]);
  if (d && tr_nonce_new(s->secrets.key, d->id, at.wall / 1000, nonce, NULL) != TR_OK) {
    tr_fault_set(&call->fault, 503, "no_memory", "no nonce could be made; try again");
    d = NULL;
  }
  if (!d) return tr_api_refuse(call);
  tr_text_add_format(&call->reply, "{\"server_id\":\"%s\",\"nonce\":\"%s\",\"expires_s\":%d}", s->secrets.id, nonce,
                     TR_NONCE_SECONDS);
  return tr_api_answer(call, 200);
}

/* Names in lower case, where they stand: the body is the call's own. */
static bool read_headers(struct tr_api_call *call, const json_t *o) {
  struct tr_api_identity *in = &call->identity;
  const char *name;
  json_t *value;
  if (!json_is_object(o)) return tr_fault_set(&call->fault, 400, "invalid_body", "headers is no JSON object");
  if (json_object_size(o) > TR_PROOF_HEADERS)
    return tr_fault_set(&call->fault, 400, "invalid_body", "more than %d headers", TR_PROOF_HEADERS);
  json_object_foreach((json_t *)o, name, value) {
    size_t n = strlen(name);
    const char *text = json_string_value(value);
    char *lower = in->names[in->proof.n];
    if (!n || n >= sizeof in->names[0] || !text || strlen(text) > MAX_HEADER)
      return tr_fault_set(&call->fault, 400, "invalid_body", "headers: %.40s is no header", name);
    for (const char *c = text; *c; c++)
      if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
        return tr_fault_set(&call->fault, 400, "invalid_body", "headers: %.40s has a character that no header has",
                            name);
    for (size_t i = 0; i <= n; i++) lower[i] = (char)tolower((unsigned char)name[i]);
    for (int i = 0; i < in->proof.n; i++)
      if (strcmp(in->proof.headers[i].name, lower) == 0)
        return tr_fault_set(&call->fault, 400, "invalid_body", "headers: %.40s is there twice", name);
    in->proof.headers[in->proof.n].name = lower;
    in->proof.headers[in->proof.n++].value = text;
  }
  return true;
}

bool tr_api_identity_prepare(struct tr_api_call *call) {
  struct tr_fields f;
  const json_t *headers = NULL;
  call->wait_ms = STS_WAIT_MS;
  return tr_fields_begin(&f, call->body, "the body", &call->fault) &&
         tr_fields_text(&f, "deployment", false, TR_RULE_ID, TR_ID_BYTES - 1, &call->identity.deployment) &&
         tr_fields_text(&f, "url", false, TR_RULE_ANY, MAX_URL, &call->identity.proof.url) &&
         tr_fields_any(&f, "headers", false, &headers) && tr_fields_end(&f) && read_headers(call, headers);
}

int64_t tr_api_identity_wake(const struct tr_state *s, const struct tr_api_call *call) {
  return !call->identity.ticket || tr_launch_sts_ready(s->launch, call->identity.ticket) ? 0 : INT64_MAX;
}

/* What the proof must be for is looked at before and after STS is asked: settings may change meanwhile. */
static bool answer_proof(struct tr_state *s, struct tr_api_call *call, const struct tr_deployment *d,
                         const struct tr_sts_answer *who, struct tr_clock at) {
  char token[TR_WORKER_TOKEN_BYTES];
  struct tr_worker_token t = {.expires_s = at.wall / 1000 + TR_WORKER_TOKEN_SECONDS};
  if (!who->known) {
    call->fault = who->fault;
    return false;
  }
  if (strcmp(who->account, d->aws->account) != 0)
    return tr_fault_set(&call->fault, 403, "identity_refused", "the role is one of account %s, not of %s",
                        who->account, d->aws->account);
  if (!tr_aws_record_has_role(d->aws, who->role))
    return tr_fault_set(&call->fault, 403, "identity_refused", "%s is no role of this deployment's workers", who->role);
  memcpy(t.deployment, d->id, sizeof t.deployment);
  memcpy(t.role, who->role, sizeof t.role);
  if (tr_worker_token_new(s->secrets.key, &t, token, NULL) != TR_OK)
    return tr_fault_set(&call->fault, 503, "no_memory", "no token could be made; try again");
  tr_text_add_format(&call->reply, "{\"token\":\"%s\",\"expires_s\":%d}", token, TR_WORKER_TOKEN_SECONDS);
  return true;
}

bool tr_api_identity(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  struct tr_api_identity *in = &call->identity;
  struct tr_sts_answer who;
  const struct tr_deployment *d = provable(s, call, in->deployment);
  if (!d) return tr_api_refuse(call);
  if (!in->ticket) {
    const struct tr_proof_rules rules = {&s->secrets, d->id, d->aws->region, tr_launch_sts_endpoint(s->launch),
                                         at.wall / 1000};
    if (!tr_proof_check(&in->proof, &rules, &call->fault) ||
        !(in->ticket = tr_launch_ask_sts(s->launch, &in->proof, at, &call->fault)))
      return tr_api_refuse(call);
  }
  if (!tr_launch_take_sts(s->launch, in->ticket, &who)) {
    if (!last && call->arrived + call->wait_ms > at.now) return false;
    tr_fault_set(&call->fault, 503, "sts_unavailable", "STS has not answered in time");
    return tr_api_refuse(call);
  }
  return answer_proof(s, call, d, &who, at) ? tr_api_answer(call, 200) : tr_api_refuse(call);
}
