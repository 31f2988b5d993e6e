/* Encoding of one column chunk for the writer: values made dense and physical, a dictionary if it pays, pages,
 * statistics. */
#pragma once
#include "data/format/parquet/decode_int.h"

/* How a column is written. */
struct pq_target {
  const char *name;
  struct tr_array *array;
  struct tr_dtype dtype; /* of the values stored: of the dictionary for categories that are not text */
  int type;              /* enum pq_type */
  bool text, category;   /* category: text with its whole dictionary */
};

/* Per thread, recycled from chunk to chunk. */
struct pq_encoder {
  struct pq_codec codec;
  int codec_id, codec_level;
  struct pq_block values, flags, ids, table, packed, first;
  struct pq_out body;
};
void pq_encoder_free(struct pq_encoder *e);

/* Values of the rows of one chunk, ready for pages. */
struct pq_values {
  int64_t n_rows, n_valid;
  const uint8_t *valid; /* a byte per row, or NULL when none is missing */
  const uint8_t *dense; /* fixed: n_valid physical values (a byte each for BOOLEAN) */
  int width;
  const struct tr_view *views; /* text without a dictionary: a view per row; bytes in heaps_of */
  const int32_t *codes;        /* text from a dictionary array: a code per row into views */
  const struct tr_array *heaps_of;
  uint32_t *ids; /* dictionary numbers of the n_valid values, or NULL = PLAIN */
  int64_t n_dictionary;
};

struct pq_written {
  struct pq_out out;       /* dictionary page and data pages */
  int64_t dictionary_size; /* bytes of the dictionary page with header, 0 = none */
  int64_t n_rows, uncompressed, null_count;
  bool has_min_max;
  struct pq_out min, max;
  bool ready;
};
void pq_written_free(struct pq_written *w);

/* Encodes rows [first, first + n) of the column. */
TR_MUST_USE enum tr_status pq_encode_chunk(struct pq_encoder *e, const struct pq_target *t, int64_t first, int64_t n,
                                           struct pq_written *out, struct tr_error *err);

/* fixed.c */
TR_MUST_USE enum tr_status pq_load_fixed(struct pq_encoder *e, const struct pq_target *t, int64_t first, int64_t n,
                                         struct pq_values *v, struct tr_error *err);
TR_MUST_USE enum tr_status pq_fixed_stats(const struct pq_target *t, const struct pq_values *v, struct pq_written *w,
                                          struct tr_error *err);
/* Sets v->ids when a dictionary pays; its values, physical, go to `dictionary`. */
TR_MUST_USE enum tr_status pq_fixed_dictionary(struct pq_encoder *e, const struct pq_target *t, struct pq_values *v,
                                               struct pq_written *w, struct pq_out *dictionary, struct tr_error *err);
/* text.c: the same for text; dictionary as PLAIN texts. */
TR_MUST_USE enum tr_status pq_load_text(struct pq_encoder *e, const struct pq_target *t, int64_t first, int64_t n,
                                        struct pq_values *v, struct pq_out *dictionary, struct pq_written *w,
                                        struct tr_error *err);
/* View of row i. */
static inline const struct tr_view *pq_row_view(const struct pq_values *v, int64_t i) {
  return v->codes ? &v->views[v->codes[i]] : &v->views[i];
}
void pq_put_text(struct pq_out *o, const struct tr_array *heaps_of, const struct tr_view *v);

/* footer.c */
struct pq_footer {
  const struct pq_target *targets;
  int n_cols, n_row_groups, codec_id;
  int64_t n_rows;
  const struct pq_written *chunks; /* n_row_groups * n_cols; only metadata is used */
  const int64_t *offsets;          /* of each chunk in the file */
  const char *pandas_metadata, *created_by;
  const struct tr_frame *frame;
  const char *const *names;
  bool arrow_schema;
};
/* rows_of: rows of each row group. */
void pq_put_footer(struct pq_out *o, const struct pq_footer *f, const int64_t *rows_of);
