/* Inside of the stores: the vtable, and what implementations share.
 *
 * Data moves by tr_store_io, started by `submit` and ended by its `done`, so that one thread can have many under way;
 * everything else is small and blocks. A filter is a store with `next`; its io makes an io of its own for `next`.
 */
#pragma once
#include "base/arena.h"
#include "base/text.h"
#include "data/store/store.h"
#include <pthread.h>
#include <stdatomic.h>

struct tr_io_part {
  void *to; /* NULL: pass over */
  size_t bytes;
};

enum tr_io_kind { TR_IO_READ, TR_IO_PART };

/* Bytes under way: a ranged read into parts, or one part of an upload. Everything is borrowed until `done`. */
struct tr_store_io {
  enum tr_io_kind kind;
  const char *key;
  const char *etag; /* READ; NULL = whatever is there */
  int64_t offset;   /* in the object */
  size_t bytes;     /* READ: exactly what the parts hold together */
  const struct tr_io_part *parts;
  int n_parts;
  const char *upload; /* PART */
  int number;         /* PART: 1, 2, … */
  const void *data;   /* PART */
  bool fresh_connection;
  char new_etag[TR_ETAG_SIZE]; /* PART: out */
  /* Called exactly once, on any thread, perhaps before submit returns. Must not block. */
  void (*done)(struct tr_store_io *io, enum tr_status status, const struct tr_error *err);
  void *arg;
  void *under_way; /* the implementation's */
};

/* One page of a listing; strings and objects live in the arena. */
struct tr_page {
  struct tr_arena arena;
  struct tr_object *objects;
  int64_t n, room;
  char *next; /* where the next page begins; NULL = this was the last */
};
/* Room for one more object. */
TR_MUST_USE enum tr_status tr_page_add(struct tr_page *page, const char *key, size_t key_bytes, struct tr_object **out,
                                       struct tr_error *err);

struct tr_store_ops {
  enum tr_status (*make)(struct tr_store *s, struct tr_ctx *ctx, struct tr_error *err);
  enum tr_status (*stat)(struct tr_store *s, const char *key, struct tr_ctx *ctx, struct tr_object *out,
                         struct tr_error *err);
  enum tr_status (*put)(struct tr_store *s, const char *key, struct tr_put *put, struct tr_ctx *ctx,
                        struct tr_error *err);
  /* `from` NULL or what an earlier page named next. */
  enum tr_status (*list)(struct tr_store *s, const char *prefix, char delimiter, const char *from, struct tr_ctx *ctx,
                         struct tr_page *page, struct tr_error *err);
  enum tr_status (*remove)(struct tr_store *s, const char *key, struct tr_ctx *ctx, struct tr_error *err);
  /* *upload is malloc'ed, given. Parts follow by submit: all but the last of equal size. */
  enum tr_status (*upload_begin)(struct tr_store *s, const char *key, char **upload, struct tr_error *err);
  enum tr_status (*upload_end)(struct tr_store *s, const char *key, const char *upload,
                               const char (*etags)[TR_ETAG_SIZE], int n_parts, struct tr_ctx *ctx,
                               char etag_out[TR_ETAG_SIZE], struct tr_error *err);
  void (*upload_abort)(struct tr_store *s, const char *key, const char *upload);
  void (*submit)(struct tr_store *s, struct tr_store_io *io);
  /* Asks an io to end soon; its `done` still comes. Only between submit's return and `done`'s call. */
  void (*cancel)(struct tr_store *s, struct tr_store_io *io);
  void (*free)(struct tr_store *s);
};

struct tr_store {
  const struct tr_store_ops *ops;
  _Atomic int64_t refs;
  struct tr_store *next; /* of a filter; one reference */
  char *url;             /* malloc'ed */
  bool remote;           /* worth asking for much at once */
};

/* An io that a filter makes for the store behind it. Its `done` must call tr_child_over first. It may be submitted
 * again after that, and cancelled at any time. */
