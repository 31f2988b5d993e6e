/* Kernels over plain text (views): comparison, missing values, lengths, searching, classes, and parsing numbers.
 * Bytewise order of UTF-8 is code point order, so comparisons never decode. Positions and lengths are in code points.
 */
#include "base/float_text.h"
#include "data/kern/expr/eval_int.h"
#include "data/kern/expr/text/unicode_int.h"
#include "data/kern/expr/text_int.h"
#include <string.h>

struct text {
  const char *s;
  int64_t n;
  bool null;
};

static inline struct text text_at(const struct tr_operand *o, int64_t begin, int64_t i) {
  struct text t = {0};
  if (o->is_const) {
    t.null = o->lit->is_null;
    if (!t.null) t.s = o->lit->s.ptr, t.n = o->lit->s.len;
    return t;
  }
  const struct tr_view *v = tr_array_views(o->text) + begin + i;
  t.null = v->size < 0;
  if (!t.null) t.s = tr_view_bytes(o->text, v), t.n = v->size;
  return t;
}

static inline int order(struct text a, struct text b) {
  int r = memcmp(a.s, b.s, (size_t)(a.n < b.n ? a.n : b.n));
  return r ? r : (a.n > b.n) - (a.n < b.n);
}

static void text_compare(struct tr_call *c) {
  uint8_t *out = c->out;
  const int op = c->e->op;
  for (int64_t i = 0; i < c->n; i++) {
    struct text a = text_at(&c->in[0], c->begin, i), b = text_at(&c->in[1], c->begin, i);
    if (a.null || b.null) {
      out[i] = op == TR_OP_NE;
      continue;
    }
    int r = order(a, b);
    out[i] = op == TR_OP_LT ? r < 0 : op == TR_OP_LE ? r <= 0 : op == TR_OP_GT ? r > 0 : r >= 0;
  }
}

/* Equality with a literal: size and prefix decide almost always. */
static void text_equal_literal(struct tr_call *c, const struct tr_operand *column, const struct tr_scalar *lit) {
  uint8_t *restrict out = c->out;
  const uint8_t hit = c->e->op == TR_OP_EQ, miss = !hit;
  const struct tr_view *restrict v = tr_array_views(column->text) + c->begin;
  if (lit->is_null || lit->s.len > INT32_MAX) {
    memset(out, miss, (size_t)c->n);
    return;
  }
  struct tr_view want = tr_view_make(lit->s.ptr, (int32_t)lit->s.len, 0, 0);
  uint64_t w[2], x[2];
  memcpy(w, &want, 16);
  const bool inlined = lit->s.len <= TR_VIEW_INLINE;
  for (int64_t i = 0; i < c->n; i++) {
    memcpy(x, &v[i], 16);
    bool eq =
        x[0] == w[0] &&
        (inlined ? x[1] == w[1] : memcmp(tr_view_bytes(column->text, &v[i]), lit->s.ptr, (size_t)lit->s.len) == 0);
    out[i] = eq ? hit : miss;
  }
}

static void text_equal(struct tr_call *c) {
  if (c->in[1].is_const) {
    text_equal_literal(c, &c->in[0], c->in[1].lit);
    return;
  }
  if (c->in[0].is_const) {
    text_equal_literal(c, &c->in[1], c->in[0].lit);
    return;
  }
  uint8_t *out = c->out;
  const uint8_t hit = c->e->op == TR_OP_EQ;
  const struct tr_view *x = tr_array_views(c->in[0].text) + c->begin, *y = tr_array_views(c->in[1].text) + c->begin;
  for (int64_t i = 0; i < c->n; i++) {
    bool eq = x[i].size >= 0 && tr_view_eq(c->in[0].text, &x[i], c->in[1].text, &y[i]);
    out[i] = eq ? hit : !hit;
  }
}

static void text_isna(struct tr_call *c) {
  uint8_t *restrict out = c->out;
  const struct tr_view *v = tr_array_views(c->in[0].text) + c->begin;
  const bool want = c->e->op == TR_OP_ISNA;
  for (int64_t i = 0; i < c->n; i++) out[i] = (v[i].size < 0) == want;
}

