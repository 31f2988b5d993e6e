#include "scheduler/auth.h"
#include "base/mem.h"
#include "net/crypto.h"
#include "scheduler/name_map.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
  char hash[TR_HASH_BYTES];
  struct tr_identity who;
};

struct tr_auth {
  pthread_rwlock_t lock;
  struct tr_name_map entries;
};

enum tr_status tr_auth_new(struct tr_auth **out, struct tr_error *err) {
  struct tr_auth *a = calloc(1, sizeof *a);
  if (!a) return tr_fail_memory(err, sizeof *a);
  pthread_rwlock_init(&a->lock, NULL);
  *out = a;
  return TR_OK;
}

static void drop_all(struct tr_auth *a, bool also_admin) {
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

struct tr_identity tr_auth_find(struct tr_auth *a, const char *secret) {
  struct tr_identity who = {TR_WHO_NOBODY, "", ""};
  char hash[TR_HASH_BYTES];
  if (strlen(secret) > 512 || tr_auth_hash(secret, hash, NULL) != TR_OK) return who;
  pthread_rwlock_rdlock(&a->lock);
  const struct entry *e = tr_name_map_get(&a->entries, hash);
  if (e) who = e->who;
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
