/* Cuts the data into chunks that begin at records and counts the rows of each, in parallel.
 *
 * First every chunk is swept for line ends, quotes and bytes that could make a line blank. When nothing but plain lines
 * turns up, the line ends are the answer. Otherwise each chunk is cut by the tokenizer from the first record start that
 * the parity of the quotes before it suggests; then the chain is checked: a chunk must begin where the one before it
 * ended, else it is cut again from there. So the guess only ever costs time.
 */
#include "base/mem.h"
#include "data/format/csv/csv_int.h"
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

struct sweep {
  int64_t lines, quotes;
  bool odd;
};

struct piece {
  int64_t from, to;                /* nominal bytes [from, to) */
  int64_t begin, end, rows, lines; /* records that begin in them; begin -1: none does */
  int64_t quotes;
  bool careful;
};

struct scan {
  struct tr_ctx *ctx;
  const struct tr_csv_file *f;
  const struct tr_csv_dialect *d;
  struct piece *pieces;
  int64_t first; /* piece of item 0 of the running parallel_for */
  int64_t data_begin;
  struct tr_csv_text_buffer *buffers; /* one per thread */
  uint32_t **rows_at;                 /* scratch of the tokenizer, one per thread */
};

enum { SCRATCH_ROWS = 1024 };

static inline bool may_blank(const struct tr_csv_dialect *d, char c) {
  return d->skip_blank && (c == '\n' || c == '\r' || (c != d->sep && (c == ' ' || c == '\t')));
}

static void sweep_scalar(const struct tr_csv_dialect *d, const char *s, int64_t n, struct sweep *w) {
  for (int64_t i = 0; i < n; i++) {
    w->lines += s[i] == '\n';
    w->quotes += d->has_quote && s[i] == d->quote;
    w->odd |= (s[i] == '\n' && may_blank(d, s[i + 1])) || (s[i] == '\r' && s[i + 1] != '\n');
  }
}

#if defined(__SSE2__)
static int64_t sum_bytes(__m128i v) {
  __m128i s = _mm_sad_epu8(v, _mm_setzero_si128());
  return _mm_cvtsi128_si64(s) + _mm_cvtsi128_si64(_mm_unpackhi_epi64(s, s));
}

/* Looks at s[0, n) and, for what follows a line end, at s[n]. */
static void sweep_text(const struct tr_csv_dialect *d, const char *s, int64_t n, struct sweep *w) {
  const __m128i nl = _mm_set1_epi8('\n'), cr = _mm_set1_epi8('\r'), zero = _mm_setzero_si128();
  const __m128i quote = _mm_set1_epi8(d->has_quote ? d->quote : 0);
  const __m128i blank = _mm_set1_epi8(d->sep == ' ' ? '\n' : ' '), tab = _mm_set1_epi8(d->sep == '\t' ? '\n' : '\t');
  const __m128i skip = d->skip_blank ? _mm_cmpeq_epi8(zero, zero) : zero;
  __m128i odd = zero;
  int64_t i = 0;
  while (i + 16 <= n) {
    __m128i lines = zero, quotes = zero;
    for (int k = 0; k < 255 && i + 16 <= n; k++, i += 16) {
      __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(s + i));
      __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(s + i + 1));
      __m128i v_nl = _mm_cmpeq_epi8(v, nl), x_nl = _mm_cmpeq_epi8(x, nl);
      __m128i white = _mm_or_si128(_mm_or_si128(x_nl, _mm_cmpeq_epi8(x, cr)),
                                   _mm_or_si128(_mm_cmpeq_epi8(x, blank), _mm_cmpeq_epi8(x, tab)));
      lines = _mm_sub_epi8(lines, v_nl);
      quotes = _mm_sub_epi8(quotes, _mm_cmpeq_epi8(v, quote));
      odd = _mm_or_si128(odd, _mm_and_si128(_mm_and_si128(v_nl, white), skip));
      odd = _mm_or_si128(odd, _mm_andnot_si128(x_nl, _mm_cmpeq_epi8(v, cr)));
    }
    w->lines += sum_bytes(lines);
    if (d->has_quote) w->quotes += sum_bytes(quotes);
  }
  w->odd |= _mm_movemask_epi8(odd) != 0;
  sweep_scalar(d, s + i, n - i, w);
}
#else
static void sweep_text(const struct tr_csv_dialect *d, const char *s, int64_t n, struct sweep *w) {
  sweep_scalar(d, s, n, w);
}
#endif

