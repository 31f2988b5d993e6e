/* Columns while they are parsed.
 *
 * Every column has one way it is parsed at present; workers write values straight to the rows of the final array. A
 * text that does not fit sets bits in `seen` (number.h) and the reader settles, after the pass, what the column is and
 * whether it must be parsed again another way. Integers and floats share 8-byte slots: a chunk whose column meets
 * its first missing value or float turns its own integers over and goes on, so number columns never need a second pass.
 */
#pragma once
#include "base/pool.h"
#include "data/format/csv/number.h"

enum tr_csv_way {
  TR_CSV_AS_NUMBER,
  TR_CSV_AS_FLOAT,
  TR_CSV_AS_U64,
  TR_CSV_AS_BOOL,
  TR_CSV_AS_DICT,
  TR_CSV_AS_PLAIN,
  TR_CSV_AS_DATE
};

struct tr_csv_slot {
  uint32_t hash;
  int32_t code;
}; /* code -1: free */

/* Distinct texts in order of their arrival, one dictionary per thread and column. */
struct tr_csv_dict {
  struct tr_view *views; /* heap 0, offset in `heap` */
  int64_t *first_row;
  int32_t n, capacity;
  struct tr_csv_slot *slots;
  uint32_t n_slots; /* a power of two, or 0 */
  char *heap;
  size_t heap_used, heap_bytes;
};
TR_MUST_USE enum tr_status tr_csv_dict_grow(struct tr_csv_dict *d, struct tr_error *err);
/* Code of text s whose view is v (heap fields unset); adds it. `row` is where it stands; rows of one dictionary ascend.
 */
TR_MUST_USE enum tr_status tr_csv_dict_find(struct tr_csv_dict *d, const struct tr_view *v, const char *s,
                                            uint32_t hash, int64_t row, int32_t *code, struct tr_error *err);
TR_MUST_USE enum tr_status tr_csv_dict_copy(const struct tr_csv_dict *from, struct tr_csv_dict *to,
                                            struct tr_error *err);
void tr_csv_dict_drop(struct tr_csv_dict *d);

static inline const char *tr_csv_dict_text(const struct tr_csv_dict *d, int32_t code) {
  const struct tr_view *v = &d->views[code];
  return v->size <= TR_VIEW_INLINE ? v->inlined : d->heap + v->offset;
}

struct tr_csv_heap_cursor {
  struct tr_buffer *heap;
  int32_t no;
  int64_t used;
};

struct tr_csv_column {
  int field;
  const char *name;
  const struct tr_csv_column_option *option; /* may be NULL */
  enum tr_csv_way way;
  bool todo;
  _Atomic uint32_t seen;
  _Atomic int64_t first_over, first_other; /* rows of the first OVER and the first text that is no integer at all */
  _Atomic int date_code;
  struct tr_array *array;
  uint8_t *chunk_is_float;   /* AS_NUMBER, one per chunk */
  uint8_t *chunk_thread;     /* AS_DICT: whose codes they are */
  struct tr_csv_dict *dicts; /* one per thread */
  int32_t max_distinct;
  struct tr_csv_heap_cursor *cursors; /* AS_PLAIN, one per thread */
  struct tr_buffer **heaps;
  int n_heaps, heap_capacity;
};

/* What all workers share. */
struct tr_csv_reader {
  struct tr_ctx *ctx;
  const struct tr_csv_read_options *opt;
  struct tr_csv_file file;
  struct tr_csv_dialect dialect;
  struct tr_csv_head head;
  struct tr_csv_scan scan;
  struct tr_csv_texts na, yes, no;
  double *na_numbers; /* float columns: these values are missing, too */
  int n_na_numbers;
  bool na_first; /* some text of `na` is a number */
  struct tr_csv_column *cols;
  int n_cols;
  int64_t n_rows;
  _Atomic int64_t bad_chunk; /* the first chunk with a row that pandas refuses, else INT64_MAX */
  void *lock;                /* pthread_mutex_t *: growth of heap lists */
};

/* Fields of one column in a batch of rows: row i is text[beg[i * stride], end[i * stride]). */
struct tr_csv_batch {
  const char *text;
  const uint32_t *beg, *end;
  int64_t stride, n, row, chunk, chunk_row; /* row: number of the first one; chunk_row: of the chunk's first */
  int thread;
};
TR_MUST_USE enum tr_status tr_csv_column_parse(struct tr_csv_reader *r, struct tr_csv_column *c,
                                               const struct tr_csv_batch *b, struct tr_error *err);
TR_MUST_USE enum tr_status tr_csv_text_parse(struct tr_csv_reader *r, struct tr_csv_column *c,
                                             const struct tr_csv_batch *b, struct tr_error *err);
/* INT, FLOAT, OVER, BOOL, TEXT or NA. */
enum tr_csv_class tr_csv_classify(const struct tr_csv_reader *r, const char *s, uint32_t n);
/* 1, 0, or -1 when it is no bool. */
int tr_csv_parse_bool(const struct tr_csv_reader *r, const char *s, uint32_t n);
bool tr_csv_is_na_number(const struct tr_csv_reader *r, double v);
/* Makes the arrays of the text column c final. */
TR_MUST_USE enum tr_status tr_csv_text_finish(struct tr_csv_reader *r, struct tr_csv_column *c, struct tr_error *err);
/* After a pass over the first chunks (whole = false) or all: is c done (c->todo), or which way must it be parsed again?
 */
TR_MUST_USE enum tr_status tr_csv_column_settle(struct tr_csv_reader *r, struct tr_csv_column *c, bool whole,
                                                struct tr_error *err);
/* Last checks and the final dtype of a column that is not todo any more. */
TR_MUST_USE enum tr_status tr_csv_column_finish(struct tr_csv_reader *r, struct tr_csv_column *c, struct tr_error *err);
/* Rows of one of pandas' inference blocks. */
int64_t tr_csv_block_rows(const struct tr_csv_reader *r);

static inline void tr_csv_lower(_Atomic int64_t *v, int64_t row) {
  int64_t old = atomic_load_explicit(v, memory_order_relaxed);
  while (row < old && !atomic_compare_exchange_weak(v, &old, row)) {}
}
