/* Sealing: a plan's text with every value in it made unreadable, so that it can pass through the scheduler.
 *
 * In each expression the fields that carry values (`lit`, `text`, `text2`, `list`) are taken out together and replaced
 * by
 *
 *   "sealed":"<id>.<ciphertext>"
 *
 * id = base64url of the first 16 bytes of HMAC-SHA256(key, plaintext): equal values have equal ids, so that equal plans
 * can be told by whoever may not read them. ciphertext = base64url of nonce (12 bytes), AES-256-GCM text and tag (16),
 * where the plaintext is the JSON of the fields as it stood. Everything else stays as it was, so unsealing gives back
 * the very text that was encoded. Base64url here is without padding.
 *
 * The crypto comes through hooks, for meta knows no library of it. The text being sealed is our own encoder's (no white
 * space); text being unsealed is trusted with nothing: a changed, exchanged or cut value is an error.
 */
#pragma once
#include "base/status.h"

enum { TR_SEAL_ID = 16, TR_SEAL_NONCE = 12, TR_SEAL_TAG = 16 };

/* All under one deployment's key, which the hooks hold. */
struct tr_seal_hooks {
  void *arg;
  /* HMAC-SHA256 of n bytes. */
  enum tr_status (*hmac)(void *arg, const void *bytes, size_t n, uint8_t out[32], struct tr_error *err);
  /* out: nonce, ciphertext, tag: n + 28 bytes. The nonce is new and random. */
  enum tr_status (*encrypt)(void *arg, const void *bytes, size_t n, uint8_t *out, struct tr_error *err);
  /* n bytes as encrypt gave them; out: n - 28 bytes. Fails when a bit of them is not what was encrypted. */
  enum tr_status (*decrypt)(void *arg, const uint8_t *bytes, size_t n, uint8_t *out, struct tr_error *err);
};

/* Text of tr_plan_encode -> sealed text (free with free()). */
TR_MUST_USE enum tr_status tr_plan_seal(const char *text, size_t n, const struct tr_seal_hooks *hooks, char **out,
                                        struct tr_error *err);
/* And back. TR_EXC_VALUE "plan: ..." when it is no sealed plan. */
TR_MUST_USE enum tr_status tr_plan_unseal(const char *text, size_t n, const struct tr_seal_hooks *hooks, char **out,
                                          struct tr_error *err);

/* "<id>.<ciphertext>" of any bytes (free with free()), for what else travels sealed: error texts, storage options. */
TR_MUST_USE enum tr_status tr_seal_bytes(const void *bytes, size_t n, const struct tr_seal_hooks *hooks, char **out,
                                         struct tr_error *err);
/* And back: *out (free with free()) has *n bytes and a NUL behind them. */
TR_MUST_USE enum tr_status tr_unseal_bytes(const char *sealed, size_t len, const struct tr_seal_hooks *hooks,
                                           char **out, size_t *n, struct tr_error *err);
/* Whether `s` has the form of a sealed value: says nothing about who made it. */
bool tr_seal_is_form(const char *s, size_t n);