static int64_t find(struct text t, const char *needle, size_t m) {
  const char *at = tr_text_find(t.s, t.n, needle, (int64_t)m);
  return at ? tr_utf8_count(t.s, at - t.s) : -1;
}

static int64_t count(struct text t, const char *needle, size_t m) {
  if (m == 0) return tr_utf8_count(t.s, t.n) + 1;
  int64_t k = 0;
  const char *s = t.s, *end = t.s + t.n;
  while ((s = tr_text_find(s, end - s, needle, (int64_t)m))) {
    k++;
    s += m;
  }
  return k;
}

/* Code points of an inlined view: its size less the continuation bytes, which zero padding has none of. */
static inline int64_t inline_length(const struct tr_view *v) {
  uint64_t w[2], k = 0;
  memcpy(w, v, 16);
  w[0] >>= 32;
  for (int i = 0; i < 2; i++) k += ((w[i] >> 7 & ~(w[i] >> 6) & 0x0101010101010101u) * 0x0101010101010101u) >> 56;
  return v->size - (int64_t)k;
}

/* int64, marked where missing. */
static void text_length(struct tr_call *c) {
  int64_t *out = c->out;
  const struct tr_view *v = tr_array_views(c->in[0].text) + c->begin;
  for (int64_t i = 0; i < c->n; i++) {
    if (v[i].size > TR_VIEW_INLINE) {
      out[i] = tr_utf8_count(tr_view_bytes(c->in[0].text, &v[i]), v[i].size);
    } else if (v[i].size >= 0) {
      out[i] = inline_length(&v[i]);
    } else {
      out[i] = INT64_MIN;
      c->saw |= TR_SAW_NULL;
    }
  }
}

/* STR_FIND, STR_COUNT: int64, marked where missing. */
static void text_numbers(struct tr_call *c) {
  int64_t *out = c->out;
  const int op = c->e->op;
  const char *needle = c->e->text;
  const size_t m = needle ? strlen(needle) : 0;
  for (int64_t i = 0; i < c->n; i++) {
    struct text t = text_at(&c->in[0], c->begin, i);
    if (t.null) {
      c->saw |= TR_SAW_NULL;
      out[i] = INT64_MIN;
    } else {
      out[i] = op == TR_OP_STR_FIND ? find(t, needle, m) : count(t, needle, m);
    }
  }
}

static bool all_of(struct tr_call *c, struct text t, bool (*is)(int32_t)) {
  int32_t cp;
  bool all = t.n > 0;
  for (int64_t i = 0; i < t.n;) {
    i += tr_utf8_decode(t.s + i, &cp);
    if (tr_cp_unknown(cp)) c->saw |= TR_SAW_REFUSE;
    all = all && is(cp);
  }
  return all;
}

/* STR_CONTAINS (literal), STARTSWITH, ENDSWITH, ISDIGIT, ISALPHA: missing gives False. */
static void text_tests(struct tr_call *c) {
  uint8_t *out = c->out;
  const int op = c->e->op;
  const char *needle = c->e->text ? c->e->text : "";
  const int64_t m = (int64_t)strlen(needle);
  for (int64_t i = 0; i < c->n; i++) {
    struct text t = text_at(&c->in[0], c->begin, i);
    if (t.null) out[i] = 0;
    else if (op == TR_OP_STR_CONTAINS) out[i] = m <= t.n && tr_text_find(t.s, t.n, needle, m) != NULL;
    else if (op == TR_OP_STR_STARTSWITH) out[i] = m <= t.n && memcmp(t.s, needle, (size_t)m) == 0;
    else if (op == TR_OP_STR_ENDSWITH) out[i] = m <= t.n && memcmp(t.s + t.n - m, needle, (size_t)m) == 0;
    else out[i] = all_of(c, t, op == TR_OP_STR_ISDIGIT ? tr_cp_is_digit : tr_cp_is_alpha);
  }
}

/* Python's float(): surrounding ASCII space is allowed here, anything else odd (underscores, other digits) is pandas'.
 */
static struct text trimmed(struct text t) {
  while (t.n && (t.s[0] == ' ' || (t.s[0] >= '\t' && t.s[0] <= '\r'))) t.s++, t.n--;
  while (t.n && (t.s[t.n - 1] == ' ' || (t.s[t.n - 1] >= '\t' && t.s[t.n - 1] <= '\r'))) t.n--;
  return t;
}

