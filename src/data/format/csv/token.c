/* Cuts text into records and fields exactly as pandas' C tokenizer does.
 *
 * Two ways with one meaning: tr_csv_record_slow walks byte by byte through the states of that tokenizer and takes every
 * option; tr_csv_cut finds separators 64 bytes at a time and hands each record that is not plain (blank or comment
 * lines, doubled quotes, lone carriage returns, text after a closing quote, …) to the slow way. Quotes count only at
 * the start of a field, as in pandas: a"b,c is two fields.
 */
#include "data/format/csv/csv_int.h"
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum state { START_FIELD, IN_FIELD, IN_QUOTED, QUOTE_IN_QUOTED, ESCAPED, ESCAPED_IN_QUOTED, COMMENT };

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

/* The line end at q (a '\n' or '\r'); gives where the next record begins. */
static uint32_t after_line_end(const char *text, uint32_t q, uint32_t len) {
  if (text[q] == '\r' && q + 1 < len && text[q + 1] == '\n') return q + 2;
  return q + 1;
}

/* A line without fields ends at q. pandas swallows a separator that follows such a line's lone '\r'. */
static enum tr_csv_record end_empty_line(const struct tr_csv_dialect *d, const char *text, uint32_t q, uint32_t len,
                                         bool eof, struct tr_csv_record_out *out) {
  if (text[q] == '\r' && q + 1 == len && !eof) return TR_CSV_MORE;
  out->next = after_line_end(text, q, len);
  if (text[q] == '\r' && out->next == q + 1 && out->next < len && text[out->next] == d->sep) return TR_CSV_ODD;
  return TR_CSV_SKIP;
}

/* Blank lines, white lines and comment lines. ROW: the record at p is none of these. */
static enum tr_csv_record line_without_fields(const struct tr_csv_dialect *d, const char *text, uint32_t p,
                                              uint32_t len, bool eof, struct tr_csv_record_out *out) {
  char c = text[p];
  uint32_t q = p;
  if (c == '\n' || c == '\r') {
    enum tr_csv_record r = end_empty_line(d, text, p, len, eof, out);
    if (d->skip_blank || r == TR_CSV_MORE) return r;
    out->n_fields = 0;
    out->next = after_line_end(text, p, len);
    return TR_CSV_SKIP; /* the caller makes it a row */
  }
  if (d->comment && c == d->comment) {
    while (q < len && text[q] != '\n' && text[q] != '\r') q++;
  } else if (d->skip_blank && is_blank(c) && c != d->sep) {
    while (q < len && is_blank(text[q]) && text[q] != d->sep) q++;
    if (q < len && text[q] != '\n' && text[q] != '\r') return TR_CSV_ROW;
  } else {
    return TR_CSV_ROW;
  }
  if (q == len) {
    out->next = len;
    return eof ? TR_CSV_END : TR_CSV_MORE;
  }
  return end_empty_line(d, text, q, len, eof, out);
}

struct walk {
  char *text;
  uint32_t from, to; /* the field's text so far */
  struct tr_csv_record_out *out;
};

static inline void push(struct walk *w, char c) {
  if (w->out->beg) w->text[w->to] = c;
  w->to++;
}

static void end_field(struct walk *w, uint32_t next) {
  struct tr_csv_record_out *o = w->out;
  if (o->beg && o->n_fields < o->max_fields) {
    o->beg[o->n_fields] = w->from;
    o->end[o->n_fields] = w->to;
  }
  o->n_fields++;
  w->from = w->to = next;
}

/* Byte c at q, neither a line end nor in a comment. */
static inline enum state step(const struct tr_csv_dialect *d, struct walk *w, enum state s, char c, uint32_t q) {
  switch (s) {
  case START_FIELD:
    if (d->has_quote && c == d->quote) return IN_QUOTED;
    if (d->escape && c == d->escape) return ESCAPED;
    if (d->skip_space && c == ' ') return START_FIELD;
    break;
  case IN_FIELD:
    if (d->escape && c == d->escape) return ESCAPED;
    break;
  case QUOTE_IN_QUOTED:
    if (d->has_quote && c == d->quote) {
      push(w, c);
      return IN_QUOTED;
    }
    if (c != d->sep) { /* neither escapes nor comments are looked for right behind a closing quote */
      push(w, c);
      return IN_FIELD;
    }
    break;
  default: break;
  }
  if (c == d->sep) {
    end_field(w, q + 1);
    return START_FIELD;
  }
  if (d->comment && c == d->comment) {
    end_field(w, q + 1);
    return COMMENT;
  }
  push(w, c);
  return IN_FIELD;
}

static enum tr_csv_record end_of_text(struct walk *w, enum state s, uint32_t len, bool eof) {
  if (!eof) return TR_CSV_MORE;
  w->out->next = len;
  if (s == IN_QUOTED || s == ESCAPED_IN_QUOTED) return TR_CSV_OPEN_QUOTE;
  if (s == ESCAPED) return TR_CSV_OPEN_ESCAPE;
  if (s != COMMENT) end_field(w, len);
  return TR_CSV_ROW;
}

