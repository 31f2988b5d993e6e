/* What a deployment of the managed grade lets the scheduler make: functions, a cluster, an autoscaling group with its
 * launch template. Each is created, and where it is there already brought to what the record says; so the same steps
 * serve a new record, a changed one and a restart. Names bear the deployment's prefix (aws_record.c) and everything its
 * tag, which is what the role's policy allows and nothing else.
 */
#include "base/json_text.h"
#include "scheduler/launch/launch_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum what { FUNCTION, CLUSTER, GROUP, NOTHING };
enum { CREATE, UPDATE, CODE, EVENTS };              /* of a function */
enum { TEMPLATE, NEW_VERSION, NEW_GROUP, SET_GROUP }; /* of a group */
enum { BUSY_MS = 2000, EVENT_AGE_S = 60 };
static const char ec2_version[] = "2016-11-15", group_version[] = "2011-01-01";

/* The n-th thing to be made; of functions its number too. */
static enum what thing(const struct tr_aws_record *r, int32_t n, int32_t *function) {
  int32_t functions = r->managed_lambda.role_arn ? r->n_functions : 0;
  *function = n;
  if (n < functions) return FUNCTION;
  n -= functions;
  if (r->managed_cluster && n-- == 0) return CLUSTER;
  return r->managed_ec2.image && n == 0 ? GROUP : NOTHING;
}

static void apply_step(struct tr_launch *l, struct launch_deployment *d, struct launch_call *c, struct tr_state *s,
                       struct tr_clock at) {
  struct launch_making *m = &d->making;
  const struct tr_aws_answer *a = &c->answer;
  enum what what = (enum what)c->kind;
  (void)l, (void)s;
  m->asking = false;
  launch_note_answer(d, a);
  bool there = strcmp(a->code, "ResourceConflictException") == 0 || strcmp(a->code, "AlreadyExists") == 0 ||
               strcmp(a->code, "InvalidLaunchTemplateName.AlreadyExistsException") == 0;
  bool creates = (what == FUNCTION && m->sub == CREATE) || (what == GROUP && m->sub != NEW_VERSION && m->sub != SET_GROUP);
  if (a->result != TR_AWS_OK && there && creates) {
    m->sub++; /* UPDATE, NEW_VERSION, SET_GROUP */
    return;
  }
  if (a->result != TR_AWS_OK && there) { /* a function that is still taking the last change */
    m->again_at = at.now + BUSY_MS;
    return;
  }
  if (a->result != TR_AWS_OK) {
    launch_trouble_add(&m->trouble, d, "what is to be made", a->code, a->text, at);
    return;
  }
  launch_trouble_end(&m->trouble, d, "what is to be made");
  bool last = what == CLUSTER || (what == FUNCTION && m->sub == EVENTS) ||
              (what == GROUP && (m->sub == NEW_GROUP || m->sub == SET_GROUP));
  if (last) {
    m->step++;
    m->sub = 0;
  } else if (what == FUNCTION) {
    m->sub = m->sub == CREATE ? EVENTS : m->sub + 1;
  } else {
    m->sub = NEW_GROUP;
  }
}

static void add_environment(const struct tr_aws_managed_lambda *m, struct tr_text *to) {
  const char *name, *comma = "";
  json_t *value;
  tr_text_add_str(to, ",\"Environment\":{\"Variables\":{");
  json_object_foreach((json_t *)m->environment, name, value) {
    tr_text_add_str(to, comma);
    tr_text_add_json(to, name);
    tr_text_add_char(to, ':');
    tr_text_add_json(to, json_string_value(value));
    comma = ",";
  }
  tr_text_add_str(to, "}}");
}

