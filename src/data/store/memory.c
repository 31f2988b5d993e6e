/* Objects in memory: for tests, and to say in a few lines what a store does. */
#include "base/mem.h"
#include "data/store/store_int.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct entry {
  struct entry *next; /* by key */
  char *key;
  uint8_t *data;
  size_t bytes;
  int64_t version, modified_ns;
};

struct memory {
  struct tr_store store;
  pthread_mutex_t lock;
  struct entry *first;
  int64_t versions;
};

static struct entry **find(struct memory *m, const char *key) {
  struct entry **at = &m->first;
  while (*at && strcmp((*at)->key, key) < 0) at = &(*at)->next;
  return at;
}

static struct entry *found(struct memory *m, const char *key) {
  struct entry *e = *find(m, key);
  return e && strcmp(e->key, key) == 0 ? e : NULL;
}

static void make_etag(const struct entry *e, char out[TR_ETAG_SIZE]) {
  snprintf(out, TR_ETAG_SIZE, "\"%lld\"", (long long)e->version);
}

static bool has_etag(const struct entry *e, const char *etag) {
  char mine[TR_ETAG_SIZE];
  make_etag(e, mine);
  return strcmp(mine, etag) == 0;
}

static void entry_free(struct entry *e) {
  tr_mem_free(e->data, e->bytes);
  free(e->key);
  free(e);
}

static enum tr_status mem_stat(struct tr_store *s, const char *key, struct tr_ctx *ctx, struct tr_object *out,
                               struct tr_error *err) {
  struct memory *m = (struct memory *)s;
  (void)ctx;
  pthread_mutex_lock(&m->lock);
  const struct entry *e = found(m, key);
  enum tr_status st = e ? TR_OK : tr_fail_os(err, ENOENT, "%s%s", s->url, key);
  if (e) {
    out->size = (int64_t)e->bytes;
    out->modified_ns = e->modified_ns;
    make_etag(e, out->etag);
  }
  pthread_mutex_unlock(&m->lock);
  return st;
}

/* Replaces or adds; `data` (from tr_mem) is taken. Called with the lock held. */
TR_MUST_USE static enum tr_status store_bytes(struct memory *m, const char *key, uint8_t *data, size_t bytes,
                                              char etag[TR_ETAG_SIZE], struct tr_error *err) {
  struct entry **at = find(m, key), *e = calloc(1, sizeof *e);
  if (!e || !(e->key = strdup(key))) {
    free(e);
    tr_mem_free(data, bytes);
    return tr_fail_memory(err, sizeof *e);
  }
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  e->data = data;
  e->bytes = bytes;
  e->version = ++m->versions;
  e->modified_ns = now.tv_sec * 1000000000ll + now.tv_nsec;
  struct entry *old = *at && strcmp((*at)->key, key) == 0 ? *at : NULL;
  e->next = old ? old->next : *at;
  *at = e;
  if (old) entry_free(old);
  make_etag(e, etag);
  return TR_OK;
}

static enum tr_status mem_put(struct tr_store *s, const char *key, struct tr_put *put, struct tr_ctx *ctx,
                              struct tr_error *err) {
  struct memory *m = (struct memory *)s;
  void *copy;
  (void)ctx;
  TR_TRY(tr_mem_alloc(put->bytes, &copy, err));
  if (put->bytes) memcpy(copy, put->data, put->bytes);
  pthread_mutex_lock(&m->lock);
  const struct entry *e = found(m, key);
  enum tr_status st = TR_OK;
  if (put->mode == TR_PUT_IF_ABSENT && e) st = tr_fail_os(err, EEXIST, "%s%s", s->url, key);
  else if (put->mode == TR_PUT_IF_MATCH && !e) st = tr_fail_os(err, ENOENT, "%s%s", s->url, key);
  else if (put->mode == TR_PUT_IF_MATCH && !has_etag(e, put->etag)) st = tr_fail_os(err, ESTALE, "%s%s", s->url, key);
  if (st == TR_OK) st = store_bytes(m, key, copy, put->bytes, put->new_etag, err);
  else tr_mem_free(copy, put->bytes);
  pthread_mutex_unlock(&m->lock);
  return st;
}

static enum tr_status mem_remove(struct tr_store *s, const char *key, struct tr_ctx *ctx, struct tr_error *err) {
  struct memory *m = (struct memory *)s;
  (void)ctx, (void)err;
  pthread_mutex_lock(&m->lock);
  struct entry **at = find(m, key), *e = found(m, key);
  if (e) {
    *at = e->next;
    entry_free(e);
  }
  pthread_mutex_unlock(&m->lock);
  return TR_OK;
}

static enum tr_status mem_list(struct tr_store *s, const char *prefix, char delimiter, const char *from,
                               struct tr_ctx *ctx, struct tr_page *page, struct tr_error *err) {
  struct memory *m = (struct memory *)s;
  size_t n = strlen(prefix);
  enum tr_status st = TR_OK;
  (void)ctx, (void)from;
  pthread_mutex_lock(&m->lock);
  for (const struct entry *e = m->first; e && st == TR_OK; e = e->next) {
    struct tr_object *o;
    if (strncmp(e->key, prefix, n) != 0) continue;
    const char *cut = delimiter ? strchr(e->key + n, delimiter) : NULL;
    size_t length = cut ? (size_t)(cut - e->key) + 1 : strlen(e->key);
    const struct tr_object *last = page->n ? &page->objects[page->n - 1] : NULL;
    if (cut && last && last->prefix && strlen(last->key) == length && memcmp(last->key, e->key, length) == 0) continue;
    st = tr_page_add(page, e->key, length, &o, err);
    if (st != TR_OK) break;
    o->prefix = cut != NULL;
    if (cut) continue;
    o->size = (int64_t)e->bytes;
    o->modified_ns = e->modified_ns;
    make_etag(e, o->etag);
  }
  pthread_mutex_unlock(&m->lock);
  return st;
}

