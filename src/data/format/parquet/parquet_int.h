/* What the parts of the Parquet module share: the footer as parsed, how a column is decoded, names for the format's
 * numbers. */
#pragma once
#include "base/arena.h"
#include "data/format/parquet/parquet.h"
#include "data/format/parquet/thrift_int.h"
#include <time.h>

enum pq_type {
  PQ_BOOLEAN,
  PQ_INT32,
  PQ_INT64,
  PQ_INT96,
  PQ_FLOAT,
  PQ_DOUBLE,
  PQ_BYTE_ARRAY,
  PQ_FIXED_BYTES,
  PQ_N_TYPES
};
enum pq_repetition { PQ_REQUIRED, PQ_OPTIONAL, PQ_REPEATED };
enum pq_encoding { PQ_PLAIN = 0, PQ_PLAIN_DICTIONARY = 2, PQ_RLE = 3, PQ_BIT_PACKED = 4, PQ_RLE_DICTIONARY = 8 };
enum pq_page_type { PQ_DATA_PAGE, PQ_INDEX_PAGE, PQ_DICTIONARY_PAGE, PQ_DATA_PAGE_V2 };
enum pq_codec_id { PQ_C_NONE = 0, PQ_C_SNAPPY = 1, PQ_C_GZIP = 2, PQ_C_ZSTD = 6 };
enum pq_converted {
  PQ_CONV_NONE = -1,
  PQ_CONV_UTF8 = 0,
  PQ_CONV_TIMESTAMP_MILLIS = 9,
  PQ_CONV_TIMESTAMP_MICROS = 10,
  PQ_CONV_UINT_8 = 11,
  PQ_CONV_INT_8 = 15,
  PQ_CONV_INT_64 = 18,
  PQ_CONV_JSON = 19
};
enum pq_logical {
  PQ_L_NONE = 0,
  PQ_L_STRING = 1,
  PQ_L_DECIMAL = 5,
  PQ_L_DATE = 6,
  PQ_L_TIME = 7,
  PQ_L_TIMESTAMP = 8,
  PQ_L_INTEGER = 10,
  PQ_L_JSON = 12
};

/* One element of the schema tree, depth first. */
struct pq_element {
  const char *name;
  int type, repetition, n_children, converted, logical; /* type -1: a group */
  int int_bits;
  bool int_signed, time_utc;
  int time_unit; /* enum tr_unit */
};

/* One column of one row group. */
struct pq_chunk {
  int64_t begin, size; /* bytes in the file, checked against the file's size */
  int64_t uncompressed, n_values, null_count;
  uint32_t encodings; /* bit per encoding */
  int8_t type;
  int8_t codec;
  bool has_null_count, external;              /* external: data in another file */
  struct pq_bytes min_old, max_old, min, max; /* into the footer; ptr NULL = absent */
};

/* How the stored values become the array's. */
enum pq_convert {
  PQ_AS_BOOL,
  PQ_AS_I8,
  PQ_AS_I16,
  PQ_AS_I32,
  PQ_AS_I64,
  PQ_AS_U8,
  PQ_AS_U16,
  PQ_AS_U32,
  PQ_AS_U64,
  PQ_AS_F32,
  PQ_AS_F64,
  PQ_AS_INT96,
  PQ_AS_TEXT
};

/* One column of the file: a child of the schema's root. */
struct pq_column {
  int element, leaf; /* leaf -1: nested */
  int type;
  bool optional;
  bool category;
  enum pq_convert convert; /* of values present */
  struct tr_dtype base;    /* dtype when no value is missing */
};

/* What ARROW:schema says about a top-level field. */
struct pq_arrow_field {
  const char *name;
  bool known, dictionary, ordered, duration, extension;
  int unit; /* enum tr_unit of a duration */
};

struct tr_parquet_file_int {
  int fd;                 /* -1: an object of a store */
  struct tr_store *store; /* one reference */
  char *key;
  char etag[TR_ETAG_SIZE];
  uint8_t *tail; /* the object's last bytes, read in one request: footers are mostly smaller */
  size_t tail_bytes;
  struct tr_ctx *ctx; /* while it is opened */
  int64_t size;
  struct timespec mtime;
  uint8_t *footer;
  size_t footer_size;
  struct tr_arena arena;
  struct pq_element *elements;
  int n_elements, n_leaves;
  struct pq_column *columns;    /* n_cols */
  struct pq_chunk *chunks;      /* n_row_groups * n_leaves */
  struct pq_arrow_field *arrow; /* n_arrow fields or NULL */
  int n_arrow;
  bool has_order; /* ColumnOrder is given for all leaves, so min_value and max_value mean something */
  struct pq_bytes arrow_schema, pandas;
};

/* footer.c: parses the footer at in->footer into `f` (arena-owned parts). */
TR_MUST_USE enum tr_status pq_footer_parse(struct tr_parquet_file *f, struct tr_error *err);
/* schema.c: columns, dtypes and statistics from the parsed footer. */
TR_MUST_USE enum tr_status pq_schema_resolve(struct tr_parquet_file *f, struct tr_error *err);
/* arrow_schema.c: reads ARROW:schema; a damaged one is an error, an absent one nothing. */
TR_MUST_USE enum tr_status pq_arrow_schema_read(struct tr_parquet_file *f, struct tr_error *err);
/* Appends the ARROW:schema text (base64) for a frame. */
void pq_arrow_schema_write(struct pq_out *o, const struct tr_frame *f, const char *const *names,
                           const char *pandas_metadata);
