#include "scheduler/state/name_map.h"
#include "base/hash.h"
#include "base/mem.h"
#include <string.h>

struct tr_name_entry {
  const char *key;
  void *value;
  uint64_t hash;
};

static uint64_t hash_of(const char *key) { return tr_hash_bytes(key, strlen(key)); }

/* The place of the key, or the free place where it would go. The map has a free place. */
static size_t place(const struct tr_name_map *m, const char *key, uint64_t hash) {
  size_t i = hash & (m->room - 1);
  while (m->entries[i].key && (m->entries[i].hash != hash || strcmp(m->entries[i].key, key) != 0))
    i = (i + 1) & (m->room - 1);
  return i;
}

void *tr_name_map_get(const struct tr_name_map *m, const char *key) {
  return m->room ? m->entries[place(m, key, hash_of(key))].value : NULL;
}

static bool grow(struct tr_name_map *m) {
  struct tr_name_map bigger = {.room = m->room ? m->room * 2 : 16, .n = m->n};
  void *p;
  if (tr_mem_calloc(bigger.room * sizeof *bigger.entries, &p, NULL) != TR_OK) return false;
  bigger.entries = p;
  for (size_t i = 0; i < m->room; i++)
    if (m->entries[i].key) bigger.entries[place(&bigger, m->entries[i].key, m->entries[i].hash)] = m->entries[i];
  tr_name_map_free(m);
  *m = bigger;
  return true;
}

bool tr_name_map_put(struct tr_name_map *m, const char *key, void *value) {
  if (m->n * 2 >= m->room && !grow(m)) return false;
  uint64_t hash = hash_of(key);
  size_t i = place(m, key, hash);
  m->n += !m->entries[i].key;
  m->entries[i] = (struct tr_name_entry){key, value, hash};
  return true;
}

void *tr_name_map_remove(struct tr_name_map *m, const char *key) {
  if (!m->room) return NULL;
  size_t i = place(m, key, hash_of(key)), mask = m->room - 1;
  void *value = m->entries[i].value;
  if (!m->entries[i].key) return NULL;
  m->entries[i] = (struct tr_name_entry){0};
  m->n--;
  /* What was pushed past the hole moves back into it, so that probing never meets a hole too early. */
  for (size_t j = (i + 1) & mask; m->entries[j].key; j = (j + 1) & mask) {
    size_t home = m->entries[j].hash & mask;
    if (((j - home) & mask) < ((j - i) & mask)) continue;
    m->entries[i] = m->entries[j];
    m->entries[j] = (struct tr_name_entry){0};
    i = j;
  }
  return value;
}

void *tr_name_map_next(const struct tr_name_map *m, size_t *at) {
  while (*at < m->room) {
    const struct tr_name_entry *e = &m->entries[(*at)++];
    if (e->key) return e->value;
  }
  return NULL;
}

void tr_name_map_free(struct tr_name_map *m) {
  tr_mem_free(m->entries, m->room * sizeof *m->entries);
  *m = (struct tr_name_map){0};
}