/* A record begins in piece p behind each line end in [from - 1, to - 1), and the first piece begins with one. */
static enum tr_status sweep_piece(struct scan *s, int thread, struct piece *p, struct tr_error *err) {
  const bool first = p->from == s->data_begin;
  const int64_t at = first ? p->from : p->from - 1, n = p->to - 1 - at;
  struct tr_csv_text_buffer *b = &s->buffers[thread];
  TR_TRY(tr_csv_buffer_reserve(b, (size_t)(n + 1), err));
  char *text = b->data + TR_CSV_PAD;
  TR_TRY(tr_csv_pread(s->f, at, n + 1, text, err));
  struct sweep w = {0};
  sweep_text(s->d, text, n, &w);
  p->rows = p->lines = w.lines + first;
  p->quotes = w.quotes;
  p->careful = w.odd || w.quotes > 0 || s->d->slow;
  const char *nl = first || n <= 0 ? NULL : memchr(text, '\n', (size_t)n);
  p->begin = first ? at : nl ? at + (nl - text) + 1 : -1;
  return TR_OK;
}

static enum tr_status sweep_pieces(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct scan *s = arg;
  for (int64_t i = begin; i < end; i++) TR_TRY(sweep_piece(s, thread, &s->pieces[s->first + i], err));
  return TR_OK;
}

/* Where the first record of piece p begins, when the text before it leaves a quote open or not. */
static enum tr_status guess_begin(struct scan *s, struct tr_csv_text_buffer *b, struct piece *p, bool in_quote,
                                  struct tr_error *err) {
  if (p->from == s->data_begin) {
    p->begin = p->from;
    return TR_OK;
  }
  const int64_t at = p->from - 1, n = p->to - 1 - at;
  TR_TRY(tr_csv_buffer_reserve(b, (size_t)(n + 1), err));
  char *text = b->data + TR_CSV_PAD;
  TR_TRY(tr_csv_pread(s->f, at, n + 1, text, err));
  p->begin = -1;
  for (int64_t i = 0; i < n; i++) {
    if (s->d->has_quote && text[i] == s->d->quote) in_quote = !in_quote;
    if (!in_quote && (text[i] == '\n' || (text[i] == '\r' && text[i + 1] != '\n'))) {
      p->begin = at + i + 1;
      return TR_OK;
    }
  }
  return TR_OK;
}

/* Cuts the records of p that begin in [p->begin, p->to). Reads on behind p->to until the last one is complete. */
static enum tr_status cut_piece(struct scan *s, int thread, struct piece *p, struct tr_error *err) {
  struct tr_csv_text_buffer *b = &s->buffers[thread];
  int64_t at = p->begin, tail = 4096;
  p->rows = p->lines = 0;
  while (at < p->to) {
    TR_TRY(tr_ctx_check(s->ctx));
    int64_t stop = p->to + tail < s->f->size ? p->to + tail : s->f->size, n = stop - at;
    if (n > INT32_MAX) return tr_unsupported(err, "read_csv: a record of more than 2 GiB");
    TR_TRY(tr_csv_buffer_reserve(b, (size_t)n, err));
    char *text = b->data + TR_CSV_PAD;
    TR_TRY(tr_csv_pread(s->f, at, n, text, err));
    text[n] = '\n';
    struct tr_csv_cursor c = {.text = text,
                              .len = (uint32_t)n,
                              .limit = (uint32_t)(p->to - at),
                              .eof = stop == s->f->size,
                              .width = 1,
                              .any_width = true,
                              .beg = s->rows_at[thread],
                              .end = s->rows_at[thread] + SCRATCH_ROWS};
    do p->rows += tr_csv_cut(s->d, &c, SCRATCH_ROWS);
    while (c.stopped == TR_CSV_ROW);
    p->lines += c.lines;
    at += c.pos;
    if (c.stopped == TR_CSV_MORE) {
      tail *= 4;
      continue;
    }
    if (c.stopped != TR_CSV_END) { /* a row that parse.c will refuse, if it is wanted */
      p->rows++;
      p->lines++;
      at = s->f->size;
    }
    break;
  }
  p->end = at;
  return TR_OK;
}

