/* The RLE / bit-packed hybrid: dictionary indices, levels, booleans.
 *
 * A run header is a varint: odd = groups of 8 bit-packed values, even = one value repeated. Runs may hold more values
 * than are asked for (padding of the last group); fewer is a fault. Input must be readable 8 bytes past its end.
 */
#include "data/format/parquet/decode_int.h"
#include <string.h>

#define W 1
#include "data/format/parquet/unpack.tmpl.h"
#define W 2
#include "data/format/parquet/unpack.tmpl.h"
#define W 3
#include "data/format/parquet/unpack.tmpl.h"
#define W 4
#include "data/format/parquet/unpack.tmpl.h"
#define W 5
#include "data/format/parquet/unpack.tmpl.h"
#define W 6
#include "data/format/parquet/unpack.tmpl.h"
#define W 7
#include "data/format/parquet/unpack.tmpl.h"
#define W 8
#include "data/format/parquet/unpack.tmpl.h"
#define W 9
#include "data/format/parquet/unpack.tmpl.h"
#define W 10
#include "data/format/parquet/unpack.tmpl.h"
#define W 11
#include "data/format/parquet/unpack.tmpl.h"
#define W 12
#include "data/format/parquet/unpack.tmpl.h"
#define W 13
#include "data/format/parquet/unpack.tmpl.h"
#define W 14
#include "data/format/parquet/unpack.tmpl.h"
#define W 15
#include "data/format/parquet/unpack.tmpl.h"
#define W 16
#include "data/format/parquet/unpack.tmpl.h"
#define W 17
#include "data/format/parquet/unpack.tmpl.h"
#define W 18
#include "data/format/parquet/unpack.tmpl.h"
#define W 19
#include "data/format/parquet/unpack.tmpl.h"
#define W 20
#include "data/format/parquet/unpack.tmpl.h"
#define W 21
#include "data/format/parquet/unpack.tmpl.h"
#define W 22
#include "data/format/parquet/unpack.tmpl.h"
#define W 23
#include "data/format/parquet/unpack.tmpl.h"
#define W 24
#include "data/format/parquet/unpack.tmpl.h"
#define W 25
#include "data/format/parquet/unpack.tmpl.h"
#define W 26
#include "data/format/parquet/unpack.tmpl.h"
#define W 27
#include "data/format/parquet/unpack.tmpl.h"
#define W 28
#include "data/format/parquet/unpack.tmpl.h"
#define W 29
#include "data/format/parquet/unpack.tmpl.h"
#define W 30
#include "data/format/parquet/unpack.tmpl.h"
#define W 31
#include "data/format/parquet/unpack.tmpl.h"
#define W 32
#include "data/format/parquet/unpack.tmpl.h"

typedef void (*unpack_fn)(const uint8_t *restrict, int64_t, uint32_t *restrict);
static const unpack_fn unpack_of[33] = {
    NULL,      unpack_1,  unpack_2,  unpack_3,  unpack_4,  unpack_5,  unpack_6,  unpack_7,  unpack_8,
    unpack_9,  unpack_10, unpack_11, unpack_12, unpack_13, unpack_14, unpack_15, unpack_16, unpack_17,
    unpack_18, unpack_19, unpack_20, unpack_21, unpack_22, unpack_23, unpack_24, unpack_25, unpack_26,
    unpack_27, unpack_28, unpack_29, unpack_30, unpack_31, unpack_32,
};

bool pq_rle_open(struct pq_rle *r, const uint8_t *p, size_t n, int bit_width) {
  *r = (struct pq_rle){.p = p, .end = p + n, .bit_width = bit_width};
  return bit_width >= 0 && bit_width <= 32;
}

