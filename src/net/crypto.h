/* Hashes, sealing and the text forms of bytes, over OpenSSL's libcrypto.
 *
 * What is sealed (literals of plans, error texts, storage options) is AES-256-GCM with a fresh random nonce; one key
 * may seal about 2^32 messages before the chance of a repeated nonce matters, far beyond a deployment's literals.
 * Nothing here keeps state, so everything may be called from any thread and after a fork.
 */
#pragma once
#include "base/status.h"

#define TR_SHA256_BYTES 32
#define TR_KEY_BYTES    32 /* an AES-256 key */
#define TR_NONCE_BYTES  12
#define TR_TAG_BYTES    16
#define TR_SEAL_EXTRA   (TR_NONCE_BYTES + TR_TAG_BYTES) /* bytes a sealed message is longer than its plaintext */

TR_MUST_USE enum tr_status tr_crypto_sha256(const void *data, size_t bytes, uint8_t out[TR_SHA256_BYTES],
                                            struct tr_error *err);
TR_MUST_USE enum tr_status tr_crypto_hmac_sha256(const void *key, size_t key_bytes, const void *data, size_t bytes,
                                                 uint8_t out[TR_SHA256_BYTES], struct tr_error *err);

/* SHA-256 of something that comes in pieces. tr_sha256_begin gives a stream; exactly one of finish and free ends it. */
struct tr_sha256;
TR_MUST_USE enum tr_status tr_sha256_begin(struct tr_sha256 **out, struct tr_error *err);
TR_MUST_USE enum tr_status tr_sha256_add(struct tr_sha256 *s, const void *data, size_t bytes, struct tr_error *err);
/* Takes the stream, whatever comes out. */
TR_MUST_USE enum tr_status tr_sha256_finish(struct tr_sha256 *s, uint8_t out[TR_SHA256_BYTES], struct tr_error *err);
/* NULL is allowed. */
void tr_sha256_free(struct tr_sha256 *s);

/* Writes nonce 12 | ciphertext | tag 16, bytes + TR_SEAL_EXTRA in all, to `out`. `context` (may be NULL, 0 bytes) is
 * authenticated and not written: what was sealed for one place cannot be opened in another. */
TR_MUST_USE enum tr_status tr_crypto_seal(const uint8_t key[TR_KEY_BYTES], const void *context, size_t context_bytes,
                                          const void *plain, size_t bytes, uint8_t *out, struct tr_error *err);
/* The plaintext of `sealed`: sealed_bytes - TR_SEAL_EXTRA bytes to `out`. TR_EXC_VALUE when it is too short, was
 * changed, or was sealed with another key or context; `out` is then zeroed. */
TR_MUST_USE enum tr_status tr_crypto_open(const uint8_t key[TR_KEY_BYTES], const void *context, size_t context_bytes,
                                          const void *sealed, size_t sealed_bytes, uint8_t *out, struct tr_error *err);

/* Random bytes fit for keys. */
TR_MUST_USE enum tr_status tr_crypto_random(void *out, size_t bytes, struct tr_error *err);
/* Compares in time that depends on `bytes` only. */
bool tr_crypto_equal(const void *a, const void *b, size_t bytes);
/* Overwrites a secret in a way the compiler keeps. */
void tr_crypto_wipe(void *secret, size_t bytes);

/* Text forms. Encoders write a terminating 0 and return the length without it; sizes below include the 0. */
#define TR_HEX_SIZE(bytes)    (2 * (size_t)(bytes) + 1)
#define TR_BASE64_SIZE(bytes) (((size_t)(bytes) + 2) / 3 * 4 + 1)
size_t tr_hex_encode(const void *data, size_t bytes, char *out);
size_t tr_base64_encode(const void *data, size_t bytes, char *out);    /* + and /, padded */
size_t tr_base64url_encode(const void *data, size_t bytes, char *out); /* - and _, not padded (RFC 4648 §5) */
/* Decoders write at most `length` bytes for hex / 2 and `length` * 3 / 4 for base64, and refuse with TR_EXC_VALUE
 * whatever the matching encoder would not have written (hex may be upper case). */
TR_MUST_USE enum tr_status tr_hex_decode(const char *text, size_t length, uint8_t *out, size_t *bytes,
                                         struct tr_error *err);
TR_MUST_USE enum tr_status tr_base64_decode(const char *text, size_t length, uint8_t *out, size_t *bytes,
                                            struct tr_error *err);
TR_MUST_USE enum tr_status tr_base64url_decode(const char *text, size_t length, uint8_t *out, size_t *bytes,
                                               struct tr_error *err);
