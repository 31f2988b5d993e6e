/* Stores: where objects lie. A folder, memory, S3 or Azure Blob behind one small interface.
 *
 * An object is a run of bytes under a key; it appears whole or not at all, and every change gives it another etag. Keys
 * are relative to the URL the store was opened by, separated by '/', without a leading '/'. A store may be used by many
 * threads at once and stays usable after a fork.
 *
 * Errors are TR_EXC_OS with an os_errno that says what they mean, in all stores alike; texts name the URL and the
 * cause: ENOENT   no such object (or bucket: the text says so)      EEXIST  tr_store_put: there already was one ESTALE
 * the object is not the one with that etag          EACCES  refused: rights, or expired credentials EAGAIN   the
 * service failed or is busy, also when retried  ETIMEDOUT  no answer in time Remote stores repeat by themselves what
 * may succeed later. A conditional put that is repeated because its first answer was lost can meet its own object:
 * after EEXIST or ESTALE read it to know who won.
 */
#pragma once
#include "base/pool.h"
#include "base/status.h"

#define TR_ETAG_SIZE 128

struct tr_store;

/* storage options by name, see docs/stores.md; borrowed. */
/* What stores behind HTTP have done in this process so far; for metrics. */
struct tr_store_totals {
  int64_t requests;  /* sent, each attempt */
  int64_t throttled; /* answered 503 or 429 */
  int64_t failed;    /* not answered, or by another 5xx */
  int64_t retries;   /* sent again because of either */
  int64_t bytes_read, bytes_written;
};
void tr_store_totals_get(struct tr_store_totals *out);

struct tr_store_option {
  const char *name, *value;
};

/* Opens a folder ("path", "file:///path"), memory ("memory://", a store of its own, ended with its last reference),
 * S3 ("s3://bucket/prefix") or Azure Blob ("az://container/prefix", "abfs[s]://container@account.host/prefix"). No
 * request is made: a missing bucket shows at first use. */
TR_MUST_USE enum tr_status tr_store_open(const char *url, const struct tr_store_option *options, int n_options,
                                         struct tr_store **out, struct tr_error *err);
/* The same for the bucket, container or folder that the object at `url` lies in; *key (malloc'ed, given) is the
 * object's key there. */
TR_MUST_USE enum tr_status tr_store_open_object(const char *url, const struct tr_store_option *options, int n_options,
                                                struct tr_store **out, char **key, struct tr_error *err);
/* True for what tr_store_open treats as a URL of a remote store. */
bool tr_store_is_remote_url(const char *text);
struct tr_store *tr_store_ref(struct tr_store *s);
/* NULL is allowed. */
void tr_store_unref(struct tr_store *s);
/* The URL it was opened by, without secrets; borrowed. */
const char *tr_store_url(const struct tr_store *s);

struct tr_object {
  char *key;
  int64_t size, modified_ns; /* since 1970 */
  char etag[TR_ETAG_SIZE];
  bool prefix; /* of a listing with a delimiter: not an object, but what several keys begin with */
};

/* `ctx` may be NULL in all of these; else it is polled while waiting and TR_CANCELLED given. */

/* Makes the bucket, container or folder where there is none. */
TR_MUST_USE enum tr_status tr_store_make(struct tr_store *s, struct tr_ctx *ctx, struct tr_error *err);

/* Fills all of `out` but key. */
TR_MUST_USE enum tr_status tr_store_stat(struct tr_store *s, const char *key, struct tr_ctx *ctx, struct tr_object *out,
                                         struct tr_error *err);

/* Bytes of an object and where they go. */
struct tr_range {
  int64_t offset;
  int64_t bytes;
  void *to;
  int object; /* of tr_fetch_start: which of the objects */
};

/* Reads all ranges, several at a time, neighbours in one request and long ones in several. `etag` may be NULL. A range
 * that reaches past the end of the object is an error. */
TR_MUST_USE enum tr_status tr_store_read(struct tr_store *s, const char *key, const char *etag,
                                         const struct tr_range *ranges, int64_t n_ranges, struct tr_ctx *ctx,
                                         struct tr_error *err);
/* A whole object of at most `max_bytes` (else TR_EXC_VALUE): gives memory for tr_mem_free(*data, *room), *bytes of it
 * filled. etag_out may be NULL. */
TR_MUST_USE enum tr_status tr_store_get(struct tr_store *s, const char *key, size_t max_bytes, struct tr_ctx *ctx,
                                        uint8_t **data, size_t *bytes, size_t *room, char etag_out[TR_ETAG_SIZE],
                                        struct tr_error *err);