enum tr_csv_record tr_csv_record_slow(const struct tr_csv_dialect *d, char *text, uint32_t p, uint32_t len, bool eof,
                                      struct tr_csv_record_out *out) {
  out->n_fields = 0;
  out->next = p;
  if (p >= len) return eof ? TR_CSV_END : TR_CSV_MORE;
  enum tr_csv_record r = line_without_fields(d, text, p, len, eof, out);
  if (r == TR_CSV_SKIP && !d->skip_blank && (text[p] == '\n' || text[p] == '\r')) return TR_CSV_ROW;
  if (r != TR_CSV_ROW) return r;
  struct walk w = {text, p, p, out};
  enum state s = START_FIELD;
  for (uint32_t q = p; q < len; q++) {
    char c = text[q];
    if (s == ESCAPED || s == ESCAPED_IN_QUOTED) {
      push(&w, c);
      s = s == ESCAPED ? IN_FIELD : IN_QUOTED;
    } else if (s == IN_QUOTED) {
      if (d->escape && c == d->escape) {
        s = ESCAPED_IN_QUOTED;
      } else if (c == d->quote) {
        s = d->double_quote ? QUOTE_IN_QUOTED : IN_FIELD;
      } else if (d->escape) {
        push(&w, c);
      } else { /* all text up to the next quote */
        const char *z = memchr(text + q, d->quote, len - q);
        const uint32_t to = z ? (uint32_t)(z - text) : len;
        if (out->beg) memmove(text + w.to, text + q, to - q);
        w.to += to - q;
        q = to - 1;
      }
    } else if (c == '\n' || c == '\r') {
      if (c == '\r' && q + 1 == len && !eof) return TR_CSV_MORE;
      if (s != COMMENT) end_field(&w, q);
      out->next = after_line_end(text, q, len);
      return TR_CSV_ROW;
    } else if (s != COMMENT) {
      s = step(d, &w, s, c, q);
    }
  }
  return end_of_text(&w, s, len, eof);
}

enum tr_csv_record tr_csv_skip_line(const struct tr_csv_dialect *d, const char *text, uint32_t p, uint32_t len,
                                    bool eof, uint32_t *next) {
  *next = len;
  if (p >= len) return eof ? TR_CSV_END : TR_CSV_MORE;
  enum state s = START_FIELD;
  uint32_t q = p;
  if (text[p] == '\r') { /* pandas takes a carriage return that opens a skipped line for text */
    s = IN_FIELD;
    q++;
  }
  for (; q < len; q++) {
    char c = text[q];
    bool quote = d->has_quote && c == d->quote;
    if (s == IN_QUOTED) {
      if (quote) s = d->double_quote ? QUOTE_IN_QUOTED : IN_FIELD;
    } else if (c == '\n' || c == '\r') {
      if (c == '\r' && q + 1 == len && !eof) return TR_CSV_MORE;
      *next = after_line_end(text, q, len);
      return c == '\r' && *next == q + 1 && *next < len && text[*next] == d->sep ? TR_CSV_ODD : TR_CSV_SKIP;
    } else if (quote && (s == START_FIELD || s == QUOTE_IN_QUOTED)) {
      s = IN_QUOTED;
    } else {
      s = c == d->sep && q > p ? START_FIELD : IN_FIELD; /* a separator that opens the line is text, too */
    }
  }
  return eof ? TR_CSV_SKIP : TR_CSV_MORE;
}

/* ------------------------------------------------------------------ the fast way */

struct masks { /* bytes to look for */
#if defined(__SSE2__)
  __m128i a, b, c, d;
#else
  char a, b, c, d;
#endif
};

static struct masks masks_make(const struct tr_csv_dialect *d) {
  struct masks m;
  char quote = d->has_quote ? d->quote : '\n';
#if defined(__SSE2__)
  m.a = _mm_set1_epi8(d->sep);
  m.b = _mm_set1_epi8('\n');
  m.c = _mm_set1_epi8('\r');
  m.d = _mm_set1_epi8(quote);
#else
  m.a = d->sep, m.b = '\n', m.c = '\r', m.d = quote;
#endif
  return m;
}

/* Bit i: byte i of the 64 at s is one to look for. */
static inline uint64_t specials(const struct masks *m, const char *s) {
  uint64_t r = 0;
#if defined(__SSE2__)
  for (int i = 0; i < 4; i++) {
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(s + 16 * i));
    __m128i x = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, m->a), _mm_cmpeq_epi8(v, m->b)),
                             _mm_or_si128(_mm_cmpeq_epi8(v, m->c), _mm_cmpeq_epi8(v, m->d)));
    r |= (uint64_t)(uint32_t)_mm_movemask_epi8(x) << (16 * i);
  }
