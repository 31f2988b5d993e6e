/* Faults on purpose, for tests: see tr_store_fault in store.h. They come at counted operations, not by chance, so that
 * a run can be repeated.
 */
#include "data/store/store_int.h"
#include "net/http.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum op { OP_STAT, OP_READ, OP_LIST, OP_PUT, OP_PART, OP_REMOVE, OP_ANY, N_OPS };
enum kind { NO_FAULT, FAIL, LOST, SHORT, LATE };
enum { MOST_RULES = 8 };

static const char *const OP_NAMES[N_OPS] = {"stat", "read", "list", "put", "part", "remove", "any"};
static const char *const KIND_NAMES[] = {"", "fail", "lost", "short", "late"};

struct rule {
  enum op op;
  enum kind kind;
  int64_t every, ms;
  _Atomic int64_t seen;
};

struct faulty {
  struct tr_store store;
  struct rule rules[MOST_RULES];
  int n_rules;
};

/* Counts the operation; gives the fault that is due, and its milliseconds. */
static enum kind due(struct tr_store *s, enum op op, int64_t *ms) {
  struct faulty *f = (struct faulty *)s;
  enum kind found = NO_FAULT;
  for (int i = 0; i < f->n_rules; i++) {
    struct rule *r = &f->rules[i];
    if (r->op != op && r->op != OP_ANY) continue;
    if ((atomic_fetch_add(&r->seen, 1) + 1) % r->every != 0 || found) continue;
    found = r->kind;
    *ms = r->ms;
  }
  return found;
}

TR_MUST_USE static enum tr_status failed(const struct tr_store *s, const char *key, struct tr_error *err) {
  return tr_fail_os(err, EAGAIN, "%s/%s: a fault made on purpose", s->url, key);
}

/* A fault of a blocking operation before it is done; TR_OK when it should go on. */
TR_MUST_USE static enum tr_status before(struct tr_store *s, const char *key, enum kind kind, int64_t ms,
                                         struct tr_ctx *ctx, struct tr_error *err) {
  if (kind == LATE) return tr_store_sleep(ctx, ms);
  return kind == FAIL ? failed(s, key, err) : TR_OK;
}

static enum tr_status fault_stat(struct tr_store *s, const char *key, struct tr_ctx *ctx, struct tr_object *out,
                                 struct tr_error *err) {
  int64_t ms = 0;
  enum kind kind = due(s, OP_STAT, &ms);
  TR_TRY(before(s, key, kind, ms, ctx, err));
  TR_TRY(tr_pass_stat(s, key, ctx, out, err));
  return kind == LOST ? failed(s, key, err) : TR_OK;
}

static enum tr_status fault_put(struct tr_store *s, const char *key, struct tr_put *put, struct tr_ctx *ctx,
                                struct tr_error *err) {
  int64_t ms = 0;
  enum kind kind = due(s, OP_PUT, &ms);
  TR_TRY(before(s, key, kind, ms, ctx, err));
  TR_TRY(tr_pass_put(s, key, put, ctx, err));
  return kind == LOST ? failed(s, key, err) : TR_OK;
}

static enum tr_status fault_list(struct tr_store *s, const char *prefix, char delimiter, const char *from,
                                 struct tr_ctx *ctx, struct tr_page *page, struct tr_error *err) {
  int64_t ms = 0;
  enum kind kind = due(s, OP_LIST, &ms);
  TR_TRY(before(s, prefix, kind, ms, ctx, err));
  TR_TRY(tr_pass_list(s, prefix, delimiter, from, ctx, page, err));
  return kind == LOST ? failed(s, prefix, err) : TR_OK;
}

static enum tr_status fault_remove(struct tr_store *s, const char *key, struct tr_ctx *ctx, struct tr_error *err) {
  int64_t ms = 0;
  enum kind kind = due(s, OP_REMOVE, &ms);
  TR_TRY(before(s, key, kind, ms, ctx, err));
  TR_TRY(tr_pass_remove(s, key, ctx, err));
  return kind == LOST ? failed(s, key, err) : TR_OK;
}

/* An io that has a fault before or after it. */
struct harmed {
  struct tr_child child;
  struct tr_store_io *owner;
  struct tr_store *store;
  enum kind kind;
  struct tr_io_part half; /* SHORT: what is read before the connection breaks */
};

static void harmed_free(struct tr_child *c) { free(c); }

