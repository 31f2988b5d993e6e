/* Numbers, dates and UTF-8 of a CSV field, the slow and complete ways: see number.h. */
#include "data/format/csv/number.h"
#include "base/float_text.h"
#include <limits.h>
#include <stdatomic.h>

#include <math.h>
#include <strings.h>

const double tr_csv_powers[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                  1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

enum { MOST_DIGITS = 126 }; /* with thousands marks pandas takes longer numbers for an overflow */

/* Sign, digits and thousands marks up to *end; the digits' value saturates. */
static enum tr_csv_int scan_int(const struct tr_csv_dialect *d, const char *s, uint32_t n, bool *minus,
                                uint64_t *value) {
  const char *p = s, *end = s + n;
  while (p < end && is_space(*p)) p++;
  *minus = p < end && *p == '-';
  const bool sign = p < end && (*p == '-' || *p == '+');
  p += sign;
  if (p == end || !is_digit(*p)) return TR_CSV_INT_NO;
  bool over = false, marks = false;
  int digits = *minus;
  uint64_t v = 0;
  for (; p < end && (is_digit(*p) || (d->thousands && *p == d->thousands)); p++) {
    if (*p == d->thousands) {
      marks = true;
      continue;
    }
    digits++;
    over |= __builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v);
  }
  *value = v;
  const bool whole = p == end;
  while (p < end && is_space(*p)) p++;
  if (marks && digits > MOST_DIGITS) return TR_CSV_INT_OVER;
  if (p != end) return TR_CSV_INT_NO;
  if (over) return whole ? TR_CSV_INT_OVER : TR_CSV_INT_NO;
  return TR_CSV_INT_OK;
}

enum tr_csv_int tr_csv_parse_int(const struct tr_csv_dialect *d, const char *s, uint32_t n, int64_t *out) {
  bool minus;
  uint64_t v = 0;
  enum tr_csv_int r = scan_int(d, s, n, &minus, &v);
  if (r != TR_CSV_INT_OK) return r;
  if (v > (uint64_t)INT64_MAX + minus) return is_space(s[n - 1]) ? TR_CSV_INT_NO : TR_CSV_INT_OVER;
  *out = (int64_t)(minus ? 0 - v : v);
  return TR_CSV_INT_OK;
}

enum tr_csv_int tr_csv_parse_u64(const struct tr_csv_dialect *d, const char *s, uint32_t n, uint64_t *out,
                                 bool *negative) {
  return scan_int(d, s, n, negative, out);
}

/* strtol of base 10 on [p, end): the value, saturated, and where it ended (p: no digits). */
static long read_exponent(const char *p, const char *end, const char **stop, bool *range) {
  const char *q = p;
  while (q < end && is_space(*q)) q++;
  const bool minus = q < end && *q == '-';
  q += q < end && (*q == '-' || *q == '+');
  *stop = p;
  *range = false;
  long v = 0;
  for (; q < end && is_digit(*q); q++) {
    *range |= __builtin_mul_overflow(v, 10L, &v) || __builtin_add_overflow(v, (long)(*q - '0'), &v);
    *stop = q + 1;
  }
  if (*range) return minus ? LONG_MIN : LONG_MAX;
  return minus ? -v : v;
}

static double power(long e) { /* as pandas' table of literals */
  static double table[309];
  static _Atomic bool ready;
  if (!atomic_load_explicit(&ready, memory_order_acquire)) {
    char text[8];
    for (int i = 0; i <= 308; i++) {
      int n = 0;
      text[n++] = '1', text[n++] = 'e';
      if (i >= 100) text[n++] = (char)('0' + i / 100);
      if (i >= 10) text[n++] = (char)('0' + i / 10 % 10);
      text[n++] = (char)('0' + i % 10);
      double v = 0;
      if (tr_float_parse(text, n, &v)) __atomic_store(&table[i], &v, __ATOMIC_RELAXED);
    }
    atomic_store_explicit(&ready, true, memory_order_release);
  }
  double v;
  __atomic_load(&table[e], &v, __ATOMIC_RELAXED);
  return v;
}

struct digits {
  uint64_t mantissa;
  int n;
  long exponent;
  bool any;
};

/* Mantissa of at most 17 significant digits. */
static const char *read_mantissa(const struct tr_csv_dialect *d, const char *p, const char *end, struct digits *g) {
  const char tsep = d->thousands;
  for (bool lead = true; p < end && is_digit(*p);) {
    lead = lead && *p == '0';
    g->any = true;
    if (!lead && g->n < 17) {
      g->mantissa = g->mantissa * 10 + (uint64_t)(*p - '0');
      g->n++;
    } else if (!lead) {
      g->exponent++;
    }
    p++;
    p += tsep && p < end && *p == tsep;
  }
  if (p == end || *p != d->decimal) return p;
  p++;
  long decimals = 0;
  for (; g->n == 0 && p < end && *p == '0'; p++, decimals++) g->any = true;
  for (; g->n < 17 && p < end && is_digit(*p); p++, decimals++) {
    g->mantissa = g->mantissa * 10 + (uint64_t)(*p - '0');
    g->n++;
  }
  if (g->n >= 17) {
    while (p < end && is_digit(*p)) p++;
  }
  g->exponent -= decimals;
  return p;
}

