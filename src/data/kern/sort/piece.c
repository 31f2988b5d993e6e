/* Keys as order-preserving numbers: integers shifted to start at 0, floats by their bits (-0.0 equals 0.0), text by 7
 * bytes at a time, missing values above or below everything. */
#include "data/kern/sort/sort_int.h"

#define SIGN    (1ull << 63)
#define GONE(v) 0
#define RAW(v)  ((uint64_t)(v))
#define T       uint8_t
#define NAME(x) x##_u8
#include "data/kern/sort/piece.tmpl.h"
#undef T
#undef NAME
#define T       uint16_t
#define NAME(x) x##_u16
#include "data/kern/sort/piece.tmpl.h"
#undef T
#undef NAME
#define T       uint32_t
#define NAME(x) x##_u32
#include "data/kern/sort/piece.tmpl.h"
#undef T
#undef NAME
#define T       uint64_t
#define NAME(x) x##_u64
#include "data/kern/sort/piece.tmpl.h"
#undef T
#undef NAME
#undef RAW

#define RAW(v)  ((uint64_t)(int64_t)(v) ^ SIGN)
#define T       int8_t
#define NAME(x) x##_i8
#include "data/kern/sort/piece.tmpl.h"
#undef T
#undef NAME
#define T       int16_t
#define NAME(x) x##_i16
#include "data/kern/sort/piece.tmpl.h"
#undef T
#undef NAME
#define T       int32_t
#define NAME(x) x##_i32
#include "data/kern/sort/piece.tmpl.h"
#undef T
#undef NAME
#define T       int64_t
#define NAME(x) x##_i64
#include "data/kern/sort/piece.tmpl.h"
#undef NAME
#undef GONE
#define GONE(v) ((v) == TR_NAT)
#define NAME(x) x##_nat64
#include "data/kern/sort/piece.tmpl.h"
#undef T
#undef NAME
#undef RAW
#undef GONE

static inline uint64_t raw_f64(double v) {
  uint64_t b;
  v += 0.0; /* -0.0 becomes 0.0 */
  memcpy(&b, &v, 8);
  return b ^ ((uint64_t)((int64_t)b >> 63) | SIGN);
}

static inline uint64_t raw_f32(float v) {
  uint32_t b;
  v += 0.0f;
  memcpy(&b, &v, 4);
  return b ^ ((uint32_t)((int32_t)b >> 31) | 1u << 31);
}

#define GONE(v) ((v) != (v))
#define RAW(v)  raw_f32(v)
#define T       float
#define NAME(x) x##_f32
#include "data/kern/sort/piece.tmpl.h"
#undef T
#undef NAME
#undef RAW
#define RAW(v)  raw_f64(v)
#define T       double
#define NAME(x) x##_f64
#include "data/kern/sort/piece.tmpl.h"
#undef T
#undef NAME
#undef RAW
#undef GONE

#define GONE(v) ((v) < 0)
#define RAW(v)  ((uint64_t)(v))
#define T       int32_t
#define NAME(x) x##_code
#include "data/kern/sort/piece.tmpl.h"
#undef T
#undef NAME
#undef GONE
#define GONE(v) ((v) == UINT32_MAX)
#define T       uint32_t
#define NAME(x) x##_rank
#include "data/kern/sort/piece.tmpl.h"
#undef T
#undef NAME
#undef RAW
#undef GONE

static void encode_ranked(const struct tr_piece *p, const uint32_t *rows, int64_t begin, int64_t n, uint64_t *out) {
  const int32_t *s = p->src;
  const uint64_t flip = p->descending ? UINT64_MAX : 0, lift = p->lift + (p->descending ? 1 : 0);
  for (int64_t i = 0; i < n; i++) {
    int32_t c = s[rows ? (int64_t)rows[i] : begin + i];
    out[i] = c < 0 ? p->missing : ((p->rank[c] - p->base) ^ flip) + lift;
  }
}

