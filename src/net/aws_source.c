/* Sources of short-lived keys: the container's and the instance's endpoint, roles taken at STS by an identity token or
 * by keys of another source. Which one is meant, AWS' own tools decide in the order that is followed here. */
#include "base/text.h"
#include "net/aws_endpoints.h"
#include "net/aws_int.h"
#include "net/aws_sign.h"
#include "net/crypto.h"
#include "net/url.h"
#include "net/xml.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STS_MS = 10000, STS_ATTEMPTS = 3, MOST_LINKS = 5, TOKEN_BYTES = 64 << 10 };

enum source_kind { SOURCE_KEYS, SOURCE_CONTAINER, SOURCE_INSTANCE, SOURCE_WEB_IDENTITY, SOURCE_ROLE };

struct tr_aws_source {
  enum source_kind kind;
  bool fixed, guess;
  struct tr_aws_keys keys; /* SOURCE_KEYS */
  /* STS */
  char *role, *session, *external_id, *duration, *token_file, *region, *endpoint;
  struct tr_aws_source *base; /* SOURCE_ROLE: whose keys ask for the role */
};

void tr_aws_source_free(struct tr_aws_source *s) {
  if (!s) return;
  tr_aws_keys_free(&s->keys);
  char *texts[] = {s->role, s->session, s->external_id, s->duration, s->token_file, s->region, s->endpoint};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i]);
  tr_aws_source_free(s->base);
  free(s);
}

bool tr_aws_source_is_guess(const struct tr_aws_source *s) { return s->guess; }

TR_MUST_USE static enum tr_status copy(const char *s, char **out, struct tr_error *err) {
  *out = s ? strdup(s) : NULL;
  return s && !*out ? tr_fail_memory(err, strlen(s)) : TR_OK;
}

TR_MUST_USE static enum tr_status make(enum source_kind kind, struct tr_aws_source **out, struct tr_error *err) {
  *out = calloc(1, sizeof **out);
  if (!*out) return tr_fail_memory(err, sizeof **out);
  (*out)->kind = kind;
  return TR_OK;
}

/* ---- choosing */
TR_MUST_USE static enum tr_status set_sts(struct tr_aws_source *s, const char *role, const char *session,
                                          const char *region, struct tr_error *err) {
  const char *ignore = tr_aws_variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
  const char *endpoint = tr_aws_variable("AWS_ENDPOINT_URL_STS");
  char name[40];
  if (!endpoint) endpoint = tr_aws_variable("AWS_ENDPOINT_URL");
  if (ignore && strcmp(ignore, "true") == 0) endpoint = NULL;
  snprintf(name, sizeof name, "terality-%lld", (long long)time(NULL));
  TR_TRY(copy(role, &s->role, err));
  TR_TRY(copy(session ? session : name, &s->session, err));
  TR_TRY(copy(region, &s->region, err));
  return copy(endpoint, &s->endpoint, err);
}

TR_MUST_USE static enum tr_status web_identity(const char *file, const char *role, const char *session,
                                               const char *region, struct tr_aws_source **out, struct tr_error *err) {
  TR_TRY(make(SOURCE_WEB_IDENTITY, out, err));
  TR_TRY(copy(file, &(*out)->token_file, err));
  return set_sts(*out, role, session, region, err);
}

TR_MUST_USE static enum tr_status static_keys(const char *access, const char *secret, const char *token,
                                              struct tr_aws_source **out, struct tr_error *err) {
  TR_TRY(make(SOURCE_KEYS, out, err));
  return tr_aws_keys_set(&(*out)->keys, access, secret, token, err);
}

/* credential_source of a profile. */
TR_MUST_USE static enum tr_status named_source(const char *name, struct tr_aws_source **out, struct tr_error *err) {
  if (strcmp(name, "Ec2InstanceMetadata") == 0) return make(SOURCE_INSTANCE, out, err);
  if (strcmp(name, "EcsContainer") == 0) return make(SOURCE_CONTAINER, out, err);
  if (strcmp(name, "Environment") != 0)
    return tr_fail(err, TR_EXC_VALUE, "credential_source %s: there are Environment, Ec2InstanceMetadata, EcsContainer",
                   name);
  const char *access = tr_aws_variable("AWS_ACCESS_KEY_ID"), *secret = tr_aws_variable("AWS_SECRET_ACCESS_KEY");
  if (!access || !secret)
    return tr_fail(err, TR_EXC_VALUE, "credential_source is Environment, but AWS_ACCESS_KEY_ID is not set");
  return static_keys(access, secret, tr_aws_variable("AWS_SESSION_TOKEN"), out, err);
}

