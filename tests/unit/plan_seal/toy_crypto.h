/* Hooks for sealing without a crypto library: not secret, but every changed bit is noticed. For tests. */
#pragma once
#include "base/hash.h"
#include "meta/plan/codec_seal.h"

static inline uint64_t toy_hash(const void *bytes, size_t n, uint64_t seed) {
  return tr_hash_mix(tr_hash_bytes(bytes, n) ^ seed, seed + n);
}

static inline enum tr_status toy_hmac(void *arg, const void *bytes, size_t n, uint8_t out[32], struct tr_error *err) {
  (void)arg, (void)err;
  for (uint64_t i = 0; i < 4; i++) {
    uint64_t h = toy_hash(bytes, n, 17 + i);
    memcpy(out + 8 * i, &h, 8);
  }
  return TR_OK;
}

static inline enum tr_status toy_encrypt(void *arg, const void *bytes, size_t n, uint8_t *out, struct tr_error *err) {
  uint8_t tag[32];
  memset(out, ++*(uint8_t *)arg, TR_SEAL_NONCE);
  for (size_t i = 0; i < n; i++) out[TR_SEAL_NONCE + i] = (uint8_t)(((const uint8_t *)bytes)[i] ^ 0x5a ^ out[0]);
  (void)toy_hmac(NULL, out, TR_SEAL_NONCE + n, tag, err);
  memcpy(out + TR_SEAL_NONCE + n, tag, TR_SEAL_TAG);
  return TR_OK;
}

static inline enum tr_status toy_decrypt(void *arg, const uint8_t *bytes, size_t n, uint8_t *out,
                                         struct tr_error *err) {
  uint8_t tag[32];
  (void)arg;
  (void)toy_hmac(NULL, bytes, n - TR_SEAL_TAG, tag, err);
  if (memcmp(tag, bytes + n - TR_SEAL_TAG, TR_SEAL_TAG) != 0)
    return tr_fail(err, TR_EXC_VALUE, "plan: a sealed value was changed");
  for (size_t i = 0; i + TR_SEAL_NONCE + TR_SEAL_TAG < n; i++)
    out[i] = (uint8_t)(bytes[TR_SEAL_NONCE + i] ^ 0x5a ^ bytes[0]);
  return TR_OK;
}

static uint8_t toy_counter;
static const struct tr_seal_hooks toy_hooks = {&toy_counter, toy_hmac, toy_encrypt, toy_decrypt};
