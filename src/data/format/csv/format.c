/* Prints cells as DataFrame.to_csv does: str() of Python's values, quoted by the rules of csv.writer. */
#include "base/float_text.h"
#include "base/mem.h"
#include "data/format/csv/write_int.h"
#include <math.h>

enum tr_status tr_csv_out_room(struct tr_csv_out *o, size_t more, struct tr_error *err) {
  if (o->used + more <= o->bytes) return TR_OK;
  size_t bytes = o->bytes ? 2 * o->bytes : 1 << 16;
  while (bytes < o->used + more) bytes *= 2;
  void *p = o->data;
  TR_TRY(tr_mem_realloc(&p, o->bytes, bytes, err));
  o->data = p;
  o->bytes = bytes;
  return TR_OK;
}

static const char pairs[201] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748"
    "49505152535455565758596061626364656667686970717273747576777879808182838485868788899091929394959697"
    "9899";

/* Digits of v at p; gives the end. */
static char *put_u64(char *p, uint64_t v) {
  char digits[20];
  int at = 20;
  while (v >= 100) {
    at -= 2;
    memcpy(digits + at, pairs + 2 * (v % 100), 2);
    v /= 100;
  }
  if (v >= 10) {
    at -= 2;
    memcpy(digits + at, pairs + 2 * v, 2);
  } else {
    digits[--at] = (char)('0' + v);
  }
  memcpy(p, digits + at, (size_t)(20 - at));
  return p + 20 - at;
}

