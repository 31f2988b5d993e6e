/* Decoding of one column chunk: pages, levels, values. Each thread has its own scratch; nothing here is shared. */
#pragma once
#include "base/hash.h"
#include "data/format/parquet/parquet_int.h"

struct libdeflate_decompressor;
struct libdeflate_compressor;
struct ZSTD_DCtx_s;
struct ZSTD_CCtx_s;

struct pq_codec {
  struct libdeflate_decompressor *inflate;
  struct libdeflate_compressor *deflate;
  struct ZSTD_DCtx_s *unzstd;
  struct ZSTD_CCtx_s *zstd;
};

void pq_codec_free(struct pq_codec *c);
/* False unless exactly out_n bytes come out. */
bool pq_decompress(struct pq_codec *c, int codec, const uint8_t *in, size_t n, uint8_t *out, size_t out_n);
/* unsnap.c: false unless exactly out_n bytes come out; then, and otherwise too, nothing is written past them. */
bool pq_unsnap(const uint8_t *in, size_t n, uint8_t *out, size_t out_n);
size_t pq_compress_bound(int codec, size_t n);
/* Bytes made; 0 = failed. */
size_t pq_compress(struct pq_codec *c, int codec, int level, const uint8_t *in, size_t n, uint8_t *out, size_t room);

/* rle.c */
struct pq_rle {
  const uint8_t *p, *end;
  int bit_width;
  uint32_t value;
  int64_t run_left;      /* of the repeated value */
  const uint8_t *packed; /* bit-packed run */
  int64_t at, packed_left;
};

bool pq_rle_open(struct pq_rle *r, const uint8_t *p, size_t n, int bit_width);
/* The next at most `max` values: repeated (and consumed), or packed (to be fetched by pq_rle_packed). False at the end.
 */
bool pq_rle_run(struct pq_rle *r, int64_t max, int64_t *n, uint32_t *value, bool *repeated);
void pq_rle_packed(struct pq_rle *r, int64_t n, uint32_t *out);
bool pq_rle_values(struct pq_rle *r, int64_t n, uint32_t *out);
/* Width 1 only: values as bytes of 0 or 1; others are faults. */
bool pq_rle_flags(struct pq_rle *r, int64_t n, uint8_t *out);
/* Bits [from, from + n), least significant first, as bytes. */
void pq_bits_to_bytes(const uint8_t *bits, int64_t from, int64_t n, uint8_t *out);

/* A recycled block that only grows. */
struct pq_block {
  uint8_t *data;
  size_t size;
};
TR_MUST_USE enum tr_status pq_block_need(struct pq_block *b, size_t n, struct tr_error *err);
void pq_block_free(struct pq_block *b);

struct pq_scratch {
  struct pq_codec codec;
  struct pq_block window, page, dictionary, flags;
};
void pq_scratch_free(struct pq_scratch *s);

struct pq_page {
  int type, encoding;
  bool v2, compressed;
  int64_t n_values;     /* rows: values and missing ones */
  int64_t n_valid;      /* set by pq_page_body */
  const uint8_t *valid; /* a byte per row, or NULL when none is missing */
  const uint8_t *data;  /* values; readable 64 bytes past the end */
  size_t size;
  size_t raw_size, body_size; /* stored and decompressed bytes */
  int level_encoding;
  size_t level_bytes, repeat_bytes; /* v2 */
};

/* Walks the pages of one chunk. */
struct pq_cursor {
  const struct tr_parquet_file *file;
  const struct pq_chunk *chunk;
  const uint8_t *fetched; /* the chunk's bytes, where they are at hand; NULL = the file is read */
  const struct pq_column *column;
  struct pq_scratch *scratch;
  int col, row_group;
  int64_t at, end;              /* of what is not yet in the window */
  size_t window_from, window_n; /* unread part of the window */
  int64_t rows_left;            /* rows of data pages not yet seen */
  const uint8_t *raw;           /* stored bytes of the current page */
};

void pq_cursor_open(struct pq_cursor *c, const struct tr_parquet_file *f, int row_group, int col, struct pq_scratch *s);
/* Next data or dictionary page: header only. False in *more after the last row. */
TR_MUST_USE enum tr_status pq_cursor_next(struct pq_cursor *c, struct pq_page *page, bool *more, struct tr_error *err);
/* Decompresses it into `into` (body_size bytes and 64 of slack; NULL = scratch or the window) and decodes levels. */
TR_MUST_USE enum tr_status pq_cursor_body(struct pq_cursor *c, struct pq_page *page, uint8_t *into,
                                          struct tr_error *err);
/* Fills err: ArrowInvalid naming file, row group, column, offset. */
TR_MUST_USE enum tr_status pq_corrupt(const struct pq_cursor *c, struct tr_error *err, const char *what);
TR_MUST_USE enum tr_status pq_pread(const struct tr_parquet_file *f, int64_t offset, uint8_t *to, size_t n,
                                    struct tr_error *err);

/* fixed.c: a chunk of anything but text into dst (rows * width of dtype). */
struct pq_fixed_target {
  struct tr_dtype dtype; /* base, or TR_F64 for integers with missing values */
  void *dst;
  bool saw_null; /* a value is missing though dtype cannot hold that */
};
TR_MUST_USE enum tr_status pq_decode_fixed(struct pq_cursor *c, struct pq_fixed_target *t, struct tr_error *err);
/* Moves n_valid dense values to their rows, from the back; `null` (width bytes) goes to missing ones. */
void pq_spread(void *dst, int width, const uint8_t *valid, int64_t n, int64_t n_valid, const void *null);
/* n_valid dictionary-coded values of a page as copies of dictionary entries. False when an index is out of range. */
bool pq_decode_indices(const struct pq_page *p, const void *dictionary, int64_t n_dictionary, int width, void *to);
bool pq_in_range(const uint32_t *ids, int64_t n, int64_t limit);

