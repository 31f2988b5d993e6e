/* STR_CONTAINS by pattern, or ignoring case, through PCRE2: only patterns whose every construct means the same to
 * PCRE2, Python's re and RE2, between which pandas chooses by pattern and data. Accepted: literals, escaped
 * punctuation, . ^ $ | ( )
 * (?: ), * + ? {m,n} and their lazy forms, [...] of plain characters and ranges, and \d \w \s \b and their negations as
 * long as the text is ASCII. Everything else is left to pandas, when the expression is evaluated. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/kern/expr/text/unicode_int.h"
#include "data/kern/expr/text_int.h"
#include <ctype.h>
#include <pcre2.h>
#include <string.h>

struct regex {
  pcre2_code *code;
  bool ascii_only; /* texts with other characters are left to pandas */
};

static bool is_quantifier_char(char c) { return c == '*' || c == '+' || c == '?' || c == '{'; }

/* Past a quantifier at p, NULL when it is not one we take. */
static const char *skip_quantifier(const char *p) {
  if (*p == '{') {
    int64_t low = 0, high = -1;
    const char *q = p + 1;
    if (!isdigit((unsigned char)*q)) return NULL;
    for (; isdigit((unsigned char)*q) && low < 2000; q++) low = low * 10 + (*q - '0');
    if (*q == ',') {
      q++;
      if (isdigit((unsigned char)*q)) high = 0;
      for (; isdigit((unsigned char)*q) && high < 2000; q++) high = high * 10 + (*q - '0');
    }
    if (*q != '}' || low > 1000 || high > 1000 || (high >= 0 && high < low)) return NULL;
    p = q + 1;
  } else {
    p++;
  }
  if (*p == '?') p++;
  return is_quantifier_char(*p) ? NULL : p; /* no possessive or repeated ones */
}

/* Past an escape; *ascii set when it depends on the text being ASCII. In a class \b is another thing. */
static const char *skip_escape(const char *p, bool in_class, bool *ascii) {
  unsigned char c = (unsigned char)p[1];
  if (ispunct(c)) return p + 2;
  if (c == 'd' || c == 'D' || c == 'w' || c == 'W' || c == 's' || c == 'S' || (!in_class && (c == 'b' || c == 'B'))) {
    *ascii = true;
    return p + 2;
  }
  return c == 'n' || c == 't' || c == 'r' ? p + 2 : NULL;
}

static const char *skip_class(const char *p, bool *ascii) {
  p++;
  if (*p == '^') p++;
  if (*p == ']' || *p == 0) return NULL;
  for (; *p && *p != ']';) {
    if (*p == '[' || (unsigned char)*p >= 0x80 || (p[0] == '&' && p[1] == '&') || (p[0] == '-' && p[1] == '-') ||
        (p[0] == '|' && p[1] == '|') || (p[0] == '~' && p[1] == '~'))
      return NULL;
    if (*p == '\\' && !(p = skip_escape(p, true, ascii))) return NULL;
    else if (*p != '\\' && *p != ']') p++;
  }
  return *p == ']' ? p + 1 : NULL;
}

static bool acceptable(const char *p, bool *ascii) {
  int depth = 0;
  bool atom = false; /* something a quantifier may follow */
  while (*p) {
    if (is_quantifier_char(*p)) {
      if (!atom || !(p = skip_quantifier(p))) return false;
      atom = false;
      continue;
    }
    atom = true;
    switch (*p) {
    case '\\': {
      bool boundary = p[1] == 'b' || p[1] == 'B';
      if (!(p = skip_escape(p, false, ascii))) return false;
      atom = !boundary;
      break;
    }
    case '[':
      if (!(p = skip_class(p, ascii))) return false;
      break;
    case '(':
      if (p[1] == '?' && p[2] != ':') return false;
      p += p[1] == '?' ? 3 : 1;
      depth++;
      atom = false;
      break;
    case ')':
      if (depth-- == 0) return false;
      p++;
      break;
    case '|':
    case '^':
    case '$':
      atom = false;
      p++;
      break;
    case ']':
    case '}': return false;
    default: p++;
    }
  }
  return depth == 0;
}

enum tr_status tr_regex_state(const struct tr_expr *e, void **state, struct tr_error *err) {
  bool is_regex = e->params[0] & 1, ignore_case = e->params[0] & 2, ascii = false;
  if (is_regex && !acceptable(e->text, &ascii)) return tr_unsupported(err, "the pattern '%s' is not native", e->text);
  if (ignore_case && !tr_utf8_is_ascii(e->text, (int64_t)strlen(e->text)))
    return tr_unsupported(err, "ignoring case beyond ASCII");
  void *p;
  TR_TRY(tr_mem_calloc(sizeof(struct regex), &p, err));
  struct regex *r = p;
  uint32_t options =
      PCRE2_UTF | PCRE2_NO_UTF_CHECK | (ignore_case ? PCRE2_CASELESS : 0) | (is_regex ? 0 : PCRE2_LITERAL);
  int code;
  size_t at;
  r->ascii_only = ascii || ignore_case;
  r->code = pcre2_compile((PCRE2_SPTR)e->text, PCRE2_ZERO_TERMINATED, options, &code, &at, NULL);
  if (!r->code) {
    tr_mem_free(r, sizeof *r);
    return tr_unsupported(err, "the pattern '%s' is not native", e->text);
  }
  pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE);
  *state = r;
  return TR_OK;
}

void tr_regex_free(void *state) {
  struct regex *r = state;
  pcre2_code_free(r->code);
  tr_mem_free(r, sizeof *r);
}

void tr_kern_regex(struct tr_call *c) {
  const struct regex *r = c->state;
  const struct tr_view *v = tr_array_views(c->in[0].text) + c->begin;
  uint8_t *out = c->out;
  pcre2_match_data *match = pcre2_match_data_create(1, NULL);
  if (!match) {
    c->saw |= TR_SAW_REFUSE;
    return;
  }
  for (int64_t i = 0; i < c->n; i++) {
    out[i] = 0;
    if (v[i].size < 0) continue;
    const char *s = tr_view_bytes(c->in[0].text, &v[i]);
    bool odd = r->ascii_only && (!tr_utf8_is_ascii(s, v[i].size) || memchr(s, 0x1c, (size_t)v[i].size) ||
                                 memchr(s, 0x1d, (size_t)v[i].size) || memchr(s, 0x1e, (size_t)v[i].size) ||
                                 memchr(s, 0x1f, (size_t)v[i].size));
    int found = odd ? PCRE2_ERROR_MATCHLIMIT
                    : pcre2_match(r->code, (PCRE2_SPTR)s, (size_t)v[i].size, 0, PCRE2_NO_UTF_CHECK, match, NULL);
    out[i] = found >= 0;
    if (found < 0 && found != PCRE2_ERROR_NOMATCH) c->saw |= TR_SAW_REFUSE;
  }
  pcre2_match_data_free(match);
}