static void function_body(const struct tr_aws_record *r, const struct tr_aws_function *f, int32_t sub,
                          struct tr_text *to) {
  const struct tr_aws_managed_lambda *m = &r->managed_lambda;
  if (sub == EVENTS) { /* an event that failed is not sent again: whoever is missing is asked for by the next look */
    tr_text_add_format(to, "{\"MaximumRetryAttempts\":0,\"MaximumEventAgeInSeconds\":%d}", EVENT_AGE_S);
    return;
  }
  if (sub == CODE) {
    tr_text_add_format(to, "{\"S3Bucket\":\"%s\",\"S3Key\":\"%s\",\"Architectures\":[\"%s\"]}", m->bucket, m->key,
                       m->architecture);
    return;
  }
  tr_text_add_format(to,
                     "{\"FunctionName\":\"%s\",\"Runtime\":\"provided.al2023\",\"Handler\":\"bootstrap\","
                     "\"Role\":\"%s\",\"MemorySize\":%d,\"Timeout\":%d",
                     f->name, m->role_arn, f->memory_mb, m->timeout_s);
  add_environment(m, to);
  if (sub == CREATE)
    tr_text_add_format(to,
                       ",\"Architectures\":[\"%s\"],\"Code\":{\"S3Bucket\":\"%s\",\"S3Key\":\"%s\"},"
                       "\"Tags\":{\"terality:deployment\":\"%s\"}",
                       m->architecture, m->bucket, m->key, r->name);
  tr_text_add_char(to, '}');
}

static void send_function(struct launch_call *c, const struct launch_deployment *d, const struct tr_aws_record *r,
                          int32_t function) {
  static const char *const actions[] = {"CreateFunction", "UpdateFunctionConfiguration", "UpdateFunctionCode",
                                        "PutFunctionEventInvokeConfig"};
  static const char *const paths[] = {"/2015-03-31/functions", "/2015-03-31/functions/%s/configuration",
                                      "/2015-03-31/functions/%s/code", "/2019-09-25/functions/%s/event-invoke-config"};
  const struct tr_aws_function *f = &r->functions[function];
  char path[160];
  struct tr_text body = {0};
  const char *hole = strstr(paths[c->n], "%s");
  int before = hole ? (int)(hole - paths[c->n]) : (int)strlen(paths[c->n]);
  snprintf(path, sizeof path, "%.*s%s%s", before, paths[c->n], hole ? f->name : "", hole ? hole + 2 : "");
  function_body(r, f, c->n, &body);
  struct tr_aws_call call = {.method = c->n == CREATE ? "POST" : "PUT",
                             .path = path,
                             .content_type = "application/json",
                             .body = tr_text_str(&body),
                             .body_bytes = body.length,
                             .deadline_ms = 60000};
  launch_call_send(c, d, r, "lambda", actions[c->n], &call);
  tr_text_free(&body);
}

static void send_cluster(struct launch_call *c, const struct launch_deployment *d, const struct tr_aws_record *r) {
  struct tr_text body = {0};
  tr_text_add_format(&body, "{\"clusterName\":\"%s\",\"tags\":[{\"key\":\"terality:deployment\",\"value\":\"%s\"}]}",
                     r->ecs.cluster, r->name);
  launch_call_json(c, d, r, "CreateCluster", &body);
}

/* A tag specification of the query protocol of EC2. */
static void add_tags(struct tr_text *to, const char *prefix, int no, const char *of, const char *name) {
  char field[100];
  snprintf(field, sizeof field, "%sTagSpecification.%d.ResourceType", prefix, no);
  tr_aws_query_add(to, field, of);
  snprintf(field, sizeof field, "%sTagSpecification.%d.Tag.1.Key", prefix, no);
  tr_aws_query_add(to, field, "terality:deployment");
  snprintf(field, sizeof field, "%sTagSpecification.%d.Tag.1.Value", prefix, no);
  tr_aws_query_add(to, field, name);
}

static void send_template(struct launch_call *c, const struct launch_deployment *d, const struct tr_aws_record *r) {
  const struct tr_aws_managed_ec2 *m = &r->managed_ec2;
  const char *action = c->n == TEMPLATE ? "CreateLaunchTemplate" : "CreateLaunchTemplateVersion";
  const char *const fields[][2] = {{"ImageId", m->image},
                                   {"IamInstanceProfile.Name", m->profile},
                                   {"UserData", m->user_data},
                                   {"InstanceInitiatedShutdownBehavior", "terminate"},
                                   {"MetadataOptions.HttpTokens", "required"},
                                   {"MetadataOptions.HttpPutResponseHopLimit", "1"},
                                   {"BlockDeviceMapping.1.DeviceName", "/dev/xvda"},
                                   {"BlockDeviceMapping.1.Ebs.VolumeType", "gp3"},
                                   {"BlockDeviceMapping.1.Ebs.Encrypted", "true"},
                                   {"BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true"}};
  static const char data[] = "LaunchTemplateData.";
  char field[100];
  struct tr_text body = {0};
  tr_aws_query_begin(&body, action, ec2_version);
  tr_aws_query_add(&body, "LaunchTemplateName", m->template);
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    snprintf(field, sizeof field, "%s%s", data, fields[i][0]);
    tr_aws_query_add(&body, field, fields[i][1]);
  }
  for (int i = 0; i < m->security_groups.n; i++) {
    snprintf(field, sizeof field, "%sSecurityGroupId.%d", data, i + 1);
    tr_aws_query_add(&body, field, m->security_groups.ids[i]);
  }
  add_tags(&body, data, 1, "instance", r->name);
  add_tags(&body, data, 2, "volume", r->name);
  if (c->n == TEMPLATE) add_tags(&body, "", 1, "launch-template", r->name);
  launch_call_query(c, d, r, "ec2", action, &body);
}