static enum tr_status cut_pieces(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct scan *s = arg;
  for (int64_t i = begin; i < end; i++) {
    struct piece *p = &s->pieces[s->first + i];
    TR_TRY(guess_begin(s, &s->buffers[thread], p, p->careful, err));
    if (p->begin >= 0) TR_TRY(cut_piece(s, thread, p, err));
  }
  return TR_OK;
}

/* Settles pieces [lo, hi) one after the other; `at`: where the record after piece lo - 1 begins. */
static enum tr_status chain(struct scan *s, int64_t lo, int64_t hi, bool cut, int64_t *at, struct tr_error *err) {
  for (int64_t i = lo; i < hi; i++) {
    struct piece *p = &s->pieces[i];
    if (!cut) continue; /* close_plain sets the ends */
    if (*at >= p->to) {
      p->begin = p->end = *at;
      p->rows = p->lines = 0;
      continue;
    }
    if (p->begin != *at) {
      p->begin = *at;
      TR_TRY(cut_piece(s, 0, p, err));
    }
    *at = p->end;
  }
  return TR_OK;
}

/* Sweeps and, where needed, cuts pieces [lo, hi). *cut: once a window needed cutting, all later ones do. */
static enum tr_status scan_window(struct scan *s, int64_t lo, int64_t hi, int64_t *quotes, bool *cut, int64_t *at,
                                  struct tr_error *err) {
  s->first = lo;
  TR_TRY(tr_parallel_for(s->ctx, hi - lo, 1, sweep_pieces, s, err));
  for (int64_t i = lo; i < hi; i++) *cut |= s->pieces[i].careful;
  if (*cut) {
    for (int64_t i = lo; i < hi; i++) {
      s->pieces[i].careful = *quotes & 1; /* from here on: a quote is open before it */
      *quotes += s->pieces[i].quotes;
    }
    TR_TRY(tr_parallel_for(s->ctx, hi - lo, 1, cut_pieces, s, err));
  }
  return chain(s, lo, hi, *cut, at, err);
}

/* Windows of pieces until n_rows rows are found (all when n_rows < 0). Gives the number of pieces looked at. */
static enum tr_status scan_all(struct scan *s, int64_t n_pieces, int64_t n_rows, int64_t *n_done,
                               struct tr_error *err) {
  int64_t window = n_rows < 0 ? n_pieces : 4, rows = 0, quotes = 0, at = s->data_begin, lo = 0;
  bool cut = false;
  while (lo < n_pieces && (n_rows < 0 || rows <= n_rows)) {
    int64_t hi = lo + window < n_pieces ? lo + window : n_pieces;
    const bool was_cut = cut;
    TR_TRY(scan_window(s, lo, hi, &quotes, &cut, &at, err));
    if (cut && !was_cut &&
        lo > 0) { /* the plain windows before this one left their last end open: once more, cutting */
      lo = rows = quotes = 0;
      at = s->data_begin;
      continue;
    }
    for (int64_t i = lo; i < hi; i++) rows += s->pieces[i].rows;
    lo = hi;
    window *= 2;
  }
  *n_done = lo;
  return TR_OK;
}