TR_MUST_USE static enum tr_status profile_role(const char *name, const struct tr_aws_profile *p, const char *region,
                                               int links, struct tr_aws_source **out, struct tr_error *err);

/* The profile whose keys ask for a role: its own keys, or a role in turn. */
TR_MUST_USE static enum tr_status source_profile(const char *name, bool own, const char *region, int links,
                                                 struct tr_aws_source **out, struct tr_error *err) {
  struct tr_aws_profile p = {0};
  if (links > MOST_LINKS)
    return tr_fail(err, TR_EXC_VALUE, "the config profile (%s): source_profile leads on and on", name);
  TR_TRY(tr_aws_profile_load(name, &p, err));
  enum tr_status st;
  if (p.role_arn && !own) st = profile_role(name, &p, region, links, out, err);
  else if (p.access_key && p.secret_key) st = static_keys(p.access_key, p.secret_key, p.session_token, out, err);
  else st = tr_fail(err, TR_EXC_VALUE, "the source_profile %s has no keys", name);
  tr_aws_profile_free(&p);
  return st;
}

enum tr_status profile_role(const char *name, const struct tr_aws_profile *p, const char *region, int links,
                            struct tr_aws_source **out, struct tr_error *err) {
  if (!region) region = p->region;
  if (p->web_identity_token_file)
    return web_identity(p->web_identity_token_file, p->role_arn, p->role_session_name, region, out, err);
  if (!p->source_profile == !p->credential_source)
    return tr_fail(err, TR_EXC_VALUE,
                   "the config profile (%s) has role_arn and needs one of source_profile and credential_source", name);
  TR_TRY(make(SOURCE_ROLE, out, err));
  struct tr_aws_source *s = *out;
  TR_TRY(set_sts(s, p->role_arn, p->role_session_name, region, err));
  TR_TRY(copy(p->external_id, &s->external_id, err));
  TR_TRY(copy(p->duration_seconds, &s->duration, err));
  if (p->credential_source) return named_source(p->credential_source, &s->base, err);
  bool own = strcmp(p->source_profile, name) == 0;
  return source_profile(p->source_profile, own, region, links + 1, &s->base, err);
}

/* Keys that are there already: what the caller gave, the environment's, the profile's. */
TR_MUST_USE static enum tr_status take(const char *access, const char *secret, const char *token, const char *from,
                                       struct tr_aws_keys *keys, struct tr_error *err) {
  if (!access || !secret)
    return tr_fail(err, TR_EXC_VALUE, "Partial credentials found in %s, missing: %s", from,
                   access ? "aws_secret_access_key" : "aws_access_key_id");
  return tr_aws_keys_set(keys, access, secret, token, err);
}

