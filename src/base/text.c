/* Growing text: see text.h. */
#include "base/text.h"
#include "base/mem.h"
#include <stdio.h>
#include <string.h>

/* Room for `more` bytes and a 0. */
static bool reserve(struct tr_text *t, size_t more) {
  if (t->failed_bytes) return false;
  if (more < t->room - t->length && t->room) return true;
  size_t room = t->room ? t->room * 2 : 256;
  if (more > SIZE_MAX / 4 - t->length) room = SIZE_MAX / 2;
  while (room - t->length <= more) room *= 2;
  void *grown = t->data;
  if (tr_mem_realloc(&grown, t->room, room, NULL) != TR_OK) {
    t->failed_bytes = room;
    return false;
  }
  t->data = grown;
  t->room = room;
  return true;
}

void tr_text_add(struct tr_text *t, const void *data, size_t bytes) {
  if (!reserve(t, bytes)) return;
  if (bytes) memcpy(t->data + t->length, data, bytes);
  t->length += bytes;
  t->data[t->length] = 0;
}

void tr_text_add_str(struct tr_text *t, const char *s) { tr_text_add(t, s, strlen(s)); }
void tr_text_add_char(struct tr_text *t, char c) { tr_text_add(t, &c, 1); }

void tr_text_add_format(struct tr_text *t, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  int n = vsnprintf(NULL, 0, format, ap);
  va_end(ap);
  if (n < 0 || !reserve(t, (size_t)n)) return;
  va_start(ap, format);
  vsnprintf(t->data + t->length, (size_t)n + 1, format, ap);
  va_end(ap);
  t->length += (size_t)n;
}

void tr_text_clear(struct tr_text *t) {
  t->length = 0;
  if (t->data) t->data[0] = 0;
}

enum tr_status tr_text_check(const struct tr_text *t, struct tr_error *err) {
  return t->failed_bytes ? tr_fail_memory(err, t->failed_bytes) : TR_OK;
}

const char *tr_text_str(const struct tr_text *t) { return t->data ? t->data : ""; }

void tr_text_free(struct tr_text *t) {
  tr_mem_free(t->data, t->room);
  *t = (struct tr_text){0};
}
