/* Hashes and sealing: see crypto.h. Only one-shot and EVP calls that OpenSSL 3 has not deprecated. */
#include "net/crypto.h"
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <string.h>

/* libcrypto says why in its thread's queue; the queue is emptied, or the next TLS call would find it. */
TR_MUST_USE static enum tr_status failed(struct tr_error *err, const char *what) {
  char text[256] = "no reason given";
  unsigned long code = ERR_get_error();
  if (code) ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return tr_fail(err, TR_EXC_RUNTIME, "%s failed: %s", what, text);
}

enum tr_status tr_crypto_sha256(const void *data, size_t bytes, uint8_t out[TR_SHA256_BYTES], struct tr_error *err) {
  if (!SHA256(bytes ? data : (const void *)"", bytes, out)) return failed(err, "SHA-256");
  return TR_OK;
}

enum tr_status tr_crypto_hmac_sha256(const void *key, size_t key_bytes, const void *data, size_t bytes,
                                     uint8_t out[TR_SHA256_BYTES], struct tr_error *err) {
  if (key_bytes > INT_MAX) return tr_fail(err, TR_EXC_VALUE, "an HMAC key of %zu bytes is too long", key_bytes);
  unsigned length = 0;
  if (!HMAC(EVP_sha256(), key_bytes ? key : (const void *)"", (int)key_bytes, bytes ? data : (const void *)"", bytes,
            out, &length))
    return failed(err, "HMAC-SHA256");
  return TR_OK;
}

/* struct tr_sha256 is libcrypto's own context under our name: nothing needs to be kept beside it. */
static EVP_MD_CTX *context_of(struct tr_sha256 *s) { return (EVP_MD_CTX *)(void *)s; }

enum tr_status tr_sha256_begin(struct tr_sha256 **out, struct tr_error *err) {
  EVP_MD_CTX *md = EVP_MD_CTX_new();
  if (!md || !EVP_DigestInit_ex(md, EVP_sha256(), NULL)) {
    EVP_MD_CTX_free(md);
    return failed(err, "SHA-256");
  }
  *out = (struct tr_sha256 *)(void *)md;
  return TR_OK;
}

enum tr_status tr_sha256_add(struct tr_sha256 *s, const void *data, size_t bytes, struct tr_error *err) {
  if (bytes && !EVP_DigestUpdate(context_of(s), data, bytes)) return failed(err, "SHA-256");
  return TR_OK;
}

enum tr_status tr_sha256_finish(struct tr_sha256 *s, uint8_t out[TR_SHA256_BYTES], struct tr_error *err) {
  int ok = EVP_DigestFinal_ex(context_of(s), out, NULL);
  EVP_MD_CTX_free(context_of(s));
  if (!ok) return failed(err, "SHA-256");
  return TR_OK;
}

void tr_sha256_free(struct tr_sha256 *s) { EVP_MD_CTX_free(context_of(s)); }

/* EVP takes lengths as int. */
static bool update(EVP_CIPHER_CTX *c, bool sealing, uint8_t *out, const uint8_t *in, size_t bytes) {
  while (bytes) {
    int piece = bytes > (1 << 30) ? 1 << 30 : (int)bytes, written = 0;
    int ok = sealing ? EVP_EncryptUpdate(c, out, &written, in, piece) : EVP_DecryptUpdate(c, out, &written, in, piece);
    if (!ok) return false;
    in += piece;
    bytes -= (size_t)piece;
    if (out) out += written;
  }
  return true;
}

enum tr_status tr_crypto_seal(const uint8_t key[TR_KEY_BYTES], const void *context, size_t context_bytes,
                              const void *plain, size_t bytes, uint8_t *out, struct tr_error *err) {
  TR_TRY(tr_crypto_random(out, TR_NONCE_BYTES, err));
  EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
  int last = 0;
  uint8_t *cipher = out + TR_NONCE_BYTES;
  bool ok = c && EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, out) &&
            update(c, true, NULL, context, context_bytes) && update(c, true, cipher, plain, bytes) &&
            EVP_EncryptFinal_ex(c, cipher + bytes, &last) &&
            EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TR_TAG_BYTES, cipher + bytes);
  EVP_CIPHER_CTX_free(c);
  if (!ok) return failed(err, "AES-256-GCM");
  return TR_OK;
}

enum tr_status tr_crypto_open(const uint8_t key[TR_KEY_BYTES], const void *context, size_t context_bytes,
                              const void *sealed, size_t sealed_bytes, uint8_t *out, struct tr_error *err) {
  if (sealed_bytes < TR_SEAL_EXTRA)
    return tr_fail(err, TR_EXC_VALUE, "a sealed message has at least %d bytes, not %zu", TR_SEAL_EXTRA, sealed_bytes);
  const uint8_t *nonce = sealed, *cipher = nonce + TR_NONCE_BYTES;
  size_t bytes = sealed_bytes - TR_SEAL_EXTRA;
  uint8_t tag[TR_TAG_BYTES], none[1];
  memcpy(tag, cipher + bytes, sizeof tag);
  EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
  int last = 0;
  bool ok = c && EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce) &&
            update(c, false, NULL, context, context_bytes) && update(c, false, out, cipher, bytes) &&
            EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TR_TAG_BYTES, tag) && EVP_DecryptFinal_ex(c, none, &last);
  EVP_CIPHER_CTX_free(c);
  ERR_clear_error();
  if (ok) return TR_OK;
  if (bytes) tr_crypto_wipe(out, bytes); /* GCM decrypts before it knows; nobody may see that */
  return tr_fail(err, TR_EXC_VALUE, "a sealed message was changed, or sealed with another key");
}

enum tr_status tr_crypto_random(void *out, size_t bytes, struct tr_error *err) {
  uint8_t *to = out;
  while (bytes) {
    int piece = bytes > (1 << 30) ? 1 << 30 : (int)bytes;
    if (RAND_bytes(to, piece) != 1) return failed(err, "the random generator");
    to += piece;
    bytes -= (size_t)piece;
  }
  return TR_OK;
}

bool tr_crypto_equal(const void *a, const void *b, size_t bytes) { return CRYPTO_memcmp(a, b, bytes) == 0; }

void tr_crypto_wipe(void *secret, size_t bytes) { OPENSSL_cleanse(secret, bytes); }
