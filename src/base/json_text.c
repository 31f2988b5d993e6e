#include "base/json_text.h"
#include <string.h>

void tr_text_add_int(struct tr_text *t, int64_t v) {
  char digits[24], *p = digits + sizeof digits;
  uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
  do {
    *--p = (char)('0' + u % 10);
    u /= 10;
  } while (u);
  if (v < 0) *--p = '-';
  tr_text_add(t, p, (size_t)(digits + sizeof digits - p));
}

/* Length of the UTF-8 sequence at s (not NUL), 0 when it is none. */
static int utf8_length(const unsigned char *s) {
  static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
  int n = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
  if (n <= 1) return n;
  uint32_t code = s[0] & (0xffu >> (n + 1));
  for (int i = 1; i < n; i++) {
    if (s[i] >> 6 != 2) return 0;
    code = code << 6 | (s[i] & 63u);
  }
  return code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : n;
}

void tr_text_add_json(struct tr_text *t, const char *s) {
  tr_text_add_char(t, '"');
  const unsigned char *p = (const unsigned char *)s;
  while (*p) {
    int n = utf8_length(p);
    if (n == 0) tr_text_add_str(t, "\xef\xbf\xbd"), n = 1;
    else if (*p == '"' || *p == '\\') tr_text_add_format(t, "\\%c", *p);
    else if (*p < 0x20 || *p == 0x7f) tr_text_add_format(t, "\\u%04x", *p);
    else tr_text_add(t, (const char *)p, (size_t)n);
    p += n;
  }
  tr_text_add_char(t, '"');
}
