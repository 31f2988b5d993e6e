/* Parquet, flat columns: our own reader and writer.
 *
 * Encodings PLAIN, RLE/bit-packed, PLAIN_DICTIONARY, RLE_DICTIONARY; data pages v1 and v2; uncompressed, snappy, gzip,
 * zstd; statistics; pandas metadata read and written, ARROW:schema as far as dtypes need it. Every size and count in a
 * file is checked before use; a corrupt file gives TR_EXC_ARROW_INVALID (pandas' class) with file, row group, column
 * and offset in the text. A column whose dtype we cannot hold gives TR_UNSUPPORTED only when that column is read. Text
 * is not checked to be UTF-8, as pyarrow does not when it reads: kernels must bear any bytes. OS errors with os_errno 0
 * are pyarrow's plain OSError.
 */
#pragma once
#include "data/col/col.h"
#include "data/store/store.h"

/* Of one column in one row group; dtype is the column's. min and max are bounds: values lie within, but writers may
 * have cut texts short, and an integer column that is float64 has them rounded. None for categories. */
struct tr_parquet_stats {
  bool has_min_max, has_null_count;
  struct tr_scalar min, max; /* text owned by the file */
  int64_t null_count;
};

struct tr_parquet_column {
  const char *name;
  struct tr_dtype
      dtype;      /* pandas dtype of the whole column over the file: int with nulls -> float64 (null counts tell) */
  bool supported; /* false: reading it gives TR_UNSUPPORTED with the reason below */
  const char *reason;
  bool maybe_float;  /* an integer column whose footer does not tell whether values are missing: dtype known after
                        reading */
  bool maybe_object; /* a bool column of that kind: reading it gives TR_UNSUPPORTED if a value is missing */
};

struct tr_parquet_file {
  const char *path;
  int n_cols, n_row_groups;
  int64_t n_rows;
  struct tr_parquet_column *cols;
  const int64_t *row_group_rows;
  struct tr_parquet_stats *stats;       /* n_row_groups * n_cols, row-group major */
  const char *pandas_metadata;          /* JSON text of the key "pandas", or NULL */
  struct tr_parquet_file_int *internal; /* open descriptor, footer */
};

/* cols are the top-level fields, a nested one (struct, list) being one column. Dtypes are those that the values have
 * without the pandas metadata, which may ask for more (index columns, column labels, nullable dtypes): the client
 * applies it.
 *
 * Opens and reads the footer; keeps a file descriptor (so unlink and rename behave as in pandas). */
TR_MUST_USE enum tr_status tr_parquet_open(const char *path, struct tr_parquet_file **out, struct tr_error *err);
/* The same for an object of a store (referenced), whose etag every later read asks for. */
TR_MUST_USE enum tr_status tr_parquet_open_object(struct tr_store *store, const char *key, struct tr_ctx *ctx,
                                                  struct tr_parquet_file **out, struct tr_error *err);
/* The same for n of them, many at a time; of several that fail the first of the list decides the error. out: n of them.
 */
TR_MUST_USE enum tr_status tr_parquet_open_objects(struct tr_store *const *stores, const char *const *keys, int n,
                                                   struct tr_ctx *ctx, struct tr_parquet_file **out,
                                                   struct tr_error *err);
/* TR_EXC_OS or TR_EXC_VALUE when the file under the path was changed in place (size or mtime differ) since open. */
TR_MUST_USE enum tr_status tr_parquet_unchanged(struct tr_parquet_file *f, struct tr_error *err);
/* Whether the path still leads to the file that is open; always true of objects of stores. */
bool tr_parquet_in_place(const struct tr_parquet_file *f);
/* Size in bytes, and the etag of an object of a store ("" of a file); borrowed. */
int64_t tr_parquet_size(const struct tr_parquet_file *f);
const char *tr_parquet_etag(const struct tr_parquet_file *f);
/* Bytes [offset, offset + n) of what is open. */
TR_MUST_USE enum tr_status tr_parquet_bytes(const struct tr_parquet_file *f, int64_t offset, void *to, size_t n,
                                            struct tr_error *err);
void tr_parquet_close(struct tr_parquet_file *f);
/* Why reading column `col` of these files together ends in TR_UNSUPPORTED, as far as footers tell; NULL = nothing.
 * Borrowed from the files. The files have as many columns. */
const char *tr_parquet_refusal(struct tr_parquet_file *const *files, int n_files, int col);

/* Reads columns cols[0..n_cols) (positions in the file; the same in every file) of n_files files of equal schema, all
 * row groups g of file f for which keep[f] is NULL or keep[f][g] is true, straight into whole columns, row groups and
 * columns in parallel. Text keeps its dictionary encoding (dictionaries of row groups unified, order of first
 * appearance) whenever all its pages are dictionary-coded and merging pays (else a million distinct values could
 * outweigh the column); text in PLAIN pages is dictionary-encoded while that stays cheap (few distinct values), else
 * plain views. A maybe_float integer column comes as float64 when one of the row groups read has a missing value (so do
 * not prune row groups before that is known); one with dtype float64 always does. */
TR_MUST_USE enum tr_status tr_parquet_read(struct tr_ctx *ctx, struct tr_parquet_file *const *files, int n_files,
                                           const bool *const *keep, const int *cols, int n_cols, struct tr_frame **out,
                                           struct tr_error *err);

enum tr_codec { TR_CODEC_NONE, TR_CODEC_SNAPPY, TR_CODEC_GZIP, TR_CODEC_ZSTD };

struct tr_parquet_write_options {
  enum tr_codec codec;
  int codec_level;             /* 0 = default */
  int64_t row_group_rows;      /* 0 = 1 Mi rows */
  const char *pandas_metadata; /* JSON text stored under "pandas", or NULL */
  const char *created_by;      /* NULL = ours */
  struct tr_store *store;      /* borrowed: `path` is a key there; NULL = the file system */
};

/* Writes a temporary file beside `path` and renames it over `path`; nothing is left behind on failure. Where the folder
 * takes no new file, or path is no regular file, it is written directly. Row groups are encoded in parallel. opt may be
 * NULL: snappy. names: f->n_cols UTF-8 names. Missing values, NaN among them, are written as nulls. dtypes as pyarrow
 * writes pandas': str -> BYTE_ARRAY/String, datetime -> INT64 timestamp not adjusted to UTC (seconds as ms), timedelta
 * -> INT64, category of text -> its dictionary, other categories -> their values. Readable by pyarrow and DuckDB with
 * equal values and by pandas.read_parquet with equal dtypes; ARROW:schema is written when a category, timedelta or
 * text needs it: Arrow reads text as large_string then, as from a file of pandas. */
TR_MUST_USE enum tr_status tr_parquet_write(struct tr_ctx *ctx, const char *path, const struct tr_frame *f,
                                            const char *const *names, const struct tr_parquet_write_options *opt,
                                            struct tr_error *err);
