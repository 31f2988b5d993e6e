/* Text from text. Over a dictionary the operation runs once per value and the result is made distinct again; plain text
 * is cut out of the heaps it lies in where possible (strip, slice, get share the input's heaps), else written anew. All
 * positions and widths are in code points; case and classes are pyarrow's (unicode.c). */
#include "data/kern/expr/text/out_int.h"
#include "data/kern/expr/text/unicode_int.h"

struct make {
  const struct tr_expr *e;
  struct tr_array *x; /* plain */
  struct tr_text_out out;
  struct tr_array *cut; /* result of a cutting operation */
  size_t n_text, n_text2;
};

/* ---- operations that cut ---- */

static bool in_set(int32_t cp, const char *set) {
  if (!set) return tr_cp_is_space(cp);
  int32_t other;
  while (*set) {
    set += tr_utf8_decode(set, &other);
    if (other == cp) return true;
  }
  return false;
}

static void strip(const struct tr_expr *e, const char **s, int64_t *n) {
  int32_t cp;
  if (e->op != TR_OP_STR_RSTRIP)
    while (*n > 0) {
      int k = tr_utf8_decode(*s, &cp);
      if (!in_set(cp, e->text)) break;
      *s += k, *n -= k;
    }
  if (e->op != TR_OP_STR_LSTRIP)
    while (*n > 0) {
      int k = 1;
      while (((unsigned char)(*s)[*n - k] & 0xc0) == 0x80) k++;
      tr_utf8_decode(*s + *n - k, &cp);
      if (!in_set(cp, e->text)) break;
      *n -= k;
    }
}

/* Byte position of code point `at`, the end if there are fewer. */
static inline int64_t byte_of(const char *s, int64_t n, int64_t at) {
  int64_t i = 0;
  if (at >= n) return n; /* every code point has a byte */
  if (tr_utf8_is_ascii(s, at + 1)) return at;
  for (; i < n && at > 0; at--) {
    i++;
    while (i < n && ((unsigned char)s[i] & 0xc0) == 0x80) i++;
  }
  return i;
}

/* Python's slice.indices for a step of 1. */
static void slice(const struct tr_expr *e, const char **s, int64_t *n) {
  if (e->params[0] >= 0 && e->params[1] >= 0) { /* from the front: no need to know the length */
    int64_t from = byte_of(*s, *n, e->params[0]), most = e->params[1] - e->params[0];
    *s += from;
    *n = byte_of(*s, *n - from, most > 0 ? most : 0);
    return;
  }
  int64_t len = tr_utf8_count(*s, *n), start = e->params[0] == INT64_MIN ? 0 : e->params[0];
  int64_t stop = e->params[1] == INT64_MIN ? len : e->params[1];
  if (start < 0) start = start + len < 0 ? 0 : start + len;
  if (stop < 0) stop = stop + len < 0 ? 0 : stop + len;
  if (start > len) start = len;
  if (stop > len) stop = len;
  if (stop < start) stop = start;
  int64_t from = len == *n ? start : byte_of(*s, *n, start), to = len == *n ? stop : byte_of(*s, *n, stop);
  *s += from;
  *n = to - from;
}

/* False: out of range, missing. */
static bool get(const struct tr_expr *e, const char **s, int64_t *n) {
  int64_t len = tr_utf8_count(*s, *n), at = e->params[0];
  if (at < 0) at += len;
  if (at < 0 || at >= len) return false;
  int64_t from = byte_of(*s, *n, at);
  *n = byte_of(*s + from, *n - from, 1);
  *s += from;
  return true;
}

static enum tr_status cut_morsel(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread, (void)err;
  const struct make *m = arg;
  const struct tr_view *v = tr_array_views(m->x);
  struct tr_view *out = tr_array_data(m->cut);
  for (int64_t i = begin; i < end; i++) {
    out[i] = tr_view_null();
    if (v[i].size < 0) continue;
    const char *whole = tr_view_bytes(m->x, &v[i]), *s = whole;
    int64_t n = v[i].size;
    bool there = true;
    if (m->e->op == TR_OP_STR_SLICE) slice(m->e, &s, &n);
    else if (m->e->op == TR_OP_STR_GET) there = get(m->e, &s, &n);
    else strip(m->e, &s, &n);
    bool inlined = v[i].size <= TR_VIEW_INLINE;
    if (there)
      out[i] = tr_view_make(s, (int32_t)n, inlined ? 0 : v[i].heap, inlined ? 0 : v[i].offset + (int32_t)(s - whole));
  }
  return TR_OK;
}

