/* How everything in the engine fails.
 *
 * A fallible function returns `enum tr_status` (must be used) and, when it is not TR_OK, fills the
 * caller-owned `struct tr_error` it was given. The error names the Python exception class that the
 * client raises, so that pandas' own classes and texts reach the user. Nothing prints, exits or longjmps.
 */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tr_status {
  TR_OK = 0,
  TR_ERROR,       /* see tr_error.exc and .text */
  TR_UNSUPPORTED, /* the engine has no native way: the client falls back to pandas; .text says what */
  TR_CANCELLED,   /* tr_ctx_cancel was called, or the poll callback asked to stop */
};

/* Python exception class the client raises. */
enum tr_exc {
  TR_EXC_RUNTIME = 0,
  TR_EXC_VALUE,
  TR_EXC_TYPE,
  TR_EXC_KEY,
  TR_EXC_INDEX,
  TR_EXC_MEMORY, /* over the byte budget */
  TR_EXC_OS,     /* tr_error.os_errno set: FileNotFoundError, PermissionError, IsADirectoryError, … */
  TR_EXC_OVERFLOW,
  TR_EXC_PARSER,        /* pandas.errors.ParserError */
  TR_EXC_EMPTY_DATA,    /* pandas.errors.EmptyDataError */
  TR_EXC_UNICODE,       /* UnicodeDecodeError */
  TR_EXC_ARROW_INVALID, /* pyarrow.lib.ArrowInvalid: what pandas raises on a bad Parquet file */
  TR_EXC_MERGE,         /* pandas.errors.MergeError */
};

struct tr_error {
  enum tr_exc exc;
  int os_errno;
  char text[1000];
};

#define TR_MUST_USE     __attribute__((warn_unused_result))
#define TR_PRINTF(a, b) __attribute__((format(printf, a, b)))

/* Returns the status on failure. For `goto done` style use TR_GOTO. */
#define TR_TRY(call)              \
  do {                            \
    enum tr_status st_ = (call);  \
    if (st_ != TR_OK) return st_; \
  } while (0)
#define TR_GOTO(st, call)         \
  do {                            \
    (st) = (call);                \
    if ((st) != TR_OK) goto done; \
  } while (0)

/* Fills `err` (may be NULL) and returns TR_ERROR. `text` is a printf format. */
TR_MUST_USE enum tr_status tr_fail(struct tr_error *err, enum tr_exc exc, const char *text, ...) TR_PRINTF(3, 4);
/* The same for an errno of the operating system; text is what was attempted, usually the path. */
TR_MUST_USE enum tr_status tr_fail_os(struct tr_error *err, int os_errno, const char *text, ...) TR_PRINTF(3, 4);
/* Fills `err` and returns TR_UNSUPPORTED: the client serves the call by pandas and tells the user why. */
TR_MUST_USE enum tr_status tr_unsupported(struct tr_error *err, const char *text, ...) TR_PRINTF(2, 3);
/* Fills `err` as out of memory: names the bytes asked for. */
TR_MUST_USE enum tr_status tr_fail_memory(struct tr_error *err, size_t bytes);