/* Called with the lock held. */
TR_MUST_USE static enum tr_status copy_out(struct memory *m, const struct tr_store_io *io, struct tr_error *err) {
  const struct entry *e = found(m, io->key);
  if (!e) return tr_fail_os(err, ENOENT, "%s%s", m->store.url, io->key);
  if (io->etag && !has_etag(e, io->etag))
    return tr_fail_os(err, ESTALE, "%s%s: changed meanwhile", m->store.url, io->key);
  if (io->offset < 0 || (uint64_t)io->offset > e->bytes || io->bytes > e->bytes - (size_t)io->offset)
    return tr_fail_os(err, ESTALE, "%s%s: ends before byte %lld", m->store.url, io->key,
                      (long long)io->offset + (long long)io->bytes);
  const uint8_t *from = e->data + io->offset;
  for (int i = 0; i < io->n_parts; i++) {
    if (io->parts[i].to) memcpy(io->parts[i].to, from, io->parts[i].bytes);
    from += io->parts[i].bytes;
  }
  return TR_OK;
}

/* An upload is an entry under a key that no object can have. */
static enum tr_status mem_begin(struct tr_store *s, const char *key, char **upload, struct tr_error *err) {
  struct memory *m = (struct memory *)s;
  char etag[TR_ETAG_SIZE];
  char *name = malloc(strlen(key) + 40);
  if (!name) return tr_fail_memory(err, strlen(key));
  pthread_mutex_lock(&m->lock);
  sprintf(name, "\x7f%lld/%s", (long long)m->versions, key);
  enum tr_status st = store_bytes(m, name, NULL, 0, etag, err);
  pthread_mutex_unlock(&m->lock);
  if (st == TR_OK) *upload = name;
  else free(name);
  return st;
}

TR_MUST_USE static enum tr_status copy_in(struct memory *m, struct tr_store_io *io, struct tr_error *err) {
  struct entry *e = found(m, io->upload);
  if (!e) return tr_fail_os(err, ENOENT, "%s%s: no such upload", m->store.url, io->key);
  size_t end = (size_t)io->offset + io->bytes;
  if (end > e->bytes) {
    void *grown = e->data;
    TR_TRY(tr_mem_realloc(&grown, e->bytes, end, err));
    e->data = grown;
    e->bytes = end;
  }
  if (io->bytes) memcpy(e->data + io->offset, io->data, io->bytes);
  make_etag(e, io->new_etag);
  return TR_OK;
}

static void mem_submit(struct tr_store *s, struct tr_store_io *io) {
  struct memory *m = (struct memory *)s;
  struct tr_error err;
  pthread_mutex_lock(&m->lock);
  enum tr_status st = io->kind == TR_IO_READ ? copy_out(m, io, &err) : copy_in(m, io, &err);
  pthread_mutex_unlock(&m->lock);
  io->done(io, st, &err);
}

static void mem_cancel(struct tr_store *s, struct tr_store_io *io) { (void)s, (void)io; }

static enum tr_status mem_end(struct tr_store *s, const char *key, const char *upload,
                              const char (*etags)[TR_ETAG_SIZE], int n_parts, struct tr_ctx *ctx,
                              char etag_out[TR_ETAG_SIZE], struct tr_error *err) {
  struct memory *m = (struct memory *)s;
  (void)etags, (void)n_parts, (void)ctx;
  pthread_mutex_lock(&m->lock);
  struct entry **at = find(m, upload), *e = found(m, upload);
  enum tr_status st = e ? TR_OK : tr_fail_os(err, ENOENT, "%s%s: no such upload", s->url, key);
  if (e) {
    *at = e->next;
    st = store_bytes(m, key, e->data, e->bytes, etag_out, err);
    e->data = NULL;
    e->bytes = 0;
    entry_free(e);
  }
  pthread_mutex_unlock(&m->lock);
  return st;
}

static void mem_abort(struct tr_store *s, const char *key, const char *upload) {
  (void)key;
  (void)!mem_remove(s, upload, NULL, NULL);
}

static enum tr_status mem_make(struct tr_store *s, struct tr_ctx *ctx, struct tr_error *err) {
  (void)s, (void)ctx, (void)err;
  return TR_OK;
}

static void mem_free(struct tr_store *s) {
  struct memory *m = (struct memory *)s;
  while (m->first) {
    struct entry *e = m->first;
    m->first = e->next;
    entry_free(e);
  }
  pthread_mutex_destroy(&m->lock);
  free(m);
}

static const struct tr_store_ops OPS = {mem_make, mem_stat,  mem_put,    mem_list,   mem_remove, mem_begin,
                                        mem_end,  mem_abort, mem_submit, mem_cancel, mem_free};

enum tr_status tr_memory_store_open(struct tr_store **out, struct tr_error *err) {
  struct memory *m = calloc(1, sizeof *m);
  if (!m) return tr_fail_memory(err, sizeof *m);
  pthread_mutex_init(&m->lock, NULL);
  *out = &m->store;
  return tr_store_init(&m->store, &OPS, strdup("memory://"), NULL, err);
}
