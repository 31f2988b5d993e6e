/* Functions: an asynchronous Invoke is a wake-up call and says nothing but that. Whom it woke shows when it asks for
 * work; AWS has no call that tells. */
#include "scheduler/launch/launch_int.h"
#include <stdio.h>
#include <string.h>

static void note_unseen(struct launch_kind *k, int32_t n, int64_t at) {
  /* Those of the same second are one batch; when all are in use the last one takes them. */
  struct launch_batch *last = k->n_unseen ? &k->unseen[k->n_unseen - 1] : NULL;
  if (!last || (last->at + 1000 < at && k->n_unseen < LAUNCH_BATCHES)) {
    last = &k->unseen[k->n_unseen++];
    *last = (struct launch_batch){.at = at};
  }
  last->n += n;
}

static void apply_invoke(struct tr_launch *l, struct launch_deployment *d, struct launch_call *c, struct tr_state *s,
                         struct tr_clock at) {
  struct launch_kind *k = &d->kinds[c->kind];
  (void)s;
  k->calls--;
  k->asking--;
  launch_note_answer(d, &c->answer);
  if (c->answer.result == TR_AWS_OK) {
    note_unseen(k, 1, at.now);
    launch_kind_worked(l, d, k, 1);
  } else {
    launch_kind_failed(l, d, k, 1, &c->answer, at);
  }
}

static void invoke(struct tr_launch *l, struct launch_deployment *d, struct launch_kind *k,
                   const struct tr_aws_record *r) {
  static const struct tr_http_header headers[] = {{"x-amz-invocation-type", "Event"}};
  static const char body[] = "{\"wake\":1}";
  char path[140];
  struct launch_call *c = launch_call_new(l, d, apply_invoke);
  k->waiting--;
  if (!c) return;
  snprintf(path, sizeof path, "/2015-03-31/functions/%s/invocations", r->functions[k->function].name);
  struct tr_aws_call call = {.path = path,
                             .content_type = "application/json",
                             .headers = headers,
                             .n_headers = 1,
                             .body = body,
                             .body_bytes = sizeof body - 1};
  c->kind = (int32_t)(k - d->kinds);
  c->n = 1;
  k->calls++;
  k->asking++;
  launch_call_send(c, d, r, "lambda", "Invoke", &call);
}

/* Whom nobody has seen in all that time has failed, though the call went well. */
static void give_up_unseen(struct tr_launch *l, struct launch_deployment *d, struct launch_kind *k,
                           struct tr_clock at) {
  int32_t n = 0, kept = 0;
  for (int i = 0; i < k->n_unseen; i++) {
    if (k->unseen[i].n && k->unseen[i].at + LAUNCH_UNSEEN_MS > at.now) k->unseen[kept++] = k->unseen[i];
    else n += k->unseen[i].n;
  }
  k->n_unseen = kept;
  if (!n) return;
  struct tr_aws_answer a = {.result = TR_AWS_REFUSED, .code = "NeverSeen"};
  snprintf(a.text, sizeof a.text,
           "%d invocations were accepted and no worker of theirs has asked for work: see the function's log", n);
  launch_kind_failed(l, d, k, n, &a, at);
}

void launch_lambda_step(struct tr_launch *l, struct launch_deployment *d, struct launch_kind *k,
                        const struct tr_aws_record *r, struct tr_clock at) {
  give_up_unseen(l, d, k, at);
  while (k->waiting > 0 && k->calls < LAUNCH_CALLS) invoke(l, d, k, r);
}
