/* What a deployment knows about its stack on AWS: the body of PUT /v1/deployments/{id}/aws, checked field by field.
 *
 * Everything that will stand in a request to AWS (names, ARNs, the region, which also becomes part of a host name) is
 * held against AWS' own pattern for it, so nothing of a record can reach another account or another service. The
 * record is kept in the database as the JSON text it prints as.
 */
#pragma once
#include "base/text.h"
#include <jansson.h>

struct tr_fault;

enum {
  TR_AWS_ROLES = 8,
  TR_AWS_FUNCTIONS = 2, /* lambda-small, lambda-large */
  TR_AWS_NETS = 16,     /* subnets; security groups */
  TR_AWS_TYPES = 16     /* instance types of a managed group */
};

struct tr_aws_function {
  const char *name, *kind; /* kind: "lambda-small" or "lambda-large" */
  int32_t memory_mb;
};

struct tr_aws_nets {
  int32_t n;
  const char *ids[TR_AWS_NETS];
};

/* With what functions of a managed deployment are made; role_arn NULL = the stack has them. */
struct tr_aws_managed_lambda {
  const char *role_arn, *architecture, *bucket, *key;
  int32_t timeout_s;
  const json_t *environment; /* of texts; borrowed from the record's JSON */
};

/* With what the group of a managed deployment is made; image NULL = the stack has it. */
struct tr_aws_managed_ec2 {
  const char *template, *image, *profile, *user_data; /* user_data: base64 */
  int32_t n_types, max;
  const char *types[TR_AWS_TYPES];
  struct tr_aws_nets subnets, security_groups;
};

struct tr_aws_record {
  json_t *json; /* as it came; the texts below are its */
  const char *region, *account, *role_arn;
  bool managed; /* access: "managed" rather than "minimal" */
  int32_t n_roles, n_functions;
  const char *roles[TR_AWS_ROLES];
  struct tr_aws_function functions[TR_AWS_FUNCTIONS];
  struct {
    const char *cluster, *family, *container; /* cluster NULL = none */
    struct tr_aws_nets subnets, security_groups;
    int32_t cpu, memory_mb; /* cpu in 1/1024 of a core */
    bool public_ip;
  } ecs;
  struct {
    const char *group; /* NULL = none */
    int32_t cores, memory_mb;
    bool spot;
  } ec2;
  struct {
    int32_t workers;                    /* 0 = off: what runs is drained, nothing is started */
    double usd_per_query, usd_per_hour; /* 0 = no cap */
    int32_t idle_s;                     /* an idle task or instance ends after so long */
  } limits;
  const char *metrics_namespace;
  const char *name; /* of the deployment at AWS: terality-NAME-…; of a managed one, else NULL */
  bool managed_cluster;
  struct tr_aws_managed_lambda managed_lambda;
  struct tr_aws_managed_ec2 managed_ec2;
};

/* Reads a record; takes a reference of `json`. NULL with a fault that names the field. */
struct tr_aws_record *tr_aws_record_read(json_t *json, struct tr_fault *fault);
/* The same of a text that the database has. */
struct tr_aws_record *tr_aws_record_parse(const char *text, struct tr_fault *fault);
/* NULL is allowed. */
void tr_aws_record_free(struct tr_aws_record *r);
/* As one line of JSON. */
void tr_aws_record_print(const struct tr_aws_record *r, struct tr_text *out);
/* Whether they differ in limits and worker_roles at most. NULL is another place. */
bool tr_aws_record_same_place(const struct tr_aws_record *a, const struct tr_aws_record *b);
/* Whether workers of this role may prove themselves. */
bool tr_aws_record_has_role(const struct tr_aws_record *r, const char *role);
