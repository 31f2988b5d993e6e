/* Tasks on Fargate. What RunTask gave is written down, because DescribeTasks wants names and the minimal grade has no
 * call that lists: after a restart the same tasks are asked about again. */
#include "scheduler/launch/launch_int.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
  CALLS = 8,
  DESCRIBE_MS = 5000,        /* while something starts or ends */
  DESCRIBE_RUNNING_MS = 60000, /* workers that run tell of themselves */
  DESCRIBED = 100            /* DescribeTasks' own limit */
};

/* A worker may tell any name: only a task of the deployment's own cluster is one. */
bool launch_ecs_owns(const struct tr_aws_record *r, const char *instance) {
  char middle[400];
  snprintf(middle, sizeof middle, ":ecs:%s:%s:task/%s/", r->region, r->account, r->ecs.cluster);
  const char *colon = strncmp(instance, "arn:aws", 7) == 0 ? strchr(instance + 4, ':') : NULL;
  return colon && strncmp(colon, middle, strlen(middle)) == 0 && strlen(colon) > strlen(middle);
}

static void add_nets(struct tr_text *to, const char *name, const struct tr_aws_nets *nets) {
  tr_text_add_format(to, "\"%s\":[", name);
  for (int i = 0; i < nets->n; i++) tr_text_add_format(to, "%s\"%s\"", i ? "," : "", nets->ids[i]);
  tr_text_add_char(to, ']');
}

/* The first failure that a reply of 200 tells of; "" for none. */
static void read_failure(const json_t *reply, char *code, size_t code_room, char *text, size_t room) {
  const json_t *first = json_array_get(json_object_get(reply, "failures"), 0);
  const char *reason = json_string_value(json_object_get(first, "reason"));
  const char *detail = json_string_value(json_object_get(first, "detail"));
  *code = 0;
  if (!first) return;
  snprintf(code, code_room, "%.*s", (int)strcspn(reason ? reason : "Failure", " "), reason ? reason : "Failure");
  snprintf(text, room, "ecs RunTask: %s%s%s", reason ? reason : "no reason given", detail ? ": " : "",
           detail ? detail : "");
}

static int32_t take_tasks(struct launch_deployment *d, const struct launch_call *c, const json_t *reply,
                          struct tr_state *s, struct tr_clock at) {
  const json_t *list = json_object_get(reply, "tasks");
  int32_t n = 0;
  for (size_t i = 0; i < json_array_size(list); i++) {
    const char *arn = json_string_value(json_object_get(json_array_get(list, i), "taskArn"));
    if (!arn || strlen(arn) >= TR_INSTANCE_BYTES) continue;
    if (!launch_instance_add(d, arn, c->kind, at.now)) continue;
    tr_journal_write(s->journal, TR_JOURNAL_PUT_INSTANCE, "ttti", d->id, arn, d->kinds[c->kind].name, at.wall);
    n++;
  }
  return n;
}

static void apply_run(struct tr_launch *l, struct launch_deployment *d, struct launch_call *c, struct tr_state *s,
                      struct tr_clock at) {
  struct launch_kind *k = &d->kinds[c->kind];
  struct tr_aws_answer *a = &c->answer;
  int32_t n = 0;
  k->calls--;
  k->asking -= c->n;
  launch_note_answer(d, a);
  if (a->result == TR_AWS_OK) {
    json_t *reply = json_loadb((const char *)a->body, a->bytes, 0, NULL);
    n = take_tasks(d, c, reply, s, at);
    read_failure(reply, a->code, sizeof a->code, a->text, sizeof a->text);
    if (n < c->n && !*a->code) {
      snprintf(a->code, sizeof a->code, "%s", reply ? "FewerTasks" : "BadReply");
      snprintf(a->text, sizeof a->text, "ecs RunTask: %d of %d tasks were started", n, c->n);
    }
    json_decref(reply);
  }
  if (n) launch_kind_worked(l, d, k, n);
  if (n < c->n) launch_kind_failed(l, d, k, c->n - n, a, at);
}