/* Reads the next run's header. */
static bool next_run(struct pq_rle *r) {
  uint64_t v = 0;
  int shift = 0;
  uint8_t b;
  do {
    if (r->p >= r->end || shift > 63) return false;
    b = *r->p++;
    v |= (uint64_t)(b & 127) << shift;
    shift += 7;
  } while (b & 128);
  uint64_t left = (uint64_t)(r->end - r->p);
  if (v & 1) {
    uint64_t groups = v >> 1, fit = r->bit_width ? left / (unsigned)r->bit_width : groups;
    if (groups > (uint64_t)1 << 32) return false;
    r->packed = r->p;
    r->at = 0;
    r->packed_left = (int64_t)(groups <= fit ? groups * 8 : left * 8 / (unsigned)r->bit_width);
    r->p += groups <= fit ? groups * (unsigned)r->bit_width : left;
  } else {
    int bytes = (r->bit_width + 7) / 8;
    if (left < (unsigned)bytes || v >> 1 > (uint64_t)1 << 40) return false;
    r->value = 0;
    memcpy(&r->value, r->p, (size_t)bytes);
    r->p += bytes;
    r->run_left = (int64_t)(v >> 1);
  }
  return true;
}

bool pq_rle_run(struct pq_rle *r, int64_t max, int64_t *n, uint32_t *value, bool *repeated) {
  while (r->run_left == 0 && r->packed_left == 0) {
    if (!next_run(r)) return false;
  }
  *repeated = r->run_left > 0;
  int64_t have = *repeated ? r->run_left : r->packed_left;
  *n = have < max ? have : max;
  *value = r->value;
  if (*repeated) r->run_left -= *n;
  return true;
}

static uint32_t one_value(const struct pq_rle *r, int64_t i) {
  uint64_t v;
  int64_t bit = i * r->bit_width;
  memcpy(&v, r->packed + (bit >> 3), 8);
  return (uint32_t)(v >> (bit & 7) & ((1ull << r->bit_width) - 1));
}

void pq_rle_packed(struct pq_rle *r, int64_t n, uint32_t *out) {
  r->packed_left -= n;
  if (r->bit_width == 0) {
    memset(out, 0, (size_t)n * sizeof *out);
    return;
  }
  int64_t i = 0;
  for (; i < n && (r->at & 7); i++) out[i] = one_value(r, r->at++);
  int64_t groups = (n - i) / 8;
  unpack_of[r->bit_width](r->packed + r->at / 8 * r->bit_width, groups, out + i);
  r->at += groups * 8;
  i += groups * 8;
  for (; i < n; i++) out[i] = one_value(r, r->at++);
}

bool pq_rle_values(struct pq_rle *r, int64_t n, uint32_t *out) {
  while (n > 0) {
    int64_t k;
    uint32_t value;
    bool repeated;
    if (!pq_rle_run(r, n, &k, &value, &repeated)) return false;
    if (!repeated) pq_rle_packed(r, k, out);
    else
      for (int64_t i = 0; i < k; i++) out[i] = value;
    out += k;
    n -= k;
  }
  return true;
}

/* Eight bits to eight bytes of 0 or 1. */
static void spread_byte(uint8_t bits, uint8_t *out) {
  uint64_t v = (bits * 0x0101010101010101ull) & 0x8040201008040201ull;
  v = ((v + 0x7f7f7f7f7f7f7f7full) >> 7) & 0x0101010101010101ull;
  memcpy(out, &v, 8);
}

void pq_bits_to_bytes(const uint8_t *bits, int64_t from, int64_t n, uint8_t *out) {
  int64_t i = 0;
  for (; i < n && ((from + i) & 7); i++) out[i] = bits[(from + i) >> 3] >> ((from + i) & 7) & 1;
  for (; i + 8 <= n; i += 8) spread_byte(bits[(from + i) >> 3], out + i);
  for (; i < n; i++) out[i] = bits[(from + i) >> 3] >> ((from + i) & 7) & 1;
}

bool pq_rle_flags(struct pq_rle *r, int64_t n, uint8_t *out) {
  while (n > 0) {
    int64_t k;
    uint32_t value;
    bool repeated;
    if (!pq_rle_run(r, n, &k, &value, &repeated) || (repeated && value > 1)) return false;
    if (repeated) {
      memset(out, (int)value, (size_t)k);
    } else {
      pq_bits_to_bytes(r->packed, r->at, k, out);
      r->at += k;
      r->packed_left -= k;
    }
    out += k;
    n -= k;
  }
  return true;
}
