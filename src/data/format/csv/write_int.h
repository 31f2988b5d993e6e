/* Inside of the CSV writer: write.c runs it and owns the file, format.c prints cells. */
#pragma once
#include "data/format/csv/csv.h"

/* Output of one block of rows; room is made per row or per long text. */
struct tr_csv_out {
  char *data;
  size_t used, bytes;
};
TR_MUST_USE enum tr_status tr_csv_out_room(struct tr_csv_out *o, size_t more, struct tr_error *err);

enum tr_csv_cell { /* how a column is printed */
                   TR_CSV_CELL_BOOL,
                   TR_CSV_CELL_I8,
                   TR_CSV_CELL_I16,
                   TR_CSV_CELL_I32,
                   TR_CSV_CELL_I64,
                   TR_CSV_CELL_U8,
                   TR_CSV_CELL_U16,
                   TR_CSV_CELL_U32,
                   TR_CSV_CELL_U64,
                   TR_CSV_CELL_F32,
                   TR_CSV_CELL_F64,
                   TR_CSV_CELL_TEXT,
                   TR_CSV_CELL_DATETIME,
                   TR_CSV_CELL_TIMEDELTA,
                   TR_CSV_CELL_CODES,
};

struct tr_csv_out_column {
  const struct tr_array *array;
  struct tr_array *own; /* array when it was made here */
  enum tr_csv_cell cell;
  bool whole; /* time format is chosen for the whole column (levels of a MultiIndex) */
  int whole_format;
  struct tr_csv_out texts; /* CODES: printed fields of all values */
  int64_t *text_end;       /* where each ends in `texts` */
  int64_t n_texts;
};

/* The writer's options, made ready. */
struct tr_csv_style {
  char sep, quote;
  int quoting;
  bool special[256];  /* a field with this byte is quoted */
  bool plain_numbers; /* no number can hold such a byte */
  const char *line_end;
  size_t line_end_size;
  char *na; /* the missing value as a field, quoted where needed */
  size_t na_size;
};

enum { TR_CSV_DATE = 1, TR_CSV_SECONDS, TR_CSV_MILLIS, TR_CSV_MICROS, TR_CSV_NANOS }; /* time formats */
/* The format pandas chooses for rows [begin, end) of a datetime or timedelta column. */
int tr_csv_time_format(const struct tr_array *a, int64_t begin, int64_t end);
/* Upper bound of what any cell but a text takes. */
enum { TR_CSV_CELL_BYTES = 96 };
/* Appends a text as a field; is_text: it is quoted under QUOTE_NONNUMERIC. */
TR_MUST_USE enum tr_status tr_csv_put_text(const struct tr_csv_style *s, const char *text, size_t n, bool is_text,
                                           struct tr_csv_out *o, struct tr_error *err);
/* Appends the cell of row i. `format`: of time columns. */
TR_MUST_USE enum tr_status tr_csv_put_cell(const struct tr_csv_style *s, const struct tr_csv_out_column *c, int64_t i,
                                           int format, struct tr_csv_out *o, struct tr_error *err);
