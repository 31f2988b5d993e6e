/* Who may ask: the hashes of all keys and tokens, for the server's threads to look at while one thread changes them.
 *
 * Only SHA-256 of a secret is kept. Secrets have 256 random bits, so a plain hash is enough, and finding a hash by its
 * text tells nothing about the secret.
 */
#pragma once
#include "base/status.h"

#define TR_ID_BYTES   24
#define TR_HASH_BYTES 65 /* hex of SHA-256 */
#define TR_SECRET_MAX 64 /* text of a key or token */

enum tr_identity_kind {
  TR_WHO_NOBODY,
  TR_WHO_ADMIN,
  TR_WHO_USER,   /* an API key */
  TR_WHO_WORKER, /* a worker token */
  TR_WHO_REVOKED /* a key that was good once */
};

struct tr_identity {
  enum tr_identity_kind kind;
  char account[TR_ID_BYTES];    /* of a user or worker */
  char deployment[TR_ID_BYTES]; /* of a worker */
};

struct tr_auth;
TR_MUST_USE enum tr_status tr_auth_new(struct tr_auth **out, struct tr_error *err);
void tr_auth_free(struct tr_auth *a);
/* Adds or replaces; false when memory ran out. */
bool tr_auth_put(struct tr_auth *a, const char *hash, const struct tr_identity *who);
void tr_auth_remove(struct tr_auth *a, const char *hash);
/* Workers of these roles may call, with tokens that tr_worker_token_new made with this key (hex). False when memory ran
 * out. */
void tr_auth_set_key(struct tr_auth *a, const char *key);
bool tr_auth_put_roles(struct tr_auth *a, const char *deployment, const char *account, const char *const *roles,
                       int32_t n);
void tr_auth_remove_roles(struct tr_auth *a, const char *deployment);
/* Forgets everybody but the admin. */
void tr_auth_clear(struct tr_auth *a);
/* Who shows this secret: kind NOBODY when unknown. Any thread. */
struct tr_identity tr_auth_find(struct tr_auth *a, const char *secret);

/* Hex of SHA-256. */
TR_MUST_USE enum tr_status tr_auth_hash(const char *secret, char out[TR_HASH_BYTES], struct tr_error *err);
/* prefix + 43 random characters. */
TR_MUST_USE enum tr_status tr_auth_new_secret(const char *prefix, char out[TR_SECRET_MAX], struct tr_error *err);
/* prefix + 16 random hex digits. */
TR_MUST_USE enum tr_status tr_auth_new_id(char prefix, char out[TR_ID_BYTES], struct tr_error *err);
