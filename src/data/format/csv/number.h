/* Numbers of a CSV field, as pandas 3.1 reads them: the fast ways are here, everything else in number.c.
 *
 * Integers are optional sign and digits, spaces around allowed. Floats are correctly rounded (pandas uses fast_float),
 * except behind a '+' after spaces and with a thousands mark, where pandas still takes its old routine, which number.c
 * repeats step by step. The fast ways read (and ignore) up to 16 bytes from the start of the text
 * on; the others keep to it.
 */
#pragma once
#include "data/format/csv/csv_int.h"

enum tr_csv_class {                   /* bits: what the texts of a column are */
                    TR_CSV_INT = 1,   /* fits int64 */
                    TR_CSV_FLOAT = 2, /* a number but no integer */
                    TR_CSV_OVER = 4,  /* an integer beyond int64 */
                    TR_CSV_BOOL = 8,
                    TR_CSV_TEXT = 16,
                    TR_CSV_NA = 32,
                    TR_CSV_ZERO = 64,      /* an integer that reads differently as a float: -0, or over 17 digits with a
                                              thousands mark */
                    TR_CSV_STOP = 128,     /* the column does not fit the way it is parsed: later chunks need not try */
                    TR_CSV_DISTINCT = 256, /* too many distinct values for a dictionary */
                    TR_CSV_BAD_UTF8 = 512,
                    TR_CSV_BAD_DATE = 1024,
                    TR_CSV_NEGATIVE = 2048, /* M_U64: a negative number */
};

enum tr_csv_int { TR_CSV_INT_OK, TR_CSV_INT_OVER, TR_CSV_INT_NO };
enum tr_csv_int tr_csv_parse_int(const struct tr_csv_dialect *d, const char *s, uint32_t n, int64_t *out);
enum tr_csv_int tr_csv_parse_u64(const struct tr_csv_dialect *d, const char *s, uint32_t n, uint64_t *out,
                                 bool *negative);
bool tr_csv_parse_float(const struct tr_csv_dialect *d, const char *s, uint32_t n, double *out);

static inline uint64_t tr_csv_load8(const char *s) {
  uint64_t v;
  memcpy(&v, s, 8);
  return v;
}

/* The number of n <= 8 digits (0 when n == 0); *ok is cleared when one is no digit. */
static inline uint64_t tr_csv_digits8(const char *s, uint32_t n, bool *ok) {
  uint64_t v = tr_csv_load8(s) ^ 0x3030303030303030ull;
  v = n ? v << (64 - 8 * n) : 0;
  *ok &= ((v | (v + 0x0606060606060606ull)) & 0xf0f0f0f0f0f0f0f0ull) == 0;
  v = v * 10 + (v >> 8);
  return (((v & 0x000000ff000000ffull) * 0x000f424000000064ull) +
          (((v >> 16) & 0x000000ff000000ffull) * 0x0000271000000001ull)) >>
         32;
}

/* Plain integers of up to 16 digits. False: take the slow way. *zero: the text is minus zero. */
static inline bool tr_csv_int_fast(const char *s, uint32_t n, int64_t *out, bool *zero) {
  const bool minus = *s == '-';
  s += minus;
  n -= minus;
  if (n - 1 >= 16) return false;
  bool ok = true;
  uint64_t v;
  if (n <= 8) {
    v = tr_csv_digits8(s, n, &ok);
  } else {
    v = tr_csv_digits8(s, n - 8, &ok) * 100000000u;
    v += tr_csv_digits8(s + n - 8, 8, &ok);
  }
  *out = minus ? -(int64_t)v : (int64_t)v;
  *zero = minus & (v == 0);
  return ok;
}

extern const double tr_csv_powers[23];

/* Plain decimals with up to 8 digits before and behind the mark. Exact: both parts and the power of ten are. */
static inline bool tr_csv_float_fast(const char *s, uint32_t n, char decimal, double *out) {
  const bool minus = *s == '-';
  s += minus;
  n -= minus;
  if (n - 2 > 15) return false;
  uint64_t a = tr_csv_load8(s), m = 0x0101010101010101ull * (uint8_t)decimal;
  uint64_t x = a ^ m;
  x = (x - 0x0101010101010101ull) & ~x & 0x8080808080808080ull;
  uint32_t whole = x ? (uint32_t)__builtin_ctzll(x) >> 3 : 8;
  if (s[whole] != decimal || whole >= n) return false;
  uint32_t rest = n - whole - 1;
  if (rest > 8) return false;
  bool ok = true;
  uint64_t w = tr_csv_digits8(s, whole, &ok), f = tr_csv_digits8(s + whole + 1, rest, &ok);
  static const uint32_t scale[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
  uint64_t mantissa = w * scale[rest] + f;
  if (!ok || mantissa > (1ull << 53)) return false;
  double v = (double)(int64_t)mantissa / tr_csv_powers[rest];
  *out = minus ? -v : v;
  return true;
}

/* "2020-01-31", "2020-01-31 23:59:59", the same with 'T' or with 1 to 6 digits of a second: microseconds since 1970.
 * Gives a code of the layout, 0 when it is none of these. */
int tr_csv_parse_date(const char *s, uint32_t n, int64_t *us);
/* Python's strict UTF-8. */
bool tr_csv_utf8_valid(const char *s, size_t n);
