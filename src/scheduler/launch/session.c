/* Sessions: the role of a deployment, taken by AssumeRole with its external id, for 15 minutes, renewed when five are
 * left. The scheduler's own keys may have to be fetched (a container's or instance's endpoint), which blocks: a thread
 * of its own does that, then starts the call.
 */
#include "net/crypto.h"
#include "net/xml.h"
#include "scheduler/launch/launch_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SESSION_SECONDS = 900, SPARE_MS = 300000 };

struct question {
  struct question *next;
  struct launch_call *call;
  char region[33];
  struct tr_text body;
};

struct launch_own {
  struct tr_launch *l;
  struct tr_aws_identity *identity; /* made at the first question, by the thread */
  pthread_mutex_t lock;
  pthread_cond_t wake;
  pthread_t thread;
  bool runs, stop;
  struct question *first, **end;
};

static void question_free(struct question *q) {
  tr_text_free(&q->body);
  free(q);
}

static void answer_failed(struct launch_call *c, const char *code, const char *text) {
  struct tr_aws_answer answer = {.result = TR_AWS_FAILED};
  snprintf(answer.code, sizeof answer.code, "%s", code);
  snprintf(answer.text, sizeof answer.text, "%s", text);
  launch_call_done(c, &answer);
}

static void ask(struct launch_own *o, struct question *q) {
  struct tr_aws_keys keys;
  struct tr_error err;
  enum tr_status st = o->identity ? TR_OK : tr_aws_identity_new(NULL, "STS", &o->identity, &err);
  if (st == TR_OK) st = tr_aws_identity_keys(o->identity, &keys, &err);
  if (st != TR_OK) {
    char text[600];
    snprintf(text, sizeof text, "the scheduler has no AWS credentials of its own: %.500s", err.text);
    answer_failed(q->call, "NoCredentials", text);
    return;
  }
  const struct tr_aws_call call = {.service = "sts",
                                   .action = "AssumeRole",
                                   .region = q->region,
                                   .keys = &keys,
                                   .body = tr_text_str(&q->body),
                                   .body_bytes = q->body.length};
  tr_aws_call_start(o->l->aws, &call, launch_call_done, q->call);
  tr_aws_keys_free(&keys);
}

static void *run(void *arg) {
  struct launch_own *o = arg;
  pthread_mutex_lock(&o->lock);
  for (;;) {
    while (!o->first && !o->stop) pthread_cond_wait(&o->wake, &o->lock);
    if (o->stop) break;
    struct question *q = o->first;
    o->first = q->next;
    if (!o->first) o->end = &o->first;
    pthread_mutex_unlock(&o->lock);
    ask(o, q);
    question_free(q);
    pthread_mutex_lock(&o->lock);
  }
  pthread_mutex_unlock(&o->lock);
  return NULL;
}

enum tr_status launch_own_new(struct tr_launch *l, struct launch_own **out, struct tr_error *err) {
  struct launch_own *o = calloc(1, sizeof *o);
  if (!o) return tr_fail_memory(err, sizeof *o);
  o->l = l;
  o->end = &o->first;
  pthread_mutex_init(&o->lock, NULL);
  pthread_cond_init(&o->wake, NULL);
  *out = o;
  return TR_OK;
}

void launch_own_stop(struct launch_own *o) {
  if (!o) return;
  pthread_mutex_lock(&o->lock);
  o->stop = true;
  pthread_cond_signal(&o->wake);
  pthread_mutex_unlock(&o->lock);
  if (o->runs) pthread_join(o->thread, NULL);
}

void launch_own_free(struct launch_own *o) {
  if (!o) return;
  for (struct question *q; (q = o->first);) {
    o->first = q->next;
    launch_call_free(q->call);
    question_free(q);
  }
  tr_aws_identity_free(o->identity);
  pthread_cond_destroy(&o->wake);
  pthread_mutex_destroy(&o->lock);
  free(o);
}

/* The thread is made at the first question: most schedulers have nothing to do with AWS. */
static bool enqueue(struct launch_own *o, struct question *q) {
  pthread_mutex_lock(&o->lock);
  if (!o->runs && !o->stop) o->runs = pthread_create(&o->thread, NULL, run, o) == 0;
  bool good = o->runs;
  if (good) {
    *o->end = q;
    o->end = &q->next;
    pthread_cond_signal(&o->wake);
  }
  pthread_mutex_unlock(&o->lock);
  return good;
}

