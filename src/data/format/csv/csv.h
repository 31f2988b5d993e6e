/* CSV with pandas' dialect (the C parser of pandas.read_csv and DataFrame.to_csv).
 *
 * Reading: the file is cut into chunks at row ends (quotes respected), which are read and parsed in parallel, straight
 * into the final columns; types climb the ladder int64 -> float64 -> str (bool and all-missing too) and only columns
 * that turned out otherwise are parsed again. Errors carry pandas' class and text (ParserError "Error tokenizing data.
 * C error: Expected 3 fields in line 5, saw 4\n", EmptyDataError "No columns to parse from file", …). What pandas would
 * answer with an object column or by rules that are not reproduced here gives TR_UNSUPPORTED, never another answer.
 */
#pragma once
#include "data/col/col.h"
#include "data/store/store.h"

struct tr_csv_column_option {
  const char *name; /* column the option is for */
  bool has_dtype;
  struct tr_dtype dtype; /* dtype= : number, bool, str, category (of str), datetime is not accepted here (as pandas) */
  bool parse_date;       /* parse_dates=[name]: ISO 8601 texts; anything else TR_UNSUPPORTED */
};

struct tr_csv_read_options {
  char sep;          /* ',' */
  char quote;        /* '"'; 0 = QUOTE_NONE */
  char decimal;      /* '.' */
  char thousands;    /* 0 = none */
  char comment;      /* 0 = none */
  char escape;       /* 0 = none */
  bool double_quote; /* true */
  bool skip_blank_lines, skip_initial_space;
  int64_t header;           /* row number of the header after skip_rows; -1 = none */
  int64_t skip_rows;        /* lines skipped at the start */
  int64_t skip_footer;      /* 0 */
  int64_t n_rows;           /* -1 = all */
  const char *const *names; /* names= ; NULL = from the header (or 0..n-1 as text when header = -1) */
  int n_names;
  const char *const *use_columns; /* usecols= by name; NULL = all */
  int n_use_columns;
  const struct tr_csv_column_option *column_options;
  int n_column_options;
  const char *const *na_values; /* added to (or, without keep_default_na, instead of) pandas' default texts */
  int n_na_values;
  bool keep_default_na, na_filter;
  const char *const *true_values;
  int n_true_values; /* besides true in any case */
  const char *const *false_values;
  int n_false_values;
  struct tr_store *store; /* borrowed: the path is a key there, the object is read into memory; NULL = file system */
  bool low_memory;        /* true: pandas infers dtypes by blocks of rows; where the blocks differ: TR_UNSUPPORTED */
};

void tr_csv_read_options_init(struct tr_csv_read_options *opt); /* pandas' defaults */

/* All names after resolution (mangled duplicates "a", "a.1"; "Unnamed: 0") and values of the used columns, in file
 * order. names_out: *n_cols malloc'ed strings, freed with tr_csv_names_free. implicit_index: the number of leading
 * columns that pandas would make the index because data rows have more fields than the header (0 or more):
 * TR_UNSUPPORTED when > 0. */
TR_MUST_USE enum tr_status tr_csv_read(struct tr_ctx *ctx, const char *path, const struct tr_csv_read_options *opt,
                                       struct tr_frame **out, char ***names_out, struct tr_error *err);
void tr_csv_names_free(char **names, int n);

struct tr_csv_write_options {
  char sep, quote;
  int quoting;                 /* csv.QUOTE_MINIMAL 0, QUOTE_ALL 1, QUOTE_NONNUMERIC 2 */
  const char *na_rep;          /* "" */
  const char *line_terminator; /* "\n" */
  bool header;
  bool append;            /* mode="a"; not in a store */
  struct tr_store *store; /* borrowed: the path is a key there; NULL = the file system */
  int n_index;            /* how many of the first columns are the index: pandas cuts its blocks by the others */
  int64_t chunk_size;     /* chunksize=, rows per block (datetimes are formatted per block); 0 = pandas' default */
  bool quote_newlines;    /* csv.writer quotes "\r" and "\n" whatever the line terminator is (true from Python 3.13, and
                             in late 3.11 and 3.12); the client asks its csv module once. Default true */
};

void tr_csv_write_options_init(struct tr_csv_write_options *opt); /* pandas' defaults */

/* Writes frame columns under names (index columns are ordinary columns here) exactly as DataFrame.to_csv does:
 * shortest-repr floats, datetimes as pandas formats them (dates only when every value of the column is midnight), bool
 * as True/False, category by its values. Temporary file + rename, except in append mode. Formatted in parallel. */
TR_MUST_USE enum tr_status tr_csv_write(struct tr_ctx *ctx, const char *path, const struct tr_frame *f,
                                        const char *const *names, const struct tr_csv_write_options *opt,
                                        struct tr_error *err);