/* Ranges of objects read ahead of their use: those given first are fetched first, as far as `ahead_bytes` (0 = 128 MiB)
 * allow. */
struct tr_fetch;
struct tr_fetch_object {
  struct tr_store *store;
  const char *key, *etag; /* etag may be NULL */
};
/* Starts. Objects (their texts too) are borrowed until the fetch is freed; ranges (`to` is not used) are copied. */
TR_MUST_USE enum tr_status tr_fetch_start(const struct tr_fetch_object *objects, const struct tr_range *ranges,
                                          int64_t n_ranges, int64_t ahead_bytes, struct tr_fetch **out,
                                          struct tr_error *err);
/* Waits for range `i`; its bytes are borrowed until tr_fetch_drop(f, i). Any thread, any order. */
TR_MUST_USE enum tr_status tr_fetch_wait(struct tr_fetch *f, int64_t i, struct tr_ctx *ctx, const uint8_t **data,
                                         struct tr_error *err);
/* Range i is not needed any more; once per range. */
void tr_fetch_drop(struct tr_fetch *f, int64_t i);
/* Cancels what is under way and frees all. NULL is allowed. */
void tr_fetch_free(struct tr_fetch *f);

enum tr_put_mode { TR_PUT_ANY, TR_PUT_IF_ABSENT, TR_PUT_IF_MATCH };

struct tr_put {
  const void *data;
  size_t bytes;
  enum tr_put_mode mode;
  const char *etag;            /* of TR_PUT_IF_MATCH */
  char new_etag[TR_ETAG_SIZE]; /* out: of what was written */
};

/* Writes an object whole. EEXIST or ESTALE when the condition of its mode does not hold. */
TR_MUST_USE enum tr_status tr_store_put(struct tr_store *s, const char *key, struct tr_put *put, struct tr_ctx *ctx,
                                        struct tr_error *err);

/* An object written piece by piece, parts of 16 MiB going out while the next one fills; it appears at commit. */
struct tr_store_writer;
TR_MUST_USE enum tr_status tr_store_writer_new(struct tr_store *s, const char *key, struct tr_store_writer **out,
                                               struct tr_error *err);
TR_MUST_USE enum tr_status tr_store_writer_add(struct tr_store_writer *w, const void *data, size_t bytes,
                                               struct tr_error *err);
/* Ends the object, in place of any that was there; frees the writer in any case. Where several may write the same, give
 * each a key of its own and let a small object, put if absent, decide. */
TR_MUST_USE enum tr_status tr_store_writer_commit(struct tr_store_writer *w, struct tr_ctx *ctx,
                                                  char etag_out[TR_ETAG_SIZE], struct tr_error *err);
/* Leaves no object behind. NULL is allowed. */
void tr_store_writer_abort(struct tr_store_writer *w);

/* Called for each object, in the order of their keys' bytes where the service gives that. `o` is borrowed. */
typedef enum tr_status (*tr_store_visit)(void *arg, const struct tr_object *o, struct tr_error *err);
/* Lists keys that begin with `prefix`; with delimiter '/' those below a further '/' are told once, as prefix. */
TR_MUST_USE enum tr_status tr_store_list(struct tr_store *s, const char *prefix, char delimiter, struct tr_ctx *ctx,
                                         tr_store_visit visit, void *arg, struct tr_error *err);
/* Removing what is not there is no error. */
TR_MUST_USE enum tr_status tr_store_remove(struct tr_store *s, const char *key, struct tr_ctx *ctx,
                                           struct tr_error *err);

/* Filters: a store in front of another (taken, also on failure). Those marked * are in place already for remote stores.
 */
TR_MUST_USE enum tr_status tr_store_retry(struct tr_store *next, struct tr_store **out, struct tr_error *err); /* * */
TR_MUST_USE enum tr_status tr_store_hedge(struct tr_store *next, struct tr_store **out, struct tr_error *err); /* * */
/* Faults for tests, "op:n:kind[:ms]" separated by commas: every n-th operation op (stat, read, list, put, part, remove,
 * any) fails (fail), is done but its answer lost (lost), is told that it came too short (short, read only) or comes ms
 * milliseconds late (late). TERALITY_STORE_FAULTS puts it under every store that is opened. */
TR_MUST_USE enum tr_status tr_store_fault(struct tr_store *next, const char *faults, struct tr_store **out,
                                          struct tr_error *err);
