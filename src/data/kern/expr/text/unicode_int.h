/* Code points: decoding UTF-8, case and character classes as pyarrow's text functions have them. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Decodes one code point of valid UTF-8 at s; gives its length in bytes. */
static inline int tr_utf8_decode(const char *s, int32_t *cp) {
  const unsigned char *u = (const unsigned char *)s;
  if (u[0] < 0x80) return *cp = u[0], 1;
  if (u[0] < 0xe0) return *cp = (u[0] & 0x1f) << 6 | (u[1] & 0x3f), 2;
  if (u[0] < 0xf0) return *cp = (u[0] & 0x0f) << 12 | (u[1] & 0x3f) << 6 | (u[2] & 0x3f), 3;
  return *cp = (u[0] & 0x07) << 18 | (u[1] & 0x3f) << 12 | (u[2] & 0x3f) << 6 | (u[3] & 0x3f), 4;
}

/* Writes cp as UTF-8 (<= 4 bytes); gives the number of bytes. */
static inline int tr_utf8_encode(int32_t cp, char *to) {
  if (cp < 0x80) return to[0] = (char)cp, 1;
  if (cp < 0x800) return to[0] = (char)(0xc0 | cp >> 6), to[1] = (char)(0x80 | (cp & 0x3f)), 2;
  if (cp < 0x10000) {
    to[0] = (char)(0xe0 | cp >> 12), to[1] = (char)(0x80 | (cp >> 6 & 0x3f)), to[2] = (char)(0x80 | (cp & 0x3f));
    return 3;
  }
  to[0] = (char)(0xf0 | cp >> 18), to[1] = (char)(0x80 | (cp >> 12 & 0x3f)), to[2] = (char)(0x80 | (cp >> 6 & 0x3f));
  to[3] = (char)(0x80 | (cp & 0x3f));
  return 4;
}

/* Number of code points: bytes that are not continuations, 8 at a time. */
static inline int64_t tr_utf8_count(const char *s, int64_t n) {
  int64_t k = 0, i = 0;
  for (; i + 8 <= n; i += 8) {
    uint64_t w;
    memcpy(&w, s + i, 8);
    w = (w >> 7) & ~(w >> 6) & 0x0101010101010101u;
    k += 8 - (int64_t)((w * 0x0101010101010101u) >> 56);
  }
  for (; i < n; i++) k += ((unsigned char)s[i] & 0xc0) != 0x80;
  return k;
}

static inline bool tr_utf8_is_ascii(const char *s, int64_t n) {
  uint64_t all = 0, w;
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    memcpy(&w, s + i, 8);
    all |= w;
  }
  for (; i < n; i++) all |= (unsigned char)s[i] & 0x80u ? 0x80u : 0;
  return (all & 0x8080808080808080u) == 0;
}

/* First place of the m bytes in the n; NULL when there is none. memmem, whose start-up is too dear for short texts. */
static inline const char *tr_text_find(const char *s, int64_t n, const char *needle, int64_t m) {
  if (m == 0) return s;
  if (n > 64) return memmem(s, (size_t)n, needle, (size_t)m);
  const char first = *needle;
  for (int64_t i = 0; i + m <= n; i++) {
    if (s[i] != first) continue;
    int64_t k = 1;
    while (k < m && s[i + k] == needle[k]) k++;
    if (k == m) return s + i;
  }
  return NULL;
}

int32_t tr_cp_upper(int32_t cp);
int32_t tr_cp_lower(int32_t cp);
bool tr_cp_is_alpha(int32_t cp);
bool tr_cp_is_digit(int32_t cp);
bool tr_cp_is_cased(int32_t cp);
bool tr_cp_is_space(int32_t cp);
/* Characters newer than our Unicode tables, or whose mapping changed since: left to pandas. */
bool tr_cp_unknown(int32_t cp);
