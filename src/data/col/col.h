/* Columns: refcounted buffers, arrays and frames.
 *
 * A buffer is bytes with an owner: our allocator, or foreign memory with a release callback (numpy, Arrow, a
 * mapped file). An array is one whole column, contiguous, immutable once shared. Text is Arrow's BinaryView layout
 * (16 bytes a value: size, then 12 bytes inline, or prefix, heap number and offset) over up to 2^31 heaps of
 * < 2 GiB; unlike Arrow a missing value is in band (size -1), so a gather touches one place. A dictionary array
 * has int32 codes and a dictionary of distinct, non-missing values; `str` may be either, `category` always is.
 * A frame is arrays of one length, addressed by position; labels and index live in the client (meta).
 *
 * Ownership: functions named *_new, *_ref, *_make give a reference; *_unref takes one. Refcounts are atomic.
 */
#pragma once
#include "base/pool.h"
#include "base/status.h"
#include "meta/type/type.h"
#include <string.h>

struct tr_buffer {
  _Atomic int64_t refs;
  uint8_t *data;              /* 64-byte aligned when ours; foreign memory only as aligned as its dtype needs */
  int64_t size;               /* bytes */
  void (*release)(void *arg); /* foreign: called once at the last unref; NULL = ours */
  void *release_arg;
};

/* Gives an uninitialised buffer of `size` bytes (64 readable bytes follow the end). */
TR_MUST_USE enum tr_status tr_buffer_new(int64_t size, struct tr_buffer **out, struct tr_error *err);
/* Wraps foreign memory; release(arg) is called at the last unref (may be NULL). On failure release is not called. */
TR_MUST_USE enum tr_status tr_buffer_foreign(const void *data, int64_t size, void (*release)(void *), void *arg,
                                             struct tr_buffer **out, struct tr_error *err);
struct tr_buffer *tr_buffer_ref(struct tr_buffer *b); /* NULL passes through */
void tr_buffer_unref(struct tr_buffer *b);            /* NULL allowed */

/* One text value. size -1 = missing; size <= 12: bytes inline, rest zero; else prefix + heap position. */
struct tr_view {
  int32_t size;
  union {
    char inlined[12];
    struct {
      char prefix[4];
      int32_t heap;
      int32_t offset;
    };
  };
};
#define TR_VIEW_INLINE 12

enum tr_enc { TR_PLAIN, TR_DICT };

struct tr_array {
  _Atomic int64_t refs;
  struct tr_dtype dtype;
  uint8_t enc;      /* enum tr_enc; TR_DICT only for TR_STR and always for TR_CATEGORY */
  bool dict_sorted; /* TR_DICT: dictionary values ascend (bytewise for text) */
  int64_t length;
  int64_t null_count;     /* -1 = unknown */
  struct tr_buffer *data; /* PLAIN: values or struct tr_view; DICT: int32 codes. >= length * width bytes */
  int64_t offset;         /* in values: the array's first value is data[offset] (slices share data) */
  int n_heaps;            /* TR_STR PLAIN: text heaps */
  struct tr_buffer **heaps;
  struct tr_array *dict; /* TR_DICT: the dictionary, a PLAIN array */
};

/* Gives an uninitialised PLAIN fixed-width or view array (no heaps). */
TR_MUST_USE enum tr_status tr_array_new(struct tr_dtype dtype, int64_t length, struct tr_array **out,
                                        struct tr_error *err);
/* Takes `data` (also on failure). */
TR_MUST_USE enum tr_status tr_array_from_buffer(struct tr_dtype dtype, int64_t length, struct tr_buffer *data,
                                                struct tr_array **out, struct tr_error *err);
/* Dictionary array with uninitialised codes over `dict` (borrowed; a reference is kept). dtype TR_STR or TR_CATEGORY.
 */
TR_MUST_USE enum tr_status tr_array_new_dict(struct tr_dtype dtype, int64_t length, struct tr_array *dict,
                                             struct tr_array **out, struct tr_error *err);
/* Adds a reference to `heap` to a text array; gives its number in *heap_no. */
TR_MUST_USE enum tr_status tr_array_add_heap(struct tr_array *a, struct tr_buffer *heap, int *heap_no,
                                             struct tr_error *err);
/* Makes `a` share all heaps of `from` (a has none yet), as gathers do. */
TR_MUST_USE enum tr_status tr_array_share_heaps(struct tr_array *a, const struct tr_array *from, struct tr_error *err);
struct tr_array *tr_array_ref(struct tr_array *a);
void tr_array_unref(struct tr_array *a);
/* Shares data; 0 <= begin <= begin + length <= a->length. */
TR_MUST_USE enum tr_status tr_array_slice(struct tr_array *a, int64_t begin, int64_t length, struct tr_array **out,
                                          struct tr_error *err);
/* One after another, parallel. Dictionaries are merged when all are dictionaries, else text is made plain.
 * All dtypes equal (categories: equal dictionaries, else TR_UNSUPPORTED). n >= 1. */
TR_MUST_USE enum tr_status tr_array_concat(struct tr_ctx *ctx, struct tr_array *const *arrays, int n,
                                           struct tr_array **out, struct tr_error *err);
/* A DICT text array as PLAIN (parallel); a PLAIN one as itself. Gives a reference. */
TR_MUST_USE enum tr_status tr_array_decode(struct tr_ctx *ctx, struct tr_array *a, struct tr_array **out,
                                           struct tr_error *err);
