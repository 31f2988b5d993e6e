/* The bump arena: see arena.h. Chunks form a list; the head is the one being filled. A request that a chunk of
 * the usual size cannot hold gets a chunk of its own behind the head, so that the head's rest is not wasted.
 */
#include "base/arena.h"
#include "base/mem.h"
#include <string.h>

struct tr_arena_chunk {
  struct tr_arena_chunk *next;
  size_t size, used;
  char pad[40];
};

void tr_arena_init(struct tr_arena *a) { a->head = NULL; }

enum { CHUNK_BYTES = 16000 };

/* Adds a chunk with room for `bytes`; NULL when over budget. */
static struct tr_arena_chunk *add_chunk(struct tr_arena *a, size_t bytes) {
  bool own = bytes > CHUNK_BYTES / 4 && a->head;
  size_t room = bytes > CHUNK_BYTES || own ? bytes : CHUNK_BYTES;
  void *mem;
  if (tr_mem_alloc(sizeof(struct tr_arena_chunk) + room, &mem, NULL) != TR_OK) return NULL;
  struct tr_arena_chunk *c = mem;
  c->size = sizeof *c + room;
  c->used = sizeof *c;
  struct tr_arena_chunk **place = own ? &a->head->next : &a->head;
  c->next = *place;
  *place = c;
  return c;
}

void *tr_arena_alloc(struct tr_arena *a, size_t bytes) {
  if (bytes > SIZE_MAX / 2) return NULL;
  bytes = (bytes + 15) & ~(size_t)15;
  struct tr_arena_chunk *c = a->head;
  if (!c || c->size - c->used < bytes) c = add_chunk(a, bytes);
  if (!c) return NULL;
  void *p = (char *)c + c->used;
  c->used += bytes;
  memset(p, 0, bytes);
  return p;
}

char *tr_arena_strndup(struct tr_arena *a, const char *s, size_t n) {
  if (n == SIZE_MAX) return NULL;
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
