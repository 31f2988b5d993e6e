/* Bump arena for many small, short-lived things that die together (plans while they are rewritten, parse results).
 * Not thread-safe. Memory is accounted in the budget by chunk. */
#pragma once
#include "base/status.h"

struct tr_arena {
  struct tr_arena_chunk *head;
};

void tr_arena_init(struct tr_arena *a);
/* Gives zeroed memory aligned to 16 bytes that lives until tr_arena_free; NULL when over budget. */
void *tr_arena_alloc(struct tr_arena *a, size_t bytes);
char *tr_arena_strndup(struct tr_arena *a, const char *s, size_t n);
void tr_arena_free(struct tr_arena *a);
