/* Parses batches of one column: numbers, bools and dates. Text is in text.c. */
#include "data/format/csv/column_int.h"
#include <math.h>
#include <strings.h>

int tr_csv_parse_bool(const struct tr_csv_reader *r, const char *s, uint32_t n) {
  if (tr_csv_texts_has(&r->yes, s, n)) return 1;
  if (tr_csv_texts_has(&r->no, s, n)) return 0;
  if (n == 4 && strncasecmp(s, "true", 4) == 0) return 1;
  if (n == 5 && strncasecmp(s, "false", 5) == 0) return 0;
  return -1;
}

bool tr_csv_is_na_number(const struct tr_csv_reader *r, double v) {
  for (int i = 0; i < r->n_na_numbers; i++) {
    if (r->na_numbers[i] == v) return true;
  }
  return false;
}

enum tr_csv_class tr_csv_classify(const struct tr_csv_reader *r, const char *s, uint32_t n) {
  int64_t i;
  double f;
  if (tr_csv_texts_has(&r->na, s, n)) return TR_CSV_NA;
  enum tr_csv_int k = tr_csv_parse_int(&r->dialect, s, n, &i);
  if (k == TR_CSV_INT_OK) return TR_CSV_INT;
  if (k == TR_CSV_INT_OVER) return TR_CSV_OVER;
  if (tr_csv_parse_float(&r->dialect, s, n, &f)) return TR_CSV_FLOAT;
  return tr_csv_parse_bool(r, s, n) >= 0 ? TR_CSV_BOOL : TR_CSV_TEXT;
}

static void stop(struct tr_csv_column *c, uint32_t seen) { atomic_fetch_or(&c->seen, seen | TR_CSV_STOP); }

static void note(struct tr_csv_column *c, uint32_t seen) {
  if (seen & ~atomic_load_explicit(&c->seen, memory_order_relaxed)) atomic_fetch_or(&c->seen, seen);
}

/* Integers 17 digits and more, or with marks between them, are rounded differently when read as a float. */
static bool reads_differently(const struct tr_csv_dialect *d, const char *s, uint32_t n, int64_t v) {
  return (v == 0 && memchr(s, '-', n)) || (d->thousands && n > 17);
}

/* A number the fast ways did not take. Gives its class; TEXT and BOOL end the parse. */
static enum tr_csv_class number_slow(const struct tr_csv_reader *r, struct tr_csv_column *c, const char *s, uint32_t n,
                                     int64_t row, uint32_t *seen, int64_t *i, double *f) {
  const struct tr_csv_dialect *d = &r->dialect;
  enum tr_csv_class k = TR_CSV_FLOAT;
  *f = NAN;
  if (tr_csv_texts_has(&r->na, s, n)) {
    *seen |= TR_CSV_NA;
    return TR_CSV_NA;
  }
  switch (tr_csv_parse_int(d, s, n, i)) {
  case TR_CSV_INT_OK:
    if (reads_differently(d, s, n, *i)) *seen |= TR_CSV_ZERO;
    *f = (double)*i;
    *seen |= TR_CSV_INT;
    return TR_CSV_INT;
  case TR_CSV_INT_OVER: k = TR_CSV_OVER; break;
  case TR_CSV_INT_NO: break;
  }
  if (!tr_csv_parse_float(d, s, n, f)) k = tr_csv_parse_bool(r, s, n) >= 0 ? TR_CSV_BOOL : TR_CSV_TEXT;
  if (!(*seen & k)) tr_csv_lower(k == TR_CSV_OVER ? &c->first_over : &c->first_other, row);
  *seen |= k;
  return k;
}

/* The integers of the chunk before row `to` become floats. */
static void turn_over(struct tr_csv_column *c, int64_t from, int64_t to) {
  int64_t *v = tr_array_data(c->array);
  double *f = tr_array_data(c->array);
  for (int64_t i = from; i < to; i++) {
    double x = (double)v[i];
    memcpy(&f[i], &x, sizeof x);
  }
}

static void parse_number(struct tr_csv_reader *r, struct tr_csv_column *c, const struct tr_csv_batch *b) {
  uint8_t *is_float = &c->chunk_is_float[b->chunk];
  int64_t *out = (int64_t *)tr_array_data(c->array) + b->row;
  double *fout = (double *)tr_array_data(c->array) + b->row;
  uint32_t seen = 0;
  const bool na_first = r->na_first, marks = r->dialect.thousands != 0;
  const char decimal = r->dialect.decimal;
  int64_t i = 0, v = 0;
  double f = 0;
  for (; i < b->n && !*is_float; i++) {
    const char *s = b->text + b->beg[i * b->stride];
    const uint32_t n = b->end[i * b->stride] - b->beg[i * b->stride];
    bool zero;
    if (!na_first && tr_csv_int_fast(s, n, &v, &zero)) {
      out[i] = v;
      if (zero) seen |= TR_CSV_ZERO;
      seen |= TR_CSV_INT;
      continue;
    }
    enum tr_csv_class k = number_slow(r, c, s, n, b->row + i, &seen, &v, &f);
    if (k == TR_CSV_TEXT || k == TR_CSV_BOOL) {
      stop(c, seen);
      return;
    }
    if (k == TR_CSV_INT) {
      out[i] = v;
      continue;
    }
    turn_over(c, b->chunk_row, b->row + i);
    *is_float = 1;
    break;
  }
  for (; i < b->n; i++) {
    const char *s = b->text + b->beg[i * b->stride];
    const uint32_t n = b->end[i * b->stride] - b->beg[i * b->stride];
    bool zero = false;
    if (!na_first && !marks && tr_csv_float_fast(s, n, decimal, &f)) {
      if (!(seen & TR_CSV_FLOAT)) tr_csv_lower(&c->first_other, b->row + i);
      seen |= TR_CSV_FLOAT;
    } else if (!na_first && tr_csv_int_fast(s, n, &v, &zero)) {
      f = (double)v;
      seen |= zero ? TR_CSV_INT | TR_CSV_ZERO : TR_CSV_INT;
    } else {
      enum tr_csv_class k = number_slow(r, c, s, n, b->row + i, &seen, &v, &f);
      if (k == TR_CSV_TEXT || k == TR_CSV_BOOL) {
        stop(c, seen);
        return;
      }
    }
    fout[i] = f;
  }
  note(c, seen);
}