static void run_tasks(struct tr_launch *l, struct launch_deployment *d, struct launch_kind *k,
                      const struct tr_aws_record *r) {
  char token[TR_ID_BYTES];
  struct tr_text body = {0};
  struct launch_call *c = launch_call_new(l, d, apply_run);
  int32_t n = k->waiting < LAUNCH_TASKS_PER_CALL ? k->waiting : LAUNCH_TASKS_PER_CALL;
  k->waiting -= n;
  /* The token makes a repeated call start nothing more. */
  if (!c || tr_auth_new_id('t', token, NULL) != TR_OK) {
    if (c) launch_call_free(c);
    return;
  }
  tr_text_add_format(&body, "{\"cluster\":\"%s\",\"taskDefinition\":\"%s\",\"count\":%d,\"launchType\":\"FARGATE\",",
                     r->ecs.cluster, r->ecs.family, n);
  tr_text_add_str(&body, "\"networkConfiguration\":{\"awsvpcConfiguration\":{");
  add_nets(&body, "subnets", &r->ecs.subnets);
  tr_text_add_char(&body, ',');
  add_nets(&body, "securityGroups", &r->ecs.security_groups);
  tr_text_add_format(&body, ",\"assignPublicIp\":\"%s\"}},\"startedBy\":\"terality-%s\",\"clientToken\":\"%s\"}",
                     r->ecs.public_ip ? "ENABLED" : "DISABLED", d->id, token);
  c->kind = (int32_t)(k - d->kinds);
  c->n = n;
  k->calls++;
  k->asking += n;
  launch_call_json(c, d, r, "RunTask", &body);
}

static void forget(struct launch_deployment *d, struct launch_instance *i, struct tr_state *s) {
  tr_journal_write(s->journal, TR_JOURNAL_DROP_INSTANCE, "tt", d->id, i->id);
  launch_instance_drop(d, i);
}

/* A task that has ended before its worker asked for anything is a failure with a reason. */
static void take_state(struct tr_launch *l, struct launch_deployment *d, struct launch_kind *k, const json_t *task,
                       struct tr_state *s, struct tr_clock at) {
  const char *arn = json_string_value(json_object_get(task, "taskArn"));
  const char *status = json_string_value(json_object_get(task, "lastStatus"));
  const char *why = json_string_value(json_object_get(task, "stoppedReason"));
  struct launch_instance *i = arn ? tr_name_map_get(&d->instances, arn) : NULL;
  if (!i || !status || strcmp(status, "STOPPED") != 0) return;
  if (i->phase == LAUNCH_STARTING && !i->seen) {
    const char *code = json_string_value(json_object_get(task, "stopCode"));
    struct tr_aws_answer a = {.result = TR_AWS_REFUSED};
    snprintf(a.code, sizeof a.code, "%s", code ? code : "Stopped");
    snprintf(a.text, sizeof a.text, "a task stopped before it asked for work: %.400s", why ? why : "no reason given");
    launch_kind_failed(l, d, k, 1, &a, at);
  }
  forget(d, i, s);
}

static void apply_describe(struct tr_launch *l, struct launch_deployment *d, struct launch_call *c,
                           struct tr_state *s, struct tr_clock at) {
  struct launch_kind *k = &d->kinds[c->kind];
  d->tasks.asking = false;
  launch_note_answer(d, &c->answer);
  if (c->answer.result != TR_AWS_OK) {
    launch_trouble_add(&k->trouble, d, k->name, c->answer.code, c->answer.text, at);
    return;
  }
  json_t *reply = json_loadb((const char *)c->answer.body, c->answer.bytes, 0, NULL);
  const json_t *tasks = json_object_get(reply, "tasks"), *failures = json_object_get(reply, "failures");
  for (size_t i = 0; i < json_array_size(tasks); i++) take_state(l, d, k, json_array_get(tasks, i), s, at);
  for (size_t i = 0; i < json_array_size(failures); i++) {
    const json_t *f = json_array_get(failures, i);
    const char *arn = json_string_value(json_object_get(f, "arn"));
    const char *why = json_string_value(json_object_get(f, "reason"));
    struct launch_instance *gone = arn && why && strcmp(why, "MISSING") == 0 ? tr_name_map_get(&d->instances, arn)
                                                                             : NULL;
    if (gone) forget(d, gone, s);
  }
  json_decref(reply);
}

