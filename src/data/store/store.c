/* Opening by URL, and the parts of the interface that are the same for all stores. */
#include "base/mem.h"
#include "data/store/store_int.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { MOST_OBJECTS_A_LISTING = 10000000 };

enum tr_status tr_store_init(struct tr_store *s, const struct tr_store_ops *ops, char *url, struct tr_store *next,
                             struct tr_error *err) {
  s->ops = ops;
  s->refs = 1;
  s->next = next;
  s->url = url;
  s->remote = next && next->remote;
  return url ? TR_OK : tr_fail_memory(err, 0);
}

struct tr_store *tr_store_ref(struct tr_store *s) {
  atomic_fetch_add(&s->refs, 1);
  return s;
}

void tr_store_unref(struct tr_store *s) {
  while (s && atomic_fetch_sub(&s->refs, 1) == 1) {
    struct tr_store *next = s->next;
    free(s->url);
    s->ops->free(s);
    s = next;
  }
}

const char *tr_store_url(const struct tr_store *s) { return s->url; }

const char *tr_store_option(const struct tr_store_option *options, int n, const char *name) {
  for (int i = 0; i < n; i++)
    if (strcmp(options[i].name, name) == 0 && options[i].value && *options[i].value) return options[i].value;
  return NULL;
}

int64_t tr_store_now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

enum tr_status tr_store_sleep(struct tr_ctx *ctx, int64_t ms) {
  for (int64_t until = tr_store_now_us() + ms * 1000, now; (now = tr_store_now_us()) < until;) {
    int64_t us = until - now < 20000 ? until - now : 20000;
    nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
    if (!ctx) continue;
    if (ctx->poll && !tr_pool_is_helper() && ctx->poll(ctx->poll_arg)) tr_ctx_cancel(ctx);
    TR_TRY(tr_ctx_check(ctx));
  }
  return TR_OK;
}

bool tr_store_may_pass(enum tr_status st, const struct tr_error *err) {
  return st == TR_ERROR && err->exc == TR_EXC_OS && (err->os_errno == EAGAIN || err->os_errno == ETIMEDOUT);
}

enum tr_status tr_store_check_key(const struct tr_store *s, const char *key, struct tr_error *err) {
  bool good = *key && strlen(key) <= 1024;
  for (const char *p = key; good; p++) {
    size_t n = strcspn(p, "/");
    good = n > 0 && !(n == 1 && *p == '.') && !(n == 2 && p[0] == '.' && p[1] == '.');
    for (size_t i = 0; i < n; i++) good &= (unsigned char)p[i] >= ' ' && p[i] != 0x7f;
    p += n;
    if (!*p) break;
  }
  return good ? TR_OK : tr_fail(err, TR_EXC_VALUE, "%s: not a key of an object: '%.100s'", s->url, key);
}

/* The length of the scheme in front of "://", 0 for a plain path. */
static size_t scheme_of(const char *url) {
  const char *colon = strstr(url, "://");
  size_t n = colon ? (size_t)(colon - url) : 0;
  for (size_t i = 0; i < n; i++)
    if (!((url[i] >= 'a' && url[i] <= 'z') || (i && url[i] >= '0' && url[i] <= '9'))) return 0;
  return n;
}

static bool scheme_is(const char *url, size_t n, const char *name) {
  return strlen(name) == n && !memcmp(url, name, n);
}

static bool is_s3(const char *url, size_t n) { return scheme_is(url, n, "s3") || scheme_is(url, n, "s3a"); }

static bool is_azure(const char *url, size_t n) {
  return scheme_is(url, n, "az") || scheme_is(url, n, "abfs") || scheme_is(url, n, "abfss");
}

bool tr_store_is_remote_url(const char *text) {
  size_t n = scheme_of(text);
  return is_s3(text, n) || is_azure(text, n);
}

/* Faults of the environment under it, then hedging and retries for what is remote. All take the store. */
TR_MUST_USE static enum tr_status dress(struct tr_store *s, struct tr_store **out, struct tr_error *err) {
  const char *faults = getenv("TERALITY_STORE_FAULTS");
  bool harmed = faults && *faults;
  if (harmed) TR_TRY(tr_store_fault(s, faults, &s, err));
  if (s->remote) TR_TRY(tr_store_hedge(s, &s, err));
  if (s->remote || harmed) TR_TRY(tr_store_retry(s, &s, err));
  *out = s;
  return TR_OK;
}

enum tr_status tr_store_open(const char *url, const struct tr_store_option *options, int n_options,
                             struct tr_store **out, struct tr_error *err) {
  size_t n = scheme_of(url);
  const char *rest = url + n + 3;
  struct tr_store *s;
  if (is_s3(url, n)) {
    TR_TRY(tr_s3_store_open(rest, options, n_options, &s, err));
  } else if (is_azure(url, n)) {
    char scheme[8] = {0};
    memcpy(scheme, url, n);
    TR_TRY(tr_azure_store_open(scheme, rest, options, n_options, &s, err));
  } else if (scheme_is(url, n, "memory")) {
    TR_TRY(tr_memory_store_open(&s, err));
  } else if (scheme_is(url, n, "file")) {
    TR_TRY(tr_file_store_open(strncmp(rest, "localhost/", 10) == 0 ? rest + 9 : rest, &s, err));
  } else if (n == 0) {
    TR_TRY(tr_file_store_open(url, &s, err));
  } else {
    return tr_unsupported(err, "a store of the kind %.*s", (int)n, url);
  }
  return dress(s, out, err);
}