#else
  for (int i = 0; i < 64; i++) r |= (uint64_t)(s[i] == m->a || s[i] == m->b || s[i] == m->c || s[i] == m->d) << i;
#endif
  return r;
}

struct finder {
  const char *text;
  uint32_t base;
  uint64_t mask;
  struct masks m;
};

static inline void seek(struct finder *f, uint32_t p) {
  f->base = p;
  f->mask = specials(&f->m, f->text + p);
}

/* The next special byte at or after the last one taken. A '\n' stands behind the text, so there always is one. */
static inline uint32_t next_special(struct finder *f) {
  while (f->mask == 0) {
    f->base += 64;
    f->mask = specials(&f->m, f->text + f->base);
  }
  uint32_t q = f->base + (uint32_t)__builtin_ctzll(f->mask);
  f->mask &= f->mask - 1;
  return q;
}

enum { FAST_SLOW = -1 };

/* A quoted field opens at q. Gives the closing quote when the field is plain, else 0. */
static inline uint32_t close_quote(struct finder *f, const struct tr_csv_cursor *c, char sep, char quote) {
  for (;;) {
    uint32_t z = next_special(f);
    if (z >= c->len) return 0;
    if (f->text[z] != quote) continue;
    char n = f->text[z + 1];
    if (n == sep || n == '\n') return z;
    return n == '\r' && f->text[z + 2] == '\n' && z + 2 < c->len ? z : 0;
  }
}

/* The plain record at p. Gives its number of fields and, in *next, where the next record begins; or FAST_SLOW. */
static inline int record_fast(const struct tr_csv_dialect *d, const struct tr_csv_cursor *c, struct finder *f,
                              uint32_t p, uint32_t *beg, uint32_t *end, uint32_t *next) {
  const char *text = c->text;
  const char sep = d->sep, quote = d->quote;
  const int width = c->width;
  int n = 0;
  uint32_t from = p;
  for (;;) {
    uint32_t q = next_special(f), to = q;
    char ch = text[q];
    if (ch != sep && ch != '\n') {
      if (ch == '\r') {
        if (text[q + 1] != '\n' || q + 1 >= c->len) return FAST_SLOW;
        if (q - f->base < 63) { /* the '\n' is the next special byte */
          f->mask &= f->mask - 1;
        } else {
          seek(f, q + 2);
        }
        ch = '\n';
        *next = q + 2;
      } else { /* a quote */
        if (q != from) continue;
        to = close_quote(f, c, sep, quote);
        if (to == 0) return FAST_SLOW;
        if (n < width) {
          beg[n] = from + 1;
          end[n] = to;
        }
        n++;
        q = next_special(f); /* what follows the closing quote is special */
        ch = text[q];
        from = q + 1;
        if (ch == sep) continue;
        if (ch == '\r') next_special(f);
        *next = ch == '\r' ? q + 2 : q + 1;
        return n;
      }
    } else {
      *next = q + 1;
    }
    if (n < width) {
      beg[n] = from;
      end[n] = to;
    }
    n++;
    if (ch == '\n') return n;
    from = q + 1;
  }
}

int64_t tr_csv_cut(const struct tr_csv_dialect *d, struct tr_csv_cursor *c, int64_t max_rows) {
  struct finder f = {.text = c->text, .m = masks_make(d)};
  const int width = c->width;
  int64_t rows = 0;
  uint32_t limit = c->limit < c->len ? c->limit : c->len;
  c->stopped = TR_CSV_ROW;
  bool fast = !d->slow && c->beg;
  if (fast && c->pos < limit) seek(&f, c->pos);
  uint32_t *beg = c->beg, *end = c->end;
  while (rows < max_rows) {
    if (c->pos >= limit) {
      c->stopped = TR_CSV_END;
      break;
    }
    int n = FAST_SLOW;
    uint32_t next = c->pos;
    if (fast && !d->irregular[(uint8_t)c->text[c->pos]]) n = record_fast(d, c, &f, c->pos, beg, end, &next);
    if (next > c->len && !c->eof) n = FAST_SLOW; /* it was our '\n' that ended it, not the file's */
    if (n == FAST_SLOW) {
      struct tr_csv_record_out out = {beg, end, width, 0, 0};
      enum tr_csv_record r = tr_csv_record_slow(d, c->text, c->pos, c->len, c->eof, &out);
      if (r != TR_CSV_ROW && r != TR_CSV_SKIP) {
        c->stopped = r;
        break;
      }
      if (fast) seek(&f, out.next);
      next = out.next;
      n = r == TR_CSV_SKIP ? -2 : out.n_fields;
    }
    if (n > width && !c->any_width && beg) {
      c->n_fields = n;
      c->stopped = TR_CSV_LONG;
      break;
    }
    c->pos = next < c->len ? next : c->len;
    c->lines++;
    if (n == -2) continue;
    rows++;
    if (beg) {
      for (int i = n; i < width; i++) beg[i] = end[i] = 0;
      beg += width;
      end += width;
    }
  }
  return rows;
}
