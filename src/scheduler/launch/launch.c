/* The launchers' object, calls and the queue of their answers: see launch.h. */
#include "base/mem.h"
#include "scheduler/launch/launch_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECTIONS = 64 };

enum tr_status tr_launch_new(const struct tr_launch_options *options, struct tr_launch **out, struct tr_error *err) {
  struct tr_launch *l = calloc(1, sizeof *l);
  if (!l) return tr_fail_memory(err, sizeof *l);
  pthread_mutex_init(&l->lock, NULL);
  l->answers_end = &l->answers;
  l->wake = options->wake;
  l->wake_arg = options->arg;
  enum tr_status st;
  if (options->sts_endpoint && !(l->sts_endpoint = strdup(options->sts_endpoint)))
    TR_GOTO(st, tr_fail_memory(err, strlen(options->sts_endpoint)));
  const struct tr_http_options http = {.max_connections_per_host = CONNECTIONS};
  TR_GOTO(st, tr_http_new(&http, &l->http, err));
  TR_GOTO(st, tr_aws_client_new(l->http, options->aws_endpoint, &l->aws, err));
  TR_GOTO(st, launch_own_new(l, &l->own, err));
  *out = l;
  return TR_OK;
done:
  tr_launch_free(l);
  return st;
}

static void drop_books(struct launch_deployment *d) {
  size_t i = 0;
  for (struct launch_instance *x; (x = tr_name_map_next(&d->instances, &i));) free(x);
  tr_name_map_free(&d->instances);
  tr_aws_keys_free(&d->session.keys);
}

/* First whoever could begin a call, then the client with all its calls, then the books. */
void tr_launch_free(struct tr_launch *l) {
  if (!l) return;
  launch_own_stop(l->own);
  tr_http_free(l->http);
  launch_own_free(l->own);
  tr_aws_client_free(l->aws);
  for (struct launch_call *c; (c = l->answers);) {
    l->answers = c->next;
    launch_call_free(c);
  }
  size_t i = 0;
  for (struct launch_deployment *d; (d = tr_name_map_next(&l->deployments, &i));) {
    drop_books(d);
    free(d);
  }
  tr_name_map_free(&l->deployments);
  launch_sts_free_all(l);
  free(l->sts_endpoint);
  pthread_mutex_destroy(&l->lock);
  free(l);
}

struct launch_call *launch_call_new(struct tr_launch *l, const struct launch_deployment *d, launch_apply apply) {
  struct launch_call *c = calloc(1, sizeof *c);
  if (!c) return NULL;
  c->l = l;
  c->apply = apply;
  c->version = d->version;
  memcpy(c->deployment, d->id, sizeof c->deployment);
  return c;
}

void launch_call_free(struct launch_call *c) {
  tr_mem_free(c->answer.body, c->answer.room);
  free(c);
}

void launch_call_done(void *arg, struct tr_aws_answer *answer) {
  struct launch_call *c = arg;
  struct tr_launch *l = c->l;
  c->answer = *answer;
  answer->body = NULL;
  answer->bytes = answer->room = 0;
  c->next = NULL;
  pthread_mutex_lock(&l->lock);
  *l->answers_end = c;
  l->answers_end = &c->next;
  pthread_mutex_unlock(&l->lock);
  l->wake(l->wake_arg);
}

void launch_call_send(struct launch_call *c, const struct launch_deployment *d, const struct tr_aws_record *r,
                      const char *service, const char *action, struct tr_aws_call *call) {
  call->service = service;
  call->action = action;
  call->region = r->region;
  call->keys = &d->session.keys;
  tr_aws_call_start(c->l->aws, call, launch_call_done, c);
}

static void send_text(struct launch_call *c, const struct launch_deployment *d, const struct tr_aws_record *r,
                      const char *service, const char *action, struct tr_aws_call *call, struct tr_text *body) {
  if (tr_text_check(body, NULL) != TR_OK) {
    struct tr_aws_answer answer = {.result = TR_AWS_FAILED, .code = "Memory", .text = "no memory for a call of AWS"};
    launch_call_done(c, &answer);
  } else {
    call->body = tr_text_str(body);
    call->body_bytes = body->length;
    launch_call_send(c, d, r, service, action, call);
  }
  tr_text_free(body);
}

void launch_call_query(struct launch_call *c, const struct launch_deployment *d, const struct tr_aws_record *r,
                       const char *service, const char *action, struct tr_text *body) {
  struct tr_aws_call call = {0};
  send_text(c, d, r, service, action, &call, body);
}