static bool cuts(const struct tr_expr *e) {
  bool strips = e->op == TR_OP_STR_STRIP || e->op == TR_OP_STR_LSTRIP || e->op == TR_OP_STR_RSTRIP;
  return strips || e->op == TR_OP_STR_GET ||
         (e->op == TR_OP_STR_SLICE && (e->params[2] == INT64_MIN || e->params[2] == 1));
}

/* ---- operations that write; each gives the bytes written, -1 = left to pandas ---- */

/* Upper or lower case of 8 ASCII bytes at once. */
static inline uint64_t case_8(uint64_t w, bool upper) {
  const uint64_t ones = 0x0101010101010101u, low = upper ? 'a' : 'A', high = low + 25;
  const uint64_t ge = (w + (128 - low) * ones), gt = (w + (127 - high) * ones); /* bit 7: >= low, > high */
  return w ^ ((ge & ~gt & 0x80 * ones) >> 2);
}

/* Case of an inlined ASCII view without touching memory; false when it is not one. */
static inline bool case_inline(int op, const struct tr_view *v, struct tr_view *out) {
  uint64_t w[2];
  memcpy(w, v, 16);
  if (v->size > TR_VIEW_INLINE || (w[1] & 0x8080808080808080u) || (w[0] >> 32 & 0x80808080u)) return false;
  const uint64_t size = (uint32_t)w[0];
  w[0] = size | case_8(w[0] >> 32, op == TR_OP_STR_UPPER) << 32;
  w[1] = case_8(w[1], op == TR_OP_STR_UPPER);
  memcpy(out, w, 16);
  return true;
}

static int64_t upper_or_lower_ascii(bool upper, const char *restrict s, int64_t n, char *restrict to) {
  const char low = upper ? 'a' : 'A';
  for (int64_t i = 0; i < n; i++) to[i] = (char)(s[i] ^ (((unsigned char)(s[i] - low) < 26) << 5));
  return n;
}

static int64_t change_case_ascii(int op, const char *s, int64_t n, char *to) {
  bool after = false; /* the previous character is a letter */
  if (op == TR_OP_STR_UPPER || op == TR_OP_STR_LOWER) return upper_or_lower_ascii(op == TR_OP_STR_UPPER, s, n, to);
  for (int64_t i = 0; i < n; i++) {
    const char c = s[i];
    const bool lower = c >= 'a' && c <= 'z', upper = c >= 'A' && c <= 'Z';
    const bool up =
        op == TR_OP_STR_UPPER || (op == TR_OP_STR_TITLE && !after) || (op == TR_OP_STR_CAPITALIZE && i == 0);
    to[i] = (char)(up && lower ? c - 32 : !up && upper ? c + 32 : c);
    after = lower || upper;
  }
  return n;
}

static int64_t change_case(int op, const char *s, int64_t n, char *to) {
  if (tr_utf8_is_ascii(s, n)) return change_case_ascii(op, s, n, to);
  int64_t used = 0;
  bool after = false;
  for (int64_t i = 0; i < n;) {
    int32_t cp;
    bool first = i == 0;
    i += tr_utf8_decode(s + i, &cp);
    if (tr_cp_unknown(cp)) return -1;
    bool up = op == TR_OP_STR_UPPER || (op == TR_OP_STR_TITLE && !after) || (op == TR_OP_STR_CAPITALIZE && first);
    used += tr_utf8_encode(up ? tr_cp_upper(cp) : tr_cp_lower(cp), to + used);
    after = tr_cp_is_cased(cp);
  }
  return used;
}

static int64_t replace(const struct make *m, const char *s, int64_t n, char *to) {
  const char *end = s + n, *at;
  char *o = to;
  for (int64_t left = m->e->params[0] < 0 ? INT64_MAX : m->e->params[0]; left > 0; left--) {
    if (!(at = tr_text_find(s, end - s, m->e->text, (int64_t)m->n_text))) break;
    memcpy(o, s, (size_t)(at - s));
    o += at - s;
    memcpy(o, m->e->text2, m->n_text2);
    o += m->n_text2;
    s = at + m->n_text;
  }
  memcpy(o, s, (size_t)(end - s));
  return o + (end - s) - to;
}

