/* Text that grows: for requests, signatures and replies that are put together piece by piece.
 *
 * Failure is sticky, so that a page of additions needs one check: after a failed allocation additions do nothing and
 * tr_text_check tells. `data` is 0-terminated as soon as anything was added.
 */
#pragma once
#include "base/status.h"

struct tr_text {
  char *data; /* NULL while nothing was added */
  size_t length, room;
  size_t failed_bytes; /* 0 = all well */
};

/* Starts as {0}. */
void tr_text_add(struct tr_text *t, const void *data, size_t bytes);
void tr_text_add_str(struct tr_text *t, const char *s);
void tr_text_add_char(struct tr_text *t, char c);
void tr_text_add_format(struct tr_text *t, const char *format, ...) TR_PRINTF(2, 3);
/* Empty again, memory kept. */
void tr_text_clear(struct tr_text *t);
/* TR_EXC_MEMORY if an addition did not fit the budget. */
TR_MUST_USE enum tr_status tr_text_check(const struct tr_text *t, struct tr_error *err);
/* The text, "" when empty; valid until the next change. */
const char *tr_text_str(const struct tr_text *t);
void tr_text_free(struct tr_text *t);