/* Up to 8 bytes of text from byte `at` on, big-endian, zero-padded. */
static inline uint64_t text_bytes(const struct tr_array *a, const struct tr_view *v, int64_t at) {
  uint64_t w = 0;
  int64_t left = v->size - at;
  if (left <= 0) return 0;
  memcpy(&w, tr_view_bytes(a, v) + at, left < 8 ? (size_t)left : 8);
  return __builtin_bswap64(w);
}

static void encode_text(const struct tr_piece *p, const uint32_t *rows, int64_t begin, int64_t n, uint64_t *out) {
  const struct tr_view *views = tr_array_views(p->text);
  for (int64_t i = 0; i < n; i++) {
    const struct tr_view *v = views + (rows ? (int64_t)rows[i] : begin + i);
    int64_t left = v->size - p->text_at;
    uint64_t w = text_bytes(p->text, v, p->text_at);
    out[i] = (w & ~0xffull) | (uint64_t)(left < 0 ? 0 : left > 8 ? 8 : left);
  }
}

static void encode_flag(const struct tr_piece *p, const uint32_t *rows, int64_t begin, int64_t n, uint64_t *out) {
  const struct tr_view *views = tr_array_views(p->text);
  for (int64_t i = 0; i < n; i++) out[i] = views[rows ? (int64_t)rows[i] : begin + i].size < 0;
}

static const struct form {
  void (*scan)(const void *, int64_t, int64_t, struct tr_piece_range *);
  void (*encode)(const struct tr_piece *, const uint32_t *, int64_t, int64_t, uint64_t *);
} forms[] = {
    [TR_PIECE_U8] = {scan_u8, encode_u8},           [TR_PIECE_U16] = {scan_u16, encode_u16},
    [TR_PIECE_U32] = {scan_u32, encode_u32},        [TR_PIECE_U64] = {scan_u64, encode_u64},
    [TR_PIECE_I8] = {scan_i8, encode_i8},           [TR_PIECE_I16] = {scan_i16, encode_i16},
    [TR_PIECE_I32] = {scan_i32, encode_i32},        [TR_PIECE_I64] = {scan_i64, encode_i64},
    [TR_PIECE_NAT64] = {scan_nat64, encode_nat64},  [TR_PIECE_F32] = {scan_f32, encode_f32},
    [TR_PIECE_F64] = {scan_f64, encode_f64},        [TR_PIECE_CODE] = {scan_code, encode_code},
    [TR_PIECE_RANKED] = {scan_code, encode_ranked}, [TR_PIECE_RANK] = {scan_rank, encode_rank},
    [TR_PIECE_TEXT_FLAG] = {NULL, encode_flag},     [TR_PIECE_TEXT] = {NULL, encode_text},
};

void tr_piece_scan(const struct tr_piece *p, int64_t begin, int64_t end, struct tr_piece_range *range) {
  forms[p->form].scan(p->src, begin, end, range);
}

void tr_piece_encode(const struct tr_piece *p, const uint32_t *rows, int64_t begin, int64_t n, uint64_t *out) {
  forms[p->form].encode(p, rows, begin, n, out);
}

void tr_order_window(const struct tr_order *o, const uint32_t *rows, int64_t begin, int64_t n, int from, int bits,
                     uint64_t *out) {
  uint64_t part[TR_SORT_BLOCK];
  int at = 0, filled = 0;
  for (int k = 0; k < o->n_pieces && at < from + bits; at += o->pieces[k++].bits) {
    const struct tr_piece *p = &o->pieces[k];
    int low = from > at ? from : at, high = from + bits < at + p->bits ? from + bits : at + p->bits;
    if (low >= high) continue;
    int keep = high - low, drop = at + p->bits - high;
    uint64_t mask = keep == 64 ? UINT64_MAX : (1ull << keep) - 1;
    tr_piece_encode(p, rows, begin, n, filled ? part : out);
    if (!filled) {
      if (drop || keep < p->bits)
        for (int64_t i = 0; i < n; i++) out[i] = out[i] >> drop & mask;
    } else {
      for (int64_t i = 0; i < n; i++) out[i] = out[i] << keep | (part[i] >> drop & mask);
    }
    filled += keep;
  }
}
