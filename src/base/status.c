/* Filling errors: see status.h. The text may be made from the error's own old text (wrapping it in a context), and
 * one that is too long is cut between characters, so that it stays UTF-8.
 */
#include "base/status.h"
#include <stdio.h>
#include <string.h>

/* Length of s without a last character that the end of the buffer has cut. */
static size_t whole_characters(const char *s, size_t n) {
  size_t start = n;
  while (start > 0 && n - start < 3 && ((unsigned char)s[start - 1] & 0xc0) == 0x80) start--;
  if (start == 0) return n;
  unsigned char lead = (unsigned char)s[start - 1];
  size_t need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
  return n - start + 1 < need ? start - 1 : n;
}

static void fill(struct tr_error *err, enum tr_exc exc, int os_errno, const char *text, va_list ap) {
  if (!err) return;
  char made[sizeof err->text];
  int n = vsnprintf(made, sizeof made, text, ap);
  if (n < 0) made[0] = 0;
  if (n >= (int)sizeof made) made[whole_characters(made, sizeof made - 1)] = 0;
  memcpy(err->text, made, strlen(made) + 1);
  err->exc = exc;
  err->os_errno = os_errno;
}

enum tr_status tr_fail(struct tr_error *err, enum tr_exc exc, const char *text, ...) {
  va_list ap;
  va_start(ap, text);
  fill(err, exc, 0, text, ap);
  va_end(ap);
  return TR_ERROR;
}

enum tr_status tr_fail_os(struct tr_error *err, int os_errno, const char *text, ...) {
  va_list ap;
  va_start(ap, text);
  fill(err, TR_EXC_OS, os_errno, text, ap);
  va_end(ap);
  return TR_ERROR;
}

enum tr_status tr_unsupported(struct tr_error *err, const char *text, ...) {
  va_list ap;
  va_start(ap, text);
  fill(err, TR_EXC_RUNTIME, 0, text, ap);
  va_end(ap);
  return TR_UNSUPPORTED;
}

enum tr_status tr_fail_memory(struct tr_error *err, size_t bytes) {
  return tr_fail(err, TR_EXC_MEMORY,
                 "terality: %zu bytes more would exceed the memory budget "
                 "(set TERALITY_MEMORY_BUDGET to raise it)",
                 bytes);
}