/* A slot of the table. Short texts lie in it whole; the slots of a bucket fill one cache line, so that a look-up
 * touches one line, which can be asked for early. */
struct pq_slot {
  uint64_t rest;   /* second half of the view, or a long text's hash */
  uint32_t prefix; /* first 4 bytes of the text */
  uint32_t tag;    /* size (at most 13) in the upper 4 bits; number + 1 below, 0 = empty */
};
enum { PQ_SLOT_NUMBER = (1 << 28) - 1, PQ_BUCKET = 4 };

/* text_dict.c: distinct texts with their bytes, and a hash table over them when asked for. */
struct pq_dict {
  struct tr_view *views; /* long ones: heap 0, offset into bytes */
  uint64_t *hashes;
  int64_t n, capacity;
  uint8_t *bytes;
  int64_t n_bytes, bytes_capacity;
  struct pq_slot *slots; /* buckets filled from their fronts; NULL = no table yet */
  int64_t n_slots;       /* a power of two */
  bool hash_zero;
};

/* One text on its way: bytes readable 16 past its end. */
struct pq_text {
  struct tr_view view;
  const uint8_t *ptr;
  uint64_t hash;
};

void pq_dict_free(struct pq_dict *d);
/* View and hash of a text of `size` bytes at p; heap and offset stay 0. */
static inline struct pq_text pq_text_make(const uint8_t *p, int32_t size, bool hash_zero) {
  struct pq_text t = {.ptr = p};
  uint64_t w[2] = {0, 0};
  if (size <= TR_VIEW_INLINE) {
    uint64_t a, b = 0;
    memcpy(&a, p, 8);
    if (size > 8) {
      uint32_t tail;
      memcpy(&tail, p + 8, 4);
      b = size == 12 ? tail : tail & ((1u << (8 * (size - 8))) - 1);
    } else if (size < 8) {
      a &= (1ull << (8 * size)) - 1;
    }
    w[0] = (uint32_t)size | a << 32;
    w[1] = a >> 32 | b << 32;
    t.hash = tr_hash_mix(w[0], w[1]);
  } else {
    uint32_t prefix;
    memcpy(&prefix, p, 4);
    w[0] = (uint32_t)size | (uint64_t)prefix << 32;
    t.hash = tr_hash_bytes(p, (size_t)size);
  }
  memcpy(&t.view, w, 16);
  if (hash_zero) t.hash = 0;
  return t;
}
/* Room for n entries in all. */
TR_MUST_USE enum tr_status pq_dict_reserve(struct pq_dict *d, int64_t n, struct tr_error *err);
/* Appends without looking for an equal one. */
TR_MUST_USE enum tr_status pq_dict_append(struct pq_dict *d, const struct pq_text *t, struct tr_error *err);
/* Makes the table if there is none. */
TR_MUST_USE enum tr_status pq_dict_index(struct pq_dict *d, struct tr_error *err);
/* Frees the table. */
void pq_dict_unindex(struct pq_dict *d);
static inline void pq_dict_prefetch(const struct pq_dict *d, const struct pq_text *t) {
  __builtin_prefetch(&d->slots[(t->hash * PQ_BUCKET) & ((uint64_t)d->n_slots - 1)]);
}
/* Numbers n texts (a small batch, prefetched), adding new ones. The table must exist. */
TR_MUST_USE enum tr_status pq_dict_number(struct pq_dict *d, const struct pq_text *texts, int n, int32_t *codes,
                                          struct tr_error *err);
/* Numbers of all entries of `from` in `d`, adding new ones; map has from->n slots. */
TR_MUST_USE enum tr_status pq_dict_merge(struct pq_dict *d, const struct pq_dict *from, int32_t *map,
                                         struct tr_error *err);
/* A PLAIN text array of the entries. */
TR_MUST_USE enum tr_status pq_dict_array(const struct pq_dict *d, struct tr_array **out, struct tr_error *err);

/* text.c: what one chunk of a text column leaves behind. */
struct pq_text_chunk {
  struct pq_dict dict; /* encoded: codes are numbers in here */
  int32_t *map;        /* to the column's dictionary; NULL = the same numbers */
  int64_t n_map;
  struct tr_buffer **heaps; /* as views: views of long texts number these from 0 */
  int n_heaps;
  bool has_long;
  bool some_missing;    /* encoded: some codes are -1 */
  _Atomic bool decoded; /* encoded: dict and codes are whole */
};
void pq_text_chunk_free(struct pq_text_chunk *t);
/* As codes, -1 for missing. `any` = keep at it whatever the number of distinct texts (category). Otherwise sets *stop
 * and returns when there are too many, or when somebody else has set it. */
TR_MUST_USE enum tr_status pq_text_encode(struct pq_cursor *c, struct pq_text_chunk *t, int32_t *codes, bool any,
                                          _Atomic bool *stop, struct tr_error *err);
/* As views into heaps that hold whole decompressed pages. */
TR_MUST_USE enum tr_status pq_text_views(struct pq_cursor *c, struct pq_text_chunk *t, struct tr_view *views,
                                         struct tr_error *err);