static char *put_i64(char *p, int64_t v) {
  if (v < 0) *p++ = '-';
  return put_u64(p, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

/* v in n digits, zeros in front. */
static char *put_fixed(char *p, int64_t v, int n) {
  for (int i = n - 1; i >= 0; i--, v /= 10) p[i] = (char)('0' + v % 10);
  return p + n;
}

/* Numbers of at most 6 decimals and 15 digits need no search: a decimal of 15 digits that reads back as v is its repr,
 * since no two of them read as the same double. */
static char *put_f64(char *p, double v) {
  const double size = fabs(v), scaled = size * 1e6;
  if (scaled < 1e15 && (size >= 1e-4 || size == 0)) {
    const int64_t m = (int64_t)(scaled + 0.5);
    if ((double)m / 1e6 == size) {
      if (signbit(v)) *p++ = '-';
      p = put_u64(p, (uint64_t)(m / 1000000));
      *p++ = '.';
      char *end = put_fixed(p, m % 1000000, 6);
      while (end > p + 1 && end[-1] == '0') end--;
      return end;
    }
  }
  return p + tr_float_repr(v, p);
}

/* Year, month and day of a day since 1970 (H. Hinnant's civil_from_days). */
static void civil_from_days(int64_t z, int64_t *y, int *m, int *d) {
  z += 719468;
  const int64_t era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
  const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365,
                doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const int64_t mp = (5 * doy + 2) / 153;
  *d = (int)(doy - (153 * mp + 2) / 5 + 1);
  *m = (int)(mp < 10 ? mp + 3 : mp - 9);
  *y = yoe + era * 400 + (*m <= 2);
}

/* floor(v / by) and what is left. */
static int64_t divide(int64_t v, int64_t by, int64_t *left) {
  int64_t q = v / by;
  *left = v % by;
  if (*left < 0) {
    *left += by;
    q--;
  }
  return q;
}

static char *put_clock(char *p, int64_t second) {
  p = put_fixed(p, second / 3600, 2);
  *p++ = ':';
  p = put_fixed(p, second / 60 % 60, 2);
  *p++ = ':';
  return put_fixed(p, second % 60, 2);
}

/* The part of a second, of `unit` ticks. */
static char *put_fraction(char *p, int64_t ticks, int64_t per_second, int format) {
  const int64_t nanos = ticks * (1000000000 / per_second);
  const int digits = format == TR_CSV_NANOS ? 9 : format == TR_CSV_MICROS ? 6 : 3;
  *p++ = '.';
  return put_fixed(p, digits == 9 ? nanos : digits == 6 ? nanos / 1000 : nanos / 1000000, digits);
}

static char *put_datetime(char *p, int64_t v, enum tr_unit unit, int format) {
  const int64_t per_second = tr_unit_per_second(unit);
  int64_t ticks, second, year;
  int month, day;
  const int64_t days = divide(divide(v, per_second, &ticks), 86400, &second);
  civil_from_days(days, &year, &month, &day);
  if (year < 0) { /* Python counts the sign as one of the four places */
    *p++ = '-';
    p = year > -1000 ? put_fixed(p, -year, 3) : put_i64(p, -year);
  } else {
    p = year < 10000 ? put_fixed(p, year, 4) : put_i64(p, year);
  }
  *p++ = '-';
  p = put_fixed(p, month, 2);
  *p++ = '-';
  p = put_fixed(p, day, 2);
  if (format == TR_CSV_DATE) return p;
  *p++ = ' ';
  p = put_clock(p, second);
  return format == TR_CSV_SECONDS ? p : put_fraction(p, ticks, per_second, format);
}

static char *put_timedelta(char *p, int64_t v, enum tr_unit unit, int format) {
  const int64_t per_second = tr_unit_per_second(unit);
  int64_t ticks, second;
  const int64_t days = divide(divide(v, per_second, &ticks), 86400, &second);
  p = put_i64(p, days);
  memcpy(p, " days", 5);
  p += 5;
  if (format == TR_CSV_DATE) return p;
  *p++ = ' ';
  if (days < 0) *p++ = '+';
  p = put_clock(p, second);
  return format == TR_CSV_SECONDS ? p : put_fraction(p, ticks, per_second, format);
}

int tr_csv_time_format(const struct tr_array *a, int64_t begin, int64_t end) {
  const int64_t *v = tr_array_data(a), per_second = tr_unit_per_second(a->dtype.unit);
  int format = TR_CSV_DATE;
  for (int64_t i = begin; i < end; i++) {
    int64_t second, ticks;
    if (v[i] == TR_NAT) continue;
    divide(divide(v[i], per_second, &ticks), 86400, &second);
    const int64_t nanos = ticks * (1000000000 / per_second);
    const int f = nanos % 1000      ? TR_CSV_NANOS
                  : nanos % 1000000 ? TR_CSV_MICROS
                  : nanos           ? TR_CSV_MILLIS
                  : second          ? TR_CSV_SECONDS
                                    : 0;
    if (f > format) format = f;
  }
  return a->dtype.kind == TR_TIMEDELTA && format == TR_CSV_MILLIS ? TR_CSV_MICROS : format;
}

static size_t put_quoted(const struct tr_csv_style *s, const char *text, size_t n, char *p) {
  char *q = p;
  *q++ = s->quote;
  for (size_t i = 0; i < n; i++) {
    if (text[i] == s->quote) *q++ = s->quote;
    *q++ = text[i];
  }
  *q++ = s->quote;
  return (size_t)(q - p);
}

enum tr_status tr_csv_put_text(const struct tr_csv_style *s, const char *text, size_t n, bool is_text,
                               struct tr_csv_out *o, struct tr_error *err) {
  TR_TRY(tr_csv_out_room(o, 2 * n + 2 + TR_CSV_CELL_BYTES, err));
  bool quote = s->quoting == 1 || (s->quoting == 2 && is_text);
  for (size_t i = 0; i < n && !quote; i++) quote = s->special[(uint8_t)text[i]];
  if (quote) {
    o->used += put_quoted(s, text, n, o->data + o->used);
  } else {
    memcpy(o->data + o->used, text, n);
    o->used += n;
  }
  return TR_OK;
}

static bool is_missing(const struct tr_csv_out_column *c, int64_t i) {
  const void *v = tr_array_data(c->array);
  switch (c->cell) {
  case TR_CSV_CELL_F32: return isnan(((const float *)v)[i]);
  case TR_CSV_CELL_F64: return isnan(((const double *)v)[i]);
  case TR_CSV_CELL_DATETIME:
  case TR_CSV_CELL_TIMEDELTA: return ((const int64_t *)v)[i] == TR_NAT;
  case TR_CSV_CELL_TEXT: return ((const struct tr_view *)v)[i].size < 0;
  case TR_CSV_CELL_CODES: return ((const int32_t *)v)[i] < 0;
  default: return false;
  }
}

/* A value that is no text, unquoted, at p. */
static char *put_value(const struct tr_csv_out_column *c, int64_t i, int format, char *p) {
  const void *v = tr_array_data(c->array);
  switch (c->cell) {
  case TR_CSV_CELL_BOOL: {
    const bool b = ((const uint8_t *)v)[i] != 0;
    memcpy(p, b ? "True" : "False", b ? 4 : 5);
    return p + (b ? 4 : 5);
  }
  case TR_CSV_CELL_I8: return put_i64(p, ((const int8_t *)v)[i]);
  case TR_CSV_CELL_I16: return put_i64(p, ((const int16_t *)v)[i]);
  case TR_CSV_CELL_I32: return put_i64(p, ((const int32_t *)v)[i]);
  case TR_CSV_CELL_I64: return put_i64(p, ((const int64_t *)v)[i]);
  case TR_CSV_CELL_U8: return put_u64(p, ((const uint8_t *)v)[i]);
  case TR_CSV_CELL_U16: return put_u64(p, ((const uint16_t *)v)[i]);
  case TR_CSV_CELL_U32: return put_u64(p, ((const uint32_t *)v)[i]);
  case TR_CSV_CELL_U64: return put_u64(p, ((const uint64_t *)v)[i]);
  case TR_CSV_CELL_F32: return p + tr_float32_repr(((const float *)v)[i], p);
  case TR_CSV_CELL_F64: return put_f64(p, ((const double *)v)[i]);
  case TR_CSV_CELL_DATETIME: return put_datetime(p, ((const int64_t *)v)[i], c->array->dtype.unit, format);
  case TR_CSV_CELL_TIMEDELTA: return put_timedelta(p, ((const int64_t *)v)[i], c->array->dtype.unit, format);
  default: return p;
  }
}

enum tr_status tr_csv_put_cell(const struct tr_csv_style *s, const struct tr_csv_out_column *c, int64_t i, int format,
                               struct tr_csv_out *o, struct tr_error *err) {
  if (is_missing(c, i)) {
    TR_TRY(tr_csv_out_room(o, s->na_size + TR_CSV_CELL_BYTES, err));
    memcpy(o->data + o->used, s->na, s->na_size);
    o->used += s->na_size;
    return TR_OK;
  }
  if (c->cell == TR_CSV_CELL_CODES) {
    const int32_t code = ((const int32_t *)tr_array_data(c->array))[i];
    const int64_t from = code ? c->text_end[code - 1] : 0, n = c->text_end[code] - from;
    TR_TRY(tr_csv_out_room(o, (size_t)n + TR_CSV_CELL_BYTES, err));
    memcpy(o->data + o->used, c->texts.data + from, (size_t)n);
    o->used += (size_t)n;
    return TR_OK;
  }
  if (c->cell == TR_CSV_CELL_TEXT) {
    const struct tr_view *v = &tr_array_views(c->array)[i];
    return tr_csv_put_text(s, tr_view_bytes(c->array, v), (size_t)v->size, true, o, err);
  }
  const bool time = c->cell == TR_CSV_CELL_DATETIME || c->cell == TR_CSV_CELL_TIMEDELTA; /* texts to csv.writer */
  TR_TRY(tr_csv_out_room(o, 2 * TR_CSV_CELL_BYTES, err));
  if (s->plain_numbers && (s->quoting == 0 || (s->quoting == 2 && !time))) {
    o->used = (size_t)(put_value(c, i, format, o->data + o->used) - o->data);
    return TR_OK;
  }
  char value[TR_CSV_CELL_BYTES];
  const size_t n = (size_t)(put_value(c, i, format, value) - value);
  return tr_csv_put_text(s, value, n, time, o, err);
}