static void send_group(struct launch_call *c, const struct launch_deployment *d, const struct tr_aws_record *r) {
  const struct tr_aws_managed_ec2 *m = &r->managed_ec2;
  const char *action = c->n == NEW_GROUP ? "CreateAutoScalingGroup" : "UpdateAutoScalingGroup";
  static const char policy[] = "MixedInstancesPolicy.";
  char field[120];
  struct tr_text body = {0}, subnets = {0};
  tr_aws_query_begin(&body, action, group_version);
  tr_aws_query_add(&body, "AutoScalingGroupName", r->ec2.group);
  tr_aws_query_add_int(&body, "MinSize", 0);
  tr_aws_query_add_int(&body, "MaxSize", m->max);
  for (int i = 0; i < m->subnets.n; i++) tr_text_add_format(&subnets, "%s%s", i ? "," : "", m->subnets.ids[i]);
  tr_aws_query_add(&body, "VPCZoneIdentifier", tr_text_str(&subnets));
  /* AWS may not take an instance away by itself, to even out zones for example. */
  tr_aws_query_add(&body, "NewInstancesProtectedFromScaleIn", "true");
  snprintf(field, sizeof field, "%sLaunchTemplate.LaunchTemplateSpecification.LaunchTemplateName", policy);
  tr_aws_query_add(&body, field, m->template);
  snprintf(field, sizeof field, "%sLaunchTemplate.LaunchTemplateSpecification.Version", policy);
  tr_aws_query_add(&body, field, "$Latest");
  for (int i = 0; i < m->n_types; i++) {
    snprintf(field, sizeof field, "%sLaunchTemplate.Overrides.member.%d.InstanceType", policy, i + 1);
    tr_aws_query_add(&body, field, m->types[i]);
  }
  snprintf(field, sizeof field, "%sInstancesDistribution.OnDemandPercentageAboveBaseCapacity", policy);
  tr_aws_query_add_int(&body, field, r->ec2.spot ? 0 : 100);
  snprintf(field, sizeof field, "%sInstancesDistribution.SpotAllocationStrategy", policy);
  tr_aws_query_add(&body, field, "price-capacity-optimized");
  if (c->n == NEW_GROUP) {
    tr_aws_query_add_int(&body, "DesiredCapacity", 0);
    tr_aws_query_add(&body, "Tags.member.1.Key", "terality:deployment");
    tr_aws_query_add(&body, "Tags.member.1.Value", r->name);
    tr_aws_query_add(&body, "Tags.member.1.PropagateAtLaunch", "true");
  }
  tr_text_free(&subnets);
  launch_call_query(c, d, r, "autoscaling", action, &body);
}

bool launch_managed_step(struct tr_launch *l, struct launch_deployment *d, const struct tr_aws_record *r,
                         struct tr_clock at) {
  struct launch_making *m = &d->making;
  int32_t function;
  if (m->step < 0) return true;
  if (m->asking) return false;
  enum what what = thing(r, m->step, &function);
  if (what == NOTHING) {
    m->step = -1;
    return true;
  }
  if (m->trouble.retry_at > at.now || m->again_at > at.now) return false;
  struct launch_call *c = launch_call_new(l, d, apply_step);
  if (!c) return false;
  c->kind = (int32_t)what;
  c->n = m->sub;
  m->asking = true;
  if (what == FUNCTION) send_function(c, d, r, function);
  else if (what == CLUSTER) send_cluster(c, d, r);
  else if (m->sub == TEMPLATE || m->sub == NEW_VERSION) send_template(c, d, r);
  else send_group(c, d, r);
  return false;
}