static char *fill(char *o, const char *what, size_t n, int64_t times) {
  for (int64_t i = 0; i < times; i++, o += n) memcpy(o, what, n);
  return o;
}

static int64_t pad(const struct make *m, const char *s, int64_t n, char *to) {
  const struct tr_expr *e = m->e;
  int64_t width = e->params[0], missing = width - tr_utf8_count(s, n), left = 0;
  char *o = to;
  if (missing < 0) missing = 0;
  if (e->op == TR_OP_STR_ZFILL) {
    if (n > 0 && missing > 0 && (*s == '+' || *s == '-')) *o++ = *s++, n--;
    o = fill(o, "0", 1, missing);
  } else {
    left = e->params[1] == 0 ? missing : e->params[1] == 1 ? 0 : missing / 2 + (missing & width & 1);
    o = fill(o, e->text ? e->text : " ", e->text ? m->n_text : 1, left);
  }
  memcpy(o, s, (size_t)n);
  o += n;
  if (e->op == TR_OP_STR_PAD) o = fill(o, e->text ? e->text : " ", e->text ? m->n_text : 1, missing - left);
  return o - to;
}

/* slice with a step other than 1, as Python does it */
static int64_t slice_step(const struct tr_expr *e, const char *s, int64_t n, char *to) {
  int64_t len = tr_utf8_count(s, n), step = e->params[2], used = 0;
  int64_t low = step < 0 ? -1 : 0, high = step < 0 ? len - 1 : len;
  int64_t start = e->params[0], stop = e->params[1];
  if (start == INT64_MIN) start = step < 0 ? high : low;
  else if (start < 0) start = start + len < low ? low : start + len;
  else if (start > high) start = high;
  if (stop == INT64_MIN) stop = step < 0 ? low : high;
  else if (stop < 0) stop = stop + len < low ? low : stop + len;
  else if (stop > high) stop = high;
  for (int64_t at = start; step > 0 ? at < stop : at > stop; at += step) {
    int64_t from = byte_of(s, n, at), size = byte_of(s + from, n - from, 1);
    memcpy(to + used, s + from, (size_t)size);
    used += size;
  }
  return used;
}

/* Most bytes the operation may write. */
static int64_t bound(const struct make *m, int64_t n) {
  const struct tr_expr *e = m->e;
  switch (e->op) {
  case TR_OP_STR_REPLACE:
    return n + (m->n_text2 > m->n_text ? n / (int64_t)m->n_text * (int64_t)(m->n_text2 - m->n_text) : 0);
  case TR_OP_STR_REPEAT:
    return e->params[0] > 0 && n > INT32_MAX / e->params[0] ? INT64_MAX / 2 : n * (e->params[0] < 0 ? 0 : e->params[0]);
  case TR_OP_STR_ZFILL:
  case TR_OP_STR_PAD: return n + (e->params[0] > 0 ? e->params[0] : 0) * 4;
  case TR_OP_STR_SLICE: return n;
  default: return n * 3;
  }
}

static int64_t write_one(const struct make *m, const char *s, int64_t n, char *to) {
  switch (m->e->op) {
  case TR_OP_STR_REPLACE: return replace(m, s, n, to);
  case TR_OP_STR_REPEAT: return fill(to, s, (size_t)n, m->e->params[0]) - to;
  case TR_OP_STR_ZFILL:
  case TR_OP_STR_PAD: return pad(m, s, n, to);
  case TR_OP_STR_SLICE: return slice_step(m->e, s, n, to);
  default: return change_case(m->e->op, s, n, to);
  }
}

static enum tr_status write_morsel(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct make *m = arg;
  const struct tr_view *v = tr_array_views(m->x);
  struct tr_view *out = tr_array_data(m->out.array);
  const int op = m->e->op;
  const bool simple_case = op == TR_OP_STR_UPPER || op == TR_OP_STR_LOWER;
  for (int64_t i = begin; i < end; i++) {
    if (simple_case && v[i].size >= 0 && case_inline(op, &v[i], &out[i])) continue;
    if (v[i].size < 0) {
      tr_text_out_null(&m->out, i);
      continue;
    }
    char *room;
    TR_TRY(tr_text_out_room(&m->out, thread, bound(m, v[i].size), &room, err));
    int64_t used = write_one(m, tr_view_bytes(m->x, &v[i]), v[i].size, room);
    if (used < 0)
      return tr_unsupported(err, "%s: a character newer than the engine's tables",
                            tr_expr_op_name((enum tr_expr_op)m->e->op));
    tr_text_out_put(&m->out, thread, i, room, used);
  }
  return TR_OK;
}

