/* See aws_record.h. Patterns are those of AWS' API references (IAM, Lambda, ECS, EC2 Auto Scaling, CloudWatch). */
#include "scheduler/aws_record.h"
#include "scheduler/fields.h"
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum pattern {
  P_REGION,
  P_ACCOUNT,
  P_ROLE_ARN,
  P_ROLE,
  P_FUNCTION,
  P_ECS_NAME,
  P_SUBNET,
  P_SECURITY_GROUP,
  P_GROUP,
  P_NAMESPACE,
  P_NAME,
  P_BUCKET,
  P_KEY,
  P_IMAGE,
  P_TYPE,
  P_BASE64,
  P_VARIABLE,
  PATTERNS
};

static const struct {
  const char *expression, *what;
  size_t most;
} patterns[PATTERNS] = {
    [P_REGION] = {"^[a-z]{2}(-[a-z]+){1,3}-[0-9]{1,2}$", "is no AWS region", 32},
    [P_ACCOUNT] = {"^[0-9]{12}$", "is no account of 12 digits", 12},
    [P_ROLE_ARN] = {"^arn:aws(-cn|-us-gov)?:iam::[0-9]{12}:role/([A-Za-z0-9_+=,.@-]+/)*[A-Za-z0-9_+=,.@-]{1,64}$",
                    "is no ARN of a role", 600},
    [P_ROLE] = {"^[A-Za-z0-9_+=,.@-]{1,64}$", "is no name of a role", 64},
    [P_FUNCTION] = {"^[A-Za-z0-9_-]{1,64}$", "is no name of a function", 64},
    [P_ECS_NAME] = {"^[A-Za-z0-9_-]{1,255}$", "is no name of letters, digits, dash and underscore", 255},
    [P_SUBNET] = {"^subnet-[0-9a-f]{8,17}$", "is no id of a subnet", 24},
    [P_SECURITY_GROUP] = {"^sg-[0-9a-f]{8,17}$", "is no id of a security group", 20},
    [P_GROUP] = {"^[A-Za-z0-9._/-]{1,255}$", "is no name of an autoscaling group", 255},
    [P_NAMESPACE] = {"^[A-Za-z0-9._/#-]{1,255}$", "is no CloudWatch namespace", 255},
    [P_NAME] = {"^[a-z][a-z0-9-]{1,24}$", "is no name of a deployment at AWS: lower case, digits, dash, 2 to 25", 25},
    [P_BUCKET] = {"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", "is no name of a bucket", 63},
    [P_KEY] = {"^[A-Za-z0-9!_.*'()/-]{1,1024}$", "is no key of an object", 1024},
    [P_IMAGE] = {"^(ami-[0-9a-f]{8,17}|resolve:ssm:/aws/service/[A-Za-z0-9/._-]+)$",
                 "is neither an image (ami-…) nor a public parameter (resolve:ssm:/aws/service/…)", 200},
    [P_TYPE] = {"^[a-z][a-z0-9-]*[.][a-z0-9-]{1,30}$", "is no instance type", 40},
    [P_BASE64] = {"^[A-Za-z0-9+/]*={0,2}$", "is no base64", 22000},
    [P_VARIABLE] = {"^TERALITY_[A-Z_]{1,40}$", "is no TERALITY_… variable", 60},
};

static bool keeps(const char *s, enum pattern p) {
  regex_t r;
  if (strlen(s) > patterns[p].most || regcomp(&r, patterns[p].expression, REG_EXTENDED | REG_NOSUB)) return false;
  bool good = regexec(&r, s, 0, NULL, 0) == 0;
  regfree(&r);
  return good;
}

static bool wrong(const struct tr_fields *f, const char *name, const char *value, const char *what) {
  return tr_fault_set(f->fault, 400, "invalid_body", "%s: \"%s\" %.80s %s", f->where, name, value, what);
}

