/* Who we are at AWS: keys, region and endpoint, from where AWS' own tools take them.
 *
 * Order: what the caller gave; the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), unless
 * the caller named a profile; a role that the profile (given, AWS_PROFILE or "default", in ~/.aws/credentials and
 * ~/.aws/config, or AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE) takes by another profile's keys, by a credential
 * source or by an identity token; a role by AWS_WEB_IDENTITY_TOKEN_FILE; the profile's keys; the container's endpoint
 * (AWS_CONTAINER_CREDENTIALS_…); the instance's (IMDSv2). Keys that end are fetched anew five minutes before. Secrets
 * are wiped when freed and appear in no error text.
 */
#pragma once
#include "base/status.h"

/* Keys from one endpoint at its fixed address only: environment and profiles are not looked at, not even for region
 * and endpoint. */
enum tr_aws_only { TR_AWS_ANY = 0, TR_AWS_CONTAINER, TR_AWS_INSTANCE };

/* All borrowed; NULL = look elsewhere. */
struct tr_aws_options {
  const char *access_key, *secret_key, *session_token;
  const char *profile, *region, *endpoint;
  bool anonymous; /* send requests unsigned */
  enum tr_aws_only only;
};

/* Keys at one moment. Owned strings: tr_aws_keys_free. */
struct tr_aws_keys {
  char *access_key, *secret_key, *session_token; /* access_key NULL = anonymous; token may be NULL */
  int64_t expires_at;                            /* seconds since 1970; 0 = never */
};

struct tr_aws_identity;

/* Fetches new keys (strings made by malloc, given) when there are none or they are about to expire. Called under the
 * identity's lock, so once at a time. */
typedef enum tr_status (*tr_aws_refresh)(void *arg, struct tr_aws_keys *out, struct tr_error *err);

/* Looks at environment and files; no network. When there are no keys it succeeds: tr_aws_identity_keys will tell.
 * `service` names the service in AWS_ENDPOINT_URL_<SERVICE> ("S3"). TR_EXC_VALUE for a profile that does not exist or a
 * key without its secret. */
TR_MUST_USE enum tr_status tr_aws_identity_new(const struct tr_aws_options *options, const char *service,
                                               struct tr_aws_identity **out, struct tr_error *err);
/* NULL is allowed. */
void tr_aws_identity_free(struct tr_aws_identity *id);
/* To be called before the first use of keys. */
void tr_aws_identity_set_refresh(struct tr_aws_identity *id, tr_aws_refresh refresh, void *arg);
/* Gives a copy of keys that hold for five minutes or more, where that can be had. Thread-safe. A PermissionError
 * (EACCES) when there are none; the text says where they were looked for. */
TR_MUST_USE enum tr_status tr_aws_identity_keys(struct tr_aws_identity *id, struct tr_aws_keys *out,
                                                struct tr_error *err);
void tr_aws_keys_free(struct tr_aws_keys *keys);
/* The region, NULL when nothing names one; the endpoint, NULL for AWS' own. Borrowed from the identity. */
const char *tr_aws_identity_region(const struct tr_aws_identity *id);
const char *tr_aws_identity_endpoint(const struct tr_aws_identity *id);
