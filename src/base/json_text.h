/* JSON written piece by piece into a growing text, for those who know the shape of what they write. */
#pragma once
#include "base/text.h"

/* A JSON string with its quotes; bytes that are no UTF-8 become U+FFFD. */
void tr_text_add_json(struct tr_text *t, const char *s);
/* A decimal number; much quicker than tr_text_add_format. */
void tr_text_add_int(struct tr_text *t, int64_t v);