TR_MUST_USE static enum tr_status choose(const struct tr_aws_options *o, const struct tr_aws_profile *p,
                                         const char *region, struct tr_aws_source **out, struct tr_aws_keys *keys,
                                         struct tr_error *err) {
  const char *access = tr_aws_variable("AWS_ACCESS_KEY_ID"), *secret = tr_aws_variable("AWS_SECRET_ACCESS_KEY");
  const char *file = tr_aws_variable("AWS_WEB_IDENTITY_TOKEN_FILE"), *role = tr_aws_variable("AWS_ROLE_ARN");
  if (o->access_key || o->secret_key)
    return take(o->access_key, o->secret_key, o->session_token, "the options", keys, err);
  if (o->only) {
    TR_TRY(make(o->only == TR_AWS_CONTAINER ? SOURCE_CONTAINER : SOURCE_INSTANCE, out, err));
    (*out)->fixed = true;
    return TR_OK;
  }
  if (!o->profile && (access || secret))
    return take(access, secret, tr_aws_variable("AWS_SESSION_TOKEN"), "the environment", keys, err);
  if (p->role_arn) return profile_role(tr_aws_profile_name(o->profile), p, region, 0, out, err);
  if (!o->profile && file && role)
    return web_identity(file, role, tr_aws_variable("AWS_ROLE_SESSION_NAME"), region, out, err);
  if (p->access_key || p->secret_key)
    return take(p->access_key, p->secret_key, p->session_token, "the profile", keys, err);
  if (tr_aws_variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") ||
      tr_aws_variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
    return make(SOURCE_CONTAINER, out, err);
  TR_TRY(make(SOURCE_INSTANCE, out, err));
  (*out)->guess = true;
  return TR_OK;
}

enum tr_status tr_aws_source_choose(const struct tr_aws_options *o, const struct tr_aws_profile *p, const char *region,
                                    struct tr_aws_source **out, struct tr_aws_keys *keys, struct tr_error *err) {
  *out = NULL;
  enum tr_status st = choose(o, p, region, out, keys, err);
  if (st == TR_OK) return TR_OK;
  tr_aws_source_free(*out);
  *out = NULL;
  return st;
}

/* ---- STS */
static void add_field(struct tr_text *to, const char *name, const char *value) {
  if (!value) return;
  tr_text_add_format(to, "&%s=", name);
  tr_url_escape(to, value, strlen(value), false);
}

static void sts_url(const struct tr_aws_source *s, struct tr_text *to) {
  bool china = s->region && strncmp(s->region, "cn-", 3) == 0;
  if (s->endpoint) {
    size_t n = strlen(s->endpoint);
    while (n && s->endpoint[n - 1] == '/') n--;
    tr_text_add(to, s->endpoint, n);
  } else if (s->region) {
    tr_text_add_format(to, "https://sts.%s.amazonaws.com%s", s->region, china ? ".cn" : "");
  } else {
    tr_text_add_str(to, "https://sts.amazonaws.com");
  }
  tr_text_add_char(to, '/');
}

/* What the reply says: keys, or why not. */
TR_MUST_USE static enum tr_status read_role(const struct tr_aws_source *s, const struct tr_http_reply *reply,
                                            struct tr_aws_keys *out, struct tr_error *err) {
  char access[200], secret[200], until[64], code[100], message[400], *token = malloc(TOKEN_BYTES);
  enum tr_status st = token ? TR_OK : tr_fail_memory(err, TOKEN_BYTES);
  if (st == TR_OK && reply->status != 200) {
    tr_xml_find(reply->body, reply->body_bytes, "Code", code, sizeof code);
    tr_xml_find(reply->body, reply->body_bytes, "Message", message, sizeof message);
    st = tr_fail_os(err, EACCES, "STS does not give the role %s: %s: %s (status %d)", s->role, code, message,
                    reply->status);
  } else if (st == TR_OK) {
    bool all = tr_xml_find(reply->body, reply->body_bytes, "AccessKeyId", access, sizeof access) &&
               tr_xml_find(reply->body, reply->body_bytes, "SecretAccessKey", secret, sizeof secret) &&
               tr_xml_find(reply->body, reply->body_bytes, "SessionToken", token, TOKEN_BYTES) &&
               tr_xml_find(reply->body, reply->body_bytes, "Expiration", until, sizeof until);
    st = all ? tr_aws_keys_set(out, access, secret, token, err)
             : tr_fail(err, TR_EXC_RUNTIME, "STS gives a reply without keys for the role %s", s->role);
    if (st == TR_OK) out->expires_at = tr_time_parse(until) / 1000000000;
    tr_crypto_wipe(secret, sizeof secret);
    tr_crypto_wipe(token, TOKEN_BYTES);
  }
  free(token);
  return st;
}

/* `keys` NULL: the body itself proves who asks. */
TR_MUST_USE static enum tr_status ask_sts(const struct tr_aws_source *s, struct tr_http *http,
                                          const struct tr_aws_keys *keys, const struct tr_text *body,
                                          struct tr_aws_keys *out, struct tr_error *err) {
  struct tr_text url = {0};
  struct tr_aws_signature signature = {0};
  struct tr_http_header headers[1 + TR_AWS_SIGN_HEADERS] = {{"content-type", "application/x-www-form-urlencoded"}};
  struct tr_http_reply reply = {0};
  int n = 1;
  sts_url(s, &url);
  enum tr_status st = tr_text_check(&url, err);
  if (st == TR_OK) st = tr_text_check(body, err);
  struct tr_http_request request = {.method = "POST",
                                    .url = url.data,
                                    .headers = headers,
                                    .body = body->data,
                                    .body_bytes = body->length,
                                    .deadline_ms = STS_MS};
  if (st == TR_OK && keys)
    st = tr_aws_sign(keys, s->region ? s->region : "us-east-1", "sts", (int64_t)time(NULL), &request, headers, &n,
                     &signature, err);
  request.n_headers = n;
  if (st == TR_OK) st = tr_endpoint_get(http, &request, STS_ATTEMPTS, &reply, err);
  if (st == TR_OK) st = read_role(s, &reply, out, err);
  tr_http_reply_free(&reply);
  tr_text_free(&url);
  tr_aws_signature_free(&signature);
  return st;
}

/* The token's file is read each time: whoever put it there renews it. */
TR_MUST_USE static enum tr_status add_token(const char *path, struct tr_text *body, struct tr_error *err) {
  char *text = malloc(TOKEN_BYTES);
  FILE *f = fopen(path, "re");
  enum tr_status st = !f      ? tr_fail_os(err, errno, "AWS_WEB_IDENTITY_TOKEN_FILE %s", path)
                      : !text ? tr_fail_memory(err, TOKEN_BYTES)
                              : TR_OK;
  if (st == TR_OK) {
    size_t n = fread(text, 1, TOKEN_BYTES - 1, f);
    text[n] = 0;
    add_field(body, "WebIdentityToken", text);
  }
  if (f) fclose(f);
  free(text);
  return st;
}

TR_MUST_USE static enum tr_status take_role(struct tr_aws_source *s, struct tr_http *http,
                                            const struct tr_aws_keys *keys, struct tr_aws_keys *out,
                                            struct tr_error *err) {
  struct tr_text body = {0};
  enum tr_status st = TR_OK;
  tr_text_add_format(&body, "Action=%s&Version=2011-06-15", keys ? "AssumeRole" : "AssumeRoleWithWebIdentity");
  add_field(&body, "RoleArn", s->role);
  add_field(&body, "RoleSessionName", s->session);
  add_field(&body, "ExternalId", s->external_id);
  add_field(&body, "DurationSeconds", s->duration);
  if (!keys) st = add_token(s->token_file, &body, err);
  if (st == TR_OK) st = ask_sts(s, http, keys, &body, out, err);
  if (body.data) tr_crypto_wipe(body.data, body.length);
  tr_text_free(&body);
  return st;
}

TR_MUST_USE static enum tr_status fetch(struct tr_aws_source *s, struct tr_http *http, struct tr_aws_keys *out,
                                        struct tr_error *err) {
  struct tr_aws_keys keys = {0};
  switch (s->kind) {
  case SOURCE_KEYS: return tr_aws_keys_set(out, s->keys.access_key, s->keys.secret_key, s->keys.session_token, err);
  case SOURCE_CONTAINER: return tr_aws_container_keys(s->fixed, http, out, err);
  case SOURCE_INSTANCE: return tr_aws_instance_keys(s->fixed, out, err);
  case SOURCE_WEB_IDENTITY: return take_role(s, http, NULL, out, err);
  case SOURCE_ROLE: break;
  }
  enum tr_status st = fetch(s->base, http, &keys, err);
  if (st == TR_OK) st = take_role(s, http, &keys, out, err);
  tr_aws_keys_free(&keys);
  return st;
}

enum tr_status tr_aws_source_fetch(void *arg, struct tr_aws_keys *out, struct tr_error *err) {
  struct tr_http *http;
  TR_TRY(tr_http_new(NULL, &http, err));
  enum tr_status st = fetch(arg, http, out, err);
  tr_http_free(http);
  return st;
}
