#include "scheduler/auth/auth.h"
#include "base/mem.h"
#include "net/crypto.h"
#include "scheduler/auth/identity.h"
#include "scheduler/aws_record.h"
#include "scheduler/state/name_map.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct entry {
  char hash[TR_HASH_BYTES];
  struct tr_identity who;
};

/* Roles of a deployment whose workers have proved themselves to STS. */
struct roles {
  char deployment[TR_ID_BYTES], account[TR_ID_BYTES];
  int32_t n;
  char names[TR_AWS_ROLES][65];
};

struct tr_auth {
  pthread_rwlock_t lock;
  struct tr_name_map entries, roles;
  char key[TR_SERVER_SECRET_BYTES]; /* of workers' tokens */
};

enum tr_status tr_auth_new(struct tr_auth **out, struct tr_error *err) {
  struct tr_auth *a = calloc(1, sizeof *a);
  if (!a) return tr_fail_memory(err, sizeof *a);
  pthread_rwlock_init(&a->lock, NULL);
  *out = a;
  return TR_OK;
}

static void drop_all(struct tr_auth *a, bool also_admin) {
  size_t i = 0;
  for (struct roles *r; (r = tr_name_map_next(&a->roles, &i));) free(r);
  tr_name_map_free(&a->roles);
  struct tr_name_map kept = {0};
  size_t at = 0;
  for (struct entry *e; (e = tr_name_map_next(&a->entries, &at));) {
    if (!also_admin && e->who.kind == TR_WHO_ADMIN && tr_name_map_put(&kept, e->hash, e)) continue;
    free(e);
  }
  tr_name_map_free(&a->entries);
  a->entries = kept;
}

void tr_auth_free(struct tr_auth *a) {
  if (!a) return;
  drop_all(a, true);
  tr_name_map_free(&a->entries);
  pthread_rwlock_destroy(&a->lock);
  free(a);
}

bool tr_auth_put(struct tr_auth *a, const char *hash, const struct tr_identity *who) {
  pthread_rwlock_wrlock(&a->lock);
  struct entry *e = tr_name_map_get(&a->entries, hash);
  if (!e && (e = calloc(1, sizeof *e))) {
    snprintf(e->hash, sizeof e->hash, "%s", hash);
    if (!tr_name_map_put(&a->entries, e->hash, e)) {
      free(e);
      e = NULL;
    }
  }
  if (e) e->who = *who;
  pthread_rwlock_unlock(&a->lock);
  return e != NULL;
}

void tr_auth_remove(struct tr_auth *a, const char *hash) {
  pthread_rwlock_wrlock(&a->lock);
  free(tr_name_map_remove(&a->entries, hash));
  pthread_rwlock_unlock(&a->lock);
}

void tr_auth_clear(struct tr_auth *a) {
  pthread_rwlock_wrlock(&a->lock);
  drop_all(a, false);
  pthread_rwlock_unlock(&a->lock);
}

void tr_auth_set_key(struct tr_auth *a, const char *key) {
  pthread_rwlock_wrlock(&a->lock);
  snprintf(a->key, sizeof a->key, "%s", key);
  pthread_rwlock_unlock(&a->lock);
}

bool tr_auth_put_roles(struct tr_auth *a, const char *deployment, const char *account, const char *const *roles,
                       int32_t n) {
  struct roles *r = calloc(1, sizeof *r);
  if (!r) return false;
  snprintf(r->deployment, sizeof r->deployment, "%s", deployment);
  snprintf(r->account, sizeof r->account, "%s", account);
  for (; r->n < n && r->n < TR_AWS_ROLES; r->n++) snprintf(r->names[r->n], sizeof r->names[r->n], "%s", roles[r->n]);
  pthread_rwlock_wrlock(&a->lock);
  free(tr_name_map_remove(&a->roles, deployment));
  bool good = tr_name_map_put(&a->roles, r->deployment, r);
  pthread_rwlock_unlock(&a->lock);
  if (!good) free(r);
  return good;
}

void tr_auth_remove_roles(struct tr_auth *a, const char *deployment) {
  pthread_rwlock_wrlock(&a->lock);
  free(tr_name_map_remove(&a->roles, deployment));
  pthread_rwlock_unlock(&a->lock);
}

/* A token stands for a role that the deployment still names. Called with the lock held. */
static struct tr_identity find_token(struct tr_auth *a, const char *token) {
  struct tr_identity who = {TR_WHO_NOBODY, "", ""};
  struct tr_worker_token t;
  if (!tr_worker_token_read(a->key, token, (int64_t)time(NULL), &t)) return who;
  const struct roles *r = tr_name_map_get(&a->roles, t.deployment);
  for (int i = 0; r && i < r->n; i++) {
    if (strcmp(r->names[i], t.role) != 0) continue;
    who.kind = TR_WHO_WORKER;
    memcpy(who.account, r->account, sizeof who.account);
    memcpy(who.deployment, r->deployment, sizeof who.deployment);
  }
  return who;
}

struct tr_identity tr_auth_find(struct tr_auth *a, const char *secret) {
  struct tr_identity who = {TR_WHO_NOBODY, "", ""};
  char hash[TR_HASH_BYTES];
  if (strlen(secret) > 512 || tr_auth_hash(secret, hash, NULL) != TR_OK) return who;
  pthread_rwlock_rdlock(&a->lock);
  const struct entry *e = tr_name_map_get(&a->entries, hash);
  if (e) who = e->who;
  else if (strchr(secret, '.')) who = find_token(a, secret);
  pthread_rwlock_unlock(&a->lock);
  return who;
}

enum tr_status tr_auth_hash(const char *secret, char out[TR_HASH_BYTES], struct tr_error *err) {
  uint8_t digest[TR_SHA256_BYTES];
  TR_TRY(tr_crypto_sha256(secret, strlen(secret), digest, err));
  tr_hex_encode(digest, sizeof digest, out);
  return TR_OK;
}

enum tr_status tr_auth_new_secret(const char *prefix, char out[TR_SECRET_MAX], struct tr_error *err) {
  uint8_t random[32];
  TR_TRY(tr_crypto_random(random, sizeof random, err));
  size_t n = strlen(prefix);
  memcpy(out, prefix, n);
  tr_base64url_encode(random, sizeof random, out + n);
  tr_crypto_wipe(random, sizeof random);
  return TR_OK;
}

enum tr_status tr_auth_new_id(char prefix, char out[TR_ID_BYTES], struct tr_error *err) {
  uint8_t random[8];
  TR_TRY(tr_crypto_random(random, sizeof random, err));
  out[0] = prefix;
  tr_hex_encode(random, sizeof random, out + 1);
  return TR_OK;
}