static bool take_text(struct tr_fields *f, const char *name, enum pattern p, const char **out) {
  if (!tr_fields_text(f, name, false, TR_RULE_ANY, patterns[p].most, out)) return false;
  return keeps(*out, p) || wrong(f, name, *out, patterns[p].what);
}

static bool take_int32(struct tr_fields *f, const char *name, int64_t least, int64_t most, int32_t *out) {
  int64_t v = 0;
  if (!tr_fields_int(f, name, false, least, most, &v)) return false;
  *out = (int32_t)v;
  return true;
}

/* A list of 1 to `room` different texts. */
static bool take_texts(struct tr_fields *f, const char *name, enum pattern p, int32_t room, int32_t *n,
                       const char **out) {
  const json_t *list = NULL;
  if (!tr_fields_list(f, name, false, (size_t)room, &list)) return false;
  *n = (int32_t)json_array_size(list);
  if (!*n) return wrong(f, name, "", "is empty");
  for (int i = 0; i < *n; i++) {
    const json_t *v = json_array_get(list, (size_t)i);
    out[i] = json_string_value(v);
    if (!out[i] || strlen(out[i]) != json_string_length(v)) return wrong(f, name, "", "has something that is no text");
    if (!keeps(out[i], p)) return wrong(f, name, out[i], patterns[p].what);
    for (int k = 0; k < i; k++)
      if (strcmp(out[k], out[i]) == 0) return wrong(f, name, out[i], "is there twice");
  }
  return true;
}

static bool take_nets(struct tr_fields *f, struct tr_aws_nets *subnets, struct tr_aws_nets *groups) {
  return take_texts(f, "subnets", P_SUBNET, TR_AWS_NETS, &subnets->n, subnets->ids) &&
         take_texts(f, "security_groups", P_SECURITY_GROUP, TR_AWS_NETS, &groups->n, groups->ids);
}

static bool read_function(struct tr_aws_record *r, const json_t *o, int i, struct tr_fault *fault) {
  struct tr_fields f;
  char where[60];
  struct tr_aws_function *to = &r->functions[i];
  snprintf(where, sizeof where, "lambda.functions[%d]", i);
  if (!tr_fields_begin(&f, o, where, fault) || !take_text(&f, "name", P_FUNCTION, &to->name) ||
      !tr_fields_text(&f, "kind", false, TR_RULE_NAME, 32, &to->kind) ||
      !take_int32(&f, "memory_mb", 128, 10240, &to->memory_mb) || !tr_fields_end(&f))
    return false;
  if (strcmp(to->kind, "lambda-small") != 0 && strcmp(to->kind, "lambda-large") != 0)
    return wrong(&f, "kind", to->kind, "is neither lambda-small nor lambda-large");
  for (int k = 0; k < i; k++)
    if (strcmp(r->functions[k].kind, to->kind) == 0) return wrong(&f, "kind", to->kind, "is there twice");
  return true;
}

static bool read_lambda(struct tr_aws_record *r, const json_t *o, struct tr_fault *fault) {
  struct tr_fields f;
  const json_t *list = NULL;
  if (!o) return true;
  if (!tr_fields_begin(&f, o, "lambda", fault) || !tr_fields_list(&f, "functions", false, TR_AWS_FUNCTIONS, &list) ||
      !tr_fields_end(&f))
    return false;
  r->n_functions = (int32_t)json_array_size(list);
  if (!r->n_functions) return wrong(&f, "functions", "", "is empty");
  for (int i = 0; i < r->n_functions; i++)
    if (!read_function(r, json_array_get(list, (size_t)i), i, fault)) return false;
  return true;
}

