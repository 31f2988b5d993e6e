/* AWS credentials: see aws.h. */
#include "net/aws.h"
#include "base/text.h"
#include "net/crypto.h"
#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FILE_BYTES = 1 << 20, REFRESH_SECONDS = 300 };

struct tr_aws_identity {
  pthread_mutex_t lock;
  struct tr_aws_keys keys;
  bool anonymous;
  char *region, *endpoint;
  tr_aws_refresh refresh;
  void *refresh_arg;
};

static void wipe_free(char *secret) {
  if (secret) tr_crypto_wipe(secret, strlen(secret));
  free(secret);
}

void tr_aws_keys_free(struct tr_aws_keys *k) {
  wipe_free(k->access_key);
  wipe_free(k->secret_key);
  wipe_free(k->session_token);
  memset(k, 0, sizeof *k);
}

void tr_aws_identity_free(struct tr_aws_identity *id) {
  if (!id) return;
  tr_aws_keys_free(&id->keys);
  free(id->region);
  free(id->endpoint);
  pthread_mutex_destroy(&id->lock);
  free(id);
}

TR_MUST_USE static enum tr_status copy(const char *s, char **out, struct tr_error *err) {
  *out = s ? strdup(s) : NULL;
  return s && !*out ? tr_fail_memory(err, strlen(s)) : TR_OK;
}

TR_MUST_USE static enum tr_status set_keys(struct tr_aws_keys *to, const char *access, const char *secret,
                                           const char *token, struct tr_error *err) {
  tr_aws_keys_free(to);
  TR_TRY(copy(access, &to->access_key, err));
  TR_TRY(copy(secret, &to->secret_key, err));
  return copy(token && *token ? token : NULL, &to->session_token, err);
}

static const char *environment(const char *name) {
  const char *value = getenv(name);
  return value && *value ? value : NULL;
}

/* What a profile says; each the first found. */
struct profile {
  char *access_key, *secret_key, *session_token, *region, *endpoint;
  bool found;
};

static void profile_free(struct profile *p) {
  wipe_free(p->access_key);
  wipe_free(p->secret_key);
  wipe_free(p->session_token);
  free(p->region);
  free(p->endpoint);
}

static char **profile_field(struct profile *p, const char *name, bool keys_too) {
  if (strcmp(name, "region") == 0) return &p->region;
  if (strcmp(name, "endpoint_url") == 0) return &p->endpoint;
  if (!keys_too) return NULL;
  if (strcmp(name, "aws_access_key_id") == 0) return &p->access_key;
  if (strcmp(name, "aws_secret_access_key") == 0) return &p->secret_key;
  if (strcmp(name, "aws_session_token") == 0) return &p->session_token;
  return NULL;
}

/* Blanks around cut off in place. */
static char *trimmed(char *s) {
  while (isspace((unsigned char)*s)) s++;
  char *end = s + strlen(s);
  while (end > s && isspace((unsigned char)end[-1])) *--end = 0;
  return s;
}

/* Is this "[name]", or "[profile name]" as ~/.aws/config has it for all but the default? */
static bool section_is(char *line, const char *profile, bool config) {
  char *end = strchr(line, ']');
  if (!end) return false;
  *end = 0;
  char *name = trimmed(line + 1);
  if (config && strncmp(name, "profile", 7) == 0 && isspace((unsigned char)name[7])) name = trimmed(name + 7);
  else if (config && strcmp(name, "default") != 0) return false;
  return strcmp(name, profile) == 0;
}

/* One "name = value" of the wanted section. */
TR_MUST_USE static enum tr_status take_setting(struct profile *p, char *line, bool keys_too, struct tr_error *err) {
  char *equals = strchr(line, '=');
  if (!equals) return TR_OK;
  *equals = 0;
  char **field = profile_field(p, trimmed(line), keys_too), *value = trimmed(equals + 1);
  if (!field || *field || !*value) return TR_OK;
  return copy(value, field, err);
}

/* Adds what `path` says of the profile; a file that is not there says nothing. With `keys_too` false its keys are left
 * out: keys are taken from one file, never mixed. */
TR_MUST_USE static enum tr_status read_profile(const char *path, const char *name, bool config, bool keys_too,
                                               struct profile *p, struct tr_error *err) {
  FILE *f = fopen(path, "re");
  if (!f) return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? TR_OK : tr_fail_os(err, errno, "%s", path);
  char *line = NULL;
  size_t room = 0, total = 0;
  bool inside = false;
  enum tr_status st = TR_OK;
  for (ssize_t n; st == TR_OK && (n = getline(&line, &room, f)) >= 0;) {
    if ((total += (size_t)n) > FILE_BYTES) st = tr_fail(err, TR_EXC_VALUE, "%s is too large", path);
    bool nested = isspace((unsigned char)line[0]);
    char *text = trimmed(line);
    if (st != TR_OK || !*text || *text == '#' || *text == ';') continue;
    if (*text == '[') {
      inside = section_is(text, name, config);
      p->found |= inside;
    } else if (inside && !nested) {
      st = take_setting(p, text, keys_too, err);
    }
  }
  if (line) tr_crypto_wipe(line, room);
  free(line);
  fclose(f);
  return st;
}

static void add_home(struct tr_text *to, const char *path) {
  const char *home = environment("HOME");
  tr_text_add_format(to, "%s%s", home ? home : "", path);
}