static void parse_float(struct tr_csv_reader *r, struct tr_csv_column *c, const struct tr_csv_batch *b) {
  double *out = (double *)tr_array_data(c->array) + b->row;
  for (int64_t i = 0; i < b->n; i++) {
    const char *s = b->text + b->beg[i * b->stride];
    const uint32_t n = b->end[i * b->stride] - b->beg[i * b->stride];
    if (tr_csv_texts_has(&r->na, s, n)) {
      out[i] = NAN;
    } else if (!tr_csv_parse_float(&r->dialect, s, n, &out[i])) {
      stop(c, TR_CSV_TEXT);
      return;
    } else if (r->n_na_numbers && tr_csv_is_na_number(r, out[i])) {
      out[i] = NAN;
    }
  }
}

static void parse_u64(struct tr_csv_reader *r, struct tr_csv_column *c, const struct tr_csv_batch *b) {
  uint64_t *out = (uint64_t *)tr_array_data(c->array) + b->row;
  for (int64_t i = 0; i < b->n; i++) {
    const char *s = b->text + b->beg[i * b->stride];
    bool minus = false;
    enum tr_csv_int k =
        tr_csv_parse_u64(&r->dialect, s, b->end[i * b->stride] - b->beg[i * b->stride], &out[i], &minus);
    if (k != TR_CSV_INT_OK || minus) {
      stop(c, minus ? TR_CSV_NEGATIVE : TR_CSV_TEXT);
      return;
    }
  }
}

static void parse_bools(struct tr_csv_reader *r, struct tr_csv_column *c, const struct tr_csv_batch *b) {
  uint8_t *out = (uint8_t *)tr_array_data(c->array) + b->row;
  uint32_t seen = 0;
  for (int64_t i = 0; i < b->n; i++) {
    const char *s = b->text + b->beg[i * b->stride];
    const uint32_t n = b->end[i * b->stride] - b->beg[i * b->stride];
    if (tr_csv_texts_has(&r->na, s, n)) {
      seen |= TR_CSV_NA;
      out[i] = 0;
      continue;
    }
    int v = tr_csv_parse_bool(r, s, n);
    if (v < 0) {
      stop(c, seen | tr_csv_classify(r, s, n));
      return;
    }
    out[i] = (uint8_t)v;
    seen |= TR_CSV_BOOL;
  }
  note(c, seen);
}

static void parse_dates(struct tr_csv_reader *r, struct tr_csv_column *c, const struct tr_csv_batch *b) {
  int64_t *out = (int64_t *)tr_array_data(c->array) + b->row;
  int code = atomic_load(&c->date_code);
  for (int64_t i = 0; i < b->n; i++) {
    const char *s = b->text + b->beg[i * b->stride];
    const uint32_t n = b->end[i * b->stride] - b->beg[i * b->stride];
    if (n == 0 || tr_csv_texts_has(&r->na, s, n)) {
      out[i] = TR_NAT;
      continue;
    }
    int k = tr_csv_parse_date(s, n, &out[i]);
    if (code == 0 && atomic_compare_exchange_strong(&c->date_code, &code, k)) code = k;
    if (k == 0 || k != code) {
      stop(c, TR_CSV_BAD_DATE);
      return;
    }
  }
}

enum tr_status tr_csv_column_parse(struct tr_csv_reader *r, struct tr_csv_column *c, const struct tr_csv_batch *b,
                                   struct tr_error *err) {
  if (!c->todo || (atomic_load_explicit(&c->seen, memory_order_relaxed) & TR_CSV_STOP)) return TR_OK;
  switch (c->way) {
  case TR_CSV_AS_NUMBER: parse_number(r, c, b); break;
  case TR_CSV_AS_FLOAT: parse_float(r, c, b); break;
  case TR_CSV_AS_U64: parse_u64(r, c, b); break;
  case TR_CSV_AS_BOOL: parse_bools(r, c, b); break;
  case TR_CSV_AS_DATE: parse_dates(r, c, b); break;
  case TR_CSV_AS_DICT:
  case TR_CSV_AS_PLAIN: return tr_csv_text_parse(r, c, b, err);
  }
  return TR_OK;
}
