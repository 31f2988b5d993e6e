/* Names and text forms that encoding and decoding of plans share: see codec_int.h. Nothing here depends on the C
 * locale. */
#include "meta/plan/codec_int.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct tr_codec_fn tr_codec_aggs[TR_PLAN_N_AGGS] = {
    {"size", 0}, {"count", 1}, {"sum", 1},    {"prod", 1},   {"mean", 1},     {"min", 1},   {"max", 1},  {"std", 1},
    {"var", 1},  {"sem", 1},   {"skew", 1},   {"median", 1}, {"quantile", 1}, {"first", 1}, {"last", 1}, {"nunique", 1},
    {"any", 1},  {"all", 1},   {"idxmin", 1}, {"idxmax", 1}, {"corr", 2},     {"nth", 0}};
const struct tr_codec_fn tr_codec_windows[TR_PLAN_N_WINDOWS] = {
    {"cumsum", 1},     {"cumprod", 1},    {"cummin", 1},       {"cummax", 1},   {"cumcount", 0},
    {"shift", 1},      {"diff", 1},       {"rank_average", 1}, {"rank_min", 1}, {"rank_max", 1},
    {"rank_first", 1}, {"rank_dense", 1}, {"ngroup", 0},       {"ffill", 1},    {"bfill", 1}};
const char *const tr_codec_item_kinds[] = {"agg", "window", "transform"};
const char *const tr_codec_hows[] = {"inner", "left", "right", "outer", "cross", "semi", "anti"};
const char *const tr_codec_keeps[] = {"first", "last", "none"};
const char *const tr_codec_na_options[] = {"keep", "top", "bottom"};
const char *const tr_codec_options[] = {"how",  "sort",  "dropna", "na_first", "tail",
                                        "keep", "whole", "start",  "stop",     "step"};
const struct tr_rel_options tr_codec_defaults = {.stop = -1, .step = 1};

const struct tr_plan_limits tr_plan_limits_default = {.bytes = 64 << 20,
                                                      .nodes = 10000,
                                                      .exprs = 100000,
                                                      .depth = 1000,
                                                      .columns = 100000,
                                                      .list = 1000000,
                                                      .size = 5000000};

bool *tr_codec_flag(struct tr_rel_options *o, enum tr_codec_option option) {
  switch (option) {
  case TR_CODEC_SORT: return &o->sort;
  case TR_CODEC_DROPNA: return &o->dropna;
  case TR_CODEC_NA_FIRST: return &o->na_first;
  case TR_CODEC_TAIL: return &o->tail;
  case TR_CODEC_WHOLE: return &o->whole;
  default: return NULL;
  }
}

int64_t *tr_codec_number(struct tr_rel_options *o, enum tr_codec_option option) {
  return option == TR_CODEC_START  ? &o->start
         : option == TR_CODEC_STOP ? &o->stop
         : option == TR_CODEC_STEP ? &o->step
                                   : NULL;
}

const char *tr_codec_dtype_name(struct tr_dtype t) {
  return t.kind == TR_CATEGORY && t.ordered ? "category[ordered]" : tr_dtype_name(t);
}

bool tr_codec_dtype_parse(const char *name, struct tr_dtype *out) {
  if (strcmp(name, "category[ordered]") != 0) return tr_dtype_parse(name, out);
  *out = (struct tr_dtype){.kind = TR_CATEGORY, .ordered = 1};
  return true;
}

#define NAN_BITS UINT64_C(0x7ff8000000000000)

void tr_codec_float_print(double v, char out[TR_CODEC_FLOAT_MAX]) {
  uint64_t bits;
  memcpy(&bits, &v, sizeof bits);
  const char *sign = bits >> 63 ? "-" : "";
  int power = (int)(bits >> 52 & 0x7ff);
  uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
  if (power == 0x7ff) {
    if (!fraction) snprintf(out, TR_CODEC_FLOAT_MAX, "%sinf", sign);
    else if (bits == NAN_BITS) snprintf(out, TR_CODEC_FLOAT_MAX, "nan");
    else snprintf(out, TR_CODEC_FLOAT_MAX, "nan:%016" PRIx64, bits);
    return;
  }
  char digits[16];
  int n = snprintf(digits, sizeof digits, "%013" PRIx64, fraction);
  while (n > 0 && digits[n - 1] == '0') n--;
  digits[n] = 0;
  int exponent = power ? power - 1023 : fraction ? -1022 : 0;
  snprintf(out, TR_CODEC_FLOAT_MAX, "%s0x%d%s%sp%+d", sign, power != 0, n ? "." : "", digits, exponent);
}

static int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