TR_MUST_USE static enum tr_status load_profile(const char *given, struct profile *p, struct tr_error *err) {
  const char *name = given ? given : environment("AWS_PROFILE") ? environment("AWS_PROFILE") : "default";
  const char *credentials = environment("AWS_SHARED_CREDENTIALS_FILE"), *config = environment("AWS_CONFIG_FILE");
  struct tr_text a = {0}, b = {0};
  if (credentials) tr_text_add_str(&a, credentials);
  else add_home(&a, "/.aws/credentials");
  if (config) tr_text_add_str(&b, config);
  else add_home(&b, "/.aws/config");
  enum tr_status st = tr_text_check(&a, err);
  if (st == TR_OK) st = tr_text_check(&b, err);
  if (st == TR_OK) st = read_profile(a.data, name, false, true, p, err);
  bool have = p->access_key || p->secret_key;
  if (st == TR_OK) st = read_profile(b.data, name, true, !have, p, err);
  if (st == TR_OK && !p->found && strcmp(name, "default") != 0)
    st = tr_fail(err, TR_EXC_VALUE, "The config profile (%s) could not be found", name);
  tr_text_free(&a);
  tr_text_free(&b);
  return st;
}

TR_MUST_USE static enum tr_status choose_keys(struct tr_aws_identity *id, const struct tr_aws_options *o,
                                              const struct profile *p, struct tr_error *err) {
  if (o->anonymous) {
    id->anonymous = true;
    return TR_OK;
  }
  const char *access = o->access_key, *secret = o->secret_key, *token = o->session_token, *from = "the options";
  if (!access && !secret && !o->profile) {
    access = environment("AWS_ACCESS_KEY_ID");
    secret = environment("AWS_SECRET_ACCESS_KEY");
    token = environment("AWS_SESSION_TOKEN");
    from = "the environment";
  }
  if (!access && !secret) {
    access = p->access_key;
    secret = p->secret_key;
    token = p->session_token;
    from = "the profile";
  }
  if (!access && !secret) return TR_OK;
  if (!access || !secret)
    return tr_fail(err, TR_EXC_VALUE, "Partial credentials found in %s, missing: %s", from,
                   access ? "aws_secret_access_key" : "aws_access_key_id");
  return set_keys(&id->keys, access, secret, token, err);
}

TR_MUST_USE static enum tr_status choose_place(struct tr_aws_identity *id, const struct tr_aws_options *o,
                                               const struct profile *p, const char *service, struct tr_error *err) {
  char name[64];
  snprintf(name, sizeof name, "AWS_ENDPOINT_URL_%s", service);
  const char *ignore = environment("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
  bool configured = !(ignore && strcmp(ignore, "true") == 0);
  const char *endpoint = o->endpoint;
  if (!endpoint && configured) endpoint = environment(name);
  if (!endpoint && configured) endpoint = environment("AWS_ENDPOINT_URL");
  if (!endpoint && configured) endpoint = p->endpoint;
  const char *region = o->region;
  if (!region) region = environment("AWS_REGION");
  if (!region) region = environment("AWS_DEFAULT_REGION");
  if (!region) region = p->region;
  TR_TRY(copy(endpoint, &id->endpoint, err));
  return copy(region, &id->region, err);
}

enum tr_status tr_aws_identity_new(const struct tr_aws_options *options, const char *service,
                                   struct tr_aws_identity **out, struct tr_error *err) {
  static const struct tr_aws_options none;
  const struct tr_aws_options *o = options ? options : &none;
  struct tr_aws_identity *id = calloc(1, sizeof *id);
  if (!id) return tr_fail_memory(err, sizeof *id);
  pthread_mutex_init(&id->lock, NULL);
  struct profile p = {0};
  enum tr_status st = load_profile(o->profile, &p, err);
  if (st == TR_OK) st = choose_keys(id, o, &p, err);
  if (st == TR_OK) st = choose_place(id, o, &p, service, err);
  profile_free(&p);
  if (st != TR_OK) tr_aws_identity_free(id);
  else *out = id;
  return st;
}

void tr_aws_identity_set_refresh(struct tr_aws_identity *id, tr_aws_refresh refresh, void *arg) {
  id->refresh = refresh;
  id->refresh_arg = arg;
}

/* Called with the lock held. Old keys that still hold are better than a refresh that failed. */
TR_MUST_USE static enum tr_status freshen(struct tr_aws_identity *id, struct tr_error *err) {
  int64_t now = (int64_t)time(NULL);
  bool have = id->keys.access_key != NULL;
  if (id->anonymous || !id->refresh || (have && (!id->keys.expires_at || id->keys.expires_at > now + REFRESH_SECONDS)))
    return TR_OK;
  struct tr_aws_keys fresh = {0};
  enum tr_status st = id->refresh(id->refresh_arg, &fresh, err);
  if (st != TR_OK) {
    tr_aws_keys_free(&fresh);
    return have && id->keys.expires_at > now ? TR_OK : st;
  }
  tr_aws_keys_free(&id->keys);
  id->keys = fresh;
  return TR_OK;
}

enum tr_status tr_aws_identity_keys(struct tr_aws_identity *id, struct tr_aws_keys *out, struct tr_error *err) {
  memset(out, 0, sizeof *out);
  pthread_mutex_lock(&id->lock);
  enum tr_status st = freshen(id, err);
  if (st == TR_OK && !id->anonymous && !id->keys.access_key)
    st = tr_fail_os(err, EACCES,
                    "no AWS credentials in the options, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                    "or the profile files (~/.aws); anon=True reads public objects");
  if (st == TR_OK && !id->anonymous)
    st = set_keys(out, id->keys.access_key, id->keys.secret_key, id->keys.session_token, err);
  out->expires_at = id->keys.expires_at;
  pthread_mutex_unlock(&id->lock);
  if (st != TR_OK) tr_aws_keys_free(out);
  return st;
}

const char *tr_aws_identity_region(const struct tr_aws_identity *id) { return id->region; }
const char *tr_aws_identity_endpoint(const struct tr_aws_identity *id) { return id->endpoint; }
