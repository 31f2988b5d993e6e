/* Inside of the CSV reader.
 *
 * The file passes three stages: head.c resolves names and the first data byte; scan.c cuts the data into chunks that
 * begin at records and counts the rows of each, so that final columns can be allocated once; parse.c reads the chunks
 * again and parses them column by column into their place. Both stages cut records with the same code (token.c).
 * Files are read with pread, never mapped: a file that shrinks meanwhile gives an error, not a SIGBUS.
 */
#pragma once
#include "data/format/csv/csv.h"

enum { TR_CSV_PAD = 64 }; /* readable and writable bytes before and after the text in a buffer */

struct tr_csv_dialect {
  char sep, quote, decimal, thousands, comment, escape;
  bool has_quote, double_quote, skip_blank, skip_space;
  bool slow;              /* every record goes through the exact, slow tokenizer */
  uint8_t irregular[256]; /* a record that begins with this byte goes through the slow tokenizer */
};

/* A set of texts that mean missing, true or false. */
struct tr_csv_texts {
  const char **text;
  int32_t *size;
  int n, capacity;
  bool first[257]; /* some text begins with this byte; [256]: the empty text is in */
};

/* One record, as the slow tokenizer found it. */
enum tr_csv_record {
  TR_CSV_ROW,
  TR_CSV_SKIP,       /* blank line or comment line: counts as a line, not as a row */
  TR_CSV_END,        /* nothing left */
  TR_CSV_MORE,       /* the buffer ends inside the record, the file does not */
  TR_CSV_OPEN_QUOTE, /* end of file inside a quoted field */
  TR_CSV_OPEN_ESCAPE,
  TR_CSV_ODD,  /* a corner of pandas' tokenizer that is not reproduced */
  TR_CSV_LONG, /* tr_csv_cut: a row with too many fields */
};

struct tr_csv_record_out {
  uint32_t *beg, *end; /* of the first max_fields fields; NULL = only count (then the text is not touched) */
  int max_fields, n_fields;
  uint32_t next; /* where the next record begins */
};

/* Cuts the record at p of text[0, len); `eof`: the file ends at len. Quotes and escapes are removed in place. */
enum tr_csv_record tr_csv_record_slow(const struct tr_csv_dialect *d, char *text, uint32_t p, uint32_t len, bool eof,
                                      struct tr_csv_record_out *out);
/* Skips one physical line as skiprows does (quotes respected, blank lines count). MORE, END or SKIP. */
enum tr_csv_record tr_csv_skip_line(const struct tr_csv_dialect *d, const char *text, uint32_t p, uint32_t len,
                                    bool eof, uint32_t *next);

/* Cuts many records. The text lies between TR_CSV_PAD bytes on each side; a '\n' is put behind it at its end. */
struct tr_csv_cursor {
  char *text;
  uint32_t pos, len;          /* next record; bytes of text */
  uint32_t limit;             /* records that begin here or later are not ours */
  bool eof;                   /* the file ends at len */
  int width;                  /* fields per row */
  bool any_width;             /* longer rows are cut, not refused */
  uint32_t *beg, *end;        /* width fields per row; NULL = only count */
  int64_t lines;              /* records, blank and comment lines seen so far */
  int n_fields;               /* on a row that is too long: its fields */
  enum tr_csv_record stopped; /* ROW: max_rows were cut; else why there are fewer: END (limit reached), LONG, … */
};
/* Cuts up to max_rows rows; gives how many. */
int64_t tr_csv_cut(const struct tr_csv_dialect *d, struct tr_csv_cursor *c, int64_t max_rows);

struct tr_csv_file {
  int fd;
  const char *path;
  int64_t size, mtime_s, mtime_ns;
  uint8_t *memory; /* an object, whole; fd is -1 then */
  size_t room;
};
/* Reads an object into memory: it is wanted twice, to find its rows and to parse them. */
TR_MUST_USE enum tr_status tr_csv_open_object(struct tr_store *store, const char *key, struct tr_ctx *ctx,
                                              struct tr_csv_file *f, struct tr_error *err);
TR_MUST_USE enum tr_status tr_csv_open(const char *path, struct tr_csv_file *f, struct tr_error *err);
void tr_csv_close(struct tr_csv_file *f);
/* Reads n bytes at `at`; a file that has become shorter is an error. */
TR_MUST_USE enum tr_status tr_csv_pread(const struct tr_csv_file *f, int64_t at, int64_t n, char *to,
                                        struct tr_error *err);
/* Error when the file is not what it was when it was opened. */
TR_MUST_USE enum tr_status tr_csv_unchanged(const struct tr_csv_file *f, struct tr_error *err);

/* A growing buffer with pads; text starts at data + TR_CSV_PAD. */
struct tr_csv_text_buffer {
  char *data;
  size_t bytes;
};
TR_MUST_USE enum tr_status tr_csv_buffer_reserve(struct tr_csv_text_buffer *b, size_t text_bytes, struct tr_error *err);
void tr_csv_buffer_drop(struct tr_csv_text_buffer *b);

/* What the first lines say. */
struct tr_csv_head {
  char **names;
  int n_names, width;      /* width: fields per data row; equal to n_names */
  int64_t data_begin;      /* first byte of the first data record (blank and comment lines before it are passed) */
  int64_t lines;           /* lines before data_begin */
  bool any_width, mangled; /* mangled: a repeated name was changed */
};
TR_MUST_USE enum tr_status tr_csv_head_read(const struct tr_csv_file *f, const struct tr_csv_dialect *d,
                                            const struct tr_csv_read_options *opt, struct tr_csv_head *h,
                                            struct tr_error *err);
/* The error of a record that cannot be read; `lines` stand before it. */
TR_MUST_USE enum tr_status tr_csv_record_error(enum tr_csv_record r, int64_t lines, struct tr_error *err);
TR_MUST_USE enum tr_status tr_csv_dialect_make(const struct tr_csv_read_options *opt, struct tr_csv_dialect *d,
                                               struct tr_error *err);

struct tr_csv_chunk {
  int64_t begin, end, row, line;
}; /* bytes [begin, end); first row and line number */
struct tr_csv_scan {
  struct tr_csv_chunk *chunks; /* n + 1; the last one closes */
  int64_t n, capacity, n_rows;
};
/* Cuts [h->data_begin, file size) into chunks of about chunk_bytes; stops after opt->n_rows rows. */
TR_MUST_USE enum tr_status tr_csv_scan(struct tr_ctx *ctx, const struct tr_csv_file *f, const struct tr_csv_dialect *d,
                                       const struct tr_csv_head *h, int64_t n_rows, int64_t chunk_bytes,
                                       struct tr_csv_scan *s, struct tr_error *err);
void tr_csv_scan_drop(struct tr_csv_scan *s);

TR_MUST_USE enum tr_status tr_csv_texts_add(struct tr_csv_texts *t, const char *s, size_t n, struct tr_error *err);
void tr_csv_texts_drop(struct tr_csv_texts *t);
bool tr_csv_texts_find(const struct tr_csv_texts *t, const char *s, uint32_t n);
static inline bool tr_csv_texts_has(const struct tr_csv_texts *t, const char *s, uint32_t n) {
  return t->first[n ? (uint8_t)*s : 256] && (n == 0 || tr_csv_texts_find(t, s, n));
}
