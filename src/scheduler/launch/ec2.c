/* Instances of an autoscaling group. It grows by its desired capacity and shrinks by name only: an instance is ended
 * with the capacity taken back in the same call, so that AWS never chooses which worker goes. The group itself says
 * what there is, so nothing is written down. */
#include "net/xml.h"
#include "scheduler/launch/launch_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  DESCRIBE_MS = 5000,          /* while something starts or ends */
  DESCRIBE_RUNNING_MS = 60000,
  FRESH_MS = 30000,            /* the capacity is changed on what is known no longer than that */
  ENDINGS = 8                  /* calls at a time */
};
static const char version[] = "2011-01-01";

struct listing {
  struct launch_deployment *d;
  int32_t kind, desired, max;
  bool found;
  int64_t now;
  char instance[TR_INSTANCE_BYTES], state[40];
};

static bool is_member_state(const char *state) {
  return strncmp(state, "Pending", 7) == 0 || strcmp(state, "InService") == 0 || strcmp(state, "Standby") == 0 ||
         strcmp(state, "EnteringStandby") == 0;
}

static enum tr_status take_element(void *arg, const char *parent, const char *name, const char *text,
                                   struct tr_error *err) {
  struct listing *x = arg;
  (void)err;
  if (strcmp(parent, "member") == 0 && strcmp(name, "InstanceId") == 0)
    snprintf(x->instance, sizeof x->instance, "%s", text);
  else if (strcmp(parent, "member") == 0 && strcmp(name, "LifecycleState") == 0)
    snprintf(x->state, sizeof x->state, "%s", text);
  else if (strcmp(parent, "member") == 0 && strcmp(name, "DesiredCapacity") == 0)
    x->desired = (int32_t)strtol(text, NULL, 10);
  else if (strcmp(parent, "member") == 0 && strcmp(name, "MaxSize") == 0)
    x->max = (int32_t)strtol(text, NULL, 10);
  else if (strcmp(name, "AutoScalingGroupName") == 0)
    x->found = true;
  else if (strcmp(parent, "Instances") == 0 && strcmp(name, "member") == 0 && is_member_state(x->state)) {
    struct launch_instance *i = tr_name_map_get(&x->d->instances, x->instance);
    if (!i) i = launch_instance_add(x->d, x->instance, x->kind, x->now);
    if (i) i->listed = true;
  }
  return TR_OK;
}

static void drop_unlisted(struct launch_deployment *d, int32_t kind) {
  for (bool again = true; again;) {
    size_t at = 0;
    again = false;
    for (struct launch_instance *i; !again && (i = tr_name_map_next(&d->instances, &at));)
      if (i->kind == kind && !i->listed) {
        launch_instance_drop(d, i);
        again = true;
      }
  }
}

static void apply_describe(struct tr_launch *l, struct launch_deployment *d, struct launch_call *c,
                           struct tr_state *s, struct tr_clock at) {
  struct launch_kind *k = &d->kinds[c->kind];
  struct listing x = {.d = d, .kind = c->kind, .now = at.now};
  size_t i = 0;
  (void)l, (void)s;
  d->group.asking = false;
  launch_note_answer(d, &c->answer);
  if (c->answer.result != TR_AWS_OK) {
    launch_trouble_add(&k->trouble, d, k->name, c->answer.code, c->answer.text, at);
    return;
  }
  if (c->changes != d->group.changes) return; /* what it says was true before a change that came after */
  for (struct launch_instance *y; (y = tr_name_map_next(&d->instances, &i));)
    if (y->kind == c->kind) y->listed = false;
  if (tr_xml_walk(c->answer.body, c->answer.bytes, take_element, &x, NULL) != TR_OK || !x.found) {
    launch_trouble_add(&k->trouble, d, k->name, "NoGroup",
                       "autoscaling DescribeAutoScalingGroups: there is no such group", at);
    return;
  }
  drop_unlisted(d, c->kind);
  /* A refusal of the group itself is over; one to change it is not, until a change goes well. */
  if (strcmp(k->trouble.code, "NoGroup") == 0) launch_trouble_end(&k->trouble, d, k->name);
  d->group.desired = x.desired;
  d->group.max = x.max;
  d->group.known = true;
  d->group.described = at.now;
}

static void describe(struct tr_launch *l, struct launch_deployment *d, struct launch_kind *k,
                     const struct tr_aws_record *r) {
  struct tr_text body = {0};
  struct launch_call *c = launch_call_new(l, d, apply_describe);
  if (!c) return;
  c->kind = (int32_t)(k - d->kinds);
  c->changes = d->group.changes;
  d->group.asking = true;
  tr_aws_query_begin(&body, "DescribeAutoScalingGroups", version);
  tr_aws_query_add(&body, "AutoScalingGroupNames.member.1", r->ec2.group);
  launch_call_query(c, d, r, "autoscaling", "DescribeAutoScalingGroups", &body);
}

