#include "base/arena.h"
#include "base/mem.h"
#include <string.h>

struct tr_arena_chunk {
  struct tr_arena_chunk *next;
  size_t size, used;
  char pad[40];
};

void tr_arena_init(struct tr_arena *a) { a->head = NULL; }

void *tr_arena_alloc(struct tr_arena *a, size_t bytes) {
  bytes = (bytes + 15) & ~(size_t)15;
  struct tr_arena_chunk *c = a->head;
  if (!c || c->size - c->used < bytes) {
    size_t size = sizeof *c + (bytes > 16000 ? bytes : 16000);
    void *mem;
    if (tr_mem_alloc(size, &mem, NULL) != TR_OK) return NULL;
    c = mem;
    c->next = a->head;
    c->size = size;
    c->used = sizeof *c;
    a->head = c;
  }
  void *p = (char *)c + c->used;
  c->used += bytes;
  memset(p, 0, bytes);
  return p;
}

char *tr_arena_strndup(struct tr_arena *a, const char *s, size_t n) {
  char *p = tr_arena_alloc(a, n + 1);
  if (p) memcpy(p, s, n);
  return p;
}

void tr_arena_free(struct tr_arena *a) {
  while (a->head) {
    struct tr_arena_chunk *c = a->head;
    a->head = c->next;
    tr_mem_free(c, c->size);
  }
}