/* A PLAIN text array as DICT (distinct values in order of first appearance) if at most max_distinct distinct values,
 * else gives NULL in *out with TR_OK. */
TR_MUST_USE enum tr_status tr_array_encode(struct tr_ctx *ctx, struct tr_array *a, int64_t max_distinct,
                                           struct tr_array **out, struct tr_error *err);
/* Merges dictionaries (PLAIN text, no missing) into the distinct values in order of first appearance; the first itself
 * when it has them all. *codes: new number of every value of dicts[0], then dicts[1], …; the caller frees it with
 * tr_mem_free (4 bytes a value of all dictionaries together). */
TR_MUST_USE enum tr_status tr_dict_merge(struct tr_ctx *ctx, struct tr_array *const *dicts, int n,
                                         struct tr_array **out, int32_t **codes, struct tr_error *err);
/* codes[i] = position in dictionary `in` of value i of `from` (both PLAIN text), -1 when absent or missing. */
TR_MUST_USE enum tr_status tr_dict_find(struct tr_ctx *ctx, struct tr_array *in, struct tr_array *from, int32_t *codes,
                                        struct tr_error *err);
/* Copies texts by row number into an array with heaps of its own (single-threaded: for dictionaries). */
TR_MUST_USE enum tr_status tr_text_pick(const struct tr_array *a, const uint32_t *rows, int64_t n,
                                        struct tr_array **out, struct tr_error *err);
/* Counts missing values (caches in null_count). */
int64_t tr_array_null_count(struct tr_array *a);
/* All values missing (str, float, datetime, timedelta only). */
TR_MUST_USE enum tr_status tr_array_new_null(struct tr_dtype dtype, int64_t length, struct tr_array **out,
                                             struct tr_error *err);

/* First value. TR_PLAIN: typed values; TR_DICT: codes. */
static inline void *tr_array_data(const struct tr_array *a) {
  return a->data->data + a->offset * (a->enc == TR_DICT ? 4 : tr_dtype_width(a->dtype));
}
static inline const int32_t *tr_array_codes(const struct tr_array *a) { return (const int32_t *)tr_array_data(a); }
static inline const struct tr_view *tr_array_views(const struct tr_array *a) {
  return (const struct tr_view *)tr_array_data(a);
}

/* Bytes of view v of array a (heaps are a's); valid while a and v live. v->size must be >= 0. */
static inline const char *tr_view_bytes(const struct tr_array *a, const struct tr_view *v) {
  return v->size <= TR_VIEW_INLINE ? v->inlined : (const char *)a->heaps[v->heap]->data + v->offset;
}
/* Makes the view of text that lies (or will lie) at heap/offset; short text is inlined and heap ignored. */
static inline struct tr_view tr_view_make(const char *s, int32_t size, int32_t heap, int32_t offset) {
  struct tr_view v;
  memset(&v, 0, sizeof v);
  v.size = size;
  if (size <= TR_VIEW_INLINE) {
    memcpy(v.inlined, s, (size_t)size);
  } else {
    memcpy(v.prefix, s, 4);
    v.heap = heap;
    v.offset = offset;
  }
  return v;
}
static inline struct tr_view tr_view_null(void) {
  struct tr_view v;
  memset(&v, 0, sizeof v);
  v.size = -1;
  return v;
}
/* Equality of two non-missing or missing texts (missing equals missing). */
static inline bool tr_view_eq(const struct tr_array *a, const struct tr_view *x, const struct tr_array *b,
                              const struct tr_view *y) {
  if (memcmp(x, y, 8) != 0) return false; /* size and prefix */
  if (x->size <= TR_VIEW_INLINE) return memcmp(x, y, 16) == 0;
  return memcmp(tr_view_bytes(a, x), tr_view_bytes(b, y), (size_t)x->size) == 0;
}
/* Bytewise order (which is code point order of UTF-8): <0, 0, >0. Neither is missing. */
int tr_view_cmp(const struct tr_array *a, const struct tr_view *x, const struct tr_array *b, const struct tr_view *y);

/* Builds a text array value by value; single-threaded; make one per chunk and concat. */
struct tr_text_builder {
  struct tr_array *array;
  int64_t length, capacity;
  struct tr_buffer *heap;
  int64_t heap_used;
};
TR_MUST_USE enum tr_status tr_text_builder_init(struct tr_text_builder *b, int64_t capacity, struct tr_error *err);
/* s NULL = missing. */
TR_MUST_USE enum tr_status tr_text_builder_add(struct tr_text_builder *b, const char *s, int64_t size,
                                               struct tr_error *err);
/* Gives the array; the builder is empty afterwards. */
TR_MUST_USE enum tr_status tr_text_builder_finish(struct tr_text_builder *b, struct tr_array **out,
                                                  struct tr_error *err);
void tr_text_builder_drop(struct tr_text_builder *b);

struct tr_frame {
  _Atomic int64_t refs;
  int64_t n_rows;
  int n_cols;
  struct tr_array **cols; /* n_cols references */
};
/* Adds references to cols. n_cols may be 0; a NULL slot is a column that was not computed. */
TR_MUST_USE enum tr_status tr_frame_new(int64_t n_rows, int n_cols, struct tr_array *const *cols, struct tr_frame **out,
                                        struct tr_error *err);
struct tr_frame *tr_frame_ref(struct tr_frame *f);
void tr_frame_unref(struct tr_frame *f);
/* Bytes of all buffers of an array, each counted once within the array. */
int64_t tr_array_nbytes(const struct tr_array *a);