enum tr_status tr_store_open_object(const char *url, const struct tr_store_option *options, int n_options,
                                    struct tr_store **out, char **key, struct tr_error *err) {
  size_t n = scheme_of(url);
  const char *rest = url + (n ? n + 3 : 0);
  /* Remote: the first part is bucket or container. A folder: all but the last part. */
  const char *cut = n && !scheme_is(url, n, "file") ? strchr(rest, '/') : strrchr(rest, '/');
  if (!cut && n) return tr_fail(err, TR_EXC_VALUE, "%s names no object", url);
  char *root = cut ? strndup(url, (size_t)(cut - url) + (cut == rest)) : strdup(".");
  *key = strdup(cut ? cut + 1 : rest);
  enum tr_status st =
      root && *key ? tr_store_open(root, options, n_options, out, err) : tr_fail_memory(err, strlen(url));
  free(root);
  if (st == TR_OK) {
    st = tr_store_check_key(*out, *key, err);
    if (st != TR_OK) tr_store_unref(*out);
  }
  if (st != TR_OK) {
    free(*key);
    *key = NULL;
  }
  return st;
}

enum tr_status tr_store_stat(struct tr_store *s, const char *key, struct tr_ctx *ctx, struct tr_object *out,
                             struct tr_error *err) {
  TR_TRY(tr_store_check_key(s, key, err));
  memset(out, 0, sizeof *out);
  return s->ops->stat(s, key, ctx, out, err);
}

enum tr_status tr_store_make(struct tr_store *s, struct tr_ctx *ctx, struct tr_error *err) {
  return s->ops->make(s, ctx, err);
}

enum tr_status tr_store_put(struct tr_store *s, const char *key, struct tr_put *put, struct tr_ctx *ctx,
                            struct tr_error *err) {
  TR_TRY(tr_store_check_key(s, key, err));
  put->new_etag[0] = 0;
  return s->ops->put(s, key, put, ctx, err);
}

enum tr_status tr_store_remove(struct tr_store *s, const char *key, struct tr_ctx *ctx, struct tr_error *err) {
  TR_TRY(tr_store_check_key(s, key, err));
  return s->ops->remove(s, key, ctx, err);
}

enum tr_status tr_store_get(struct tr_store *s, const char *key, size_t max_bytes, struct tr_ctx *ctx, uint8_t **data,
                            size_t *bytes, size_t *room, char etag_out[TR_ETAG_SIZE], struct tr_error *err) {
  struct tr_object o;
  void *memory;
  TR_TRY(tr_store_stat(s, key, ctx, &o, err));
  if (o.size < 0 || (uint64_t)o.size > max_bytes)
    return tr_fail(err, TR_EXC_VALUE, "%s/%s has %lld bytes, more than the %zu expected", s->url, key,
                   (long long)o.size, max_bytes);
  TR_TRY(tr_mem_alloc((size_t)o.size + 1, &memory, err));
  const struct tr_range all = {0, o.size, memory};
  enum tr_status st = tr_store_read(s, key, o.etag[0] ? o.etag : NULL, &all, 1, ctx, err);
  if (st != TR_OK) {
    tr_mem_free(memory, (size_t)o.size + 1);
    return st;
  }
  *data = memory;
  *bytes = (size_t)o.size;
  *room = (size_t)o.size + 1;
  if (etag_out) memcpy(etag_out, o.etag, TR_ETAG_SIZE);
  return TR_OK;
}

enum tr_status tr_page_add(struct tr_page *page, const char *key, size_t key_bytes, struct tr_object **out,
                           struct tr_error *err) {
  if (page->n == page->room) {
    int64_t room = page->room ? page->room * 2 : 64;
    struct tr_object *grown = tr_arena_alloc(&page->arena, (size_t)room * sizeof *grown);
    if (!grown) return tr_fail_memory(err, (size_t)room * sizeof *grown);
    if (page->n) memcpy(grown, page->objects, (size_t)page->n * sizeof *grown);
    page->objects = grown;
    page->room = room;
  }
  struct tr_object *o = &page->objects[page->n];
  memset(o, 0, sizeof *o);
  o->key = tr_arena_strndup(&page->arena, key, key_bytes);
  if (!o->key) return tr_fail_memory(err, key_bytes);
  page->n++;
  *out = o;
  return TR_OK;
}

static int by_key(const void *a, const void *b) {
  return strcmp(((const struct tr_object *)a)->key, ((const struct tr_object *)b)->key);
}

enum tr_status tr_store_list(struct tr_store *s, const char *prefix, char delimiter, struct tr_ctx *ctx,
                             tr_store_visit visit, void *arg, struct tr_error *err) {
  char *from = NULL;
  int64_t seen = 0;
  enum tr_status st = TR_OK;
  for (bool more = true; more && st == TR_OK;) {
    struct tr_page page = {0};
    tr_arena_init(&page.arena);
    st = s->ops->list(s, prefix, delimiter, from, ctx, &page, err);
    /* S3 tells prefixes after the objects of a page; pages themselves are in order. */
    if (page.n > 1) qsort(page.objects, (size_t)page.n, sizeof *page.objects, by_key);
    for (int64_t i = 0; i < page.n && st == TR_OK; i++) st = visit(arg, &page.objects[i], err);
    seen += page.n;
    if (st == TR_OK && seen > MOST_OBJECTS_A_LISTING)
      st = tr_fail(err, TR_EXC_VALUE, "%s/%s: more than %d objects", s->url, prefix, MOST_OBJECTS_A_LISTING);
    free(from);
    from = st == TR_OK && page.next ? strdup(page.next) : NULL;
    more = page.next != NULL;
    if (st == TR_OK && more && !from) st = tr_fail_memory(err, strlen(page.next));
    tr_arena_free(&page.arena);
  }
  free(from);
  return st;
}