void launch_call_json(struct launch_call *c, const struct launch_deployment *d, const struct tr_aws_record *r,
                      const char *action, struct tr_text *body) {
  char target[120];
  snprintf(target, sizeof target, "AmazonEC2ContainerServiceV20141113.%s", action);
  const struct tr_http_header headers[] = {{"x-amz-target", target}};
  struct tr_aws_call call = {.content_type = "application/x-amz-json-1.1", .headers = headers, .n_headers = 1};
  send_text(c, d, r, "ecs", action, &call, body);
}

void tr_launch_take(struct tr_launch *l, struct tr_state *s, struct tr_clock at) {
  pthread_mutex_lock(&l->lock);
  struct launch_call *all = l->answers;
  l->answers = NULL;
  l->answers_end = &l->answers;
  pthread_mutex_unlock(&l->lock);
  for (struct launch_call *c; (c = all);) {
    all = c->next;
    struct launch_deployment *d = *c->deployment ? tr_name_map_get(&l->deployments, c->deployment) : NULL;
    /* Whoever asked under another record has no books any more. A check at STS has none at all. */
    if (!*c->deployment || (d && d->version == c->version)) c->apply(l, d, c, s, at);
    launch_call_free(c);
  }
  launch_sts_tick(l, at);
}

void launch_trouble_add(struct launch_trouble *t, const struct launch_deployment *d, const char *what,
                        const char *code, const char *text, struct tr_clock at) {
  int64_t wait = LAUNCH_RETRY_MS << (t->n < 6 ? t->n : 6);
  if (wait > LAUNCH_RETRY_MOST_MS) wait = LAUNCH_RETRY_MOST_MS;
  if (!t->n) {
    t->since = at.wall;
    t->since_now = at.now;
  }
  /* Told once per kind of trouble, not once per try. */
  if (!t->n || strcmp(t->code, code) != 0)
    fprintf(stderr, "terality-scheduler: deployment %s: %s: %s\n", d->id, what, text);
  t->n++;
  t->last = at.wall;
  t->retry_at = at.now + wait;
  snprintf(t->code, sizeof t->code, "%s", code);
  snprintf(t->text, sizeof t->text, "%s", text);
}

void launch_trouble_end(struct launch_trouble *t, const struct launch_deployment *d, const char *what) {
  if (t->n) fprintf(stderr, "terality-scheduler: deployment %s: %s: well again\n", d->id, what);
  *t = (struct launch_trouble){0};
}

void launch_note_answer(struct launch_deployment *d, const struct tr_aws_answer *answer) {
  if (answer->result == TR_AWS_EXPIRED) tr_aws_keys_free(&d->session.keys);
}

void tr_launch_print_metrics(const struct tr_launch *l, struct tr_text *out) {
  static const struct {
    const char *name, *help;
    size_t at;
  } list[] = {
      {"launches_total", "Workers that AWS was asked for with success.", offsetof(struct launch_counters, started)},
      {"launch_failures_total", "Workers that AWS was asked for in vain.", offsetof(struct launch_counters, failed)},
      {"terminations_total", "Instances and tasks ended by name.", offsetof(struct launch_counters, ended)},
      {"aws_sessions_total", "Roles taken by AssumeRole.", offsetof(struct launch_counters, sessions)},
      {"identity_checks_total", "Proofs sent to STS.", offsetof(struct launch_counters, sts_asked)},
      {"identity_refusals_total", "Proofs that STS or its answer refuted.",
       offsetof(struct launch_counters, sts_refused)},
  };
  int64_t failing = 0;
  size_t i = 0;
  for (size_t k = 0; k < sizeof list / sizeof *list; k++)
    tr_text_add_format(out, "# HELP terality_%s %s\n# TYPE terality_%s counter\nterality_%s %lld\n", list[k].name,
                       list[k].help, list[k].name, list[k].name,
                       (long long)*(const int64_t *)((const char *)&l->counters + list[k].at));
  for (const struct launch_deployment *d; (d = tr_name_map_next(&l->deployments, &i));) {
    bool any = d->session.trouble.n > 0;
    for (int k = 0; k < d->n_kinds; k++) any |= d->kinds[k].trouble.n > 0;
    failing += any;
  }
  tr_text_add_format(out,
                     "# HELP terality_deployments_failing Deployments that cannot start workers of some kind.\n"
                     "# TYPE terality_deployments_failing gauge\nterality_deployments_failing %lld\n",
                     (long long)failing);
}