static void apply_set(struct tr_launch *l, struct launch_deployment *d, struct launch_call *c, struct tr_state *s,
                      struct tr_clock at) {
  struct launch_kind *k = &d->kinds[c->kind];
  (void)s;
  d->group.setting = false;
  k->asking -= c->n;
  k->calls--;
  launch_note_answer(d, &c->answer);
  if (c->answer.result == TR_AWS_OK) {
    d->group.desired += c->n;
    launch_kind_worked(l, d, k, c->n);
  } else {
    launch_kind_failed(l, d, k, c->n, &c->answer, at);
  }
  d->group.described = 0;
}

/* The capacity as it is known, and so many more, as far as the group may grow. */
static void grow(struct tr_launch *l, struct launch_deployment *d, struct launch_kind *k,
                 const struct tr_aws_record *r, struct tr_clock at) {
  struct tr_text body = {0};
  int32_t room = d->group.max - d->group.desired, n = k->waiting < room ? k->waiting : room;
  k->waiting = 0;
  if (n <= 0) {
    struct tr_aws_answer a = {.result = TR_AWS_REFUSED, .code = "GroupIsFull"};
    snprintf(a.text, sizeof a.text, "autoscaling group %s has its greatest size, %d", r->ec2.group, d->group.max);
    launch_kind_failed(l, d, k, 1, &a, at);
    return;
  }
  struct launch_call *c = launch_call_new(l, d, apply_set);
  if (!c) return;
  c->kind = (int32_t)(k - d->kinds);
  c->n = n;
  k->asking += n;
  k->calls++;
  d->group.setting = true;
  d->group.changes++;
  tr_aws_query_begin(&body, "SetDesiredCapacity", version);
  tr_aws_query_add(&body, "AutoScalingGroupName", r->ec2.group);
  tr_aws_query_add_int(&body, "DesiredCapacity", d->group.desired + n);
  tr_aws_query_add(&body, "HonorCooldown", "false");
  launch_call_query(c, d, r, "autoscaling", "SetDesiredCapacity", &body);
}

static void apply_end(struct tr_launch *l, struct launch_deployment *d, struct launch_call *c, struct tr_state *s,
                      struct tr_clock at) {
  struct launch_kind *k = &d->kinds[c->kind];
  struct launch_instance *i = tr_name_map_get(&d->instances, c->subject);
  (void)s;
  k->calls--;
  launch_note_answer(d, &c->answer);
  if (c->answer.result == TR_AWS_OK) {
    l->counters.ended++;
    if (d->group.desired > 0) d->group.desired--;
    if (i) launch_instance_drop(d, i);
  } else {
    launch_trouble_add(&k->trouble, d, k->name, c->answer.code, c->answer.text, at);
    if (i) i->calling = false;
  }
  d->group.described = 0;
}

static void end_instance(struct tr_launch *l, struct launch_deployment *d, struct launch_kind *k,
                         const struct tr_aws_record *r, struct launch_instance *i) {
  struct tr_text body = {0};
  struct launch_call *c = launch_call_new(l, d, apply_end);
  if (!c) return;
  memcpy(c->subject, i->id, sizeof c->subject);
  c->kind = (int32_t)(k - d->kinds);
  i->calling = true;
  k->calls++;
  d->group.changes++;
  tr_aws_query_begin(&body, "TerminateInstanceInAutoScalingGroup", version);
  tr_aws_query_add(&body, "InstanceId", i->id);
  tr_aws_query_add(&body, "ShouldDecrementDesiredCapacity", "true");
  launch_call_query(c, d, r, "autoscaling", "TerminateInstanceInAutoScalingGroup", &body);
}

void launch_ec2_step(struct tr_launch *l, struct launch_deployment *d, struct launch_kind *k,
                     const struct tr_aws_record *r, struct tr_clock at) {
  bool moving = d->group.desired > (int32_t)d->instances.n || k->asking;
  bool may = k->trouble.retry_at <= at.now, fresh = d->group.known && d->group.described + FRESH_MS > at.now;
  size_t at_map = 0;
  int32_t mine = 0;
  for (struct launch_instance *i; (i = tr_name_map_next(&d->instances, &at_map));) {
    if (i->kind != k - d->kinds) continue;
    mine++;
    moving |= i->phase != LAUNCH_SEEN;
    bool never = i->phase == LAUNCH_STARTING && i->since + LAUNCH_BOOT_MS <= at.now;
    if (never && !i->calling && may) {
      struct tr_aws_answer a = {.result = TR_AWS_REFUSED, .code = "NeverSeen"};
      snprintf(a.text, sizeof a.text, "instance %.30s has not asked for work in %d s and is ended", i->id,
               LAUNCH_BOOT_MS / 1000);
      launch_kind_failed(l, d, k, 1, &a, at);
      i->phase = LAUNCH_ENDING;
    }
    if (i->phase == LAUNCH_ENDING && !i->calling && may && k->calls < ENDINGS) end_instance(l, d, k, r, i);
  }
  /* An order that was made on old figures is made again on new ones. */
  bool stale = k->waiting > 0 && !fresh;
  if (stale) k->waiting = 0;
  if (k->waiting > 0 && !d->group.setting && may) grow(l, d, k, r, at);
  int64_t every = moving ? DESCRIBE_MS : DESCRIBE_RUNNING_MS;
  bool due = !d->group.known || stale || ((moving || mine) && d->group.described + every <= at.now);
  if (due && may && !d->group.asking && !k->calls) describe(l, d, k, r);
}
