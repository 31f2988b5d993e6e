/* AWS credentials: see aws.h. */
#include "net/aws_int.h"
#include "net/crypto.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A refresh that failed is not tried again at once: keys are asked for with each request. */
enum { REFRESH_SECONDS = 300, PAUSE_SECONDS = 5 };

struct tr_aws_identity {
  pthread_mutex_t lock;
  struct tr_aws_keys keys;
  bool anonymous;
  char *region, *endpoint;
  struct tr_aws_source *source;
  tr_aws_refresh refresh;
  void *refresh_arg;
  int64_t tried_at;    /* seconds by CLOCK_BOOTTIME; 0 = never */
  enum tr_status said; /* of the last refresh */
  struct tr_error why;
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
  tr_aws_source_free(id->source);
  pthread_mutex_destroy(&id->lock);
  free(id);
}

TR_MUST_USE static enum tr_status copy(const char *s, char **out, struct tr_error *err) {
  *out = s ? strdup(s) : NULL;
  return s && !*out ? tr_fail_memory(err, strlen(s)) : TR_OK;
}

enum tr_status tr_aws_keys_set(struct tr_aws_keys *to, const char *access, const char *secret, const char *token,
                               struct tr_error *err) {
  tr_aws_keys_free(to);
  TR_TRY(copy(access, &to->access_key, err));
  TR_TRY(copy(secret, &to->secret_key, err));
  return copy(token && *token ? token : NULL, &to->session_token, err);
}

const char *tr_aws_variable(const char *name) {
  const char *value = getenv(name);
  return value && *value ? value : NULL;
}

TR_MUST_USE static enum tr_status choose_place(struct tr_aws_identity *id, const struct tr_aws_options *o,
                                               const struct tr_aws_profile *p, const char *service,
                                               struct tr_error *err) {
  char name[64];
  snprintf(name, sizeof name, "AWS_ENDPOINT_URL_%s", service);
  const char *ignore = tr_aws_variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
  bool configured = !o->only && !(ignore && strcmp(ignore, "true") == 0);
  const char *endpoint = o->endpoint;
  if (!endpoint && configured) endpoint = tr_aws_variable(name);
  if (!endpoint && configured) endpoint = tr_aws_variable("AWS_ENDPOINT_URL");
  if (!endpoint && configured) endpoint = p->endpoint;
  const char *region = o->region;
  if (!region && !o->only) region = tr_aws_variable("AWS_REGION");
  if (!region && !o->only) region = tr_aws_variable("AWS_DEFAULT_REGION");
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
  struct tr_aws_profile p = {0};
  id->anonymous = o->anonymous;
  enum tr_status st = o->only ? TR_OK : tr_aws_profile_load(o->profile, &p, err);
  if (st == TR_OK) st = choose_place(id, o, &p, service, err);
  if (st == TR_OK && !o->anonymous) st = tr_aws_source_choose(o, &p, id->region, &id->source, &id->keys, err);
  if (id->source) tr_aws_identity_set_refresh(id, tr_aws_source_fetch, id->source);
  tr_aws_profile_free(&p);
  if (st != TR_OK) tr_aws_identity_free(id);
  else *out = id;
  return st;
}

void tr_aws_identity_set_refresh(struct tr_aws_identity *id, tr_aws_refresh refresh, void *arg) {
  id->refresh = refresh;
  id->refresh_arg = arg;
}

static int64_t steady_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_BOOTTIME, &t);
  return t.tv_sec + 1;
}

/* Of a place nobody named: it is no place. */
static enum tr_status nowhere(const struct tr_error *why, struct tr_error *err) {
  return tr_fail_os(err, EACCES,
                    "no AWS credentials in the options, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the profile files "
                    "(~/.aws), a container's or an instance's endpoint; anon=True reads public objects. Last tried: %s",
                    why->text);
}

/* Called with the lock held. Old keys that still hold are better than a refresh that failed. */
TR_MUST_USE static enum tr_status freshen(struct tr_aws_identity *id, struct tr_error *err) {
  int64_t now = (int64_t)time(NULL), steady = steady_seconds();
  bool have = id->keys.access_key != NULL;
  if (id->anonymous || !id->refresh || (have && (!id->keys.expires_at || id->keys.expires_at > now + REFRESH_SECONDS)))
    return TR_OK;
  if (!id->tried_at || steady >= id->tried_at + PAUSE_SECONDS) {
    struct tr_aws_keys fresh = {0};
    id->said = id->refresh(id->refresh_arg, &fresh, &id->why);
    id->tried_at = steady_seconds();
    if (id->said == TR_OK) {
      tr_aws_keys_free(&id->keys);
      id->keys = fresh;
      return TR_OK;
    }
    tr_aws_keys_free(&fresh);
  }
  if (id->said == TR_OK || (have && id->keys.expires_at > now)) return TR_OK;
  if (id->refresh == tr_aws_source_fetch && tr_aws_source_is_guess(id->source)) return nowhere(&id->why, err);
  if (err) *err = id->why;
  return id->said;
}

enum tr_status tr_aws_identity_keys(struct tr_aws_identity *id, struct tr_aws_keys *out, struct tr_error *err) {
  memset(out, 0, sizeof *out);
  pthread_mutex_lock(&id->lock);
  enum tr_status st = freshen(id, err);
  if (st == TR_OK && !id->anonymous && !id->keys.access_key)
    st = tr_fail_os(err, EACCES, "there are no AWS credentials");
  if (st == TR_OK && !id->anonymous)
    st = tr_aws_keys_set(out, id->keys.access_key, id->keys.secret_key, id->keys.session_token, err);
  out->expires_at = id->keys.expires_at;
  pthread_mutex_unlock(&id->lock);
  if (st != TR_OK) tr_aws_keys_free(out);
  return st;
}

const char *tr_aws_identity_region(const struct tr_aws_identity *id) { return id->region; }
const char *tr_aws_identity_endpoint(const struct tr_aws_identity *id) { return id->endpoint; }