static enum tr_status check_params(const struct tr_expr *e, struct tr_error *err) {
  bool pads = e->op == TR_OP_STR_PAD || e->op == TR_OP_STR_ZFILL;
  bool bad = (pads && (e->params[0] > 1 << 24 ||
                       (e->op == TR_OP_STR_PAD && e->text && tr_utf8_count(e->text, (int64_t)strlen(e->text)) != 1))) ||
             (e->op == TR_OP_STR_REPEAT && e->params[0] < 0) || (e->op == TR_OP_STR_REPLACE && e->params[0] == 0);
  return bad ? tr_unsupported(err, "%s with these parameters", tr_expr_op_name((enum tr_expr_op)e->op)) : TR_OK;
}

static enum tr_status make_plain(struct tr_ctx *ctx, const struct tr_expr *e, struct tr_array *x, struct tr_array **out,
                                 struct tr_error *err) {
  struct make m = {.e = e, .x = x, .n_text = e->text ? strlen(e->text) : 0, .n_text2 = e->text2 ? strlen(e->text2) : 0};
  enum tr_status st;
  *out = NULL;
  TR_TRY(check_params(e, err));
  if (cuts(e)) {
    TR_TRY(tr_array_new(tr_dtype_of(TR_STR), x->length, &m.cut, err));
    st = tr_array_share_heaps(m.cut, x, err);
    if (st == TR_OK) st = tr_parallel_for(ctx, x->length, tr_grain(ctx), cut_morsel, &m, err);
  } else {
    TR_TRY(tr_text_out_init(ctx, &m.out, x->length, err));
    st = tr_parallel_for(ctx, x->length, tr_grain(ctx), write_morsel, &m, err);
    m.cut = m.out.array;
    tr_text_out_drop(&m.out);
  }
  if (st == TR_OK) *out = m.cut;
  else tr_array_unref(m.cut);
  return st;
}

struct codes {
  const int32_t *from, *table;
  int32_t *to;
};

static enum tr_status recode_morsel(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread, (void)err;
  const struct codes *c = arg;
  for (int64_t i = begin; i < end; i++) c->to[i] = c->from[i] < 0 ? -1 : c->table[c->from[i]];
  return TR_OK;
}

enum tr_status tr_text_redistinct(struct tr_ctx *ctx, const int32_t *codes, int64_t n, struct tr_array *values,
                                  struct tr_array **out, struct tr_error *err) {
  struct tr_array *table = NULL;
  *out = NULL;
  TR_TRY(tr_array_encode(ctx, values, INT32_MAX, &table, err));
  enum tr_status st =
      table ? tr_array_new_dict(tr_dtype_of(TR_STR), n, table->dict, out, err) : tr_unsupported(err, "too many texts");
  if (st == TR_OK) {
    struct codes c = {.from = codes, .table = tr_array_codes(table), .to = tr_array_data(*out)};
    st = tr_parallel_for(ctx, n, tr_grain(ctx), recode_morsel, &c, err);
    if (st != TR_OK) {
      tr_array_unref(*out);
      *out = NULL;
    }
  }
  tr_array_unref(table);
  return st;
}

enum tr_status tr_whole_text(struct tr_ctx *ctx, const struct tr_expr *e, struct tr_array *x, struct tr_array **out,
                             struct tr_error *err) {
  struct tr_array *values = NULL;
  enum tr_status st;
  if (x->enc == TR_PLAIN) return make_plain(ctx, e, x, out, err);
  if (x->dict->length > x->length + 64) {
    TR_TRY(tr_array_decode(ctx, x, &values, err));
    st = make_plain(ctx, e, values, out, err);
  } else {
    TR_TRY(make_plain(ctx, e, x->dict, &values, err));
    st = tr_text_redistinct(ctx, tr_array_codes(x), x->length, values, out, err);
  }
  tr_array_unref(values);
  return st;
}