static bool read_ecs(struct tr_aws_record *r, const json_t *o, struct tr_fault *fault) {
  static const int sizes[] = {256, 512, 1024, 2048, 4096, 8192, 16384};
  struct tr_fields f;
  if (!o) return true;
  if (!tr_fields_begin(&f, o, "ecs", fault) || !take_text(&f, "cluster", P_ECS_NAME, &r->ecs.cluster) ||
      !take_text(&f, "task_family", P_ECS_NAME, &r->ecs.family) ||
      !take_text(&f, "container", P_ECS_NAME, &r->ecs.container) ||
      !take_nets(&f, &r->ecs.subnets, &r->ecs.security_groups) || !take_int32(&f, "cpu", 256, 16384, &r->ecs.cpu) ||
      !take_int32(&f, "memory_mb", 512, 122880, &r->ecs.memory_mb) ||
      !tr_fields_bool(&f, "assign_public_ip", false, &r->ecs.public_ip) || !tr_fields_end(&f))
    return false;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    if (sizes[i] == r->ecs.cpu) return true;
  return wrong(&f, "cpu", "", "is no size of Fargate: 256, 512, 1024, … 16384");
}

static bool read_ec2(struct tr_aws_record *r, const json_t *o, struct tr_fault *fault) {
  struct tr_fields f;
  if (!o) return true;
  return tr_fields_begin(&f, o, "ec2", fault) && take_text(&f, "group", P_GROUP, &r->ec2.group) &&
         take_int32(&f, "cores", 1, 1024, &r->ec2.cores) &&
         take_int32(&f, "memory_mb", 512, 32 << 20, &r->ec2.memory_mb) &&
         tr_fields_bool(&f, "spot", false, &r->ec2.spot) && tr_fields_end(&f);
}

static bool read_limits(struct tr_aws_record *r, const json_t *o, struct tr_fault *fault) {
  struct tr_fields f;
  int64_t idle = 60;
  bool good = tr_fields_begin(&f, o, "limits", fault) && take_int32(&f, "workers", 0, 10000, &r->limits.workers) &&
              tr_fields_number(&f, "usd_per_query", false, 1e6, &r->limits.usd_per_query) &&
              tr_fields_number(&f, "usd_per_hour", false, 1e6, &r->limits.usd_per_hour) &&
              tr_fields_int(&f, "idle_seconds", true, 1, 86400, &idle) && tr_fields_end(&f);
  r->limits.idle_s = (int32_t)idle;
  return good;
}

static bool read_environment(struct tr_aws_record *r, const json_t *o, struct tr_fault *fault) {
  struct tr_fields f;
  const char *name;
  json_t *v;
  if (!tr_fields_begin(&f, o, "managed.lambda.environment", fault)) return false;
  json_object_foreach((json_t *)o, name, v) {
    if (!keeps(name, P_VARIABLE)) return wrong(&f, name, "", patterns[P_VARIABLE].what);
    if (!json_is_string(v) || json_string_length(v) > 1000 || !tr_text_keeps(json_string_value(v), TR_RULE_ANY, 1000))
      return wrong(&f, name, "", "is no text of 1 to 1000 characters");
  }
  r->managed_lambda.environment = o;
  return true;
}

static bool read_managed_lambda(struct tr_aws_record *r, const json_t *o, struct tr_fault *fault) {
  struct tr_fields f;
  struct tr_aws_managed_lambda *m = &r->managed_lambda;
  const json_t *environment = NULL;
  if (!o) return true;
  if (!tr_fields_begin(&f, o, "managed.lambda", fault) || !take_text(&f, "role_arn", P_ROLE_ARN, &m->role_arn) ||
      !tr_fields_text(&f, "architecture", false, TR_RULE_NAME, 10, &m->architecture) ||
      !take_text(&f, "bucket", P_BUCKET, &m->bucket) || !take_text(&f, "key", P_KEY, &m->key) ||
      !take_int32(&f, "timeout_s", 3, 900, &m->timeout_s) || !tr_fields_any(&f, "environment", false, &environment) ||
      !tr_fields_end(&f))
    return false;
  if (strcmp(m->architecture, "arm64") != 0 && strcmp(m->architecture, "x86_64") != 0)
    return wrong(&f, "architecture", m->architecture, "is neither arm64 nor x86_64");
  if (!r->n_functions) return wrong(&f, "role_arn", "", "is there without \"lambda\"");
  return read_environment(r, environment, fault);
}

