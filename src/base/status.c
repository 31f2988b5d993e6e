#include "base/status.h"
#include <stdio.h>
#include <string.h>

static void fill(struct tr_error *err, enum tr_exc exc, int os_errno, const char *text, va_list ap) {
  if (!err) return;
  err->exc = exc;
  err->os_errno = os_errno;
  vsnprintf(err->text, sizeof err->text, text, ap);
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
                 "(set TERALITY_MEMORY_BUDGET to raise it)", bytes);
}