/* Those that were not looked at for the longest time; new ones first of all. */
static void describe(struct tr_launch *l, struct launch_deployment *d, struct launch_kind *k,
                     const struct tr_aws_record *r, struct tr_clock at) {
  struct tr_text body = {0};
  struct launch_call *c = launch_call_new(l, d, apply_describe);
  int n = 0;
  size_t i = 0;
  if (!c) return;
  tr_text_add_format(&body, "{\"cluster\":\"%s\",\"tasks\":[", r->ecs.cluster);
  for (int round = 0; round < 2 && n < DESCRIBED; round++) {
    i = 0;
    for (struct launch_instance *x; n < DESCRIBED && (x = tr_name_map_next(&d->instances, &i));) {
      if (x->kind != k - d->kinds || x->listed) continue;
      tr_text_add_format(&body, "%s\"%s\"", n++ ? "," : "", x->id);
      x->listed = true;
    }
    if (n) break;
    i = 0;
    for (struct launch_instance *x; (x = tr_name_map_next(&d->instances, &i));) x->listed = false;
  }
  tr_text_add_str(&body, "]}");
  d->tasks.described = at.now;
  if (!n) {
    tr_text_free(&body);
    launch_call_free(c);
    return;
  }
  c->kind = (int32_t)(k - d->kinds);
  d->tasks.asking = true;
  launch_call_json(c, d, r, "DescribeTasks", &body);
}

static void apply_stop(struct tr_launch *l, struct launch_deployment *d, struct launch_call *c, struct tr_state *s,
                       struct tr_clock at) {
  struct launch_kind *k = &d->kinds[c->kind];
  struct launch_instance *i = tr_name_map_get(&d->instances, c->subject);
  launch_note_answer(d, &c->answer);
  bool gone = c->answer.result == TR_AWS_REFUSED; /* no such task any more */
  if (c->answer.result == TR_AWS_OK || gone) l->counters.ended++;
  else launch_trouble_add(&k->trouble, d, k->name, c->answer.code, c->answer.text, at);
  if (i && (c->answer.result == TR_AWS_OK || gone)) forget(d, i, s);
  else if (i) i->calling = false;
}

static void stop(struct tr_launch *l, struct launch_deployment *d, struct launch_kind *k,
                 const struct tr_aws_record *r, struct launch_instance *i) {
  struct tr_text body = {0};
  struct launch_call *c = launch_call_new(l, d, apply_stop);
  if (!c) return;
  memcpy(c->subject, i->id, sizeof c->subject);
  c->kind = (int32_t)(k - d->kinds);
  i->calling = true;
  tr_text_add_format(&body, "{\"cluster\":\"%s\",\"task\":\"%s\",\"reason\":\"drained\"}", r->ecs.cluster, i->id);
  launch_call_json(c, d, r, "StopTask", &body);
}

void launch_ecs_step(struct tr_launch *l, struct launch_deployment *d, struct launch_kind *k,
                     const struct tr_aws_record *r, struct tr_clock at) {
  bool moving = false, any = false;
  size_t i = 0;
  for (struct launch_instance *x; (x = tr_name_map_next(&d->instances, &i));) {
    if (x->kind != k - d->kinds) continue;
    any = true;
    moving |= x->phase != LAUNCH_SEEN;
    bool never = x->phase == LAUNCH_STARTING && x->since + LAUNCH_BOOT_MS <= at.now;
    if ((x->phase == LAUNCH_ENDING || never) && !x->calling && k->trouble.retry_at <= at.now) stop(l, d, k, r, x);
  }
  while (k->waiting > 0 && k->calls < CALLS) run_tasks(l, d, k, r);
  int64_t every = moving ? DESCRIBE_MS : DESCRIBE_RUNNING_MS;
  if (any && !d->tasks.asking && d->tasks.described + every <= at.now && k->trouble.retry_at <= at.now)
    describe(l, d, k, r, at);
}