static bool read_managed_ec2(struct tr_aws_record *r, const json_t *o, struct tr_fault *fault) {
  struct tr_fields f;
  struct tr_aws_managed_ec2 *m = &r->managed_ec2;
  if (!o) return true;
  if (!tr_fields_begin(&f, o, "managed.ec2", fault) || !take_text(&f, "launch_template", P_ECS_NAME, &m->template) ||
      !take_text(&f, "image", P_IMAGE, &m->image) || !take_text(&f, "instance_profile", P_ROLE, &m->profile) ||
      !take_text(&f, "user_data", P_BASE64, &m->user_data) ||
      !take_texts(&f, "instance_types", P_TYPE, TR_AWS_TYPES, &m->n_types, m->types) ||
      !take_int32(&f, "max", 1, 10000, &m->max) || !take_nets(&f, &m->subnets, &m->security_groups) ||
      !tr_fields_end(&f))
    return false;
  return r->ec2.group || wrong(&f, "launch_template", "", "is there without \"ec2\"");
}

/* What the scheduler may make and change bears the deployment's prefix; the role's policy says the same. */
static bool check_prefix(const struct tr_aws_record *r, const char *name, struct tr_fault *fault) {
  char prefix[40];
  int n = snprintf(prefix, sizeof prefix, "terality-%s-", r->name);
  if (!name || strncmp(name, prefix, (size_t)n) == 0) return true;
  return tr_fault_set(fault, 400, "invalid_body", "managed: %s does not begin with %s", name, prefix);
}

static bool read_managed(struct tr_aws_record *r, const json_t *o, struct tr_fault *fault) {
  struct tr_fields f;
  const json_t *lambda = NULL, *ec2 = NULL;
  if (!o) return true;
  if (!r->managed) return tr_fault_set(fault, 400, "invalid_body", "\"managed\" goes with access \"managed\" only");
  if (!tr_fields_begin(&f, o, "managed", fault) || !take_text(&f, "name", P_NAME, &r->name) ||
      !tr_fields_bool(&f, "cluster", true, &r->managed_cluster) || !tr_fields_any(&f, "lambda", true, &lambda) ||
      !tr_fields_any(&f, "ec2", true, &ec2) || !tr_fields_end(&f) || !read_managed_lambda(r, lambda, fault) ||
      !read_managed_ec2(r, ec2, fault))
    return false;
  if (r->managed_cluster && !r->ecs.cluster) return wrong(&f, "cluster", "", "is true without \"ecs\"");
  for (int i = 0; lambda && i < r->n_functions; i++)
    if (!check_prefix(r, r->functions[i].name, fault)) return false;
  return check_prefix(r, r->managed_cluster ? r->ecs.cluster : NULL, fault) &&
         check_prefix(r, ec2 ? r->ec2.group : NULL, fault) && check_prefix(r, r->managed_ec2.template, fault);
}

/* The role, the region and the account say the same of where this is. */
static bool check_place(const struct tr_aws_record *r, struct tr_fault *fault) {
  const char *partition = r->role_arn + 4, *account = strstr(r->role_arn, ":iam::") + 6;
  const char *wanted = strncmp(r->region, "cn-", 3) == 0       ? "aws-cn:"
                       : strncmp(r->region, "us-gov-", 7) == 0 ? "aws-us-gov:"
                                                               : "aws:";
  if (strncmp(account, r->account, 12) != 0)
    return tr_fault_set(fault, 400, "invalid_body", "\"role_arn\" is a role of another account than %s", r->account);
  if (strncmp(partition, wanted, strlen(wanted)) != 0)
    return tr_fault_set(fault, 400, "invalid_body", "\"role_arn\" is in another partition than region %s", r->region);
  return true;
}