/* pandas' precise_xstrtod without fast_float. */
static bool old_float(const struct tr_csv_dialect *d, const char *p, const char *end, double *out) {
  const bool minus = p < end && *p == '-';
  p += p < end && (*p == '-' || *p == '+');
  struct digits g = {0};
  p = read_mantissa(d, p, end, &g);
  if (g.n == 0 && !g.any) return false;
  double v = (double)g.mantissa;
  if (minus) v = -v;
  long e = g.exponent;
  if (p < end && (*p == 'e' || *p == 'E')) {
    const char *stop;
    bool range;
    long n = read_exponent(p + 1, end, &stop, &range);
    if (stop != p + 1) p = stop;
    if (range || __builtin_add_overflow(e, n, &e)) e = n;
  }
  if (e > 308) {
    v = v == 0 ? 0 : v < 0 ? -HUGE_VAL : HUGE_VAL;
  } else if (e > 0) {
    v *= power(e);
  } else if (e < -616) {
    v = 0;
  } else if (e < -308) {
    v /= power(-308 - e);
    v /= power(308);
  } else {
    v /= power(-e);
  }
  while (p < end && is_space(*p)) p++;
  *out = v;
  return p == end;
}

static bool plain_float(const struct tr_csv_dialect *d, const char *p, const char *end, double *out) {
  const char *q = p + (p < end && (*p == '-' || *p == '+'));
  if (q == end || !(is_digit(*q) || *q == d->decimal)) return false; /* no inf, no nan */
  if (d->decimal == '.') return tr_float_parse(p, end - p, out);
  char text[512];
  if ((size_t)(end - p) > sizeof text || memchr(p, '.', (size_t)(end - p))) return false;
  for (long i = 0; i < end - p; i++) text[i] = p[i] == d->decimal ? '.' : p[i];
  return tr_float_parse(text, end - p, out);
}

static bool special_float(const char *s, uint32_t n, double *out) {
  const bool sign = n > 0 && (*s == '-' || *s == '+'), minus = sign && *s == '-';
  s += sign;
  n -= sign;
  if (!(n == 3 && strncasecmp(s, "inf", 3) == 0) && !(n == 8 && strncasecmp(s, "infinity", 8) == 0)) return false;
  *out = minus ? -HUGE_VAL : HUGE_VAL;
  return true;
}

bool tr_csv_parse_float(const struct tr_csv_dialect *d, const char *s, uint32_t n, double *out) {
  const char *p = s, *end = s + n;
  if (!d->thousands && plain_float(d, p, end, out)) return true;
  while (p < end && is_space(*p)) p++;
  if (p == end) return false;
  if (d->thousands || *p == '+') return old_float(d, p, end, out) || special_float(s, n, out);
  while (end > p && is_space(end[-1])) end--;
  const char *q = p + (*p == '-');
  if (q < end && (is_digit(*q) || (*q == d->decimal && q + 1 < end && is_digit(q[1]))) && plain_float(d, p, end, out))
    return true;
  return special_float(s, n, out);
}

static int two(const char *s) { return is_digit(s[0]) && is_digit(s[1]) ? (s[0] - '0') * 10 + s[1] - '0' : -1; }

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar (H. Hinnant's days_from_civil). */
static int64_t days_from_civil(int64_t y, int m, int day) {
  y -= m <= 2;
  const int64_t era = (y >= 0 ? y : y - 399) / 400;
  const int64_t yoe = y - era * 400, doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

int tr_csv_parse_date(const char *s, uint32_t n, int64_t *us) {
  static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (n < 10 || n > 26 || s[4] != '-' || s[7] != '-') return 0;
  const int century = two(s), year2 = two(s + 2), month = two(s + 5), day = two(s + 8);
  if (century < 0 || year2 < 0 || month < 1 || month > 12 || day < 1) return 0;
  const int year = century * 100 + year2;
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  if (year < 1 || day > month_days[month - 1] + (leap && month == 2)) return 0;
  int64_t value = days_from_civil(year, month, day) * 86400000000;
  int code = 1;
  if (n > 10) {
    if (n < 19 || n == 20 || (s[10] != ' ' && s[10] != 'T') || s[13] != ':' || s[16] != ':') return 0;
    const int hour = two(s + 11), minute = two(s + 14), second = two(s + 17);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return 0;
    value += ((hour * 60 + minute) * 60 + second) * (int64_t)1000000;
    code = (int)n * 2 + (s[10] == 'T');
  }
  if (n > 19) {
    if (s[19] != '.') return 0;
    int64_t part = 0;
    for (uint32_t i = 20; i < 26; i++) {
      if (i < n && !is_digit(s[i])) return 0;
      part = part * 10 + (i < n ? s[i] - '0' : 0);
    }
    value += part;
  }
  *us = value;
  return code;
}

bool tr_csv_utf8_valid(const char *s, size_t n) {
  const uint8_t *p = (const uint8_t *)s, *end = p + n;
  while (p < end) {
    uint8_t c = *p++;
    if (c < 0x80) continue;
    int more = c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2 : c >= 0xf0 && c < 0xf5 ? 3 : 0;
    if (more == 0 || end - p < more) return false;
    uint8_t low = 0x80, high = 0xbf;
    if (c == 0xe0) low = 0xa0;
    if (c == 0xed) high = 0x9f;
    if (c == 0xf0) low = 0x90;
    if (c == 0xf4) high = 0x8f;
    if (*p < low || *p > high) return false;
    for (int i = 1; i < more; i++) {
      if ((p[i] & 0xc0) != 0x80) return false;
    }
    p += more;
  }
  return true;
}
