/* Bytes as hex and base64: see crypto.h. Strict decoders: one text for the same bytes, so texts can be compared. */
#include "net/crypto.h"
#include <string.h>

static const char DIGITS[] = "0123456789abcdef";
static const char STANDARD[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char URL_SAFE[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t tr_hex_encode(const void *data, size_t bytes, char *out) {
  const uint8_t *p = data;
  for (size_t i = 0; i < bytes; i++) {
    out[2 * i] = DIGITS[p[i] >> 4];
    out[2 * i + 1] = DIGITS[p[i] & 15];
  }
  out[2 * bytes] = 0;
  return 2 * bytes;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

enum tr_status tr_hex_decode(const char *text, size_t length, uint8_t *out, size_t *bytes, struct tr_error *err) {
  if (length % 2) return tr_fail(err, TR_EXC_VALUE, "hex text has an odd number of digits");
  for (size_t i = 0; i < length; i += 2) {
    int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return tr_fail(err, TR_EXC_VALUE, "not a hex digit at position %zu", high < 0 ? i : i + 1);
    out[i / 2] = (uint8_t)(high << 4 | low);
  }
  *bytes = length / 2;
  return TR_OK;
}

static size_t encode(const uint8_t *p, size_t bytes, const char *alphabet, bool pad, char *out) {
  char *to = out;
  for (; bytes >= 3; bytes -= 3, p += 3) {
    *to++ = alphabet[p[0] >> 2];
    *to++ = alphabet[(p[0] & 3) << 4 | p[1] >> 4];
    *to++ = alphabet[(p[1] & 15) << 2 | p[2] >> 6];
    *to++ = alphabet[p[2] & 63];
  }
  if (bytes) {
    unsigned second = bytes == 2 ? p[1] : 0;
    *to++ = alphabet[p[0] >> 2];
    *to++ = alphabet[(p[0] & 3) << 4 | second >> 4];
    if (bytes == 2) *to++ = alphabet[(second & 15) << 2];
    for (size_t i = bytes; pad && i < 3; i++) *to++ = '=';
  }
  *to = 0;
  return (size_t)(to - out);
}

size_t tr_base64_encode(const void *data, size_t bytes, char *out) { return encode(data, bytes, STANDARD, true, out); }
size_t tr_base64url_encode(const void *data, size_t bytes, char *out) {
  return encode(data, bytes, URL_SAFE, false, out);
}

static int base64_digit(char c, const char *alphabet) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == alphabet[62]) return 62;
  if (c == alphabet[63]) return 63;
  return -1;
}

/* `length` excludes padding. */
TR_MUST_USE static enum tr_status decode(const char *text, size_t length, const char *alphabet, uint8_t *out,
                                         size_t *bytes, struct tr_error *err) {
  if (length % 4 == 1) return tr_fail(err, TR_EXC_VALUE, "base64 text is cut off");
  uint8_t *to = out;
  uint32_t bits = 0;
  int have = 0;
  for (size_t i = 0; i < length; i++) {
    int digit = base64_digit(text[i], alphabet);
    if (digit < 0) return tr_fail(err, TR_EXC_VALUE, "not a base64 digit at position %zu", i);
    bits = bits << 6 | (uint32_t)digit;
    have += 6;
    if (have < 8) continue;
    have -= 8;
    *to++ = (uint8_t)(bits >> have);
  }
  if (bits & ((1u << have) - 1)) return tr_fail(err, TR_EXC_VALUE, "base64 text ends in bits that mean nothing");
  *bytes = (size_t)(to - out);
  return TR_OK;
}

enum tr_status tr_base64_decode(const char *text, size_t length, uint8_t *out, size_t *bytes, struct tr_error *err) {
  if (length % 4) return tr_fail(err, TR_EXC_VALUE, "base64 text is cut off");
  if (length && text[length - 1] == '=') length--;
  if (length % 4 == 3 && text[length - 1] == '=') length--;
  return decode(text, length, STANDARD, out, bytes, err);
}

enum tr_status tr_base64url_decode(const char *text, size_t length, uint8_t *out, size_t *bytes, struct tr_error *err) {
  return decode(text, length, URL_SAFE, out, bytes, err);
}