static void harmed_done(struct tr_store_io *io, enum tr_status status, const struct tr_error *err) {
  struct harmed *h = io->arg;
  struct tr_error mine;
  tr_child_over(&h->child);
  memcpy(h->owner->new_etag, io->new_etag, sizeof io->new_etag);
  if (status == TR_OK && h->kind != LATE) {
    status = failed(h->store, io->key, &mine);
    err = &mine;
  }
  h->owner->done(h->owner, status, err);
  tr_child_unref(&h->child);
}

static void now(void *arg, enum tr_status status, struct tr_http_reply *reply, const struct tr_error *err) {
  struct harmed *h = arg;
  (void)reply, (void)status, (void)err; /* cancelled or not: the store behind decides */
  tr_child_submit(&h->child);
}

static void fault_submit(struct tr_store *s, struct tr_store_io *io) {
  int64_t ms = 0;
  enum kind kind = due(s, io->kind == TR_IO_READ ? OP_READ : OP_PART, &ms);
  struct tr_http *http = NULL;
  struct tr_error err;
  struct harmed *h = calloc(1, sizeof *h);
  enum tr_status st = h ? TR_OK : tr_fail_memory(&err, sizeof *h);
  if (st == TR_OK && kind == FAIL) st = failed(s, io->key, &err);
  if (st == TR_OK && kind == LATE) st = tr_http_shared(&http, &err);
  if (st != TR_OK) {
    free(h);
    io->done(io, st, &err);
    return;
  }
  h->owner = io;
  h->store = s;
  h->kind = kind == NO_FAULT ? LATE : kind; /* late by nothing: nothing happens to it */
  tr_child_init(&h->child, s->next, io, harmed_done, h, harmed_free);
  if (kind == SHORT && io->n_parts) { /* as a broken connection leaves it: the first bytes are there, and right */
    h->half = (struct tr_io_part){io->parts[0].to, io->parts[0].bytes / 2 + 1};
    h->child.io.parts = &h->half;
    h->child.io.n_parts = 1;
    h->child.io.bytes = h->half.bytes <= io->parts[0].bytes ? h->half.bytes : (h->half.bytes = io->parts[0].bytes);
  }
  io->under_way = h;
  if (kind == LATE && tr_http_after(http, ms, now, h, NULL, NULL) == TR_OK) return;
  tr_child_submit(&h->child);
}

static void fault_cancel(struct tr_store *s, struct tr_store_io *io) {
  (void)s;
  tr_child_cancel(&((struct harmed *)io->under_way)->child);
}

static void fault_free(struct tr_store *s) { free(s); }

static const struct tr_store_ops OPS = {tr_pass_make, fault_stat,    fault_put,   fault_list,
                                        fault_remove, tr_pass_begin, tr_pass_end, tr_pass_abort,
                                        fault_submit, fault_cancel,  fault_free};

static int index_of(const char *text, size_t n, const char *const *names, int n_names) {
  for (int i = 0; i < n_names; i++)
    if (strlen(names[i]) == n && memcmp(text, names[i], n) == 0) return i;
  return -1;
}

/* One "op:n:kind[:ms]". */
static bool parse_rule(const char *text, size_t length, struct rule *r) {
  char copy[64], op[16], kind[16];
  long long every = 0, ms = 0;
  if (length >= sizeof copy) return false;
  memcpy(copy, text, length);
  copy[length] = 0;
  if (sscanf(copy, "%15[a-z]:%lld:%15[a-z]:%lld", op, &every, kind, &ms) < 3 || every < 1 || ms < 0) return false;
  int o = index_of(op, strlen(op), OP_NAMES, N_OPS), k = index_of(kind, strlen(kind), KIND_NAMES, LATE + 1);
  *r = (struct rule){.op = (enum op)(o < 0 ? 0 : o), .kind = (enum kind)(k < 0 ? 0 : k), .every = every, .ms = ms};
  return o >= 0 && k > 0;
}

enum tr_status tr_store_fault(struct tr_store *next, const char *faults, struct tr_store **out, struct tr_error *err) {
  struct faulty *f = calloc(1, sizeof *f);
  enum tr_status st = f ? tr_store_init(&f->store, &OPS, strdup(next->url), next, err) : tr_fail_memory(err, sizeof *f);
  for (const char *p = faults; st == TR_OK && *p;) {
    size_t n = strcspn(p, ",");
    if (f->n_rules == MOST_RULES || !parse_rule(p, n, &f->rules[f->n_rules++]))
      st = tr_fail(err, TR_EXC_VALUE, "not a list of faults (op:n:kind[:ms],…): %s", faults);
    p += n + (p[n] == ',');
  }
  if (st != TR_OK) {
    tr_store_unref(next);
    if (f) free(f->store.url);
    free(f);
    return st;
  }
  *out = &f->store;
  return TR_OK;
}