struct tr_child {
  struct tr_store_io io;
  struct tr_store *next;
  pthread_mutex_t lock;
  int refs, serial;
  bool in_next, over, cancelled;
  void (*free)(struct tr_child *c); /* of what it lies in, at the last unref */
};
/* A copy of `io` with another done; one reference. */
void tr_child_init(struct tr_child *c, struct tr_store *next, const struct tr_store_io *io,
                   void (*done)(struct tr_store_io *, enum tr_status, const struct tr_error *), void *arg,
                   void (*free)(struct tr_child *));
void tr_child_submit(struct tr_child *c);
void tr_child_over(struct tr_child *c);
void tr_child_cancel(struct tr_child *c);
bool tr_child_is_cancelled(struct tr_child *c);
void tr_child_unref(struct tr_child *c);

/* pass.c: operations of a filter that has nothing to add to them. */
enum tr_status tr_pass_make(struct tr_store *s, struct tr_ctx *ctx, struct tr_error *err);
enum tr_status tr_pass_stat(struct tr_store *s, const char *key, struct tr_ctx *ctx, struct tr_object *out,
                            struct tr_error *err);
enum tr_status tr_pass_put(struct tr_store *s, const char *key, struct tr_put *put, struct tr_ctx *ctx,
                           struct tr_error *err);
enum tr_status tr_pass_list(struct tr_store *s, const char *prefix, char delimiter, const char *from,
                            struct tr_ctx *ctx, struct tr_page *page, struct tr_error *err);
enum tr_status tr_pass_remove(struct tr_store *s, const char *key, struct tr_ctx *ctx, struct tr_error *err);
enum tr_status tr_pass_begin(struct tr_store *s, const char *key, char **upload, struct tr_error *err);
enum tr_status tr_pass_end(struct tr_store *s, const char *key, const char *upload, const char (*etags)[TR_ETAG_SIZE],
                           int n_parts, struct tr_ctx *ctx, char etag_out[TR_ETAG_SIZE], struct tr_error *err);
void tr_pass_abort(struct tr_store *s, const char *key, const char *upload);

/* Fills the base of a store; takes `url` (malloc'ed; NULL = out of memory) and for a filter `next`. */
TR_MUST_USE enum tr_status tr_store_init(struct tr_store *s, const struct tr_store_ops *ops, char *url,
                                         struct tr_store *next, struct tr_error *err);
const char *tr_store_option(const struct tr_store_option *options, int n, const char *name);
/* Checks that a key is not empty, not absolute, has no empty, "." or ".." part and no control characters. */
TR_MUST_USE enum tr_status tr_store_check_key(const struct tr_store *s, const char *key, struct tr_error *err);
/* An error that may go away by itself? */
bool tr_store_may_pass(enum tr_status st, const struct tr_error *err);
/* Sleeps, asking ctx (may be NULL) every 20 ms. */
TR_MUST_USE enum tr_status tr_store_sleep(struct tr_ctx *ctx, int64_t ms);
int64_t tr_store_now_us(void);

/* Openers; `rest` is what follows the scheme and "://". */
TR_MUST_USE enum tr_status tr_file_store_open(const char *root, struct tr_store **out, struct tr_error *err);
TR_MUST_USE enum tr_status tr_memory_store_open(struct tr_store **out, struct tr_error *err);
TR_MUST_USE enum tr_status tr_s3_store_open(const char *rest, const struct tr_store_option *options, int n,
                                            struct tr_store **out, struct tr_error *err);
TR_MUST_USE enum tr_status tr_azure_store_open(const char *scheme, const char *rest,
                                               const struct tr_store_option *options, int n, struct tr_store **out,
                                               struct tr_error *err);

/* ---- totals.c: counts of requests. `status` 0: no answer came. */
void tr_store_count_request(int status, size_t bytes_read, size_t bytes_written);
void tr_store_count_retry(void);
