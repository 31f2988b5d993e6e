/* Inside of AWS credentials: what profile files say, and sources that give keys for a while. */
#pragma once
#include "net/aws.h"
#include "net/http.h"

/* An environment variable, NULL when it is not set or empty. */
const char *tr_aws_variable(const char *name);
/* Strings are copied; NULL and "" of the token are no token. Frees what was there. */
TR_MUST_USE enum tr_status tr_aws_keys_set(struct tr_aws_keys *to, const char *access, const char *secret,
                                           const char *token, struct tr_error *err);

/* ---- aws_profile.c */
/* What the files say of a profile; each the first found. */
struct tr_aws_profile {
  char *access_key, *secret_key, *session_token, *region, *endpoint;
  char *role_arn, *source_profile, *credential_source, *external_id, *role_session_name, *duration_seconds;
  char *web_identity_token_file;
  bool found;
};
/* `name` NULL = AWS_PROFILE or "default". TR_EXC_VALUE when neither file has it, except for the default. */
TR_MUST_USE enum tr_status tr_aws_profile_load(const char *name, struct tr_aws_profile *out, struct tr_error *err);
void tr_aws_profile_free(struct tr_aws_profile *p);
/* Whose profile is meant. */
const char *tr_aws_profile_name(const char *given);

/* ---- aws_source.c: which source, and roles taken at STS */
struct tr_aws_source;
/* The source that environment, profile and `o` name; NULL in `out` when the keys are static and given in `keys`, or
 * when there can be none. */
TR_MUST_USE enum tr_status tr_aws_source_choose(const struct tr_aws_options *o, const struct tr_aws_profile *p,
                                                const char *region, struct tr_aws_source **out,
                                                struct tr_aws_keys *keys, struct tr_error *err);
void tr_aws_source_free(struct tr_aws_source *s);
/* True when nothing names the source: that it has no keys means that there are none. */
bool tr_aws_source_is_guess(const struct tr_aws_source *s);
/* A tr_aws_refresh; `arg` is the source. Blocks. Uses an HTTP client of its own, for it may be called on the loop of
 * another. */
TR_MUST_USE enum tr_status tr_aws_source_fetch(void *arg, struct tr_aws_keys *out, struct tr_error *err);

/* ---- aws_endpoints.c: keys from the container's and the instance's endpoints */
TR_MUST_USE enum tr_status tr_aws_container_keys(bool fixed, struct tr_http *http, struct tr_aws_keys *out,
                                                 struct tr_error *err);
TR_MUST_USE enum tr_status tr_aws_instance_keys(bool fixed, struct tr_aws_keys *out, struct tr_error *err);
/* The keys of a JSON reply as both endpoints give it; `where` for errors. */
TR_MUST_USE enum tr_status tr_aws_keys_parse(const void *body, size_t bytes, const char *where, struct tr_aws_keys *out,
                                             struct tr_error *err);