static void text_to_float(struct tr_call *c) {
  double *out = c->out;
  for (int64_t i = 0; i < c->n; i++) {
    struct text t = text_at(&c->in[0], c->begin, i);
    out[i] = __builtin_nan("");
    if (t.null) continue;
    t = trimmed(t);
    if (!tr_float_parse(t.s, t.n, &out[i])) c->saw |= TR_SAW_BAD_TEXT;
  }
}

static bool parse_int(struct text t, int64_t *v) {
  t = trimmed(t);
  bool neg = t.n && t.s[0] == '-';
  if (t.n && (t.s[0] == '-' || t.s[0] == '+')) t.s++, t.n--;
  if (t.n == 0 || t.n > 18) return false;
  int64_t x = 0;
  for (int64_t i = 0; i < t.n; i++) {
    if (t.s[i] < '0' || t.s[i] > '9') return false;
    x = x * 10 + (t.s[i] - '0');
  }
  *v = neg ? -x : x;
  return true;
}

static void text_to_int(struct tr_call *c) {
  const int k = c->e->dtype.kind, bits = 8 * tr_dtype_width(c->e->dtype);
  const int64_t low = !tr_kind_is_signed(k) ? 0 : INT64_MIN >> (64 - bits);
  const int64_t high = bits == 64             ? INT64_MAX
                       : tr_kind_is_signed(k) ? INT64_MAX >> (64 - bits)
                                              : ((int64_t)1 << bits) - 1;
  for (int64_t i = 0; i < c->n; i++) {
    struct text t = text_at(&c->in[0], c->begin, i);
    int64_t v = 0;
    if (t.null || !parse_int(t, &v) || v < low || v > high) {
      c->saw |= TR_SAW_BAD_TEXT;
      v = 0;
    }
    memcpy((char *)c->out + i * (bits / 8), &v, (size_t)bits / 8);
  }
}

static tr_kernel text_kernel(const struct tr_expr *e) {
  switch (e->op) {
  case TR_OP_EQ:
  case TR_OP_NE: return text_equal;
  case TR_OP_LT:
  case TR_OP_LE:
  case TR_OP_GT:
  case TR_OP_GE: return text_compare;
  case TR_OP_ISNA:
  case TR_OP_NOTNA: return text_isna;
  case TR_OP_ISIN: return e->args[0]->dtype.kind == TR_STR ? tr_kern_isin_text : tr_kern_isin_number(e->args[0]->dtype);
  case TR_OP_STR_LEN: return text_length;
  case TR_OP_STR_FIND:
  case TR_OP_STR_COUNT: return text_numbers;
  case TR_OP_STR_CONTAINS: return e->params[0] ? tr_kern_regex : text_tests;
  case TR_OP_STR_STARTSWITH:
  case TR_OP_STR_ENDSWITH:
  case TR_OP_STR_ISDIGIT:
  case TR_OP_STR_ISALPHA: return text_tests;
  case TR_OP_CAST: return e->dtype.kind == TR_F64 ? text_to_float : tr_kind_is_int(e->dtype.kind) ? text_to_int : NULL;
  default: return NULL;
  }
}

bool tr_lower_text(const struct tr_expr *e, struct tr_lower *lo) {
  lo->kernel = text_kernel(e);
  lo->out_rep = tr_rep_of(e->dtype);
  lo->marks_null = e->op == TR_OP_STR_LEN || e->op == TR_OP_STR_FIND || e->op == TR_OP_STR_COUNT;
  return lo->kernel != NULL;
}

enum tr_status tr_text_state(struct tr_ctx *ctx, const struct tr_expr *e, void **state, struct tr_error *err) {
  *state = NULL;
  if (e->op == TR_OP_ISIN) return tr_isin_state(ctx, e, state, err);
  if (e->op == TR_OP_STR_CONTAINS && e->params[0]) return tr_regex_state(e, state, err);
  return TR_OK;
}

void tr_text_state_free(const struct tr_expr *e, void *state) {
  if (!state) return;
  if (e->op == TR_OP_ISIN) tr_isin_free(state);
  else tr_regex_free(state);
}