static enum tr_status put_chunks(struct scan *s, int64_t n_pieces, int64_t first_line, struct tr_csv_scan *out,
                                 struct tr_error *err) {
  void *p;
  TR_TRY(tr_mem_alloc((size_t)(n_pieces + 1) * sizeof *out->chunks, &p, err));
  out->chunks = p;
  out->capacity = n_pieces + 1;
  int64_t row = 0, line = first_line;
  for (int64_t i = 0; i < n_pieces; i++) {
    const struct piece *c = &s->pieces[i];
    if (c->rows == 0 && c->lines == 0) continue;
    out->chunks[out->n++] = (struct tr_csv_chunk){c->begin, c->end, row, line};
    row += c->rows;
    line += c->lines;
  }
  out->chunks[out->n] = (struct tr_csv_chunk){s->f->size, s->f->size, row, line};
  out->n_rows = row;
  return TR_OK;
}

/* In plain windows a piece ends where the next one with a record begins. */
static void close_plain(struct scan *s, int64_t n_pieces) {
  int64_t next = n_pieces < 1 ? 0 : s->pieces[n_pieces - 1].to;
  for (int64_t i = n_pieces - 1; i >= 0; i--) {
    struct piece *p = &s->pieces[i];
    if (p->rows > 0 && p->end < p->begin) p->end = next;
    if (p->rows > 0) next = p->begin;
  }
}

enum tr_status tr_csv_scan(struct tr_ctx *ctx, const struct tr_csv_file *f, const struct tr_csv_dialect *d,
                           const struct tr_csv_head *h, int64_t n_rows, int64_t chunk_bytes, struct tr_csv_scan *out,
                           struct tr_error *err) {
  *out = (struct tr_csv_scan){0};
  const int64_t bytes = f->size - h->data_begin, n = bytes <= 0 ? 0 : (bytes + chunk_bytes - 1) / chunk_bytes;
  const int threads = ctx->threads;
  void *pieces = NULL, *buffers = NULL, *rows_at = NULL, *scratch = NULL;
  int64_t n_done = 0;
  enum tr_status st = TR_OK;
  struct scan s = {.ctx = ctx, .f = f, .d = d, .data_begin = h->data_begin};
  TR_GOTO(st, tr_mem_calloc((size_t)n * sizeof(struct piece), &pieces, err));
  TR_GOTO(st, tr_mem_calloc((size_t)threads * sizeof *s.buffers, &buffers, err));
  TR_GOTO(st, tr_mem_calloc((size_t)threads * sizeof *s.rows_at, &rows_at, err));
  TR_GOTO(st, tr_mem_alloc((size_t)threads * 2 * SCRATCH_ROWS * sizeof(uint32_t), &scratch, err));
  s.pieces = pieces;
  s.buffers = buffers;
  s.rows_at = rows_at;
  for (int i = 0; i < threads; i++) s.rows_at[i] = (uint32_t *)scratch + (size_t)i * 2 * SCRATCH_ROWS;
  for (int64_t i = 0; i < n; i++) {
    s.pieces[i].from = h->data_begin + i * chunk_bytes;
    s.pieces[i].to = i + 1 < n ? s.pieces[i].from + chunk_bytes : f->size;
    s.pieces[i].end = -1;
  }
  TR_GOTO(st, scan_all(&s, n, n_rows, &n_done, err));
  close_plain(&s, n_done);
  TR_GOTO(st, put_chunks(&s, n_done, h->lines, out, err));
done:
  for (int i = 0; s.buffers && i < threads; i++) tr_csv_buffer_drop(&s.buffers[i]);
  tr_mem_free(buffers, (size_t)threads * sizeof *s.buffers);
  tr_mem_free(rows_at, (size_t)threads * sizeof *s.rows_at);
  tr_mem_free(scratch, (size_t)threads * 2 * SCRATCH_ROWS * sizeof(uint32_t));
  tr_mem_free(pieces, (size_t)n * sizeof(struct piece));
  return st;
}

void tr_csv_scan_drop(struct tr_csv_scan *s) {
  tr_mem_free(s->chunks, (size_t)s->capacity * sizeof *s->chunks);
  s->chunks = NULL;
}