/* Bits of "[-]0xL[.FFF]p±E"; what is not canonical is found by printing again. */
static bool float_bits(const char *s, uint64_t *bits) {
  uint64_t sign = 0, fraction = 0;
  if (*s == '-') sign = 1, s++;
  if (s[0] != '0' || s[1] != 'x' || (s[2] != '0' && s[2] != '1')) return false;
  bool normal = s[2] == '1';
  s += 3;
  if (*s == '.') {
    int n = 0;
    for (s++; hex_digit(*s) >= 0 && n < 13; s++, n++) fraction |= (uint64_t)hex_digit(*s) << (48 - 4 * n);
  }
  if (s[0] != 'p' || (s[1] != '+' && s[1] != '-')) return false;
  bool negative = s[1] == '-';
  int exponent = 0, n = 0;
  for (s += 2; *s >= '0' && *s <= '9' && n < 4; s++, n++) exponent = exponent * 10 + (*s - '0');
  if (*s || !n) return false;
  if (negative) exponent = -exponent;
  if (normal && (exponent < -1022 || exponent > 1023)) return false;
  *bits = sign << 63 | (normal ? (uint64_t)(exponent + 1023) << 52 : 0) | fraction;
  return true;
}

static bool nan_bits(const char *s, uint64_t *bits) {
  uint64_t b = 0;
  if (strlen(s) != 16) return false;
  for (; *s; s++) {
    if (hex_digit(*s) < 0) return false;
    b = b << 4 | (uint64_t)hex_digit(*s);
  }
  *bits = b;
  return (b >> 52 & 0x7ff) == 0x7ff && (b & ((UINT64_C(1) << 52) - 1));
}

bool tr_codec_float_parse(const char *s, double *out) {
  uint64_t bits;
  if (strcmp(s, "nan") == 0) bits = NAN_BITS;
  else if (strcmp(s, "inf") == 0) bits = UINT64_C(0x7ff) << 52;
  else if (strcmp(s, "-inf") == 0) bits = UINT64_C(0xfff) << 52;
  else if (strncmp(s, "nan:", 4) == 0 ? !nan_bits(s + 4, &bits) : !float_bits(s, &bits)) return false;
  char again[TR_CODEC_FLOAT_MAX];
  memcpy(out, &bits, sizeof bits);
  tr_codec_float_print(*out, again);
  return strcmp(s, again) == 0;
}

bool tr_codec_int_parse(const char *s, enum tr_kind kind, struct tr_scalar *out) {
  bool is_signed = !tr_kind_is_int(kind) || tr_kind_is_signed(kind), negative = *s == '-';
  int bits = kind == TR_BOOL ? 1 : 8 * tr_dtype_width(tr_dtype_of(kind)) - is_signed;
  uint64_t most = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1, v = 0;
  if (negative) {
    if (!is_signed || kind == TR_BOOL) return false;
    s++;
    most++;
  }
  if (!*s || (*s == '0' && (s[1] || negative))) return false;
  for (; *s; s++) {
    if (*s < '0' || *s > '9' || __builtin_mul_overflow(v, UINT64_C(10), &v)) return false;
    if (__builtin_add_overflow(v, (uint64_t)(*s - '0'), &v) || v > most) return false;
  }
  out->u = negative ? 0 - v : v;
  return true;
}

/* Bytes of the UTF-8 sequence at s (n left), 0 when it is none. */
static int utf8_length(const unsigned char *s, int64_t n) {
  if (s[0] < 0x80) return s[0] != 0;
  int len = s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
  if (!len || len > n) return 0;
  for (int i = 1; i < len; i++)
    if ((s[i] & 0xc0) != 0x80) return 0;
  bool too_long = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
  bool beyond = (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf4 && s[1] >= 0x90);
  return too_long || beyond ? 0 : len;
}

bool tr_codec_is_json_text(const char *s, int64_t n) {
  for (int64_t i = 0; i < n;) {
    int len = utf8_length((const unsigned char *)s + i, n - i);
    if (!len) return false;
    i += len;
  }
  return true;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void tr_codec_base64_encode(const char *s, int64_t n, char *out) {
  const unsigned char *p = (const unsigned char *)s;
  for (int64_t i = 0; i < n; i += 3) {
    uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
    *out++ = alphabet[v >> 18];
    *out++ = alphabet[v >> 12 & 63];
    *out++ = i + 1 < n ? alphabet[v >> 6 & 63] : '=';
    *out++ = i + 2 < n ? alphabet[v & 63] : '=';
  }
}

static int base64_digit(char c) {
  const char *at = c ? strchr(alphabet, c) : NULL;
  return at ? (int)(at - alphabet) : -1;
}

int64_t tr_codec_base64_decode(const char *s, int64_t n, char *out) {
  if (n % 4) return -1;
  int64_t used = 0;
  for (int64_t i = 0; i < n; i += 4) {
    int pad = i + 4 < n ? 0 : (s[i + 3] == '=') + (s[i + 3] == '=' && s[i + 2] == '=');
    uint32_t v = 0;
    for (int k = 0; k < 4; k++) {
      int digit = k >= 4 - pad ? 0 : base64_digit(s[i + k]);
      if (digit < 0) return -1;
      v = v << 6 | (uint32_t)digit;
    }
    if (pad && v & (pad == 2 ? 0xffffu : 0xffu)) return -1;
    for (int k = 0; k < 3 - pad; k++) out[used++] = (char)(v >> (16 - 8 * k));
  }
  return used;
}
