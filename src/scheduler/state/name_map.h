/* A map from short texts (ids, hashes) to pointers. Keys are borrowed: they live in what the pointer points to. Memory
 * comes from base/mem.h; the map grows by doubling and never shrinks. Not thread-safe. */
#pragma once
#include "base/status.h"

struct tr_name_entry;
struct tr_name_map {
  struct tr_name_entry *entries; /* open addressing, linear probing; key NULL = free */
  size_t room, n;
};

/* NULL when there is none. */
void *tr_name_map_get(const struct tr_name_map *m, const char *key);
/* Adds or replaces; false when memory ran out. */
bool tr_name_map_put(struct tr_name_map *m, const char *key, void *value);
/* Gives what was there, or NULL. */
void *tr_name_map_remove(struct tr_name_map *m, const char *key);
/* Walks over all: start with *at = 0; NULL at the end. Nothing may be added or removed meanwhile. */
void *tr_name_map_next(const struct tr_name_map *m, size_t *at);
void tr_name_map_free(struct tr_name_map *m);
