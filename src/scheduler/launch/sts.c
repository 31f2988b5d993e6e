/* Proofs of identity on their way to STS and back: see identity.h for what they are. A redirect is not followed (it
 * would lead wherever somebody wants), nothing of the reply but who it names is used, and few are under way at a time,
 * because anybody may ask. */
#include "scheduler/launch/launch_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AT_A_TIME = 64, KEPT_MS = 60000, DEADLINE_MS = 10000, REPLY_BYTES = 64 << 10 };

struct launch_sts {
  struct launch_sts *next;
  int64_t ticket, asked;
  bool ready;
  struct tr_sts_answer answer;
};

const char *tr_launch_sts_endpoint(const struct tr_launch *l) { return l ? l->sts_endpoint : NULL; }

static struct launch_sts *find(const struct tr_launch *l, int64_t ticket) {
  for (struct launch_sts *x = l ? l->sts : NULL; x; x = x->next)
    if (x->ticket == ticket) return x;
  return NULL;
}

bool tr_launch_sts_ready(const struct tr_launch *l, int64_t ticket) {
  const struct launch_sts *x = find(l, ticket);
  return !x || x->ready;
}

static void drop(struct tr_launch *l, struct launch_sts *x) {
  struct launch_sts **at = &l->sts;
  while (*at != x) at = &(*at)->next;
  *at = x->next;
  free(x);
}

bool tr_launch_take_sts(struct tr_launch *l, int64_t ticket, struct tr_sts_answer *out) {
  struct launch_sts *x = find(l, ticket);
  if (!x || !x->ready) return false;
  *out = x->answer;
  drop(l, x);
  return true;
}

void launch_sts_free_all(struct tr_launch *l) {
  while (l->sts) drop(l, l->sts);
}

/* Answers that nobody fetched: their askers have gone. */
void launch_sts_tick(struct tr_launch *l, struct tr_clock at) {
  for (struct launch_sts *x = l->sts, *next; x; x = next) {
    next = x->next;
    if (x->ready && x->asked + KEPT_MS < at.now) drop(l, x);
  }
}

static void apply_reply(struct tr_launch *l, struct launch_deployment *d, struct launch_call *c, struct tr_state *s,
                        struct tr_clock at) {
  struct launch_sts *x = find(l, c->changes);
  (void)d, (void)s, (void)at;
  if (!x) return;
  const struct tr_aws_answer *a = &c->answer;
  struct tr_sts_answer *to = &x->answer;
  x->ready = true;
  if (a->result == TR_AWS_OK) to->known = tr_proof_read_reply(a->body, a->bytes, to->account, to->role, &to->fault);
  else if (a->status >= 300 && a->status < 400)
    tr_fault_set(&to->fault, 403, "identity_refused", "STS answered with a redirect (%d)", a->status);
  else if (a->status >= 400 && a->status < 500 && a->result != TR_AWS_THROTTLED)
    tr_fault_set(&to->fault, 403, "identity_refused", "STS refused the proof: %s", a->code);
  else tr_fault_set(&to->fault, 503, "sts_unavailable", "STS could not be asked: %.300s", a->text);
  l->counters.sts_refused += !to->known && to->fault.status == 403;
}

/* On the HTTP thread: a reply becomes an answer like those of calls. */
static void on_reply(void *arg, enum tr_status status, struct tr_http_reply *reply, const struct tr_error *err) {
  struct tr_aws_answer a = {.result = TR_AWS_FAILED, .status = reply->status};
  if (status != TR_OK) {
    a.status = 0;
    snprintf(a.code, sizeof a.code, "Connection");
    snprintf(a.text, sizeof a.text, "%.500s", err->text);
  } else if (reply->status == 200) {
    a.result = TR_AWS_OK;
    a.body = reply->body;
    a.bytes = reply->body_bytes;
    a.room = reply->body_room;
    reply->body = NULL;
    reply->body_bytes = reply->body_room = 0;
  } else {
    tr_aws_read_refusal(reply, "sts", "GetCallerIdentity", &a);
  }
  launch_call_done(arg, &a);
}

int64_t tr_launch_ask_sts(struct tr_launch *l, const struct tr_proof *p, struct tr_clock at, struct tr_fault *fault) {
  struct tr_http_header headers[TR_PROOF_HEADERS];
  struct tr_error err;
  int n = 0;
  if (!l) {
    tr_fault_set(fault, 503, "sts_unavailable", "this scheduler does not talk to AWS");
    return 0;
  }
  for (const struct launch_sts *x = l->sts; x; x = x->next) n += !x->ready;
  if (n >= AT_A_TIME) {
    tr_fault_set(fault, 429, "limit", "%d proofs are being checked; try again", n);
    return 0;
  }
  struct launch_sts *x = calloc(1, sizeof *x);
  struct launch_call *c = calloc(1, sizeof *c);
  for (int i = 0; i < p->n; i++) headers[i] = (struct tr_http_header){p->headers[i].name, p->headers[i].value};
  const struct tr_http_request request = {.method = "POST",
                                          .url = p->url,
                                          .headers = headers,
                                          .n_headers = p->n,
                                          .body = TR_STS_BODY,
                                          .body_bytes = sizeof TR_STS_BODY - 1,
                                          .max_bytes = REPLY_BYTES,
                                          .deadline_ms = DEADLINE_MS};
  if (c) *c = (struct launch_call){.l = l, .apply = apply_reply, .changes = l->tickets + 1};
  if (!x || !c || tr_http_submit(l->http, &request, on_reply, c, NULL, &err) != TR_OK) {
    free(x);
    free(c);
    tr_fault_set(fault, 503, "sts_unavailable", "STS could not be asked");
    return 0;
  }
  *x = (struct launch_sts){.next = l->sts, .ticket = ++l->tickets, .asked = at.now};
  l->sts = x;
  l->counters.sts_asked++;
  return x->ticket;
}