struct credentials {
  char access[140], secret[200], token[4096], expires[40];
};

static enum tr_status take_credential(void *arg, const char *parent, const char *name, const char *text,
                                      struct tr_error *err) {
  struct credentials *c = arg;
  (void)err;
  if (strcmp(parent, "Credentials") != 0) return TR_OK;
  if (strcmp(name, "AccessKeyId") == 0) snprintf(c->access, sizeof c->access, "%s", text);
  if (strcmp(name, "SecretAccessKey") == 0) snprintf(c->secret, sizeof c->secret, "%s", text);
  if (strcmp(name, "SessionToken") == 0) snprintf(c->token, sizeof c->token, "%s", text);
  if (strcmp(name, "Expiration") == 0) snprintf(c->expires, sizeof c->expires, "%s", text);
  return TR_OK;
}

static bool take_session(struct tr_launch *l, struct launch_session *to, const struct tr_aws_answer *a,
                         struct tr_clock at) {
  struct credentials c = {0};
  bool good = tr_xml_walk(a->body, a->bytes, take_credential, &c, NULL) == TR_OK && *c.access && *c.secret;
  if (good) {
    tr_aws_keys_free(&to->keys);
    to->keys.access_key = strdup(c.access);
    to->keys.secret_key = strdup(c.secret);
    to->keys.session_token = *c.token ? strdup(c.token) : NULL;
    good = to->keys.access_key && to->keys.secret_key && (to->keys.session_token || !*c.token);
    if (!good) tr_aws_keys_free(&to->keys);
  }
  int64_t expires = tr_time_parse(c.expires) / 1000000000;
  int64_t left = expires > 0 ? expires - (at.wall / 1000 + tr_aws_client_skew(l->aws)) : SESSION_SECONDS;
  if (left > SESSION_SECONDS) left = SESSION_SECONDS;
  to->until = at.now + left * 1000;
  tr_crypto_wipe(&c, sizeof c);
  return good;
}

static void apply_session(struct tr_launch *l, struct launch_deployment *d, struct launch_call *c, struct tr_state *s,
                          struct tr_clock at) {
  const struct tr_aws_answer *a = &c->answer;
  (void)s;
  d->session.asking = false;
  if (a->result == TR_AWS_CANCELLED) return;
  if (a->result == TR_AWS_OK && take_session(l, &d->session, a, at)) {
    l->counters.sessions++;
    launch_trouble_end(&d->session.trouble, d, "the role");
  } else {
    launch_trouble_add(&d->session.trouble, d, "the role",
                       a->result == TR_AWS_OK ? "BadReply" : a->code, a->result == TR_AWS_OK ? "sts AssumeRole: no credentials in the reply" : a->text, at);
  }
}

static void ask_for_session(struct tr_launch *l, struct launch_deployment *d, const struct tr_deployment *of) {
  char name[65];
  struct question *q = calloc(1, sizeof *q);
  struct launch_call *c = launch_call_new(l, d, apply_session);
  if (!q || !c) {
    free(q);
    free(c);
    return;
  }
  snprintf(name, sizeof name, "terality-%s", of->id);
  snprintf(q->region, sizeof q->region, "%s", of->aws->region);
  tr_aws_query_begin(&q->body, "AssumeRole", "2011-06-15");
  tr_aws_query_add(&q->body, "RoleArn", of->aws->role_arn);
  tr_aws_query_add(&q->body, "RoleSessionName", name);
  tr_aws_query_add(&q->body, "ExternalId", of->external_id);
  tr_aws_query_add_int(&q->body, "DurationSeconds", SESSION_SECONDS);
  q->call = c;
  d->session.asking = tr_text_check(&q->body, NULL) == TR_OK && enqueue(l->own, q);
  if (d->session.asking) return;
  question_free(q);
  launch_call_free(c);
}

bool launch_session_ready(struct tr_launch *l, struct launch_deployment *d, const struct tr_deployment *of,
                          struct tr_clock at) {
  struct launch_session *s = &d->session;
  bool have = s->keys.access_key && s->until > at.now;
  bool fresh = have && s->until - SPARE_MS > at.now;
  if (!fresh && !s->asking && (!s->trouble.n || s->trouble.retry_at <= at.now)) ask_for_session(l, d, of);
  return have;
}
