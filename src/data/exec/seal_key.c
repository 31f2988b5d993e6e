/* See seal_key.h. */
#include "data/exec/seal_key.h"

static enum tr_status hmac(void *key, const void *bytes, size_t n, uint8_t out[32], struct tr_error *err) {
  return tr_crypto_hmac_sha256(key, TR_KEY_BYTES, bytes, n, out, err);
}

static enum tr_status encrypt(void *key, const void *bytes, size_t n, uint8_t *out, struct tr_error *err) {
  return tr_crypto_seal(key, NULL, 0, bytes, n, out, err);
}

static enum tr_status decrypt(void *key, const uint8_t *bytes, size_t n, uint8_t *out, struct tr_error *err) {
  return tr_crypto_open(key, NULL, 0, bytes, n, out, err);
}

struct tr_seal_hooks tr_seal_key_hooks(const uint8_t *key) {
  return (struct tr_seal_hooks){(void *)(uintptr_t)key, hmac, encrypt, decrypt};
}