static bool read_all(struct tr_aws_record *r, struct tr_fault *fault) {
  struct tr_fields f;
  const char *access = NULL;
  const json_t *lambda = NULL, *ecs = NULL, *ec2 = NULL, *limits = NULL, *managed = NULL;
  if (!tr_fields_begin(&f, r->json, "the body", fault) || !take_text(&f, "region", P_REGION, &r->region) ||
      !take_text(&f, "account", P_ACCOUNT, &r->account) || !take_text(&f, "role_arn", P_ROLE_ARN, &r->role_arn) ||
      !tr_fields_text(&f, "access", false, TR_RULE_NAME, 10, &access) ||
      !take_texts(&f, "worker_roles", P_ROLE, TR_AWS_ROLES, &r->n_roles, r->roles) ||
      !tr_fields_any(&f, "lambda", true, &lambda) || !tr_fields_any(&f, "ecs", true, &ecs) ||
      !tr_fields_any(&f, "ec2", true, &ec2) || !tr_fields_any(&f, "limits", false, &limits) ||
      !tr_fields_any(&f, "managed", true, &managed) ||
      !take_text(&f, "metrics_namespace", P_NAMESPACE, &r->metrics_namespace) || !tr_fields_end(&f))
    return false;
  r->managed = strcmp(access, "managed") == 0;
  if (!r->managed && strcmp(access, "minimal") != 0)
    return wrong(&f, "access", access, "is neither minimal nor managed");
  if (strncmp(r->metrics_namespace, "AWS/", 4) == 0)
    return wrong(&f, "metrics_namespace", r->metrics_namespace, "is one of AWS' own");
  if (!lambda && !ecs && !ec2)
    return tr_fault_set(fault, 400, "invalid_body", "the body has none of \"lambda\", \"ecs\" and \"ec2\"");
  return check_place(r, fault) && read_lambda(r, lambda, fault) && read_ecs(r, ecs, fault) && read_ec2(r, ec2, fault) &&
         read_limits(r, limits, fault) && read_managed(r, managed, fault);
}

struct tr_aws_record *tr_aws_record_read(json_t *json, struct tr_fault *fault) {
  struct tr_aws_record *r = calloc(1, sizeof *r);
  if (!r) {
    tr_fault_set(fault, 503, "no_memory", "no memory for the settings");
    return NULL;
  }
  r->json = json_incref(json);
  if (read_all(r, fault)) return r;
  tr_aws_record_free(r);
  return NULL;
}

struct tr_aws_record *tr_aws_record_parse(const char *text, struct tr_fault *fault) {
  json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
  struct tr_aws_record *r = tr_aws_record_read(json, fault);
  json_decref(json);
  return r;
}

void tr_aws_record_free(struct tr_aws_record *r) {
  if (!r) return;
  json_decref(r->json);
  free(r);
}

void tr_aws_record_print(const struct tr_aws_record *r, struct tr_text *out) {
  char *text = json_dumps(r->json, JSON_COMPACT);
  if (text) tr_text_add_str(out, text);
  else out->failed_bytes = 1;
  free(text);
}

bool tr_aws_record_same_place(const struct tr_aws_record *a, const struct tr_aws_record *b) {
  if (!a || !b || json_object_size(a->json) != json_object_size(b->json)) return false;
  const char *name;
  json_t *value;
  json_object_foreach(a->json, name, value) {
    if (strcmp(name, "limits") == 0 || strcmp(name, "worker_roles") == 0) continue;
    if (!json_equal(value, json_object_get(b->json, name))) return false;
  }
  return true;
}

bool tr_aws_record_has_role(const struct tr_aws_record *r, const char *role) {
  for (int i = 0; i < r->n_roles; i++)
    if (strcmp(r->roles[i], role) == 0) return true;
  return false;
}
